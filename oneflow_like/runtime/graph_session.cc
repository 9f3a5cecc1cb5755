#include "oneflow_like/runtime/graph_session.h"

#include <chrono>
#include <set>

#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/base/fork.h"
#include "oneflow_like/runtime/plan_difference.h"
#include "oneflow_like/runtime/plan_starts.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/equal_values.h"
#include "oneflow_like/tensor/exchange.h"
#include "transport/exchange.h"

namespace ofl::runtime {
namespace {

// Channel of the handshake messages of plans; eager traffic uses hashes of rank groups.
constexpr uint64_t kPlanChannel = 0x706c616e00000000;  // "plan"
// Behind it, whether all other ranks get this one's stamp in every launch.
constexpr char kStamped = '*', kUnstamped = '-';
constexpr uint64_t kDrawChannel = 0x6472617700000000;  // "draw"; a session's with its plan's id

// "hyper.0.1" or "clip.0.1": of the second group of the graph's first optimizer.
std::string NumbersForPeople(const std::string& name) {
  const size_t first = name.find('.'), second = name.find('.', first + 1);
  if (second == std::string::npos) return "the numbers " + name;
  return (name.starts_with("clip") ? "clip_grad_max_norm of group " : "the numbers of group ") +
         name.substr(second + 1) + " of optimizer " + name.substr(first + 1, second - first - 1);
}

}  // namespace

GraphSession::GraphSession(std::string name, int micro_batches, int threads)
    : tracer_(std::make_unique<GraphTracer>(std::move(name), tensor::Context::Get().world_size(),
                                            micro_batches)),
      threads_(threads) {}

GraphSession::~GraphSession() = default;

Result<GraphSession::Turn> GraphSession::Enter() {
  const std::thread::id self = std::this_thread::get_id();
  std::thread::id owner;
  if (owner_.compare_exchange_strong(owner, self)) return Turn(&owner_);
  OFL_ENSURE(owner == self, Code::kFailedPrecondition)
      << "[nn.Graph] graph " << tracer_->graph().name << " is running in another thread; expected "
      << "one call at a time; wait for it, or make a graph for each thread";
  return Turn(nullptr);
}

Result<GraphSession::Turn> GraphSession::EnterTracing() {
  auto turn = Enter();
  if (!turn.ok()) return turn;
  OFL_ENSURE(!compiled_, Code::kFailedPrecondition)
      << "[nn.Graph] graph " << tracer_->graph().name << " is compiled already: got a call that "
      << "adds to it; expected launches alone; make another session";
  return turn;
}

Status GraphSession::CompareHashes(transport::Transport& transport) {
  const auto interrupted = tensor::Context::Get().hooks().interrupted;
  const tensor::DrawHistory::Summary draws = tensor::Context::Get().draws().summary();
  auto gathered = PlanStarts::Of(transport_)
                      ->Exchange(plan_.hash() + (stamped_ ? kStamped : kUnstamped) + TextOf(draws),
                                 interrupted);
  if (!gathered.ok())
    return gathered.status().WithNote(
        "while comparing the plans of graph " + plan_.graph_name() +
        ": every rank must trace its graphs alike, in the same calls");
  std::vector<std::string>& hashes = *gathered;
  std::vector<tensor::DrawHistory::Summary> all_draws;
  for (std::string& text : hashes) {
    const size_t hash = plan_.hash().size();
    OFL_ENSURE(text.size() > hash, Code::kDataLoss)
        << "[nn.Graph] a rank sent " << text.size() << " bytes instead of a plan's hash";
    stamped_ = stamped_ && text[hash] == kStamped;
    OFL_ASSIGN(auto theirs, DrawsFrom(std::string_view(text).substr(hash + 1)));
    all_draws.push_back(std::move(theirs));
    text.resize(plan_.hash().size());
  }
  int differs = -1;
  for (size_t r = 0; r < hashes.size(); ++r)
    if (hashes[r] != hashes[0] && differs < 0) differs = static_cast<int>(r);
  if (differs < 0) {
    for (size_t r = 0; r < all_draws.size(); ++r) {
      if (all_draws[r].digest == draws.digest) continue;
      return tensor::DrawsDiffer(static_cast<int>(r), all_draws[r], transport.rank(), draws,
                                 "the first call of graph " + plan_.graph_name());
    }
    return Status::Ok();
  }
  const std::string ours = OperatorLines(plan_.semantics());
  OFL_ASSIGN(auto all,
             transport::AllGatherText(transport, kPlanChannel, tensor::Context::Get().NextPlan(),
                                      ours, interrupted));
  const int other = plan_.hash() == hashes[0] ? differs : 0;
  return Error(Code::kFailedPrecondition)
         << "[nn.Graph] graph " << plan_.graph_name() << " compiled to different plans: rank "
         << transport.rank() << " has " << plan_.hash().substr(0, 16) << ", rank " << other
         << " has " << hashes[other].substr(0, 16) << "; " << FirstDifference(ours, all[other])
         << ". Every rank must run the same program: make build() independent of the rank";
}

Status GraphSession::Start() {
  tensor::Context& context = tensor::Context::Get();
  forks_ = ForkCount();
  actor::InstanceOptions options;
  const bool solo = tracer_->local() || context.world_size() == 1;
  const int rank = tracer_->local() ? 0 : context.rank();
  if (solo) {
    transport_.reset(transport::SoloTransport().release(), OfThisProcess{});
  } else {
    OFL_ASSIGN(transport_, context.SharedTransport());  // none in a world that does not exist
  }
  OFL_ASSIGN(Program program, compiler::Expand(plan_, rank));
  OFL_TRY(compiler::VerifyProgram(program));
  stamped_ = !solo && actor::StampsReachAll(program);
  if (!solo) {
    OFL_TRY(CompareHashes(*transport_));
    options.ask_peers = [starts = PlanStarts::Of(transport_)](auto started) {
      starts->Ask(std::move(started));
    };
  }
  options.transport = transport_.get();
  options.interrupted = context.hooks().interrupted;
  options.deadline = context.operation_timeout();
  // Two sessions of one plan have edges of their own; every rank starts the shared ones alike. A
  // graph on local tensors takes no number: one rank may run it alone.
  if (!solo) program.plan_id += context.NextPlan() << 40;
  if (!solo) {
    CollectClaims();
    if (stamped_ || draws_ > 0)
      check_ = std::make_unique<LaunchCheck>(transport_, kDrawChannel ^ program.plan_id,
                                             plan_.graph_name(), claims_->Names());
  }
  OFL_ASSIGN(options.device, context.DeviceOf(DeviceKind::kCpu));
  for (const auto& [name, tensor] : tracer_->variables()) {
    if (!tensor->has_data()) continue;  // this rank is outside its placement
    OFL_ENSURE(tensor->dense(), Code::kInvalidArgument)
        << "variable " << name << " is a strided view; call contiguous() on it first";
    options.variables[name] =
        device::WrapExternal(tensor->data(), tensor->local_meta().bytes(), tensor->storage());
  }
  options.contents = [this](const std::string& name) {
    return tracer_->variables().at(name)->contents();
  };
  OFL_ASSIGN(instance_, actor::Instance::Create(std::move(program), std::move(options)));
  return instance_->Connect();
}

bool GraphSession::Fits(std::span<const tensor::TensorRef> inputs) const {
  if (inputs.size() != plan_.semantics().inputs_size() - tracer_->numbers().size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Argument& wanted = inputs_[i];
    const bool same_layout =
        tracer_->local() ? !inputs[i]->is_global()
                         : inputs[i]->is_global() && (inputs[i]->layout_ref() == wanted.layout ||
                                                      *inputs[i]->layout() == *wanted.layout);
    if (!same_layout || !(inputs[i]->meta() == wanted.meta)) return false;
  }
  return true;
}

std::string GraphSession::Misfit(std::span<const tensor::TensorRef> inputs) const {
  const size_t expected = plan_.semantics().inputs_size() - tracer_->numbers().size();
  if (inputs.size() != expected)
    return std::to_string(inputs.size()) + " tensors instead of " + std::to_string(expected);
  std::string text;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string was = inputs_[i].meta.ToString() + " " +
                            (tracer_->local() ? "local" : inputs_[i].layout->ToString());
    const std::string is = inputs[i]->meta().ToString() + " " +
                           (inputs[i]->is_global() ? inputs[i]->layout()->ToString() : "local");
    if (was == is) continue;
    text += (text.empty() ? "" : ", ") + plan_.semantics().inputs(static_cast<int>(i)).name() +
            " is " + is + " instead of " + was;
  }
  return text;
}

Result<tensor::TensorRef> GraphSession::NewOutput(int index) const {
  const Argument& output = outputs_[index];
  if (tracer_->OutputIsLocal(index)) return tensor::EmptyLocal(output.meta);
  return tensor::EmptyGlobal(output.meta, output.layout);
}

std::vector<std::pair<std::string, RandomState>> GraphSession::GeneratorStates() const {
  tensor::Context& context = tensor::Context::Get();
  const tensor::Generator& usual =
      tracer_->local() ? context.local_generator() : context.job_generator();
  std::vector<std::pair<std::string, RandomState>> states;
  for (size_t g = 0; g < tracer_->generators().size(); ++g) {
    const tensor::Generator* generator = tracer_->generators()[g];
    states.emplace_back(tracer_->graph().generators[g].name,
                        (generator != nullptr ? *generator : usual).state());
  }
  return states;
}

void GraphSession::TakeDraws() {
  size_t next = 0;
  for (const proto::Resource& resource : plan_.semantics().resources()) {
    if (resource.kind() != proto::Resource::GENERATOR) continue;
    generators_[next] = tensor::Context::Get().Draw(
        !tracer_->local(), resource.draws(), plan_.graph_name(), tracer_->generators()[next]);
    ++next;
  }
}

Status GraphSession::Ready(std::span<const tensor::TensorRef> inputs) {
  if (!failure_.ok())
    return failure_.WithNote("in an earlier call, which closed graph " + plan_.graph_name() +
                             "; make a new one");
  OFL_ENSURE(compiled_, Code::kFailedPrecondition)
      << "[nn.Graph] graph " << tracer_->graph().name
      << " is not compiled: got a launch; expected compile() before it";
  const int world = tensor::Context::Get().world_size();
  OFL_ENSURE(tracer_->local() || world == plan_.semantics().world_size(), Code::kFailedPrecondition)
      << "[nn.Graph] graph " << plan_.graph_name() << " is compiled for a world of "
      << plan_.semantics().world_size() << " ranks, this one has " << world
      << "; a graph of compile_world cannot run: make one outside of it";
  OFL_ENSURE(Fits(inputs), Code::kInvalidArgument)
      << "[nn.Graph] the arguments of graph " << plan_.graph_name() << ": " << Misfit(inputs);
  for (const tensor::TensorRef& input : inputs)
    OFL_ENSURE(tracer_->loss() < 0 || !input->requires_grad(), Code::kInvalidArgument)
        << "[nn.Graph] an argument of graph " << plan_.graph_name()
        << " requires a gradient, which a graph does not give back: got "
        << tensor::Describe(*input)
        << "; expected none; pass x.detach(), or make it a parameter of the graph's modules";
  for (const tensor::TensorRef& input : inputs)
    OFL_TRY(changed_.CheckArgument(plan_.graph_name(), *input));
  if (instance_ != nullptr) {
    if (forks_ == ForkCount()) return Status::Ok();
    // In a fork of the process its threads do not exist, and its edges are the parent's.
    if (!tracer_->local() && world > 1) return tensor::Context::Get().SharedTransport().status();
    instance_.reset();
  }
  failure_ = Start();  // half started, or numbered unlike its peers: it cannot start again
  return failure_;
}

namespace {

// A scalar's place in memory; null on a rank outside its placement.
float* CellOf(const tensor::TensorRef& clock) {
  return clock->has_data() && clock->local_shape().numel() == 1
             ? reinterpret_cast<float*>(clock->data())
             : nullptr;
}

}  // namespace

Status GraphSession::Bind(std::span<const tensor::TensorRef> inputs,
                          std::vector<tensor::TensorRef>& outputs) {
  input_views_.resize(plan_.semantics().inputs_size());
  dense_.clear();
  for (size_t i = 0; i < inputs.size(); ++i) {
    OFL_ASSIGN(tensor::TensorRef contiguous, tensor::Contiguous(inputs[i]));
    input_views_[i] = contiguous->view();
    if (contiguous != inputs[i]) dense_.push_back(std::move(contiguous));
  }
  for (size_t i = 0; i < clocks_.size(); ++i) {
    const float* cell = CellOf(clocks_[i]);
    steps_[i] = cell != nullptr ? *cell + 1.0F : 0.0F;
  }
  for (const Fed& fed : fed_) input_views_[fed.binding] = fed.view;
  output_views_.clear();
  for (int i = 0; i < plan_.semantics().outputs_size(); ++i) {
    OFL_ASSIGN(tensor::TensorRef output, NewOutput(i));
    output_views_.push_back(output->has_data() ? output->view() : op::TensorView{});
    outputs.push_back(std::move(output));
  }
  return Status::Ok();
}

void GraphSession::CollectClaims() {
  const proto::Semantics& s = plan_.semantics();
  claims_ = std::make_unique<LaunchClaims>(tensor::HashText(plan_.hash()), s.world_size());
  std::set<std::string> fed;  // a name may stand for one input on each placement
  for (const GraphTracer::Number& number : tracer_->numbers())
    if (numbers_.contains(number.name) && fed.insert(number.name).second)
      claims_->AddNumbers(NumbersForPeople(number.name), &numbers_.at(number.name));
  const size_t given = inputs_.size() - tracer_->numbers().size();
  for (size_t i = 0; i < given; ++i)
    claims_->AddInput(s.inputs(static_cast<int>(i)).name(), inputs_[i].layout->placement);
  for (const auto& [name, variable] : tracer_->variables()) claims_->AddVariable(name, variable);
  for (const tensor::TensorRef& clock : clocks_) claims_->AddVariable("a step counter", clock);
  for (const Argument& output : outputs_) claims_->AddOutput(output.layout->placement);
  for (const tensor::TensorRef& variable : mutated_) claims_->AddMutated(variable);
  for (const tensor::TensorRef& clock : moving_) claims_->AddMutated(clock);
}

LaunchState GraphSession::StateOf(std::span<const tensor::TensorRef> inputs, bool words) const {
  LaunchState state;
  if (draws_ > 0) state.draws = tensor::Context::Get().draws().summary();
  state.claims = claims_->compared();
  if (words) state.digests = claims_->Digests(inputs);
  return state;
}

Status GraphSession::RunLaunch(std::span<const tensor::TensorRef> inputs) {
  if (claims_ == nullptr) {
    const Status alone = instance_->Launch(input_views_, output_views_, generators_);
    if (instance_->closed()) failure_ = alone;
    return alone;
  }
  const int64_t launch = instance_->counters().launches + 1;
  claims_->Begin(inputs);
  uint32_t stamp = 0;
  if (stamped_ || check_ == nullptr) {
    const uint64_t draws = draws_ > 0 ? tensor::Context::Get().draws().digest() : 0;
    const uint64_t digest = tensor::JoinClaims(draws, claims_->compared());
    stamp = static_cast<uint32_t>(digest ^ digest >> 32) | 1;  // 0 would be none
  } else {
    check_->Begin(StateOf(inputs, false), launch);
  }
  const Status launched = instance_->Launch(input_views_, output_views_, generators_, stamp);
  if (instance_->closed()) failure_ = launched;
  if (!launched.ok() || (stamp != 0 && instance_->stamps_agree())) return launched;
  if (check_ == nullptr) {
    // The others may have got no piece of a rank that differs: they hear of it as of any failure.
    failure_ = tensor::ClaimsDiffer(
        "another rank", transport_->rank(),
        "launch " + std::to_string(launch) + " of graph " + plan_.graph_name());
    transport_->Shutdown(failure_);
    return failure_;
  }
  if (stamped_) check_->Begin(StateOf(inputs, true), launch);  // all ranks see alike
  failure_ = check_->Finish(tensor::Context::Get().hooks().interrupted);
  return failure_;
}

Status GraphSession::BringUpVariables() {
  for (const tensor::TensorRef& variable : copied_) OFL_TRY(tensor::BringUp(*variable));
  return Status::Ok();
}

Status GraphSession::PutBackVariables() {
  for (const tensor::TensorRef& variable : mutated_) OFL_TRY(tensor::PutBack(*variable));
  for (const tensor::TensorRef& clock : moving_) OFL_TRY(tensor::PutBack(*clock));
  return Status::Ok();
}

Result<std::vector<tensor::TensorRef>> GraphSession::Launch(
    std::span<const tensor::TensorRef> inputs) {
  OFL_ASSIGN(const Turn turn, Enter());
  OFL_TRY(Ready(inputs));
  std::vector<tensor::TensorRef> outputs;
  OFL_TRY(Bind(inputs, outputs));
  const transport::Counters before = transport_->counters();
  const auto begin = std::chrono::steady_clock::now();
  TakeDraws();
  const int64_t compared = check_ != nullptr ? check_->messages() : 0;
  Status launched = RunLaunch(inputs);
  plan_time_ += std::chrono::steady_clock::now() - begin;
  dense_.clear();
  OFL_TRY(launched);
  const transport::Counters after = transport_->counters();
  unplanned_messages_ += after.messages_sent - before.messages_sent;
  if (check_ != nullptr)  // no detour of data
    unplanned_messages_ -= check_->messages() - compared;
  for (const tensor::TensorRef& variable : mutated_) variable->BumpVersion();
  if (tensor::Context::Get().world_size() > 1)
    for (const tensor::TensorRef& variable : mutated_) tensor::ClaimContents(*variable);
  for (const tensor::TensorRef& clock : moving_) {
    if (float* cell = CellOf(clock)) *cell += 1.0F;
    clock->BumpVersion();
  }
  if (claims_ != nullptr) claims_->Finish(outputs);
  return outputs;
}

Result<std::map<std::string, int64_t>> GraphSession::Counters() const {
  OFL_ENSURE(instance_ != nullptr, Code::kFailedPrecondition)
      << "[nn.Graph] graph " << tracer_->graph().name
      << " has not been launched yet: got a question for its counters; expected a launch before";
  const std::thread::id owner = owner_.load();
  OFL_ENSURE(owner == std::thread::id() || owner == std::this_thread::get_id(),
             Code::kFailedPrecondition)
      << "[nn.Graph] graph " << plan_.graph_name()
      << " is running in another thread; expected none while its counters are read";
  const actor::Counters measured = instance_->counters();
  const actor::Counters predicted = instance_->predicted();
  return std::map<std::string, int64_t>{
      {"launches", measured.launches},
      {"firings", measured.firings},
      {"predicted_firings", predicted.firings * measured.launches},
      {"messages", measured.messages_sent},
      {"predicted_messages", predicted.messages_sent * measured.launches},
      {"message_bytes", measured.message_bytes_sent},
      {"predicted_message_bytes", predicted.message_bytes_sent * measured.launches},
      // Messages this rank sent while launches ran that are no pieces of the plan's edges, each of
      // which joins its producer's rank to its consumer's: a master or a relay would show here.
      {"unplanned_messages", unplanned_messages_},
      // Messages that compared random numbers.
      {"draw_messages", check_ != nullptr ? check_->messages() : 0},
      // Nanoseconds within the plan's launches; the rest of a call is Python and bindings.
      {"plan_ns", std::chrono::nanoseconds(plan_time_).count()},
  };
}

}  // namespace ofl::runtime
