// Where a counter-based generator of random numbers stands: value = f(seed, offset, logical index).
#pragma once

#include <cstdint>

namespace ofl {

struct RandomState {
  uint64_t seed = 0;
  int64_t offset = 0;  // of the next draw; each random call takes one
  bool operator==(const RandomState&) const = default;
  // The state `draws` later. Wraps instead of overflowing: a state may be set to any number.
  RandomState After(int64_t draws) const {
    return {seed,
            static_cast<int64_t>(static_cast<uint64_t>(offset) + static_cast<uint64_t>(draws))};
  }
};

}  // namespace ofl
