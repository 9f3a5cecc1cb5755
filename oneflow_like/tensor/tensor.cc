#include "oneflow_like/tensor/tensor.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <vector>

#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/copied_views.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::tensor {
namespace {

// A view holds what it was taken from: a long chain would free itself by recursion.
thread_local std::vector<TensorRef>* dying_parents = nullptr;

void FreeParent(TensorRef parent) {
  if (dying_parents != nullptr) return dying_parents->push_back(std::move(parent));
  std::vector<TensorRef> queue;
  queue.push_back(std::move(parent));
  dying_parents = &queue;
  while (!queue.empty()) {
    TensorRef last = std::move(queue.back());
    queue.pop_back();
  }
  dying_parents = nullptr;
}

// How a device copies elements: its operator that does nothing else.
op::KernelFn CopyKernel(DeviceKind device, DType dtype) {
  static const auto of_cpu = [] {
    std::map<DType, op::KernelFn> table;
    const op::OpDef* identity = op::OpRegistry::Get().Find("identity");
    for (DType d : AllDTypes()) table[d] = identity->Providers(DeviceKind::kCpu, d).front()->run;
    return table;
  }();
  OFL_CHECK(device == DeviceKind::kCpu) << "eager tensors lie on " << DeviceKindName(device);
  return of_cpu.at(dtype);
}

}  // namespace

CopiedFrom::~CopiedFrom() { FreeParent(std::move(base)); }

TensorImpl::TensorImpl(const TensorMeta& meta, const Shape& local_shape, LayoutRef layout,
                       StorageRef storage)
    : meta_(meta),
      local_shape_(local_shape),
      strides_(ContiguousStrides(local_shape)),
      layout_(std::move(layout)),
      storage_(std::move(storage)) {
  if (storage_ == nullptr) return;
  if (layout_ != nullptr) {
    storage_->global = true;
    storage_->shared |= std::ranges::any_of(layout_->nd_sbp, &sbp::Sbp::is_broadcast);
    storage_->equal |= layout_->nd_sbp.AllBroadcast();
  }
  claimed_at_ = storage_->changes;
}

TensorImpl::~TensorImpl() {
  if (self_ != nullptr) *self_ = nullptr;
  if (origin_ != nullptr) FreeParent(std::move(origin_->parent));
}

uint64_t TensorImpl::claim() const {
  if (storage_ == nullptr || storage_->changes == claimed_at_) return claim_;
  return JoinClaims(claim_, storage_->changes);
}

uint64_t TensorImpl::VersionBehindCopy() const {
  return storage_ == nullptr ? 0 : storage_->version + (IsStale(*storage_) ? 1 : 0);
}

uint64_t TensorImpl::CommonNow() const {
  if (storage_->exposed || storage_->common_at != storage_->version) return 0;
  uint64_t digest = JoinClaims(storage_->common, static_cast<uint64_t>(meta_.dtype));
  digest = JoinClaims(digest, static_cast<uint64_t>(offset_bytes_));
  for (int i = 0; i < local_shape_.rank(); ++i) {
    digest = JoinClaims(digest, static_cast<uint64_t>(local_shape_[i]));
    digest = JoinClaims(digest, static_cast<uint64_t>(strides_[i]));
  }
  return digest;
}

void TensorImpl::AddClaim(uint64_t claim) {
  if (storage_ == nullptr) {
    claim_ = claim;
  } else if (storage_->global && (is_global() || storage_->shared)) {
    storage_->changes = JoinClaims(JoinClaims(storage_->changes, claim_), claim);
    if (origin_ == nullptr && is_global()) set_claim(claim);  // all of it is new
  }
}

void TensorImpl::SetOrigin(std::unique_ptr<Origin> origin) {
  behind_copy_ |= origin->parent->behind_copy_;
  is_view_ = true;
  origin_ = std::move(origin);
}

uint64_t TensorImpl::contents() const {
  static std::atomic<uint64_t> last{0};
  if (!storage_ || storage_->exposed) return 0;
  if (storage_->contents == 0)
    storage_->contents = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return storage_->contents;
}

TensorRef TensorImpl::As(const TensorMeta& meta, LayoutRef layout, const Shape& local_shape,
                         const Strides& strides, int64_t offset_bytes) const {
  TensorRef other(new TensorImpl(meta, local_shape, std::move(layout), storage_));
  other->strides_ = strides;
  other->offset_bytes_ = offset_bytes;
  other->dense_ = IsDense(local_shape, strides);
  return other;
}

TensorRef TensorImpl::As(const TensorMeta& meta, LayoutRef layout) const {
  return As(meta, std::move(layout), local_shape_, strides_, offset_bytes_);
}

TensorRef TensorImpl::View(const Shape& shape, const Strides& strides, int64_t offset_bytes) const {
  TensorMeta meta = meta_;
  if (!is_global()) meta.shape = shape;
  TensorRef view = As(meta, layout_, shape, strides, offset_bytes);
  view->behind_copy_ = behind_copy_;
  view->set_claim(claim());
  return view;
}

TensorRef TensorImpl::Detach() const {
  TensorRef same = View(local_shape_, strides_, offset_bytes_);
  same->is_view_ = is_view_;
  same->whole_strides_ = whole_strides_;
  return same;
}

void TensorImpl::SetGradFn(NodeRef node, int output_index) {
  grad_fn_ = std::move(node);
  output_index_ = output_index;
  ++history_;
}

Result<TensorRef> RequireTensor(const op::Value& value) {
  OFL_ENSURE(value != nullptr, Code::kInvalidArgument)
      << "[tensor] a tensor is missing: got nothing; expected a tensor";
  OFL_ENSURE(!value->is_symbolic() || CurrentTracer() == nullptr, Code::kFailedPrecondition)
      << "[tensor] a value of a graph has no data while build() runs: got " << Describe(*value)
      << "; expected code that reads no values (flow.where chooses by them); return it from "
         "build() "
         "and read the result of the call";
  OFL_ENSURE(!value->is_symbolic(), Code::kFailedPrecondition)
      << "[tensor] a value of a graph has no data: got " << Describe(*value)
      << " outside its nn.Graph; expected an eager tensor; return it from build() and read the "
         "result of the call";
  OFL_TRY(BringUp(*AsTensor(value)));
  return TensorRef(AsTensor(value));
}

Status RequireShard(const TensorImpl& x, std::string_view op) {
  OFL_ENSURE(
      x.has_data() || !x.is_global() || !x.layout()->placement.Contains(Context::Get().rank()),
      Code::kFailedPrecondition)
      << "[" << op << "] a tensor made in compile_world has no values: got " << Describe(x)
      << " in a world whose ranks exist; expected a tensor made here; use it in its compile_world";
  return Status::Ok();
}

Result<StorageRef> AllocateStorage(DeviceKind device, int64_t bytes) {
  auto storage = std::make_shared<Storage>();
  if (bytes == 0) return storage;
  OFL_ASSIGN(device::Device * target, Context::Get().DeviceOf(device));
  OFL_ASSIGN(storage->buffer, target->Allocate(bytes));
  return storage;
}

Result<TensorRef> EmptyLocal(const TensorMeta& meta) {
  OFL_ASSIGN(StorageRef storage, AllocateStorage(DeviceKind::kCpu, meta.bytes()));
  return TensorRef(new TensorImpl(meta, meta.shape, nullptr, std::move(storage)));
}

Result<TensorRef> EmptyGlobal(const TensorMeta& meta, LayoutRef layout) {
  const Placement& placement = layout->placement;
  const int index = placement.IndexOf(Context::Get().rank());
  if (index < 0) {
    Shape nothing;
    nothing.push_back(0);
    return TensorRef(new TensorImpl(meta, nothing, std::move(layout), nullptr));
  }
  const Shape local = sbp::LocalShape(meta.shape, *layout, index);
  OFL_ASSIGN(StorageRef storage,
             AllocateStorage(placement.kind(), TensorMeta{meta.dtype, local}.bytes()));
  return TensorRef(new TensorImpl(meta, local, std::move(layout), std::move(storage)));
}

Result<TensorRef> Contiguous(const TensorRef& x) {
  return x->dense() || !x->has_data() ? Result<TensorRef>(x) : DenseCopyOf(*x);
}

Result<TensorRef> DenseCopyOf(const TensorImpl& x) {
  OFL_TRY(BringUp(x));
  OFL_ASSIGN(StorageRef storage, AllocateStorage(x.device_kind(), x.local_meta().bytes()));
  TensorRef copy(new TensorImpl(x.meta(), x.local_shape(), x.layout_ref(), std::move(storage)));
  copy->set_claim(x.claim());
  OFL_TRY(CopyElements(x, *copy));
  return copy;
}

Status CopyElements(const TensorImpl& from, const TensorImpl& to) {
  OFL_CHECK(from.local_shape() == to.local_shape() && from.meta().dtype == to.meta().dtype);
  OFL_TRY(BringUp(from));
  if (from.local_shape().numel() == 0 || to.device_kind() == DeviceKind::kNull) return Status::Ok();
  OFL_ASSIGN(device::Stream * stream, Context::Get().StreamOf(to.device_kind()));
  op::KernelContext context;
  const op::TensorView in[] = {from.view()}, out[] = {to.view()};
  const Attrs none;
  context.inputs = in;
  context.outputs = out;
  context.attrs = &none;
  context.stream = stream;
  return CopyKernel(to.device_kind(), to.meta().dtype)(context);
}

std::string Describe(const op::ValueBase& value) {
  std::string text = value.meta().ToString();
  if (const sbp::Layout* layout = value.layout()) {
    text += "{" + layout->nd_sbp.ToString() + ", " + layout->placement.ToString() + "}";
  }
  return text;
}

}  // namespace ofl::tensor
