#include "device/cpu/cpu_device.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

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

// The number that follows this name in a file of names and numbers.
std::optional<int64_t> NumberAfter(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t number = 0;
    if (word == name && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

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

int64_t AvailableHostMemoryBytes() {
  const int64_t kib = NumberAfter("/proc/meminfo", "MemAvailable:").value_or(INT64_MAX >> 10);
  int64_t bytes = kib << 10;
  int64_t limit = 0, used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit &&
      std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    // Pages of files count as used, and are given up when memory is asked for.
    for (const char* files : {"active_file", "inactive_file"})
      used -= NumberAfter("/sys/fs/cgroup/memory.stat", files).value_or(0);
    bytes = std::min(bytes, std::max<int64_t>(limit - used, 0));
  }
  return bytes;
}

}  // namespace ofl::device
