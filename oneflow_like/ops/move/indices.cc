#include "oneflow_like/ops/move/indices.h"

#include <algorithm>

namespace ofl::ops {
namespace {

int64_t SumsBound(std::span<const TensorMeta>, std::span<const TensorMeta> outputs, const Attrs&,
                  int) {
  return outputs[0].shape.numel() * static_cast<int64_t>(sizeof(float));
}

}  // namespace

namespace {

OFL_SIMD bool RowOutside(const int64_t* row, int64_t n, uint64_t size) {
  bool any = false;
  for (int64_t j = 0; j < n; ++j) any |= static_cast<uint64_t>(row[j]) >= size;
  return any;
}

bool AnyOutside(const op::TensorView& index, int64_t step, int64_t size) {
  const auto limit = static_cast<uint64_t>(size);
  bool any = false;
  ForRows<1>(index.meta.shape, {index.strides}, 0, index.numel(),
             [&](const std::array<int64_t, 1>& offset, int64_t n) {
               const int64_t* row = index.as<int64_t>() + offset[0];
               if (step == 1) {
                 any |= RowOutside(row, n, limit);
                 return;
               }
               for (int64_t j = 0; j < n; ++j) any |= static_cast<uint64_t>(row[j * step]) >= limit;
             });
  return any;
}

}  // namespace

// Which one is outside is looked for only if one is.
Status CheckIndices(const char* op, const op::TensorView& index, int64_t size) {
  if (index.numel() == 0) return Status::Ok();
  const int rank = index.meta.shape.rank();
  const int64_t step = rank > 0 ? index.strides[rank - 1] : 0;
  int64_t at = 0, bad = -1, value = 0;
  if (!AnyOutside(index, step, size)) return Status::Ok();
  ForRows<1>(index.meta.shape, {index.strides}, 0, index.numel(),
             [&](const std::array<int64_t, 1>& offset, int64_t n) {
               const int64_t* row = index.as<int64_t>() + offset[0];
               for (int64_t j = 0; j < n; ++j, ++at) {
                 const int64_t entry = row[j * step];
                 if (bad >= 0 || (entry >= 0 && entry < size)) continue;
                 bad = at;
                 value = entry;
               }
             });
  OFL_ENSURE(bad < 0, Code::kOutOfRange)
      << "[" << op << "] an index lies outside the axis: got " << value << " at position " << bad
      << "; expected 0 <= index < " << size;
  return Status::Ok();
}

namespace {

// places[j] + entry * stride, of entries that count from either end; whether one lies outside.
OFL_SIMD bool AddPlaces(const int64_t* entries, int64_t step, int64_t n, int64_t size,
                        int64_t stride, bool first, int64_t* places) {
  int64_t outside = 0;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t given = entries[j * step];
    const int64_t entry = given + (given < 0 ? size : 0);
    outside |= entry | (size - 1 - entry);  // negative: its highest bit
    places[j] = (first ? 0 : places[j]) + entry * stride;
  }
  return outside < 0;
}

// Of vectors of indices, the tensor being whole: false where it is a shard or an index is wrong.
bool LocateInWhole(std::span<const op::TensorView> indices, int dim, const Shape& logical,
                   const op::TensorView& x, const Strides& strides, int64_t* places) {
  const int rank = indices[0].meta.shape.rank();
  if (rank > 1 && !std::ranges::all_of(indices, &op::TensorView::dense)) return false;
  for (size_t k = 0; k < indices.size(); ++k) {
    const int axis = dim + static_cast<int>(k);
    if (x.meta.shape[axis] != logical[axis]) return false;
    const int64_t step = rank == 1 ? indices[k].strides[0] : 1;
    if (AddPlaces(indices[k].as<int64_t>(), step, indices[k].numel(), logical[axis], strides[axis],
                  k == 0, places))
      return false;
  }
  return true;
}

}  // namespace

Status Locate(const char* op, std::span<const op::TensorView> indices, int dim,
              const Shape& logical, const Shape& first, const op::TensorView& x,
              const Strides& strides, int64_t* places) {
  const int64_t count = indices[0].numel();
  if (LocateInWhole(indices, dim, logical, x, strides, places)) return Status::Ok();
  std::fill(places, places + count, int64_t{0});
  for (size_t k = 0; k < indices.size(); ++k) {
    const op::TensorView& index = indices[k];
    const int axis = dim + static_cast<int>(k), last = index.meta.shape.rank() - 1;
    const int64_t size = logical[axis], begin = first[axis], extent = x.meta.shape[axis];
    int64_t at = 0, bad = -1, value = 0;
    ForRows<1>(index.meta.shape, {index.strides}, 0, count, [&](const auto& offset, int64_t n) {
      const int64_t* row = index.as<int64_t>() + offset[0];
      for (int64_t j = 0; j < n; ++j, ++at) {
        const int64_t given = row[last < 0 ? 0 : j * index.strides[last]];
        const int64_t entry = given < 0 ? given + size : given;
        if (entry < 0 || entry >= size) {
          if (bad < 0) value = given;
          bad = bad < 0 ? at : bad;
          continue;
        }
        const bool here = entry >= begin && entry < begin + extent && places[at] != kElsewhere;
        places[at] = here ? places[at] + (entry - begin) * strides[axis] : kElsewhere;
      }
    });
    OFL_ENSURE(bad < 0, Code::kOutOfRange)
        << "[" << op << "] index " << value << " is out of bounds for dimension " << axis
        << " with size " << size << ": got it at position " << bad << "; expected -" << size
        << " <= index < " << size;
  }
  return Status::Ok();
}

Result<op::TensorView> Widened(device::Stream* stream, const op::TensorView& view,
                               std::byte*& scratch) {
  const DType sums = SumsIn(view.meta.dtype);
  if (sums == view.meta.dtype) return view;
  const op::TensorView wide(scratch, {sums, view.meta.shape});
  scratch += WidenedBytes(view.meta);
  if (view.numel() > 0) OFL_TRY(CastElements(stream, view, wide));
  return wide;
}

std::vector<DType> WithoutFloat8() {
  std::vector<DType> dtypes(AllDTypes().begin(), AllDTypes().end());
  std::erase_if(dtypes, IsFloat8);
  return dtypes;
}

std::vector<op::Sample> WithDTypes(std::vector<op::Sample> samples, std::span<const DType> dtypes,
                                   std::initializer_list<size_t> data) {
  const op::Sample first = samples.front();
  for (DType dtype : dtypes) {
    if (dtype == first.inputs[0].dtype) continue;
    samples.push_back(first);
    for (size_t i : data) samples.back().inputs[i].dtype = dtype;
  }
  return samples;
}

void AccumulatesIn(op::OpDefBuilder& op, op::KernelFn fn) {
  for (DType d : AllDTypes())
    if (IsDifferentiable(d) && !IsFloat8(d)) op.Cpu(d, fn, IsHalf(d) ? SumsBound : nullptr);
}

}  // namespace ofl::ops
