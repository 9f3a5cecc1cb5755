#include "oneflow_like/core/overlap.h"

#include <array>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

namespace ofl {
namespace {

// By going to all elements; of axes that reach far it counts as true.
bool AnyMeet(std::span<const std::pair<int64_t, int64_t>> axes, int64_t reach) {
  constexpr int64_t kFarthest = int64_t{1} << 26;  // 8 MiB of marks, a moment
  if (reach > kFarthest) return true;
  std::vector<bool> taken(static_cast<size_t>(reach) + 1);
  std::array<int64_t, kMaxRank> index = {};
  for (int64_t at = 0;;) {
    if (taken[static_cast<size_t>(at)]) return true;
    taken[static_cast<size_t>(at)] = true;
    size_t axis = 0;
    for (; axis < axes.size(); ++axis) {
      const auto [stride, size] = axes[axis];
      if (++index[axis] < size) {
        at += stride;
        break;
      }
      index[axis] = 0;
      at -= stride * (size - 1);
    }
    if (axis == axes.size()) return false;
  }
}

}  // namespace

bool OverlapsItself(const Shape& shape, const Strides& strides) {
  if (shape.numel() == 0 || IsDense(shape, strides)) return false;
  std::array<std::pair<int64_t, int64_t>, kMaxRank> axes;  // (stride, size)
  int rank = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    const std::pair axis(std::abs(strides[i]), shape[i]);
    int at = rank++;
    for (; at > 0 && axis < axes[at - 1]; --at) axes[at] = axes[at - 1];
    axes[at] = axis;
  }
  if (rank > 0 && axes[0].first == 0) return true;
  // Where each axis steps over all that the smaller ones reach, no two elements meet.
  int64_t reach = 0;
  bool apart = true;
  for (int i = 0; i < rank; ++i) {
    apart &= axes[i].first > reach;
    reach = SaturatingAdd(reach, SaturatingMul(axes[i].first, axes[i].second - 1));
  }
  return !apart &&
         (reach < shape.numel() - 1 || AnyMeet({axes.data(), static_cast<size_t>(rank)}, reach));
}

}  // namespace ofl
