// What pooling as torch names it asks for.
#pragma once

#include <limits>

#include "oneflow_like/ops/conv/composed.h"

namespace ofl::ops {

// What None in a list of sizes arrives as.
inline constexpr int64_t kKeepAxis = std::numeric_limits<int64_t>::min();

// One number each for the spatial axes.
struct PoolRequest {
  Ints kernel, stride, padding, dilation, size;
  Attrs ToAttrs() const;  // of window_max and window_mean
};
// From kernel_size, stride, padding, dilation and ceil_mode, those that there are.
Result<PoolRequest> RequestOfPool(const TensorMeta& x, const Attrs& attrs, int axes);

}  // namespace ofl::ops
