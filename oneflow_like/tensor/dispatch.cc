#include "oneflow_like/tensor/dispatch.h"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <utility>

#include "oneflow_like/op/def/compose.h"
#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/boxing.h"
#include "oneflow_like/tensor/call_plan.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/mixed_operands.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {

template <class T>
using Small = boost::container::small_vector<T, 6>;

// `drawn`: of a random operator, where the plan serves calls of any draw.
Status RunKernel(const CallPlan& plan, std::span<const TensorRef> inputs,
                 std::span<const op::TensorView> outputs, int64_t* used = nullptr,
                 const RandomState* drawn = nullptr) {
  Small<op::TensorView> in;
  for (const TensorRef& x : inputs) {
    in.push_back(x->view());
    if (plan.kept != nullptr) in.back().version = x->contents();
  }
  Context& world = Context::Get();
  op::KernelContext context;
  context.inputs = {in.data(), in.size()};
  context.outputs = outputs;
  context.attrs = &plan.local_attrs;
  OFL_ASSIGN(context.stream, world.StreamOf(plan.device));
  context.logical_inputs = plan.inputs;
  context.logical_outputs = plan.outputs;
  context.input_offsets = plan.input_offsets;
  context.output_offsets = plan.output_offsets;
  device::BufferRef workspace;
  context.random = drawn != nullptr ? *drawn : plan.random;
  if (plan.kept != nullptr)
    context.kept = {plan.kept->data(), static_cast<size_t>(plan.kernel.needs.state)};
  const int64_t scratch = plan.kernel.needs.scratch;
  if (scratch > 0) {
    OFL_ASSIGN(device::Device * device, world.DeviceOf(plan.device));
    OFL_ASSIGN(workspace, device->Allocate(scratch));
    context.workspace = {workspace->data(), static_cast<size_t>(scratch)};
  }
  int64_t extent = -1;
  context.extent = &extent;
  OFL_TRY(plan.kernel.Run(context));
  if (used != nullptr) *used = extent;
  return Status::Ok();
}

// Of bounded results the part that the kernel used: their first axis depends on values.
Status CutToExtent(const op::OpDef& def, int64_t used, op::Values& outputs) {
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!def.OutputAt(static_cast<int>(k)).bounded) continue;
    TensorImpl* bound = AsTensor(outputs[k]);
    TensorMeta meta = bound->meta();
    OFL_ENSURE(bound->device_kind() != DeviceKind::kNull, Code::kFailedPrecondition)
        << "[" << def.name << "] how many results there are depends on values, of which a null "
        << "device has none: got " << meta.ToString() << " at most; expected a tensor on cpu";
    OFL_CHECK(used >= 0 && used <= meta.shape[0])
        << def.name << " used " << used << " of " << meta.ToString();
    meta.shape[0] = used;
    outputs[k] = op::Value(new TensorImpl(meta, meta.shape, bound->layout_ref(), bound->storage()));
  }
  return Status::Ok();
}

Small<op::TensorView> ViewsOf(const op::Values& outputs) {
  Small<op::TensorView> views;
  for (const op::Value& y : outputs) views.push_back(AsTensor(y)->view());
  return views;
}

Result<op::Values> AllocateOutputs(const CallPlan& plan) {
  op::Values outputs;
  outputs.reserve(plan.outputs.size());
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    if (plan.output_layouts.empty()) {
      OFL_ASSIGN(StorageRef storage, AllocateStorage(plan.device, plan.outputs[i].bytes()));
      outputs.emplace_back(
          new TensorImpl(plan.outputs[i], plan.outputs[i].shape, nullptr, std::move(storage)));
    } else if (!plan.member) {
      OFL_ASSIGN(TensorRef shell, EmptyGlobal(plan.outputs[i], plan.output_layouts[i]));
      outputs.emplace_back(std::move(shell));
    } else {
      const TensorMeta& local = plan.local_outputs[i];
      OFL_ASSIGN(StorageRef storage, AllocateStorage(plan.device, local.bytes()));
      outputs.emplace_back(
          new TensorImpl(plan.outputs[i], local.shape, plan.output_layouts[i], std::move(storage)));
    }
  }
  return outputs;
}

std::string ForResult(const op::OpDef& def, const CallPlan& plan) {
  std::string text = "for the result of [" + def.name + "]:";
  for (const TensorMeta& meta : plan.outputs) text += " " + meta.ToString();
  return text;
}

// Boxed operands, in strides that the kernel takes. A mutated operand that had to be copied for
// that is copied back by the caller.
Status PrepareInputs(const op::OpDef& def, const CallPlan& plan, std::span<const op::Value> inputs,
                     Small<TensorRef>& ready) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    TensorRef x(AsTensor(inputs[i]));
    OFL_TRY(BringUp(*x));
    if (!plan.boxing.empty() && plan.boxing[i] != nullptr) {
      OFL_ASSIGN(x, RunBoxing(*plan.boxing[i], x, def.name));
    }
    if (!x->has_data()) [[unlikely]]
      OFL_TRY(RequireShard(*x, def.name));
    if (!TakesAsItIs(def, i, *x, *plan.attrs)) {
      OFL_ASSIGN(x, Contiguous(x));
    }
    ready.push_back(std::move(x));
  }
  return Status::Ok();
}

Status FinishMutated(const op::OpDef& def, const Attrs& attrs, std::span<const op::Value> inputs,
                     std::span<const TensorRef> ready) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!def.InputMutated(static_cast<int>(i), attrs)) continue;
    TensorImpl* x = AsTensor(inputs[i]);
    if (ready[i].get() != x && x->has_data()) OFL_TRY(CopyElements(*ready[i], *x));
    CountChange(*x);
    OFL_TRY(PutBack(*x));
  }
  return Status::Ok();
}

// What the results of a global call, and the operands it changed, were made of.
void SetClaims(const op::OpDef& def, const CallPlan& plan, std::span<const op::Value> inputs,
               std::span<const TensorRef> ready, std::span<const op::Value> outputs) {
  uint64_t claim = plan.claim;
  for (const TensorRef& x : ready) claim = JoinClaims(claim, x->claim());
  for (const op::Value& y : outputs) AsTensor(y)->set_claim(claim);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (def.InputMutated(static_cast<int>(i), *plan.attrs)) AsTensor(inputs[i])->AddClaim(claim);
  }
}

bool AnyMutated(const op::OpDef& def) {
  for (const op::Operand& operand : def.inputs) {
    if (operand.mutated) return true;
  }
  return false;
}

// What changes values behind the tape's back, as under no_grad().
bool IsUnrecorded(const Attrs& attrs) {
  const bool* unrecorded = attrs.Maybe<bool>("unrecorded");
  return unrecorded != nullptr && *unrecorded;
}

Status RefuseMutation(const op::OpDef& def, const Attrs& attrs, std::span<const op::Value> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    OFL_ENSURE(
        !def.InputMutated(static_cast<int>(i), attrs) || !AsTensor(inputs[i])->requires_grad(),
        Code::kFailedPrecondition)
        << "[" << def.name << "] a tensor that requires grad would be changed in place: got "
        << Describe(*inputs[i]) << "; expected to run under no_grad()";
  }
  return Status::Ok();
}

// What a recorded call has to keep.
const GradientReads& ReadsOfCall(const op::OpDef& def, const CallPlan& plan) {
  if (plan.reads == nullptr) plan.reads = ReadsOf(def, *plan.attrs, plan.inputs, plan.outputs);
  return *plan.reads;
}

Result<op::Values> RunPlan(const op::OpDef& def, const CallPlan& plan,
                           std::span<const op::Value> inputs, const RandomState* drawn = nullptr) {
  if (plan.decompose) {
    EagerBuilder builder;
    op::Values outputs = def.decompose(builder, inputs, *plan.attrs);
    OFL_TRY(builder.status());
    return outputs;  // the operators inside have recorded themselves
  }
  const bool mutates = AnyMutated(def);
  bool record = false;
  if (Context::Get().grad_enabled() && !(mutates && IsUnrecorded(*plan.attrs))) {
    if (mutates) OFL_TRY(RefuseMutation(def, *plan.attrs, inputs));
    for (const op::Value& v : inputs) record |= AsTensor(v)->requires_grad();
  }
  for (size_t i = 0; mutates && i < inputs.size(); ++i)
    if (def.InputMutated(static_cast<int>(i), *plan.attrs))
      OFL_TRY(CheckWritable(*AsTensor(inputs[i]), def.name));
  Small<TensorRef> ready;
  OFL_TRY(PrepareInputs(def, plan, inputs, ready));
  auto allocated = AllocateOutputs(plan);
  if (!allocated.ok()) return allocated.status().WithNote(ForResult(def, plan));
  op::Values outputs = std::move(allocated).value();
  if (plan.member) {
    const auto views = ViewsOf(outputs);
    int64_t used = -1;
    OFL_TRY(
        RunKernel(plan, {ready.data(), ready.size()}, {views.data(), views.size()}, &used, drawn));
    if (AnyBounded(def)) OFL_TRY(CutToExtent(def, used, outputs));
  }
  if (mutates) OFL_TRY(FinishMutated(def, *plan.attrs, inputs, {ready.data(), ready.size()}));
  // An update has no results, yet changes a tensor.
  if (!inputs.empty() && AsTensor(inputs[0])->is_global()) {
    SetClaims(def, plan, inputs, {ready.data(), ready.size()}, outputs);
  } else {
    NoteCommon(def, plan, {ready.data(), ready.size()}, outputs);
  }
  if (record) RecordOp(def, plan.attrs, inputs, outputs, ReadsOfCall(def, plan));
  return outputs;
}

// Whether a composite's own kernel serves this call: no tape to fill, no layouts to choose.
bool RunsFused(const op::OpDef& def, std::span<const op::Value> inputs) {
  if (def.kernels.empty() || def.Draws() || CurrentTracer() != nullptr || inputs.empty())
    return false;
  for (const op::Value& v : inputs) {
    if (v == nullptr || v->is_symbolic() || v->layout() != nullptr) return false;
    if (Context::grad_enabled() && AsTensor(v)->requires_grad()) return false;
  }
  return !def.Providers(DeviceKind::kCpu, inputs[0]->meta().dtype).empty();
}

// The parts dispatch, promote, record or trace themselves.
Result<op::Values> RunComposite(const op::OpDef& def, std::span<const op::Value> inputs,
                                const Attrs& given, Generator* generator) {
  for (const op::Value& v : inputs) {
    if (v == nullptr) [[unlikely]]
      OFL_TRY(RequireTensor(v).status());
  }
  OFL_ASSIGN(Attrs attrs, def.CompleteAttrs(given));
  OFL_TRY(def.CheckArity(static_cast<int>(inputs.size()), attrs));
  EagerBuilder builder;
  builder.DrawFrom(generator);
  op::Values outputs = def.decompose(builder, inputs, attrs);
  if (const Status& cause = builder.status(); !cause.ok()) {
    if (cause.message().starts_with('[')) return cause.WithNote("in [" + def.name + "]");
    return Error(cause.code()) << "[" << def.name << "] " << cause.message();
  }
  return outputs;
}

// The attributes with a draw from the operator's generator, null for the default one: the job's for
// global tensors, this rank's own for local ones. In a graph it is the place of the draw in a
// launch. A gradient rule has passed one on.
Result<Attrs> WithDraw(const op::OpDef& def, const Attrs& attrs, bool global,
                       Generator* generator) {
  Attrs drawn = attrs;
  if (drawn.Has(op::kDraw)) {
    OFL_ENSURE(generator == nullptr, Code::kInvalidArgument)
        << "[" << def.name << "] both a draw and the generator to take one from: got " << op::kDraw
        << "=" << AttrToString(*drawn.Find(op::kDraw)) << "; expected one of them";
    return drawn;
  }
  op::Draw draw;
  if (Tracer* tracer = CurrentTracer(); tracer != nullptr) {
    OFL_ASSIGN(draw, tracer->NextDraw(generator));
  } else {
    draw.at = Context::Get().Draw(global, 1, def.name, generator);
  }
  drawn.Set(op::kDraw, draw.ToAttr());
  return drawn;
}

// Integers of which an operator makes float32, where that is not the default dtype: the floating
// numbers that it makes of them are of that one. Null: nothing to do.
Result<op::Values> WidenedByDefault(const op::OpDef& def, std::span<const op::Value> inputs,
                                    const Attrs& given) {
  if (def.composite || def.outputs.empty() || AnyMutated(def)) return op::Values();
  for (const op::AttrDef& attr : def.attrs)
    if (attr.name == "dtype") return op::Values();
  std::vector<TensorMeta> metas;
  for (const op::Value& v : inputs) {
    if (v == nullptr || CategoryOf(v->meta().dtype) > DTypeCategory::kInteger) return op::Values();
    metas.push_back(v->meta());
  }
  OFL_ASSIGN(const Attrs attrs, def.CompleteAttrs(given));
  OFL_ASSIGN(const std::vector<TensorMeta> out, def.Infer(metas, attrs));
  if (out.empty() || out[0].dtype != DType::kFloat32) return op::Values();
  op::Values widened(inputs.begin(), inputs.end());
  for (size_t i = 0; i < widened.size(); ++i) {
    if (!def.InputAt(static_cast<int>(i), attrs).promotes) continue;
    OFL_ASSIGN(widened[i], CallOp("cast", {inputs[i]}, {{"dtype", op::DefaultFloat()}}));
  }
  return widened;
}

Status CheckDraws(const op::OpDef& def) {
  OFL_ENSURE(def.Draws() || def.composite, Code::kInvalidArgument)
      << "[" << def.name << "] draws no random numbers: got a generator; expected none";
  return Status::Ok();
}

Result<op::Values> Trace(Tracer& tracer, const op::OpDef& def, std::span<const op::Value> inputs,
                         const Attrs& given) {
  OFL_ENSURE(!AnyBounded(def), Code::kUnimplemented)
      << "[" << def.name << "] the size of the result depends on values, which a graph does not "
      << "know when it is compiled: got a call inside build(); expected a result of fixed shape; "
      << "use where(), or nonzero_static(size=...), which is padded to a size, or call it outside "
      << "the graph";
  OFL_ASSIGN(Attrs attrs, def.CompleteAttrs(given));
  op::Values lifted;
  for (const op::Value& v : inputs) {
    lifted.push_back(v->is_symbolic() ? v : tracer.Lift(v));
    OFL_TRY(tracer.status());
  }
  op::Values outputs = tracer.Apply(def, std::move(lifted), attrs);
  OFL_TRY(tracer.status());
  return outputs;
}

// Null: local and global operands are mixed, which no plan serves.
Result<CallPlanRef> PlanUnlessMixed(const op::OpDef& def, std::span<const op::Value> inputs,
                                    const Attrs& given) {
  CallCache& cache = Context::Get().cache();
  const CallCache::Query query{&def, inputs, given, nullptr};
  const uint64_t hash = CallCache::HashOf(query);
  if (const CallPlanRef* found = cache.Find(query, hash)) return *found;
  if (MixesLocal(inputs)) return CallPlanRef();
  OFL_ASSIGN(CallPlanRef plan, MakePlan(def, inputs, given));
  cache.Insert(query, hash, plan);
  return plan;
}

Result<CallPlanRef> PlanOf(const op::OpDef& def, std::span<const op::Value> inputs,
                           const Attrs& given) {
  OFL_ASSIGN(CallPlanRef plan, PlanUnlessMixed(def, inputs, given));
  if (plan != nullptr) return plan;
  return MakePlan(def, inputs, given);  // with its error
}

// Whether the draw of this call is of use to its kernel alone: no tape keeps it, and no claim of
// global tensors, so that one plan serves all draws.
bool IsDrawnOnce(std::span<const op::Value> inputs, const Attrs& given) {
  if (given.Has(op::kDraw)) return false;
  for (const op::Value& v : inputs) {
    if (v->layout() != nullptr) return false;
    if (Context::grad_enabled() && AsTensor(v)->requires_grad()) return false;
  }
  return true;
}

// The plan of such a call, remembered by its attributes without a draw; its own means nothing.
Result<CallPlanRef> PlanOfDraws(const op::OpDef& def, std::span<const op::Value> inputs,
                                const Attrs& given) {
  CallCache& cache = Context::Get().cache();
  const CallCache::Query query{&def, inputs, given, nullptr};
  const uint64_t hash = CallCache::HashOf(query);
  if (const CallPlanRef* found = cache.Find(query, hash)) return *found;
  Attrs drawn = given;
  drawn.Set(op::kDraw, op::Draw().ToAttr());
  OFL_ASSIGN(CallPlanRef plan, MakePlan(def, inputs, drawn));
  cache.Insert(query, hash, plan);
  return plan;
}

// A call of a view operator: a view wherever there can be one.
Result<op::Values> DispatchView(const op::OpDef& def, const op::Value& input, const Attrs& given) {
  const TensorRef x(AsTensor(input));
  if (!x->is_global()) {
    OFL_ASSIGN(TensorRef view, LocalView(def, x, given));
    if (view != nullptr) return op::Values{op::Value(view)};
    OFL_ASSIGN(CallPlanRef plan, PlanOf(def, {&input, 1}, given));
    return RunPlan(def, *plan, {&input, 1});
  }
  if (CountsInMemory(def) && !IsWholeBase(*x)) return RefusePart(def, x->meta(), "a global tensor");
  OFL_ASSIGN(CallPlanRef plan, PlanOf(def, {&input, 1}, given));
  if (def.view_may_copy && !CanView(def, *x, *plan->attrs).ok())
    return RunPlan(def, *plan, {&input, 1});
  OFL_ASSIGN(TensorRef view, GlobalView(def, x, *plan));
  if (view != nullptr) return op::Values{op::Value(view)};
  OFL_ASSIGN(TensorRef copy, CopiedView(def, plan->attrs, x));
  return op::Values{op::Value(MakeView(def, plan->attrs, x, std::move(copy)))};
}

}  // namespace

Result<TensorRef> ViewCopy(const op::OpDef& def, const TensorRef& x, const Attrs& attrs) {
  GradModeGuard off(false);
  const op::Value input(x);
  OFL_ASSIGN(CallPlanRef plan, PlanOf(def, {&input, 1}, attrs));
  OFL_ASSIGN(op::Values made, RunPlan(def, *plan, {&input, 1}));
  return TensorRef(AsTensor(made[0]));
}

Result<bool> ReadsInput(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                        size_t i) {
  if (def.composite || def.Draws() || op::NeedsPromotion(def, inputs, attrs)) return true;
  if (MixesLocal(inputs)) return true;
  OFL_ASSIGN(CallPlanRef plan, PlanOf(def, inputs, attrs));
  return plan->decompose || ReadsOfCall(def, *plan).inputs[i] == nullptr;
}

Result<op::Values> Dispatch(const op::OpDef& def, std::span<const op::Value> inputs,
                            const Attrs& given, Generator* generator) {
  if (generator != nullptr) OFL_TRY(CheckDraws(def));
  if (((def.composite || def.Draws() || CurrentTracer() != nullptr) && MixesLocal(inputs)) ||
      (def.composite && CurrentTracer() != nullptr && MixesTracedLocal(inputs))) {
    OFL_ASSIGN(const op::Values all, LocalsAsBroadcast(def, inputs, given));
    return Dispatch(def, all, given, generator);
  }
  if (op::NeedsPromotion(def, inputs, given)) {
    EagerBuilder casts;
    OFL_ASSIGN(op::Values promoted, op::PromotedInputs(casts, def, inputs, given));
    return Dispatch(def, promoted, given, generator);
  }
  if (op::DefaultFloat() != DType::kFloat32 && !inputs.empty()) [[unlikely]] {
    OFL_ASSIGN(const op::Values widened, WidenedByDefault(def, inputs, given));
    if (!widened.empty()) return Dispatch(def, widened, given, generator);
  }
  if (def.composite && inputs.size() == 2 && CurrentTracer() == nullptr && inputs[0] != nullptr &&
      !inputs[0]->is_symbolic() && CountsInMemory(def)) {
    const TensorImpl& base = *AsTensor(inputs[0]);
    if (!base.is_global() && !IsWholeMemory(base)) return PutInMemory(def, inputs, given);
    if (base.is_global() && !IsWholeBase(base))
      return RefusePart(def, base.meta(), "a global tensor");
  }
  if (def.composite && (generator != nullptr || !RunsFused(def, inputs)))
    return RunComposite(def, inputs, given, generator);
  if (Tracer* tracer = CurrentTracer(); tracer != nullptr) {
    if (!def.Draws()) return Trace(*tracer, def, inputs, given);
    OFL_ASSIGN(const Attrs drawn, WithDraw(def, given, false, generator));
    return Trace(*tracer, def, inputs, drawn);
  }
  for (const op::Value& v : inputs) {
    if (v == nullptr || v->is_symbolic()) [[unlikely]]
      OFL_TRY(RequireTensor(v).status());
  }
  if (def.Draws() && IsDrawnOnce(inputs, given)) {
    const RandomState drawn = Context::Get().Draw(false, 1, def.name, generator);
    OFL_ASSIGN(CallPlanRef plan, PlanOfDraws(def, inputs, given));
    return RunPlan(def, *plan, inputs, &drawn);
  }
  if (def.Draws()) {  // never the same attributes twice: nothing to remember
    const bool global = !inputs.empty() && inputs[0]->layout() != nullptr;
    OFL_ASSIGN(const Attrs drawn, WithDraw(def, given, global, generator));
    OFL_ASSIGN(CallPlanRef plan, MakePlan(def, inputs, drawn));
    return RunPlan(def, *plan, inputs);
  }
  if (def.view != nullptr && inputs.size() == 1) return DispatchView(def, inputs[0], given);
  OFL_ASSIGN(CallPlanRef plan, PlanUnlessMixed(def, inputs, given));
  if (plan != nullptr) return RunPlan(def, *plan, inputs);
  OFL_ASSIGN(const op::Values all, LocalsAsBroadcast(def, inputs, given));
  return Dispatch(def, all, given);
}

Result<bool> RunInto(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& given,
                     TensorImpl& target) {
  const bool plain = def.outputs.size() == 1 && !def.outputs[0].variadic &&
                     !def.outputs[0].bounded && !def.composite && !def.Draws() &&
                     !AnyMutated(def) && CurrentTracer() == nullptr && !inputs.empty();
  if (!plain || op::NeedsPromotion(def, inputs, given)) return false;
  for (const op::Value& v : inputs) {
    if (v == nullptr || v->is_symbolic()) return false;
    if ((v->layout() != nullptr) != target.is_global()) return false;
    if (Context::grad_enabled() && AsTensor(v)->requires_grad()) return false;
  }
  OFL_ASSIGN(CallPlanRef plan, PlanOf(def, inputs, given));
  if (plan->decompose) return false;
  if (target.is_global() && !(*plan->output_layouts[0] == *target.layout())) return false;
  // A variant was prepared for a dense result.
  const bool lies =
      target.dense() || (plan->kernel.state == nullptr &&
                         op::Allows(def.outputs[0].access, target.local_shape(), target.strides()));
  if (!(plan->outputs[0] == target.meta()) || !lies) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Overlap overlap = OverlapOf(*AsTensor(inputs[i]), target);
    const bool may_share =
        std::ranges::find(def.in_place, std::pair(0, static_cast<int>(i))) != def.in_place.end();
    if (overlap == Overlap::kPartial || (overlap == Overlap::kExact && !may_share)) return false;
  }
  Small<TensorRef> ready;
  OFL_TRY(PrepareInputs(def, *plan, inputs, ready));
  if (plan->member) {
    const op::TensorView out = target.view();
    OFL_TRY(RunKernel(*plan, {ready.data(), ready.size()}, {&out, 1}));
  }
  if (target.is_global()) {
    uint64_t claim = plan->claim;
    for (const TensorRef& x : ready) claim = JoinClaims(claim, x->claim());
    target.AddClaim(claim);
  } else if (target.storage()->global) {
    target.AddClaim(ClaimOf(def, *plan->attrs));
  }
  return true;
}

Result<op::Value> DispatchSource(const op::OpDef& def, const Attrs& given, const LayoutRef& layout,
                                 Generator* generator) {
  if (generator != nullptr) OFL_TRY(CheckDraws(def));
  OFL_ENSURE(def.inputs.empty() && def.outputs.size() == 1, Code::kInvalidArgument)
      << "[" << def.name << "] takes no placement: got placement " << layout->placement.ToString()
      << "; expected an operator that makes a tensor";
  CallPlan plan;
  Attrs drawn = given;
  if (def.Draws()) {
    OFL_ASSIGN(drawn, WithDraw(def, given, true, generator));
  }
  OFL_ASSIGN(Attrs completed, def.CompleteAttrs(std::move(drawn)));
  plan.attrs = std::make_shared<const Attrs>(std::move(completed));
  if (def.Draws() && CurrentTracer() == nullptr) {
    OFL_ASSIGN(plan.random, DrawOf(def, *plan.attrs));
  }
  OFL_ASSIGN(plan.outputs, def.Infer({}, *plan.attrs));
  const TensorMeta meta = plan.outputs[0];
  OFL_TRY(sbp::CheckLayout("the result of " + def.name, meta.dtype, meta.shape, *layout));
  for (int rank : layout->placement.ranks()) {
    OFL_ENSURE(rank < Context::Get().world_size(), Code::kInvalidArgument)
        << "[" << def.name << "] a rank is outside the world: got rank " << rank << " of "
        << layout->placement.ToString() << "; expected ranks below " << Context::Get().world_size()
        << "; start more processes with oneflow-like-run";
  }
  // The values are those of the whole tensor; a partial layout is reached from B.
  sbp::NdSbp made = layout->nd_sbp;
  for (int i = 0; i < made.rank(); ++i) {
    if (made[i].is_partial()) made[i] = sbp::Sbp::Broadcast();
  }
  if (Tracer* tracer = CurrentTracer(); tracer != nullptr) {
    return tracer->Source(def, *plan.attrs, *layout);
  }
  OFL_TRY(PlanShards(def, {}, layout->placement, sbp::NdSignature{{}, {made}}, plan));
  auto allocated = AllocateOutputs(plan);
  if (!allocated.ok()) return allocated.status().WithNote(ForResult(def, plan));
  op::Values outputs = std::move(allocated).value();
  if (plan.member) {
    const auto views = ViewsOf(outputs);
    OFL_TRY(RunKernel(plan, {}, {views.data(), views.size()}));
  }
  SetClaims(def, plan, {}, {}, outputs);
  if (made == layout->nd_sbp) return outputs[0];
  TensorRef made_tensor(AsTensor(outputs[0]));
  OFL_ASSIGN(RecipeRef recipe, RecipeFor(meta, made_tensor->layout_ref(), layout));
  OFL_ASSIGN(TensorRef boxed, RunBoxing(*recipe, made_tensor, def.name));
  return op::Value(boxed);
}

Result<op::Value> CallOp(std::string_view name, std::initializer_list<op::Value> inputs,
                         const Attrs& attrs) {
  OFL_ASSIGN(const op::OpDef* def, op::OpRegistry::Get().Require(name));
  OFL_ASSIGN(op::Values outputs, Dispatch(*def, {inputs.begin(), inputs.size()}, attrs));
  OFL_ENSURE(!outputs.empty(), Code::kInternal) << "[" << name << "] has no output";
  return outputs[0];
}

}  // namespace ofl::tensor
