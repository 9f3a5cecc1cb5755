// Small random worlds for tests of the core: one to four ranks with one or two in-order streams,
// messages, common orders of collectives, micro-batch rates, in-place and reused memory.
#pragma once

#include <cstdint>
#include <vector>

#include "oneflow_like/core/program.h"

namespace ofl::actor {

struct RandomWorld {
  std::vector<Program> programs;
  // blocks[rank][register]: registers of one number share memory, in-place ones included.
  std::vector<std::vector<int>> blocks;
};

// Deterministic in the seed. Most worlds are live; some orders are disturbed so that some are not.
RandomWorld MakeRandomWorld(uint64_t seed);

}  // namespace ofl::actor
