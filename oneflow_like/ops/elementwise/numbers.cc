#include "oneflow_like/ops/elementwise/numbers.h"

#include <cmath>
#include <cstring>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

// What is beyond that would be undefined.
bool Holds(DType dtype, const Scalar& value) {
  if (value.category() == DTypeCategory::kComplex) return IsComplex(dtype);
  if (!IsInteger(dtype)) return true;
  const double real = std::trunc(value.As<double>());
  if (!(real >= -0x1p63 && real < 0x1p63)) return value.category() == DTypeCategory::kInteger;
  return Takes(dtype, value.As<int64_t>());
}

}  // namespace

Status CheckHolds(DType dtype, const Scalar& value) {
  OFL_ENSURE(Holds(dtype, value), Code::kInvalidArgument)
      << DTypeName(dtype) << " cannot hold the value; expected a "
      << (IsInteger(dtype) ? "number in its range" : "real number");
  return Status::Ok();
}

void WriteElement(const Scalar& value, DType dtype, void* element) {
  alignas(16) std::byte wide[16];
  ForEachDType<kNumbers | kBools | kFloat8s>([&]<class T>(DType candidate) {
    if (candidate != dtype) return;
    const T computed = value.As<T>();
    std::memcpy(wide, &computed, sizeof computed);
  });
  StorerOf(ComputeTypeOf(dtype), dtype)(wide, element, static_cast<int64_t>(DTypeSize(dtype)), 1);
}

op::Value Filled(op::Builder& b, const op::Value& condition, const Scalar& value,
                 const op::Value& x) {
  return b.Call("where_number", {condition, x}, {{"value", value}});
}

op::Value ZeroUnless(op::Builder& b, const op::Value& condition, const op::Value& x) {
  return b.Call("where_number", {condition, x}, {{"value", int64_t{0}}, {"holds", false}});
}

}  // namespace ofl::ops
