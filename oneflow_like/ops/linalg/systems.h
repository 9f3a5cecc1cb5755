// What systems of linear equations share: checks of operands, attributes, samples.
#pragma once

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {

// Of A X = B (not `left`: X A = B): one dtype, and as many rows (columns) of B as A has.
Status CheckSystem(const TensorMeta& a, const TensorMeta& b, bool left);

// Operands A and B, and `left`.
op::OpDefBuilder& System(op::OpDefBuilder& op, const char* doc);
// An attribute that is false unless given.
op::OpDefBuilder& Flag(op::OpDefBuilder& op, const char* name);

// Of left=True; `broadcast`: of batches that differ too.
std::vector<op::Sample> SystemSamples(const Attrs& attrs, const char* note, bool broadcast);
std::vector<op::ErrorSample> SystemErrors(const Attrs& attrs = {});

}  // namespace ofl::ops
