#include "oneflow_like/tensor/copied_views.h"

#include <vector>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::tensor {

Status BringUpCopies(TensorImpl& x) {
  std::vector<TensorImpl*> copies;
  for (TensorImpl* t = &x; t->origin() != nullptr; t = t->origin()->parent.get())
    if (t->copied()) copies.push_back(t);
  for (; !copies.empty(); copies.pop_back()) {
    TensorImpl& copy = *copies.back();
    const Origin& origin = *copy.origin();
    const uint64_t version = origin.parent->version();
    if (copy.copied_version() == version) continue;
    OFL_ASSIGN(TensorRef now, ViewCopy(*origin.def, origin.parent, *origin.attrs));
    if (copy.has_data()) OFL_TRY(CopyElements(*now, copy));
    copy.BumpVersion();
    copy.AddClaim(now->claim());
    copy.set_copied(version);
  }
  return Status::Ok();
}

Status PutBackCopies(TensorImpl& changed) {
  TensorImpl* copy = &changed;
  while (!copy->copied()) copy = copy->origin()->parent.get();
  const Origin& origin = *copy->origin();
  const TensorRef& parent = origin.parent;
  GradModeGuard off(false);
  EagerBuilder builder;
  const op::Value whole =
      op::WrittenBack(builder, *origin.def, *origin.attrs, op::Value(parent), op::Value(copy));
  OFL_TRY(builder.status());
  OFL_ASSIGN(TensorRef value, RequireTensor(whole));
  OFL_TRY(WriteInto(value, parent, origin.def->name));
  copy->set_copied(parent->version());
  return Status::Ok();
}

}  // namespace ofl::tensor
