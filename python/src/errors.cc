#include "python/src/errors.h"

#include <Python.h>
#include <frameobject.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "python/src/convert.h"
#include "python/src/module.h"

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

// The line of the innermost frame outside this package, and if `function` is given the name of the
// package's function that was called there; empty without one.
UserLine FindLine(std::string* function) {
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
    if (function != nullptr) *function = TextOf(code->co_name);
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  return found;
}

// A Python function as its callers know it; empty for what they call by another name: modules,
// their forward(), constructors, and what is private.
std::string PublicName(std::string name) {
  if (name == "__getitem__") return "getitem";
  if (name == "__setitem__") return "setitem";
  return name.starts_with('_') || name.starts_with('<') || name == "forward" ? "" : name;
}

// What a change in place is called where its caller's name is not known.
constexpr std::string_view kInPlace = "in-place";

// The operator in the brackets that a text begins with; empty without.
std::string_view HeadOf(std::string_view text) {
  const size_t end = text.starts_with('[') ? text.find("] ") : text.npos;
  if (end == text.npos || end == 1) return {};
  const std::string_view head = text.substr(1, end - 1);
  if (head == kInPlace) return head;
  const auto in_name = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.'; };
  return std::ranges::all_of(head, in_name) ? head : std::string_view();
}

// Whether two names are of one operator: linalg.det is linalg_det, add_ is add in place.
bool SameOperator(std::string_view a, std::string_view b) {
  const auto plain = [](std::string_view name) {
    std::string text(name);
    std::ranges::replace(text, '.', '_');
    if (text.ends_with('_')) text.pop_back();
    return text;
  };
  return plain(a) == plain(b);
}

// What a lost or late rank's error leaves open.
std::string_view AdviceOf(const Status& status) {
  if (status.message().find("expected") != std::string::npos) return "";
  if (status.code() == Code::kDeadlineExceeded && status.message().starts_with("[rendezvous]")) {
    return "; expected every rank to reach its first communication within this time: a rank that "
           "has ended, or that an `if rank == 0:` keeps from it, never does; if ranks start or "
           "compute longer, set OFL_RENDEZVOUS_TIMEOUT_S (seconds)";
  }
  switch (status.code()) {
    case Code::kDeadlineExceeded:
      return "; expected every rank to make the same calls in the same order within this time; if "
             "one of them computes longer between two, set OFL_OPERATION_TIMEOUT_S (seconds)";
    case Code::kUnavailable:
      return "; expected every rank to make the same calls until its end; what that rank wrote "
             "says why it left";
    default: return "";
  }
}

// Without the middle of what is too long to be read, as where it repeats megabytes of the caller's:
// its head says what is wrong, its end what is expected.
std::string Shortened(std::string text) {
  constexpr size_t kMost = 8000, kEnd = 2000;
  if (text.size() <= kMost) return text;
  const size_t left_out = text.size() - 2 * kEnd;
  return text.replace(kEnd, left_out,
                      " ... (" + std::to_string(left_out) + " bytes left out) ... ");
}

std::string TextOf(const Status& status, std::string_view called, std::string_view by) {
  const std::string message = status.message() + std::string(AdviceOf(status));
  if (called.empty()) {
    std::string text = message;
    for (const std::string& note : status.notes()) text += "\n  " + note;
    return text;
  }
  const std::string_view head = HeadOf(message);
  std::string text = "[" + std::string(called) + "] " +
                     message.substr(head.empty() ? 0 : head.size() + sizeof("[] ") - 1);
  std::vector<std::string> parts{std::string(called)};
  const auto add = [&](std::string_view part) {
    if (part.empty() || part == kInPlace || part.starts_with('_') ||
        std::ranges::any_of(parts, [&](const auto& p) { return SameOperator(p, part); }))
      return;
    parts.emplace_back(part);
    text += "\n  in [" + parts.back() + "]";
  };
  add(head);
  for (const std::string& note : status.notes()) {
    if (note.starts_with("in [") && note.ends_with(']')) {
      add(std::string_view(note).substr(4, note.size() - 5));
    } else {
      text += "\n  " + note;
    }
  }
  add(by);
  return text;
}

}  // namespace

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

UserLine FindUserLine() { return FindLine(nullptr); }

void SetErrorOf(const Status& status, std::string_view called) {
  if (PyErr_Occurred()) return;
  std::string function;
  const UserLine at = FindLine(&function);
  function = at.file.empty() ? "" : PublicName(std::move(function));
  std::string text = TextOf(status, function.empty() ? called : function, called);
  if (!at.file.empty()) text += "\n  at " + at.file + ":" + std::to_string(at.line);
  text = Shortened(std::move(text));
  // Texts hold names from outside, cut to a length: not all of it is UTF-8.
  const nb::object message = nb::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace"));
  if (message.is_valid()) PyErr_SetObject(ExceptionOf(status.code()), message.ptr());
}

void SetError(const Status& status) { SetErrorOf(status, {}); }

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
