#include "python/src/arguments.h"

#include <boost/container/small_vector.hpp>

#include <algorithm>
#include <limits>
#include <string>

#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/tensor/tensor.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"
#include "python/src/device.h"
#include "python/src/generator.h"
#include "python/src/host_memory.h"
#include "python/src/scalars.h"

namespace ofl::python {
namespace {

constexpr size_t kMaxParams = 24;

// --- attributes -----------------------------------------------------------------------------

const char* TypeText(op::AttrType type) {
  switch (type) {
    case op::AttrType::kInts: return "int or tuple of ints";
    case op::AttrType::kFloats: return "tuple of floats";
    case op::AttrType::kDType: return "oneflow_like.dtype";
    default: return op::AttrTypeName(type);
  }
}

bool FloatsFrom(PyObject* o, std::vector<double>* out) {
  if (!PyTuple_Check(o) && !PyList_Check(o)) return false;
  const nb::object items = ItemsOf(o);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.ptr()); ++i) {
    double one = 0;
    if (!FloatFrom(PyTuple_GET_ITEM(items.ptr(), i), &one)) return false;
    out->push_back(one);
  }
  return true;
}

// As in torch a tensor without axes that no gradient reaches is a number.
nb::object PlainNumber(PyObject* o) {
  const PyTensor* tensor = PyFloat_CheckExact(o) || PyLong_CheckExact(o) ? nullptr : TensorOf(o);
  if (tensor == nullptr || tensor->value->meta().shape.rank() != 0) return nb::borrow(o);
  const op::Value& value = tensor->value;
  if (!value->is_symbolic() && tensor::AsTensor(value)->requires_grad()) return nb::borrow(o);
  nb::object item = nb::steal(PyObject_CallMethod(o, "item", nullptr));
  if (!item.is_valid()) throw nb::python_error();
  return item;
}

}  // namespace

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
      if (!FloatFrom(PlainNumber(o).ptr(), &v)) return false;
      *out = v;
      return true;
    }
    case op::AttrType::kFloats: {
      std::vector<double> v;
      if (!FloatsFrom(o, &v)) return false;
      *out = std::move(v);
      return true;
    }
    case op::AttrType::kScalar: return NumberFrom(PlainNumber(o).ptr(), out);
    case op::AttrType::kString: {
      if (!PyUnicode_Check(o)) return false;
      const char* text = PyUnicode_AsUTF8(o);
      if (text == nullptr) throw nb::python_error();  // no UTF-8
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

namespace {

// --- sorting --------------------------------------------------------------------------------

struct Call {
  const OpBinding& binding;
  PyObject* given[kMaxParams] = {};
  nb::object gathered;  // the tuple of trailing integers or tensors, while the call lasts
  PyObject* placement = nullptr;
  PyObject* sbp = nullptr;
  PyObject* out = nullptr;
  PyObject* requires_grad = nullptr;
  PyObject* device = nullptr;
};

Status Wrong(const Call& call, const std::string& what, const char* fix = "") {
  return Error(Code::kTypeMismatch) << "[" << call.binding.name << "] " << what << "; expected "
                                    << call.binding.signature << fix;
}

Status SortPositional(Call& call, PyObject* const* args, Py_ssize_t n) {
  const OpBinding& b = call.binding;
  for (Py_ssize_t i = 0; i < n; ++i) {
    if (i == b.num_positional - 1 && b.params[static_cast<size_t>(i)].gathers &&
        (i < n - 1 || !(PyTuple_Check(args[i]) || PyList_Check(args[i])))) {
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

std::string ReprOf(PyObject* object) {
  const nb::object text = nb::steal(PyObject_Repr(object));
  if (!text.is_valid()) throw nb::python_error();
  return TextOf(text.ptr()).substr(0, 60);
}

// What torch's sources take beside and of which we have the default alone.
bool IsDefaultOnly(std::string_view name) {
  return name == "layout" || name == "pin_memory" || name == "memory_format";
}
Status CheckDefault(const Call& call, std::string_view name, PyObject* value) {
  const bool flag = name == "pin_memory";
  if (flag ? value == Py_None || value == Py_False : IsUsualFormat(value)) return Status::Ok();
  const std::string expected = flag ? "False" : name == "layout" ? "flow.strided" : "row-major";
  return Wrong(call, "argument '" + std::string(name) + "' must be " + expected + " or None, not " +
                         ReprOf(value));
}

Status SortKeyword(Call& call, std::string_view name, PyObject* value) {
  if (call.binding.in_place || call.binding.may_be_in_place) {  // has its place and its layout
  } else if (call.binding.def->inputs.empty()) {
    if (name == "placement") return call.placement = value, Status::Ok();
    if (name == "sbp") return call.sbp = value, Status::Ok();
    if (name == "requires_grad") return call.requires_grad = value, Status::Ok();
    if (name == "device") return call.device = value, Status::Ok();
    if (name == "out" && call.binding.like < 0) return call.out = value, Status::Ok();
    if (IsDefaultOnly(name)) return CheckDefault(call, name, value);
  } else if (name == "out" && !call.binding.def->outputs.empty() &&
             !call.binding.def->outputs.back().variadic) {
    return call.out = value, Status::Ok();
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
  if (IsArray(o)) {  // beside a tensor at an operator of Python alone, as in torch
    if (!call.binding.name.starts_with("__"))
      return Wrong(call, "argument '" + call.binding.params[i].name + "' (position " +
                             std::to_string(i + 1) + ") must be Tensor, not " + TypeNameOf(o) +
                             "; flow.from_numpy(array) makes one");
    inputs.push_back(ArrayValue(o));
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

Status CollectInputs(const Call& call, op::Values& inputs, Attrs& attrs) {
  const op::OpDef& def = *call.binding.def;
  boost::container::small_vector<std::pair<size_t, PyObject*>, 2> numbers;
  nb::object held;  // the last operand's items: `numbers` points to some of them
  bool left_out = false;
  const bool needs_arity = def.NeedsArity();
  std::vector<int64_t> counts(needs_arity ? def.inputs.size() : 0);
  size_t counted = 0;
  for (const int at : call.binding.operands) {
    const auto i = static_cast<size_t>(at);
    const Param& p = call.binding.params[i];
    PyObject* o = call.given[i];
    if (o == nullptr || o == Py_None) {
      const bool optional = def.inputs[static_cast<size_t>(p.operand)].optional;
      if (!p.has_default && (o == nullptr || !optional)) {
        return Wrong(call,
                     "missing argument '" + p.name + "' (position " + std::to_string(i + 1) + ")");
      }
      left_out = true;
      continue;
    }
    if (left_out && !needs_arity) {
      return Wrong(call, "argument '" + p.name + "' is given but one before it is not");
    }
    counted = inputs.size();
    if (def.inputs[static_cast<size_t>(p.operand)].variadic) {
      if (!PyTuple_Check(o) && !PyList_Check(o))
        return Wrong(call, "argument '" + p.name + "' (position " + std::to_string(i + 1) +
                               ") must be a tuple or list of Tensors, not " + TypeNameOf(o));
      held = ItemsOf(o);
      for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(held.ptr()); ++j) {
        OFL_TRY(AddOperand(call, i, PyTuple_GET_ITEM(held.ptr(), j), inputs, numbers));
      }
    } else {
      OFL_TRY(AddOperand(call, i, o, inputs, numbers));
    }
    if (needs_arity)
      counts[static_cast<size_t>(p.operand)] = static_cast<int64_t>(inputs.size() - counted);
  }
  if (needs_arity) attrs.Set(op::kArity, std::move(counts));
  if (numbers.empty()) return Status::Ok();
  // The widest tensor beside it, but never a condition, says what a weak number becomes.
  op::Value beside;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool promotes = def.InputAt(static_cast<int>(i), attrs).promotes;
    if (inputs[i] != nullptr && (beside == nullptr || promotes)) beside = inputs[i];
  }
  if (beside == nullptr)
    return Wrong(call, "an operand must be Tensor, not " + TypeNameOf(numbers[0].second));
  for (auto [at, number] : numbers) {
    OFL_ASSIGN(inputs[at], ScalarOperand(beside, number, def.name));
  }
  return Status::Ok();
}

// Whether the tensor has the integers that a parameter takes from tensors.
bool HoldsIntegers(const Param& p, const PyTensor& tensor) {
  const TensorMeta& meta = tensor.value->meta();
  return meta.dtype == DType::kInt64 &&
         meta.shape.rank() == (p.attr->type == op::AttrType::kInts ? 1 : 0);
}

// Sizes that may be left out may be left out one by one: the smallest integer, which no size is.
bool ValueOf(const Param& p, PyObject* o, AttrValue* out) {
  const op::AttrDef& attr = *p.attr;
  if (const PyTensor* tensor = p.of_tensor ? TensorOf(o) : nullptr; tensor != nullptr) {
    if (!HoldsIntegers(p, *tensor)) return false;
    const nb::object values = nb::steal(PyObject_CallMethod(o, "tolist", nullptr));
    if (!values.is_valid()) throw nb::python_error();
    return AttrFrom(attr.type, values.ptr(), out);
  }
  if (!attr.optional || attr.type != op::AttrType::kInts) return AttrFrom(attr.type, o, out);
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
  std::vector<int64_t> sizes;
  if (!IntsFrom(o, &sizes, &kNone)) return false;
  *out = std::move(sizes);
  return true;
}

Status CollectAttrs(const Call& call, Attrs& attrs, tensor::Generator*& generator) {
  static const nb::handle nothing = PyTuple_New(0);
  for (size_t i = 0; i < call.binding.params.size(); ++i) {
    const Param& p = call.binding.params[i];
    PyObject* o = call.given[i];
    if (p.Unused()) {
      if (o != nullptr && !PyLong_Check(o))
        return Wrong(call, "argument '" + p.name + "' must be int, not " + TypeNameOf(o));
      continue;
    }
    if (p.generator && !GeneratorFrom(o, &generator))
      return Wrong(call, "argument 'generator' must be Generator, not " + TypeNameOf(o));
    if (p.OnlyNone() && o != nullptr && o != Py_None && IsDefaultOnly(p.name)) {
      OFL_TRY(CheckDefault(call, p.name, o));
      continue;
    }
    if (p.OnlyNone() && o != nullptr && o != Py_None) {
      const bool old = p.name == "size_average" || p.name == "reduce";
      return Wrong(call, "argument '" + p.name + "' must be None, not " + TypeNameOf(o),
                   old ? "; use reduction='mean', 'sum' or 'none' in its place" : "");
    }
    if (p.inplace && o != nullptr && !PyBool_Check(o))
      return Wrong(call, "argument 'inplace' must be bool, not " + TypeNameOf(o));
    if (p.attr == nullptr) continue;
    if (o == nullptr && p.gathers) o = nothing.ptr();  // *size of no sizes
    if (o == nullptr && !p.has_default) return Wrong(call, "missing argument '" + p.name + "'");
    if (o == nullptr || (o == Py_None && (p.has_default || p.attr->default_value))) continue;
    AttrValue value = NoValue{};
    if (!(o == Py_None && p.attr->optional) && !ValueOf(p, o, &value)) {
      return Wrong(call, "argument '" + p.name + "' must be " + TypeText(p.attr->type) + ", not " +
                             GotOf(o));
    }
    attrs.Set(p.attr->name, std::move(value));
  }
  return Status::Ok();
}

// inplace=True: the first operand takes the result.
void TakeInPlace(const Call& call, Arguments& arguments) {
  for (size_t i = 0; i < call.binding.params.size(); ++i)
    if (call.binding.params[i].inplace) arguments.in_place = call.given[i] == Py_True;
  if (arguments.in_place) arguments.out = call.given[call.binding.operands[0]];
}

// What a tensor that is not given as an operand says about the result: shape and dtype, unless the
// call does.
Result<op::Value> TakeLike(const Call& call, Attrs& attrs) {
  PyObject* o = call.given[call.binding.like];
  if (o == nullptr) return Wrong(call, "missing argument 'input' (position 1)");
  if (TensorOf(o) == nullptr)
    return Wrong(call, "argument 'input' (position 1) must be Tensor, not " + TypeNameOf(o));
  const op::Value& like = TensorOf(o)->value;
  if (!attrs.Has("shape")) attrs.Set("shape", DimsOf(like->meta().shape));
  if (!attrs.Has("dtype")) attrs.Set("dtype", like->meta().dtype);
  return like;
}

// A source that infers a floating dtype where the call says none takes the default one.
Status TakeDefaultDType(const Call& call, Attrs& attrs) {
  const op::OpDef& def = *call.binding.def;
  const DType usual = op::DefaultFloat();
  if (usual == DType::kFloat32 || def.composite) return Status::Ok();
  const std::vector<Param>& params = call.binding.params;
  const auto typed = std::ranges::find(params, "dtype", &Param::name);
  if (typed == params.end()) return Status::Ok();
  PyObject* given = call.given[typed - params.begin()];
  if (given != nullptr && given != Py_None) return Status::Ok();
  OFL_ASSIGN(const Attrs completed, def.CompleteAttrs(attrs));
  OFL_ASSIGN(const std::vector<TensorMeta> made, def.Infer({}, completed));
  if (made[0].dtype == DType::kFloat32) attrs.Set("dtype", usual);
  if (made[0].dtype == DType::kComplex64) attrs.Set("dtype", ComplexOf(usual));
  return Status::Ok();
}

// A source writes into a target in the target's dtype.
Status TakeDType(const Call& call, const op::Value& target, Attrs& attrs) {
  bool typed = false;
  for (const op::AttrDef& attr : call.binding.def->attrs) typed |= attr.name == "dtype";
  if (!typed) return Status::Ok();
  const DType dtype = target->meta().dtype;
  bool said = false;
  for (size_t i = 0; i < call.binding.params.size(); ++i)
    said |= call.binding.params[i].name == "dtype" && call.given[i] != nullptr &&
            call.given[i] != Py_None;
  OFL_ENSURE(!said || attrs.Get<DType>("dtype") == dtype, Code::kTypeMismatch)
      << "[" << call.binding.name << "] dtype is not the target's: got "
      << DTypeName(attrs.Get<DType>("dtype")) << " and out=... of " << DTypeName(dtype)
      << "; expected one dtype, or none beside out";
  attrs.Set("dtype", dtype);
  return Status::Ok();
}

// The number of a call of a binary operator on a tensor and a number, or null.
const PyObject* LoneNumber(const Call& call) {
  if (call.binding.operands.size() != 2) return nullptr;
  for (size_t i = 0; i < call.binding.params.size(); ++i) {
    const Param& p = call.binding.params[i];
    const bool left_out = call.given[i] == nullptr || call.given[i] == Py_None;
    if (p.operand < 0 && !(p.OnlyNone() && left_out)) return nullptr;
  }
  PyObject* a = call.given[call.binding.operands[0]];
  PyObject* b = call.given[call.binding.operands[1]];
  if (a == nullptr || b == nullptr) return nullptr;
  const bool left = TensorOf(a) != nullptr, right = TensorOf(b) != nullptr;
  if (left && !right && !IsArray(b) && IsNumber(b)) return b;
  if (right && !left && !IsArray(a) && IsNumber(a)) return a;
  return nullptr;
}

Status SortAll(Call& call, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  OFL_TRY(SortPositional(call, args, count));
  const Py_ssize_t n = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t i = 0; i < n; ++i) {
    OFL_TRY(SortKeyword(call, TextOf(PyTuple_GET_ITEM(keywords, i)), args[count + i]));
  }
  return Status::Ok();
}

// One tensor, or as many as there are results.
Status CheckTargets(const Call& call, PyObject* out) {
  if (out == nullptr) return Status::Ok();
  const size_t count = call.binding.def->outputs.size();
  if (count == 1) {
    if (TensorOf(out) != nullptr) return Status::Ok();
    return Wrong(call, "argument 'out' must be Tensor, not " + TypeNameOf(out));
  }
  bool fits = (PyTuple_Check(out) || PyList_Check(out)) &&
              PySequence_Size(out) == static_cast<Py_ssize_t>(count);
  for (size_t i = 0; fits && i < count; ++i)
    fits = TensorOf(PySequence_Fast_GET_ITEM(out, static_cast<Py_ssize_t>(i))) != nullptr;
  if (fits) return Status::Ok();
  return Wrong(call, "argument 'out' must be a tuple of " + std::to_string(count) +
                         " Tensors, not " + TypeNameOf(out));
}

Status TakeExtras(const Call& call, Arguments& arguments) {
  const auto given = [](PyObject* o) { return o != nullptr && o != Py_None ? o : nullptr; };
  arguments.placement = given(call.placement);
  arguments.sbp = given(call.sbp);
  // One alone, beside a global tensor whose other one is taken, is seen where that is taken.
  OFL_ENSURE(
      (arguments.placement == nullptr) == (arguments.sbp == nullptr) || call.binding.like >= 0,
      Code::kInvalidArgument)
      << "[" << call.binding.name << "] got "
      << (arguments.placement != nullptr ? "sbp=None" : "placement=None")
      << "; expected both placement and sbp for a global tensor or neither for a local one";
  arguments.out = given(call.out);
  OFL_TRY(CheckTargets(call, arguments.out));
  if (PyObject* device = given(call.device); device != nullptr)
    OFL_TRY(CheckOnCpu(call.binding.name, device));
  if (PyObject* flag = given(call.requires_grad); flag != nullptr) {
    if (!PyBool_Check(flag)) return Wrong(call, "argument 'requires_grad' must be bool");
    arguments.requires_grad = flag == Py_True;
  }
  return Status::Ok();
}

}  // namespace

Result<Arguments> SortArguments(const OpBinding& binding, PyObject* const* args, Py_ssize_t count,
                                PyObject* keywords) {
  Call call{binding};
  OFL_TRY(SortAll(call, args, count, keywords));
  Arguments arguments;
  arguments.def = binding.def;
  OFL_TRY(TakeExtras(call, arguments));
  if (const PyObject* number = LoneNumber(call); number != nullptr) {
    const std::vector<int>& at = binding.operands;
    const bool left = call.given[at[0]] == number;
    OFL_ASSIGN(NumberCall resolved,
               ResolveNumber(*binding.def, TensorOf(call.given[at[left ? 1 : 0]])->value,
                             call.given[at[left ? 0 : 1]], left));
    arguments.def = resolved.def;
    arguments.inputs.assign(resolved.inputs.begin(), resolved.inputs.end());
    arguments.attrs = std::move(resolved.attrs);
    return arguments;
  }
  arguments.attrs = *binding.preset;
  OFL_TRY(CollectInputs(call, arguments.inputs, arguments.attrs));
  OFL_TRY(CollectAttrs(call, arguments.attrs, arguments.generator));
  TakeInPlace(call, arguments);
  if (binding.like >= 0) {
    OFL_ASSIGN(arguments.like, TakeLike(call, arguments.attrs));
  }
  if (binding.def->inputs.empty() && binding.like < 0 && arguments.out == nullptr)
    OFL_TRY(TakeDefaultDType(call, arguments.attrs));
  if (binding.def->inputs.empty() && arguments.out != nullptr)
    OFL_TRY(TakeDType(call, TensorOf(arguments.out)->value, arguments.attrs));
  return arguments;
}

namespace {

bool Is(PyObject* keyword, const char* name) {
  return PyUnicode_CompareWithASCIIString(keyword, name) == 0;
}

// The parameter that a keyword names, or -1.
int Named(const OpBinding& binding, PyObject* keyword) {
  const char* alias = Is(keyword, "axis") ? "dim" : Is(keyword, "keepdims") ? "keepdim" : nullptr;
  for (size_t i = 0; i < binding.params.size(); ++i) {
    const std::string& name = binding.params[i].name;
    if (alias != nullptr ? name == alias : Is(keyword, name.c_str())) return static_cast<int>(i);
  }
  return -1;
}

bool OfAllOperators(PyObject* keyword) {
  for (const char* name : {"out", "placement", "sbp", "requires_grad", "device", "layout",
                           "pin_memory", "memory_format"})
    if (Is(keyword, name)) return true;
  return false;
}

bool KindFits(const OpBinding& binding, const Param& p, PyObject* o, bool contested) {
  if (o == Py_None) return true;
  const bool tensor = TensorOf(o) != nullptr;
  if (p.Unused()) return !tensor;
  tensor::Generator* generator = nullptr;
  if (p.generator) return GeneratorFrom(o, &generator);
  if (p.of_tensor) return !tensor || HoldsIntegers(p, *TensorOf(o));
  if (p.OnlyNone() && IsDefaultOnly(p.name)) return IsUsualFormat(o) || o == Py_False;
  if (p.OnlyNone() || (p.attr != nullptr && tensor) || (p.like && !tensor)) return false;
  if (p.operand < 0 || tensor) return true;
  return !contested || binding.def->inputs[static_cast<size_t>(p.operand)].variadic;
}

}  // namespace

bool MayFit(const OpBinding& binding, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
            uint32_t contested) {
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (count + named < binding.num_required) return false;
  const int last = binding.num_positional - 1;
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (i > last && (last < 0 || !binding.params[last].gathers)) return false;
    const Param& p = binding.params[std::min<Py_ssize_t>(i, last)];
    if (!KindFits(binding, p, args[i], i < 32 && (contested >> i & 1u) != 0)) return false;
  }
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, i);
    const int at = Named(binding, keyword);
    if (at < 0 && OfAllOperators(keyword)) continue;
    if (at < 0) return false;
    const bool disputed = at < binding.num_positional && (contested >> at & 1u) != 0;
    if (!KindFits(binding, binding.params[at], args[count + i], disputed)) return false;
  }
  return true;
}

}  // namespace ofl::python
