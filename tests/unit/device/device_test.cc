#include "device/device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <numeric>
#include <set>
#include <vector>

namespace ofl::device {
namespace {

std::unique_ptr<Stream> CpuStream(int threads) {
  return (*GetDevice(DeviceKind::kCpu))->NewStream(threads);
}

std::set<std::pair<int64_t, int64_t>> ChunksOf(Stream& stream, int64_t n, int64_t grain) {
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> chunks;
  stream.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    std::lock_guard lock(mutex);
    chunks.emplace(begin, end);
  });
  return chunks;
}

TEST(Stream, CoversTheRangeOnceWithFixedBorders) {
  for (int threads : {1, 2, 3, 8}) {
    auto stream = CpuStream(threads);
    EXPECT_EQ(stream->threads(), threads);
    for (int64_t n : {0, 1, 2, 7, 100, 1001}) {
      for (int64_t grain : {1, 10, 5000}) {
        const auto chunks = ChunksOf(*stream, n, grain);
        int64_t at = 0;
        for (auto [begin, end] : chunks) {
          EXPECT_EQ(begin, at);
          EXPECT_LT(begin, end);
          at = end;
        }
        EXPECT_EQ(at, n);
        EXPECT_EQ(chunks, ChunksOf(*stream, n, grain));
      }
    }
  }
}

TEST(Stream, RunsManyShortLoopsWithoutLosingAChunk) {
  auto stream = CpuStream(4);
  std::vector<int> hits(64);
  for (int round = 0; round < 20000; ++round) {
    stream->ParallelFor(64, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++hits[i];
    });
  }
  for (int h : hits) ASSERT_EQ(h, 20000);
}

TEST(Stream, RunsANestedLoopInPlace) {
  auto stream = CpuStream(3);
  std::vector<int> hits(100);
  stream->ParallelFor(10, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      stream->ParallelFor(10, 1, [&](int64_t b, int64_t e) {
        for (int64_t j = b; j < e; ++j) ++hits[i * 10 + j];
      });
    }
  });
  for (int h : hits) EXPECT_EQ(h, 1);
}

TEST(Stream, CopiesShortAndLongRanges) {
  auto stream = CpuStream(2);
  for (int64_t bytes : {0, 1, 1000, 3'000'001}) {
    std::vector<std::byte> from(bytes), to(bytes);
    for (int64_t i = 0; i < bytes; ++i) from[i] = static_cast<std::byte>(i * 7);
    stream->Copy(to.data(), from.data(), bytes);
    EXPECT_EQ(from, to);
  }
}

TEST(Stream, EventsOfTheHostAreDone) {
  auto stream = CpuStream(1);
  auto event = stream->Record();
  EXPECT_TRUE(event->Done());
  stream->Wait(*event);
  EXPECT_TRUE(stream->Synchronize().ok());
}

TEST(Device, SaysWhichKindsExist) {
  const auto cuda = GetDevice(DeviceKind::kCuda);
  ASSERT_FALSE(cuda.ok());
  EXPECT_EQ(cuda.status().code(), Code::kUnimplemented);
  EXPECT_NE(cuda.status().message().find("no device of kind cuda"), std::string::npos);
}

TEST(Device, KeepsTheOwnerOfWrappedMemory) {
  auto owner = std::make_shared<std::vector<std::byte>>(100);
  std::weak_ptr<void> watch = owner;
  auto buffer = WrapExternal(owner->data(), 100, owner);
  EXPECT_EQ(buffer->data(), owner->data());
  owner.reset();
  EXPECT_FALSE(watch.expired());
  buffer.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(NullDevice, AccountsMemoryThatDoesNotExist) {
  Device* null = *GetDevice(DeviceKind::kNull);
  const int64_t before = null->stats().bytes_in_use;
  {
    auto buffer = null->Allocate(int64_t{1} << 45);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ((*buffer)->data(), nullptr);
    EXPECT_EQ(null->stats().bytes_in_use - before, int64_t{1} << 45);
  }
  EXPECT_EQ(null->stats().bytes_in_use, before);
  EXPECT_GE(null->stats().bytes_peak, int64_t{1} << 45);
}

}  // namespace
}  // namespace ofl::device
