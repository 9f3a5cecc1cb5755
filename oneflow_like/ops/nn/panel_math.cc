#include "oneflow_like/ops/nn/panel_math.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "device/cpu/simd.h"
#include "device/cpu/simd_math.h"

namespace ofl::ops {
namespace {

constexpr int kLanes = 32;  // as in row_math.cc

using Whole = std::integral_constant<int64_t, kPanel>;

// fn(number of rows), a constant where a panel is full.
template <class Fn>
OFL_INLINE void WithRows(int64_t rows, const Fn& fn) {
  if (rows == kPanel) {
    fn(Whole{});
  } else {
    fn(rows);
  }
}

// body(i, c) for each element, row by row of memory. The compiler checks that a row of the output
// does not overlap what is read.
template <class Rows, class Body>
OFL_INLINE void ForPanel(int64_t n, Rows rows, const Body& body) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < rows; ++c) body(i, c);
  }
}

// Sums of term(i, c) over i: in lanes that are added as a tree. A lane that got nothing is 0, and a
// lane is never -0, so adding it would change nothing.
template <class T, class Rows, class Term>
OFL_INLINE void LaneSums(int64_t n, Rows rows, T* sum, const Term& term) {
  alignas(64) T lanes[kLanes][kPanel];
  const int64_t used = std::min<int64_t>(n, kLanes);
  ForPanel(used, rows,
           [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA { lanes[i][c] = T(0) + term(i, c); });
  for (int64_t i = used; i < n; ++i) {
    T* lane = lanes[i % kLanes];
    for (int64_t c = 0; c < rows; ++c) lane[c] += term(i, c);
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int j = 0; j < width && j + width < used; ++j) {
      for (int64_t c = 0; c < rows; ++c) lanes[j][c] += lanes[j + width][c];
    }
  }
  for (int64_t c = 0; c < rows; ++c) sum[c] = used == 0 ? T(0) : lanes[0][c];
}

}  // namespace

template <class T>
OFL_SIMD void PanelMax(Side<const T> x, int64_t n, int64_t rows, T* max) {
  alignas(64) T most[kPanel];
  for (int64_t c = 0; c < kPanel; ++c) most[c] = -std::numeric_limits<T>::infinity();
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      const T value = x.data[i * x.step + c];
      most[c] = value > most[c] ? value : most[c];
    });
  });
  for (int64_t c = 0; c < rows; ++c) max[c] = most[c];
}

template <class T>
OFL_SIMD void PanelSum(Side<const T> x, int64_t n, int64_t rows, T* sum) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    LaneSums(n, count, sum,
             [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA { return x.data[i * x.step + c]; });
  });
}

template <class T>
OFL_SIMD void PanelDot(Side<const T> x, Side<const T> y, int64_t n, int64_t rows, T* dot) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    LaneSums(n, count, dot, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      return x.data[i * x.step + c] * y.data[i * y.step + c];
    });
  });
}

template <class T>
OFL_SIMD void PanelSumExp(Side<const T> x, int64_t n, int64_t rows, const T* shift, T* sum) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    LaneSums(n, count, sum, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      return device::simd::Exp(x.data[i * x.step + c] - shift[c]);
    });
  });
}

template <class T>
OFL_SIMD void PanelExp(Side<const T> x, Side<T> y, int64_t n, int64_t rows, const T* shift,
                       T* sum) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      y.data[i * y.step + c] = device::simd::Exp(x.data[i * x.step + c] - shift[c]);
    });
    LaneSums(n, count, sum,
             [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA { return y.data[i * y.step + c]; });
  });
}

template <class T>
OFL_SIMD void PanelScale(Side<T> y, int64_t n, int64_t rows, const T* factor) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count,
             [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA { y.data[i * y.step + c] *= factor[c]; });
  });
}

template <class T>
OFL_SIMD void PanelLogSoftmax(Side<const T> x, Side<T> y, int64_t n, int64_t rows, const T* max,
                              const T* log_sum) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      y.data[i * y.step + c] = (x.data[i * x.step + c] - max[c]) - log_sum[c];
    });
  });
}

template <class T>
OFL_SIMD void PanelSoftmaxGrad(Side<const T> dy, Side<const T> y, Side<T> dx, int64_t n,
                               int64_t rows, const T* dot) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      dx.data[i * dx.step + c] = y.data[i * y.step + c] * (dy.data[i * dy.step + c] - dot[c]);
    });
  });
}

template <class T>
OFL_SIMD void PanelLogSoftmaxGrad(Side<const T> dy, Side<const T> y, Side<T> dx, int64_t n,
                                  int64_t rows, const T* sum) {
  WithRows(rows, [&](auto count) OFL_INLINE_LAMBDA {
    ForPanel(n, count, [&](int64_t i, int64_t c) OFL_INLINE_LAMBDA {
      dx.data[i * dx.step + c] =
          dy.data[i * dy.step + c] - device::simd::Exp(y.data[i * y.step + c]) * sum[c];
    });
  });
}

#define OFL_PANEL_MATH(T)                                                                      \
  template void PanelMax(Side<const T>, int64_t, int64_t, T*);                                 \
  template void PanelSum(Side<const T>, int64_t, int64_t, T*);                                 \
  template void PanelDot(Side<const T>, Side<const T>, int64_t, int64_t, T*);                  \
  template void PanelSumExp(Side<const T>, int64_t, int64_t, const T*, T*);                    \
  template void PanelExp(Side<const T>, Side<T>, int64_t, int64_t, const T*, T*);              \
  template void PanelScale(Side<T>, int64_t, int64_t, const T*);                               \
  template void PanelLogSoftmax(Side<const T>, Side<T>, int64_t, int64_t, const T*, const T*); \
  template void PanelSoftmaxGrad(Side<const T>, Side<const T>, Side<T>, int64_t, int64_t,      \
                                 const T*);                                                    \
  template void PanelLogSoftmaxGrad(Side<const T>, Side<const T>, Side<T>, int64_t, int64_t,   \
                                    const T*)

OFL_PANEL_MATH(float);
OFL_PANEL_MATH(double);

}  // namespace ofl::ops
