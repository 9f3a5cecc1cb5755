// Structure and types: what can be said of a plan without expanding it.

#include <set>

#include "compiler/compiler.h"
#include "compiler/expand/expand.h"
#include "compiler/plan_codec.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {
namespace {

constexpr int kMaxWorld = 1 << 16;
constexpr int kMaxMicroBatches = 1 << 12;
constexpr int64_t kMaxArena = int64_t{1} << 46;

Status CheckCounts(const proto::Semantics& s) {
  OFL_ENSURE(s.world_size() >= 1 && s.world_size() <= kMaxWorld, Code::kDataLoss)
      << "world size " << s.world_size() << " is outside 1.." << kMaxWorld;
  OFL_ENSURE(s.micro_batches() >= 1 && s.micro_batches() <= kMaxMicroBatches, Code::kDataLoss)
      << s.micro_batches() << " micro-batches is outside 1.." << kMaxMicroBatches;
  OFL_ENSURE(s.threads() >= 1 && s.threads() <= 1024, Code::kDataLoss)
      << s.threads() << " threads is outside 1..1024";
  return Status::Ok();
}

Status CheckClasses(const proto::Semantics& s) {
  std::set<int> seen;
  for (const auto& c : s.classes()) {
    OFL_ENSURE(c.arena_bytes() >= 0 && c.arena_bytes() <= kMaxArena, Code::kDataLoss)
        << "an arena of " << c.arena_bytes() << " bytes";
    for (int rank : c.ranks())
      OFL_ENSURE(rank >= 0 && rank < s.world_size() && seen.insert(rank).second, Code::kDataLoss)
          << "rank " << rank << " is in no world or in two classes";
  }
  OFL_ENSURE(static_cast<int>(seen.size()) == s.world_size(), Code::kDataLoss)
      << seen.size() << " of " << s.world_size() << " ranks are in a class";
  return Status::Ok();
}

// Whether two ops fire equally often in an iteration.
bool SameRate(const proto::Semantics& s, const proto::OpDef& a, const proto::OpDef& b) {
  return s.micro_batches() == 1 || a.segment() == b.segment();
}

Status CheckOp(const proto::Semantics& s, int i, std::vector<bool>& produced,
               std::set<std::string>& names) {
  const proto::OpDef& op = s.ops(i);
  OFL_ENSURE(!op.name().empty() && names.insert(op.name()).second, Code::kDataLoss)
      << "an op has no name, or one that stands twice";
  OFL_ENSURE(i == 0 || s.ops(i - 1).segment() <= op.segment(), Code::kDataLoss)
      << "segments are not in order";
  for (int before : {op.continue_before() - 1, op.finish_before() - 1})
    OFL_ENSURE(before == -1 || (op.kind() == proto::OpDef::BOXING && before > i &&
                                before < s.ops_size() && SameRate(s, op, s.ops(before))),
               Code::kDataLoss)
        << "it goes on before op " << before;
  OFL_ENSURE(op.finish_before() == 0 || op.finish_before() >= op.continue_before(), Code::kDataLoss)
      << "its last step is finished before the others";
  OFL_ENSURE(op.workspace() >= 0 && op.workspace() <= kMaxArena, Code::kDataLoss)
      << "a workspace of " << op.workspace() << " bytes";
  for (int v : op.inputs())
    OFL_ENSURE(v >= 0 && v < s.values_size() && produced[v], Code::kDataLoss)
        << "it reads value " << v << ", which is not produced before";
  for (int v : op.outputs()) {
    OFL_ENSURE(v >= 0 && v < s.values_size() && !produced[v], Code::kDataLoss)
        << "it produces value " << v << ", which does not exist or has a producer";
    produced[v] = true;
  }
  return Status::Ok();
}

Status CheckArguments(const proto::Semantics& s) {
  for (const auto* list : {&s.inputs(), &s.outputs()})
    for (const auto& argument : *list)
      OFL_ENSURE(argument.value() >= 0 && argument.value() < s.values_size(), Code::kDataLoss)
          << "argument " << argument.name() << " is value " << argument.value();
  for (const proto::OpDef& op : s.ops()) {
    const int bound = op.kind() == proto::OpDef::INPUT    ? s.inputs_size()
                      : op.kind() == proto::OpDef::OUTPUT ? s.outputs_size()
                                                          : 1 << 30;
    OFL_ENSURE(op.binding() >= 0 && op.binding() < bound, Code::kDataLoss)
        << op.name() << " is bound to argument " << op.binding();
  }
  for (const auto& resource : s.resources())
    OFL_ENSURE(resource.value() >= 0 && resource.value() < s.values_size(), Code::kDataLoss)
        << "resource " << resource.name() << " is value " << resource.value();
  for (int op : s.collective_order())
    OFL_ENSURE(op >= 0 && op < s.ops_size() && s.ops(op).kind() == proto::OpDef::BOXING,
               Code::kDataLoss)
        << "op " << op << " of the collective order is no conversion";
  return Status::Ok();
}

Status CheckAliases(const proto::Semantics& s) {
  for (int v = 0; v < s.values_size(); ++v) {
    const int base = s.values(v).alias_of() - 1;
    if (base < 0) continue;
    OFL_ENSURE(base < v && s.values(base).bound() >= s.values(v).bound() &&
                   s.values(base).instances() == s.values(v).instances(),
               Code::kDataLoss)
        << "value " << v << " cannot take over the memory of value " << base;
  }
  return Status::Ok();
}

}  // namespace

Status VerifyStructure(const proto::Semantics& s) {
  OFL_TRY(CheckCounts(s));
  OFL_TRY(CheckClasses(s));
  std::vector<bool> produced(s.values_size(), false);
  std::set<std::string> names;
  for (int i = 0; i < s.ops_size(); ++i)
    if (Status bad = CheckOp(s, i, produced, names); !bad.ok())
      return bad.WithNote("in op " + std::to_string(i) + " " + s.ops(i).name());
  OFL_TRY(CheckArguments(s));
  return CheckAliases(s);
}

namespace {

Status CheckTypes(const proto::Semantics& s, const proto::OpDef& op,
                  const PlacementTable& placements) {
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(op.type()));
  OFL_ASSIGN(Attrs given, ReadAttrs(op));
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
    if (op.kind() == proto::OpDef::COMPUTE) status = CheckTypes(s, op, placements);
    if (op.kind() == proto::OpDef::BOXING) status = CheckBoxing(s, op, placements);
    if (!status.ok()) return status.WithNote("in op " + op.name());
  }
  return Status::Ok();
}

Status VerifyPlan(const proto::Plan& plan) {
  OFL_TRY(VerifyStructure(plan.semantics()));
  OFL_TRY(VerifyTypes(plan.semantics()));
  std::vector<Program> programs;
  for (int rank = 0; rank < plan.semantics().world_size(); ++rank) {
    OFL_ASSIGN(Program program, Expand(plan, rank));
    if (Status bad = VerifyMemory(program); !bad.ok())
      return bad.WithNote("in the memory of rank " + std::to_string(rank));
    programs.push_back(std::move(program));
  }
  return VerifyLiveness(programs);
}

}  // namespace ofl::compiler
