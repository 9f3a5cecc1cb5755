// The walk of backward() and grad() over the tape.
#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::tensor {
namespace {

Result<bool> HoldsNan(const op::Value& x) {
  if (!IsDifferentiable(x->meta().dtype)) return false;
  GradModeGuard off(false);
  OFL_ASSIGN(op::Value nan, CallOp("isnan", {x}));
  OFL_ASSIGN(op::Value any, CallOp("any", {nan}));
  TensorRef found(AsTensor(any));
  if (found->is_global()) {
    const Placement& placement = found->layout()->placement;
    const sbp::Layout whole{placement, sbp::NdSbp::Broadcast(placement.hierarchy().rank())};
    OFL_ASSIGN(found,
               GlobalToGlobal(found, std::make_shared<const sbp::Layout>(whole), "backward"));
  }
  return found->has_data() && *reinterpret_cast<const bool*>(found->data());
}

// The walk of one backward call, or of one call of grad(): then only what leads to `wanted` is
// walked, and their gradients are handed out instead of being accumulated.
class Walk {
 public:
  Walk(bool retain, bool create_graph) : retain_(retain), create_graph_(create_graph) {}

  // The gradients of the wanted tensors are handed out.
  void HandOut() { hands_out_ = true; }

  // Before the roots are added.
  void Want(std::span<const TensorRef> wanted, std::span<const TensorRef> roots) {
    captured_.resize(wanted.size());
    captured_own_.resize(wanted.size());
    all_ = false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      const Edge edge = EdgeOf(op::Value(wanted[i]));
      if (edge.node != nullptr) wanted_outputs_[{edge.node->number(), edge.output}].push_back(i);
      if (edge.leaf != nullptr) wanted_leaves_[edge.leaf.get()].push_back(i);
    }
    FindNeeded(roots);
  }

  Status AddRoot(const TensorRef& root, op::Value grad) {
    return Add(EdgeOf(op::Value(root)), std::move(grad));
  }

  Status Run() {
    while (!ready_.empty()) {
      auto last = std::prev(ready_.end());
      Pending pending = std::move(last->second);
      ready_.erase(last);
      OFL_TRY(Step(pending));
    }
    return all_ ? FinishLeaves() : Status::Ok();
  }

  op::Values& captured() { return captured_; }

  // After Run: the gradients of the wanted tensors go into their grad.
  Status AccumulateCaptured(std::span<const TensorRef> wanted) {
    for (size_t i = 0; i < wanted.size(); ++i)
      if (captured_[i] != nullptr) leaves_.push_back({wanted[i], captured_[i]});
    return FinishLeaves();
  }

 private:
  struct Pending {
    NodeRef node;
    op::Values grads;
    std::vector<bool> own;  // of each gradient: see Slot
  };
  struct LeafGrad {
    TensorRef leaf;
    op::Value grad;
    bool own = false;  // see Slot
  };
  // A sum of gradients under way. `own`: this walk made the tensor, and nobody else holds it.
  struct Slot {
    op::Value* sum = nullptr;
    bool own = false;
  };

  // Nodes are numbered as they were recorded: what a node leads to has lower numbers.
  void FindNeeded(std::span<const TensorRef> roots) {
    std::map<uint64_t, const Node*> reachable;
    std::vector<const Node*> stack;
    for (const TensorRef& root : roots)
      if (root->grad_fn() != nullptr) stack.push_back(root->grad_fn().get());
    while (!stack.empty()) {
      const Node* node = stack.back();
      stack.pop_back();
      if (!reachable.emplace(node->number(), node).second) continue;
      for (const Edge& edge : node->edges)
        if (edge.node != nullptr) stack.push_back(edge.node.get());
    }
    for (const auto& [number, node] : reachable) {
      bool needed = std::ranges::any_of(node->edges, [&](const Edge& e) { return Leads(e); });
      for (int k = 0; k < node->num_outputs() && !needed; ++k)
        needed = wanted_outputs_.contains({number, k});
      if (needed) needed_.insert(number);
    }
  }

  // Whether a gradient along this edge is asked for.
  bool Leads(const Edge& edge) const {
    if (all_) return edge.needed();
    if (edge.leaf != nullptr) return wanted_leaves_.contains(edge.leaf.get());
    return edge.node != nullptr && needed_.contains(edge.node->number());
  }

  void Capture(const Node& node, const op::Values& grads) {
    for (int k = 0; k < node.num_outputs(); ++k) {
      const auto at = wanted_outputs_.find({node.number(), k});
      if (at == wanted_outputs_.end()) continue;
      for (size_t i : at->second) captured_[i] = grads[static_cast<size_t>(k)];
    }
  }

  static std::string Called(const Node& node) {
    const std::string at = node.CalledAt();
    return at.empty() ? node.name() : node.name() + ", called by " + at;
  }

  static Status CheckNan(const Node& node, const op::Values& grads) {
    for (size_t i = 0; i < grads.size(); ++i) {
      if (grads[i] == nullptr) continue;
      OFL_ASSIGN(const bool nan, HoldsNan(grads[i]));
      OFL_ENSURE(!nan, Code::kFailedPrecondition)
          << "[" << node.name() << "] Function '" << node.name() << "' returned nan values in its "
          << i << "th output: got " << Describe(*grads[i]) << " in backward of " << Called(node)
          << "; expected numbers; this is looked for in anomaly mode";
    }
    return Status::Ok();
  }

  Status Step(Pending& pending) {
    Node& node = *pending.node;
    const bool leads =
        all_ || std::ranges::any_of(node.edges, [&](const Edge& e) { return Leads(e); });
    // As in torch: grad() gives the gradient of a result without its hooks if the walk goes on.
    const bool bare = leads && hands_out_;
    if (bare) Capture(node, pending.grads);
    OFL_TRY(node.RunHooks(pending.grads));
    if (!bare) Capture(node, pending.grads);
    if (!leads) return Status::Ok();
    OFL_ENSURE(!node.released(), Code::kFailedPrecondition)
        << "[backward] the graph was already freed at " << node.name()
        << ": got a second backward through it; expected one; use backward(retain_graph=True) "
           "the first time";
    OFL_ASSIGN(const bool added, AddPart(node, pending.grads[0]));
    if (added) {
      if (!retain_) node.Release();
      return Status::Ok();
    }
    EagerBuilder builder;
    op::Values grads = node.Apply(builder, pending.grads);
    if (!builder.status().ok()) return builder.status().WithNote("in backward of " + Called(node));
    OFL_CHECK(grads.size() == node.edges.size());
    if (const AnomalyMode anomaly = GetAnomalyMode(); anomaly.on && anomaly.check_nan)
      OFL_TRY(CheckNan(node, grads));
    std::vector<Edge> edges = node.edges;
    // Zeros around a part are a tensor of their own.
    const bool fresh = node.IsPart() && grads[0] != nullptr && AsTensor(grads[0])->has_data() &&
                       AsTensor(grads[0])->storage().use_count() == 1;
    if (!retain_) node.Release();
    for (size_t i = 0; i < edges.size(); ++i) {
      if (grads[i] != nullptr && Leads(edges[i]))
        OFL_TRY(Add(edges[i], std::move(grads[i]), fresh));
    }
    return Status::Ok();
  }

  // The one place where gradients along this edge add up; null where there are several or none yet.
  Slot SlotOf(const Edge& edge) {
    if (edge.leaf != nullptr && all_) {
      const auto at = leaf_index_.find(edge.leaf.get());
      if (at == leaf_index_.end()) return {};
      return {&leaves_[at->second].grad, leaves_[at->second].own};
    }
    if (edge.leaf != nullptr) {
      const auto at = wanted_leaves_.find(edge.leaf.get());
      if (at == wanted_leaves_.end() || at->second.size() != 1) return {};
      return {&captured_[at->second[0]], captured_own_[at->second[0]]};
    }
    const auto at = edge.node == nullptr ? ready_.end() : ready_.find(edge.node->number());
    if (at == ready_.end()) return {};
    const auto output = static_cast<size_t>(edge.output);
    return {&at->second.grads[output], at->second.own[output]};
  }

  // Slices of one tensor would each make, and add, a gradient of its whole size.
  Result<bool> AddPart(Node& node, const op::Value& grad) {
    if (create_graph_ || !node.IsPart() || grad == nullptr || !Leads(node.edges[0])) return false;
    const Slot slot = SlotOf(node.edges[0]);
    if (!slot.own || *slot.sum == nullptr) return false;
    return node.AddInto(TensorRef(AsTensor(*slot.sum)), grad);
  }

  // Gives back whether the sum is the walk's own.
  static Result<bool> Accumulate(op::Value& into, op::Value grad, bool fresh) {
    if (into == nullptr) {
      into = std::move(grad);
      return fresh;
    }
    OFL_ASSIGN(into, CallOp("add", {into, grad}));
    return AsTensor(into)->has_data() && AsTensor(into)->storage().use_count() == 1;
  }

  // `fresh`: nobody else holds the gradient.
  Status Add(const Edge& edge, op::Value grad, bool fresh = false) {
    if (edge.leaf != nullptr) {
      if (!all_) {
        const auto at = wanted_leaves_.find(edge.leaf.get());
        if (at == wanted_leaves_.end()) return Status::Ok();
        for (size_t i : at->second) {
          OFL_ASSIGN(captured_own_[i],
                     Accumulate(captured_[i], grad, fresh && at->second.size() == 1));
        }
        return Status::Ok();
      }
      auto [at, added] = leaf_index_.try_emplace(edge.leaf.get(), leaves_.size());
      if (added) leaves_.push_back({edge.leaf});
      LeafGrad& into = leaves_[at->second];
      OFL_ASSIGN(into.own, Accumulate(into.grad, std::move(grad), fresh));
      return Status::Ok();
    }
    if (edge.node == nullptr) return Status::Ok();
    Pending& pending = ready_[edge.node->number()];
    if (pending.node == nullptr) {
      pending.node = edge.node;
      pending.grads.resize(static_cast<size_t>(edge.node->num_outputs()));
      pending.own.resize(pending.grads.size());
    }
    const auto output = static_cast<size_t>(edge.output);
    OFL_ASSIGN(pending.own[output], Accumulate(pending.grads[output], std::move(grad), fresh));
    return Status::Ok();
  }

  // Whoever holds a leaf's grad sees it grow, unless overlapping elements forbid, or the sum is to
  // be differentiated.
  bool AccumulatesInPlace(const TensorImpl& grad) const {
    return !create_graph_ && !grad.read_only() &&
           !(grad.has_data() && OverlapsItself(grad.local_shape(), grad.strides()));
  }

  Status FinishLeaves() {
    std::unordered_set<const Storage*> given_out;
    for (auto& [leaf, grad, own] : leaves_) {
      TensorRef done(AsTensor(grad));
      if (leaf->is_global()) {
        OFL_ASSIGN(done, GradToLayout(done, leaf->layout_ref(), false, "backward"));
      }
      if (leaf->hooks() != nullptr) {
        op::Value hooked(done);
        OFL_TRY(leaf->hooks()->Run(hooked));
        done = TensorRef(AsTensor(hooked));
      }
      if (leaf->grad() != nullptr && AccumulatesInPlace(*leaf->grad())) {
        const op::Value parts[] = {op::Value(leaf->grad()), op::Value(done)};
        OFL_ASSIGN(const op::OpDef* add, op::OpRegistry::Get().Require("add"));
        OFL_TRY(DispatchInto(*add, parts, {}, leaf->grad()));
        OFL_TRY(TellAccumulated(leaf));
        continue;
      }
      if (leaf->grad() != nullptr) {
        OFL_ASSIGN(op::Value sum, CallOp("add", {op::Value(leaf->grad()), op::Value(done)}));
        done = TensorRef(AsTensor(sum));
      } else if (done->has_data() &&
                 (done->storage().use_count() > 1 || !done->dense() || done->behind_copy() ||
                  !given_out.insert(done->storage().get()).second)) {
        // A gradient that shares memory with another tensor would change with it; one that repeats
        // elements could not grow.
        if (create_graph_) {
          OFL_ASSIGN(op::Value own, CallOp("identity", {op::Value(done)}));
          done = TensorRef(AsTensor(own));
        } else {
          OFL_ASSIGN(done, CopyOf(done));
        }
      }
      leaf->set_grad(std::move(done));
      OFL_TRY(TellAccumulated(leaf));
    }
    return Status::Ok();
  }

  static Status TellAccumulated(const TensorRef& leaf) {
    if (leaf->post_hooks() == nullptr) return Status::Ok();
    op::Value told(leaf);
    return leaf->post_hooks()->Run(told);
  }

  bool retain_;
  bool create_graph_;
  bool all_ = true;  // every leaf is wanted, by way of its grad
  bool hands_out_ = false;
  std::map<uint64_t, Pending> ready_;
  std::unordered_map<const TensorImpl*, size_t> leaf_index_;
  std::vector<LeafGrad> leaves_;  // in order of meeting them
  // Of grad(): which of the wanted tensors a node's output or a leaf is, and their gradients.
  std::map<std::pair<uint64_t, int>, std::vector<size_t>> wanted_outputs_;
  std::unordered_map<const TensorImpl*, std::vector<size_t>> wanted_leaves_;
  std::unordered_set<uint64_t> needed_;
  op::Values captured_;
  std::vector<bool> captured_own_;  // see Slot
};

// What flows into the root: the caller's gradient, or 1 where the root has one element.
Result<op::Value> Seed(const TensorRef& root, const TensorRef& grad, const char* who) {
  OFL_ENSURE(root->requires_grad(), Code::kFailedPrecondition)
      << "[" << who << "] the tensor does not require grad and has no grad_fn: got "
      << Describe(*root) << "; expected a result of tensors with requires_grad=True";
  if (grad == nullptr) {
    OFL_ENSURE(root->meta().shape.numel() == 1, Code::kInvalidArgument)
        << "[" << who << "] grad can be implicitly created only for scalar outputs: got "
        << Describe(*root) << "; expected one element; pass "
        << (who == std::string_view("grad") ? "grad_outputs" : "backward(gradient)");
    OFL_ENSURE(!IsComplex(root->meta().dtype), Code::kInvalidArgument)
        << "[" << who << "] grad can be implicitly created only for real scalar outputs: got "
        << Describe(*root) << "; expected a real one; use y.real or y.abs(), or pass "
        << (who == std::string_view("grad") ? "grad_outputs" : "backward(gradient)");
    OFL_ASSIGN(TensorRef one, OnesLike(root));
    return op::Value(one);
  }
  OFL_ENSURE(grad->meta() == root->meta(), Code::kInvalidArgument)
      << "[" << who << "] the gradient does not fit: got gradient: " << Describe(*grad) << " for "
      << Describe(*root) << "; expected the same shape and dtype";
  OFL_ENSURE(grad->is_global() == root->is_global(), Code::kInvalidArgument)
      << "[" << who << "] the gradient does not fit: got gradient: " << Describe(*grad) << " for "
      << Describe(*root) << "; expected both local or both global";
  return op::Value(grad);
}

}  // namespace

Status Backward(const TensorRef& root, const TensorRef& grad, bool retain_graph, bool create_graph,
                std::span<const TensorRef> inputs) {
  GradModeGuard mode(create_graph);
  OFL_ASSIGN(op::Value seed, Seed(root, grad, "backward"));
  Walk walk(retain_graph, create_graph);
  if (!inputs.empty()) walk.Want(inputs, {&root, 1});
  OFL_TRY(walk.AddRoot(root, std::move(seed)));
  OFL_TRY(walk.Run());
  return inputs.empty() ? Status::Ok() : walk.AccumulateCaptured(inputs);
}

Result<op::Values> Gradients(std::span<const TensorRef> roots, std::span<const TensorRef> grads,
                             std::span<const TensorRef> inputs, bool retain_graph,
                             bool create_graph) {
  GradModeGuard mode(create_graph);
  Walk walk(retain_graph, create_graph);
  walk.HandOut();
  walk.Want(inputs, roots);
  for (size_t i = 0; i < roots.size(); ++i) {
    OFL_ASSIGN(op::Value seed, Seed(roots[i], grads[i], "grad"));
    OFL_TRY(walk.AddRoot(roots[i], std::move(seed)));
  }
  OFL_TRY(walk.Run());
  op::Values results = std::move(walk.captured());
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i] == nullptr) continue;
    if (inputs[i]->is_global()) {
      OFL_ASSIGN(TensorRef laid_out, GradToLayout(TensorRef(AsTensor(results[i])),
                                                  inputs[i]->layout_ref(), false, "grad"));
      results[i] = op::Value(laid_out);
    }
    if (!inputs[i]->is_leaf() || inputs[i]->hooks() == nullptr) continue;
    const auto before = std::find(inputs.begin(), inputs.begin() + i, inputs[i]);
    if (before != inputs.begin() + i) {  // asked for twice, hooked once
      results[i] = results[before - inputs.begin()];
    } else {
      OFL_TRY(inputs[i]->hooks()->Run(results[i]));
    }
  }
  return results;
}

}  // namespace ofl::tensor
