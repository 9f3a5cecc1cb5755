// The gamma function's logarithm, its derivatives, incomplete forms and zeta.
#include "oneflow_like/ops/elementwise/covered.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/special/functions.h"
#include "oneflow_like/ops/special/host.h"

namespace ofl::ops {
namespace {

// Above 0, and not so near its zeros that Stirling's series would cancel: of z = x + 8 where x is
// small, less the logarithm of the product that lies between.
struct LogOfGamma {
  OFL_FN static bool Covers(double x) {
    return (x > 0) & (x < 1e100) & (std::fabs(x - 1) > 0.004) & (std::fabs(x - 2) > 0.004);
  }
  OFL_FN static double Quick(double x) {
    constexpr double kHalfLog2Pi = 0.91893853320467274178;
    const bool small = x < 8;
    const double product =
        x * (x + 1) * (x + 2) * (x + 3) * ((x + 4) * (x + 5) * (x + 6) * (x + 7));
    const double between = small ? product : 1.0, far = x + 8, z = small ? far : x;
    const double r = 1 / z, r2 = r * r;
    double series = 1.0 / 1188;
    series = series * r2 - 1.0 / 1680;
    series = series * r2 + 1.0 / 1260;
    series = series * r2 - 1.0 / 360;
    series = series * r2 + 1.0 / 12;
    return (z - 0.5) * math::RealLog(z) - z + kHalfLog2Pi + series * r - math::RealLog(between);
  }
  template <class T>
  OFL_FN T operator()(T x) const {
    return static_cast<T>(special::LogGamma(static_cast<double>(x)));
  }
};
// The first derivative of digamma: above 0, its series at x + 8 and the eight terms before.
struct TrigammaOf {
  OFL_FN static bool Covers(double x) { return (x > 0) & (x < 1e60); }
  OFL_FN static double Quick(double x) {
    double sum = 0;
    for (int i = 0; i < 8; i += 2) {
      const double a = (x + i) * (x + i), b = (x + i + 1) * (x + i + 1);
      sum += (a + b) / (a * b);
    }
    const double r = 1 / (x + 8), r2 = r * r;
    double series = 5.0 / 66;
    series = series * r2 - 1.0 / 30;
    series = series * r2 + 1.0 / 42;
    series = series * r2 - 1.0 / 30;
    series = series * r2 + 1.0 / 6;
    return sum + r + r2 / 2 + series * r * r2;
  }
  template <class T>
  OFL_FN T operator()(T x) const {
    return static_cast<T>(special::Polygamma(1, static_cast<double>(x)));
  }
};
OFL_HOST_FUNCTION(DigammaOf, special::Digamma)
OFL_HOST_FUNCTION2(ZetaOf, special::Zeta)
OFL_HOST_FUNCTION2(LowerGamma, special::GammaInc)
OFL_HOST_FUNCTION2(UpperGamma, special::GammaIncC)

struct PolygammaOf {
  explicit PolygammaOf(const Attrs& attrs) : n(static_cast<int>(attrs.Get<int64_t>("n"))) {}
  template <class T>
  OFL_FN T operator()(T x) const {
    return static_cast<T>(special::Polygamma(n, static_cast<double>(x)));
  }
  int n;
};

template <class T>
Status RunPolygamma(op::KernelContext& c) {
  if constexpr (std::is_same_v<T, float>) {
    const TrigammaOf first;
    if (c.attr<int64_t>("n") == 1) return RunRow(c, kCoveredRow1<TrigammaOf, T, double>, &first);
  }
  return RunFunctor<PolygammaOf, T>(c);
}

constexpr int64_t kMostDerivatives = 1000000;

Status InferPolygamma(op::InferContext& c) {
  const int64_t n = c.attr<int64_t>("n");
  OFL_ENSURE(n >= 0 && n <= kMostDerivatives, Code::kInvalidArgument)
      << "there is no such derivative; expected 0 <= n <= " << kMostDerivatives;
  return InferUnary(c, kFloats, Gives::kSame);
}

op::Value PolygammaAt(op::Builder& b, const op::Value& x, int64_t n) {
  return b.Call("polygamma", {x}, {{"n", n}});
}

// Which torch has not either.
void RefuseFirst(op::GradContext& c, const char* name) {
  if (!c.Needs(0)) return;
  c.b.Fail(Error(Code::kUnimplemented)
           << "[" << name << "] has no derivative by its first operand: got one that requires a "
           << "gradient; expected none; give input.detach()");
}

// Of the incomplete gamma functions by their second operand: x^(a-1) e^-x / Gamma(a).
void GradIncomplete(op::GradContext& c, const char* name, double sign) {
  RefuseFirst(c, name);
  if (!c.Needs(1)) return;
  const op::Value& a = c.inputs[0];
  const op::Value& x = c.inputs[1];
  const op::Value power = c.b.Call("xlogy", {AddScalar(c.b, a, int64_t{-1}), x});
  const op::Value exponent = Sub(c.b, Sub(c.b, power, x), Of(c.b, "lgamma", a));
  SetReduced(c, 1, MulScalar(c.b, Mul(c.b, c.grads[0], Of(c.b, "exp", exponent)), sign));
}

op::Values ComposeMultigamma(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const int64_t p = attrs.Get<int64_t>("p");
  if (p < 1 || p > 1000) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[mvlgamma] there is no such dimension: got p=" << p << "; expected 1 <= p <= 1000");
    return {nullptr};
  }
  if (in[0]->meta().dtype == DType::kBool) {
    b.Fail(Error(Code::kTypeMismatch)
           << "[mvlgamma] bool is not a number: got " << in[0]->meta().ToString()
           << "; expected a floating or integer dtype");
    return {nullptr};
  }
  const bool whole = !IsFloating(in[0]->meta().dtype);
  const op::Value x = whole ? CastTo(b, in[0], DType::kFloat32) : in[0];
  op::Value sum = Of(b, "lgamma", x);
  for (int64_t j = 1; j < p; ++j)
    sum = Add(b, sum, Of(b, "lgamma", AddScalar(b, x, -0.5 * static_cast<double>(j))));
  const double rest = static_cast<double>(p * (p - 1)) / 4 * std::log(math::kPi);
  return {p == 1 ? sum : AddScalar(b, sum, rest)};
}

}  // namespace

OFL_OP(lgamma) {
  CoveredUnary<LogOfGamma, double>(op, "The logarithm of the absolute value of the gamma function.",
                                   "; never partial", {0.5, 4})
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "digamma", c.inputs[0])); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("lgamma(input)");
  Named(op, "lgamma(input)").Py("special.gammaln(input)");
}

OFL_OP(digamma) {
  Unary<DigammaOf, kFloats>(op, "The derivative of lgamma.", "; never partial", {0.5, 4})
      .Grad([](op::GradContext& c) { SetSlope(c, PolygammaAt(c.b, c.inputs[0], 1)); })
      .Oracle("digamma(input)");
  Named(op, "digamma(input)").Namespace("special").Py("special.psi(input)");
}

OFL_OP(polygamma) {
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunPolygamma<T>); });
  DescribeUnary(op, kFloats, "The n-th derivative of digamma.", "; never partial", {0.5, 4})
      .Attr("n", op::AttrType::kInt)
      .Infer(InferPolygamma)
      .Grad([](op::GradContext& c) {
        SetSlope(c, PolygammaAt(c.b, c.inputs[0], c.attrs.Get<int64_t>("n") + 1));
      })
      .Oracle("polygamma(n, input)")
      .PyMethod("polygamma(input, n)")
      .Method("polygamma_")
      .Py("polygamma(n, input)")
      .Public()
      .Namespace("special")
      .Samples([] {
        auto samples = UnarySamples(ListOf(kFloats), 0.5, 4, {{"n", int64_t{1}}});
        for (int64_t n : {0, 3})
          samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"n", n}}, 0.5, 4, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"n", int64_t{-1}}},
                      Code::kInvalidArgument,
                      "there is no such derivative"}});
}

OFL_OP(mvlgamma) {
  op.Doc("The logarithm of the multivariate gamma function of dimension p.")
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kInt)
      .InPlace(0, 0)
      .Compose(ComposeMultigamma)
      .Oracle("mvlgamma(input, p)")
      .Samples([] { return ExactSamples(2, 5, {{"p", int64_t{3}}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"p", int64_t{0}}},
                      Code::kInvalidArgument,
                      "there is no such dimension"},
                     {{{DType::kBool, {2}}},
                      {{"p", int64_t{1}}},
                      Code::kTypeMismatch,
                      "bool is not a number"}});
  Named(op, "mvlgamma(input, p)").Py("special.multigammaln(input, p)");
}

OFL_OP(zeta) {
  Binary<ZetaOf, kFloats>(op, "Hurwitz' zeta function: the sum of (other + k)^-input.",
                          "; never partial", {1.5, 4})
      .Grad([](op::GradContext& c) {
        RefuseFirst(c, "zeta");
        if (!c.Needs(1)) return;
        const op::Value next =
            c.b.Call("zeta", {AddScalar(c.b, c.inputs[0], int64_t{1}), c.inputs[1]});
        SetReduced(c, 1, Of(c.b, "neg", Mul(c.b, c.grads[0], Mul(c.b, c.inputs[0], next))));
      })
      .Traits({op::Trait::kElementwise, op::Trait::kInexactGrad})
      .Oracle("zeta(input, other)")
      .Py("special.zeta(input, other)");
}

OFL_OP(gammainc) {
  Binary<LowerGamma, kFloats>(op,
                              "The regularised lower incomplete gamma function of input at other.",
                              "; never partial", {0.5, 4})
      .Grad([](op::GradContext& c) { GradIncomplete(c, "gammainc", 1); })
      .Traits({op::Trait::kElementwise, op::Trait::kInexactGrad})
      .Oracle("gammainc(input, other)");
  Named(op, "igamma(input, other)").Py("special.gammainc(input, other)");
}

OFL_OP(gammaincc) {
  Binary<UpperGamma, kFloats>(op,
                              "The regularised upper incomplete gamma function of input at other.",
                              "; never partial", {0.5, 4})
      .Grad([](op::GradContext& c) { GradIncomplete(c, "gammaincc", -1); })
      .Traits({op::Trait::kElementwise, op::Trait::kInexactGrad})
      .Oracle("1 - gammainc(input, other)");
  Named(op, "igammac(input, other)").Py("special.gammaincc(input, other)");
}

}  // namespace ofl::ops
