// Conversions between our values and the plan's messages, shared by lowering, expanding and
// verifying. Reading checks what a file may have wrong.
#pragma once

#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/tensor_meta.h"
#include "oneflow_like/proto/plan.pb.h"
#include "sbp/boxing.h"

namespace ofl::compiler {

void WriteAttrs(const Attrs& attrs, proto::OpDef* op);
Result<Attrs> ReadAttrs(const proto::OpDef& op);

void WriteSbp(const sbp::NdSbp& nd_sbp, proto::LayoutDef* layout);
Result<Placement> ReadPlacement(const proto::PlacementDef& placement);

// The plan's placements, decoded once.
class PlacementTable {
 public:
  static Result<PlacementTable> Read(const proto::Semantics& semantics);
  const Placement& at(int index) const { return placements_[index]; }
  int size() const { return static_cast<int>(placements_.size()); }
  Result<sbp::Layout> ReadLayout(const proto::LayoutDef& layout) const;
  // The steps of a conversion that starts from `from`.
  Result<std::vector<sbp::BoxingStep>> ReadSteps(const proto::OpDef& op,
                                                 const sbp::Layout& from) const;

 private:
  std::vector<Placement> placements_;
};

Result<TensorMeta> ReadMeta(const proto::ValueDef& value);

// Bounds for what a file may ask: ranks, ops, and steps of one conversion.
inline constexpr int kMaxWorld = 1 << 16;
inline constexpr int kMaxOps = 1 << 19;
inline constexpr int kMaxSteps = 16;

// Messages and register instances start on this boundary.
inline constexpr int64_t kMemoryAlignment = 64;
inline int64_t AlignUp(int64_t bytes) {
  return (bytes + kMemoryAlignment - 1) / kMemoryAlignment * kMemoryAlignment;
}

// What a whole launch argument or result is: all micro-batches along axis 0, scalars as a vector.
Result<TensorMeta> ReadArgumentMeta(const proto::Semantics& semantics,
                                    const proto::Argument& argument);

// Bytes of scratch of one instance of a step: messages sent, received, and its result if not last.
int64_t StepScratch(const proto::StepDef& step);
// Register instances of the message staging of a boxing op.
int StagingInstancesOf(const proto::Semantics& semantics, const proto::OpDef& op);

}  // namespace ofl::compiler
