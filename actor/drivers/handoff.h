// One word handed to a waiting thread: at most one is under way at a time.
//
// Threads: any thread puts, one thread takes. The taker looks for the word for a short while
// before it sleeps, because waking a thread costs more than a small task.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

namespace ofl::actor {

class Handoff {
 public:
  void Put(int64_t word);
  // The word, or nothing when `patience` has passed.
  std::optional<int64_t> Take(std::chrono::microseconds spin, std::chrono::milliseconds patience);

 private:
  static constexpr int64_t kEmpty = -1;
  std::optional<int64_t> TryTake();

  std::atomic<int64_t> word_{kEmpty};
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace ofl::actor
