#include "oneflow_like/ops/elementwise/convert.h"

#include <bit>
#include <cstring>

#include "device/cpu/simd.h"
#include "oneflow_like/core/half.h"

namespace ofl::ops {
namespace {

struct Bits128 {
  uint64_t low, high;
};

// Conversions without branches, so that the loops become vectors. The results are those of
// oneflow_like/core/half.h.
struct Same {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x;
  }
};
struct WidenHalf {
  OFL_INLINE float operator()(uint16_t half) const {
    // The exponent's bias is corrected by a product, which also normalises subnormal numbers.
    const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
    const uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | special | sign);
  }
};
struct RoundHalf {
  OFL_INLINE uint16_t operator()(float value) const {
    const uint32_t wide = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = wide & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
    // The addition rounds at the last place of the subnormal numbers.
    const float tiny = std::bit_cast<float>(magnitude) + 0.5f;
    const uint32_t subnormal = std::bit_cast<uint32_t>(tiny) - 0x3f000000u;
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    return static_cast<uint16_t>(half | ((wide >> 16) & 0x8000u));
  }
};
struct WidenBFloat {
  OFL_INLINE float operator()(uint16_t bits) const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};
struct RoundBFloat {
  OFL_INLINE uint16_t operator()(float value) const {
    const uint32_t wide = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
    const uint32_t nan = (wide >> 16) | 0x40u;
    return static_cast<uint16_t>((wide & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
};
template <class F>
struct Widen8 {
  OFL_INLINE float operator()(uint8_t bits) const { return F::Widen({bits}); }
};
template <class F>
struct Round8 {
  OFL_INLINE uint8_t operator()(float value) const { return F::Round(value).bits; }
};
template <class T>
struct To {
  template <class From>
  OFL_INLINE T operator()(From x) const {
    return static_cast<T>(x);
  }
};
// A byte of a bool may be any number, where it was written as another dtype.
template <class T>
struct Truth {
  OFL_INLINE T operator()(uint8_t x) const { return x != 0 ? 1 : 0; }
};

// `ivdep`: the row is nobody's memory but the loop's own.
template <class F, class From, class To>
OFL_SIMD void Load(const void* from, int64_t stride, void* row, int64_t n) {
  const F f;
  To* to = static_cast<To*>(row);
  if (stride == sizeof(From)) {
    const From* x = static_cast<const From*>(from);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) to[i] = f(x[i]);
    return;
  }
  const std::byte* at = static_cast<const std::byte*>(from);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) to[i] = f(*reinterpret_cast<const From*>(at + i * stride));
}

template <class F, class From, class To>
OFL_SIMD void Store(const void* row, void* to, int64_t stride, int64_t n) {
  const F f;
  const From* from = static_cast<const From*>(row);
  if (stride == sizeof(To)) {
    To* y = static_cast<To*>(to);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(from[i]);
    return;
  }
  std::byte* at = static_cast<std::byte*>(to);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) *reinterpret_cast<To*>(at + i * stride) = f(from[i]);
}

template <class T>
OFL_SIMD void SplatRow(void* row, int64_t n) {
  T* y = static_cast<T*>(row);
  const T first = y[0];
  for (int64_t i = 1; i < n; ++i) y[i] = first;
}

LoadFn SameLoader(size_t size) {
  switch (size) {
    case 1: return Load<Same, uint8_t, uint8_t>;
    case 2: return Load<Same, uint16_t, uint16_t>;
    case 4: return Load<Same, uint32_t, uint32_t>;
    case 8: return Load<Same, uint64_t, uint64_t>;
    default: return Load<Same, Bits128, Bits128>;
  }
}
StoreFn SameStorer(size_t size) {
  switch (size) {
    case 1: return Store<Same, uint8_t, uint8_t>;
    case 2: return Store<Same, uint16_t, uint16_t>;
    case 4: return Store<Same, uint32_t, uint32_t>;
    case 8: return Store<Same, uint64_t, uint64_t>;
    default: return Store<Same, Bits128, Bits128>;
  }
}

}  // namespace

DType ComputeTypeOf(DType storage) {
  switch (storage) {
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2: return DType::kFloat32;
    case DType::kInt8:
    case DType::kUInt8:
    case DType::kInt16: return DType::kInt32;
    case DType::kFloat32:
    case DType::kFloat64:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kBool:
    case DType::kComplex64:
    case DType::kComplex128: break;
  }
  return storage;
}

LoadFn LoaderOf(DType storage, DType compute) {
  if (storage == DType::kBool && DTypeSize(compute) == 1)
    return Load<Truth<uint8_t>, uint8_t, uint8_t>;
  if (storage == compute) return SameLoader(DTypeSize(storage));
  if (compute == DType::kFloat32) {
    switch (storage) {
      case DType::kFloat16: return Load<WidenHalf, uint16_t, float>;
      case DType::kBFloat16: return Load<WidenBFloat, uint16_t, float>;
      case DType::kFloat8E4M3: return Load<Widen8<Float8E4M3>, uint8_t, float>;
      case DType::kFloat8E5M2: return Load<Widen8<Float8E5M2>, uint8_t, float>;
      default: return nullptr;
    }
  }
  if (compute == DType::kInt32) {
    switch (storage) {
      case DType::kInt8: return Load<To<int32_t>, int8_t, int32_t>;
      case DType::kBool: return Load<Truth<int32_t>, uint8_t, int32_t>;
      case DType::kUInt8: return Load<To<int32_t>, uint8_t, int32_t>;
      case DType::kInt16: return Load<To<int32_t>, int16_t, int32_t>;
      default: return nullptr;
    }
  }
  return nullptr;
}

StoreFn StorerOf(DType compute, DType storage) {
  if (storage == compute || (storage == DType::kBool && DTypeSize(compute) == 1))
    return SameStorer(DTypeSize(storage));
  if (compute == DType::kFloat32) {
    switch (storage) {
      case DType::kFloat16: return Store<RoundHalf, float, uint16_t>;
      case DType::kBFloat16: return Store<RoundBFloat, float, uint16_t>;
      case DType::kFloat8E4M3: return Store<Round8<Float8E4M3>, float, uint8_t>;
      case DType::kFloat8E5M2: return Store<Round8<Float8E5M2>, float, uint8_t>;
      default: return nullptr;
    }
  }
  if (compute == DType::kInt32) {
    switch (storage) {
      case DType::kInt8:
      case DType::kBool:
      case DType::kUInt8: return Store<To<uint8_t>, int32_t, uint8_t>;
      case DType::kInt16: return Store<To<uint16_t>, int32_t, uint16_t>;
      default: return nullptr;
    }
  }
  return nullptr;
}

void Splat(void* row, size_t size, int64_t n) {
  switch (size) {
    case 1: return SplatRow<uint8_t>(row, n);
    case 2: return SplatRow<uint16_t>(row, n);
    case 4: return SplatRow<uint32_t>(row, n);
    case 8: return SplatRow<uint64_t>(row, n);
    default: return SplatRow<Bits128>(row, n);
  }
}

}  // namespace ofl::ops
