// index_select and gather, with the scatter-adds that are their gradients.
#include <algorithm>

#include "oneflow_like/ops/move/indices.h"

namespace ofl::ops {
namespace {

// --- index_select -------------------------------------------------------------------------------

Status InferIndexSelect(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 1, "index"));
  Shape out = c.input(0).shape;
  OFL_ENSURE(out.rank() > 0 && c.input(1).shape.rank() == 1, Code::kInvalidArgument)
      << "index must be a vector and input have at least one axis";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  out[axis] = c.input(1).shape[0];
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string Renamed(int rank, int axis, const std::string& name) {
  std::string text;
  for (int i = 0; i < rank; ++i)
    text += (i > 0 ? " " : "") + (i == axis ? name : "a" + std::to_string(i));
  return "(" + text + ")";
}

std::string IndexSelectRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "v") + ",(i)->" + Renamed(rank, axis, "i") +
         "; reduce v by sum; offset v; linear 0; monotone 0";
}

// The axes of a tensor on one side of `axis`.
struct Side {
  Shape shape;
  Strides strides;
};
Side Before(const op::TensorView& x, int axis) {
  return {Shape(x.meta.shape.dims().first(axis)), Strides(x.strides.dims().first(axis))};
}
Side After(const op::TensorView& x, int axis) {
  return {Shape(x.meta.shape.dims().subspan(axis + 1)),
          Strides(x.strides.dims().subspan(axis + 1))};
}

int64_t OffsetOf(const Side& side, int64_t index) {
  int64_t offset = 0;
  for (int i = side.shape.rank() - 1; i >= 0; --i) {
    offset += index % side.shape[i] * side.strides[i];
    index /= side.shape[i];
  }
  return offset;
}

// Calls body(outer place in x, outer place in y, i) for each outer index of `y` and each entry i of
// the index, several at once.
template <class Body>
void ForSlices(device::Stream* stream, const op::TensorView& x, const op::TensorView& y, int axis,
               int64_t count, const Body& body) {
  const Side from = Before(x, axis), to = Before(y, axis);
  const int64_t inner = ProductOf(y.meta.shape, axis + 1, y.meta.shape.rank());
  Parallel(stream, to.shape.numel(), RowGrain(count * (inner + 1)),
           [&](int64_t begin, int64_t end) {
             for (int64_t o = begin; o < end; ++o) {
               const int64_t at_x = OffsetOf(from, o), at_y = OffsetOf(to, o);
               for (int64_t i = 0; i < count; ++i) body(at_x, at_y, i);
             }
           });
}

// A slice outside this shard of the axis is zero here: another rank adds it.
Status RunIndexSelect(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &index = c.inputs[1], &y = c.outputs[0];
  const int axis = AxisAttr(*c.attrs, "dim", x.meta.shape.rank());
  const int64_t first = c.input_offsets[0][axis];
  OFL_TRY(CheckIndices("index_select", index, c.logical_inputs[0].shape[axis]));
  if (y.numel() == 0) return Status::Ok();
  const int64_t size = ElementSize(y), extent = x.meta.shape[axis];
  const Side from = After(x, axis), to = After(y, axis);
  const bool runs = IsDense(from.shape, from.strides) && IsDense(to.shape, to.strides);
  const int64_t run = to.shape.numel() * size;
  ForSlices(c.stream, x, y, axis, index.numel(), [&](int64_t at_x, int64_t at_y, int64_t i) {
    const int64_t at = IndexAt(index, i) - first;
    std::byte* target = y.as<std::byte>() + (at_y + i * y.strides[axis]) * size;
    const bool here = at >= 0 && at < extent;
    std::byte* source = here ? x.as<std::byte>() + (at_x + at * x.strides[axis]) * size : nullptr;
    if (!runs) {
      const op::TensorView slice(target, {y.meta.dtype, to.shape}, to.strides);
      if (here) {
        CopyBox(nullptr, {source, slice.meta, from.strides}, slice);
      } else {
        ZeroBox(nullptr, slice);
      }
    } else if (here) {
      std::memcpy(target, source, run);
    } else {
      std::memset(target, 0, run);
    }
  });
  return Status::Ok();
}

void GradIndexSelect(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int rank = c.inputs[0]->meta().shape.rank();
  const int axis = AxisAttr(c.attrs, "dim", rank);
  c.Set(0, c.b.Call("index_select_grad", {c.grads[0], c.inputs[1]},
                    {{"dim", int64_t{axis}}, {"size", c.inputs[0]->meta().shape[axis]}}));
}

Status InferIndexSelectGrad(op::InferContext& c) {
  OFL_TRY(RequireDifferentiable(c, 0, "grad"));
  OFL_TRY(RequireInt64(c, 1, "index"));
  Shape out = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  const Shape& index = c.input(1).shape;
  OFL_ENSURE(index.rank() == 1 && index[0] == out[axis], Code::kInvalidArgument)
      << "index must have one entry for each slice of grad along dim";
  OFL_ENSURE(c.attr<int64_t>("size") >= 0, Code::kInvalidArgument) << "size must not be negative";
  out[axis] = c.attr<int64_t>("size");
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string IndexSelectGradRule(std::span<const Shape> in, std::span<const Shape>,
                                const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "i") + ",(i)->" + Renamed(rank, axis, "v") +
         "; reduce i by sum; offset v; linear 0";
}

// Slices are added in the order of the index, whatever the number of threads.
template <class T>
void AddSlices(op::KernelContext& c, const op::TensorView& sums) {
  const op::TensorView &grad = c.inputs[0], &index = c.inputs[1];
  const int axis = AxisAttr(*c.attrs, "dim", grad.meta.shape.rank());
  const int64_t first = c.output_offsets[0][axis], extent = sums.meta.shape[axis];
  const Side from = After(grad, axis), to = After(sums, axis);
  const AddRow<T> add(grad, from.strides, to.strides);
  ForSlices(c.stream, grad, sums, axis, index.numel(), [&](int64_t at_x, int64_t at_y, int64_t i) {
    const int64_t at = IndexAt(index, i) - first;
    if (at < 0 || at >= extent) return;
    ForRows<2>(to.shape, {from.strides, to.strides}, 0, to.shape.numel(),
               [&](const std::array<int64_t, 2>& offset, int64_t n) {
                 add(at_x + i * grad.strides[axis] + offset[0],
                     sums.as<T>() + at_y + at * sums.strides[axis] + offset[1], n);
               });
  });
}

Status RunIndexSelectGrad(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  OFL_TRY(CheckIndices("index_select_grad", c.inputs[1], c.logical_outputs[0].shape[axis]));
  return Accumulate(
      c, [&](auto zero, const op::TensorView& sums) { AddSlices<decltype(zero)>(c, sums); });
}

void GradIndexSelectGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("index_select", {c.grads[0], c.inputs[1]},
                    {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

Attrs LocalIndexSelectGrad(const Attrs& attrs, std::span<const Shape>,
                           std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("size", outputs[0][AxisAttr(attrs, "dim", outputs[0].rank())]);
  return local;
}

// --- gather -------------------------------------------------------------------------------------

Status InferGather(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 1, "index"));
  const Shape& x = c.input(0).shape;
  const Shape& index = c.input(1).shape;
  OFL_ENSURE(x.rank() > 0 && x.rank() == index.rank(), Code::kInvalidArgument)
      << "input and index must have the same number of axes, at least 1";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), x.rank()));
  for (int i = 0; i < x.rank(); ++i)
    OFL_ENSURE(i == axis || index[i] == x[i], Code::kInvalidArgument)
        << "index must have input's sizes outside dim; expected index.shape[" << i
        << "] == " << x[i];
  c.AddOutput({c.input(0).dtype, index});
  return Status::Ok();
}

std::string GatherRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "v") + "," + Renamed(rank, axis, "i") + "->" +
         Renamed(rank, axis, "i") + "; reduce v by sum; offset v; linear 0; monotone 0";
}

// Rows along the gathered axis, dense; every index lies inside.
template <class T>
OFL_SIMD void GatherRow(const T* from, const int64_t* at, T* to, int64_t n) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; ++j) to[j] = from[at[j]];
}

template <class T>
void GatherElements(op::KernelContext& c, int axis) {
  const op::TensorView &x = c.inputs[0], &index = c.inputs[1], &y = c.outputs[0];
  const int64_t first = c.input_offsets[0][axis], extent = x.meta.shape[axis];
  const int last = y.meta.shape.rank() - 1;
  const int64_t along = x.strides[axis];
  const std::array<Strides, 3> strides = {Without(x.strides, axis), index.strides, y.strides};
  const bool whole = first == 0 && extent == c.logical_inputs[0].shape[axis];
  const bool direct =
      whole && axis == last && along == 1 && index.strides[last] == 1 && y.strides[last] == 1;
  Parallel(c.stream, y.numel(), RowGrain(4), [&](int64_t begin, int64_t end) {
    ForRows<3>(y.meta.shape, strides, begin, end, [&](const auto& offset, int64_t n) {
      const T* from = x.as<T>() + offset[0];
      const int64_t* at = index.as<int64_t>() + offset[1];
      T* to = y.as<T>() + offset[2];
      if (direct) return GatherRow(from, at, to, n);
      // Copies of its own: what is written might be any of them, to the compiler.
      const int64_t steps[] = {strides[0][last], strides[1][last], strides[2][last]};
      const int64_t begins = first, size = extent, stride = along;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t place = at[j * steps[1]] - begins;
        const bool here = place >= 0 && place < size;
        to[j * steps[2]] = here ? from[j * steps[0] + place * stride] : T{};
      }
    });
  });
}

Status RunGather(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  OFL_TRY(CheckIndices("gather", c.inputs[1], c.logical_inputs[0].shape[axis]));
  WithBits(ElementSize(c.outputs[0]), [&](auto bits) { GatherElements<decltype(bits)>(c, axis); });
  return Status::Ok();
}

void GradGather(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int axis = AxisAttr(c.attrs, "dim", c.inputs[0]->meta().shape.rank());
  c.Set(0, c.b.Call("gather_grad", {c.grads[0], c.inputs[1]},
                    {{"dim", int64_t{axis}}, {"size", c.inputs[0]->meta().shape[axis]}}));
}

Status InferGatherGrad(op::InferContext& c) {
  OFL_TRY(RequireDifferentiable(c, 0, "grad"));
  OFL_TRY(RequireInt64(c, 1, "index"));
  OFL_ENSURE(c.input(0).shape == c.input(1).shape, Code::kInvalidArgument)
      << "grad must have index's shape";
  Shape out = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  OFL_ENSURE(out.rank() > 0 && c.attr<int64_t>("size") >= 0, Code::kInvalidArgument)
      << "size must not be negative and grad have at least one axis";
  out[axis] = c.attr<int64_t>("size");
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string GatherGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "i") + "," + Renamed(rank, axis, "i") + "->" +
         Renamed(rank, axis, "v") + "; reduce i by sum; offset v; linear 0";
}

// Elements are added in row-major order; threads share out the axes before `dim`, so that no two
// add into one place.
template <class T>
void AddElements(op::KernelContext& c, int axis, const op::TensorView& sums) {
  const op::TensorView &grad = c.inputs[0], &index = c.inputs[1];
  const int64_t first = c.output_offsets[0][axis], extent = sums.meta.shape[axis];
  const Shape& shape = grad.meta.shape;
  const int last = shape.rank() - 1;
  const AddRow<T> add(grad, {0}, {0});
  const int64_t along = sums.strides[axis];
  const std::array<Strides, 3> strides = {grad.strides, index.strides, Without(sums.strides, axis)};
  const int64_t block = ProductOf(shape, axis, shape.rank());
  Parallel(
      c.stream, ProductOf(shape, 0, axis), RowGrain(block * 4), [&](int64_t begin, int64_t end) {
        ForRows<3>(shape, strides, begin * block, end * block, [&](const auto& offset, int64_t n) {
          const int64_t* at = index.as<int64_t>() + offset[1];
          T* to = sums.as<T>() + offset[2];
          const int64_t steps[] = {strides[0][last], strides[1][last], strides[2][last]};
          const int64_t begins = first, size = extent, stride = along, starts = offset[0];
          if (grad.meta.dtype == sums.meta.dtype) {  // nothing is widened
            const T* from = grad.as<T>() + starts;
            for (int64_t j = 0; j < n; ++j) {
              const int64_t place = at[j * steps[1]] - begins;
              if (place >= 0 && place < size)
                to[j * steps[2] + place * stride] += from[j * steps[0]];
            }
            return;
          }
          for (int64_t j = 0; j < n; ++j) {
            const int64_t place = at[j * steps[1]] - begins;
            if (place >= 0 && place < size)
              add(starts + j * steps[0], to + j * steps[2] + place * stride, 1);
          }
        });
      });
}

Status RunGatherGrad(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  OFL_TRY(CheckIndices("gather_grad", c.inputs[1], c.logical_outputs[0].shape[axis]));
  return Accumulate(c, [&](auto zero, const op::TensorView& sums) {
    AddElements<decltype(zero)>(c, axis, sums);
  });
}

void GradGatherGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("gather", {c.grads[0], c.inputs[1]}, {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

op::Sample IndexSample(Shape x, Shape index, int64_t dim, double high, int64_t size = -1,
                       DType dtype = DType::kFloat32) {
  op::Sample s{{{dtype, x}, {DType::kInt64, index}}, {{"dim", dim}}, 0, high};
  if (size >= 0) s.attrs.Set("size", size);
  return s;
}

}  // namespace

OFL_OP(index_select) {
  op.Doc("The slices of `input` along `dim` that the int64 vector `index` names.")
      .In("input")
      .In("index")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferIndexSelect)
      .Sbp(IndexSelectRule)
      .Grad(GradIndexSelect)
      .Strided()
      .Oracle("np.take(input, index, axis=dim)")
      .Py("_index_select(input, dim, index)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({5, 3}, {4}, 0, 5), IndexSample({2, 4, 3}, {3}, 1, 4),
                IndexSample({3, 4}, {0}, -1, 4),
                IndexSample({3, 4}, {3}, 1, 4, -1, DType::kFloat16),
                IndexSample({3, 4}, {3}, 0, 3, -1, DType::kComplex128)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}, {DType::kInt64, {2, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index must be a vector"}});
  CpuForAllTypes(op, RunIndexSelect);
}

OFL_OP(index_select_grad) {
  op.Doc(
        "Adds each slice of `grad` along `dim` to the slice of an axis of `size` that index\n"
        "names.")
      .In("grad")
      .In("index")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Infer(InferIndexSelectGrad)
      .Sbp(IndexSelectGradRule)
      .LocalAttrs(LocalIndexSelectGrad)
      .Grad(GradIndexSelectGrad)
      .Strided("grad")
      .Strided("index")
      .Oracle("index_select_grad(grad, index, dim, size)")
      .Py("index_select_grad(grad, index, *, dim, size)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({4, 3}, {4}, 0, 5, 5), IndexSample({2, 5, 3}, {5}, 1, 6, 6),
                IndexSample({4, 2}, {4}, 0, 3, 3, DType::kBFloat16),
                IndexSample({4, 2}, {4}, 0, 3, 3, DType::kComplex64)};
      });
  AccumulatesIn(op, RunIndexSelectGrad);
}

OFL_OP(gather) {
  op.Doc(
        "output[.., i, ..] = input[.., index[.., i, ..], ..] along `dim`; index has input's\n"
        "sizes in every other axis.")
      .In("input")
      .In("index")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferGather)
      .Sbp(GatherRule)
      .Grad(GradGather)
      .Strided()
      .Oracle("np.take_along_axis(input, index, axis=dim)")
      .Py("_gather(input, dim, index)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({5, 3}, {4, 3}, 0, 5), IndexSample({2, 4, 3}, {2, 2, 3}, 1, 4),
                IndexSample({3, 4}, {3, 1}, -1, 4),
                IndexSample({3, 4}, {3, 2}, 1, 4, -1, DType::kFloat8E4M3),
                IndexSample({3, 4}, {2, 4}, 0, 3, -1, DType::kComplex128)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}, {DType::kInt64, {4, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index.shape[1] == 3"}});
  CpuForAllTypes(op, RunGather);
}

OFL_OP(gather_grad) {
  op.Doc("Adds each element of `grad` to the place along an axis of `size` that index names.")
      .In("grad")
      .In("index")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Infer(InferGatherGrad)
      .Sbp(GatherGradRule)
      .LocalAttrs(LocalIndexSelectGrad)
      .Grad(GradGatherGrad)
      .Strided("grad")
      .Strided("index")
      .Oracle("gather_grad(grad, index, dim, size)")
      .Py("gather_grad(grad, index, *, dim, size)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({4, 3}, {4, 3}, 0, 5, 5), IndexSample({2, 2, 3}, {2, 2, 3}, 1, 4, 4),
                IndexSample({4, 2}, {4, 2}, 0, 3, 3, DType::kFloat16),
                IndexSample({4, 2}, {4, 2}, 0, 3, 3, DType::kComplex128)};
      });
  AccumulatesIn(op, RunGatherGrad);
}

}  // namespace ofl::ops
