// Calls that fit no form of a bound function: nanobind's error, in the words of the others.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "python/src/errors.h"
#include "python/src/module.h"

namespace ofl::python {
namespace {

// nanobind calls its functions through a few routines of its own; each has a twin here.
constexpr size_t kRoutines = 8;
std::array<vectorcallfunc, kRoutines> routines = {};

constexpr std::string_view kMarker =
    "(): incompatible function arguments. The following argument types are supported:\n";
constexpr std::string_view kGiven = "\nInvoked with types: ";

std::string Without(std::string text, std::string_view what) {
  for (size_t at; (at = text.find(what)) != text.npos;) text.erase(at, what.size());
  return text;
}

// "    1. name(self, ...) -> type\n": "name(self, ...)"; of a constructor "Class(...)".
std::string Form(std::string_view line, const std::string& name, bool constructor) {
  std::string form(line.substr(std::min(line.find(". "), line.size() - 2) + 2));
  if (!constructor) return form;
  constexpr std::string_view kSelf = "__init__(self";
  if (form.starts_with(kSelf)) form = name + "(" + form.substr(kSelf.size());
  if (form.starts_with(name + "(, ")) form.erase(name.size() + 1, 2);
  return Without(std::move(form), " -> None");
}

// The text of a TypeError of nanobind's for arguments; empty for any other text.
std::string Reworded(const std::string& text) {
  const size_t marker = text.find(kMarker), given = text.find(kGiven);
  if (marker == text.npos || given == text.npos) return "";
  std::string name = text.substr(0, marker);
  std::string got = Without(text.substr(given + kGiven.size()), "oneflow_like._C.");
  const bool constructor = name == "__init__";
  if (constructor) name = got.substr(0, got.find(','));
  if (got.starts_with("Tensor") || constructor)  // self
    got.erase(0, got.find(", ") == got.npos ? got.size() : got.find(", ") + 2);
  std::string forms;
  for (size_t at = marker + kMarker.size(); at < given;) {
    const size_t end = std::min(text.find('\n', at), given);
    forms += (forms.empty() ? "" : " or ") + Form(text.substr(at, end - at), name, constructor);
    at = end + 1;
  }
  return "[" + name + "] the arguments have the wrong number or types: got (" + got +
         "); expected " + Without(std::move(forms), "oneflow_like._C.");
}

void Reword() {
  if (PyErr_Occurred() != PyExc_TypeError) return;
  nb::python_error error;
  const std::string text = Reworded(nb::str(error.value()).c_str());
  if (text.empty()) {
    error.restore();
  } else {
    SetError(Error(Code::kTypeMismatch) << text);
  }
}

template <size_t kRoutine>
PyObject* Call(PyObject* function, PyObject* const* args, size_t n, PyObject* names) {
  PyObject* result = routines[kRoutine](function, args, n, names);
  if (result == nullptr) Reword();
  return result;
}

template <size_t... kAll>
constexpr std::array<vectorcallfunc, kRoutines> Twins(std::index_sequence<kAll...>) {
  return {&Call<kAll>...};
}

void Watch(PyObject* function) {
  const std::string_view kind = Py_TYPE(function)->tp_name;
  if (!kind.ends_with("nb_func") && !kind.ends_with("nb_method")) return;
  static constexpr auto kTwins = Twins(std::make_index_sequence<kRoutines>());
  auto* routine = reinterpret_cast<vectorcallfunc*>(reinterpret_cast<char*>(function) +
                                                    Py_TYPE(function)->tp_vectorcall_offset);
  for (size_t i = 0; i < kRoutines; ++i) {
    if (*routine == kTwins[i]) return;
    if (routines[i] == nullptr) routines[i] = *routine;
    if (routines[i] != *routine) continue;
    *routine = kTwins[i];
    return;
  }
}

void WatchAll(PyObject* names, int depth) {
  PyObject *name, *object;
  for (Py_ssize_t at = 0; PyDict_Next(names, &at, &name, &object);) {
    Watch(object);
    if (depth == 0) continue;
    if (PyModule_Check(object)) WatchAll(PyModule_GetDict(object), depth - 1);
    if (PyType_Check(object) && nb::type_check(object))
      WatchAll(reinterpret_cast<PyTypeObject*>(object)->tp_dict, 0);
  }
}

}  // namespace

void BindCallErrors(nb::module_& m) { WatchAll(PyModule_GetDict(m.ptr()), 2); }

}  // namespace ofl::python
