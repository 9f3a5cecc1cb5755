// Copying, combining and filling boxes of dense row-major tensors: what boxing does to memory.
//
// A box is `extent` elements that start at `begin` of a tensor of shape `shape`. All arguments of
// one call have the same rank. Boxes that do not lie within their tensor are our own mistake.
// Threads: the caller's; work is split over `stream`, and the result does not depend on its
// number of threads. Nothing is allocated for up to kDirectSources sources.
#pragma once

#include <cstddef>
#include <span>

#include "device/device.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/shape.h"

namespace ofl::device {

// How contributions are combined; the numbers are those of plans (sbp::ReduceOp).
inline constexpr int kBoxSum = 0;
inline constexpr int kBoxMax = 1;
inline constexpr int kBoxMin = 2;
inline constexpr int kDirectSources = 4;

// The memory of the two boxes must not overlap unless it is the same.
void CopyBox(const std::byte* src, const Shape& src_shape, const Shape& src_begin, std::byte* dst,
             const Shape& dst_shape, const Shape& dst_begin, const Shape& extent,
             int64_t element_size, Stream* stream);

struct BoxSource {
  const std::byte* data = nullptr;
  Shape shape;
  Shape begin;
};

// Elementwise combination of the sources in the order TreeAdditions(tree); one source is a copy,
// none the identity. A source may be the destination box itself. NaN wins in max and min; bool
// adds as `or`; 16-bit floats round after each addition. kInvalidArgument: unknown reduction, or
// the tree's size is not the number of sources.
Status CombineBoxes(DType dtype, int reduce_op, std::span<const BoxSource> sources,
                    const Shape& tree, std::byte* dst, const Shape& dst_shape,
                    const Shape& dst_begin, const Shape& extent, Stream* stream);

// Writes the identity of the reduction: -0.0 or 0 for sum, the lowest value for max, the highest
// for min (infinities for floats).
Status FillBox(DType dtype, int reduce_op, std::byte* dst, const Shape& dst_shape,
               const Shape& dst_begin, const Shape& extent, Stream* stream);

}  // namespace ofl::device
