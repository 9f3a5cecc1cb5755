// Choosing layouts for one eager call of a global operator.
#pragma once

#include <span>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "sbp/boxing.h"

namespace ofl::tensor {

struct SignatureChoice {
  sbp::NdSignature signature;
  int64_t cost_ps = 0;
  int64_t bytes = 0;  // that move between ranks
};

// The signature whose inputs are cheapest to box from `layouts` (all on one placement); the first
// of equals. Mutated inputs are never boxed: kInvalidArgument when no signature takes them.
Result<SignatureChoice> ChooseSignature(const op::OpDef& def, std::span<const TensorMeta> inputs,
                                        std::span<const sbp::Layout* const> layouts,
                                        std::span<const TensorMeta> outputs, const Attrs& attrs);

// What the operator's decomposition would cost when every operator in it chooses the same way.
Result<int64_t> DecompositionCost(const op::OpDef& def, std::span<const TensorMeta> inputs,
                                  std::span<const sbp::Layout* const> layouts, const Attrs& attrs);

}  // namespace ofl::tensor
