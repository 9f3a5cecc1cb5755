// What composites that take an index share.
#pragma once

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {

using Span = std::span<const op::Value>;

inline op::Value Reshaped(op::Builder& b, const op::Value& x, const Shape& shape) {
  if (!x || x->meta().shape == shape) return x;
  return b.Call("reshape", {x}, {{"shape", DimsOf(shape)}});
}
inline op::Value Expanded(op::Builder& b, const op::Value& x, const Shape& shape) {
  if (!x || x->meta().shape == shape) return x;
  return b.Call("broadcast_to", {x}, {{"shape", DimsOf(shape)}});
}
// A 0-d tensor as a vector of one element.
inline op::Value AsVector(op::Builder& b, const op::Value& x) {
  return x != nullptr && x->meta().shape.rank() == 0 ? Reshaped(b, x, {1}) : x;
}
// The box of the leading elements of each axis.
op::Value Leading(op::Builder& b, const op::Value& x, const Shape& shape);
Attrs LeadingAttrs(const Shape& shape);

// An int64 or int32 index as int64; null and an error where it is of another dtype.
op::Value AsIndex(op::Builder& b, const char* op, const op::Value& index, bool takes_int32);
// `value` in the dtype of `like` and the shape and layout of `shaped`.
op::Value Filled(op::Builder& b, const op::Value& shaped, DType dtype, const Scalar& value);
// False, and an error, where dtypes differ.
bool OneDType(op::Builder& b, const char* op, const op::Value& input, const op::Value& values);

op::OpDefBuilder& IndexedAlong(op::OpDefBuilder& op, const char* doc);

}  // namespace ofl::ops
