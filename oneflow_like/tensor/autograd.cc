#include "oneflow_like/tensor/autograd.h"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <utility>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/view_steps.h"

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

// Of an operator without a gradient.
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

// A tensor of which all was overwritten: edges to what it was, which has no part in the result and
// gets a gradient of zeros, and to the new elements, if anything made them.
class OverwriteNode final : public Node {
 public:
  OverwriteNode(Edge before, Edge value) : Node("overwrite") {
    edges.push_back(std::move(before));
    if (value.needed()) edges.push_back(std::move(value));
  }
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    op::Values made = {builder.Call("zeros_like", {grads[0]})};
    if (edges.size() > 1) made.push_back(grads[0]);
    return made;
  }
};

// Where elements lie in a memory, counted in elements.
struct Place {
  explicit Place(const TensorImpl& x)
      : shape(x.local_shape()),
        strides(x.strides()),
        offset(x.offset_bytes() / static_cast<int64_t>(DTypeSize(x.meta().dtype))) {}
  int64_t End() const {
    int64_t last = offset;
    for (int i = 0; i < shape.rank(); ++i) last += std::max<int64_t>(shape[i] - 1, 0) * strides[i];
    return last + 1;
  }
  Attrs From(int64_t begin) const {
    return {
        {"size", DimsOf(shape)}, {"stride", DimsOf(strides)}, {"storage_offset", offset - begin}};
  }
  Shape shape;
  Strides strides;
  int64_t offset;
};

// as_strided of a tensor that is not the whole of its memory: what flows to an element of the
// memory goes to the input's element that lies there. As in torch, it is shared out where several
// do, and lost where none does.
class MemoryNode final : public Node {
 public:
  MemoryNode(const op::OpDef& def, const TensorImpl& input, const TensorImpl& view, uint64_t number)
      : Node(def.name, number), input_(input), view_(view) {}
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    const int64_t begin = std::min(input_.offset, view_.offset);
    Attrs adjoint = view_.From(begin);
    adjoint.Set("shape", std::vector<int64_t>{std::max(input_.End(), view_.End()) - begin});
    const Attrs take = input_.From(begin);
    const op::Value sums = builder.Call("as_strided_adjoint", {grads[0]}, adjoint);
    op::Value grad = builder.Call("as_strided_take", {sums}, take);
    if (OverlapsItself(input_.shape, input_.strides)) {
      Attrs count = take;
      count.Set("shape", adjoint.Get<std::vector<int64_t>>("shape"));
      op::Value times = builder.Call("full_like", {grad}, {{"value", int64_t{1}}});
      times = builder.Call("as_strided_adjoint", {times}, count);
      grad = builder.Call("div", {grad, builder.Call("as_strided_take", {times}, take)});
    }
    return {grad};
  }

 private:
  Place input_, view_;
};

// A base of which a view's elements were replaced: edges to what it was, and to the new elements.
class WriteThroughNode final : public Node {
 public:
  WriteThroughNode(const TensorImpl& view, Edge base, Edge value) : Node("write_through") {
    for (const TensorImpl* x = &view; x->origin() != nullptr; x = x->origin()->parent.get()) {
      const Origin& origin = *x->origin();
      steps_.push_back({origin.def, origin.attrs});
      if (!CountsInMemory(*origin.def)) continue;
      if (!x->is_global()) PlaceIn(*origin.root, *x);
      break;  // whatever it was taken of
    }
    std::ranges::reverse(steps_);
    edges.push_back(std::move(base));
    edges.push_back(std::move(value));
  }
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) override {
    if (!placed_.ok()) return builder.Report(placed_), op::Values(2);
    op::Values parts = {grads[0]};  // of the gradient: the base's, and that of each view in turn
    Attrs joined;
    bool joins = false;
    size_t alone = 0;
    for (; alone < steps_.size() && !joins; ++alone) {
      const ViewStep& step = steps_[alone];
      if (NeedsJoining(step, parts.back()->meta().shape)) {
        auto found = Joined(std::span(steps_).subspan(alone), parts.back()->meta());
        if (!found.ok()) return builder.Report(found.status()), op::Values(2);
        joined = *found;
        joins = true;
        break;
      }
      parts.push_back(builder.Call(step.def->name, {parts.back()}, *step.attrs));
    }
    if (joins) parts.push_back(builder.Call("as_strided_take", {parts.back()}, joined));
    op::Value rest;
    if (edges[0].needed()) {
      rest = builder.Call("zeros_like", {parts.back()});
      if (joins) rest = builder.Call("as_strided_put", {parts[alone], rest}, joined);
      for (size_t i = alone; i-- > 0;)
        rest = op::WrittenBack(builder, *steps_[i].def, *steps_[i].attrs, parts[i], rest);
    }
    return {rest, edges[1].needed() ? parts.back() : nullptr};
  }

 private:
  // Gives the last step the place of the view among the elements of the root.
  void PlaceIn(const TensorImpl& root, const TensorImpl& view) {
    const Place place(view), whole(root);
    if (!root.dense() || root.meta().dtype != view.meta().dtype || place.offset < whole.offset ||
        place.End() > whole.End()) {
      placed_ = Error(Code::kUnimplemented)
                << "[as_strided] a view was changed that is no part of the tensor that has the "
                << "history: got " << Describe(view) << " of " << Describe(root)
                << "; expected a part of a tensor that lies dense; use clone() first";
      return;
    }
    steps_.back().attrs = std::make_shared<const Attrs>(place.From(whole.offset));
  }

  std::vector<ViewStep> steps_;  // from the base on
  Status placed_;
};

// Whether an edge leads to another by a node or two: those of most operators in place do.
bool LeadsTo(const Edge& from, const Edge& to, int nodes) {
  if (from.node == nullptr || nodes == 0) return false;
  return std::ranges::any_of(from.node->edges, [&](const Edge& e) {
    return (e.node == to.node && e.output == to.output && e.leaf == to.leaf) ||
           LeadsTo(e, to, nodes - 1);
  });
}

}  // namespace

Node::Node(std::string name, uint64_t number) : name_(std::move(name)), number_(number) {}
uint64_t Node::NextNumber() { return next_node_number.fetch_add(1, std::memory_order_relaxed); }
Node::~Node() { FreeEdges(edges); }

void intrusive_ptr_add_ref(const Node* node) {
  node->refs_.fetch_add(1, std::memory_order_relaxed);
}
void intrusive_ptr_release(const Node* node) {
  if (node->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node;
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
  } else if (value.needed() && (!before.needed() || LeadsTo(value, before, 2))) {
    PutAt(value, target);
  } else {
    target->SetGradFn(NodeRef(new OverwriteNode(before, value)), 0);
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
    // Of a base that was changed since, what lies beside the parent has a history too.
    const TensorImpl& parent_now = *origin.parent;
    const bool in_memory = parent_now.has_data() && !x->is_global() && !IsWholeMemory(parent_now) &&
                           CountsInMemory(*origin.def);
    const TensorRef from = in_memory && origin.born != now ? TensorRef(origin.root) : origin.parent;
    Edge edge = EdgeOf(op::Value(from));
    if (!edge.needed()) continue;
    const op::Value parent(origin.parent.get()), self(const_cast<TensorImpl*>(x));
    const GradientReads reads{{StandIn(parent->meta())}, {StandIn(x->meta())}};
    NodeRef node;
    // Gradients add up in the order of the program, as in a graph.
    const uint64_t number = origin.born == now ? origin.place : Node::NextNumber();
    if (in_memory) {
      node = new MemoryNode(*origin.def, *from, *x, number);
    } else if (origin.def->grad != nullptr) {
      node = new OpNode(*origin.def, origin.attrs, {&parent, 1}, {&self, 1}, reads, number);
    } else {
      node = new RefusingNode(*origin.def, 1);
    }
    node->edges.push_back(std::move(edge));
    x->grad_fn_ = std::move(node);
    x->output_index_ = 0;
  }
}

}  // namespace ofl::tensor
