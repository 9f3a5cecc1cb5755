// matmul and linear_weight_grad: matrix products with broadcasting batch axes.
#include <algorithm>

#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/linalg/gemm.h"

namespace ofl::ops {
namespace {

// The operands as matrices: vectors get an axis of size 1 that the output does not have.
struct MatmulDims {
  bool vector_a = false, vector_b = false;
  bool trans_a = false, trans_b = false;
  int64_t m = 1, n = 1, k = 1, k_other = 1;
  Shape batch_a, batch_b;
};

MatmulDims DimsOfMatmul(const Shape& a, const Shape& b, const Attrs& attrs) {
  MatmulDims d;
  d.vector_a = a.rank() == 1;
  d.vector_b = b.rank() == 1;
  d.trans_a = attrs.Get<bool>("transpose_a");
  d.trans_b = attrs.Get<bool>("transpose_b");
  if (d.vector_a) {
    d.k = a[0];
  } else {
    d.m = a[a.rank() - (d.trans_a ? 1 : 2)];
    d.k = a[a.rank() - (d.trans_a ? 2 : 1)];
    d.batch_a = Shape(a.dims().first(a.rank() - 2));
  }
  if (d.vector_b) {
    d.k_other = b[0];
  } else {
    d.k_other = b[b.rank() - (d.trans_b ? 1 : 2)];
    d.n = b[b.rank() - (d.trans_b ? 2 : 1)];
    d.batch_b = Shape(b.dims().first(b.rank() - 2));
  }
  return d;
}

Status InferMatmul(op::InferContext& c) {
  const Shape& a = c.input(0).shape;
  const Shape& b = c.input(1).shape;
  OFL_TRY(RequireFloat(c, 0, "input"));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and other"));
  OFL_ENSURE(a.rank() >= 1 && b.rank() >= 1, Code::kInvalidArgument)
      << "a product needs at least one axis of each operand; use mul for scalars";
  const MatmulDims d = DimsOfMatmul(a, b, c.attrs());
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
  const MatmulDims d = DimsOfMatmul(in[0], in[1], attrs);
  const int batch = out[0].rank() - !d.vector_a - !d.vector_b;
  const std::string a = d.vector_a ? "k" : d.trans_a ? "k m" : "m k";
  const std::string b = d.vector_b ? "k" : d.trans_b ? "n k" : "k n";
  return "(" + BatchLabels(d.batch_a, out[0], batch) + a + "),(" +
         BatchLabels(d.batch_b, out[0], batch) + b + ")->(" + Labels("b", batch) +
         (d.vector_a ? "" : " m") + (d.vector_b ? "" : " n") + "); reduce k by sum; linear 0 1";
}

// Number of the matrix of an operand that belongs to batch index `flat` of the output.
int64_t MatrixIndex(int64_t flat, const Shape& out_batch, const Shape& batch) {
  int64_t index = 0, stride = 1;
  for (int i = 1; i <= out_batch.rank(); ++i) {
    const int64_t size = out_batch[out_batch.rank() - i];
    const int64_t at = flat % size;
    flat /= size;
    if (i > batch.rank()) continue;
    const int64_t own = batch[batch.rank() - i];
    if (own != 1) index += at * stride;
    stride *= own;
  }
  return index;
}

template <class T>
Status RunMatmul(op::KernelContext& c) {
  const op::TensorView& out = c.outputs[0];
  if (out.numel() == 0) return Status::Ok();
  const MatmulDims d = DimsOfMatmul(c.inputs[0].meta.shape, c.inputs[1].meta.shape, *c.attrs);
  OFL_ASSIGN(const Shape batch, BroadcastShapes(d.batch_a, d.batch_b));
  GemmArgs<T> g;
  g.trans_a = d.trans_a;
  g.trans_b = d.trans_b;
  g.m = d.m;
  g.n = d.n;
  g.k = d.k;
  g.a = c.inputs[0].as<T>();
  g.b = c.inputs[1].as<T>();
  g.c = out.as<T>();
  g.lda = std::max<int64_t>(d.trans_a ? d.m : d.k, 1);
  g.ldb = std::max<int64_t>(d.trans_b ? d.k : d.n, 1);
  g.ldc = d.n;
  // One matrix on the right: the batch is more rows of one product.
  if (!d.trans_a && d.batch_b.numel() == 1 && d.batch_a.numel() == batch.numel()) {
    g.m *= batch.numel();
    OFL_TRY(CheckGemmSizes(g.m, g.n, g.k));
    GemmParallel(c.stream, g);
    return Status::Ok();
  }
  const int64_t count = batch.numel();
  if (count < c.stream->threads()) {
    for (int64_t i = 0; i < count; ++i) {
      GemmArgs<T> one = g;
      one.a += MatrixIndex(i, batch, d.batch_a) * d.m * d.k;
      one.b += MatrixIndex(i, batch, d.batch_b) * d.k * d.n;
      one.c += i * d.m * d.n;
      GemmParallel(c.stream, one);
    }
    return Status::Ok();
  }
  Parallel(c.stream, count, RowGrain(d.m * d.n * std::max<int64_t>(d.k / 8, 1)),
           [&](int64_t begin, int64_t end) {
             for (int64_t i = begin; i < end; ++i) {
               GemmArgs<T> one = g;
               one.a += MatrixIndex(i, batch, d.batch_a) * d.m * d.k;
               one.b += MatrixIndex(i, batch, d.batch_b) * d.k * d.n;
               one.c += i * d.m * d.n;
               GemmSerial(one);
             }
           });
  return Status::Ok();
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
  const MatmulDims d = DimsOfMatmul(shape_a, shape_b, c.attrs);
  op::Value a = c.inputs[0], b = c.inputs[1], dy = c.grads[0];
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
          sample({1, 4}, {4, 1}, false, false, "size-1 axes")};
}

// --- linear_weight_grad -------------------------------------------------------------------------

Status InferWeightGrad(op::InferContext& c) {
  const Shape& a = c.input(0).shape;
  const Shape& b = c.input(1).shape;
  OFL_TRY(RequireFloat(c, 0, "input"));
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

template <class T>
Status RunWeightGrad(op::KernelContext& c) {
  const Shape& a = c.inputs[0].meta.shape;
  GemmArgs<T> g;
  g.trans_a = true;
  g.m = c.outputs[0].meta.shape[0];
  g.n = c.outputs[0].meta.shape[1];
  g.k = ProductOf(a, 0, a.rank() - 1);
  OFL_TRY(CheckGemmSizes(g.m, g.n, g.k));
  g.a = c.inputs[0].as<T>();
  g.b = c.inputs[1].as<T>();
  g.c = c.outputs[0].as<T>();
  g.lda = g.m;
  g.ldb = g.n;
  g.ldc = g.n;
  GemmParallel(c.stream, g);
  return Status::Ok();
}

void GradWeightGrad(op::GradContext& c) {
  if (!c.grads[0]) return;
  if (c.Needs(0)) c.Set(0, Product(c.b, c.inputs[1], c.grads[0], false, true));
  if (c.Needs(1)) c.Set(1, Product(c.b, c.inputs[0], c.grads[0], false, false));
}

int64_t FlopsWeightGrad(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                        const Attrs&) {
  return SaturatingMul(2 * in[0].shape.numel(), out[0].shape[1]);
}

std::vector<op::Sample> WeightGradSamples() {
  const auto sample = [](Shape a, Shape b) {
    return op::Sample{{{DType::kFloat32, a}, {DType::kFloat32, b}}, {}};
  };
  return {sample({5, 4}, {5, 3}), sample({2, 3, 4}, {2, 3, 2}), sample({0, 2}, {0, 3}),
          sample({1, 3, 1}, {1, 3, 2})};
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
      .Cpu(DType::kFloat32, RunMatmul<float>)
      .Cpu(DType::kFloat64, RunMatmul<double>)
      .Py("matmul(input, other, /, *, transpose_a=False, transpose_b=False)")
      .Method("matmul")
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
                     {{{DType::kInt64, {2, 3}}, {DType::kInt64, {3, 2}}},
                      {},
                      Code::kTypeMismatch,
                      "floating point"}});
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
      .Cpu(DType::kFloat32, RunWeightGrad<float>)
      .Cpu(DType::kFloat64, RunWeightGrad<double>)
      .Py("linear_weight_grad(input, other, /)")
      .Samples(WeightGradSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 5}}},
                      {},
                      Code::kInvalidArgument,
                      "input.shape[0] == other.shape[0]"}});
}

}  // namespace ofl::ops
