// Element types of tensors.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "oneflow_like/base/status.h"

namespace ofl {

// The numbers stand in plan files: never renumber. int4 is no dtype: it exists as a codec's
// payload only.
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
  kInt16 = 10,
  kComplex64 = 11,
  kComplex128 = 12,
  kFloat8E4M3 = 13,  // storage only: moved and cast, never computed in
  kFloat8E5M2 = 14,
};
inline constexpr int kNumDTypes = 14;

// In the order of promotion: a higher category wins whatever the sizes.
enum class DTypeCategory : uint8_t { kBool, kInteger, kFloating, kComplex };

struct DTypeInfo {
  DType dtype;
  const char* name;  // "float32"
  size_t size;       // bytes of one element
  DTypeCategory category;
  const char* safetensors;  // its code there, null: the format has none
  uint8_t dlpack_code;      // kDLInt 0, kDLUInt 1, kDLFloat 2, kDLBfloat 4, kDLComplex 5, kDLBool 6
};
const DTypeInfo& InfoOf(DType dtype);
std::span<const DType> AllDTypes();  // in the order of their numbers

inline size_t DTypeSize(DType dtype) { return InfoOf(dtype).size; }
inline const char* DTypeName(DType dtype) { return InfoOf(dtype).name; }
inline DTypeCategory CategoryOf(DType dtype) { return InfoOf(dtype).category; }
Result<DType> DTypeFromName(std::string_view name);
Result<DType> DTypeFromNumber(int number);  // for untrusted input

inline bool IsFloating(DType d) { return CategoryOf(d) == DTypeCategory::kFloating; }
inline bool IsInteger(DType d) { return CategoryOf(d) == DTypeCategory::kInteger; }
inline bool IsComplex(DType d) { return CategoryOf(d) == DTypeCategory::kComplex; }
inline bool IsHalf(DType d) { return d == DType::kFloat16 || d == DType::kBFloat16; }
inline bool IsFloat8(DType d) { return d == DType::kFloat8E4M3 || d == DType::kFloat8E5M2; }
// What gradients flow through.
inline bool IsDifferentiable(DType d) { return IsFloating(d) || IsComplex(d); }

// The dtype of a complex one's parts, and the complex dtype of these parts. Others stay.
DType RealOf(DType dtype);
DType ComplexOf(DType dtype);

// torch's promotion of two tensors of these dtypes (both with dimensions). kTypeMismatch where an
// fp8 type meets another: torch has no common dtype for them.
Result<DType> PromoteTypes(DType a, DType b);

// The dtype whose elements T computes with.
template <class T>
struct DTypeOf;
#define OFL_DTYPE_OF(T, D)                   \
  template <>                                \
  struct DTypeOf<T> {                        \
    static constexpr DType value = DType::D; \
  };
OFL_DTYPE_OF(float, kFloat32)
OFL_DTYPE_OF(double, kFloat64)
OFL_DTYPE_OF(int8_t, kInt8)
OFL_DTYPE_OF(uint8_t, kUInt8)
OFL_DTYPE_OF(int16_t, kInt16)
OFL_DTYPE_OF(int32_t, kInt32)
OFL_DTYPE_OF(int64_t, kInt64)
OFL_DTYPE_OF(bool, kBool)
OFL_DTYPE_OF(std::complex<float>, kComplex64)
OFL_DTYPE_OF(std::complex<double>, kComplex128)
#undef OFL_DTYPE_OF

}  // namespace ofl
