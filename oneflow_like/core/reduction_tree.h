// The one order in which contributions to a partial tensor are added.
//
// Over n coordinates of a mesh axis: a balanced binary tree whose left part is the largest power
// of two below n. Over several axes: the innermost axis first. Every route and every wire must
// add in this order, so that the bits of a sum depend on the mesh alone.
#pragma once

#include <utility>
#include <vector>

#include "oneflow_like/core/shape.h"

namespace ofl {

// Slots are the contributions, row-major over `tree` (sizes of the axes, outermost first). Doing
// slot[first] += slot[second] pair by pair leaves the result in slot 0. Empty for one slot.
std::vector<std::pair<int, int>> TreeAdditions(const Shape& tree);

}  // namespace ofl
