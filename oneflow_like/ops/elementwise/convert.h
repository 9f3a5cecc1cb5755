// Rows of elements on their way between memory and the types that kernels compute in.
//
// float16, bfloat16 and the fp8 types are computed in float and rounded once, to nearest with ties
// to even, when they are stored; int8, uint8 and int16 in int32, and wrap when they are stored.
// Every other dtype is computed in as it is. Strides are in bytes and may be 0 or negative.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "device/cpu/simd.h"
#include "oneflow_like/core/dtype.h"

namespace ofl::ops {

DType ComputeTypeOf(DType storage);

// From `n` elements `stride` bytes apart to a dense row, and back.
using LoadFn = void (*)(const void* from, int64_t stride, void* row, int64_t n);
using StoreFn = void (*)(const void* row, void* to, int64_t stride, int64_t n);

// Between equal dtypes, and between a dtype and the one it is computed in; bool also loads as
// int32. Null for every other pair.
LoadFn LoaderOf(DType storage, DType compute);
StoreFn StorerOf(DType compute, DType storage);

// To float so that rounding the result to a half type gives what rounding `x` would: an inexact
// result has an odd last bit.
OFL_INLINE float RoundToOdd(double x) {
  const float near = static_cast<float>(x);
  const double back = static_cast<double>(near);
  const uint32_t bits = std::bit_cast<uint32_t>(near);
  const bool away = (back < 0 ? -back : back) > (x < 0 ? -x : x);
  const uint32_t odd = (bits - (away ? 1u : 0u)) | 1u;
  const bool exact = back == x || x != x;
  return std::bit_cast<float>(exact ? bits : odd);
}

// Repeats the first of `n` elements of `size` bytes.
void Splat(void* row, size_t size, int64_t n);

}  // namespace ofl::ops
