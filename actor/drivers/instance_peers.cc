// The ends of an instance's remote edges, and greeting those at the others.
#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "actor/drivers/instance_impl.h"
#include "oneflow_like/base/bytes.h"

namespace ofl::actor {
namespace {

constexpr uint64_t kGreetingChannel = 0x6f666c2d706c616eull;  // keeps greetings apart from the rest
constexpr size_t kMaxGreetingBytes = 4096;

}  // namespace

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

// What this rank tells each of its peers: the plan, and a digest of what passes between the two, in
// words that both ends find alike.
std::map<int, std::string> Instance::Impl::Greetings() const {
  std::map<int, std::vector<const RemoteEdge*>> of;
  for (const RemoteEdge& edge : program_.remote_edges) of[edge.peer].push_back(&edge);
  std::map<int, std::string> greetings;
  for (auto& [peer, edges] : of) {
    std::sort(edges.begin(), edges.end(),
              [](const auto* a, const auto* b) { return a->edge_id < b->edge_id; });
    Sha256 digest;
    for (const RemoteEdge* edge : edges) {
      const TaskDesc& producer = program_.tasks[program_.registers[edge->local_register].producer];
      const int pieces = producer.kind == TaskKind::kAccumulate ? 1 : producer.firings;
      const int from = edge->outgoing ? program_.rank : peer;
      for (int64_t field :
           {edge->edge_id, int64_t{from}, edge->bytes, int64_t{edge->credits}, int64_t{pieces}})
        digest.AddInt(field);
    }
    greetings[peer] = program_.plan_hash + " " + digest.HexDigest();
  }
  return greetings;
}

// Both ends tell each other which plan they run and what passes, once their edges are open.
Status Instance::Impl::Greet() {
  const auto greetings = std::make_shared<const std::map<int, std::string>>(Greetings());
  const transport::Tag tag{kGreetingChannel ^ program_.plan_id, 0, 0};
  for (const auto& [peer, greeting] : *greetings)
    options_.transport->Send(peer, tag, AsBytes(greeting), [greetings](Status) {});
  for (const auto& [peer, greeting] : *greetings) OFL_TRY(GreetPeer(peer, greeting));
  greeted_ = true;
  return Status::Ok();
}

Status Instance::Impl::GreetPeer(int peer, const std::string& expected) {
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
  const std::string& text = answer->text->value();
  const std::string plan = text.substr(0, text.find(' '));
  OFL_ENSURE(plan == program_.plan_hash, Code::kFailedPrecondition)
      << "[launch] ranks run different plans: got " << plan << " from rank " << peer
      << "; expected " << program_.plan_hash << " as on rank " << program_.rank;
  OFL_ENSURE(text == expected, Code::kFailedPrecondition)
      << "[launch] the ends of edges between ranks " << program_.rank << " and " << peer
      << " of one plan do not match: got other bytes, credits or pieces from rank " << peer
      << "; expected those of rank " << program_.rank << "; all ranks must run one build";
  return Status::Ok();
}

void Instance::Impl::WatchPeers() {
  if (program_.remote_edges.empty()) return;
  options_.transport->SetFailureHandler([weak = weak_from_this()](Status cause) {
    if (auto self = weak.lock()) self->Fail(std::move(cause));
  });
}

}  // namespace ofl::actor
