#include "oneflow_like/tensor/call_plan.h"

#include <algorithm>
#include <utility>

#include "oneflow_like/op/def/layout_choice.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/tensor/boxing.h"
#include "oneflow_like/tensor/context.h"

namespace ofl::tensor {
namespace {

Shape Zeros(int rank) {
  Shape out;
  for (int i = 0; i < rank; ++i) out.push_back(0);
  return out;
}

std::string DescribeAll(const op::OpDef& def, std::span<const op::Value> inputs,
                        const Attrs& attrs) {
  std::string text;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (i > 0) text += ", ";
    text += def.InputAt(static_cast<int>(i), attrs).name + ": " + Describe(*inputs[i]);
  }
  return text;
}

// All local, or all global on one placement inside this world.
Status CheckInputs(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs) {
  const sbp::Layout* first = inputs.empty() ? nullptr : inputs[0]->layout();
  for (const op::Value& v : inputs) {
    const sbp::Layout* layout = v->layout();
    OFL_ENSURE((layout == nullptr) == (first == nullptr), Code::kInvalidArgument)
        << "[" << def.name << "] local and global tensors are mixed: got "
        << DescribeAll(def, inputs, attrs)
        << "; expected all local or all global; use x.to_global(placement=..., sbp=...)";
    if (layout == nullptr) continue;
    OFL_ENSURE(layout->placement == first->placement, Code::kInvalidArgument)
        << "[" << def.name << "] expected all tensors to be on the same placement: got "
        << DescribeAll(def, inputs, attrs)
        << "; expected one placement; use x.to_global(placement=...)";
  }
  return Status::Ok();
}

std::vector<TensorMeta> MetasOf(std::span<const op::Value> inputs) {
  std::vector<TensorMeta> metas;
  for (const op::Value& v : inputs) metas.push_back(v->meta());
  return metas;
}

// The views a kernel will be given: strides as they come where it takes them, else those of the
// copy that PrepareInputs makes.
Status FinishPlan(const op::OpDef& def, std::span<const op::Value> inputs, CallPlan& plan) {
  std::vector<op::TensorView> in = op::DenseViews(plan.local_inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorImpl* x = AsTensor(inputs[i]);
    const bool boxed = !plan.boxing.empty() && plan.boxing[i] != nullptr;
    if (!boxed && TakesAsItIs(def, i, *x, *plan.attrs)) in[i].strides = x->strides();
  }
  OFL_ASSIGN(plan.kernel,
             op::FindKernel(def.name, plan.device, in, op::DenseViews(plan.local_outputs),
                            plan.local_attrs, Context::Get().threads()));
  if (plan.kernel.needs.state == 0) return Status::Ok();
  OFL_ASSIGN(device::Device * device, Context::Get().DeviceOf(plan.device));
  OFL_ASSIGN(plan.kept, device->Allocate(plan.kernel.needs.state));
  return Status::Ok();
}

Status PlanLocal(const op::OpDef& def, std::span<const op::Value> inputs, CallPlan& plan) {
  if (!def.Draws()) plan.claim = ClaimOf(def, *plan.attrs);  // what is drawn follows from more
  plan.local_inputs = plan.inputs;
  plan.local_outputs = plan.outputs;
  for (auto& m : plan.inputs) plan.input_offsets.push_back(Zeros(m.shape.rank()));
  for (auto& m : plan.outputs) plan.output_offsets.push_back(Zeros(m.shape.rank()));
  plan.local_attrs = *plan.attrs;
  return FinishPlan(def, inputs, plan);
}

}  // namespace

bool TakesAsItIs(const op::OpDef& def, size_t i, const TensorImpl& x, const Attrs& attrs) {
  return x.dense() ||
         op::Allows(def.InputAt(static_cast<int>(i), attrs).access, x.local_shape(), x.strides());
}

bool AnyBounded(const op::OpDef& def) {
  return std::ranges::any_of(def.outputs, [](const op::Output& o) { return o.bounded; });
}

Result<RandomState> DrawOf(const op::OpDef& def, const Attrs& attrs) {
  const std::optional<op::Draw> draw = op::Draw::Of(attrs);
  OFL_ENSURE(draw.has_value() && draw->generator < 0, Code::kInvalidArgument)
      << "[" << def.name << "] '" << op::kDraw << "' belongs to a graph's generator: got "
      << attrs.ToString() << "; expected [seed, offset]";
  return draw->at;
}

Status PlanShards(const op::OpDef& def, std::span<const op::Value> inputs,
                  const Placement& placement, const sbp::NdSignature& signature, CallPlan& plan) {
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    plan.output_layouts.push_back(
        std::make_shared<const sbp::Layout>(sbp::Layout{placement, signature.outputs[i]}));
  }
  plan.claim = ClaimOf(def, *plan.attrs);
  plan.device = placement.kind();
  const int index = placement.IndexOf(Context::Get().rank());
  plan.member = index >= 0;
  if (!plan.member) return Status::Ok();
  std::vector<Shape> in_shapes, out_shapes;
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const sbp::Box box =
        sbp::LocalBox(plan.inputs[i].shape, {placement, signature.inputs[i]}, index);
    in_shapes.push_back(box.Extent());
    plan.local_inputs.push_back({plan.inputs[i].dtype, in_shapes.back()});
    plan.input_offsets.push_back(box.begin);
  }
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const sbp::Box box =
        sbp::LocalBox(plan.outputs[i].shape, {placement, signature.outputs[i]}, index);
    out_shapes.push_back(box.Extent());
    plan.local_outputs.push_back({plan.outputs[i].dtype, out_shapes.back()});
    plan.output_offsets.push_back(box.begin);
  }
  plan.local_attrs = def.local_attrs != nullptr
                         ? def.local_attrs(*plan.attrs, in_shapes, out_shapes)
                         : *plan.attrs;
  return FinishPlan(def, inputs, plan);
}

namespace {

Status PlanGlobal(const op::OpDef& def, std::span<const op::Value> inputs, CallPlan& plan) {
  std::vector<op::LaidOperand> operands;
  for (const op::Value& v : inputs) operands.push_back({v->meta(), &v->layout()->nd_sbp});
  const Placement& placement = inputs[0]->layout()->placement;
  OFL_ASSIGN(op::LayoutChoice choice,
             op::LayoutChooser().Choose({def, *plan.attrs, operands, plan.outputs, placement}));
  if (choice.composed) {
    plan.decompose = true;
    return Status::Ok();
  }
  bool any = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    RecipeRef recipe;
    if (!(choice.signature.inputs[i] == *operands[i].nd_sbp)) {
      auto target =
          std::make_shared<const sbp::Layout>(sbp::Layout{placement, choice.signature.inputs[i]});
      OFL_ASSIGN(recipe, RecipeFor(plan.inputs[i], AsTensor(inputs[i])->layout_ref(), target));
      any = true;
    }
    plan.boxing.push_back(std::move(recipe));
  }
  if (!any) plan.boxing.clear();
  return PlanShards(def, inputs, placement, choice.signature, plan);
}

}  // namespace

Result<CallPlanRef> MakePlan(const op::OpDef& def, std::span<const op::Value> inputs,
                             const Attrs& attrs) {
  auto plan = std::make_shared<CallPlan>();
  OFL_ASSIGN(Attrs completed, def.CompleteAttrs(attrs));
  plan->attrs = std::make_shared<const Attrs>(std::move(completed));
  OFL_TRY(def.CheckArity(static_cast<int>(inputs.size()), *plan->attrs));
  OFL_TRY(CheckInputs(def, inputs, *plan->attrs));
  if (def.Draws()) {
    OFL_ASSIGN(plan->random, DrawOf(def, *plan->attrs));
  }
  plan->inputs = MetasOf(inputs);
  OFL_ASSIGN(plan->outputs, def.Infer(plan->inputs, *plan->attrs));
  if (!inputs.empty() && inputs[0]->layout() != nullptr) {
    // A rank outside would not learn the size of the result.
    const Placement& placement = inputs[0]->layout()->placement;
    OFL_ENSURE(!AnyBounded(def) || placement.size() == Context::Get().world_size(),
               Code::kUnimplemented)
        << "[" << def.name << "] the size of the result depends on values: got "
        << DescribeAll(def, inputs, *plan->attrs) << " on a part of " << Context::Get().world_size()
        << " ranks; expected a placement of all ranks; use x.to_global(placement=...)";
    OFL_TRY(PlanGlobal(def, inputs, *plan));
  } else {
    OFL_TRY(PlanLocal(def, inputs, *plan));
  }
  return CallPlanRef(plan);
}

}  // namespace ofl::tensor
