#include "oneflow_like/ir/graph.h"

#include <atomic>

namespace ofl::ir {

const char* NodeKindName(NodeKind kind) {
  switch (kind) {
    case NodeKind::kInput: return "input";
    case NodeKind::kVariable: return "variable";
    case NodeKind::kOp: return "op";
    case NodeKind::kToLayout: return "to_layout";
    case NodeKind::kBoxing: return "boxing";
    case NodeKind::kAccumulate: return "accumulate";
    case NodeKind::kOutput: return "output";
  }
  return "unknown";
}

const char* SegmentName(Segment segment) {
  switch (segment) {
    case Segment::kForward: return "forward";
    case Segment::kBackward: return "backward";
    case Segment::kUpdate: return "update";
  }
  return "unknown";
}

uint64_t Graph::NextSerial() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

Node& Graph::AddNode(NodeKind kind, std::string stem, std::vector<int> inputs,
                     std::vector<TensorMeta> outputs, Placement placement) {
  Node node;
  node.id = static_cast<int>(nodes.size());
  node.kind = kind;
  node.name = stem + "_" + std::to_string(node.id);
  node.inputs = std::move(inputs);
  node.placement = placement;
  for (TensorMeta& meta : outputs) {
    Value value;
    value.id = static_cast<int>(values.size());
    value.meta = meta;
    value.producer = node.id;
    value.output_index = static_cast<int>(node.outputs.size());
    value.placement = placement;
    node.outputs.push_back(value.id);
    values.push_back(std::move(value));
  }
  order.push_back(node.id);
  nodes.push_back(std::move(node));
  return nodes.back();
}

int64_t Graph::BytesMoved(const Node& boxing) {
  int64_t bytes = 0;
  for (const sbp::BoxingStep& step : boxing.steps) bytes += step.total_bytes;
  return bytes;
}

std::vector<std::vector<int>> Graph::Consumers() const {
  std::vector<std::vector<int>> consumers(values.size());
  for (int id : order)
    for (int value : nodes[id].inputs) consumers[value].push_back(id);
  return consumers;
}

int Graph::Root(int value) const {
  while (values[value].view) value = producer(value).inputs[0];
  return value;
}

namespace {

// An operator that draws has a place among the draws of a generator of the graph.
Status VerifyDraw(const Graph& graph, const Node& node) {
  if (!node.op->Draws()) return Status::Ok();
  const std::optional<op::Draw> draw = op::Draw::Of(node.attrs);
  const auto count = static_cast<int>(graph.generators.size());
  OFL_ENSURE(draw && draw->generator >= 0 && draw->generator < count && draw->at.seed == 0 &&
                 draw->at.offset >= 0 && draw->at.offset < graph.generators[draw->generator].draws,
             Code::kInternal)
      << node.name << " has no draw of the graph's " << count << " generators: got "
      << node.attrs.ToString() << "; expected " << op::kDraw << "=[0, place, generator]";
  return Status::Ok();
}

Status VerifyOp(const Graph& graph, const Node& node) {
  std::vector<TensorMeta> inputs;
  for (int v : node.inputs) inputs.push_back(graph.values[v].meta);
  OFL_ENSURE(node.op != nullptr, Code::kInternal) << node.name << " has no operator";
  OFL_TRY(VerifyDraw(graph, node));
  OFL_ASSIGN(auto outputs, node.op->Infer(inputs, node.attrs));
  OFL_ENSURE(outputs.size() == node.outputs.size(), Code::kInternal)
      << node.name << " has " << node.outputs.size() << " outputs, its operator infers "
      << outputs.size();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorMeta& meta = graph.values[node.outputs[i]].meta;
    OFL_ENSURE(outputs[i] == meta, Code::kInternal)
        << node.name << " output " << i << " is recorded as " << meta.ToString()
        << " but infers as " << outputs[i].ToString();
  }
  return Status::Ok();
}

// What a node of this kind takes and gives, besides what an operator infers.
Status VerifyArity(const Graph& graph, const Node& node) {
  const bool source = node.kind == NodeKind::kInput || node.kind == NodeKind::kVariable;
  const size_t inputs = source ? 0 : 1;
  const size_t outputs = node.kind == NodeKind::kOutput ? 0 : 1;
  OFL_ENSURE(node.inputs.size() == inputs && node.outputs.size() == outputs, Code::kInternal)
      << node.name << " has " << node.inputs.size() << " inputs and " << node.outputs.size()
      << " outputs; expected " << inputs << " and " << outputs << " of a "
      << NodeKindName(node.kind);
  if (source) {
    OFL_ENSURE(graph.values[node.outputs[0]].nd_sbp, Code::kInternal)
        << node.name << " has no layout, which its maker must fix";
  } else if (outputs == 1) {
    const TensorMeta& from = graph.values[node.inputs[0]].meta;
    const TensorMeta& to = graph.values[node.outputs[0]].meta;
    OFL_ENSURE(from == to, Code::kInternal) << node.name << " turns " << from.ToString() << " into "
                                            << to.ToString() << "; expected the same type";
  }
  return Status::Ok();
}

// The steps lead from the operand's layout to the result's.
Status VerifySteps(const Graph& graph, const Node& node) {
  const Value& from = graph.values[node.inputs[0]];
  const Value& to = graph.values[node.outputs[0]];
  OFL_ENSURE(!node.steps.empty() && from.nd_sbp && to.nd_sbp, Code::kInternal)
      << node.name << " converts without steps or without a layout";
  const sbp::Layout start = from.layout();
  const sbp::Layout* at = &start;
  for (const sbp::BoxingStep& step : node.steps) {
    OFL_ENSURE(step.from == *at, Code::kInternal)
        << node.name << " has a step from " << step.from.ToString() << " where the tensor is "
        << at->ToString();
    OFL_TRY(sbp::CheckLayout(node.name, from.meta.dtype, from.meta.shape, step.to));
    at = &step.to;
  }
  OFL_ENSURE(*at == to.layout(), Code::kInternal)
      << node.name << " ends in " << at->ToString() << ", but its result is "
      << to.layout().ToString();
  return Status::Ok();
}

Status VerifySignature(const Graph& graph, const Node& node) {
  if (!node.signature) return Status::Ok();
  const sbp::NdSignature& chosen = *node.signature;
  OFL_ENSURE(
      chosen.inputs.size() == node.inputs.size() && chosen.outputs.size() == node.outputs.size(),
      Code::kInternal)
      << node.name << " has " << node.inputs.size() << " inputs and " << node.outputs.size()
      << " outputs, its signature is " << chosen.ToString();
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const Value& value = graph.values[node.outputs[i]];
    OFL_ENSURE(value.nd_sbp && *value.nd_sbp == chosen.outputs[i], Code::kInternal)
        << node.name << " output " << i << " has another layout than in its signature "
        << chosen.ToString();
  }
  return Status::Ok();
}

Status VerifyKind(const Graph& graph, const Node& node, const std::vector<bool>& produced) {
  if (node.kind == NodeKind::kOp) {
    OFL_TRY(VerifyOp(graph, node));
    return VerifySignature(graph, node);
  }
  OFL_TRY(VerifyArity(graph, node));
  if (node.kind == NodeKind::kBoxing) return VerifySteps(graph, node);
  if (node.kind == NodeKind::kToLayout) {
    const int dual = node.dual_of;
    OFL_ENSURE(node.target.has_value() != (dual >= 0), Code::kInternal)
        << node.name << " needs either a target or a value to be the dual of";
    OFL_ENSURE(dual < static_cast<int>(produced.size()) && (dual < 0 || produced[dual]),
               Code::kInternal)
        << node.name << " follows the layout of %" << dual << ", which is not produced before it";
  }
  const bool argument = node.kind == NodeKind::kInput || node.kind == NodeKind::kOutput;
  OFL_ENSURE(!argument || node.binding >= 0, Code::kInternal)
      << node.name << " is bound to no argument";
  return Status::Ok();
}

}  // namespace

Status VerifyNode(const Graph& graph, const Node& node, std::vector<bool>& produced) {
  for (int v : node.inputs) {
    OFL_ENSURE(v >= 0 && v < static_cast<int>(graph.values.size()), Code::kInternal)
        << node.name << " reads value " << v << ", which does not exist";
    OFL_ENSURE(produced[v], Code::kInternal)
        << node.name << " reads %" << v << " before it is produced";
  }
  OFL_TRY(VerifyKind(graph, node, produced));
  for (int v : node.outputs) {
    OFL_ENSURE(!produced[v] && graph.values[v].producer == node.id, Code::kInternal)
        << node.name << " does not own its output %" << v;
    produced[v] = true;
    const Value& value = graph.values[v];
    OFL_ENSURE(!value.pinned || value.nd_sbp, Code::kInternal)
        << node.name << " pins %" << v << " to no layout";
    OFL_ENSURE(!value.view || (node.op != nullptr && node.op->view != nullptr && value.nd_sbp &&
                               node.outputs.size() == 1 && !node.inputs.empty()),
               Code::kInternal)
        << node.name << " makes %" << v << ", which cannot be a view: expected the one result of "
        << "an operator with a View, with its layout chosen";
    if (value.nd_sbp)
      OFL_TRY(sbp::CheckLayout(node.name, value.meta.dtype, value.meta.shape, value.layout()));
  }
  return Status::Ok();
}

Status Verify(const Graph& graph) {
  std::vector<bool> produced(graph.values.size(), false);
  std::vector<bool> seen(graph.nodes.size(), false);
  for (int id : graph.order) {
    OFL_ENSURE(id >= 0 && id < static_cast<int>(graph.nodes.size()) && !seen[id], Code::kInternal)
        << "the order of graph " << graph.name << " lists node " << id << " wrongly";
    seen[id] = true;
    OFL_TRY(VerifyNode(graph, graph.nodes[id], produced));
  }
  return Status::Ok();
}

}  // namespace ofl::ir
