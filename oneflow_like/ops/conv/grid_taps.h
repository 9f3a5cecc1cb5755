// Where a point of grid_sample reads, and with which weights.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/shape.h"

namespace ofl::ops {

enum class GridMode { kLinear, kNearest, kCubic };
enum class GridPadding { kZeros, kBorder, kReflection };

// What the attributes `mode`, `padding` and `align_corners` say of an image's spatial axes.
struct GridSampling {
  GridMode mode = GridMode::kLinear;
  GridPadding padding = GridPadding::kZeros;
  bool align = false;
  int axes = 2;
  int64_t size[3] = {};
  GridSampling() = default;
  // `image`: (images, channels, spatial axes).
  GridSampling(const Attrs& attrs, const Shape& image);
  int taps() const {
    return mode == GridMode::kNearest ? 1 : mode == GridMode::kCubic ? 16 : 1 << axes;
  }
};

inline constexpr int64_t kGridBlock = 64;
inline constexpr int kMostTaps = 16;

// Points that are handled together: their taps, tap by tap. Index: int32_t where a plane of the
// image is small enough.
template <class T, class Index>
struct GridTaps {
  alignas(64) Index at[kMostTaps][kGridBlock];  // element of the plane; -1: outside, where it is 0
  alignas(64) T weight[kMostTaps][kGridBlock];
  // Derivatives of the weights by each coordinate of the grid; where asked for.
  alignas(64) T slope[3][kMostTaps][kGridBlock];
  bool inside = true;  // all of them

  // Points [0, count) of `grid`, each with a coordinate for each axis, the last axis first.
  void Find(const GridSampling& s, const T* grid, int64_t count, bool slopes);
};

}  // namespace ofl::ops
