// Sums of products over named axes: what einsum, tensordot and inner are made of.
#pragma once

#include <utility>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::ops {

// A name for each axis of an operand, any numbers; an axis of size 1 stands for any size.
using AxisNames = std::vector<int64_t>;
struct Factor {
  op::Value value;
  AxisNames names;
};

// The products of elements with equal names, summed over all names that `out` lacks, with the
// axes `out`, whose names differ. Operands are taken from left to right. A name that an operand
// has twice means its diagonal. `widens`: integers that are summed before they are multiplied
// become int64, as `sum` makes them. Sizes have been checked (SizesOf). Null: an error is set.
op::Value Contracted(op::Builder& b, std::vector<Factor> operands, const AxisNames& out,
                     bool widens = false);

// The size of every name; kInvalidArgument where two sizes differ and neither is 1, and where an
// operand's repeated name has two sizes.
Result<std::vector<std::pair<int64_t, int64_t>>> SizesOf(const std::vector<Factor>& operands);

}  // namespace ofl::ops
