// The boxing planner: conversions between layouts as a list of primitive steps with their bytes.
// Eager execution runs the list, the compiler embeds it, the cost is computed from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/tensor_meta.h"
#include "sbp/sbp.h"

namespace ofl::sbp {

// What moving bytes costs. Integers only, so that every rank computes the same plan.
// Time unit: picoseconds.
struct LinkModel {
  int64_t alpha_ps = 40'000'000;      // one round of messages
  int64_t beta_ps_per_kib = 400'000;  // one KiB through a rank's link
  int64_t local_ps_per_kib = 50'000;  // one KiB copied or added inside a rank
};

enum class StepKind : uint8_t {
  kSlice,          // B -> S: no bytes move
  kFill,           // B -> P, S -> P: identities everywhere else
  kAllGather,      // S -> B
  kReduceScatter,  // P -> S
  kAllReduce,      // P -> B in one round; large ones are planned as scatter and gather
  kAllToAll,       // S(i) -> S(j)
  kRedistribute,   // anything, also between placements: each needed box from its nearest holder
};
const char* StepKindName(StepKind kind);

// `tree`: additions follow the balanced binary tree over mesh coordinates, inner axes first, so
// the bits depend on neither timing nor route. `backend`: a vendor's collective chooses.
enum class ReduceOrder : uint8_t { kTree, kBackend };

struct BoxingStep {
  StepKind kind = StepKind::kRedistribute;
  Layout from;
  Layout to;
  int mesh_axis = -1;  // of the primitive kinds; -1 for kRedistribute
  ReduceOrder order = ReduceOrder::kTree;
  std::string codec;           // empty: elements travel as they are
  int64_t max_rank_bytes = 0;  // most bytes any rank sends or receives
  int64_t total_bytes = 0;     // bytes on all links
  int64_t rounds = 0;          // dependent rounds of messages
  int64_t cost_ps = 0;
};

struct BoxingPlan {
  std::vector<BoxingStep> steps;  // empty: nothing to do
  int64_t cost_ps = 0;
  int64_t total_bytes = 0;
};

// The cheapest conversion: the direct redistribution against all chains of steps over legal layouts
// (and, between placements, against conversions before and after the move). Ties go to fewer steps,
// then to a fixed order. kInvalidArgument where a layout is none of this tensor (CheckLayout).
Result<BoxingPlan> PlanBoxing(const TensorMeta& meta, const Layout& from, const Layout& to,
                              const LinkModel& link = {});

// --- what one rank does in one step -------------------------------------------------------------

// A box that `src` sends to `dst` out of its local tensor. Logical coordinates; never empty;
// src != dst. Both sides list the messages of a step in the same order.
struct Message {
  int src = 0;  // ranks of the world, not mesh positions
  int dst = 0;
  Box box;
};

// How one box of the destination's local tensor comes about: the contributions of `sources`
// combined by `op` in the tree of shape `tree` (sizes of the partial mesh axes, outermost first;
// sources are row-major over it, TreeAdditions gives the order), or the identity of `op` when there
// are no sources.
struct Piece {
  Box box;
  std::vector<int> sources;  // world ranks; may contain the destination itself
  Shape tree;                // empty: exactly one source, copied
  ReduceOp op = ReduceOp::kSum;
};

struct RankWork {
  // What this rank holds before. Empty when not a member; then a scalar's has one axis, of size 0.
  Box from_box;
  Box to_box;                     // what it holds after
  std::vector<Message> sends;     // ordered by destination, then box
  std::vector<Message> receives;  // ordered by source, then box
  std::vector<Piece> pieces;      // disjoint, covering to_box
};
// A pure function of its arguments; the sends of one rank and the receives of the others agree, and
// there is at most one message between two ranks. The step's layouts must fit the shape.
RankWork WorkOf(const BoxingStep& step, const Shape& logical, int rank);

// Most bytes of messages that any rank sends and receives in a step, each message padded to a
// multiple of `alignment`. One sweep over the messages.
struct StagingBytes {
  int64_t send = 0;
  int64_t receive = 0;
};
StagingBytes StagingOf(const BoxingStep& step, const Shape& logical, int64_t element_bytes,
                       int64_t alignment);

}  // namespace ofl::sbp
