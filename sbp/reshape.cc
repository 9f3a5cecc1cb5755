#include "oneflow_like/base/check.h"
#include "sbp/rule.h"

namespace ofl::sbp {
namespace {

// Do slices of a leading axis of size `a` begin at the same elements as those of one of size `b`,
// both leading a group of `elements`?
bool SlicesCoincide(int64_t a, int64_t b, int64_t elements, int64_t parts) {
  for (int64_t p = 0; p <= parts; ++p) {
    const int64_t at_a = p == parts ? a : BalancedSlice(a, parts, p).first;
    const int64_t at_b = p == parts ? b : BalancedSlice(b, parts, p).first;
    if (at_a * (elements / a) != at_b * (elements / b)) return false;
  }
  return true;
}

void Tie(FactorRule* rule, int from_axis, int to_axis) {
  rule->inputs[0][from_axis] = rule->num_factors;
  rule->outputs[0][to_axis] = rule->num_factors;
  ++rule->num_factors;
}

// Groups by products say nothing where a product is zero: only equal axes at both ends are tied.
void TieEmpty(const Shape& from, const Shape& to, FactorRule* rule) {
  int front = 0;
  while (front < from.rank() && front < to.rank() && from[front] == to[front]) {
    Tie(rule, front, front);
    ++front;
  }
  int i = from.rank() - 1, j = to.rank() - 1;
  for (; i >= front && j >= front && from[i] == to[j]; --i, --j) Tie(rule, i, j);
}

}  // namespace

FactorRule ReshapeRule(const Shape& from, const Shape& to, int64_t parts) {
  OFL_CHECK(from.numel() == to.numel());  // shape inference refuses anything else
  FactorRule rule;
  rule.inputs = {std::vector<int>(from.rank(), FactorRule::kUnsplittable)};
  rule.outputs = {std::vector<int>(to.rank(), FactorRule::kUnsplittable)};
  rule.linear = {0};
  rule.monotone = {0};
  if (from.numel() == 0) {
    TieEmpty(from, to, &rule);
    return rule;
  }
  int i = 0, j = 0;
  while (i < from.rank() && j < to.rank()) {
    if (from[i] == 1 && to[j] == 1) {
      Tie(&rule, i++, j++);
      continue;
    }
    // An axis of size 1 that stands alone belongs to no group: it has nothing to split.
    if (from[i] == 1) {
      ++i;
      continue;
    }
    if (to[j] == 1) {
      ++j;
      continue;
    }
    const int lead_from = i, lead_to = j;
    int64_t left = from[i++], right = to[j++];
    while (left != right) {
      if (left < right) {
        left *= from[i++];
      } else {
        right *= to[j++];
      }
    }
    if (SlicesCoincide(from[lead_from], to[lead_to], left, parts)) Tie(&rule, lead_from, lead_to);
  }
  return rule;
}

}  // namespace ofl::sbp
