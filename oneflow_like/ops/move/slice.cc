// slice: a strided box of a tensor, its gradient, and concat.
//
// An axis is whole when it begins at 0, has step 1 and ends at or past the axis. Ends are cut at
// the axis, so that the attributes of a whole axis hold for every shard of it.
#include <algorithm>
#include <array>

#include "oneflow_like/ops/kernel_util.h"

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

// Calls body(row of the slice, element offset in the full tensor) for each row along the last
// axis of the slice.
template <class Body>
void ForEachRow(device::Stream* stream, const Attrs& attrs, const Shape& full, const Shape& part,
                const Body& body) {
  const Strides strides = ContiguousStrides(full);
  const int last = full.rank() - 1;
  std::array<Range, kMaxRank> ranges;
  for (int i = 0; i <= last; ++i) ranges[i] = RangeOf(attrs, i, full[i]);
  Parallel(stream, ProductOf(part, 0, last), RowGrain(part[last] + 8),
           [&](int64_t begin, int64_t end) {
             for (int64_t r = begin; r < end; ++r) {
               int64_t offset = ranges[last].begin, index = r;
               for (int i = last - 1; i >= 0; --i) {
                 offset += (ranges[i].begin + index % part[i] * ranges[i].step) * strides[i];
                 index /= part[i];
               }
               body(r, offset);
             }
           });
}

Status RunSlice(op::KernelContext& c) {
  const Shape& full = c.inputs[0].meta.shape;
  const Shape& part = c.outputs[0].meta.shape;
  if (part.numel() == 0) return Status::Ok();
  const int64_t size = static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  const std::byte* from = c.inputs[0].as<std::byte>();
  std::byte* to = c.outputs[0].as<std::byte>();
  if (full.rank() == 0) {
    std::memcpy(to, from, size);
    return Status::Ok();
  }
  const int64_t width = part[part.rank() - 1];
  const int64_t step = c.attr<std::vector<int64_t>>("step").back();
  ForEachRow(c.stream, *c.attrs, full, part, [&](int64_t row, int64_t offset) {
    if (step == 1) {
      std::memcpy(to + row * width * size, from + offset * size, width * size);
      return;
    }
    for (int64_t j = 0; j < width; ++j)
      std::memcpy(to + (row * width + j) * size, from + (offset + j * step) * size, size);
  });
  return Status::Ok();
}

Status RunSliceGrad(op::KernelContext& c) {
  const Shape& full = c.outputs[0].meta.shape;
  const Shape& part = c.inputs[0].meta.shape;
  const int64_t size = static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  const std::byte* from = c.inputs[0].as<std::byte>();
  std::byte* to = c.outputs[0].as<std::byte>();
  Parallel(c.stream, c.outputs[0].meta.bytes(), 64 * 1024,
           [&](int64_t begin, int64_t end) { std::memset(to + begin, 0, end - begin); });
  if (part.numel() == 0) return Status::Ok();
  if (full.rank() == 0) {
    std::memcpy(to, from, size);
    return Status::Ok();
  }
  const int64_t width = part[part.rank() - 1];
  const int64_t step = c.attr<std::vector<int64_t>>("step").back();
  ForEachRow(c.stream, *c.attrs, full, part, [&](int64_t row, int64_t offset) {
    for (int64_t j = 0; step != 1 && j < width; ++j)
      std::memcpy(to + (offset + j * step) * size, from + (row * width + j) * size, size);
    if (step == 1) std::memcpy(to + offset * size, from + row * width * size, width * size);
  });
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

Attrs LocalSliceGrad(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

using Ints = std::vector<int64_t>;
op::Sample SliceSample(Shape full, Ints begin, Ints end, Ints step, DType dtype = DType::kFloat32) {
  return {{{dtype, full}},
          {{"begin", std::move(begin)}, {"end", std::move(end)}, {"step", std::move(step)}}};
}
op::Sample SliceGradSample(Shape full, Ints begin, Ints end, Ints step) {
  op::Sample s = SliceSample(full, std::move(begin), std::move(end), std::move(step));
  s.inputs[0].shape = SlicedShape(s.attrs, full);
  s.attrs.Set("shape", DimsOf(full));
  return s;
}

// --- concat -------------------------------------------------------------------------------------

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
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& shape = c.outputs[0].meta.shape;
  const int axis = AxisAttr(*c.attrs, "dim", shape.rank());
  const AxisView out = ViewAround(shape, axis);
  const int64_t size = static_cast<int64_t>(DTypeSize(c.outputs[0].meta.dtype));
  const int64_t row = out.size * out.inner * size;
  Parallel(c.stream, out.outer, RowGrain(row / 8 + 4), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      std::byte* to = c.outputs[0].as<std::byte>() + o * row;
      for (const op::TensorView& in : c.inputs) {
        const int64_t bytes = in.meta.shape[axis] * out.inner * size;
        if (bytes > 0) std::memcpy(to, in.as<std::byte>() + o * bytes, bytes);
        to += bytes;
      }
    }
  });
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
      .Py("slice(input, /, *, begin, end, step)")
      .Samples([]() -> std::vector<op::Sample> {
        return {SliceSample({5, 6}, {0, 1}, {5, 4}, {1, 1}),
                SliceSample({5, 6}, {1, 0}, {-1, 100}, {2, 1}),
                SliceSample({4, 6, 2}, {0, 1, 0}, {4, 6, 2}, {1, 2, 1}, DType::kInt64),
                SliceSample({3, 4}, {0, 0}, {3, 4}, {1, 3}),
                SliceSample({3, 4}, {2, 0}, {1, 4}, {1, 1}),
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
      .Py("slice_grad(grad, /, *, shape, begin, end, step)")
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

OFL_OP(concat) {
  op.Doc("The tensors one after another along `dim`.")
      .InVariadic("tensors")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Infer(InferConcat)
      .Sbp(ConcatRule)
      .Grad(GradConcat)
      .Flops(NoFlops)
      .Py("cat(tensors, /, dim=0)")
      .Samples([]() -> std::vector<op::Sample> {
        return {ConcatSample({{2, 3}, {4, 3}}, 0), ConcatSample({{2, 3}, {2, 1}, {2, 2}}, -1),
                ConcatSample({{3}, {0}}, 0, DType::kInt64), ConcatSample({{2, 2, 2}}, 1),
                ConcatSample({{2, 3, 2}, {2, 1, 2}}, 1)};
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
