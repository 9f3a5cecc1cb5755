// torch's promotion of operands, in its one place: tensors with dimensions, 0-d tensors and plain
// numbers are three classes, and a later class counts only by a higher category of dtype
// (https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc).
#pragma once

#include <optional>
#include <span>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {

// The dtype of floating numbers that no operand says: float32, or what somebody set. Of the
// process; dispatch reads it when a call is made, and inference never: a graph that was traced says
// all dtypes itself.
DType DefaultFloat();
void SetDefaultFloat(DType dtype);
// The dtype that a plain number brings: Scalar::dtype(), with the default one in place of float32.
DType DTypeOfNumber(const Scalar& number);

// What an operand brings into promotion.
struct TypedOperand {
  enum class Weight : uint8_t { kTensor, kZeroDim, kNumber };
  DType dtype = DType::kFloat32;  // of a number: Scalar::dtype()
  Weight weight = Weight::kTensor;
};
TypedOperand TypedOf(const TensorMeta& meta);

// The dtype in which operands meet (torch.result_type). kTypeMismatch where there is none.
Result<DType> ResultType(std::span<const TypedOperand> operands);

// Why an operator that negates (NumberForms::negate_right) takes no bool beside a number either.
inline constexpr char kNoDifferenceOfBool[] = "a bool has no negative to add";

// What the operands that take part are cast to before `def` is called with them; none: as they are.
Result<std::optional<DType>> PromotedDType(const OpDef& def,
                                           std::span<const TypedOperand> operands);

}  // namespace ofl::op
