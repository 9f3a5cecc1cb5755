// Bessel functions and Airy's.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/special/functions.h"
#include "oneflow_like/ops/special/host.h"

namespace ofl::ops {
namespace {

OFL_HOST_FUNCTION(BesselI0, special::I0)
OFL_HOST_FUNCTION(BesselI1, special::I1)
OFL_HOST_FUNCTION(ScaledBesselI0, special::ScaledI0)
OFL_HOST_FUNCTION(ScaledBesselI1, special::ScaledI1)
OFL_HOST_FUNCTION(BesselK0, special::K0)
OFL_HOST_FUNCTION(BesselK1, special::K1)
OFL_HOST_FUNCTION(ScaledBesselK0, special::ScaledK0)
OFL_HOST_FUNCTION(ScaledBesselK1, special::ScaledK1)
OFL_HOST_FUNCTION(BesselJ0, special::J0)
OFL_HOST_FUNCTION(BesselJ1, special::J1)
OFL_HOST_FUNCTION(BesselY0, special::Y0)
OFL_HOST_FUNCTION(BesselY1, special::Y1)
OFL_HOST_FUNCTION(SphericalBessel, special::SphericalJ0)
OFL_HOST_FUNCTION(Airy, special::AiryAi)
OFL_HOST_FUNCTION(AiryPrime, special::AiryAiPrime)

template <class F>
op::OpDefBuilder& Function(op::OpDefBuilder& op, const char* doc, Range range = {0.5, 4}) {
  return Unary<F, kFloats>(op, doc, "; never partial", range);
}

// y / x, and `at_zero` where x is 0, for an odd function y.
op::Value Ratio(op::GradContext& c, const op::Value& y, const op::Value& at_zero,
                const op::Value& ratio_of) {
  const op::Value none = Against(c.b, "eq", ratio_of, 0);
  const op::Value safe = Where(c.b, none, OnesLike(c.b, ratio_of), ratio_of);
  return Where(c.b, none, at_zero, Div(c.b, y, safe));
}
op::Value Half(op::GradContext& c) {
  return c.b.Call("full_like", {c.inputs[0]}, {{"value", Scalar(0.5)}});
}

// Of order 1: scale (f0 - y / x), with the function of order 0 beside it.
void GradOfOrder1(op::GradContext& c, const char* order0, double scale) {
  const op::Value ratio = Div(c.b, c.outputs[0], c.inputs[0]);
  const op::Value at_0 = MulScalar(c.b, Of(c.b, order0, c.inputs[0]), scale);
  SetSlope(c, Sub(c.b, at_0, ratio));
}
// Of order 0: minus that of order 1.
void GradOfOrder0(op::GradContext& c, const char* order1) {
  SetSlope(c, Of(c.b, "neg", Of(c.b, order1, c.inputs[0])));
}

}  // namespace

OFL_OP(i0) {
  Function<BesselI0>(op, "The modified Bessel function of the first kind, of order 0.", {-3, 3})
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "i1", c.inputs[0])); })
      .Oracle("bessel_i(0, input)");
  Named(op, "i0(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(i1) {
  Function<BesselI1>(op, "The modified Bessel function of the first kind, of order 1.", {-3, 3})
      .Grad([](op::GradContext& c) {
        const op::Value ratio = Ratio(c, c.outputs[0], Half(c), c.inputs[0]);
        SetSlope(c, Sub(c.b, Of(c.b, "i0", c.inputs[0]), ratio));
      })
      .Oracle("bessel_i(1, input)")
      .Py("special.i1(input)");
}

OFL_OP(i0e) {
  Function<ScaledBesselI0>(op, "exp(-|input|) i0(input).", {-3, 3})
      .Grad([](op::GradContext& c) {
        const op::Value sign = Of(c.b, "sign", c.inputs[0]);
        SetSlope(c, Sub(c.b, Of(c.b, "i1e", c.inputs[0]), Mul(c.b, sign, c.outputs[0])));
      })
      .Oracle("np.exp(-np.abs(input)) * bessel_i(0, input)")
      .Py("special.i0e(input)");
}

OFL_OP(i1e) {
  Function<ScaledBesselI1>(op, "exp(-|input|) i1(input).", {-3, 3})
      .Grad([](op::GradContext& c) {
        const op::Value ratio = Ratio(c, c.outputs[0], Half(c), c.inputs[0]);
        const op::Value sign = Of(c.b, "sign", c.inputs[0]);
        const op::Value fall = Add(c.b, ratio, Mul(c.b, sign, c.outputs[0]));
        SetSlope(c, Sub(c.b, Of(c.b, "i0e", c.inputs[0]), fall));
      })
      .Oracle("np.exp(-np.abs(input)) * bessel_i(1, input)")
      .Py("special.i1e(input)");
}

OFL_OP(modified_bessel_i0) {
  op.Doc("The modified Bessel function of the first kind, of order 0.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{Of(b, "i0", in[0])};
      })
      .Oracle("bessel_i(0, input)")
      .Py("special.modified_bessel_i0(input)")
      .Samples([] { return ExactSamples(-3, 3); });
}

OFL_OP(modified_bessel_i1) {
  op.Doc("The modified Bessel function of the first kind, of order 1.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{Of(b, "i1", in[0])};
      })
      .Oracle("bessel_i(1, input)")
      .Py("special.modified_bessel_i1(input)")
      .Samples([] { return ExactSamples(-3, 3); });
}

OFL_OP(modified_bessel_k0) {
  Function<BesselK0>(op, "The modified Bessel function of the second kind, of order 0.")
      .Grad([](op::GradContext& c) { GradOfOrder0(c, "modified_bessel_k1"); })
      .Oracle("bessel_k(0, input)")
      .Py("special.modified_bessel_k0(input)");
}
OFL_OP(modified_bessel_k1) {
  Function<BesselK1>(op, "The modified Bessel function of the second kind, of order 1.")
      .Grad([](op::GradContext& c) { GradOfOrder1(c, "modified_bessel_k0", -1); })
      .Oracle("bessel_k(1, input)")
      .Py("special.modified_bessel_k1(input)");
}
OFL_OP(scaled_modified_bessel_k0) {
  Function<ScaledBesselK0>(op, "exp(input) modified_bessel_k0(input).")
      .Grad([](op::GradContext& c) {
        SetSlope(c, Sub(c.b, c.outputs[0], Of(c.b, "scaled_modified_bessel_k1", c.inputs[0])));
      })
      .Oracle("np.exp(input) * bessel_k(0, input)")
      .Py("special.scaled_modified_bessel_k0(input)");
}
OFL_OP(scaled_modified_bessel_k1) {
  Function<ScaledBesselK1>(op, "exp(input) modified_bessel_k1(input).")
      .Grad([](op::GradContext& c) {
        const op::Value fall = Add(c.b, Of(c.b, "scaled_modified_bessel_k0", c.inputs[0]),
                                   Div(c.b, c.outputs[0], c.inputs[0]));
        SetSlope(c, Sub(c.b, c.outputs[0], fall));
      })
      .Oracle("np.exp(input) * bessel_k(1, input)")
      .Py("special.scaled_modified_bessel_k1(input)");
}
OFL_OP(bessel_j0) {
  Function<BesselJ0>(op, "The Bessel function of the first kind, of order 0.")
      .Grad([](op::GradContext& c) { GradOfOrder0(c, "bessel_j1"); })
      .Oracle("bessel_j(0, input)")
      .Py("special.bessel_j0(input)");
}
OFL_OP(bessel_j1) {
  Function<BesselJ1>(op, "The Bessel function of the first kind, of order 1.")
      .Grad([](op::GradContext& c) { GradOfOrder1(c, "bessel_j0", 1); })
      .Oracle("bessel_j(1, input)")
      .Py("special.bessel_j1(input)");
}
OFL_OP(bessel_y0) {
  Function<BesselY0>(op, "The Bessel function of the second kind, of order 0.")
      .Grad([](op::GradContext& c) { GradOfOrder0(c, "bessel_y1"); })
      .Oracle("bessel_y(0, input)")
      .Py("special.bessel_y0(input)");
}
OFL_OP(bessel_y1) {
  Function<BesselY1>(op, "The Bessel function of the second kind, of order 1.")
      .Grad([](op::GradContext& c) { GradOfOrder1(c, "bessel_y0", 1); })
      .Oracle("bessel_y(1, input)")
      .Py("special.bessel_y1(input)");
}
OFL_OP(spherical_bessel_j0) {
  Function<SphericalBessel>(op,
                            "The spherical Bessel function of the first kind: sin(input) / input.")
      .Grad([](op::GradContext& c) {
        const op::Value& x = c.inputs[0];
        const op::Value at_zero = Against(c.b, "eq", x, 0);
        const op::Value safe = Where(c.b, at_zero, OnesLike(c.b, x), x);
        const op::Value slope = Div(c.b, Sub(c.b, Of(c.b, "cos", x), c.outputs[0]), safe);
        SetSlope(c, Filled(c.b, at_zero, int64_t{0}, slope));
      })
      .Oracle("np.sin(input) / input")
      .Py("special.spherical_bessel_j0(input)");
}
OFL_OP(airy_ai) {
  Function<Airy>(op, "Airy's function Ai.", {-2, 2})
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "airy_ai_prime", c.inputs[0])); })
      .Oracle("airy_ai(input)")
      .Py("special.airy_ai(input)");
}

OFL_OP(airy_ai_prime) {
  Function<AiryPrime>(op, "The derivative of Airy's function Ai.", {-2, 2})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Mul(c.b, c.inputs[0], Of(c.b, "airy_ai", c.inputs[0])));
      })
      .Oracle("airy_ai_prime(input)")
      .Py("_airy_ai_prime(input)");
}

}  // namespace ofl::ops
