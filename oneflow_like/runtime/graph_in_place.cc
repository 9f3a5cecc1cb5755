// In-place changes while build() runs: names get new values, buffers are stored at the end, and
// what would differ from eager is refused.
#include "oneflow_like/runtime/graph_tracer.h"
#include "oneflow_like/tensor/context.h"

namespace ofl::runtime {

Status GraphTracer::CheckFresh(const op::Value& value, const std::string& user) {
  if (!value || !value->is_symbolic()) return Status::Ok();
  const auto* symbolic = static_cast<const ir::GraphValue*>(value.get());
  if (symbolic->graph_serial() != graph_.serial) return Status::Ok();  // the recorder refuses it
  return memory_.Check(graph_, symbolic->id(), user);
}

bool GraphTracer::SharesMemory(int x, const sbp::Layout& layout) {
  if (layouts_.IsLocal(x)) return layout.placement.size() == 1;
  const auto lies = layouts_.LayoutOf(x);
  return lies.ok() && layout == sbp::Layout{graph_.values[x].placement, *lies};
}

Status GraphTracer::CheckInPlace(int target, bool records) {
  const TensorMeta& meta = graph_.values[target].meta;
  const ir::Node& owner = graph_.producer(memory_.Owner(target));
  const bool argument = graph_.producer(target).kind == ir::NodeKind::kInput;
  OFL_ENSURE(!argument && (records || owner.kind != ir::NodeKind::kInput),
             Code::kFailedPrecondition)
      << "[in-place] an argument of the graph belongs to the caller, and a launch leaves it as it "
      << "is: got " << meta.ToString() << " of " << owner.variable
      << "; expected a value made in build(); clone() it first, or return the new value";
  OFL_ENSURE(tensor::Context::Get().grad_enabled() || !graph_.values[target].requires_grad,
             Code::kFailedPrecondition)
      << "[in-place] under no_grad() the target would change and keep its history: got "
      << meta.ToString() << ", which requires a gradient; expected a target without; use detach() "
      << "and a new value, or leave no_grad()";
  return Status::Ok();
}

// An operator that updates an operand writes into memory that outlives the launch.
Status GraphTracer::CheckUpdates(const op::OpDef& def, const op::Values& inputs,
                                 const Attrs& attrs) {
  OFL_TRY(def.CheckArity(static_cast<int>(inputs.size()), attrs));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!def.InputMutated(static_cast<int>(i), attrs)) continue;
    const int id = recorder_.IdOf(inputs[i]);
    OFL_TRY(recorder_.status());
    const ir::Node& producer = graph_.producer(id);
    OFL_ENSURE(producer.kind == ir::NodeKind::kVariable, Code::kFailedPrecondition)
        << "[" << def.name << "] would update a value of a graph that is no variable, whose memory "
        << "a launch may give to others: got " << def.InputAt(static_cast<int>(i), attrs).name
        << ": " << graph_.values[id].meta.ToString() << ", the result of " << producer.name
        << "; expected a parameter or a buffer; use the operator that returns a new value";
  }
  return Status::Ok();
}

Result<op::Value> GraphTracer::Fitted(const op::Value& target, const op::Value& value) {
  op::Value result = value;
  if (!value->is_symbolic()) {  // its content, as a value of its own
    const Shape& shape = value->meta().shape;
    result =
        Call("reshape", {value}, {{"shape", std::vector<int64_t>(shape.begin(), shape.end())}});
  }
  OFL_TRY(status());
  OFL_ASSIGN(const bool was_global, IsGlobal(target));
  OFL_ASSIGN(const bool is_global, IsGlobal(result));
  const DType from = result->meta().dtype, to = target->meta().dtype;
  OFL_ENSURE(result->meta().shape == target->meta().shape && (is_global || !was_global),
             Code::kInvalidArgument)
      << "[in-place] the result does not fit: got " << result->meta().ToString()
      << (is_global ? " global" : " local") << " for " << target->meta().ToString()
      << (was_global ? " global" : " local") << "; expected the same shape, and a global tensor "
      << "for a global one";
  OFL_ENSURE(CategoryOf(from) <= CategoryOf(to), Code::kTypeMismatch)
      << "[in-place] result type " << DTypeName(from)
      << " can't be cast to the desired output type " << DTypeName(to) << ": got "
      << result->meta().ToString() << " for " << target->meta().ToString() << "; use a target of "
      << DTypeName(from);
  if (from != to) {
    OFL_ASSIGN(const op::OpDef* cast, op::OpRegistry::Get().Require("cast"));
    OFL_ASSIGN(Attrs attrs, cast->CompleteAttrs({{"dtype", to}}));
    result = Apply(*cast, {result}, attrs)[0];
    OFL_TRY(status());
  }
  if (!was_global || !is_global) return result;
  OFL_ASSIGN(const sbp::Layout was, LikelyLayout(target));
  OFL_ASSIGN(const sbp::Layout is, LikelyLayout(result));
  if (was == is) return result;
  result = ToLayout(result, was);
  OFL_TRY(status());
  return result;
}

Status GraphTracer::ChangeVariable(int variable, int value, bool records) {
  const ir::Node& node = graph_.producer(variable);
  const tensor::TensorRef& tensor = variables_.at(node.variable);
  const std::string got = "[in-place] " + node.variable +
                          ", a tensor from outside build(), cannot " +
                          "be changed so inside a graph: got " + tensor::Describe(*tensor);
  OFL_ENSURE(names_.contains(tensor.get()) && !tensor->requires_grad(), Code::kFailedPrecondition)
      << got
      << "; expected a value made in build(), or a buffer (of the modules' state_dict); return the "
      << "new value, and copy_() it after the call";
  OFL_ENSURE(!records, Code::kFailedPrecondition)
      << got << " and a value with a history; expected one without; use detach() or no_grad()";
  OFL_ENSURE(graph_.micro_batches == 1, Code::kUnimplemented)
      << got << " and " << graph_.micro_batches << " micro-batches, each of which would change it; "
      << "expected one; return the new value, and copy_() it after the call";
  OFL_ENSURE(local_ || !layouts_.IsLocal(value), Code::kInvalidArgument)
      << got << " and a local value; expected a global one; use to_global(placement=..., sbp=...)";
  std::erase_if(contents_, [&](const auto& known) { return known.first == variable; });
  contents_.emplace_back(variable, value);
  return Status::Ok();
}

// After everything that reads what the variables held before. A variable that another one is to
// hold has not been changed when that one was, so this order reads it in time.
Status GraphTracer::StoreVariables() {
  if (contents_.empty()) return Status::Ok();
  OFL_ASSIGN(const op::OpDef* assign, op::OpRegistry::Get().Require("assign"));
  recorder_.set_segment(ir::Segment::kUpdate);
  for (const auto& [variable, content] : contents_) {
    op::Value value = recorder_.Handle(content);
    if (!local_) value = recorder_.ToLayout(value, graph_.values[variable].layout());
    recorder_.Apply(*assign, {recorder_.Handle(variable), value}, {});
  }
  recorder_.set_segment(ir::Segment::kForward);
  return recorder_.status();
}

Result<op::Value> GraphTracer::InPlace(const op::Value& given, const op::Value& value) {
  const op::Value target = given->is_symbolic() ? given : Lift(given);
  OFL_TRY(status());
  OFL_TRY(CheckFresh(target, "in-place"));
  OFL_TRY(CheckFresh(value, "in-place"));
  OFL_ASSIGN(const op::Value result, Fitted(target, value));
  OFL_ASSIGN(const int before, Own(target));
  OFL_ASSIGN(const int after, Own(result));
  if (before == after) return result;
  // With a history, eager gives the name a tensor of its own and leaves the old memory alone.
  const bool records = graph_.values[after].requires_grad && tensor::Context::Get().grad_enabled();
  const int owner = memory_.Owner(before);
  if (graph_.producer(owner).kind == ir::NodeKind::kVariable && (!records || given != target))
    OFL_TRY(ChangeVariable(owner, after, records));
  OFL_TRY(CheckInPlace(before, records));
  if (!records) memory_.Change(before, after, graph_.producer(after).location);
  return result;
}

}  // namespace ofl::runtime
