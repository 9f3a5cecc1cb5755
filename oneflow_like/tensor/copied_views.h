// Views in memory of their own: of a global tensor whose layout lets no shard be cut where it lies,
// a slice along a split axis for instance. They behave as views all the same.
//
// It is the memory that follows (Storage::copied), so that every handle of it does: the view, views
// of it, what is detached from them, what the tape keeps. Whatever takes elements out of memory
// brings it up first, and is one of these: PrepareInputs, for operands of kernels; CopyElements and
// DenseCopyOf; RunBoxing; RequireTensor, for what comes from Python; WriteInto and DispatchInto,
// for targets that change in part; BringUpVariables of a graph's session, before it launches.
#pragma once

#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// The elements of such a view of `x`, without its origin. Collective over the placement.
Result<TensorRef> CopiedView(const op::OpDef& def, const AttrsRef& attrs, const TensorRef& x);

Status BringUpCopies(const TensorImpl& x);
Status PutBackCopies(const TensorImpl& changed);

// Before its elements are read or changed: what its base holds now. Collective over the placement
// where the base was changed since.
inline Status BringUp(const TensorImpl& x) {
  return x.behind_copy() ? BringUpCopies(x) : Status::Ok();
}
// After its elements were changed: the base holds them too. Collective over the placement.
inline Status PutBack(const TensorImpl& changed) {
  return changed.behind_copy() ? PutBackCopies(changed) : Status::Ok();
}
// Whether an element of a base is shown several times, so that nothing can be put back.
bool RepeatsBase(const TensorImpl& x);
// Whether what the memory follows from was changed since.
bool IsStale(const Storage& memory);

}  // namespace ofl::tensor
