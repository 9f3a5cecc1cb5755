// The text form of a graph; ir/parse.h describes it, ir/parse.cc reads it back.

#include <sstream>

#include "oneflow_like/ir/graph.h"

namespace ofl::ir {
namespace {

std::string PlacementText(const Placement& placement) {
  std::string text = placement.ToString();
  if (!placement.defined() || placement.axis_names().empty()) return text;
  text.back() = ',';  // the closing parenthesis comes after the names
  for (size_t i = 0; i < placement.axis_names().size(); ++i)
    text += (i > 0 ? ", " : " axes=[") + Quoted(placement.axis_names()[i]);
  return text + "])";
}

std::string LayoutText(const sbp::Layout& layout) {
  return PlacementText(layout.placement) + " " + layout.nd_sbp.ToString();
}

std::string TypeText(const Value& value) {
  std::string text = value.meta.ToString();
  if (value.nd_sbp) {
    text += "{";
    for (int i = 0; i < value.nd_sbp->rank(); ++i)
      text += (i > 0 ? "," : "") + (*value.nd_sbp)[i].ToString();
    text += "}";
  }
  return text + (value.pinned ? " pinned" : "") + (value.requires_grad ? " grad" : "") +
         (value.view ? " view" : "");
}

std::string StepText(const sbp::BoxingStep& step) {
  Attrs attrs{{"bytes", step.total_bytes},
              {"rank_bytes", step.max_rank_bytes},
              {"rounds", step.rounds},
              {"cost_ps", step.cost_ps}};
  if (step.mesh_axis >= 0) attrs.Set("axis", int64_t{step.mesh_axis});
  if (step.order == sbp::ReduceOrder::kBackend) attrs.Set("order", std::string("backend"));
  if (!step.codec.empty()) attrs.Set("codec", step.codec);
  return std::string(sbp::StepKindName(step.kind)) + " " + LayoutText(step.from) + " -> " +
         LayoutText(step.to) + " " + attrs.ToString() + ";";
}

// What a conversion was inserted for; its segment where the text has no line for it.
std::string CauseText(const Graph& graph, int cause, const std::vector<bool>& listed) {
  const Node& node = graph.nodes[cause];
  return " for " + node.name +
         (listed[cause] ? "" : std::string(" (") + SegmentName(node.segment) + ")");
}

void PrintNode(const Graph& graph, const Node& node, const std::vector<bool>& listed,
               std::ostringstream& out) {
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const Value& value = graph.values[node.outputs[i]];
    out << (i > 0 ? ", " : "") << "%" << value.id << ": " << TypeText(value);
  }
  if (!node.outputs.empty()) out << " = ";
  out << node.name << "(";
  for (size_t i = 0; i < node.inputs.size(); ++i) out << (i > 0 ? ", %" : "%") << node.inputs[i];
  out << ")";
  if (node.attrs.size() > 0) out << " " << node.attrs.ToString();
  if (!node.variable.empty()) out << " " << Quoted(node.variable);
  if (node.kind == NodeKind::kInput || node.kind == NodeKind::kOutput) out << " #" << node.binding;
  if (node.target) out << " -> " << node.target->ToString();
  if (node.dual_of >= 0) out << " -> dual of %" << node.dual_of;
  for (const sbp::BoxingStep& step : node.steps) out << " " << StepText(step);
  if (node.cause >= 0) out << CauseText(graph, node.cause, listed);
  if (node.continue_before >= 0) out << " before " << graph.nodes[node.continue_before].name;
  if (node.signature) out << " as " << node.signature->ToString();
  if (node.choice_cost_ps > 0) out << " cost " << node.choice_cost_ps;
  out << " @" << PlacementText(node.placement) << " " << SegmentName(node.segment);
  const Location& at = node.location;
  if (!at.file.empty() || at.line != 0 || !at.module_path.empty())
    out << " at " << Quoted(at.file) << ":" << at.line << " " << Quoted(at.module_path);
  out << "\n";
}

}  // namespace

std::string Print(const Graph& graph) {
  std::vector<bool> listed(graph.nodes.size(), false);
  for (int id : graph.order) listed[id] = true;
  std::ostringstream out;
  out << "graph " << Quoted(graph.name) << " world " << graph.world_size << " micro_batches "
      << graph.micro_batches << " nodes " << graph.nodes.size() << " values "
      << graph.values.size();
  for (size_t i = 0; i < graph.generators.size(); ++i)
    out << (i > 0 ? ", " : " draws ") << Quoted(graph.generators[i].name) << " "
        << graph.generators[i].draws;
  out << "\n";
  for (int id : graph.order) PrintNode(graph, graph.nodes[id], listed, out);
  return out.str();
}

}  // namespace ofl::ir
