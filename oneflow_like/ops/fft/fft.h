// What the Fourier transforms share: how axes, lengths and scales are given to the kernels.
#pragma once

#include <string>
#include <vector>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {

// Lengths are counted in ints by the library below.
inline constexpr int64_t kLongestTransform = int64_t{1} << 30;

using Axes = std::vector<int64_t>;

// Complex to complex over the axes `dims`, which are not negative and all different; `forward`:
// with the minus sign in the exponent.
op::Value TransformComplex(op::Builder& b, const op::Value& x, const Axes& dims, double scale,
                           bool forward);
// Real to the half of the forward transform that says all: of the last of `dims`, n / 2 + 1.
op::Value TransformReal(op::Builder& b, const op::Value& x, const Axes& dims, double scale);
// Such a half back to `last` real numbers, with the plus sign.
op::Value TransformBack(op::Builder& b, const op::Value& x, const Axes& dims, double scale,
                        int64_t last);

// Axis `dim` cut off or filled up with zeros to `size`.
op::Value Resized(op::Builder& b, const op::Value& x, int64_t dim, int64_t size);

}  // namespace ofl::ops
