// Activations of one element that are no function of mathematics: each with its slope as an
// operator, so that backward is one pass, and what differs from 0 of the second derivative.
#include <limits>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/vanishing.h"

namespace ofl::ops {
namespace {

template <class T>
T Given(const Attrs& attrs, const char* name) {
  return static_cast<T>(attrs.Get<double>(name));
}

// Functors hold double and compute in T: the constants are rounded once, outside of the loop.
#define OFL_PARAMETERS(NAME, ...)                                                             \
  explicit NAME(const Attrs& attrs) { Read(attrs, {__VA_ARGS__}); }                           \
  void Read(const Attrs& attrs, std::initializer_list<std::pair<double*, const char*>> all) { \
    for (const auto& [into, name] : all) *into = attrs.Get<double>(name);                     \
  }

struct LeakyRelu {
  OFL_PARAMETERS(LeakyRelu, {&slope, "negative_slope"})
  template <class T>
  OFL_FN T operator()(T x) const {
    return x > T(0) ? x : x * static_cast<T>(slope);
  }
  double slope;
};
struct LeakyReluSlope {
  OFL_PARAMETERS(LeakyReluSlope, {&slope, "negative_slope"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return x > T(0) ? dy : dy * static_cast<T>(slope);
  }
  double slope;
};

// Every exponential unit: scale * (x, or alpha (exp(input_scale x) - 1) below 0).
struct Elu {
  static constexpr bool kInPieces = true;
  OFL_PARAMETERS(Elu, {&alpha, "alpha"}, {&scale, "scale"}, {&input_scale, "input_scale"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T low = static_cast<T>(alpha * scale), high = static_cast<T>(scale);
    const T grown = math::Expm1((x > T(0) ? T(0) : x) * static_cast<T>(input_scale));
    return x <= T(0) ? grown * low : x * high;
  }
  double alpha, scale, input_scale;
};
struct EluSlope {
  OFL_PARAMETERS(EluSlope, {&alpha, "alpha"}, {&scale, "scale"}, {&input_scale, "input_scale"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T low = static_cast<T>(alpha * scale * input_scale), high = static_cast<T>(scale);
    const T grown = math::Exp((x > T(0) ? T(0) : x) * static_cast<T>(input_scale));
    return x <= T(0) ? dy * (grown * low) : dy * high;
  }
  double alpha, scale, input_scale;
};

struct Softplus {
  static constexpr bool kInPieces = true;
  OFL_PARAMETERS(Softplus, {&beta, "beta"}, {&threshold, "threshold"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T z = x * static_cast<T>(beta);
    const T size = z < T(0) ? -z : z;
    const T soft = (z > T(0) ? z : T(0)) + math::Log1p(ExpOrNothing(-size));
    return z > static_cast<T>(threshold) || z != z ? x : soft / static_cast<T>(beta);
  }
  double beta, threshold;
};
struct SoftplusSlope {
  OFL_PARAMETERS(SoftplusSlope, {&beta, "beta"}, {&threshold, "threshold"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T z = x * static_cast<T>(beta);
    return z > static_cast<T>(threshold) ? dy : dy * math::Sigmoid(z);
  }
  double beta, threshold;
};

struct Silu {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x * math::Sigmoid(x);
  }
};
struct SiluSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T s = math::Sigmoid(x);
    return dy * s * (T(1) + x * (T(1) - s));
  }
};

// With e = exp(x): tanh(log(1 + e)) is e (e + 2) / (e (e + 2) + 2).
struct Mish {
  template <class T>
  OFL_FN static T TanhOfSoftplus(T x) {
    const T e = math::Exp(x > T(20) ? T(20) : x);
    const T n = e * (e + T(2));
    return n / (n + T(2));
  }
  template <class T>
  OFL_FN T operator()(T x) const {
    return x * TanhOfSoftplus(x);
  }
};
struct MishSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T t = Mish::TanhOfSoftplus(x);
    return dy * (t + x * math::Sigmoid(x) * (T(1) - t * t));
  }
};

struct HardSigmoid {
  template <class T>
  OFL_FN T operator()(T x) const {
    const T z = x + T(3);
    return (z < T(0) ? T(0) : z > T(6) ? T(6) : z) / T(6);
  }
};
struct HardSwish {
  template <class T>
  OFL_FN T operator()(T x) const {
    const T z = x + T(3);
    return x * (z < T(0) ? T(0) : z > T(6) ? T(6) : z) / T(6);
  }
};
struct HardSwishSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return x <= T(-3) ? T(0) : x < T(3) ? dy * (x / T(3) + T(0.5)) : dy;
  }
};

struct Threshold {
  OFL_PARAMETERS(Threshold, {&threshold, "threshold"}, {&value, "value"})
  template <class T>
  OFL_FN T operator()(T x) const {
    return x <= static_cast<T>(threshold) ? static_cast<T>(value) : x;
  }
  double threshold, value;
};
struct HardShrink {
  OFL_PARAMETERS(HardShrink, {&lambda, "lambd"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(lambda);
    return (x >= -l) & (x <= l) ? T(0) : x;
  }
  double lambda;
};
struct SoftShrink {
  OFL_PARAMETERS(SoftShrink, {&lambda, "lambd"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(lambda);
    return x > l ? x - l : x < -l ? x + l : x != x ? x : T(0);
  }
  double lambda;
};
// Like clamp, but for the gradient at the bounds.
struct HardTanh {
  OFL_PARAMETERS(HardTanh, {&low, "min_val"}, {&high, "max_val"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(low), h = static_cast<T>(high);
    return x < l ? l : x > h ? h : x;
  }
  double low, high;
};
// grad, scaled, strictly between two bounds, and 0 elsewhere; `outside` the reverse.
struct Window {
  OFL_PARAMETERS(Window, {&low, "low"}, {&high, "high"}, {&scale, "scale"}, {&at_nan, "at_nan"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const bool out = (x <= static_cast<T>(low)) | (x >= static_cast<T>(high));
    return out ? T(0) : dy * static_cast<T>(x == x ? scale : at_nan);
  }
  double low, high, scale, at_nan;
};
struct OutsideWindow {
  OFL_PARAMETERS(OutsideWindow, {&low, "low"}, {&high, "high"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return (x >= static_cast<T>(low)) & (x <= static_cast<T>(high)) ? T(0) : dy;
  }
  double low, high;
};
#undef OFL_PARAMETERS

// --- definitions
// ----------------------------------------------------------------------------------

op::OpDefBuilder& Parameters(op::OpDefBuilder& op, const std::vector<const char*>& names) {
  for (const char* name : names) op.Attr(name, op::AttrType::kFloat);
  return op;
}

// y = F(x) of floats with these numbers as attributes.
template <class F, DTypeSet kSet = kFloats>
op::OpDefBuilder& Activation(op::OpDefBuilder& op, const char* doc, const std::string& rule,
                             const Attrs& attrs = {}, Range range = {-4, 4}) {
  return Unary<F, kSet>(op, doc, rule, range)
      .Promote(op::Promotion::kNone)
      .Samples([attrs, range] { return UnarySamples(ListOf(kSet), range.low, range.high, attrs); })
      .ErrorSamples({{{{DType::kBool, {2}}}, attrs, Code::kTypeMismatch, "bool is not a"}});
}

// dx = F(dy, x), linear in dy.
template <class F>
op::OpDefBuilder& SlopeOf(op::OpDefBuilder& op, const char* doc, const Attrs& attrs = {}) {
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<F, T, T>); });
  return op.Doc(doc)
      .In("grad")
      .In("input")
      .Out("input_grad")
      .Infer(InferGradOf<kFloats>)
      .Sbp("(...),(...)->(...); linear 0; never partial")
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Strided()
      .Promote(op::Promotion::kCommon)
      .Samples([attrs] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats)) {
          for (const Shape& s : {Shape{5, 3}, Shape{}, Shape{0, 2}}) {
            samples.push_back({{{d, s}, {d, s}}, attrs, -4, 4, ""});
            if (d != DType::kFloat32) break;
          }
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      attrs,
                      Code::kInvalidArgument,
                      "expected one shape and dtype"}});
}

// The gradient of an activation: its slope, an operator of this name with the same attributes.
template <const char* kName>
void GradBySlope(op::GradContext& c) {
  c.Set(0, c.b.Call(kName, {c.grads[0], c.inputs[0]}, c.attrs));
}

// Of a slope that is linear in pieces.
template <const char* kName>
void GradOfPieces(op::GradContext& c) {
  if (c.Needs(0)) c.Set(0, c.b.Call(kName, {c.grads[0], c.inputs[1]}, c.attrs));
}

using BendFn = op::Value (*)(op::GradContext& c, const op::Value& x);
// Of another: `bend` is the second derivative.
template <const char* kName, BendFn bend>
void GradOfCurve(op::GradContext& c) {
  GradOfPieces<kName>(c);
  if (!c.Needs(1)) return;
  c.Set(1, Mul(c.b, Mul(c.b, c.grads[0], c.inputs[0]), bend(c, c.inputs[1])));
}

op::Value BendOfElu(op::GradContext& c, const op::Value& x) {
  const double rate = c.attrs.Get<double>("input_scale");
  const double factor = c.attrs.Get<double>("alpha") * c.attrs.Get<double>("scale") * rate * rate;
  const op::Value low = c.b.Call("clamp", {x}, {{"max", Scalar(0.0)}});
  const op::Value grown = MulScalar(c.b, Of(c.b, "exp", MulScalar(c.b, low, rate)), factor);
  return Where(c.b, Against(c.b, "gt", x, 0), ZerosLike(c.b, x), grown);
}

op::Value BendOfSoftplus(op::GradContext& c, const op::Value& x) {
  const double beta = c.attrs.Get<double>("beta");
  const op::Value z = MulScalar(c.b, x, beta);
  const op::Value s = Of(c.b, "sigmoid", z);
  const op::Value bend = MulScalar(c.b, Mul(c.b, s, From(c.b, int64_t{1}, s)), beta);
  return Where(c.b, Against(c.b, "gt", z, c.attrs.Get<double>("threshold")), ZerosLike(c.b, x),
               bend);
}

// s (1 - s) (2 + x (1 - 2 s)).
op::Value BendOfSilu(op::GradContext& c, const op::Value& x) {
  const op::Value s = Of(c.b, "sigmoid", x);
  const op::Value inner =
      AddScalar(c.b, Mul(c.b, x, AddScalar(c.b, MulScalar(c.b, s, -2.0), int64_t{1})), int64_t{2});
  return Mul(c.b, Mul(c.b, s, From(c.b, int64_t{1}, s)), inner);
}

// With t = tanh(softplus(x)), s = sigmoid(x), t' = (1 - t^2) s: 2 t' + x t' (1 - s - 2 t s).
op::Value BendOfMish(op::GradContext& c, const op::Value& x) {
  const op::Value s = Of(c.b, "sigmoid", x);
  const op::Value t =
      Of(c.b, "tanh", c.b.Call("softplus", {x}, {{"beta", 1.0}, {"threshold", 20.0}}));
  const op::Value rise = Mul(c.b, From(c.b, int64_t{1}, Of(c.b, "square", t)), s);
  const op::Value turn = Sub(c.b, From(c.b, int64_t{1}, s), MulScalar(c.b, Mul(c.b, t, s), 2.0));
  return Mul(c.b, rise, AddScalar(c.b, Mul(c.b, x, turn), 2.0));
}

op::Value BendOfHardSwish(op::GradContext& c, const op::Value& x) {
  const op::Value third = c.b.Call("full_like", {x}, {{"value", Scalar(1.0 / 3)}});
  return c.b.Call("window_grad", {third, x}, {{"low", -3.0}, {"high", 3.0}, {"scale", 1.0}});
}

constexpr char kLeakyReluGrad[] = "leaky_relu_grad";
constexpr char kEluGrad[] = "elu_grad";
constexpr char kSoftplusGrad[] = "softplus_grad";
constexpr char kSiluGrad[] = "silu_grad";
constexpr char kMishGrad[] = "mish_grad";
constexpr char kHardSwishGrad[] = "hardswish_grad";
constexpr char kWindowGrad[] = "window_grad";
constexpr char kOutsideGrad[] = "outside_grad";
constexpr double kInf = std::numeric_limits<double>::infinity();

// grad * scale between two bounds.
// At NaN the slope is `at_nan`.
void SetWindow(op::GradContext& c, double low, double high, double scale, double at_nan) {
  c.Set(0, c.b.Call(kWindowGrad, {c.grads[0], c.inputs[0]},
                    {{"low", low}, {"high", high}, {"scale", scale}, {"at_nan", at_nan}}));
}

void SetOutside(op::GradContext& c, double low, double high) {
  c.Set(0, c.b.Call(kOutsideGrad, {c.grads[0], c.inputs[0]}, {{"low", low}, {"high", high}}));
}

void GradShrink(op::GradContext& c) {
  const double lambda = c.attrs.Get<double>("lambd");
  SetOutside(c, -lambda, lambda);
}

}  // namespace

OFL_OP(leaky_relu) {
  Activation<LeakyRelu>(op, "input where it is positive, else negative_slope * input.",
                        "; never partial", {{"negative_slope", 0.1}})
      .Attr("negative_slope", op::AttrType::kFloat, 0.01)
      .Grad(GradBySlope<kLeakyReluGrad>)
      .Oracle("np.where(input > 0, input, input * negative_slope)")
      .Py("nn.functional.leaky_relu(input, negative_slope=0.01, inplace=False)")
      .Py("nn.functional.leaky_relu_(input, negative_slope=0.01)");
}

OFL_OP(leaky_relu_grad) {
  Parameters(op, {"negative_slope"});
  SlopeOf<LeakyReluSlope>(op, "grad times the slope of leaky_relu at input.",
                          {{"negative_slope", 0.1}})
      .Grad(GradOfPieces<kLeakyReluGrad>)
      .Oracle("np.where(input > 0, grad, grad * negative_slope)")
      .Py("leaky_relu_grad(grad, input, negative_slope)");
}

OFL_OP(elu) {
  Activation<Elu>(op,
                  "scale times input, and where it is negative scale * alpha * "
                  "(exp(input_scale * input) - 1).",
                  "; never partial", {{"alpha", 0.5}, {"scale", 1.5}, {"input_scale", 2.0}})
      .Attr("alpha", op::AttrType::kFloat, 1.0)
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Attr("input_scale", op::AttrType::kFloat, 1.0)
      .Grad(GradBySlope<kEluGrad>)
      .Oracle("scale * np.where(input > 0, input, alpha * np.expm1(input_scale * input))")
      .Py("nn.functional.elu(input, alpha=1.0, inplace=False)")
      .Py("nn.functional.elu_(input, alpha=1.0)");
  const Attrs selu = {{"alpha", 1.6732632423543772848170429916717},
                      {"scale", 1.0507009873554804934193349852946}};
  op.Py("nn.functional.selu(input, inplace=False)", selu)
      .Py("nn.functional.selu_(input)", selu)
      .Py("selu(input)", selu)
      .Py("selu_(input)", selu)
      .Public();
}

OFL_OP(elu_grad) {
  Parameters(op, {"alpha", "scale", "input_scale"});
  SlopeOf<EluSlope>(op, "grad times the slope of elu at input.",
                    {{"alpha", 0.5}, {"scale", 1.5}, {"input_scale", 2.0}})
      .Grad(GradOfCurve<kEluGrad, BendOfElu>)
      .Oracle(
          "grad * scale * np.where(input > 0, 1, "
          "alpha * input_scale * np.exp(input_scale * input))")
      .Py("elu_grad(grad, input, alpha, scale, input_scale)");
}

OFL_OP(celu) {
  op.Doc("input where it is positive, else alpha * (exp(input / alpha) - 1).")
      .In("input")
      .Out("output")
      .Attr("alpha", op::AttrType::kFloat, 1.0)
      .InPlace(0, 0)
      .Traits({op::Trait::kElementwise})
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        const double alpha = attrs.Get<double>("alpha");
        if (alpha == 0) {
          b.Fail(Error(Code::kInvalidArgument) << "[celu] got alpha=0; expected another number");
          return op::Values{nullptr};
        }
        return op::Values{
            b.Call("elu", {in[0]}, {{"alpha", alpha}, {"scale", 1.0}, {"input_scale", 1 / alpha}})};
      })
      .Oracle("np.where(input > 0, input, alpha * np.expm1(input / alpha))")
      .Py("nn.functional.celu(input, alpha=1.0, inplace=False)")
      .Py("nn.functional.celu_(input, alpha=1.0)")
      .Py("celu(input, alpha=1.0)")
      .Py("celu_(input, alpha=1.0)")
      .Public()
      .Samples([] { return UnarySamples(ListOf(kFloats), -4, 4, {{"alpha", 1.5}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"alpha", 0.0}},
                      Code::kInvalidArgument,
                      "expected another number"}});
}

OFL_OP(softplus) {
  Activation<Softplus>(op,
                       "log(1 + exp(beta * input)) / beta; input itself where beta * input is "
                       "above threshold.",
                       "; never partial", {{"beta", 2.0}, {"threshold", 5.0}})
      .Attr("beta", op::AttrType::kFloat, 1.0)
      .Attr("threshold", op::AttrType::kFloat, 20.0)
      .Grad(GradBySlope<kSoftplusGrad>)
      .Oracle(
          "np.where(beta * input > threshold, input, "
          "np.log1p(np.exp(np.minimum(beta * input, threshold))) / beta)")
      .Py("nn.functional.softplus(input, beta=1.0, threshold=20.0)");
}

OFL_OP(softplus_grad) {
  Parameters(op, {"beta", "threshold"});
  SlopeOf<SoftplusSlope>(op, "grad times the slope of softplus at input.",
                         {{"beta", 2.0}, {"threshold", 5.0}})
      .Grad(GradOfCurve<kSoftplusGrad, BendOfSoftplus>)
      .Oracle("grad * np.where(beta * input > threshold, 1, 1 / (1 + np.exp(-beta * input)))")
      .Py("softplus_grad(grad, input, beta, threshold)");
}

OFL_OP(silu) {
  Activation<Silu>(op, "input * sigmoid(input).", "; never partial")
      .Grad(GradBySlope<kSiluGrad>)
      .Oracle("input / (1 + np.exp(-input))")
      .Py("nn.functional.silu(input, inplace=False)");
}

OFL_OP(silu_grad) {
  SlopeOf<SiluSlope>(op, "grad times the slope of silu at input.")
      .Grad(GradOfCurve<kSiluGrad, BendOfSilu>)
      .Oracle("silu_grad(grad, input)")
      .Py("silu_grad(grad, input)");
}

OFL_OP(mish) {
  Activation<Mish>(op, "input * tanh(softplus(input)).", "; never partial")
      .Grad(GradBySlope<kMishGrad>)
      .Oracle("input * np.tanh(np.log1p(np.exp(input)))")
      .Py("nn.functional.mish(input, inplace=False)");
}

OFL_OP(mish_grad) {
  SlopeOf<MishSlope>(op, "grad times the slope of mish at input.")
      .Grad(GradOfCurve<kMishGrad, BendOfMish>)
      .Oracle("mish_grad(grad, input)")
      .Py("mish_grad(grad, input)");
}

OFL_OP(hardsigmoid) {
  Activation<HardSigmoid>(op, "(input + 3) / 6, limited to [0, 1].", "; monotone 0")
      .Grad([](op::GradContext& c) { SetWindow(c, -3, 3, 1.0 / 6, 0); })
      .Oracle("np.clip(input + 3, 0, 6) / 6")
      .Py("nn.functional.hardsigmoid(input, inplace=False)");
}

OFL_OP(hardswish) {
  Activation<HardSwish>(op, "input * hardsigmoid(input).", "; never partial")
      .Grad(GradBySlope<kHardSwishGrad>)
      .Oracle("input * np.clip(input + 3, 0, 6) / 6")
      .Py("nn.functional.hardswish(input, inplace=False)");
}

OFL_OP(hardswish_grad) {
  SlopeOf<HardSwishSlope>(op, "grad times the slope of hardswish at input.")
      .Grad(GradOfCurve<kHardSwishGrad, BendOfHardSwish>)
      .Oracle("grad * np.where(input <= -3, 0, np.where(input < 3, input / 3 + 0.5, 1))")
      .Py("hardswish_grad(grad, input)");
}

OFL_OP(threshold) {
  Activation<Threshold, kReals>(op, "input where it is above threshold, else value.",
                                "; never partial", {{"threshold", 1.0}, {"value", 2.0}})
      .Attr("threshold", op::AttrType::kFloat)
      .Attr("value", op::AttrType::kFloat)
      .Grad([](op::GradContext& c) { SetOutside(c, -kInf, c.attrs.Get<double>("threshold")); })
      .Oracle("np.where(input <= threshold, input.dtype.type(value), input)")
      .Py("nn.functional.threshold(input, threshold, value, inplace=False)")
      .Py("threshold(input, threshold, value)")
      .Py("threshold_(input, threshold, value)")
      .Public()
      .Functional();
}

OFL_OP(hardshrink) {
  Activation<HardShrink>(op, "0 where input is in [-lambd, lambd], else input.", "; never partial",
                         {{"lambd", 1.5}})
      .Attr("lambd", op::AttrType::kFloat, 0.5)
      .Grad(GradShrink)
      .Oracle("np.where(np.abs(input) <= lambd, 0, input)")
      .PyBoth("hardshrink(input, lambd=0.5)")
      .Functional();
}

OFL_OP(softshrink) {
  Activation<SoftShrink>(op, "input, moved towards 0 by lambd, and 0 within [-lambd, lambd].",
                         "; monotone 0", {{"lambd", 1.5}})
      .Attr("lambd", op::AttrType::kFloat, 0.5)
      .Infer([](op::InferContext& c) -> Status {
        OFL_ENSURE(c.attr<double>("lambd") >= 0, Code::kInvalidArgument)
            << "lambd is negative; expected at least 0";
        return InferUnary(c, kFloats, Gives::kSame);
      })
      .Grad(GradShrink)
      .Oracle("np.sign(input) * np.maximum(np.abs(input) - lambd, 0)")
      .Py("nn.functional.softshrink(input, lambd=0.5)")
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"lambd", -1.0}},
                      Code::kInvalidArgument,
                      "expected at least 0"}});
}

OFL_OP(hardtanh) {
  Activation<HardTanh, kReals>(op, "input, limited to [min_val, max_val].", "; monotone 0",
                               {{"min_val", 0.0}, {"max_val", 2.0}})
      .Attr("min_val", op::AttrType::kFloat, -1.0)
      .Attr("max_val", op::AttrType::kFloat, 1.0)
      .Infer([](op::InferContext& c) -> Status {
        OFL_ENSURE(c.attr<double>("min_val") <= c.attr<double>("max_val"), Code::kInvalidArgument)
            << "min_val is larger than max_val; expected the smaller one first";
        return InferUnary(c, kReals, Gives::kSame);
      })
      .Grad([](op::GradContext& c) {
        SetWindow(c, c.attrs.Get<double>("min_val"), c.attrs.Get<double>("max_val"), 1, 1);
      })
      .Oracle("np.clip(input, input.dtype.type(min_val), input.dtype.type(max_val))")
      .Py("nn.functional.hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False)")
      .Py("nn.functional.hardtanh_(input, min_val=-1.0, max_val=1.0)")
      .Py("nn.functional.relu6(input, inplace=False)", {{"min_val", 0.0}, {"max_val", 6.0}})
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"min_val", 1.0}, {"max_val", 0.0}},
                      Code::kInvalidArgument,
                      "expected the smaller one first"}});
}

OFL_OP(window_grad) {
  Parameters(op, {"low", "high", "scale"});
  op.Attr("at_nan", op::AttrType::kFloat, 1.0);
  SlopeOf<Window>(op,
                  "grad * scale where input is strictly between low and high, else 0; at NaN\n"
                  "grad * at_nan.",
                  {{"low", -1.5}, {"high", 2.0}, {"scale", 0.5}})
      .Grad(GradOfPieces<kWindowGrad>)
      .Oracle("np.where((input <= low) | (input >= high), 0, grad * scale)")
      .Py("window_grad(grad, input, low, high, scale, at_nan=1.0)");
}

OFL_OP(outside_grad) {
  Parameters(op, {"low", "high"});
  SlopeOf<OutsideWindow>(op, "0 where input is in [low, high], else grad.",
                         {{"low", -1.5}, {"high", 2.0}})
      .Grad(GradOfPieces<kOutsideGrad>)
      .Oracle("np.where((input >= low) & (input <= high), 0, grad)")
      .Py("outside_grad(grad, input, low, high)");
}

}  // namespace ofl::ops
