#include "oneflow_like/core/dtype.h"

#include <array>

namespace ofl {
namespace {

struct Entry {
  DType dtype;
  const char* name;
  size_t size;
};
constexpr std::array<Entry, 9> kDTypes = {{
    {DType::kFloat32, "float32", 4},
    {DType::kFloat64, "float64", 8},
    {DType::kFloat16, "float16", 2},
    {DType::kBFloat16, "bfloat16", 2},
    {DType::kInt8, "int8", 1},
    {DType::kUInt8, "uint8", 1},
    {DType::kInt32, "int32", 4},
    {DType::kInt64, "int64", 8},
    {DType::kBool, "bool", 1},
}};

const Entry& EntryOf(DType dtype) { return kDTypes[static_cast<size_t>(dtype) - 1]; }

}  // namespace

size_t DTypeSize(DType dtype) { return EntryOf(dtype).size; }
const char* DTypeName(DType dtype) { return EntryOf(dtype).name; }

Result<DType> DTypeFromName(std::string_view name) {
  for (const Entry& e : kDTypes)
    if (name == e.name) return e.dtype;
  return Error(Code::kTypeMismatch) << "no dtype is named '" << name << "'";
}

Result<DType> DTypeFromNumber(int number) {
  if (number < 1 || number > static_cast<int>(kDTypes.size()))
    return Error(Code::kDataLoss) << "dtype number " << number << " is not one of 1.."
                                  << kDTypes.size();
  return static_cast<DType>(number);
}

DType PromoteTypes(DType a, DType b) {
  if (a == b) return a;
  if (IsFloating(a) != IsFloating(b)) return IsFloating(a) ? a : b;
  if (IsFloating(a)) {
    if (a == DType::kFloat64 || b == DType::kFloat64) return DType::kFloat64;
    return DType::kFloat32;  // float16 with bfloat16 widens, as in torch
  }
  if (a == DType::kBool) return b;
  if (b == DType::kBool) return a;
  const bool has_u8 = a == DType::kUInt8 || b == DType::kUInt8;
  if (has_u8 && (a == DType::kInt8 || b == DType::kInt8)) {
    // torch widens the pair to the next signed type; int16 is not among ours.
    return DType::kInt32;
  }
  return DTypeSize(a) >= DTypeSize(b) ? a : b;
}

}  // namespace ofl
