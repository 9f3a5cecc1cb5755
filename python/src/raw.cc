// The memory of tensors: its bytes for files, of every dtype, also those that NumPy has not; its
// size.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <string>
#include <vector>

#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"
#include "python/src/module.h"

namespace ofl::python {
namespace {

using tensor::TensorRef;

// Little-endian elements in row-major order; of a global tensor the whole value (collective).
nb::object RawBytes(Made<PyTensor> self) {
  const TensorRef x = Unwrap(tensor::RequireTensor(self->value));
  const TensorRef whole =
      Unwrap(tensor::Contiguous(Unwrap(tensor::WholeValue(x->Detach(), "save"))));
  auto* keep = new tensor::StorageRef(whole->storage());
  const nb::capsule owner(keep,
                          [](void* p) noexcept { delete static_cast<tensor::StorageRef*>(p); });
  static std::byte nothing[1];
  void* data = whole->data() != nullptr ? whole->data() : nothing;
  const size_t shape[1] = {static_cast<size_t>(whole->meta().bytes())};
  return nb::cast(nb::ndarray<nb::numpy, uint8_t, nb::ndim<1>>(data, 1, shape, owner));
}

nb::object FromRawBytes(nb::bytes bytes, Made<PyDType> dtype, const std::vector<int64_t>& dims) {
  const TensorMeta meta{dtype->dtype, Unwrap(Shape::Checked(dims))};
  if (static_cast<int64_t>(bytes.size()) != meta.bytes()) {
    Throw(Error(Code::kInvalidArgument)
          << "[load] the bytes do not fill the tensor: got " << int64_t(bytes.size()) << " for "
          << meta.ToString() << "; expected " << meta.bytes());
  }
  TensorRef made(new tensor::TensorImpl(
      meta, meta.shape, nullptr, Unwrap(tensor::AllocateStorage(DeviceKind::kCpu, meta.bytes()))));
  if (bytes.size() > 0) std::memcpy(made->data(), bytes.data(), bytes.size());
  return Wrapped(op::Value(made));
}

void RefuseResize(const char* what, const op::ValueBase& got, const char* expected) {
  Throw(Error(Code::kFailedPrecondition)
        << "[resize_] " << what << ": got " << tensor::Describe(got) << "; expected " << expected);
}

// The handle as a tensor of another shape, row-major in its memory from where it begins. A memory
// that is too small gives way to a new one, which ends with zeros.
void Resize(Made<PyTensor> self, const std::vector<int64_t>& dims) {
  if (self->value->is_symbolic() || tensor::CurrentTracer() != nullptr)
    RefuseResize("a tensor takes no other shape inside a graph", *self->value,
                 "a call outside build()");
  const TensorRef x = Unwrap(tensor::RequireTensor(self->value));
  if (x->is_global())
    RefuseResize("a global tensor keeps its shape", *x, "a local tensor; use flow.empty(...)");
  if (x->requires_grad())
    RefuseResize("cannot resize variables that require grad", *x, "one that requires none");
  const TensorMeta meta{x->meta().dtype, Unwrap(Shape::Checked(dims))};
  if (meta.shape == x->meta().shape) return;
  const int64_t begin = x->offset_bytes(), end = SaturatingAdd(begin, meta.bytes());
  const device::BufferRef& memory = x->storage()->buffer;
  const int64_t room = memory == nullptr ? 0 : memory->size();
  TensorRef made = x;
  if (end > room) {
    auto larger = Unwrap(tensor::AllocateStorage(DeviceKind::kCpu, end));
    if (room > 0) std::memcpy(larger->buffer->data(), memory->data(), room);
    std::memset(larger->buffer->data() + room, 0, end - room);
    made = new tensor::TensorImpl(meta, meta.shape, nullptr, std::move(larger));
  } else {
    x->BumpVersion();  // a digest of the memory spoke of other elements
  }
  self->value =
      op::Value(made->As(meta, nullptr, meta.shape, ContiguousStrides(meta.shape), begin));
  NoteWrite();
}

// Which result of the call that made it the tensor is; 0 of a leaf.
int OutputNumber(Made<PyTensor> self) {
  if (self->value->is_symbolic()) return 0;
  const tensor::TensorImpl* x = tensor::AsTensor(self->value);
  return x->grad_fn() == nullptr ? 0 : x->output_index();
}

nb::dict SafetensorsCodes() {
  nb::dict codes;
  for (DType dtype : AllDTypes())
    if (InfoOf(dtype).safetensors != nullptr) codes[InfoOf(dtype).safetensors] = DTypeObject(dtype);
  return codes;
}

}  // namespace

void BindRaw(nb::module_& m) {
  m.def("raw_bytes", &RawBytes, nb::arg("tensor"),
        "The elements' bytes as a NumPy array; of a global tensor all of them (collective).");
  m.def("from_raw_bytes", &FromRawBytes, nb::arg("data"), nb::arg("dtype"), nb::arg("shape"),
        "A local tensor with a copy of such bytes.");
  m.def("resize", &Resize, nb::arg("tensor"), nb::arg("size"),
        "Gives a local tensor another shape in its memory, which grows where it is too small.");
  m.def("output_number", &OutputNumber, nb::arg("tensor"),
        "Which result of the call that made it the tensor is.");
  m.attr("safetensors_codes") = SafetensorsCodes();
}

}  // namespace ofl::python
