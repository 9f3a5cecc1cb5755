#include "oneflow_like/ir/graph.h"

#include <atomic>
#include <sstream>

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

namespace {

Status VerifyOp(const Graph& graph, const Node& node) {
  std::vector<TensorMeta> inputs;
  for (int v : node.inputs) inputs.push_back(graph.values[v].meta);
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

Status VerifyNode(const Graph& graph, const Node& node, std::vector<bool>& produced) {
  for (int v : node.inputs) {
    OFL_ENSURE(v >= 0 && v < static_cast<int>(graph.values.size()), Code::kInternal)
        << node.name << " reads value " << v << ", which does not exist";
    OFL_ENSURE(produced[v], Code::kInternal)
        << node.name << " reads %" << v << " before it is produced";
  }
  if (node.kind == NodeKind::kOp) OFL_TRY(VerifyOp(graph, node));
  const bool argument = node.kind == NodeKind::kInput || node.kind == NodeKind::kOutput;
  OFL_ENSURE(!argument || node.binding >= 0, Code::kInternal)
      << node.name << " is bound to no argument";
  for (int v : node.outputs) {
    OFL_ENSURE(!produced[v] && graph.values[v].producer == node.id, Code::kInternal)
        << node.name << " does not own its output %" << v;
    produced[v] = true;
    const Value& value = graph.values[v];
    if (value.nd_sbp)
      OFL_TRY(sbp::CheckLayout(node.name, value.meta.dtype, value.meta.shape, value.layout()));
  }
  return Status::Ok();
}

}  // namespace

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

namespace {

std::string TypeText(const Value& value) {
  std::string text = value.meta.ToString();
  if (value.nd_sbp) {
    text += "{";
    for (int i = 0; i < value.nd_sbp->rank(); ++i)
      text += (i > 0 ? "," : "") + (*value.nd_sbp)[i].ToString();
    text += "}";
  }
  return text;
}

void PrintNode(const Graph& graph, const Node& node, std::ostringstream& out) {
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const Value& value = graph.values[node.outputs[i]];
    out << (i > 0 ? ", " : "") << "%" << value.id << ": " << TypeText(value);
  }
  if (!node.outputs.empty()) out << " = ";
  out << node.name << "(";
  for (size_t i = 0; i < node.inputs.size(); ++i) out << (i > 0 ? ", %" : "%") << node.inputs[i];
  out << ")";
  if (node.attrs.size() > 0) out << " " << node.attrs.ToString();
  if (node.kind == NodeKind::kVariable) out << " '" << node.variable << "'";
  if (node.kind == NodeKind::kInput || node.kind == NodeKind::kOutput) out << " #" << node.binding;
  if (node.target) out << " -> " << node.target->ToString();
  for (const sbp::BoxingStep& step : node.steps)
    out << " " << sbp::StepKindName(step.kind) << " " << step.from.ToString() << " -> "
        << step.to.ToString() << " " << step.total_bytes << " B;";
  out << " @" << node.placement.ToString() << " " << SegmentName(node.segment) << "\n";
}

}  // namespace

std::string Print(const Graph& graph) {
  std::ostringstream out;
  out << "graph " << graph.name << " world " << graph.world_size << " micro_batches "
      << graph.micro_batches << "\n";
  for (int id : graph.order) PrintNode(graph, graph.nodes[id], out);
  return out.str();
}

}  // namespace ofl::ir
