#include "oneflow_like/runtime/graph_tracer.h"

#include <algorithm>
#include <numeric>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"

namespace ofl::runtime {

GraphTracer::GraphTracer(std::string name, int world_size, int micro_batches)
    : recorder_(&graph_, this), layouts_(graph_) {
  graph_.name = std::move(name);
  graph_.world_size = world_size;
  graph_.micro_batches = micro_batches;
}

int GraphTracer::Recorder::IdOf(const op::Value& value) {
  if (value && !value->is_symbolic()) {
    op::Value lifted = tracer_->Lift(value);
    return lifted ? GraphBuilder::IdOf(lifted) : -1;
  }
  return GraphBuilder::IdOf(value);
}

Status GraphTracer::Claim(bool global, const std::string& what) {
  (global ? global_ : local_) = true;
  OFL_ENSURE(!(local_ && global_), Code::kInvalidArgument)
      << "[nn.Graph] graph " << graph_.name << " mixes local and global tensors: got " << what
      << "; expected all local or all global; convert the local ones with "
      << "to_global(placement=..., sbp=...) before the call";
  if (local_) graph_.world_size = 1;
  return Status::Ok();
}

Result<sbp::Layout> GraphTracer::LayoutOf(const tensor::TensorImpl& eager) {
  OFL_TRY(Claim(eager.is_global(), tensor::Describe(eager)));
  if (eager.is_global()) return *eager.layout();
  OFL_ASSIGN(Placement here, Placement::Make(DeviceKind::kCpu, Shape{1}, {0}));
  return sbp::Layout{here, sbp::NdSbp::Broadcast(1)};
}

int GraphTracer::AddSource(ir::NodeKind kind, const std::string& stem, const TensorMeta& meta,
                           const sbp::Layout& layout) {
  ir::Node& node = graph_.AddNode(kind, stem, {}, {meta}, layout.placement);
  node.location = recorder_.location();
  graph_.values[node.outputs[0]].nd_sbp = layout.nd_sbp;
  return node.outputs[0];
}

Result<op::Value> GraphTracer::AddInput(const tensor::TensorRef& example, const std::string& name) {
  OFL_ASSIGN(sbp::Layout layout, LayoutOf(*example));
  TensorMeta meta = example->meta();
  const bool whole = meta.shape.rank() == 0;
  const int m = graph_.micro_batches;
  if (m > 1 && !whole) {
    int64_t parts = m;
    for (int axis = 0; axis < layout.nd_sbp.rank(); ++axis)
      if (layout.nd_sbp[axis].is_split(0)) parts *= layout.placement.hierarchy()[axis];
    OFL_ENSURE(meta.shape[0] % parts == 0, Code::kInvalidArgument)
        << "[nn.Graph] input " << name << " is " << meta.ToString() << " "
        << layout.nd_sbp.ToString() << ": expected its first axis to divide into " << m
        << " micro-batches on every rank, a multiple of " << parts
        << "; change the batch or set_gradient_accumulation_steps";
    meta.shape[0] /= m;
  }
  const int value = AddSource(ir::NodeKind::kInput, "input", meta, layout);
  ir::Node& node = graph_.producer(value);
  node.binding = num_inputs_++;
  node.variable = name;
  if (whole) node.attrs.Set("whole", true);
  return recorder_.Handle(value);
}

int GraphTracer::NumberInput(const std::string& name, const TensorMeta& meta,
                             const Placement& placement) {
  for (const Number& n : numbers_)
    if (n.name == name && n.placement == placement) return n.value;
  const sbp::Layout layout{placement, sbp::NdSbp::Broadcast(placement.hierarchy().rank())};
  const int value = AddSource(ir::NodeKind::kInput, "input", meta, layout);
  ir::Node& node = graph_.producer(value);
  node.binding = num_inputs_++;
  node.variable = name;
  node.attrs.Set("whole", true);
  numbers_.push_back({name, node.binding, value, meta, placement});
  return value;
}

Result<op::Draw> GraphTracer::NextDraw(tensor::Generator* generator) {
  const auto at = std::find(generators_.begin(), generators_.end(), generator);
  const auto index = static_cast<int>(at - generators_.begin());
  OFL_ENSURE(index < op::kMaxGenerators, Code::kUnimplemented)
      << "[nn.Graph] graph " << graph_.name << " draws from too many generators: got more than "
      << op::kMaxGenerators << "; expected fewer";
  if (at == generators_.end()) {
    generators_.push_back(generator);
    if (generator != nullptr) held_generators_.push_back(generator->weak_from_this().lock());
    graph_.generators.push_back({generator == nullptr ? std::string(ir::kDefaultGenerator)
                                                      : "generator_" + std::to_string(index),
                                 0});
  }
  int64_t& draws = graph_.generators[index].draws;
  OFL_ENSURE(draws < op::kMaxDraws, Code::kUnimplemented)
      << "[nn.Graph] graph " << graph_.name << " has too many random operators";
  return op::Draw{{0, draws++}, index};
}

bool GraphTracer::GradientsAsTraced() const {
  for (const auto& [variable, required] : required_)
    if (variable->requires_grad() != required || (loss_ >= 0 && HasHooks(*variable))) return false;
  return true;
}

void GraphTracer::NameVariable(const tensor::TensorRef& eager, const std::string& name) {
  names_[eager.get()] = {eager, name};
}

Result<int> GraphTracer::AddVariable(const tensor::TensorRef& eager) {
  OFL_ENSURE(!eager->read_only(), Code::kFailedPrecondition)
      << "[nn.Graph] a tensor of somebody else's memory, who lets nobody write there: got "
      << tensor::Describe(*eager) << "; expected memory of its own; use x.clone() before the call";
  OFL_ASSIGN(sbp::Layout layout, LayoutOf(*eager));
  auto named = names_.find(eager.get());
  std::string name =
      named != names_.end() ? named->second.second : "captured_" + std::to_string(lifted_.size());
  OFL_ENSURE(!variables_.count(name), Code::kInvalidArgument)
      << "two variables of graph " << graph_.name << " are named " << name;
  const int value = AddSource(ir::NodeKind::kVariable, "variable", eager->meta(), layout);
  graph_.producer(value).variable = name;
  graph_.values[value].requires_grad = eager->requires_grad();
  variables_[name] = eager;
  required_.emplace_back(eager, eager->requires_grad());
  lifted_[eager.get()] = value;
  return value;
}

Result<int> GraphTracer::VariableOf(const tensor::TensorRef& eager) {
  auto known = lifted_.find(eager.get());
  if (known != lifted_.end()) return known->second;
  if (const int same = TwinOf(eager); same >= 0) {
    required_.emplace_back(eager, false);
    lifted_[eager.get()] = same;
    return same;
  }
  return AddVariable(eager);
}

tensor::TensorRef& GraphTracer::Beside(const tensor::TensorRef& local, const Placement& placement) {
  for (auto& [key, global] : beside_)
    if (key.first == local && key.second == placement) return global;
  return beside_.emplace_back(std::pair(local, placement), nullptr).second;
}

// A variable of the same elements, as whose handle a tensor from outside goes; -1 without. Local
// ones alone: of global ones the ranks may share memory differently, and trace alike.
int GraphTracer::TwinOf(const tensor::TensorRef& eager) const {
  if (eager->is_global() || eager->requires_grad() || !eager->has_data()) return -1;
  for (const auto& [name, x] : variables_) {
    if (names_.contains(eager.get()) && !names_.contains(x.get())) continue;
    const bool same = x->storage() == eager->storage() &&
                      x->offset_bytes() == eager->offset_bytes() && x->meta() == eager->meta() &&
                      x->strides() == eager->strides() && !x->is_global();
    if (same && !x->requires_grad()) return lifted_.at(x.get());
  }
  return -1;
}

op::Value GraphTracer::Lift(const op::Value& eager) {
  // Callers ask the tracer for its status, the recorder's operations ask the recorder.
  const auto failed = [this](const Status& why) {
    recorder_.Fail(why);
    Fail(why);
    return op::Value();
  };
  auto tensor = tensor::RequireTensor(eager);
  if (!tensor.ok()) return failed(tensor.status());
  auto value = VariableOf(*tensor);
  if (!value.ok()) return failed(value.status());
  return recorder_.Handle(*value);
}

Status GraphTracer::AddOutput(const op::Value& value) {
  op::Value now = value && !value->is_symbolic() ? Lift(value) : value;
  OFL_TRY(recorder_.status());
  OFL_TRY(Resolve(now));
  const int id = recorder_.IdOf(now);
  OFL_TRY(recorder_.status());
  ir::Node& node =
      graph_.AddNode(ir::NodeKind::kOutput, "output", {id}, {}, graph_.values[id].placement);
  node.binding = num_outputs_++;
  local_outputs_.push_back(layouts_.IsLocal(id));
  return Status::Ok();
}

Status GraphTracer::Finish() {
  if (!global_) OFL_TRY(Claim(false, "constants"));
  OFL_TRY(StoreVariables());
  if (local_) return Status::Ok();
  std::vector<int> outputs;
  std::erase_if(graph_.order, [&](int id) {
    const bool output = graph_.nodes[id].kind == ir::NodeKind::kOutput;
    if (output) outputs.push_back(id);
    return output;
  });
  std::vector<int> ranks(static_cast<size_t>(graph_.world_size));
  std::iota(ranks.begin(), ranks.end(), 0);
  OFL_ASSIGN(const Placement all,
             Placement::Make(DeviceKind::kCpu, Shape{graph_.world_size}, std::move(ranks)));
  for (int id : outputs) {
    if (!local_outputs_[graph_.nodes[id].binding]) continue;
    int value = graph_.nodes[id].inputs[0];  // every rank gets its own, whole
    if (graph_.values[value].placement.size() != all.size()) value = Rehome(value, all);
    OFL_TRY(recorder_.status());
    const Placement placement = graph_.values[value].placement;
    Pin(value, sbp::NdSbp::Broadcast(placement.hierarchy().rank()));
    graph_.nodes[id].inputs[0] = value;
    graph_.nodes[id].placement = placement;
  }
  graph_.order.insert(graph_.order.end(), outputs.begin(), outputs.end());
  return Status::Ok();
}

void GraphTracer::Pin(int value, const sbp::NdSbp& nd_sbp) {
  const ir::NodeKind kind = graph_.producer(value).kind;
  if (kind == ir::NodeKind::kInput || kind == ir::NodeKind::kVariable) return;  // fixed anyway
  graph_.values[value].nd_sbp = nd_sbp;
  graph_.values[value].pinned = true;
}

int GraphTracer::Rehome(int value, const Placement& placement) {
  if (graph_.values[value].placement == placement) return value;
  for (const auto& [from, to] : homes_)
    if (from.first == value && from.second == placement) return to;
  const ir::Node node = graph_.producer(value);
  op::Value made;
  if (node.kind != ir::NodeKind::kOp) {  // a rank's own copy of a global tensor: it travels
    made = recorder_.ToPlacement(recorder_.Handle(value), placement);
  } else if (node.inputs.empty()) {
    made = recorder_.ApplySource(node.op->name, node.attrs, placement);
  } else {
    op::Values inputs;
    for (int v : node.inputs) inputs.push_back(recorder_.Handle(Rehome(v, placement)));
    made =
        recorder_.Apply(*node.op, std::move(inputs), node.attrs)[graph_.values[value].output_index];
  }
  if (!made) return value;  // the recorder has the error
  const int id = recorder_.IdOf(made);
  graph_.values[id].requires_grad = graph_.values[value].requires_grad;
  homes_.push_back({{value, placement}, id});
  return id;
}

Status GraphTracer::GatherOperands(op::Values& inputs) {
  Placement placement;
  bool apart = false;
  for (const op::Value& input : inputs) {
    const int id = recorder_.IdOf(input);
    OFL_TRY(recorder_.status());
    apart |= !(graph_.values[id].placement == graph_.values[recorder_.IdOf(inputs[0])].placement);
    if (!layouts_.IsLocal(id) && !placement.defined()) placement = graph_.values[id].placement;
  }
  if (!apart) return Status::Ok();
  for (op::Value& input : inputs) {
    const int id = recorder_.IdOf(input);
    if (!layouts_.IsLocal(id)) continue;
    // Local ones alone meet where the first is.
    if (!placement.defined()) placement = graph_.values[id].placement;
    input = recorder_.Handle(Rehome(id, placement));
  }
  return recorder_.status();
}

op::Values GraphTracer::Apply(const op::OpDef& def, op::Values inputs, const Attrs& attrs) {
  Status ready;
  int base = -1;  // as build() names it, whatever it holds now
  if (def.view != nullptr && inputs.size() == 1) base = recorder_.IdOf(inputs[0]);
  if (def.name == "as_strided_put") ready = CheckWhole(def, recorder_.IdOf(inputs[0]));
  const op::Value given = def.name == "assign" ? inputs[0] : nullptr;
  for (size_t i = 0; ready.ok() && i < inputs.size(); ++i) ready = Resolve(inputs[i]);
  if (ready.ok()) ready = GatherOperands(inputs);
  if (ready.ok() && given != nullptr) {
    const Result<bool> own = IsBuildsOwn(given);
    ready = !own.ok() ? own.status() : *own ? InPlace(given, inputs[1]) : ready;
    if (!ready.ok()) Fail(ready.WithNote("in [" + def.name + "]"));
    if (!ready.ok() || *own) return {};
  }
  if (ready.ok()) ready = CheckUpdates(def, inputs, attrs);
  if (ready.ok() && base >= 0) ready = CheckView(def, base, attrs);
  if (!ready.ok()) return Fail(ready), op::Values(def.outputs.size());
  op::Values results = recorder_.Apply(def, std::move(inputs), attrs);
  if (!recorder_.status().ok()) Fail(recorder_.status());
  for (op::Value& result : results) result = ByGradMode(std::move(result));
  if (base >= 0 && recorder_.status().ok()) NoteView(def, base, results);
  return results;
}

op::Value GraphTracer::ByGradMode(op::Value result) {
  if (result && !tensor::Context::Get().grad_enabled())
    graph_.values[recorder_.IdOf(result)].requires_grad = false;
  return result;
}

op::Value GraphTracer::Detach(const op::Value& x) {
  op::Value lifted = x->is_symbolic() ? x : Lift(x);
  if (!lifted) return nullptr;
  const op::Value now = Now(lifted);
  if (!now) return nullptr;
  // A conversion to where it is: a value of its own that costs nothing.
  op::Value result = ToPlacement(now, PlacementOf(now));
  if (!result) return nullptr;
  const int id = recorder_.IdOf(result);
  graph_.values[id].requires_grad = false;
  memory_.Share(id, {recorder_.IdOf(lifted), TracedMemory::Link::kDetached});
  return result;
}

bool GraphTracer::RequiresGrad(const op::Value& x) {
  const op::Value now = Now(x);
  const int id = now ? recorder_.IdOf(now) : -1;
  return id >= 0 && graph_.values[id].requires_grad;
}

// --- what values answer
// ---------------------------------------------------------------------------

Result<int> GraphTracer::Own(const op::Value& value) const {
  const auto* symbolic = static_cast<const ir::GraphValue*>(value.get());
  OFL_ENSURE(symbolic->graph_serial() == graph_.serial, Code::kFailedPrecondition)
      << "[nn.Graph] a tensor of another graph was asked in build() of " << graph_.name << ": got "
      << symbolic->meta().ToString() << "; expected a value of this build(); pass it as an input";
  return symbolic->id();
}

Result<bool> GraphTracer::IsGlobal(const op::Value& value) {
  OFL_ASSIGN(const int id, Own(value));
  return !local_ && !layouts_.IsLocal(id);
}

Result<sbp::Layout> GraphTracer::LikelyLayout(const op::Value& value) {
  OFL_ASSIGN(const int id, Own(value));
  OFL_ASSIGN(sbp::NdSbp nd_sbp, layouts_.LayoutOf(id));
  return sbp::Layout{graph_.values[id].placement, nd_sbp};
}

Result<sbp::Layout> GraphTracer::PinnedLayout(const op::Value& value) {
  OFL_ASSIGN(sbp::Layout layout, LikelyLayout(value));
  OFL_ASSIGN(const int id, Own(value));
  OFL_ASSIGN(const int content, Content(id));
  Pin(content, layout.nd_sbp);
  return layout;
}

Result<op::Value> GraphTracer::ToLocal(const op::Value& value) {
  OFL_ASSIGN(const bool global, IsGlobal(value));
  OFL_ENSURE(global, Code::kInvalidArgument)
      << "[to_local] Expected global tensor for to_local but got local tensor: got "
      << value->meta().ToString() << ", a local value in build() of " << graph_.name
      << "; expected a global tensor; leave to_local() out";
  OFL_ASSIGN(const sbp::Layout layout, LikelyLayout(value));
  bool whole = layout.placement.size() == graph_.world_size;
  for (int k = 0; k < layout.nd_sbp.rank(); ++k)
    whole &= layout.nd_sbp[k].is_broadcast() || layout.placement.hierarchy()[k] == 1;
  OFL_ENSURE(whole, Code::kUnimplemented)
      << "[to_local] each rank would hold another tensor, and a graph is one program for all: got "
      << value->meta().ToString() << " in " << layout.ToString() << " in build() of " << graph_.name
      << "; expected flow.sbp.broadcast on all " << graph_.world_size
      << " ranks; stay with the global tensor, use x.to_global(placement=..., sbp=...) first, or "
         "return it and call to_local() on the result";
  OFL_ASSIGN(const int id, Own(value));
  Pin(id, layout.nd_sbp);
  op::Value result = ToLayout(value, layout);
  OFL_TRY(status());
  layouts_.Mark(recorder_.IdOf(result), true);
  return result;
}

Result<op::Value> GraphTracer::Source(const op::OpDef& op, const Attrs& attrs,
                                      const sbp::Layout& layout) {
  OFL_TRY(Claim(true, "the result of " + op.name + " on " + layout.placement.ToString()));
  op::Value made = recorder_.ApplySource(op.name, attrs, layout.placement);
  OFL_TRY(recorder_.status());
  const int id = recorder_.IdOf(made);
  layouts_.Mark(id, false);
  const TensorMeta outputs[] = {made->meta()};
  OFL_ASSIGN(auto signatures, op.Signatures({}, outputs, attrs, layout.placement.hierarchy()));
  for (const sbp::NdSignature& signature : signatures) {
    if (!(signature.outputs[0] == layout.nd_sbp)) continue;
    Pin(id, layout.nd_sbp);
    return made;
  }
  made = ToLayout(made, layout);  // a partial layout is reached from the whole
  OFL_TRY(status());
  return made;
}

Result<op::Value> GraphTracer::LaidLike(const op::Value& value, const op::Value& other) {
  OFL_ASSIGN(const int made, Own(value));
  OFL_ASSIGN(const int model, Own(other));
  const int id = Rehome(made, graph_.values[model].placement);
  OFL_TRY(recorder_.status());
  layouts_.Mark(id, false);
  layouts_.LieLike(id, model);
  return recorder_.Handle(id);
}

Result<op::Value> GraphTracer::LocalAsBroadcast(const op::Value& value,
                                                const Placement& placement) {
  OFL_ASSIGN(const int id, Own(value));
  OFL_ASSIGN(const int content, Content(id));
  const op::Value here = recorder_.Handle(Rehome(content, placement));
  op::Value result =
      recorder_.ToLayout(here, {placement, sbp::NdSbp::Broadcast(placement.hierarchy().rank())});
  OFL_TRY(recorder_.status());
  memory_.Share(recorder_.IdOf(result), {id, TracedMemory::Link::kSame});
  return ByGradMode(std::move(result));
}

op::Value GraphTracer::ToLayout(const op::Value& x, const sbp::Layout& layout) {
  if (Status claimed = Claim(true, "a conversion to " + layout.ToString()); !claimed.ok())
    return Fail(claimed), nullptr;
  const op::Value now = Now(x);
  if (!now) return nullptr;
  const int from = recorder_.IdOf(x);
  op::Value result = recorder_.ToLayout(now, layout);
  if (!recorder_.status().ok()) Fail(recorder_.status());
  if (!result) return nullptr;
  if (SharesMemory(from, layout))
    memory_.Share(recorder_.IdOf(result), {from, TracedMemory::Link::kSame});
  return ByGradMode(std::move(result));
}

Placement GraphTracer::PlacementOf(const op::Value& value) {
  return static_cast<const ir::GraphValue*>(value.get())->placement();
}

op::Value GraphTracer::ToPlacement(const op::Value& x, const Placement& placement) {
  const op::Value now = Now(x);
  if (!now) return nullptr;
  op::Value result = recorder_.ToPlacement(now, placement);
  if (!recorder_.status().ok()) Fail(recorder_.status());
  return ByGradMode(std::move(result));
}

Status GraphTracer::Backward(const op::Value& loss) {
  OFL_ENSURE(loss && loss->is_symbolic(), Code::kInvalidArgument)
      << "[backward] the loss was not computed in build(): got "
      << (loss ? loss->meta().ToString() : "nothing") << "; expected a value of this graph";
  OFL_ENSURE(loss_ < 0, Code::kUnimplemented)
      << "[backward] backward() was called twice in one build(); expected one call; add the losses "
         "and call it once";
  op::Value now = loss;
  OFL_TRY(Resolve(now));
  const int id = recorder_.IdOf(now);
  OFL_TRY(recorder_.status());
  OFL_ENSURE(graph_.values[id].meta.shape.numel() == 1, Code::kInvalidArgument)
      << "[backward] backward() needs a loss of one element: got "
      << graph_.values[id].meta.ToString() << "; reduce it with mean() or sum()";
  OFL_ENSURE(graph_.values[id].requires_grad, Code::kInvalidArgument)
      << "[backward] backward() was called on a loss that depends on no parameter that requires a "
         "gradient: got "
      << graph_.values[id].meta.ToString()
      << "; expected one computed with gradients on, from trainable parameters; check no_grad(), "
         "detach() and requires_grad_(False)";
  for (const auto& [name, variable] : variables_)
    OFL_ENSURE(!HasHooks(*variable), Code::kUnimplemented)
        << "[backward] a parameter has a hook, which backward() inside build() of a graph would "
        << "not call: got register_hook() or register_post_accumulate_grad_hook() of " << name
        << "; expected none; remove() it, or call the modules outside graphs";
  loss_ = id;
  return Status::Ok();
}

void GraphTracer::SetScope(tensor::SourceScope scope) {
  recorder_.set_location({std::move(scope.file), scope.line, std::move(scope.module_path)});
}

}  // namespace ofl::runtime
