#include "oneflow_like/runtime/launch_check.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "oneflow_like/runtime/plan_starts.h"
#include "oneflow_like/tensor/exchange.h"

namespace ofl::runtime {
namespace {

constexpr size_t kMaxTextBytes = 8192;
constexpr size_t kMaxDigests = 4096;
constexpr size_t kDigest = 8;
constexpr char kDrawn = '=', kWrong = '!';      // what a message begins with
constexpr std::chrono::microseconds kSpin{40};  // before the launching thread sleeps
constexpr std::chrono::milliseconds kInterruptCheck{50};
constexpr std::chrono::milliseconds kStandstill{1000};  // until peers are asked what they do

int RoundsOf(int world) {
  int rounds = 0;
  while ((1 << rounds) < world) ++rounds;
  return rounds;
}

// What differs, for people.
std::string FirstOther(const std::vector<std::string>& items, std::string_view ours,
                       std::string_view theirs) {
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t at = i * kDigest;
    if (at >= ours.size() || at >= theirs.size()) break;
    if (ours.substr(at, kDigest) != theirs.substr(at, kDigest)) return items[i] + " in ";
  }
  return "";
}

}  // namespace

// Shared with the transport's callbacks, which may come after a wait has given up. They run only
// while the transport lives.
struct LaunchCheck::Flight {
  transport::Transport* transport;
  uint64_t channel, launch;
  std::string noticed_by;
  std::shared_ptr<const std::vector<std::string>> items;
  LaunchState mine;

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::optional<std::string>> arrived;  // by round
  std::vector<std::string> outgoing;                // by round; kept while they are sent
  int round = 0;                                    // whose message is awaited
  int sending = 0;
  Status verdict;

  int rounds() const { return static_cast<int>(outgoing.size()); }
  bool done() const { return round == rounds() && sending == 0; }
  transport::Tag TagOf(int k) const { return {channel, launch, static_cast<uint32_t>(k)}; }
  int Peer(int k, int direction) const {
    const int world = transport->world_size();
    return (transport->rank() + direction * (1 << k) + world) % world;
  }

  void Hear(int peer, const std::string& text) {
    if (!verdict.ok()) return;
    if (!text.empty() && text[0] == kWrong) {
      verdict = Status(Code::kFailedPrecondition, text.substr(1));
      return;
    }
    auto theirs = StateFrom(std::string_view(text).substr(text.empty() ? 0 : 1));
    const int self = transport->rank();
    if (!theirs.ok()) {
      verdict = theirs.status();
    } else if (theirs->draws.digest != mine.draws.digest) {
      verdict = tensor::DrawsDiffer(peer, theirs->draws, self, mine.draws, noticed_by);
    } else if (theirs->claims != mine.claims) {
      verdict =
          tensor::ClaimsDiffer("rank " + std::to_string(peer), self,
                               FirstOther(*items, mine.digests, theirs->digests) + noticed_by);
    }
  }
};

LaunchCheck::LaunchCheck(std::shared_ptr<transport::Transport> transport, uint64_t channel,
                         std::string graph, std::vector<std::string> items)
    : transport_(std::move(transport)),
      channel_(channel),
      graph_(std::move(graph)),
      items_(std::make_shared<const std::vector<std::string>>(std::move(items))) {}

// Under the flight's lock.
void LaunchCheck::SendRound(const std::shared_ptr<Flight>& flight, int round) {
  std::string& text = flight->outgoing[static_cast<size_t>(round)];
  text = flight->verdict.ok() ? kDrawn + TextOf(flight->mine) : kWrong + flight->verdict.message();
  if (text.size() > kMaxTextBytes) text.resize(kMaxTextBytes);
  ++flight->sending;
  flight->transport->Send(flight->Peer(round, 1), flight->TagOf(round), AsBytes(text),
                          [flight](Status sent) {
                            std::lock_guard lock(flight->mutex);
                            --flight->sending;
                            if (!sent.ok()) Fail(flight, std::move(sent));
                            flight->changed.notify_all();
                          });
}

// Under the flight's lock. Whoever waits for a later round hears of the failure.
void LaunchCheck::Fail(const std::shared_ptr<Flight>& flight, Status cause) {
  if (flight->verdict.ok()) flight->verdict = std::move(cause);
  const int next = std::min(flight->round + 1, flight->rounds());
  flight->round = flight->rounds();
  for (int k = next; k < flight->rounds(); ++k) SendRound(flight, k);
  flight->changed.notify_all();
}

// Under the flight's lock.
void LaunchCheck::Advance(const std::shared_ptr<Flight>& flight) {
  while (flight->round < flight->rounds()) {
    const auto& text = flight->arrived[static_cast<size_t>(flight->round)];
    if (!text) return;
    flight->Hear(flight->Peer(flight->round, -1), *text);
    if (++flight->round < flight->rounds()) SendRound(flight, flight->round);
  }
  flight->changed.notify_all();
}

void LaunchCheck::Begin(LaunchState mine, int64_t launch) {
  flight_ = std::make_shared<Flight>();
  const std::shared_ptr<Flight> flight = flight_;
  flight->transport = transport_.get();
  flight->channel = channel_;
  flight->launch = static_cast<uint64_t>(launch);
  flight->noticed_by = "launch " + std::to_string(launch) + " of graph " + graph_;
  flight->items = items_;
  flight->mine = std::move(mine);
  flight->mine.digests.resize(std::min(flight->mine.digests.size(), kMaxDigests));
  const int rounds = RoundsOf(transport_->world_size());
  flight->arrived.resize(static_cast<size_t>(rounds));
  flight->outgoing.resize(static_cast<size_t>(rounds));
  messages_ += rounds;
  for (int k = 0; k < rounds; ++k) {
    transport_->RecvAny(flight->Peer(k, -1), flight->TagOf(k), kMaxTextBytes,
                        [flight, k](Result<std::string> text) {
                          std::lock_guard lock(flight->mutex);
                          if (!text.ok()) {
                            // Once all is heard, or was given up, nobody waits for it.
                            if (flight->round <= k) Fail(flight, text.status());
                            return;
                          }
                          flight->arrived[static_cast<size_t>(k)] = std::move(*text);
                          Advance(flight);
                        });
  }
  std::lock_guard lock(flight->mutex);
  if (rounds > 0) SendRound(flight, 0);
}

Status LaunchCheck::Finish(const std::function<bool()>& interrupted) {
  using Clock = std::chrono::steady_clock;
  const std::shared_ptr<Flight> flight = std::move(flight_);
  const Clock::time_point begin = Clock::now();
  bool asked = false;
  std::unique_lock lock(flight->mutex);
  while (!flight->done() && Clock::now() - begin < kSpin) {
    lock.unlock();
    lock.lock();
  }
  if (!flight->done()) {
    // Who is awaited here may itself wait for a rank that is lost.
    lock.unlock();
    transport_->SetFailureHandler([weak = std::weak_ptr(flight)](Status cause) {
      auto waiting = weak.lock();
      if (waiting == nullptr) return;
      std::lock_guard held(waiting->mutex);
      if (waiting->round < waiting->rounds()) Fail(waiting, std::move(cause));
    });
    lock.lock();
  }
  // The transport ends every operation by its own deadline.
  while (!flight->changed.wait_for(lock, kInterruptCheck, [&] { return flight->done(); })) {
    lock.unlock();
    const bool cancelled = interrupted && interrupted();
    if (!asked && Clock::now() - begin > kStandstill) {
      asked = true;
      PlanStarts::Of(transport_)->Ask([weak = std::weak_ptr(flight)](int peer) {
        auto waiting = weak.lock();
        if (waiting == nullptr) return;
        std::lock_guard held(waiting->mutex);
        if (waiting->round == waiting->rounds() || waiting->Peer(waiting->round, -1) != peer)
          return;
        Fail(waiting, Error(Code::kUnavailable)
                          << "[launch] rank " << peer << " is starting another plan, as after "
                          << "tracing a graph anew: " << waiting->noticed_by << " of rank "
                          << waiting->transport->rank() << " still compares random numbers with it"
                          << "; expected every rank to trace and launch its graphs alike, equally "
                          << "often");
      });
    }
    lock.lock();
    if (cancelled) Fail(flight, Status(Code::kCancelled, "[launch] interrupted"));
  }
  return flight->verdict;
}

std::string TextOf(const LaunchState& state) {
  return std::to_string(state.claims) + '\n' + state.digests + '\n' + TextOf(state.draws);
}

Result<LaunchState> StateFrom(std::string_view text) {
  LaunchState state;
  const char* end = text.data() + text.size();
  const auto [claims_end, error] = std::from_chars(text.data(), end, state.claims);
  const size_t first = text.find('\n'), second = text.find('\n', first + 1);
  OFL_ENSURE(error == std::errc() && first != std::string_view::npos &&
                 claims_end == text.data() + first && second != std::string_view::npos,
             Code::kDataLoss)
      << "[nn.Graph] a rank sent no digest of what it launches a graph with";
  state.digests = std::string(text.substr(first + 1, second - first - 1));
  OFL_ASSIGN(state.draws, DrawsFrom(text.substr(second + 1)));
  return state;
}

std::string TextOf(const tensor::DrawHistory::Summary& draws) {
  return std::to_string(draws.digest) + '\n' + std::to_string(draws.count) + '\n' + draws.recent;
}

Result<tensor::DrawHistory::Summary> DrawsFrom(std::string_view text) {
  tensor::DrawHistory::Summary draws;
  const auto number = [&text](auto* out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
    const bool read = error == std::errc() && end != text.data() + text.size() && *end == '\n';
    if (read) text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
    return read;
  };
  OFL_ENSURE(number(&draws.digest) && number(&draws.count), Code::kDataLoss)
      << "[nn.Graph] a rank sent no digest of its random numbers";
  draws.recent = std::string(text);
  return draws;
}

}  // namespace ofl::runtime
