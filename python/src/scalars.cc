#include "python/src/scalars.h"

#include <string>
#include <string_view>
#include <unordered_map>

#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/convert.h"

namespace ofl::python {
namespace {

// Constants of small expressions such as x > 0, by dtype, value and placement.
std::unordered_map<std::string, op::Value>* scalar_cache = nullptr;
constexpr size_t kMaxScalars = 1024;

// The number's own dtype, and the weight of a number, in promotion.
op::TypedOperand Weak(const Scalar& number) {
  return {op::DTypeOfNumber(number), op::TypedOperand::Weight::kNumber};
}

Result<Scalar> NumberOf(PyObject* object, std::string_view op) {
  AttrValue value;
  if (NumberFrom(object, &value)) return Scalar::Of(value);
  return Error(Code::kTypeMismatch)
         << "[" << op << "] an operand has the wrong type: got " << GotOf(object)
         << "; expected a Tensor or a number of at most 64 bits; flow.from_numpy(array) makes a "
         << "Tensor";
}

Result<op::Value> MakeScalar(DType dtype, const Scalar& value, const op::Value& beside) {
  const Attrs attrs{{"shape", std::vector<int64_t>{}}, {"value", value}, {"dtype", dtype}};
  const sbp::Layout* layout = beside->layout();
  if (layout != nullptr && tensor::CurrentTracer() == nullptr) {
    OFL_ASSIGN(const op::OpDef* full, op::OpRegistry::Get().Require("full"));
    return tensor::DispatchSource(
        *full, attrs,
        std::make_shared<const sbp::Layout>(
            sbp::Layout{layout->placement, sbp::NdSbp::Broadcast(layout->nd_sbp.rank())}));
  }
  return tensor::CallOp("full", {}, attrs);  // in a graph it meets local and global ones
}

Result<op::Value> CachedScalar(DType dtype, const Scalar& number, const op::Value& beside) {
  // In a graph it is the graph's; in compile_world it has no memory and is of no use elsewhere.
  if (tensor::CurrentTracer() != nullptr || tensor::Context::Get().imaginary()) {
    return MakeScalar(dtype, number, beside);
  }
  std::string key = AttrToString(number);
  key.push_back(static_cast<char>(dtype));
  if (const sbp::Layout* layout = beside->layout(); layout != nullptr) {
    const void* identity = &layout->placement.ranks();  // equal placements share it
    key.append(reinterpret_cast<const char*>(&identity), sizeof identity);
  }
  auto found = scalar_cache->find(key);
  if (found != scalar_cache->end()) return found->second;
  OFL_ASSIGN(op::Value scalar, MakeScalar(dtype, number, beside));
  if (scalar_cache->size() >= kMaxScalars) scalar_cache->clear();
  scalar_cache->emplace(std::move(key), scalar);
  return scalar;
}

// An operator's form for numbers, looked up once, with the dtypes (bit by number) it computes in.
struct Form {
  const op::OpDef* def = nullptr;
  uint32_t dtypes = 0;
};
struct Forms {
  Form right, left;
};
std::unordered_map<const op::OpDef*, Forms>* number_forms = nullptr;

Form FormOf(const std::string& name) {
  Form form;
  if (name.empty()) return form;
  form.def = op::OpRegistry::Get().Find(name);
  OFL_CHECK(form.def != nullptr) << "no operator is named " << name;
  for (DType d : AllDTypes())
    if (!form.def->Providers(DeviceKind::kCpu, d).empty()) form.dtypes |= 1u << static_cast<int>(d);
  return form;
}

// x - s is x + (-s), exactly, but for the one integer that has no negative.
Scalar Negated(const Scalar& s) {
  switch (s.category()) {
    case DTypeCategory::kFloating: return -s.As<double>();
    case DTypeCategory::kComplex: return -s.As<std::complex<double>>();
    default: return static_cast<int64_t>(0 - static_cast<uint64_t>(s.As<int64_t>()));
  }
}

}  // namespace

bool IsNumber(PyObject* o) {
  if (PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o)) return true;
  return PyNumber_Check(o) && !TensorOf(o) && HasAttr(o, "dtype") && HasAttr(o, "item");
}

bool NumberFrom(PyObject* o, AttrValue* out) {
  if (PyBool_Check(o)) return *out = o == Py_True, true;
  if (PyFloat_Check(o)) return *out = PyFloat_AS_DOUBLE(o), true;
  if (PyComplex_Check(o)) {
    const Py_complex c = PyComplex_AsCComplex(o);
    return *out = std::complex<double>(c.real, c.imag), true;
  }
  if (PyLong_Check(o)) {
    int overflow = 0;
    const int64_t whole = PyLong_AsLongLongAndOverflow(o, &overflow);
    return *out = whole, overflow == 0;
  }
  if (!IsNumber(o)) return false;
  if (HasAttr(o, "ndim")) {
    const nb::object axes = nb::steal(PyObject_GetAttrString(o, "ndim"));
    if (!axes.is_valid()) throw nb::python_error();
    if (!PyLong_Check(axes.ptr()) || PyObject_IsTrue(axes.ptr()) != 0) return false;
  }
  // NumPy's scalars: their own word for what they are, if it is a plain number.
  const nb::object plain = nb::steal(PyObject_CallMethod(o, "item", nullptr));
  if (!plain.is_valid()) throw nb::python_error();
  PyObject* number = plain.ptr();
  const bool known = PyLong_Check(number) || PyFloat_Check(number) || PyComplex_Check(number);
  return known && NumberFrom(number, out);
}

Result<op::Value> ScalarOperand(const op::Value& other, PyObject* object, std::string_view op) {
  OFL_ASSIGN(const Scalar number, NumberOf(object, op));
  // The number weighs least, whatever the operator promotes to.
  const op::TypedOperand typed[2] = {{other->meta().dtype, op::TypedOperand::Weight::kTensor},
                                     Weak(number)};
  OFL_ASSIGN(DType dtype, op::ResultType(typed));
  return CachedScalar(dtype, number, other);
}

Result<NumberCall> ResolveNumber(const op::OpDef& def, const op::Value& x, PyObject* object,
                                 bool left) {
  OFL_ASSIGN(Scalar number, NumberOf(object, def.name));
  DType dtype = x->meta().dtype;
  OFL_ENSURE(!def.number_forms.negate_right ||
                 (dtype != DType::kBool && number.category() != DTypeCategory::kBool),
             Code::kTypeMismatch)
      << "[" << def.name << "] " << op::kNoDifferenceOfBool << ": got " << DTypeName(dtype)
      << " and a " << DTypeName(number.dtype())
      << "; expected numbers; ~ turns a mask, ^ says where two masks differ";
  // A number of the tensor's category or a lower one, which is nearly every one, changes nothing.
  const bool stays =
      number.category() <= CategoryOf(dtype) &&
      (def.promotion != op::Promotion::kFloat || CategoryOf(dtype) >= DTypeCategory::kFloating);
  if (def.promotion != op::Promotion::kNone && !stays) {
    const op::TypedOperand typed[2] = {{dtype, op::TypedOperand::Weight::kTensor}, Weak(number)};
    OFL_ASSIGN(auto promoted, op::PromotedDType(def, typed));
    if (promoted) dtype = *promoted;
  }
  op::Value tensor = x;
  if (dtype != x->meta().dtype) {
    OFL_ASSIGN(tensor, tensor::CallOp("cast", {x}, {{"dtype", dtype}}));
  }
  const auto found = number_forms->find(&def);
  if (found != number_forms->end()) {
    const Form& form = left ? found->second.left : found->second.right;
    if ((form.dtypes >> static_cast<int>(dtype) & 1u) != 0) {
      if (!left && def.number_forms.negate_right) number = Negated(number);
      return NumberCall{form.def, {std::move(tensor)}, {{"scalar", number}}};
    }
  }
  // An operator that promotes nothing gets the number in a dtype that holds it.
  OFL_ASSIGN(op::Value scalar, def.promotion == op::Promotion::kNone
                                   ? ScalarOperand(tensor, object, def.name)
                                   : CachedScalar(dtype, number, tensor));
  NumberCall call{&def, {std::move(tensor), std::move(scalar)}, {}};
  if (left) std::swap(call.inputs[0], call.inputs[1]);
  return call;
}

Result<op::Values> RunWithNumber(const op::OpDef& def, const op::Value& x, PyObject* number,
                                 bool left) {
  OFL_ASSIGN(NumberCall call, ResolveNumber(def, x, number, left));
  return tensor::Dispatch(*call.def, {call.inputs.data(), call.inputs.size()}, call.attrs);
}

Result<DType> MeetingDType(PyObject* a, PyObject* b) {
  op::TypedOperand typed[2];
  PyObject* const given[2] = {a, b};
  for (int i = 0; i < 2; ++i) {
    if (const PyTensor* tensor = TensorOf(given[i]); tensor != nullptr) {
      typed[i] = op::TypedOf(tensor->value->meta());
    } else {
      OFL_ASSIGN(const Scalar number, NumberOf(given[i], "result_type"));
      typed[i] = Weak(number);
    }
  }
  return op::ResultType(typed);
}

void PrepareScalars() {
  scalar_cache = new std::unordered_map<std::string, op::Value>;
  number_forms = new std::unordered_map<const op::OpDef*, Forms>;
  for (const op::OpDef* def : op::OpRegistry::Get().all()) {
    const op::NumberForms& names = def->number_forms;
    if (names.right.empty() && names.left.empty()) continue;
    (*number_forms)[def] = {FormOf(names.right), FormOf(names.left)};
  }
}

}  // namespace ofl::python
