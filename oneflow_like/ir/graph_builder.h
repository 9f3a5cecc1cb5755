// Builds a graph through the operator builder interface: what tracing and autograd write with.
#pragma once

#include <functional>
#include <string>

#include "oneflow_like/ir/graph.h"
#include "oneflow_like/op/def/builder.h"

namespace ofl::ir {

// A value of a graph under construction, as operators and gradient rules see it.
class GraphValue final : public op::ValueBase {
 public:
  GraphValue(const Graph* graph, int id);
  const TensorMeta& meta() const override { return meta_; }
  // Inputs and variables have a layout; results have one only after the layout pass.
  const sbp::Layout* layout() const override { return layout_ ? &*layout_ : nullptr; }
  bool is_symbolic() const override { return true; }
  int id() const { return id_; }
  uint64_t graph_serial() const { return graph_serial_; }
  const Placement& placement() const { return placement_; }

 private:
  uint64_t graph_serial_;  // no pointer: a handle may outlive its graph
  int id_;
  TensorMeta meta_;
  Placement placement_;
  std::optional<sbp::Layout> layout_;
};

class GraphBuilder : public op::Builder {
 public:
  explicit GraphBuilder(Graph* graph) : graph_(graph) {}

  op::Values Apply(const op::OpDef& def, op::Values inputs, const Attrs& attrs) override;
  op::Value ToLayout(const op::Value& x, const sbp::Layout& layout) override;
  // A conversion to the placement of `value`, in the layout dual to its own (P for B is kept out:
  // partial gives broadcast, everything else gives itself).
  op::Value ToDualOf(const op::Value& x, int value);
  // A conversion to another placement that keeps the symbols (partial becomes broadcast).
  op::Value ToPlacement(const op::Value& x, const Placement& placement);

  // An operator without operands, on this placement.
  op::Value ApplySource(std::string_view op, const Attrs& attrs, const Placement& placement);

  op::Value Handle(int value) const { return new GraphValue(graph_, value); }
  Graph& graph() { return *graph_; }
  void set_segment(Segment segment) { segment_ = segment; }
  void set_location(Location location) { location_ = std::move(location); }
  const Location& location() const { return location_; }

 protected:
  // The graph's id for an operand; the tracer lifts eager tensors here. -1 after Fail.
  virtual int IdOf(const op::Value& value);

 private:
  Node& Stamp(Node& node);
  // A conversion of x to `placement` in the layout dual to `value`'s (x's own for -1).
  op::Value Follow(const op::Value& x, int value, const Placement& placement);

  Graph* graph_;
  Placement source_placement_;
  Segment segment_ = Segment::kForward;
  Location location_;
};

}  // namespace ofl::ir
