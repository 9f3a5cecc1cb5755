// Factor rules: how an operator's layouts follow from which axes belong together.
//
// Text form, one statement after another, separated by ';':
//   (m k),(k n)->(m n)     axes of inputs and outputs, labelled by factor; "..." is any number of
//                          leading axes, aligned from the right; "!" is an axis that must not be
//                          split; "1" an axis of size 1 that broadcasts
//   reduce k by sum        a factor of inputs alone is reduced (sum, max, min)
//   linear a b             each input for itself may be P(sum) while all others are B
//   linear jointly a b     all the named inputs are P(sum) together
//   monotone a / antitone a   P(max) and P(min) pass / swap
//   max jointly a b / min jointly a b   all the named inputs are P(max) / P(min) together
//   never partial [sum|max|min ...]   no further signature takes these partials (none named: all),
//                          though some may be legal by chance or of no use
//   offset f               the kernel wants to know where its slice of f starts
// Inputs are named by position: 0, 1, 2 …
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/shape.h"
#include "sbp/sbp.h"

namespace ofl::sbp {

class FactorRule {
 public:
  static constexpr int kUnsplittable = -1;  // "!"
  static constexpr int kBroadcastOne = -2;  // "1"

  // Parses the text for operands of these ranks (which "..." needs).
  static Result<FactorRule> Parse(std::string_view text, std::span<const Shape> inputs,
                                  std::span<const Shape> outputs);

  int num_factors = 0;
  std::vector<std::vector<int>> inputs;  // factor of each axis of each input
  std::vector<std::vector<int>> outputs;
  std::vector<std::pair<int, ReduceOp>> reductions;  // (factor, operation)
  std::vector<int> linear;                           // inputs, each for itself
  std::vector<std::vector<int>> jointly_linear;      // groups
  std::vector<int> monotone;
  std::vector<int> antitone;
  // Inputs that are P(max), or P(min), together.
  std::vector<std::pair<std::vector<int>, ReduceOp>> jointly_extreme;
  std::vector<ReduceOp> never_partial;  // what no signature but the derived ones takes
  std::vector<int> offset_factors;
};

// One legal assignment of a symbol to every operand on one mesh axis.
struct Signature {
  std::vector<Sbp> inputs;
  std::vector<Sbp> outputs;
  bool operator==(const Signature&) const = default;
  std::string ToString() const;  // "S(0),B->S(0)"
};
// The same for all mesh axes.
struct NdSignature {
  std::vector<NdSbp> inputs;
  std::vector<NdSbp> outputs;
  bool operator==(const NdSignature&) const = default;
  std::string ToString() const;
};

// All signatures of one mesh axis, all-B first, in a fixed order, without repeats.
std::vector<Signature> DeriveSignatures(const FactorRule& rule);

// The rule of an operator on operands of these shapes, for a mesh axis of `parts` parts (a
// reshape's rule depends on both).
using RuleOf = std::function<Result<FactorRule>(std::span<const Shape> inputs,
                                                std::span<const Shape> outputs, int64_t parts)>;

// All signatures on a mesh, derived outermost first: each further axis applies the rule on the
// shapes of every outer part and must hold for all of them. All-B is the first, the order is
// fixed, no operand mixes partials of two operations.
Result<std::vector<NdSignature>> DeriveNdSignatures(const RuleOf& rule_of,
                                                    std::span<const Shape> inputs,
                                                    std::span<const Shape> outputs,
                                                    const Shape& hierarchy);

// A reshape's rule from both shapes (docs/sbp.md, "Reshape"): factors are the coarsest common
// groups, only a group's leading axis can be split, and only where slices fall on group bounds
// for a mesh axis of `parts` parts.
FactorRule ReshapeRule(const Shape& from, const Shape& to, int64_t parts);

}  // namespace ofl::sbp
