#include "oneflow_like/tensor/target.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/mixed_operands.h"

namespace ofl::tensor {
namespace {

bool SharesPlaces(const TensorImpl& x) {
  return x.has_data() &&
         (OverlapsItself(x.local_shape(), x.strides()) || (x.behind_copy() && RepeatsBase(x)));
}

Status CheckMemory(const TensorImpl& target, std::string_view op) {
  OFL_TRY(CheckWritable(target, op));
  OFL_ENSURE(!SharesPlaces(target), Code::kInvalidArgument)
      << "[" << op << "] several elements of the target lie in one place: got " << Describe(target)
      << " with strides " << target.strides() << "; expected each in its own; use x.clone()";
  return Status::Ok();
}

// The base's gradient would not know of the change.
Status CheckTaped(const TensorImpl& target, std::string_view op) {
  OFL_ENSURE(target.origin() == nullptr || target.requires_grad() ||
                 !target.origin()->root->requires_grad(),
             Code::kFailedPrecondition)
      << "[" << op << "] a view that was taken under no_grad() is changed while gradients are "
      << "recorded, and its base has a history: got " << Describe(target)
      << "; expected both under no_grad(), or neither; use clone() for a tensor of its own";
  return Status::Ok();
}

Status CheckTarget(const TensorImpl& target, std::string_view op) {
  OFL_ENSURE(!Context::grad_enabled() || !target.requires_grad(), Code::kFailedPrecondition)
      << "[" << op << "] the target of the result requires grad: got " << Describe(target)
      << "; expected to run under no_grad(), or a target without";
  if (Context::grad_enabled()) OFL_TRY(CheckTaped(target, op));
  return CheckMemory(target, op);
}

// Leaves collect gradients for what they were when the tape met them.
Status CheckRecorded(const TensorImpl& target, std::string_view op) {
  const TensorImpl* x = &target;
  while (x->origin() != nullptr && !(x->requires_grad() && x->is_leaf()))
    x = x->origin()->parent.get();
  OFL_ENSURE(!x->requires_grad() || !x->is_leaf(), Code::kFailedPrecondition)
      << "[" << op << "] "
      << (x == &target ? "a leaf Tensor that requires grad is being used in an in-place operation"
                       : "a view of a leaf Tensor that requires grad is being used in an in-place "
                         "operation")
      << ": got " << Describe(target) << "; expected to run under no_grad()";
  return CheckTaped(target, op);
}

// A local value that a global target takes counts as B, if it may.
Result<TensorRef> BesideTarget(const TensorRef& value, const TensorImpl& target,
                               std::string_view op) {
  if (!target.is_global() || value->is_global()) return value;
  return LocalAsBroadcast("[" + std::string(op) + "] value", value, target.layout()->placement);
}

// The target as it is now, under a handle whose memory stays as it is.
Result<TensorRef> KeptCopy(const TensorRef& target) {
  OFL_ASSIGN(TensorRef copy, CopyOf(target));
  if (const Edge edge = EdgeOf(op::Value(target)); edge.needed()) PutAt(edge, copy);
  return copy;
}

// What a change of a view does goes to its base, and so does the gradient of what was there before,
// also where it lies beside what the view was taken of: the history is derived from the base.
void FollowBase(const TensorImpl& target) {
  for (const TensorImpl* x = &target; x->origin() != nullptr; x = x->origin()->parent.get()) {
    TensorImpl* root = x->origin()->root;
    if (CountsInMemory(*x->origin()->def) && root->grad_fn() != nullptr)
      return root->SetGradFn(root->grad_fn(), root->output_index());
  }
}

// Of elements that lie in one place, those that get the number count.
bool GivesSomeOneNumber(const op::OpDef& def) {
  static constexpr std::string_view kFilling[] = {"masked_fill",   "masked_fill_tensor",
                                                  "index_fill",    "index_fill_tensor",
                                                  "fill_diagonal", "tril",
                                                  "triu"};
  return std::ranges::find(kFilling, def.name) != std::end(kFilling);
}

// Gives a target the elements that differ from what was there before.
void CopyChanged(const TensorImpl& before, const TensorImpl& after, const TensorImpl& target) {
  const Shape& shape = target.local_shape();
  const auto size = static_cast<int64_t>(DTypeSize(target.meta().dtype));
  for (int64_t n = 0; n < shape.numel(); ++n) {
    int64_t rest = n, was = 0, is = 0, place = 0;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      const int64_t at = rest % shape[i];
      rest /= shape[i];
      was += at * before.strides()[i];
      is += at * after.strides()[i];
      place += at * target.strides()[i];
    }
    const std::byte* element = after.data() + is * size;
    if (std::memcmp(before.data() + was * size, element, size) != 0)
      std::memcpy(target.data() + place * size, element, size);
  }
}

// What a filling operator makes of a target whose elements share places. Of a global one the ranks
// decide by their shards: only what needs nothing of other ranks.
Status FillShared(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                  const TensorRef& target) {
  OFL_TRY(CheckWritable(*target, def.name));
  if (target->behind_copy() || (target->is_global() && !GivesOneNumber(def)))
    return CheckMemory(*target, def.name);
  OFL_ASSIGN(const op::Values made, Dispatch(def, inputs, attrs));
  OFL_ASSIGN(const TensorRef value, RequireTensor(made[0]));
  const bool fits = value->meta() == target->meta() && value->is_global() == target->is_global() &&
                    (!target->is_global() || *value->layout() == *target->layout());
  if (!fits) return CheckMemory(*target, def.name);
  OFL_ASSIGN(const TensorRef before, CopyOf(target));
  CopyChanged(*before, *value, *target);
  target->AddClaim(value->claim());
  CountChange(*target);
  return Status::Ok();
}

}  // namespace

std::pair<const std::byte*, const std::byte*> Extent(const TensorImpl& x) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < x.local_shape().rank(); ++i) {
    const int64_t reach = (x.local_shape()[i] - 1) * x.strides()[i];
    (reach < 0 ? low : high) += reach;
  }
  const int64_t size = static_cast<int64_t>(DTypeSize(x.meta().dtype));
  return {x.data() + low * size, x.data() + (high + 1) * size};
}

Overlap OverlapOf(const TensorImpl& a, const TensorImpl& b) {
  // By address: two tensors may wrap one array of somebody else's.
  if (!a.has_data() || !b.has_data()) return Overlap::kNone;
  if (a.local_shape().numel() == 0 || b.local_shape().numel() == 0) return Overlap::kNone;
  if (a.data() == b.data() && a.meta().dtype == b.meta().dtype &&
      a.local_shape() == b.local_shape() && a.strides() == b.strides()) {
    return Overlap::kExact;
  }
  const auto [a_begin, a_end] = Extent(a);
  const auto [b_begin, b_end] = Extent(b);
  return a_end <= b_begin || b_end <= a_begin ? Overlap::kNone : Overlap::kPartial;
}

bool GivesOneNumber(const op::OpDef& def) {
  return def.Has(op::Trait::kIgnoresValues) &&
         (def.name == "full_like" || def.name == "zeros_like");
}

Status CheckWritable(const TensorImpl& target, std::string_view op) {
  OFL_ENSURE(!target.read_only(), Code::kFailedPrecondition)
      << "[" << op << "] the target is somebody else's memory, who lets nobody write there: got "
      << Describe(target) << " of a read-only array or buffer; expected another tensor; use "
      << "x.clone()";
  return Status::Ok();
}

Status Assign(const TensorRef& given, const TensorRef& target, std::string_view op) {
  OFL_ASSIGN(const TensorRef value, BesideTarget(given, *target, op));
  const bool records = Context::grad_enabled() && (HasHistory(*target) || value->requires_grad());
  if (!records || value == target) return WriteInto(value, target, op);
  OFL_TRY(CheckRecorded(*target, op));
  TensorRef fitting = value;
  if (const DType to = target->meta().dtype;
      to != value->meta().dtype && CategoryOf(value->meta().dtype) <= CategoryOf(to)) {
    OFL_ASSIGN(op::Value cast, CallOp("cast", {op::Value(value)}, {{"dtype", to}}));
    fitting = TensorRef(AsTensor(cast));
  }
  if (target->is_global() && fitting->is_global() && !(*fitting->layout() == *target->layout())) {
    OFL_ASSIGN(fitting, GlobalToGlobal(fitting, target->layout_ref(), op));
  }
  const Edge history = EdgeOf(op::Value(fitting));
  {
    GradModeGuard off(false);
    OFL_TRY(WriteInto(fitting, target, op));
  }
  RecordChange(target, history);
  return Status::Ok();
}

Status DispatchInPlace(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                       const TensorRef& target, Generator* generator) {
  bool records = Context::grad_enabled() && HasHistory(*target);
  for (const op::Value& x : inputs)
    records |= Context::grad_enabled() && x != nullptr && !x->is_symbolic() &&
               AsTensor(x)->requires_grad();
  if (!records && SharesPlaces(*target) && (GivesOneNumber(def) || GivesSomeOneNumber(def)))
    return FillShared(def, inputs, attrs, target);
  if (!records) return DispatchInto(def, inputs, attrs, target, generator);
  OFL_TRY(CheckRecorded(*target, def.name));
  OFL_TRY(CheckMemory(*target, def.name));
  FollowBase(*target);
  op::Values operands(inputs.begin(), inputs.end());
  op::Value kept;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operands[i].get() != target.get()) continue;
    OFL_ASSIGN(const bool read, ReadsInput(def, inputs, attrs, i));
    if (!read) continue;
    if (kept == nullptr) {
      OFL_ASSIGN(TensorRef copy, KeptCopy(target));
      kept = op::Value(copy);
    }
    operands[i] = kept;
  }
  OFL_ASSIGN(op::Values results, Dispatch(def, operands, attrs, generator));
  OFL_ENSURE(results.size() == 1, Code::kInvalidArgument)
      << "[" << def.name << "] has " << results.size() << " results and one target";
  OFL_ASSIGN(TensorRef value, RequireTensor(results[0]));
  return Assign(value, target, def.name);
}

std::string FitAdvice(bool value_global, bool target_global) {
  std::string text = "; expected the same shape, both local or both global";
  if (value_global && !target_global)
    text += "; make the target global before (to_global), or the value local (to_local)";
  return text;
}

Status WriteInto(const TensorRef& given, const TensorRef& target, std::string_view op) {
  OFL_TRY(CheckTarget(*target, op));
  OFL_TRY(BringUp(*target));
  OFL_ASSIGN(TensorRef value, BesideTarget(given, *target, op));
  OFL_ENSURE(
      value->meta().shape == target->meta().shape && value->is_global() == target->is_global(),
      Code::kInvalidArgument)
      << "[" << op << "] the result does not fit: got " << Describe(*value) << " for "
      << Describe(*target) << FitAdvice(value->is_global(), target->is_global());
  const DType from = value->meta().dtype, to = target->meta().dtype;
  OFL_ENSURE(CategoryOf(from) <= CategoryOf(to), Code::kTypeMismatch)
      << "[" << op << "] result type " << DTypeName(from)
      << " can't be cast to the desired output type " << DTypeName(to) << ": got "
      << Describe(*value) << " for " << Describe(*target) << "; use a target of "
      << DTypeName(from);
  if (from != to) {
    OFL_ASSIGN(op::Value cast, CallOp("cast", {op::Value(value)}, {{"dtype", to}}));
    value = TensorRef(AsTensor(cast));
  }
  if (target->is_global() && !(*value->layout() == *target->layout())) {
    OFL_ASSIGN(value, GlobalToGlobal(value, target->layout_ref(), op));
  }
  if (target->has_data() && OverlapOf(*value, *target) != Overlap::kExact) {
    if (OverlapOf(*value, *target) == Overlap::kPartial) {
      OFL_ASSIGN(value, CopyOf(value));
    }
    OFL_TRY(CopyElements(*value, *target));
  }
  target->AddClaim(value->claim());
  CountChange(*target);
  return PutBack(*target);
}

Status DispatchInto(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                    const TensorRef& target, Generator* generator) {
  OFL_TRY(CheckTarget(*target, def.name));
  OFL_TRY(BringUp(*target));
  OFL_ASSIGN(bool written, RunInto(def, inputs, attrs, *target));
  if (written) {
    CountChange(*target);
    return PutBack(*target);
  }
  OFL_ASSIGN(op::Values results, Dispatch(def, inputs, attrs, generator));
  OFL_ENSURE(results.size() == 1, Code::kInvalidArgument)
      << "[" << def.name << "] has " << results.size() << " results and one target";
  OFL_ASSIGN(TensorRef value, RequireTensor(results[0]));
  return WriteInto(value, target, def.name);
}

}  // namespace ofl::tensor
