// Counter-based random numbers: value = f(seed, offset, logical index). Every random call takes one
// offset, whatever its size or layout.
//
// A rank has two generators. The job's serves global tensors: every rank advances it alike, member
// of the placement or not, and collectives compare what was drawn. The other serves local tensors.
// Threads: any thread may call anything here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "oneflow_like/core/random_state.h"

namespace ofl::tensor {

class Generator : public std::enable_shared_from_this<Generator> {
 public:
  RandomState state() const;
  void Restore(const RandomState& state);
  // Takes `count` offsets; returns the first.
  RandomState Take(int64_t count = 1);

 private:
  mutable std::mutex mutex_;
  RandomState next_;
};

// What this rank has drawn for global tensors since it started. Seeding starts no new history: two
// ranks agree only if they drew alike all the time.
class DrawHistory {
 public:
  void Add(const RandomState& first, int64_t count, std::string_view op, std::string call_site);

  struct Summary {
    uint64_t digest = 0;
    int64_t count = 0;
    std::string recent;  // the last calls, to name them where ranks differ
  };
  Summary summary() const;
  uint64_t digest() const;

 private:
  static constexpr size_t kRecent = 4;
  mutable std::mutex mutex_;
  uint64_t digest_ = 0;
  int64_t count_ = 0;
  size_t calls_ = 0;
  struct Call {
    uint64_t seed = 0;
    std::string text;  // "[dropout] at train.py:12"
  };
  std::array<Call, kRecent> recent_;
};

}  // namespace ofl::tensor
