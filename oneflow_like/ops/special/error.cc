// The error function's family, and the normal distribution.
#include "oneflow_like/ops/elementwise/covered.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/special/functions.h"
#include "oneflow_like/ops/special/host.h"

namespace ofl::ops {
namespace {

OFL_FUNCTOR(ErrorFunction, math::WholeErf(x))
OFL_FUNCTOR(ErrorComplement, math::Erfc(x))
// Of float: Giles' polynomials ("Approximating the erfinv function", 2010), then one step of
// Newton's method in double.
struct InverseError {
  OFL_FN static bool Covers(double x) { return (x < 1) & (x > -1); }
  OFL_FN static double Quick(double x) {
    const double w = -math::RealLog((1 - x) * (1 + x));
    const double low = w - 2.5, high = math::Sqrt(w) - 3;
    double p = 2.81022636e-08;
    p = p * low + 3.43273939e-07;
    p = p * low - 3.5233877e-06;
    p = p * low - 4.39150654e-06;
    p = p * low + 0.00021858087;
    p = p * low - 0.00125372503;
    p = p * low - 0.00417768164;
    p = p * low + 0.246640727;
    p = p * low + 1.50140941;
    double q = -0.000200214257;
    q = q * high + 0.000100950558;
    q = q * high + 0.00134934322;
    q = q * high - 0.00367342844;
    q = q * high + 0.00573950773;
    q = q * high - 0.0076224613;
    q = q * high + 0.00943887047;
    q = q * high + 1.00167406;
    q = q * high + 2.83297682;
    const double z = (w < 5 ? p : q) * x, off = math::WholeErf(z) - x;
    constexpr double kHalfRootPi = 0.88622692545275801365, kLog2E = 1.44269504088896340736;
    return z - off * kHalfRootPi * math::RealExp2(z * z * kLog2E);
  }
  template <class T>
  OFL_FN T operator()(T x) const {
    return static_cast<T>(special::ErfInv(static_cast<double>(x)));
  }
};
OFL_HOST_FUNCTION(ScaledComplement, special::ScaledErfc)
OFL_HOST_FUNCTION(LogOfNdtr, special::LogNdtr)
OFL_HOST_FUNCTION(NormalQuantile, special::Ndtri)

struct Entropy {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x > T(0) ? -x * math::Log(x) : x == T(0) ? T(0) : x != x ? x : -T(INFINITY);
  }
};

constexpr double kTwoOverSqrtPi = 1.12837916709551257390;
constexpr double kSqrt2Pi = 2.50662827463100050242;
constexpr double kInvSqrt2 = 0.70710678118654752440;

op::Value Square(op::Builder& b, const op::Value& x) { return Of(b, "square", x); }
// exp(rate x^2) factor.
op::Value Bell(op::Builder& b, const op::Value& x, double rate, double factor) {
  return MulScalar(b, Of(b, "exp", MulScalar(b, Square(b, x), rate)), factor);
}

}  // namespace

OFL_OP(erf) {
  Unary<ErrorFunction, kFloats>(op, "The error function.", "; monotone 0")
      .Grad([](op::GradContext& c) { SetSlope(c, Bell(c.b, c.inputs[0], -1, kTwoOverSqrtPi)); })
      .Oracle("erf(input)");
  Named(op, "erf(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(erfc) {
  Unary<ErrorComplement, kFloats>(op, "1 - erf(input), exact where that is small.", "; antitone 0")
      .Grad([](op::GradContext& c) { SetSlope(c, Bell(c.b, c.inputs[0], -1, -kTwoOverSqrtPi)); })
      .Oracle("erfc(input)");
  Named(op, "erfc(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(erfinv) {
  CoveredUnary<InverseError, double>(op, "The inverse of erf, on (-1, 1).", "; never partial",
                                     {-0.9, 0.9})
      .Grad([](op::GradContext& c) { SetSlope(c, Bell(c.b, c.outputs[0], 1, 1 / kTwoOverSqrtPi)); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("erfinv(input)");
  Named(op, "erfinv(input)").Namespace("special");
}

OFL_OP(erfcx) {
  Unary<ScaledComplement, kFloats>(op, "exp(input^2) erfc(input).", "; antitone 0")
      .Grad([](op::GradContext& c) {
        const op::Value slope = Mul(c.b, MulScalar(c.b, c.inputs[0], 2.0), c.outputs[0]);
        SetSlope(c, AddScalar(c.b, slope, -kTwoOverSqrtPi));
      })
      .Oracle("np.exp(input ** 2) * erfc(input)")
      .Py("special.erfcx(input)");
}

OFL_OP(ndtr) {
  op.Doc("The normal distribution function.")
      .In("input")
      .Out("output")
      .Promote(op::Promotion::kFloat)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        const op::Value tail = Of(b, "erfc", MulScalar(b, in[0], -kInvSqrt2));
        return op::Values{MulScalar(b, tail, 0.5)};
      })
      .Oracle("0.5 * erfc(-input / np.sqrt(2))")
      .Py("special.ndtr(input)")
      .Samples([] { return ExactSamples(); });
}

OFL_OP(log_ndtr) {
  Unary<LogOfNdtr, kFloats>(op, "The logarithm of the normal distribution function.",
                            "; monotone 0")
      .Grad([](op::GradContext& c) {
        const op::Value below = Of(c.b, "erfcx", MulScalar(c.b, c.inputs[0], -kInvSqrt2));
        SetSlope(c, Over(c.b, kTwoOverSqrtPi * kInvSqrt2, below));
      })
      .Oracle("np.log(0.5 * erfc(-input / np.sqrt(2)))")
      .Py("special.log_ndtr(input)");
}

OFL_OP(ndtri) {
  Unary<NormalQuantile, kFloats>(op, "The inverse of ndtr, on (0, 1).", "; never partial",
                                 {0.1, 0.9})
      .Grad([](op::GradContext& c) { SetSlope(c, Bell(c.b, c.outputs[0], 0.5, kSqrt2Pi)); })
      .Oracle("np.sqrt(2) * erfinv(2 * input - 1)")
      .Py("special.ndtri(input)");
}

OFL_OP(entr) {
  Unary<Entropy, kFloats>(op, "-input log(input); 0 at 0, -inf below.", "; never partial", {0.5, 3})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Of(c.b, "neg", AddScalar(c.b, Of(c.b, "log", c.inputs[0]), int64_t{1})));
      })
      .Oracle("-input * np.log(input)")
      .Py("special.entr(input)");
}

}  // namespace ofl::ops
