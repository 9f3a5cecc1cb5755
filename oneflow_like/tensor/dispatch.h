// The one entry of eager operators: infer, choose layouts, box, run, record.
#pragma once

#include <span>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/generator.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Applies an operator to eager tensors, or hands it to the thread's tracer.
//
// Inputs: all local or all global on one placement; global ones are boxed to the signature of
// least cost (the first of equals). Operands of an elementwise operator are promoted to one dtype
// as torch does. Attributes may be incomplete. A random operator draws from `generator`, null for
// the default one of its tensors, unless the attributes hold its draw; no other takes one. Optional
// trailing inputs may be left out. Errors carry "[op]"; after a failed collective the world is not
// usable.
Result<op::Values> Dispatch(const op::OpDef& def, std::span<const op::Value> inputs,
                            const Attrs& attrs, Generator* generator = nullptr);

// Runs the operator's kernel straight into `target` where that is possible: the call's one result
// has the target's dtype, shape and layout, its kernel takes the target's strides, and the inputs
// share no memory with it but what the definition allows. False: nothing was done.
Result<bool> RunInto(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                     TensorImpl& target);

// Whether a recorded call like this would keep the values of input `i` for its gradient.
Result<bool> ReadsInput(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                        size_t i);

// What a view operator makes of a global tensor, in memory of its own and outside the tape.
Result<TensorRef> ViewCopy(const op::OpDef& def, const TensorRef& x, const Attrs& attrs);

// Operators without inputs that make a global tensor of this layout. A P layout holds the value
// at coordinate 0 and the identity elsewhere.
Result<op::Value> DispatchSource(const op::OpDef& def, const Attrs& attrs, const LayoutRef& layout,
                                 Generator* generator = nullptr);

// By name, one output.
Result<op::Value> CallOp(std::string_view name, std::initializer_list<op::Value> inputs,
                         const Attrs& attrs = {});

}  // namespace ofl::tensor
