// x[index] and x[index] = value for basic indices: integers, slices, None and '...'. They are views
// and cost a dispatch or two; every other index, and every error, is the package's (_tensor.py).
#include <string>
#include <vector>

#include "oneflow_like/tensor/dispatch.h"
#include "oneflow_like/tensor/target.h"
#include "oneflow_like/tensor/tracer.h"
#include "python/src/module.h"
#include "python/src/scalars.h"

namespace ofl::python {
namespace {

PyObject* other_get = nullptr;  // the package's functions, which live as long as the module
PyObject* other_set = nullptr;

// What a basic index says of each axis.
struct BasicIndex {
  std::vector<int64_t> begin, end, step;
  std::vector<int64_t> shape;  // of the result
  int cut = 0;                 // axes of which not all elements are taken
  int single = -1;             // the axis of the only integer
  int integers = 0;
  bool reshapes = false;  // axes are dropped or added
};

bool AddInteger(PyObject* item, int64_t extent, BasicIndex& index) {
  int overflow = 0;
  int64_t at = PyLong_AsLongLongAndOverflow(item, &overflow);
  if (overflow != 0 || at < -extent || at >= extent) return false;
  if (at < 0) at += extent;
  index.single = static_cast<int>(index.begin.size());
  ++index.integers;
  index.begin.push_back(at);
  index.end.push_back(at + 1);
  index.step.push_back(1);
  index.cut += extent != 1;
  index.reshapes = true;
  return true;
}

bool AddSlice(PyObject* item, int64_t extent, BasicIndex& index) {
  Py_ssize_t begin = 0, end = 0, step = 0;
  if (PySlice_Unpack(item, &begin, &end, &step) < 0) throw nb::python_error();
  if (step < 1) return false;
  const Py_ssize_t count = PySlice_AdjustIndices(extent, &begin, &end, step);
  index.begin.push_back(begin);
  index.end.push_back(std::max(begin, end));
  index.step.push_back(step);
  index.shape.push_back(count);
  index.cut += begin != 0 || end != extent || step != 1;
  return true;
}

void AddWhole(int64_t extent, BasicIndex& index) {
  index.begin.push_back(0);
  index.end.push_back(extent);
  index.step.push_back(1);
  index.shape.push_back(extent);
}

// False: no basic index of this shape, or one that is refused.
bool Parse(PyObject* given, const Shape& shape, BasicIndex& index) {
  PyObject* const* items = &given;
  Py_ssize_t count = 1;
  if (PyTuple_CheckExact(given)) {
    items = &PyTuple_GET_ITEM(given, 0);
    count = PyTuple_GET_SIZE(given);
  }
  int used = 0, dots = 0;
  for (Py_ssize_t i = 0; i < count; ++i) {
    const bool axis = PyLong_CheckExact(items[i]) || PySlice_Check(items[i]);
    if (!axis && items[i] != Py_None && items[i] != Py_Ellipsis) return false;
    used += axis;
    dots += items[i] == Py_Ellipsis;
  }
  if (dots > 1 || used > shape.rank()) return false;
  const int rest = shape.rank() - used;
  const auto extent = [&] { return shape[static_cast<int>(index.begin.size())]; };
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (items[i] == Py_None) {
      index.shape.push_back(1);
      index.reshapes = true;
    } else if (items[i] == Py_Ellipsis) {
      for (int k = 0; k < rest; ++k) AddWhole(extent(), index);
    } else if (PyLong_CheckExact(items[i])) {
      if (!AddInteger(items[i], extent(), index)) return false;
    } else if (!AddSlice(items[i], extent(), index)) {
      return false;
    }
  }
  while (static_cast<int>(index.begin.size()) < shape.rank()) AddWhole(extent(), index);
  return index.shape.size() <= kMaxRank;
}

op::Value Take(const op::Value& x, BasicIndex index) {
  const bool one = index.integers == 1 && index.cut <= 1 &&
                   static_cast<int>(index.shape.size()) == x->meta().shape.rank() - 1;
  if (one && (index.cut == 0 || x->meta().shape[index.single] != 1)) {
    return Unwrap(tensor::CallOp("select", {x},
                                 {{"dim", int64_t{index.single}},
                                  {"index", index.begin[static_cast<size_t>(index.single)]}}));
  }
  op::Value part = x;
  if (index.cut > 0 || !index.reshapes) {
    part = Unwrap(tensor::CallOp("slice", {x},
                                 {{"begin", std::move(index.begin)},
                                  {"end", std::move(index.end)},
                                  {"step", std::move(index.step)}}));
  }
  if (!index.reshapes) return part;
  return Unwrap(tensor::CallOp("reshape", {part}, {{"shape", std::move(index.shape)}}));
}

// What the package's own function makes of it.
PyObject* Others(PyObject* function, PyObject* const* args, Py_ssize_t n) {
  return PyObject_Vectorcall(function, args, static_cast<size_t>(n), nullptr);
}

PyObject* GetItem(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return Caught([&]() -> PyObject* {
    PyTensor* x = n == 2 ? TensorOf(args[0]) : nullptr;
    BasicIndex index;
    if (x == nullptr || !Parse(args[1], x->value->meta().shape, index))
      return Others(other_get, args, n);
    TellTracer();
    return WrapTensor(Take(x->value, std::move(index)));
  });
}

// A number that every dtype of its category holds.
bool Fits(PyObject* number, DType dtype) {
  const DTypeCategory category = CategoryOf(dtype);
  if (PyFloat_CheckExact(number)) return category == DTypeCategory::kFloating;
  return PyLong_CheckExact(number) && dtype == DType::kInt64;
}

PyObject* SetItem(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return Caught([&]() -> PyObject* {
    PyTensor* x = n == 3 ? TensorOf(args[0]) : nullptr;
    BasicIndex index;
    const bool plain = x != nullptr && !x->value->is_symbolic() && x->value->layout() == nullptr &&
                       tensor::CurrentTracer() == nullptr &&
                       Parse(args[1], x->value->meta().shape, index);
    if (!plain) return Others(other_set, args, n);
    PyTensor* given = TensorOf(args[2]);
    const DType dtype = x->value->meta().dtype;
    if (given == nullptr ? !Fits(args[2], dtype)
                         : given->value->is_symbolic() || given->value->layout() != nullptr ||
                               !(given->value->meta() == TensorMeta{dtype, Shape(index.shape)}))
      return Others(other_set, args, n);
    const op::Value part = Take(x->value, std::move(index));
    const tensor::TensorRef target(tensor::AsTensor(part));
    op::Value value;
    if (given != nullptr) {
      value = given->value;
    } else {
      AttrValue number;
      if (!NumberFrom(args[2], &number)) return Others(other_set, args, n);
      value = Unwrap(tensor::CallOp(
          "full", {},
          {{"shape", std::vector<int64_t>{}}, {"value", Scalar::Of(number)}, {"dtype", dtype}}));
      const Shape& shape = target->meta().shape;
      value = Unwrap(tensor::CallOp("broadcast_to", {value}, {{"shape", DimsOf(shape)}}));
    }
    tensor::TensorRef made(tensor::AsTensor(value));
    const bool before = tensor::AsTensor(x->value)->requires_grad();
    Unwrap(tensor::Assign(made, target, "setitem"));
    if (tensor::AsTensor(x->value)->requires_grad() != before) NoteWrite();
    Py_RETURN_NONE;
  });
}

PyMethodDef get_method = {"__getitem__",
                          reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&GetItem)),
                          METH_FASTCALL, "x[index]: a view for integers, slices, None and '...'."};
PyMethodDef set_method = {"__setitem__",
                          reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&SetItem)),
                          METH_FASTCALL, "x[index] = value."};

nb::object MethodOf(PyMethodDef& method) {
  const nb::object made = nb::steal(PyCFunction_New(&method, nullptr));
  if (!made.is_valid()) throw nb::python_error();
  return nb::steal(PyInstanceMethod_New(made.ptr()));
}

}  // namespace

void BindIndexing(nb::module_& m) {
  m.def(
      "index_by",
      [](nb::handle get, nb::handle set, nb::handle cls) {
        other_get = nb::borrow(get).release().ptr();
        other_set = nb::borrow(set).release().ptr();
        cls.attr("__getitem__") = MethodOf(get_method);
        cls.attr("__setitem__") = MethodOf(set_method);
      },
      nb::arg("get"), nb::arg("set"), nb::arg("cls"),
      "Basic indices of the class are served here, others by these functions.");
}

}  // namespace ofl::python
