// What is left of an exponential beside numbers that it is added to.
#pragma once

#include <type_traits>

#include "oneflow_like/ops/math.h"

namespace ofl::ops {

// math::ExpNegative, which stays at the least normal number, where it shows beside 0: of floats
// below that one this gives 0, in as many steps.
template <class T>
OFL_FN T ExpOrNothing(T x) {
#ifndef __CUDACC__
  if constexpr (std::is_same_v<T, float>) {
    using namespace device::simd;             // NOLINT
    const float t = x < -88.0f ? -88.0f : x;  // there the power of 2 is that of a 0
    const float shifted = t * kLog2E + kRoundShift;
    const float k = shifted - kRoundShift;
    const float r = (t - k * kLn2High) - k * kLn2Low;
    return ExpReduced(r) * PowerOfTwo(RoundedBits(shifted));
  }
#endif
  return math::ExpNegative(x);
}

}  // namespace ofl::ops
