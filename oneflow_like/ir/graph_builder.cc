#include "oneflow_like/ir/graph_builder.h"

namespace ofl::ir {

GraphValue::GraphValue(const Graph* graph, int id)
    : graph_serial_(graph->serial),
      id_(id),
      meta_(graph->values[id].meta),
      placement_(graph->values[id].placement) {
  const Value& value = graph->values[id];
  if (value.nd_sbp) layout_ = value.layout();
}

int GraphBuilder::IdOf(const op::Value& value) {
  if (!value || !value->is_symbolic()) {
    Fail(Error(Code::kInvalidArgument)
         << "a graph operator got a tensor that is not part of the graph");
    return -1;
  }
  const auto* symbolic = static_cast<const GraphValue*>(value.get());
  if (symbolic->graph_serial() != graph_->serial) {
    Fail(Error(Code::kInvalidArgument)
         << "[nn.Graph] a tensor of another graph was used in graph " << graph_->name << ": got "
         << symbolic->meta().ToString()
         << " kept from an earlier build(); expected values of this build(); pass it as an input");
    return -1;
  }
  return symbolic->id();
}

Node& GraphBuilder::Stamp(Node& node) {
  node.segment = segment_;
  node.location = location_;
  return node;
}

op::Values GraphBuilder::Apply(const op::OpDef& def, op::Values inputs, const Attrs& attrs) {
  if (!status_.ok()) return op::Values(def.outputs.size());
  std::vector<int> ids;
  std::vector<TensorMeta> metas;
  Placement placement;
  bool requires_grad = false;
  for (const op::Value& input : inputs) {
    const int id = IdOf(input);
    if (id < 0) return op::Values(def.outputs.size());
    const Value& value = graph_->values[id];
    if (placement.defined() && !(placement == value.placement)) {
      Fail(Error(Code::kInvalidArgument)
           << "[" << def.name << "] all tensors must be on the same placement: got "
           << placement.ToString() << " and " << value.placement.ToString()
           << "; convert one with to_global(placement=..., sbp=...) or GraphModule.set_stage");
      return op::Values(def.outputs.size());
    }
    placement = value.placement;
    requires_grad |= value.requires_grad;
    ids.push_back(id);
    metas.push_back(value.meta);
  }
  if (!placement.defined() && source_placement_.defined()) {
    placement = source_placement_;
  } else if (!placement.defined()) {
    // A source operator has no operand to follow: it lives where the graph's first value lives.
    placement = graph_->values.empty() ? *Placement::Make(DeviceKind::kCpu, Shape{1}, {0})
                                       : graph_->values.front().placement;
  }
  auto complete = def.CompleteAttrs(attrs);
  if (!complete.ok()) return Fail(complete.status()), op::Values(def.outputs.size());
  auto outputs = def.Infer(metas, *complete);
  if (!outputs.ok()) return Fail(outputs.status()), op::Values(def.outputs.size());
  Node& node = Stamp(graph_->AddNode(NodeKind::kOp, def.name, ids, *outputs, placement));
  node.op = &def;
  node.attrs = *std::move(complete);
  op::Values handles;
  // What has no gradient takes part: a backward that comes there refuses, as in eager.
  requires_grad &= !def.Has(op::Trait::kIgnoresValues);
  for (int v : node.outputs) {
    graph_->values[v].requires_grad =
        requires_grad && IsDifferentiable(graph_->values[v].meta.dtype);
    handles.push_back(Handle(v));
  }
  return handles;
}

op::Value GraphBuilder::ApplySource(std::string_view op, const Attrs& attrs,
                                    const Placement& placement) {
  source_placement_ = placement;
  op::Value value = Call(op, {}, attrs);
  source_placement_ = {};
  return value;
}

op::Value GraphBuilder::ToLayout(const op::Value& x, const sbp::Layout& layout) {
  if (!status_.ok()) return nullptr;
  const int id = IdOf(x);
  if (id < 0) return nullptr;
  const TensorMeta meta = graph_->values[id].meta;
  const bool requires_grad = graph_->values[id].requires_grad;
  if (Status legal = sbp::CheckLayout("to_global", meta.dtype, meta.shape, layout); !legal.ok())
    return Fail(legal), nullptr;
  Node& node =
      Stamp(graph_->AddNode(NodeKind::kToLayout, "to_global", {id}, {meta}, layout.placement));
  node.target = layout.nd_sbp;
  graph_->values[node.outputs[0]].requires_grad = requires_grad;
  return Handle(node.outputs[0]);
}

op::Value GraphBuilder::Follow(const op::Value& x, int value, const Placement& placement) {
  if (!status_.ok()) return nullptr;
  const int id = IdOf(x);
  if (id < 0) return nullptr;
  const TensorMeta meta = graph_->values[id].meta;
  const bool requires_grad = graph_->values[id].requires_grad;
  Node& node = Stamp(graph_->AddNode(NodeKind::kToLayout, "to_global", {id}, {meta}, placement));
  node.dual_of = value < 0 ? id : value;
  graph_->values[node.outputs[0]].requires_grad = requires_grad;
  return Handle(node.outputs[0]);
}

op::Value GraphBuilder::ToDualOf(const op::Value& x, int value) {
  return Follow(x, value, graph_->values[value].placement);
}

op::Value GraphBuilder::ToPlacement(const op::Value& x, const Placement& placement) {
  return Follow(x, -1, placement);
}

}  // namespace ofl::ir
