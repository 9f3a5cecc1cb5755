// Signs and ranges of integer dtypes, from their rows in dtype.cc.
#pragma once

#include <utility>

#include "oneflow_like/core/dtype.h"

namespace ofl {

inline bool IsUnsigned(DType d) {
  constexpr uint8_t kDLUInt = 1;
  return InfoOf(d).dlpack_code == kDLUInt;
}

// The least and the greatest number of an integer dtype, or of bool.
inline std::pair<int64_t, int64_t> BoundsOf(DType d) {
  if (d == DType::kBool) return {0, 1};
  const bool negative = !IsUnsigned(d);
  const size_t bits = 8 * DTypeSize(d) - (negative ? 1 : 0);
  const auto most = static_cast<int64_t>(~uint64_t{0} >> (64 - bits));
  return {negative ? -most - 1 : 0, most};
}

// Whether an integer dtype takes this number: an unsigned one also the negatives of its own, so
// that x - 2 is x + (-2), modulo its range.
inline bool Takes(DType d, int64_t whole) {
  const auto [least, most] = BoundsOf(d);
  return whole <= most && whole >= (IsUnsigned(d) ? -most : least);
}

}  // namespace ofl
