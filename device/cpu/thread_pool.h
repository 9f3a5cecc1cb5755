// A fixed set of threads that run the chunks of one loop at a time.
//
// Threads: one owner thread at a time calls Run. A Run from inside a chunk runs on that thread.
// The owner takes part. Idle workers spin for a short while, since the next kernel of a stream
// usually follows within microseconds, and then sleep. In a fork of the process there are no
// workers, and the owner runs all chunks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "oneflow_like/base/fork.h"

namespace ofl::device {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // body(i) for each i in [0, chunks); which thread runs which is not fixed. chunks < 2^32.
  void Run(uint32_t chunks, const std::function<void(uint32_t)>& body);

 private:
  void WorkerLoop();
  bool RunOneChunk();

  // (job number << 32) | chunks nobody has claimed. One word, so that a late worker can never
  // claim a chunk of a job other than the one it saw.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> unfinished_{0};
  std::atomic<uint32_t> wake_{0};
  std::atomic<bool> stop_{false};
  // Written by the owner before the ticket, read by workers after they claimed a chunk.
  const std::function<void(uint32_t)>* body_ = nullptr;
  uint32_t chunks_ = 0;
  std::vector<std::thread> workers_;
  const uint32_t forks_ = ForkCount();
};

}  // namespace ofl::device
