#include "oneflow_like/tensor/exchange.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

#include "oneflow_like/tensor/context.h"

namespace ofl::tensor {
namespace {

// Header: | magic u32 | text bytes u32 | hash u64 | payload bytes u64 | flags u32 | bytes of the
// text of draws u32 | digest of draws u64 | their number u64 | claim u64 | then both texts, then
// the payload if it is inline.
constexpr uint32_t kMagic = 0x4F465845;
constexpr size_t kHeaderBytes = 56;
constexpr uint32_t kInline = 1, kStamped = 2, kClaims = 4;  // flags
constexpr int64_t kInlineBytes = 32768;
constexpr size_t kMaxWhat = 400;
constexpr size_t kMaxDraws = 400;
constexpr size_t kMaxAnswer = kHeaderBytes + kMaxWhat + kMaxDraws + kInlineBytes;
constexpr uint64_t kEagerChannel = 0x6561676572ull;  // apart from plans and handshakes
constexpr auto kInterruptCheck = std::chrono::milliseconds(50);
constexpr auto kSpin = std::chrono::microseconds(40);

// Shared with the transport's callbacks: it owns every buffer they touch, so that a call which
// fails early can return while messages are still under way.
struct Flight {
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<int> pending{0};
  std::atomic<bool> failed{false};
  Status failure;  // the first
  struct Peer {
    std::string header;
    std::string answer;
    std::vector<std::byte> outgoing;
    std::vector<std::byte> incoming;
  };
  std::vector<Peer> peers;

  void Finish(const Status& status) {
    if (!status.ok()) {
      std::lock_guard lock(mutex);
      if (failure.ok()) failure = status;
      failed.store(true);
    }
    if (pending.fetch_sub(1) == 1 || !status.ok()) {
      std::lock_guard lock(mutex);
      changed.notify_all();
    }
  }
};

Status Await(Flight& flight) {
  const auto& hooks = Context::Get().hooks();
  void* token = hooks.leave != nullptr ? hooks.leave() : nullptr;
  auto ready = [&] { return flight.pending.load() == 0 || flight.failed.load(); };
  const auto until = std::chrono::steady_clock::now() + kSpin;
  while (!ready() && std::chrono::steady_clock::now() < until) {
  }
  std::unique_lock lock(flight.mutex);
  // The transport ends every operation by its own deadline.
  bool interrupted = false;
  while (!interrupted && !flight.changed.wait_for(lock, kInterruptCheck, ready)) {
    lock.unlock();
    interrupted = hooks.interrupted != nullptr && hooks.interrupted();
    lock.lock();
  }
  Status failure = flight.failure;
  lock.unlock();
  if (interrupted) failure = Status(Code::kCancelled, "[exchange] interrupted while waiting");
  if (hooks.enter != nullptr) hooks.enter(token);
  return failure;
}

std::string MakeHeader(uint64_t hash, const std::string& what, std::span<const std::byte> payload,
                       bool is_inline, const Stamp* stamp) {
  const size_t text = std::min(what.size(), kMaxWhat);
  const size_t draws = stamp == nullptr ? 0 : std::min(stamp->draws.recent.size(), kMaxDraws);
  std::string header(kHeaderBytes + text + draws + (is_inline ? payload.size() : 0), '\0');
  auto* at = reinterpret_cast<std::byte*>(header.data());
  uint32_t flags = is_inline ? kInline : 0;
  StoreLe<uint32_t>(at, kMagic);
  StoreLe<uint32_t>(at + 4, static_cast<uint32_t>(text));
  StoreLe<uint64_t>(at + 8, hash);
  StoreLe<uint64_t>(at + 16, payload.size());
  StoreLe<uint32_t>(at + 28, static_cast<uint32_t>(draws));
  std::memcpy(at + kHeaderBytes, what.data(), text);
  if (stamp != nullptr) {
    flags |= stamp->claim.has_value() ? kStamped | kClaims : kStamped;
    StoreLe<uint64_t>(at + 32, stamp->draws.digest);
    StoreLe<uint64_t>(at + 40, static_cast<uint64_t>(stamp->draws.count));
    StoreLe<uint64_t>(at + 48, stamp->claim.value_or(0));
    std::memcpy(at + kHeaderBytes + text, stamp->draws.recent.data(), draws);
  }
  StoreLe<uint32_t>(at + 24, flags);
  if (is_inline && !payload.empty()) {
    std::memcpy(at + kHeaderBytes + text + draws, payload.data(), payload.size());
  }
  return header;
}

struct Answer {
  uint64_t hash;
  int64_t payload;
  uint32_t flags;
  uint64_t draws_digest;
  int64_t draws_count;
  uint64_t claim;
  std::string_view what;
  std::string_view draws;
  std::string_view body;
};

Result<Answer> ParseAnswer(int peer, std::string_view text) {
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  OFL_ENSURE(text.size() >= kHeaderBytes && LoadLe<uint32_t>(at) == kMagic, Code::kDataLoss)
      << "[exchange] rank " << peer << " sent something else than a header: got " << text.size()
      << " bytes; expected the same library on all ranks";
  Answer answer;
  answer.hash = LoadLe<uint64_t>(at + 8);
  answer.payload = static_cast<int64_t>(LoadLe<uint64_t>(at + 16));
  answer.flags = LoadLe<uint32_t>(at + 24);
  answer.draws_digest = LoadLe<uint64_t>(at + 32);
  answer.draws_count = static_cast<int64_t>(LoadLe<uint64_t>(at + 40));
  answer.claim = LoadLe<uint64_t>(at + 48);
  const size_t what = LoadLe<uint32_t>(at + 4), draws = LoadLe<uint32_t>(at + 28);
  OFL_ENSURE(kHeaderBytes + what + draws <= text.size(), Code::kDataLoss)
      << "[exchange] rank " << peer << " sent a truncated header";
  answer.what = text.substr(kHeaderBytes, what);
  answer.draws = text.substr(kHeaderBytes + what, draws);
  answer.body = text.substr(kHeaderBytes + what + draws);
  return answer;
}

Status Mismatch(int peer, std::string_view theirs, const std::string& mine) {
  return Error(Code::kFailedPrecondition)
         << "[exchange] ranks run different programs: got " << theirs << " on rank " << peer
         << " and " << mine << " on rank " << Context::Get().rank()
         << "; expected the same operation on every rank of the placement; run global operators "
            "in the same order on all ranks";
}

Status CompareStamps(int peer, const Answer& theirs, const Stamp& mine, const std::string& what) {
  if ((theirs.flags & kStamped) == 0) return Status::Ok();
  const int self = Context::Get().rank();
  if (theirs.draws_digest != mine.draws.digest) {
    return DrawsDiffer(peer, {theirs.draws_digest, theirs.draws_count, std::string(theirs.draws)},
                       self, mine.draws, what);
  }
  if ((theirs.flags & kClaims) != 0 && mine.claim && theirs.claim != *mine.claim)
    return ClaimsDiffer("rank " + std::to_string(peer), self, "the tensor of " + what);
  return Status::Ok();
}

void PostHeaders(transport::Transport& transport, const std::shared_ptr<Flight>& flight,
                 const std::vector<int>& peers, const std::vector<transport::Tag>& tags,
                 size_t max_answer) {
  for (size_t i = 0; i < peers.size(); ++i) {
    transport.RecvAny(peers[i], tags[i], max_answer, [flight, i](Result<std::string> got) {
      if (!got.ok()) return flight->Finish(got.status());
      flight->peers[i].answer = std::move(got).value();
      flight->Finish(Status::Ok());
    });
  }
  for (size_t i = 0; i < peers.size(); ++i) {
    transport.Send(peers[i], tags[i], AsBytes(flight->peers[i].header),
                   [flight](Status status) { flight->Finish(status); });
  }
}

std::vector<transport::Tag> TakeTags(const std::vector<int>& peers) {
  std::vector<transport::Tag> tags;
  for (int peer : peers) tags.push_back({kEagerChannel, Context::Get().NextSequence(peer), 0});
  return tags;
}

// The large payloads, after the headers agreed.
Status ExchangeBulk(transport::Transport& transport, const std::shared_ptr<Flight>& bulk,
                    const std::vector<PeerMessage>& messages,
                    const std::vector<transport::Tag>& tags) {
  for (size_t i = 0; i < messages.size(); ++i) {
    auto& outgoing = bulk->peers[i].outgoing;
    if (static_cast<int64_t>(outgoing.size()) <= kInlineBytes) continue;
    bulk->pending.fetch_add(1);
    transport::Tag tag = tags[i];
    tag.part = 1;
    transport.Send(messages[i].peer, tag, outgoing,
                   [bulk](Status status) { bulk->Finish(status); });
  }
  return Await(*bulk);
}

}  // namespace

uint64_t HashText(std::string_view text) {
  uint64_t h = 0xCBF29CE484222325ull;  // FNV-1a
  for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return h;
}

Status DrawsDiffer(int peer, const DrawHistory::Summary& theirs, int self,
                   const DrawHistory::Summary& mine, const std::string& noticed_by) {
  const auto describe = [](const DrawHistory::Summary& draws) {
    if (draws.count == 0) return std::string("none");
    return std::to_string(draws.count) + ", the last " + draws.recent + ",";
  };
  return Error(Code::kFailedPrecondition)
         << "[random] ranks have drawn different random numbers for global tensors, so values that "
            "claim to be equal are not: got draws "
         << describe(theirs) << " on rank " << peer << " and " << describe(mine) << " on rank "
         << self
         << "; expected the same calls with the same seeds in the same order on every rank, member "
            "of the placement or not; draw local tensors where one rank alone needs some; noticed "
            "by "
         << noticed_by;
}

Status ClaimsDiffer(const std::string& other, int self, const std::string& what) {
  return Error(Code::kFailedPrecondition)
         << "[global] ranks have computed one global tensor in different ways, so values that "
            "claim to be equal are not: got other numbers, attributes or operators on "
         << other << " than on rank " << self << " behind " << what
         << "; expected the same on every rank; values of one rank go into a local tensor, which "
            "to_global(...) sends to the others";
}

Stamp CollectiveStamp() { return {Context::Get().draws().summary(), std::nullopt}; }

Status Exchange(std::vector<PeerMessage>& messages, uint64_t hash, const std::string& what,
                const Stamp* stamp) {
  if (messages.empty()) return Status::Ok();
  OFL_ASSIGN(transport::Transport * transport, Context::Get().transport());
  std::vector<int> peers;
  for (const PeerMessage& m : messages) peers.push_back(m.peer);
  const auto tags = TakeTags(peers);
  auto flight = std::make_shared<Flight>();
  auto bulk = std::make_shared<Flight>();
  flight->peers.resize(messages.size());
  bulk->peers.resize(messages.size());
  flight->pending = 2 * static_cast<int>(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    PeerMessage& m = messages[i];
    const bool is_inline = static_cast<int64_t>(m.outgoing.size()) <= kInlineBytes;
    flight->peers[i].header = MakeHeader(hash, what, m.outgoing, is_inline, stamp);
    bulk->peers[i].outgoing = std::move(m.outgoing);
    if (m.incoming_bytes > kInlineBytes) {
      // Lent before our header leaves: the peer sends only after it has read that.
      bulk->peers[i].incoming.resize(static_cast<size_t>(m.incoming_bytes));
      bulk->pending.fetch_add(1);
      transport::Tag tag = tags[i];
      tag.part = 1;
      transport->Recv(m.peer, tag, bulk->peers[i].incoming,
                      [bulk](Status status) { bulk->Finish(status); });
    }
  }
  PostHeaders(*transport, flight, peers, tags, kMaxAnswer);
  OFL_TRY(Await(*flight));
  for (size_t i = 0; i < messages.size(); ++i) {
    PeerMessage& m = messages[i];
    OFL_ASSIGN(Answer answer, ParseAnswer(m.peer, flight->peers[i].answer));
    if (answer.hash != hash || answer.payload != m.incoming_bytes) {
      return Mismatch(m.peer, answer.what, what);
    }
    if (stamp != nullptr) OFL_TRY(CompareStamps(m.peer, answer, *stamp, what));
    if ((answer.flags & kInline) != 0) {
      OFL_ENSURE(static_cast<int64_t>(answer.body.size()) == m.incoming_bytes, Code::kDataLoss)
          << "[exchange] rank " << m.peer << " sent " << answer.body.size() << " bytes; expected "
          << m.incoming_bytes;
      auto bytes = AsBytes(answer.body);
      m.incoming.assign(bytes.begin(), bytes.end());
    }
  }
  OFL_TRY(ExchangeBulk(*transport, bulk, messages, tags));
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].incoming_bytes > kInlineBytes) {
      messages[i].incoming = std::move(bulk->peers[i].incoming);
    }
  }
  return Status::Ok();
}

Result<std::vector<std::string>> ExchangeTexts(const std::vector<int>& peers,
                                               const std::string& mine, uint64_t hash,
                                               const std::string& what, const Stamp* stamp) {
  OFL_ENSURE(static_cast<int64_t>(mine.size()) <= kMaxTextBytes, Code::kResourceExhausted)
      << "[exchange] the text is too long: got " << mine.size() << " bytes; expected at most "
      << kMaxTextBytes;
  std::vector<std::string> texts;
  if (peers.empty()) return texts;
  OFL_ASSIGN(transport::Transport * transport, Context::Get().transport());
  const auto tags = TakeTags(peers);
  auto flight = std::make_shared<Flight>();
  flight->peers.resize(peers.size());
  flight->pending = 2 * static_cast<int>(peers.size());
  for (auto& peer : flight->peers) peer.header = MakeHeader(hash, what, AsBytes(mine), true, stamp);
  PostHeaders(*transport, flight, peers, tags, kMaxAnswer);
  OFL_TRY(Await(*flight));
  for (size_t i = 0; i < peers.size(); ++i) {
    OFL_ASSIGN(Answer answer, ParseAnswer(peers[i], flight->peers[i].answer));
    if (answer.hash != hash) return Mismatch(peers[i], answer.what, what);
    if (stamp != nullptr) OFL_TRY(CompareStamps(peers[i], answer, *stamp, what));
    texts.emplace_back(answer.body);
  }
  return texts;
}

}  // namespace ofl::tensor
