#include "transport/exchange.h"

#include <condition_variable>
#include <mutex>

namespace ofl::transport {

namespace {

// Counts operations down; keeps the first failure.
class Latch {
 public:
  explicit Latch(size_t count) : left_(count) {}
  void CountDown(const Status& status) {
    std::lock_guard lock(mutex_);
    if (first_.ok()) first_ = status;
    // Notified with the lock held: the waiter destroys this object as soon as it is free.
    if (--left_ == 0) done_.notify_all();
  }
  Status Wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
    return first_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  size_t left_;
  Status first_;
};

}  // namespace

Status Await(const std::function<void(Done)>& start) {
  Latch latch(1);
  start([&latch](Status status) { latch.CountDown(status); });
  return latch.Wait();
}

Result<std::vector<std::string>> AllGatherText(Transport& transport, uint64_t channel,
                                               uint64_t sequence, std::string_view text) {
  OFL_ENSURE(text.size() <= kMaxExchangeBytes, Code::kInvalidArgument)
      << "[all_gather_text] text too long: got " << text.size() << " bytes; expected at most "
      << kMaxExchangeBytes;
  const auto world = static_cast<size_t>(transport.world_size());
  const auto self = static_cast<size_t>(transport.rank());
  const Tag tag{.channel = channel, .sequence = sequence};
  std::vector<std::string> texts(world);
  texts[self] = text;
  Latch latch(2 * (world - 1));
  for (size_t r = 0; r < world; ++r) {
    if (r == self) continue;
    const int peer = static_cast<int>(r);
    transport.RecvAny(peer, tag, kMaxExchangeBytes, [&, r](Result<std::string> got) {
      if (got.ok()) texts[r] = std::move(got).value();
      latch.CountDown(got.status());
    });
    transport.Send(peer, tag, AsBytes(text), [&](Status status) { latch.CountDown(status); });
  }
  if (world > 1) OFL_TRY(latch.Wait());
  return texts;
}

Status Barrier(Transport& transport, const Tag& tag) {
  const auto world = static_cast<size_t>(transport.world_size());
  if (world == 1) return {};
  Latch latch(2 * (world - 1));
  for (int peer = 0; peer < transport.world_size(); ++peer) {
    if (peer == transport.rank()) continue;
    const auto count = [&latch](Status status) { latch.CountDown(status); };
    transport.Recv(peer, tag, {}, count);
    transport.Send(peer, tag, {}, count);
  }
  return latch.Wait();
}

}  // namespace ofl::transport
