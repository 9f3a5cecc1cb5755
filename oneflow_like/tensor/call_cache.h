// What eager calls remember: for each (operator, attributes, operands' metadata, strides and
// layouts) the result of inference, the chosen signature, the prepared kernel and the boxing, so
// that a repeated small call costs a lookup.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/gradient_reads.h"
#include "oneflow_like/tensor/tensor.h"
#include "sbp/boxing.h"

namespace ofl::tensor {

// A conversion between layouts as this rank runs it.
struct BoxingRecipe {
  TensorMeta meta;
  LayoutRef from;
  LayoutRef to;
  std::vector<sbp::BoxingStep> steps;
  std::vector<sbp::RankWork> works;  // one for each step
  std::vector<int> group;            // ranks of both placements, sorted

  int64_t cost_ps = 0;
  int64_t total_bytes = 0;
};
using RecipeRef = std::shared_ptr<const BoxingRecipe>;  // shared by the cache and call plans

// Digest of an operator with its attributes, equal on all ranks that call it alike.
uint64_t ClaimOf(const op::OpDef& def, const Attrs& attrs);
// Digest of numbers that the program gives.
uint64_t ClaimOf(std::span<const double> numbers);
// A claim with that of an operand, or of whatever else went into it.
uint64_t JoinClaims(uint64_t claim, uint64_t operand);

struct CallPlan {
  AttrsRef attrs;      // completed
  uint64_t claim = 0;  // of the call without its operands
  std::vector<TensorMeta> inputs;
  std::vector<TensorMeta> outputs;
  bool decompose = false;  // the operator is run as its decomposition; nothing below is set
  bool member = true;      // this rank computes
  DeviceKind device = DeviceKind::kCpu;
  std::vector<RecipeRef> boxing;          // by input; null: as it is. Empty: none at all
  std::vector<LayoutRef> output_layouts;  // empty: local
  std::vector<TensorMeta> local_inputs;
  std::vector<TensorMeta> local_outputs;
  std::vector<Shape> input_offsets;
  std::vector<Shape> output_offsets;
  Attrs local_attrs;
  op::Kernel kernel;
  device::BufferRef kept;  // memory of the kernel's own, from call to call
  RandomState random;      // the draw of a random operator
  // What the operator's gradient rule reads of a call like this; made when one is recorded.
  mutable GradientReadsRef reads;
};
using CallPlanRef = std::shared_ptr<const CallPlan>;  // a nested call may evict the entry

// Bounded, in entries and in bytes that kernels keep: a full table is emptied, since what is in use
// comes back at once.
class CallCache {
 public:
  struct Query {
    const op::OpDef* def;
    std::span<const op::Value> inputs;  // eager
    const Attrs& attrs;                 // as given
    const LayoutRef* source_layout;     // of operators without inputs; may be null
  };
  static uint64_t HashOf(const Query& query);
  const CallPlanRef* Find(const Query& query, uint64_t hash) const;
  void Insert(const Query& query, uint64_t hash, CallPlanRef plan);

  const RecipeRef* FindRecipe(const TensorMeta& meta, const sbp::Layout& from,
                              const sbp::Layout& to, uint64_t* hash) const;
  void InsertRecipe(uint64_t hash, RecipeRef recipe);

 private:
  struct Operand {
    TensorMeta meta;
    LayoutRef layout;
    bool dense = true;
    Strides strides;
  };
  struct Entry {
    const op::OpDef* def;
    Attrs attrs;
    std::vector<Operand> operands;
    LayoutRef source_layout;
    CallPlanRef plan;
  };
  static bool Matches(const Entry& entry, const Query& query);

  static constexpr size_t kMaxEntries = 8192;
  static constexpr int64_t kMaxKeptBytes = int64_t{256} << 20;
  int64_t kept_bytes_ = 0;
  std::unordered_multimap<uint64_t, Entry> entries_;
  std::unordered_multimap<uint64_t, RecipeRef> recipes_;
};

}  // namespace ofl::tensor
