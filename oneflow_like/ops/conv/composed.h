// What the composites over spatial axes share.
#pragma once

#include <concepts>

#include "oneflow_like/ops/conv/windows.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {

// fn of `x` with an axis of images, which is put in front where `x` is one image of `rank` - 1
// axes, and taken away again. Nulls pass.
template <class Fn>
  requires std::invocable<Fn, const op::Value&>
op::Value Batched(op::Builder& b, const op::Value& x, int rank, const Fn& fn) {
  if (x == nullptr) return nullptr;
  if (x->meta().shape.rank() == rank) return fn(x);
  Shape shape = x->meta().shape;
  shape.insert(0, 1);
  const op::Value whole = ShapedAs(b, x, shape);
  const op::Value y = whole == nullptr ? nullptr : op::Value(fn(whole));
  if (y == nullptr) return nullptr;
  Shape one = y->meta().shape;
  one.erase(0);
  return ShapedAs(b, y, one);
}

}  // namespace ofl::ops
