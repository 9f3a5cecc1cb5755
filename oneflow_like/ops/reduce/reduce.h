// Reductions over any set of axes.
//
// Every output element is combined in an order that follows from the shapes alone: contiguous
// runs in kLanes interleaved lanes, runs in row-major order. Floating sums are kept in double.
#pragma once

#include <algorithm>
#include <array>
#include <limits>

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {

// More than the compiler unrolls, so that the loop over them becomes vectors for every join.
inline constexpr int kLanes = 32;

// A reduction as alternating kept and reduced axes, neighbours merged, size-1 axes dropped.
struct ReduceLoop {
  int64_t inner = 1;           // elements of the contiguous innermost axis
  bool inner_reduced = false;  // otherwise outputs are rows of `inner` elements
  // The other axes: sizes and strides in the input, kept ones in the output's order.
  int num_kept = 0, num_reduced = 0;
  std::array<int64_t, kMaxRank> kept_size{}, kept_stride{};
  std::array<int64_t, kMaxRank> reduced_size{}, reduced_stride{};
  int64_t kept = 1;     // product of kept_size
  int64_t reduced = 1;  // product of reduced_size
};

ReduceLoop MakeReduceLoop(const Shape& input, const std::array<bool, kMaxRank>& reduce);

// The offset of row-major position `at` among axes of these sizes and strides.
inline int64_t OffsetOf(int64_t at, int axes, const int64_t* size, const int64_t* stride) {
  int64_t offset = 0;
  for (int i = axes - 1; i >= 0; --i) {
    offset += at % size[i] * stride[i];
    at /= size[i];
  }
  return offset;
}

template <class T>
struct SumOf {
  using Acc = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
  static OFL_INLINE Acc Identity() { return Acc(0); }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return a + x; }
};
// NaN wins over everything, as in torch. Empty: the value every other beats.
template <class T>
struct MaxOf {
  using Acc = T;
  static OFL_INLINE Acc Identity() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return (x > a) | (x != x) ? x : a; }
};
template <class T>
struct MinOf {
  using Acc = T;
  static OFL_INLINE Acc Identity() {
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::max();
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return (x < a) | (x != x) ? x : a; }
};

template <class R, class T>
OFL_SIMD typename R::Acc ReduceRun(const T* x, int64_t n, typename R::Acc start) {
  using Acc = typename R::Acc;
  Acc lanes[kLanes];
  for (int j = 0; j < kLanes; ++j) lanes[j] = R::Identity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] = R::Join(lanes[j], static_cast<Acc>(x[i + j]));
  for (int j = 0; i < n; ++i, ++j) lanes[j] = R::Join(lanes[j], static_cast<Acc>(x[i]));
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] = R::Join(lanes[j], lanes[j + width]);
  return R::Join(start, lanes[0]);
}

template <class R, class T>
OFL_SIMD void JoinRow(typename R::Acc* acc, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) acc[i] = R::Join(acc[i], static_cast<typename R::Acc>(x[i]));
}

// One output from the runs [begin, end) of its reduced axes.
template <class R, class T>
typename R::Acc ReduceRuns(const ReduceLoop& loop, const T* x, int64_t begin, int64_t end) {
  typename R::Acc acc = R::Identity();
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at =
        OffsetOf(r, loop.num_reduced, loop.reduced_size.data(), loop.reduced_stride.data());
    acc = ReduceRun<R>(x + at, loop.inner, acc);
  }
  return acc;
}

// A single output over one long run: blocks of a fixed size on several threads.
template <class R, class T>
typename R::Acc ReduceLong(device::Stream* stream, const T* x, int64_t n) {
  constexpr int64_t kMaxBlocks = 256;
  constexpr int64_t kMinBlock = 32768;
  const int64_t block = std::max((n + kMaxBlocks - 1) / kMaxBlocks, kMinBlock);
  const int64_t blocks = (n + block - 1) / block;
  typename R::Acc partial[kMaxBlocks];
  Parallel(stream, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      partial[i] = ReduceRun<R>(x + i * block, std::min(block, n - i * block), R::Identity());
  });
  typename R::Acc acc = R::Identity();
  for (int64_t i = 0; i < blocks; ++i) acc = R::Join(acc, partial[i]);
  return acc;
}

// `finish` turns an accumulator into an output element.
template <class R, class T, class Finish>
void Reduce(device::Stream* stream, const ReduceLoop& loop, const T* x, T* y,
            const Finish& finish) {
  const auto kept_offset = [&](int64_t k) {
    return OffsetOf(k, loop.num_kept, loop.kept_size.data(), loop.kept_stride.data());
  };
  if (loop.inner_reduced) {
    if (loop.kept == 1 && loop.reduced == 1) {
      y[0] = finish(ReduceLong<R>(stream, x, loop.inner));
      return;
    }
    Parallel(stream, loop.kept, RowGrain(loop.inner * loop.reduced),
             [&](int64_t begin, int64_t end) {
               for (int64_t k = begin; k < end; ++k)
                 y[k] = finish(ReduceRuns<R>(loop, x + kept_offset(k), 0, loop.reduced));
             });
    return;
  }
  // Rows of outputs: tiles of columns, so that the accumulators stay in cache.
  constexpr int64_t kTile = 64;
  const int64_t tiles = (loop.inner + kTile - 1) / kTile;
  Parallel(stream, loop.kept * tiles, RowGrain(kTile * loop.reduced),
           [&](int64_t begin, int64_t end) {
             typename R::Acc acc[kTile];
             for (int64_t t = begin; t < end; ++t) {
               const int64_t column = t % tiles * kTile;
               const int64_t width = std::min(kTile, loop.inner - column);
               const T* base = x + kept_offset(t / tiles) + column;
               std::fill_n(acc, width, R::Identity());
               for (int64_t r = 0; r < loop.reduced; ++r)
                 JoinRow<R>(acc,
                            base + OffsetOf(r, loop.num_reduced, loop.reduced_size.data(),
                                            loop.reduced_stride.data()),
                            width);
               T* out = y + t / tiles * loop.inner + column;
               for (int64_t j = 0; j < width; ++j) out[j] = finish(acc[j]);
             }
           });
}

// The axes an attribute `dim` (list; empty: all) names. Values have passed inference.
std::array<bool, kMaxRank> ReducedAxes(const Attrs& attrs, int rank);
// Shape of a reduction's result.
Shape ReducedShape(const Shape& input, const std::array<bool, kMaxRank>& reduce, bool keepdim);

}  // namespace ofl::ops
