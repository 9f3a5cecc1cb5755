// The host as a device: kernels run on the calling thread and the stream's pool, so work is done
// when the call returns.
#pragma once

#include "device/cpu/allocator.h"
#include "device/cpu/thread_pool.h"
#include "device/device.h"

namespace ofl::device {

// Bytes of memory of this machine, or of its control group where that is less.
int64_t HostMemoryBytes();
// What of them nobody uses now. Reads /proc: some 20 us.
int64_t AvailableHostMemoryBytes();
// The most that the process's CPU device takes of them from now on.
void LimitHostMemory(int64_t bytes);

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int64_t limit_bytes) : allocator_(limit_bytes, AvailableHostMemoryBytes) {}
  DeviceKind kind() const override { return DeviceKind::kCpu; }
  Result<BufferRef> Allocate(int64_t bytes) override { return allocator_.Allocate(bytes); }
  // `threads` below 1 counts as 1.
  std::unique_ptr<Stream> NewStream(int threads) override;
  MemoryStats stats() const override { return allocator_.stats(); }
  CpuAllocator& allocator() { return allocator_; }

 private:
  CpuAllocator allocator_;
};

}  // namespace ofl::device
