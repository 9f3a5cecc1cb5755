#include "oneflow_like/core/program.h"

#include <algorithm>

namespace ofl {
namespace {

// Whether all elements lie in [0, elements). Strides come from outside: nothing may overflow.
bool LiesWithin(const InputView& view, int64_t elements) {
  if (view.strides.rank() != view.meta.shape.rank()) return false;
  if (view.meta.shape.numel() == 0) return true;
  int64_t first = view.offset, last = view.offset;
  for (int axis = 0; axis < view.strides.rank(); ++axis) {
    int64_t way;
    if (__builtin_mul_overflow(view.meta.shape[axis] - 1, view.strides[axis], &way)) return false;
    int64_t& end = way < 0 ? first : last;
    if (__builtin_add_overflow(end, way, &end)) return false;
  }
  return first >= 0 && last < elements;
}

}  // namespace

Status CheckInputViews(const Program& program, const TaskDesc& task) {
  int before = -1;
  for (const InputView& view : task.views) {
    OFL_ENSURE(task.kind == TaskKind::kKernel && view.input > before &&
                   view.input < static_cast<int>(task.inputs.size()),
               Code::kDataLoss)
        << "[plan] " << task.name << " has a view of input " << view.input
        << "; expected a kernel's inputs in ascending order, below " << task.inputs.size();
    before = view.input;
    const RegisterDesc& reg = program.registers[task.inputs[view.input]];
    OFL_ENSURE(view.meta.dtype == reg.meta.dtype && view.meta.shape.Check().ok() &&
                   LiesWithin(view, reg.meta.shape.numel()),
               Code::kDataLoss)
        << "[plan] " << task.name << " reads input " << view.input << " as a view that does not "
        << "fit its register: got " << view.meta.ToString() << " with strides " << view.strides
        << " from element " << view.offset << "; expected to lie within " << reg.meta.ToString();
    OFL_ENSURE(std::count(task.mutates.begin(), task.mutates.end(), view.input) == 0,
               Code::kDataLoss)
        << "[plan] " << task.name << " changes input " << view.input << ", which is a view";
  }
  return Status::Ok();
}

}  // namespace ofl
