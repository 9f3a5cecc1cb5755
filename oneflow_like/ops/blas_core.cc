#include "oneflow_like/op/kernel/blas_core.h"

#include <cblas.h>

namespace ofl::op {

std::string BlasCore() { return scipy_openblas_get_corename(); }

}  // namespace ofl::op
