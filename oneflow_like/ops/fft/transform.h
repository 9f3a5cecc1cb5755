// Discrete Fourier transforms of one length along rows: Eigen's (kissfft inside) for lengths whose
// prime factors are small, the chirp form (Bluestein) over a power of two for others.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>

#include "oneflow_like/base/bytes.h"

namespace ofl::ops {

// One transform for one thread: it keeps twiddles and scratch, so runs must not meet.
template <class T>
class Transform {
 public:
  using Complex = std::complex<T>;
  virtual ~Transform() = default;
  // out[k] = sum over j of in[j] exp(-+ 2 pi i j k / n), not scaled. `in` and `out` are apart.
  virtual void Run(const Complex* in, Complex* out) = 0;
};

// n >= 1. `forward`: with the minus sign.
template <class T>
std::unique_ptr<Transform<T>> MakeTransform(int64_t n, bool forward);

// Of real rows: n real numbers to the first n / 2 + 1 results of the forward transform, and of such
// a half back to n real numbers (the imaginary parts of its first and, of even n, last number have
// no meaning), not scaled.
template <class T>
class RealTransform {
 public:
  using Complex = std::complex<T>;
  virtual ~RealTransform() = default;
  virtual void Forward(const T* in, Complex* out) = 0;
  virtual void Back(const Complex* in, T* out) = 0;
};
template <class T>
std::unique_ptr<RealTransform<T>> MakeRealTransform(int64_t n, bool forward);

}  // namespace ofl::ops
