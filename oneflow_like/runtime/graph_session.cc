#include "oneflow_like/runtime/graph_session.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/expand/expand.h"
#include "compiler/plan_codec.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/context.h"
#include "transport/exchange.h"

namespace ofl::runtime {
namespace {

// Channel of the handshake messages of plans; eager traffic uses hashes of rank groups.
constexpr uint64_t kPlanChannel = 0x706c616e00000000;  // "plan"

// A line an operator, in order: a short digest, its name and what it makes. To name the first that
// differs.
std::string Digests(const proto::Semantics& semantics) {
  std::ostringstream text;
  for (const proto::OpDef& op : semantics.ops()) {
    proto::Semantics one;
    *one.add_ops() = op;
    for (int v : op.inputs()) *one.add_values() = semantics.values(v);
    for (int v : op.outputs()) *one.add_values() = semantics.values(v);
    text << compiler::HashOf(one).substr(0, 8) << ' ' << op.name();
    for (int v : op.outputs())
      if (auto meta = compiler::ReadMeta(semantics.values(v)); meta.ok())
        text << ' ' << meta->ToString();
    text << '\n';
  }
  return text.str();
}

std::string FirstDifference(const std::string& ours, const std::string& theirs) {
  std::istringstream a(ours), b(theirs);
  std::string line_a, line_b;
  while (true) {
    const bool more_a = static_cast<bool>(std::getline(a, line_a));
    const bool more_b = static_cast<bool>(std::getline(b, line_b));
    if (!more_a && !more_b)
      return "the operators agree; the number of threads (OMP_NUM_THREADS), placements or memory "
             "differ";
    if (!more_a) return "it has a further operator " + line_b.substr(9);
    if (!more_b) return "this rank has a further operator " + line_a.substr(9);
    if (line_a == line_b) continue;
    if (line_a.substr(9) == line_b.substr(9))
      return "the first operator that differs is " + line_a.substr(9) +
             ", in its attributes, layouts or operands";
    return "the first operator that differs is " + line_a.substr(9) + " here and " +
           line_b.substr(9) + " there";
  }
}

}  // namespace

GraphSession::GraphSession(std::string name, int micro_batches, int threads)
    : tracer_(std::make_unique<GraphTracer>(std::move(name), tensor::Context::Get().world_size(),
                                            micro_batches)),
      threads_(threads) {}

GraphSession::~GraphSession() = default;

Status GraphSession::Compile(const std::vector<UpdateSpec>& updates,
                             const std::vector<double>& clip_norms, const std::string& dump_dir) {
  OFL_TRY(tracer_->status());
  compiler::TrainingSpec training;
  training.loss = tracer_->loss();
  for (double norm : clip_norms) training.clip_groups.push_back({norm});
  const bool any_used = std::any_of(updates.begin(), updates.end(), [&](const UpdateSpec& spec) {
    return tracer_->Uses(spec.param);
  });
  OFL_ENSURE(updates.empty() || any_used, Code::kInvalidArgument)
      << "[nn.Graph] no parameter of the optimizers of graph " << tracer_->graph().name
      << " is used in build(): got " << updates.size() << " parameters, the first "
      << tensor::Describe(*updates[0].param)
      << "; expected those of the modules that build() calls; make the optimizer after "
         "to_global() and from the graph's modules";
  for (const UpdateSpec& spec : updates) {
    if (training.loss < 0) break;
    compiler::Update update;
    OFL_ASSIGN(update.variable, tracer_->VariableOf(spec.param));
    OFL_ASSIGN(update.op, op::OpRegistry::Get().Require(spec.op));
    OFL_ASSIGN(update.attrs, update.op->CompleteAttrs(spec.attrs));
    const std::string base = tracer_->graph().producer(update.variable).variable;
    for (const auto& [suffix, state] : spec.states) {
      tracer_->NameVariable(state, base + "-" + suffix);
      OFL_ASSIGN(int value, tracer_->VariableOf(state));
      update.states.push_back(value);
    }
    const Placement placement = tracer_->graph().values[update.variable].placement;
    for (const std::string& scalar : spec.scalars) {
      OFL_ASSIGN(int value, tracer_->ScalarInput(scalar, placement));
      update.extras.push_back(value);
    }
    update.clip_group = spec.clip_group;
    training.updates.push_back(std::move(update));
  }
  compiler::Options options;
  options.threads = threads_;
  if (!dump_dir.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(dump_dir, ignored);
    const std::string prefix = dump_dir + "/" + tracer_->graph().name + ".rank" +
                               std::to_string(tensor::Context::Get().rank()) + ".";
    options.dump = [prefix](const std::string& pass, const std::string& text) {
      std::ofstream(prefix + pass + ".txt") << text;
    };
  }
  OFL_ASSIGN(plan_, compiler::Compile(tracer_->graph(), std::move(training), options));
  OFL_TRY(DecodeArguments());
  compiled_ = true;
  return Status::Ok();
}

Status GraphSession::CompareHashes(transport::Transport& transport) {
  const auto interrupted = tensor::Context::Get().hooks().interrupted;
  const uint64_t number = 2 * tensor::Context::Get().NextPlan();
  OFL_ASSIGN(auto hashes,
             transport::AllGatherText(transport, kPlanChannel, number, plan_.hash(), interrupted));
  int differs = -1;
  for (size_t r = 0; r < hashes.size(); ++r)
    if (hashes[r] != hashes[0] && differs < 0) differs = static_cast<int>(r);
  if (differs < 0) return Status::Ok();
  const std::string ours = Digests(plan_.semantics());
  OFL_ASSIGN(auto all,
             transport::AllGatherText(transport, kPlanChannel, number + 1, ours, interrupted));
  const int other = plan_.hash() == hashes[0] ? differs : 0;
  return Error(Code::kFailedPrecondition)
         << "[nn.Graph] graph " << plan_.graph_name() << " compiled to different plans: rank "
         << transport.rank() << " has " << plan_.hash().substr(0, 16) << ", rank " << other
         << " has " << hashes[other].substr(0, 16) << "; " << FirstDifference(ours, all[other])
         << ". Every rank must run the same program: make build() independent of the rank";
}

Status GraphSession::Start() {
  tensor::Context& context = tensor::Context::Get();
  actor::InstanceOptions options;
  const bool solo = tracer_->local() || context.world_size() == 1;
  const int rank = tracer_->local() ? 0 : context.rank();
  if (solo) {
    transport_ = transport::SoloTransport();
  } else {
    OFL_ASSIGN(transport_, context.SharedTransport());
    OFL_TRY(CompareHashes(*transport_));
  }
  options.transport = transport_.get();
  options.interrupted = context.hooks().interrupted;
  options.deadline = context.operation_timeout();
  OFL_ASSIGN(Program program, compiler::Expand(plan_, rank));
  // Two sessions of one plan have edges of their own; every rank starts the shared ones alike. A
  // graph on local tensors takes no number: one rank may run it alone.
  if (!solo) program.plan_id += context.NextPlan() << 40;
  OFL_ASSIGN(options.device, context.DeviceOf(DeviceKind::kCpu));
  for (const auto& [name, tensor] : tracer_->variables()) {
    if (!tensor->has_data()) continue;  // this rank is outside its placement
    OFL_ENSURE(tensor->dense(), Code::kInvalidArgument)
        << "variable " << name << " is a strided view; call contiguous() on it first";
    options.variables[name] =
        device::WrapExternal(tensor->data(), tensor->local_meta().bytes(), tensor->storage());
  }
  OFL_ASSIGN(instance_, actor::Instance::Create(std::move(program), std::move(options)));
  return instance_->Connect();
}

Status GraphSession::CheckInputs(const std::vector<tensor::TensorRef>& inputs) const {
  const auto& arguments = plan_.semantics().inputs();
  const size_t expected = arguments.size() - tracer_->scalars().size();
  OFL_ENSURE(inputs.size() == expected, Code::kInvalidArgument)
      << "[nn.Graph] graph " << plan_.graph_name() << " takes " << expected << " tensors, got "
      << inputs.size();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Argument& wanted = inputs_[i];
    const bool same_layout = tracer_->local()
                                 ? !inputs[i]->is_global()
                                 : inputs[i]->is_global() && *inputs[i]->layout() == *wanted.layout;
    OFL_ENSURE(inputs[i]->meta() == wanted.meta && same_layout, Code::kInvalidArgument)
        << "[nn.Graph] graph " << plan_.graph_name() << " was compiled for input "
        << arguments[static_cast<int>(i)].name() << ": " << wanted.meta.ToString() << " "
        << (tracer_->local() ? std::string("local") : wanted.layout->ToString()) << ", got "
        << tensor::Describe(*inputs[i])
        << "; every call must pass the same shapes, dtypes and layouts";
  }
  return Status::Ok();
}

Status GraphSession::DecodeArguments() {
  const proto::Semantics& s = plan_.semantics();
  OFL_ASSIGN(auto placements, compiler::PlacementTable::Read(s));
  const auto decode = [&](const auto& list, std::vector<Argument>& out) -> Status {
    for (const proto::Argument& argument : list) {
      OFL_ASSIGN(TensorMeta meta, compiler::ReadArgumentMeta(s, argument));
      OFL_ASSIGN(sbp::Layout layout, placements.ReadLayout(s.values(argument.value()).layout()));
      out.push_back({meta, std::make_shared<const sbp::Layout>(layout)});
    }
    return Status::Ok();
  };
  OFL_TRY(decode(s.inputs(), inputs_));
  return decode(s.outputs(), outputs_);
}

Result<tensor::TensorRef> GraphSession::NewOutput(int index) const {
  const Argument& output = outputs_[index];
  if (tracer_->local()) return tensor::EmptyLocal(output.meta);
  return tensor::EmptyGlobal(output.meta, output.layout);
}

Result<std::vector<tensor::TensorRef>> GraphSession::Launch(
    const std::vector<tensor::TensorRef>& inputs, const std::map<std::string, double>& scalars) {
  // Refused, not queued: other ranks may take the turns in another order.
  OFL_ENSURE(!busy_.exchange(true), Code::kFailedPrecondition)
      << "[nn.Graph] graph " << plan_.graph_name() << " is running in another thread; expected one "
      << "call at a time; wait for it, or make a graph for each thread";
  struct Leave {
    std::atomic<bool>& busy;
    ~Leave() { busy = false; }
  } leave{busy_};
  if (!failure_.ok())
    return failure_.WithNote("in an earlier call, which closed graph " + plan_.graph_name() +
                             "; make a new one");
  OFL_ENSURE(compiled_, Code::kFailedPrecondition) << "the graph is not compiled";
  const int world = tensor::Context::Get().world_size();
  OFL_ENSURE(tracer_->local() || world == plan_.semantics().world_size(), Code::kFailedPrecondition)
      << "[nn.Graph] graph " << plan_.graph_name() << " is compiled for a world of "
      << plan_.semantics().world_size() << " ranks, this one has " << world
      << "; a graph of compile_world cannot run: make one outside of it";
  OFL_TRY(CheckInputs(inputs));
  if (instance_ == nullptr) {
    failure_ = Start();  // half started, or numbered unlike its peers: it cannot start again
    OFL_TRY(failure_);
  }
  std::vector<op::TensorView> views(plan_.semantics().inputs_size());
  std::vector<tensor::TensorRef> dense;
  for (size_t i = 0; i < inputs.size(); ++i) {
    OFL_ASSIGN(tensor::TensorRef contiguous, tensor::Contiguous(inputs[i]));
    views[i] = contiguous->view();
    dense.push_back(std::move(contiguous));
  }
  scalar_values_.resize(tracer_->scalars().size());
  for (size_t i = 0; i < tracer_->scalars().size(); ++i) {
    const GraphTracer::Scalar& scalar = tracer_->scalars()[i];
    auto given = scalars.find(scalar.name);
    OFL_ENSURE(given != scalars.end(), Code::kInvalidArgument)
        << "the launch lacks the value of " << scalar.name;
    scalar_values_[i] = static_cast<float>(given->second);
    views[scalar.binding] = {&scalar_values_[i], {DType::kFloat32, Shape{}}};
  }
  std::vector<tensor::TensorRef> outputs;
  std::vector<op::TensorView> output_views;
  for (int i = 0; i < plan_.semantics().outputs_size(); ++i) {
    OFL_ASSIGN(tensor::TensorRef output, NewOutput(i));
    output_views.push_back(output->has_data() ? output->view() : op::TensorView{});
    outputs.push_back(std::move(output));
  }
  const transport::Counters before = transport_->counters();
  const auto begin = std::chrono::steady_clock::now();
  const Status launched = instance_->Launch(views, output_views);
  plan_time_ += std::chrono::steady_clock::now() - begin;
  if (instance_->closed()) failure_ = launched;
  OFL_TRY(launched);
  const transport::Counters after = transport_->counters();
  unplanned_messages_ += after.messages_sent - before.messages_sent;
  for (const auto& resource : plan_.semantics().resources())
    if (resource.mutated()) tracer_->variables().at(resource.name())->BumpVersion();
  return outputs;
}

Result<std::map<std::string, int64_t>> GraphSession::Counters() const {
  OFL_ENSURE(instance_ != nullptr, Code::kFailedPrecondition)
      << "the graph has not been launched yet";
  OFL_ENSURE(!busy_.load(), Code::kFailedPrecondition)
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
      // Nanoseconds within the plan's launches; the rest of a call is Python and bindings.
      {"plan_ns", std::chrono::nanoseconds(plan_time_).count()},
  };
}

}  // namespace ofl::runtime
