#include "actor/drivers/instance.h"

#include <algorithm>
#include <set>
#include <utility>

#include "actor/drivers/instance_impl.h"
#include "oneflow_like/base/check.h"

namespace ofl::actor {
namespace {

constexpr std::chrono::milliseconds kStandstill{1000};  // until peers are asked what they do

// Words handed to a stream's thread.
constexpr int64_t kStop = 0;
constexpr int64_t kOver = 1;
int64_t FiringWord(int task, int64_t piece) { return 2 + (int64_t{task} << 32 | piece); }
int TaskOf(int64_t word) { return static_cast<int>((word - 2) >> 32); }
int64_t PieceOf(int64_t word) { return (word - 2) & 0xffffffff; }

}  // namespace

// --- opening and closing ------------------------------------------------------------------------

Status Instance::Impl::Open() {
  OFL_ENSURE(options_.device != nullptr, Code::kInvalidArgument) << "[plan] no device was given";
  OFL_ENSURE(program_.remote_edges.empty() || options_.transport != nullptr, Code::kInvalidArgument)
      << "[plan] rank " << program_.rank << " has " << program_.remote_edges.size()
      << " remote edges, but no transport was given";
  OFL_ASSIGN(core_, Core::Create(program_));
  OFL_ASSIGN(runner_, TaskRunner::Create(program_, *core_, options_.device, options_.variables,
                                         options_.contents));
  for (const StreamDesc& stream : program_.streams)
    streams_.push_back(options_.device->NewStream(std::max(1, stream.threads)));
  if (streams_.empty()) streams_.push_back(options_.device->NewStream(1));
  for (size_t i = 0; i < streams_.size(); ++i) handoffs_.push_back(std::make_unique<Handoff>());
  edge_ends_.resize(program_.remote_edges.size());
  for (size_t i = 0; i < edge_ends_.size(); ++i)
    edge_ends_[i].early.reserve(static_cast<size_t>(program_.remote_edges[i].credits));
  mailbox_.reserve(64 + 4 * program_.remote_edges.size());
  batch_.reserve(mailbox_.capacity());
  open_ = true;
  OFL_TRY(OpenEdges());
  StartWorkers();
  return Status::Ok();
}

void Instance::Impl::Close() {
  if (open_ && !program_.remote_edges.empty()) options_.transport->ClosePlan(program_.plan_id);
  for (size_t s = 1; s <= workers_.size(); ++s) handoffs_[s]->Put(kStop);
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

// --- streams ------------------------------------------------------------------------------------

void Instance::Impl::StartWorkers() {
  for (size_t s = 1; s < streams_.size(); ++s)
    workers_.emplace_back([this, s] { RunStream(static_cast<int>(s)); });
}

void Instance::Impl::RunStream(int stream) {
  for (;;) {
    const auto word = handoffs_[stream]->Take(options_.spin, options_.deadline);
    if (!word) continue;
    if (*word == kStop) return;
    RunFiring(stream, *word);
  }
}

void Instance::Impl::RunFiring(int stream, int64_t word) {
  const int task = TaskOf(word);
  Status status = runner_->Run(task, PieceOf(word), streams_[stream].get());
  if (!status.ok())
    Post({Item::Kind::kFail,
          {},
          status.WithNote("in actor " + std::to_string(task) + " " + program_.tasks[task].name +
                          " on rank " + std::to_string(program_.rank) + " (micro-batch " +
                          std::to_string(PieceOf(word)) + ")")});
  Post({Item::Kind::kEvent, {Event::Kind::kTaskDone, stream, 0}, {}});
}

// --- the core -----------------------------------------------------------------------------------

void Instance::Impl::Post(Item item) {
  std::unique_lock lock(mutex_);
  mailbox_.push_back(std::move(item));
  if (owned_) return;  // the holder will see it
  owned_ = true;
  while (!mailbox_.empty()) {
    batch_.swap(mailbox_);
    lock.unlock();
    for (Item& next : batch_) Handle(next);
    batch_.clear();
    lock.lock();
  }
  owned_ = false;
}

void Instance::Impl::Handle(Item& item) {
  steps_.fetch_add(1, std::memory_order_relaxed);
  std::span<const Effect> effects;
  if (item.kind == Item::Kind::kEvent) {
    const bool launch = item.event.kind == Event::Kind::kLaunch;
    if (launch && !core_->failure().ok()) {
      result_ = core_->failure();
      handoffs_[0]->Put(kOver);
      return;
    }
    if (launch) {
      for (EdgeEnd& end : edge_ends_) end.moved_on = Status::Ok();
      BeginStamps(item.stamp);
    }
    if (item.event.kind == Event::Kind::kArrived) Arrived(item.event.index, item.stamp);
    effects = core_->Step(item.event);
    if (launch) {
      for (const Effect& effect : effects) Perform(effect);
      effects = {};
      if (Status missing = MissingPeer(core_->iteration() + 1); !missing.ok() && core_->running())
        effects = core_->Fail(std::move(missing));
    }
  } else if (item.kind == Item::Kind::kLeft) {
    edge_ends_[item.event.index].left = std::move(item.cause);
    if (core_->running())
      if (Status missing = MissingPeer(core_->iteration() + 1); !missing.ok())
        effects = core_->Fail(std::move(missing));
  } else if (item.kind == Item::Kind::kMovedOn) {
    for (size_t i = 0; i < edge_ends_.size(); ++i)
      if (program_.remote_edges[i].peer == item.event.index) edge_ends_[i].moved_on = item.cause;
    if (core_->running())
      if (Status missing = MissingPeer(core_->iteration() + 1); !missing.ok())
        effects = core_->Fail(std::move(missing));
  } else if (item.kind == Item::Kind::kDeadline) {
    if (core_->running()) effects = core_->Fail(DeadlineError());
  } else {
    effects = core_->Fail(std::move(item.cause));
  }
  for (const Effect& effect : effects) Perform(effect);
}

void Instance::Impl::Perform(const Effect& effect) {
  switch (effect.kind) {
    case Effect::Kind::kFire:
      firings_[static_cast<int>(program_.tasks[effect.task].kind)].fetch_add(
          1, std::memory_order_relaxed);
      if (effect.index >= 0) {
        handoffs_[effect.index]->Put(FiringWord(effect.task, effect.piece));
      } else {
        // No work but setting a pointer: it cannot fail.
        const Status done = runner_->Run(effect.task, effect.piece, streams_[0].get());
        OFL_CHECK(done.ok());
      }
      return;
    case Effect::Kind::kPush: Push(effect.index, effect.piece); return;
    case Effect::Kind::kReturnCredit:
      // Counted here and not at arrival: a peer may be a launch ahead of us.
      received_.fetch_add(1, std::memory_order_relaxed);
      received_bytes_.fetch_add(program_.remote_edges[effect.index].bytes,
                                std::memory_order_relaxed);
      options_.transport->ReturnCredit(program_.plan_id,
                                       program_.remote_edges[effect.index].edge_id, effect.piece);
      return;
    case Effect::Kind::kFinished:
      result_ = core_->failure();
      handoffs_[0]->Put(kOver);
      return;
  }
}

ConstBytes Instance::Impl::Message(int index, int64_t piece) const {
  const RemoteEdge& edge = program_.remote_edges[index];
  const std::byte* data = runner_->Data(edge.local_register, core_->EdgeSlot(index, piece));
  if (edge.bytes == 0) return {};
  return {data + edge.local_offset, static_cast<size_t>(edge.bytes)};
}

void Instance::Impl::Push(int index, int64_t piece) {
  const RemoteEdge& edge = program_.remote_edges[index];
  ++edge_ends_[index].moved;
  sent_.fetch_add(1, std::memory_order_relaxed);
  sent_bytes_.fetch_add(edge.bytes, std::memory_order_relaxed);
  // What a peer sent ahead may be passed on before its launch begins here.
  const bool ahead = piece / PiecesOf(index) > core_->iteration();
  options_.transport->Push(
      program_.plan_id, edge.edge_id, piece, ahead ? 0 : stamp_, Message(index, piece),
      [self = shared_from_this(), index, piece](Status sent) {
        if (sent.ok())
          self->Post({Item::Kind::kEvent, {Event::Kind::kPushDone, index, piece}, {}});
        else
          self->Fail(std::move(sent));
      });
}

void Instance::Impl::Arrived(int index, uint32_t stamp) {
  EdgeEnd& end = edge_ends_[index];
  if (end.moved++ / PiecesOf(index) <= core_->iteration()) return Compare(stamp);
  end.early.push_back(stamp);
}

// Called before the core takes the launch, whose number is iteration() + 1.
void Instance::Impl::BeginStamps(uint32_t stamp) {
  stamp_ = stamp;
  stamps_agree_ = true;
  for (size_t i = 0; i < edge_ends_.size(); ++i) {
    EdgeEnd& end = edge_ends_[i];
    if (end.early.empty()) continue;
    const int64_t compared = end.moved - static_cast<int64_t>(end.early.size());
    const int64_t until = (core_->iteration() + 2) * PiecesOf(static_cast<int>(i));
    const auto due = std::min(end.early.size(), static_cast<size_t>(until - compared));
    for (size_t k = 0; k < due; ++k) Compare(end.early[k]);
    end.early.erase(end.early.begin(), end.early.begin() + static_cast<std::ptrdiff_t>(due));
  }
}

int64_t Instance::Impl::PiecesOf(int edge) const {
  const TaskDesc& producer =
      program_.tasks[program_.registers[program_.remote_edges[edge].local_register].producer];
  return producer.kind == TaskKind::kAccumulate ? 1 : producer.firings;
}

Status Instance::Impl::MissingPeer(int64_t launches) const {
  for (size_t i = 0; i < edge_ends_.size(); ++i) {
    const EdgeEnd& end = edge_ends_[i];
    const Status& why = end.left.ok() ? end.moved_on : end.left;
    if (why.ok() || end.moved >= launches * PiecesOf(static_cast<int>(i))) continue;
    const RemoteEdge& edge = program_.remote_edges[i];
    return Error(Code::kUnavailable)
           << "[launch] " << why.message() << ": launch " << launches << " of rank "
           << program_.rank << (edge.outgoing ? " still has " : " still waits for ")
           << program_.tasks[program_.registers[edge.local_register].producer].name
           << (edge.outgoing ? " for it" : " from it")
           << "; expected every rank to trace and launch its graphs alike, equally often";
  }
  return Status::Ok();
}

void Instance::Impl::MovedOn(int peer) {
  Post({Item::Kind::kMovedOn,
        {Event::Kind::kArrived, peer, 0},
        Error(Code::kUnavailable) << "rank " << peer << " is starting another plan, as after "
                                  << "tracing a graph anew"});
}

Status Instance::Impl::DeadlineError() const {
  std::vector<std::string> waiting = core_->Waiting();
  ErrorStream error = Error(Code::kDeadlineExceeded);
  error << "[launch] no progress for " << options_.deadline.count()
        << " ms: " << (waiting.empty() ? "nothing is left to do" : waiting[0]);
  Status status = error;
  for (size_t i = 1; i < waiting.size(); ++i) status = status.WithNote(waiting[i]);
  return status;
}

// --- launches -----------------------------------------------------------------------------------

Status Instance::Impl::Launch(std::span<const op::TensorView> inputs,
                              std::span<const op::TensorView> outputs,
                              std::span<const RandomState> generators, uint32_t stamp) {
  OFL_ENSURE(!launching_.exchange(true), Code::kFailedPrecondition)
      << "[launch] this graph is being launched by another thread";
  struct Leave {
    std::atomic<bool>& flag;
    ~Leave() { flag = false; }
  } leave{launching_};
  if (!closed_by_.ok())
    return closed_by_.WithNote("an earlier launch failed; variables are undefined since launch " +
                               std::to_string(launches_));
  OFL_ENSURE(!forked(), Code::kFailedPrecondition)
      << "[launch] this process was forked after the graph had started: got a launch in the child, "
      << "where its threads and connections do not exist; expected it in the parent; make the "
      << "graph in the child";
  OFL_TRY(runner_->Bind(inputs, outputs, generators));
  WatchPeers();
  Status status = Connect();
  if (status.ok()) {
    Post({Item::Kind::kEvent, {Event::Kind::kLaunch, 0, 0}, {}, stamp});
    WaitForEnd();
    status = result_;
  }
  ++launches_;
  if (status.ok()) return status;
  closed_by_ = status;
  if (options_.shutdown_on_failure && !program_.remote_edges.empty())
    options_.transport->Shutdown(status);
  return status;
}

void Instance::Impl::WaitForEnd() {
  using Clock = std::chrono::steady_clock;
  uint64_t seen = steps_.load(std::memory_order_relaxed);
  Clock::time_point since = Clock::now();
  bool asked = !options_.ask_peers || program_.remote_edges.empty();
  for (;;) {
    const auto word = handoffs_[0]->Take(options_.spin, std::min(kPollInterval, options_.deadline));
    if (word && *word == kOver) return;
    if (word) {
      RunFiring(0, *word);
      continue;
    }
    const uint64_t steps = steps_.load(std::memory_order_relaxed);
    if (options_.interrupted && options_.interrupted()) {
      Fail(Error(Code::kCancelled) << "[launch] interrupted");
    } else if (steps != seen) {
      seen = steps;
      since = Clock::now();
    } else if (Clock::now() - since >= options_.deadline) {
      Post({Item::Kind::kDeadline, {}, {}});
      seen = steps_.load(std::memory_order_relaxed);
      since = Clock::now();
    } else if (!asked && Clock::now() - since >= kStandstill) {
      asked = true;
      options_.ask_peers([weak = weak_from_this()](int peer) {
        if (auto self = weak.lock()) self->MovedOn(peer);
      });
    }
  }
}

Counters Instance::Impl::counters() const {
  Counters c;
  c.launches = launches_;
  for (int k = 0; k < kTaskKinds; ++k) {
    c.firings_by_kind[k] = firings_[k].load();
    if (k == static_cast<int>(TaskKind::kReceive)) c.firings_by_kind[k] = received_.load();
    c.firings += c.firings_by_kind[k];
  }
  c.messages_sent = sent_.load();
  c.message_bytes_sent = sent_bytes_.load();
  c.messages_received = received_.load();
  c.message_bytes_received = received_bytes_.load();
  return c;
}

Counters Instance::Impl::predicted() const {
  Counters c;
  c.launches = 1;
  for (const TaskDesc& task : program_.tasks) {
    c.firings += task.firings;
    c.firings_by_kind[static_cast<int>(task.kind)] += task.firings;
  }
  for (size_t i = 0; i < program_.remote_edges.size(); ++i) {
    const RemoteEdge& edge = program_.remote_edges[i];
    const int64_t pieces = PiecesOf(static_cast<int>(i));
    (edge.outgoing ? c.messages_sent : c.messages_received) += pieces;
    (edge.outgoing ? c.message_bytes_sent : c.message_bytes_received) += pieces * edge.bytes;
  }
  return c;
}

bool StampsReachAll(const Program& program) {
  std::set<int> told;
  for (const RemoteEdge& edge : program.remote_edges) {
    const RegisterDesc& reg = program.registers[edge.local_register];
    if (edge.outgoing && program.tasks[reg.producer].kind != TaskKind::kReceive)
      told.insert(edge.peer);
  }
  return static_cast<int>(told.size()) == program.world_size - 1;
}

// --- Instance -----------------------------------------------------------------------------------

Result<std::unique_ptr<Instance>> Instance::Create(Program program, InstanceOptions options) {
  auto impl = std::make_shared<Impl>(std::move(program), std::move(options));
  std::unique_ptr<Instance> instance(new Instance(impl));
  OFL_TRY(impl->Open());
  return instance;
}

Instance::~Instance() {
  if (impl_->forked()) {  // its threads do not exist here: they cannot be waited for
    new std::shared_ptr<Impl>(std::move(impl_));
    return;
  }
  impl_->Close();
}
Status Instance::Launch(std::span<const op::TensorView> inputs,
                        std::span<const op::TensorView> outputs,
                        std::span<const RandomState> generators, uint32_t stamp) {
  return impl_->Launch(inputs, outputs, generators, stamp);
}
Status Instance::Connect() { return impl_->Connect(); }
bool Instance::closed() const { return impl_->closed(); }
bool Instance::stamps_agree() const { return impl_->stamps_agree(); }
void Instance::Fail(Status cause) { impl_->Fail(std::move(cause)); }
Counters Instance::counters() const { return impl_->counters(); }
Counters Instance::predicted() const { return impl_->predicted(); }

}  // namespace ofl::actor
