// Elementary functions that the C library has vector forms of (libmvec): called in a loop, they
// become calls on whole vector registers of the level that the loop is compiled for.
//
// A vector form may differ from the scalar function in the last bits, so the functor that calls one
// says `kInPieces` (ops/elementwise/loops.h). Elsewhere (CUDA, other C libraries) these are the
// standard library's functions; of complex numbers always.
#pragma once

#include <cmath>
#include <complex>
#include <type_traits>

#include "oneflow_like/ops/math.h"

namespace ofl::ops::math {

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__CUDACC__)
#define OFL_VECTOR_FORM __attribute__((simd("notinbranch"), const, nothrow))
// The same symbols under names of ours: the C library's own declarations have vector forms under
// -ffast-math alone, which these loops must not have.
#define OFL_MATH1(NAME, FUNCTION)                                        \
  namespace vector {                                                     \
  extern "C" {                                                           \
  OFL_VECTOR_FORM float ofl_##FUNCTION##f(float) __asm__(#FUNCTION "f"); \
  OFL_VECTOR_FORM double ofl_##FUNCTION(double) __asm__(#FUNCTION);      \
  }                                                                      \
  }                                                                      \
  template <class T>                                                     \
  OFL_FN T NAME(T x) {                                                   \
    if constexpr (std::is_same_v<T, float>)                              \
      return vector::ofl_##FUNCTION##f(x);                               \
    else if constexpr (std::is_same_v<T, double>)                        \
      return vector::ofl_##FUNCTION(x);                                  \
    else                                                                 \
      return std::FUNCTION(x);                                           \
  }
#define OFL_MATH2(NAME, FUNCTION)                                               \
  namespace vector {                                                            \
  extern "C" {                                                                  \
  OFL_VECTOR_FORM float ofl_##FUNCTION##f(float, float) __asm__(#FUNCTION "f"); \
  OFL_VECTOR_FORM double ofl_##FUNCTION(double, double) __asm__(#FUNCTION);     \
  }                                                                             \
  }                                                                             \
  template <class T>                                                            \
  OFL_FN T NAME(T x, T y) {                                                     \
    if constexpr (std::is_same_v<T, float>)                                     \
      return vector::ofl_##FUNCTION##f(x, y);                                   \
    else                                                                        \
      return vector::ofl_##FUNCTION(x, y);                                      \
  }
#else
#define OFL_MATH1(NAME, FUNCTION) \
  template <class T>              \
  OFL_FN T NAME(T x) {            \
    return std::FUNCTION(x);      \
  }
#define OFL_MATH2(NAME, FUNCTION) \
  template <class T>              \
  OFL_FN T NAME(T x, T y) {       \
    return std::FUNCTION(x, y);   \
  }
#endif

OFL_MATH1(Sin, sin)
OFL_MATH1(Cos, cos)
OFL_MATH1(Tan, tan)
OFL_MATH1(Asin, asin)
OFL_MATH1(Acos, acos)
OFL_MATH1(Atan, atan)
OFL_MATH1(Sinh, sinh)
OFL_MATH1(Cosh, cosh)
OFL_MATH1(Asinh, asinh)
OFL_MATH1(Acosh, acosh)
OFL_MATH1(Atanh, atanh)
OFL_MATH1(RealExp2, exp2)
OFL_MATH1(RealExpm1, expm1)
OFL_MATH1(RealLog, log)
OFL_MATH1(RealLog2, log2)
OFL_MATH1(Log10, log10)
OFL_MATH1(RealLog1p, log1p)
OFL_MATH1(WholeErf, erf)
OFL_MATH1(Erfc, erfc)
OFL_MATH2(Atan2, atan2)
OFL_MATH2(Hypot, hypot)
#undef OFL_MATH1
#undef OFL_MATH2
#undef OFL_VECTOR_FORM

inline constexpr double kLn2 = 0.69314718055994530942;
inline constexpr double kPi = 3.14159265358979323846;

template <class T>
OFL_FN T Exp2(T x) {
  if constexpr (kIsComplex<T>)
    return std::exp(x * typename T::value_type(kLn2));
  else
    return RealExp2(x);
}
template <class T>
OFL_FN T Log2(T x) {
  if constexpr (kIsComplex<T>)
    return std::log(x) / typename T::value_type(kLn2);  // part by part: 0 stays beside inf
  else
    return RealLog2(x);
}
// Exact near 0, in both parts.
template <class T>
OFL_FN T Expm1(T x) {
  if constexpr (kIsComplex<T>) {
    const auto half = std::sin(x.imag() / 2);
    const auto grown = std::expm1(x.real());
    return T(grown * std::cos(x.imag()) - 2 * half * half, (grown + 1) * std::sin(x.imag()));
  } else {
    return RealExpm1(x);
  }
}
template <class T>
OFL_FN T Log1p(T x) {
  if constexpr (kIsComplex<T>) {
    const auto re = x.real(), im = x.imag();
    const auto size = std::hypot(re + 1, im);
    const bool near = std::abs(re) < 0.5 && std::abs(im) < 0.5;
    return T(near ? std::log1p(re * (re + 2) + im * im) / 2 : std::log(size),
             std::atan2(im, re + 1));
  } else {
    return RealLog1p(x);
  }
}

}  // namespace ofl::ops::math
