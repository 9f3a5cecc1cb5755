// Which kernels the linked BLAS library chose for this processor, or was told to by
// OPENBLAS_CORETYPE: bits of a product depend on them.
#pragma once

#include <string>

namespace ofl::op {

std::string BlasCore();  // "SkylakeX"; defined beside the operators, which link the library

}  // namespace ofl::op
