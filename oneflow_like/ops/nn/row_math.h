// Vectorised loops over one contiguous row, for float and double.
//
// Sums run in a fixed number of lanes that are added as a tree, so a row's result depends on the
// row alone: not on the thread, the panel or the other rows. Output may be the input itself.
#pragma once

#include <cstdint>

namespace ofl::ops {

template <class T>
T RowMax(const T* x, int64_t n);  // -inf when empty; NaN is not seen
template <class T>
T RowSum(const T* x, int64_t n);
template <class T>
T RowDot(const T* x, const T* y, int64_t n);
// Sum of (x - mean)^2.
template <class T>
T RowSquaredDistance(const T* x, int64_t n, T mean);
// Sum of exp(x - shift).
template <class T>
T RowSumExp(const T* x, int64_t n, T shift);
// y = exp(x - shift); returns the sum of y.
template <class T>
T RowExp(const T* x, T* y, int64_t n, T shift);
// y = exp(scale * x - shift); returns the sum of y.
template <class T>
T RowScaledExp(const T* x, T* y, int64_t n, T scale, T shift);
// y = (x - max) - log_sum: one after the other, since large logits would swallow log_sum.
template <class T>
void RowLogSoftmax(const T* x, T* y, int64_t n, T max, T log_sum);
template <class T>
void RowScale(T* y, int64_t n, T factor);
template <class T>
void RowAdd(const T* x, T* y, int64_t n);  // y += x
// dx = y * (dy - dot)
template <class T>
void RowSoftmaxGrad(const T* dy, const T* y, T* dx, int64_t n, T dot);
// dx = dy - exp(y) * sum
template <class T>
void RowLogSoftmaxGrad(const T* dy, const T* y, T* dx, int64_t n, T sum);
// dx = factor * exp(x - shift)
template <class T>
void RowExpTimes(const T* x, T* dx, int64_t n, T shift, T factor);
// ds = p * (dp - delta) * scale
template <class T>
void RowAttentionGrad(const T* p, const T* dp, T* ds, int64_t n, T delta, T scale);

// y = (x - mean) * rstd * weight + bias; weight and bias may be null.
template <class T>
void RowNormalize(const T* x, const T* weight, const T* bias, T* y, int64_t n, T mean, T rstd);
// Sums of g = dy * weight and of g * normalised x, which layer_norm's gradient needs.
template <class T>
void RowNormSums(const T* dy, const T* x, const T* weight, int64_t n, T mean, T rstd, T* sum_g,
                 T* sum_gx);
// dx = rstd * (g - mean_g - normalised x * mean_gx)
template <class T>
void RowNormGrad(const T* dy, const T* x, const T* weight, T* dx, int64_t n, T mean, T rstd,
                 T mean_g, T mean_gx);
// dweight += dy * normalised x; dbias += dy
template <class T>
void RowNormParamGrad(const T* dy, const T* x, T* dweight, T* dbias, int64_t n, T mean, T rstd);

}  // namespace ofl::ops
