// Autograd: appends the backward graph of the loss, using each operator's one gradient rule.

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"

namespace ofl::compiler {
namespace {

class Backward {
 public:
  Backward(ir::Graph& graph, int loss) : builder_(&graph), graph_(graph), loss_(loss) {
    builder_.set_segment(ir::Segment::kBackward);
    gradients_.resize(graph.values.size());
  }

  Status Run() {
    const std::vector<int> forward = graph_.order;
    OFL_TRY(Seed());
    for (auto it = forward.rbegin(); it != forward.rend(); ++it) {
      const ir::Node node = graph_.nodes[*it];  // a copy: the graph grows below
      if (!HasGradient(node)) continue;
      builder_.set_location(node.location);
      if (node.kind == ir::NodeKind::kOp) OFL_TRY(Differentiate(node));
      if (node.kind == ir::NodeKind::kToLayout) Convert(node);
      if (!builder_.status().ok())
        return builder_.status().WithNote("in the gradient of " + node.name);
    }
    return Status::Ok();
  }

  op::Value GradientOf(int value) const { return gradients_[value]; }

 private:
  // The gradient of the loss itself: 1/m, so that m micro-batches give the mean of their means.
  Status Seed() {
    const ir::Value& loss = graph_.values[loss_];
    OFL_ENSURE(loss.meta.shape.numel() == 1, Code::kInvalidArgument)
        << "backward() needs a loss of one element, got " << loss.meta.ToString()
        << "; reduce it with mean() or sum()";
    OFL_ENSURE(!IsComplex(loss.meta.dtype), Code::kInvalidArgument)
        << "backward() needs a real loss, got " << loss.meta.ToString()
        << "; use loss.real or loss.abs()";
    OFL_ENSURE(loss.requires_grad, Code::kInvalidArgument)
        << "backward() was called on a loss that depends on no parameter that requires a gradient";
    const Shape& shape = loss.meta.shape;
    gradients_[loss_] = builder_.ApplySource("full",
                                             {{"shape", DimsOf(shape)},
                                              {"value", 1.0 / graph_.micro_batches},
                                              {"dtype", loss.meta.dtype}},
                                             loss.placement);
    return builder_.status();
  }

  bool HasGradient(const ir::Node& node) const {
    for (int v : node.outputs)
      if (gradients_[v]) return true;
    return false;
  }

  Status Differentiate(const ir::Node& node) {
    op::Values inputs, outputs, grads;
    std::unique_ptr<bool[]> needs(new bool[node.inputs.size()]);
    bool any = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(builder_.Handle(node.inputs[i]));
      needs[i] = graph_.values[node.inputs[i]].requires_grad;
      any |= needs[i];
    }
    if (!any) return Status::Ok();
    OFL_ENSURE(node.op->grad != nullptr, Code::kUnimplemented)
        << "[" << node.op->name << "] has no gradient: " << node.op->not_differentiable
        << "; use detach() where none is wanted";
    for (int v : node.outputs) {
      outputs.push_back(builder_.Handle(v));
      grads.push_back(gradients_[v]);
    }
    op::GradContext context(builder_, inputs, outputs, grads, node.attrs,
                            {needs.get(), node.inputs.size()});
    node.op->grad(context);
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (needs[i] && context.input_grads[i]) Add(node.inputs[i], context.input_grads[i]);
    return Status::Ok();
  }

  void Convert(const ir::Node& node) {
    const int input = node.inputs[0];
    if (!graph_.values[input].requires_grad) return;
    op::Value grad = gradients_[node.outputs[0]];
    // Within one placement any layout of the gradient will do; the layout pass picks it.
    if (!(graph_.values[input].placement == node.placement)) grad = builder_.ToDualOf(grad, input);
    Add(input, grad);
  }

  void Add(int value, const op::Value& grad) {
    op::Value& sum = gradients_[value];
    sum = sum ? builder_.Call("add", {sum, grad}) : grad;
  }

  ir::GraphBuilder builder_;
  ir::Graph& graph_;
  int loss_;
  std::vector<op::Value> gradients_;  // of the forward values
};

}  // namespace

Result<ir::Graph> RunAutograd(ir::Graph graph, TrainingSpec& training,
                              std::vector<int>& gradients) {
  gradients.assign(training.updates.size(), -1);
  if (training.loss < 0) return graph;
  Backward backward(graph, training.loss);
  OFL_TRY(backward.Run());
  for (size_t i = 0; i < training.updates.size(); ++i) {
    op::Value grad = backward.GradientOf(training.updates[i].variable);
    if (grad) gradients[i] = static_cast<const ir::GraphValue*>(grad.get())->id();
  }
  return graph;
}

}  // namespace ofl::compiler
