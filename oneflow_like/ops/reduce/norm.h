// The norms of vectors, composed, for operators that are made of them.
#pragma once

#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {

// (sum |x|^p)^(1/p) over the axes of `over` ({dim, keepdim}), in the real dtype of x; infinite p:
// the extreme absolute value, 0: how many are not 0. At 0 its slope is taken as 0, as in torch.
op::Value VectorNorm(op::Builder& b, const op::Value& x, double p, const Attrs& over);

}  // namespace ofl::ops
