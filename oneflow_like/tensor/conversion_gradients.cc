#include "oneflow_like/tensor/conversion_gradients.h"

#include <utility>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/equal_values.h"

namespace ofl::tensor {
namespace {

// One value in, one out: what a conversion's gradient has in common.
class ConversionNode : public Node {
 public:
  using Node::Node;
  op::Values Apply(EagerBuilder& builder, std::span<const op::Value> grads) final {
    auto grad = Try(TensorRef(AsTensor(grads[0])));
    if (grad.ok()) return {op::Value(*grad)};
    builder.Report(grad.status());
    return {nullptr};
  }

 private:
  virtual Result<TensorRef> Try(const TensorRef& grad) = 0;
};

class LayoutNode final : public ConversionNode {
 public:
  LayoutNode(LayoutRef input, LayoutRef grad)
      : ConversionNode("to_global"), input_(std::move(input)), grad_(std::move(grad)) {}

 private:
  Result<TensorRef> Try(const TensorRef& grad) override {
    if (grad_ == nullptr) return GradToLayout(grad, input_, true, "to_global");
    OFL_ASSIGN(TensorRef asked, ConvertGrad(grad, grad_, "to_global"));
    return GradToLayout(asked, input_, true, "to_global");
  }
  LayoutRef input_;
  LayoutRef grad_;
};

class FromLocalNode final : public ConversionNode {
 public:
  FromLocalNode(LayoutRef grad, TensorMeta local)
      : ConversionNode("local_to_global"), grad_(std::move(grad)), local_(local) {}

 private:
  Result<TensorRef> Try(const TensorRef& grad) override {
    OFL_ASSIGN(TensorRef parts, ConvertGrad(grad, grad_, "local_to_global"));
    if (parts->has_data()) return ToLocal(parts);
    OFL_ASSIGN(op::Value zeros,
               CallOp("full", {},
                      {{"shape", DimsOf(local_.shape)}, {"value", 0.0}, {"dtype", local_.dtype}}));
    return TensorRef(AsTensor(zeros));
  }
  LayoutRef grad_;
  TensorMeta local_;
};

class ToLocalNode final : public ConversionNode {
 public:
  ToLocalNode(const TensorMeta& meta, LayoutRef grad)
      : ConversionNode("to_local"), meta_(meta), grad_(std::move(grad)) {
    if (HasBroadcastOver(*grad_)) call_site_ = Context::Get().CallSite();
  }

 private:
  Result<TensorRef> Try(const TensorRef& local) override {
    const Context& world = Context::Get();
    if (!grad_->placement.Contains(world.rank()) || world.imaginary())
      return EmptyGlobal(meta_, grad_);
    OFL_ASSIGN(TensorRef dense, Contiguous(local));
    if (HasBroadcastOver(*grad_)) OFL_TRY(Compare(*dense));
    if (Context::grad_enabled() && local->requires_grad()) {
      OFL_ASSIGN(op::Value made, ToGlobal(op::Value(local), grad_->placement, grad_->nd_sbp));
      return TensorRef(AsTensor(made));
    }
    return dense->As(meta_, grad_);
  }

  // Collective over the placement, so that all of it hears of a difference.
  Status Compare(const TensorImpl& dense) const {
    if (!Context::Get().equal_bits()) return Status::Ok();  // the job gave them up
    std::string made = "to_local of " + meta_.ToString() + " with gradient in " + grad_->ToString();
    if (!call_site_.empty()) made += " at " + call_site_;
    OFL_ASSIGN(const auto differ, FirstDifference(*grad_, DigestOf(dense), "[backward] " + made));
    const auto [a, b] = differ;
    OFL_ENSURE(a < 0, Code::kFailedPrecondition)
        << "[to_local] the local gradients of a broadcast tensor differ between ranks: got other "
           "values on rank "
        << a << " than on rank " << b << " in backward of " << made
        << "; expected equal bits, as the gradient's sbp B says; where each rank has a share of "
           "the "
           "gradient that is to be added up, use x.to_local(grad_sbp=flow.sbp.partial_sum)";
    return Status::Ok();
  }

  TensorMeta meta_;
  LayoutRef grad_;
  std::string call_site_;
};

}  // namespace

bool HasBroadcastOver(const sbp::Layout& layout) {
  for (int k = 0; k < layout.nd_sbp.rank(); ++k) {
    if (layout.nd_sbp[k].is_broadcast() && layout.placement.hierarchy()[k] > 1) return true;
  }
  return false;
}

Status CheckGradSymbols(std::string_view op, const sbp::NdSbp& grad_sbp) {
  for (int k = 0; k < grad_sbp.rank(); ++k) {
    OFL_ENSURE(!grad_sbp[k].is_partial() || grad_sbp[k].reduce_op() == sbp::ReduceOp::kSum,
               Code::kInvalidArgument)
        << "[" << op << "] a gradient is a sum: got grad_sbp " << grad_sbp.ToString()
        << "; expected split, broadcast or partial_sum";
  }
  return Status::Ok();
}

Result<LayoutRef> GradLayout(std::string_view op, const TensorMeta& meta, const LayoutRef& layout,
                             const GradSbp& grad_sbp) {
  auto grad = std::make_shared<sbp::Layout>(*layout);
  if (!grad_sbp) {
    if (!layout->nd_sbp.HasPartial()) return layout;
    for (int k = 0; k < grad->nd_sbp.rank(); ++k) {
      if (grad->nd_sbp[k].is_partial()) grad->nd_sbp[k] = sbp::Sbp::Broadcast();
    }
    return LayoutRef(std::move(grad));
  }
  grad->nd_sbp = *grad_sbp;
  OFL_TRY(CheckGradSymbols(op, *grad_sbp));
  OFL_TRY(CheckTarget(std::string(op) + "(grad_sbp=...)", meta, *grad));
  for (int i = 0; i < layout->placement.size(); ++i) {
    const sbp::Box part = sbp::LocalBox(meta.shape, *grad, i);
    const sbp::Box held = sbp::LocalBox(meta.shape, *layout, i);
    OFL_ENSURE(part.begin == held.begin && part.end == held.end, Code::kInvalidArgument)
        << "[" << op << "] grad_sbp does not fit the local tensors: got " << grad_sbp->ToString()
        << ", of which rank " << layout->placement.ranks()[static_cast<size_t>(i)] << " holds "
        << part.Extent() << ", for sbp " << layout->nd_sbp.ToString() << ", where it holds "
        << held.Extent()
        << "; expected the same splits, and broadcast or partial_sum on the other mesh axes";
  }
  return LayoutRef(std::move(grad));
}

NodeRef LayoutGradient(LayoutRef input, LayoutRef grad) {
  return new LayoutNode(std::move(input), std::move(grad));
}
NodeRef FromLocalGradient(LayoutRef grad, const TensorMeta& local) {
  return new FromLocalNode(std::move(grad), local);
}
NodeRef ToLocalGradient(const TensorMeta& meta, LayoutRef grad) {
  return new ToLocalNode(meta, std::move(grad));
}

}  // namespace ofl::tensor
