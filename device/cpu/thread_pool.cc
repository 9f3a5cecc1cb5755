#include "device/cpu/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace ofl::device {
namespace {

constexpr auto kSpin = std::chrono::microseconds(40);

thread_local bool inside_chunk = false;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Polls `ready` for kSpin; false when the time is over.
template <class Ready>
bool SpinUntil(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { WorkerLoop(); });
}

ThreadPool::~ThreadPool() {
  if (forks_ != ForkCount()) {  // they can be neither joined nor left alone
    new std::vector<std::thread>(std::move(workers_));
    return;
  }
  stop_.store(true, std::memory_order_relaxed);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::RunOneChunk() {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if (static_cast<uint32_t>(ticket) == 0) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  inside_chunk = true;
  (*body_)(chunks_ - static_cast<uint32_t>(ticket));
  inside_chunk = false;
  if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  return true;
}

void ThreadPool::WorkerLoop() {
  const auto has_work = [this] {
    return static_cast<uint32_t>(ticket_.load(std::memory_order_acquire)) != 0;
  };
  while (true) {
    const uint32_t seen = wake_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    if (RunOneChunk()) continue;
    const auto woken = [&] { return has_work() || wake_.load(std::memory_order_relaxed) != seen; };
    if (!SpinUntil(woken)) wake_.wait(seen, std::memory_order_acquire);
  }
}

void ThreadPool::Run(uint32_t chunks, const std::function<void(uint32_t)>& body) {
  if (workers_.empty() || chunks <= 1 || inside_chunk || forks_ != ForkCount()) {
    for (uint32_t i = 0; i < chunks; ++i) body(i);
    return;
  }
  body_ = &body;
  chunks_ = chunks;
  unfinished_.store(chunks, std::memory_order_relaxed);
  const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(job << 32 | chunks, std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  while (RunOneChunk()) {
  }
  const auto finished = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  while (!SpinUntil(finished)) {
    const uint32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) break;
    unfinished_.wait(left, std::memory_order_acquire);
  }
}

}  // namespace ofl::device
