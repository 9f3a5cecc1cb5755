// gelu and its gradient.
#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

constexpr double kInvSqrt2 = 0.70710678118654752440;
constexpr double kInvSqrt2Pi = 0.39894228040143267794;
constexpr double kSqrt2OverPi = 0.79788456080286535588;
constexpr double kCubic = 0.044715;  // of the tanh form

struct Gelu {
  template <class T>
  OFL_FN T operator()(T x) const {
    return T(0.5) * x * (T(1) + math::Erf(x * T(kInvSqrt2)));
  }
};
struct GeluTanh {
  template <class T>
  OFL_FN T operator()(T x) const {
    const T u = T(kSqrt2OverPi) * x * (T(1) + T(kCubic) * x * x);
    return T(0.5) * x * (T(1) + math::Tanh(u));
  }
};
// Each slope has a term that is x times what vanishes far from 0, where x stands for 0. That is
// told by what vanishes, late: x bounded from the start would become branches, which vectors go
// through one after another.
struct GeluSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    // Of float, below it stands for 0: the exponential is bounded.
    constexpr T kVanished = sizeof(T) == sizeof(float) ? T(2e-38) : T(0);
    const T e = math::ExpNegative(T(-0.5) * x * x);
    const T cdf = T(0.5) + T(0.5) * math::ErfWithExp(x * T(kInvSqrt2), e);
    const T near = e > kVanished ? x : T(0);
    return dy * (cdf + near * T(kInvSqrt2Pi) * e);
  }
};
struct GeluTanhSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T t = math::Tanh(T(kSqrt2OverPi) * x * (T(1) + T(kCubic) * (x * x)));
    const T rest = T(1) - t * t;
    const T near = rest > T(0) ? x : T(0);
    const T du = T(kSqrt2OverPi) * (T(1) + T(3 * kCubic) * (near * near));
    const T share = T(0.5) + T(0.5) * t;
    return dy * (share + T(0.5) * near * rest * du);
  }
};

bool IsTanh(const Attrs& attrs) { return attrs.Get<std::string>("approximate") == "tanh"; }

Status CheckForm(const op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  const std::string& form = c.attr<std::string>("approximate");
  OFL_ENSURE(form == "none" || form == "tanh", Code::kInvalidArgument)
      << "approximate is unknown; expected 'none' or 'tanh'";
  return Status::Ok();
}

Status InferGelu(op::InferContext& c) {
  OFL_TRY(CheckForm(c));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferGeluGrad(op::InferContext& c) {
  OFL_TRY(CheckForm(c));
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "the operands differ; expected one shape and dtype";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

template <class T>
Status RunGelu(op::KernelContext& c) {
  return IsTanh(*c.attrs) ? RunFunctor<GeluTanh, T>(c) : RunFunctor<Gelu, T>(c);
}

template <class T>
Status RunGeluGrad(op::KernelContext& c) {
  return IsTanh(*c.attrs) ? RunFunctor<GeluTanhSlope, T, T>(c) : RunFunctor<GeluSlope, T, T>(c);
}

// The second derivative, as a composition: it is rare, so no kernel of its own.
op::Value SecondDerivative(op::Builder& b, const op::Value& x, bool tanh_form) {
  const op::Value xx = b.Call("square", {x});
  if (!tanh_form) {  // pdf(x) (2 - x^2)
    const op::Value pdf = MulScalar(b, b.Call("exp", {MulScalar(b, xx, -0.5)}), kInvSqrt2Pi);
    return Mul(b, pdf, AddScalar(b, MulScalar(b, xx, -1.0), 2.0));
  }
  // With t = tanh u and s = 1 - t^2: s u' + x/2 (s u'' - 2 t s u'^2)
  const op::Value u =
      MulScalar(b, Mul(b, x, AddScalar(b, MulScalar(b, xx, kCubic), 1.0)), kSqrt2OverPi);
  const op::Value du = MulScalar(b, AddScalar(b, MulScalar(b, xx, 3 * kCubic), 1.0), kSqrt2OverPi);
  const op::Value ddu = MulScalar(b, x, 6 * kCubic * kSqrt2OverPi);
  const op::Value t = b.Call("tanh", {u});
  const op::Value s = AddScalar(b, MulScalar(b, b.Call("square", {t}), -1.0), 1.0);
  const op::Value bend = Mul(b, MulScalar(b, t, 2.0), b.Call("square", {du}));
  const op::Value inner = b.Call("sub", {ddu, bend});
  const op::Value half = Mul(b, MulScalar(b, x, 0.5), inner);
  return Mul(b, s, b.Call("add", {du, half}));
}

std::vector<op::Sample> GeluSamples(int operands) {
  std::vector<op::Sample> samples;
  for (const char* form : {"none", "tanh"}) {
    for (const Shape& s : {Shape{5, 3}, Shape{}, Shape{0, 3}, Shape{37}}) {
      const std::vector<TensorMeta> inputs(operands, {DType::kFloat32, s});
      samples.push_back({inputs, {{"approximate", std::string(form)}}, -2, 2, form});
    }
    for (DType d : {DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
      const std::vector<TensorMeta> inputs(operands, {d, {7}});
      samples.push_back({inputs, {{"approximate", std::string(form)}}, -2, 2, form});
    }
  }
  return samples;
}

}  // namespace

OFL_OP(gelu) {
  op.Doc(
        "x times the normal distribution function of x; with approximate='tanh' by its usual\n"
        "tanh approximation.")
      .In("input")
      .Out("output")
      .Attr("approximate", op::AttrType::kString, std::string("none"))
      .Infer(InferGelu)
      .Sbp("(...)->(...)")
      .Grad([](op::GradContext& c) {
        c.Set(0, c.b.Call("gelu_grad", {c.grads[0], c.inputs[0]}, c.attrs));
      })
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .Promote(op::Promotion::kFloat)
      .Strided()
      .Oracle(
          "0.5 * input * (1 + (np.tanh(0.7978845608028654 * (input + 0.044715 * input ** 3)) "
          "if approximate == 'tanh' else erf(input / 2 ** 0.5)))")
      .Py("gelu(input, *, approximate='none')")
      .Public()
      .Functional()
      .Samples([] { return GeluSamples(1); })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"approximate", std::string("erf")}},
                      Code::kInvalidArgument,
                      "got input: float32[2], approximate='erf'; expected 'none' or 'tanh'"},
                     {{{DType::kInt64, {2}}},
                      {{"approximate", std::string("none")}},
                      Code::kTypeMismatch,
                      "not a floating dtype"}});
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunGelu<T>); });
}

OFL_OP(gelu_grad) {
  op.Doc("grad times the derivative of gelu at input.")
      .In("grad")
      .In("input")
      .Out("input_grad")
      .Attr("approximate", op::AttrType::kString, std::string("none"))
      .Infer(InferGeluGrad)
      .Sbp("(...),(...)->(...); linear 0")
      .Grad([](op::GradContext& c) {
        if (c.Needs(0)) c.Set(0, c.b.Call("gelu_grad", {c.grads[0], c.inputs[1]}, c.attrs));
        if (c.Needs(1)) {
          const op::Value both = Mul(c.b, c.grads[0], c.inputs[0]);
          c.Set(1, Mul(c.b, both, SecondDerivative(c.b, c.inputs[1], IsTanh(c.attrs))));
        }
      })
      .Traits({op::Trait::kElementwise})
      .Promote(op::Promotion::kCommon)
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Strided()
      .Oracle("gelu_grad(grad, input, approximate)")
      .Py("gelu_grad(grad, input, *, approximate='none')")
      .Samples([] { return GeluSamples(2); })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {{"approximate", std::string("none")}},
                      Code::kInvalidArgument,
                      "expected one shape and dtype"}});
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunGeluGrad<T>); });
}

}  // namespace ofl::ops
