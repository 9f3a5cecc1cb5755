// Which kernels the linked libraries chose for this processor. Defined beside the operators, which
// link them.
#pragma once

#include <string>

namespace ofl::op {

// "SkylakeX": BLAS's, or what OPENBLAS_CORETYPE told it. Bits of a product depend on them.
std::string BlasCore();
// The library of convolutions, its version and the instructions it may use, on which their bits
// depend: "oneDNN 2.6.3/231", or "none".
std::string ConvolutionCore();

}  // namespace ofl::op
