// Elements that move without being looked at: boxes of 1, 2, 4, 8 or 16 bytes an element, laid out
// by any strides on both sides, 0 and negative ones included. Every dtype is one of these sizes.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

// A dtype of 16 bytes seen by its size.
struct Bits128 {
  uint64_t low, high;
};

// Calls fn with a value of an unsigned type of `size` bytes.
template <class Fn>
void WithBits(int64_t size, const Fn& fn) {
  switch (size) {
    case 1: return fn(uint8_t{});
    case 2: return fn(uint16_t{});
    case 4: return fn(uint32_t{});
    case 8: return fn(uint64_t{});
    default: return fn(Bits128{});
  }
}

inline int64_t ElementSize(const op::TensorView& view) {
  return static_cast<int64_t>(DTypeSize(view.meta.dtype));
}

// The box of elements that a view's geometry cuts out of `base`, `geometry` being made from the
// base's shape and strides.
op::TensorView ViewOf(const op::TensorView& base, const op::ViewGeometry& geometry);

// Every element of `to` from the one of `from` at the same place. The shapes are equal, and the
// memory is either apart or the same with the same strides. `to` touches no byte twice. Without a
// stream: on the calling thread.
void CopyBox(device::Stream* stream, const op::TensorView& from, const op::TensorView& to);
// Every byte of the elements of `to` becomes 0.
void ZeroBox(device::Stream* stream, const op::TensorView& to);

// The value that a composite writes back, as the view of shape `view` would hold it: of the base's
// dtype, and broadcast, as in NumPy's assignment.
op::Value Assigned(op::Builder& b, const op::Value& base, const op::Value& value,
                   const Shape& view);

// What a composition returns that was given what it cannot serve.
op::Values Refused(op::Builder& b, Status status);
// Samples, and the first of them in every other dtype: for operators that look at no value.
std::vector<op::Sample> InEveryDType(std::vector<op::Sample> samples);

// Walks over elements [begin, end) of `shape` in row-major order, along the last axis: calls
// body(offsets, n) for n elements, offsets[k] being the first one's place by strides[k]. The next
// lie strides[k].back() further. A shape without axes is one element.
template <size_t kOperands, class Body>
  requires std::invocable<Body, const std::array<int64_t, kOperands>&, int64_t>
void ForRows(const Shape& shape, const std::array<Strides, kOperands>& strides, int64_t begin,
             int64_t end, const Body& body) {
  if (begin >= end) return;  // perhaps an axis of size 0
  const int last = shape.rank() - 1;
  std::array<int64_t, kMaxRank> at{};
  std::array<int64_t, kOperands> offsets{};
  int64_t rest = begin;
  for (int i = last; i >= 0; --i) {
    at[i] = rest % shape[i];
    rest /= shape[i];
    for (size_t k = 0; k < kOperands; ++k) offsets[k] += at[i] * strides[k][i];
  }
  while (begin < end) {
    if (last < 0) return body(offsets, 1);
    const int64_t n = std::min(shape[last] - at[last], end - begin);
    body(offsets, n);
    begin += n;
    for (size_t k = 0; k < kOperands; ++k) offsets[k] -= at[last] * strides[k][last];
    at[last] = 0;
    for (int i = last - 1; i >= 0; --i) {
      for (size_t k = 0; k < kOperands; ++k) offsets[k] += strides[k][i];
      if (++at[i] < shape[i]) break;
      for (size_t k = 0; k < kOperands; ++k) offsets[k] -= at[i] * strides[k][i];
      at[i] = 0;
    }
  }
}

// kTypeMismatch unless gradients are added in the dtype of input `i`: floats and complex numbers.
Status RequireDifferentiable(const op::InferContext& c, int i, const char* what);

// The same strides with one axis that does not move.
Strides Without(Strides strides, int axis);

}  // namespace ofl::ops
