// How conversions that name no target lie.
#pragma once

#include "oneflow_like/ir/graph.h"

namespace ofl::ir {

// Partial turns into broadcast, everything else stays: where a gradient of a value belongs, and
// what a value keeps when it moves. A mesh of another rank takes it whole.
sbp::NdSbp DualOf(const sbp::NdSbp& nd_sbp, const Placement& placement);

// A conversion to where its operand is, in its own layout: nothing changes.
bool StaysPut(const Graph& graph, const Node& conversion);

}  // namespace ofl::ir
