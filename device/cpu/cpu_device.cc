#include "device/cpu/cpu_device.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace ofl::device {
namespace {

// Everything before is done by the time anybody can ask.
class DoneEvent final : public Event {
 public:
  bool Done() const override { return true; }
};

class CpuStream final : public Stream {
 public:
  explicit CpuStream(int threads) : pool_(std::max(threads, 1)) {}
  int threads() const override { return pool_.threads(); }

  void ParallelFor(int64_t n, int64_t grain,
                   const std::function<void(int64_t, int64_t)>& body) override {
    if (n <= 0) return;
    const int64_t size = ChunkSize(n, grain, threads());
    if (size >= n) {
      body(0, n);
      return;
    }
    pool_.Run(static_cast<uint32_t>((n + size - 1) / size),
              [&](uint32_t i) { body(i * size, std::min(n, (i + 1) * size)); });
  }

  std::unique_ptr<Event> Record() override { return std::make_unique<DoneEvent>(); }
  void Wait(const Event&) override {}

  void Copy(std::byte* dst, const std::byte* src, int64_t bytes) override {
    constexpr int64_t kCopyGrain = int64_t{256} << 10;
    if (bytes <= 0) return;
    if (bytes <= kCopyGrain) {
      std::memcpy(dst, src, bytes);
      return;
    }
    ParallelFor(bytes, kCopyGrain, [&](int64_t begin, int64_t end) {
      std::memcpy(dst + begin, src + begin, end - begin);
    });
  }

  Status Synchronize() override { return Status::Ok(); }

 private:
  ThreadPool pool_;
};

}  // namespace

std::unique_ptr<Stream> CpuDevice::NewStream(int threads) {
  return std::make_unique<CpuStream>(threads);
}

int64_t HostMemoryBytes() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t limit = 0;
    if (std::ifstream(path) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace ofl::device
