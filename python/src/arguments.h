// The arguments of a Python call, sorted to an operator's operands and attributes.
#pragma once

#include <Python.h>

#include <string_view>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/generator.h"
#include "python/src/module.h"
#include "python/src/signature.h"

namespace ofl::python {

// A Python object as an attribute of this type; false when it has another type. What the object
// itself raises goes on as an exception.
bool AttrFrom(op::AttrType type, PyObject* object, AttrValue* out);

// What a call asks for, when its arguments fit an overload.
struct Arguments {
  const op::OpDef* def = nullptr;  // the operator, or its form for a number
  op::Values inputs;
  op::Value like;  // of which a tensor that is made takes what is not given
  Attrs attrs;
  PyObject* placement = nullptr;  // of operators that make tensors, as sbp
  PyObject* sbp = nullptr;
  PyObject* out = nullptr;                 // the target, null: a new tensor
  tensor::Generator* generator = nullptr;  // null: a default one
  bool requires_grad = false;
  bool in_place = false;  // inplace=True: the result goes into the first operand
};

// kTypeMismatch or kInvalidArgument says why they do not fit: another overload may.
Result<Arguments> SortArguments(const OpBinding& binding, PyObject* const* args, Py_ssize_t count,
                                PyObject* keywords);

// Whether there are enough arguments for an overload, which has the keywords, and they are of the
// kinds that it takes: tensors as operands, none as attributes. A number is no operand at the
// positions (bits of `contested`) where another overload has an attribute.
bool MayFit(const OpBinding& binding, PyObject* const* args, Py_ssize_t count, PyObject* keywords,
            uint32_t contested);

}  // namespace ofl::python
