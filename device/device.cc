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

}  // namespace

int64_t ChunkSize(int64_t n, int64_t grain, int threads) {
  if (n <= 0) return 1;
  if (threads <= 1) return n;
  const int64_t chunks =
      std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, threads * kChunksPerThread);
  return (n + chunks - 1) / chunks;
}

Result<Device*> GetDevice(DeviceKind kind) {
  // Never destroyed: buffers that live until the process ends still return to their device.
  switch (kind) {
    case DeviceKind::kCpu: {
      static CpuDevice* cpu = new CpuDevice(HostMemoryBytes());
      return static_cast<Device*>(cpu);
    }
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
