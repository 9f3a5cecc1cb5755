#include "oneflow_like/tensor/copied_views.h"

#include <vector>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {

// The view that the memory is, as it holds it.
TensorRef WholeOf(const StorageRef& memory) {
  const CopiedFrom& from = *memory->copied;
  TensorRef whole(new TensorImpl(from.meta, from.local_shape, from.layout, memory));
  whole->set_claim(JoinClaims(from.claim, memory->changes));
  return whole;
}

const StorageRef& MemoryOfBase(const Storage& memory) { return memory.copied->base->storage(); }

}  // namespace

Result<TensorRef> CopiedView(const op::OpDef& def, const AttrsRef& attrs, const TensorRef& x) {
  OFL_TRY(BringUp(*x));
  OFL_ASSIGN(TensorRef copy, ViewCopy(def, x, *attrs));
  if (copy->has_data()) {
    const bool alone =
        copy->dense() && copy->offset_bytes() == 0 && copy->storage().use_count() == 1;
    if (!alone) {
      OFL_ASSIGN(copy, DenseCopyOf(*copy));
    }
    copy->storage()->copied.reset(new CopiedFrom{x->Detach(), &def, attrs, copy->meta(),
                                                 copy->local_shape(), copy->layout_ref(),
                                                 copy->claim(), x->version()});
  }
  copy->set_copied();
  return copy;
}

bool IsStale(const Storage& memory) {
  for (const Storage* m = &memory; m->copied != nullptr; m = MemoryOfBase(*m).get())
    if (m->copied->version != MemoryOfBase(*m)->version) return true;
  return false;
}

bool RepeatsBase(const TensorImpl& x) {
  if (!x.has_data()) return false;
  for (const Storage* m = x.storage().get(); m->copied != nullptr; m = MemoryOfBase(*m).get()) {
    const Shape& base = m->copied->base->meta().shape;
    const auto view = m->copied->view->view(base, ContiguousStrides(base), *m->copied->attrs);
    if (view.ok() && OverlapsItself(view->shape, view->strides)) return true;
  }
  return false;
}

Status BringUpCopies(const TensorImpl& x) {
  if (!x.has_data() || !IsStale(*x.storage())) return Status::Ok();
  const TracerPause eagerly;  // a graph works on the memory itself
  std::vector<StorageRef> copies;
  for (StorageRef m = x.storage(); m->copied != nullptr; m = MemoryOfBase(*m)) copies.push_back(m);
  for (; !copies.empty(); copies.pop_back()) {
    const StorageRef& memory = copies.back();
    CopiedFrom& from = *memory->copied;
    const uint64_t version = from.base->version();
    if (from.version == version) continue;
    OFL_ASSIGN(const TensorRef now, ViewCopy(*from.view, from.base, *from.attrs));
    const TensorRef whole = WholeOf(memory);
    OFL_TRY(CopyElements(*now, *whole));
    whole->BumpVersion();
    whole->AddClaim(now->claim());
    from.version = version;
  }
  return Status::Ok();
}

Status PutBackCopies(const TensorImpl& changed) {
  if (!changed.has_data()) return Status::Ok();
  CopiedFrom& from = *changed.storage()->copied;
  const TracerPause eagerly;
  GradModeGuard off(false);
  EagerBuilder builder;
  const op::Value whole = op::WrittenBack(builder, *from.view, *from.attrs, op::Value(from.base),
                                          op::Value(WholeOf(changed.storage())));
  OFL_TRY(builder.status());
  OFL_ASSIGN(TensorRef value, RequireTensor(whole));
  OFL_TRY(WriteInto(value, from.base, from.view->name));
  from.version = from.base->version();
  return Status::Ok();
}

}  // namespace ofl::tensor
