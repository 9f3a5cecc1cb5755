// Host memory in cached blocks.
//
// Sizes round up to classes at most 25 % apart. Small classes are carved from slabs of
// kSlabBytes; a large block has a slab of its own. A freed block returns to the free list of its
// class and can be handed out again at once; large blocks that would make these lists hold more
// than 1/kKeptShare of the limit go back to the system instead, which other processes share. Each
// slab is a segment (MemoryHandle::segment), ids counting from 1 and never reused.
//
// Threads: safe from any thread; a hit takes one uncontended lock.
// Ownership: the allocator must outlive its buffers; the process's one is never destroyed.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <vector>

#include "device/device.h"

namespace ofl::device {

class CpuAllocator {
 public:
  static constexpr int64_t kAlignment = 64;
  static constexpr int64_t kSlabBytes = int64_t{8} << 20;
  static constexpr int64_t kMaxSmallBytes = int64_t{1} << 20;

  static constexpr int64_t kKeptShare = 8;
  // From this size on a slab is made only if the machine has so much memory left now: the system
  // promises more than it has, and ends the process that believes it.
  static constexpr int64_t kAskedBytes = int64_t{256} << 20;

  // `limit_bytes`: slabs never exceed this in total; free slabs are given back first.
  // `available`: the bytes that the machine can give now.
  explicit CpuAllocator(int64_t limit_bytes, int64_t (*available)() = nullptr)
      : limit_(limit_bytes), available_(available) {}
  ~CpuAllocator();
  CpuAllocator(const CpuAllocator&) = delete;
  CpuAllocator& operator=(const CpuAllocator&) = delete;

  // 0 bytes: a buffer whose data is null. kInvalidArgument for a negative size,
  // kResourceExhausted when the limit or the system refuses.
  Result<BufferRef> Allocate(int64_t bytes);
  MemoryStats stats() const;
  // Another limit from now on; what is held already stays.
  void set_limit(int64_t bytes) { limit_ = bytes; }
  // Gives the free large blocks back to the system.
  void ReleaseCached();
  // The address a handle names; null when the segment is not (or no longer) ours.
  std::byte* Resolve(MemoryHandle handle, int64_t bytes) const;

  struct Block {
    std::byte* data = nullptr;
    MemoryHandle handle;
    int size_class = -1;
  };
  // For the buffers this allocator made.
  void Free(const Block& block, int64_t bytes);

  // The smallest class that holds `bytes`, and the bytes it holds.
  static int ClassOf(int64_t bytes);
  static int64_t ClassBytes(int size_class);

 private:
  static constexpr int kNumClasses = 4 * 44;  // 64 B .. 2^49 B
  struct FreeList {
    std::mutex mutex;
    std::vector<Block> blocks;
  };
  struct Segment {
    std::byte* base;
    int64_t bytes;
  };

  Result<Block> Refill(int size_class, int64_t bytes);
  Result<uint32_t> NewSegment(int64_t bytes, int64_t requested);  // slabs_mutex_ held
  // Whether a slab of so many bytes fits into the limit and into the machine's memory.
  bool Fits(int64_t bytes) const;
  void ReleaseLocked(const Block& block);
  void ReleaseCachedLocked();
  void Account(int64_t bytes);

  std::atomic<int64_t> limit_;
  int64_t (*const available_)();
  std::array<FreeList, kNumClasses> free_;
  // Lock order: slabs_mutex_ before a free list's.
  mutable std::mutex slabs_mutex_;
  std::map<uint32_t, Segment> segments_;
  uint32_t next_segment_ = 1;
  uint32_t open_segment_ = 0;  // the slab that small blocks are carved from
  int64_t open_used_ = 0;
  std::atomic<int64_t> reserved_{0};
  std::atomic<int64_t> kept_{0};  // in free lists of large classes
  std::atomic<int64_t> in_use_{0};
  std::atomic<int64_t> peak_{0};
  std::atomic<int64_t> allocations_{0};
};

}  // namespace ofl::device
