// A device: memory, streams, events, copies. CPU and null exist; CUDA is a folder later.
//
// Threads: Device is thread-safe. A Stream belongs to one owner thread at a time.
// Failure: Status; nothing here throws or aborts on exhaustion.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/placement.h"

namespace ofl::device {

// Names bytes without a pointer: a segment the process registered and an offset inside. This is
// what travels to peers and stands in plans, so that shared memory and RDMA need no redesign.
struct MemoryHandle {
  uint32_t segment = 0;
  uint64_t offset = 0;
  bool operator==(const MemoryHandle&) const = default;
};

// A block of device memory; the last owner frees it (into the device's cache).
class Buffer {
 public:
  virtual ~Buffer() = default;
  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }
  MemoryHandle handle() const { return handle_; }

 protected:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
  MemoryHandle handle_;
};
using BufferRef = std::shared_ptr<Buffer>;

struct MemoryStats {
  int64_t bytes_in_use = 0;
  int64_t bytes_peak = 0;
  int64_t bytes_cached = 0;
  int64_t allocations = 0;
};

// Two levels of completion: *ordered* on a stream (later work of it sees the effect) and *done*
// (the host and other devices see it). On CPU they coincide.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool Done() const = 0;
};

// A loop is cut into at most this many chunks for each thread, so that a late thread costs little.
inline constexpr int kChunksPerThread = 4;
// Elements of each chunk (the last may be shorter) that ParallelFor makes of [0, n): all of them
// for one thread, at least `grain` otherwise.
int64_t ChunkSize(int64_t n, int64_t grain, int threads);

class Stream {
 public:
  virtual ~Stream() = default;
  // Threads a kernel uses on this stream: fixed when the stream is made.
  virtual int threads() const = 0;
  // Runs body(begin, end) over fixed chunks of [0, n): chunk borders depend on n, grain and
  // threads() alone (ChunkSize), so results do not depend on timing. Returns when all are done.
  // Called from inside a body, it runs there.
  virtual void ParallelFor(int64_t n, int64_t grain,
                           const std::function<void(int64_t, int64_t)>& body) = 0;
  virtual std::unique_ptr<Event> Record() = 0;
  // Later work of this stream waits for the event.
  virtual void Wait(const Event& event) = 0;
  virtual void Copy(std::byte* dst, const std::byte* src, int64_t bytes) = 0;
  virtual Status Synchronize() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  // 64-byte aligned. Contents are undefined. kResourceExhausted names requested and in use.
  virtual Result<BufferRef> Allocate(int64_t bytes) = 0;
  virtual std::unique_ptr<Stream> NewStream(int threads) = 0;
  virtual MemoryStats stats() const = 0;
};

// The process's device of a kind, made at first use. kUnimplemented when this build has none.
Result<Device*> GetDevice(DeviceKind kind);

// The buffer that wraps memory somebody else owns; `owner` is kept alive with it.
BufferRef WrapExternal(std::byte* data, int64_t bytes, std::shared_ptr<void> owner);

}  // namespace ofl::device
