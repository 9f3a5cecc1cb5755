// Functions of one element.
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

struct Neg {
  template <class T>
  OFL_FN T operator()(T x) const {
    return static_cast<T>(-x);
  }
};
struct Exp {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Exp(x);
  }
};
struct Log {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Log(x);
  }
};
struct Sqrt {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Sqrt(x);
  }
};
struct Rsqrt {
  template <class T>
  OFL_FN T operator()(T x) const {
    return T(1) / math::Sqrt(x);
  }
};
struct Square {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Mul(x, x);
  }
};
struct Abs {
  template <class T>
  OFL_FN auto operator()(T x) const {
    return math::Abs(x);
  }
};
struct Sign {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x > T(0) ? T(1) : (x < T(0) ? T(-1) : T(0));
  }
};
struct Tanh {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Tanh(x);
  }
};
struct Sigmoid {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Sigmoid(x);
  }
};
// NaN stays, as in torch.
struct Relu {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x < T(0) ? T(0) : x;
  }
};
struct Not {
  OFL_FN bool operator()(bool x) const { return !x; }
};
struct Conjugate {
  template <class T>
  OFL_FN T operator()(T x) const {
    return math::Conj(x);
  }
};
struct Real {
  template <class T>
  OFL_FN auto operator()(T x) const {
    return x.real();
  }
};
struct Imag {
  template <class T>
  OFL_FN auto operator()(T x) const {
    return x.imag();
  }
};
struct TanhSlope {
  template <class T>
  OFL_FN T operator()(T dy, T y) const {
    return math::Mul(dy, math::Conj(static_cast<T>(T(1) - math::Mul(y, y))));
  }
};
struct SigmoidSlope {
  template <class T>
  OFL_FN T operator()(T dy, T y) const {
    return math::Mul(math::Mul(dy, math::Conj(y)), math::Conj(static_cast<T>(T(1) - y)));
  }
};
// NaN of the output lets the gradient through, as in torch.
struct ReluSlope {
  template <class T>
  OFL_FN T operator()(T dy, T y) const {
    return y <= T(0) ? T(0) : dy;
  }
};

// The way of |x|: its sign, or z / |z|, and 0 at 0.
op::Value Direction(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  if (!IsComplex(x->meta().dtype)) return c.b.Call("sign", {x});
  const op::Value size = CastTo(c.b, c.outputs[0], x->meta().dtype);
  const op::Value none = c.b.Call("zeros_like", {x});
  const op::Value one = c.b.Call("ones_like", {x});
  const op::Value safe = c.b.Call("where", {c.b.Call("eq", {size, none}), one, size});
  return c.b.Call("div", {x, safe});
}

op::Value CallOutputGrad(op::GradContext& c, const char* name) {
  return c.b.Call(name, {c.grads[0], c.outputs[0]});
}

// Of grad * conj(f(y)): the second factor takes part conjugated.
void GradOfSlope(op::GradContext& c, const char* name, const op::Value& slope) {
  if (c.Needs(0)) c.Set(0, c.b.Call(name, {c.grads[0], Conj(c.b, c.inputs[1])}));
  if (!c.Needs(1)) return;
  const op::Value both = Mul(c.b, Conj(c.b, c.grads[0]), c.inputs[0]);
  c.Set(1, Mul(c.b, both, Conj(c.b, slope)));
}

Status InferSquare(op::InferContext& c) {
  if (c.input(0).dtype != DType::kBool) return InferUnaryOf<kNumbers, Gives::kSame>(c);
  c.AddOutput({DType::kInt64, c.input(0).shape});
  return Status::Ok();
}

// The real parts (0) or the imaginary ones (1) where they lie.
op::Value PartOf(op::Builder& b, const op::Value& x, int64_t part) {
  return b.Call("select", {Of(b, "view_as_real", x)}, {{"dim", int64_t{-1}}, {"index", part}});
}

}  // namespace

OFL_OP(neg) {
  Unary<Neg, kNumbers>(op, "The negative -input.", "; linear 0; never partial max min");
  op.Grad([](op::GradContext& c) { c.Set(0, c.b.Call("neg", {c.grads[0]})); }).Oracle("-input");
  Named(op, "neg(input)", Writes::kBoth).Dunder("__neg__");
  Named(op, "negative(input)", Writes::kBoth);
}

OFL_OP(exp) {
  Unary<Exp, kFloats | kComplexes>(op, "e to the power of input.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, Mul(c.b, c.grads[0], Conj(c.b, c.outputs[0]))); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.exp(input)");
  Named(op, "exp(input)", Writes::kBoth);
}

OFL_OP(log) {
  Unary<Log, kFloats | kComplexes>(op, "The natural logarithm; -inf at 0, NaN below.",
                                   "; never partial max min", {1, 4});
  op.Grad([](op::GradContext& c) { c.Set(0, Div(c.b, c.grads[0], Conj(c.b, c.inputs[0]))); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.log(input)");
  Named(op, "log(input)", Writes::kBoth);
}

OFL_OP(sqrt) {
  Unary<Sqrt, kFloats | kComplexes>(op, "The square root; NaN below 0.", "; never partial max min",
                                    {1, 4});
  op.Grad([](op::GradContext& c) {
      c.Set(0, c.b.Call("div", {MulScalar(c.b, c.grads[0], 0.5), Conj(c.b, c.outputs[0])}));
    }).Oracle("np.sqrt(input)");
  Named(op, "sqrt(input)", Writes::kBoth);
}

OFL_OP(rsqrt) {
  Unary<Rsqrt, kFloats | kComplexes>(op, "1 over the square root.", "; never partial max min",
                                     {1, 4});
  op.Grad([](op::GradContext& c) {
      const op::Value cube = Mul(c.b, c.outputs[0], c.b.Call("square", {c.outputs[0]}));
      c.Set(0, MulScalar(c.b, Mul(c.b, c.grads[0], Conj(c.b, cube)), -0.5));
    })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("1 / np.sqrt(input)");
  Named(op, "rsqrt(input)", Writes::kBoth);
}

OFL_OP(square) {
  Unary<Square, kNumbers>(op, "input times itself; truth values as int64.");
  op.Infer(InferSquare).Cpu(DType::kBool, [](op::KernelContext& c) {
    return CastElements(c.stream, c.inputs[0], c.outputs[0]);
  });
  op.ErrorSamples(
      {{{{DType::kFloat8E4M3, {2}}}, {}, Code::kTypeMismatch, "got input: float8_e4m3fn[2]"}});
  op.Grad([](op::GradContext& c) {
      c.Set(0, Mul(c.b, c.grads[0], MulScalar(c.b, Conj(c.b, c.inputs[0]), 2.0)));
    }).Oracle("input * input");
  Named(op, "square(input)", Writes::kBoth);
}

OFL_OP(abs) {
  Unary<Abs, kNumbers>(op, "The absolute value; of complex numbers a real one.");
  op.Grad([](op::GradContext& c) {
      const op::Value grad = CastTo(c.b, c.grads[0], c.inputs[0]->meta().dtype);
      c.Set(0, Mul(c.b, grad, Direction(c)));
    }).Oracle("np.abs(input)");
  Named(op, "abs(input)", Writes::kBoth).Dunder("__abs__");
  Named(op, "absolute(input)");
}

OFL_OP(sign) {
  // Not monotone: of NaN 0, whatever else a part holds.
  Unary<Sign, kReals | kBools>(op, "-1, 0 or 1 by the sign of input; of NaN 0.",
                               "; never partial max min");
  op.Grad([](op::GradContext& c) { c.Set(0, c.b.Call("zeros_like", {c.grads[0]})); })
      .Oracle(
          "np.sign(np.where(np.isnan(input), 0, input)).astype(input.dtype) "
          "if input.dtype != bool else input")
      .PyBoth("sign(input)");
}

OFL_OP(tanh) {
  Unary<Tanh, kFloats | kComplexes>(op, "The hyperbolic tangent.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "tanh_grad")); })
      .Oracle("np.tanh(input)")
      .PyBoth("tanh(input)")
      .Functional()
      .Py("tanh_(input)")
      .Public();
}

OFL_OP(sigmoid) {
  Unary<Sigmoid, kFloats | kComplexes>(op, "1 / (1 + exp(-input)).", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "sigmoid_grad")); })
      .Oracle("1 / (1 + np.exp(-input))")
      .PyBoth("sigmoid(input)")
      .Functional()
      .Py("special.expit(input)")
      .Py("sigmoid_(input)")
      .Public();
}

OFL_OP(relu) {
  Unary<Relu, kReals>(op, "input where it is positive, else 0; NaN stays.", "; monotone 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CallOutputGrad(c, "relu_grad")); })
      .Oracle("np.where(input < 0, input.dtype.type(0), input)")
      .PyBoth("relu(input)")
      .Py("relu_(input)")
      .Public()
      .Py("nn.functional.relu(input, inplace=False)")
      .Py("nn.functional.relu_(input)");
}

OFL_OP(logical_not) {
  Unary<Not, kBools>(op, "True where input is false.", "; antitone 0");
  op.NotDifferentiable("bool has no gradient").Oracle("~input").Py("_logical_not(input)");
}

OFL_OP(conj_physical) {
  Unary<Conjugate, kComplexes>(op, "The complex conjugates, in memory of their own.",
                               "; linear 0; never partial max min");
  op.Grad([](op::GradContext& c) { c.Set(0, Conj(c.b, c.grads[0])); })
      .Oracle("np.conj(input)")
      .Py("_conj_physical(input)");
}

OFL_OP(conj) {
  op.Doc("The complex conjugates; of real numbers the input itself.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{Conj(b, in[0])};
      })
      .InPlace(0, 0)
      .Oracle("np.conj(input)")
      .PyBoth("conj(input)")
      .PyBoth("conj_physical(input)")
      .Method("conj_physical_")
      .Py("conj_physical_(input)")
      .Public()
      .Samples(
          [] { return UnarySamples({DType::kComplex64, DType::kFloat32, DType::kInt64}, -2, 2); });
}

OFL_OP(real) {
  Unary<Real, kComplexes>(op, "The real parts of complex numbers.", "; linear 0");
  op.Grad([](op::GradContext& c) { c.Set(0, CastTo(c.b, c.grads[0], c.inputs[0]->meta().dtype)); })
      .Oracle("input.real")
      .Py("_real_part(input)");
}

OFL_OP(real_of) {
  op.Doc("The real parts of complex numbers, a view; real numbers themselves.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{IsComplex(in[0]->meta().dtype) ? PartOf(b, in[0], 0) : in[0]};
      })
      .Oracle("input.real")
      .Py("real(input)")
      .Public()
      .Property("real(input)")
      .Samples([] {
        return UnarySamples(
            {DType::kComplex64, DType::kComplex128, DType::kFloat32, DType::kInt64, DType::kBool});
      });
}

OFL_OP(resolved) {
  op.Doc("input itself: conjugates and negatives are never left to be taken later.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder&, std::span<const op::Value> in, const Attrs&) {
        return op::Values{in[0]};
      })
      .Oracle("input")
      .PyBoth("resolve_conj(input)")
      .PyBoth("resolve_neg(input)")
      .Samples([] { return UnarySamples({DType::kComplex64, DType::kFloat32, DType::kInt64}); });
}

OFL_OP(imag) {
  Unary<Imag, kComplexes>(op, "The imaginary parts of complex numbers.", "; linear 0");
  op.Grad([](op::GradContext& c) {
      const op::Value grad = CastTo(c.b, c.grads[0], c.inputs[0]->meta().dtype);
      c.Set(0, MulScalar(c.b, grad, std::complex<double>(0, 1)));
    })
      .Oracle("input.imag")
      .Py("_imag_part(input)");
}

OFL_OP(imag_of) {
  op.Doc("The imaginary parts of complex numbers, a view.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        if (IsComplex(in[0]->meta().dtype)) return op::Values{PartOf(b, in[0], 1)};
        b.Fail(Error(Code::kTypeMismatch)
               << "[imag] real numbers have no imaginary parts: got " << in[0]->meta().ToString()
               << "; expected complex64 or complex128");
        return op::Values{nullptr};
      })
      .Oracle("input.imag")
      .Py("imag(input)")
      .Public()
      .Property("imag(input)")
      .Samples([] { return UnarySamples({DType::kComplex64, DType::kComplex128}); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {}, Code::kTypeMismatch, "have no imaginary parts"}});
}

OFL_OP(identity) {
  constexpr DTypeSet kAny = kNumbers | kBools | kFloat8s;
  DescribeUnary(op, kAny, "A copy of input.", "; linear 0; monotone 0", {});
  op.Infer(InferUnaryOf<kAny, Gives::kSame>)
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Oracle("input")
      .PyBoth("clone(input, *, memory_format=None)")
      .Py("alias_copy(input)")
      .Py("detach_copy(input)")
      .Public();
  for (DType dtype : AllDTypes()) {
    op.Cpu(dtype, [](op::KernelContext& c) {
      CopyElements(c.stream, c.inputs[0], c.outputs[0]);
      return Status::Ok();
    });
  }
}

OFL_OP(tanh_grad) {
  GradKernel<TanhSlope, kFloats | kComplexes>(op, "grad * conj(1 - output^2): of tanh.");
  op.Grad(
        [](op::GradContext& c) { GradOfSlope(c, "tanh_grad", MulScalar(c.b, c.inputs[1], -2.0)); })
      .Oracle("grad * np.conj(1 - output * output)")
      .Py("tanh_grad(grad, output)");
}

OFL_OP(sigmoid_grad) {
  GradKernel<SigmoidSlope, kFloats | kComplexes>(op,
                                                 "grad * conj(output (1 - output)): of sigmoid.");
  op.Grad([](op::GradContext& c) {
      GradOfSlope(c, "sigmoid_grad", AddScalar(c.b, MulScalar(c.b, c.inputs[1], -2.0), 1.0));
    })
      .Oracle("grad * np.conj(output * (1 - output))")
      .Py("sigmoid_grad(grad, output)");
}

OFL_OP(relu_grad) {
  GradKernel<ReluSlope, kFloats>(op, "grad where output is positive, else 0: of relu.");
  op.Grad([](op::GradContext& c) {
      // Piecewise constant in the output.
      if (c.Needs(0)) c.Set(0, c.b.Call("relu_grad", {c.grads[0], c.inputs[1]}));
    })
      .Oracle("np.where(output <= 0, 0, grad)")
      .Py("relu_grad(grad, output)");
}

}  // namespace ofl::ops
