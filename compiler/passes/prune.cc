// Prune: drops nodes that neither produce a result nor update a variable.

#include "compiler/compiler.h"

namespace ofl::compiler {

Result<ir::Graph> RunPrune(ir::Graph graph) {
  std::vector<bool> needed(graph.nodes.size(), false);
  for (auto it = graph.order.rbegin(); it != graph.order.rend(); ++it) {
    const ir::Node& node = graph.nodes[*it];
    bool keep = needed[node.id] || node.kind == ir::NodeKind::kOutput ||
                node.kind == ir::NodeKind::kInput;  // arguments keep their positions
    if (node.op != nullptr && node.op->Has(op::Trait::kUpdate)) keep = true;
    if (!keep) continue;
    needed[node.id] = true;
    for (int v : node.inputs) needed[graph.values[v].producer] = true;
    if (node.dual_of >= 0) needed[graph.values[node.dual_of].producer] = true;  // for its layout
  }
  std::vector<int> order;
  for (int id : graph.order)
    if (needed[id]) order.push_back(id);
  graph.order = std::move(order);
  return graph;
}

}  // namespace ofl::compiler
