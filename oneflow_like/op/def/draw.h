// What a random operator takes from its generator operand: one draw, chosen when the call is made.
// It travels with the call's attributes, so that a gradient rule which passes them on draws the
// same numbers again, and is no attribute of the schema.
#pragma once

#include <optional>
#include <string_view>

#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/random_state.h"

namespace ofl::op {

// The attribute that holds it: [seed, offset], or in a graph [seed, offset, generator].
inline constexpr std::string_view kDraw = "draw";
inline constexpr int kMaxGenerators = 1 << 12;          // of a graph
inline constexpr int64_t kMaxDraws = int64_t{1} << 32;  // of a launch, from one generator

struct Draw {
  // In a graph relative to what the generator is at a launch: seed 0, the draw's place among those
  // that a launch takes from it.
  RandomState at;
  int generator = -1;  // which of the graph's; -1: of none, `at` says all
  bool operator==(const Draw&) const = default;

  AttrValue ToAttr() const;
  // Nothing where the attributes hold none, or not in this form.
  static std::optional<Draw> Of(const Attrs& attrs);
};

}  // namespace ofl::op
