// What a kernel is given, and how one is found.
//
// A kernel computes outputs from inputs on one rank's shards. It reads and writes only the views
// it is given, allocates nothing but its declared scratch, and keeps no state between calls but
// what its provider prepared.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "device/device.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/random_state.h"
#include "oneflow_like/core/tensor_meta.h"
#include "oneflow_like/op/def/kernel_ref.h"

namespace ofl::op {

// A shard: elements at data + index · strides. `data` is null exactly when it has no elements.
struct TensorView {
  void* data = nullptr;
  TensorMeta meta;
  Strides strides;  // in elements, one for each axis
  // Of the contents, for kernels with memory of their own: for one prepared kernel, equal address
  // and version of an operand mean equal contents, so what was packed of it is kept by both. 0: not
  // known, the contents may be new.
  uint64_t version = 0;
  TensorView() = default;
  TensorView(void* data, const TensorMeta& meta)  // dense
      : data(data), meta(meta), strides(ContiguousStrides(meta.shape)) {}
  TensorView(void* data, const TensorMeta& meta, const Strides& strides)
      : data(data), meta(meta), strides(strides) {}
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t numel() const { return meta.shape.numel(); }
  bool dense() const { return IsDense(meta.shape, strides); }
};

// What a provider keeps from `prepare` to its runs. One run at a time uses it.
class KernelState {
 public:
  virtual ~KernelState() = default;
};

// What is known before the first run: everything but the values. The views have no data.
struct KernelQuery {
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  const Attrs& attrs;
  int threads = 1;
  KernelBounds bounds;  // bytes that it may use
};

struct KernelContext {
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  const Attrs* attrs = nullptr;
  device::Stream* stream = nullptr;
  MutableBytes workspace;
  KernelState* state = nullptr;  // what prepare made
  MutableBytes kept;             // the provider's own from run to run; undefined at first
  // Logical metadata, and where each shard starts in its logical tensor. For a local tensor the
  // logical shape is the shard's and the offsets are zero.
  std::span<const TensorMeta> logical_inputs;
  std::span<const TensorMeta> logical_outputs;
  std::span<const Shape> input_offsets;
  std::span<const Shape> output_offsets;
  RandomState random;  // the draw, of an operator with a generator
  // Which micro-batch this is, of how many: a slice along axis 0 of every rank's shard.
  int64_t piece = 0, pieces = 1;
  // Of a bounded output: how many entries of axis 0 the kernel used. Null where there is none.
  int64_t* extent = nullptr;

  template <class T>
  const T& attr(std::string_view name) const {
    return attrs->Get<T>(name);
  }
  Scalar number(std::string_view name) const { return attrs->Number(name); }
  template <class T>
  const T* maybe(std::string_view name) const {
    return attrs->Maybe<T>(name);
  }
};

// A kernel that was found and prepared.
struct Kernel {
  const KernelProvider* provider = nullptr;  // null: the null device's, which runs nothing
  KernelStateRef state;
  KernelBounds needs;  // of this provider
  Status Run(KernelContext& context) const {
    if (provider == nullptr) return Status::Ok();
    context.state = state.get();
    return provider->run(context);
  }
};

// The first provider of an operator for the device and dtypes of these views that has a variant for
// them, prepared. `reserved`: what a plan has for it; null: whatever it needs. kUnimplemented names
// operator, device, dtypes and what exists; kInvalidArgument: no provider does with so little.
Result<Kernel> FindKernel(std::string_view op, DeviceKind device,
                          std::span<const TensorView> inputs, std::span<const TensorView> outputs,
                          const Attrs& attrs, int threads, const KernelBounds* reserved = nullptr);

// Dense views without data, for callers that know metadata alone.
std::vector<TensorView> DenseViews(std::span<const TensorMeta> metas);

}  // namespace ofl::op
