// Small helpers that the operators' files share. Not for use outside this folder.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "oneflow_like/core/shape.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/kernel/kernel.h"

namespace ofl::ops {

// A row-major tensor seen around one axis: element (o, i, n) lies at (o * size + i) * inner + n.
struct AxisView {
  int64_t outer = 1;
  int64_t size = 1;
  int64_t inner = 1;
};
AxisView ViewAround(const Shape& shape, int axis);

// Product of the sizes of axes [begin, end).
int64_t ProductOf(const Shape& shape, int begin, int end);

// "p0 p1 p2": labels of a rule's axes, each its own factor.
std::string Labels(const std::string& prefix, int count);
// Like Labels over the axes of `rank`, with the axis `fixed` marked "!".
std::string LabelsExcept(const std::string& prefix, int rank, int fixed);
// "; linear jointly 0 1 ... n-1"
std::string JointlyLinear(int n);

// Calls body(begin, end) over [0, n), chunks of at least `grain`; directly where one chunk does.
template <class Body>
void Parallel(device::Stream* stream, int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  if (n <= grain || stream->threads() <= 1) {
    body(int64_t{0}, n);
  } else {
    stream->ParallelFor(n, grain, body);
  }
}

// The smallest number of rows of `row_cost` scalar steps that is worth handing to a thread.
inline int64_t RowGrain(int64_t row_cost) {
  constexpr int64_t kMinSteps = 16384;
  return row_cost >= kMinSteps ? 1 : kMinSteps / (row_cost > 0 ? row_cost : 1);
}

// The axis attribute `name`, normalised for `rank`. The value has passed Infer.
int AxisAttr(const Attrs& attrs, std::string_view name, int rank);

Shape ShapeAttr(const Attrs& attrs, std::string_view name);

// Registers `fn` for every element type whose values it only moves.
void CpuForAllTypes(op::OpDefBuilder& op, op::KernelFn fn, op::BoundFn bound = nullptr);

// kTypeMismatch unless input `i` is float32 or float64.
Status RequireFloat(const op::InferContext& c, int i, const char* what);
// kTypeMismatch unless both inputs have one dtype.
Status RequireSameDType(const op::InferContext& c, int i, int j, const char* what);
Status RequireInt64(const op::InferContext& c, int i, const char* what);

}  // namespace ofl::ops
