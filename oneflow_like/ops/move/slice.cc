// slice: a box of a tensor, in steps; slice_grad puts one into zeros, slice_scatter into a tensor.
//
// An axis is whole when it begins at 0, has step 1 and ends at or past the axis. Ends are cut at
// the axis, so that the attributes of a whole axis hold for every shard of it.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

// A slice of one axis after Python's rules for negative and large bounds.
struct Range {
  int64_t begin, step, count;
};

Range RangeOf(const Attrs& attrs, int axis, int64_t size) {
  const auto bound = [&](const char* name) {
    int64_t at = attrs.Get<std::vector<int64_t>>(name)[axis];
    if (at < 0) at += size;
    return std::clamp<int64_t>(at, 0, size);
  };
  const int64_t begin = bound("begin"), end = bound("end");
  const int64_t step = attrs.Get<std::vector<int64_t>>("step")[axis];
  return {begin, step, end > begin ? (end - begin - 1) / step + 1 : 0};
}

bool Whole(const Attrs& attrs, int axis, int64_t size) {
  const Range r = RangeOf(attrs, axis, size);
  return attrs.Get<std::vector<int64_t>>("begin")[axis] == 0 && r.step == 1 &&
         attrs.Get<std::vector<int64_t>>("end")[axis] >= size;
}

Status CheckSlices(const Attrs& attrs, int rank) {
  for (const char* name : {"begin", "end", "step"})
    OFL_ENSURE(static_cast<int>(attrs.Get<std::vector<int64_t>>(name).size()) == rank,
               Code::kInvalidArgument)
        << name << " must have one entry for each axis; expected " << rank;
  for (int64_t step : attrs.Get<std::vector<int64_t>>("step"))
    OFL_ENSURE(step > 0, Code::kInvalidArgument) << "step must be positive; use flip to reverse";
  return Status::Ok();
}

Shape SlicedShape(const Attrs& attrs, const Shape& full) {
  Shape out;
  for (int i = 0; i < full.rank(); ++i) out.push_back(RangeOf(attrs, i, full[i]).count);
  return out;
}

Status InferSlice(op::InferContext& c) {
  OFL_TRY(CheckSlices(c.attrs(), c.input(0).shape.rank()));
  c.AddOutput({c.input(0).dtype, SlicedShape(c.attrs(), c.input(0).shape)});
  return Status::Ok();
}

Status InferSliceGrad(op::InferContext& c) {
  OFL_ASSIGN(const Shape full, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  OFL_TRY(CheckSlices(c.attrs(), full.rank()));
  OFL_ENSURE(c.input(0).shape == SlicedShape(c.attrs(), full), Code::kInvalidArgument)
      << "grad must have the shape of the slice; expected " << SlicedShape(c.attrs(), full);
  c.AddOutput({c.input(0).dtype, full});
  return Status::Ok();
}

std::string SliceAxes(const Attrs& attrs, const Shape& full) {
  std::string text = "(";
  for (int i = 0; i < full.rank(); ++i)
    text += Whole(attrs, i, full[i]) ? "a" + std::to_string(i) + " " : std::string("! ");
  return text + ")";
}

std::string SliceRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const std::string axes = SliceAxes(attrs, in[0]);
  return axes + "->" + axes + "; linear 0; monotone 0";
}

std::string SliceGradRule(std::span<const Shape>, std::span<const Shape> out, const Attrs& attrs) {
  const std::string axes = SliceAxes(attrs, out[0]);
  return axes + "->" + axes + "; linear 0; monotone 0";
}

Result<op::ViewGeometry> ViewSlice(const Shape& base, const Strides& strides, const Attrs& attrs) {
  op::ViewGeometry view;
  for (int i = 0; i < base.rank(); ++i) {
    const Range r = RangeOf(attrs, i, base[i]);
    view.shape.push_back(r.count);
    // A step may leave all numbers; what it leads to is then no element.
    view.strides.push_back(SaturatingMul(strides[i], r.step));
    if (r.count > 0) view.offset += strides[i] * r.begin;
  }
  return view;
}

// The slice of a tensor's memory.
Result<op::TensorView> SliceOf(const op::TensorView& whole, const Attrs& attrs) {
  OFL_ASSIGN(const op::ViewGeometry view, ViewSlice(whole.meta.shape, whole.strides, attrs));
  return ViewOf(whole, view);
}

Status RunSlice(op::KernelContext& c) {
  OFL_ASSIGN(const op::TensorView part, SliceOf(c.inputs[0], *c.attrs));
  CopyBox(c.stream, part, c.outputs[0]);
  return Status::Ok();
}

Status RunSliceGrad(op::KernelContext& c) {
  OFL_ASSIGN(const op::TensorView part, SliceOf(c.outputs[0], *c.attrs));
  if (c.inputs[0].numel() != c.outputs[0].numel()) ZeroBox(c.stream, c.outputs[0]);
  CopyBox(c.stream, c.inputs[0], part);
  return Status::Ok();
}

Status RunSliceScatter(op::KernelContext& c) {
  OFL_ASSIGN(const op::TensorView part, SliceOf(c.outputs[0], *c.attrs));
  CopyBox(c.stream, c.inputs[0], c.outputs[0]);
  CopyBox(c.stream, c.inputs[1], part);
  return Status::Ok();
}

void GradSlice(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  attrs.Set("shape", DimsOf(c.inputs[0]->meta().shape));
  c.Set(0, c.b.Call("slice_grad", {c.grads[0]}, attrs));
}

void GradSliceGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("slice", {c.grads[0]},
                    {{"begin", c.attrs.Get<std::vector<int64_t>>("begin")},
                     {"end", c.attrs.Get<std::vector<int64_t>>("end")},
                     {"step", c.attrs.Get<std::vector<int64_t>>("step")}}));
}

Status InferSliceScatter(op::InferContext& c) {
  const Shape& full = c.input(0).shape;
  OFL_TRY(RequireSameDType(c, 0, 1, "base and value"));
  OFL_TRY(CheckSlices(c.attrs(), full.rank()));
  OFL_ENSURE(c.input(1).shape == SlicedShape(c.attrs(), full), Code::kInvalidArgument)
      << "value must have the shape of the slice; expected " << SlicedShape(c.attrs(), full);
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string SliceScatterRule(std::span<const Shape> in, std::span<const Shape>,
                             const Attrs& attrs) {
  const std::string axes = SliceAxes(attrs, in[0]);
  return axes + "," + axes + "->" + axes +
         "; linear jointly 0 1; monotone 0 1; max jointly 0 1; min jointly 0 1";
}

void GradSliceScatter(op::GradContext& c) {
  if (!c.grads[0]) return;
  if (c.Needs(0)) {
    const op::Value none = c.b.Call("full_like", {c.inputs[1]}, {{"value", int64_t{0}}});
    c.Set(0, c.b.Call("slice_scatter", {c.grads[0], none}, c.attrs));
  }
  if (c.Needs(1)) c.Set(1, c.b.Call("slice", {c.grads[0]}, c.attrs));
}

Attrs LocalSliceGrad(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

op::Sample SliceSample(Shape full, Ints begin, Ints end, Ints step, DType dtype = DType::kFloat32) {
  return {{{dtype, full}},
          {{"begin", std::move(begin)}, {"end", std::move(end)}, {"step", std::move(step)}}};
}
op::Sample SliceScatterSample(Shape full, Ints begin, Ints end, Ints step,
                              DType dtype = DType::kFloat32) {
  op::Sample s = SliceSample(full, std::move(begin), std::move(end), std::move(step), dtype);
  s.inputs.push_back({dtype, SlicedShape(s.attrs, full)});
  return s;
}
op::Sample SliceGradSample(Shape full, Ints begin, Ints end, Ints step) {
  op::Sample s = SliceSample(full, std::move(begin), std::move(end), std::move(step));
  s.inputs[0].shape = SlicedShape(s.attrs, full);
  s.attrs.Set("shape", DimsOf(full));
  return s;
}

}  // namespace

OFL_OP(slice) {
  op.Doc(
        "The elements begin, begin + step, ... before end of every axis, with Python's rules for\n"
        "negative and large bounds. Axes taken whole may be split.")
      .In("input")
      .Out("output")
      .Attr("begin", op::AttrType::kInts)
      .Attr("end", op::AttrType::kInts)
      .Attr("step", op::AttrType::kInts)
      .Infer(InferSlice)
      .Sbp(SliceRule)
      .Grad(GradSlice)
      .Flops(NoFlops)
      .Strided()
      .View(ViewSlice, "slice_scatter")
      .Oracle("input[slices(begin, end, step)]")
      .Py("slice(input, *, begin, end, step)")
      .Samples([]() -> std::vector<op::Sample> {
        return {SliceSample({5, 6}, {0, 1}, {5, 4}, {1, 1}),
                SliceSample({5, 6}, {1, 0}, {-1, 100}, {2, 1}),
                SliceSample({4, 6, 2}, {0, 1, 0}, {4, 6, 2}, {1, 2, 1}, DType::kInt64),
                SliceSample({3, 4}, {0, 0}, {3, 4}, {1, 3}),
                SliceSample({3, 4}, {2, 0}, {1, 4}, {1, 1}),
                SliceSample({9, 4}, {1, 0}, {9, 4}, {3, 2}, DType::kComplex128),
                SliceSample({6}, {1}, {6}, {2}, DType::kFloat8E5M2),
                SliceSample({}, {}, {}, {})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"begin", Ints{0}}, {"end", Ints{1}}, {"step", Ints{1}}},
                      Code::kInvalidArgument,
                      "one entry for each axis"},
                     {{{DType::kFloat32, {2}}},
                      {{"begin", Ints{0}}, {"end", Ints{1}}, {"step", Ints{0}}},
                      Code::kInvalidArgument,
                      "step must be positive"}});
  CpuForAllTypes(op, RunSlice);
}

OFL_OP(slice_grad) {
  op.Doc("A tensor of zeros of `shape` whose slice is `grad`.")
      .In("grad")
      .Out("input_grad")
      .Attr("shape", op::AttrType::kInts)
      .Attr("begin", op::AttrType::kInts)
      .Attr("end", op::AttrType::kInts)
      .Attr("step", op::AttrType::kInts)
      .Infer(InferSliceGrad)
      .Sbp(SliceGradRule)
      .LocalAttrs(LocalSliceGrad)
      .Grad(GradSliceGrad)
      .Flops(NoFlops)
      .Strided()
      .Oracle("scatter(np.zeros(shape, grad.dtype), grad, begin, end, step)")
      .Py("slice_grad(grad, *, shape, begin, end, step)")
      .Samples([]() -> std::vector<op::Sample> {
        return {SliceGradSample({5, 6}, {0, 1}, {5, 4}, {1, 1}),
                SliceGradSample({5, 6}, {1, 0}, {-1, 100}, {2, 1}),
                SliceGradSample({3, 4}, {0, 0}, {3, 4}, {1, 3})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"shape", Ints{5}}, {"begin", Ints{0}}, {"end", Ints{3}}, {"step", Ints{1}}},
                      Code::kInvalidArgument,
                      "shape of the slice"}});
  CpuForAllTypes(op, RunSliceGrad);
}
OFL_OP(slice_scatter) {
  op.Doc("`base` with the elements that slice would take replaced by `value`.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("begin", op::AttrType::kInts)
      .Attr("end", op::AttrType::kInts)
      .Attr("step", op::AttrType::kInts)
      .Infer(InferSliceScatter)
      .Sbp(SliceScatterRule)
      .Grad(GradSliceScatter)
      .Flops(NoFlops)
      .InPlace(0, 0)
      .Strided()
      .Oracle("scatter(base, value, begin, end, step)")
      .Py("slice_scatter(base, value, *, begin, end, step)")
      .Samples([]() -> std::vector<op::Sample> {
        return {SliceScatterSample({5, 6}, {0, 1}, {5, 4}, {1, 1}),
                SliceScatterSample({5, 6}, {1, 0}, {-1, 100}, {2, 1}),
                SliceScatterSample({3, 4}, {0, 0}, {3, 4}, {1, 3}, DType::kInt16),
                SliceScatterSample({4}, {1}, {4}, {2}, DType::kComplex128)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {2}}},
                      {{"begin", Ints{0}}, {"end", Ints{3}}, {"step", Ints{1}}},
                      Code::kInvalidArgument,
                      "shape of the slice"},
                     {{{DType::kFloat32, {5}}, {DType::kInt64, {3}}},
                      {{"begin", Ints{0}}, {"end", Ints{3}}, {"step", Ints{1}}},
                      Code::kTypeMismatch,
                      "one dtype"}});
  CpuForAllTypes(op, RunSliceScatter);
}

}  // namespace ofl::ops
