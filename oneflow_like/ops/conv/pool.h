// Windows over the last one, two or three axes of a tensor, one plane after another: what pooling
// kernels share.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "oneflow_like/ops/conv/windows.h"
#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {

// Windows of one axis. Regular ones begin `stride` apart; others have bounds of their own.
struct AxisWindows {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, before = 0;
  bool adaptive = false;
  int64_t Begin(int64_t o) const { return adaptive ? o * in / out : o * stride - before; }
  // Behind the last element, borders included.
  int64_t End(int64_t o) const {
    return adaptive ? ((o + 1) * in + out - 1) / out : Begin(o) + Span(kernel, dilation);
  }
};
struct Pool {
  std::array<AxisWindows, 3> axes;
  int64_t planes = 1;
  bool adaptive = false;
  int64_t in() const { return axes[0].in * axes[1].in * axes[2].in; }
  int64_t out() const { return axes[0].out * axes[1].out * axes[2].out; }
};

// How many spatial axes: one for each number of the attribute `size`.
int SpatialOf(const Attrs& attrs);
// `in` and `out` end in the spatial axes.
Pool PoolOf(const Shape& in, const Shape& out, const Attrs& attrs);
Status CheckPool(const op::InferContext& c, const Shape& in);
// `in` with other spatial sizes.
Shape Pooled(const Shape& in, const Ints& size);
// A rule's axes: those of planes each for itself.
std::string Lead(const Shape& shape, const Attrs& attrs);
// `kernel`, `stride`, `padding`, `size` and `adaptive`: the attributes of windows.
op::OpDefBuilder& WithWindows(op::OpDefBuilder& op);

// --- operands in the type that is computed in: float, double or int64 ----------------------------

// Room for `x` in it at the front of `scratch`, which shrinks; `x` itself if it is of that type.
op::TensorView WideRoom(const op::TensorView& x, MutableBytes& scratch);
Result<op::TensorView> WideCopy(op::KernelContext& c, const op::TensorView& x,
                                MutableBytes& scratch);
Status StoreWide(op::KernelContext& c, const op::TensorView& wide, const op::TensorView& to);
int64_t WideBytes(const TensorMeta& meta);
// Of the first input and the first output.
int64_t WideScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&,
                    int);
template <class Fn>
void WithWide(DType wide, const Fn& fn) {
  switch (wide) {
    case DType::kFloat64: return fn(double{});
    case DType::kInt64: return fn(int64_t{});
    default: return fn(float{});
  }
}

// The largest elements of regular windows, or of any with the places as a second output.
Status RunWindowMax(op::KernelContext& c, const Pool& p);

// --- loops ---------------------------------------------------------------------------------------

// Planes are shared out among threads.
template <class Body>
void ForPlanes(op::KernelContext& c, const Pool& p, const Body& body) {
  int64_t work = p.out();
  for (const AxisWindows& a : p.axes)
    work = SaturatingMul(work, a.adaptive ? a.in / std::max<int64_t>(a.out, 1) + 1 : a.kernel);
  Parallel(c.stream, p.planes, RowGrain(work), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

// Rows of windows: body(o0, o1) for the first two axes; then the rows of the input that they see.
template <class Body>
void ForRowsOf(const Pool& p, const Body& body) {
  for (int64_t i = 0; i < p.axes[0].out; ++i)
    for (int64_t j = 0; j < p.axes[1].out; ++j) body(i, j);
}
template <class Body>
void ForElements(const AxisWindows& a, int64_t o, const Body& body) {
  const int64_t end = std::min(a.End(o), a.in);
  int64_t at = a.Begin(o);
  if (at < 0) at += (-at + a.dilation - 1) / a.dilation * a.dilation;
  for (; at < end; at += a.dilation) body(at);
}
// The places of the kernel at which any regular window sees an element: [first, second). A kernel
// may reach far beyond the input.
inline std::pair<int64_t, int64_t> PlacesSeen(const AxisWindows& a) {
  const int64_t before_last = a.before - (a.out - 1) * a.stride;
  const int64_t low = before_last <= 0 ? 0 : (before_last + a.dilation - 1) / a.dilation;
  const int64_t high = (a.in + a.before + a.dilation - 1) / a.dilation;
  return {std::min(low, a.kernel), std::min(high, a.kernel)};
}
// Of regular windows of the last axis, those that see an element at place k of the kernel.
inline std::pair<int64_t, int64_t> Seeing(const AxisWindows& a, int64_t shift) {
  const int64_t low = shift >= 0 ? 0 : (-shift + a.stride - 1) / a.stride;
  const int64_t high = a.in <= shift ? 0 : (a.in - shift + a.stride - 1) / a.stride;
  return {std::min(low, a.out), std::clamp(high, std::min(low, a.out), a.out)};
}

}  // namespace ofl::ops
