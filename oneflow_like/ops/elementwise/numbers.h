// Numbers that become elements: what a dtype holds, and how it lies in memory.
#pragma once

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/op/def/builder.h"

namespace ofl::ops {

// kInvalidArgument where `dtype` cannot be filled with the number. As torch fills: a fraction is
// cut off, uint8 takes negative numbers from its other end, bool is whether it is not 0.
Status CheckHolds(DType dtype, const Scalar& value);

// One element of `dtype`, as it lies in memory: up to 16 bytes.
void WriteElement(const Scalar& value, DType dtype, void* element);

// `x` with a number where the condition is true; and 0 where it is not.
op::Value Filled(op::Builder& b, const op::Value& condition, const Scalar& value,
                 const op::Value& x);
op::Value ZeroUnless(op::Builder& b, const op::Value& condition, const op::Value& x);

}  // namespace ofl::ops
