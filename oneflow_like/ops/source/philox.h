// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011).
//
// A value is a function of (seed, stream offset, index of the element in the logical tensor), so
// it is the same whatever the layout, the number of threads or the order of computing.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "device/cpu/simd.h"

namespace ofl::ops {

using PhiloxBlock = std::array<uint32_t, 4>;

// Block `counter` of the stream `offset` under the key `seed`.
OFL_INLINE PhiloxBlock Philox(uint64_t seed, uint64_t offset, uint64_t counter) {
  constexpr uint64_t kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = kMul0 * c0, p1 = kMul1 * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return {c0, c1, c2, c3};
}

// [0, 1) in steps of 2^-24, exact in float.
OFL_INLINE float UnitFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

// The same in steps of 2^-53, exact in double.
OFL_INLINE double UnitDouble(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

// Two independent standard normal values of two words (Box and Muller).
inline void NormalPair(uint32_t a, uint32_t b, double* first, double* second) {
  const double u = (static_cast<double>(a) + 1.0) * 0x1.0p-32;  // (0, 1]
  const double angle = 6.283185307179586 * (static_cast<double>(b) * 0x1.0p-32);
  const double radius = std::sqrt(-2.0 * std::log(u));
  *first = radius * std::cos(angle);
  *second = radius * std::sin(angle);
}

}  // namespace ofl::ops
