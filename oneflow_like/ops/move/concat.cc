// concat and stack: tensors one after another, along an axis that they have or a new one.
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

constexpr const char* kMixtures =
    "each subset of the operands may be partial beside whole ones: too many of them to be derived";

// torch joins empty vectors to anything: they add nothing.
bool IsNothing(const Shape& shape) { return shape.rank() == 1 && shape[0] == 0; }

// The axis along which tensors are joined to `out`; of empty vectors alone torch looks at no dim.
int AxisOf(const Shape& out, const Attrs& attrs) {
  return out.rank() == 1 ? 0 : AxisAttr(attrs, "dim", out.rank());
}

// "(2, *, 4)": what goes with this shape along an axis.
std::string Likeness(const Shape& shape, int axis) {
  std::string text = "(";
  for (int a = 0; a < shape.rank(); ++a)
    text += (a > 0 ? ", " : "") + (a == axis ? "*" : std::to_string(shape[a]));
  return text + ")";
}

Status InferConcat(op::InferContext& c) {
  int lead = 0;
  while (lead + 1 < c.num_inputs() && IsNothing(c.input(lead).shape)) ++lead;
  Shape out = c.input(lead).shape;
  OFL_ENSURE(out.rank() > 0, Code::kInvalidArgument) << "scalars cannot be concatenated";
  int axis = 0;
  if (!IsNothing(out)) {
    OFL_ASSIGN(axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  }
  for (int i = 0; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireSameDType(c, 0, i, "the tensors"));
    const Shape& next = c.input(i).shape;
    if (i == lead || IsNothing(next)) continue;
    bool fits = next.rank() == out.rank();
    for (int a = 0; fits && a < out.rank(); ++a) fits = a == axis || next[a] == out[a];
    OFL_ENSURE(fits, Code::kInvalidArgument)
        << "the tensors must agree in every axis but dim; tensor " << i
        << " does not agree with tensor " << lead << "; expected " << Likeness(out, axis);
    out[axis] = SaturatingAdd(out[axis], next[axis]);
  }
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

// "; linear jointly 0 1; monotone 0 1; ...": what is only moved may be partial.
std::string OnlyMoved(size_t count) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += " " + std::to_string(i);
  return JointlyLinear(static_cast<int>(count)) + "; monotone" + all + "; max jointly" + all +
         "; min jointly" + all;
}

std::string ConcatRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  const int rank = out[0].rank();
  // One tensor alone is copied as it is.
  const int joined = in.size() > 1 ? AxisOf(out[0], attrs) : -1;
  const std::string axes = "(" + LabelsExcept("a", rank, joined) + ")";
  std::string text;
  for (const Shape& shape : in) {
    text += text.empty() ? "" : ",";
    text += shape.rank() == rank ? axes : std::string("(!)");
  }
  return text + "->" + axes + OnlyMoved(in.size());
}

Status RunConcat(op::KernelContext& c) {
  const op::TensorView& out = c.outputs[0];
  const int axis = AxisOf(out.meta.shape, *c.attrs);
  op::ViewGeometry part{out.meta.shape, out.strides, 0};
  for (const op::TensorView& in : c.inputs) {
    if (in.numel() == 0) continue;
    part.shape[axis] = in.meta.shape[axis];
    CopyBox(c.stream, in, ViewOf(out, part));
    part.offset += part.shape[axis] * out.strides[axis];
  }
  return Status::Ok();
}

void GradConcat(op::GradContext& c) {
  if (!c.grads[0]) return;
  const Shape& whole = c.grads[0]->meta().shape;
  const int axis = AxisOf(whole, c.attrs), rank = whole.rank();
  int64_t at = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Shape& shape = c.inputs[i]->meta().shape;
    const bool nothing = shape.rank() != rank;
    const int64_t size = nothing ? 0 : shape[axis];
    if (c.Needs(static_cast<int>(i))) {
      Ints begin(rank, 0), end = DimsOf(whole), step(rank, 1);
      begin[axis] = at;
      end[axis] = at + size;
      c.Set(static_cast<int>(i), nothing
                                     ? c.b.Call("zeros_like", {c.inputs[i]})
                                     : c.b.Call("slice", {c.grads[0]},
                                                {{"begin", begin}, {"end", end}, {"step", step}}));
    }
    at += size;
  }
}

// --- stack ----------------------------------------------------------------------------------

Status InferStack(op::InferContext& c) {
  Shape out = c.input(0).shape;
  for (int i = 1; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireSameDType(c, 0, i, "the tensors"));
    OFL_ENSURE(c.input(i).shape == out, Code::kInvalidArgument)
        << "shapes differ: tensors[" << i << "] has shape " << c.input(i).shape
        << "; expected one shape";
  }
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank() + 1));
  OFL_ENSURE(out.rank() < kMaxRank, Code::kInvalidArgument)
      << "the result has an axis more than a tensor can have; expected at most " << kMaxRank - 1
      << " axes";
  out.insert(axis, c.num_inputs());
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string StackRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  const int axis = AxisAttr(attrs, "dim", out[0].rank());
  const std::string from = "(" + Labels("a", in[0].rank()) + ")";
  std::string text, to = "(";
  for (int i = 0; i < out[0].rank(); ++i)
    to += i == axis ? std::string("! ") : "a" + std::to_string(i < axis ? i : i - 1) + " ";
  for (size_t i = 0; i < in.size(); ++i) text += (i > 0 ? "," : "") + from;
  return text + "->" + to + ")" + OnlyMoved(in.size());
}

Status RunStack(op::KernelContext& c) {
  const op::TensorView& out = c.outputs[0];
  const int axis = AxisAttr(*c.attrs, "dim", out.meta.shape.rank());
  op::ViewGeometry part{out.meta.shape, out.strides, 0};
  part.shape.erase(axis);
  part.strides.erase(axis);
  for (const op::TensorView& in : c.inputs) {
    CopyBox(c.stream, in, ViewOf(out, part));
    part.offset += out.strides[axis];
  }
  return Status::Ok();
}

void GradStack(op::GradContext& c) {
  if (!c.grads[0]) return;
  const int64_t axis = AxisAttr(c.attrs, "dim", c.grads[0]->meta().shape.rank());
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.Needs(static_cast<int>(i))) continue;
    c.Set(static_cast<int>(i),
          c.b.Call("select", {c.grads[0]}, {{"dim", axis}, {"index", static_cast<int64_t>(i)}}));
  }
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

op::Sample ConcatSample(std::vector<Shape> shapes, int64_t dim, DType dtype = DType::kFloat32) {
  op::Sample s;
  for (const Shape& shape : shapes) s.inputs.push_back({dtype, shape});
  s.attrs = {{"dim", dim}};
  return s;
}

}  // namespace

OFL_OP(concat) {
  op.Doc("The tensors one after another along `dim`.")
      .InVariadic("tensors")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Infer(InferConcat)
      .Sbp(ConcatRule)
      .Grad(GradConcat)
      .Flops(NoFlops)
      .Promote(op::Promotion::kCommon)
      .Unclaimed("*B*->P(max)", kMixtures)
      .Unclaimed("*B*->P(min)", kMixtures)
      .Strided()
      .Oracle("concatenate(tensors, dim)")
      .Py("cat(tensors, dim=0)")
      .Py("concat(tensors, dim=0)")
      .Py("concatenate(tensors, dim=0)")
      .Public()
      .Samples([]() -> std::vector<op::Sample> {
        return {ConcatSample({{2, 3}, {4, 3}}, 0),
                ConcatSample({{2, 3}, {2, 1}, {2, 2}}, -1),
                ConcatSample({{3}, {0}}, 0, DType::kInt64),
                ConcatSample({{2, 2, 2}}, 1),
                ConcatSample({{2, 3, 2}, {2, 1, 2}}, 1),
                ConcatSample({{2, 3}, {2, 2}}, 1, DType::kComplex128),
                ConcatSample({{0}, {2, 3}, {2, 1}}, 1),
                ConcatSample({{2, 3}, {1, 3}}, 0, DType::kFloat16)};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 5}}},
            {{"dim", int64_t{0}}},
            Code::kInvalidArgument,
            "every axis but dim"},
           {{{DType::kFloat32, {2}}, {DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "one dtype"}});
  CpuForAllTypes(op, RunConcat);
}

OFL_OP(stack) {
  op.Doc("Tensors of one shape joined along a new axis, which becomes axis `dim`.")
      .InVariadic("tensors")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Infer(InferStack)
      .Sbp(StackRule)
      .Grad(GradStack)
      .Flops(NoFlops)
      .Promote(op::Promotion::kCommon)
      .Unclaimed("*B*->P(max)", kMixtures)
      .Unclaimed("*B*->P(min)", kMixtures)
      .Strided()
      .Oracle("np.stack(tensors, axis=dim)")
      .Py("stack(tensors, dim=0)")
      .Public()
      .Samples([] {
        return InEveryDType({ConcatSample({{2, 3}, {2, 3}}, 1),
                             ConcatSample({{2, 3}, {2, 3}, {2, 3}}, -1), ConcatSample({{2}}, 0),
                             ConcatSample({Shape{}, Shape{}}, 0)});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "tensors[1] has shape (3,)"},
                     {{{DType::kFloat32, {2}}},
                      {{"dim", int64_t{2}}},
                      Code::kOutOfRange,
                      "[-2, 1], but got 2"}});
  CpuForAllTypes(op, RunStack);
}

}  // namespace ofl::ops
