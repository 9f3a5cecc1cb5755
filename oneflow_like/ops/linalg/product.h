// Products of tensors as matrices over their last two axes: broadcasting batch axes, operands as
// they lie in memory, every dtype of numbers.
#pragma once

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

// The operands as matrices: vectors get an axis of size 1 that the output does not have.
struct ProductDims {
  bool vector_a = false, vector_b = false;
  bool trans_a = false, trans_b = false;
  int64_t m = 1, n = 1, k = 1, k_other = 1;
  Shape batch_a, batch_b;
};
ProductDims DimsOfProduct(const Shape& a, const Shape& b, bool trans_a, bool trans_b);

// kTypeMismatch unless input `i` has numbers that can be multiplied and added.
Status RequireNumbers(const op::InferContext& c, int i, const char* what);

// out = op(a) op(b), or out + op(a) op(b) with `add`. `a` and `b` are matrices as Access::kMatrix
// says, or vectors without gaps; `out` is dense. Operands that BLAS can read where they lie are not
// copied. Half types are widened into `scratch`, whose size is ProductScratch, and rounded once.
Status Multiply(device::Stream* stream, const op::TensorView& a, const op::TensorView& b,
                const op::TensorView& out, bool trans_a, bool trans_b, bool add,
                MutableBytes scratch);
// Bytes of scratch; 0 for dtypes that BLAS or plain loops read as they are.
int64_t ProductScratch(const TensorMeta& a, const TensorMeta& b, const TensorMeta& out);

// A dense float copy of a half tensor at the front of `scratch`, which shrinks by it.
op::TensorView Widened(device::Stream* stream, const op::TensorView& x, MutableBytes& scratch);
// Room for a dense float tensor in the shape of `x`.
op::TensorView FloatsLike(const op::TensorView& x, MutableBytes& scratch);

// Registers `fn` for the dtypes that products have.
void CpuForProducts(op::OpDefBuilder& op, op::KernelFn fn, op::BoundFn bound);

}  // namespace ofl::ops
