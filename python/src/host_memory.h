// Memory that tensors share with others: NumPy arrays, buffers, DLPack.
#pragma once

#include <Python.h>

#include <string_view>

#include "oneflow_like/tensor/tensor.h"
#include "python/src/module.h"

namespace ofl::python {

// A NumPy array of a local tensor's memory, which it keeps alive. Whoever has it may write there.
nb::object HostArray(const tensor::TensorRef& x);
// Whether it is one of NumPy's arrays, with at least one axis.
bool IsArray(PyObject* object);
// A tensor of such an array's memory; throws where no dtype fits.
op::Value ArrayValue(PyObject* array);

}  // namespace ofl::python
