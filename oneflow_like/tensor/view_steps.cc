#include "oneflow_like/tensor/view_steps.h"

#include <vector>

#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/target.h"

namespace ofl::tensor {

bool NeedsJoining(const ViewStep& step, const Shape& base) {
  if (CountsInMemory(*step.def)) return true;
  const auto view = step.def->view(base, ContiguousStrides(base), *step.attrs);
  return view.ok() && OverlapsItself(view->shape, view->strides);
}

Result<Attrs> Joined(std::span<const ViewStep> steps, const TensorMeta& base) {
  Shape shape = base.shape;
  Strides strides = ContiguousStrides(shape);
  int64_t offset = 0;
  for (const ViewStep& step : steps) {
    const TensorMeta in[] = {{base.dtype, shape}};
    OFL_ASSIGN(const std::vector<TensorMeta> out, step.def->Infer(in, *step.attrs));
    OFL_ENSURE(out[0].dtype == base.dtype, Code::kUnimplemented)
        << "[" << step.def->name << "] a view of another dtype was taken of one that repeats "
        << "elements, and written to: got " << out[0].ToString() << " of " << in[0].ToString()
        << "; expected one dtype; use clone() first";
    OFL_ASSIGN(const op::ViewGeometry view, step.def->view(shape, strides, *step.attrs));
    shape = view.shape;
    strides = view.strides;
    offset += view.offset;
  }
  return Attrs{{"size", DimsOf(shape)}, {"stride", DimsOf(strides)}, {"storage_offset", offset}};
}

bool ShowsAll(std::span<const ViewStep> steps, const TensorMeta& base) {
  const auto joined = Joined(steps, base);
  if (!joined.ok()) return false;
  const Shape shape(std::span<const int64_t>(joined->Get<std::vector<int64_t>>("size")));
  const Strides strides(std::span<const int64_t>(joined->Get<std::vector<int64_t>>("stride")));
  return shape.numel() == base.shape.numel() && IsDense(shape, strides) &&
         joined->Get<int64_t>("storage_offset") == 0;
}

}  // namespace ofl::tensor
