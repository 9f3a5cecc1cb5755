#include "oneflow_like/tensor/eager_views.h"

#include <algorithm>
#include <array>
#include <utility>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/view_steps.h"

namespace ofl::tensor {
namespace {

// Where the elements of a view lie. False: no strides express it, and the caller copies.
Result<bool> Locate(const op::OpDef& def, const TensorImpl& x, const Attrs& attrs,
                    op::ViewGeometry& geometry) {
  auto found = def.view(x.local_shape(), x.strides(), attrs);
  if (found.ok()) {
    geometry = *found;
    return true;
  }
  if (found.status().code() != Code::kUnimplemented) return found.status();
  OFL_ENSURE(def.view_may_copy, Code::kInvalidArgument)
      << "[" << def.name << "] the result would not lie in its operand's memory: got "
      << Describe(x) << " with strides " << x.strides() << "; " << found.status().message();
  return false;
}

// Of a view's first element, in the memory. A view of another dtype has elements of another size,
// at addresses that are multiples of it.
Result<int64_t> OffsetOf(const op::OpDef& def, const TensorImpl& x, DType dtype,
                         const op::ViewGeometry& geometry) {
  const auto size = static_cast<int64_t>(DTypeSize(x.meta().dtype));
  const int64_t offset = x.offset_bytes() + geometry.offset * size;
  OFL_ENSURE(offset % static_cast<int64_t>(DTypeSize(dtype)) == 0, Code::kInvalidArgument)
      << "[" << def.name << "] elements of " << DTypeName(dtype)
      << " do not lie at every address: got " << Describe(x) << ", which begins at byte " << offset
      << " of its memory; expected a multiple of " << DTypeSize(dtype) << "; use clone() first";
  return offset;
}

// The memory of a local tensor as a vector outside the tape.
TensorRef WholeMemory(const TensorImpl& x) {
  const auto size = static_cast<int64_t>(DTypeSize(x.meta().dtype));
  const Shape all{x.storage()->buffer == nullptr ? 0 : x.storage()->buffer->size() / size};
  return x.As({x.meta().dtype, all}, nullptr, all, ContiguousStrides(all), 0);
}
bool IsNegative(int64_t stride) { return stride < 0; }
// The attributes with the place of the tensor's first element where none is said.
Attrs InMemory(const TensorImpl& x, const Attrs& given) {
  Attrs attrs = given;
  if (given.Maybe<int64_t>("storage_offset") == nullptr)
    attrs.Set("storage_offset", x.offset_bytes() / static_cast<int64_t>(DTypeSize(x.meta().dtype)));
  return attrs;
}

// Those of a view of a global tensor as of one part, whatever copies of it are made meanwhile.
std::shared_ptr<const Strides> WholeStrides(const op::OpDef& def, const TensorImpl& x,
                                            const Attrs& attrs, const TensorMeta& meta) {
  const Shape& shape = x.meta().shape;
  const auto geometry =
      def.view(shape, x.whole_strides() ? *x.whole_strides() : ContiguousStrides(shape), attrs);
  if (!geometry.ok() || IsDense(meta.shape, geometry->strides)) return nullptr;
  return std::make_shared<const Strides>(geometry->strides);
}

// A view that counts in the memory of which `x` is a part or which it shows in other order. What
// its gradient is of `x` says the tape (MemoryNode).
Result<TensorRef> InMemoryView(const op::OpDef& def, const TensorRef& x, const Attrs& given) {
  OFL_ENSURE(!x->requires_grad() || std::ranges::none_of(x->strides(), IsNegative),
             Code::kUnimplemented)
      << "[" << def.name << "] the tensor has a history and lies backwards in its memory: got "
      << Describe(*x) << " with strides " << x->strides() << "; expected strides of at least 0; "
      << "use clone() first";
  OFL_ASSIGN(Attrs completed, def.CompleteAttrs(InMemory(*x, given)));
  auto attrs = std::make_shared<const Attrs>(std::move(completed));
  const TensorRef memory = WholeMemory(*x);
  const TensorMeta in[] = {memory->meta()};
  OFL_ASSIGN(const std::vector<TensorMeta> out, def.Infer(in, *attrs));
  OFL_ASSIGN(const op::ViewGeometry view, def.view(in[0].shape, memory->strides(), *attrs));
  const auto size = static_cast<int64_t>(DTypeSize(out[0].dtype));
  return MakeView(def, std::move(attrs), x,
                  x->As(out[0], nullptr, view.shape, view.strides, view.offset * size));
}

}  // namespace

TensorRef MakeView(const op::OpDef& def, AttrsRef attrs, const TensorRef& x, TensorRef view) {
  TensorImpl* root = x->origin() != nullptr ? x->origin()->root : x.get();
  if (x->is_global()) view->set_whole_strides(WholeStrides(def, *x, *attrs, view->meta()));
  const bool taped =
      Context::grad_enabled() && x->requires_grad() && IsDifferentiable(view->meta().dtype);
  view->SetOrigin(std::unique_ptr<Origin>(new Origin{
      x, root, &def, std::move(attrs), root->history(), taped, taped ? Node::NextNumber() : 0}));
  return view;
}

bool CountsInMemory(const op::OpDef& def) {
  return std::ranges::any_of(def.attrs,
                             [](const op::AttrDef& a) { return a.name == "storage_offset"; });
}
bool IsWholeMemory(const TensorImpl& x) {
  return x.dense() && x.offset_bytes() == 0 &&
         (x.storage()->buffer == nullptr || x.local_meta().bytes() == x.storage()->buffer->size());
}

Result<op::Values> PutInMemory(const op::OpDef& def, std::span<const op::Value> inputs,
                               const Attrs& given) {
  const TensorImpl& x = *AsTensor(inputs[0]);
  Attrs own{{"size", DimsOf(x.meta().shape)}, {"stride", DimsOf(x.strides())}};
  own = InMemory(x, own);
  op::Value memory(WholeMemory(x));
  if (x.requires_grad()) {
    OFL_ASSIGN(op::Values with, Dispatch(def, std::array{memory, inputs[0]}, own));
    memory = with[0];
  }
  OFL_ASSIGN(op::Values changed, Dispatch(def, std::array{memory, inputs[1]}, InMemory(x, given)));
  OFL_ASSIGN(op::Value made, CallOp("as_strided", {changed[0]}, own));
  return op::Values{std::move(made)};
}

Result<TensorRef> LocalView(const op::OpDef& def, const TensorRef& x, const Attrs& given) {
  if (CountsInMemory(def) && x->storage() != nullptr && !IsWholeMemory(*x))
    return InMemoryView(def, x, given);
  OFL_ASSIGN(Attrs completed, def.CompleteAttrs(given));
  auto attrs = std::make_shared<const Attrs>(std::move(completed));
  const TensorMeta in[] = {x->meta()};
  OFL_ASSIGN(const std::vector<TensorMeta> out, def.Infer(in, *attrs));
  op::ViewGeometry geometry;
  OFL_ASSIGN(const bool found, Locate(def, *x, *attrs, geometry));
  if (!found) return TensorRef();
  OFL_ASSIGN(const int64_t offset, OffsetOf(def, *x, out[0].dtype, geometry));
  TensorRef view = x->As(out[0], nullptr, geometry.shape, geometry.strides, offset);
  return MakeView(def, std::move(attrs), x, std::move(view));
}

Result<TensorRef> GlobalView(const op::OpDef& def, const TensorRef& x, const CallPlan& plan) {
  if (plan.decompose || !plan.boxing.empty()) return TensorRef();
  TensorRef view;
  if (!x->has_data()) {
    view = x->As(plan.outputs[0], plan.output_layouts[0]);
  } else {
    op::ViewGeometry geometry;
    OFL_ASSIGN(const bool found, Locate(def, *x, plan.local_attrs, geometry));
    if (!found) return TensorRef();
    OFL_ASSIGN(const int64_t offset, OffsetOf(def, *x, plan.outputs[0].dtype, geometry));
    view = x->As(plan.outputs[0], plan.output_layouts[0], geometry.shape, geometry.strides, offset);
  }
  view->set_claim(JoinClaims(plan.claim, x->claim()));
  return MakeView(def, plan.attrs, x, std::move(view));
}

Status CanView(const op::OpDef& def, const TensorImpl& x, const Attrs& attrs) {
  if (x.whole_strides() == nullptr) return Status::Ok();
  return def.view(x.meta().shape, *x.whole_strides(), attrs).status();
}

Status RefusePart(const op::OpDef& def, const TensorMeta& x, const char* what) {
  return Error(Code::kUnimplemented)
         << "[" << def.name
         << "] the operand is a view of a part of its base, or in another order, "
         << "and places in its memory are not defined for " << what << ": got " << x.ToString()
         << "; expected a tensor that is no view; use clone() first";
}

bool IsWholeBase(const TensorImpl& x) {
  if (!x.is_view()) return true;
  std::vector<ViewStep> steps;
  const TensorImpl* root = &x;
  for (; root->origin() != nullptr; root = root->origin()->parent.get())
    steps.insert(steps.begin(), {root->origin()->def, root->origin()->attrs});
  return !root->is_view() && ShowsAll(steps, root->meta());
}

}  // namespace ofl::tensor
