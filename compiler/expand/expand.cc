#include "compiler/expand/expansion.h"

#include "compiler/compiler.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {

Result<Program> Expansion::Run() {
  OFL_ENSURE(rank_ >= 0 && rank_ < s_.world_size(), Code::kInvalidArgument)
      << "rank " << rank_ << " is outside the plan's world of " << s_.world_size();
  OFL_ASSIGN(placements_, PlacementTable::Read(s_));
  OFL_TRY(FindClass());
  program_.rank = rank_;
  program_.world_size = s_.world_size();
  program_.micro_batches = s_.micro_batches();
  program_.plan_hash = plan_.hash();
  program_.plan_id = PlanId();
  program_.arena_bytes = class_->arena_bytes();
  OFL_TRY(ExpandGenerators());
  OFL_TRY(DecodeValues());
  for (int i = 0; i < s_.ops_size(); ++i) {
    if (Status bad = ExpandOp(i); !bad.ok()) return bad.WithNote("in op " + s_.ops(i).name());
  }
  FlushBefore(s_.ops_size());
  BuildSlots();
  BuildStream();
  LinkConsumers();
  return std::move(program_);
}

uint64_t Expansion::PlanId() const {
  uint64_t id = 0;
  for (char c : plan_.hash().substr(0, 15)) {
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    id = id * 16 + static_cast<uint64_t>(digit & 15);
  }
  return id;
}

Status Expansion::FindClass() {
  for (const auto& c : s_.classes())
    if (std::find(c.ranks().begin(), c.ranks().end(), rank_) != c.ranks().end()) class_ = &c;
  OFL_ENSURE(class_ != nullptr, Code::kDataLoss) << "rank " << rank_ << " is in no class";
  OFL_ENSURE(class_->values_size() == class_->offsets_size() &&
                 class_->scratch_ops_size() == class_->scratch_offsets_size() &&
                 class_->state_ops_size() == class_->state_offsets_size(),
             Code::kDataLoss)
      << "the memory map of rank " << rank_ << " has lists of different lengths";
  for (int i = 0; i < class_->values_size(); ++i)
    value_offset_[class_->values(i)] = class_->offsets(i);
  for (int i = 0; i < class_->scratch_ops_size(); ++i)
    scratch_offset_[class_->scratch_ops(i)] = class_->scratch_offsets(i);
  for (int i = 0; i < class_->state_ops_size(); ++i)
    state_offset_[class_->state_ops(i)] = class_->state_offsets(i);
  return Status::Ok();
}

Status Expansion::DecodeValues() {
  for (const proto::ValueDef& def : s_.values()) {
    OFL_ASSIGN(TensorMeta meta, ReadMeta(def));
    OFL_ASSIGN(sbp::Layout layout, placements_.ReadLayout(def.layout()));
    OFL_TRY(sbp::CheckLayout("plan value", meta.dtype, meta.shape, layout));
    metas_.push_back(meta);
    layouts_.push_back(layout);
  }
  register_of_.assign(metas_.size(), -1);
  producer_kind_.assign(metas_.size(), proto::OpDef::COMPUTE);
  return Status::Ok();
}

RegisterDesc& Expansion::NewRegister(const TensorMeta& meta, int producer) {
  RegisterDesc reg;
  reg.id = static_cast<int>(program_.registers.size());
  reg.meta = meta;
  reg.bound = meta.bytes();
  reg.producer = producer;
  program_.registers.push_back(reg);
  return program_.registers.back();
}

Result<int> Expansion::InputRegister(int value) const {
  OFL_TRY(CheckValue(value));
  OFL_ENSURE(register_of_[value] >= 0, Code::kDataLoss)
      << "value " << value << " is read before it is produced on rank " << rank_;
  return register_of_[value];
}

Result<int> Expansion::OutputRegister(int value, int task) {
  OFL_TRY(CheckValue(value));
  OFL_ENSURE(register_of_[value] < 0, Code::kDataLoss) << "value " << value << " is made twice";
  const proto::ValueDef& def = s_.values(value);
  const int index = layouts_[value].placement.IndexOf(rank_);
  OFL_ENSURE(index >= 0, Code::kDataLoss) << "value " << value << " is not on rank " << rank_;
  const Shape shard = sbp::LocalShape(metas_[value].shape, layouts_[value], index);
  RegisterDesc& reg = NewRegister({metas_[value].dtype, shard}, task);
  OFL_ENSURE(def.bound() >= reg.meta.bytes() && def.instances() >= 1 && def.instances() <= 4096,
             Code::kDataLoss)
      << "value " << value << " has bound " << def.bound() << " and " << def.instances()
      << " instances; this rank's shard has " << reg.meta.bytes() << " bytes";
  reg.bound = def.bound();
  reg.instances = def.instances();
  reg.stride = AlignUp(def.bound());
  auto at = value_offset_.find(value);
  if (at != value_offset_.end()) reg.offset = at->second;
  if (def.alias_of() > 0) {
    OFL_ASSIGN(int base, InputRegister(def.alias_of() - 1));
    program_.registers.back().alias_of = base;
    program_.registers.back().offset = program_.registers[base].offset;
  }
  register_of_[value] = static_cast<int>(program_.registers.size()) - 1;
  return register_of_[value];
}

TaskDesc& Expansion::NewTask(TaskKind kind, std::string name, int op, bool per_micro_batch) {
  TaskDesc task;
  task.id = static_cast<int>(program_.tasks.size());
  task.kind = kind;
  task.name = std::move(name);
  task.logical_op = op;
  task.firings = per_micro_batch ? s_.micro_batches() : 1;
  program_.tasks.push_back(std::move(task));
  return program_.tasks.back();
}

void Expansion::Schedule(int task, int segment) {
  if (program_.tasks[task].firings == 1 && segment < 2)
    once_.push_back(task);
  else
    segments_[segment].push_back(task);
}

// By position in the order that all ranks share; what waits for an op stands before its own tasks.
Place Expansion::PlaceOf(int op, int before, int firings, int64_t within_op) const {
  constexpr int kOpBits = 19, kWithinBits = 22;
  static_assert(kMaxOps <= 1 << kOpBits);
  const bool waits = before > op;
  const int at = waits ? std::min(before, s_.ops_size() - 1) : op;
  const int segment = s_.ops(at).segment();
  const int64_t position = waits ? 2 * int64_t{before} : 2 * int64_t{op} + 1;
  return {firings == 1 && segment < 2 ? 0 : segment + 1,
          (position << kOpBits | op) << kWithinBits | within_op};
}

// What happens once comes first, then each trip through each segment.
void Expansion::BuildSlots() {
  program_.slots = {{0}, {}, {}, {}};
  int64_t next = 1;
  for (int segment = 0; segment < 3; ++segment)
    for (int k = 0; k < (segment < 2 ? s_.micro_batches() : 1); ++k)
      program_.slots[segment + 1].push_back(next++);
}

Status Expansion::ExpandOp(int i) {
  const proto::OpDef& op = s_.ops(i);
  OFL_ENSURE(op.placement() >= 0 && op.placement() < placements_.size() && op.segment() >= 0 &&
                 op.segment() <= 2,
             Code::kDataLoss)
      << "placement " << op.placement() << ", segment " << op.segment();
  FlushBefore(i);
  for (int v : op.outputs()) {
    OFL_TRY(CheckValue(v));
    producer_kind_[v] = op.kind();
  }
  if (op.kind() == proto::OpDef::BOXING) return ExpandBoxing(i, op);
  if (!Member(placements_.at(op.placement()))) return Status::Ok();
  switch (op.kind()) {
    case proto::OpDef::COMPUTE: return ExpandCompute(i, op);
    case proto::OpDef::INPUT: return ExpandEnd(i, op, TaskKind::kInput);
    case proto::OpDef::OUTPUT: return ExpandEnd(i, op, TaskKind::kOutput);
    case proto::OpDef::VARIABLE: return ExpandEnd(i, op, TaskKind::kVariable);
    case proto::OpDef::ACCUMULATE: return ExpandEnd(i, op, TaskKind::kAccumulate);
    default: return Error(Code::kDataLoss) << "op kind " << op.kind() << " is unknown";
  }
}

Status Expansion::ExpandCompute(int i, const proto::OpDef& op) {
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
  OFL_ASSIGN(const Attrs given, ReadAttrs(op));
  OFL_ASSIGN(const Attrs attrs, def->CompleteAttrs(given));
  OFL_TRY(def->CheckArity(op.inputs_size(), attrs));
  if (IsView(op)) return ExpandView(op, *def, attrs);
  const int id = NewTask(TaskKind::kKernel, op.name(), i, OpPerMicroBatch(op)).id;
  std::vector<int> inputs, outputs, mutates;
  for (int v : op.inputs()) {
    OFL_ASSIGN(int reg, InputRegister(v));
    if (def->InputMutated(static_cast<int>(inputs.size()), attrs))
      mutates.push_back(static_cast<int>(inputs.size()));
    inputs.push_back(reg);
  }
  for (int v : op.outputs()) {
    OFL_ASSIGN(int reg, OutputRegister(v, id));
    outputs.push_back(reg);
  }
  TaskDesc& task = program_.tasks[id];
  task.place = PlaceOf(i, -1, task.firings);
  task.op = op.type();
  task.inputs = inputs;
  task.outputs = outputs;
  task.mutates = mutates;
  std::vector<Shape> local_in, local_out;
  for (int v : op.inputs()) Describe(v, task.logical_inputs, task.input_offsets, local_in);
  for (int v : op.outputs()) Describe(v, task.logical_outputs, task.output_offsets, local_out);
  task.attrs = def->local_attrs ? def->local_attrs(attrs, local_in, local_out) : attrs;
  OFL_TRY(ReadViews(op, *def, task));
  OFL_TRY(GiveResources(i, op, *def, task));
  Schedule(id, op.segment());
  return Status::Ok();
}

Status Expansion::GiveResources(int i, const proto::OpDef& op, const op::OpDef& def,
                                TaskDesc& task) const {
  if (op.workspace() > 0) {
    OFL_ENSURE(scratch_offset_.count(i), Code::kDataLoss) << "no memory for its workspace";
    task.workspace_bytes = op.workspace();
    task.workspace_offset = scratch_offset_.at(i);
  }
  if (op.state() > 0) {
    OFL_ENSURE(state_offset_.count(i), Code::kDataLoss) << "no memory for its state";
    task.state_bytes = op.state();
    task.state_offset = state_offset_.at(i);
  }
  OFL_ENSURE(def.Draws() == (op.generator() != 0), Code::kDataLoss)
      << "[" << op.type() << "] it draws from resource " << int64_t{op.generator()} - 1
      << "; expected " << (def.Draws() ? "a generator" : "none");
  if (!def.Draws()) return Status::Ok();
  const int64_t generator = int64_t{op.generator()} - 1;
  OFL_ENSURE(generator >= 0 && generator < static_cast<int64_t>(program_.generators.size()) &&
                 op.draw() >= 0 && op.draw() < program_.generators[generator].draws,
             Code::kDataLoss)
      << "[" << op.type() << "] it takes draw " << op.draw() << " of resource " << generator
      << "; expected one of those that a launch takes from one of " << program_.generators.size()
      << " generators";
  task.generator = generator;
  task.draw = op.draw();
  return Status::Ok();
}

Status Expansion::ExpandGenerators() {
  for (const proto::Resource& resource : s_.resources()) {
    if (resource.kind() != proto::Resource::GENERATOR) continue;
    OFL_ENSURE(resource.draws() >= 0 && resource.draws() <= op::kMaxDraws, Code::kDataLoss)
        << "generator " << resource.name() << " is drawn from " << resource.draws()
        << " times in a launch; expected 0 to " << op::kMaxDraws;
    program_.generators.push_back({resource.name(), resource.draws()});
  }
  return Status::Ok();
}

Status Expansion::ExpandView(const proto::OpDef& op, const op::OpDef& def, const Attrs& attrs) {
  OFL_ENSURE(def.view != nullptr && op.inputs_size() > 0 && op.outputs_size() == 1, Code::kDataLoss)
      << "[" << op.type() << "] its result is marked as a view, which the operator does not make";
  const int in = op.inputs(0), out = op.outputs(0);
  OFL_TRY(CheckValue(out));
  OFL_ASSIGN(const int reg, InputRegister(in));
  OFL_ENSURE(register_of_[out] < 0, Code::kDataLoss) << "value " << out << " is made twice";
  const int index = layouts_[out].placement.IndexOf(rank_);
  OFL_ENSURE(index >= 0 && layouts_[in].placement == layouts_[out].placement, Code::kDataLoss)
      << "value " << out << " is not where the value is that it views";
  const auto seen = views_.find(in);
  const op::ViewGeometry base =
      seen != views_.end() ? seen->second : DenseGeometry(program_.registers[reg].meta.shape);
  OFL_ASSIGN(views_[out], SeeThrough(def, attrs, base,
                                     sbp::LocalShape(metas_[out].shape, layouts_[out], index)));
  register_of_[out] = reg;
  return Status::Ok();
}

// The inputs that are views, in strides that the operator takes; a result that takes their memory
// over takes all of a register.
Status Expansion::ReadViews(const proto::OpDef& op, const op::OpDef& def, TaskDesc& task) {
  for (int i = 0; i < op.inputs_size(); ++i) {
    const auto seen = views_.find(op.inputs(i));
    if (seen == views_.end()) continue;
    const op::ViewGeometry& view = seen->second;
    OFL_ENSURE(op::Allows(def.InputAt(i, task.attrs).access, view.shape, view.strides),
               Code::kDataLoss)
        << "[" << op.type() << "] input " << i << " is a view of strides " << view.strides
        << "; expected strides that the operator takes";
    const TensorMeta meta{metas_[op.inputs(i)].dtype, view.shape};
    task.views.push_back({i, meta, view.strides, view.offset});
    const RegisterDesc& reg = program_.registers[task.inputs[i]];
    for (int out : task.outputs)
      OFL_ENSURE(
          program_.registers[out].alias_of != reg.id || IsWhole(view, reg.meta.shape.numel()),
          Code::kDataLoss)
          << "[" << op.type() << "] its result takes over the memory of a part of a register";
  }
  return CheckInputViews(program_, task);
}

void Expansion::Describe(int v, std::vector<TensorMeta>& logical, std::vector<Shape>& offsets,
                         std::vector<Shape>& local) {
  const sbp::Box box =
      sbp::LocalBox(metas_[v].shape, layouts_[v], layouts_[v].placement.IndexOf(rank_));
  logical.push_back(metas_[v]);
  offsets.push_back(box.begin);
  local.push_back(box.Extent());
}

Status Expansion::ExpandEnd(int i, const proto::OpDef& op, TaskKind kind) {
  const bool source = kind == TaskKind::kInput || kind == TaskKind::kVariable;
  OFL_ENSURE(op.inputs_size() == (source ? 0 : 1) &&
                 op.outputs_size() == (kind == TaskKind::kOutput ? 0 : 1),
             Code::kDataLoss)
      << "it has " << op.inputs_size() << " inputs and " << op.outputs_size() << " outputs";
  const int value = source ? op.outputs(0) : op.inputs(0);
  OFL_TRY(CheckValue(value));
  const bool repeats = kind == TaskKind::kAccumulate || s_.values(value).per_micro_batch();
  const int id = NewTask(kind, op.name(), i, repeats).id;
  program_.tasks[id].place = PlaceOf(i, -1, program_.tasks[id].firings);
  if (!source) {
    OFL_TRY(RefuseView(value));
    OFL_ASSIGN(int reg, InputRegister(value));
    program_.tasks[id].inputs = {reg};
  }
  if (kind != TaskKind::kOutput) {
    OFL_ASSIGN(int reg, OutputRegister(op.outputs(0), id));
    program_.tasks[id].outputs = {reg};
  }
  if (kind == TaskKind::kInput || kind == TaskKind::kOutput)
    program_.tasks[id].binding = op.binding();
  if (kind == TaskKind::kVariable) {
    OFL_ENSURE(op.resource() >= 0 && op.resource() < s_.resources_size(), Code::kDataLoss)
        << "resource " << op.resource() << " does not exist";
    OFL_ENSURE(s_.resources(op.resource()).kind() == proto::Resource::VARIABLE, Code::kDataLoss)
        << "resource " << op.resource() << " is no variable";
    program_.registers[program_.tasks[id].outputs[0]].variable = s_.resources(op.resource()).name();
  }
  Schedule(id, op.segment());
  return Status::Ok();
}

void Expansion::FlushBefore(int op) {
  for (Pending& p : pending_)
    if (p.task >= 0 && p.before <= op) {
      Schedule(p.task, s_.ops(std::min(p.before, s_.ops_size() - 1)).segment());
      p.task = -1;
    }
}

void Expansion::BuildStream() {
  StreamDesc stream;
  stream.name = "compute";
  stream.threads = std::max(1, s_.threads());
  for (int task : once_) stream.order.push_back({task, 0});
  const int m = s_.micro_batches();
  for (int segment = 0; segment < 2; ++segment)
    for (int k = 0; k < m; ++k)
      for (int task : segments_[segment]) stream.order.push_back({task, k});
  for (int task : segments_[2]) stream.order.push_back({task, 0});
  program_.streams.push_back(std::move(stream));
}

void Expansion::LinkConsumers() {
  std::vector<bool> seen(program_.tasks.size(), false);
  for (const StreamDesc& stream : program_.streams)
    for (const Firing& firing : stream.order) {
      if (seen[firing.task]) continue;
      seen[firing.task] = true;
      for (int reg : program_.tasks[firing.task].inputs)
        program_.registers[reg].consumers.push_back(firing.task);
    }
}

Result<Program> Expand(const proto::Plan& plan, int rank) { return Expansion(plan, rank).Run(); }

}  // namespace ofl::compiler
