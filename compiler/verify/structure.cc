// Structure and types: what can be said of a plan without expanding it.

#include <set>

#include "compiler/compiler.h"
#include "compiler/expand/expand.h"
#include "compiler/plan_codec.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {
namespace {

constexpr int kMaxMicroBatches = 1 << 12;
constexpr int64_t kMaxArena = int64_t{1} << 46;

Status CheckCounts(const proto::Semantics& s) {
  OFL_ENSURE(s.world_size() >= 1 && s.world_size() <= kMaxWorld, Code::kDataLoss)
      << "world size " << s.world_size() << " is outside 1.." << kMaxWorld;
  OFL_ENSURE(s.micro_batches() >= 1 && s.micro_batches() <= kMaxMicroBatches, Code::kDataLoss)
      << s.micro_batches() << " micro-batches is outside 1.." << kMaxMicroBatches;
  OFL_ENSURE(s.ops_size() <= kMaxOps, Code::kDataLoss)
      << s.ops_size() << " ops; expected at most " << kMaxOps;
  OFL_ENSURE(s.threads() >= 1 && s.threads() <= 1024, Code::kDataLoss)
      << s.threads() << " threads is outside 1..1024";
  return Status::Ok();
}

Status CheckClasses(const proto::Semantics& s) {
  std::set<int> seen;
  for (const auto& c : s.classes()) {
    OFL_ENSURE(c.arena_bytes() >= 0 && c.arena_bytes() <= kMaxArena, Code::kDataLoss)
        << "an arena of " << c.arena_bytes() << " bytes";
    OFL_ENSURE(c.ranks_size() > 0, Code::kDataLoss) << "a class has no rank";
    for (int rank : c.ranks())
      OFL_ENSURE(rank >= 0 && rank < s.world_size() && seen.insert(rank).second, Code::kDataLoss)
          << "rank " << rank << " is in no world or in two classes";
    for (const auto* offsets : {&c.offsets(), &c.scratch_offsets(), &c.state_offsets()})
      for (int64_t offset : *offsets)
        OFL_ENSURE(offset >= 0 && offset <= c.arena_bytes() && offset % kMemoryAlignment == 0,
                   Code::kDataLoss)
            << "a memory map has offset " << offset << "; expected a multiple of "
            << kMemoryAlignment << " in an arena of " << c.arena_bytes() << " bytes";
  }
  OFL_ENSURE(static_cast<int>(seen.size()) == s.world_size(), Code::kDataLoss)
      << seen.size() << " of " << s.world_size() << " ranks are in a class";
  return Status::Ok();
}

// Whether two ops fire equally often in an iteration.
bool SameRate(const proto::Semantics& s, const proto::OpDef& a, const proto::OpDef& b) {
  return s.micro_batches() == 1 || a.segment() == b.segment();
}

// `producer`: the op that makes each value, of the ops before; takes in this one.
Status CheckOp(const proto::Semantics& s, int i, std::vector<int>& producer,
               std::set<std::string>& names) {
  const proto::OpDef& op = s.ops(i);
  OFL_ENSURE(!op.name().empty() && names.insert(op.name()).second, Code::kDataLoss)
      << "an op has no name, or one that stands twice";
  OFL_ENSURE(i == 0 || s.ops(i - 1).segment() <= op.segment(), Code::kDataLoss)
      << "segments are not in order";
  for (int position : {op.continue_before(), op.finish_before()})  // index plus 1
    OFL_ENSURE(position == 0 || (op.kind() == proto::OpDef::BOXING && position > i + 1 &&
                                 position <= s.ops_size() && SameRate(s, op, s.ops(position - 1))),
               Code::kDataLoss)
        << "it goes on before position " << position;
  OFL_ENSURE(op.finish_before() >= op.continue_before(), Code::kDataLoss)
      << "its last step is finished before the others";
  for (int64_t bytes : {op.workspace(), op.state()})
    OFL_ENSURE(bytes >= 0 && bytes <= kMaxArena, Code::kDataLoss)
        << "a workspace or state of " << bytes << " bytes";
  OFL_ENSURE(op.kind() == proto::OpDef::COMPUTE || (op.generator() == 0 && op.state() == 0),
             Code::kDataLoss)
      << "it draws random numbers or keeps memory, and is no operator";
  for (int v : op.inputs())
    OFL_ENSURE(v >= 0 && v < s.values_size() && producer[v] >= 0, Code::kDataLoss)
        << "it reads value " << v << ", which is not produced before";
  for (int v : op.outputs()) {
    OFL_ENSURE(v >= 0 && v < s.values_size() && producer[v] < 0, Code::kDataLoss)
        << "it produces value " << v << ", which does not exist or has a producer";
    producer[v] = i;
  }
  return Status::Ok();
}

// Each argument belongs to one op, and is that op's value.
Status CheckArguments(const proto::Semantics& s, proto::OpDef::Kind kind,
                      const google::protobuf::RepeatedPtrField<proto::Argument>& arguments) {
  std::vector<int> bound(arguments.size(), 0);
  for (const proto::OpDef& op : s.ops()) {
    if (op.kind() != kind) continue;
    OFL_ENSURE(op.binding() >= 0 && op.binding() < arguments.size(), Code::kDataLoss)
        << op.name() << " is bound to argument " << op.binding() << " of " << arguments.size();
    const auto& values = kind == proto::OpDef::INPUT ? op.outputs() : op.inputs();
    const proto::Argument& argument = arguments[op.binding()];
    OFL_ENSURE(values.size() == 1 && values[0] == argument.value(), Code::kDataLoss)
        << op.name() << " and argument " << argument.name() << " are different values";
    const bool repeats = s.micro_batches() > 1 && s.values(values[0]).per_micro_batch();
    OFL_ENSURE(argument.per_micro_batch() == repeats, Code::kDataLoss)
        << "argument " << argument.name() << " and its value hold different micro-batches";
    ++bound[op.binding()];
  }
  for (int i = 0; i < arguments.size(); ++i)
    OFL_ENSURE(bound[i] == 1, Code::kDataLoss)
        << "argument " << i << " belongs to " << bound[i] << " ops; expected one";
  return Status::Ok();
}

// They come first among the resources, each with a name of its own, and every launch moves them on.
Status CheckGenerators(const proto::Semantics& s, int* count) {
  std::set<std::string> names;
  *count = 0;
  for (int i = 0; i < s.resources_size(); ++i) {
    const proto::Resource& resource = s.resources(i);
    if (resource.kind() != proto::Resource::GENERATOR) continue;
    OFL_ENSURE(i == *count && i < op::kMaxGenerators && resource.mutated() &&
                   names.insert(resource.name()).second,
               Code::kDataLoss)
        << "resource " << i << " is no sound generator: got " << resource.name()
        << "; expected a name of its own, before all variables, marked as mutated";
    ++*count;
  }
  return Status::Ok();
}

// Each other resource is one variable of a name of its own; nothing else outlives a launch or is
// updated.
Status CheckResources(const proto::Semantics& s, const std::vector<int>& producer) {
  int generators = 0;
  OFL_TRY(CheckGenerators(s, &generators));
  std::set<std::string> names;
  std::vector<int> resource_of(s.values_size(), -1);
  for (const proto::OpDef& op : s.ops()) {
    if (op.kind() != proto::OpDef::VARIABLE) continue;
    OFL_ENSURE(op.resource() >= 0 && op.resource() < s.resources_size(), Code::kDataLoss)
        << op.name() << " is resource " << op.resource() << ", which does not exist";
    const proto::Resource& resource = s.resources(op.resource());
    OFL_ENSURE(resource.kind() == proto::Resource::VARIABLE && op.outputs_size() == 1 &&
                   op.outputs(0) == resource.value(),
               Code::kDataLoss)
        << op.name() << " and resource " << resource.name() << " are different values";
    OFL_ENSURE(names.insert(resource.name()).second, Code::kDataLoss)
        << "two variables are resource " << resource.name();
    resource_of[op.outputs(0)] = op.resource();
  }
  OFL_ENSURE(static_cast<int>(names.size()) + generators == s.resources_size(), Code::kDataLoss)
      << names.size() << " of " << s.resources_size() - generators << " resources have a variable";
  for (const proto::OpDef& op : s.ops()) {
    if (op.kind() != proto::OpDef::COMPUTE) continue;
    OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
    OFL_ASSIGN(const Attrs attrs, ReadAttrs(op));
    OFL_TRY(def->CheckArity(op.inputs_size(), attrs));
    for (int i = 0; i < op.inputs_size(); ++i) {
      if (!def->InputMutated(i, attrs)) continue;
      const int resource = resource_of[op.inputs(i)];
      OFL_ENSURE(resource >= 0 && s.resources(resource).mutated(), Code::kDataLoss)
          << op.name() << " changes the result of " << s.ops(producer[op.inputs(i)]).name()
          << "; expected a resource that is marked as mutated";
    }
  }
  return Status::Ok();
}

Status CheckCollectives(const proto::Semantics& s) {
  std::set<int> seen;
  for (int op : s.collective_order())
    OFL_ENSURE(op >= 0 && op < s.ops_size() && s.ops(op).kind() == proto::OpDef::BOXING &&
                   seen.insert(op).second,
               Code::kDataLoss)
        << "op " << op << " of the collective order is no conversion, or stands twice";
  return Status::Ok();
}

// The value in whose memory each one lies: itself, unless it is a view.
std::vector<int> RootsOf(const proto::Semantics& s) {
  std::vector<int> roots(s.values_size());
  for (int v = 0; v < s.values_size(); ++v) roots[v] = v;
  for (const proto::OpDef& op : s.ops())
    if (op.inputs_size() > 0 && op.outputs_size() > 0 && s.values(op.outputs(0)).view())
      roots[op.outputs(0)] = roots[op.inputs(0)];
  return roots;
}

// A view is the one result of an operator that says how it lies in its input's memory, and has
// none of its own. Since values are made before they are read, chains of views end.
Status CheckView(const proto::ValueDef& value, const proto::OpDef& op) {
  OFL_ENSURE(op.kind() == proto::OpDef::COMPUTE && op.inputs_size() > 0 && op.outputs_size() == 1,
             Code::kDataLoss)
      << op.name() << " makes no view: expected an operator with one result";
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
  OFL_ENSURE(def->view != nullptr, Code::kDataLoss)
      << op.name() << " makes no view: [" << op.type() << "] does not say where it would lie";
  OFL_ENSURE(
      value.bound() == 0 && value.instances() == 1 && value.alias_of() == 0 && op.workspace() == 0,
      Code::kDataLoss)
      << "the view of " << op.name() << " has memory of its own: got " << value.bound()
      << " bytes, " << value.instances() << " instances; expected 0 and 1";
  return Status::Ok();
}

// Views are read by operators, and before the variable they look into is updated: the operator
// that made the view would have copied what was there.
Status CheckViewReaders(const proto::Semantics& s, const std::vector<int>& roots) {
  std::vector<bool> changed(s.values_size(), false);
  for (const proto::OpDef& op : s.ops()) {
    const op::OpDef* def = nullptr;
    if (op.kind() == proto::OpDef::COMPUTE) {
      OFL_ASSIGN(def, op::OpRegistry::Get().Require(op.type()));
    }
    for (int i = 0; def != nullptr && i < op.inputs_size(); ++i)
      if (def->InputMutated(i)) changed[op.inputs(i)] = true;
    if (op.outputs_size() > 0 && s.values(op.outputs(0)).view()) continue;  // reads nothing
    for (int v : op.inputs()) {
      if (!s.values(v).view()) continue;
      OFL_ENSURE(def != nullptr, Code::kDataLoss)
          << op.name() << " reads value " << v << ", a view, which only operators take";
      OFL_ENSURE(!changed[roots[v]], Code::kDataLoss)
          << op.name() << " reads value " << v << ", a view, when value " << roots[v]
          << " has been updated below it";
    }
  }
  return Status::Ok();
}

// Whether the operator declares that this result may be written over this operand, or over the
// register that the operand is a view of.
Result<bool> MayTakeOver(const proto::OpDef& op, int result, int operand,
                         const std::vector<int>& roots) {
  if (op.kind() != proto::OpDef::COMPUTE) return false;
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
  for (auto [output, input] : def->in_place)
    if (output < op.outputs_size() && op.outputs(output) == result && input < op.inputs_size() &&
        roots[op.inputs(input)] == operand)
      return true;
  return false;
}

Status CheckValues(const proto::Semantics& s, const std::vector<int>& producer) {
  const std::vector<int> roots = RootsOf(s);
  for (int v = 0; v < s.values_size(); ++v) {
    const proto::ValueDef& value = s.values(v);
    OFL_ENSURE(producer[v] >= 0, Code::kDataLoss) << "no op makes value " << v;
    OFL_ENSURE(value.bound() >= 0 && value.bound() <= kMaxArena && value.instances() >= 1 &&
                   value.instances() <= kMaxMicroBatches,
               Code::kDataLoss)
        << "value " << v << " has bound " << value.bound() << " and " << value.instances()
        << " instances";
    if (value.view()) OFL_TRY(CheckView(value, s.ops(producer[v])));
    if (value.alias_of() == 0) continue;
    const int base = value.alias_of() > 0 ? value.alias_of() - 1 : -1;
    OFL_ENSURE(base >= 0 && base < v && !s.values(base).view() &&
                   s.values(base).bound() >= value.bound() &&
                   s.values(base).instances() == value.instances(),
               Code::kDataLoss)
        << "value " << v << " cannot take over the memory of value " << base;
    const proto::OpDef& op = s.ops(producer[v]);
    OFL_ASSIGN(const bool may, MayTakeOver(op, v, base, roots));
    OFL_ENSURE(may, Code::kDataLoss) << op.name() << " cannot take over the memory of value "
                                     << base << ", which it may not overwrite while it reads it";
  }
  return CheckViewReaders(s, roots);
}

}  // namespace

Status VerifyStructure(const proto::Semantics& s) {
  OFL_TRY(CheckCounts(s));
  OFL_TRY(CheckClasses(s));
  std::vector<int> producer(s.values_size(), -1);
  std::set<std::string> names;
  for (int i = 0; i < s.ops_size(); ++i)
    if (Status bad = CheckOp(s, i, producer, names); !bad.ok())
      return bad.WithNote("in op " + std::to_string(i) + " " + s.ops(i).name());
  OFL_TRY(CheckArguments(s, proto::OpDef::INPUT, s.inputs()));
  OFL_TRY(CheckArguments(s, proto::OpDef::OUTPUT, s.outputs()));
  OFL_TRY(CheckValues(s, producer));
  OFL_TRY(CheckResources(s, producer));
  return CheckCollectives(s);
}

namespace {

Status CheckTypes(const proto::Semantics& s, const proto::OpDef& op,
                  const PlacementTable& placements) {
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
  OFL_ENSURE(op.version() == def->version, Code::kDataLoss)
      << "[" << op.type() << "] the plan means another version of the operator: got version "
      << op.version() << "; expected " << def->version << "; compile the program again";
  OFL_ASSIGN(Attrs given, ReadAttrs(op));
  OFL_ENSURE(!given.Has(op::kDraw), Code::kDataLoss)
      << "[" << op.type() << "] its draw stands among the attributes; expected it beside them";
  OFL_ASSIGN(Attrs attrs, def->CompleteAttrs(given));
  std::vector<TensorMeta> inputs, outputs;
  sbp::NdSignature have;
  OFL_ENSURE(op.placement() >= 0 && op.placement() < placements.size(), Code::kDataLoss)
      << "placement " << op.placement() << " does not exist";
  const Placement& placement = placements.at(op.placement());
  auto add = [&](int v, std::vector<TensorMeta>& metas,
                 std::vector<sbp::NdSbp>& symbols) -> Status {
    OFL_ASSIGN(TensorMeta meta, ReadMeta(s.values(v)));
    OFL_ASSIGN(sbp::Layout layout, placements.ReadLayout(s.values(v).layout()));
    OFL_ENSURE(layout.placement == placement, Code::kDataLoss)
        << "value " << v << " is on " << layout.placement.ToString() << ", the op on "
        << placement.ToString();
    metas.push_back(meta);
    symbols.push_back(layout.nd_sbp);
    return Status::Ok();
  };
  for (int v : op.inputs()) OFL_TRY(add(v, inputs, have.inputs));
  for (int v : op.outputs()) OFL_TRY(add(v, outputs, have.outputs));
  OFL_ASSIGN(auto inferred, def->Infer(inputs, attrs));
  OFL_ENSURE(inferred == outputs, Code::kDataLoss)
      << "[" << op.type() << "] its outputs are not what its inputs give";
  OFL_ASSIGN(auto signatures, def->Signatures(inputs, outputs, attrs, placement.hierarchy()));
  for (const auto& signature : signatures)
    if (signature == have) return Status::Ok();
  return Error(Code::kDataLoss) << "[" << op.type() << "] " << have.ToString()
                                << " is no legal signature";
}

Status CheckBoxing(const proto::Semantics& s, const proto::OpDef& op,
                   const PlacementTable& placements) {
  OFL_ENSURE(op.inputs_size() == 1 && op.outputs_size() == 1, Code::kDataLoss)
      << "a conversion has one input and one output";
  OFL_ASSIGN(TensorMeta meta, ReadMeta(s.values(op.inputs(0))));
  OFL_ASSIGN(sbp::Layout from, placements.ReadLayout(s.values(op.inputs(0)).layout()));
  OFL_ASSIGN(auto steps, placements.ReadSteps(op, from));
  for (int i = 0; i < op.steps_size(); ++i) {
    OFL_TRY(sbp::CheckLayout("conversion source", meta.dtype, meta.shape, steps[i].from));
    OFL_TRY(sbp::CheckLayout("conversion result", meta.dtype, meta.shape, steps[i].to));
    const proto::StepDef& step = op.steps(i);
    const int64_t members = steps[i].from.placement.size() + steps[i].to.placement.size();
    const int64_t most = (meta.bytes() + kMemoryAlignment) * members;
    for (int64_t bytes : {step.send_bytes(), step.receive_bytes(), step.result_bytes()})
      OFL_ENSURE(bytes >= 0 && bytes <= most && bytes % kMemoryAlignment == 0, Code::kDataLoss)
          << "step " << i << " reserves " << bytes << " bytes for a tensor of " << meta.bytes();
  }
  return Status::Ok();
}

// Sources and sinks live where their value does; a sum has the layout of what it sums.
Status CheckEnd(const proto::Semantics& s, const proto::OpDef& op,
                const PlacementTable& placements) {
  OFL_ENSURE(op.placement() >= 0 && op.placement() < placements.size(), Code::kDataLoss)
      << "placement " << op.placement() << " does not exist";
  std::vector<int> values(op.inputs().begin(), op.inputs().end());
  values.insert(values.end(), op.outputs().begin(), op.outputs().end());
  OFL_ENSURE(values.size() == (op.kind() == proto::OpDef::ACCUMULATE ? 2u : 1u), Code::kDataLoss)
      << "it has " << op.inputs_size() << " inputs and " << op.outputs_size() << " outputs";
  OFL_ASSIGN(TensorMeta meta, ReadMeta(s.values(values.front())));
  OFL_ASSIGN(sbp::Layout layout, placements.ReadLayout(s.values(values.front()).layout()));
  OFL_ENSURE(layout.placement == placements.at(op.placement()), Code::kDataLoss)
      << "value " << values.front() << " is on " << layout.placement.ToString() << ", the op on "
      << placements.at(op.placement()).ToString();
  OFL_ASSIGN(TensorMeta other, ReadMeta(s.values(values.back())));
  OFL_ASSIGN(sbp::Layout at, placements.ReadLayout(s.values(values.back()).layout()));
  OFL_ENSURE(meta == other && layout == at, Code::kDataLoss)
      << "it sums " << meta.ToString() << " into " << other.ToString() << " of another layout";
  return Status::Ok();
}

}  // namespace

Status VerifyTypes(const proto::Semantics& s) {
  OFL_ASSIGN(PlacementTable placements, PlacementTable::Read(s));
  for (const proto::ValueDef& value : s.values()) {
    OFL_ASSIGN(TensorMeta meta, ReadMeta(value));
    OFL_ASSIGN(sbp::Layout layout, placements.ReadLayout(value.layout()));
    OFL_TRY(sbp::CheckLayout("plan value", meta.dtype, meta.shape, layout));
  }
  for (const proto::OpDef& op : s.ops()) {
    Status status;
    if (op.kind() == proto::OpDef::COMPUTE)
      status = CheckTypes(s, op, placements);
    else if (op.kind() == proto::OpDef::BOXING)
      status = CheckBoxing(s, op, placements);
    else
      status = CheckEnd(s, op, placements);
    if (!status.ok()) return status.WithNote("in op " + op.name());
  }
  return Status::Ok();
}

Status VerifyProgram(const Program& program) {
  if (Status bad = VerifyMemory(program); !bad.ok())
    return bad.WithNote("in the memory of rank " + std::to_string(program.rank));
  return VerifyPotential(program);
}

Status VerifyPlan(const proto::Plan& plan) {
  OFL_TRY(VerifyStructure(plan.semantics()));
  OFL_TRY(VerifyTypes(plan.semantics()));
  const int world = plan.semantics().world_size();
  if (world > kOracleWorld) {
    for (const proto::RankClass& c : plan.semantics().classes()) {
      OFL_ASSIGN(const Program program, Expand(plan, c.ranks(0)));
      OFL_TRY(VerifyProgram(program));
    }
    return Status::Ok();
  }
  std::vector<Program> programs;
  for (int rank = 0; rank < world; ++rank) {
    OFL_ASSIGN(Program program, Expand(plan, rank));
    OFL_TRY(VerifyProgram(program));
    programs.push_back(std::move(program));
  }
  return VerifyLiveness(programs);
}

}  // namespace ofl::compiler
