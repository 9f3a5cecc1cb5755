// The fused steps of recurrent networks in other operators.
#pragma once

#include <span>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::ops {

op::Values DecomposeLstmGates(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs);
op::Values DecomposeGruGates(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs);

}  // namespace ofl::ops
