// What a step costs. Exact for every mesh: bytes come from the boxes, uneven ones included.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "sbp/boxing.h"

namespace ofl::sbp {

// Elements, of all ranks of one step.
struct Traffic {
  int64_t max_link = 0;  // most that a rank sends or receives
  int64_t total_link = 0;
  int64_t max_local = 0;  // most that a rank copies, adds or fills
};

// A layout with the box of every member.
struct State {
  Layout layout;
  std::vector<Box> boxes;
};
State MakeState(const Shape& logical, const Placement& placement, const NdSbp& nd_sbp);

// The primitive step between two layouts of one placement, if they differ on one mesh axis and the
// step stays within that axis's subgroups.
std::optional<std::pair<StepKind, int>> PrimitiveBetween(const NdSbp& from, const NdSbp& to);
// By formula, without listing messages.
Traffic PrimitiveTraffic(StepKind kind, int mesh_axis, const State& from, const State& to);

// By listing every message.
Traffic ExchangeTraffic(const BoxingStep& step, const Shape& logical);
// Cheap, and never more than ExchangeTraffic. `self` gives each target member's index in the
// source, -1 for none.
Traffic ExchangeLowerBound(const State& from, const State& to, std::span<const int> self);
// Never more than all steps of any chain between the two together.
Traffic MustMove(const State& from, const State& to, std::span<const int> self,
                 const Shape& logical);

// Fills in the bytes, rounds and cost.
void Price(const Traffic& traffic, const LinkModel& link, int64_t element_bytes, BoxingStep* step);

}  // namespace ofl::sbp
