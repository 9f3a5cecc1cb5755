// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011).
//
// A value is a function of (seed, stream offset, index of the element in the logical tensor), so
// it is the same whatever the layout, the number of threads or the order of computing.
#pragma once

#include <array>
#include <cstdint>

#include "device/cpu/simd.h"

namespace ofl::ops {

using PhiloxBlock = std::array<uint32_t, 4>;

inline constexpr int kPhiloxRounds = 10;
inline constexpr uint64_t kPhiloxMul0 = 0xD2511F53u, kPhiloxMul1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u, kPhiloxWeyl1 = 0xBB67AE85u;

OFL_INLINE void PhiloxRound(uint32_t k0, uint32_t k1, uint32_t& c0, uint32_t& c1, uint32_t& c2,
                            uint32_t& c3) {
  const uint64_t p0 = kPhiloxMul0 * c0, p1 = kPhiloxMul1 * c2;
  c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
  c1 = static_cast<uint32_t>(p1);
  c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
  c3 = static_cast<uint32_t>(p0);
}

// Block `counter` of the stream `offset` under the key `seed`.
OFL_INLINE PhiloxBlock Philox(uint64_t seed, uint64_t offset, uint64_t counter) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    PhiloxRound(k0, k1, c0, c1, c2, c3);
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  return {c0, c1, c2, c3};
}

// The blocks of `kLanes` counters, in place of them: a loop over lanes inside each round becomes
// vector code.
template <int64_t kLanes>
OFL_INLINE void PhiloxLanes(uint64_t seed, uint32_t (&c0)[kLanes], uint32_t (&c1)[kLanes],
                            uint32_t (&c2)[kLanes], uint32_t (&c3)[kLanes]) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (int64_t i = 0; i < kLanes; ++i) PhiloxRound(k0, k1, c0[i], c1[i], c2[i], c3[i]);
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
}

// [0, 1) in steps of 2^-24, exact in float.
OFL_INLINE float UnitFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1.0p-24f; }

// The same in steps of 2^-53, exact in double.
OFL_INLINE double UnitDouble(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace ofl::ops
