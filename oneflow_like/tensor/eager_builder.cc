// What gradient rules and decompositions apply operators by, outside of a graph.
#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"

namespace ofl::tensor {

Status EagerBuilder::CheckSaved(const Saved& saved) const {
  const auto* x = static_cast<const TensorImpl*>(saved.value);
  OFL_ENSURE(x->version() == saved.version, Code::kFailedPrecondition)
      << "[" << guarded_op_ << "] a tensor needed for backward was changed in place (one of the "
      << "variables needed for gradient computation has been modified by an inplace operation): "
      << "got " << Describe(*x) << " at version " << x->version()
      << (kept_ == nullptr ? std::string() : kept_->Story(x->storage().get(), saved.version))
      << "; expected version " << saved.version << "; change a copy instead";
  return Status::Ok();
}

Status EagerBuilder::CheckSaved() const {
  for (const Saved& saved : saved_) OFL_TRY(CheckSaved(saved));
  return Status::Ok();
}

op::Values EagerBuilder::Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) {
  op::Values none(op.outputs.size());
  if (!status_.ok()) return none;
  for (const op::Value& v : inputs) {
    if (v == nullptr) {
      Fail(Error(Code::kInternal) << "[" << op.name << "] a gradient rule passed no tensor");
      return none;
    }
    for (const Saved& saved : saved_) {
      if (saved.value != v.get()) continue;
      if (Status same = CheckSaved(saved); !same.ok()) {
        Fail(std::move(same));
        return none;
      }
    }
  }
  auto outputs = Dispatch(op, inputs, attrs, op.Draws() || op.composite ? generator_ : nullptr);
  if (outputs.ok()) return std::move(outputs).value();
  Fail(outputs.status());
  return none;
}

op::Value EagerBuilder::ToLayout(const op::Value& x, const sbp::Layout& layout) {
  if (!status_.ok()) return nullptr;
  auto boxed = GlobalToGlobal(TensorRef(AsTensor(x)), std::make_shared<const sbp::Layout>(layout),
                              "to_global");
  if (boxed.ok()) return op::Value(*boxed);
  Fail(boxed.status());
  return nullptr;
}

}  // namespace ofl::tensor
