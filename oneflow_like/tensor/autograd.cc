#include "oneflow_like/tensor/autograd.h"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "oneflow_like/tensor/boxing.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::tensor {
namespace {

std::atomic<uint64_t> next_node_number{1};

// A long chain would free itself by recursion; edges wait here instead.
thread_local std::vector<Edge>* dying_edges = nullptr;

void FreeEdges(std::vector<Edge>& edges) {
  if (dying_edges != nullptr) {
    for (Edge& e : edges) dying_edges->push_back(std::move(e));
    return;
  }
  std::vector<Edge> queue = std::move(edges);
  dying_edges = &queue;
  while (!queue.empty()) {
    Edge last = std::move(queue.back());
    queue.pop_back();
  }
  dying_edges = nullptr;
}

// The same value under a handle of its own: where a walk shall end.
class AliasNode final : public Node {
 public:
  explicit AliasNode(const TensorRef& x) : Node("alias") { edges.push_back(EdgeOf(op::Value(x))); }
  op::Values Apply(EagerBuilder&, std::span<const op::Value> grads) override { return {grads[0]}; }
};

class OpNode final : public Node {
 public:
  OpNode(const op::OpDef& def, const Attrs& attrs, std::span<const op::Value> inputs,
         std::span<const op::Value> outputs)
      : Node(def.name), def_(def), attrs_(attrs), inputs_(inputs.begin(), inputs.end()) {
    num_outputs_ = static_cast<int>(outputs.size());
    for (const op::Value& v : inputs) versions_.push_back(AsTensor(v)->version());
    // Not the outputs themselves: they own this node.
    for (const op::Value& v : outputs) outputs_.emplace_back(AsTensor(v)->Detach());
    for (const op::Value& v : outputs) versions_.push_back(AsTensor(v)->version());
  }
  // Inputs are let go through the queue too: they hold the nodes that made them.
  ~OpNode() override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i] != nullptr) edges.push_back({nullptr, 0, TensorRef(AsTensor(inputs_[i]))});
    }
    inputs_.clear();
  }

  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    if (Context::grad_enabled() && def_.decompose != nullptr) {
      auto through = ThroughComposition(grads);
      if (through.ok()) return std::move(through).value();
      builder.Report(through.status());
      return op::Values(edges.size());
    }
    const op::Values outputs = Context::grad_enabled() ? RecordedOutputs() : outputs_;
    std::vector<EagerBuilder::Saved> saved;
    for (size_t i = 0; i < inputs_.size(); ++i) saved.push_back({inputs_[i].get(), versions_[i]});
    for (size_t i = 0; i < outputs.size(); ++i) {
      saved.push_back({outputs[i].get(), versions_[inputs_.size() + i]});
    }
    builder.Guard(name(), std::move(saved));
    boost::container::small_vector<bool, 8> needs;
    for (const Edge& e : edges) needs.push_back(e.needed());
    op::GradContext context(builder, inputs_, outputs, grads, attrs_, {needs.data(), needs.size()});
    def_.grad(context);
    return std::move(context.input_grads);
  }

  void Release() override {
    Node::Release();
    inputs_.clear();
    outputs_.clear();
  }

 private:
  // The outputs with their history, for a backward that is recorded itself. Made for one walk:
  // kept, they would own this node in a circle.
  op::Values RecordedOutputs() {
    op::Values outputs;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      TensorRef output = AsTensor(outputs_[i])->Detach();
      if (IsDifferentiable(output->meta().dtype))
        output->SetGradFn(NodeRef(this), static_cast<int>(i));
      outputs.emplace_back(std::move(output));
    }
    return outputs;
  }

  // A backward that is recorded differentiates the composition, whose parts can all be
  // differentiated again: a fused gradient kernel cannot.
  Result<op::Values> ThroughComposition(std::span<const op::Value> grads) {
    EagerBuilder builder;
    std::vector<EagerBuilder::Saved> saved;
    for (size_t i = 0; i < inputs_.size(); ++i) saved.push_back({inputs_[i].get(), versions_[i]});
    builder.Guard(name(), saved);
    OFL_TRY(builder.CheckSaved());
    op::Values inputs = inputs_;
    std::vector<TensorRef> wanted;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!edges[i].needed()) continue;
      const TensorRef x(AsTensor(inputs_[i]));
      const TensorRef alias = x->Detach();
      alias->SetGradFn(NodeRef(new AliasNode(x)), 0);
      inputs[i] = op::Value(alias);
      wanted.push_back(alias);
    }
    const op::Values outputs = def_.decompose(builder, inputs, attrs_);
    OFL_TRY(builder.status());
    std::vector<TensorRef> roots, seeds;
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (grads[k] == nullptr || !AsTensor(outputs[k])->requires_grad()) continue;
      roots.emplace_back(AsTensor(outputs[k]));
      seeds.emplace_back(AsTensor(grads[k]));
    }
    OFL_ASSIGN(op::Values found, Gradients(roots, seeds, wanted, true, true));
    op::Values results(inputs.size());
    for (size_t i = 0, at = 0; i < inputs.size(); ++i)
      if (edges[i].needed()) results[i] = found[at++];
    return results;
  }

  const op::OpDef& def_;
  Attrs attrs_;
  op::Values inputs_;
  op::Values outputs_;
  std::vector<uint64_t> versions_;  // inputs, then outputs
};

// The walk of one backward call, or of one call of grad(): then only what leads to `wanted` is
// walked, and their gradients are handed out instead of being accumulated.
class Walk {
 public:
  Walk(bool retain, bool create_graph) : retain_(retain), create_graph_(create_graph) {}

  // Before the roots are added.
  void Want(std::span<const TensorRef> wanted, std::span<const TensorRef> roots) {
    captured_.resize(wanted.size());
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

 private:
  struct Pending {
    NodeRef node;
    op::Values grads;
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

  Status Step(Pending& pending) {
    Node& node = *pending.node;
    for (int k = 0; k < node.num_outputs(); ++k) {
      const auto at = wanted_outputs_.find({node.number(), k});
      if (at == wanted_outputs_.end()) continue;
      for (size_t i : at->second) captured_[i] = pending.grads[static_cast<size_t>(k)];
    }
    if (std::ranges::none_of(node.edges, [&](const Edge& e) { return Leads(e); }) && !all_)
      return Status::Ok();
    OFL_ENSURE(!node.released(), Code::kFailedPrecondition)
        << "[backward] the graph was already freed at " << node.name()
        << ": got a second backward through it; expected one; use backward(retain_graph=True) "
           "the first time";
    EagerBuilder builder;
    op::Values grads = node.Apply(builder, pending.grads);
    if (!builder.status().ok()) return builder.status().WithNote("in backward of " + node.name());
    OFL_CHECK(grads.size() == node.edges.size());
    std::vector<Edge> edges = node.edges;
    if (!retain_) node.Release();
    for (size_t i = 0; i < edges.size(); ++i) {
      if (grads[i] != nullptr && Leads(edges[i])) OFL_TRY(Add(edges[i], std::move(grads[i])));
    }
    return Status::Ok();
  }

  static Status Accumulate(op::Value& into, op::Value grad) {
    if (into == nullptr) {
      into = std::move(grad);
      return Status::Ok();
    }
    OFL_ASSIGN(into, CallOp("add", {into, grad}));
    return Status::Ok();
  }

  Status Add(const Edge& edge, op::Value grad) {
    if (edge.leaf != nullptr) {
      if (!all_) {
        const auto at = wanted_leaves_.find(edge.leaf.get());
        if (at == wanted_leaves_.end()) return Status::Ok();
        for (size_t i : at->second) OFL_TRY(Accumulate(captured_[i], grad));
        return Status::Ok();
      }
      auto [at, fresh] = leaf_index_.try_emplace(edge.leaf.get(), leaves_.size());
      if (fresh) leaves_.push_back({edge.leaf, nullptr});
      return Accumulate(leaves_[at->second].second, std::move(grad));
    }
    if (edge.node == nullptr) return Status::Ok();
    Pending& pending = ready_[edge.node->number()];
    if (pending.node == nullptr) {
      pending.node = edge.node;
      pending.grads.resize(static_cast<size_t>(edge.node->num_outputs()));
    }
    return Accumulate(pending.grads[static_cast<size_t>(edge.output)], std::move(grad));
  }

  // Whoever holds a leaf's grad sees it grow, unless its history or overlapping elements forbid.
  bool AccumulatesInPlace(const TensorImpl& grad) const {
    return !create_graph_ && !grad.requires_grad() &&
           !(grad.has_data() && OverlapsItself(grad.local_shape(), grad.strides()));
  }

  Status FinishLeaves() {
    std::unordered_set<const Storage*> given_out;
    for (auto& [leaf, grad] : leaves_) {
      TensorRef done(AsTensor(grad));
      if (leaf->is_global()) {
        OFL_ASSIGN(done, GradToLayout(done, leaf->layout_ref(), false, "backward"));
      }
      if (leaf->grad() != nullptr && AccumulatesInPlace(*leaf->grad())) {
        const op::Value parts[] = {op::Value(leaf->grad()), op::Value(done)};
        OFL_ASSIGN(const op::OpDef* add, op::OpRegistry::Get().Require("add"));
        OFL_TRY(DispatchInto(*add, parts, {}, leaf->grad()));
        continue;
      }
      if (leaf->grad() != nullptr) {
        OFL_ASSIGN(op::Value sum, CallOp("add", {op::Value(leaf->grad()), op::Value(done)}));
        done = TensorRef(AsTensor(sum));
      } else if (done->has_data() && (done->storage().use_count() > 1 ||
                                      !given_out.insert(done->storage().get()).second)) {
        // A gradient that shares memory with another tensor would change with it.
        if (create_graph_) {
          OFL_ASSIGN(op::Value own, CallOp("identity", {op::Value(done)}));
          done = TensorRef(AsTensor(own));
        } else {
          OFL_ASSIGN(done, CopyOf(done));
        }
      }
      leaf->set_grad(std::move(done));
    }
    return Status::Ok();
  }

  bool retain_;
  bool create_graph_;
  bool all_ = true;  // every leaf is wanted, by way of its grad
  std::map<uint64_t, Pending> ready_;
  std::unordered_map<const TensorImpl*, size_t> leaf_index_;
  std::vector<std::pair<TensorRef, op::Value>> leaves_;  // in order of meeting them
  // Of grad(): which of the wanted tensors a node's output or a leaf is, and their gradients.
  std::map<std::pair<uint64_t, int>, std::vector<size_t>> wanted_outputs_;
  std::unordered_map<const TensorImpl*, std::vector<size_t>> wanted_leaves_;
  std::unordered_set<uint64_t> needed_;
  op::Values captured_;
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

Node::Node(std::string name) : name_(std::move(name)), number_(next_node_number++) {}
Node::~Node() { FreeEdges(edges); }

void intrusive_ptr_add_ref(const Node* node) {
  node->refs_.fetch_add(1, std::memory_order_relaxed);
}
void intrusive_ptr_release(const Node* node) {
  if (node->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node;
}

Status EagerBuilder::CheckSaved(const Saved& saved) const {
  const auto* x = static_cast<const TensorImpl*>(saved.value);
  OFL_ENSURE(x->version() == saved.version, Code::kFailedPrecondition)
      << "[" << guarded_op_ << "] a tensor needed for backward was changed in place: got "
      << Describe(*x) << " at version " << x->version() << "; expected version " << saved.version
      << "; change a copy instead";
  return Status::Ok();
}

Status EagerBuilder::CheckSaved() const {
  for (const Saved& saved : saved_) OFL_TRY(CheckSaved(saved));
  return Status::Ok();
}

op::Values EagerBuilder::Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) {
  op::Values none(op.outputs.size());
  if (!status_.ok()) return none;
  for (const op::Value& v : inputs) {
    if (v == nullptr) {
      Fail(Error(Code::kInternal) << "[" << op.name << "] a gradient rule passed no tensor");
      return none;
    }
    for (const Saved& saved : saved_) {
      if (saved.value != v.get()) continue;
      if (Status same = CheckSaved(saved); !same.ok()) {
        Fail(std::move(same));
        return none;
      }
    }
  }
  auto outputs = Dispatch(op, inputs, attrs);
  if (outputs.ok()) return std::move(outputs).value();
  Fail(outputs.status());
  return none;
}

op::Value EagerBuilder::ToLayout(const op::Value& x, const sbp::Layout& layout) {
  if (!status_.ok()) return nullptr;
  auto boxed = GlobalToGlobal(TensorRef(AsTensor(x)), std::make_shared<const sbp::Layout>(layout),
                              "to_global");
  if (boxed.ok()) return op::Value(*boxed);
  Fail(boxed.status());
  return nullptr;
}

Edge EdgeOf(const op::Value& x) {
  TensorImpl* t = AsTensor(x);
  if (t->grad_fn() != nullptr) return {t->grad_fn(), t->output_index(), nullptr};
  if (t->requires_grad()) return {nullptr, 0, TensorRef(t)};
  return {};
}

namespace {
class RefusingNode final : public Node {
 public:
  RefusingNode(const op::OpDef& def, int outputs) : Node(def.name), def_(def) {
    num_outputs_ = outputs;
  }
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value>) override {
    builder.Report(Error(Code::kUnimplemented)
                   << "[" << def_.name << "] has no gradient: " << def_.not_differentiable
                   << "; use detach() where none is wanted");
    return op::Values(edges.size());
  }

 private:
  const op::OpDef& def_;
};
}  // namespace

void RecordOp(const op::OpDef& def, const Attrs& attrs, std::span<const op::Value> inputs,
              std::span<const op::Value> outputs) {
  if (def.Has(op::Trait::kIgnoresValues)) return;
  bool differentiable = false;
  for (const op::Value& y : outputs) differentiable |= IsDifferentiable(y->meta().dtype);
  if (!differentiable) return;
  NodeRef node;
  if (def.grad != nullptr) {
    node = new OpNode(def, attrs, inputs, outputs);
  } else {
    node = new RefusingNode(def, static_cast<int>(outputs.size()));
  }
  for (const op::Value& x : inputs) node->edges.push_back(EdgeOf(x));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (IsDifferentiable(outputs[i]->meta().dtype)) {
      AsTensor(outputs[i])->SetGradFn(node, static_cast<int>(i));
    }
  }
}

void RecordNode(NodeRef node, const TensorRef& output) { output->SetGradFn(std::move(node), 0); }

Status Backward(const TensorRef& root, const TensorRef& grad, bool retain_graph,
                bool create_graph) {
  GradModeGuard mode(create_graph);
  OFL_ASSIGN(op::Value seed, Seed(root, grad, "backward"));
  Walk walk(retain_graph, create_graph);
  OFL_TRY(walk.AddRoot(root, std::move(seed)));
  return walk.Run();
}

Result<op::Values> Gradients(std::span<const TensorRef> roots, std::span<const TensorRef> grads,
                             std::span<const TensorRef> inputs, bool retain_graph,
                             bool create_graph) {
  GradModeGuard mode(create_graph);
  Walk walk(retain_graph, create_graph);
  walk.Want(inputs, roots);
  for (size_t i = 0; i < roots.size(); ++i) {
    OFL_ASSIGN(op::Value seed, Seed(roots[i], grads[i], "grad"));
    OFL_TRY(walk.AddRoot(roots[i], std::move(seed)));
  }
  OFL_TRY(walk.Run());
  op::Values results = std::move(walk.captured());
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i] == nullptr || !inputs[i]->is_global()) continue;
    OFL_ASSIGN(TensorRef laid_out, GradToLayout(TensorRef(AsTensor(results[i])),
                                                inputs[i]->layout_ref(), false, "grad"));
    results[i] = op::Value(laid_out);
  }
  return results;
}

}  // namespace ofl::tensor
