// Operators as Python functions and methods, all from the registry.
#include <boost/container/small_vector.hpp>

#include <deque>
#include <string>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/arith.h"
#include "python/src/module.h"
#include "python/src/scalars.h"
#include "python/src/signature.h"

namespace ofl::python {
namespace {

using tensor::TensorImpl;
using tensor::TensorRef;
constexpr size_t kMaxParams = 24;

thread_local std::vector<std::string> module_scopes;  // as the tracer: a thread's own
// --- attributes -----------------------------------------------------------------------------

bool IntFrom(PyObject* o, int64_t* out) {
  if (PyFloat_Check(o)) return false;
  nb::object index = nb::steal(PyNumber_Index(o));
  if (!index.is_valid()) {
    PyErr_Clear();
    return false;
  }
  *out = PyLong_AsLongLong(index.ptr());
  if (*out == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return true;
}

bool IntsFrom(PyObject* o, std::vector<int64_t>* out) {
  int64_t one = 0;
  if (IntFrom(o, &one)) {
    out->push_back(one);
    return true;
  }
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  const Py_ssize_t n = PySequence_Fast_GET_SIZE(o);
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (!IntFrom(PySequence_Fast_GET_ITEM(o, i), &one)) return false;
    out->push_back(one);
  }
  return true;
}

const char* TypeText(op::AttrType type) {
  switch (type) {
    case op::AttrType::kInts: return "int or tuple of ints";
    case op::AttrType::kFloats: return "tuple of floats";
    case op::AttrType::kDType: return "oneflow_like.dtype";
    default: return op::AttrTypeName(type);
  }
}

bool FloatFrom(PyObject* o, double* out) {
  if (TensorOf(o) != nullptr) return false;
  *out = PyFloat_AsDouble(o);
  if (*out == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return false;
  }
  return true;
}

bool FloatsFrom(PyObject* o, std::vector<double>* out) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  const nb::object items = nb::steal(PySequence_Tuple(o));  // nobody changes it meanwhile
  if (!items.is_valid()) throw nb::python_error();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.ptr()); ++i) {
    double one = 0;
    if (!FloatFrom(PyTuple_GET_ITEM(items.ptr(), i), &one)) return false;
    out->push_back(one);
  }
  return true;
}

bool AttrFrom(op::AttrType type, PyObject* o, AttrValue* out) {
  switch (type) {
    case op::AttrType::kBool:
      if (!PyBool_Check(o)) return false;
      *out = o == Py_True;
      return true;
    case op::AttrType::kInt: {
      int64_t v = 0;
      if (!IntFrom(o, &v)) return false;
      *out = v;
      return true;
    }
    case op::AttrType::kFloat: {
      double v = 0;
      if (!FloatFrom(o, &v)) return false;
      *out = v;
      return true;
    }
    case op::AttrType::kFloats: {
      std::vector<double> v;
      if (!FloatsFrom(o, &v)) return false;
      *out = std::move(v);
      return true;
    }
    case op::AttrType::kScalar: return NumberFrom(o, out);
    case op::AttrType::kString: {
      const char* text = PyUnicode_Check(o) ? PyUnicode_AsUTF8(o) : nullptr;
      if (text == nullptr) return false;
      *out = std::string(text);
      return true;
    }
    case op::AttrType::kInts: {
      std::vector<int64_t> v;
      if (!IntsFrom(o, &v)) return false;
      *out = std::move(v);
      return true;
    }
    case op::AttrType::kDType: {
      DType v = DType::kFloat32;
      if (!DTypeFrom(o, &v)) return false;
      *out = v;
      return true;
    }
  }
  return false;
}

// --- one call -------------------------------------------------------------------------------

// The arguments of a call sorted to parameters.
struct Call {
  const OpBinding& binding;
  PyObject* given[kMaxParams] = {};
  nb::object gathered;  // the tuple of trailing integers or tensors, while the call lasts
  PyObject* placement = nullptr;
  PyObject* sbp = nullptr;
};

Status Wrong(const Call& call, const std::string& what) {
  return Error(Code::kTypeMismatch) << "[" << call.binding.name << "] " << what << "; expected "
                                    << call.binding.def->py_signature;
}

bool Gathers(const Param& param, const op::OpDef& def, PyObject* first) {
  if (param.attr != nullptr) {
    return param.attr->type == op::AttrType::kInts && PyLong_Check(first);
  }
  return def.inputs[static_cast<size_t>(param.operand)].variadic && TensorOf(first) != nullptr;
}

Status SortPositional(Call& call, PyObject* const* args, Py_ssize_t n) {
  const OpBinding& b = call.binding;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (i == b.num_positional - 1 && i < n - 1 &&
        Gathers(b.params[static_cast<size_t>(i)], *b.def, args[i])) {
      call.gathered = nb::steal(PyTuple_New(n - i));
      for (Py_ssize_t j = i; j < n; ++j) {
        PyTuple_SET_ITEM(call.gathered.ptr(), j - i, Py_NewRef(args[j]));
      }
      call.given[i] = call.gathered.ptr();
      return Status::Ok();
    }
    if (i >= b.num_positional) {
      return Wrong(call, "takes " + std::to_string(b.num_positional) +
                             " positional arguments: got " + std::to_string(n));
    }
    call.given[i] = args[i];
  }
  return Status::Ok();
}

Status SortKeyword(Call& call, std::string_view name, PyObject* value) {
  if (call.binding.def->inputs.empty()) {
    if (name == "placement") return call.placement = value, Status::Ok();
    if (name == "sbp") return call.sbp = value, Status::Ok();
  }
  if (name == "axis") name = "dim";  // NumPy's words
  if (name == "keepdims") name = "keepdim";
  for (size_t i = 0; i < call.binding.params.size(); ++i) {
    const Param& p = call.binding.params[i];
    if (p.name != name) continue;
    if (!p.keyword && p.operand >= 0 && call.given[i] == nullptr) {
      call.given[i] = value;  // torch takes tensors by name too
      return Status::Ok();
    }
    if (call.given[i] != nullptr) {
      return Wrong(call, "got several values for argument '" + std::string(name) + "'");
    }
    call.given[i] = value;
    return Status::Ok();
  }
  return Wrong(call, "got an unexpected keyword argument '" + std::string(name) + "'");
}

Status AddOperand(const Call& call, size_t i, PyObject* o, op::Values& inputs,
                  boost::container::small_vector<std::pair<size_t, PyObject*>, 2>& numbers) {
  if (PyTensor* t = TensorOf(o); t != nullptr) {
    inputs.push_back(t->value);
    return Status::Ok();
  }
  if (IsNumber(o)) {
    numbers.push_back({inputs.size(), o});
    inputs.push_back(nullptr);
    return Status::Ok();
  }
  return Wrong(call, "argument '" + call.binding.params[i].name + "' (position " +
                         std::to_string(i + 1) + ") must be Tensor, not " + TypeNameOf(o));
}

Status CollectInputs(const Call& call, op::Values& inputs) {
  const op::OpDef& def = *call.binding.def;
  boost::container::small_vector<std::pair<size_t, PyObject*>, 2> numbers;
  bool left_out = false;
  for (size_t i = 0; i < call.binding.params.size(); ++i) {
    const Param& p = call.binding.params[i];
    if (p.operand < 0) continue;
    PyObject* o = call.given[i];
    if (o == nullptr || o == Py_None) {
      if (!p.has_default && !def.inputs[static_cast<size_t>(p.operand)].optional) {
        return Wrong(call,
                     "missing argument '" + p.name + "' (position " + std::to_string(i + 1) + ")");
      }
      left_out = true;
      continue;
    }
    if (left_out) {
      return Wrong(call, "argument '" + p.name + "' is given but one before it is not");
    }
    if (def.inputs[static_cast<size_t>(p.operand)].variadic &&
        (PyTuple_Check(o) || PyList_Check(o))) {
      for (Py_ssize_t j = 0; j < PySequence_Fast_GET_SIZE(o); ++j) {
        OFL_TRY(AddOperand(call, i, PySequence_Fast_GET_ITEM(o, j), inputs, numbers));
      }
      continue;
    }
    OFL_TRY(AddOperand(call, i, o, inputs, numbers));
  }
  if (numbers.empty()) return Status::Ok();
  // The widest tensor beside it, but never a condition, says what a weak number becomes.
  op::Value beside;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool condition = def.InputAt(static_cast<int>(i)).name == "condition";
    if (inputs[i] != nullptr && (beside == nullptr || !condition)) beside = inputs[i];
  }
  if (beside == nullptr) return Wrong(call, "got no Tensor among its arguments");
  for (auto [at, number] : numbers) {
    OFL_ASSIGN(inputs[at], ScalarOperand(beside, number, def.name));
  }
  return Status::Ok();
}

Status CollectAttrs(const Call& call, Attrs& attrs) {
  for (size_t i = 0; i < call.binding.params.size(); ++i) {
    const Param& p = call.binding.params[i];
    if (p.attr == nullptr) continue;
    PyObject* o = call.given[i];
    if (o == nullptr || (o == Py_None && (p.has_default || p.attr->default_value))) {
      const bool drawn = call.binding.def->Has(op::Trait::kRandom) &&
                         (p.name == "seed" || p.name == "offset");  // the generator gives them
      if (o == nullptr && !p.has_default && !p.attr->default_value && !drawn) {
        return Wrong(call, "missing argument '" + p.name + "'");
      }
      continue;
    }
    AttrValue value = NoValue{};
    if (!(o == Py_None && p.attr->optional) && !AttrFrom(p.attr->type, o, &value)) {
      return Wrong(call, "argument '" + p.name + "' must be " + TypeText(p.attr->type) + ", not " +
                             TypeNameOf(o));
    }
    attrs.Set(p.name, std::move(value));
  }
  return Status::Ok();
}

// The number of a call of a binary operator on a tensor and a number, or null.
const PyObject* LoneNumber(const Call& call) {
  if (call.binding.params.size() != 2 || call.binding.def->inputs.size() != 2) return nullptr;
  PyObject* a = call.given[0];
  PyObject* b = call.given[1];
  if (a == nullptr || b == nullptr) return nullptr;
  const bool left = TensorOf(a) != nullptr, right = TensorOf(b) != nullptr;
  if (left && !right && IsNumber(b)) return b;
  if (right && !left && IsNumber(a)) return a;
  return nullptr;
}

Result<op::Values> RunCall(const Call& call) {
  op::Values inputs;
  Attrs attrs;
  const PyObject* number = LoneNumber(call);
  if (number != nullptr) {
    const bool left = call.given[0] == number;
    return RunWithNumber(*call.binding.def, TensorOf(call.given[left ? 1 : 0])->value,
                         call.given[left ? 0 : 1], left);
  }
  OFL_TRY(CollectInputs(call, inputs));
  OFL_TRY(CollectAttrs(call, attrs));
  const bool placed = call.placement != nullptr && call.placement != Py_None;
  const bool laid_out = call.sbp != nullptr && call.sbp != Py_None;
  OFL_ENSURE(placed == laid_out, Code::kInvalidArgument)
      << "[" << call.binding.name << "] got " << (placed ? "placement" : "sbp")
      << " alone; expected both placement and sbp for a global tensor or neither";
  if (!placed) return tensor::Dispatch(*call.binding.def, inputs, attrs);
  OFL_ASSIGN(Placement placement, PlacementFrom(call.placement));
  OFL_ASSIGN(sbp::NdSbp nd_sbp, NdSbpFrom(call.sbp));
  OFL_ASSIGN(
      op::Value made,
      tensor::DispatchSource(*call.binding.def, attrs,
                             std::make_shared<const sbp::Layout>(sbp::Layout{placement, nd_sbp})));
  return op::Values{std::move(made)};
}

PyObject* WrapResults(Result<op::Values> results) {
  if (!results.ok()) {
    SetError(results.status());
    return nullptr;
  }
  if (results->size() == 1) return WrapTensor(std::move((*results)[0]));
  if (results->empty()) Py_RETURN_NONE;
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(results->size()));
  for (size_t i = 0; tuple != nullptr && i < results->size(); ++i) {
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), WrapTensor(std::move((*results)[i])));
  }
  return tuple;
}

// Raw entry points stand outside nanobind's own catching.
template <class F>
PyObject* Caught(F&& body) {
  try {
    return body();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* CallSorted(OpBinding* binding, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  Call call{*binding};
  Status status = SortPositional(call, args, n);
  const Py_ssize_t keywords = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < keywords && status.ok(); ++i) {
    status = SortKeyword(call, PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i)), args[n + i]);
  }
  if (!status.ok()) {
    SetError(status);
    return nullptr;
  }
  TellTracer();
  return WrapResults(RunCall(call));
}

// METH_FASTCALL | METH_KEYWORDS; `self` is a capsule with the binding.
PyObject* CallBinding(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  auto* binding = static_cast<OpBinding*>(PyCapsule_GetPointer(self, nullptr));
  if (binding == nullptr) return nullptr;
  return Caught([&] { return CallSorted(binding, args, n, names); });
}

// --- the slots ------------------------------------------------------------------------------

const op::OpDef* slot_defs[5] = {};

Result<op::Values> RunBinary(const op::OpDef& def, PyObject* a, PyObject* b, PyTensor* x,
                             PyTensor* y) {
  if (x == nullptr) return RunWithNumber(def, y->value, a, true);
  if (y == nullptr) return RunWithNumber(def, x->value, b, false);
  const op::Value operands[2] = {x->value, y->value};
  return tensor::Dispatch(def, operands, {});
}

template <int kSlot>
PyObject* BinarySlot(PyObject* a, PyObject* b) {
  PyTensor* x = TensorOf(a);
  PyTensor* y = TensorOf(b);
  const bool numbers_allowed = kSlot != 4;
  if ((x == nullptr && !(numbers_allowed && IsNumber(a))) ||
      (y == nullptr && !(numbers_allowed && IsNumber(b)))) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  return Caught([&] {
    TellTracer();
    return WrapResults(RunBinary(*slot_defs[kSlot], a, b, x, y));
  });
}

// --- registration ---------------------------------------------------------------------------

void AddFunction(nb::module_& m, OpBinding& binding) {
  binding.method = {binding.name.c_str(),
                    reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&CallBinding)),
                    METH_FASTCALL | METH_KEYWORDS, binding.doc.c_str()};
  nb::object capsule = nb::steal(PyCapsule_New(&binding, nullptr, nullptr));
  nb::object module_name = nb::cast("oneflow_like._C");
  nb::object function =
      nb::steal(PyCFunction_NewEx(&binding.method, capsule.ptr(), module_name.ptr()));
  if (!function.is_valid()) throw nb::python_error();
  m.attr(binding.name.c_str()) = function;
  nb::object tensor_class = m.attr("Tensor");
  nb::object method = nb::steal(PyInstanceMethod_New(function.ptr()));
  for (const std::string& name : {binding.def->py_method, binding.def->py_dunder}) {
    static constexpr std::string_view kSlots[] = {"__add__", "__sub__", "__mul__", "__truediv__",
                                                  "__matmul__"};
    bool slotted = name.empty();
    for (std::string_view slot : kSlots) slotted |= name == slot;
    if (!slotted) tensor_class.attr(name.c_str()) = method;
  }
}

}  // namespace

PyObject* AddTensors(PyObject* a, PyObject* b) { return BinarySlot<0>(a, b); }
PyObject* SubTensors(PyObject* a, PyObject* b) { return BinarySlot<1>(a, b); }
PyObject* MulTensors(PyObject* a, PyObject* b) { return BinarySlot<2>(a, b); }
PyObject* DivTensors(PyObject* a, PyObject* b) { return BinarySlot<3>(a, b); }
PyObject* MatmulTensors(PyObject* a, PyObject* b) { return BinarySlot<4>(a, b); }

std::string ModulePath() {
  std::string path;
  for (const std::string& scope : module_scopes) path += (path.empty() ? "" : ".") + scope;
  return path;
}

void TellTracer() {
  tensor::Tracer* tracer = tensor::CurrentTracer();
  if (tracer == nullptr) return;
  UserLine at = FindUserLine();
  tracer->SetScope({std::move(at.file), at.line, ModulePath()});
}

void BindOps(nb::module_& m) {
  PrepareScalars();
  static auto* bindings = new std::deque<OpBinding>;  // functions point into it for ever
  for (const op::OpDef* def : op::OpRegistry::Get().all()) {
    if (def->py_signature.empty()) continue;
    bindings->push_back(Unwrap(ParseSignature(*def)));
    AddFunction(m, bindings->back());
  }
  const char* slots[] = {"add", "sub", "mul", "div", "matmul"};
  for (int i = 0; i < 5; ++i) slot_defs[i] = Unwrap(op::OpRegistry::Get().Require(slots[i]));
  m.def("is_tracing", [] { return tensor::CurrentTracer() != nullptr; });
  m.def("push_scope", [](const char* name) { module_scopes.emplace_back(name); });
  m.def("pop_scope", [] {
    if (!module_scopes.empty()) module_scopes.pop_back();
  });
  m.def("op_names", [] {
    nb::list names;
    for (const op::OpDef* def : op::OpRegistry::Get().all()) names.append(def->name.c_str());
    return names;
  });
}

}  // namespace ofl::python
