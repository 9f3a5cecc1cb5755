// Tensors that lie anywhere in a larger buffer: with gaps, transposed, backwards.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <vector>

#include "tests/unit/op/evaluator.h"

namespace ofl::op::testing {

// Memory of a shape: strides in elements and the place of the first.
struct Lie {
  const char* name;
  std::function<ViewGeometry(const Shape&)> of;
};

inline ViewGeometry Dense(const Shape& shape) { return {shape, ContiguousStrides(shape), 0}; }
inline ViewGeometry Transposed(const Shape& shape) {
  ViewGeometry g{shape, shape, 0};
  int64_t step = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    g.strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return g;
}
inline ViewGeometry Stepped(const Shape& shape) {
  ViewGeometry g{shape, ContiguousStrides(shape), 3};
  for (int i = 0; i < shape.rank(); ++i) g.strides[i] *= 2;
  return g;
}
inline ViewGeometry Reversed(const Shape& shape) {
  ViewGeometry g = Dense(shape);
  for (int i = 0; i < shape.rank(); ++i) {
    g.offset += std::max<int64_t>(shape[i] - 1, 0) * g.strides[i];
    g.strides[i] = -g.strides[i];
  }
  return g;
}
inline const Lie kDense = {"dense", Dense};
inline const std::vector<Lie> kLies = {
    {"transposed", Transposed}, {"stepped", Stepped}, {"reversed", Reversed}};

// Places of the elements in row-major order.
inline std::vector<int64_t> PlacesOf(const ViewGeometry& g) {
  std::vector<int64_t> places;
  for (int64_t n = 0; n < g.shape.numel(); ++n) {
    int64_t rest = n, at = g.offset;
    for (int i = g.shape.rank() - 1; i >= 0; --i) {
      at += rest % g.shape[i] * g.strides[i];
      rest /= g.shape[i];
    }
    places.push_back(at);
  }
  return places;
}

struct Laid {
  std::vector<std::byte> buffer;
  TensorView view;
};
// Of bytes that are nobody's: NaN or huge.
inline constexpr std::byte kFiller{0x7f};
// Room for a tensor.
inline Laid LayOut(const TensorMeta& meta, const ViewGeometry& g) {
  Laid laid;
  const auto size = static_cast<int64_t>(DTypeSize(meta.dtype));
  int64_t last = g.offset;
  for (int64_t at : PlacesOf(g)) last = std::max(last, at);
  laid.buffer.assign(static_cast<size_t>((last + 2) * size), kFiller);
  laid.view = TensorView(meta.shape.numel() == 0 ? nullptr : laid.buffer.data() + g.offset * size,
                         meta, g.strides);
  return laid;
}
inline Laid Scattered(const Host& x, const ViewGeometry& g) {
  Laid laid = LayOut(x->meta(), g);
  const size_t size = DTypeSize(x->meta().dtype);
  int64_t n = 0;
  for (int64_t at : PlacesOf(g))
    std::memcpy(laid.buffer.data() + at * size, x->data() + n++ * size, size);
  return laid;
}

}  // namespace ofl::op::testing
