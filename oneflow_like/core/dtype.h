// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "oneflow_like/base/status.h"

namespace ofl {

// The numbers stand in plan files: never renumber.
enum class DType : uint8_t {
  kFloat32 = 1,
  kFloat64 = 2,
  kFloat16 = 3,
  kBFloat16 = 4,
  kInt8 = 5,
  kUInt8 = 6,
  kInt32 = 7,
  kInt64 = 8,
  kBool = 9,
};

size_t DTypeSize(DType dtype);       // bytes of one element
const char* DTypeName(DType dtype);  // "float32"
Result<DType> DTypeFromName(std::string_view name);
Result<DType> DTypeFromNumber(int number);  // for untrusted input
inline bool IsFloating(DType d) { return d >= DType::kFloat32 && d <= DType::kBFloat16; }
inline bool IsInteger(DType d) { return d >= DType::kInt8 && d <= DType::kInt64; }

// torch's promotion of two tensors of these dtypes (both with dimensions).
DType PromoteTypes(DType a, DType b);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kFloat64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kInt64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kUInt8;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::kInt8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};

}  // namespace ofl
