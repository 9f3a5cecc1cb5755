#include "python/src/convert.h"

#include "python/src/module.h"

namespace ofl::python {
namespace {

// After a failed conversion: what the object itself raised goes on; what only says that the object
// has no such conversion, or is too large for it, is answered by the caller.
void RaiseUnlessExpected(bool convertible) {
  const bool expected = PyErr_ExceptionMatches(PyExc_OverflowError) ||
                        (!convertible && PyErr_ExceptionMatches(PyExc_TypeError));
  if (!expected) throw nb::python_error();
  PyErr_Clear();
}

bool BeyondInt64(PyObject* o) {
  int overflow = 0;
  if (!PyLong_Check(o)) return false;
  PyLong_AsLongLongAndOverflow(o, &overflow);
  return overflow != 0;
}

}  // namespace

bool IntFrom(PyObject* o, int64_t* out) {
  if (PyFloat_Check(o) || PyBool_Check(o) || !PyIndex_Check(o)) return false;
  if (const PyTensor* tensor = PyLong_Check(o) ? nullptr : TensorOf(o); tensor != nullptr) {
    const TensorMeta& meta = tensor->value->meta();  // else its __index__ would raise
    if (!IsInteger(meta.dtype) || meta.shape.rank() > 0) return false;
  }
  const nb::object index = nb::steal(PyNumber_Index(o));
  if (!index.is_valid()) {
    RaiseUnlessExpected(!PySequence_Check(o));  // an array is a number when it holds one
    return false;
  }
  int overflow = 0;
  *out = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  return overflow == 0;
}

bool HasAttr(PyObject* o, const char* name) {
  const nb::object value = nb::steal(PyObject_GetAttrString(o, name));
  if (value.is_valid()) return true;
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) throw nb::python_error();
  PyErr_Clear();
  return false;
}

nb::object ItemsOf(PyObject* tuple_or_list) {
  nb::object items = nb::steal(PySequence_Tuple(tuple_or_list));
  if (!items.is_valid()) throw nb::python_error();
  return items;
}

bool IntsFrom(PyObject* o, std::vector<int64_t>* out, const int64_t* none) {
  int64_t one = 0;
  if (!PyTuple_Check(o) && !PyList_Check(o)) {
    if (!IntFrom(o, &one)) return false;
    out->push_back(one);
    return true;
  }
  const nb::object items = ItemsOf(o);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.ptr()); ++i) {
    PyObject* const item = PyTuple_GET_ITEM(items.ptr(), i);
    if (item == Py_None && none != nullptr) {
      one = *none;
    } else if (!IntFrom(item, &one)) {
      return false;
    }
    out->push_back(one);
  }
  return true;
}

bool FloatFrom(PyObject* o, double* out) {
  if (PyFloat_CheckExact(o)) {
    *out = PyFloat_AS_DOUBLE(o);
    return true;
  }
  if (TensorOf(o) != nullptr) return false;
  *out = PyFloat_AsDouble(o);
  if (*out != -1.0 || !PyErr_Occurred()) return true;
  const PyNumberMethods* number = Py_TYPE(o)->tp_as_number;
  const bool converts = number != nullptr && (number->nb_float || number->nb_index);
  RaiseUnlessExpected(converts && !PySequence_Check(o));  // an array is a number when it holds one
  return false;
}

std::string TextOf(PyObject* str) {
  Py_ssize_t size = 0;
  if (const char* text = PyUnicode_AsUTF8AndSize(str, &size))
    return {text, static_cast<size_t>(size)};
  PyErr_Clear();
  const nb::object bytes = nb::steal(PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace"));
  if (!bytes.is_valid()) throw nb::python_error();
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

std::string GotOf(PyObject* object) {
  if (BeyondInt64(object)) return "int beyond 64 bits";
  if (!PyTuple_Check(object) && !PyList_Check(object)) return TypeNameOf(object);
  const nb::object items = ItemsOf(object);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items.ptr()); ++i) {
    PyObject* item = PyTuple_GET_ITEM(items.ptr(), i);
    const std::string holder = TypeNameOf(object) + " that holds ";
    if (BeyondInt64(item)) return holder + "an int beyond 64 bits";
    if (!PyIndex_Check(item) || PyBool_Check(item) || PySequence_Check(item))
      return holder + TypeNameOf(item);
  }
  return TypeNameOf(object);
}

void ThrowHalfMade(nb::handle object) {
  const std::string type = TypeNameOf(object.ptr());
  Throw(Error(Code::kTypeMismatch)
        << "[" << type << "] the object is half made: got one whose __init__ has not run; expected "
        << "it to be made by " << type << "(...), and a subclass to call super().__init__(...)");
}

}  // namespace ofl::python
