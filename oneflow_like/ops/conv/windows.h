// Windows over up to three spatial axes, which convolutions, pooling and unfold share: their sizes,
// and the matrix whose columns are windows.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

using Axes3 = std::array<int64_t, 3>;

// Window o of an axis sees the elements o * stride - before + k * dilation, 0 <= k < kernel; those
// outside of it count as nothing. Axes that are missing stand in front, with one window of one.
struct Windows {
  Axes3 in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1},
      before{0, 0, 0};
  int64_t inputs() const { return in[0] * in[1] * in[2]; }
  int64_t outputs() const { return out[0] * out[1] * out[2]; }
  int64_t places() const { return kernel[0] * kernel[1] * kernel[2]; }
  // Whether each window is the element of its own number.
  bool Pointwise() const;
};

// A size for each of `axes` from one number or one each. kInvalidArgument names `what` where there
// are others, or one is less than `least`.
Result<Ints> SizesOf(const Ints& given, int axes, const char* what, int64_t least);
// The same of operators that are given one for each axis and no less.
Status CheckSizes(const Ints& given, int axes, const char* what, int64_t least);

// Elements from the first to behind the last one that a window sees.
inline int64_t Span(int64_t kernel, int64_t dilation) {
  return SaturatingAdd(SaturatingMul(dilation, kernel - 1), 1);
}
// How many windows fit into `size` and its borders; 0 where none does.
int64_t WindowsIn(int64_t size, int64_t kernel, int64_t stride, int64_t dilation, int64_t before,
                  int64_t after);

// The matrix of `channels` images that has a row for each channel and place of the window, and a
// column for each window: columns [first, last) of it. `size`: bytes of an element.
void ToColumns(const Windows& w, const void* image, int64_t channels, int64_t first, int64_t last,
               int64_t size, void* columns);
// Adds those columns to the places of the image that they were taken from.
template <class T>
void AddColumns(const Windows& w, const T* columns, int64_t channels, int64_t first, int64_t last,
                T* image);

}  // namespace ofl::ops
