// Local tensors beside global ones in one call.
//
// A local tensor whose elements are the same on every rank of the placement counts there as B. They
// are where they follow from attributes alone (flow.arange(8), and what operators make of it); of
// others the ranks compare digests, once for each contents.
#pragma once

#include <string>

#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// An eager local tensor stands beside a global one.
bool MixesLocal(std::span<const op::Value> inputs);

// `inputs` with the eager local tensors as B on the placement of the first global one.
// kInvalidArgument naming two ranks whose elements differ. Collective over the placement where
// nothing is known about a local tensor: n - 1 small messages each.
Result<op::Values> LocalsAsBroadcast(const op::OpDef& def, std::span<const op::Value> inputs,
                                     const Attrs& attrs);

// The same of one tensor, which `what` names in errors.
Result<TensorRef> LocalAsBroadcast(const std::string& what, const TensorRef& x,
                                   const Placement& placement);

// Whether a local value of build() stands beside a global one. A composition may give parts of it
// alone, which would stay local.
bool MixesTracedLocal(std::span<const op::Value> inputs);

// `x` as it goes beside `other` into one of our functions that is no operator: an eager local one
// beside a global one as above, others as they are.
Result<op::Value> LaidBeside(const std::string& what, const op::Value& x, const op::Value& other);

// What a local call made of values common to all ranks is common too.
void NoteCommon(const op::OpDef& def, const CallPlan& plan, std::span<const TensorRef> ready,
                std::span<const op::Value> outputs);

}  // namespace ofl::tensor
