#include "oneflow_like/ops/nn/row_math.h"

#include <cmath>
#include <limits>

#include "device/cpu/simd.h"
#include "device/cpu/simd_math.h"

namespace ofl::ops {
namespace {

// Lanes of every sum: two vectors of the widest floats, so that additions overlap.
constexpr int kLanes = 32;

template <class T>
OFL_INLINE T TreeSum(T* lanes) {
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  return lanes[0];
}

// Sum of term(i) over [0, n) in fixed lanes.
template <class T, class Term>
OFL_INLINE T LaneSum(int64_t n, const Term& term) {
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += term(i + j);
  for (int j = 0; i < n; ++i, ++j) lanes[j] += term(i);
  return TreeSum(lanes);
}

}  // namespace

template <class T>
OFL_SIMD T RowMax(const T* x, int64_t n) {
  T lanes[kLanes];
  for (int j = 0; j < kLanes; ++j) lanes[j] = -std::numeric_limits<T>::infinity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (int j = 0; i < n; ++i, ++j) lanes[j] = x[i] > lanes[j] ? x[i] : lanes[j];
  for (int j = 1; j < kLanes; ++j) lanes[0] = lanes[j] > lanes[0] ? lanes[j] : lanes[0];
  return lanes[0];
}

template <class T>
OFL_SIMD T RowSum(const T* x, int64_t n) {
  return LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA { return x[i]; });
}

template <class T>
OFL_SIMD T RowDot(const T* x, const T* y, int64_t n) {
  return LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA { return x[i] * y[i]; });
}

template <class T>
OFL_SIMD T RowSquaredDistance(const T* x, int64_t n, T mean) {
  return LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA {
    const T d = x[i] - mean;
    return d * d;
  });
}

template <class T>
OFL_SIMD T RowSumExp(const T* x, int64_t n, T shift) {
  return LaneSum<T>(n,
                    [&](int64_t i) OFL_INLINE_LAMBDA { return device::simd::Exp(x[i] - shift); });
}

template <class T>
OFL_SIMD void ExpLoop(const T* x, T* y, int64_t n, T scale, T shift) {
  for (int64_t i = 0; i < n; ++i) y[i] = device::simd::Exp(x[i] * scale - shift);
}

template <class T>
T RowExp(const T* x, T* y, int64_t n, T shift) {
  ExpLoop(x, y, n, T(1), shift);
  return RowSum(y, n);
}

template <class T>
T RowScaledExp(const T* x, T* y, int64_t n, T scale, T shift) {
  ExpLoop(x, y, n, scale, shift);
  return RowSum(y, n);
}

template <class T>
OFL_SIMD void RowLogSoftmax(const T* x, T* y, int64_t n, T max, T log_sum) {
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - max) - log_sum;
}

template <class T>
OFL_SIMD void RowScale(T* y, int64_t n, T factor) {
  for (int64_t i = 0; i < n; ++i) y[i] *= factor;
}

template <class T>
OFL_SIMD void RowAdd(const T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
OFL_SIMD void RowSoftmaxGrad(const T* dy, const T* y, T* dx, int64_t n, T dot) {
  for (int64_t i = 0; i < n; ++i) dx[i] = y[i] * (dy[i] - dot);
}

template <class T>
OFL_SIMD void RowLogSoftmaxGrad(const T* dy, const T* y, T* dx, int64_t n, T sum) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] - device::simd::Exp(y[i]) * sum;
}

template <class T>
OFL_SIMD void RowExpTimes(const T* x, T* dx, int64_t n, T shift, T factor) {
  for (int64_t i = 0; i < n; ++i) dx[i] = device::simd::Exp(x[i] - shift) * factor;
}

template <class T>
OFL_SIMD void RowAttentionGrad(const T* p, const T* dp, T* ds, int64_t n, T delta, T scale) {
  for (int64_t i = 0; i < n; ++i) ds[i] = p[i] * (dp[i] - delta) * scale;
}

template <class T>
OFL_SIMD void RowNormalize(const T* x, const T* weight, const T* bias, T* y, int64_t n, T mean,
                           T rstd) {
  if (weight != nullptr && bias != nullptr) {
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd;
  if (weight != nullptr)
    for (int64_t i = 0; i < n; ++i) y[i] *= weight[i];
  if (bias != nullptr)
    for (int64_t i = 0; i < n; ++i) y[i] += bias[i];
}

template <class T>
OFL_SIMD void RowNormSums(const T* dy, const T* x, const T* weight, int64_t n, T mean, T rstd,
                          T* sum_g, T* sum_gx) {
  if (weight == nullptr) {
    *sum_g = LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA { return dy[i]; });
    *sum_gx =
        LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA { return dy[i] * ((x[i] - mean) * rstd); });
    return;
  }
  *sum_g = LaneSum<T>(n, [&](int64_t i) OFL_INLINE_LAMBDA { return dy[i] * weight[i]; });
  *sum_gx = LaneSum<T>(
      n, [&](int64_t i) OFL_INLINE_LAMBDA { return dy[i] * weight[i] * ((x[i] - mean) * rstd); });
}

template <class T>
OFL_SIMD void RowNormGrad(const T* dy, const T* x, const T* weight, T* dx, int64_t n, T mean,
                          T rstd, T mean_g, T mean_gx) {
  if (weight == nullptr) {
    for (int64_t i = 0; i < n; ++i)
      dx[i] = rstd * (dy[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
    return;
  }
  for (int64_t i = 0; i < n; ++i)
    dx[i] = rstd * (dy[i] * weight[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
}

template <class T>
OFL_SIMD void RowNormParamGrad(const T* dy, const T* x, T* dweight, T* dbias, int64_t n, T mean,
                               T rstd) {
  for (int64_t i = 0; i < n; ++i) {
    dweight[i] += dy[i] * ((x[i] - mean) * rstd);
    dbias[i] += dy[i];
  }
}

#define OFL_ROW_MATH(T)                                                             \
  template T RowMax(const T*, int64_t);                                             \
  template T RowSum(const T*, int64_t);                                             \
  template T RowDot(const T*, const T*, int64_t);                                   \
  template T RowSquaredDistance(const T*, int64_t, T);                              \
  template T RowSumExp(const T*, int64_t, T);                                       \
  template T RowExp(const T*, T*, int64_t, T);                                      \
  template T RowScaledExp(const T*, T*, int64_t, T, T);                             \
  template void RowLogSoftmax(const T*, T*, int64_t, T, T);                         \
  template void RowScale(T*, int64_t, T);                                           \
  template void RowAdd(const T*, T*, int64_t);                                      \
  template void RowSoftmaxGrad(const T*, const T*, T*, int64_t, T);                 \
  template void RowLogSoftmaxGrad(const T*, const T*, T*, int64_t, T);              \
  template void RowExpTimes(const T*, T*, int64_t, T, T);                           \
  template void RowAttentionGrad(const T*, const T*, T*, int64_t, T, T);            \
  template void RowNormalize(const T*, const T*, const T*, T*, int64_t, T, T);      \
  template void RowNormSums(const T*, const T*, const T*, int64_t, T, T, T*, T*);   \
  template void RowNormGrad(const T*, const T*, const T*, T*, int64_t, T, T, T, T); \
  template void RowNormParamGrad(const T*, const T*, T*, T*, int64_t, T, T)

OFL_ROW_MATH(float);
OFL_ROW_MATH(double);

}  // namespace ofl::ops
