#include "python/src/scalars.h"

#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/conversion.h"
#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/tracer.h"

namespace ofl::python {
namespace {

// Constants of small expressions such as x > 0, by dtype, value and placement.
std::unordered_map<std::string, op::Value>* scalar_cache = nullptr;
constexpr size_t kMaxScalars = 1024;

// How a binary operator takes a number: on the right, on the left.
struct ScalarForms {
  const op::OpDef* right = nullptr;
  const op::OpDef* left = nullptr;
  bool negate_right = false;  // x - s is x + (-s)
};
std::unordered_map<const op::OpDef*, ScalarForms>* scalar_forms = nullptr;
const op::OpDef* true_division = nullptr;

bool IsWhole(PyObject* number) { return PyLong_Check(number) || PyIndex_Check(number); }

// The dtype a weak scalar takes beside a tensor of `dtype`.
DType WeakDType(DType dtype, PyObject* number) {
  if (PyBool_Check(number)) return dtype;
  if (IsWhole(number)) return dtype == DType::kBool ? DType::kInt64 : dtype;
  return IsFloating(dtype) ? dtype : DType::kFloat32;
}

Result<op::Value> MakeScalar(DType dtype, double value, const op::Value& beside) {
  const Attrs attrs{{"shape", std::vector<int64_t>{}}, {"value", value}, {"dtype", dtype}};
  const sbp::Layout* layout = beside->layout();
  if (layout != nullptr && tensor::CurrentTracer() == nullptr) {
    OFL_ASSIGN(const op::OpDef* full, op::OpRegistry::Get().Require("full"));
    return tensor::DispatchSource(
        *full, attrs,
        std::make_shared<const sbp::Layout>(
            sbp::Layout{layout->placement, sbp::NdSbp::Broadcast(layout->nd_sbp.rank())}));
  }
  OFL_ASSIGN(op::Value scalar, tensor::CallOp("full", {}, attrs));
  if (layout == nullptr) return scalar;
  return tensor::ToGlobal(scalar, layout->placement, sbp::NdSbp::Broadcast(layout->nd_sbp.rank()));
}

Result<double> NumberOf(PyObject* number, std::string_view op) {
  const double value = PyFloat_AsDouble(number);
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return Error(Code::kTypeMismatch)
           << "[" << op << "] an operand has the wrong type: got " << TypeNameOf(number)
           << "; expected a Tensor or a number; flow.from_numpy(array) makes a Tensor";
  }
  return value;
}

}  // namespace

bool IsNumber(PyObject* o) {
  return PyFloat_Check(o) || PyLong_Check(o) ||
         (PyNumber_Check(o) && !TensorOf(o) && PyObject_HasAttrString(o, "dtype") &&
          PyObject_HasAttrString(o, "item"));
}

Result<op::Value> ScalarOperand(const op::Value& other, PyObject* number, std::string_view op) {
  OFL_ASSIGN(const double value, NumberOf(number, op));
  const DType dtype = WeakDType(other->meta().dtype, number);
  // In a graph it is the graph's; in compile_world it has no memory and is of no use elsewhere.
  if (tensor::CurrentTracer() != nullptr || tensor::Context::Get().imaginary()) {
    return MakeScalar(dtype, value, other);
  }
  std::string key(sizeof(double) + 1 + 2 * sizeof(void*), '\0');
  std::memcpy(key.data(), &value, sizeof value);
  key[sizeof value] = static_cast<char>(dtype);
  if (const sbp::Layout* layout = other->layout(); layout != nullptr) {
    const void* identity = &layout->placement.ranks();  // equal placements share it
    std::memcpy(key.data() + sizeof value + 1, &identity, sizeof identity);
  }
  auto found = scalar_cache->find(key);
  if (found != scalar_cache->end()) return found->second;
  OFL_ASSIGN(op::Value scalar, MakeScalar(dtype, value, other));
  if (scalar_cache->size() >= kMaxScalars) scalar_cache->clear();
  scalar_cache->emplace(std::move(key), scalar);
  return scalar;
}

Result<op::Values> RunWithNumber(const op::OpDef& def, const op::Value& x, PyObject* number,
                                 bool left) {
  auto found = scalar_forms->find(&def);
  op::Value tensor = x;
  DType dtype = WeakDType(x->meta().dtype, number);
  if (&def == true_division && !IsFloating(dtype)) dtype = DType::kFloat32;
  if (dtype != x->meta().dtype) {
    OFL_ASSIGN(tensor, tensor::CallOp("cast", {x}, {{"dtype", dtype}}));
  }
  const op::OpDef* form =
      found == scalar_forms->end() ? nullptr : (left ? found->second.left : found->second.right);
  const bool fits = IsFloating(dtype) || (dtype != DType::kBool && &def != true_division &&
                                          IsWhole(number) && def.name != "pow");
  if (form != nullptr && fits) {
    OFL_ASSIGN(double value, NumberOf(number, def.name));
    if (!left && found->second.negate_right) value = -value;
    return tensor::Dispatch(*form, {&tensor, 1}, {{"scalar", value}});
  }
  OFL_ASSIGN(op::Value scalar, ScalarOperand(tensor, number, def.name));
  const op::Value operands[2] = {left ? scalar : tensor, left ? tensor : scalar};
  return tensor::Dispatch(def, operands, {});
}

Result<op::Values> RunBinaryOp(const op::OpDef& def, std::span<const op::Value> operands) {
  if (&def != true_division || IsFloating(operands[0]->meta().dtype) ||
      IsFloating(operands[1]->meta().dtype)) {
    return tensor::Dispatch(def, operands, {});
  }
  op::Value floats[2];
  for (int i = 0; i < 2; ++i) {
    OFL_ASSIGN(floats[i], tensor::CallOp("cast", {operands[static_cast<size_t>(i)]},
                                         {{"dtype", DType::kFloat32}}));
  }
  return tensor::Dispatch(def, floats, {});
}

void PrepareScalars() {
  scalar_cache = new std::unordered_map<std::string, op::Value>;
  scalar_forms = new std::unordered_map<const op::OpDef*, ScalarForms>;
  const auto& registry = op::OpRegistry::Get();
  true_division = registry.Find("div");
  auto add = [&](const char* name, const char* right, const char* left, bool negate) {
    if (const op::OpDef* def = registry.Find(name); def != nullptr) {
      (*scalar_forms)[def] = {right ? registry.Find(right) : nullptr,
                              left ? registry.Find(left) : nullptr, negate};
    }
  };
  add("add", "add_scalar", "add_scalar", false);
  add("sub", "add_scalar", "rsub_scalar", true);
  add("mul", "mul_scalar", "mul_scalar", false);
  add("div", "div_scalar", "rdiv_scalar", false);
  add("pow", "pow_scalar", nullptr, false);
}

}  // namespace ofl::python
