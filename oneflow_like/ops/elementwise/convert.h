// Rows of elements on their way between memory and the types that kernels compute in.
//
// float16, bfloat16 and the fp8 types are computed in float and rounded once, to nearest with ties
// to even, when they are stored; int8, uint8 and int16 in int32, and wrap when they are stored.
// Every other dtype is computed in as it is. Strides are in bytes and may be 0 or negative.
#pragma once

#include <cstddef>
#include <cstdint>

#include "oneflow_like/core/dtype.h"

namespace ofl::ops {

DType ComputeTypeOf(DType storage);

// From `n` elements `stride` bytes apart to a dense row, and back.
using LoadFn = void (*)(const void* from, int64_t stride, void* row, int64_t n);
using StoreFn = void (*)(const void* row, void* to, int64_t stride, int64_t n);

// Between equal dtypes, and between a dtype and the one it is computed in; bool also as uint8 and
// int32, loaded as 0 or 1 whatever its byte is. Null for every other pair.
LoadFn LoaderOf(DType storage, DType compute);
StoreFn StorerOf(DType compute, DType storage);

// Repeats the first of `n` elements of `size` bytes.
void Splat(void* row, size_t size, int64_t n);

}  // namespace ofl::ops
