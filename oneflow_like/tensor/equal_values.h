// Whether values that ranks take to be equal are: digests of bytes, compared over a placement.
#pragma once

#include <string>
#include <utility>

#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Of a dense tensor's dtype, local shape and bytes. A match by chance is out of the question.
std::string DigestOf(const TensorImpl& dense);

// After a local tensor's elements were written, of operands that each rank has its own of: where a
// global tensor of layout B lies in the memory too, a digest of what is there now enters its claim.
void ClaimContents(const TensorImpl& written);

// The first two ranks that should hold the same part under `layout` and whose digests differ, or -1
// twice; all ranks of the placement hear of it. Collective over the placement, in rounds of at most
// four small messages each: one round for 5 ranks, two for 25, log n. `what` names the exchange in
// errors; a rank of the placement that runs something else is an error on all of them.
Result<std::pair<int, int>> FirstDifference(const sbp::Layout& layout, const std::string& digest,
                                            const std::string& what);

}  // namespace ofl::tensor
