#include "oneflow_like/core/dtype.h"

#include <algorithm>
#include <array>

#include "oneflow_like/core/integers.h"

namespace ofl {
namespace {

using enum DTypeCategory;
constexpr uint8_t kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLComplex = 5, kDLBool = 6;
constexpr uint8_t kDLFloat8E4M3Fn = 10, kDLFloat8E5M2 = 12;  // as DLPack 1.1 numbers them

constexpr std::array<DTypeInfo, kNumDTypes> kDTypes = {{
    {DType::kFloat32, "float32", 4, kFloating, "F32", kDLFloat},
    {DType::kFloat64, "float64", 8, kFloating, "F64", kDLFloat},
    {DType::kFloat16, "float16", 2, kFloating, "F16", kDLFloat},
    {DType::kBFloat16, "bfloat16", 2, kFloating, "BF16", kDLBfloat},
    {DType::kInt8, "int8", 1, kInteger, "I8", kDLInt},
    {DType::kUInt8, "uint8", 1, kInteger, "U8", kDLUInt},
    {DType::kInt32, "int32", 4, kInteger, "I32", kDLInt},
    {DType::kInt64, "int64", 8, kInteger, "I64", kDLInt},
    {DType::kBool, "bool", 1, kBool, "BOOL", kDLBool},
    {DType::kInt16, "int16", 2, kInteger, "I16", kDLInt},
    {DType::kComplex64, "complex64", 8, kComplex, "C64", kDLComplex},
    {DType::kComplex128, "complex128", 16, kComplex, nullptr, kDLComplex},
    {DType::kFloat8E4M3, "float8_e4m3fn", 1, kFloating, "F8_E4M3", kDLFloat8E4M3Fn},
    {DType::kFloat8E5M2, "float8_e5m2", 1, kFloating, "F8_E5M2", kDLFloat8E5M2},
}};

constexpr auto kAll = [] {
  std::array<DType, kNumDTypes> all;
  for (size_t i = 0; i < all.size(); ++i) all[i] = kDTypes[i].dtype;
  return all;
}();

// Two integers of one category: the wider; equal widths of unlike sign need the next wider one.
DType PromoteIntegers(DType a, DType b) {
  const bool unlike = IsUnsigned(a) != IsUnsigned(b);
  if (unlike && DTypeSize(a) == DTypeSize(b)) return DType::kInt16;
  return DTypeSize(a) >= DTypeSize(b) ? a : b;
}

// float16 and bfloat16 hold what the other does not: both widen.
DType PromoteFloats(DType a, DType b) {
  if (a == DType::kFloat64 || b == DType::kFloat64) return DType::kFloat64;
  return DType::kFloat32;
}

}  // namespace

const DTypeInfo& InfoOf(DType dtype) { return kDTypes[static_cast<size_t>(dtype) - 1]; }

std::span<const DType> AllDTypes() { return kAll; }

Result<DType> DTypeFromName(std::string_view name) {
  for (const DTypeInfo& info : kDTypes)
    if (name == info.name) return info.dtype;
  return Error(Code::kTypeMismatch) << "no dtype is named '" << name << "'";
}

Result<DType> DTypeFromNumber(int number) {
  if (number < 1 || number > kNumDTypes)
    return Error(Code::kDataLoss) << "dtype number " << number << " is not one of 1.."
                                  << kNumDTypes;
  return static_cast<DType>(number);
}

DType RealOf(DType dtype) {
  if (dtype == DType::kComplex64) return DType::kFloat32;
  return dtype == DType::kComplex128 ? DType::kFloat64 : dtype;
}

DType ComplexOf(DType dtype) {
  if (dtype == DType::kFloat64) return DType::kComplex128;
  return IsComplex(dtype) ? dtype : DType::kComplex64;
}

Result<DType> PromoteTypes(DType a, DType b) {
  if (a == b) return a;
  if (CategoryOf(a) < CategoryOf(b)) std::swap(a, b);
  OFL_ENSURE(!IsFloat8(a) && !IsFloat8(b), Code::kTypeMismatch)
      << DTypeName(a) << " and " << DTypeName(b) << " have no common dtype; expected no float8 "
      << "beside another dtype; convert one of them with .to(dtype)";
  switch (CategoryOf(a)) {
    case kBool: return a;
    case kInteger: return CategoryOf(b) == kInteger ? PromoteIntegers(a, b) : a;
    case kFloating: return CategoryOf(b) == kFloating ? PromoteFloats(a, b) : a;
    case kComplex: break;
  }
  const bool wide = a == DType::kComplex128 || b == DType::kComplex128 || b == DType::kFloat64;
  return wide ? DType::kComplex128 : DType::kComplex64;
}

}  // namespace ofl
