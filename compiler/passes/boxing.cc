// Boxing: where a reader wants a value in another layout than it has, inserts the conversion as its
// steps. Readers that want the same layout share one conversion.

#include <map>

#include "compiler/compiler.h"

namespace ofl::compiler {
namespace {

class BoxingPass {
 public:
  BoxingPass(ir::Graph& graph, const sbp::LinkModel& link) : graph_(graph), link_(link) {}

  Status Run() {
    const std::vector<int> old_order = std::move(graph_.order);
    graph_.order.clear();
    for (int id : old_order) {
      if (graph_.nodes[id].kind == ir::NodeKind::kToLayout) {
        OFL_TRY(Lower(id));
        continue;
      }
      for (size_t i = 0; i < graph_.nodes[id].inputs.size(); ++i) OFL_TRY(FitInput(id, i));
      graph_.order.push_back(id);
    }
    return Status::Ok();
  }

 private:
  // A value whose conversion turned out to be the value itself.
  int Resolve(int value) const {
    auto it = replaced_.find(value);
    return it == replaced_.end() ? value : it->second;
  }

  Status FitInput(int id, size_t i) {
    const int value = Resolve(graph_.nodes[id].inputs[i]);
    graph_.nodes[id].inputs[i] = value;
    if (!graph_.nodes[id].signature) return Status::Ok();
    const sbp::Layout wanted{graph_.nodes[id].placement, graph_.nodes[id].signature->inputs[i]};
    OFL_ASSIGN(graph_.nodes[id].inputs[i], Convert(value, wanted, id));
    return Status::Ok();
  }

  Status Lower(int id) {
    const int output = graph_.nodes[id].outputs[0];
    const int value = Resolve(graph_.nodes[id].inputs[0]);
    OFL_ASSIGN(replaced_[output], Convert(value, graph_.values[output].layout(), id));
    return Status::Ok();
  }

  Result<int> Convert(int value, const sbp::Layout& wanted, int cause) {
    if (graph_.values[value].layout() == wanted) return value;
    const int source = value;
    for (const auto& [layout, converted] : converted_[source])
      if (layout == wanted) return converted;
    const TensorMeta meta = graph_.values[value].meta;
    OFL_ASSIGN(auto plan, sbp::PlanBoxing(meta, graph_.values[value].layout(), wanted, link_));
    if (!plan.steps.empty()) {
      ir::Node& node =
          graph_.AddNode(ir::NodeKind::kBoxing, "boxing", {value}, {meta}, wanted.placement);
      node.steps = std::move(plan.steps);
      node.cause = cause;
      node.segment = SegmentFor(value, cause);
      node.location = graph_.nodes[cause].location;
      graph_.values[node.outputs[0]].nd_sbp = wanted.nd_sbp;
      graph_.values[node.outputs[0]].requires_grad = graph_.values[value].requires_grad;
      value = node.outputs[0];
    }
    converted_[source].emplace_back(wanted, value);
    return value;
  }

  // A conversion runs with its reader, unless the value changes only once an iteration.
  ir::Segment SegmentFor(int value, int cause) const {
    const ir::Segment reader = graph_.nodes[cause].segment;
    const ir::Node& producer = graph_.producer(value);
    if (graph_.micro_batches > 1 && producer.kind == ir::NodeKind::kAccumulate)
      return ir::Segment::kUpdate;
    return reader;
  }

  ir::Graph& graph_;
  const sbp::LinkModel link_;
  std::map<int, int> replaced_;
  std::map<int, std::vector<std::pair<sbp::Layout, int>>> converted_;  // by value
};

}  // namespace

Result<ir::Graph> RunBoxing(ir::Graph graph, const sbp::LinkModel& link) {
  OFL_TRY(BoxingPass(graph, link).Run());
  return graph;
}

}  // namespace ofl::compiler
