// Functions of one element.
#include <cmath>

#include "device/cpu/simd_math.h"
#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

namespace simd = device::simd;

struct NegFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return static_cast<T>(-x);
  }
};
struct ExpFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return simd::Exp(x);
  }
};
struct LogFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return simd::Log(x);
  }
};
struct SqrtFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return std::sqrt(x);
  }
};
struct RsqrtFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return T(1) / std::sqrt(x);
  }
};
struct SquareFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return static_cast<T>(x * x);
  }
};
struct AbsFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
    return x < 0 ? static_cast<T>(-x) : x;
  }
};
struct SignFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x > T(0) ? T(1) : (x < T(0) ? T(-1) : (x == T(0) ? T(0) : x));
  }
};
struct TanhFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return simd::Tanh(x);
  }
};
struct SigmoidFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return simd::Sigmoid(x);
  }
};
// NaN stays, as in torch.
struct ReluFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x < T(0) ? T(0) : x;
  }
};
struct NotFn {
  OFL_INLINE bool operator()(bool x) const { return !x; }
};
struct SameFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x;
  }
};
// Gradients that are one pass of their own: dy first, then what the forward kept.
struct TanhGradFn {
  template <class T>
  OFL_INLINE T operator()(T dy, T y) const {
    return dy * (T(1) - y * y);
  }
};
struct SigmoidGradFn {
  template <class T>
  OFL_INLINE T operator()(T dy, T y) const {
    return dy * y * (T(1) - y);
  }
};
// NaN of the output lets the gradient through, as in torch.
struct ReluGradFn {
  template <class T>
  OFL_INLINE T operator()(T dy, T y) const {
    return y <= T(0) ? T(0) : dy;
  }
};

template <Numbers kNumbers>
Status InferSame(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, kNumbers));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferGrad(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, Numbers::kFloat));
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "the operands differ; expected one shape and dtype";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

op::OpDefBuilder& Unary(op::OpDefBuilder& op, const char* doc, const std::string& rule) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Sbp("(...)->(...)" + rule)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0);
}

template <class F>
void FloatUnary(op::OpDefBuilder& op, const char* doc, const std::string& rule, double low = -2,
                double high = 2) {
  Unary(op, doc, rule)
      .Infer(InferSame<Numbers::kFloat>)
      .Cpu(DType::kFloat32, RunUnary<F, float, float>)
      .Cpu(DType::kFloat64, RunUnary<F, double, double>)
      .Samples([low, high] { return UnarySamples({DType::kFloat32, DType::kFloat64}, low, high); })
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "int64 is not a floating dtype: got input: int64[2]; expected float32"}});
}

template <class F>
void NumberUnary(op::OpDefBuilder& op, const char* doc, const std::string& rule) {
  Unary(op, doc, rule)
      .Infer(InferSame<Numbers::kNumber>)
      .Cpu(DType::kFloat32, RunUnary<F, float, float>)
      .Cpu(DType::kFloat64, RunUnary<F, double, double>)
      .Cpu(DType::kInt64, RunUnary<F, int64_t, int64_t>)
      .Cpu(DType::kInt32, RunUnary<F, int32_t, int32_t>)
      .Samples([] { return UnarySamples({DType::kFloat32, DType::kInt64}); })
      .ErrorSamples({{{{DType::kBool, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "bool is not a number: got input: bool[2]"}});
}

template <class F>
void GradKernel(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("grad")
      .In("output")
      .Out("input_grad")
      .Infer(InferGrad)
      .Sbp("(...),(...)->(...); linear 0")
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Unclaimed("P(max),B->P(max)", "a gradient is a sum and never an extreme")
      .Unclaimed("P(min),B->P(min)", "a gradient is a sum and never an extreme")
      .Cpu(DType::kFloat32, RunBinary<F, float, float>)
      .Cpu(DType::kFloat64, RunBinary<F, double, double>)
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Shape& s : {Shape{5, 3}, Shape{}, Shape{0, 2}})
          samples.push_back({{{DType::kFloat32, s}, {DType::kFloat32, s}}, {}, -1, 1, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one shape and dtype"}});
}

op::Value CallOutputGrad(op::GradContext& c, const char* name) {
  return c.b.Call(name, {c.grads[0], c.outputs[0]});
}

}  // namespace

OFL_OP(neg) {
  NumberUnary<NegFn>(op, "The negative -input.", "; linear 0; antitone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, c.b.Call("neg", {c.grads[0]})); })
      .Py("neg(input, /)")
      .Method("neg")
      .Dunder("__neg__");
}

OFL_OP(exp) {
  FloatUnary<ExpFn>(op, "e to the power of input.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, Mul(c.b, c.grads[0], c.outputs[0])); })
      .Py("exp(input, /)")
      .Method("exp");
}

OFL_OP(log) {
  FloatUnary<LogFn>(op, "The natural logarithm; -inf at 0, NaN below.", "; monotone 0", 1, 4);
  op.Grad([](op::GradContext& c) { c.Set(0, c.b.Call("div", {c.grads[0], c.inputs[0]})); })
      .Py("log(input, /)")
      .Method("log");
}

OFL_OP(sqrt) {
  FloatUnary<SqrtFn>(op, "The square root; NaN below 0.", "; monotone 0", 1, 4);
  op.Grad([](op::GradContext& c) {
      c.Set(0, c.b.Call("div", {MulScalar(c.b, c.grads[0], 0.5), c.outputs[0]}));
    })
      .Py("sqrt(input, /)")
      .Method("sqrt");
}

OFL_OP(rsqrt) {
  FloatUnary<RsqrtFn>(op, "1 over the square root.", "; antitone 0", 1, 4);
  op.Grad([](op::GradContext& c) {
      const op::Value cube = Mul(c.b, c.outputs[0], c.b.Call("square", {c.outputs[0]}));
      c.Set(0, MulScalar(c.b, Mul(c.b, c.grads[0], cube), -0.5));
    })
      .Py("rsqrt(input, /)")
      .Method("rsqrt");
}

OFL_OP(square) {
  NumberUnary<SquareFn>(op, "input times itself.", "");
  op.Grad([](op::GradContext& c) {
      c.Set(0, Mul(c.b, c.grads[0], MulScalar(c.b, c.inputs[0], 2.0)));
    })
      .Py("square(input, /)")
      .Method("square");
}

OFL_OP(abs) {
  NumberUnary<AbsFn>(op, "The absolute value.", "");
  op.Grad(
        [](op::GradContext& c) { c.Set(0, Mul(c.b, c.grads[0], c.b.Call("sign", {c.inputs[0]}))); })
      .Py("abs(input, /)")
      .Method("abs")
      .Dunder("__abs__");
}

OFL_OP(sign) {
  NumberUnary<SignFn>(op, "-1, 0 or 1 by the sign of input; NaN stays.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, c.b.Call("zeros_like", {c.grads[0]})); })
      .Py("sign(input, /)")
      .Method("sign");
}

OFL_OP(tanh) {
  FloatUnary<TanhFn>(op, "The hyperbolic tangent.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "tanh_grad")); })
      .Py("tanh(input, /)")
      .Method("tanh");
}

OFL_OP(sigmoid) {
  FloatUnary<SigmoidFn>(op, "1 / (1 + exp(-input)).", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "sigmoid_grad")); })
      .Py("sigmoid(input, /)")
      .Method("sigmoid");
}

OFL_OP(relu) {
  NumberUnary<ReluFn>(op, "input where it is positive, else 0; NaN stays.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "relu_grad")); })
      .Py("relu(input, /)")
      .Method("relu");
}

OFL_OP(logical_not) {
  Unary(op, "True where input is false.", "; antitone 0")
      .Infer(InferSame<Numbers::kBool>)
      .NotDifferentiable("bool has no gradient")
      .Cpu(DType::kBool, RunUnary<NotFn, bool, bool>)
      .Samples([] { return UnarySamples({DType::kBool}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}}, {}, Code::kTypeMismatch, "is not bool"}})
      .Py("logical_not(input, /)")
      .Method("logical_not")
      .Dunder("__invert__");
}

OFL_OP(identity) {
  Unary(op, "A copy of input.", "; linear 0; monotone 0")
      .Infer(InferSame<Numbers::kAny>)
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Samples([] { return UnarySamples({DType::kFloat32, DType::kInt64, DType::kInt32}); })
      .Py("clone(input, /)")
      .Method("clone");
  CpuForAllTypes(op, [](op::KernelContext& c) {
    c.stream->Copy(c.outputs[0].as<std::byte>(), c.inputs[0].as<std::byte>(),
                   c.outputs[0].meta.bytes());
    return Status::Ok();
  });
}

OFL_OP(tanh_grad) {
  GradKernel<TanhGradFn>(op, "grad * (1 - output^2): the gradient of tanh.");
  op.Grad([](op::GradContext& c) {
      if (c.Needs(0)) c.Set(0, c.b.Call("tanh_grad", {c.grads[0], c.inputs[1]}));
      if (c.Needs(1)) {
        const op::Value both = Mul(c.b, c.grads[0], c.inputs[0]);
        c.Set(1, Mul(c.b, both, MulScalar(c.b, c.inputs[1], -2.0)));
      }
    }).Py("tanh_grad(grad, output, /)");
}

OFL_OP(sigmoid_grad) {
  GradKernel<SigmoidGradFn>(op, "grad * output * (1 - output): the gradient of sigmoid.");
  op.Grad([](op::GradContext& c) {
      if (c.Needs(0)) c.Set(0, c.b.Call("sigmoid_grad", {c.grads[0], c.inputs[1]}));
      if (c.Needs(1)) {
        const op::Value both = Mul(c.b, c.grads[0], c.inputs[0]);
        c.Set(1, Mul(c.b, both, AddScalar(c.b, MulScalar(c.b, c.inputs[1], -2.0), 1.0)));
      }
    }).Py("sigmoid_grad(grad, output, /)");
}

OFL_OP(relu_grad) {
  GradKernel<ReluGradFn>(op, "grad where output is positive, else 0: the gradient of relu.");
  op.Grad([](op::GradContext& c) {
      // Piecewise constant in the output.
      if (c.Needs(0)) c.Set(0, c.b.Call("relu_grad", {c.grads[0], c.inputs[1]}));
    }).Py("relu_grad(grad, output, /)");
}

}  // namespace ofl::ops
