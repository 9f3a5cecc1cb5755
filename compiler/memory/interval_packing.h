// Offsets for blocks with lifetimes: blocks whose lifetimes meet never share bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace ofl::compiler {

struct Block {
  int64_t bytes = 0;
  int64_t first = 0;  // inclusive positions in execution order
  int64_t last = 0;
  int64_t offset = -1;  // the answer
};

// Places larger blocks first, each at the lowest offset free over its lifetime (greedy by size:
// Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
// Returns the bytes needed. Deterministic.
int64_t PackIntervals(std::vector<Block>& blocks, int64_t alignment);

}  // namespace ofl::compiler
