// What a session takes and makes before it starts: numbers, updates of optimizers, its plan.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compiler/plan_codec.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/runtime/graph_session.h"
#include "oneflow_like/tensor/context.h"

namespace ofl::runtime {

Status GraphSession::SetNumbers(const std::string& name, std::vector<double> values) {
  OFL_ASSIGN(const Turn turn, Enter());
  const auto known = numbers_.find(name);
  if (!compiled_) {
    numbers_[name] = std::move(values);
    return Status::Ok();
  }
  // Launches read them where they lie.
  OFL_ENSURE(known != numbers_.end() && known->second.size() == values.size(),
             Code::kInvalidArgument)
      << "[nn.Graph] the numbers '" << name << "' of graph " << plan_.graph_name()
      << " do not fit its plan: got " << values.size() << "; expected "
      << (known == numbers_.end() ? "a name that it was compiled with"
                                  : std::to_string(known->second.size()))
      << "; make another graph";
  std::ranges::copy(values, known->second.begin());
  return Status::Ok();
}

Result<compiler::Update> GraphSession::UpdateOf(const UpdateSpec& spec) {
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
  const auto count = static_cast<int64_t>(numbers_[spec.hyper].size());
  update.extras.push_back(
      tracer_->NumberInput(spec.hyper, {DType::kFloat64, Shape{count}}, placement));
  if (spec.clock == nullptr) return update;
  OFL_ENSURE(spec.clock->meta() == (TensorMeta{DType::kFloat32, Shape{}}), Code::kInvalidArgument)
      << "[nn.Graph] the step counter of " << base << ": got " << tensor::Describe(*spec.clock)
      << "; expected a float32 scalar; leave optimizer.state[...]['step'] to the optimizer";
  auto clock = std::find(clocks_.begin(), clocks_.end(), spec.clock);
  if (clock == clocks_.end()) clock = clocks_.insert(clock, spec.clock);
  update.extras.push_back(tracer_->NumberInput("step." + std::to_string(clock - clocks_.begin()),
                                               {DType::kFloat32, Shape{}}, placement));
  return update;
}

Result<compiler::TrainingSpec> GraphSession::TrainingOf(const std::vector<UpdateSpec>& updates) {
  compiler::TrainingSpec training;
  training.loss = tracer_->loss();
  const bool any_used = std::any_of(updates.begin(), updates.end(), [&](const UpdateSpec& spec) {
    return tracer_->Uses(spec.param);
  });
  OFL_ENSURE(updates.empty() || any_used, Code::kInvalidArgument)
      << "[nn.Graph] no parameter of the optimizers of graph " << tracer_->graph().name
      << " is used in build(): got " << updates.size() << " parameters, the first "
      << tensor::Describe(*updates[0].param)
      << "; expected those of the modules that build() calls; make the optimizer after "
         "to_global() and from the graph's modules";
  if (training.loss < 0) return training;
  for (const auto& [name, variable] : tracer_->variables())
    OFL_ENSURE(variable->is_leaf(), Code::kInvalidArgument)
        << "[nn.Graph] " << name << " of graph " << tracer_->graph().name
        << " was computed outside of build(): got " << tensor::Describe(*variable)
        << " with a history, into which no gradient would flow; expected a leaf; use detach(), or "
           "compute it in build()";
  std::vector<std::string> clips;
  for (const UpdateSpec& spec : updates) {
    OFL_ASSIGN(compiler::Update update, UpdateOf(spec));
    if (!spec.clip.empty()) {
      auto clip = std::find(clips.begin(), clips.end(), spec.clip);
      update.clip_group = static_cast<int>(clip - clips.begin());
      if (clip == clips.end()) {
        clips.push_back(spec.clip);
        training.clip_groups.emplace_back();
      }
      const int bound = tracer_->NumberInput(spec.clip, {DType::kFloat64, Shape{}},
                                             tracer_->graph().values[update.variable].placement);
      std::vector<int>& bounds = training.clip_groups[update.clip_group].bounds;
      if (std::find(bounds.begin(), bounds.end(), bound) == bounds.end()) bounds.push_back(bound);
    }
    training.updates.push_back(std::move(update));
  }
  return training;
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

Status GraphSession::Compile(const std::vector<UpdateSpec>& updates, const std::string& dump_dir) {
  OFL_ASSIGN(const Turn turn, EnterTracing());
  OFL_TRY(tracer_->status());
  OFL_TRY(tracer_->Finish());
  OFL_ASSIGN(compiler::TrainingSpec training, TrainingOf(updates));
  compiler::Options options;
  options.threads = threads_;
  options.arithmetic = tensor::Context::Get().arithmetic();
  std::string unwritten;  // the first file of the dump
  if (!dump_dir.empty()) {
    std::error_code failed;
    std::filesystem::create_directories(dump_dir, failed);
    OFL_ENSURE(std::filesystem::is_directory(dump_dir, failed), Code::kInvalidArgument)
        << "[graph] environment variable OFL_DUMP: got '" << dump_dir
        << "', which is no folder and "
        << "cannot be made one; expected a folder for the graph after each pass";
    const std::string prefix = dump_dir + "/" + tracer_->graph().name + ".rank" +
                               std::to_string(tensor::Context::Get().rank()) + ".";
    options.dump = [prefix, &unwritten](const std::string& pass, const std::string& text) {
      const std::string path = prefix + pass + ".txt";
      std::ofstream out(path);
      out << text;
      if (!out.flush().good() && unwritten.empty()) unwritten = path;
    };
  }
  OFL_ASSIGN(plan_, compiler::Compile(tracer_->graph(), std::move(training), options));
  OFL_ENSURE(unwritten.empty(), Code::kInvalidArgument)
      << "[graph] environment variable OFL_DUMP: cannot write " << unwritten
      << "; expected a folder that this process may write to, and space on the disk";
  OFL_TRY(DecodeArguments());
  std::vector<std::string> changed;
  for (const auto& resource : plan_.semantics().resources()) {
    if (resource.kind() != proto::Resource::VARIABLE || !resource.mutated()) continue;
    changed.push_back(resource.name());
    mutated_.push_back(tracer_->variables().at(resource.name()));
  }
  OFL_TRY(changed_.Take(plan_.graph_name(), tracer_->variables(), changed));
  for (const UpdateSpec& spec : updates)  // without a gradient there is no step to count
    if (spec.clock != nullptr && Updates(spec.param) &&
        std::find(moving_.begin(), moving_.end(), spec.clock) == moving_.end())
      moving_.push_back(spec.clock);
  for (const auto& [name, variable] : tracer_->variables())
    if (variable->behind_copy()) copied_.push_back(variable);
  for (const tensor::TensorRef& clock : clocks_)
    if (clock->behind_copy()) copied_.push_back(clock);
  steps_.resize(clocks_.size());
  for (const GraphTracer::Number& number : tracer_->numbers()) {
    auto numbers = numbers_.find(number.name);
    const void* at = numbers != numbers_.end()
                         ? static_cast<const void*>(numbers->second.data())
                         : &steps_[std::stoul(number.name.substr(std::strlen("step.")))];
    fed_.push_back({number.binding, {const_cast<void*>(at), number.meta}});
  }
  for (const auto& resource : plan_.semantics().resources()) {
    if (resource.kind() != proto::Resource::GENERATOR) continue;
    draws_ += resource.draws();
    generators_.emplace_back();
  }
  compiled_ = true;
  return Status::Ok();
}

}  // namespace ofl::runtime
