#include "transport/engine.h"

#include <algorithm>

#include "oneflow_like/base/check.h"

namespace ofl::transport {

namespace {

using std::chrono::steady_clock;

// How much one peer may move before the others get their turn.
constexpr size_t kReadBudget = 4 << 20;
constexpr size_t kWriteBudget = 4 << 20;
// What a caller writes itself; more is left to the I/O thread.
constexpr size_t kCallerBudget = 128 << 10;
constexpr size_t kMaxParts = 32;
constexpr std::chrono::milliseconds kTick{250};
// With more peers than this, looking at each costs more than asking the kernel.
constexpr size_t kMaxSpinPeers = 8;

}  // namespace

Engine::Engine(EngineOptions options, std::unique_ptr<Wire> wire,
               std::vector<std::unique_ptr<Connection>> connections)
    : options_(options),
      wire_(std::move(wire)),
      peers_(connections.size()),
      ready_(connections.size(), 1),
      want_write_(connections.size(), 0),
      junk_(64 << 10) {
  OFL_CHECK(connections.size() == static_cast<size_t>(options.world_size));
  for (size_t r = 0; r < connections.size(); ++r) {
    if (!connections[r]) continue;
    peers_[r].connection = std::move(connections[r]);
    peers_[r].link = wire_->link(static_cast<int>(r));
    peers_[r].phase = Phase::kOpen;
  }
  io_thread_ = std::thread([this] { Run(); });
}

Engine::~Engine() {
  Shutdown({});
  exit_ = true;
  NotifyIo();
  io_thread_.join();
}

void Engine::Send(int dst, const Tag& tag, ConstBytes payload, Done done) {
  Submit({.kind = Command::Kind::kSend,
          .peer = dst,
          .tag = tag,
          .payload = payload,
          .done = std::move(done)});
}

void Engine::Recv(int src, const Tag& tag, MutableBytes into, Done done) {
  Submit({.kind = Command::Kind::kRecv,
          .peer = src,
          .tag = tag,
          .into = into,
          .done = std::move(done)});
}

void Engine::RecvAny(int src, const Tag& tag, size_t max_bytes, TextDone done, Awaited awaited) {
  Submit({.kind = Command::Kind::kRecvAny,
          .peer = src,
          .tag = tag,
          .max_bytes = max_bytes,
          .text_done = std::move(done),
          .awaited = awaited});
}

void Engine::Push(uint64_t plan_id, int64_t edge_id, int64_t piece, uint32_t stamp,
                  ConstBytes payload, Done done) {
  Submit({.kind = Command::Kind::kPush,
          .edge = {plan_id, edge_id},
          .piece = piece,
          .stamp = stamp,
          .payload = payload,
          .done = std::move(done)});
}

void Engine::ReturnCredit(uint64_t plan_id, int64_t edge_id, int64_t piece) {
  Submit({.kind = Command::Kind::kCredit, .edge = {plan_id, edge_id}, .piece = piece});
}

Status Engine::CheckNotForked() const {
  OFL_ENSURE(!forked(), Code::kFailedPrecondition)
      << "[world] this process was forked after connecting: got a communication in a child of "
      << "rank " << options_.rank << ", whose connections belong to the parent; expected none";
  return {};
}

Status Engine::OpenEdge(EdgeReceiver edge) {
  OFL_TRY(CheckNotForked());
  std::lock_guard lock(state_mutex_);
  DrainMailbox();
  Status why;
  Connection* connection = FindPeer(edge.src, "open edge", &why);
  if (connection == nullptr) return why;
  const EdgeKey key{edge.plan_id, edge.edge_id};
  OFL_ENSURE(!receiver_peers_.contains(key), Code::kInvalidArgument)
      << "[edge] " << ToString(key) << " is already open for receiving";
  const int peer = edge.src;
  OFL_TRY(connection->OpenEdge(std::move(edge)));
  receiver_peers_.emplace(key, peer);
  return {};
}

Status Engine::OpenEdge(EdgeSender edge) {
  OFL_TRY(CheckNotForked());
  std::lock_guard lock(state_mutex_);
  DrainMailbox();
  Status why;
  Connection* connection = FindPeer(edge.dst, "open edge", &why);
  if (connection == nullptr) return why;
  const EdgeKey key{edge.plan_id, edge.edge_id};
  OFL_ENSURE(!sender_peers_.contains(key), Code::kInvalidArgument)
      << "[edge] " << ToString(key) << " is already open for sending";
  const int peer = edge.dst;
  OFL_TRY(connection->OpenEdge(std::move(edge)));
  sender_peers_.emplace(key, peer);
  return {};
}

void Engine::ClosePlan(uint64_t plan_id) {
  if (forked()) return;
  std::unique_lock lock(state_mutex_);
  DrainMailbox();
  for (Peer& peer : peers_) {
    if (peer.connection) peer.connection->ClosePlan(plan_id);
  }
  const auto of_plan = [plan_id](const auto& entry) { return entry.first.plan_id == plan_id; };
  std::erase_if(receiver_peers_, of_plan);
  std::erase_if(sender_peers_, of_plan);
  NotifyIo();
  if (std::this_thread::get_id() == io_thread_.get_id()) return;
  // Callbacks of the plan that are already due must have run before the caller frees its memory.
  const uint64_t target = batches_started_ + (effects_.empty() ? 0 : 1);
  changed_.wait(lock, [&] { return batches_finished_ >= target; });
}

Counters Engine::counters() const {
  if (forked()) return {};
  std::lock_guard lock(state_mutex_);
  Counters sum;
  for (const Peer& peer : peers_) {
    if (!peer.connection) continue;
    const Counters& one = peer.connection->counters();
    sum.frames_sent += one.frames_sent;
    sum.frames_received += one.frames_received;
    sum.messages_sent += one.messages_sent;
    sum.messages_received += one.messages_received;
    sum.pieces_sent += one.pieces_sent;
    sum.pieces_received += one.pieces_received;
    sum.payload_bytes_sent += one.payload_bytes_sent;
    sum.payload_bytes_received += one.payload_bytes_received;
    sum.payload_copies += one.payload_copies;
  }
  return sum;
}

void Engine::SetFailureHandler(std::function<void(Status)> handler) {
  if (forked()) return;
  {
    std::lock_guard lock(state_mutex_);
    failure_handler_ = std::move(handler);
    if (!first_failure_.ok() && !failure_told_ && failure_handler_) {
      failure_told_ = true;
      effects_.push_back(DoneCall{failure_handler_, first_failure_});
    }
  }
  NotifyIo();
}

void Engine::Shutdown(Status why) {
  if (forked()) return;
  std::unique_lock lock(state_mutex_);
  DrainMailbox();
  if (!shut_down_) {
    shut_down_ = true;
    for (Peer& peer : peers_) {
      if (peer.connection) peer.connection->Shutdown(why, &effects_);
    }
  }
  NotifyIo();
  if (std::this_thread::get_id() == io_thread_.get_id()) return;
  changed_.wait_for(lock, options_.linger + 2 * kTick, [this] { return all_closed(); });
}

// Carries the mailbox out here if the state is free; whoever holds it looks again afterwards.
void Engine::Submit(Command command) {
  if (forked()) [[unlikely]] {
    if (command.done) command.done(CheckNotForked());
    if (command.text_done) command.text_done(CheckNotForked());
    return;
  }
  {
    std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(std::move(command));
    mailbox_size_ = mailbox_.size();
  }
  while (mailbox_size_ > 0) {
    std::unique_lock lock(state_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      NotifyIo();
      return;
    }
    DrainMailbox();
    for (size_t r = 0; r < peers_.size(); ++r) PumpWrite(static_cast<int>(r), kCallerBudget);
    const bool io_has_work = !effects_.empty() || has_output();
    lock.unlock();
    if (io_has_work) NotifyIo();
  }
}

void Engine::NotifyIo() {
  notified_ = true;
  if (sleeping_.exchange(false)) wire_->Wake();
}

void Engine::DrainMailbox() {
  {
    std::lock_guard lock(mailbox_mutex_);
    draining_.swap(mailbox_);
    mailbox_size_ = 0;
  }
  if (draining_.empty()) return;
  const TimePoint now = steady_clock::now();
  for (Command& command : draining_) Execute(std::move(command), now);
  draining_.clear();
}

Connection* Engine::FindPeer(int peer, const char* what, Status* why) {
  if (peer >= 0 && peer < options_.world_size && peers_[static_cast<size_t>(peer)].connection) {
    return peers_[static_cast<size_t>(peer)].connection.get();
  }
  *why = Error(Code::kInvalidArgument)
         << "[" << what << "] no such peer: got rank " << peer << "; expected another rank than "
         << options_.rank << " in a world of " << options_.world_size;
  return nullptr;
}

Connection* Engine::FindEdgePeer(const Command& command) {
  const auto& peers = command.kind == Command::Kind::kPush ? sender_peers_ : receiver_peers_;
  const auto found = peers.find(command.edge);
  return found == peers.end() ? nullptr
                              : peers_[static_cast<size_t>(found->second)].connection.get();
}

void Engine::Execute(Command command, TimePoint now) {
  using Kind = Command::Kind;
  if (command.kind == Kind::kPush || command.kind == Kind::kCredit) {
    Connection* connection = FindEdgePeer(command);
    if (connection == nullptr) {
      if (command.kind == Kind::kPush) {
        effects_.push_back(DoneCall{std::move(command.done),
                                    Error(Code::kNotFound) << "[push] " << ToString(command.edge)
                                                           << " is not open for sending"});
      }
    } else if (command.kind == Kind::kPush) {
      connection->Push(command.edge, command.piece, command.stamp, command.payload,
                       std::move(command.done), now, &effects_);
    } else {
      connection->ReturnCredit(command.edge, command.piece, &effects_);
    }
    return;
  }
  Status why;
  Connection* connection =
      FindPeer(command.peer, command.kind == Kind::kSend ? "send" : "recv", &why);
  if (connection == nullptr) {
    if (command.kind == Kind::kRecvAny) {
      effects_.push_back(TextCall{std::move(command.text_done), std::move(why)});
    } else {
      effects_.push_back(DoneCall{std::move(command.done), std::move(why)});
    }
  } else if (command.kind == Kind::kSend) {
    connection->Send(command.tag, command.payload, std::move(command.done), now, &effects_);
  } else if (command.kind == Kind::kRecv) {
    connection->Recv(command.tag, command.into, std::move(command.done), now, &effects_);
  } else {
    connection->RecvAny(command.tag, command.max_bytes, std::move(command.text_done),
                        command.awaited, now, &effects_);
  }
}

bool Engine::PumpRead(int rank, TimePoint now) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  char& ready = ready_[static_cast<size_t>(rank)];
  if (peer.phase == Phase::kClosed || !ready) return false;
  size_t moved = 0;
  while (moved < kReadBudget) {
    MutableBytes into = peer.connection->WantRead();
    // Once the conversation is over, bytes are only read to let the goodbye get through.
    const bool discard = into.empty();
    const Result<size_t> got = peer.link->Read(discard ? MutableBytes(junk_) : into);
    if (!got.ok()) {
      ready = 0;
      peer.connection->OnLost(got.status(), &effects_);
      peer.link->Close();
      peer.phase = Phase::kClosed;
      return true;
    }
    if (*got == 0) {
      ready = 0;
      break;
    }
    moved += *got;
    if (!discard) peer.connection->OnRead(*got, now, &effects_);
  }
  return moved > 0;
}

bool Engine::PumpWrite(int rank, size_t budget) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  if (peer.phase == Phase::kClosed || peer.write_closed) return false;
  std::array<ConstBytes, kMaxParts> parts;
  size_t moved = 0;
  while (moved < budget) {
    const size_t used = peer.connection->WantWrite(parts);
    if (used == 0) break;
    const Result<size_t> wrote = peer.link->Write(std::span(parts).first(used));
    if (!wrote.ok()) {
      // The peer's goodbye, if there is one, is still to be read: reading finds the end.
      peer.write_closed = true;
      break;
    }
    if (*wrote == 0) break;
    moved += *wrote;
    peer.connection->OnWritten(*wrote, &effects_);
  }
  return moved > 0;
}

// Reports a failure once and takes a finished conversation to its end.
void Engine::Settle(int rank, TimePoint now) {
  Peer& peer = peers_[static_cast<size_t>(rank)];
  const Connection& connection = *peer.connection;
  if (!connection.failure().ok() && !peer.reported) {
    peer.reported = true;
    if (connection.failure_counts() && first_failure_.ok()) {
      first_failure_ = connection.failure();
      const auto log = [rank = options_.rank](const Status& cause) {
        LOG(WARNING) << "rank " << rank << ": " << cause.message();
      };
      effects_.push_back(DoneCall{log, first_failure_});  // not with the state held
      if (failure_handler_) {
        failure_told_ = true;
        effects_.push_back(DoneCall{failure_handler_, first_failure_});
      }
    }
  }
  if (connection.failure().ok() || peer.phase == Phase::kClosed) return;
  if (peer.phase == Phase::kOpen) {
    peer.phase = Phase::kDraining;
    peer.drain_deadline = now + options_.linger;
    ready_[static_cast<size_t>(rank)] = 1;
  }
  if (!connection.has_output() && !peer.write_closed) {
    peer.write_closed = true;
    peer.link->CloseWrite();
  }
  if (now >= peer.drain_deadline) {
    peer.link->Close();
    peer.phase = Phase::kClosed;
  }
}

bool Engine::all_closed() const {
  return std::ranges::all_of(peers_, [](const Peer& p) { return p.phase == Phase::kClosed; });
}
bool Engine::has_output() const {
  return std::ranges::any_of(peers_, [](const Peer& p) {
    return p.phase != Phase::kClosed && !p.write_closed && p.connection->has_output();
  });
}
bool Engine::expects_input() const {
  return std::ranges::any_of(peers_, [](const Peer& p) {
    return p.phase == Phase::kOpen && p.connection->expects_input();
  });
}

bool Engine::PumpPeers(TimePoint now) {
  bool moved = false;
  for (size_t r = 0; r < peers_.size(); ++r) {
    if (!peers_[r].connection) continue;
    const int rank = static_cast<int>(r);
    moved |= PumpRead(rank, now);
    moved |= PumpWrite(rank, kWriteBudget);
    Settle(rank, now);
    want_write_[r] = peers_[r].phase != Phase::kClosed && !peers_[r].write_closed &&
                     peers_[r].connection->has_output();
  }
  return moved;
}

void Engine::RunBatch(Effects* batch) {
  for (Effect& effect : *batch) RunEffect(effect);
  batch->clear();
  std::lock_guard lock(state_mutex_);
  ++batches_finished_;
  changed_.notify_all();
}

void Engine::Run() {
  Effects batch;
  TimePoint last_activity = steady_clock::now();
  TimePoint next_tick = last_activity + kTick;
  const bool may_spin = options_.spin.count() > 0 && peers_.size() <= kMaxSpinPeers;
  while (true) {
    notified_ = false;
    const TimePoint now = steady_clock::now();
    bool active = false;
    bool spin = false;
    {
      std::lock_guard lock(state_mutex_);
      DrainMailbox();
      if (now >= next_tick) {
        for (Peer& peer : peers_) {
          if (peer.phase == Phase::kOpen) peer.connection->OnTimer(now, &effects_);
        }
        next_tick = now + kTick;
      }
      active = PumpPeers(now);
      if (shut_down_ && all_closed()) changed_.notify_all();
      batch.swap(effects_);
      if (!batch.empty()) ++batches_started_;
      spin = may_spin && expects_input();
    }
    if (!batch.empty()) {
      RunBatch(&batch);
      active = true;
    } else if (exit_) {
      return;
    }
    if (active) {
      last_activity = now;
      if (std::ranges::find(ready_, 1) != ready_.end()) continue;
    }
    if (spin && now - last_activity < options_.spin) {
      std::fill(ready_.begin(), ready_.end(), 1);
      std::this_thread::yield();
      continue;
    }
    sleeping_ = true;
    if (!notified_) wire_->Wait(kTick, want_write_, &ready_);
    sleeping_ = false;
  }
}

}  // namespace ofl::transport
