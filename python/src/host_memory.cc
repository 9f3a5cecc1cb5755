#include "python/src/host_memory.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"

namespace ofl::python {
namespace {

using tensor::StorageRef;
using tensor::TensorImpl;
using tensor::TensorRef;

// --- memory of others ------------------------------------------------------------------------

// What somebody else's memory holds. Strides count elements.
struct Foreign {
  std::byte* data = nullptr;
  DType dtype = DType::kFloat32;
  std::vector<int64_t> dims, strides;
  bool read_only = false;
  std::shared_ptr<void> owner;  // gives the memory back
};

// Where elements lie that no processor reads at once, or strides that are no whole number of them.
bool Misaligned(const Foreign& memory) {
  const size_t part = DTypeSize(IsComplex(memory.dtype) ? RealOf(memory.dtype) : memory.dtype);
  return reinterpret_cast<uintptr_t>(memory.data) % part != 0;
}

Status CheckAxes(std::string_view op, int64_t axes) {
  OFL_ENSURE(axes >= 0 && axes <= kMaxRank, Code::kInvalidArgument)
      << "[" << op << "] no such number of axes: got " << axes << "; expected at most " << kMaxRank;
  return Status::Ok();
}

// Elements before and after the first one that are used. Whoever gives memory may say anything.
Result<std::pair<int64_t, int64_t>> ReachOf(std::string_view op, const Foreign& memory,
                                            const TensorMeta& meta, const Strides& strides) {
  constexpr int64_t kAddresses = int64_t{1} << 47;  // bytes that a process of this machine can have
  OFL_ENSURE(memory.data != nullptr, Code::kInvalidArgument)
      << "[" << op << "] there is no memory: got a null pointer for " << meta.ToString()
      << "; expected one, or no elements";
  __int128 before = 0, after = 1;
  for (int i = 0; i < meta.shape.rank(); ++i) {
    const __int128 step = strides[i];
    (step < 0 ? before : after) += (meta.shape[i] - 1) * (step < 0 ? -step : step);
  }
  OFL_ENSURE((before + after) * static_cast<__int128>(DTypeSize(meta.dtype)) <= kAddresses,
             Code::kInvalidArgument)
      << "[" << op << "] the elements lie farther apart than memory reaches: got "
      << meta.ToString() << " with strides " << strides << "; expected strides that fit";
  return std::pair(static_cast<int64_t>(before), static_cast<int64_t>(after));
}

// A tensor of the memory itself. Its owner may die without Python's lock.
TensorRef Shared(std::string_view op, Foreign memory) {
  Unwrap(CheckAxes(op, static_cast<int64_t>(memory.dims.size())));
  Result<Shape> shape = Shape::Checked(memory.dims);
  if (!shape.ok())
    Throw(Error(shape.status().code()) << "[" << op << "] " << shape.status().message());
  const TensorMeta meta{memory.dtype, *shape};
  auto storage = std::make_shared<tensor::Storage>();
  storage->exposed = true;
  storage->read_only = memory.read_only;
  const bool misaligned = Misaligned(memory);
  const auto element = static_cast<int64_t>(DTypeSize(meta.dtype));
  const Strides strides = meta.bytes() > 0 && !memory.strides.empty()
                              ? Shape(memory.strides)
                              : ContiguousStrides(meta.shape);
  int64_t before = 0, after = 1;
  if (meta.bytes() > 0) {
    std::tie(before, after) = Unwrap(ReachOf(op, memory, meta, strides));
    storage->buffer = device::WrapExternal(memory.data - before * element,
                                           (before + after) * element, std::move(memory.owner));
  }
  const TensorRef dense(new TensorImpl(meta, meta.shape, nullptr, std::move(storage)));
  TensorRef made = dense->View(meta.shape, strides, meta.bytes() > 0 ? before * element : 0);
  if (!misaligned || meta.bytes() == 0) return made;
  const TensorRef aligned = Unwrap(tensor::EmptyLocal(meta));
  for (int64_t i = 0; i < meta.shape.numel(); ++i) {
    int64_t rest = i, at = 0;
    for (int axis = meta.shape.rank(); axis-- > 0; rest /= meta.shape[axis])
      at += rest % meta.shape[axis] * strides[axis];
    std::memcpy(aligned->data() + i * element, made->data() + at * element,
                static_cast<size_t>(element));
  }
  return aligned;
}

nb::object Noted(const TensorRef& made) {
  if (tensor::Tracer* tracer = tensor::CurrentTracer(); tracer != nullptr)
    tracer->NoteConstant(made);
  return Wrapped(op::Value(made));
}

TensorRef Converted(const TensorRef& x, std::string_view op, nb::handle as) {
  DType wanted = x->meta().dtype;
  if (!as.is_none() && !DTypeFrom(as.ptr(), &wanted)) {
    Throw(Error(Code::kTypeMismatch)
          << "[" << op << "] dtype: got " << TypeNameOf(as.ptr()) << "; expected for example "
          << "flow.float32");
  }
  if (wanted == x->meta().dtype) return x;
  const tensor::TracerPause eagerly;
  return TensorRef(
      tensor::AsTensor(Unwrap(tensor::CallOp("cast", {op::Value(x)}, {{"dtype", wanted}}))));
}

// --- the buffer protocol ---------------------------------------------------------------------

std::shared_ptr<void> OwnerOf(Py_buffer* view) {
  return {view, [](void* p) {
            const nb::gil_scoped_acquire lock;
            auto* held = static_cast<Py_buffer*>(p);
            PyBuffer_Release(held);
            delete held;
          }};
}

// The dtype of a format of module struct, in this machine's order of bytes; false for others.
bool DTypeOfFormat(const char* format, Py_ssize_t size, DType* out) {
  std::string_view text = format == nullptr ? "B" : format;
  if (!text.empty() && (text[0] == '@' || text[0] == '=' || text[0] == '<')) text.remove_prefix(1);
  DTypeCategory kind = DTypeCategory::kInteger;
  bool is_unsigned = false;
  if (text == "?") {
    kind = DTypeCategory::kBool;
  } else if (text == "e" || text == "f" || text == "d") {
    kind = DTypeCategory::kFloating;
  } else if (text == "Zf" || text == "Zd") {
    kind = DTypeCategory::kComplex;
  } else if (text == "B") {
    is_unsigned = true;
  } else if (text.size() != 1 || std::string_view("bhilqn").find(text[0]) == text.npos) {
    return false;
  }
  for (DType d : AllDTypes()) {
    if (CategoryOf(d) != kind || DTypeSize(d) != static_cast<size_t>(size)) continue;
    if (d == DType::kBFloat16 || IsFloat8(d) || (d == DType::kUInt8) != is_unsigned) continue;
    *out = d;
    return true;
  }
  return false;
}

[[noreturn]] void ThrowNoDType(std::string_view op, const std::string& got) {
  std::string names;
  for (DType d : AllDTypes())
    if (d != DType::kBFloat16 && !IsFloat8(d))
      names += (names.empty() ? "" : ", ") + std::string(DTypeName(d));
  Throw(Error(Code::kTypeMismatch)
        << "[" << op << "] no dtype for these elements: got " << got << "; expected one of "
        << names << " in this machine's order of bytes");
}

Py_buffer* BufferOf(std::string_view op, nb::handle object, int flags) {
  auto view = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(object.ptr(), view.get(), flags) == 0) return view.release();
  if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_TypeError) &&
      !PyErr_ExceptionMatches(PyExc_ValueError))
    throw nb::python_error();
  PyErr_Clear();
  Throw(Error(Code::kTypeMismatch)
        << "[" << op << "] the object gives no buffer of numbers: got " << TypeNameOf(object.ptr())
        << "; expected for example a NumPy array of numbers");
}

// An array's memory: dtype and axes are its own.
TensorRef OfArray(nb::handle array) {
  Py_buffer* view = BufferOf("from_numpy", array, PyBUF_STRIDES | PyBUF_FORMAT);
  Foreign memory;
  memory.owner = OwnerOf(view);
  if (!DTypeOfFormat(view->format, view->itemsize, &memory.dtype)) {
    ThrowNoDType("from_numpy", "a format '" + std::string(view->format) + "' of " +
                                   std::to_string(8 * view->itemsize) + " bits");
  }
  memory.data = static_cast<std::byte*>(view->buf);
  memory.read_only = view->readonly != 0;
  bool whole = true;
  const nb::tuple steps = array.attr("strides");  // a buffer's say nothing of axes of size 1
  for (int i = 0; i < view->ndim; ++i) {
    memory.dims.push_back(view->shape[i]);
    const auto step = nb::cast<int64_t>(steps[i]);
    whole &= step % view->itemsize == 0;
    memory.strides.push_back(step / view->itemsize);
  }
  if (!whole) {
    Throw(Error(Code::kInvalidArgument)
          << "[from_numpy] the elements lie at no whole numbers of elements from one another: got "
          << "a part of a structure; expected strides that are multiples of the itemsize; use "
          << "array.copy()");
  }
  return Shared("from_numpy", std::move(memory));
}

nb::object FromNumpy(nb::object array, nb::object as) {
  return Noted(Converted(OfArray(array), "from_numpy", as));
}

// `count` elements from `offset` bytes on of any buffer; -1: all.
nb::object FromBuffer(nb::object buffer, Made<PyDType> dtype, int64_t count, int64_t offset) {
  Py_buffer* view = BufferOf("frombuffer", buffer, PyBUF_SIMPLE);
  Foreign memory;
  memory.owner = OwnerOf(view);
  const int64_t length = view->len, size = static_cast<int64_t>(DTypeSize(dtype->dtype));
  const auto refuse = [&](const std::string& what) {
    Throw(Error(Code::kInvalidArgument)
          << "[frombuffer] " << what << ": got " << length << " bytes, dtype "
          << DTypeName(dtype->dtype) << ", count=" << count << ", offset=" << offset
          << "; expected elements that the buffer holds");
  };
  if (length == 0 || count == 0) refuse("neither the buffer's length nor count may be 0");
  if (offset < 0 || offset >= length) refuse("the offset is outside the buffer");
  if (count < 0 && (length - offset) % size != 0)
    refuse("the bytes after the offset are no whole number of elements");
  if (count > (length - offset) / size) refuse("the buffer is too short");
  memory.data = static_cast<std::byte*>(view->buf) + offset;
  memory.dtype = dtype->dtype;
  memory.read_only = view->readonly != 0;
  memory.dims = {count < 0 ? (length - offset) / size : count};
  return Noted(Shared("frombuffer", std::move(memory)));
}

// --- DLPack ----------------------------------------------------------------------------------
// https://dmlc.github.io/dlpack/latest/c_api.html

constexpr char kPlain[] = "dltensor", kVersioned[] = "dltensor_versioned";
constexpr uint64_t kReadOnly = 1;  // bits of `flags`

struct Managed {
  nb::dlpack::dltensor tensor;
  void* context;
  void (*deleter)(Managed*);
};
struct ManagedVersioned {
  uint32_t major, minor;
  void* context;
  void (*deleter)(ManagedVersioned*);
  uint64_t flags;
  nb::dlpack::dltensor tensor;
};

// What an exported tensor needs as long as somebody uses it.
template <class M>
struct Export {
  M managed{};
  StorageRef storage;
  int64_t shape[kMaxRank] = {}, strides[kMaxRank] = {};

  explicit Export(const TensorImpl& x) : storage(x.storage()) {
    const int rank = x.local_shape().rank();
    for (int i = 0; i < rank; ++i) {
      shape[i] = x.local_shape()[i];
      strides[i] = x.strides()[i];
    }
    const DTypeInfo& info = InfoOf(x.meta().dtype);
    nb::dlpack::dltensor& t = managed.tensor;
    t.data = x.local_shape().numel() == 0 ? nullptr : x.data();
    t.device = {1, 0};  // kDLCPU
    t.ndim = rank;
    t.dtype = {info.dlpack_code, static_cast<uint8_t>(8 * info.size), 1};
    t.shape = shape;
    t.strides = strides;
    managed.context = this;
    managed.deleter = [](M* m) { delete static_cast<Export*>(m->context); };
    if (storage) storage->exposed = true;
  }
};

// A capsule that nobody has taken from gives the memory back when it dies.
template <class M>
nb::object CapsuleOf(M* managed, const char* name) {
  PyObject* capsule = PyCapsule_New(managed, name, [](PyObject* dying) {
    for (const char* own : {kPlain, kVersioned}) {
      if (PyCapsule_IsValid(dying, own) == 0) continue;
      M* m = static_cast<M*>(PyCapsule_GetPointer(dying, own));
      m->deleter(m);
    }
  });
  if (capsule == nullptr) throw nb::python_error();
  return nb::steal(capsule);
}

nb::object ToDlpack(Made<PyTensor> self, bool versioned) {
  const TensorRef x = Unwrap(tensor::RequireTensor(self->value));
  if (!versioned) {
    if (x->read_only())
      Throw(Error(Code::kFailedPrecondition)
            << "[__dlpack__] nobody may write to the memory, which DLPack can say from version 1.0 "
            << "on: got " << tensor::Describe(*x)
            << "; expected max_version=(1, 0) or later; use clone()");
    return CapsuleOf(&(new Export<Managed>(*x))->managed, kPlain);
  }
  auto* made = new Export<ManagedVersioned>(*x);
  made->managed.major = 1;
  made->managed.minor = 0;
  made->managed.flags = x->read_only() ? kReadOnly : 0;
  return CapsuleOf(&made->managed, kVersioned);
}

DType DTypeOfDlpack(const nb::dlpack::dtype& d) {
  for (DType dtype : AllDTypes()) {
    const DTypeInfo& info = InfoOf(dtype);
    if (d.lanes == 1 && d.code == info.dlpack_code && d.bits == 8 * info.size) return dtype;
  }
  ThrowNoDType("from_dlpack", "DLPack's type " + std::to_string(d.code) + " of " +
                                  std::to_string(d.bits) + " bits in " + std::to_string(d.lanes) +
                                  " lanes");
}

// Takes the tensor out of the capsule, once: its deleter is called when the memory is not used any
// more.
template <class M>
M* Taken(PyObject* capsule, const char* name, Foreign& memory) {
  auto* managed = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  PyCapsule_SetName(capsule,
                    std::string(name) == kPlain ? "used_dltensor" : "used_dltensor_versioned");
  memory.owner = {managed, [](void* p) {
                    const nb::gil_scoped_acquire lock;
                    M* m = static_cast<M*>(p);
                    if (m->deleter != nullptr) m->deleter(m);
                  }};
  return managed;
}

nb::object FromDlpack(nb::object capsule) {
  Foreign memory;
  nb::dlpack::dltensor t;
  if (PyCapsule_IsValid(capsule.ptr(), kVersioned) != 0) {
    auto* managed = static_cast<ManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), kVersioned));
    if (managed->major > 1) {
      Throw(Error(Code::kUnimplemented)
            << "[from_dlpack] the version is unknown: got DLPack " << managed->major << "."
            << managed->minor << "; expected 1.x");
    }
    Taken<ManagedVersioned>(capsule.ptr(), kVersioned, memory);
    t = managed->tensor;
    memory.read_only = (managed->flags & kReadOnly) != 0;
  } else if (PyCapsule_IsValid(capsule.ptr(), kPlain) != 0) {
    t = Taken<Managed>(capsule.ptr(), kPlain, memory)->tensor;
  } else {
    Throw(Error(Code::kInvalidArgument)
          << "[from_dlpack] no tensor to take: got " << TypeNameOf(capsule.ptr())
          << "; expected an object with __dlpack__, or a capsule that nobody has taken from yet");
  }
  if (t.device.device_type != 1) {
    Throw(Error(Code::kUnimplemented)
          << "[from_dlpack] the memory is not the CPU's: got DLPack's device "
          << t.device.device_type << "; expected 1; copy it to the CPU first");
  }
  memory.dtype = DTypeOfDlpack(t.dtype);
  Unwrap(CheckAxes("from_dlpack", t.ndim));
  if (t.shape == nullptr && t.ndim > 0)
    Throw(Error(Code::kInvalidArgument) << "[from_dlpack] the axes have no sizes: got " << t.ndim
                                        << " axes and a null pointer; expected a size for each");
  if (t.data != nullptr) memory.data = static_cast<std::byte*>(t.data) + t.byte_offset;
  memory.dims.assign(t.shape, t.shape + t.ndim);
  if (t.strides != nullptr) memory.strides.assign(t.strides, t.strides + t.ndim);
  return Noted(Shared("from_dlpack", std::move(memory)));
}

}  // namespace

bool IsArray(PyObject* object) {
  static auto* const type = reinterpret_cast<PyTypeObject*>(
      nb::object(nb::module_::import_("numpy").attr("ndarray")).release().ptr());
  if (PyObject_TypeCheck(object, type) == 0) return false;
  const nb::object axes = nb::steal(PyObject_GetAttrString(object, "ndim"));
  if (!axes.is_valid()) throw nb::python_error();
  return PyObject_IsTrue(axes.ptr()) == 1;
}

op::Value ArrayValue(PyObject* array) {
  const TensorRef made = OfArray(array);
  if (tensor::Tracer* tracer = tensor::CurrentTracer(); tracer != nullptr)
    tracer->NoteConstant(made);
  return op::Value(made);
}

nb::object HostArray(const TensorRef& x) {
  static std::byte nothing[64];
  const DType dtype = x->meta().dtype;
  if (dtype == DType::kBFloat16 || IsFloat8(dtype)) {
    Throw(Error(Code::kTypeMismatch) << "[numpy] NumPy has no dtype " << DTypeName(dtype)
                                     << "; expected another; use x.to(flow.float32)");
  }
  size_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
  const int rank = x->local_shape().rank();
  for (int i = 0; i < rank; ++i) {
    shape[i] = static_cast<size_t>(x->local_shape()[i]);
    strides[i] = x->strides()[i];
  }
  if (x->storage()) x->storage()->exposed = true;
  auto* keep = new StorageRef(x->storage());
  const nb::capsule owner(keep, [](void* p) noexcept { delete static_cast<StorageRef*>(p); });
  void* data = x->data() != nullptr ? x->data() : nothing;
  const nb::dlpack::dtype type{InfoOf(dtype).dlpack_code,
                               static_cast<uint8_t>(8 * DTypeSize(dtype)), 1};
  nb::object array = nb::cast(
      nb::ndarray<nb::numpy>(data, static_cast<size_t>(rank), shape, owner, strides, type));
  if (x->read_only()) array.attr("flags").attr("writeable") = false;
  return array;
}

void BindHostMemory(nb::module_& m) {
  m.def("from_numpy", &FromNumpy, nb::arg("array"), nb::arg("dtype") = nb::none(),
        "A tensor that shares a NumPy array's memory, or a copy in another dtype.");
  m.def("from_buffer", &FromBuffer, nb::arg("buffer"), nb::arg("dtype"), nb::arg("count"),
        nb::arg("offset"), "A vector that shares the memory of a buffer.");
  m.def("to_dlpack", &ToDlpack, nb::arg("tensor"), nb::arg("versioned"),
        "A capsule that shares a local tensor's memory.");
  m.def("from_dlpack", &FromDlpack, nb::arg("capsule").none(),
        "A tensor that shares the memory in a capsule of DLPack, and takes it over.");
}

}  // namespace ofl::python
