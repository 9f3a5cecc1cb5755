#include "oneflow_like/tensor/tensor.h"

#include <atomic>
#include <cstring>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"

namespace ofl::tensor {
namespace {

// Walks a strided view; `to_dense` copies view -> dense, else dense -> view.
void CopyStrided(std::byte* strided, const Shape& shape, const Strides& strides, size_t size,
                 std::byte* dense, bool to_dense) {
  const int64_t total = shape.numel();
  if (total == 0) return;
  const int last = shape.rank() - 1;
  const int64_t inner = shape.rank() == 0 ? 1 : shape[last];
  const int64_t step = shape.rank() == 0 ? 1 : strides[last];
  const int64_t element = static_cast<int64_t>(size);
  Shape index;
  for (int i = 0; i < shape.rank(); ++i) index.push_back(0);
  for (int64_t done = 0; done < total; done += inner) {
    int64_t offset = 0;
    for (int i = 0; i < last; ++i) offset += index[i] * strides[i];
    std::byte* row = strided + offset * element;
    std::byte* out = dense + done * element;
    for (int64_t j = 0; j < inner; ++j) {
      std::byte* a = row + j * step * element;
      std::byte* b = out + j * element;
      std::memcpy(to_dense ? b : a, to_dense ? a : b, size);
    }
    for (int i = last - 1; i >= 0; --i) {
      if (++index[i] < shape[i]) break;
      index[i] = 0;
    }
  }
}

}  // namespace

TensorImpl::TensorImpl(const TensorMeta& meta, const Shape& local_shape, LayoutRef layout,
                       StorageRef storage)
    : meta_(meta),
      local_shape_(local_shape),
      strides_(ContiguousStrides(local_shape)),
      layout_(std::move(layout)),
      storage_(std::move(storage)) {}

TensorImpl::~TensorImpl() = default;

uint64_t TensorImpl::contents() const {
  static std::atomic<uint64_t> last{0};
  if (!storage_ || storage_->exposed) return 0;
  if (storage_->contents == 0)
    storage_->contents = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return storage_->contents;
}

TensorRef TensorImpl::View(const Shape& shape, const Strides& strides, int64_t offset_bytes) const {
  TensorMeta meta = meta_;
  if (!is_global()) meta.shape = shape;
  TensorRef view(new TensorImpl(meta, shape, layout_, storage_));
  view->strides_ = strides;
  view->offset_bytes_ = offset_bytes;
  view->dense_ = IsDense(shape, strides);
  view->claim_ = claim_;
  return view;
}

TensorRef TensorImpl::Detach() const { return View(local_shape_, strides_, offset_bytes_); }

void TensorImpl::SetGradFn(NodeRef node, int output_index) {
  grad_fn_ = std::move(node);
  output_index_ = output_index;
}

Result<TensorRef> RequireTensor(const op::Value& value) {
  OFL_ENSURE(value != nullptr, Code::kInvalidArgument)
      << "[tensor] a tensor is missing: got nothing; expected a tensor";
  OFL_ENSURE(!value->is_symbolic(), Code::kFailedPrecondition)
      << "[tensor] a value of a graph has no data: got " << Describe(*value)
      << " outside its nn.Graph; expected an eager tensor; return it from build() and read the "
         "result of the call";
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
  if (x->dense() || !x->has_data()) return x;
  OFL_ASSIGN(StorageRef storage, AllocateStorage(x->device_kind(), x->local_meta().bytes()));
  TensorRef out(new TensorImpl(x->meta(), x->local_shape(), x->layout_ref(), storage));
  out->set_claim(x->claim());
  CopyStrided(x->data(), x->local_shape(), x->strides(), DTypeSize(x->meta().dtype), out->data(),
              true);
  return out;
}

void CopyIntoView(const TensorImpl& dense, const TensorImpl& strided) {
  OFL_CHECK(dense.local_shape() == strided.local_shape());
  CopyStrided(strided.data(), strided.local_shape(), strided.strides(),
              DTypeSize(strided.meta().dtype), dense.data(), false);
}

std::string Describe(const op::ValueBase& value) {
  std::string text = value.meta().ToString();
  if (const sbp::Layout* layout = value.layout()) {
    text += "{" + layout->nd_sbp.ToString() + ", " + layout->placement.ToString() + "}";
  }
  return text;
}

}  // namespace ofl::tensor
