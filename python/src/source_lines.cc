// Notes where the user's program is as a code object and a position in it: finding a number of a
// line costs more than a small operator.
#include "python/src/source_lines.h"

#include <nanobind/stl/string.h>

#include <array>
#include <cassert>
#include <string>

#include "oneflow_like/tensor/source_line.h"
#include "oneflow_like/tensor/tensor.h"
#include "python/src/convert.h"
#include "python/src/errors.h"
#include "python/src/frames.h"

namespace ofl::python {
namespace {

// Whether code belongs to this package. All code of a file shares the text of its name.
bool IsInside(PyObject* file) {
  struct Known {
    PyObject* file = nullptr;  // held
    bool inside = false;
  };
  static std::array<Known, 64> known;
  Known& entry = known[(reinterpret_cast<uintptr_t>(file) >> 5) % known.size()];
  if (entry.file == file) return entry.inside;
  const std::string& directory = PackageDirectory();
  Py_INCREF(file);
  Py_XDECREF(entry.file);
  entry.file = file;
  entry.inside = !directory.empty() && TextOf(file).starts_with(directory);
  return entry.inside;
}

// Whoever dispatches an operator, or lets go of a node of the tape, holds the lock.
const void* Here(int* position) {
  assert(PyGILState_Check() != 0);
  return FindFrame(&IsInside, position);
}

void Drop(const void* code) {
  assert(PyGILState_Check() != 0);
  Py_DECREF(static_cast<PyObject*>(const_cast<void*>(code)));
}

// The last part of the path alone, as wherever a line is named.
std::string Text(const void* code, int position) {
  const nb::gil_scoped_acquire lock;
  auto* object = static_cast<PyCodeObject*>(const_cast<void*>(code));
  const std::string file = TextOf(object->co_filename);
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(LineOf(object, position));
}

}  // namespace

void BindSourceLines(nb::module_& m) {
  tensor::SourceLine::SetLanguage({&Here, &Drop, &Text});
  nb::class_<tensor::KeptAt>(m, "KeptAt", "When a tensor was kept for backward.")
      .def_static("now", &tensor::KeptAt::Now)
      .def(
          "story",
          [](const tensor::KeptAt& kept, nb::handle tensor, uint64_t version) {
            PyTensor* x = TensorOf(tensor.ptr());
            if (x == nullptr || x->value->is_symbolic()) return std::string();
            return kept.Story(tensor::AsTensor(x->value)->storage().get(), version);
          },
          nb::arg("tensor"), nb::arg("version"),
          "Which lines kept it and have changed it since, as far as is known.");
}

}  // namespace ofl::python
