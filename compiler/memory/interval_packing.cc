#include "compiler/memory/interval_packing.h"

#include <algorithm>
#include <numeric>

namespace ofl::compiler {

int64_t PackIntervals(std::vector<Block>& blocks, int64_t alignment) {
  std::vector<size_t> by_size(blocks.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<size_t> placed;  // sorted by offset
  int64_t total = 0;
  for (size_t index : by_size) {
    Block& block = blocks[index];
    int64_t at = 0;
    for (size_t other_index : placed) {
      const Block& other = blocks[other_index];
      const bool meet = other.first <= block.last && block.first <= other.last;
      if (!meet) continue;
      if (at + block.bytes <= other.offset) break;
      const int64_t end = (other.offset + other.bytes + alignment - 1) / alignment * alignment;
      at = std::max(at, end);
    }
    block.offset = at;
    total = std::max(total, at + block.bytes);
    auto position = std::upper_bound(placed.begin(), placed.end(), at,
                                     [&](int64_t a, size_t o) { return a < blocks[o].offset; });
    placed.insert(position, index);
  }
  return (total + alignment - 1) / alignment * alignment;
}

}  // namespace ofl::compiler
