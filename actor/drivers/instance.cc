#include "actor/drivers/instance.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "actor/core/core.h"
#include "actor/drivers/handoff.h"
#include "actor/drivers/task_runner.h"
#include "oneflow_like/base/check.h"
#include "oneflow_like/base/fork.h"

namespace ofl::actor {
namespace {

constexpr uint64_t kGreetingChannel = 0x6f666c2d706c616eull;  // keeps greetings apart from the rest
constexpr size_t kMaxGreetingBytes = 4096;
constexpr std::chrono::milliseconds kPollInterval{100};  // for interrupts and the deadline
constexpr std::chrono::milliseconds kStandstill{1000};   // until peers are asked what they do

// Words handed to a stream's thread.
constexpr int64_t kStop = 0;
constexpr int64_t kOver = 1;
int64_t FiringWord(int task, int64_t piece) { return 2 + (int64_t{task} << 32 | piece); }
int TaskOf(int64_t word) { return static_cast<int>((word - 2) >> 32); }
int64_t PieceOf(int64_t word) { return (word - 2) & 0xffffffff; }

}  // namespace

class Instance::Impl : public std::enable_shared_from_this<Instance::Impl> {
 public:
  Impl(Program program, InstanceOptions options)
      : program_(std::move(program)), options_(std::move(options)) {}

  Status Open();
  void Close();
  Status Launch(std::span<const op::TensorView> inputs, std::span<const op::TensorView> outputs,
                std::span<const RandomState> generators, uint32_t stamp);
  // Greets the peers once.
  Status Connect() { return greeted_ || program_.remote_edges.empty() ? Status::Ok() : Greet(); }
  void Fail(Status cause) { Post({Item::Kind::kFail, {}, std::move(cause)}); }
  bool closed() const { return !closed_by_.ok(); }
  bool forked() const { return forks_ != ForkCount(); }
  bool stamps_agree() const { return stamps_agree_; }
  Counters counters() const;
  Counters predicted() const;

 private:
  // What reaches the core from any thread.
  struct Item {
    enum class Kind : uint8_t { kEvent, kFail, kDeadline, kLeft, kMovedOn } kind = Kind::kEvent;
    Event event;  // of kLeft: the edge whose peer has finished; of kMovedOn: the peer
    Status cause;
    uint32_t stamp = 0;  // of a launch, or of the one that an arrived piece belongs to
  };

  Status OpenEdges();
  Status OpenEdge(int index);
  Status Greet();
  Status GreetPeer(int peer);
  void WatchPeers();
  void StartWorkers();
  void RunStream(int stream);
  void RunFiring(int stream, int64_t word);
  void WaitForEnd();
  void Post(Item item);
  void Handle(Item& item);
  void Perform(const Effect& effect);
  void Push(int edge, int64_t piece);
  int64_t PiecesOf(int edge) const;
  // A peer starts another plan.
  void MovedOn(int peer);
  // Why a launch cannot end: a peer has left before it gave or took what the launch needs.
  Status MissingPeer(int64_t launches) const;
  Status DeadlineError() const;
  ConstBytes Message(int edge, int64_t piece) const;
  // Compares the stamp of a piece, now or when its launch begins here.
  void Arrived(int edge, uint32_t stamp);
  void BeginStamps(uint32_t stamp);
  void Compare(uint32_t stamp) {
    if (stamp != 0 && stamp_ != 0 && stamp != stamp_) stamps_agree_ = false;
  }

  const Program program_;
  const InstanceOptions options_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<TaskRunner> runner_;
  std::vector<std::unique_ptr<device::Stream>> streams_;
  std::vector<std::unique_ptr<Handoff>> handoffs_;  // by stream; the first is the launching thread
  std::vector<std::thread> workers_;
  const uint32_t forks_ = ForkCount();

  // The mailbox. Whoever posts while nobody holds the core steps it until the mailbox is empty.
  std::mutex mutex_;
  std::vector<Item> mailbox_;
  bool owned_ = false;
  // Of the core's holder:
  std::vector<Item> batch_;
  struct EdgeEnd {
    int64_t moved = 0;            // pieces pushed or arrived, over all launches
    std::vector<uint32_t> early;  // stamps of pieces whose launch has not begun here, in order
    Status left;                  // why no more will move
    Status moved_on;              // why no more will move in this launch
  };
  std::vector<EdgeEnd> edge_ends_;
  Status result_;  // of the launch; read by the launching thread after kOver
  uint32_t stamp_ = 0;
  bool stamps_agree_ = true;  // likewise
  std::atomic<uint64_t> steps_{0};

  bool greeted_ = false;
  bool open_ = false;
  std::atomic<bool> launching_{false};
  Status closed_by_;
  int64_t launches_ = 0;
  std::array<std::atomic<int64_t>, kTaskKinds> firings_{};
  std::atomic<int64_t> sent_{0}, sent_bytes_{0}, received_{0}, received_bytes_{0};
};

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

Status Instance::Impl::OpenEdges() {
  for (size_t i = 0; i < program_.remote_edges.size(); ++i)
    if (Status bad = OpenEdge(static_cast<int>(i)); !bad.ok())
      return bad.WithNote(
          "in the edge of " +
          program_.tasks[program_.registers[program_.remote_edges[i].local_register].producer]
              .name);
  return Status::Ok();
}

Status Instance::Impl::OpenEdge(int index) {
  const RemoteEdge& edge = program_.remote_edges[index];
  const RegisterDesc& reg = program_.registers[edge.local_register];
  OFL_ENSURE(edge.local_offset >= 0 && edge.bytes >= 0 &&
                 edge.local_offset + edge.bytes <= reg.meta.bytes() &&
                 (edge.outgoing || edge.bytes == reg.meta.bytes()),
             Code::kInvalidArgument)
      << "[plan] edge " << edge.edge_id << " does not fit its register: got " << edge.bytes
      << " bytes at " << edge.local_offset << "; expected them within " << reg.meta.ToString();
  auto self = shared_from_this();
  auto post = [self, index](Event::Kind kind, int64_t piece) {
    self->Post({Item::Kind::kEvent, {kind, index, piece}, {}});
  };
  auto left = [self, index](Status why) {
    self->Post({Item::Kind::kLeft, {Event::Kind::kArrived, index, 0}, std::move(why)});
  };
  if (edge.outgoing) {
    transport::EdgeSender sender;
    sender.plan_id = program_.plan_id;
    sender.edge_id = edge.edge_id;
    sender.dst = edge.peer;
    sender.bytes = edge.bytes;
    sender.credits = edge.credits;
    sender.on_credit = [post](int64_t piece) { post(Event::Kind::kCredit, piece); };
    sender.on_left = left;
    return options_.transport->OpenEdge(std::move(sender));
  }
  transport::EdgeReceiver receiver;
  receiver.plan_id = program_.plan_id;
  receiver.edge_id = edge.edge_id;
  receiver.src = edge.peer;
  receiver.bytes = edge.bytes;
  receiver.credits = edge.credits;
  for (int slot = 0; slot < reg.instances; ++slot)
    receiver.slots.push_back({runner_->Data(reg.id, slot), static_cast<size_t>(edge.bytes)});
  receiver.on_piece = [self, index](int64_t piece, uint32_t stamp) {
    self->Post({Item::Kind::kEvent, {Event::Kind::kArrived, index, piece}, {}, stamp});
  };
  receiver.on_left = left;
  return options_.transport->OpenEdge(std::move(receiver));
}

// Both ends tell each other which plan they run, once their edges are open.
Status Instance::Impl::Greet() {
  std::set<int> peers;
  for (const RemoteEdge& edge : program_.remote_edges) peers.insert(edge.peer);
  for (int peer : peers) {
    const transport::Tag tag{kGreetingChannel ^ program_.plan_id, 0, 0};
    options_.transport->Send(peer, tag, AsBytes(program_.plan_hash), [](Status) {});
  }
  for (int peer : peers) OFL_TRY(GreetPeer(peer));
  greeted_ = true;
  return Status::Ok();
}

Status Instance::Impl::GreetPeer(int peer) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<std::string>> text;
  };
  auto answer = std::make_shared<Answer>();  // outlives a wait that gives up
  const transport::Tag tag{kGreetingChannel ^ program_.plan_id, 0, 0};
  options_.transport->RecvAny(peer, tag, kMaxGreetingBytes, [answer](Result<std::string> text) {
    std::lock_guard lock(answer->mutex);
    answer->text = std::move(text);
    answer->changed.notify_one();
  });
  const auto end = std::chrono::steady_clock::now() + options_.deadline;
  std::unique_lock lock(answer->mutex);
  while (!answer->text.has_value()) {
    answer->changed.wait_for(lock, kPollInterval);
    if (options_.interrupted && options_.interrupted())
      return Error(Code::kCancelled) << "[launch] interrupted while greeting rank " << peer;
    OFL_ENSURE(answer->text.has_value() || std::chrono::steady_clock::now() < end,
               Code::kDeadlineExceeded)
        << "[launch] rank " << peer << " did not open the plan's edges: rank " << program_.rank
        << " waited " << options_.deadline.count() << " ms; expected every rank to launch the same"
        << " graph";
  }
  if (!answer->text->ok()) return answer->text->status();
  OFL_ENSURE(answer->text->value() == program_.plan_hash, Code::kFailedPrecondition)
      << "[launch] ranks run different plans: got " << answer->text->value() << " from rank "
      << peer << "; expected " << program_.plan_hash << " as on rank " << program_.rank;
  return Status::Ok();
}

void Instance::Impl::WatchPeers() {
  if (program_.remote_edges.empty()) return;
  options_.transport->SetFailureHandler([weak = weak_from_this()](Status cause) {
    if (auto self = weak.lock()) self->Fail(std::move(cause));
  });
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
