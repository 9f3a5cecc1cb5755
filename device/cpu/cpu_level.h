// Which instruction set the loops of OFL_SIMD use. Bits of a result depend on it: vectors of other
// widths add in another order, and fused multiply-adds round once. Ranks therefore compare it.
//
// GCC's loader code picks a clone of each OFL_SIMD function when the library is loaded, by asking
// what the processor can do. OFL_CPU_LEVEL (base, v3 or v4), as it was when the process started,
// hides everything above from that question.
#pragma once

#include "oneflow_like/base/status.h"

namespace ofl::device {

// "v4" (AVX-512), "v3" (AVX2) or "base": what runs. "base" too where there are no clones: under
// sanitizers, other compilers and other processors.
const char* CpuLevel();

// kInvalidArgument: OFL_CPU_LEVEL names no level or one that this processor lacks, or was changed
// after the process had started.
Status CheckCpuLevel();

}  // namespace ofl::device
