// Activations that exponentials make smooth, and leaky_relu: each with its slope as an operator, so
// that backward is one pass, and what differs from 0 of the second derivative.
#include "oneflow_like/ops/elementwise/activation.h"
#include "oneflow_like/ops/elementwise/vanishing.h"

namespace ofl::ops {
namespace {

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
    return math::Mul(x, math::Sigmoid(x));
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

constexpr char kLeakyReluGrad[] = "leaky_relu_grad";
constexpr char kEluGrad[] = "elu_grad";
constexpr char kSoftplusGrad[] = "softplus_grad";
constexpr char kSiluGrad[] = "silu_grad";
constexpr char kMishGrad[] = "mish_grad";

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

namespace {

void GradSilu(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  if (!IsComplex(x->meta().dtype)) return GradBySlope<kSiluGrad>(c);
  const op::Value s = Of(c.b, "sigmoid", x);
  const op::Value bend = AddScalar(c.b, Mul(c.b, x, AddScalar(c.b, Of(c.b, "neg", s), 1.0)), 1.0);
  c.Set(0, Mul(c.b, c.grads[0], Conj(c.b, Mul(c.b, s, bend))));
}

}  // namespace

OFL_OP(silu) {
  Activation<Silu, kFloats | kComplexes>(op, "input * sigmoid(input).", "; never partial")
      .Grad(GradSilu)
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

}  // namespace ofl::ops
