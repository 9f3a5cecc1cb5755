#include "device/cpu/allocator.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "oneflow_like/base/check.h"

namespace ofl::device {
namespace {

class CpuBuffer final : public Buffer {
 public:
  CpuBuffer(CpuAllocator* allocator, const CpuAllocator::Block& block, int64_t bytes)
      : allocator_(allocator), block_(block) {
    data_ = block.data;
    size_ = bytes;
    handle_ = block.handle;
  }
  ~CpuBuffer() override {
    if (data_ != nullptr) allocator_->Free(block_, size_);
  }

 private:
  CpuAllocator* allocator_;
  CpuAllocator::Block block_;
};

constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t RoundUp(int64_t bytes, int64_t step) { return (bytes + step - 1) / step * step; }

}  // namespace

// Class 4e + m holds (4 + m) * 16 * 2^e bytes: four classes to each power of two.
int CpuAllocator::ClassOf(int64_t bytes) {
  if (bytes <= kAlignment) return 0;
  const uint64_t last = static_cast<uint64_t>(bytes - 1);
  const int e = std::bit_width(last) - 7;
  const int m = static_cast<int>((last >> (e + 4)) & 3);
  return 4 * e + m + 1;
}

int64_t CpuAllocator::ClassBytes(int size_class) {
  const int64_t bytes = static_cast<int64_t>(4 + size_class % 4) << (4 + size_class / 4);
  return RoundUp(bytes, kAlignment);
}

CpuAllocator::~CpuAllocator() {
  for (const auto& [id, segment] : segments_) {
    ASAN_UNPOISON_MEMORY_REGION(segment.base, segment.bytes);
    munmap(segment.base, segment.bytes);
  }
}

void CpuAllocator::Account(int64_t bytes) {
  allocations_.fetch_add(1, std::memory_order_relaxed);
  const int64_t now = in_use_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = peak_.load(std::memory_order_relaxed);
  while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

Result<BufferRef> CpuAllocator::Allocate(int64_t bytes) {
  OFL_ENSURE(bytes >= 0, Code::kInvalidArgument)
      << "cannot allocate a negative number of bytes: got " << bytes;
  if (bytes == 0) return BufferRef(std::make_shared<CpuBuffer>(this, Block{}, 0));
  constexpr int64_t kMaxBytes = int64_t{1} << 48;
  OFL_ENSURE(bytes <= kMaxBytes, Code::kResourceExhausted)
      << "out of memory on cpu: requested " << bytes << " bytes, in use "
      << in_use_.load(std::memory_order_relaxed) << ", limit " << limit_;
  const int size_class = ClassOf(bytes);
  Block block;
  {
    FreeList& list = free_[size_class];
    std::lock_guard lock(list.mutex);
    if (!list.blocks.empty()) {
      block = list.blocks.back();
      list.blocks.pop_back();
      if (ClassBytes(size_class) > kMaxSmallBytes) kept_.fetch_sub(ClassBytes(size_class));
    }
  }
  if (block.data == nullptr) {
    auto fresh = Refill(size_class, bytes);
    if (!fresh.ok()) return fresh.status();
    block = *fresh;
  }
  ASAN_UNPOISON_MEMORY_REGION(block.data, bytes);
  Account(bytes);
  return BufferRef(std::make_shared<CpuBuffer>(this, block, bytes));
}

void CpuAllocator::Free(const Block& block, int64_t bytes) {
  ASAN_POISON_MEMORY_REGION(block.data, ClassBytes(block.size_class));
  in_use_.fetch_sub(bytes, std::memory_order_relaxed);
  const int64_t kept = ClassBytes(block.size_class);
  if (kept > kMaxSmallBytes && kept_.fetch_add(kept) + kept > limit_ / kKeptShare) {
    std::lock_guard lock(slabs_mutex_);
    return ReleaseLocked(block);
  }
  FreeList& list = free_[block.size_class];
  std::lock_guard lock(list.mutex);
  list.blocks.push_back(block);
}

Result<CpuAllocator::Block> CpuAllocator::Refill(int size_class, int64_t bytes) {
  const int64_t block_bytes = ClassBytes(size_class);
  std::lock_guard lock(slabs_mutex_);
  Block block;
  block.size_class = size_class;
  if (block_bytes > kMaxSmallBytes) {
    OFL_ASSIGN(block.handle.segment, NewSegment(block_bytes, bytes));
  } else {
    if (open_segment_ == 0 || open_used_ + block_bytes > kSlabBytes) {
      // What is left of the old slab, under one block, stays unused.
      OFL_ASSIGN(open_segment_, NewSegment(kSlabBytes, bytes));
      open_used_ = 0;
    }
    block.handle = {open_segment_, static_cast<uint64_t>(open_used_)};
    open_used_ += block_bytes;
  }
  block.data = segments_.at(block.handle.segment).base + block.handle.offset;
  return block;
}

bool CpuAllocator::Fits(int64_t bytes) const {
  if (bytes > limit_ - reserved_.load(std::memory_order_relaxed)) return false;
  return bytes < kAskedBytes || available_ == nullptr || bytes <= available_();
}

Result<uint32_t> CpuAllocator::NewSegment(int64_t bytes, int64_t requested) {
  bytes = RoundUp(bytes, 4096);
  const auto refuse = [&]() -> Status {
    auto refusal = Error(Code::kResourceExhausted);
    refusal << "out of memory on cpu: requested " << requested << " bytes, in use "
            << in_use_.load(std::memory_order_relaxed) << ", limit " << limit_;
    if (available_ != nullptr) refusal << ", available on this machine now " << available_();
    return refusal;
  };
  if (!Fits(bytes)) {
    ReleaseCachedLocked();
    if (!Fits(bytes)) return refuse();
  }
  const auto map = [&] {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  };
  void* base = map();
  if (base == MAP_FAILED) {
    ReleaseCachedLocked();
    base = map();
    if (base == MAP_FAILED) return refuse();
  }
  if (bytes >= kHugePage) madvise(base, bytes, MADV_HUGEPAGE);  // advice: failure is harmless
  ASAN_POISON_MEMORY_REGION(base, bytes);
  const uint32_t id = next_segment_++;
  segments_[id] = {static_cast<std::byte*>(base), bytes};
  reserved_.fetch_add(bytes, std::memory_order_relaxed);
  return id;
}

void CpuAllocator::ReleaseCached() {
  std::lock_guard lock(slabs_mutex_);
  ReleaseCachedLocked();
}

void CpuAllocator::ReleaseCachedLocked() {
  for (int c = ClassOf(kMaxSmallBytes) + 1; c < kNumClasses; ++c) {
    std::vector<Block> blocks;
    {
      std::lock_guard lock(free_[c].mutex);
      blocks.swap(free_[c].blocks);
    }
    for (const Block& block : blocks) ReleaseLocked(block);
  }
}

void CpuAllocator::ReleaseLocked(const Block& block) {
  const auto at = segments_.find(block.handle.segment);
  OFL_CHECK(at != segments_.end());
  ASAN_UNPOISON_MEMORY_REGION(at->second.base, at->second.bytes);
  munmap(at->second.base, at->second.bytes);
  reserved_.fetch_sub(at->second.bytes, std::memory_order_relaxed);
  kept_.fetch_sub(ClassBytes(block.size_class));
  segments_.erase(at);
}

std::byte* CpuAllocator::Resolve(MemoryHandle handle, int64_t bytes) const {
  std::lock_guard lock(slabs_mutex_);
  const auto at = segments_.find(handle.segment);
  if (at == segments_.end() || bytes < 0) return nullptr;
  const uint64_t size = static_cast<uint64_t>(at->second.bytes);
  if (handle.offset > size || static_cast<uint64_t>(bytes) > size - handle.offset) return nullptr;
  return at->second.base + handle.offset;
}

MemoryStats CpuAllocator::stats() const {
  MemoryStats s;
  s.bytes_in_use = in_use_.load(std::memory_order_relaxed);
  s.bytes_peak = peak_.load(std::memory_order_relaxed);
  s.bytes_cached = std::max<int64_t>(reserved_.load(std::memory_order_relaxed) - s.bytes_in_use, 0);
  s.allocations = allocations_.load(std::memory_order_relaxed);
  return s;
}

}  // namespace ofl::device
