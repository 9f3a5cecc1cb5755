#include "device/device.h"

#include <algorithm>

#include "device/cpu/cpu_device.h"
#include "device/null/null_device.h"

namespace ofl::device {
namespace {

class ExternalBuffer final : public Buffer {
 public:
  ExternalBuffer(std::byte* data, int64_t bytes, std::shared_ptr<void> owner)
      : owner_(std::move(owner)) {
    data_ = data;
    size_ = bytes;
  }

 private:
  std::shared_ptr<void> owner_;  // shared with whoever made the memory
};

CpuDevice& ProcessCpu() {
  // Never destroyed: buffers that live until the process ends still return to their device.
  static CpuDevice* cpu = new CpuDevice(HostMemoryBytes());
  return *cpu;
}

}  // namespace

void LimitHostMemory(int64_t bytes) { ProcessCpu().allocator().set_limit(bytes); }

int64_t ChunkSize(int64_t n, int64_t grain, int threads) {
  if (n <= 0) return 1;
  if (threads <= 1) return n;
  const int64_t chunks =
      std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, threads * kChunksPerThread);
  return (n + chunks - 1) / chunks;
}

Result<Device*> GetDevice(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return static_cast<Device*>(&ProcessCpu());
    case DeviceKind::kNull: {
      static NullDevice* null = new NullDevice();
      return static_cast<Device*>(null);
    }
    case DeviceKind::kCuda: break;
  }
  return Error(Code::kUnimplemented) << "this build has no device of kind " << DeviceKindName(kind)
                                     << "; expected one of: cpu, null";
}

BufferRef WrapExternal(std::byte* data, int64_t bytes, std::shared_ptr<void> owner) {
  return std::make_shared<ExternalBuffer>(data, bytes, std::move(owner));
}

}  // namespace ofl::device
