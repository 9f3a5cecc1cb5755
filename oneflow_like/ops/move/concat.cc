// concat: tensors one after another.
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Ints = std::vector<int64_t>;

Status InferConcat(op::InferContext& c) {
  Shape out = c.input(0).shape;
  OFL_ENSURE(out.rank() > 0, Code::kInvalidArgument) << "scalars cannot be concatenated";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  for (int i = 1; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireSameDType(c, 0, i, "the tensors"));
    const Shape& next = c.input(i).shape;
    bool fits = next.rank() == out.rank();
    for (int a = 0; fits && a < out.rank(); ++a) fits = a == axis || next[a] == out[a];
    OFL_ENSURE(fits, Code::kInvalidArgument)
        << "the tensors must agree in every axis but dim; tensor " << i
        << " does not agree with tensor 0";
    out[axis] = SaturatingAdd(out[axis], next[axis]);
  }
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string ConcatRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  // One tensor alone is copied as it is.
  const int joined = in.size() > 1 ? AxisAttr(attrs, "dim", rank) : -1;
  const std::string axes = "(" + LabelsExcept("a", rank, joined) + ")";
  std::string text = axes;
  for (size_t i = 1; i < in.size(); ++i) text += "," + axes;
  text += "->" + axes + JointlyLinear(static_cast<int>(in.size())) + "; monotone";
  std::string all;
  for (size_t i = 0; i < in.size(); ++i) all += " " + std::to_string(i);
  return text + all + "; max jointly" + all + "; min jointly" + all;
}

Status RunConcat(op::KernelContext& c) {
  const op::TensorView& out = c.outputs[0];
  const int axis = AxisAttr(*c.attrs, "dim", out.meta.shape.rank());
  op::ViewGeometry part{out.meta.shape, out.strides, 0};
  for (const op::TensorView& in : c.inputs) {
    part.shape[axis] = in.meta.shape[axis];
    CopyBox(c.stream, in, ViewOf(out, part));
    part.offset += part.shape[axis] * out.strides[axis];
  }
  return Status::Ok();
}

void GradConcat(op::GradContext& c) {
  if (!c.grads[0]) return;
  const int rank = c.inputs[0]->meta().shape.rank();
  const int axis = AxisAttr(c.attrs, "dim", rank);
  int64_t at = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    Ints begin(rank, 0), end = DimsOf(c.grads[0]->meta().shape), step(rank, 1);
    begin[axis] = at;
    at += c.inputs[i]->meta().shape[axis];
    end[axis] = at;
    if (c.Needs(static_cast<int>(i)))
      c.Set(static_cast<int>(i),
            c.b.Call("slice", {c.grads[0]}, {{"begin", begin}, {"end", end}, {"step", step}}));
  }
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
      .Flops([](std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
        return int64_t{0};
      })
      .Strided()
      .Oracle("np.concatenate(tensors, axis=dim)")
      .Py("cat(tensors, dim=0)")
      .Public()
      .Samples([]() -> std::vector<op::Sample> {
        return {ConcatSample({{2, 3}, {4, 3}}, 0),
                ConcatSample({{2, 3}, {2, 1}, {2, 2}}, -1),
                ConcatSample({{3}, {0}}, 0, DType::kInt64),
                ConcatSample({{2, 2, 2}}, 1),
                ConcatSample({{2, 3, 2}, {2, 1, 2}}, 1),
                ConcatSample({{2, 3}, {2, 2}}, 1, DType::kComplex128),
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

}  // namespace ofl::ops
