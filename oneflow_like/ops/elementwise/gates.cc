// Gates: logsigmoid, and glu, of which one half opens the other. Backward is one pass each.
#include <array>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/vanishing.h"

namespace ofl::ops {
namespace {

struct LogSigmoid {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T x) const {
    const T size = x < T(0) ? -x : x;
    const T soft = (x < T(0) ? -x : T(0)) + math::Log1p(ExpOrNothing(-size));
    return x != x ? x : -soft;
  }
};
struct LogSigmoidSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return dy * math::Sigmoid(-x);
  }
};
struct Gated {
  template <class T>
  OFL_FN T operator()(T x, T gate) const {
    return x * math::Sigmoid(gate);
  }
};
// By the gate.
struct GatedSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x, T gate) const {
    const T open = math::Sigmoid(gate);
    return dy * x * (open * (T(1) - open));
  }
};

op::Value OneMinus(op::Builder& b, const op::Value& x) { return From(b, int64_t{1}, x); }

void GradLogSigmoid(op::GradContext& c) {
  c.Set(0, c.b.Call("logsigmoid_grad", {c.grads[0], c.inputs[0]}));
}
void GradLogSigmoidGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  if (c.Needs(0)) c.Set(0, b.Call("logsigmoid_grad", {c.grads[0], c.inputs[1]}));
  if (!c.Needs(1)) return;
  const op::Value s = Of(b, "sigmoid", c.inputs[1]);
  const op::Value bend = Of(b, "neg", Mul(b, s, OneMinus(b, s)));
  c.Set(1, Mul(b, Mul(b, c.grads[0], c.inputs[0]), bend));
}

void GradGated(op::GradContext& c) {
  const op::Value &x = c.inputs[0], &gate = c.inputs[1], &grad = c.grads[0];
  if (c.Needs(0)) SetReduced(c, 0, c.b.Call("gated", {grad, gate}));
  if (c.Needs(1)) SetReduced(c, 1, c.b.Call("gated_slope", {grad, x, gate}));
}
void GradGatedSlope(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &u = c.grads[0], &dy = c.inputs[0], &x = c.inputs[1], &gate = c.inputs[2];
  if (c.Needs(0)) SetReduced(c, 0, b.Call("gated_slope", {u, x, gate}));
  if (c.Needs(1)) SetReduced(c, 1, b.Call("gated_slope", {u, dy, gate}));
  if (!c.Needs(2)) return;
  const op::Value turn = OneMinus(b, MulScalar(b, Of(b, "sigmoid", gate), 2.0));
  SetReduced(c, 2, Mul(b, b.Call("gated_slope", {Mul(b, u, dy), x, gate}), turn));
}

// --- halves of an axis --------------------------------------------------------------------------

Status InferHalves(op::InferContext& c) {
  const int data = c.num_inputs() - 1;  // of the gradient's operands the second
  OFL_TRY(RequireIn(c, data, kFloats));
  const TensorMeta& x = c.input(data);
  const int64_t dim = c.attr<int64_t>("dim");
  OFL_ENSURE(dim >= 0 && dim < x.shape.rank(), Code::kOutOfRange)
      << "dim is no axis, counted from the front; expected 0 <= dim < " << x.shape.rank();
  const int axis = static_cast<int>(dim);
  OFL_ENSURE(x.shape[axis] % 2 == 0, Code::kInvalidArgument)
      << "the axis has no two halves; expected an axis of an even size";
  TensorMeta half = x;
  half.shape[axis] /= 2;
  OFL_ENSURE(data == 0 || c.input(0) == half, Code::kInvalidArgument)
      << "grad must have the shape of a half and input's dtype; expected " << half.ToString();
  c.AddOutput(data == 0 ? half : x);
  return Status::Ok();
}

std::string HalvesRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int dim = static_cast<int>(attrs.Get<int64_t>("dim"));
  std::string axes = "(";
  for (int i = 0; i < in[0].rank(); ++i)
    axes += i == dim ? std::string("! ") : "a" + std::to_string(i) + " ";
  axes += ")";
  return in.size() == 1 ? axes + "->" + axes + "; never partial"
                        : axes + "," + axes + "->" + axes + "; linear 0; never partial max min";
}

std::array<op::TensorView, 2> HalvesOf(const op::TensorView& x, int64_t dim) {
  const int axis = static_cast<int>(dim);
  op::TensorView first = x;
  first.meta.shape[axis] /= 2;
  op::TensorView second = first;
  if (x.numel() > 0) {
    second.data = x.as<std::byte>() + first.meta.shape[axis] * x.strides[axis] *
                                          static_cast<int64_t>(DTypeSize(x.meta.dtype));
  }
  return {first, second};
}

template <class T>
Status RunSplitGated(op::KernelContext& c) {
  const auto halves = HalvesOf(c.inputs[0], c.attr<int64_t>("dim"));
  op::KernelContext part = c;
  part.inputs = halves;
  return RunFunctor<Gated, T, T>(part);
}

template <class T>
Status RunSplitGatedGrad(op::KernelContext& c) {
  const int64_t dim = c.attr<int64_t>("dim");
  const auto x = HalvesOf(c.inputs[1], dim), dx = HalvesOf(c.outputs[0], dim);
  const std::array<op::TensorView, 2> by_gate = {c.inputs[0], x[1]};
  const std::array<op::TensorView, 3> by_both = {c.inputs[0], x[0], x[1]};
  op::KernelContext part = c;
  part.inputs = by_gate;
  part.outputs = std::span(dx).first(1);
  OFL_TRY((RunFunctor<Gated, T, T>(part)));
  part.inputs = by_both;
  part.outputs = std::span(dx).last(1);
  return RunFunctor<GatedSlope, T, T, T>(part);
}

op::Values DecomposeHalves(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const int64_t dim = attrs.Get<int64_t>("dim");
  const int64_t half = in[0]->meta().shape[static_cast<int>(dim)] / 2;
  const auto part = [&](int64_t start) {
    return b.Call("narrow", {in[0]}, {{"dim", dim}, {"start", start}, {"length", half}});
  };
  return {b.Call("gated", {part(0), part(half)})};
}

void GradSplitGated(op::GradContext& c) {
  if (c.Needs(0)) c.Set(0, c.b.Call("split_gated_grad", {c.grads[0], c.inputs[0]}, c.attrs));
}

op::Values ComposeGlu(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t given = attrs.Get<int64_t>("dim"), rank = shape.rank();
  const int64_t dim = given < 0 ? given + rank : given;
  if (dim < 0 || dim >= rank || shape[static_cast<int>(dim)] % 2 != 0) {
    b.Fail(Error(dim < 0 || dim >= rank ? Code::kOutOfRange : Code::kInvalidArgument)
           << "[glu] the axis has no two halves: got input: " << in[0]->meta().ToString()
           << ", dim=" << given << "; expected an axis of an even size");
    return {nullptr};
  }
  const Attrs along = {{"dim", dim}};
  if (!Contains(kFloats, in[0]->meta().dtype)) return DecomposeHalves(b, in, along);
  return {b.Call("split_gated", {in[0]}, along)};
}

// (whole, its half)
std::vector<op::Sample> HalvesSamples(bool gradient) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, Shape whole, int64_t dim) {
    Shape half = whole;
    half[static_cast<int>(dim)] /= 2;
    op::Sample s{{{dtype, whole}}, {{"dim", dim}}, -4, 4, ""};
    if (gradient) s.inputs.insert(s.inputs.begin(), {dtype, half});
    samples.push_back(std::move(s));
  };
  add(DType::kFloat32, {5, 6}, 1);
  add(DType::kFloat32, {2, 0, 3}, 1);
  add(DType::kFloat32, {2, 4, 3}, 1);
  for (DType dtype : ListOf(kFloats)) add(dtype, {4, 3}, 0);
  return samples;
}

}  // namespace

OFL_OP(logsigmoid) {
  Unary<LogSigmoid, kFloats>(op, "log(1 / (1 + exp(-input))).", "; never partial", {-4, 4})
      .Promote(op::Promotion::kNone)
      .Grad(GradLogSigmoid)
      .Oracle("-np.log1p(np.exp(-input))")
      .Py("nn.functional.logsigmoid(input)")
      .ErrorSamples({{{{DType::kBool, {2}}}, {}, Code::kTypeMismatch, "bool is not a"}});
}

OFL_OP(logsigmoid_grad) {
  GradKernel<LogSigmoidSlope, kFloats>(op,
                                       "Gradient of logsigmoid: grad * sigmoid(-output), "
                                       "where output is what logsigmoid was taken of.")
      .Grad(GradLogSigmoidGrad)
      .Oracle("grad / (1 + np.exp(output))")
      .Py("logsigmoid_grad(grad, output)");
}

OFL_OP(gated) {
  Binary<Gated, kFloats>(op, "input times the sigmoid of other.",
                         "; linear 0; never partial max min")
      .Grad(GradGated)
      .Oracle("input / (1 + np.exp(-other))")
      .Py("gated(input, other)");
}

OFL_OP(gated_slope) {
  op.In("grad").In("input").In("other");
  Ternary<GatedSlope, kFloats>(op, "Gradient of gated by other.",
                               "; linear 0; linear 1; never partial max min")
      .Grad(GradGatedSlope)
      .Oracle("grad * input * np.exp(-other) / (1 + np.exp(-other)) ** 2")
      .Py("gated_slope(grad, input, other)");
}

OFL_OP(split_gated) {
  op.Doc("The first half of axis `dim` times the sigmoid of the second half.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferHalves)
      .Sbp(HalvesRule)
      .Grad(GradSplitGated)
      .Decompose(DecomposeHalves)
      .Strided()
      .Oracle("glu(input, dim)")
      .Py("split_gated(input, dim)")
      .Samples([] { return HalvesSamples(false); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim", int64_t{1}}},
                      Code::kInvalidArgument,
                      "an axis of an even size"},
                     {{{DType::kFloat32, {2}}},
                      {{"dim", int64_t{1}}},
                      Code::kOutOfRange,
                      "counted from the front"}});
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunSplitGated<T>); });
}

OFL_OP(split_gated_grad) {
  op.Doc("Gradient of split_gated.")
      .In("grad")
      .In("input")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferHalves)
      .Sbp(HalvesRule)
      .NotDifferentiable("a gradient that is differentiated goes through the composition")
      .Strided()
      .Oracle("glu_grad(grad, input, dim)")
      .Py("split_gated_grad(grad, input, dim)")
      .Samples([] { return HalvesSamples(true); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 4}}},
                      {{"dim", int64_t{1}}},
                      Code::kInvalidArgument,
                      "the shape of a half"}});
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunSplitGatedGrad<T>); });
}

OFL_OP(glu) {
  op.Doc("The first half of an axis times the sigmoid of the second half.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeGlu)
      .Oracle("glu(input, dim)")
      .Py("nn.functional.glu(input, dim=-1)")
      .Samples([]() -> std::vector<op::Sample> {
        return {{{{DType::kFloat32, {5, 6}}}, {}},
                {{{DType::kFloat64, {4, 3}}}, {{"dim", int64_t{0}}}},
                {{{DType::kFloat32, {2, 0, 3}}}, {{"dim", int64_t{1}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected an axis of an even size"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dim", int64_t{5}}},
                      Code::kOutOfRange,
                      "expected an axis of an even size"}});
}

}  // namespace ofl::ops
