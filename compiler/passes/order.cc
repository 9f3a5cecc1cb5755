// Order: moves each conversion's sends to right after the value they send is made, so that the
// bytes travel while the stream computes. Further steps continue where the conversion stood; the
// last one's receiving half stands before its first reader, which lowering records. Segments come
// out contiguous: forward, backward, update.

#include <algorithm>
#include <map>

#include "compiler/compiler.h"

namespace ofl::compiler {
namespace {

// A conversion of a computed value, unless that is made more often than it is converted.
bool MayStartEarly(const ir::Graph& graph, const ir::Node& node) {
  if (node.kind != ir::NodeKind::kBoxing) return false;
  const ir::Node& producer = graph.producer(node.inputs[0]);
  const bool same_rate = graph.micro_batches == 1 || producer.segment == node.segment;
  return same_rate && producer.kind == ir::NodeKind::kOp;
}

}  // namespace

Result<ir::Graph> RunOrder(ir::Graph graph) {
  // A stable sort by segment first: conversions inserted for later segments stay with them.
  std::stable_sort(graph.order.begin(), graph.order.end(),
                   [&](int a, int b) { return graph.nodes[a].segment < graph.nodes[b].segment; });
  std::map<int, std::vector<int>> after;  // producer node -> conversions to start behind it
  std::vector<int> rest, waiting;         // waiting: moved ahead, continued before what comes next
  for (int id : graph.order) {
    ir::Node& node = graph.nodes[id];
    if (MayStartEarly(graph, node)) {
      const ir::Node& producer = graph.producer(node.inputs[0]);
      node.segment = producer.segment;
      after[producer.id].push_back(id);
      waiting.push_back(id);
      continue;
    }
    for (int early : waiting)
      if (graph.micro_batches == 1 || graph.nodes[early].segment == node.segment)
        graph.nodes[early].continue_before = id;
    waiting.clear();
    rest.push_back(id);
  }
  std::vector<int> order;
  order.reserve(graph.order.size());
  for (int id : rest) {
    order.push_back(id);
    auto it = after.find(id);
    if (it != after.end()) order.insert(order.end(), it->second.begin(), it->second.end());
  }
  graph.order = std::move(order);
  return graph;
}

}  // namespace ofl::compiler
