#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {

RowStarts::RowStarts(std::initializer_list<const op::TensorView*> operands, int axis) {
  const Shape& shape = (*operands.begin())->meta.shape;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i != axis && shape[i] == 1) continue;
    Axis next{shape[i], {}};
    size_t k = 0;
    for (const op::TensorView* operand : operands) next.stride[k++] = operand->strides[i];
    if (i == axis) {
      length_ = next.size;
      if (length_ > 1) stride_ = next.stride;
      continue;
    }
    rows_ *= next.size;
    bool merges = count_ > 0;
    for (k = 0; merges && k < next.stride.size(); ++k)
      merges = axes_[static_cast<size_t>(count_ - 1)].stride[k] == next.stride[k] * next.size;
    if (merges) {
      axes_[static_cast<size_t>(count_ - 1)].size *= next.size;
      axes_[static_cast<size_t>(count_ - 1)].stride = next.stride;
    } else {
      axes_[static_cast<size_t>(count_++)] = next;
    }
  }
}

}  // namespace ofl::ops
