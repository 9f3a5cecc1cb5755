// The loops of row_math.h over rows that lie side by side: element i of row c is x[i * step + c].
//
// Each row's sums run in the lanes that row_math.h gives them, so a row has the same bits here and
// there. Up to kPanel rows at a time; results, one for each row, go to arrays. Output may be the
// input itself.
#pragma once

#include <cstdint>

namespace ofl::ops {

inline constexpr int64_t kPanel = 32;
// Fewer rows side by side are not worth it.
inline constexpr int64_t kLeastPanel = 4;

// Rows of one operand.
template <class T>
struct Side {
  T* data;
  int64_t step;
};

template <class T>
void PanelMax(Side<const T> x, int64_t n, int64_t rows, T* max);
template <class T>
void PanelSum(Side<const T> x, int64_t n, int64_t rows, T* sum);
template <class T>
void PanelDot(Side<const T> x, Side<const T> y, int64_t n, int64_t rows, T* dot);
// Sums of exp(x - shift).
template <class T>
void PanelSumExp(Side<const T> x, int64_t n, int64_t rows, const T* shift, T* sum);
// y = exp(x - shift), and the sums of y.
template <class T>
void PanelExp(Side<const T> x, Side<T> y, int64_t n, int64_t rows, const T* shift, T* sum);
template <class T>
void PanelScale(Side<T> y, int64_t n, int64_t rows, const T* factor);
// y = (x - max) - log_sum
template <class T>
void PanelLogSoftmax(Side<const T> x, Side<T> y, int64_t n, int64_t rows, const T* max,
                     const T* log_sum);
// dx = y * (dy - dot)
template <class T>
void PanelSoftmaxGrad(Side<const T> dy, Side<const T> y, Side<T> dx, int64_t n, int64_t rows,
                      const T* dot);
// dx = dy - exp(y) * sum
template <class T>
void PanelLogSoftmaxGrad(Side<const T> dy, Side<const T> y, Side<T> dx, int64_t n, int64_t rows,
                         const T* sum);

}  // namespace ofl::ops
