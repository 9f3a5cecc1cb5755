// What is known of a tensor without its data.
#pragma once

#include <string>

#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/shape.h"

namespace ofl {

struct TensorMeta {
  DType dtype = DType::kFloat32;
  Shape shape;
  int64_t bytes() const {
    return SaturatingMul(shape.numel(), static_cast<int64_t>(DTypeSize(dtype)));
  }
  bool operator==(const TensorMeta&) const = default;
  std::string ToString() const;  // float32[2,3]
};

}  // namespace ofl
