// grid_points in other operators.
#pragma once

#include <span>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::ops {

op::Values DecomposeGridPoints(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs);

}  // namespace ofl::ops
