// Which operands and results a gradient rule reads. Of the others it knows metadata alone, and a
// tape that remembers a call need not keep them.
#pragma once

#include <memory>
#include <span>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::tensor {

struct GradientReads {
  // A stand-in, with metadata alone, for each that is not read; null for one that is.
  op::Values inputs;
  op::Values outputs;
};
using GradientReadsRef = std::shared_ptr<const GradientReads>;  // shared by plans and calls

// A value of this metadata that nothing can be computed from.
op::Value StandIn(const TensorMeta& meta);

// Runs the operator's rule on values that only note who touches them. Everything is read where
// that does not tell: operators that are differentiated by way of their composition, rules that
// fail without values, and random operators, whose plan is made for one call alone, so that finding
// out would cost more than keeping.
GradientReadsRef ReadsOf(const op::OpDef& def, const Attrs& attrs,
                         std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs);

}  // namespace ofl::tensor
