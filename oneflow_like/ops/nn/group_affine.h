// What normalisations over groups of channels are composed of.
#pragma once

#include "oneflow_like/op/def/builder.h"

namespace ofl::ops {

// x (N, C, ...) with each of `groups` groups of `each` elements, which axis 1 is cut into with all
// axes after it, of mean 0 and variance 1. x is float32 or float64.
op::Value NormalisedGroups(op::Builder& b, const op::Value& x, int64_t groups, int64_t each,
                           double eps);

}  // namespace ofl::ops
