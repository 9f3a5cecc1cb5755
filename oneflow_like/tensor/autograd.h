// Reverse-mode differentiation: the tape and the walk over it.
//
// A node is recorded for each differentiable call while grad mode is on. It keeps edges to the
// nodes that made the inputs, and aliases of those inputs and outputs that its gradient rule reads:
// not the tensors themselves, which a change in place may give a history that leads to the node.
// Nodes are numbered in the order of recording, so walking by falling number is a topological
// order.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/generator.h"
#include "oneflow_like/tensor/gradient_reads.h"
#include "oneflow_like/tensor/source_line.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Where a gradient goes next: a node's output, a leaf, or nowhere.
struct Edge {
  NodeRef node;
  int output = 0;
  TensorRef leaf;
  bool needed() const { return node != nullptr || leaf != nullptr; }
};

class EagerBuilder;

class Node {
 public:
  explicit Node(std::string name) : Node(std::move(name), NextNumber()) {}
  // `number`: reserved earlier, for the place of the call in the program.
  Node(std::string name, uint64_t number);
  static uint64_t NextNumber();
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Gradients of the inputs (null where nothing flows) from those of the outputs (likewise).
  virtual op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) = 0;
  // Of an operator whose result is a part of its input's memory: adds the gradient to that part of
  // `sum`, the input's gradient so far, instead of making one of zeros around it. `sum` is nobody
  // else's. False: nothing was done.
  virtual Result<bool> AddInto(const TensorRef& sum, const op::Value& grad) {
    (void)sum, (void)grad;
    return false;
  }
  // Whether it is such an operator.
  virtual bool IsPart() const { return false; }
  // Drops what backward needs.
  virtual void Release() { released_ = true; }

  const std::string& name() const { return name_; }
  uint64_t number() const { return number_; }
  bool released() const { return released_; }
  int num_outputs() const { return num_outputs_; }
  std::vector<Edge> edges;  // one for each input
  // What the gradient of an output goes through before Apply; `last`: after all others.
  HooksRef HooksOf(int output, bool last = false);
  // The line of the call in forward: "train.py:12", or nothing where it was not noted.
  virtual std::string CalledAt() const { return {}; }
  Status RunHooks(op::Values& grads) const;

 protected:
  int num_outputs_ = 1;
  bool released_ = false;

 private:
  friend void intrusive_ptr_add_ref(const Node* node);
  friend void intrusive_ptr_release(const Node* node);
  std::string name_;
  uint64_t number_;
  std::vector<HooksRef> hooks_, last_hooks_;  // by output; empty without any
  mutable std::atomic<int> refs_{0};
};

// Applies operators eagerly for gradient rules and decompositions.
class EagerBuilder final : public op::Builder {
 public:
  op::Values Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) override;
  op::Value ToLayout(const op::Value& x, const sbp::Layout& layout) override;

  // Random operators draw from it from now on; null: from the default ones.
  void DrawFrom(Generator* generator) { generator_ = generator; }
  // Refuses saved tensors that were changed in place, from now on.
  struct Saved {
    const op::ValueBase* value;
    uint64_t version;
  };
  // `kept`, which outlives this, says when they were saved.
  void Guard(std::string op, std::vector<Saved> saved, const KeptAt* kept) {
    guarded_op_ = std::move(op);
    saved_ = std::move(saved);
    kept_ = kept;
  }
  // kFailedPrecondition when one of them was changed since.
  Status CheckSaved() const;
  void Report(Status status) { Fail(std::move(status)); }

 private:
  Status CheckSaved(const Saved& saved) const;
  Generator* generator_ = nullptr;
  std::string guarded_op_;
  std::vector<Saved> saved_;
  const KeptAt* kept_ = nullptr;
};

// Looking for what makes a gradient NaN, in all threads: forward notes the line of every call that
// is recorded, and backward refuses, if it is to check that, the first NaN that a rule gives.
struct AnomalyMode {
  bool on = false;
  bool check_nan = true;
};
AnomalyMode GetAnomalyMode();
void SetAnomalyMode(AnomalyMode mode);

// Edge to whatever made `x`.
Edge EdgeOf(const op::Value& x);
// Makes `x` the end of an edge.
void PutAt(const Edge& edge, const TensorRef& x);
// Makes the outputs' history: called after a differentiable call whose inputs require grad.
void RecordOp(const op::OpDef& def, AttrsRef attrs, std::span<const op::Value> inputs,
              std::span<const op::Value> outputs, const GradientReads& reads);
// Sets `node` (with its edges filled) as the maker of `output`.
void RecordNode(NodeRef node, const TensorRef& output);

// A tensor whose memory was changed in place is made of `value` from now on: an edge that may be
// needed by nothing. Of a view the tensor it was taken from is, with what it was before around it.
void RecordChange(const TensorRef& target, const Edge& value);
// Whether such a change would reach a history that exists.
bool HasHistory(const TensorImpl& target);

// Accumulates d(root)/d(leaf) into every leaf's grad. `grad` null: root has one element, 1.
// Gradients of global leaves are boxed to their leaf's layout (P becomes B) at the end. With
// `create_graph` the walk is recorded itself, so that its results can be differentiated again. With
// `inputs` into the grad of these alone, leaves or not, and what leads to none of them is not run.
Status Backward(const TensorRef& root, const TensorRef& grad, bool retain_graph,
                bool create_graph = false, std::span<const TensorRef> inputs = {});

// Adds a hook to the gradient of `x`, which requires grad: what flows into its maker, or, of a
// leaf, what its grad receives. The hooks that it stands among, and its number there.
std::pair<HooksRef, int64_t> AddHook(const TensorRef& x, Hook hook);
// What is called with a leaf once its gradient has been accumulated.
std::pair<HooksRef, int64_t> AddPostHook(const TensorRef& leaf, Hook hook);
// Whether a leaf has a hook of either kind.
bool HasHooks(const TensorImpl& leaf);
// The grad of `x`, a result, is kept from now on.
void RetainGrad(const TensorRef& x);

// d(sum over roots)/d(input) for each input, leaf or not; null where none of the roots depends on
// it. No tensor's grad changes, and nodes that lead to no input are not run. `grads` as in
// Backward, one for each root.
Result<op::Values> Gradients(std::span<const TensorRef> roots, std::span<const TensorRef> grads,
                             std::span<const TensorRef> inputs, bool retain_graph,
                             bool create_graph);

}  // namespace ofl::tensor
