#include "transport/exchange.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace ofl::transport {

namespace {

constexpr std::chrono::milliseconds kInterruptCheck{50};

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
  // The same, but kCancelled once `interrupted` (asked without the lock) says so: the operations go
  // on, so what they touch must outlive this call.
  Status Wait(const std::function<bool()>& interrupted) {
    if (!interrupted) return Wait();
    std::unique_lock lock(mutex_);
    while (!done_.wait_for(lock, kInterruptCheck, [this] { return left_ == 0; })) {
      lock.unlock();
      if (interrupted())
        return Status(Code::kCancelled, "[exchange] interrupted while waiting for the other ranks");
      lock.lock();
    }
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
                                               uint64_t sequence, std::string_view text,
                                               const std::function<bool()>& interrupted) {
  OFL_ENSURE(text.size() <= kMaxExchangeBytes, Code::kInvalidArgument)
      << "[all_gather_text] text too long: got " << text.size() << " bytes; expected at most "
      << kMaxExchangeBytes;
  const auto world = static_cast<size_t>(transport.world_size());
  const auto self = static_cast<size_t>(transport.rank());
  const Tag tag{.channel = channel, .sequence = sequence};
  struct Gathering {
    explicit Gathering(size_t ranks) : latch(2 * (ranks - 1)), texts(ranks) {}
    Latch latch;
    std::vector<std::string> texts;
  };
  auto all = std::make_shared<Gathering>(world);
  all->texts[self] = text;
  for (size_t r = 0; r < world; ++r) {
    if (r == self) continue;
    const int peer = static_cast<int>(r);
    transport.RecvAny(peer, tag, kMaxExchangeBytes, [all, r](Result<std::string> got) {
      if (got.ok()) all->texts[r] = std::move(got).value();
      all->latch.CountDown(got.status());
    });
    transport.Send(peer, tag, AsBytes(all->texts[self]),
                   [all](Status status) { all->latch.CountDown(status); });
  }
  if (world > 1) OFL_TRY(all->latch.Wait(interrupted));
  return all->texts;
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
