#include "oneflow_like/runtime/graph_tracer.h"

#include "oneflow_like/tensor/context.h"

namespace ofl::runtime {

GraphTracer::GraphTracer(std::string name, int world_size, int micro_batches)
    : recorder_(&graph_, this) {
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

Result<sbp::Layout> GraphTracer::LayoutOf(const tensor::TensorImpl& eager) {
  (eager.is_global() ? global_ : local_) = true;
  OFL_ENSURE(!(local_ && global_), Code::kInvalidArgument)
      << "[nn.Graph] graph " << graph_.name << " mixes local and global tensors: got "
      << tensor::Describe(eager) << "; expected all local or all global; convert the local ones "
      << "with to_global(placement=..., sbp=...)";
  if (eager.is_global()) return *eager.layout();
  graph_.world_size = 1;
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

bool GraphTracer::GradientsAsTraced() const {
  for (const auto& [variable, required] : required_)
    if (variable->requires_grad() != required) return false;
  return true;
}

void GraphTracer::NameVariable(const tensor::TensorRef& eager, const std::string& name) {
  names_[eager.get()] = {eager, name};
}

Result<int> GraphTracer::AddVariable(const tensor::TensorRef& eager) {
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
  return AddVariable(eager);
}

op::Value GraphTracer::Lift(const op::Value& eager) {
  auto tensor = tensor::RequireTensor(eager);
  if (!tensor.ok()) return recorder_.Fail(tensor.status()), nullptr;
  auto value = VariableOf(*tensor);
  if (!value.ok()) return recorder_.Fail(value.status()), nullptr;
  return recorder_.Handle(*value);
}

Status GraphTracer::AddOutput(const op::Value& value) {
  const int id = recorder_.IdOf(value);
  OFL_TRY(recorder_.status());
  ir::Node& node =
      graph_.AddNode(ir::NodeKind::kOutput, "output", {id}, {}, graph_.values[id].placement);
  node.binding = num_outputs_++;
  return Status::Ok();
}

op::Values GraphTracer::Apply(const op::OpDef& def, op::Values inputs, const Attrs& attrs) {
  op::Values results = recorder_.Apply(def, std::move(inputs), attrs);
  if (!recorder_.status().ok()) Fail(recorder_.status());
  for (op::Value& result : results) result = ByGradMode(std::move(result));
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
  // A conversion to where it is: a value of its own that costs nothing.
  op::Value result = ToPlacement(lifted, PlacementOf(lifted));
  if (result) graph_.values[recorder_.IdOf(result)].requires_grad = false;
  return result;
}

bool GraphTracer::RequiresGrad(const op::Value& x) {
  const int id = recorder_.IdOf(x);
  return id >= 0 && graph_.values[id].requires_grad;
}

op::Value GraphTracer::ToLayout(const op::Value& x, const sbp::Layout& layout) {
  op::Value result = recorder_.ToLayout(x, layout);
  if (!recorder_.status().ok()) Fail(recorder_.status());
  return ByGradMode(std::move(result));
}

Placement GraphTracer::PlacementOf(const op::Value& value) {
  return static_cast<const ir::GraphValue*>(value.get())->placement();
}

op::Value GraphTracer::ToPlacement(const op::Value& x, const Placement& placement) {
  op::Value result = recorder_.ToPlacement(x, placement);
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
  const int id = recorder_.IdOf(loss);
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
  loss_ = id;
  return Status::Ok();
}

void GraphTracer::SetScope(tensor::SourceScope scope) {
  recorder_.set_location({std::move(scope.file), scope.line, std::move(scope.module_path)});
}

}  // namespace ofl::runtime
