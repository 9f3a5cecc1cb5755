// Arithmetic of two tensors with NumPy broadcasting.
#include <cmath>

#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

struct AddFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct SubFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return static_cast<T>(a - b);
  }
};
struct MulFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return static_cast<T>(a * b);
  }
};
struct DivFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return a / b;
  }
};
// NaN of either side wins, as in torch.
struct MaximumFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return (a > b) | (a != a) ? a : b;
  }
};
struct MinimumFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return (a < b) | (a != a) ? a : b;
  }
};
struct PowFn {
  template <class T>
  OFL_INLINE T operator()(T a, T b) const {
    return std::pow(a, b);
  }
};

template <Numbers kNumbers>
Status Infer(op::InferContext& c) {
  return InferBinary(c, kNumbers, false);
}

template <class F>
void NumberKernels(op::OpDefBuilder& op) {
  op.Cpu(DType::kFloat32, RunBinary<F, float, float>)
      .Cpu(DType::kFloat64, RunBinary<F, double, double>)
      .Cpu(DType::kInt64, RunBinary<F, int64_t, int64_t>)
      .Cpu(DType::kInt32, RunBinary<F, int32_t, int32_t>);
}

template <class F>
void FloatKernels(op::OpDefBuilder& op) {
  op.Cpu(DType::kFloat32, RunBinary<F, float, float>)
      .Cpu(DType::kFloat64, RunBinary<F, double, double>);
}

std::vector<op::ErrorSample> BinaryErrors(bool floats_only = false) {
  constexpr DType kF = DType::kFloat32;
  return {{{{kF, {2, 3}}, {kF, {2, 5}}},
           {},
           Code::kInvalidArgument,
           "axis -1 has sizes 3 and 5: got input: float32[2,3], other: float32[2,5]; expected "
           "equal sizes or 1"},
          {{{kF, {2}}, {DType::kInt64, {2}}},
           {},
           Code::kTypeMismatch,
           "the dtypes float32 and int64 differ: got input: float32[2], other: int64[2]"},
          {{{DType::kBool, {2}}, {DType::kBool, {2}}},
           {},
           Code::kTypeMismatch,
           floats_only ? "bool is not a floating dtype" : "bool is not a number"},
          {{{kF, {2}}}, {}, Code::kInvalidArgument, "got 1; expected 2 (input, other)"}};
}

void GradAdd(op::GradContext& c) {
  for (int i = 0; i < 2; ++i)
    if (c.Needs(i)) c.Set(i, ReduceTo(c.b, c.grads[0], c.inputs[i]->meta().shape));
}

void GradSub(op::GradContext& c) {
  if (c.Needs(0)) c.Set(0, ReduceTo(c.b, c.grads[0], c.inputs[0]->meta().shape));
  if (c.Needs(1)) {
    const op::Value dy = ReduceTo(c.b, c.grads[0], c.inputs[1]->meta().shape);
    c.Set(1, c.b.Call("neg", {dy}));
  }
}

void GradMul(op::GradContext& c) {
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    c.Set(i, ReduceTo(c.b, Mul(c.b, c.grads[0], c.inputs[1 - i]), c.inputs[i]->meta().shape));
  }
}

void GradDiv(op::GradContext& c) {
  const op::Value scaled = c.b.Call("div", {c.grads[0], c.inputs[1]});
  if (c.Needs(0)) c.Set(0, ReduceTo(c.b, scaled, c.inputs[0]->meta().shape));
  if (c.Needs(1)) {
    const op::Value db = c.b.Call("neg", {Mul(c.b, scaled, c.outputs[0])});
    c.Set(1, ReduceTo(c.b, db, c.inputs[1]->meta().shape));
  }
}

// The larger input takes the gradient; equal ones share it.
void GradExtremum(op::GradContext& c, const char* compare) {
  const op::Value& a = c.inputs[0];
  const op::Value& b = c.inputs[1];
  const op::Value none = c.b.Call("zeros_like", {c.grads[0]});
  const op::Value half = MulScalar(c.b, c.grads[0], 0.5);
  const op::Value tie = c.b.Call("where", {c.b.Call("eq", {a, b}), half, none});
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value wins = c.b.Call(compare, {c.inputs[i], c.inputs[1 - i]});
    c.Set(i, ReduceTo(c.b, c.b.Call("where", {wins, c.grads[0], tie}), c.inputs[i]->meta().shape));
  }
}

void GradPow(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  const op::Value& e = c.inputs[1];
  if (c.Needs(0)) {
    const op::Value lower = c.b.Call("pow", {x, AddScalar(c.b, e, -1.0)});
    c.Set(0, ReduceTo(c.b, Mul(c.b, c.grads[0], Mul(c.b, e, lower)), x->meta().shape));
  }
  if (c.Needs(1)) {
    // 0^e is constant in e > 0, where log 0 would make a NaN.
    const op::Value slope = Mul(c.b, c.outputs[0], c.b.Call("log", {x}));
    const op::Value flat = c.b.Call("eq", {c.outputs[0], c.b.Call("zeros_like", {c.outputs[0]})});
    const op::Value safe = c.b.Call("where", {flat, c.b.Call("zeros_like", {slope}), slope});
    c.Set(1, ReduceTo(c.b, Mul(c.b, c.grads[0], safe), e->meta().shape));
  }
}

}  // namespace

OFL_OP(add) {
  op.Numbers({"add_scalar", "add_scalar"});
  op.Doc("The sum input + other, with NumPy broadcasting. Both have one dtype.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kNumber>)
      .Sbp("(...),(...)->(...); linear jointly 0 1; monotone 0 1")
      .Grad(GradAdd)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("add(input, other, /)")
      .Method("add")
      .Dunder("__add__")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kInt64, DType::kFloat64}); })
      .ErrorSamples(BinaryErrors());
  NumberKernels<AddFn>(op);
}

OFL_OP(sub) {
  op.Numbers({"add_scalar", "rsub_scalar", true});
  op.Doc("The difference input - other, with NumPy broadcasting. Both have one dtype.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kNumber>)
      .Sbp("(...),(...)->(...); linear jointly 0 1; monotone 0; antitone 1")
      .Grad(GradSub)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("sub(input, other, /)")
      .Method("sub")
      .Dunder("__sub__")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kInt64}); })
      .ErrorSamples(BinaryErrors());
  NumberKernels<SubFn>(op);
}

OFL_OP(mul) {
  op.Numbers({"mul_scalar", "mul_scalar"});
  op.Doc("The product input * other, with NumPy broadcasting. Both have one dtype.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kNumber>)
      .Sbp("(...),(...)->(...); linear 0 1")
      .Grad(GradMul)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("mul(input, other, /)")
      .Method("mul")
      .Dunder("__mul__")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kInt64}); })
      .ErrorSamples(BinaryErrors());
  NumberKernels<MulFn>(op);
}

OFL_OP(div) {
  op.Numbers({"div_scalar", "rdiv_scalar"});
  op.Promote(op::Promotion::kFloat);
  op.Doc("The quotient input / other of floating tensors, with NumPy broadcasting.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kFloat>)
      .Sbp("(...),(...)->(...); linear 0")
      .Grad(GradDiv)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("div(input, other, /)")
      .Method("div")
      .Dunder("__truediv__")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kFloat64}, 1.0, 3.0); })
      .Unclaimed("P(max),B->P(max)", "holds for positive divisors only")
      .Unclaimed("P(min),B->P(min)", "holds for positive divisors only")
      .Unclaimed("B,P(max)->P(min)", "holds for positive operands only")
      .Unclaimed("B,P(min)->P(max)", "holds for positive operands only")
      .ErrorSamples(BinaryErrors(true));
  FloatKernels<DivFn>(op);
}

OFL_OP(maximum) {
  op.Doc("The larger of input and other, elementwise; NaN where either is NaN.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kNumber>)
      .Sbp("(...),(...)->(...); monotone 0 1")
      .Grad([](op::GradContext& c) { GradExtremum(c, "gt"); })
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("maximum(input, other, /)")
      .Method("maximum")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kInt64}); })
      .Unclaimed("P(max),P(max)->P(max)", "rules have no joint form of monotone yet")
      .ErrorSamples(BinaryErrors());
  NumberKernels<MaximumFn>(op);
}

OFL_OP(minimum) {
  op.Doc("The smaller of input and other, elementwise; NaN where either is NaN.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kNumber>)
      .Sbp("(...),(...)->(...); monotone 0 1")
      .Grad([](op::GradContext& c) { GradExtremum(c, "lt"); })
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("minimum(input, other, /)")
      .Method("minimum")
      .Samples([] { return BinarySamples({DType::kFloat32, DType::kInt64}); })
      .Unclaimed("P(min),P(min)->P(min)", "rules have no joint form of monotone yet")
      .ErrorSamples(BinaryErrors());
  NumberKernels<MinimumFn>(op);
}

OFL_OP(pow) {
  op.Numbers({"pow_scalar", ""});
  op.Doc("input to the power of other, elementwise, of floating tensors.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kFloat>)
      .Sbp("(...),(...)->(...)")
      .Grad(GradPow)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Py("pow(input, other, /)")
      .Method("pow")
      .Dunder("__pow__")
      .Samples([] { return BinarySamples({DType::kFloat32}, 1.0, 3.0); })
      .Unclaimed("P(max),B->P(max)", "holds for positive exponents only")
      .Unclaimed("P(min),B->P(min)", "holds for positive exponents only")
      .Unclaimed("B,P(max)->P(max)", "holds for bases above 1 only")
      .Unclaimed("B,P(min)->P(min)", "holds for bases above 1 only")
      .ErrorSamples(BinaryErrors(true));
  FloatKernels<PowFn>(op);
}

}  // namespace ofl::ops
