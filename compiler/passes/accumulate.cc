// Gradient accumulation: one register sums a gradient over the micro-batches of an iteration.
// The sum stays in the gradient's own layout (partial included): conversion happens once, after.

#include "compiler/compiler.h"

namespace ofl::compiler {

Result<ir::Graph> RunAccumulate(ir::Graph graph, std::vector<int>& gradients) {
  if (graph.micro_batches == 1) return graph;
  for (int& gradient : gradients) {
    if (gradient < 0) continue;
    const ir::Value value = graph.values[gradient];
    ir::Node& node = graph.AddNode(ir::NodeKind::kAccumulate, "accumulate", {gradient},
                                   {value.meta}, value.placement);
    node.segment = ir::Segment::kBackward;
    node.location = graph.producer(gradient).location;
    gradient = node.outputs[0];
  }
  return graph;
}

}  // namespace ofl::compiler
