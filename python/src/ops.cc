// Operators as Python functions and methods, all from the registry.
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/arguments.h"
#include "python/src/arith.h"
#include "python/src/convert.h"
#include "python/src/errors.h"
#include "python/src/host_memory.h"
#include "python/src/module.h"
#include "python/src/reference.h"
#include "python/src/scalars.h"
#include "python/src/signature.h"

namespace ofl::python {
namespace {

thread_local std::vector<std::string> module_scopes;  // as the tracer: a thread's own

// A Python function or method: the overloads of one name.
struct Function {
  std::string name;
  std::string shown;  // as errors call it: nn_functional_softmax is softmax, __pow__ is pow
  std::string doc;
  std::vector<OpBinding> overloads;
  uint32_t contested = 0;           // positions where one overload has an operand, one an attribute
  bool in_place = false;            // the result goes into the first argument
  bool is_operator = false;         // of Python, as __eq__
  PyObject* result_type = nullptr;  // the named tuple of several results
  PyMethodDef method{};
};

// --- one call -------------------------------------------------------------------------------

// What several overloads say of arguments that fit none.
Status NoneFits(const Function& function, PyObject* const* args, Py_ssize_t count,
                const Status& first) {
  std::string got, expected;
  for (Py_ssize_t i = 0; i < count; ++i) got += (i > 0 ? ", " : "") + TypeNameOf(args[i]);
  for (const OpBinding& overload : function.overloads)
    expected += (expected.empty() ? "" : "; or ") + overload.signature;
  return Error(Code::kTypeMismatch)
         << "[" << function.shown << "] no form takes these arguments: got "
         << (got.empty() ? "none" : got) << " (" << first.message() << "); expected " << expected;
}

// The arguments under the first overload of those whose kinds they are; where there is none, under
// the first that converts them. The error is that of the only one whose kinds fit, or names all.
Result<Arguments> FirstFit(const Function& function, PyObject* const* args, Py_ssize_t count,
                           PyObject* keywords) {
  if (function.overloads.size() == 1)
    return SortArguments(function.overloads[0], args, count, keywords);
  Status first;
  int fitting = 0;
  for (const bool by_kind : {true, false}) {
    if (!by_kind && fitting > 0) break;
    for (const OpBinding& overload : function.overloads) {
      if (by_kind && !MayFit(overload, args, count, keywords, function.contested)) continue;
      auto arguments = SortArguments(overload, args, count, keywords);
      if (arguments.ok()) return arguments;
      if (first.ok()) first = arguments.status();
      fitting += by_kind;
    }
  }
  return fitting == 1 ? first : NoneFits(function, args, count, first);
}

bool MustRecord(const Arguments& call) {
  if (!tensor::Context::grad_enabled()) return false;
  for (const op::Value& v : call.inputs)
    if (v != nullptr && !v->is_symbolic() && tensor::AsTensor(v)->requires_grad()) return true;
  return false;
}

// The layout of what is made like a tensor: that of the tensor, where the call gives no other.
// Null: local. What is partial in the tensor is whole in the result, and so is what is split along
// an axis that the result has not.
Result<tensor::LayoutRef> LayoutLike(const Arguments& call) {
  const op::Value& like = call.like;
  tensor::Tracer* tracer = like->is_symbolic() ? tensor::CurrentTracer() : nullptr;
  bool global = like->layout() != nullptr;
  if (tracer != nullptr) {
    OFL_ASSIGN(global, tracer->IsGlobal(like));
  }
  OFL_ENSURE(global || (call.placement == nullptr) == (call.sbp == nullptr), Code::kInvalidArgument)
      << "[" << call.def->name << "] got "
      << (call.placement != nullptr ? "sbp=None" : "placement=None") << " beside a local tensor; "
      << "expected both placement and sbp for a global tensor or neither for a local one";
  if (!global && call.placement == nullptr) return tensor::LayoutRef();
  sbp::Layout layout;
  if (global && (call.placement == nullptr || call.sbp == nullptr)) {
    if (tracer == nullptr) {
      layout = *like->layout();
    } else if (call.sbp == nullptr) {
      OFL_ASSIGN(layout, tracer->PinnedLayout(like));
    } else {
      layout.placement = tracer->PlacementOf(like);
    }
    const auto* shape = call.attrs.Maybe<std::vector<int64_t>>("shape");  // new_zeros(shape)
    for (int i = 0; i < layout.nd_sbp.rank(); ++i) {
      sbp::Sbp& symbol = layout.nd_sbp[i];
      const bool beyond = shape != nullptr && symbol.is_split() &&
                          symbol.axis() >= static_cast<int64_t>(shape->size());
      if (symbol.is_partial() || beyond) symbol = sbp::Sbp::Broadcast();
    }
  }
  if (call.placement != nullptr) {
    OFL_ASSIGN(layout.placement, PlacementFrom(call.placement));
  }
  if (call.sbp != nullptr) {
    OFL_ASSIGN(layout.nd_sbp, NdSbpFrom(call.sbp));
  }
  return std::make_shared<const sbp::Layout>(std::move(layout));
}

Result<op::Values> RunLike(const Arguments& call) {
  tensor::Tracer* tracer = tensor::CurrentTracer();
  if (call.like->is_symbolic() && tracer != nullptr && call.placement == nullptr &&
      call.sbp == nullptr) {
    OFL_ASSIGN(const bool global, tracer->IsGlobal(call.like));
    OFL_ASSIGN(op::Values made, tensor::Dispatch(*call.def, {}, call.attrs, call.generator));
    if (!global) return made;
    OFL_ASSIGN(made[0], tracer->LaidLike(made[0], call.like));  // pins nothing
    return made;
  }
  OFL_ASSIGN(const tensor::LayoutRef layout, LayoutLike(call));
  if (layout == nullptr) return tensor::Dispatch(*call.def, {}, call.attrs, call.generator);
  OFL_ASSIGN(op::Value made, tensor::DispatchSource(*call.def, call.attrs, layout, call.generator));
  return op::Values{std::move(made)};
}

Result<op::Values> Run(const Arguments& call) {
  if (call.like != nullptr) return RunLike(call);
  if (call.placement == nullptr)
    return tensor::Dispatch(*call.def, call.inputs, call.attrs, call.generator);
  OFL_ASSIGN(Placement placement, PlacementFrom(call.placement));
  OFL_ASSIGN(sbp::NdSbp nd_sbp, NdSbpFrom(call.sbp));
  OFL_ASSIGN(
      op::Value made,
      tensor::DispatchSource(*call.def, call.attrs,
                             std::make_shared<const sbp::Layout>(sbp::Layout{placement, nd_sbp}),
                             call.generator));
  return op::Values{std::move(made)};
}

// Before a result goes into a target: one that holds nothing takes the shape, as in torch.
void TakeShape(PyTensor& target, const op::Value& result) {
  if (target.value->is_symbolic() || tensor::CurrentTracer() != nullptr) return;
  const tensor::TensorRef into(tensor::AsTensor(target.value));
  const Shape& shape = result->meta().shape;
  if (into->meta().shape.numel() > 0 || into->meta().shape == shape || into->is_global() ||
      into->requires_grad() || result->layout() != nullptr)
    return;
  target.value = op::Value(Unwrap(tensor::EmptyLocal({into->meta().dtype, shape})));
  NoteWrite();
}

// Whether an operator makes a view of its first operand: then its in-place form, t_(), gives the
// tensor the view's shape, and no element moves. A composite shows it when it is run.
Result<bool> GivesView(const Arguments& call) {
  const op::OpDef& def = *call.def;
  if (def.view != nullptr) return true;
  if (!def.composite || def.Has(op::Trait::kElementwise) || call.inputs.size() != 1) return false;
  static auto* known = new std::map<const op::OpDef*, bool>;
  if (const auto at = known->find(&def); at != known->end()) return at->second;
  const tensor::TracerPause eagerly;
  const tensor::GradModeGuard off(false);
  OFL_ASSIGN(const tensor::TensorRef probe, tensor::EmptyLocal(call.inputs[0]->meta()));
  OFL_ASSIGN(const op::Values made,
             tensor::Dispatch(def, std::array{op::Value(probe)}, call.attrs));
  const tensor::TensorImpl* view = made.size() == 1 ? tensor::AsTensor(made[0]) : nullptr;
  if (view == probe.get()) return true;  // as it is already, which says nothing of other calls
  return (*known)[&def] = view != nullptr && view->storage() == probe->storage();
}

// The tensor as its own view, under the same handle.
Status TakeView(const Function& function, const Arguments& call, PyTensor& target) {
  const bool traced = tensor::CurrentTracer() != nullptr;
  OFL_ENSURE(traced == target.value->is_symbolic(), Code::kFailedPrecondition)
      << "[" << function.shown << "] a tensor from outside build() takes no other shape inside a "
      << "graph: got " << tensor::Describe(*target.value)
      << "; expected a value made in build(); use the form without _";
  if (traced) {
    OFL_ASSIGN(op::Values results, Run(call));
    target.value = std::move(results[0]);
    return Status::Ok();
  }
  const tensor::TensorRef x(tensor::AsTensor(target.value));
  const tensor::TensorImpl* root = x->origin() != nullptr ? x->origin()->root : x.get();
  const bool grows = x->requires_grad() || root->requires_grad();
  OFL_ENSURE(!grows || !tensor::Context::grad_enabled() || !root->is_leaf(),
             Code::kFailedPrecondition)
      << "[" << function.shown << "] a leaf Tensor that requires grad, or a view of one, is being "
      << "used in an in-place operation: got " << tensor::Describe(*x)
      << "; expected to run under no_grad()";
  OFL_ASSIGN(op::Values results, Run(call));
  if (results[0] == target.value) return Status::Ok();
  tensor::TensorRef made(tensor::AsTensor(results[0]));
  if (!grows && x->origin() == nullptr && made->storage() == x->storage()) {
    const uint64_t claim = made->claim();
    // A global one remembers that ranks may differ in how it lies.
    made = made->is_global() ? made->Detach()
                             : made->As(made->meta(), nullptr, made->local_shape(), made->strides(),
                                        made->offset_bytes());
    made->set_claim(claim);
  } else if (x->requires_grad() && x->is_leaf()) {
    made = made->Detach();
    made->set_requires_grad(true);
  }
  target.value = op::Value(made);
  NoteWrite();
  return Status::Ok();
}

// Puts the result into a tensor that exists; in a graph the name takes the new value.
Status RunInto(const Function& function, const Arguments& call, PyTensor& target) {
  if (function.in_place) {
    OFL_ASSIGN(const bool view, GivesView(call));
    if (view) return TakeView(function, call, target);
  }
  const bool traced = target.value->is_symbolic() || tensor::CurrentTracer() != nullptr;
  const bool records =
      !traced && (MustRecord(call) || (tensor::Context::grad_enabled() &&
                                       tensor::AsTensor(target.value)->requires_grad()));
  OFL_ENSURE(function.in_place || call.in_place || !records, Code::kFailedPrecondition)
      << "[" << function.shown << "] functions with out=... are not recorded: got "
      << tensor::Describe(*target.value) << " and an operand that requires grad; expected to run "
      << "under no_grad(), or no out";
  if (!traced && !function.in_place && !call.in_place && call.like == nullptr &&
      target.value->meta().shape.numel() == 0 && target.value->layout() == nullptr) {
    OFL_ASSIGN(const op::Values results, Run(call));  // it may take the result's shape
    TakeShape(target, results[0]);
    return tensor::WriteInto(tensor::TensorRef(tensor::AsTensor(results[0])),
                             tensor::TensorRef(tensor::AsTensor(target.value)), function.shown);
  }
  if (traced || call.like != nullptr) {
    OFL_ASSIGN(op::Values results, Run(call));
    return TryRebind(target, PyTensor{std::move(results[0])});
  }
  const tensor::TensorRef into(tensor::AsTensor(target.value));
  if (function.in_place || call.in_place) {
    const bool before = into->requires_grad();
    OFL_TRY(tensor::DispatchInPlace(*call.def, call.inputs, call.attrs, into, call.generator));
    if (into->requires_grad() != before) NoteWrite();
    return Status::Ok();
  }
  return tensor::DispatchInto(*call.def, call.inputs, call.attrs, into, call.generator);
}

// Several results go into as many tensors.
Status RunIntoSeveral(const Function& function, const Arguments& call, PyObject* targets) {
  OFL_ENSURE(!MustRecord(call), Code::kFailedPrecondition)
      << "[" << function.shown << "] functions with out=... are not recorded: got an operand that "
      << "requires grad; expected to run under no_grad(), or no out";
  OFL_ASSIGN(op::Values results, Run(call));
  for (size_t i = 0; i < results.size(); ++i) {
    PyTensor& target = *TensorOf(PySequence_Fast_GET_ITEM(targets, static_cast<Py_ssize_t>(i)));
    OFL_ENSURE(target.value->meta().dtype == results[i]->meta().dtype, Code::kTypeMismatch)
        << "[" << function.shown << "] a target of out=... has another dtype than its result: got "
        << tensor::Describe(*target.value) << "; expected " << DTypeName(results[i]->meta().dtype);
    TakeShape(target, results[i]);
    if (target.value->is_symbolic() || tensor::CurrentTracer() != nullptr) {
      OFL_TRY(TryRebind(target, PyTensor{std::move(results[i]), {}}));
      continue;
    }
    OFL_TRY(tensor::WriteInto(tensor::TensorRef(tensor::AsTensor(results[i])),
                              tensor::TensorRef(tensor::AsTensor(target.value)), function.shown));
  }
  return Status::Ok();
}

// `list`: the number of results is the operator's to say.
PyObject* WrapResults(Result<op::Values> results, PyObject* result_type, std::string_view called,
                      bool list = false) {
  if (!results.ok()) {
    SetErrorOf(results.status(), called);
    return nullptr;
  }
  if (results->size() == 1 && !list) return WrapTensor(std::move((*results)[0]));
  if (results->empty() && !list) Py_RETURN_NONE;
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(results->size())));
  for (size_t i = 0; tuple.is_valid() && i < results->size(); ++i) {
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), WrapTensor(std::move((*results)[i])));
  }
  if (result_type == nullptr || !tuple.is_valid()) return tuple.release().ptr();
  return PyObject_CallObject(result_type, tuple.ptr());
}

// requires_grad=True of what was just made.
Status MakeLeaf(const Function& function, const op::Values& results) {
  OFL_ENSURE(!results[0]->is_symbolic(), Code::kFailedPrecondition)
      << "[" << function.shown << "] requires_grad was set inside build() of a graph: got True; "
      << "expected False; make the tensor before the call";
  tensor::TensorImpl* made = tensor::AsTensor(results[0]);
  OFL_ENSURE(IsDifferentiable(made->meta().dtype), Code::kInvalidArgument)
      << "[" << function.name
      << "] only floating tensors and complex ones can require gradients: got "
      << tensor::Describe(*made) << "; expected a floating or complex dtype";
  made->set_requires_grad(true);
  return Status::Ok();
}

// What may stand beside a tensor at an operator; of others Python asks their own class.
bool IsOperand(PyObject* object) {
  return TensorOf(object) != nullptr || IsNumber(object) || IsArray(object);
}

PyObject* CallFunction(const Function& function, PyObject* const* args, Py_ssize_t n,
                       PyObject* names) {
  auto call = FirstFit(function, args, n, names);
  if (!call.ok()) {
    if (function.is_operator && n == 2 && !IsOperand(args[1])) Py_RETURN_NOTIMPLEMENTED;
    SetErrorOf(call.status(), function.shown);
    return nullptr;
  }
  PyObject* into = call->out;
  if (function.in_place) into = n > 0 ? args[0] : Py_None;
  TellTracer();
  if (into != nullptr && !function.in_place && call->def->outputs.size() > 1) {
    if (Status done = RunIntoSeveral(function, *call, into); !done.ok()) {
      SetErrorOf(done, function.shown);
      return nullptr;
    }
    const nb::object targets = nb::steal(PySequence_Tuple(into));
    if (!targets.is_valid()) return nullptr;
    return PyObject_CallObject(function.result_type, targets.ptr());
  }
  if (into != nullptr) {
    if (TensorOf(into) == nullptr) {
      SetErrorOf(Error(Code::kTypeMismatch)
                     << "[" << function.shown << "] the result has no tensor to go into: got "
                     << TypeNameOf(into) << "; expected the tensor first: x." << function.name
                     << "(...)",
                 function.shown);
      return nullptr;
    }
    if (Status done = RunInto(function, *call, *TensorOf(into)); !done.ok()) {
      SetErrorOf(done, function.shown);
      return nullptr;
    }
    return Py_NewRef(into);
  }
  Result<op::Values> results = Run(*call);
  if (call->requires_grad && results.ok()) {
    if (Status leaf = MakeLeaf(function, *results); !leaf.ok()) {
      SetErrorOf(leaf, function.shown);
      return nullptr;
    }
  }
  // A composite that has nothing to do returns its operand: the same object.
  PyTensor* self = n > 0 && call->def->composite && results.ok() ? TensorOf(args[0]) : nullptr;
  if (self != nullptr && results->size() == 1 && (*results)[0] == self->value)
    return Py_NewRef(args[0]);
  const bool list = !call->def->outputs.empty() && call->def->outputs.back().variadic;
  return WrapResults(std::move(results), function.result_type, function.shown, list);
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
    PyTensor array;  // one of NumPy's, as a tensor
    if ((x == nullptr && IsArray(a)) || (y == nullptr && IsArray(b))) {
      array.value = ArrayValue(x == nullptr ? a : b);
      (x == nullptr ? x : y) = &array;
    }
    const bool numbers_allowed = kSlot != 4;
    if (!numbers_allowed && x != nullptr && y == nullptr && HasAttr(b, "__array_ufunc__")) {
      // NumPy's reflected operator would make an array of the tensor.
      SetError(Error(Code::kTypeMismatch)
               << "[matmul] an operand has the wrong type: got " << TypeNameOf(b)
               << "; expected a Tensor; flow.from_numpy(array) makes one");
      return nullptr;
    }
    if ((x == nullptr && !(numbers_allowed && IsNumber(a))) ||
        (y == nullptr && !(numbers_allowed && IsNumber(b)))) {
      Py_RETURN_NOTIMPLEMENTED;
    }
    TellTracer();
    const op::OpDef& def = *slot_defs[kSlot];
    return WrapResults(RunBinary(def, a, b, x, y), nullptr, def.name);
  });
}

// --- registration ---------------------------------------------------------------------------

using Table = std::map<std::string, Function>;  // functions live for ever: Python points to them

// What errors call a function: by the name it is shown under, without the namespace of layers. An
// operator of Python has the name of what computes it.
std::string ShownName(const std::string& name, const OpBinding& binding, const op::PyBinding* py) {
  constexpr std::string_view kLayers = "nn.functional.";
  if (name.starts_with("__")) {
    const std::string& of = binding.def->name;
    return of.substr(0, of.ends_with("_scalar") ? of.size() - sizeof("_scalar") + 1 : of.npos);
  }
  if (py == nullptr) return name;
  for (const std::string& path : py->shown) {
    std::string joined = path;
    std::ranges::replace(joined, '.', '_');
    if (joined == name) return path.starts_with(kLayers) ? path.substr(kLayers.size()) : path;
  }
  return name;
}

void AddOverload(Table& table, const std::string& name, OpBinding binding, bool in_place,
                 const op::PyBinding* py = nullptr) {
  Function& function = table[name];
  const op::OpDef& def = *binding.def;
  function.name = name;
  if (function.shown.empty()) function.shown = ShownName(name, binding, py);
  function.in_place = in_place;
  function.is_operator = name.starts_with("__") && name.ends_with("__");
  binding.name = name;
  binding.in_place = in_place;
  binding.signature = SignatureText(binding);
  const std::string text = binding.signature + (function.doc.empty() ? "\n--\n\n" : "\n\n");
  function.doc += (function.doc.empty() ? "" : "\n\n") + text + ReferenceText(binding);
  if (!function.is_operator) binding.name = function.shown;
  binding.signature = SignatureText(binding);
  if (def.outputs.size() > 1 && function.result_type == nullptr && !def.outputs.back().variadic) {
    nb::list fields;
    for (const op::Output& output : def.outputs) fields.append(output.name);
    nb::object made = nb::module_::import_("collections").attr("namedtuple")(name, fields);
    function.result_type = made.release().ptr();
  }
  function.overloads.push_back(std::move(binding));
}

// Where the overloads of one name differ in what a position is.
void FindContested(Function& function) {
  uint32_t operands = 0, attrs = 0;
  for (const OpBinding& binding : function.overloads) {
    for (int i = 0; i < std::min(binding.num_positional, 32); ++i)
      (binding.params[i].attr != nullptr ? attrs : operands) |= 1u << i;
  }
  function.contested = operands & attrs;
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

void AddMethods(nb::module_& m, Table& methods, Table& properties) {
  static constexpr std::string_view kSlots[] = {"__add__", "__sub__", "__mul__", "__truediv__",
                                                "__matmul__"};
  nb::object tensor_class = m.attr("Tensor");
  for (auto& [name, function] : methods) {
    if (std::ranges::find(kSlots, name) != std::end(kSlots)) continue;
    tensor_class.attr(name.c_str()) = nb::steal(PyInstanceMethod_New(Callable(function).ptr()));
  }
  const nb::handle property(reinterpret_cast<PyObject*>(&PyProperty_Type));
  for (auto& [name, function] : properties) {
    const std::string& doc = function.overloads[0].def->doc;
    tensor_class.attr(name.c_str()) = property(Callable(function), nb::none(), nb::none(), doc);
  }
}

// By namespace ("" is flow), the functions of the module that it shows, by their names there.
using Namespaces = std::map<std::string, std::map<std::string, std::string>>;

void ShowIn(Namespaces& namespaces, const op::PyBinding& binding) {
  for (const std::string& path : binding.shown) {
    const size_t dot = path.rfind('.');
    const std::string of = dot == path.npos ? "" : path.substr(0, dot);
    const auto [shown, fresh] =
        namespaces[of].try_emplace(path.substr(dot + 1), op::NameOf(binding));
    if (!fresh && binding.apart) shown->second = op::NameOf(binding);
  }
}

void AddFunctions(nb::module_& m, Table& functions, const Namespaces& namespaces) {
  for (auto& [name, function] : functions) m.attr(name.c_str()) = Callable(function);
  nb::dict all;
  for (const auto& [of, names] : namespaces) {
    nb::dict shown;
    for (const auto& [name, function] : names) shown[name.c_str()] = function;
    all[of.c_str()] = shown;
  }
  m.attr("namespaces") = all;
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
  static auto* properties = new Table;
  Namespaces namespaces;
  for (const op::OpDef* def : op::OpRegistry::Get().all()) {
    std::vector<OpBinding> bindings;
    for (const op::PyBinding& py : def->py) {
      const OpBinding& binding = bindings.emplace_back(Unwrap(ParseSignature(*def, py)));
      if (py.function) AddOverload(*functions, binding.name, binding, binding.in_place, &py);
      ShowIn(namespaces, py);
    }
    for (const Method& method : MethodsOf(*def))
      for (size_t i : method.bindings)
        AddOverload(*methods, method.name, bindings[i], method.in_place);
    for (const std::string& name : def->py_properties)
      AddOverload(*properties, name, bindings[PropertyBinding(*def, name)], false);
  }
  for (Table* table : {functions, methods})
    for (auto& [name, function] : *table) FindContested(function);
  AddFunctions(m, *functions, namespaces);
  AddMethods(m, *methods, *properties);
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
