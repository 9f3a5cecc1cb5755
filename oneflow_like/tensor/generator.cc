#include "oneflow_like/tensor/generator.h"

#include <algorithm>
#include <utility>

namespace ofl::tensor {
namespace {

constexpr size_t kMaxText = 200;  // of a call

uint64_t Mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ull;  // 2^64 / golden ratio: spreads the low bits
  return h ^ (h >> 29);
}

}  // namespace

RandomState Generator::state() const {
  std::lock_guard lock(mutex_);
  return next_;
}

void Generator::Restore(const RandomState& state) {
  std::lock_guard lock(mutex_);
  next_ = state;
}

RandomState Generator::Take(int64_t count) {
  std::lock_guard lock(mutex_);
  const RandomState first = next_;
  next_ = first.After(count);
  return first;
}

void DrawHistory::Add(const RandomState& first, int64_t count, std::string_view op,
                      std::string call_site) {
  std::lock_guard lock(mutex_);
  digest_ = Mix(Mix(Mix(digest_, first.seed), static_cast<uint64_t>(first.offset)),
                static_cast<uint64_t>(count));
  count_ += count;
  Call& call = recent_[calls_++ % kRecent];
  call.seed = first.seed;
  call.text = "[" + std::string(op) + "]";
  if (!call_site.empty()) call.text += " at " + std::move(call_site);
  if (call.text.size() > kMaxText) call.text.resize(kMaxText);
}

uint64_t DrawHistory::digest() const {
  std::lock_guard lock(mutex_);
  return digest_;
}

DrawHistory::Summary DrawHistory::summary() const {
  std::lock_guard lock(mutex_);
  Summary summary{digest_, count_, {}};
  for (size_t i = calls_ - std::min(calls_, kRecent); i < calls_; ++i) {
    const Call& call = recent_[i % kRecent];
    if (!summary.recent.empty()) summary.recent += ", ";
    summary.recent += call.text;
    if (i + 1 == calls_) summary.recent += " with seed " + std::to_string(call.seed);
  }
  return summary;
}

}  // namespace ofl::tensor
