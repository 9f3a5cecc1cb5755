// The host as a device: kernels run on the calling thread and the stream's pool, so work is done
// when the call returns.
#pragma once

#include "device/cpu/allocator.h"
#include "device/cpu/thread_pool.h"
#include "device/device.h"

namespace ofl::device {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int64_t limit_bytes) : allocator_(limit_bytes) {}
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  Result<BufferRef> Allocate(int64_t bytes) override { return allocator_.Allocate(bytes); }
  // `threads` below 1 counts as 1.
  std::unique_ptr<Stream> NewStream(int threads) override;
  MemoryStats stats() const override { return allocator_.stats(); }
  CpuAllocator& allocator() { return allocator_; }

 private:
  CpuAllocator allocator_;
};

// Bytes of memory of this machine, or of its control group where that is less.
int64_t HostMemoryBytes();

}  // namespace ofl::device
