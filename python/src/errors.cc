#include "python/src/module.h"

#include "python/src/convert.h"

#include <frameobject.h>

namespace ofl::python {
namespace {

PyObject* invalid_argument = nullptr;
PyObject* type_mismatch = nullptr;
PyObject* out_of_range = nullptr;
PyObject* out_of_memory = nullptr;

PyObject* NewError(nb::module_& m, const char* name, const char* doc, nb::tuple bases) {
  const std::string full = std::string("oneflow_like.") + name;
  PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.ptr(), nullptr);
  if (type == nullptr) throw nb::python_error();
  m.attr(name) = nb::borrow(type);
  return type;
}

PyObject* ExceptionOf(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return invalid_argument;
    case Code::kTypeMismatch: return type_mismatch;
    case Code::kOutOfRange: return out_of_range;
    case Code::kUnimplemented: return PyExc_NotImplementedError;
    case Code::kDeadlineExceeded: return PyExc_TimeoutError;
    case Code::kUnavailable: return PyExc_ConnectionError;
    case Code::kResourceExhausted: return out_of_memory;
    default: return PyExc_RuntimeError;
  }
}

// The directory of the package with a closing slash, found once.
const std::string& PackageDirectory() {
  static const std::string* directory = [] {
    auto* found = new std::string;
    nb::object package =
        nb::steal(PyObject_GetAttrString(PyImport_AddModule("oneflow_like"), "__file__"));
    if (!package.is_valid()) {
      PyErr_Clear();
      return found;
    }
    *found = TextOf(package.ptr());
    found->resize(found->rfind('/') + 1);
    return found;
  }();
  return *directory;
}

}  // namespace

UserLine FindUserLine() {
  const std::string& inside = PackageDirectory();
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  UserLine found;
  while (frame != nullptr) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    std::string file = TextOf(code->co_filename);
    if (inside.empty() || !file.starts_with(inside)) {
      found.file = std::move(file);
      found.line = PyFrame_GetLineNumber(frame);
      Py_DECREF(code);
      Py_DECREF(frame);
      return found;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  return found;
}

void SetError(const Status& status) {
  if (PyErr_Occurred()) return;
  std::string text = status.message();
  for (const std::string& note : status.notes()) text += "\n  " + note;
  const UserLine at = FindUserLine();
  if (!at.file.empty()) text += "\n  at " + at.file + ":" + std::to_string(at.line);
  // Texts hold names from outside, cut to a length: not all of it is UTF-8.
  const nb::object message = nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace"));
  if (message.is_valid()) PyErr_SetObject(ExceptionOf(status.code()), message.ptr());
}

void Throw(const Status& status) {
  SetError(status);
  throw nb::python_error();
}

void BindErrors(nb::module_& m) {
  // A value that nb::cast could not convert.
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const nb::cast_error&) {
      SetError(Error(Code::kTypeMismatch) << "an argument, or a value in it, has the wrong type");
    }
  });
  // RuntimeErrors too: torch raises that for most of what a call may not be given.
  nb::object value_error = nb::borrow(PyExc_ValueError);
  nb::object runtime_error = nb::borrow(PyExc_RuntimeError);
  type_mismatch = NewError(m, "TypeMismatchError", "An argument or a dtype is of the wrong kind.",
                           nb::make_tuple(nb::borrow(PyExc_TypeError), runtime_error));
  out_of_range = NewError(m, "OutOfRangeError", "An index or an axis lies outside.",
                          nb::make_tuple(nb::borrow(PyExc_IndexError), runtime_error));
  invalid_argument =
      NewError(m, "InvalidArgumentError", "A shape, value, placement or layout cannot be used.",
               nb::make_tuple(value_error, runtime_error));
  out_of_memory = NewError(m, "OutOfMemoryError", "Memory or another stated bound is used up.",
                           nb::make_tuple(runtime_error));
}

}  // namespace ofl::python
