// reshape: the same elements under other axes. view is this, and axes.cc composes the rest of it.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

Result<Shape> TargetShape(const Shape& from, const Attrs& attrs) {
  std::vector<int64_t> dims = attrs.Get<std::vector<int64_t>>("shape");
  const int64_t numel = from.numel();
  const auto wild = std::find(dims.begin(), dims.end(), -1);
  if (wild != dims.end()) {
    *wild = 1;
    OFL_ENSURE(std::find(dims.begin(), dims.end(), -1) == dims.end(), Code::kInvalidArgument)
        << "only one dimension can be inferred; expected the size -1 at most once";
    OFL_ASSIGN(const Shape rest, Shape::Checked(dims));
    OFL_ENSURE(rest.numel() != 0 && numel % rest.numel() == 0, Code::kInvalidArgument)
        << "the size -1 cannot be told; expected the other sizes to divide " << numel
        << " elements";
    *wild = numel / rest.numel();
  }
  OFL_ASSIGN(const Shape shape, Shape::Checked(dims));
  OFL_ENSURE(shape.numel() == numel, Code::kInvalidArgument)
      << "the number of elements changes; expected a shape of " << numel << " elements but "
      << shape << " has " << shape.numel();
  return shape;
}

Status InferReshape(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, TargetShape(c.input(0).shape, c.attrs()));
  c.AddOutput({c.input(0).dtype, shape});
  return Status::Ok();
}

Result<sbp::FactorRule> ReshapeOpRule(std::span<const Shape> in, std::span<const Shape> out,
                                      const Attrs&, int64_t parts) {
  return sbp::ReshapeRule(in[0], out[0], parts);
}

Attrs LocalReshape(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

// Strides that put the elements of `from` in row-major order under `to`. Axes of `from` that lie
// evenly in memory are one run, which any axes of `to` may share out; a run that is left in the
// middle of an axis has no strides.
Result<op::ViewGeometry> Refold(const Shape& from, const Strides& strides, const Shape& to) {
  op::ViewGeometry view{to, ContiguousStrides(to), 0};
  if (from.numel() == 0) return view;
  int axis = to.rank() - 1;
  for (int i = from.rank() - 1; i >= 0;) {
    if (from[i] == 1) {
      --i;
      continue;
    }
    int64_t run = from[i], left = 1;
    const int64_t step = strides[i];
    for (--i; i >= 0 && (from[i] == 1 || strides[i] == step * run); --i) run *= from[i];
    for (; axis >= 0 && (left < run || to[axis] == 1); --axis) {
      view.strides[axis] = left * step;
      left *= to[axis];
    }
    OFL_ENSURE(left == run, Code::kUnimplemented)
        << "no strides give shape " << to << " to memory of shape " << from << " and strides "
        << strides << "; use reshape, which copies";
  }
  return view;
}

Result<op::ViewGeometry> ViewReshape(const Shape& base, const Strides& strides,
                                     const Attrs& attrs) {
  OFL_ASSIGN(const Shape to, TargetShape(base, attrs));
  return Refold(base, strides, to);
}

// The output is dense: under the input's shape it has strides whatever the input's are.
Status RunReshape(op::KernelContext& c) {
  const op::TensorView &in = c.inputs[0], &out = c.outputs[0];
  CopyBox(c.stream, in, {out.data, in.meta});
  return Status::Ok();
}

void GradReshape(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("reshape", {c.grads[0]}, {{"shape", DimsOf(c.inputs[0]->meta().shape)}}));
}

op::Values ReshapeScatter(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape& base = in[0]->meta().shape;
  const auto shape = TargetShape(base, attrs);
  if (!shape.ok()) return {b.Call("reshape", {in[0]}, attrs)};  // says what is wrong
  return {b.Call("reshape", {Assigned(b, in[0], in[1], *shape)}, {{"shape", DimsOf(base)}})};
}

op::Sample ReshapeSample(Shape from, std::vector<int64_t> to, DType dtype = DType::kFloat32) {
  return {{{dtype, from}}, {{"shape", std::move(to)}}};
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

op::OpDefBuilder& DescribeReshape(op::OpDefBuilder& op, const char* doc) {
  for (DType dtype : AllDTypes()) op.Cpu(dtype, RunReshape);
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferReshape)
      .Sbp(ReshapeOpRule)
      .LocalAttrs(LocalReshape)
      .Grad(GradReshape)
      .Flops(NoFlops)
      .InPlace(0, 0)
      .Strided("input")
      .Oracle("input.reshape(shape)");
}

}  // namespace

OFL_OP(reshape) {
  DescribeReshape(op,
                  "The same elements, in row-major order, under another shape; one size may be -1.")
      .ViewOrCopy(ViewReshape, "reshape_scatter")
      .PyBoth("reshape(input, *shape)")
      .Samples([]() -> std::vector<op::Sample> {
        return {ReshapeSample({4, 6}, {24}),
                ReshapeSample({4, 6}, {2, 2, 6}),
                ReshapeSample({4, 6}, {4, 2, 3}),
                ReshapeSample({8, 4}, {2, 4, 4}),
                ReshapeSample({2, 3, 4}, {6, -1}),
                ReshapeSample({3}, {1, 3, 1}),
                ReshapeSample({1, 3, 1}, {3}),
                ReshapeSample({0, 3}, {3, 0}),
                ReshapeSample({}, {1}),
                ReshapeSample({4, 3}, {2, 6}, DType::kComplex128),
                ReshapeSample({4, 3}, {3, -1}, DType::kFloat16),
                ReshapeSample({1}, {})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"shape", std::vector<int64_t>{7}}},
                      Code::kInvalidArgument,
                      "a shape of 6 elements"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"shape", std::vector<int64_t>{4, -1}}},
                      Code::kInvalidArgument,
                      "size -1"}});
}

OFL_OP(view) {
  DescribeReshape(
      op,
      "The same memory under another shape; one size may be -1. Strides must express it: else\n"
      "use reshape, which copies.")
      .View(ViewReshape, "reshape_scatter")
      .PyMethod("view(input, *size: shape)")
      .Samples([]() -> std::vector<op::Sample> {
        return {ReshapeSample({4, 6}, {2, 2, -1}), ReshapeSample({3}, {1, 3, 1}),
                ReshapeSample({0, 3}, {3, 0}), ReshapeSample({4, 3}, {12}, DType::kInt16)};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"shape", std::vector<int64_t>{7}}},
                      Code::kInvalidArgument,
                      "a shape of 6 elements"}});
}

OFL_OP(reshape_scatter) {
  op.Doc("The tensor like `base` whose reshape to `shape` is `value`.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Compose(ReshapeScatter)
      .Oracle("value.reshape(base.shape)")
      .Py("reshape_scatter(base, value, shape)")
      .Samples([]() -> std::vector<op::Sample> {
        op::Sample s = ReshapeSample({4, 6}, {2, 2, -1});
        s.inputs.push_back({DType::kFloat32, {2, 2, 6}});
        return {s};
      });
}

}  // namespace ofl::ops
