// Python numbers beside tensors: weak, as in torch.
#pragma once

#include <boost/container/small_vector.hpp>

#include "python/src/module.h"

namespace ofl::python {

// int, float, bool, complex, or a NumPy scalar.
bool IsNumber(PyObject* object);

// The exact number of a bool, int, float, complex or NumPy scalar; false for everything else, and
// for integers beyond 64 bits.
bool NumberFrom(PyObject* object, AttrValue* out);

// A 0-d tensor of the number: on `other`'s placement, of the dtype a weak number takes beside it.
Result<op::Value> ScalarOperand(const op::Value& other, PyObject* number, std::string_view op);

// What a binary operator on a tensor and a number comes to: the operator's form for numbers where
// the registry has one, else the number as a tensor. `left`: the number stands first.
struct NumberCall {
  const op::OpDef* def = nullptr;
  boost::container::small_vector<op::Value, 2> inputs;
  Attrs attrs;
};
Result<NumberCall> ResolveNumber(const op::OpDef& def, const op::Value& x, PyObject* number,
                                 bool left);
Result<op::Values> RunWithNumber(const op::OpDef& def, const op::Value& x, PyObject* number,
                                 bool left);

// The dtype in which two operands meet, each a Tensor or a number.
Result<DType> MeetingDType(PyObject* a, PyObject* b);

// Called once, when the registry is bound.
void PrepareScalars();

}  // namespace ofl::python
