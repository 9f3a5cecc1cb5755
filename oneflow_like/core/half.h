// Element types that are narrower than what C++ computes in: patterns of bits with conversions to
// and from float. Rounding is to nearest, ties to even; NaN stays NaN.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ofl {

struct BFloat16 {
  uint16_t bits;
  static float Widen(BFloat16 v) {
    const uint32_t wide = static_cast<uint32_t>(v.bits) << 16;
    float out;
    std::memcpy(&out, &wide, sizeof out);
    return out;
  }
  static BFloat16 Round(float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    if ((wide & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((wide >> 16) | 0x40u)};
    return {static_cast<uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
  }
};

struct Float16 {
  uint16_t bits;
  static float Widen(Float16 v) {
    const uint32_t sign = static_cast<uint32_t>(v.bits & 0x8000u) << 16;
    const uint32_t exponent = (v.bits >> 10) & 0x1fu, mantissa = v.bits & 0x3ffu;
    uint32_t wide;
    if (exponent == 0) {
      const float tiny = static_cast<float>(mantissa) * 0x1p-24f;
      std::memcpy(&wide, &tiny, sizeof wide);
      wide |= sign;
    } else if (exponent == 31) {
      wide = sign | 0x7f800000u | (mantissa << 13);
    } else {
      wide = sign | ((exponent + 112) << 23) | (mantissa << 13);
    }
    float out;
    std::memcpy(&out, &wide, sizeof out);
    return out;
  }
  static Float16 Round(float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    const uint16_t sign = static_cast<uint16_t>((wide >> 16) & 0x8000u);
    const uint32_t magnitude = wide & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
    if (magnitude < 0x38800000u) {  // subnormal: the addition rounds at the half's last place
      float tiny;
      std::memcpy(&tiny, &magnitude, sizeof tiny);
      tiny += 0.5f;
      uint32_t rounded;
      std::memcpy(&rounded, &tiny, sizeof rounded);
      return {static_cast<uint16_t>(sign | (rounded - 0x3f000000u))};
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23);
    return {static_cast<uint16_t>(sign | (rounded >> 13))};
  }
};

// The fp8 formats of the OCP specification (revision 1.0): e4m3 without infinities, which saturates
// as in torch (what is beyond the largest number becomes that), and e5m2, a float16 cut short.
struct Float8E4M3 {
  uint8_t bits;
  static float Widen(Float8E4M3 v) {
    const int exponent = (v.bits >> 3) & 15, mantissa = v.bits & 7;
    const bool nan = exponent == 15 && mantissa == 7;
    const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                          : std::ldexp(1.0f + mantissa / 8.0f, exponent - 7);
    return std::copysign(nan ? std::nanf("") : magnitude, v.bits & 0x80 ? -1.0f : 1.0f);
  }
  static Float8E4M3 Round(float value) {
    const uint8_t sign = std::signbit(value) ? 0x80 : 0;
    const float magnitude = std::fabs(value);
    if (value != value) return {static_cast<uint8_t>(sign | 0x7f)};
    if (magnitude >= 448.0f) return {static_cast<uint8_t>(sign | 0x7e)};
    int exponent = magnitude > 0 ? std::ilogb(magnitude) : -9;
    if (exponent < -6) exponent = -6;
    const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
    // `steps` counts eighths of the binade; a carry runs into the exponent by itself.
    const int pattern = steps < 8 ? steps : ((exponent + 7) << 3) + (steps - 8);
    return {static_cast<uint8_t>(sign | pattern)};
  }
};

struct Float8E5M2 {
  uint8_t bits;
  static float Widen(Float8E5M2 v) { return Float16::Widen({static_cast<uint16_t>(v.bits << 8)}); }
  static Float8E5M2 Round(float value) {
    const uint8_t sign = std::signbit(value) ? 0x80 : 0;
    if (value != value) return {static_cast<uint8_t>(sign | 0x7e)};
    const float magnitude = std::fabs(value);
    if (magnitude >= 61440.0f) return {static_cast<uint8_t>(sign | 0x7c)};  // infinity
    int exponent = magnitude > 0 ? std::ilogb(magnitude) : -16;
    if (exponent < -14) exponent = -14;
    const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 2 - exponent)));
    const int pattern = steps < 4 ? steps : ((exponent + 15) << 2) + (steps - 4);
    return {static_cast<uint8_t>(sign | pattern)};
  }
};

}  // namespace ofl
