#include "oneflow_like/tensor/mixed_operands.h"

#include <algorithm>
#include <memory>
#include <string>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion_gradients.h"
#include "oneflow_like/tensor/equal_values.h"
#include "oneflow_like/tensor/exchange.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {

bool IsEagerLocal(const op::Value& x) {
  return x != nullptr && !x->is_symbolic() && x->layout() == nullptr;
}

// A local one that build() has made, beside global ones: operators take it as it is.
bool IsTracedLocal(const op::Value& x) {
  if (x == nullptr || !x->is_symbolic() || CurrentTracer() == nullptr) return false;
  const auto global = CurrentTracer()->IsGlobal(x);
  return global.ok() && !*global;
}

bool IsGlobal(const op::Value& x) {
  if (x == nullptr) return false;
  if (!x->is_symbolic()) return x->layout() != nullptr;
  Tracer* tracer = CurrentTracer();
  if (tracer == nullptr) return false;
  auto global = tracer->IsGlobal(x);
  return global.ok() && *global;
}

Placement PlacementOf(const op::Value& global) {
  return global->is_symbolic() ? CurrentTracer()->PlacementOf(global) : global->layout()->placement;
}

// All of its memory, and nothing else.
bool FillsItsMemory(const TensorImpl& x) {
  return x.dense() && x.offset_bytes() == 0 && x.storage()->buffer != nullptr &&
         x.local_meta().bytes() == x.storage()->buffer->size();
}

// What stands for the elements of `x` on all ranks of the layout, after a comparison if need be.
Result<uint64_t> AgreedDigest(const std::string& operand, const TensorRef& x,
                              const sbp::Layout& layout) {
  if (const uint64_t known = x->common(); known != 0) return known;
  Context& world = Context::Get();
  if (world.imaginary() || !world.equal_bits() || !layout.placement.Contains(world.rank()))
    return uint64_t{1};
  OFL_ASSIGN(TensorRef dense, Contiguous(x));
  const std::string digest = DigestOf(*dense);
  std::string what = operand + " beside global tensors on " + layout.placement.ToString();
  if (const std::string site = world.CallSite(); !site.empty()) what += " at " + site;
  OFL_ASSIGN(const auto differ, FirstDifference(layout, digest, what));
  OFL_ENSURE(differ.first < 0, Code::kInvalidArgument)
      << what << ": local and global tensors are mixed, and the local one differs between ranks: "
      << "got " << Describe(*x) << " here, and other values on rank " << differ.first
      << " than on rank " << differ.second
      << "; expected equal ones, which count as B; use x.to_global(placement=..., sbp=...) to say "
         "what the ranks' tensors are to each other";
  const uint64_t agreed = std::max<uint64_t>(HashText(digest), 1);
  if (FillsItsMemory(*x)) x->set_common(agreed);
  return agreed;
}

}  // namespace

bool MixesLocal(std::span<const op::Value> inputs) {
  return std::ranges::any_of(inputs, IsEagerLocal) && std::ranges::any_of(inputs, IsGlobal);
}

bool MixesTracedLocal(std::span<const op::Value> inputs) {
  return std::ranges::any_of(inputs, IsTracedLocal) && std::ranges::any_of(inputs, IsGlobal);
}

Result<TensorRef> LocalAsBroadcast(const std::string& what, const TensorRef& x,
                                   const Placement& placement) {
  const bool records =
      Context::grad_enabled() && x->requires_grad() && IsDifferentiable(x->meta().dtype);
  OFL_ENSURE(!records || CurrentTracer() == nullptr, Code::kInvalidArgument)
      << what << " is a local tensor that requires grad, in a graph of global ones: got "
      << Describe(*x) << "; expected a global parameter; use "
      << "x.to_global(placement=..., sbp=...) before the graph is made";
  Tracer* tracer = CurrentTracer();
  if (tracer != nullptr && tracer->Beside(x, placement) != nullptr)
    return tracer->Beside(x, placement);
  const TracerPause eagerly;  // in a graph: here and now, as for its other variables
  const auto layout = std::make_shared<const sbp::Layout>(
      sbp::Layout{placement, sbp::NdSbp::Broadcast(placement.hierarchy().rank())});
  OFL_TRY(CheckTarget(what, x->meta(), *layout));
  OFL_ASSIGN(const uint64_t digest, AgreedDigest(what, x, *layout));
  TensorRef y;
  if (Context::Get().imaginary() || !layout->placement.Contains(Context::Get().rank())) {
    OFL_ASSIGN(y, EmptyGlobal(x->meta(), layout));
  } else {
    y = x->As(x->meta(), layout);  // the memory itself: a graph reads it in every launch
  }
  y->set_claim(digest);
  if (tracer != nullptr) tracer->Beside(x, placement) = y;
  if (tracer != nullptr && tracer->IsConstant(x)) tracer->NoteConstant(y);
  if (records) {
    NodeRef node = FromLocalGradient(layout, x->meta());
    node->edges.push_back(EdgeOf(op::Value(x)));
    RecordNode(std::move(node), y);
  }
  return y;
}

Result<op::Values> LocalsAsBroadcast(const op::OpDef& def, std::span<const op::Value> inputs,
                                     const Attrs& attrs) {
  const Placement placement = PlacementOf(*std::ranges::find_if(inputs, IsGlobal));
  OFL_ASSIGN(const Attrs completed, def.CompleteAttrs(attrs));
  op::Values all(inputs.begin(), inputs.end());
  for (size_t i = 0; i < all.size(); ++i) {
    if (IsTracedLocal(all[i])) {
      if (!def.composite) continue;
      OFL_ASSIGN(all[i], CurrentTracer()->LocalAsBroadcast(all[i], placement));
      continue;
    }
    if (!IsEagerLocal(all[i])) continue;
    const std::string operand =
        "[" + def.name + "] " + def.InputAt(static_cast<int>(i), completed).name;
    OFL_ASSIGN(TensorRef global, LocalAsBroadcast(operand, TensorRef(AsTensor(all[i])), placement));
    all[i] = op::Value(global);
  }
  return all;
}

Result<op::Value> LaidBeside(const std::string& what, const op::Value& x, const op::Value& other) {
  if (!IsEagerLocal(x) || !IsGlobal(other)) return x;
  OFL_ASSIGN(TensorRef global, LocalAsBroadcast(what, TensorRef(AsTensor(x)), PlacementOf(other)));
  return op::Value(global);
}

void NoteCommon(const op::OpDef& def, const CallPlan& plan, std::span<const TensorRef> ready,
                std::span<const op::Value> outputs) {
  if (def.Draws()) return;
  uint64_t digest = plan.claim;
  for (const TensorRef& x : ready) {
    const uint64_t operand = x->common();
    if (operand == 0) return;
    digest = JoinClaims(digest, operand);
  }
  for (const op::Value& y : outputs) {
    digest = JoinClaims(digest, 1);
    AsTensor(y)->set_common(std::max<uint64_t>(digest, 1));
  }
}

}  // namespace ofl::tensor
