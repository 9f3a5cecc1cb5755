// What Python's help says of an operator: made of its definition.
#pragma once

#include <string>

#include "python/src/signature.h"

namespace ofl::python {

// Summary, arguments with their kinds, result, dtypes, an example with shapes, layout rule,
// gradient and errors of one overload.
std::string ReferenceText(const OpBinding& binding);

// The dtypes of the first operand that an operator takes on the CPU: those of its kernels, of a
// composite those of its samples. Of a source the dtypes that it makes.
std::vector<DType> DTypesOf(const op::OpDef& def);

}  // namespace ofl::python
