// Operators as Python functions and methods, all from the registry.
#include <nanobind/stl/string.h>

#include <algorithm>
#include <map>
#include <string>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/arguments.h"
#include "python/src/arith.h"
#include "python/src/module.h"
#include "python/src/scalars.h"
#include "python/src/signature.h"

namespace ofl::python {
namespace {

thread_local std::vector<std::string> module_scopes;  // as the tracer: a thread's own

// A Python function or method: the overloads of one name.
struct Function {
  std::string name;
  std::string doc;
  std::vector<OpBinding> overloads;
  bool in_place = false;            // the result goes into the first argument
  PyObject* result_type = nullptr;  // the named tuple of several results
  PyMethodDef method{};
};

// --- one call -------------------------------------------------------------------------------

// The arguments under the first overload that they fit. With several, the error names them all.
Result<Arguments> FirstFit(const Function& function, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) {
  Status first;
  for (const OpBinding& overload : function.overloads) {
    auto arguments = SortArguments(overload, args, count, keywords);
    if (arguments.ok()) return arguments;
    if (function.overloads.size() == 1) return arguments.status();
    if (first.ok()) first = arguments.status();
  }
  std::string got, expected;
  for (Py_ssize_t i = 0; i < count; ++i) got += (i > 0 ? ", " : "") + TypeNameOf(args[i]);
  for (const OpBinding& overload : function.overloads)
    expected += (expected.empty() ? "" : "; or ") + overload.signature;
  return Error(Code::kTypeMismatch)
         << "[" << function.name << "] no form takes these arguments: got "
         << (got.empty() ? "none" : got) << " (" << first.message() << "); expected " << expected;
}

bool MustRecord(const Arguments& call) {
  if (!tensor::Context::grad_enabled()) return false;
  for (const op::Value& v : call.inputs)
    if (v != nullptr && !v->is_symbolic() && tensor::AsTensor(v)->requires_grad()) return true;
  return false;
}

// Puts the result into a tensor that exists; in a graph the name takes the new value.
Status RunInto(const Function& function, const Arguments& call, PyTensor& target) {
  const bool symbolic = target.value->is_symbolic();
  const bool records =
      !symbolic && (MustRecord(call) || (tensor::Context::grad_enabled() &&
                                         tensor::AsTensor(target.value)->requires_grad()));
  OFL_ENSURE(function.in_place || !records, Code::kFailedPrecondition)
      << "[" << function.name << "] functions with out=... are not recorded: got "
      << tensor::Describe(*target.value) << " and an operand that requires grad; expected to run "
      << "under no_grad(), or no out";
  if (symbolic || records || tensor::CurrentTracer() != nullptr) {
    OFL_ASSIGN(op::Values results, tensor::Dispatch(*call.def, call.inputs, call.attrs));
    Rebind(target, PyTensor{std::move(results[0])});
    return Status::Ok();
  }
  return tensor::DispatchInto(*call.def, call.inputs, call.attrs,
                              tensor::TensorRef(tensor::AsTensor(target.value)));
}

Result<op::Values> Run(const Arguments& call) {
  if (call.placement == nullptr) return tensor::Dispatch(*call.def, call.inputs, call.attrs);
  OFL_ASSIGN(Placement placement, PlacementFrom(call.placement));
  OFL_ASSIGN(sbp::NdSbp nd_sbp, NdSbpFrom(call.sbp));
  OFL_ASSIGN(
      op::Value made,
      tensor::DispatchSource(*call.def, call.attrs,
                             std::make_shared<const sbp::Layout>(sbp::Layout{placement, nd_sbp})));
  return op::Values{std::move(made)};
}

PyObject* WrapResults(Result<op::Values> results, PyObject* result_type) {
  if (!results.ok()) {
    SetError(results.status());
    return nullptr;
  }
  if (results->size() == 1) return WrapTensor(std::move((*results)[0]));
  if (results->empty()) Py_RETURN_NONE;
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(results->size())));
  for (size_t i = 0; tuple.is_valid() && i < results->size(); ++i) {
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), WrapTensor(std::move((*results)[i])));
  }
  if (result_type == nullptr || !tuple.is_valid()) return tuple.release().ptr();
  return PyObject_CallObject(result_type, tuple.ptr());
}

// Raw entry points stand outside nanobind's own catching.
template <class F>
PyObject* Caught(F&& body) {
  try {
    return body();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "an argument has the wrong type");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* CallFunction(const Function& function, PyObject* const* args, Py_ssize_t n,
                       PyObject* names) {
  auto call = FirstFit(function, args, n, names);
  if (!call.ok()) {
    SetError(call.status());
    return nullptr;
  }
  PyObject* into = call->out;
  if (function.in_place) into = n > 0 ? args[0] : Py_None;
  TellTracer();
  if (into != nullptr) {
    if (TensorOf(into) == nullptr) {
      SetError(Error(Code::kTypeMismatch)
               << "[" << function.name << "] the result has no tensor to go into: got "
               << TypeNameOf(into) << "; expected the tensor first: x." << function.name
               << "(...)");
      return nullptr;
    }
    if (Status done = RunInto(function, *call, *TensorOf(into)); !done.ok()) {
      SetError(done);
      return nullptr;
    }
    return Py_NewRef(into);
  }
  Result<op::Values> results = Run(*call);
  const bool leaf = call->requires_grad && results.ok() && !(*results)[0]->is_symbolic();
  if (leaf) tensor::AsTensor((*results)[0])->set_requires_grad(true);
  return WrapResults(std::move(results), function.result_type);
}

// METH_FASTCALL | METH_KEYWORDS; `self` is a capsule with the function.
PyObject* CallCapsule(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  auto* function = static_cast<Function*>(PyCapsule_GetPointer(self, nullptr));
  if (function == nullptr) return nullptr;
  return Caught([&] { return CallFunction(*function, args, n, names); });
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
  return Caught([&]() -> PyObject* {
    PyTensor* x = TensorOf(a);
    PyTensor* y = TensorOf(b);
    const bool numbers_allowed = kSlot != 4;
    if ((x == nullptr && !(numbers_allowed && IsNumber(a))) ||
        (y == nullptr && !(numbers_allowed && IsNumber(b)))) {
      Py_RETURN_NOTIMPLEMENTED;
    }
    TellTracer();
    return WrapResults(RunBinary(*slot_defs[kSlot], a, b, x, y), nullptr);
  });
}

// --- registration ---------------------------------------------------------------------------

using Table = std::map<std::string, Function>;  // functions live for ever: Python points to them

void AddOverload(Table& table, const std::string& name, const op::OpDef& def, OpBinding binding) {
  Function& function = table[name];
  function.name = name;
  const std::string text = binding.signature.substr(binding.signature.find('('));
  function.doc +=
      (function.doc.empty() ? name + text + "\n--\n\n" : "\n\n" + name + text + "\n") + def.doc;
  if (def.outputs.size() > 1 && function.result_type == nullptr && !def.outputs.back().variadic) {
    nb::list fields;
    for (const op::Output& output : def.outputs) fields.append(output.name);
    nb::object made = nb::module_::import_("collections").attr("namedtuple")(name, fields);
    function.result_type = made.release().ptr();
  }
  function.overloads.push_back(std::move(binding));
}

nb::object Callable(Function& function) {
  function.method = {function.name.c_str(),
                     reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&CallCapsule)),
                     METH_FASTCALL | METH_KEYWORDS, function.doc.c_str()};
  const nb::object capsule = nb::steal(PyCapsule_New(&function, nullptr, nullptr));
  const nb::object module_name = nb::cast("oneflow_like._C");
  nb::object made =
      nb::steal(PyCFunction_NewEx(&function.method, capsule.ptr(), module_name.ptr()));
  if (!made.is_valid()) throw nb::python_error();
  return made;
}

void AddMethods(nb::module_& m, Table& methods) {
  static constexpr std::string_view kSlots[] = {"__add__", "__sub__", "__mul__", "__truediv__",
                                                "__matmul__"};
  nb::object tensor_class = m.attr("Tensor");
  for (auto& [name, function] : methods) {
    if (std::ranges::find(kSlots, name) != std::end(kSlots)) continue;
    tensor_class.attr(name.c_str()) = nb::steal(PyInstanceMethod_New(Callable(function).ptr()));
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
  static auto* functions = new Table;
  static auto* methods = new Table;
  nb::list of_flow, of_functional;
  for (const op::OpDef* def : op::OpRegistry::Get().all()) {
    for (size_t i = 0; i < def->py.size(); ++i) {
      const OpBinding binding = Unwrap(ParseSignature(*def, def->py[i]));
      if (def->is_public) of_flow.append(binding.name);
      if (def->is_functional) of_functional.append(binding.name);
      AddOverload(*functions, binding.name, *def, binding);
      if (i > 0) continue;
      for (const std::string& name : {def->py_method, def->py_dunder})
        if (!name.empty()) AddOverload(*methods, name, *def, binding);
      if (!HasInPlaceForm(*def)) continue;
      AddOverload(*methods, def->py_method + "_", *def, binding);
      (*methods)[def->py_method + "_"].in_place = true;
    }
  }
  for (auto& [name, function] : *functions) m.attr(name.c_str()) = Callable(function);
  AddMethods(m, *methods);
  m.attr("public_functions") = of_flow;
  m.attr("nn_functions") = of_functional;
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
