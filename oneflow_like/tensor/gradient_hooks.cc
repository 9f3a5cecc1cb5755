// Hooks on gradients: of nodes, by output, and of leaves.
#include <memory>
#include <unordered_map>
#include <utility>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/dispatch.h"

namespace ofl::tensor {
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

}  // namespace ofl::tensor
