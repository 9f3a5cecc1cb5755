// Layout: gives every value a layout. Inputs, variables and asked-for conversions are fixed
// points; every other operator takes, in execution order, the signature whose input conversions
// cost least (ties: the one whose outputs take least memory, then the first). Where an operator's
// reduced axis is split and its definition has a composition with ordinary rules, the composition
// takes its place when its conversions cost less.

#include <algorithm>
#include <map>
#include <set>

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"

namespace ofl::compiler {
namespace {

constexpr size_t kMaxLosingChoices = 8;  // kept for `explain`; more would swell the plan

// Partial turns into broadcast, everything else stays: where a gradient of a value belongs, and
// what a value keeps when it moves. A mesh of another rank takes it whole.
sbp::NdSbp DualOf(const sbp::NdSbp& nd_sbp, const Placement& placement) {
  if (nd_sbp.rank() != placement.hierarchy().rank())
    return sbp::NdSbp::Broadcast(placement.hierarchy().rank());
  sbp::NdSbp dual;
  for (sbp::Sbp s : nd_sbp) dual.push_back(s.is_partial() ? sbp::Sbp::Broadcast() : s);
  return dual;
}

class LayoutPass {
 public:
  LayoutPass(ir::Graph& graph, const sbp::LinkModel& link) : graph_(graph), link_(link) {}

  Status Run() {
    const std::vector<int> order = std::move(graph_.order);
    graph_.order.clear();
    for (int id : order) {
      for (int& value : graph_.nodes[id].inputs) value = Resolve(value);
      OFL_TRY(Lay(id));
    }
    return Status::Ok();
  }

 private:
  // Gives the node's outputs their layouts and puts it (or its composition) into the order.
  Status Lay(int id) {
    ir::Node& node = graph_.nodes[id];
    switch (node.kind) {
      case ir::NodeKind::kOp: {
        OFL_TRY(Choose(id));
        OFL_ASSIGN(bool composed, TryComposition(id));
        if (composed) return Status::Ok();
        break;
      }
      case ir::NodeKind::kToLayout:
        node.dual_of = Resolve(node.dual_of);
        graph_.values[node.outputs[0]].nd_sbp =
            node.target ? *node.target
                        : DualOf(*graph_.values[node.dual_of].nd_sbp, node.placement);
        break;
      case ir::NodeKind::kAccumulate:
        graph_.values[node.outputs[0]].nd_sbp = graph_.values[node.inputs[0]].nd_sbp;
        break;
      default: break;
    }
    graph_.order.push_back(id);
    Commit(id);
    return Status::Ok();
  }

  // The value that stands for another after a composition took its producer's place.
  int Resolve(int value) const {
    auto it = replaced_.find(value);
    return it == replaced_.end() ? value : it->second;
  }

  // Writes the composition behind the nodes there are, lays it out, and keeps it if it is cheaper.
  Result<bool> TryComposition(int id) {
    const ir::Node fused = graph_.nodes[id];
    if (fused.op->decompose == nullptr || fused.choice_cost_ps == 0) return false;
    const size_t nodes = graph_.nodes.size(), values = graph_.values.size();
    const size_t ordered = graph_.order.size();
    const auto converted = converted_;
    ir::GraphBuilder builder(&graph_);
    builder.set_segment(fused.segment);
    builder.set_location(fused.location);
    op::Values inputs;
    for (int v : fused.inputs) inputs.push_back(builder.Handle(v));
    op::Values results = fused.op->decompose(builder, inputs, fused.attrs);
    Status status = builder.status();
    graph_.order.resize(ordered);
    int64_t cost_ps = 0;
    for (size_t n = nodes; n < graph_.nodes.size() && status.ok(); ++n) {
      status = Choose(static_cast<int>(n));
      cost_ps += graph_.nodes[n].choice_cost_ps;
      graph_.order.push_back(static_cast<int>(n));
      if (status.ok()) Commit(static_cast<int>(n));
    }
    const bool fits = results.size() == fused.outputs.size();
    if (!status.ok() || !fits || cost_ps >= fused.choice_cost_ps) {
      graph_.nodes.resize(nodes);
      graph_.values.resize(values);
      graph_.order.resize(ordered);
      converted_ = converted;
      return false;
    }
    for (size_t i = 0; i < results.size(); ++i)
      replaced_[fused.outputs[i]] = static_cast<const ir::GraphValue*>(results[i].get())->id();
    return true;
  }

  struct Candidate {
    int64_t cost_ps = 0;
    int64_t output_bytes = 0;
    bool possible = true;
  };

  // The cost of having `value` in another layout; nothing when an earlier reader wants it too.
  Result<int64_t> ConversionCost(int value, const sbp::NdSbp& wanted) {
    const ir::Value& v = graph_.values[value];
    if (*v.nd_sbp == wanted) return int64_t{0};
    auto key = std::make_pair(value, wanted.ToString());
    if (converted_.count(key)) return int64_t{0};
    auto known = costs_.find(key);
    if (known != costs_.end()) return known->second;
    OFL_ASSIGN(auto plan, sbp::PlanBoxing(v.meta, v.layout(), {v.placement, wanted}, link_));
    costs_[key] = plan.cost_ps;
    return plan.cost_ps;
  }

  Result<Candidate> Price(const ir::Node& node, const sbp::NdSignature& signature) {
    Candidate candidate;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::Value& value = graph_.values[node.inputs[i]];
      if (node.op->InputMutated(static_cast<int>(i)) && !(*value.nd_sbp == signature.inputs[i])) {
        candidate.possible = false;  // an update works on the variable itself, not on a copy
        return candidate;
      }
      auto cost = ConversionCost(node.inputs[i], signature.inputs[i]);
      if (!cost.ok()) {
        candidate.possible = false;
        return candidate;
      }
      candidate.cost_ps += *cost;
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ir::Value& value = graph_.values[node.outputs[i]];
      TensorMeta local{
          value.meta.dtype,
          sbp::LocalShape(value.meta.shape, {value.placement, signature.outputs[i]}, 0)};
      candidate.output_bytes += local.bytes();
    }
    return candidate;
  }

  Status Choose(int id) {
    ir::Node& node = graph_.nodes[id];
    std::vector<TensorMeta> inputs, outputs;
    for (int v : node.inputs) inputs.push_back(graph_.values[v].meta);
    for (int v : node.outputs) outputs.push_back(graph_.values[v].meta);
    OFL_ASSIGN(auto signatures,
               node.op->Signatures(inputs, outputs, node.attrs, node.placement.hierarchy()));
    int best = -1;
    std::vector<Candidate> candidates(signatures.size());
    for (size_t s = 0; s < signatures.size(); ++s) {
      OFL_ASSIGN(candidates[s], Price(node, signatures[s]));
      if (!candidates[s].possible) continue;
      const auto rank = [&](size_t i) {
        return std::make_pair(candidates[i].cost_ps, candidates[i].output_bytes);
      };
      if (best < 0 || rank(s) < rank(best)) best = static_cast<int>(s);
    }
    if (best < 0) return NoSignature(node, inputs);
    Take(node, signatures, candidates, best);
    return Status::Ok();
  }

  Status NoSignature(const ir::Node& node, const std::vector<TensorMeta>& inputs) {
    auto error = Error(Code::kInvalidArgument);
    error << "[" << node.op->name << "] no layout of its operands is legal: got ";
    for (size_t i = 0; i < inputs.size(); ++i)
      error << (i > 0 ? ", " : "") << inputs[i].ToString() << " "
            << graph_.values[node.inputs[i]].nd_sbp->ToString();
    error << " at " << node.location.file << ":" << node.location.line
          << "; convert an operand with to_global(sbp=...)";
    return error;
  }

  void Take(ir::Node& node, std::vector<sbp::NdSignature>& signatures,
            const std::vector<Candidate>& candidates, int best) {
    std::vector<std::pair<int64_t, size_t>> others;
    for (size_t s = 0; s < signatures.size(); ++s)
      if (static_cast<int>(s) != best && candidates[s].possible)
        others.emplace_back(candidates[s].cost_ps, s);
    std::sort(others.begin(), others.end());
    for (size_t i = 0; i < std::min(others.size(), kMaxLosingChoices); ++i)
      node.losing.push_back({signatures[others[i].second].ToString(), others[i].first});
    const sbp::NdSignature& chosen = signatures[best];
    for (size_t i = 0; i < node.outputs.size(); ++i)
      graph_.values[node.outputs[i]].nd_sbp = chosen.outputs[i];
    node.choice_cost_ps = candidates[best].cost_ps;
    node.signature = chosen;
  }

  // Later readers find the conversions of this node already made.
  void Commit(int id) {
    const ir::Node& node = graph_.nodes[id];
    if (!node.signature) return;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (!(*graph_.values[node.inputs[i]].nd_sbp == node.signature->inputs[i]))
        converted_.insert({node.inputs[i], node.signature->inputs[i].ToString()});
  }

  ir::Graph& graph_;
  const sbp::LinkModel link_;
  std::map<std::pair<int, std::string>, int64_t> costs_;
  std::set<std::pair<int, std::string>> converted_;
  std::map<int, int> replaced_;
};

}  // namespace

Result<ir::Graph> RunLayout(ir::Graph graph, const sbp::LinkModel& link) {
  OFL_TRY(LayoutPass(graph, link).Run());
  return graph;
}

}  // namespace ofl::compiler
