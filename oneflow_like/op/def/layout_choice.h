// Choosing layouts: which signature an operator takes, for eager calls, tracing and the compiler
// alike (docs/layout-choice.md). A pure function of the query: integers, fixed ties, no clock.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "sbp/boxing.h"

namespace ofl::op {

// What conversions and work cost. Fixed figures: a choice must not depend on who makes it.
struct MachineModel {
  sbp::LinkModel link;       // local_ps_per_kib is also a kernel's byte: 20 GB/s
  int64_t ps_per_flop = 10;  // 100 GFLOP/s
};

// An operand as the chooser sees it.
struct LaidOperand {
  TensorMeta meta;
  const sbp::NdSbp* nd_sbp = nullptr;    // null: free, it takes any layout at `free_cost`
  std::span<const sbp::NdSbp> copies{};  // other layouts that it can be read in for nothing
};

struct LayoutQuery {
  const OpDef& op;
  const Attrs& attrs;  // complete
  std::span<const LaidOperand> inputs;
  std::span<const TensorMeta> outputs;
  const Placement& placement;  // of all operands
  // By output: the layout that it must have, or null. Empty: none.
  std::span<const sbp::NdSbp* const> pins{};
  // What the free operand `input` costs when it is made in a layout.
  std::function<int64_t(size_t input, const sbp::NdSbp& nd_sbp)> free_cost{};
  // Partial outputs are added up this many times before they are converted once.
  int64_t pieces = 1;
};

struct LayoutChoice {
  sbp::NdSignature signature;       // of the operator itself
  bool composed = false;            // its decomposition runs instead
  std::vector<sbp::NdSbp> outputs;  // what the results lie in, either way
  int64_t cost_ps = 0;              // everything charged
  int64_t conversion_ps = 0;        // of it, what converting the inputs costs
  int64_t moved_bytes = 0;          // by those conversions, between ranks
};

struct LosingSignature {
  sbp::NdSignature signature;
  int64_t cost_ps = 0;
};

// One thread at a time. Keeps the prices of conversions between calls.
class LayoutChooser {
 public:
  explicit LayoutChooser(const MachineModel& machine = {}) : machine_(machine) {}

  // The cheapest candidate; `losing`, where given, receives the other signatures, cheapest first.
  // kInvalidArgument when no signature takes the operands (mutated ones are never converted) and
  // gives the pinned layouts.
  Result<LayoutChoice> Choose(const LayoutQuery& query,
                              std::vector<LosingSignature>* losing = nullptr);

  struct Price {
    int64_t cost_ps = 0;  // -1: there is no such conversion
    int64_t bytes = 0;
  };
  // Of a conversion on one placement.
  Price Conversion(const TensorMeta& meta, const Placement& placement, const sbp::NdSbp& from,
                   const sbp::NdSbp& to);
  // Mesh axes (bit k for axis k) over which an operand came in split, and split or partial.
  struct Axes {
    unsigned split = 0;
    unsigned laid = 0;
  };
  // Of running the operator on the busiest rank, where bit k of `axes` lets mesh axis k divide it.
  int64_t Work(const LayoutQuery& query, const sbp::NdSignature& signature, unsigned axes) const;

 private:
  friend class CompositionPricer;
  struct Key {
    TensorMeta meta;
    Placement placement;
    sbp::NdSbp from, to;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };

  struct Candidate {
    bool possible = false;
    int64_t cost_ps = 0, conversion_ps = 0, moved_bytes = 0, output_bytes = 0;
  };

  Candidate PriceSignature(const LayoutQuery& query, const sbp::NdSignature& signature,
                           const Axes& axes, int64_t work_ps, const Candidate* beat);
  bool AddConversions(const LayoutQuery& query, const sbp::NdSignature& signature,
                      const Candidate* beat, Candidate* candidate);
  // The likely conversion of an output; its partials over `owed` axes count.
  int64_t Aftermath(const LayoutQuery& query, const TensorMeta& meta, const sbp::NdSbp& nd_sbp,
                    const Axes& axes, unsigned owed) const;
  Status TryComposition(const LayoutQuery& query, const Axes& axes, LayoutChoice* choice);
  int64_t Pinned(const LayoutQuery& query, size_t output, sbp::NdSbp* nd_sbp);

  MachineModel machine_;
  std::unordered_map<Key, Price, KeyHash> prices_;
};

}  // namespace ofl::op
