#include "oneflow_like/runtime/plan_starts.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace ofl::runtime {
namespace {

// Channel of the handshake messages of plans; eager traffic uses hashes of rank groups.
constexpr uint64_t kStartChannel = 0x706c616e00000001;
constexpr size_t kMaxHashBytes = 4096;
constexpr std::chrono::milliseconds kInterruptCheck{50};

}  // namespace

// Shared with the transport's callbacks, which may come after a wait has given up.
struct PlanStarts::Answers {
  uint64_t number = 0;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<Result<std::string>>> hashes;  // by rank
  std::function<void(int)> started;
  std::string ours;  // what is being sent

  void Take(int peer, Result<std::string> hash) {
    std::function<void(int)> tell;
    {
      std::lock_guard lock(mutex);
      if (hash.ok()) tell = started;
      hashes[static_cast<size_t>(peer)] = std::move(hash);
      changed.notify_all();
    }
    if (tell) tell(peer);
  }

  // The first rank from which nothing came, or -1.
  int Failed() const {
    for (size_t r = 0; r < hashes.size(); ++r)
      if (hashes[r] && !hashes[r]->ok()) return static_cast<int>(r);
    return -1;
  }

  bool Complete() const {
    for (const auto& got : hashes)
      if (!got) return false;
    return true;
  }
};

std::shared_ptr<PlanStarts> PlanStarts::Of(const std::shared_ptr<transport::Transport>& transport) {
  static auto* mutex = new std::mutex;
  static auto* known = new std::map<transport::Transport*, std::shared_ptr<PlanStarts>>;
  std::lock_guard lock(*mutex);
  std::erase_if(*known, [](const auto& entry) { return entry.second->transport_.expired(); });
  std::shared_ptr<PlanStarts>& starts = (*known)[transport.get()];
  if (starts == nullptr) starts.reset(new PlanStarts(transport));
  return starts;
}

void PlanStarts::Receive(transport::Transport& transport, const std::shared_ptr<Answers>& answers,
                         int peer, Awaited awaited) {
  transport.RecvAny(
      peer, {.channel = kStartChannel, .sequence = answers->number}, kMaxHashBytes,
      [answers, peer](Result<std::string> hash) { answers->Take(peer, std::move(hash)); }, awaited);
}

// Receives the hashes of the next plan, once: a launch that stood still may have asked for them.
std::shared_ptr<PlanStarts::Answers> PlanStarts::Expected(transport::Transport& transport,
                                                          Awaited awaited) {
  std::lock_guard lock(mutex_);
  if (answers_ != nullptr) return answers_;
  answers_ = std::make_shared<Answers>();
  answers_->number = next_;
  answers_->hashes.resize(static_cast<size_t>(transport.world_size()));
  for (int peer = 0; peer < transport.world_size(); ++peer)
    if (peer != transport.rank()) Receive(transport, answers_, peer, awaited);
  return answers_;
}

void PlanStarts::Ask(std::function<void(int peer)> started) {
  auto transport = transport_.lock();
  if (transport == nullptr) return;
  // A peer that has launched as often may leave meanwhile: it will never start the next plan.
  const std::shared_ptr<Answers> answers = Expected(*transport, Awaited::kIfSent);
  std::vector<int> already, late;
  {
    std::lock_guard lock(answers->mutex);
    answers->started = started;
    for (size_t r = 0; r < answers->hashes.size(); ++r) {
      auto& got = answers->hashes[r];
      if (got && got->ok()) already.push_back(static_cast<int>(r));
      if (!got || got->ok() || got->status().code() != Code::kDeadlineExceeded) continue;
      got.reset();  // an earlier launch asked, too long ago
      late.push_back(static_cast<int>(r));
    }
  }
  for (int peer : late) Receive(*transport, answers, peer, Awaited::kIfSent);
  for (int peer : already) started(peer);
}

Result<std::vector<std::string>> PlanStarts::Exchange(const std::string& hash,
                                                      const std::function<bool()>& interrupted) {
  auto transport = transport_.lock();
  OFL_ENSURE(transport != nullptr, Code::kInternal) << "[plan] the transport is gone";
  bool asked = false;
  {
    std::lock_guard lock(mutex_);
    asked = answers_ != nullptr;
  }
  std::set<int> retried;
  const std::shared_ptr<Answers> answers = Expected(*transport, Awaited::kSurely);
  {
    std::lock_guard lock(mutex_);
    answers_ = nullptr;
    ++next_;
  }
  {
    std::lock_guard lock(answers->mutex);
    answers->started = nullptr;
    answers->ours = hash;
    answers->hashes[static_cast<size_t>(transport->rank())] = hash;
  }
  for (int peer = 0; peer < transport->world_size(); ++peer) {
    if (peer == transport->rank()) continue;
    transport->Send(peer, {.channel = kStartChannel, .sequence = answers->number},
                    AsBytes(answers->ours), [answers, peer](Status sent) {
                      if (!sent.ok()) answers->Take(peer, std::move(sent));
                    });
  }
  std::unique_lock lock(answers->mutex);
  // The transport ends every operation by its own deadline.
  const auto over = [&] { return answers->Failed() >= 0 || answers->Complete(); };
  for (;;) {
    const bool done = answers->changed.wait_for(lock, kInterruptCheck, over);
    const int failed = answers->Failed();
    if (done && failed < 0) break;
    if (failed >= 0) {
      const Status cause = answers->hashes[static_cast<size_t>(failed)]->status();
      // Asked for long ago, by a launch: that wait was not this one's.
      const bool again =
          asked && cause.code() == Code::kDeadlineExceeded && retried.insert(failed).second;
      if (!again) return cause;
      answers->hashes[static_cast<size_t>(failed)].reset();
    }
    lock.unlock();
    if (failed >= 0) Receive(*transport, answers, failed, Awaited::kSurely);
    if (interrupted && interrupted())
      return Status(Code::kCancelled, "[plan] interrupted while waiting for the other ranks");
    lock.lock();
  }
  std::vector<std::string> hashes;
  for (auto& got : answers->hashes) hashes.push_back(got->value());
  return hashes;
}

}  // namespace ofl::runtime
