// Plans of eager calls: what Dispatch works out once for each kind of call and the cache remembers.
#pragma once

#include <span>

#include "oneflow_like/tensor/call_cache.h"

namespace ofl::tensor {

// Infers, chooses layouts and boxing, and prepares the kernel for operands like these. Errors name
// the operator and what it got.
Result<CallPlanRef> MakePlan(const op::OpDef& def, std::span<const op::Value> inputs,
                             const Attrs& attrs);

// The part of this rank under a signature: shards, offsets, local attributes, the kernel.
Status PlanShards(const op::OpDef& def, std::span<const op::Value> inputs,
                  const Placement& placement, const sbp::NdSignature& signature, CallPlan& plan);

// Of attributes that hold a draw which was made: in eager mode a place in a graph is none.
Result<RandomState> DrawOf(const op::OpDef& def, const Attrs& attrs);

// Whether the kernel reads this operand where it lies.
bool TakesAsItIs(const op::OpDef& def, size_t i, const TensorImpl& x, const Attrs& attrs);
// Whether the size of some result depends on values.
bool AnyBounded(const op::OpDef& def);

}  // namespace ofl::tensor
