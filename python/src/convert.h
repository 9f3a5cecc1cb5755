// Reading Python's objects, which may be anything: an object may raise, change the list it stands
// in, or be half made. What an object raises is raised; what it is not is answered.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ofl::python {

namespace nb = nanobind;

// An integer of 64 bits, by __index__. False for other objects and for integers that are larger;
// throws nb::python_error where __index__ raises.
bool IntFrom(PyObject* o, int64_t* out);
// One integer or a tuple or list of them, in which None stands for `none`, where there is one.
bool IntsFrom(PyObject* o, std::vector<int64_t>* out, const int64_t* none = nullptr);
// A number by __float__ or __index__, but no Tensor. False for integers beyond a double's range.
bool FloatFrom(PyObject* o, double* out);
// Whether the object has the attribute; throws what a property of it raises.
bool HasAttr(PyObject* o, const char* name);
// The items of a tuple or list as a tuple of its own: nobody changes it meanwhile.
nb::object ItemsOf(PyObject* tuple_or_list);

// Any str as UTF-8, for a message: what UTF-8 cannot say is written as an escape.
std::string TextOf(PyObject* str);
// What stands in place of the numbers that were expected: "str", "tuple that holds str",
// "int beyond 64 bits".
std::string GotOf(PyObject* object);

// --- objects of our own classes -------------------------------------------------------------
// TypeError: the object's __init__ never ran.
[[noreturn]] void ThrowHalfMade(nb::handle object);

// The C++ value of `object`, or null when it is no T.
template <class T>
T* ValueOf(nb::handle object) {
  if (!nb::isinstance<T>(object)) return nullptr;
  if (!nb::inst_ready(object)) ThrowHalfMade(object);
  return nb::inst_ptr<T>(object);
}

// A parameter of type T for bound functions: half-made objects get an error of ours, where
// `const T&` would say that no overload fits.
template <class T>
struct Made {
  nb::handle object;
  T& operator*() const {
    if (!nb::inst_ready(object)) ThrowHalfMade(object);
    return *nb::inst_ptr<T>(object);
  }
  T* operator->() const { return &**this; }
};

}  // namespace ofl::python

namespace nanobind::detail {

template <class T>
struct type_caster<ofl::python::Made<T>> {
  NB_TYPE_CASTER(ofl::python::Made<T>, make_caster<T>::Name)
  bool from_python(handle source, uint32_t, cleanup_list*) noexcept {
    value = {source};
    return isinstance<T>(source);
  }
};

}  // namespace nanobind::detail
