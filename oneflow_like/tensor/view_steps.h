// Views taken one of another, of which some show an element of their base several times, or count
// in a memory: which elements of the first one's base the last one shows.
#pragma once

#include <span>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

struct ViewStep {
  const op::OpDef* def;
  AttrsRef attrs;  // completed
};

// Whether an element of `base` may be shown twice, or anywhere: nothing can be written back through
// such a step alone, only through all from it on.
bool NeedsJoining(const ViewStep& step, const Shape& base);

// The attributes of as_strided_take and as_strided_put for the view that all steps give, counted in
// the elements of `base` in row-major order. kUnimplemented where no strides express it.
Result<Attrs> Joined(std::span<const ViewStep> steps, const TensorMeta& base);

// Whether the last view shows all elements of `base` in row-major order.
bool ShowsAll(std::span<const ViewStep> steps, const TensorMeta& base);

}  // namespace ofl::tensor
