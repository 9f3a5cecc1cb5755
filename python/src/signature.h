// A Python signature as the registry states it, parsed once:
//   matmul(input, other, /, *, transpose_a=False)
#pragma once

#include <Python.h>

#include <string>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::python {

struct Param {
  std::string name;
  bool positional = true;
  bool keyword = true;
  bool has_default = false;
  int operand = -1;                   // index of the tensor input it gives, or -1
  const op::AttrDef* attr = nullptr;  // the attribute it gives, or null
};

// One overload: an operator under one of its Python signatures.
struct OpBinding {
  const op::OpDef* def = nullptr;
  const Attrs* preset = nullptr;
  std::string signature;
  std::string name;  // as Python calls it
  std::vector<Param> params;
  int num_positional = 0;
};

// kInternal when the text names neither operands nor attributes of the operator.
Result<OpBinding> ParseSignature(const op::OpDef& def, const op::PyBinding& binding);

// Whether the method `name_` is made of an operator's method: its result has the shape and place of
// its first input.
bool HasInPlaceForm(const op::OpDef& def);

}  // namespace ofl::python
