#include "oneflow_like/tensor/tensor.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/mixed_operands.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/arith.h"
#include "python/src/convert.h"
#include "python/src/device.h"
#include "python/src/errors.h"
#include "python/src/host_memory.h"
#include "python/src/module.h"

namespace ofl::python {
namespace {

using tensor::TensorImpl;
using tensor::TensorRef;

using Self = Made<PyTensor>;

PyTypeObject* tensor_type = nullptr;

// Errors of transport know no function: the text begins with this one.
template <class T>
T UnwrapOf(std::string_view called, Result<T> result) {
  if (result.ok()) return std::move(result).value();
  SetErrorOf(result.status(), called);
  throw nb::python_error();
}

TensorRef Eager(const PyTensor& self) { return Unwrap(tensor::RequireTensor(self.value)); }

// Inside build() Python runs once, while tracing: what would have to happen in every call of the
// graph must not pass without a word.
void RefuseInBuild(const char* op, const char* what, const op::ValueBase& got, const char* fix) {
  if (tensor::CurrentTracer() == nullptr) return;
  Throw(Error(Code::kFailedPrecondition)
        << "[" << op << "] " << what << " inside build() of a graph: got " << tensor::Describe(got)
        << "; expected operators on tensors, which every call repeats; " << fix);
}

// --- host memory ----------------------------------------------------------------------------

nb::object Numpy(Self self, bool force) {
  TensorRef x = Eager(*self);
  RefuseInBuild("numpy", "a value was read, which later calls would not read again,", *x,
                "read it before or after the call");
  if (x->requires_grad() && !force) {
    Throw(Error(Code::kFailedPrecondition)
          << "[numpy] Can't call numpy() on Tensor that requires grad: got " << tensor::Describe(*x)
          << "; use tensor.detach().numpy() instead");
  }
  if (!x->is_global()) return HostArray(x);
  // Its own copy: the shard must not change through an array that shows the whole.
  TensorRef whole = UnwrapOf("numpy", tensor::WholeValue(x, "numpy"));
  if (whole->storage() == x->storage()) whole = Unwrap(tensor::CopyOf(whole));
  return HostArray(whole);
}

// The same memory in a dtype that NumPy has: integers of as many bits where it lacks x's own.
TensorRef WithBits(const TensorRef& x) {
  const DType dtype = x->meta().dtype;
  if (dtype != DType::kBFloat16 && !IsFloat8(dtype)) return x;
  const DType bits = dtype == DType::kBFloat16 ? DType::kInt16 : DType::kUInt8;
  return x->As({bits, x->meta().shape}, x->layout_ref(), x->local_shape(), x->strides(),
               x->offset_bytes());
}

PyObject* ScalarOf(DType dtype, const std::byte* at) {
  switch (dtype) {
    case DType::kFloat32: return PyFloat_FromDouble(LoadLe<float>(at));
    case DType::kFloat64: return PyFloat_FromDouble(LoadLe<double>(at));
    case DType::kInt8: return PyLong_FromLong(LoadLe<int8_t>(at));
    case DType::kUInt8: return PyLong_FromLong(LoadLe<uint8_t>(at));
    case DType::kInt16: return PyLong_FromLong(LoadLe<int16_t>(at));
    case DType::kInt32: return PyLong_FromLong(LoadLe<int32_t>(at));
    case DType::kInt64: return PyLong_FromLongLong(LoadLe<int64_t>(at));
    case DType::kBool: return PyBool_FromLong(LoadLe<uint8_t>(at) != 0);
    case DType::kComplex64:
      return PyComplex_FromDoubles(LoadLe<float>(at), LoadLe<float>(at + sizeof(float)));
    default:  // kComplex128: Item widens the narrow ones
      return PyComplex_FromDoubles(LoadLe<double>(at), LoadLe<double>(at + sizeof(double)));
  }
}

nb::object Item(Self self) {
  TensorRef x = Eager(*self);
  RefuseInBuild("item", "a value was read, which later calls would not read again,", *x,
                "read it before or after the call; flow.where(...) chooses by a value");
  if (x->meta().shape.numel() != 1) {
    Throw(Error(Code::kInvalidArgument) << "[item] a Tensor with " << x->meta().shape.numel()
                                        << " elements cannot be converted to Scalar: got "
                                        << tensor::Describe(*x) << "; expected one element");
  }
  TensorRef whole = UnwrapOf("item", tensor::WholeValue(x, "item"));
  DType dtype = x->meta().dtype;
  if (IsHalf(dtype) || IsFloat8(dtype)) {
    op::Value wide =
        Unwrap(tensor::CallOp("cast", {op::Value(whole)}, {{"dtype", DType::kFloat32}}));
    whole = TensorRef(tensor::AsTensor(wide));
    dtype = DType::kFloat32;
  }
  return nb::steal(ScalarOf(dtype, whole->data()));
}

// --- properties -----------------------------------------------------------------------------

// Who answers for a graph's value while its build() runs.
tensor::Tracer& TracerOf(const PyTensor& self, std::string_view what) {
  tensor::Tracer* tracer = tensor::CurrentTracer();
  if (tracer == nullptr) {
    Throw(Error(Code::kFailedPrecondition)
          << "[" << what << "] a value of a graph was kept from build(): got "
          << tensor::Describe(*self.value)
          << "; expected a tensor; return it from build() and use the result");
  }
  return *tracer;
}

bool IsGlobal(Self self) {
  if (!self->value->is_symbolic()) return self->value->layout() != nullptr;
  return Unwrap(TracerOf(*self, "is_global").IsGlobal(self->value));
}

void RequireGlobal(Self self, std::string_view what) {
  if (IsGlobal(self)) return;
  Throw(Error(Code::kFailedPrecondition)
        << "[" << what << "] a local tensor has no " << what << ": got "
        << tensor::Describe(*self->value)
        << "; expected a global tensor; use x.to_global(placement=..., sbp=...)");
}

nb::object PlacementOf(Self self) {
  RequireGlobal(self, "placement");
  if (!self->value->is_symbolic()) return nb::cast(self->value->layout()->placement);
  return nb::cast(TracerOf(*self, "placement").PlacementOf(self->value));
}

nb::object SbpOf(Self self) {
  RequireGlobal(self, "sbp");
  if (!self->value->is_symbolic()) return SbpTuple(self->value->layout()->nd_sbp);
  return SbpTuple(Unwrap(TracerOf(*self, "sbp").PinnedLayout(self->value)).nd_sbp);
}

nb::object DeviceOf(Self self) {
  if (!IsGlobal(self)) return DeviceObject(DeviceKind::kCpu);
  return DeviceObject(self->value->is_symbolic()
                          ? TracerOf(*self, "device").PlacementOf(self->value).kind()
                          : self->value->layout()->placement.kind());
}

// A local tensor just made in build() as a global one like `other`, which it does not pin.
nb::object LaidLike(Self self, Self other) {
  return Wrapped(Unwrap(TracerOf(*self, "like").LaidLike(self->value, other->value)));
}

bool RequiresGrad(Self self) {
  if (!self->value->is_symbolic()) return tensor::AsTensor(self->value)->requires_grad();
  tensor::Tracer* tracer = tensor::CurrentTracer();
  return tracer != nullptr && tracer->RequiresGrad(self->value);
}

void SetRequiresGrad(Self self, nb::object given) {
  if (!PyBool_Check(given.ptr())) {
    Throw(Error(Code::kTypeMismatch) << "[requires_grad] requires_grad must be a bool: got "
                                     << TypeNameOf(given.ptr()) << "; expected True or False");
  }
  const bool on = given.is(nb::bool_(true));
  RefuseInBuild("requires_grad", "requires_grad was set", *self->value,
                "set it before or after the call: the graph then traces anew");
  TensorRef x = Eager(*self);
  if (on && !IsDifferentiable(x->meta().dtype)) {
    Throw(Error(Code::kInvalidArgument)
          << "[requires_grad] only floating tensors and complex ones can require gradients: got "
          << tensor::Describe(*x) << "; expected a floating or complex dtype");
  }
  if (!on && !x->is_leaf()) {
    Throw(Error(Code::kFailedPrecondition)
          << "[requires_grad] you can only change requires_grad of leaf tensors: got "
          << tensor::Describe(*x) << "; use x.detach()");
  }
  if (x->requires_grad() != on) NoteWrite();
  x->set_requires_grad(on);
}

nb::object GradOf(Self self) {
  RefuseInBuild("grad", "a gradient was read", *self->value,
                "gradients belong to the plan: use add_optimizer and clip_grad_max_norm");
  if (self->value->is_symbolic()) return nb::none();
  const TensorRef& grad = tensor::AsTensor(self->value)->grad();
  if (grad == nullptr) {
    self->grad.reset();
    return nb::none();
  }
  // One object as long as it is one tensor: a gradient that grows stays what somebody holds.
  PyTensor* known = self->grad.is_valid() ? TensorOf(self->grad.ptr()) : nullptr;
  if (known == nullptr || known->value.get() != grad.get()) self->grad = Wrapped(op::Value(grad));
  return self->grad;
}

void SetGrad(Self self, std::optional<nb::object> grad) {
  RefuseInBuild("grad", "a gradient was set", *self->value,
                "gradients start at zero in every call: leave it out");
  TensorRef x = Eager(*self);
  self->grad.reset();
  if (!grad || grad->is_none()) {
    x->set_grad(nullptr);
    return;
  }
  PyTensor* given = TensorOf(grad->ptr());
  if (given == nullptr) {
    Throw(Error(Code::kTypeMismatch)
          << "[grad] expected a Tensor or None, not " << TypeNameOf(grad->ptr()));
  }
  TensorRef g = Eager(*given);
  if (!(g->meta() == x->meta())) {
    Throw(Error(Code::kInvalidArgument)
          << "[grad] the gradient does not fit: got " << tensor::Describe(*g) << " for "
          << tensor::Describe(*x) << "; expected the same shape and dtype");
  }
  if (g == x) {  // a gradient grows in its place
    Throw(Error(Code::kInvalidArgument)
          << "[grad] can't assign a tensor as its own grad: got " << tensor::Describe(*g)
          << "; expected another tensor; use x.detach().clone()");
  }
  const bool placed_alike = x->is_global() == g->is_global() &&
                            (!x->is_global() || x->layout()->placement == g->layout()->placement);
  if (!placed_alike) {
    Throw(Error(Code::kInvalidArgument)
          << "[grad] the gradient lies elsewhere: got " << tensor::Describe(*g) << " for "
          << tensor::Describe(*x)
          << "; expected both local, or both global on one placement; use to_global(...)");
  }
  if (g->requires_grad() || g->grad() != nullptr) return x->set_grad(g->Detach());
  self->grad = *grad;
  x->set_grad(std::move(g));
}

// No history from now on, and no gradient.
nb::object DetachInPlace(Self self) {
  RefuseInBuild("detach_", "a history was dropped in place", *self->value, "use x = x.detach()");
  const TensorRef x = Eager(*self);
  if (x->origin() != nullptr && x->requires_grad()) {
    Throw(Error(Code::kFailedPrecondition)
          << "[detach_] a view has the history of its base: got " << tensor::Describe(*x)
          << "; expected a tensor that is no view; use x = x.detach()");
  }
  if (x->requires_grad()) NoteWrite();
  if (!x->is_leaf()) x->SetGradFn(nullptr, 0);
  x->set_requires_grad(false);
  return nb::borrow(self.object);
}

// The handle stands for another value from now on: whoever holds it, an optimizer or a list, holds
// the new one. No history, no gradient.
// A gradient that was recorded for what a leaf has been before has nobody left to go to.
tensor::HooksRef LostGradient(const TensorImpl& before, const TensorImpl& after) {
  if (!before.requires_grad()) return nullptr;
  auto hooks = std::make_shared<tensor::Hooks>();
  hooks->Add([was = before.meta().ToString(), is = after.meta().ToString()](const op::Value&) {
    return Result<op::Value>(
        Error(Code::kFailedPrecondition)
        << "[backward] a gradient arrives for a tensor that has become another one since: got one "
        << "for " << was << "; expected " << is << ", as which .data = or module.to() has set it; "
        << "call backward() before, or compute the loss again after it");
  });
  return hooks;
}

void Become(Self self, Self other) {
  RefuseInBuild("become", "a parameter was converted", *self->value,
                "convert the module before or after the call: the graph then traces anew");
  const TensorRef x = Eager(*self);
  if (!x->is_leaf()) {
    Throw(Error(Code::kFailedPrecondition)
          << "[become] a result cannot be converted in place: got " << tensor::Describe(*x)
          << " with a history; expected a leaf; use x.detach()");
  }
  const TensorRef value = Eager(*other)->Detach();
  value->set_requires_grad(x->requires_grad());
  value->hooks() = std::exchange(x->hooks(), LostGradient(*x, *value));
  value->post_hooks() = std::move(x->post_hooks());
  self->value = op::Value(value);
  NoteWrite();  // a graph that captured this handle is bound to the old value
}

nb::object GradFnOf(Self self) {
  if (self->value->is_symbolic()) return nb::none();
  const auto& node = tensor::AsTensor(self->value)->grad_fn();
  if (node == nullptr) return nb::none();
  return nb::cast("<" + node->name() + ">");
}

// --- methods --------------------------------------------------------------------------------

// The tensors of `inputs`, one or a list, whose grad alone backward changes.
std::vector<TensorRef> InputsOf(const std::optional<nb::object>& inputs) {
  std::vector<TensorRef> wanted;
  if (!inputs || inputs->is_none()) return wanted;
  const bool one = TensorOf(inputs->ptr()) != nullptr;
  const nb::object items =
      one ? nb::object(nb::make_tuple(*inputs)) : nb::steal(PySequence_Tuple(inputs->ptr()));
  if (!items.is_valid()) throw nb::python_error();
  for (nb::handle item : nb::borrow<nb::tuple>(items)) {
    PyTensor* tensor = TensorOf(item.ptr());
    if (tensor == nullptr) {
      Throw(Error(Code::kTypeMismatch) << "[backward] argument 'inputs' must be a Tensor or a list "
                                       << "of them: got " << TypeNameOf(item.ptr()) << " in it");
    }
    wanted.push_back(Eager(*tensor));
    if (!wanted.back()->requires_grad()) {
      Throw(Error(Code::kFailedPrecondition)
            << "[backward] a tensor of inputs does not require grad: got "
            << tensor::Describe(*wanted.back()) << "; expected requires_grad=True");
    }
  }
  if (wanted.empty()) {
    Throw(Error(Code::kInvalidArgument)
          << "[backward] argument 'inputs' cannot be empty: got no tensors; expected at least one");
  }
  return wanted;
}

void BackwardOf(Self self, std::optional<nb::object> gradient, std::optional<bool> retain_given,
                bool create_graph, std::optional<nb::object> inputs) {
  const bool retain_graph = retain_given.value_or(create_graph);
  if (tensor::Tracer* tracer = tensor::CurrentTracer(); tracer != nullptr) {
    TellTracer();
    if (gradient && !gradient->is_none()) {
      Throw(Error(Code::kUnimplemented)
            << "[backward] gradient= inside build() of a graph: got a "
            << TypeNameOf(gradient->ptr()) << " for " << tensor::Describe(*self->value)
            << "; expected a loss of one element; call (y * gradient).sum().backward()");
    }
    if (retain_graph) {
      Throw(Error(Code::kUnimplemented)
            << "[backward] retain_graph=True inside build() of a graph, which allows one "
               "backward(): got "
            << tensor::Describe(*self->value)
            << "; expected retain_graph=False; add the losses and call backward() once");
    }
    if (create_graph) {
      Throw(Error(Code::kUnimplemented)
            << "[backward] create_graph=True inside build() of a graph: got "
            << tensor::Describe(*self->value)
            << "; expected create_graph=False; differentiate twice outside graphs");
    }
    if (inputs && !inputs->is_none()) {
      Throw(
          Error(Code::kUnimplemented)
          << "[backward] inputs= inside build() of a graph, whose optimizers say what is trained: "
          << "got them for " << tensor::Describe(*self->value)
          << "; expected none; freeze the other parameters by requires_grad_(False)");
    }
    Unwrap(tracer->Backward(self->value));
    return;
  }
  TensorRef grad;
  if (gradient && !gradient->is_none()) {
    PyTensor* given = TensorOf(gradient->ptr());
    if (given == nullptr) {
      Throw(Error(Code::kTypeMismatch) << "[backward] argument 'gradient' must be Tensor, not "
                                       << TypeNameOf(gradient->ptr()));
    }
    grad = Eager(*given);
    if (!create_graph) grad = grad->Detach();
  }
  const std::vector<TensorRef> wanted = InputsOf(inputs);
  Unwrap(tensor::Backward(Eager(*self), grad, retain_graph, create_graph, wanted));
}

std::optional<sbp::NdSbp> OptionalSbp(const std::optional<nb::object>& given) {
  if (!given || given->is_none()) return std::nullopt;
  return Unwrap(NdSbpFrom(given->ptr()));
}

// The same value in fresh memory; what needs a gradient stays in the tape.
op::Value Cloned(const op::Value& value) {
  if (!value->is_symbolic() && !tensor::AsTensor(value)->requires_grad()) {
    return op::Value(Unwrap(tensor::CopyOf(TensorRef(tensor::AsTensor(value)))));
  }
  return Unwrap(tensor::CallOp("identity", {value}));
}

nb::object ToGlobalOf(nb::object self, std::optional<nb::object> placement,
                      std::optional<nb::object> sbp, std::optional<nb::object> grad_sbp,
                      bool copy) {
  std::optional<Placement> where;
  if (placement && !placement->is_none()) where = Unwrap(PlacementFrom(placement->ptr()));
  TellTracer();
  PyTensor* x = TensorOf(self.ptr());
  if (x == nullptr) {
    Throw(Error(Code::kTypeMismatch)
          << "[to_global] a Tensor is expected, not " << TypeNameOf(self.ptr()));
  }
  op::Value y = UnwrapOf(
      "to_global", tensor::ToGlobal(x->value, where, OptionalSbp(sbp), OptionalSbp(grad_sbp)));
  if (y == x->value && !copy) return self;
  return Wrapped(copy ? Cloned(y) : std::move(y));
}

nb::object ToLocalOf(Self self, std::optional<nb::object> grad_sbp, bool copy) {
  TellTracer();
  op::Value y = UnwrapOf("to_local", tensor::ToLocal(self->value, OptionalSbp(grad_sbp)));
  return Wrapped(copy ? Cloned(y) : std::move(y));
}

nb::object Beside(nb::object self, nb::handle other, const std::string& what) {
  PyTensor* x = TensorOf(self.ptr());
  PyTensor* y = TensorOf(other.ptr());
  if (x == nullptr || y == nullptr) return self;
  TellTracer();
  op::Value laid = Unwrap(tensor::LaidBeside(what, x->value, y->value));
  return laid == x->value ? self : Wrapped(std::move(laid));
}

// Of what `index` has made of `base` inside build().
void NoteTaken(Self self, Self base) {
  if (!self->value->is_symbolic()) return;
  Unwrap(TracerOf(*self, "indexing").NoteTaken(self->value, base->value));
}

// --- memory ---------------------------------------------------------------------------------

// Of a value of a graph those that its eager twin would have.
Strides StridesOf(Self self) {
  if (!self->value->is_symbolic()) return tensor::AsTensor(self->value)->strides();
  tensor::Tracer* tracer = tensor::CurrentTracer();
  if (tracer == nullptr) return ContiguousStrides(self->value->meta().shape);
  return Unwrap(tracer->LikelyStrides(self->value));
}

bool IsContiguous(Self self, nb::object format) {
  if (!IsUsualFormat(format.ptr())) return false;  // no tensor of ours lies otherwise on purpose
  if (!self->value->is_symbolic()) return tensor::AsTensor(self->value)->dense();
  return IsDense(self->value->meta().shape, StridesOf(self));
}

nb::object StrideOf(Self self, std::optional<int64_t> dim) {
  if (tensor::Tracer* tracer = tensor::CurrentTracer();
      tracer != nullptr && self->value->is_symbolic() && Unwrap(tracer->IsGlobal(self->value))) {
    Throw(Error(Code::kUnimplemented)
          << "[stride] the parts of a global value have no layout yet inside build() of a graph: "
          << "got " << self->value->meta().ToString() << "; expected a local one, or an eager one");
  }
  const Strides strides = StridesOf(self);
  if (dim) {
    const auto axis = NormalizeAxis(*dim, strides.rank());
    if (axis.ok()) return nb::int_(strides[*axis]);
    Throw(Error(Code::kOutOfRange)
          << "[stride] " << axis.status().message() << ": got " << tensor::Describe(*self->value));
  }
  nb::list list;
  for (int64_t step : strides) list.append(step);
  return nb::tuple(list);
}

bool IsView(Self self) {
  if (!self->value->is_symbolic()) return tensor::AsTensor(self->value)->is_view();
  tensor::Tracer* tracer = tensor::CurrentTracer();
  return tracer != nullptr && Unwrap(tracer->IsView(self->value));
}

int64_t StorageOffset(Self self) {
  const TensorRef x = Eager(*self);
  return x->offset_bytes() / static_cast<int64_t>(DTypeSize(x->meta().dtype));
}

uintptr_t DataPointer(Self self) {
  const TensorRef x = Eager(*self);
  if (x->storage()) x->storage()->exposed = true;  // whoever has the address may write
  return reinterpret_cast<uintptr_t>(x->data());
}

template <PyObject* (*F)(PyObject*, PyObject*)>
void* Slot() {
  return reinterpret_cast<void*>(F);
}

PyType_Slot tensor_slots[] = {
    {Py_nb_add, Slot<&AddTensors>()},
    {Py_nb_subtract, Slot<&SubTensors>()},
    {Py_nb_multiply, Slot<&MulTensors>()},
    {Py_nb_true_divide, Slot<&DivTensors>()},
    {Py_nb_matrix_multiply, Slot<&MatmulTensors>()},
    {0, nullptr},
};

void BindProperties(nb::class_<PyTensor>& c) {
  c.def_prop_ro("shape", [](Self t) { return SizeObject(t->value->meta().shape); })
      .def_prop_ro("dtype", [](Self t) { return DTypeObject(t->value->meta().dtype); })
      .def_prop_ro("ndim", [](Self t) { return t->value->meta().shape.rank(); })
      .def_prop_ro("is_global", &IsGlobal)
      .def_prop_ro("is_local", [](Self t) { return !IsGlobal(t); })
      .def_prop_ro("is_symbolic", [](Self t) { return t->value->is_symbolic(); })
      .def_prop_ro("placement", &PlacementOf)
      .def_prop_ro("sbp", &SbpOf)
      .def_prop_ro("device", &DeviceOf)
      .def_prop_rw("requires_grad", &RequiresGrad, &SetRequiresGrad,
                   nb::for_setter(nb::sig("def requires_grad(self, arg: bool, /) -> None")))
      .def_prop_rw("grad", &GradOf, &SetGrad, nb::arg("grad").none())
      .def_prop_ro("grad_fn", &GradFnOf)
      .def_prop_ro("is_leaf",
                   [](Self t) {
                     return t->value->is_symbolic() ? !RequiresGrad(t)
                                                    : tensor::AsTensor(t->value)->is_leaf();
                   })
      .def_prop_ro("_version", [](Self t) { return Eager(*t)->version(); })
      .def_prop_ro("_contents", [](Self t) { return Eager(*t)->contents(); })
      .def_prop_ro("_is_view", &IsView)
      .def_prop_ro(
          "_copied",
          [](Self t) { return !t->value->is_symbolic() && tensor::AsTensor(t->value)->copied(); })
      .def_prop_ro("_has_data", [](Self t) {
        return !t->value->is_symbolic() && tensor::AsTensor(t->value)->has_data();
      });
}

}  // namespace

Status TryRebind(PyTensor& self, const PyTensor& other) {
  if (self.value->is_symbolic()) return TracerOf(self, "in-place").InPlace(self.value, other.value);
  if (tensor::Tracer* tracer = tensor::CurrentTracer(); tracer != nullptr)
    return tracer->InPlace(self.value, other.value);  // a buffer, or an error
  OFL_ENSURE(!other.value->is_symbolic(), Code::kFailedPrecondition)
      << "[in-place] a tensor from outside build() cannot be changed inside a graph: got "
      << tensor::Describe(*self.value)
      << "; expected a value made in build(); return the new value, and copy_() it after the call";
  const TensorRef target = Eager(self);
  const bool before = target->requires_grad();
  OFL_TRY(tensor::Assign(Eager(other), target, "in-place"));
  if (target->requires_grad() != before) NoteWrite();
  return Status::Ok();
}

void Rebind(PyTensor& self, const PyTensor& other) { Unwrap(TryRebind(self, other)); }

PyTensor* TensorOf(PyObject* object) {
  if (!PyObject_TypeCheck(object, tensor_type)) return nullptr;
  if (!nb::inst_ready(nb::handle(object))) ThrowHalfMade(object);
  return nb::inst_ptr<PyTensor>(nb::handle(object));
}

nb::object Wrapped(op::Value value) {
  PyObject* object = WrapTensor(std::move(value));
  if (object == nullptr) throw nb::python_error();
  return nb::steal(object);
}

PyObject* WrapTensor(op::Value value) {
  return nb::cast(PyTensor{std::move(value)}).release().ptr();
}

void BindTensor(nb::module_& m) {
  nb::class_<PyTensor> c(m, "Tensor", nb::type_slots(tensor_slots), nb::is_weak_referenceable(),
                         nb::dynamic_attr(),  // a pointer more: it is a subject of GC anyway
                         "An n-dimensional array, local or global.");
  tensor_type = reinterpret_cast<PyTypeObject*>(c.ptr());
  c.def(
      "__init__", [](PyTensor* self, Self other) { new (self) PyTensor(*other); },
      nb::arg("other"));
  c.def("__init__", [](PyTensor* self, nb::args given, nb::kwargs named) {  // as torch.Tensor(2, 3)
    const nb::object make = nb::module_::import_("oneflow_like._classes").attr("of_default");
    const nb::object made = make(*given, **named);
    new (self) PyTensor(*Self{made});
  });
  BindProperties(c);
  c.def("numel", [](Self t) { return t->value->meta().shape.numel(); })
      .def("backward", &BackwardOf, nb::arg("gradient") = nb::none(),
           nb::arg("retain_graph") = nb::none(), nb::arg("create_graph") = false,
           nb::arg("inputs") = nb::none())
      .def("detach",
           [](Self t) {
             if (tensor::Tracer* tracer = tensor::CurrentTracer(); tracer != nullptr) {
               TellTracer();
               op::Value detached = tracer->Detach(t->value);
               Unwrap(tracer->status());
               return Wrapped(std::move(detached));
             }
             return Wrapped(op::Value(Eager(*t)->Detach()));
           })
      .def(
          "_peek", [](Self t) { return HostArray(WithBits(Eager(*t))); },
          "The local part's memory as an array, for printing: inside build() too. Elements of a "
          "dtype that NumPy lacks are integers of their bits.")
      .def("clone_memory",
           [](Self t) {
             RefuseInBuild("clone_memory", "memory was copied", *t->value,
                           "use clone(), or it before or after the call");
             return Wrapped(op::Value(Unwrap(tensor::CopyOf(Eager(*t)))));
           })
      .def("numpy", &Numpy, nb::kw_only(), nb::arg("force") = false,
           "A NumPy array of the memory; of a global tensor the whole value (collective). With "
           "force "
           "of a tensor that requires grad too.")
      .def("item", &Item, "The only element; of a global tensor collective.")
      .def("_beside", &Beside, nb::arg("other"), nb::arg("what"),
           "The tensor as it is to stand beside another in a function of the package: a local one "
           "beside a global one as B, if it is the same on all ranks.")
      .def("_note_taken", &NoteTaken, nb::arg("base"))
      .def("to_global", &ToGlobalOf, nb::arg("placement") = nb::none(), nb::arg("sbp") = nb::none(),
           nb::kw_only(), nb::arg("grad_sbp") = nb::none(), nb::arg("copy") = false,
           "This tensor under a layout. Its ranks' local tensors are the parts of it; under B the "
           "first rank's are sent to the others. The result's gradient is laid out as grad_sbp.")
      .def("to_local", &ToLocalOf, nb::arg("grad_sbp") = nb::none(), nb::kw_only(),
           nb::arg("copy") = false,
           "This rank's part, sharing memory. The ranks' local gradients are the parts of the "
           "gradient under grad_sbp, or else under this tensor's sbp: where that is B they must be "
           "equal.")
      .def("detach_", &DetachInPlace, "Drops the history: a leaf that requires no grad.")
      .def("_laid_like", &LaidLike, nb::arg("other"))
      .def("is_contiguous", &IsContiguous, nb::arg("memory_format") = nb::none(),
           "Whether the memory is row-major without gaps.")
      .def("stride", &StrideOf, nb::arg("dim") = nb::none(),
           "Elements from one index to the next: of every axis, or of one. A global tensor's are "
           "those of its shard here.")
      .def("storage_offset", &StorageOffset, "Elements before the first one in its memory.")
      .def("data_ptr", &DataPointer, "The address of the first element here; 0 without elements.")
      .def(
          "_rebind", [](Self self, Self other) { Rebind(*self, *other); }, nb::arg("other"))
      .def("_become", &Become, nb::arg("other"))
      .def("_describe", [](Self t) { return tensor::Describe(*t->value); });
}

}  // namespace ofl::python
