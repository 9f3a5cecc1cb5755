// A device that accounts memory and runs nothing: for compiling and dry runs of worlds that do
// not exist. Its buffers have a size and a handle but no data.
#pragma once

#include <atomic>

#include "device/device.h"

namespace ofl::device {

class NullDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::kNull; }
  Result<BufferRef> Allocate(int64_t bytes) override;
  std::unique_ptr<Stream> NewStream(int threads) override;
  MemoryStats stats() const override;

 private:
  friend class NullBuffer;
  std::atomic<int64_t> in_use_{0};
  std::atomic<int64_t> peak_{0};
  std::atomic<int64_t> allocations_{0};
};

}  // namespace ofl::device
