// Views of eager tensors: where their elements lie in memory that stands.
#pragma once

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/call_plan.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Tells a view that this call makes what it is one of. It has no history of its own.
TensorRef MakeView(const op::OpDef& def, AttrsRef attrs, const TensorRef& x, TensorRef view);

// The view that a view operator makes of a local tensor. Null: no strides express it, and the
// caller copies.
Result<TensorRef> LocalView(const op::OpDef& def, const TensorRef& x, const Attrs& given);
// The same of each rank's shard, where no shard has to be moved first.
Result<TensorRef> GlobalView(const op::OpDef& def, const TensorRef& x, const CallPlan& plan);
// Whether strides express a view of a global tensor, asked as of one part: each rank's own strides
// may say otherwise, where its shard has an axis of size 1, and all ranks have to do the same.
Status CanView(const op::OpDef& def, const TensorImpl& x, const Attrs& attrs);

// Operators whose attribute storage_offset counts places in the memory itself take the whole of it
// as their operand.
bool CountsInMemory(const op::OpDef& def);
bool IsWholeMemory(const TensorImpl& x);
// Of global tensors and of values of a graph only what is the whole of its base, in its order, can
// be such an operand: whether this one is,
bool IsWholeBase(const TensorImpl& x);
// and the error for others. `what`: "a global tensor".
Status RefusePart(const op::OpDef& def, const TensorMeta& x, const char* what);
// Of such an operator that puts elements: those of a tensor, whatever lies between them, with
// others put at places in its memory.
Result<op::Values> PutInMemory(const op::OpDef& def, std::span<const op::Value> inputs,
                               const Attrs& given);

}  // namespace ofl::tensor
