// Update: clips gradients by the norm of their group and appends each variable's update operator.

#include <map>

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"

namespace ofl::compiler {
namespace {

// The layout a gradient must have to update a variable: the variable's own.
op::Value ToVariable(ir::GraphBuilder& builder, int gradient, int variable) {
  const ir::Value& value = builder.graph().values[variable];
  return builder.ToLayout(builder.Handle(gradient), value.layout());
}

// scale = min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ defines it, over
// all gradients of the group; every placement gets its own copy of the sum of squares.
class Clip {
 public:
  Clip(ir::GraphBuilder& builder, const ClipGroup& group) : builder_(builder), group_(group) {}

  void Count(const op::Value& grad) {
    op::Value square = builder_.Call("sum", {builder_.Call("square", {grad})});
    const Placement& placement = PlacementOf(square);
    op::Value& sum = SumOn(placement);
    sum = sum ? builder_.Call("add", {sum, square}) : square;
  }

  op::Value Apply(const op::Value& grad) {
    const Placement placement = PlacementOf(grad);
    return builder_.Call("mul", {grad, ScaleOn(placement)});
  }

 private:
  const Placement& PlacementOf(const op::Value& value) const {
    return static_cast<const ir::GraphValue*>(value.get())->placement();
  }

  op::Value& SumOn(const Placement& placement) {
    for (auto& [where, sum] : sums_)
      if (where == placement) return sum;
    sums_.emplace_back(placement, nullptr);
    return sums_.back().second;
  }

  // The bound in the norm's dtype, as a number beside a tensor is.
  op::Value BoundOn(const Placement& placement, const op::Value& norm) {
    for (int bound : group_.bounds) {
      if (!(builder_.graph().values[bound].placement == placement)) continue;
      op::Value value = builder_.Handle(bound);
      if (!norm || value->meta().dtype == norm->meta().dtype) return value;
      return builder_.Call("cast", {value}, {{"dtype", norm->meta().dtype}});
    }
    return nullptr;  // the builder refuses it
  }

  op::Value ScaleOn(const Placement& placement) {
    for (auto& [where, scale] : scales_)
      if (where == placement) return scale;
    const sbp::Layout whole{placement, sbp::NdSbp::Broadcast(placement.hierarchy().rank())};
    op::Value total;
    for (auto& [where, sum] : sums_) {
      op::Value here = builder_.ToLayout(sum, whole);
      total = total ? builder_.Call("add", {total, here}) : here;
    }
    op::Value norm = builder_.Call("sqrt", {total});
    op::Value ratio = builder_.Call("add_scalar", {norm}, {{"scalar", 1e-6}});
    ratio = builder_.Call("div", {BoundOn(placement, norm), ratio});
    op::Value scale = builder_.Call("minimum", {ratio, builder_.Call("ones_like", {ratio})});
    scales_.emplace_back(placement, scale);
    return scale;
  }

  ir::GraphBuilder& builder_;
  const ClipGroup& group_;
  std::vector<std::pair<Placement, op::Value>> sums_;
  std::vector<std::pair<Placement, op::Value>> scales_;
};

}  // namespace

Result<ir::Graph> RunUpdate(ir::Graph graph, const TrainingSpec& training,
                            std::vector<int> gradients) {
  ir::GraphBuilder builder(&graph);
  builder.set_segment(ir::Segment::kUpdate);
  std::vector<op::Value> ready(gradients.size());
  std::map<int, Clip> clips;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] < 0) continue;
    const Update& update = training.updates[i];
    builder.set_location(graph.producer(update.variable).location);
    ready[i] = ToVariable(builder, gradients[i], update.variable);
    if (update.clip_group < 0) continue;
    const ClipGroup& group = training.clip_groups[update.clip_group];
    clips.try_emplace(update.clip_group, builder, group).first->second.Count(ready[i]);
  }
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!ready[i]) continue;
    const Update& update = training.updates[i];
    builder.set_location(graph.producer(update.variable).location);
    if (update.clip_group >= 0) ready[i] = clips.at(update.clip_group).Apply(ready[i]);
    op::Values inputs = {builder.Handle(update.variable)};
    for (int state : update.states) inputs.push_back(builder.Handle(state));
    inputs.push_back(ready[i]);
    for (int extra : update.extras) inputs.push_back(builder.Handle(extra));
    builder.Apply(*update.op, inputs, update.attrs);
    if (!builder.status().ok()) break;
  }
  OFL_TRY(builder.status());
  return graph;
}

}  // namespace ofl::compiler
