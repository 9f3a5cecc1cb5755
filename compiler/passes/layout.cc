// Layout: gives every value a layout. Inputs, variables, pinned values and asked-for conversions
// are fixed points; every other operator takes, in execution order, what op::LayoutChooser finds
// cheapest. Values without laid operands wait for their first reader. Where a composition is
// cheaper than the operator, it takes the operator's place. docs/layout-choice.md.

#include <algorithm>
#include <map>
#include <set>

#include "compiler/compiler.h"
#include "oneflow_like/ir/duals.h"
#include "oneflow_like/ir/graph_builder.h"
#include "oneflow_like/op/def/layout_choice.h"

namespace ofl::compiler {
namespace {

constexpr size_t kMaxLosingChoices = 8;  // kept for `explain`; more would swell the plan
constexpr int kMaxFreeChain = 32;        // operators in a row that a later reader's wish can lay

class LayoutPass {
 public:
  LayoutPass(ir::Graph& graph, const sbp::LinkModel& link) : graph_(graph), chooser_({link}) {}

  Status Run() {
    const std::vector<int> order = std::move(graph_.order);
    graph_.order.clear();
    for (int id : order) {
      ir::Node& node = graph_.nodes[id];
      node.signature.reset();
      if (node.kind == ir::NodeKind::kAccumulate) accumulated_.insert(node.inputs[0]);
    }
    for (int id : order) OFL_TRY(Lay(id));
    for (int id : free_)
      if (!graph_.nodes[id].signature) Fix(graph_.nodes[id].outputs[0], WholeOn(id));
    return Status::Ok();
  }

 private:
  struct FreeCost {
    int64_t cost_ps = -1;
    const sbp::NdSignature* signature = nullptr;
  };

  // Gives the node's outputs their layouts and puts it (or its composition) into the order.
  Status Lay(int id) {
    ir::Node& node = graph_.nodes[id];
    for (int& value : node.inputs) value = Resolve(value);
    switch (node.kind) {
      case ir::NodeKind::kOp:
        if (!IsFree(node)) return Choose(id);
        free_.push_back(id);
        chains_[id] = ChainTo(node);
        break;
      case ir::NodeKind::kToLayout: LayConversion(node); break;
      case ir::NodeKind::kAccumulate:
        Fix(node.inputs[0], WholeOn(id));
        graph_.values[node.outputs[0]].nd_sbp = graph_.values[node.inputs[0]].nd_sbp;
        break;
      case ir::NodeKind::kOutput: Fix(node.inputs[0], WholeOn(id)); break;
      default: break;
    }
    graph_.order.push_back(id);
    return Status::Ok();
  }

  void LayConversion(ir::Node& node) {
    ir::Value& result = graph_.values[node.outputs[0]];
    node.dual_of = Resolve(node.dual_of);
    if (node.dual_of >= 0) Fix(node.dual_of, WholeOn(graph_.values[node.dual_of].producer));
    if (node.target) {
      result.nd_sbp = *node.target;
    } else if (!result.pinned) {
      const sbp::NdSbp& followed = *graph_.values[node.dual_of].nd_sbp;
      result.nd_sbp = ir::StaysPut(graph_, node) ? followed : ir::DualOf(followed, node.placement);
    }
    const ir::Value& from = graph_.values[node.inputs[0]];
    Fix(from.id, from.placement == node.placement ? *result.nd_sbp : WholeOn(from.producer));
  }

  // The value that stands for another after a composition took its producer's place.
  int Resolve(int value) const {
    auto it = replaced_.find(value);
    return it == replaced_.end() ? value : it->second;
  }

  sbp::NdSbp WholeOn(int node) const {
    return sbp::NdSbp::Broadcast(graph_.nodes[node].placement.hierarchy().rank());
  }

  bool IsLaid(int value) const {
    const ir::Node& producer = graph_.producer(value);
    return producer.kind != ir::NodeKind::kOp || producer.signature;
  }

  // Some operand is free, or there is none, or the result can be cut without cutting any; no
  // operand says how to cut anything, and nobody has read a result's layout.
  bool IsFree(const ir::Node& node) {
    bool free = node.inputs.empty();
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::Value& value = graph_.values[node.inputs[i]];
      if (!IsLaid(value.id)) {
        free = true;
      } else if (!value.nd_sbp->AllBroadcast() ||
                 node.op->InputMutated(static_cast<int>(i), node.attrs)) {
        return false;
      }
    }
    return (free || Expands(node)) && ChainTo(node) <= kMaxFreeChain &&
           std::none_of(node.outputs.begin(), node.outputs.end(),
                        [&](int v) { return graph_.values[v].pinned; });
  }

  // A larger result of whole operands, each part of which can be made from them as they are.
  bool Expands(const ir::Node& node) {
    if (node.outputs.size() != 1 || node.placement.size() == 1) return false;
    const int64_t made = graph_.values[node.outputs[0]].meta.shape.numel();
    for (int v : node.inputs)
      if (graph_.values[v].meta.shape.numel() >= made) return false;
    return std::ranges::any_of(SignaturesOf(node.id), [](const sbp::NdSignature& s) {
      return !s.outputs[0].HasPartial() && !s.outputs[0].AllBroadcast() &&
             std::ranges::all_of(s.inputs, [](const auto& x) { return x.AllBroadcast(); });
    });
  }

  // Free operators in the longest row that ends in this one.
  int ChainTo(const ir::Node& node) const {
    int before = 0;
    for (int v : node.inputs)
      if (!IsLaid(v)) before = std::max(before, chains_.at(graph_.values[v].producer));
    return before + 1;
  }

  // --- operators with laid operands --------------------------------------------------------------

  Status Choose(int id) {
    const ir::Node& node = graph_.nodes[id];
    std::vector<op::LaidOperand> inputs;
    for (int v : node.inputs) {
      const ir::Value& value = graph_.values[v];
      inputs.push_back({value.meta, IsLaid(v) ? &*value.nd_sbp : nullptr, copies_[v]});
    }
    std::vector<TensorMeta> outputs;
    std::vector<const sbp::NdSbp*> pins;
    bool accumulated = false;
    for (int v : node.outputs) {
      const ir::Value& value = graph_.values[v];
      outputs.push_back(value.meta);
      pins.push_back(value.pinned ? &*value.nd_sbp : nullptr);
      accumulated |= accumulated_.contains(v);
    }
    free_costs_.clear();
    const op::LayoutQuery query{
        *node.op,
        node.attrs,
        inputs,
        outputs,
        node.placement,
        pins,
        [&](size_t i, const sbp::NdSbp& wanted) { return CostOf(node.inputs[i], wanted).cost_ps; },
        accumulated ? graph_.micro_batches : 1};
    std::vector<op::LosingSignature> losing;
    auto choice = chooser_.Choose(query, &losing);
    if (!choice.ok())
      return choice.status().WithNote("at " + node.location.file + ":" +
                                      std::to_string(node.location.line));
    if (choice->composed) return WriteComposition(id);
    Take(graph_.nodes[id], *choice, losing);
    graph_.order.push_back(id);
    return Status::Ok();
  }

  void Take(ir::Node& node, op::LayoutChoice& choice,
            const std::vector<op::LosingSignature>& losing) {
    for (size_t i = 0; i < std::min(losing.size(), kMaxLosingChoices); ++i)
      node.losing.push_back({losing[i].signature.ToString(), losing[i].cost_ps});
    node.charged_ps = choice.cost_ps;
    node.choice_cost_ps = choice.conversion_ps;
    Sign(node, choice.signature);
  }

  // Gives the results their layouts; free operands are made as the signature wants them.
  void Sign(ir::Node& node, const sbp::NdSignature& signature) {
    node.signature = signature;
    for (size_t i = 0; i < node.outputs.size(); ++i)
      graph_.values[node.outputs[i]].nd_sbp = signature.outputs[i];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const int value = node.inputs[i];
      const sbp::NdSbp& wanted = signature.inputs[i];
      Fix(value, wanted);
      if (*graph_.values[value].nd_sbp == wanted) continue;
      std::vector<sbp::NdSbp>& copies = copies_[value];  // later readers find it made
      if (std::ranges::find(copies, wanted) == copies.end()) copies.push_back(wanted);
    }
  }

  Status WriteComposition(int id) {
    const ir::Node fused = graph_.nodes[id];
    const size_t nodes = graph_.nodes.size(), ordered = graph_.order.size();
    ir::GraphBuilder builder(&graph_);
    builder.set_segment(fused.segment);
    builder.set_location(fused.location);
    op::Values inputs;
    for (int v : fused.inputs) inputs.push_back(builder.Handle(v));
    const op::Values results = fused.op->decompose(builder, inputs, fused.attrs);
    OFL_TRY(builder.status());
    const size_t written = graph_.nodes.size();
    graph_.order.resize(ordered);
    for (size_t n = nodes; n < written; ++n) OFL_TRY(Lay(static_cast<int>(n)));
    for (size_t i = 0; i < results.size(); ++i) {
      int result = Resolve(static_cast<const ir::GraphValue*>(results[i].get())->id());
      if (graph_.values[fused.outputs[i]].pinned) {
        OFL_ASSIGN(result, Pin(builder, result, *graph_.values[fused.outputs[i]].nd_sbp));
      }
      replaced_[fused.outputs[i]] = result;
    }
    return Status::Ok();
  }

  // The value in the layout that a user has read, converted where a composition gives another.
  Result<int> Pin(ir::GraphBuilder& builder, int value, const sbp::NdSbp& wanted) {
    Fix(value, wanted);
    if (!(*graph_.values[value].nd_sbp == wanted)) {
      const sbp::Layout layout{graph_.values[value].placement, wanted};
      op::Value converted = builder.ToLayout(builder.Handle(value), layout);
      OFL_TRY(builder.status());
      value = static_cast<const ir::GraphValue*>(converted.get())->id();
      graph_.order.pop_back();
      OFL_TRY(Lay(graph_.values[value].producer));
    }
    graph_.values[value].pinned = true;
    return value;
  }

  // --- free values -------------------------------------------------------------------------------

  // What it costs to read a value in a layout; of a free one also the signature that makes it so,
  // or its whole layout where it had better be converted from that.
  FreeCost CostOf(int value, const sbp::NdSbp& wanted) {
    const ir::Value& v = graph_.values[value];
    if (IsLaid(value)) {
      const auto& copies = copies_[value];
      if (std::ranges::find(copies, wanted) != copies.end()) return {0, nullptr};
      return {chooser_.Conversion(v.meta, v.placement, *v.nd_sbp, wanted).cost_ps, nullptr};
    }
    auto key = std::make_pair(value, wanted.ToString());
    auto known = free_costs_.find(key);
    if (known != free_costs_.end()) return known->second;
    FreeCost best;
    const sbp::NdSbp whole = WholeOn(v.producer);
    if (!(wanted == whole)) {
      best = CostOf(value, whole);
      best.cost_ps += chooser_.Conversion(v.meta, v.placement, whole, wanted).cost_ps;
    }
    for (const sbp::NdSignature& signature : SignaturesOf(v.producer)) {
      if (!(signature.outputs[v.output_index] == wanted)) continue;
      const int64_t cost = CostOfMaking(v.producer, signature);
      if (best.cost_ps < 0 || cost < best.cost_ps) best = {cost, &signature};
    }
    return free_costs_[key] = best;
  }

  int64_t CostOfMaking(int id, const sbp::NdSignature& signature) {
    const ir::Node& node = graph_.nodes[id];
    std::vector<op::LaidOperand> inputs;
    std::vector<TensorMeta> outputs;
    for (int v : node.inputs) inputs.push_back({graph_.values[v].meta});
    for (int v : node.outputs) outputs.push_back(graph_.values[v].meta);
    const unsigned all = (1u << node.placement.hierarchy().rank()) - 1;
    int64_t cost =
        chooser_.Work({*node.op, node.attrs, inputs, outputs, node.placement}, signature, all);
    for (size_t i = 0; i < node.inputs.size(); ++i)
      cost += CostOf(node.inputs[i], signature.inputs[i]).cost_ps;
    return cost;
  }

  const std::vector<sbp::NdSignature>& SignaturesOf(int id) {
    auto known = signatures_.find(id);
    if (known != signatures_.end()) return known->second;
    const ir::Node& node = graph_.nodes[id];
    std::vector<TensorMeta> inputs, outputs;
    for (int v : node.inputs) inputs.push_back(graph_.values[v].meta);
    for (int v : node.outputs) outputs.push_back(graph_.values[v].meta);
    auto derived = node.op->Signatures(inputs, outputs, node.attrs, node.placement.hierarchy());
    OFL_CHECK(derived.ok()) << derived.status().ToString();  // inferred metadata has a rule
    return signatures_[id] = *std::move(derived);
  }

  // Lays a free value as its reader wants it, or whole where it is cheaper converted from there.
  void Fix(int value, const sbp::NdSbp& wanted) {
    if (IsLaid(value)) return;
    free_costs_.clear();
    const FreeCost best = CostOf(value, wanted);
    OFL_CHECK(best.signature != nullptr) << "no way to make %" << value;
    Sign(graph_.nodes[graph_.values[value].producer], *best.signature);
  }

  ir::Graph& graph_;
  op::LayoutChooser chooser_;
  std::map<int, std::vector<sbp::NdSbp>> copies_;  // by value
  std::map<int, int> replaced_;
  std::set<int> accumulated_;  // values that are summed over micro-batches
  std::vector<int> free_;      // nodes
  std::map<int, int> chains_;  // by free node: the free ones in a row that it ends
  std::map<std::pair<int, std::string>, FreeCost> free_costs_;  // while one choice is made
  std::map<int, std::vector<sbp::NdSignature>> signatures_;     // of free nodes
};

}  // namespace

Result<ir::Graph> RunLayout(ir::Graph graph, const sbp::LinkModel& link) {
  OFL_TRY(LayoutPass(graph, link).Run());
  return graph;
}

}  // namespace ofl::compiler
