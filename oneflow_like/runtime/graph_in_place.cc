// In-place changes while build() runs: names get new values, buffers are stored at the end, and
// what would differ from eager is refused.
#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/runtime/graph_tracer.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/mixed_operands.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::runtime {

using Link = TracedMemory::Link;

// The value that a tensor holds now, which changes in place may have made another one.
Result<int> GraphTracer::Content(int value) {
  std::vector<int> path;  // up to where it is known
  int content = -1;
  for (int v = value; (content = memory_.Content(v)) < 0;) {
    path.push_back(v);
    v = memory_.AliasOf(v)->parent;
  }
  while (!path.empty()) {
    const int v = path.back();
    path.pop_back();
    const Link link = memory_.AliasOf(v)->link;
    if (link == Link::kView) {
      const ir::Node node = graph_.producer(v);
      const op::Value made = recorder_.Apply(*node.op, {recorder_.Handle(content)}, node.attrs)[0];
      OFL_TRY(recorder_.status());
      content = recorder_.IdOf(made);
    } else if (link == Link::kTaken) {
      const ir::Node node = graph_.producer(v);
      op::Values inputs = IndicesOf(node);
      inputs.insert(inputs.begin(), recorder_.Handle(content));
      const op::Value made = recorder_.Apply(*node.op, std::move(inputs), node.attrs)[0];
      OFL_TRY(recorder_.status());
      content = recorder_.IdOf(made);
    } else if (link == Link::kDetached && graph_.values[content].requires_grad) {
      const op::Value held = recorder_.Handle(content);
      const op::Value made = recorder_.ToPlacement(held, graph_.values[content].placement);
      OFL_TRY(recorder_.status());
      content = recorder_.IdOf(made);
      graph_.values[content].requires_grad = false;
    }
    OFL_ASSIGN(content, LaidAs(v, content));
    memory_.Know(v, content);
  }
  return content;
}

Result<int> GraphTracer::LaidAs(int tensor, int content) {
  if (tensor == content || local_) return content;
  const bool local = layouts_.IsLocal(content);
  if (layouts_.IsLocal(tensor)) {
    if (local) return content;
    OFL_ASSIGN(const op::Value own, ToLocal(recorder_.Handle(content)));
    return recorder_.IdOf(own);
  }
  if (local) content = Rehome(content, graph_.values[tensor].placement);
  OFL_ASSIGN(const sbp::NdSbp was, layouts_.LayoutOf(tensor));
  OFL_ASSIGN(const sbp::NdSbp is, layouts_.LayoutOf(content));
  if (was == is && !local) return content;
  const op::Value laid =
      recorder_.ToLayout(recorder_.Handle(content), {graph_.values[tensor].placement, was});
  OFL_TRY(recorder_.status());
  return recorder_.IdOf(laid);
}

Status GraphTracer::Resolve(op::Value& value) {
  if (!memory_.AnyChanged() || !value || !value->is_symbolic()) return Status::Ok();
  const auto* symbolic = static_cast<const ir::GraphValue*>(value.get());
  if (symbolic->graph_serial() != graph_.serial) return Status::Ok();  // the recorder refuses it
  OFL_ASSIGN(const int content, Content(symbolic->id()));
  if (content != symbolic->id()) value = recorder_.Handle(content);
  return Status::Ok();
}

op::Value GraphTracer::Now(op::Value value) {
  if (Status done = Resolve(value); !done.ok()) {
    Fail(std::move(done));
    return nullptr;
  }
  return value;
}

void GraphTracer::NoteView(const op::OpDef& def, int base, const op::Values& results) {
  if (def.view == nullptr || results.size() != 1 || !results[0]) return;
  const int id = recorder_.IdOf(results[0]);
  const ir::Node& node = graph_.producer(id);
  if (node.op != &def) return;
  if (def.view_may_copy) {  // by the strides that eager would have
    const Shape& shape = graph_.values[base].meta.shape;
    if (!def.view(shape, StridesOf(base), node.attrs).ok()) return;
  }
  memory_.Share(id, {base, Link::kView, tensor::Context::Get().grad_enabled()});
}

Status GraphTracer::NoteTaken(const op::Value& taken, const op::Value& base) {
  OFL_ASSIGN(const int id, Own(taken));
  const int parent = recorder_.IdOf(base);
  OFL_TRY(recorder_.status());
  if (graph_.producer(id).op->name == "index")
    memory_.Share(id, {parent, Link::kTaken, tensor::Context::Get().grad_enabled()});
  return Status::Ok();
}

op::Values GraphTracer::IndicesOf(const ir::Node& index) {
  op::Values indices;
  for (size_t i = 1; i < index.inputs.size(); ++i)
    indices.push_back(recorder_.Handle(index.inputs[i]));
  return indices;
}

bool GraphTracer::IsViewLink(int value) const {
  const Link link = memory_.AliasOf(value)->link;
  return link == Link::kView || link == Link::kTaken;
}

// How a view was made of its parent. Of numbers not yet known: a view of the same shape and strides
// that begins elsewhere.
std::vector<tensor::ViewStep> GraphTracer::StepOf(int view) {
  const ir::Node& node = graph_.producer(view);
  if (memory_.AliasOf(view)->link == Link::kView)
    return {{node.op, std::make_shared<const Attrs>(node.attrs)}};
  const auto select = op::OpRegistry::Get().Require("select");
  OFL_CHECK(select.ok());
  const auto first = std::make_shared<const Attrs>(
      Attrs{{"dim", node.attrs.Get<int64_t>("dim")}, {"index", int64_t{0}}});
  return {node.inputs.size() - 1, {*select, first}};
}

Result<Strides> GraphTracer::LikelyStrides(const op::Value& value) {
  OFL_ASSIGN(const int id, Own(value));
  return StridesOf(id);
}

Result<bool> GraphTracer::IsView(const op::Value& value) {
  OFL_ASSIGN(int v, Own(value));
  for (const TracedMemory::Alias* alias; (alias = memory_.AliasOf(v)) != nullptr; v = alias->parent)
    if (IsViewLink(v)) return true;
  return false;
}

// Of a tensor in eager: dense, or those of a view, or a variable's own.
Strides GraphTracer::StridesOf(int value) {
  std::vector<int> views;
  int v = value;
  for (const TracedMemory::Alias* alias; (alias = memory_.AliasOf(v)) != nullptr; v = alias->parent)
    if (IsViewLink(v)) views.push_back(v);
  Shape shape = graph_.values[v].meta.shape;
  Strides strides = ContiguousStrides(shape);
  if (const ir::Node& root = graph_.producer(v); local_ && root.kind == ir::NodeKind::kVariable)
    strides = variables_.at(root.variable)->strides();
  for (; !views.empty(); views.pop_back()) {
    for (const tensor::ViewStep& step : StepOf(views.back())) {
      const auto geometry = step.def->view(shape, strides, *step.attrs);
      shape = geometry.ok() ? geometry->shape : graph_.values[views.back()].meta.shape;
      strides = geometry.ok() ? geometry->strides : ContiguousStrides(shape);
    }
  }
  return strides;
}

// The steps from what a value is a view of, which is put into `root`.
std::vector<tensor::ViewStep> GraphTracer::StepsTo(int value, int* root) {
  std::vector<tensor::ViewStep> steps;
  int v = value;
  for (const TracedMemory::Alias* alias; (alias = memory_.AliasOf(v)) != nullptr;
       v = alias->parent) {
    if (!IsViewLink(v)) continue;
    const std::vector<tensor::ViewStep> step = StepOf(v);
    steps.insert(steps.begin(), step.begin(), step.end());
  }
  *root = v;
  return steps;
}

// Eager counts in the memory of the base; a graph's values have none that it could count in.
Status GraphTracer::CheckWhole(const op::OpDef& def, int base) {
  int root = base;
  const std::vector<tensor::ViewStep> steps = StepsTo(base, &root);
  const ir::Node& owner = graph_.producer(root);
  bool whole = steps.empty() || tensor::ShowsAll(steps, graph_.values[root].meta);
  if (local_ && owner.kind == ir::NodeKind::kVariable)
    whole &= tensor::IsWholeMemory(*variables_.at(owner.variable));
  return whole ? Status::Ok()
               : tensor::RefusePart(def, graph_.values[base].meta, "a value of a graph");
}

// Of a global value its layout has a say too, and the plan knows it alone.
Status GraphTracer::CheckView(const op::OpDef& def, int base, const Attrs& given) {
  if (tensor::CountsInMemory(def)) OFL_TRY(CheckWhole(def, base));
  if (def.view_may_copy || !local_) return Status::Ok();
  OFL_ASSIGN(const Attrs attrs, def.CompleteAttrs(given));
  const TensorMeta& meta = graph_.values[base].meta;
  const Strides strides = StridesOf(base);
  const auto found = def.view(meta.shape, strides, attrs);
  OFL_ENSURE(found.ok() || found.status().code() != Code::kUnimplemented, Code::kInvalidArgument)
      << "[" << def.name << "] the result would not lie in its operand's memory: got "
      << meta.ToString() << " with strides " << strides << "; " << found.status().message();
  return Status::Ok();
}

bool GraphTracer::SharesMemory(int x, const sbp::Layout& layout) {
  if (layouts_.IsLocal(x)) return layout.placement.size() == 1;
  const auto lies = layouts_.LayoutOf(x);
  return lies.ok() && layout == sbp::Layout{graph_.values[x].placement, *lies};
}

Status GraphTracer::CheckInPlace(int target) {
  const TensorMeta& meta = graph_.values[target].meta;
  const int root = memory_.Root(target);
  const ir::Node& owner = graph_.producer(root);
  OFL_ENSURE(owner.kind != ir::NodeKind::kInput, Code::kFailedPrecondition)
      << "[in-place] an argument of the graph belongs to the caller, and a launch leaves it as it "
      << "is: got " << meta.ToString() << " of " << owner.variable
      << "; expected a value made in build(); clone() it first, or return the new value";
  OFL_ASSIGN(const int held, Content(target));
  OFL_ASSIGN(const int whole, Content(root));
  const bool history = graph_.values[held].requires_grad || graph_.values[whole].requires_grad;
  OFL_ENSURE(tensor::Context::Get().grad_enabled() || !history, Code::kFailedPrecondition)
      << "[in-place] under no_grad() the target would change and keep its history: got "
      << meta.ToString() << ", which requires a gradient; expected a target without; use detach() "
      << "and a new value, or leave no_grad()";
  bool detached = false, untaped = false;
  for (int v = target; memory_.AliasOf(v) != nullptr; v = memory_.AliasOf(v)->parent) {
    detached |= memory_.AliasOf(v)->link == Link::kDetached;
    untaped |= !memory_.AliasOf(v)->taped;
  }
  OFL_ENSURE(!untaped || detached || !graph_.values[whole].requires_grad, Code::kFailedPrecondition)
      << "[in-place] a view that was taken under no_grad() is changed while gradients are "
         "recorded, "
      << "and its base has a history: got " << meta.ToString()
      << "; expected both under no_grad(), or neither; use clone() for a tensor of its own";
  OFL_ENSURE(!detached || !graph_.values[whole].requires_grad, Code::kFailedPrecondition)
      << "[in-place] the memory of a tensor with a history would change behind its back: got "
      << meta.ToString() << ", which shares memory with a tensor that requires a gradient (detach, "
      << ".data); expected a target with memory of its own; use clone()";
  return Status::Ok();
}

Status GraphTracer::CheckApart(int target, int before, int after) {
  const TensorMeta& meta = graph_.values[target].meta;
  const op::OpDef* made_by = graph_.producer(after).op;
  const bool records = graph_.values[before].requires_grad && tensor::Context::Get().grad_enabled();
  if (made_by != nullptr && tensor::GivesOneNumber(*made_by) && !records) return Status::Ok();
  OFL_ENSURE(!OverlapsItself(meta.shape, StridesOf(target)), Code::kInvalidArgument)
      << "[in-place] several elements of the target lie in one place: got " << meta.ToString()
      << "; expected each in its own; use x.clone()";
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
    result = Call("reshape", {value}, {{"shape", DimsOf(shape)}});
  }
  OFL_TRY(status());
  OFL_ASSIGN(const bool was_global, IsGlobal(target));
  OFL_ASSIGN(const bool is_global, IsGlobal(result));
  const DType from = result->meta().dtype, to = target->meta().dtype;
  OFL_ENSURE(result->meta().shape == target->meta().shape && (was_global || !is_global),
             Code::kInvalidArgument)
      << "[in-place] the result does not fit: got " << result->meta().ToString()
      << (is_global ? " global" : " local") << " for " << target->meta().ToString()
      << (was_global ? " global" : " local") << tensor::FitAdvice(is_global, was_global);
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
  if (!was_global) return result;
  OFL_ASSIGN(const sbp::Layout was, LikelyLayout(target));
  if (!is_global) {  // a value that build() made: every rank has it
    OFL_ASSIGN(const int made, Own(result));
    result = recorder_.ToLayout(recorder_.Handle(Rehome(made, was.placement)), was);
    OFL_TRY(recorder_.status());
    return result;
  }
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
  std::erase(changed_, variable);
  changed_.push_back(variable);
  return Status::Ok();
}

// Numbers that build() itself made a tensor of: every launch begins with them again.
bool GraphTracer::IsConstantVariable(int value) {
  return constants_.contains(variables_.at(graph_.producer(value).variable).get());
}

Result<bool> GraphTracer::IsBuildsOwn(const op::Value& target) {
  const int id = recorder_.IdOf(target);
  OFL_TRY(recorder_.status());
  if (graph_.producer(memory_.Root(id)).kind == ir::NodeKind::kInput) return false;
  if (graph_.producer(id).kind != ir::NodeKind::kVariable || IsConstantVariable(id)) return true;
  OFL_ASSIGN(const int held, Content(id));
  return held != id;
}

// What takes the place of a value with a history has one too, as in eager: gradients of zeros for
// what was there before.
Result<int> GraphTracer::Overwriting(int target, int before, int after) {
  if (!graph_.values[before].requires_grad || graph_.values[after].requires_grad ||
      !tensor::Context::Get().grad_enabled())
    return after;
  const op::Value old = recorder_.Handle(before);
  const op::Value never =
      recorder_.Call("cast", {recorder_.Call("zeros_like", {old})}, {{"dtype", DType::kBool}});
  const op::Value made = recorder_.Call("where", {never, old, recorder_.Handle(after)});
  OFL_TRY(recorder_.status());
  return LaidAs(target, recorder_.IdOf(made));
}

// After everything that reads what the variables held before. A variable that another one is to
// hold has not been changed when that one was, so this order reads it in time.
Status GraphTracer::StoreVariables() {
  if (changed_.empty()) return Status::Ok();
  OFL_ASSIGN(const op::OpDef* assign, op::OpRegistry::Get().Require("assign"));
  recorder_.set_segment(ir::Segment::kUpdate);
  for (int variable : changed_) {
    OFL_ASSIGN(const int content, Content(variable));
    op::Value value = recorder_.Handle(content);
    if (!local_) value = recorder_.ToLayout(value, graph_.values[variable].layout());
    recorder_.Apply(*assign, {recorder_.Handle(variable), value}, {});
  }
  recorder_.set_segment(ir::Segment::kForward);
  return recorder_.status();
}

// The content of the memory once a view's elements are `content`.
Result<int> GraphTracer::PutBack(int view, int content) {
  int joins_at = -1;  // the parent of the first view that repeats elements
  for (int v = view; memory_.AliasOf(v) != nullptr; v = memory_.AliasOf(v)->parent) {
    const TracedMemory::Alias alias = *memory_.AliasOf(v);
    if (alias.link != Link::kView) continue;
    const tensor::ViewStep step = StepOf(v).front();
    if (tensor::NeedsJoining(step, graph_.values[alias.parent].meta.shape)) joins_at = alias.parent;
  }
  int from = view;
  if (joins_at >= 0) {
    OFL_ASSIGN(content, PutJoined(view, joins_at, content));
    from = joins_at;
  }
  for (int v = from; memory_.AliasOf(v) != nullptr; v = memory_.AliasOf(v)->parent) {
    const TracedMemory::Alias alias = *memory_.AliasOf(v);
    if (!IsViewLink(v)) {
      if (layouts_.IsLocal(v) != layouts_.IsLocal(alias.parent)) {
        OFL_ASSIGN(content, LaidAs(alias.parent, content));
      }
      continue;
    }
    const ir::Node node = graph_.producer(v);
    OFL_ASSIGN(const int base, Content(alias.parent));
    op::Values operands = IndicesOf(node);
    operands.insert(operands.begin(), {recorder_.Handle(base), recorder_.Handle(content)});
    const op::Value whole =
        alias.link == Link::kTaken
            ? recorder_.Call("index_put", operands, {{"dim", node.attrs.Get<int64_t>("dim")}})
            : op::WrittenBack(recorder_, *node.op, node.attrs, operands[0], operands[1]);
    OFL_TRY(recorder_.status());
    OFL_ASSIGN(content, LaidAs(alias.parent, recorder_.IdOf(whole)));
  }
  return content;
}

// Likewise of `base`, through all views between them at once.
Result<int> GraphTracer::PutJoined(int view, int base, int content) {
  for (int v = view; v != base; v = memory_.AliasOf(v)->parent)
    OFL_ENSURE(memory_.AliasOf(v)->link != Link::kTaken, Code::kUnimplemented)
        << "[in-place] where the target lies is known to a launch alone: got "
        << graph_.values[view].meta.ToString() << ", which an integer tensor picks of a view that "
        << "repeats elements; expected a view without; use index_put, or an int";
  int root = base;
  const size_t above = StepsTo(base, &root).size();
  const std::vector<tensor::ViewStep> steps = StepsTo(view, &root);
  OFL_ASSIGN(const Attrs place,
             tensor::Joined(std::span(steps).subspan(above), graph_.values[base].meta));
  OFL_ASSIGN(const int held, Content(base));
  const op::Value now = recorder_.Handle(held), part = recorder_.Handle(content);
  const op::OpDef* made_by = graph_.producer(content).op;
  const auto list = [&](const char* name) -> std::span<const int64_t> {
    return place.Get<std::vector<int64_t>>(name);
  };
  const bool shared = made_by != nullptr && tensor::GivesOneNumber(*made_by) &&
                      OverlapsItself(Shape(list("size")), Strides(list("stride")));
  const op::Value whole =
      shared ? FilledAt(place, now, part) : recorder_.Call("as_strided_put", {now, part}, place);
  OFL_TRY(recorder_.status());
  return LaidAs(base, recorder_.IdOf(whole));
}

// `base` with the one number of `part` in its places, which several elements of it may share.
op::Value GraphTracer::FilledAt(Attrs place, const op::Value& base, const op::Value& part) {
  const Attrs& filled = graph_.producer(recorder_.IdOf(part)).attrs;
  Attrs number = {{"value", int64_t{0}}, {"holds", true}};
  if (filled.Has("value")) number.Set("value", filled.Number("value"));
  const Shape& shape = base->meta().shape;
  place.Set("shape", std::vector<int64_t>(shape.begin(), shape.end()));
  const op::Value one = recorder_.Call("full_like", {part}, {{"value", int64_t{1}}});
  const op::Value ones = recorder_.Call("cast", {one}, {{"dtype", DType::kFloat32}});
  const op::Value counts = recorder_.Call("as_strided_adjoint", {ones}, place);
  const op::Value shown = recorder_.Call("cast", {counts}, {{"dtype", DType::kBool}});
  return recorder_.Call("where_number", {shown, base}, number);
}

Status GraphTracer::InPlace(const op::Value& given, const op::Value& value) {
  const op::Value target = given->is_symbolic() ? given : Lift(given);
  OFL_TRY(status());
  op::Value now = value;
  OFL_ASSIGN(const bool global, IsGlobal(target));
  if (global && !value->is_symbolic() && value->layout() == nullptr) {
    OFL_ASSIGN(
        tensor::TensorRef same,
        tensor::LocalAsBroadcast("[in-place] value", tensor::TensorRef(tensor::AsTensor(value)),
                                 PlacementOf(target)));
    now = Lift(op::Value(same));
    OFL_TRY(status());
  }
  OFL_TRY(Resolve(now));
  OFL_ASSIGN(const op::Value result, Fitted(target, now));
  OFL_ASSIGN(const int id, Own(target));
  OFL_ASSIGN(int after, Own(result));
  OFL_ASSIGN(const int before, Content(id));
  if (before == after) return Status::Ok();
  OFL_TRY(CheckApart(id, before, after));
  OFL_ASSIGN(after, Overwriting(id, before, after));
  const bool records = graph_.values[after].requires_grad && tensor::Context::Get().grad_enabled();
  const int root = memory_.Root(id);
  OFL_ASSIGN(const int whole, PutBack(id, after));
  if (graph_.producer(root).kind == ir::NodeKind::kVariable && !IsConstantVariable(root))
    OFL_TRY(ChangeVariable(root, whole, records));
  OFL_TRY(CheckInPlace(id));
  memory_.Change(root, whole);
  memory_.Know(id, after);
  return Status::Ok();
}

}  // namespace ofl::runtime
