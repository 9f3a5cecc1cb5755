// NumPy's .npy files (format version 1.0 and 2.0, C order, little-endian), for running plans on
// files without Python.
#pragma once

#include <string>
#include <vector>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/tensor_meta.h"

namespace ofl::runtime {

struct NpyArray {
  TensorMeta meta;
  std::vector<std::byte> data;
};

// kDataLoss says what is wrong with the file; it is not trusted.
Result<NpyArray> ReadNpy(const std::string& path);
Status WriteNpy(const std::string& path, const TensorMeta& meta, ConstBytes data);

}  // namespace ofl::runtime
