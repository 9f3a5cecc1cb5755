// Whether memory that strides describe holds each element in a place of its own.
#pragma once

#include "oneflow_like/core/shape.h"

namespace ofl {

// Whether two indices name one element: an expanded tensor's do. Of interleaved axes that reach
// further than 2^26 elements it is supposed.
bool OverlapsItself(const Shape& shape, const Strides& strides);

}  // namespace ofl
