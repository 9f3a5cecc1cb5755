// What a definition says of its kernels without knowing a device: which function serves which
// device and dtype, and how many bytes it may use. oneflow_like/op/kernel gives these meaning.
#pragma once

#include <memory>
#include <span>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/placement.h"
#include "oneflow_like/core/tensor_meta.h"

namespace ofl::op {

struct KernelContext;  // oneflow_like/op/kernel/kernel.h
struct KernelQuery;
class KernelState;
using KernelStateRef = std::shared_ptr<KernelState>;  // shared by a cache and the calls under way

using KernelFn = Status (*)(KernelContext&);
// Chooses a variant for these shapes, strides, dtypes, attributes and threads, once for many runs:
// what it keeps (a library's primitive, handles, packed constants), or null. kUnimplemented: this
// provider has no variant that fits; the next one is asked.
using PrepareFn = Result<KernelStateRef> (*)(const KernelQuery&);
// Bytes for these shapes with this many threads, whatever the variant.
using BoundFn = int64_t (*)(std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs,
                            const Attrs& attrs, int threads);

// One implementation of an operator (or of a fused region) for a device and a primary dtype.
struct KernelProvider {
  const char* name = "own";
  KernelFn run = nullptr;
  PrepareFn prepare = nullptr;  // null: nothing to choose or keep
  BoundFn bound = nullptr;      // of scratch, which a run may use; null: none
  BoundFn state = nullptr;      // of memory that is its own from run to run; null: none
};

// Bytes that a call reserves: scratch while it runs, state as long as it may run again.
struct KernelBounds {
  int64_t scratch = 0;
  int64_t state = 0;
};

// `dtype` is that of the first input, or of the first output where there are no inputs.
struct KernelEntry {
  DeviceKind device = DeviceKind::kCpu;
  DType dtype = DType::kFloat32;
  KernelProvider provider;
};

// How an operand's memory may lie for the kernels of an operator. Others are copied by the caller.
enum class Access : uint8_t {
  kDense,    // row-major without gaps
  kMatrix,   // of the last two axes one has stride 1, the other at least its length
  kStrided,  // any strides, 0 and negative ones included; outputs: any that touch no byte twice
};
bool Allows(Access access, const Shape& shape, const Strides& strides);

}  // namespace ofl::op
