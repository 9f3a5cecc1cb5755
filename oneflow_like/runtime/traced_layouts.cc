#include "oneflow_like/runtime/traced_layouts.h"

#include <algorithm>

#include "oneflow_like/ir/duals.h"

namespace ofl::runtime {

namespace {

// The layout of a value made like another one: of what it has no axis for it has the whole.
sbp::NdSbp LaidLike(const sbp::NdSbp& other, const ir::Value& value) {
  sbp::NdSbp laid = ir::DualOf(other, value.placement);
  for (int k = 0; k < laid.rank(); ++k)
    if (laid[k].is_split() && laid[k].axis() >= value.meta.shape.rank())
      laid[k] = sbp::Sbp::Broadcast();
  return laid;
}

}  // namespace

bool TracedLayouts::Locality(const ir::Node& node, int value) const {
  const auto marked = marked_.find(value);
  if (marked != marked_.end()) return marked->second;
  if (node.kind == ir::NodeKind::kInput || node.kind == ir::NodeKind::kVariable) return false;
  if (node.kind == ir::NodeKind::kToLayout && node.target) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](int v) { return local_[v]; });
}

bool TracedLayouts::IsLocal(int value) {
  const auto marked = marked_.find(value);
  if (marked != marked_.end()) return marked->second;
  local_.resize(graph_.values.size());
  const auto until = static_cast<size_t>(graph_.values[value].producer);
  for (; local_nodes_ <= until; ++local_nodes_) {
    const ir::Node& node = graph_.nodes[local_nodes_];
    for (int v : node.outputs) local_[v] = Locality(node, v);
  }
  return local_[value];
}

void TracedLayouts::Mark(int value, bool local) {
  marked_[value] = local;
  if (static_cast<size_t>(graph_.values[value].producer) < local_nodes_) local_[value] = local;
}

void TracedLayouts::LieLike(int value, int other) {
  like_[value] = other;
  if (static_cast<size_t>(graph_.values[value].producer) < laid_nodes_)
    laid_[value] = LaidLike(laid_[other], graph_.values[value]);
}

Result<sbp::NdSbp> TracedLayouts::LayoutOf(int value) {
  laid_.resize(graph_.values.size());
  const auto until = static_cast<size_t>(graph_.values[value].producer);
  for (; laid_nodes_ <= until; ++laid_nodes_) OFL_TRY(Lay(graph_.nodes[laid_nodes_]));
  return laid_[value];
}

Status TracedLayouts::Lay(const ir::Node& node) {
  bool known = true;
  for (int v : node.outputs) {
    const ir::Value& value = graph_.values[v];
    const auto like = like_.find(v);
    if (value.nd_sbp) {  // fixed, or pinned
      laid_[v] = *value.nd_sbp;
    } else if (like != like_.end()) {
      laid_[v] = LaidLike(laid_[like->second], value);
    } else if (IsLocal(v)) {
      laid_[v] = sbp::NdSbp::Broadcast(value.placement.hierarchy().rank());
    } else {
      known = false;
    }
  }
  if (known) return Status::Ok();
  if (node.kind == ir::NodeKind::kOp) return LayOperator(node);
  if (node.kind != ir::NodeKind::kToLayout) return Status::Ok();
  laid_[node.outputs[0]] = node.target ? *node.target
                           : ir::StaysPut(graph_, node)
                               ? laid_[node.inputs[0]]
                               : ir::DualOf(laid_[node.dual_of], node.placement);
  return Status::Ok();
}

Status TracedLayouts::LayOperator(const ir::Node& node) {
  std::vector<op::LaidOperand> inputs;
  std::vector<TensorMeta> outputs;
  std::vector<const sbp::NdSbp*> pins;
  for (int v : node.inputs) inputs.push_back({graph_.values[v].meta, &laid_[v]});
  for (int v : node.outputs) {
    const ir::Value& value = graph_.values[v];
    outputs.push_back(value.meta);
    pins.push_back(value.pinned ? &*value.nd_sbp : nullptr);
  }
  auto choice = chooser_.Choose({*node.op, node.attrs, inputs, outputs, node.placement, pins});
  if (!choice.ok())
    return choice.status().WithNote("at " + node.location.file + ":" +
                                    std::to_string(node.location.line));
  for (size_t i = 0; i < node.outputs.size(); ++i) laid_[node.outputs[i]] = choice->outputs[i];
  return Status::Ok();
}

}  // namespace ofl::runtime
