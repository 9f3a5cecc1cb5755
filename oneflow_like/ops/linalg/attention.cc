// scaled_dot_product_attention: softmax(scale Q K^T) V by blocks of query rows.
//
// A block's scores lie in workspace, one block for each thread; the logarithm of each row's sum is
// kept, so that the gradient computes the probabilities again instead of storing them.
#include "oneflow_like/ops/linalg/attention.h"

#include <limits>

#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

constexpr const char* kOneOutput =
    "logsumexp would stay whole beside a divided output, which rules cannot say";

Status InferAttention(op::InferContext& c) {
  OFL_TRY(CheckQkv(c, 0));
  const Shape& q = c.input(0).shape;
  const DType dtype = c.input(0).dtype;
  c.AddOutput({dtype, {q[0], q[1], q[2], c.input(2).shape[3]}});
  c.AddOutput({RowDType(dtype), {q[0], q[1], q[2]}});
  return Status::Ok();
}

std::string AttentionRule(std::span<const Shape>, std::span<const Shape>, const Attrs&) {
  return "(b h t !),(b h ! !),(b h ! !)->(b h t !),(b h t); offset t";
}

// query, key, value -> output, logsumexp, all of T; the results are dense.
template <class T>
void Attend(op::KernelContext& c, std::span<const op::TensorView> in,
            std::span<const op::TensorView> made, MutableBytes scratch) {
  const AttentionDims d = DimsOfAttention(in[0].meta.shape, in[1].meta.shape, in[2].meta.shape);
  const bool causal = c.attr<bool>("is_causal");
  const T scale = static_cast<T>(ScaleOf(*c.attrs, d.depth));
  const int64_t first_row = c.input_offsets[0][2];
  if (made[1].numel() == 0) return;
  ForEachHead<T>(c.stream, d.batch, kBlockRows * d.keys, scratch, [&](int64_t head, T* scores) {
    const HeadMatrix<T> q = HeadOf<T>(in[0], head), k = HeadOf<T>(in[1], head),
                        v = HeadOf<T>(in[2], head);
    T* out = made[0].as<T>() + head * d.queries * d.value_depth;
    T* lse = made[1].as<T>() + head * d.queries;
    for (int64_t i = 0; i < BlocksOf(d.queries); ++i) {
      const Block b = BlockAt(i, d, causal, first_row);
      GemmSerial(Gemm<T>(q.by_columns, !k.by_columns, b.rows, b.width, d.depth, q.From(b.row), q.ld,
                         k.data, k.ld, scores, b.width, T(0)));
      for (int64_t r = 0; r < b.rows; ++r) {
        T* row = scores + r * b.width;
        const int64_t visible = VisibleKeys(first_row + b.row + r, b.width, causal);
        // The scale may be negative, so it comes before the maximum.
        RowScale(row, visible, scale);
        const T max = RowMax(row, visible);
        const T sum = RowExp(row, row, visible, max);
        RowScale(row, visible, T(1) / sum);
        std::fill(row + visible, row + b.width, T(0));
        lse[b.row + r] = max + std::log(sum);
      }
      GemmSerial(Gemm<T>(false, v.by_columns, b.rows, d.value_depth, b.width, scores, b.width,
                         v.data, v.ld, out + b.row * d.value_depth, d.value_depth, T(0)));
    }
  });
}

Status RunAttention(op::KernelContext& c) {
  if (c.outputs[0].meta.dtype == DType::kFloat64) {
    Attend<double>(c, c.inputs, c.outputs, c.workspace);
    return Status::Ok();
  }
  if (!IsHalf(c.outputs[0].meta.dtype)) {
    Attend<float>(c, c.inputs, c.outputs, c.workspace);
    return Status::Ok();
  }
  MutableBytes scratch = c.workspace;
  std::array<op::TensorView, 3> wide;
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = Widened(c.stream, c.inputs[i], scratch);
  const op::TensorView made[] = {FloatsLike(c.outputs[0], scratch), c.outputs[1]};
  Attend<float>(c, wide, made, scratch);
  return CastElements(c.stream, made[0], c.outputs[0]);
}

int64_t AttentionBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs&, int threads) {
  const DType dtype = RowDType(in[0].dtype);
  const auto size = static_cast<int64_t>(DTypeSize(dtype));
  int64_t bytes = std::max(threads, 1) * kBlockRows * in[1].shape[2] * size;
  if (!IsHalf(in[0].dtype)) return bytes;
  for (int i = 0; i < 3; ++i) bytes += in[i].shape.numel() * size;
  return bytes + out[0].shape.numel() * size;
}

void GradAttention(op::GradContext& c) {
  if (!c.grads[0] && !c.grads[1]) return;
  op::Value grad = c.grads[0];
  if (!grad) grad = c.b.Call("full_like", {c.outputs[0]}, {{"value", int64_t{0}}});
  op::Values operands = {grad, c.inputs[0], c.inputs[1], c.inputs[2], c.outputs[0], c.outputs[1]};
  if (c.grads[1]) operands.push_back(c.grads[1]);
  op::Values out = c.b.CallAll("attention_grad", operands, c.attrs);
  if (!c.b.status().ok()) return;
  for (int i = 0; i < 3; ++i)
    if (c.Needs(i)) c.Set(i, out[i]);
}

// Scores in memory: for layouts that split the keys.
op::Values DecomposeAttention(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Attrs over = {{"dim", std::vector<int64_t>{-1}}, {"keepdim", true}};
  const DType dtype = in[0]->meta().dtype, wide = RowDType(dtype);
  Shape rows = in[0]->meta().shape;
  rows.erase(3);
  op::Value scores = ScoresOf(b, CastTo(b, in[0], wide), CastTo(b, in[1], wide), attrs);
  op::Value max = b.Call("amax", {scores}, over);
  op::Value e = b.Call("exp", {b.Call("sub", {scores, max})});
  op::Value sum = b.Call("sum", {e}, over);
  op::Value out = b.Call("div", {b.Call("matmul", {e, CastTo(b, in[2], wide)}), sum});
  op::Value lse =
      b.Call("reshape", {b.Call("add", {b.Call("log", {sum}), max})}, {{"shape", DimsOf(rows)}});
  if (!b.status().ok()) return {nullptr, nullptr};
  return {CastTo(b, out, dtype), lse};
}

int64_t FlopsAttention(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                       const Attrs& attrs) {
  return ForwardFlops(in[0].shape, in[1].shape, in[2].shape, attrs);
}

std::vector<op::Sample> AttentionSamples() {
  const AttrValue none = NoValue{};
  return {AttentionSample({2, 3, 5, 4}, {2, 3, 5, 4}, {2, 3, 5, 4}, true, none),
          AttentionSample({2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 3}, false, 0.3),
          AttentionSample({1, 1, 70, 2}, {1, 1, 70, 2}, {1, 1, 70, 2}, true, none),
          AttentionSample({1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}, true, -0.5),
          AttentionSample({1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}, false, 0.0),
          AttentionSample({0, 2, 3, 2}, {0, 2, 3, 2}, {0, 2, 3, 2}, true, none),
          AttentionSample({1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}, true, none, DType::kFloat16),
          AttentionSample({1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}, true, none, DType::kBFloat16)};
}

}  // namespace

Status CheckQkv(const op::InferContext& c, int first) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    const DType dtype = c.input(i).dtype;
    OFL_ENSURE(IsFloating(dtype) && !IsFloat8(dtype), Code::kTypeMismatch)
        << "every operand must be floating point; expected float32, float64, float16 or bfloat16";
    // Beyond the operands of query's shape lie sums of rows.
    const bool rows = c.input(i).shape.rank() == 3;
    OFL_ENSURE(dtype == (rows ? RowDType(c.input(first).dtype) : c.input(first).dtype),
               Code::kTypeMismatch)
        << "query, key and value must have one dtype; convert one of them with .to(dtype)";
  }
  const Shape& q = c.input(first).shape;
  const Shape& k = c.input(first + 1).shape;
  const Shape& v = c.input(first + 2).shape;
  OFL_ENSURE(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, Code::kInvalidArgument)
      << "query, key and value need 4 axes (batch, heads, length, depth)";
  OFL_ENSURE(q[0] == k[0] && q[1] == k[1] && k[0] == v[0] && k[1] == v[1], Code::kInvalidArgument)
      << "batch and heads must agree; expected query.shape[:2] == key.shape[:2] == "
         "value.shape[:2]";
  OFL_ENSURE(q[3] == k[3] && k[2] == v[2], Code::kInvalidArgument)
      << "expected query.shape[3] == key.shape[3] and key.shape[2] == value.shape[2]";
  return CheckGemmSizes(q[2], k[2], std::max(q[3], v[3]));
}

double ScaleOf(const Attrs& attrs, int64_t depth) {
  if (const double* scale = attrs.Maybe<double>("scale")) return *scale;
  return 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(depth, 1)));
}

op::Value ScoresOf(op::Builder& b, const op::Value& query, const op::Value& key,
                   const Attrs& attrs) {
  constexpr double kMasked = -std::numeric_limits<double>::infinity();
  if (query == nullptr || key == nullptr) return nullptr;
  op::Value products = b.Call("matmul", {query, key}, {{"transpose_b", true}});
  const Shape& shape = query->meta().shape;
  op::Value scores = MulScalar(b, products, ScaleOf(attrs, shape[shape.rank() - 1]));
  if (!attrs.Get<bool>("is_causal")) return scores;
  op::Value seen =
      b.Call("cast", {b.Call("tril", {b.Call("ones_like", {scores})})}, {{"dtype", DType::kBool}});
  return b.Call("where", {seen, scores, b.Call("full_like", {scores}, {{"value", kMasked}})});
}

int64_t ForwardFlops(const Shape& q, const Shape& k, const Shape& v, const Attrs& attrs) {
  const AttentionDims d = DimsOfAttention(q, k, v);
  // Rows and columns of one product each come from an operand of their own.
  const int64_t flops =
      SaturatingMul(SaturatingMul(2 * d.batch * d.queries, d.keys), d.depth + d.value_depth);
  return attrs.Get<bool>("is_causal") ? flops / 2 : flops;
}

op::Sample AttentionSample(Shape q, Shape k, Shape v, bool causal, AttrValue scale, DType dtype) {
  return {{{dtype, q}, {dtype, k}, {dtype, v}},
          {{"is_causal", causal}, {"scale", std::move(scale)}},
          -1,
          1};
}

OFL_OP(attention) {
  op.Doc(
        "softmax(scale * query key^T) value over (batch, heads, length, depth). `scale` is\n"
        "1/sqrt(depth) unless given. With `is_causal`, position i sees keys 0..i. Also gives the\n"
        "logarithm of each row's sum of exponentials, which the gradient uses.")
      .In("query")
      .In("key")
      .In("value")
      .Out("output")
      .Out("logsumexp")
      .Matrix("query")
      .Matrix("key")
      .Matrix("value")
      .Attr("is_causal", op::AttrType::kBool, false)
      .OptionalAttr("scale", op::AttrType::kFloat)
      .Autocast(op::Autocast::kLower)
      .Infer(InferAttention)
      .Sbp(AttentionRule)
      .Grad(GradAttention)
      .Decompose(DecomposeAttention)
      .Unclaimed("B,B,S(3)->S(3),B", kOneOutput)
      .Unclaimed("B,B,P->P,B", kOneOutput)
      .Unclaimed("B,B,P(max)->P(max),B", kOneOutput)
      .Unclaimed("B,B,P(min)->P(min),B", kOneOutput)
      .Unclaimed("S(2),B,P->P,S(2)", kOneOutput)
      .Flops(FlopsAttention)
      .Cpu(DType::kFloat32, RunAttention, AttentionBound)
      .Cpu(DType::kFloat64, RunAttention, AttentionBound)
      .Cpu(DType::kFloat16, RunAttention, AttentionBound)
      .Cpu(DType::kBFloat16, RunAttention, AttentionBound)
      .Oracle("attention(query, key, value, is_causal, scale)")
      .Py("attention(query, key, value, *, is_causal=False, scale=None)")
      .Samples(AttentionSamples)
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3}}},
            {},
            Code::kInvalidArgument,
            "4 axes"},
           {{{DType::kFloat32, {1, 2, 3, 4}},
             {DType::kFloat32, {1, 2, 3, 5}},
             {DType::kFloat32, {1, 2, 3, 5}}},
            {},
            Code::kInvalidArgument,
            "query.shape[3] == key.shape[3]"}});
}

}  // namespace ofl::ops
