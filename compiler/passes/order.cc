// Order: moves each conversion's sends to right after the value they send is made, so that the
// bytes travel while the stream computes. (The receiving half stands before its first reader;
// lowering records that.) Segments come out contiguous: forward, backward, update.

#include <algorithm>
#include <map>

#include "compiler/compiler.h"

namespace ofl::compiler {

Result<ir::Graph> RunOrder(ir::Graph graph) {
  // A stable sort by segment first: conversions inserted for later segments stay with them.
  std::stable_sort(graph.order.begin(), graph.order.end(),
                   [&](int a, int b) { return graph.nodes[a].segment < graph.nodes[b].segment; });
  std::map<int, std::vector<int>> after;  // producer node -> conversions to start behind it
  std::vector<int> rest;
  for (int id : graph.order) {
    ir::Node& node = graph.nodes[id];
    if (node.kind == ir::NodeKind::kBoxing) {
      const ir::Node& producer = graph.producer(node.inputs[0]);
      const bool same_rate = graph.micro_batches == 1 || producer.segment == node.segment;
      const bool computed = producer.kind == ir::NodeKind::kOp;
      if (same_rate && computed) {
        node.segment = producer.segment;
        after[producer.id].push_back(id);
        continue;
      }
    }
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
