// What a kernel is given and how one is found.
//
// A kernel computes outputs from inputs on one rank's shards. It reads and writes only the views
// it is given, allocates nothing but its declared workspace, and keeps no state between calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/device.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/tensor_meta.h"

namespace ofl::op {

// A dense row-major shard. `data` is null exactly when the shard has no elements.
struct TensorView {
  void* data = nullptr;
  TensorMeta meta;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t numel() const { return meta.shape.numel(); }
};

struct KernelContext {
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  const Attrs* attrs = nullptr;
  device::Stream* stream = nullptr;
  MutableBytes workspace;
  // Logical metadata, and where each shard starts in its logical tensor. For a local tensor the
  // logical shape is the shard's and the offsets are zero.
  std::span<const TensorMeta> logical_inputs;
  std::span<const TensorMeta> logical_outputs;
  std::span<const Shape> input_offsets;
  std::span<const Shape> output_offsets;
  // Added to a random operator's stream offset: which launch of a plan this is, so that a plan
  // draws anew in each. 0 outside plans.
  int64_t draw = 0;
  // Which micro-batch this is, of how many: a slice along axis 0 of every rank's shard.
  int64_t piece = 0, pieces = 1;

  template <class T>
  const T& attr(std::string_view name) const {
    return attrs->Get<T>(name);
  }
};

using KernelFn = Status (*)(KernelContext&);
// Bytes of workspace for these shards with this many threads.
using WorkspaceFn = int64_t (*)(std::span<const TensorMeta> inputs,
                                std::span<const TensorMeta> outputs, const Attrs& attrs,
                                int threads);

struct Kernel {
  KernelFn run = nullptr;
  WorkspaceFn workspace = nullptr;  // null: none
};

// Finds the kernel of an operator for a device and its dtypes. kUnimplemented names operator,
// device, dtypes and what exists. Providers (library, ours, later compiled) stand behind this.
Result<Kernel> FindKernel(std::string_view op, DeviceKind device,
                          std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs,
                          const Attrs& attrs);

}  // namespace ofl::op
