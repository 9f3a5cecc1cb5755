#include "oneflow_like/ops/move/view_family.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

namespace ofl::ops {

Status RequireApart(const op::ViewGeometry& view) {
  if (view.shape.numel() == 0) return Status::Ok();
  std::vector<std::pair<int64_t, int64_t>> axes;  // stride, size
  for (int i = 0; i < view.shape.rank(); ++i)
    if (view.shape[i] > 1) axes.emplace_back(std::abs(view.strides[i]), view.shape[i]);
  std::ranges::sort(axes);
  // Each axis must step over all that the smaller ones reach. (Exotic strides that interleave
  // without meeting are refused too.)
  int64_t reach = 0;
  for (const auto& [stride, size] : axes) {
    OFL_ENSURE(stride > reach, Code::kInvalidArgument)
        << "more than one place of the view is one element; expected places apart from each other; "
           "write to a copy";
    reach = SaturatingAdd(reach, SaturatingMul(stride, size - 1));
  }
  return Status::Ok();
}

}  // namespace ofl::ops
