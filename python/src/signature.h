// A Python signature as the registry states it, parsed once:
//   clamp(input, min=None, max: other=None)
// docs/operators.md says what it may hold.
#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::python {

struct Param {
  std::string name;
  bool positional = true;
  bool keyword = true;
  bool has_default = false;
  bool gathers = false;               // *name: takes the rest of the positional arguments
  bool inplace = false;               // whether the result goes into the first operand
  bool like = false;                  // a tensor whose shape, dtype and layout the result takes
  bool generator = false;             // of the random numbers that the operator draws
  bool of_tensor = false;             // tensor_*: integers in a tensor, as torch has them
  int operand = -1;                   // index of the tensor input it gives, or -1
  const op::AttrDef* attr = nullptr;  // the attribute it gives, or null
  std::string default_text;           // as the signature has it
  // A number of torch's that says where its warning stands, and we warn of nothing there.
  bool Unused() const { return name == "_stacklevel"; }
  // None of them: torch has this parameter, and only None fits here.
  bool OnlyNone() const {
    return operand < 0 && attr == nullptr && !like && !inplace && !generator;
  }
};

// One overload: an operator under one of its Python signatures.
struct OpBinding {
  const op::OpDef* def = nullptr;
  const Attrs* preset = nullptr;
  std::string signature;  // as Python writes it, with the arguments that all operators have
  std::string name;       // as Python calls it
  std::vector<Param> params;
  std::vector<int> operands;  // the parameters that give operands, in the operands' order
  int num_positional = 0;
  int num_required = 0;
  int like = -1;                 // the parameter that is `like`, or -1
  bool in_place = false;         // the result goes into the first argument
  bool may_be_in_place = false;  // by the parameter `inplace`
};

// The signature by the binding's name and parameters: "exp(input, *, out=None)".
std::string SignatureText(const OpBinding& binding);

// kInternal when the text names neither operands nor attributes of the operator.
Result<OpBinding> ParseSignature(const op::OpDef& def, const op::PyBinding& binding);

// All methods of Tensor that an operator has, `name_` and dunders included, and which of its
// bindings each is.
struct Method {
  std::string name;
  std::vector<size_t> bindings;
  bool in_place = false;
};
std::vector<Method> MethodsOf(const op::OpDef& def);
// The binding behind a property.
size_t PropertyBinding(const op::OpDef& def, std::string_view name);

}  // namespace ofl::python
