// Elementary functions as straight-line code, so that loops over them vectorise.
//
// Single precision: within a few units in the last place (the tests state each bound); NaN goes
// through, infinities and overflow end where the standard library's do. Results below the least
// normal number may be flushed to zero. Double precision calls the standard library.
// Needs -fno-trapping-math for the selections to become masks.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "device/cpu/simd.h"

namespace ofl::device::simd {

OFL_INLINE float FromBits(uint32_t bits) { return std::bit_cast<float>(bits); }
OFL_INLINE uint32_t ToBits(float x) { return std::bit_cast<uint32_t>(x); }

// 2^k for k in [-126, 127]; any pattern otherwise.
OFL_INLINE float PowerOfTwo(int32_t k) { return FromBits((static_cast<uint32_t>(k) + 127u) << 23); }

// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits of
// the pattern: no conversion, and no undefined one where x is NaN. For |x| < 2^22.
inline constexpr float kRoundShift = 12582912.0f;
OFL_INLINE int32_t RoundedBits(float shifted) {
  return static_cast<int32_t>(ToBits(shifted) - ToBits(kRoundShift));
}

// exp(r) for |r| <= ln(2)/2: the Taylor series to r^7, rest below 2^-27.
OFL_INLINE float ExpReduced(float r) {
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  return p * r * r + r + 1.0f;
}

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2High = 0.693145751953125f;  // 16 bits, so k * high is exact
inline constexpr float kLn2Low = 1.42860682030941723212e-6f;

OFL_INLINE float Exp(float x) {
  // Clamping keeps NaN: both comparisons are false for it.
  float t = x > 89.0f ? 89.0f : x;
  t = t < -104.0f ? -104.0f : t;
  const float shifted = t * kLog2E + kRoundShift;
  const float k = shifted - kRoundShift;
  const float r = (t - k * kLn2High) - k * kLn2Low;
  // Two factors, since 2^k itself leaves the range of normal numbers at both ends.
  const int32_t whole = RoundedBits(shifted);
  const int32_t half = whole >> 1;
  return ExpReduced(r) * PowerOfTwo(half) * PowerOfTwo(whole - half);
}

// exp(x) for x <= 0, in fewer steps; below exp(-87) it stays there.
OFL_INLINE float ExpNegative(float x) {
  const float t = x < -87.0f ? -87.0f : x;
  const float shifted = t * kLog2E + kRoundShift;
  const float k = shifted - kRoundShift;
  const float r = (t - k * kLn2High) - k * kLn2Low;
  return ExpReduced(r) * PowerOfTwo(RoundedBits(shifted));
}

OFL_INLINE float Log(float x) {
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)); subnormals are scaled up first.
  const bool tiny = x < 1.17549435e-38f;
  const float scaled = tiny ? x * 8388608.0f : x;
  const uint32_t bits = ToBits(scaled);
  const int32_t e = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;
  const float m = FromBits(bits - (static_cast<uint32_t>(e) << 23));
  const float exponent = static_cast<float>(e) - (tiny ? 23.0f : 0.0f);
  // log m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.1716: odd series in s.
  const float f = m - 1.0f;
  const float s = f / (2.0f + f);
  const float z = s * s;
  float p = 2.0f / 11;
  p = p * z + 2.0f / 9;
  p = p * z + 2.0f / 7;
  p = p * z + 2.0f / 5;
  p = p * z + 2.0f / 3;
  // log(1+f) = f - f^2/2 + s (f^2/2 + R): keeps the bits that 2s alone would lose.
  const float h = 0.5f * f * f;
  const float series = s * (h + z * p);
  const float result = exponent * kLn2High + ((f - (h - series)) + exponent * kLn2Low);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float y = x == kInf ? kInf : result;
  y = x == 0.0f ? -kInf : y;
  return x < 0.0f || x != x ? std::numeric_limits<float>::quiet_NaN() : y;
}

// exp(x) - 1 for x <= 0 without cancellation, over [-20, 0].
OFL_INLINE float Expm1Negative(float x) {
  const float shifted = x * kLog2E + kRoundShift;
  const float k = shifted - kRoundShift;
  const float r = (x - k * kLn2High) - k * kLn2Low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  const float e = p * r * r + r;  // exp(r) - 1
  const float scale = PowerOfTwo(RoundedBits(shifted));
  return e * scale + (scale - 1.0f);
}

OFL_INLINE float Tanh(float x) {
  // tanh |x| = -(e^{-2|x|} - 1) / (e^{-2|x|} + 1); past 10 the answer is 1 in single precision.
  const float a = std::fabs(x);
  const float t = a > 10.0f ? 10.0f : a;
  const float em1 = Expm1Negative(-2.0f * t);
  const float y = -em1 / (em1 + 2.0f);
  return std::copysign(x != x ? x : y, x);
}

OFL_INLINE float Sigmoid(float x) {
  const float e = Exp(-std::fabs(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// With e = exp(-x^2), which callers that need it as well compute once.
OFL_INLINE float ErfWithExp(float x, float e) {
  const float a = std::fabs(x);
  // Up to 1: x times a polynomial in x^2 (Chebyshev fit, 2^-29).
  const float z = a > 1.0f ? 1.0f : a * a;
  float p = 7.882497117e-05f;
  p = p * z - 8.018854994e-04f;
  p = p * z + 5.189311943e-03f;
  p = p * z - 2.685432880e-02f;
  p = p * z + 1.128359746e-01f;
  p = p * z - 3.761262690e-01f;
  p = p * z + 1.128379166e+00f;
  const float near = a * p;
  // Above: 1 - exp(-x^2) q(x), q fitted on [1, 4] around 2.5 (2^-25); past 4 the answer is 1.
  const float t = a > 4.0f ? 4.0f : a;
  const float u = t - 2.5f;
  float q = 1.671801785e-06f;
  q = q * u - 6.386085704e-06f;
  q = q * u + 1.435366257e-05f;
  q = q * u - 5.358580906e-05f;
  q = q * u + 2.129720802e-04f;
  q = q * u - 7.389975677e-04f;
  q = q * u + 2.465982358e-03f;
  q = q * u - 7.999345595e-03f;
  q = q * u + 2.493820374e-02f;
  q = q * u - 7.434760093e-02f;
  q = q * u + 2.108063575e-01f;
  const float far = 1.0f - e * q;
  const float y = a > 1.0f ? far : near;
  return std::copysign(x != x ? x : y, x);
}
OFL_INLINE float Erf(float x) { return ErfWithExp(x, ExpNegative(-x * x)); }

OFL_INLINE double Exp(double x) { return std::exp(x); }
OFL_INLINE double Log(double x) { return std::log(x); }
OFL_INLINE double Tanh(double x) { return std::tanh(x); }
OFL_INLINE double Erf(double x) { return std::erf(x); }
OFL_INLINE double ExpNegative(double x) { return std::exp(x); }
OFL_INLINE double ErfWithExp(double x, double) { return std::erf(x); }
OFL_INLINE double Sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return x >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
}

}  // namespace ofl::device::simd
