// Runs operators on host tensors in one process: whole, or as the shards of a mesh.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "tests/unit/op/host_tensor.h"

namespace ofl::op::testing {

// A call on one rank's shards. The inputs that the operator mutates are copied first; the results
// are the outputs, followed by those copies.
struct Call {
  const OpDef* def = nullptr;
  Hosts inputs;
  std::vector<TensorMeta> outputs;  // local
  Attrs attrs;                      // local
  std::vector<TensorMeta> logical_inputs, logical_outputs;
  std::vector<Shape> input_offsets, output_offsets;
};
Result<Hosts> Run(const Call& call, int threads = 1);
// The whole call: infers, runs.
Result<Hosts> RunWhole(const OpDef& def, const Hosts& inputs, const Attrs& attrs, int threads = 1);

// --- meshes -------------------------------------------------------------------------------------

// What each member holds of `x`: random genuine partials, drawn within the sample's range for max
// and min.
Hosts Distribute(const Host& x, const sbp::NdSbp& nd_sbp, const Shape& hierarchy,
                 const Sample& sample, std::mt19937& random);
// The logical tensor; an error when the parts cannot be its layout (wrong shape, B that differs).
Result<Host> Combine(const Hosts& parts, const TensorMeta& logical, const sbp::NdSbp& nd_sbp,
                     const Shape& hierarchy);
sbp::Layout LayoutOn(const Shape& hierarchy, const sbp::NdSbp& nd_sbp);

// The results of a call under one signature, combined.
Result<Hosts> RunSharded(const OpDef& def, const Hosts& inputs, const Attrs& attrs,
                         std::span<const TensorMeta> outputs, const sbp::NdSignature& signature,
                         const Shape& hierarchy, const Sample& sample, std::mt19937& random);

// --- gradients ----------------------------------------------------------------------------------

// Builds by running at once.
class Evaluator final : public Builder {
 public:
  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override;
  Value ToLayout(const Value& x, const sbp::Layout&) override { return x; }
};

}  // namespace ofl::op::testing
