// Python numbers beside tensors: weak, as in torch.
#pragma once

#include "python/src/module.h"

namespace ofl::python {

// int, float, bool, complex, or a NumPy scalar.
bool IsNumber(PyObject* object);

// The exact number of a bool, int, float, complex or NumPy scalar; false for everything else, and
// for integers beyond 64 bits.
bool NumberFrom(PyObject* object, AttrValue* out);

// A 0-d tensor of the number: on `other`'s placement, of the dtype a weak number takes beside it.
Result<op::Value> ScalarOperand(const op::Value& other, PyObject* number, std::string_view op);

// A binary operator on a tensor and a number; `left` when the number stands first. Uses the
// operator's scalar form where the registry has one.
Result<op::Values> RunWithNumber(const op::OpDef& def, const op::Value& x, PyObject* number,
                                 bool left);

// Called once, when the registry is bound.
void PrepareScalars();

}  // namespace ofl::python
