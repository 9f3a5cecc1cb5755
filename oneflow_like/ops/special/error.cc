// The error function's family, and the normal distribution.
#include "oneflow_like/ops/elementwise/covered.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/special/functions.h"
#include "oneflow_like/ops/special/host.h"

namespace ofl::ops {
namespace {

OFL_FUNCTOR(ErrorFunction, math::WholeErf(x))
OFL_FUNCTOR(ErrorComplement, math::Erfc(x))
// By Horner's rule, the highest power first.
template <class... C>
OFL_FN double Polynomial(double x, double first, C... others) {
  double sum = first;
  ((sum = sum * x + others), ...);
  return sum;
}

// Of float: erfinv(x) / x is smooth in w = -log(1 - x^2) (Giles, "Approximating the erfinv
// function", 2010), which of a float is below 16. Two polynomials through Chebyshev's points,
// within 1e-14 of it.
struct InverseError {
  OFL_FN static bool Covers(double x) { return (x < 1) & (x > -1); }
  OFL_FN static double Quick(double x) {
    const double w = -math::RealLog((1 - x) * (1 + x));
    const double low = Polynomial(
        w - 2.5, -2.6031834073758879e-17, 1.1870444061626394e-15, -4.1186227034353427e-15,
        -6.7613176627966057e-14, 5.4360916820872173e-13, 8.5456530878006567e-13,
        -3.1134044035958486e-11, 1.1983573349424632e-10, 9.0737863415425709e-10,
        -1.0861726217900895e-08, 1.3416697259642958e-08, 4.7872601816268211e-07,
        -3.4166195141938972e-06, -4.9960802214696176e-06, 0.00021825026431498035,
        -0.0012527079075903811, -0.0041773177243806013, 0.24664027674414404, 1.501409351110792);
    const double high = Polynomial(
        w - 10.5, 4.0195684443301849e-23, -5.4297211172055566e-22, -1.0162101306271401e-21,
        5.608846674759444e-20, -6.1333369028756333e-19, 7.8547314504668286e-18,
        -8.8769204184958792e-17, 5.3926216124616171e-16, 2.6683835915079884e-15,
        -1.3654404352423576e-13, 2.4818164452390311e-12, -3.2152520621752803e-11,
        3.1698681031166321e-10, -2.1132648022981303e-09, 1.9498760340332022e-10,
        3.0948069819953278e-07, -7.6281028098036312e-06, 0.00015549503036981237,
        -0.003562333769302387, 0.15509870273861093, 3.0742058190907922);
    return (w < 5 ? low : high) * x;
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
