#include "oneflow_like/op/def/promotion.h"

#include <array>
#include <atomic>

namespace ofl::op {
namespace {

std::atomic<DType> default_float = DType::kFloat32;

Result<std::optional<DType>> Joined(std::optional<DType> a, DType b) {
  if (!a) return std::optional(b);
  OFL_ASSIGN(DType both, PromoteTypes(*a, b));
  return std::optional(both);
}

// A class of lower weight counts only where its category is the higher one.
Result<std::optional<DType>> Combined(std::optional<DType> higher, std::optional<DType> lower) {
  if (!higher) return lower;
  if (!lower || CategoryOf(*lower) <= CategoryOf(*higher)) return higher;
  if (IsFloating(*higher)) return std::optional(ComplexOf(*higher));  // as wide as it is
  return Joined(higher, *lower);
}

}  // namespace

DType DefaultFloat() { return default_float.load(std::memory_order_relaxed); }
void SetDefaultFloat(DType dtype) { default_float.store(dtype, std::memory_order_relaxed); }

DType DTypeOfNumber(const Scalar& number) {
  const DType dtype = number.dtype();
  if (IsFloating(dtype)) return DefaultFloat();
  return IsComplex(dtype) ? ComplexOf(DefaultFloat()) : dtype;
}

TypedOperand TypedOf(const TensorMeta& meta) {
  using enum TypedOperand::Weight;
  return {meta.dtype, meta.shape.rank() == 0 ? kZeroDim : kTensor};
}

Result<DType> ResultType(std::span<const TypedOperand> operands) {
  std::array<std::optional<DType>, 3> classes;
  for (const TypedOperand& operand : operands) {
    std::optional<DType>& into = classes[static_cast<size_t>(operand.weight)];
    OFL_ASSIGN(into, Joined(into, operand.dtype));
  }
  OFL_ASSIGN(auto tensors, Combined(classes[0], classes[1]));
  OFL_ASSIGN(auto all, Combined(tensors, classes[2]));
  OFL_ENSURE(all.has_value(), Code::kInternal) << "no operand takes part in promotion";
  return *all;
}

Result<std::optional<DType>> PromotedDType(const OpDef& def,
                                           std::span<const TypedOperand> operands) {
  if (def.promotion == Promotion::kNone || operands.empty()) return std::optional<DType>();
  OFL_ASSIGN(DType dtype, ResultType(operands));
  const bool whole = CategoryOf(dtype) < DTypeCategory::kFloating;
  return std::optional(def.promotion == Promotion::kFloat && whole ? DefaultFloat() : dtype);
}

}  // namespace ofl::op
