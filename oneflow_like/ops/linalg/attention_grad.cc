// attention_grad: the gradient of attention by blocks of query rows, and its own gradient.
#include <array>

#include "oneflow_like/ops/linalg/attention.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

Status InferAttentionGrad(op::InferContext& c) {
  OFL_TRY(CheckQkv(c, 1));
  const Shape& q = c.input(1).shape;
  const Shape out = {q[0], q[1], q[2], c.input(3).shape[3]};
  OFL_ENSURE(c.input(0).shape == out && c.input(4).shape == out, Code::kInvalidArgument)
      << "grad and output must have the shape of the output " << out;
  const Shape rows = {q[0], q[1], q[2]};
  OFL_ENSURE(c.input(5).shape == rows && (c.num_inputs() < 7 || c.input(6).shape == rows),
             Code::kInvalidArgument)
      << "logsumexp must have one value for each query row " << rows;
  for (int i = 1; i <= 3; ++i) c.AddOutput(c.input(i));
  return Status::Ok();
}

std::string AttentionGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string text = "(b h t !),(b h t !),(b h ! !),(b h ! !),(b h t !),(b h t)";
  if (in.size() > 6) text += ",(b h t)";
  text += "->(b h t !),(b h ! !),(b h ! !); reduce t by sum; offset t";
  return text + (in.size() > 6 ? "; linear jointly 0 6" : "; linear 0");
}

// Row `row` without gaps; `copy` has room for one.
template <class T>
const T* DenseRow(const HeadMatrix<T>& x, int64_t row, int64_t columns, T* copy) {
  if (!x.by_columns) return x.From(row);
  for (int64_t i = 0; i < columns; ++i) copy[i] = x.From(row)[i * x.ld];
  return copy;
}

// P and dS of one block, from its scores and from dP = dO V^T; `row_copy` has room for a row of dO.
template <class T>
void BlockGradients(const Block& b, const AttentionDims& d, bool causal, int64_t first_row, T scale,
                    const T* lse, const T* lse_grad, const HeadMatrix<T>& grad, const T* out, T* p,
                    T* dp, T* row_copy) {
  for (int64_t r = 0; r < b.rows; ++r) {
    const int64_t row = b.row + r;
    T* p_row = p + r * b.width;
    T* dp_row = dp + r * b.width;
    const int64_t visible = VisibleKeys(first_row + row, b.width, causal);
    RowScaledExp(p_row, p_row, visible, scale, lse[row]);
    T delta = RowDot(DenseRow(grad, row, d.value_depth, row_copy), out + row * d.value_depth,
                     d.value_depth);
    if (lse_grad != nullptr) delta -= lse_grad[row];
    RowAttentionGrad(p_row, dp_row, dp_row, visible, delta, scale);
    std::fill(p_row + visible, p_row + b.width, T(0));
    std::fill(dp_row + visible, dp_row + b.width, T(0));
  }
}

// The operands and results of the operator, all of T; what is not kMatrix is dense.
template <class T>
void Differentiate(op::KernelContext& c, std::span<const op::TensorView> in,
                   std::span<const op::TensorView> made, MutableBytes scratch) {
  const AttentionDims d = DimsOfAttention(in[1].meta.shape, in[2].meta.shape, in[3].meta.shape);
  const bool causal = c.attr<bool>("is_causal");
  const T scale = static_cast<T>(ScaleOf(*c.attrs, d.depth));
  const int64_t first_row = c.input_offsets[1][2];
  const int64_t block = 2 * kBlockRows * d.keys + d.value_depth;
  ForEachHead<T>(c.stream, d.batch, block, scratch, [&](int64_t head, T* p) {
    const int64_t at_q = head * d.queries, at_k = head * d.keys;
    const HeadMatrix<T> grad = HeadOf<T>(in[0], head), q = HeadOf<T>(in[1], head),
                        k = HeadOf<T>(in[2], head), v = HeadOf<T>(in[3], head);
    const T* out = in[4].as<T>() + at_q * d.value_depth;
    const T* lse = in[5].as<T>() + at_q;
    const T* lse_grad = in.size() > 6 ? in[6].as<T>() + at_q : nullptr;
    T* dq = made[0].as<T>() + at_q * d.depth;
    T* dk = made[1].as<T>() + at_k * d.depth;
    T* dv = made[2].as<T>() + at_k * d.value_depth;
    std::fill(dk, dk + d.keys * d.depth, T(0));
    std::fill(dv, dv + d.keys * d.value_depth, T(0));
    T* dp = p + kBlockRows * d.keys;
    T* row_copy = dp + kBlockRows * d.keys;
    for (int64_t i = 0; i < BlocksOf(d.queries); ++i) {
      const Block b = BlockAt(i, d, causal, first_row);
      const T* q_block = q.From(b.row);
      const T* grad_block = grad.From(b.row);
      GemmSerial(Gemm<T>(q.by_columns, !k.by_columns, b.rows, b.width, d.depth, q_block, q.ld,
                         k.data, k.ld, p, b.width, T(0)));
      GemmSerial(Gemm<T>(grad.by_columns, !v.by_columns, b.rows, b.width, d.value_depth, grad_block,
                         grad.ld, v.data, v.ld, dp, b.width, T(0)));
      BlockGradients(b, d, causal, first_row, scale, lse, lse_grad, grad, out, p, dp, row_copy);
      GemmSerial(Gemm<T>(true, grad.by_columns, b.width, d.value_depth, b.rows, p, b.width,
                         grad_block, grad.ld, dv, d.value_depth, T(1)));
      GemmSerial(Gemm<T>(false, k.by_columns, b.rows, d.depth, b.width, dp, b.width, k.data, k.ld,
                         dq + b.row * d.depth, d.depth, T(0)));
      GemmSerial(Gemm<T>(true, q.by_columns, b.width, d.depth, b.rows, dp, b.width, q_block, q.ld,
                         dk, d.depth, T(1)));
    }
  });
}

Status RunAttentionGrad(op::KernelContext& c) {
  const DType dtype = c.outputs[0].meta.dtype;
  if (dtype == DType::kFloat64) Differentiate<double>(c, c.inputs, c.outputs, c.workspace);
  if (dtype == DType::kFloat32) Differentiate<float>(c, c.inputs, c.outputs, c.workspace);
  if (!IsHalf(dtype)) return Status::Ok();
  MutableBytes scratch = c.workspace;
  std::array<op::TensorView, 7> wide;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    wide[i] = i < 5 ? Widened(c.stream, c.inputs[i], scratch) : c.inputs[i];
  std::array<op::TensorView, 3> made;
  for (size_t i = 0; i < made.size(); ++i) made[i] = FloatsLike(c.outputs[i], scratch);
  Differentiate<float>(c, {wide.data(), c.inputs.size()}, made, scratch);
  for (size_t i = 0; i < made.size(); ++i) OFL_TRY(CastElements(c.stream, made[i], c.outputs[i]));
  return Status::Ok();
}

int64_t AttentionGradBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                           const Attrs&, int threads) {
  const auto size = static_cast<int64_t>(DTypeSize(RowDType(in[0].dtype)));
  const int64_t block = 2 * kBlockRows * in[2].shape[2] + in[3].shape[3];
  int64_t bytes = std::max(threads, 1) * block * size;
  if (!IsHalf(in[0].dtype)) return bytes;
  for (int i = 0; i < 5; ++i) bytes += in[i].shape.numel() * size;
  for (const TensorMeta& made : out) bytes += made.shape.numel() * size;
  return bytes;
}

// --- second derivatives -------------------------------------------------------------------------

// Sums of values of which some are not there.
op::Value Plus(op::Builder& b, op::Value x, op::Value y) {
  if (x == nullptr || y == nullptr) return x == nullptr ? y : x;
  return b.Call("add", {x, y});
}
op::Value Times(op::Builder& b, const op::Value& x, const op::Value& y) {
  return x == nullptr || y == nullptr ? nullptr : Mul(b, x, y);
}
op::Value Scaled(op::Builder& b, const op::Value& x, double scale) {
  return x == nullptr ? nullptr : MulScalar(b, x, scale);
}
op::Value Dot(op::Builder& b, const op::Value& x, const op::Value& y, bool tx = false,
              bool ty = false) {
  if (x == nullptr || y == nullptr) return nullptr;
  return b.Call("matmul", {x, y}, {{"transpose_a", tx}, {"transpose_b", ty}});
}
op::Value SumOfRows(op::Builder& b, const op::Value& x) {
  if (x == nullptr) return nullptr;
  return b.Call("sum", {x}, {{"dim", std::vector<int64_t>{-1}}, {"keepdim", true}});
}
op::Value Reshaped(op::Builder& b, const op::Value& x, Shape shape) {
  return x == nullptr ? nullptr : b.Call("reshape", {x}, {{"shape", DimsOf(shape)}});
}

// With S = scale Q K^T, P = exp(S - logsumexp), dP = dO V^T, e = rows(dO * O) - dlogsumexp and
// dS = P (dP - e), the operator gives dQ = scale dS K, dK = scale dS^T Q and dV = P^T dO. What
// follows is the chain rule through these, in operators that have gradients themselves.
void GradAttentionGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  const DType dtype = c.inputs[1]->meta().dtype, wide = RowDType(dtype);
  const double scale = ScaleOf(c.attrs, c.inputs[1]->meta().shape[3]);
  std::array<op::Value, 7> in;
  for (size_t i = 0; i < c.inputs.size(); ++i) in[i] = CastTo(b, c.inputs[i], wide);
  std::array<op::Value, 3> up;
  for (size_t i = 0; i < 3; ++i)
    if (c.grads[i]) up[i] = CastTo(b, c.grads[i], wide);
  const auto& [grad, q, k, v, out, lse, lse_grad] = in;
  const auto& [dq, dk, dv] = up;
  if (!b.status().ok() || (!dq && !dk && !dv)) return;
  const Shape rows = lse->meta().shape;
  Shape column = rows;
  column.push_back(1);
  const op::Value p =
      b.Call("exp", {b.Call("sub", {ScoresOf(b, q, k, c.attrs), Reshaped(b, lse, column)})});
  op::Value e = SumOfRows(b, Mul(b, grad, out));
  if (lse_grad) e = b.Call("sub", {e, Reshaped(b, lse_grad, column)});
  const op::Value t = b.Call("sub", {Dot(b, grad, v, false, true), e});
  const op::Value ds = Mul(b, p, t);
  const op::Value to_ds =
      Scaled(b, Plus(b, Dot(b, dq, k, false, true), Dot(b, q, dk, false, true)), scale);
  const op::Value to_dp = Times(b, to_ds, p);
  const op::Value to_e = Scaled(b, SumOfRows(b, to_dp), -1.0);
  const op::Value to_p = Plus(b, Times(b, to_ds, t), Dot(b, grad, dv, false, true));
  const op::Value to_s = Times(b, to_p, p);
  const auto give = [&](int i, const op::Value& x) {
    if (x != nullptr && c.Needs(i)) c.Set(i, CastTo(b, x, c.inputs[i]->meta().dtype));
  };
  give(0, Plus(b, Plus(b, Dot(b, p, dv), Dot(b, to_dp, v)), Times(b, to_e, out)));
  give(1, Scaled(b, Plus(b, Dot(b, ds, dk), Dot(b, to_s, k)), scale));
  give(2, Scaled(b, Plus(b, Dot(b, ds, dq, true), Dot(b, to_s, q, true)), scale));
  give(3, Dot(b, to_dp, grad, true));
  give(4, Times(b, to_e, grad));
  give(5, Scaled(b, Reshaped(b, SumOfRows(b, to_s), rows), -1.0));
  if (lse_grad) give(6, Scaled(b, Reshaped(b, to_e, rows), -1.0));
}

int64_t FlopsAttentionGrad(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                           const Attrs& attrs) {
  return SaturatingMul(5, ForwardFlops(in[1].shape, in[2].shape, in[3].shape, attrs)) / 2;
}

op::Sample AttentionGradSample(Shape q, Shape k, bool causal, bool lse_grad,
                               DType dtype = DType::kFloat32) {
  const Shape rows = {q[0], q[1], q[2]};
  op::Sample s = AttentionSample(q, k, k, causal, NoValue{}, dtype);
  s.inputs.insert(s.inputs.begin(), {dtype, q});
  s.inputs.push_back({dtype, q});
  s.inputs.push_back({RowDType(dtype), rows});
  if (lse_grad) s.inputs.push_back({RowDType(dtype), rows});
  return s;
}

}  // namespace

OFL_OP(attention_grad) {
  op.Doc("Gradients of attention's query, key and value from its output and logsumexp.")
      .In("grad")
      .In("query")
      .In("key")
      .In("value")
      .In("output")
      .In("logsumexp")
      .InOptional("logsumexp_grad")
      .Out("query_grad")
      .Out("key_grad")
      .Out("value_grad")
      .Matrix("grad")
      .Matrix("query")
      .Matrix("key")
      .Matrix("value")
      .Attr("is_causal", op::AttrType::kBool, false)
      .OptionalAttr("scale", op::AttrType::kFloat)
      .Infer(InferAttentionGrad)
      .Sbp(AttentionGradRule)
      .Grad(GradAttentionGrad)
      .Flops(FlopsAttentionGrad)
      .Cpu(DType::kFloat32, RunAttentionGrad, AttentionGradBound)
      .Cpu(DType::kFloat64, RunAttentionGrad, AttentionGradBound)
      .Cpu(DType::kFloat16, RunAttentionGrad, AttentionGradBound)
      .Cpu(DType::kBFloat16, RunAttentionGrad, AttentionGradBound)
      .Oracle(
          "attention_grad((grad, query, key, value, output, logsumexp, logsumexp_grad), "
          "is_causal, scale)")
      .Py("attention_grad(grad, query, key, value, output, logsumexp, logsumexp_grad=None, *, "
          "is_causal=False, scale=None)")
      .Samples([]() -> std::vector<op::Sample> {
        return {AttentionGradSample({2, 3, 5, 4}, {2, 3, 5, 4}, true, false),
                AttentionGradSample({2, 2, 3, 4}, {2, 2, 5, 4}, false, true),
                AttentionGradSample({1, 2, 3, 4}, {1, 2, 3, 4}, true, true)};
      });
}

}  // namespace ofl::ops
