// What losses share: their reduction, and half types computed in float32.
#pragma once

#include <string>
#include <vector>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {

using Operands = std::span<const op::Value>;

// Parameters that torch has deprecated; only None is taken.
#define OFL_REDUCTION "size_average=None, reduce=None, reduction='mean'"

// Losses one by one ("none"), or their mean or sum. flow.kl_div takes a number instead, as torch's
// does: the attribute `code`, 0, 1 or 2. Its default is documented as 1 there, and is 0: torch's
// parser of signatures reads the name of the enumerator as 0.
op::OpDefBuilder& Loss(op::OpDefBuilder& op, const char* doc);
// `batchmean` is kl_div's alone.
Result<std::string> ReductionOf(const Attrs& attrs, bool batchmean = false);
op::Value Reduced(op::Builder& b, const op::Value& losses, const std::string& how);

// What becomes of integers, as torch has it.
enum class Whole { kRefused, kKept, kToFloat };

// A composition from the losses one by one, of operands with half types widened.
using LossFn = op::Value (*)(op::Builder& b, Operands in, const Attrs& attrs);
op::Values ComposeReduced(op::Builder& b, Operands in, const Attrs& attrs, LossFn losses,
                          Whole whole);
template <LossFn kLosses, Whole kWhole = Whole::kRefused>
op::Values ComposeLoss(op::Builder& b, Operands in, const Attrs& attrs) {
  return ComposeReduced(b, in, attrs, kLosses, kWhole);
}
Status RequireFloating(const op::Value& x);
// Rounded to a half type, where losses of it were computed in float32.
inline op::Value Narrow(op::Builder& b, const op::Value& loss, DType dtype) {
  return IsHalf(dtype) ? CastTo(b, loss, dtype) : loss;
}

inline op::Value Wide(op::Builder& b, const op::Value& x) {
  return x == nullptr ? nullptr : CastTo(b, x, StatisticOf(x->meta().dtype));
}
// Which of an operator's operands were given, where optional ones may be left out.
const op::Value* OperandAt(Operands in, const Attrs& attrs, size_t operand);

op::Value AtLeast(op::Builder& b, const op::Value& x, double least);
op::Value SumOver(op::Builder& b, const op::Value& x, int64_t axis);
op::Value ShapedAs(op::Builder& b, const op::Value& x, const Shape& shape);
// Null, with the builder's error set.
op::Value Wrong(op::Builder& b, Status status);

// Samples of one shape for each operand: float32 with every reduction, others with the mean.
std::vector<op::Sample> LossSamples(const std::vector<Shape>& shapes,
                                    std::vector<std::pair<double, double>> ranges = {},
                                    const Attrs& more = {});
op::ErrorSample ReductionError(const std::vector<Shape>& shapes, Attrs attrs = {});

}  // namespace ofl::ops
