#include "compiler/memory/interval_packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ofl::compiler {
namespace {

bool Meet(const Block& a, const Block& b) { return a.first <= b.last && b.first <= a.last; }

TEST(PackIntervals, LiveBlocksNeverShareBytes) {
  for (int seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    std::vector<Block> blocks(1 + random() % 60);
    for (Block& b : blocks) {
      b.bytes = random() % 5000;
      b.first = random() % 50;
      b.last = b.first + random() % 20;
    }
    const int64_t total = PackIntervals(blocks, 64);
    int64_t peak = 0;
    for (const Block& b : blocks) {
      ASSERT_GE(b.offset, 0);
      ASSERT_EQ(b.offset % 64, 0);
      ASSERT_LE(b.offset + b.bytes, total);
      int64_t together = 0;
      for (const Block& c : blocks) {
        if (c.first <= b.first && b.first <= c.last) together += c.bytes;
        if (&b == &c || b.bytes == 0 || c.bytes == 0 || !Meet(b, c)) continue;
        ASSERT_TRUE(b.offset + b.bytes <= c.offset || c.offset + c.bytes <= b.offset)
            << "seed " << seed;
      }
      peak = std::max(peak, together);
    }
    EXPECT_GE(total, peak) << "seed " << seed;
  }
}

TEST(PackIntervals, BlocksThatNeverMeetTakeTheSameBytes) {
  std::vector<Block> blocks = {{1000, 0, 1, -1}, {1000, 2, 3, -1}, {1000, 4, 5, -1}};
  EXPECT_EQ(PackIntervals(blocks, 64), 1024);
}

}  // namespace
}  // namespace ofl::compiler
