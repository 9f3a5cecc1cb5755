// Reductions over any set of axes, compiled once for all operators.
//
// An operator brings a Reducer: what it does with dense runs of the type it computes in. Everything
// else happens here, without templates: strides of input and output, dtypes that are stored in
// another type than they are computed in, threads.
//
// Every output element is combined in an order that follows from the shapes alone: the innermost
// axes of one kind in kLanes interleaved lanes (reduced) or side by side (kept), the others in
// row-major order. Strides decide in which order memory is read, never in which order is added.
#pragma once

#include <algorithm>
#include <array>
#include <limits>

#include "device/cpu/simd.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/elementwise/loops.h"

namespace ofl::ops {

// More than the compiler unrolls, so that the loop over them becomes vectors for every join.
inline constexpr int kLanes = 32;
inline constexpr int kRowGroup = 16;  // rows that are joined side by side at once
inline constexpr size_t kMaxAccumulator = 32;
inline constexpr int64_t kShortRun = 8;  // for which lanes would cost more than the elements

// How accumulators become elements of the output.
struct Finish {
  double divisor = 1;                                  // of a mean
  bool root = false;                                   // of a standard deviation
  bool half = false;                                   // stored in a half type: rounded once
  int64_t low = std::numeric_limits<int64_t>::min();   // the bounds of the stored integer, for
  int64_t high = std::numeric_limits<int64_t>::max();  // the extreme of no elements
};

// Accumulators lie `acc_size` bytes apart. `position` is the index of x[0] among the elements that
// one output combines.
struct Reducer {
  DType in;         // of the elements that are read
  DType out;        // of those that `finish` writes
  size_t acc_size;  // at most kMaxAccumulator
  void (*clear)(void* acc, int64_t n);
  // A part of a run: the first one starts the lanes, the last one joins them to the accumulator.
  // Parts but the last have a multiple of kLanes elements.
  void (*run)(void* acc, void* lanes, const void* x, int64_t n, int64_t position, bool first,
              bool last);
  // acc[i] takes in the elements i of `count` rows, `stride` bytes apart. All calls but the last
  // have kRowGroup rows.
  void (*rows)(void* acc, const void* x, int64_t stride, int64_t count, int64_t n,
               int64_t position);
  void (*join)(void* acc, const void* later);  // one accumulator
  void (*finish)(const void* acc, const Finish& how, void* y, int64_t n);
  // `run` of `count` runs of n <= kShortRun elements, `stride` bytes apart, each into an
  // accumulator. Null: there is none, and each is run by itself.
  void (*short_runs)(void* acc, const void* x, int64_t stride, int64_t count, int64_t n) = nullptr;
};

// Which axes are reduced, and which axis of the output each kept one is.
struct ReducedAxes {
  std::array<bool, kMaxRank> reduce{};
  std::array<int, kMaxRank> output{};
};
// The axes that an attribute `dim` (a list; empty: all) names, where the output keeps reduced axes
// at size 1 or drops them. Values have passed inference.
ReducedAxes AxesOf(const Attrs& attrs, int rank, bool keepdim);
// Shape of a reduction's result.
Shape ReducedShape(const Shape& input, const ReducedAxes& axes, bool keepdim);

// Combines the elements of input 0 into output 0.
Status Reduce(op::KernelContext& c, const Reducer& reducer, const ReducedAxes& axes,
              double divisor = 1);
// The same from and into other memory than the call's.
void Reduce(device::Stream* stream, const op::TensorView& in, const op::TensorView& out,
            const Reducer& reducer, const ReducedAxes& axes, const Finish& how);

// --- reducers that join element by element: `R` has Acc, Identity() and Join(acc, acc)
// -------------

// What an element brings: R::Of(x), or else x itself.
template <class R, class T>
OFL_INLINE typename R::Acc AccOf(T x) {
  if constexpr (requires { R::Of(x); }) {
    return R::Of(x);
  } else {
    return static_cast<typename R::Acc>(x);
  }
}

template <class R>
void ClearAcc(void* acc, int64_t n) {
  std::fill_n(static_cast<typename R::Acc*>(acc), n, R::Identity());
}

template <class R, class T>
OFL_SIMD void RunLanes(void* acc, void* kept, const void* from, int64_t n, int64_t, bool first,
                       bool last) {
  using Acc = typename R::Acc;
  const T* x = static_cast<const T*>(from);
  Acc* state = static_cast<Acc*>(kept);
  Acc lanes[kLanes];
  for (int j = 0; j < kLanes; ++j) lanes[j] = first ? R::Identity() : state[j];
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] = R::Join(lanes[j], AccOf<R>(ElementAt(x + i + j)));
  const int64_t rest = n - i;
  for (int j = 0; j < kLanes; ++j)
    if (j < rest) lanes[j] = R::Join(lanes[j], AccOf<R>(ElementAt(x + i + j)));
  if (!last) {
    for (int j = 0; j < kLanes; ++j) state[j] = lanes[j];
    return;
  }
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] = R::Join(lanes[j], lanes[j + width]);
  Acc* total = static_cast<Acc*>(acc);
  *total = R::Join(*total, lanes[0]);
}

// The same lanes of which most hold nothing: what would join nothing is left out. The number of
// elements is known to the compiler, so that no lane is kept in memory.
template <class R, class T, int64_t kCount>
OFL_INLINE void ShortRunsOf(typename R::Acc* total, const std::byte* from, int64_t stride,
                            int64_t count) {
  for (int64_t b = 0; b < count; ++b) {
    const T* x = reinterpret_cast<const T*>(from + b * stride);
    typename R::Acc lanes[kShortRun];
#pragma GCC unroll 8
    for (int64_t j = 0; j < kShortRun; ++j)
      lanes[j] = j < kCount ? R::Join(R::Identity(), AccOf<R>(ElementAt(x + j))) : R::Identity();
#pragma GCC unroll 3
    for (int64_t step = 0; step < 3; ++step) {
      const int64_t width = kShortRun / 2 >> step;
      if (width >= kCount) continue;
#pragma GCC unroll 4
      for (int64_t j = 0; j < width; ++j) lanes[j] = R::Join(lanes[j], lanes[j + width]);
    }
    total[b] = R::Join(total[b], lanes[0]);
  }
}
template <class R, class T>
OFL_SIMD void ShortRuns(void* acc, const void* runs, int64_t stride, int64_t count, int64_t n) {
  auto* total = static_cast<typename R::Acc*>(acc);
  const auto* from = static_cast<const std::byte*>(runs);
  switch (n) {
    case 0: return ShortRunsOf<R, T, 0>(total, from, stride, count);
    case 1: return ShortRunsOf<R, T, 1>(total, from, stride, count);
    case 2: return ShortRunsOf<R, T, 2>(total, from, stride, count);
    case 3: return ShortRunsOf<R, T, 3>(total, from, stride, count);
    case 4: return ShortRunsOf<R, T, 4>(total, from, stride, count);
    case 5: return ShortRunsOf<R, T, 5>(total, from, stride, count);
    case 6: return ShortRunsOf<R, T, 6>(total, from, stride, count);
    case 7: return ShortRunsOf<R, T, 7>(total, from, stride, count);
    default: return ShortRunsOf<R, T, 8>(total, from, stride, count);
  }
}
static_assert(kShortRun == 8);

// `kCount` rows at once: each accumulator is loaded once for all of them.
template <class R, class T, int kCount>
OFL_INLINE void JoinSomeRows(typename R::Acc* to, const std::byte* x, int64_t stride, int64_t n) {
  const T* rows[kCount];
  for (int r = 0; r < kCount; ++r) rows[r] = reinterpret_cast<const T*>(x + r * stride);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    typename R::Acc sum = to[i];
    for (int r = 0; r < kCount; ++r) sum = R::Join(sum, AccOf<R>(ElementAt(rows[r] + i)));
    to[i] = sum;
  }
}

template <class R, class T>
OFL_SIMD void JoinRows(void* acc, const void* from, int64_t stride, int64_t count, int64_t n,
                       int64_t) {
  auto* to = static_cast<typename R::Acc*>(acc);
  const auto* x = static_cast<const std::byte*>(from);
  for (; count >= 8; count -= 8, x += 8 * stride) JoinSomeRows<R, T, 8>(to, x, stride, n);
  for (; count > 0; --count, x += stride) JoinSomeRows<R, T, 1>(to, x, stride, n);
}

template <class R>
void JoinAcc(void* acc, const void* later) {
  auto* a = static_cast<typename R::Acc*>(acc);
  *a = R::Join(*a, *static_cast<const typename R::Acc*>(later));
}

template <class Out, class Acc>
OFL_SIMD void FinishRow(const void* acc, const Finish& how, void* y, int64_t n) {
  const Acc* a = static_cast<const Acc*>(acc);
  Out* to = static_cast<Out*>(y);
  const bool divides = how.divisor != 1;
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<Acc>) {
      constexpr bool kMayBeNarrow = std::is_same_v<Acc, Out> && sizeof(Out) == 4;
      to[i] = kMayBeNarrow ? static_cast<Out>(std::clamp<int64_t>(a[i], how.low, how.high))
                           : static_cast<Out>(a[i]);
    } else if constexpr (std::is_same_v<Acc, double> && std::is_same_v<Out, float>) {
      const double value = divides ? a[i] / how.divisor : a[i];
      to[i] = how.half ? math::RoundToOdd(value) : static_cast<float>(value);
    } else if constexpr (std::is_same_v<Acc, Out> && std::is_same_v<Acc, float>) {
      to[i] = a[i];
    } else {
      to[i] = static_cast<Out>(divides ? a[i] / how.divisor : a[i]);
    }
  }
}

// Reads elements as T, writes them as Out.
template <class R, class T, class Out = T>
inline const Reducer kReducer = {DTypeOf<T>::value,
                                 DTypeOf<Out>::value,
                                 sizeof(typename R::Acc),
                                 ClearAcc<R>,
                                 RunLanes<R, T>,
                                 JoinRows<R, T>,
                                 JoinAcc<R>,
                                 FinishRow<Out, typename R::Acc>,
                                 ShortRuns<R, T>};

// --- sums ---------------------------------------------------------------------------------------

// Floating sums are kept in double, integer sums in int64, where they wrap.
template <class T>
struct SumOf {
  using Acc = std::conditional_t<math::kIsComplex<T>, std::complex<double>,
                                 std::conditional_t<std::is_integral_v<T>, int64_t, double>>;
  static OFL_INLINE Acc Identity() { return Acc(0); }
  static OFL_INLINE Acc Join(Acc a, Acc x) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<Acc>(static_cast<uint64_t>(a) + static_cast<uint64_t>(x));
    } else {
      return a + x;
    }
  }
};

}  // namespace ofl::ops
