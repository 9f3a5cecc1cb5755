#include "device/cpu/allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <thread>

namespace ofl::device {
namespace {

constexpr int64_t kLimit = int64_t{1} << 30;

TEST(CpuAllocator, ClassesHoldTheirSizesWithinAQuarter) {
  for (int64_t bytes : {1, 63, 64, 65, 80, 128, 129, 1000, 4096, 4097, 1 << 20, (1 << 20) + 1}) {
    const int c = CpuAllocator::ClassOf(bytes);
    EXPECT_GE(CpuAllocator::ClassBytes(c), bytes);
    EXPECT_LE(CpuAllocator::ClassBytes(c), std::max<int64_t>(bytes * 5 / 4 + 64, 64)) << bytes;
    EXPECT_EQ(CpuAllocator::ClassBytes(c) % CpuAllocator::kAlignment, 0);
  }
}

TEST(CpuAllocator, GivesAlignedMemoryThatDoesNotOverlap) {
  CpuAllocator allocator(kLimit);
  std::vector<BufferRef> buffers;
  std::vector<std::pair<std::byte*, std::byte*>> ranges;
  for (int64_t bytes = 1; bytes < 3'000'000; bytes = bytes * 3 / 2 + 1) {
    auto buffer = allocator.Allocate(bytes);
    ASSERT_TRUE(buffer.ok()) << buffer.status().ToString();
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*buffer)->data()) % CpuAllocator::kAlignment, 0u);
    EXPECT_EQ((*buffer)->size(), bytes);
    std::memset((*buffer)->data(), 1, bytes);
    ranges.emplace_back((*buffer)->data(), (*buffer)->data() + bytes);
    buffers.push_back(*buffer);
  }
  std::ranges::sort(ranges);
  for (size_t i = 1; i < ranges.size(); ++i) EXPECT_LE(ranges[i - 1].second, ranges[i].first);
}

TEST(CpuAllocator, ReusesAFreedBlockAtOnce) {
  CpuAllocator allocator(kLimit);
  std::byte* first = (*allocator.Allocate(1000))->data();
  EXPECT_EQ((*allocator.Allocate(1000))->data(), first);
  EXPECT_EQ((*allocator.Allocate(990))->data(), first);
}

TEST(CpuAllocator, AccountsBytes) {
  CpuAllocator allocator(kLimit);
  {
    auto a = allocator.Allocate(1000);
    auto b = allocator.Allocate(3000);
    EXPECT_EQ(allocator.stats().bytes_in_use, 4000);
  }
  EXPECT_EQ(allocator.stats().bytes_in_use, 0);
  EXPECT_EQ(allocator.stats().bytes_peak, 4000);
  EXPECT_EQ(allocator.stats().allocations, 2);
  EXPECT_GT(allocator.stats().bytes_cached, 0);
}

TEST(CpuAllocator, NamesBytesByHandle) {
  CpuAllocator allocator(kLimit);
  auto small = *allocator.Allocate(100);
  auto large = *allocator.Allocate(5'000'000);
  EXPECT_EQ(allocator.Resolve(small->handle(), 100), small->data());
  EXPECT_EQ(allocator.Resolve(large->handle(), 5'000'000), large->data());
  EXPECT_NE(small->handle().segment, large->handle().segment);
  EXPECT_EQ(allocator.Resolve({999, 0}, 1), nullptr);
  EXPECT_EQ(allocator.Resolve({large->handle().segment, 0}, int64_t{1} << 40), nullptr);
  EXPECT_EQ(allocator.Resolve({large->handle().segment, ~uint64_t{0}}, 8), nullptr);
}

TEST(CpuAllocator, EmptyBuffersHaveNoData) {
  CpuAllocator allocator(kLimit);
  auto buffer = allocator.Allocate(0);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ((*buffer)->data(), nullptr);
}

TEST(CpuAllocator, RefusesWhatDoesNotFit) {
  CpuAllocator allocator(int64_t{32} << 20);
  auto held = allocator.Allocate(int64_t{20} << 20);
  ASSERT_TRUE(held.ok());
  const auto refused = allocator.Allocate(int64_t{20} << 20);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("requested 20971520 bytes, in use 20971520"),
            std::string::npos)
      << refused.status().message();
  EXPECT_EQ(allocator.Allocate(-1).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(allocator.Allocate(INT64_MAX).status().code(), Code::kResourceExhausted);
}

TEST(CpuAllocator, GivesFreeBlocksBackBeforeItRefuses) {
  CpuAllocator allocator(int64_t{32} << 20);
  ASSERT_TRUE(allocator.Allocate(int64_t{3} << 20).ok());  // freed at once, but cached
  EXPECT_GE(allocator.stats().bytes_cached, int64_t{3} << 20);
  EXPECT_TRUE(allocator.Allocate(int64_t{30} << 20).ok());
}

TEST(CpuAllocator, KeepsAnEighthOfTheLimitAtMost) {
  CpuAllocator allocator(int64_t{64} << 20);
  std::vector<BufferRef> held;
  for (int i = 0; i < 10; ++i) held.push_back(*allocator.Allocate(int64_t{4} << 20));
  const MemoryHandle first = held[0]->handle(), last = held[9]->handle();
  held.clear();
  EXPECT_EQ(allocator.stats().bytes_cached, int64_t{8} << 20);
  EXPECT_NE(allocator.Resolve(first, 1), nullptr);
  EXPECT_EQ(allocator.Resolve(last, 1), nullptr);
  // Blocks that are taken again make room for others.
  for (int i = 0; i < 2; ++i) held.push_back(*allocator.Allocate(int64_t{4} << 20));
  EXPECT_EQ(allocator.stats().bytes_cached, 0);
  held.clear();
  EXPECT_EQ(allocator.stats().bytes_cached, int64_t{8} << 20);
}

TEST(CpuAllocator, RefusesWhatTheMachineHasNotLeft) {
  static int64_t left = int64_t{300} << 20;
  CpuAllocator allocator(int64_t{8} << 30, [] { return left; });
  EXPECT_TRUE(allocator.Allocate(int64_t{256} << 20).ok());
  allocator.ReleaseCached();
  left = int64_t{100} << 20;
  const auto refused = allocator.Allocate(int64_t{256} << 20);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("available on this machine now 104857600"),
            std::string::npos)
      << refused.status().message();
  // Small ones are not asked about: that would cost more than they do.
  EXPECT_TRUE(allocator.Allocate(int64_t{128} << 20).ok());
}

TEST(CpuAllocator, SurvivesManyThreads) {
  CpuAllocator allocator(kLimit);
  std::vector<std::thread> threads;
  std::atomic<int> corrupted{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      std::vector<BufferRef> held;
      for (int i = 0; i < 5000; ++i) {
        auto buffer = allocator.Allocate(1 + random() % 100'000);
        if (!buffer.ok()) continue;
        (*buffer)->data()[0] = static_cast<std::byte>(t);
        held.push_back(*buffer);
        if (held.size() > 20) {
          const size_t at = random() % held.size();
          if (held[at]->data()[0] != static_cast<std::byte>(t)) ++corrupted;
          held.erase(held.begin() + static_cast<ptrdiff_t>(at));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(corrupted, 0);
  EXPECT_EQ(allocator.stats().bytes_in_use, 0);
}

}  // namespace
}  // namespace ofl::device
