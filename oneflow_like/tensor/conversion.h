// Between local and global tensors, layouts and host memory.
#pragma once

#include <optional>
#include <string_view>

#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

// Refuses placements with ranks outside the world and layouts the tensor cannot have.
Status CheckTarget(std::string_view what, const TensorMeta& meta, const sbp::Layout& layout);

// How the gradient of a conversion's result lies, where the user says so.
using GradSbp = std::optional<sbp::NdSbp>;

// Converts a global tensor; recorded in the tape. Collective over both placements unless nothing
// moves. The same layout returns the same tensor. With `grad_sbp` the result's gradient is given
// that layout before it is converted back.
Result<TensorRef> GlobalToGlobal(const TensorRef& x, const LayoutRef& to, std::string_view why,
                                 const GradSbp& grad_sbp = {});

// Makes a global tensor of every rank's local one. Collective over the whole world: ranks outside
// the placement learn the metadata. B takes the first rank's data, S needs the balanced split,
// P takes the values as they are. Differentiable: a rank's gradient is its part of the result's, in
// the layout `grad_sbp` or else in that of the result (B for P).
Result<TensorRef> LocalToGlobal(const TensorRef& x, const LayoutRef& to,
                                const GradSbp& grad_sbp = {});

// This rank's shard as a local tensor sharing memory; no elements outside the placement.
// Differentiable: the ranks' local gradients are the parts of the gradient in the layout `grad_sbp`
// or else in that of `x` (B for P). Where that says B, backward compares them over the placement.
Result<TensorRef> ToLocal(const TensorRef& x, const GradSbp& grad_sbp = {});

// The whole value on every rank of the world, as a dense local tensor. Of a global tensor
// collective over the world.
Result<TensorRef> WholeValue(const TensorRef& x, std::string_view why);

// A gradient in another layout; recorded where the backward is.
Result<TensorRef> ConvertGrad(const TensorRef& grad, const LayoutRef& to, std::string_view why);

// A gradient (logical, of any layout) in the layout dual to `of`: S stays, P becomes B. With
// `keep_partial`, P stays P where the target is B.
Result<TensorRef> GradToLayout(const TensorRef& grad, const LayoutRef& of, bool keep_partial,
                               std::string_view why);

// What Python's to_global does: local or global, eager or traced. Missing parts keep the old ones
// of a global tensor; a local one needs both.
Result<op::Value> ToGlobal(const op::Value& x, const std::optional<Placement>& placement,
                           const std::optional<sbp::NdSbp>& nd_sbp, const GradSbp& grad_sbp = {});

// What Python's to_local does, eager or traced.
Result<op::Value> ToLocal(const op::Value& x, const GradSbp& grad_sbp);

Result<TensorRef> OnesLike(const TensorRef& x);
// A dense copy in fresh memory, outside the tape.
Result<TensorRef> CopyOf(const TensorRef& x);
// Copies `bytes` of a row-major host array into a new local tensor.
Result<TensorRef> FromHost(const TensorMeta& meta, const void* data);

}  // namespace ofl::tensor
