// The bytes of tensors, for files: every dtype, also those that NumPy has not.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <string>
#include <vector>

#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/target.h"
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
  m.attr("safetensors_codes") = SafetensorsCodes();
}

}  // namespace ofl::python
