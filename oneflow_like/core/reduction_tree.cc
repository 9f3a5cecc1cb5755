#include "oneflow_like/core/reduction_tree.h"

namespace ofl {

std::vector<std::pair<int, int>> TreeAdditions(const Shape& tree) {
  std::vector<std::pair<int, int>> additions;
  const int slots = static_cast<int>(tree.numel());
  int stride = 1;  // distance of neighbours on this axis; inner axes are down to coordinate 0
  for (int axis = tree.rank() - 1; axis >= 0; --axis) {
    const int n = static_cast<int>(tree[axis]);
    for (int line = 0; line < slots; line += stride * n) {
      // Doubling strides walk the tree whose left part is the largest power of two below n.
      for (int step = 1; step < n; step *= 2)
        for (int i = 0; i + step < n; i += 2 * step)
          additions.emplace_back(line + i * stride, line + (i + step) * stride);
    }
    stride *= n;
  }
  return additions;
}

}  // namespace ofl
