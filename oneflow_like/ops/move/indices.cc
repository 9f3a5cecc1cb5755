#include "oneflow_like/ops/move/indices.h"

namespace ofl::ops {
namespace {

int64_t SumsBound(std::span<const TensorMeta>, std::span<const TensorMeta> outputs, const Attrs&,
                  int) {
  return outputs[0].shape.numel() * static_cast<int64_t>(sizeof(float));
}

}  // namespace

Status CheckIndices(const char* op, const op::TensorView& index, int64_t size) {
  if (index.numel() == 0) return Status::Ok();
  const int rank = index.meta.shape.rank();
  const int64_t step = rank > 0 ? index.strides[rank - 1] : 0;
  int64_t at = 0, bad = -1, value = 0;
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

void AccumulatesIn(op::OpDefBuilder& op, op::KernelFn fn) {
  for (DType d : AllDTypes())
    if (IsDifferentiable(d) && !IsFloat8(d)) op.Cpu(d, fn, IsHalf(d) ? SumsBound : nullptr);
}

}  // namespace ofl::ops
