#include "oneflow_like/ops/move/view_family.h"

#include "oneflow_like/core/overlap.h"

namespace ofl::ops {

Status RequireApart(const op::ViewGeometry& view) {
  OFL_ENSURE(!OverlapsItself(view.shape, view.strides), Code::kInvalidArgument)
      << "more than one place of the view is one element; expected places apart from each other; "
         "write to a copy";
  return Status::Ok();
}

}  // namespace ofl::ops
