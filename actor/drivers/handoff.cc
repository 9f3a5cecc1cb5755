#include "actor/drivers/handoff.h"

#include "oneflow_like/base/check.h"

namespace ofl::actor {

void Handoff::Put(int64_t word) {
  OFL_DCHECK(word >= 0);
  word_.store(word);
  // The store above and the taker's `asleep_` then `word_` are sequentially consistent: either the
  // taker sees the word or we see it asleep.
  if (!asleep_.load()) return;
  std::lock_guard lock(mutex_);
  changed_.notify_one();
}

std::optional<int64_t> Handoff::TryTake() {
  const int64_t word = word_.load(std::memory_order_acquire);
  if (word == kEmpty) return std::nullopt;
  word_.store(kEmpty, std::memory_order_relaxed);
  return word;
}

std::optional<int64_t> Handoff::Take(std::chrono::microseconds spin,
                                     std::chrono::milliseconds patience) {
  if (auto word = TryTake()) return word;
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < spin)
    if (auto word = TryTake()) return word;
  std::unique_lock lock(mutex_);
  asleep_.store(true);
  changed_.wait_until(lock, start + patience, [this] { return word_.load() != kEmpty; });
  asleep_.store(false);
  return TryTake();
}

}  // namespace ofl::actor
