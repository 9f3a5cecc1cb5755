// Elementary functions for operators' functors, one spelling for every device and type.
//
// On the CPU single precision is straight-line code that vectorises (device/cpu/simd_math.h);
// double precision and complex numbers call the standard library. On CUDA all are CUDA's.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#define OFL_FN __host__ __device__ inline __attribute__((always_inline))
#else
#include "device/cpu/simd_math.h"
#define OFL_FN OFL_INLINE
#endif

namespace ofl::ops::math {

template <class T>
inline constexpr bool kIsComplex = false;
template <class T>
inline constexpr bool kIsComplex<std::complex<T>> = true;

#ifdef __CUDACC__
template <class T>
OFL_FN T Exp(T x) {
  return std::exp(x);
}
template <class T>
OFL_FN T ExpNegative(T x) {
  return std::exp(x);
}
template <class T>
OFL_FN T Log(T x) {
  return std::log(x);
}
template <class T>
OFL_FN T Tanh(T x) {
  return std::tanh(x);
}
template <class T>
OFL_FN T Erf(T x) {
  return std::erf(x);
}
template <class T>
OFL_FN T ErfWithExp(T x, T) {
  return std::erf(x);
}
template <class T>
OFL_FN T Sigmoid(T x) {
  const T e = std::exp(-std::fabs(x));
  return (x >= T(0) ? T(1) : e) / (T(1) + e);
}
#else
template <class T>
OFL_FN T Exp(T x) {
  if constexpr (kIsComplex<T>)
    return std::exp(x);
  else
    return device::simd::Exp(x);
}
// exp(x) for x <= 0.
template <class T>
OFL_FN T ExpNegative(T x) {
  return device::simd::ExpNegative(x);
}
template <class T>
OFL_FN T Log(T x) {
  if constexpr (kIsComplex<T>)
    return std::log(x);
  else
    return device::simd::Log(x);
}
template <class T>
OFL_FN T Tanh(T x) {
  if constexpr (kIsComplex<T>)
    return std::tanh(x);
  else
    return device::simd::Tanh(x);
}
template <class T>
OFL_FN T Erf(T x) {
  return device::simd::Erf(x);
}
// With e = exp(-x^2), which callers that need it as well compute once.
template <class T>
OFL_FN T ErfWithExp(T x, T e) {
  return device::simd::ErfWithExp(x, e);
}
template <class T>
OFL_FN T Sigmoid(T x) {
  if constexpr (kIsComplex<T>)
    return T(1) / (T(1) + std::exp(-x));
  else
    return device::simd::Sigmoid(x);
}
#endif

template <class T>
OFL_FN T Sqrt(T x) {
  return std::sqrt(x);
}
template <class T>
OFL_FN T Pow(T x, T y) {
  return std::pow(x, y);
}
// Of the most negative integer itself: integers wrap.
template <class T>
OFL_FN auto Abs(T x) {
  if constexpr (std::is_integral_v<T>)
    return x < 0 ? static_cast<T>(-x) : x;
  else
    return std::abs(x);
}
template <class T>
OFL_FN T Conj(T x) {
  if constexpr (kIsComplex<T>)
    return std::conj(x);
  else
    return x;
}
// A product that no sum may fuse with. Which of two products a compiler fuses differs between a
// loop's vectors and its rest: the bits of an element would depend on where it stands.
template <class T>
OFL_FN T Rounded(T product) {
#if defined(__x86_64__) && !defined(__CUDACC__)
  __asm__("" : "+x"(product));
#endif
  return product;
}
// By the schoolbook formula, as NumPy and torch: no extra work for infinities.
template <class T>
OFL_FN T Mul(T a, T b) {
  if constexpr (kIsComplex<T>) {
    return T(Rounded(a.real() * b.real()) - Rounded(a.imag() * b.imag()),
             Rounded(a.real() * b.imag()) + Rounded(a.imag() * b.real()));
  } else {
    return static_cast<T>(a * b);
  }
}

// To float so that rounding the result to a half type gives what rounding `x` would: an inexact
// result has an odd last bit.
OFL_FN float RoundToOdd(double x) {
  const float near = static_cast<float>(x);
  const double back = static_cast<double>(near);
  const uint32_t bits = std::bit_cast<uint32_t>(near);
  const bool away = (back < 0 ? -back : back) > (x < 0 ? -x : x);
  const uint32_t odd = (bits - (away ? 1u : 0u)) | 1u;
  const bool exact = back == x || x != x;
  return std::bit_cast<float>(exact ? bits : odd);
}

}  // namespace ofl::ops::math
