// The binary operators of Tensor that go straight into the type's slots.
#pragma once

#include <Python.h>

namespace ofl::python {

// Null with an exception set on failure; NotImplemented for operands that are no numbers.
PyObject* AddTensors(PyObject* a, PyObject* b);
PyObject* SubTensors(PyObject* a, PyObject* b);
PyObject* MulTensors(PyObject* a, PyObject* b);
PyObject* DivTensors(PyObject* a, PyObject* b);
PyObject* MatmulTensors(PyObject* a, PyObject* b);

}  // namespace ofl::python
