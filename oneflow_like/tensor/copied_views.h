// Views in memory of their own: of a global tensor whose layout lets no shard be cut where it lies,
// a slice along a split axis for instance. They behave as views all the same.
#pragma once

#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

Status BringUpCopies(TensorImpl& x);
Status PutBackCopies(TensorImpl& changed);

// Before its elements are read or changed: what its base holds now. Collective over the placement
// where the base was changed since.
inline Status BringUp(TensorImpl& x) { return x.behind_copy() ? BringUpCopies(x) : Status::Ok(); }
// After its elements were changed: the base holds them too. Collective over the placement.
inline Status PutBack(TensorImpl& changed) {
  return changed.behind_copy() ? PutBackCopies(changed) : Status::Ok();
}

}  // namespace ofl::tensor
