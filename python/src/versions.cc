// What guards of compiled graphs depend on beside noted writes: whether classes or the dictionaries
// of objects have changed, by the versions that the interpreter keeps of them.

#include <cstdint>
#include <vector>

#include "python/src/module.h"

namespace ofl::python {
namespace {

// 0: none yet, or none any more; whoever asks must look for himself.
uint64_t VersionOf(PyTypeObject* type) {
  if ((type->tp_flags & Py_TPFLAGS_VALID_VERSION_TAG) == 0) return 0;
  return type->tp_version_tag;
}

// A class has a version once something was looked up in it.
uint64_t GiveVersion(PyTypeObject* type) {
  if (VersionOf(type) == 0) {
    PyObject* found = PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__module__");
    if (found == nullptr) PyErr_Clear();
    Py_XDECREF(found);
  }
  return VersionOf(type);
}

#if PY_VERSION_HEX >= 0x030C0000

// Dictionaries tell of their changes themselves.
int DictChanged(PyDict_WatchEvent event, PyObject*, PyObject*, PyObject*) {
  if (event != PyDict_EVENT_DEALLOCATED) NoteWrite();
  return 0;
}

uint64_t GiveVersion(PyObject* dict) {
  static const int watcher = PyDict_AddWatcher(&DictChanged);
  if (watcher < 0 || PyDict_Watch(watcher, dict) != 0) throw nb::python_error();
  return 1;
}

uint64_t VersionOf(PyObject*) { return 1; }

#else

uint64_t VersionOf(PyObject* dict) { return reinterpret_cast<PyDictObject*>(dict)->ma_version_tag; }
uint64_t GiveVersion(PyObject* dict) { return VersionOf(dict); }

#endif

// Holds no reference: the caller passes the same classes and dictionaries each time, and one more
// dictionary that must not be held by who holds this.
class Versions {
 public:
  void Read(nb::tuple types, nb::tuple dicts, nb::dict own) {
    types_.clear();
    dicts_.clear();
    for (nb::handle type : types)
      types_.push_back(GiveVersion(reinterpret_cast<PyTypeObject*>(type.ptr())));
    for (nb::handle dict : dicts) dicts_.push_back(GiveVersion(dict.ptr()));
    own_ = GiveVersion(own.ptr());
  }

  bool Same(nb::tuple types, nb::tuple dicts, nb::dict own) const {
    if (types.size() != types_.size() || dicts.size() != dicts_.size()) return false;
    if (VersionOf(own.ptr()) != own_) return false;
    for (size_t i = 0; i < types_.size(); ++i) {
      PyObject* type = PyTuple_GET_ITEM(types.ptr(), static_cast<Py_ssize_t>(i));
      if (types_[i] == 0 || VersionOf(reinterpret_cast<PyTypeObject*>(type)) != types_[i])
        return false;
    }
    for (size_t i = 0; i < dicts_.size(); ++i) {
      if (VersionOf(PyTuple_GET_ITEM(dicts.ptr(), static_cast<Py_ssize_t>(i))) != dicts_[i])
        return false;
    }
    return true;
  }

 private:
  std::vector<uint64_t> types_, dicts_;
  uint64_t own_ = 0;
};

}  // namespace

void BindVersions(nb::module_& m) {
  nb::class_<Versions>(m, "Versions", "The versions of classes and dictionaries, to compare.")
      .def(nb::init<>())
      .def("read", &Versions::Read, nb::arg("types"), nb::arg("dicts"), nb::arg("own"))
      .def("same", &Versions::Same, nb::arg("types"), nb::arg("dicts"), nb::arg("own"));
}

}  // namespace ofl::python
