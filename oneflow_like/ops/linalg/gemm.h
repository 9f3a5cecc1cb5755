// Matrix products of one rank's shards: floats and complex numbers over the linked BLAS, integers
// by plain loops, which wrap. Half types have no product of their own: callers widen them.
//
// Threads: any number of callers at once. The library itself never threads; work is split over
// the caller's stream in panels that follow from the sizes and the stream's threads alone.
#pragma once

#include <complex>
#include <cstdint>

#include "device/device.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/dtype.h"

namespace ofl::ops {

// C (m x n) = op(A) op(B) + beta C, all row-major with leading dimensions lda, ldb, ldc.
// op(A) is m x k: A itself is k x m with trans_a.
template <class T>
struct GemmArgs {
  bool trans_a = false;
  bool trans_b = false;
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  int64_t lda = 0;
  const T* b = nullptr;
  int64_t ldb = 0;
  T* c = nullptr;
  int64_t ldc = 0;
  T alpha = T(1);
  T beta = T(0);
};

// On the calling thread alone. Sizes must have passed CheckGemmSizes.
template <class T>
void GemmSerial(const GemmArgs<T>& g);

// Split over the stream: by rows of C, or by columns where there are more of them.
template <class T>
void GemmParallel(device::Stream* stream, const GemmArgs<T>& g);

// Calls fn(T{}) with the type that products of `dtype` are computed in; half types give float.
template <class Fn>
auto WithProductType(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kFloat64: return fn(double{});
    case DType::kComplex64: return fn(std::complex<float>{});
    case DType::kComplex128: return fn(std::complex<double>{});
    case DType::kInt8: return fn(int8_t{});
    case DType::kUInt8: return fn(uint8_t{});
    case DType::kInt16: return fn(int16_t{});
    case DType::kInt32: return fn(int32_t{});
    case DType::kInt64: return fn(int64_t{});
    case DType::kFloat32:
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kBool:  // bool and the 8-bit floats have no products
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2: break;
  }
  return fn(float{});
}

// kResourceExhausted where a size does not fit the library's 32-bit integers.
Status CheckGemmSizes(int64_t m, int64_t n, int64_t k);

}  // namespace ofl::ops
