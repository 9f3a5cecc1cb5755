#include "device/null/null_device.h"

#include <algorithm>

namespace ofl::device {

class NullBuffer final : public Buffer {
 public:
  NullBuffer(NullDevice* device, int64_t bytes, uint32_t segment) : device_(device) {
    size_ = bytes;
    handle_ = {segment, 0};
  }
  ~NullBuffer() override { device_->in_use_.fetch_sub(size_, std::memory_order_relaxed); }

 private:
  NullDevice* device_;
};

namespace {

class NullEvent final : public Event {
 public:
  bool Done() const override { return true; }
};

class NullStream final : public Stream {
 public:
  explicit NullStream(int threads) : threads_(std::max(threads, 1)) {}
  int threads() const override { return threads_; }
  void ParallelFor(int64_t, int64_t, const std::function<void(int64_t, int64_t)>&) override {}
  std::unique_ptr<Event> Record() override { return std::make_unique<NullEvent>(); }
  void Wait(const Event&) override {}
  void Copy(std::byte*, const std::byte*, int64_t) override {}
  Status Synchronize() override { return Status::Ok(); }

 private:
  int threads_;
};

}  // namespace

Result<BufferRef> NullDevice::Allocate(int64_t bytes) {
  OFL_ENSURE(bytes >= 0, Code::kInvalidArgument)
      << "cannot allocate a negative number of bytes: got " << bytes;
  const int64_t id = allocations_.fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t now = in_use_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t peak = peak_.load(std::memory_order_relaxed);
  while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return BufferRef(std::make_shared<NullBuffer>(this, bytes, static_cast<uint32_t>(id)));
}

std::unique_ptr<Stream> NullDevice::NewStream(int threads) {
  return std::make_unique<NullStream>(threads);
}

MemoryStats NullDevice::stats() const {
  MemoryStats s;
  s.bytes_in_use = in_use_.load(std::memory_order_relaxed);
  s.bytes_peak = peak_.load(std::memory_order_relaxed);
  s.allocations = allocations_.load(std::memory_order_relaxed);
  return s;
}

}  // namespace ofl::device
