// flow.Generator: random numbers that are drawn apart from the default generators.
#pragma once

#include <Python.h>

#include <memory>

#include "oneflow_like/tensor/generator.h"
#include "python/src/module.h"

namespace ofl::python {

struct PyGenerator {
  std::shared_ptr<tensor::Generator> own;  // null: the default ones, of the job and of this rank
};

// The generator that a call draws from, null for a default one; false for what is none. `object`
// may be None.
bool GeneratorFrom(PyObject* object, tensor::Generator** out);

}  // namespace ofl::python
