#include "oneflow_like/tensor/autograd.h"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/tensor/boxing.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::tensor {
namespace {

std::atomic<uint64_t> next_node_number{1};

constinit AnomalyMode anomaly_mode;

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
  explicit AliasNode(Edge edge) : Node("alias") { edges.push_back(std::move(edge)); }
  op::Values Apply(EagerBuilder&, std::span<const op::Value> grads) override { return {grads[0]}; }
};

class OpNode final : public Node {
 public:
  OpNode(const op::OpDef& def, AttrsRef attrs, std::span<const op::Value> inputs,
         std::span<const op::Value> outputs, const GradientReads& reads,
         uint64_t number = NextNumber())
      : Node(def.name, number), def_(def), attrs_(std::move(attrs)) {
    num_outputs_ = static_cast<int>(outputs.size());
    inputs_.reserve(inputs.size());
    outputs_.reserve(outputs.size());
    versions_.reserve(inputs.size() + outputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) Keep(inputs[i], reads.inputs[i], inputs_);
    for (size_t i = 0; i < outputs.size(); ++i) Keep(outputs[i], reads.outputs[i], outputs_);
    if (keeps_ || anomaly_mode.on) kept_ = KeptAt::Now();
  }

  std::string CalledAt() const override { return kept_.line.Text(); }

  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    if (Context::grad_enabled() && def_.decompose != nullptr) {
      auto through = ThroughComposition(grads);
      if (through.ok()) return std::move(through).value();
      builder.Report(through.status());
      return op::Values(edges.size());
    }
    const bool records = Context::grad_enabled();
    const op::Values inputs = records ? RecordedInputs() : inputs_;
    const op::Values outputs = records ? RecordedOutputs() : outputs_;
    builder.Guard(name(), SavedOf(inputs, outputs), &kept_);
    boost::container::small_vector<bool, 8> needs;
    for (const Edge& e : edges) needs.push_back(e.needed());
    op::GradContext context(builder, inputs, outputs, grads, *attrs_, {needs.data(), needs.size()});
    def_.grad(context);
    return std::move(context.input_grads);
  }

  bool IsPart() const override {
    // Not of places in the memory itself, which the gradient may not share.
    return def_.view != nullptr && !def_.write_back.empty() && !attrs_->Has("storage_offset");
  }

  Result<bool> AddInto(const TensorRef& sum, const op::Value& grad) override {
    const TensorImpl* part = AsTensor(grad);
    if (!IsPart() || sum->is_global() || part->is_global() || !sum->has_data() ||
        !part->has_data() || !sum->dense() || sum->meta().dtype != part->meta().dtype)
      return false;
    const auto geometry = def_.view(sum->meta().shape, sum->strides(), *attrs_);
    if (!geometry.ok() || !(geometry->shape == part->meta().shape) ||
        OverlapsItself(geometry->shape, geometry->strides))
      return false;
    const auto size = static_cast<int64_t>(DTypeSize(sum->meta().dtype));
    const TensorRef target = sum->As(part->meta(), nullptr, geometry->shape, geometry->strides,
                                     sum->offset_bytes() + geometry->offset * size);
    OFL_ASSIGN(const op::OpDef* add, op::OpRegistry::Get().Require("add"));
    const op::Value terms[] = {op::Value(target), grad};
    OFL_ASSIGN(const bool done, RunInto(*add, terms, {}, *target));
    if (done) sum->BumpVersion();
    return done;
  }

  void Release() override {
    Node::Release();
    inputs_.clear();
    outputs_.clear();
  }

 private:
  // A leaf that requires grad keeps its history for ever, and serves itself.
  void Keep(const op::Value& x, const op::Value& stand_in, op::Values& into) {
    const TensorImpl* tensor = AsTensor(x);
    versions_.push_back(tensor->version());
    keeps_ |= stand_in == nullptr;
    if (stand_in != nullptr) {
      into.push_back(stand_in);
    } else if (tensor->requires_grad() && tensor->is_leaf()) {
      into.push_back(x);
    } else {
      into.emplace_back(tensor->Detach());
    }
  }

  // What of these the rule reads, with the version it was kept at.
  std::vector<EagerBuilder::Saved> SavedOf(std::span<const op::Value> inputs,
                                           std::span<const op::Value> outputs) const {
    std::vector<EagerBuilder::Saved> saved;
    size_t at = 0;
    for (std::span<const op::Value> values : {inputs, outputs}) {
      for (const op::Value& v : values) {
        if (!v->is_symbolic()) saved.push_back({v.get(), versions_[at]});
        ++at;
      }
    }
    return saved;
  }

  // The inputs with their history, for a backward that is recorded itself. Made for one walk: kept,
  // they could own this node in a circle.
  op::Values RecordedInputs() const {
    op::Values inputs = inputs_;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (edges[i].node == nullptr || inputs[i]->is_symbolic()) continue;
      const TensorRef input = AsTensor(inputs_[i])->Detach();
      PutAt(edges[i], input);
      inputs[i] = op::Value(input);
    }
    return inputs;
  }

  // The outputs likewise.
  op::Values RecordedOutputs() {
    op::Values outputs;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i]->is_symbolic() || !IsDifferentiable(outputs_[i]->meta().dtype)) {
        outputs.push_back(outputs_[i]);
        continue;
      }
      TensorRef output = AsTensor(outputs_[i])->Detach();
      output->SetGradFn(NodeRef(this), static_cast<int>(i));
      outputs.emplace_back(std::move(output));
    }
    return outputs;
  }

  // A backward that is recorded differentiates the composition, whose parts can all be
  // differentiated again: a fused gradient kernel cannot.
  Result<op::Values> ThroughComposition(std::span<const op::Value> grads) {
    EagerBuilder builder;
    builder.Guard(name(), SavedOf(inputs_, {}), &kept_);
    OFL_TRY(builder.CheckSaved());
    op::Values inputs = inputs_;
    std::vector<TensorRef> wanted;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!edges[i].needed()) continue;
      const TensorRef alias = AsTensor(inputs_[i])->Detach();
      alias->SetGradFn(NodeRef(new AliasNode(edges[i])), 0);
      inputs[i] = op::Value(alias);
      wanted.push_back(alias);
    }
    const op::Values outputs = def_.decompose(builder, inputs, *attrs_);
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
  AttrsRef attrs_;
  op::Values inputs_;  // aliases, or stand-ins
  op::Values outputs_;
  std::vector<uint64_t> versions_;  // inputs, then outputs
  KeptAt kept_;
  bool keeps_ = false;  // not stand-ins alone
};

// A gradient of zeros: what was overwritten has no part in the result.
class OverwriteNode final : public Node {
 public:
  explicit OverwriteNode(Edge before) : Node("overwrite") { edges.push_back(std::move(before)); }
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    return {builder.Call("zeros_like", {grads[0]})};
  }
};

// A base of which a view's elements were replaced: edges to what it was, and to the new elements.
class WriteThroughNode final : public Node {
 public:
  WriteThroughNode(const TensorImpl& view, Edge base, Edge value) : Node("write_through") {
    for (const TensorImpl* x = &view; x->origin() != nullptr; x = x->origin()->parent.get())
      steps_.push_back({x->origin()->def, x->origin()->attrs});
    std::ranges::reverse(steps_);
    edges.push_back(std::move(base));
    edges.push_back(std::move(value));
  }
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    op::Values parts = {grads[0]};  // of the gradient: the base's, and that of each view in turn
    for (const auto& [def, attrs] : steps_)
      parts.push_back(builder.Call(def->name, {parts.back()}, *attrs));
    op::Value rest;
    if (edges[0].needed()) {
      rest = builder.Call("zeros_like", {parts.back()});
      for (size_t i = steps_.size(); i-- > 0;)
        rest = op::WrittenBack(builder, *steps_[i].first, *steps_[i].second, parts[i], rest);
    }
    return {rest, edges[1].needed() ? parts.back() : nullptr};
  }

 private:
  std::vector<std::pair<const op::OpDef*, AttrsRef>> steps_;  // from the base on
};

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
    if (anomaly_mode.on && anomaly_mode.check_nan) OFL_TRY(CheckNan(node, grads));
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
      return {&leaves_[at->second].second, leaf_own_[at->second]};
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
      if (added) {
        leaves_.push_back({edge.leaf, nullptr});
        leaf_own_.push_back(false);
      }
      OFL_ASSIGN(leaf_own_[at->second],
                 Accumulate(leaves_[at->second].second, std::move(grad), fresh));
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
    for (auto& [leaf, grad] : leaves_) {
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
      } else if (done->has_data() && (done->storage().use_count() > 1 || !done->dense() ||
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
  std::vector<std::pair<TensorRef, op::Value>> leaves_;  // in order of meeting them
  // Of grad(): which of the wanted tensors a node's output or a leaf is, and their gradients.
  std::map<std::pair<uint64_t, int>, std::vector<size_t>> wanted_outputs_;
  std::unordered_map<const TensorImpl*, std::vector<size_t>> wanted_leaves_;
  std::unordered_set<uint64_t> needed_;
  op::Values captured_;
  std::vector<bool> captured_own_, leaf_own_;  // see Slot
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

Node::Node(std::string name, uint64_t number) : name_(std::move(name)), number_(number) {}
uint64_t Node::NextNumber() { return next_node_number.fetch_add(1, std::memory_order_relaxed); }
Node::~Node() { FreeEdges(edges); }

HooksRef Node::HooksOf(int output, bool last) {
  std::vector<HooksRef>& all = last ? last_hooks_ : hooks_;
  all.resize(static_cast<size_t>(num_outputs_));
  HooksRef& hooks = all[static_cast<size_t>(output)];
  if (hooks == nullptr) hooks = std::make_shared<Hooks>();
  return hooks;
}

Status Node::RunHooks(op::Values& grads) const {
  for (const std::vector<HooksRef>* hooks : {&hooks_, &last_hooks_})
    for (size_t k = 0; k < hooks->size(); ++k)
      if ((*hooks)[k] != nullptr && grads[k] != nullptr) OFL_TRY((*hooks)[k]->Run(grads[k]));
  return Status::Ok();
}

namespace {

// How many hooks each leaf's list holds. Held by the hooks themselves.
std::unordered_map<const Hooks*, int>& HooksOfLeaves() {
  static auto* counts = new std::unordered_map<const Hooks*, int>;
  return *counts;
}

class Counted {
 public:
  explicit Counted(const Hooks* hooks) : hooks_(hooks) { ++HooksOfLeaves()[hooks]; }
  ~Counted() {
    const auto at = HooksOfLeaves().find(hooks_);
    if (--at->second == 0) HooksOfLeaves().erase(at);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  const Hooks* hooks_;
};

std::pair<HooksRef, int64_t> AddToLeaf(HooksRef& hooks, Hook hook) {
  if (hooks == nullptr) hooks = std::make_shared<Hooks>();
  auto counted = std::make_shared<Counted>(hooks.get());
  const int64_t id =
      hooks->Add([counted, hook = std::move(hook)](const op::Value& grad) { return hook(grad); });
  return {hooks, id};
}

}  // namespace

bool HasHooks(const TensorImpl& leaf) {
  auto& x = const_cast<TensorImpl&>(leaf);
  const auto& counts = HooksOfLeaves();
  return !counts.empty() &&
         (counts.contains(x.hooks().get()) || counts.contains(x.post_hooks().get()));
}

std::pair<HooksRef, int64_t> AddPostHook(const TensorRef& leaf, Hook hook) {
  return AddToLeaf(leaf->post_hooks(), std::move(hook));
}

std::pair<HooksRef, int64_t> AddHook(const TensorRef& x, Hook hook) {
  if (const NodeRef& node = x->grad_fn(); node != nullptr) {
    HooksRef hooks = node->HooksOf(x->output_index());
    const int64_t id = hooks->Add(std::move(hook));
    return {std::move(hooks), id};
  }
  return AddToLeaf(x->hooks(), std::move(hook));
}

void RetainGrad(const TensorRef& x) {
  // The node that keeps the hook may belong to the tensor: it must not own it.
  const HooksRef hooks = x->grad_fn()->HooksOf(x->output_index(), /*last=*/true);
  hooks->Add([self = x->Self()](const op::Value& grad) -> Result<op::Value> {
    if (TensorImpl* tensor = *self; tensor != nullptr) {
      if (tensor->grad() != nullptr) {
        OFL_ASSIGN(op::Value sum, CallOp("add", {op::Value(tensor->grad()), grad}));
        tensor->set_grad(TensorRef(AsTensor(sum)));
      } else {
        tensor->set_grad(TensorRef(AsTensor(grad)));
      }
    }
    return op::Value();
  });
}

void intrusive_ptr_add_ref(const Node* node) {
  node->refs_.fetch_add(1, std::memory_order_relaxed);
}
void intrusive_ptr_release(const Node* node) {
  if (node->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node;
}

Status EagerBuilder::CheckSaved(const Saved& saved) const {
  const auto* x = static_cast<const TensorImpl*>(saved.value);
  OFL_ENSURE(x->version() == saved.version, Code::kFailedPrecondition)
      << "[" << guarded_op_ << "] a tensor needed for backward was changed in place (one of the "
      << "variables needed for gradient computation has been modified by an inplace operation): "
      << "got " << Describe(*x) << " at version " << x->version()
      << (kept_ == nullptr ? std::string() : kept_->Story(x->storage().get(), saved.version))
      << "; expected version " << saved.version << "; change a copy instead";
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
  auto outputs = Dispatch(op, inputs, attrs, op.Draws() || op.composite ? generator_ : nullptr);
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

AnomalyMode GetAnomalyMode() { return anomaly_mode; }
void SetAnomalyMode(AnomalyMode mode) { anomaly_mode = mode; }

Edge EdgeOf(const op::Value& x) {
  TensorImpl* t = AsTensor(x);
  if (const NodeRef& node = t->grad_fn(); node != nullptr)
    return {node, t->output_index(), nullptr};
  if (t->requires_grad()) return {nullptr, 0, TensorRef(t)};
  return {};
}

void PutAt(const Edge& edge, const TensorRef& x) {
  if (edge.leaf != nullptr) {
    x->SetGradFn(NodeRef(new AliasNode(edge)), 0);
  } else {
    x->SetGradFn(edge.node, edge.output);
  }
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

void RecordOp(const op::OpDef& def, AttrsRef attrs, std::span<const op::Value> inputs,
              std::span<const op::Value> outputs, const GradientReads& reads) {
  if (def.Has(op::Trait::kIgnoresValues)) return;
  bool differentiable = false;
  for (const op::Value& y : outputs) differentiable |= IsDifferentiable(y->meta().dtype);
  if (!differentiable) return;
  NodeRef node;
  if (def.grad != nullptr) {
    node = new OpNode(def, std::move(attrs), inputs, outputs, reads);
  } else {
    node = new RefusingNode(def, static_cast<int>(outputs.size()));
  }
  node->edges.reserve(inputs.size());
  for (const op::Value& x : inputs) node->edges.push_back(EdgeOf(x));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (IsDifferentiable(outputs[i]->meta().dtype)) {
      AsTensor(outputs[i])->SetGradFn(node, static_cast<int>(i));
    }
  }
}

void RecordNode(NodeRef node, const TensorRef& output) { output->SetGradFn(std::move(node), 0); }

bool HasHistory(const TensorImpl& target) {
  if (target.requires_grad()) return true;
  return target.origin() != nullptr && target.origin()->root->requires_grad();
}

void RecordChange(const TensorRef& target, const Edge& value) {
  TensorImpl* root = target->origin() != nullptr ? target->origin()->root : target.get();
  const Edge before = EdgeOf(op::Value(root));
  if (!before.needed() && !value.needed()) return;
  if (root != target.get()) {
    root->SetGradFn(NodeRef(new WriteThroughNode(*target, before, value)), 0);
  } else if (value.needed()) {
    PutAt(value, target);
  } else {
    target->SetGradFn(NodeRef(new OverwriteNode(before)), 0);
  }
}

// From the root down: the history of each view is that of its parent, and the view operator.
void TensorImpl::Follow() const {
  const uint64_t now = origin_->root->history_;
  std::vector<const TensorImpl*> views;
  for (const TensorImpl* x = this;
       x->origin_ != nullptr && !x->requires_grad_ && x->followed_ != now + 1;
       x = x->origin_->parent.get())
    views.push_back(x);
  while (!views.empty()) {
    const TensorImpl* x = views.back();
    views.pop_back();
    const Origin& origin = *x->origin_;
    x->followed_ = now + 1;
    x->grad_fn_ = nullptr;
    if (!origin.taped && origin.born == now) continue;
    Edge edge = EdgeOf(op::Value(origin.parent));
    if (!edge.needed()) continue;
    const op::Value parent(origin.parent.get()), self(const_cast<TensorImpl*>(x));
    const GradientReads reads{{StandIn(parent->meta())}, {StandIn(x->meta())}};
    NodeRef node;
    if (origin.def->grad != nullptr) {
      // Gradients add up in the order of the program, as in a graph.
      const uint64_t number = origin.born == now ? origin.place : Node::NextNumber();
      node = new OpNode(*origin.def, origin.attrs, {&parent, 1}, {&self, 1}, reads, number);
    } else {
      node = new RefusingNode(*origin.def, 1);
    }
    node->edges.push_back(std::move(edge));
    x->grad_fn_ = std::move(node);
    x->output_index_ = 0;
  }
}

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
