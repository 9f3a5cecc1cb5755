// matmul and linear_weight_grad: matrix products with broadcasting batch axes.
#include <algorithm>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

ProductDims DimsOfMatmul(const Shape& a, const Shape& b, const Attrs& attrs) {
  return DimsOfProduct(a, b, attrs.Get<bool>("transpose_a"), attrs.Get<bool>("transpose_b"));
}

Status InferMatmul(op::InferContext& c) {
  const Shape& a = c.input(0).shape;
  const Shape& b = c.input(1).shape;
  OFL_TRY(RequireNumbers(c, 0, "input"));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and other"));
  OFL_ENSURE(a.rank() >= 1 && b.rank() >= 1, Code::kInvalidArgument)
      << "a product needs at least one axis of each operand; expected one or more; use mul for "
         "scalars";
  const ProductDims d = DimsOfMatmul(a, b, c.attrs());
  OFL_ENSURE(!(d.vector_a && d.trans_a) && !(d.vector_b && d.trans_b), Code::kInvalidArgument)
      << "a vector cannot be transposed; expected at least two axes";
  OFL_ENSURE(d.k == d.k_other, Code::kInvalidArgument)
      << "the inner sizes differ; expected input.shape[" << (d.trans_a ? -2 : -1)
      << "] == other.shape[" << (d.vector_b || d.trans_b ? -1 : -2) << "] but " << d.k
      << " != " << d.k_other;
  OFL_TRY(CheckGemmSizes(d.m, d.n, d.k));
  OFL_ASSIGN(Shape out, BroadcastShapes(d.batch_a, d.batch_b));
  OFL_ENSURE(out.rank() + !d.vector_a + !d.vector_b <= kMaxRank, Code::kInvalidArgument)
      << "the product would have more than " << kMaxRank << " axes";
  if (!d.vector_a) out.push_back(d.m);
  if (!d.vector_b) out.push_back(d.n);
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

// Labels of the batch axes of one operand, which align with the output's from the right.
std::string BatchLabels(const Shape& batch, const Shape& out, int out_batch) {
  std::string text;
  for (int i = 0; i < batch.rank(); ++i) {
    const int j = out_batch - batch.rank() + i;
    text += batch[i] == 1 && out[j] != 1 ? std::string("1 ") : "b" + std::to_string(j) + " ";
  }
  return text;
}

std::string MatmulRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  const ProductDims d = DimsOfMatmul(in[0], in[1], attrs);
  const int batch = out[0].rank() - !d.vector_a - !d.vector_b;
  const std::string a = d.vector_a ? "k" : d.trans_a ? "k m" : "m k";
  const std::string b = d.vector_b ? "k" : d.trans_b ? "n k" : "k n";
  return "(" + BatchLabels(d.batch_a, out[0], batch) + a + "),(" +
         BatchLabels(d.batch_b, out[0], batch) + b + ")->(" + Labels("b", batch) +
         (d.vector_a ? "" : " m") + (d.vector_b ? "" : " n") + "); reduce k by sum; linear 0 1";
}

Status RunMatmul(op::KernelContext& c) {
  return Multiply(c.stream, c.inputs[0], c.inputs[1], c.outputs[0], c.attr<bool>("transpose_a"),
                  c.attr<bool>("transpose_b"), false, c.workspace);
}

int64_t MatmulBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&,
                    int) {
  return ProductScratch(in[0], in[1], out[0]);
}

op::Value Reshaped(op::Builder& b, op::Value x, const Shape& shape) {
  return b.Call("reshape", {std::move(x)}, {{"shape", DimsOf(shape)}});
}

op::Value SumTo(op::Builder& b, op::Value x, const Shape& shape) {
  if (!x || x->meta().shape == shape) return x;
  return b.Call("sum_to", {std::move(x)}, {{"shape", DimsOf(shape)}});
}

op::Value Product(op::Builder& b, const op::Value& x, const op::Value& y, bool tx, bool ty) {
  return b.Call("matmul", {x, y}, {{"transpose_a", tx}, {"transpose_b", ty}});
}

void GradMatmul(op::GradContext& c) {
  if (!c.grads[0]) return;
  const Shape shape_a = c.inputs[0]->meta().shape;
  const Shape shape_b = c.inputs[1]->meta().shape;
  const ProductDims d = DimsOfMatmul(shape_a, shape_b, c.attrs);
  // y is linear in each operand: the gradient is the conjugate transpose's product.
  op::Value a = Conj(c.b, c.inputs[0]), b = Conj(c.b, c.inputs[1]), dy = c.grads[0];
  if (!a || !b) return;
  if (d.vector_a && d.vector_b) {
    if (c.Needs(0)) c.Set(0, Mul(c.b, b, dy));
    if (c.Needs(1)) c.Set(1, Mul(c.b, a, dy));
    return;
  }
  // Vectors become matrices, so that the rest knows only matrices.
  if (d.vector_a || d.vector_b) {
    Shape full = dy->meta().shape;
    if (d.vector_a) full.insert(full.rank() - !d.vector_b, 1);
    if (d.vector_b) full.push_back(1);
    if (d.vector_a) a = Reshaped(c.b, a, {1, shape_a[0]});
    if (d.vector_b) b = Reshaped(c.b, b, {shape_b[0], 1});
    dy = Reshaped(c.b, dy, full);
    if (!a || !b || !dy) return;
  }
  const bool weight = b->meta().shape.rank() == 2 && !d.trans_a && a->meta().shape.rank() > 1;
  if (c.Needs(0)) {
    op::Value da =
        d.trans_a ? Product(c.b, b, dy, d.trans_b, true) : Product(c.b, dy, b, false, !d.trans_b);
    da = SumTo(c.b, da, a->meta().shape);
    c.Set(0, d.vector_a ? Reshaped(c.b, da, shape_a) : da);
  }
  if (c.Needs(1)) {
    op::Value db;
    if (weight) {
      db = d.trans_b ? c.b.Call("linear_weight_grad", {dy, a})
                     : c.b.Call("linear_weight_grad", {a, dy});
    } else {
      db =
          d.trans_b ? Product(c.b, dy, a, true, d.trans_a) : Product(c.b, a, dy, !d.trans_a, false);
      db = SumTo(c.b, db, b->meta().shape);
    }
    c.Set(1, d.vector_b ? Reshaped(c.b, db, shape_b) : db);
  }
}

int64_t FlopsMatmul(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                    const Attrs& attrs) {
  return SaturatingMul(2 * out[0].shape.numel(), DimsOfMatmul(in[0].shape, in[1].shape, attrs).k);
}

std::vector<op::Sample> MatmulSamples() {
  const auto sample = [](Shape a, Shape b, bool ta, bool tb, std::string note) {
    return op::Sample{{{DType::kFloat32, a}, {DType::kFloat32, b}},
                      {{"transpose_a", ta}, {"transpose_b", tb}},
                      -2,
                      2,
                      std::move(note)};
  };
  const auto typed = [](DType dtype) {
    return op::Sample{{{dtype, {3, 4}}, {dtype, {2, 4}}},
                      {{"transpose_a", false}, {"transpose_b", true}},
                      -2,
                      2,
                      DTypeName(dtype)};
  };
  return {sample({5, 4}, {4, 3}, false, false, "matrices"),
          sample({4, 5}, {4, 3}, true, false, "transposed input"),
          sample({5, 4}, {3, 4}, false, true, "transposed other"),
          sample({4, 5}, {3, 4}, true, true, "both transposed"),
          sample({2, 3, 4}, {4, 5}, false, false, "batch of rows, one matrix"),
          sample({2, 3, 4}, {5, 4}, false, true, "batch of rows, one transposed matrix"),
          sample({3, 2, 4}, {3, 4, 5}, false, false, "batched"),
          sample({2, 1, 3, 4}, {3, 4, 2}, false, false, "broadcast batch axes"),
          sample({4}, {4, 3}, false, false, "vector and matrix"),
          sample({2, 3, 4}, {4}, false, false, "batch and vector"),
          sample({4}, {4}, false, false, "inner product"),
          sample({3, 0}, {0, 2}, false, false, "empty inner axis"),
          sample({1, 4}, {4, 1}, false, false, "size-1 axes"),
          typed(DType::kFloat16),
          typed(DType::kBFloat16),
          typed(DType::kComplex64),
          typed(DType::kComplex128),
          typed(DType::kInt64),
          typed(DType::kInt32),
          typed(DType::kInt16),
          typed(DType::kInt8),
          typed(DType::kUInt8)};
}

// --- linear_weight_grad -------------------------------------------------------------------------

Status InferWeightGrad(op::InferContext& c) {
  const Shape& a = c.input(0).shape;
  const Shape& b = c.input(1).shape;
  OFL_TRY(RequireDifferentiable(c, 0, "input"));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and other"));
  OFL_ENSURE(a.rank() >= 2 && a.rank() == b.rank(), Code::kInvalidArgument)
      << "both operands need the same number of axes, at least 2";
  for (int i = 0; i + 1 < a.rank(); ++i)
    OFL_ENSURE(a[i] == b[i], Code::kInvalidArgument)
        << "the leading sizes differ; expected input.shape[" << i << "] == other.shape[" << i
        << "]";
  OFL_TRY(CheckGemmSizes(a[a.rank() - 1], b[b.rank() - 1], ProductOf(a, 0, a.rank() - 1)));
  c.AddOutput({c.input(0).dtype, {a[a.rank() - 1], b[b.rank() - 1]}});
  return Status::Ok();
}

std::string WeightGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const int rows = in[0].rank() - 1;
  std::string text = "(" + Labels("r", rows) + " m),(" + Labels("r", rows) + " n)->(m n)";
  for (int i = 0; i < rows; ++i) text += "; reduce r" + std::to_string(i) + " by sum";
  return text + "; linear 0 1";
}

// All leading axes as the rows of one matrix, which copies only where they do not lie evenly.
op::TensorView AsRows(op::KernelContext& c, const op::TensorView& x, MutableBytes& scratch) {
  const int last = x.meta.shape.rank() - 1;
  const Shape rows = {ProductOf(x.meta.shape, 0, last), x.meta.shape[last]};
  const TensorMeta meta{x.meta.dtype, rows};
  int64_t stride = 0, run = 1;
  bool even = true;
  for (int i = last - 1; i >= 0; --i) {
    if (x.meta.shape[i] == 1) continue;
    if (stride == 0) stride = x.strides[i];
    even = even && x.strides[i] == stride * run;
    run *= x.meta.shape[i];
  }
  const Strides strides = {stride, x.strides[last]};
  if (even && op::Allows(op::Access::kMatrix, rows, strides)) return {x.data, meta, strides};
  const op::TensorView copy(x.numel() > 0 ? scratch.data() : nullptr, x.meta);
  scratch = scratch.subspan(static_cast<size_t>(meta.bytes()));
  CopyBox(c.stream, x, copy);
  return {copy.data, meta};
}

Status RunWeightGrad(op::KernelContext& c) {
  MutableBytes scratch = c.workspace;
  const op::TensorView a = AsRows(c, c.inputs[0], scratch), b = AsRows(c, c.inputs[1], scratch);
  OFL_TRY(CheckGemmSizes(a.meta.shape[1], b.meta.shape[1], a.meta.shape[0]));
  return Multiply(c.stream, a, b, c.outputs[0], true, false, false, scratch);
}

int64_t WeightGradBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                        const Attrs&, int) {
  return in[0].bytes() + in[1].bytes() + ProductScratch(in[0], in[1], out[0]);
}

void GradWeightGrad(op::GradContext& c) {
  if (!c.grads[0]) return;
  if (c.Needs(0)) c.Set(0, Product(c.b, Conj(c.b, c.inputs[1]), c.grads[0], false, true));
  if (c.Needs(1)) c.Set(1, Product(c.b, Conj(c.b, c.inputs[0]), c.grads[0], false, false));
}

int64_t FlopsWeightGrad(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                        const Attrs&) {
  return SaturatingMul(2 * in[0].shape.numel(), out[0].shape[1]);
}

std::vector<op::Sample> WeightGradSamples() {
  const auto sample = [](Shape a, Shape b, DType dtype = DType::kFloat32) {
    return op::Sample{{{dtype, a}, {dtype, b}}, {}};
  };
  return {sample({5, 4}, {5, 3}),
          sample({2, 3, 4}, {2, 3, 2}),
          sample({0, 2}, {0, 3}),
          sample({1, 3, 1}, {1, 3, 2}),
          sample({3, 2}, {3, 4}, DType::kBFloat16),
          sample({3, 2}, {3, 4}, DType::kFloat16),
          sample({3, 2}, {3, 4}, DType::kComplex64)};
}

}  // namespace

OFL_OP(matmul) {
  op.Doc(
        "Matrix product of `input` (..., m, k) and `other` (..., k, n) with broadcasting batch\n"
        "axes. A vector counts as a row (input) or a column (other) that the result leaves out.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("transpose_a", op::AttrType::kBool, false)
      .Attr("transpose_b", op::AttrType::kBool, false)
      .Infer(InferMatmul)
      .Sbp(MatmulRule)
      .Grad(GradMatmul)
      .Flops(FlopsMatmul)
      .Matrix("input")
      .Matrix("other")
      .Autocast(op::Autocast::kLower)
      .Oracle("matmul(input, other, transpose_a, transpose_b)")
      .PyBoth("matmul(input, other)")
      .Py("linalg.matmul(input, other)")
      .Dunder("__matmul__")
      .Samples(MatmulSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 5}}},
                      {},
                      Code::kInvalidArgument,
                      "input.shape[-1] == other.shape[-2]"},
                     {{{DType::kFloat32, {2, 3}}, {DType::kFloat64, {3, 5}}},
                      {},
                      Code::kTypeMismatch,
                      "one dtype"},
                     {{{DType::kFloat32, {}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "at least one axis"},
                     {{{DType::kBool, {2, 3}}, {DType::kBool, {3, 2}}},
                      {},
                      Code::kTypeMismatch,
                      "numbers to multiply and add"}});
  CpuForProducts(op, RunMatmul, MatmulBound);
}

OFL_OP(linear_weight_grad) {
  op.Doc(
        "The sum over all rows r of the outer products input[r] (m) and other[r] (n): (m, n).\n"
        "The gradient of a weight, as one product over the flattened leading axes.")
      .In("input")
      .In("other")
      .Out("output")
      .Infer(InferWeightGrad)
      .Sbp(WeightGradRule)
      .Grad(GradWeightGrad)
      .Flops(FlopsWeightGrad)
      .Matrix("input")
      .Matrix("other")
      .Autocast(op::Autocast::kLower)
      .Oracle("linear_weight_grad(input, other)")
      .Py("linear_weight_grad(input, other)")
      .Samples(WeightGradSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 5}}},
                      {},
                      Code::kInvalidArgument,
                      "input.shape[0] == other.shape[0]"}});
  for (DType d : AllDTypes())
    if (IsDifferentiable(d) && !IsFloat8(d)) op.Cpu(d, RunWeightGrad, WeightGradBound);
}

}  // namespace ofl::ops
