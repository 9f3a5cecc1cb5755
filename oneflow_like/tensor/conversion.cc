#include "oneflow_like/tensor/conversion.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/boxing.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion_gradients.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/exchange.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {

bool Records(const TensorRef& x) {
  return Context::grad_enabled() && x->requires_grad() && IsDifferentiable(x->meta().dtype);
}

// What lies on a null device is memory that nobody has.
Status RequireValues(const TensorImpl& x, std::string_view op) {
  OFL_ENSURE(x.device_kind() != DeviceKind::kNull, Code::kFailedPrecondition)
      << "[" << op << "] a null device holds no values: got " << Describe(x)
      << "; expected a tensor on cpu";
  return Status::Ok();
}

void Record(NodeRef node, const TensorRef& input, const TensorRef& output) {
  node->edges.push_back(EdgeOf(op::Value(input)));
  RecordNode(std::move(node), output);
}

std::string EncodeMeta(const TensorMeta& meta) {
  std::string text = DTypeName(meta.dtype);
  for (int64_t d : meta.shape) text += "," + std::to_string(d);
  return text;
}

Result<TensorMeta> DecodeMeta(std::string_view text) {
  size_t at = text.find(',');
  OFL_ASSIGN(DType dtype, DTypeFromName(text.substr(0, at)));
  std::vector<int64_t> dims;
  while (at != std::string_view::npos) {
    text.remove_prefix(at + 1);
    at = text.find(',');
    dims.push_back(std::atoll(std::string(text.substr(0, at)).c_str()));
  }
  OFL_ASSIGN(Shape shape, Shape::Checked(dims));
  return TensorMeta{dtype, shape};
}

// The logical tensor whose balanced parts these are.
Result<TensorMeta> LogicalOf(const std::vector<TensorMeta>& members, const sbp::Layout& layout) {
  const Placement& placement = layout.placement;
  TensorMeta logical = members[0];
  for (size_t i = 0; i < members.size(); ++i) {
    OFL_ENSURE(members[i].dtype == logical.dtype && members[i].shape.rank() == logical.shape.rank(),
               Code::kInvalidArgument)
        << "[to_global] local tensors differ: got " << logical.ToString() << " on rank "
        << placement.ranks()[0] << " and " << members[i].ToString() << " on rank "
        << placement.ranks()[i] << "; expected one dtype and number of axes on all ranks";
  }
  for (int axis = 0; axis < logical.shape.rank(); ++axis) {
    int64_t size = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      const std::vector<int> at = placement.Coordinates(static_cast<int>(i));
      bool counts = true;  // only the first of those that hold the same slice
      for (int k = 0; k < layout.nd_sbp.rank(); ++k) {
        if (!layout.nd_sbp[k].is_split(axis) && at[static_cast<size_t>(k)] != 0) counts = false;
      }
      if (counts) size += members[i].shape[axis];
    }
    logical.shape[axis] = size;
  }
  for (size_t i = 0; i < members.size(); ++i) {
    const Shape expected = sbp::LocalShape(logical.shape, layout, static_cast<int>(i));
    OFL_ENSURE(members[i].shape == expected, Code::kInvalidArgument)
        << "[to_global] sizes of the local tensors must match the balanced split: got "
        << members[i].shape << " on rank " << placement.ranks()[i] << " for the logical shape "
        << logical.shape << " with sbp " << layout.nd_sbp.ToString() << "; expected " << expected;
  }
  return logical;
}

// In a world of no ranks every one is taken to hold a tensor like this process's.
TensorMeta ImaginaryMeta(TensorMeta meta, const sbp::Layout& layout) {
  for (int k = 0; k < layout.nd_sbp.rank(); ++k) {
    const sbp::Sbp symbol = layout.nd_sbp[k];
    if (symbol.is_split() && symbol.axis() < meta.shape.rank()) {
      meta.shape[symbol.axis()] *= layout.placement.hierarchy()[k];
    }
  }
  return meta;
}

Result<TensorMeta> AgreeOnMeta(const TensorRef& x, const sbp::Layout& layout) {
  if (Context::Get().imaginary()) return ImaginaryMeta(x->meta(), layout);
  Context& world = Context::Get();
  const Placement& placement = layout.placement;
  const int self = world.rank();
  const int first = placement.ranks()[0];
  const bool member = placement.Contains(self);
  std::vector<int> peers;
  for (int rank = 0; rank < world.world_size(); ++rank) {
    if (rank == self) continue;
    const bool wanted = member ? (placement.Contains(rank) || self == first) : rank == first;
    if (wanted) peers.push_back(rank);
  }
  const std::string site = world.CallSite();
  std::string what = "[to_global] local tensor to " + layout.ToString();
  const uint64_t hash = HashText(what) ^ HashText(site);
  if (!site.empty()) what += " at " + site;
  const Stamp stamp = CollectiveStamp();
  OFL_ASSIGN(auto texts, ExchangeTexts(peers, EncodeMeta(x->meta()), hash, what, &stamp));
  auto meta_of = [&](int rank) -> Result<TensorMeta> {
    if (rank == self) return x->meta();
    for (size_t i = 0; i < peers.size(); ++i) {
      if (peers[i] == rank) return DecodeMeta(texts[i]);
    }
    return Error(Code::kInternal) << "[to_global] no metadata of rank " << rank;
  };
  Result<TensorMeta> logical = TensorMeta{};
  if (member) {
    std::vector<TensorMeta> members;
    for (int rank : placement.ranks()) {
      OFL_ASSIGN(TensorMeta meta, meta_of(rank));
      members.push_back(meta);
    }
    logical = LogicalOf(members, layout);
  }
  if (placement.size() == world.world_size()) return logical;
  // Ranks outside: the first member tells them the answer, or that there is none.
  if (member && self != first) return logical;
  std::vector<int> others;
  for (int rank = 0; rank < world.world_size(); ++rank) {
    if (member ? !placement.Contains(rank) : rank == first) others.push_back(rank);
  }
  const std::string answer = member && logical.ok() ? EncodeMeta(*logical) : std::string("none");
  OFL_ASSIGN(auto answers, ExchangeTexts(others, answer, hash + 1, what));
  if (member) return logical;
  OFL_ENSURE(answers[0] != "none", Code::kInvalidArgument)
      << "[to_global] the local tensors of placement " << placement.ToString()
      << " do not fit together: got an error on rank " << first << "; see its message";
  return DecodeMeta(answers[0]);
}

// The layout from which B symbols take the first rank's data: the same mesh with those axes cut
// to coordinate 0.
Result<LayoutRef> FirstHolders(const sbp::Layout& layout) {
  const Placement& placement = layout.placement;
  Shape hierarchy = placement.hierarchy();
  std::vector<int> ranks;
  for (int k = 0; k < hierarchy.rank(); ++k) {
    if (layout.nd_sbp[k].is_broadcast()) hierarchy[k] = 1;
  }
  for (int i = 0; i < placement.size(); ++i) {
    const std::vector<int> at = placement.Coordinates(i);
    bool first = true;
    for (int k = 0; k < hierarchy.rank(); ++k) {
      if (layout.nd_sbp[k].is_broadcast() && at[static_cast<size_t>(k)] != 0) first = false;
    }
    if (first) ranks.push_back(placement.ranks()[static_cast<size_t>(i)]);
  }
  OFL_ASSIGN(Placement holders, Placement::Make(placement.kind(), hierarchy, std::move(ranks)));
  return LayoutRef(std::make_shared<const sbp::Layout>(sbp::Layout{holders, layout.nd_sbp}));
}

}  // namespace

Status CheckTarget(std::string_view what, const TensorMeta& meta, const sbp::Layout& layout) {
  for (int rank : layout.placement.ranks()) {
    OFL_ENSURE(rank < Context::Get().world_size(), Code::kInvalidArgument)
        << "[" << what << "] a rank is outside the world: got rank " << rank << " of "
        << layout.placement.ToString() << "; expected ranks below " << Context::Get().world_size()
        << "; start more processes with oneflow-like-run";
  }
  return sbp::CheckLayout("the result of " + std::string(what), meta.dtype, meta.shape, layout);
}

Result<TensorRef> GlobalToGlobal(const TensorRef& x, const LayoutRef& to, std::string_view why,
                                 const GradSbp& grad_sbp) {
  const bool same = *x->layout() == *to;
  if (same && !grad_sbp) return x;
  if (to->placement.kind() != DeviceKind::kNull) OFL_TRY(RequireValues(*x, why));
  OFL_TRY(CheckTarget(why, x->meta(), *to));
  LayoutRef grad_layout;
  if (grad_sbp) {
    grad_layout = std::make_shared<const sbp::Layout>(sbp::Layout{to->placement, *grad_sbp});
    OFL_TRY(CheckGradSymbols(why, *grad_sbp));
    OFL_TRY(CheckTarget(std::string(why) + "(grad_sbp=...)", x->meta(), *grad_layout));
  }
  TensorRef y;
  if (same) {
    y = x->Detach();
  } else {
    OFL_ASSIGN(RecipeRef recipe, RecipeFor(x->meta(), x->layout_ref(), to));
    OFL_ASSIGN(y, RunBoxing(*recipe, x, why));
  }
  if (Records(x)) Record(LayoutGradient(x->layout_ref(), grad_layout), x, y);
  return y;
}

Result<TensorRef> LocalToGlobal(const TensorRef& x, const LayoutRef& to, const GradSbp& grad_sbp) {
  OFL_TRY(CheckTarget("to_global", x->meta(),
                      {to->placement, sbp::NdSbp::Broadcast(to->nd_sbp.rank())}));
  OFL_ASSIGN(TensorMeta meta, AgreeOnMeta(x, *to));
  OFL_TRY(CheckTarget("to_global", meta, *to));
  OFL_ASSIGN(LayoutRef grad_layout, GradLayout("to_global", meta, to, grad_sbp));
  OFL_ASSIGN(TensorRef dense, Contiguous(x));
  LayoutRef from = to;
  if (HasBroadcastOver(*to)) {
    OFL_ASSIGN(from, FirstHolders(*to));
  }
  const int self = Context::Get().rank();
  TensorRef y;
  if (!from->placement.Contains(self)) {
    OFL_ASSIGN(y, EmptyGlobal(meta, from));
  } else {
    y = dense->As(meta, from);
  }
  if (from != to) {
    OFL_ASSIGN(RecipeRef recipe, RecipeFor(meta, from, to));
    if (to->placement.Contains(self)) {
      OFL_ASSIGN(y, RunBoxing(*recipe, y, "to_global"));
    } else {
      OFL_ASSIGN(y, EmptyGlobal(meta, to));
    }
  }
  if (Records(x)) Record(FromLocalGradient(grad_layout, x->meta()), x, y);
  return y;
}

Result<TensorRef> ToLocal(const TensorRef& x, const GradSbp& grad_sbp) {
  OFL_ENSURE(x->is_global(), Code::kInvalidArgument)
      << "[to_local] Expected global tensor for to_local but got local tensor: got " << Describe(*x)
      << "; expected a global tensor";
  OFL_TRY(RequireValues(*x, "to_local"));
  if (!Context::Get().imaginary()) OFL_TRY(RequireShard(*x, "to_local"));
  OFL_ASSIGN(LayoutRef grad_layout, GradLayout("to_local", x->meta(), x->layout_ref(), grad_sbp));
  TensorRef y;
  if (!x->has_data()) {
    Shape nothing = x->meta().shape;
    if (nothing.rank() == 0) nothing.push_back(0);
    nothing[0] = 0;
    OFL_ASSIGN(y, EmptyLocal({x->meta().dtype, nothing}));
  } else {
    OFL_TRY(BringUp(*x));
    y = x->As(x->local_meta(), nullptr);
  }
  if (Records(x)) Record(ToLocalGradient(x->meta(), grad_layout), x, y);
  return y;
}

Result<TensorRef> WholeValue(const TensorRef& x, std::string_view why) {
  if (!x->is_global()) return Contiguous(x);
  OFL_TRY(RequireValues(*x, why));
  OFL_ENSURE(!Context::Get().imaginary(), Code::kFailedPrecondition)
      << "[" << why << "] the ranks of this world do not exist: got " << Describe(*x)
      << ", which has no values; expected a real world; leave compile_world first";
  OFL_TRY(RequireShard(*x, why));
  const int world = Context::Get().world_size();
  std::vector<int> ranks(static_cast<size_t>(world));
  std::iota(ranks.begin(), ranks.end(), 0);
  OFL_ASSIGN(Placement all, Placement::Make(x->device_kind(), Shape({world}), std::move(ranks)));
  auto everywhere = std::make_shared<const sbp::Layout>(sbp::Layout{all, {sbp::Sbp::Broadcast()}});
  OFL_ASSIGN(RecipeRef recipe, RecipeFor(x->meta(), x->layout_ref(), everywhere));
  OFL_ASSIGN(TensorRef whole, RunBoxing(*recipe, x->Detach(), why));
  OFL_ASSIGN(TensorRef local, ToLocal(whole->Detach()));
  return Contiguous(local);
}

Result<TensorRef> ConvertGrad(const TensorRef& grad, const LayoutRef& to, std::string_view why) {
  if (!Context::grad_enabled() || !grad->requires_grad() || *to == *grad->layout())
    return GlobalToGlobal(grad, to, why);
  OFL_ASSIGN(op::Value moved, ToGlobal(op::Value(grad), to->placement, to->nd_sbp));
  return TensorRef(AsTensor(moved));
}

Result<TensorRef> GradToLayout(const TensorRef& grad, const LayoutRef& of, bool keep_partial,
                               std::string_view why) {
  OFL_CHECK(grad->is_global());
  auto target = std::make_shared<sbp::Layout>(*of);
  const bool same_mesh = grad->layout()->placement == of->placement;
  for (int k = 0; k < target->nd_sbp.rank(); ++k) {
    sbp::Sbp& symbol = target->nd_sbp[k];
    if (symbol.is_partial()) {
      symbol = sbp::Sbp::Broadcast();
    } else if (symbol.is_broadcast() && keep_partial && same_mesh &&
               grad->layout()->nd_sbp[k].is_partial()) {
      symbol = grad->layout()->nd_sbp[k];
    }
  }
  return ConvertGrad(grad, target, why);
}

namespace {

Status BothWanted(const op::Value& x, bool placement, bool nd_sbp) {
  OFL_ENSURE(placement && nd_sbp, Code::kInvalidArgument)
      << "[to_global] a local tensor needs both placement and sbp: got " << Describe(*x)
      << (placement ? " without sbp" : " without placement")
      << "; expected x.to_global(placement=..., sbp=...)";
  return Status::Ok();
}

Status RefuseGradSbp(std::string_view op, const GradSbp& grad_sbp) {
  OFL_ENSURE(!grad_sbp, Code::kUnimplemented)
      << "[" << op << "] a graph chooses the layouts of gradients itself: got grad_sbp "
      << grad_sbp->ToString() << " inside build(); expected none";
  return Status::Ok();
}

// All ranks trace one program, so a local value is the same on each. Side by side, or added up, it
// would be another tensor than the value.
Status CheckWhole(const op::Value& x, const sbp::Layout& target) {
  for (int k = 0; k < target.nd_sbp.rank(); ++k) {
    OFL_ENSURE(target.nd_sbp[k].is_broadcast() || target.placement.hierarchy()[k] == 1,
               Code::kInvalidArgument)
        << "[to_global] a local tensor made in build() of a graph is the same on every rank: got "
        << Describe(*x) << " to " << target.nd_sbp.ToString()
        << ", which would put the ranks' tensors together; expected flow.sbp.broadcast; make it "
           "with placement= and sbp=, or convert the broadcast one once more";
  }
  return Status::Ok();
}

// An eager local tensor as a global one while build() runs: here and now, by all ranks, for all
// launches. Of a tensor from outside each launch would have to take what it then holds.
Result<op::Value> ConstantToGlobal(const Tracer& tracer, const op::Value& x,
                                   const std::optional<Placement>& placement,
                                   const std::optional<sbp::NdSbp>& nd_sbp) {
  OFL_TRY(BothWanted(x, placement.has_value(), nd_sbp.has_value()));
  const TensorRef eager(AsTensor(x));
  OFL_ENSURE(tracer.IsConstant(eager), Code::kInvalidArgument)
      << "[to_global] a local tensor from outside build() cannot become a global one inside it: "
      << "got " << Describe(*x) << ", of which each rank has its own, for "
      << sbp::Layout{*placement, *nd_sbp}.ToString()
      << "; expected a global tensor; convert it with to_global(placement=..., sbp=...) before the "
         "graph is called";
  const TracerPause eagerly;
  const auto layout = std::make_shared<const sbp::Layout>(sbp::Layout{*placement, *nd_sbp});
  OFL_ASSIGN(TensorRef y, LocalToGlobal(eager, layout));
  return op::Value(y);
}

Result<op::Value> TracedToGlobal(Tracer& tracer, const op::Value& x,
                                 const std::optional<Placement>& placement,
                                 const std::optional<sbp::NdSbp>& nd_sbp, const GradSbp& grad_sbp) {
  OFL_TRY(RefuseGradSbp("to_global", grad_sbp));
  if (!x->is_symbolic() && x->layout() == nullptr) {
    OFL_ASSIGN(const op::Value constant, ConstantToGlobal(tracer, x, placement, nd_sbp));
    op::Value lifted = tracer.Lift(constant);
    OFL_TRY(tracer.status());
    return lifted;
  }
  op::Value lifted = x->is_symbolic() ? x : tracer.Lift(x);
  OFL_TRY(tracer.status());
  OFL_ASSIGN(const bool global, tracer.IsGlobal(lifted));
  if (!global) OFL_TRY(BothWanted(x, placement.has_value(), nd_sbp.has_value()));
  sbp::Layout target;
  target.placement = placement ? *placement : tracer.PlacementOf(lifted);
  if (nd_sbp) {
    target.nd_sbp = *nd_sbp;
  } else {
    OFL_ASSIGN(const sbp::Layout lies, tracer.LikelyLayout(lifted));
    target.nd_sbp = lies.nd_sbp;
  }
  OFL_TRY(CheckTarget("to_global", x->meta(), target));
  if (!global) OFL_TRY(CheckWhole(x, target));
  op::Value y = tracer.ToLayout(lifted, target);
  OFL_TRY(tracer.status());
  return y;
}

}  // namespace

Result<op::Value> ToGlobal(const op::Value& x, const std::optional<Placement>& placement,
                           const std::optional<sbp::NdSbp>& nd_sbp, const GradSbp& grad_sbp) {
  if (Tracer* tracer = CurrentTracer(); tracer != nullptr) {
    return TracedToGlobal(*tracer, x, placement, nd_sbp, grad_sbp);
  }
  OFL_ASSIGN(TensorRef eager, RequireTensor(x));
  if (!eager->is_global()) OFL_TRY(BothWanted(x, placement.has_value(), nd_sbp.has_value()));
  sbp::Layout target;
  if (eager->is_global()) target = *eager->layout();
  if (placement) target.placement = *placement;
  if (nd_sbp) target.nd_sbp = *nd_sbp;
  auto layout = std::make_shared<const sbp::Layout>(std::move(target));
  OFL_ASSIGN(TensorRef y, eager->is_global() ? GlobalToGlobal(eager, layout, "to_global", grad_sbp)
                                             : LocalToGlobal(eager, layout, grad_sbp));
  return op::Value(y);
}

Result<op::Value> ToLocal(const op::Value& x, const GradSbp& grad_sbp) {
  if (Tracer* tracer = CurrentTracer(); tracer != nullptr) {
    OFL_TRY(RefuseGradSbp("to_local", grad_sbp));
    op::Value lifted = x->is_symbolic() ? x : tracer->Lift(x);
    OFL_TRY(tracer->status());
    return tracer->ToLocal(lifted);
  }
  OFL_ASSIGN(TensorRef eager, RequireTensor(x));
  OFL_ASSIGN(TensorRef y, ToLocal(eager, grad_sbp));
  return op::Value(y);
}

Result<TensorRef> CopyOf(const TensorRef& x) {
  if (!x->has_data()) return x->Detach();
  return DenseCopyOf(*x);
}

Result<TensorRef> OnesLike(const TensorRef& x) {
  OFL_ASSIGN(op::Value ones, CallOp("ones_like", {op::Value(x)}));
  TensorRef one(AsTensor(ones));
  if (!one->is_global() || !one->layout()->nd_sbp.HasPartial()) return one;
  return GradToLayout(one, x->layout_ref(), false, "backward");
}

Result<TensorRef> FromHost(const TensorMeta& meta, const void* data) {
  OFL_ASSIGN(TensorRef x, EmptyLocal(meta));
  if (meta.bytes() > 0) std::memcpy(x->data(), data, static_cast<size_t>(meta.bytes()));
  return x;
}

}  // namespace ofl::tensor
