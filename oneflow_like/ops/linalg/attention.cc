// scaled_dot_product_attention: softmax(scale Q K^T) V by blocks of query rows, and its gradient.
//
// A block's scores lie in workspace, one block for each thread; the logarithm of each row's sum is
// kept, so that the gradient computes the probabilities again instead of storing them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

constexpr int64_t kBlockRows = 64;
constexpr const char* kOneOutput =
    "logsumexp would stay whole beside a divided output, which rules cannot say";

struct AttentionDims {
  int64_t batch = 0;  // batch x heads
  int64_t queries = 0, keys = 0;
  int64_t depth = 0, value_depth = 0;
};

AttentionDims DimsOfAttention(const Shape& q, const Shape& k, const Shape& v) {
  return {q[0] * q[1], q[2], k[2], q[3], v[3]};
}

// `first` is the position of query, key and value among the inputs.
Status CheckQkv(const op::InferContext& c, int first) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireFloat(c, i, "every operand"));
    OFL_TRY(RequireSameDType(c, 0, i, "query, key and value"));
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

Status InferAttention(op::InferContext& c) {
  OFL_TRY(CheckQkv(c, 0));
  const Shape& q = c.input(0).shape;
  c.AddOutput({c.input(0).dtype, {q[0], q[1], q[2], c.input(2).shape[3]}});
  c.AddOutput({c.input(0).dtype, {q[0], q[1], q[2]}});
  return Status::Ok();
}

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

std::string AttentionRule(std::span<const Shape>, std::span<const Shape>, const Attrs&) {
  return "(b h t !),(b h ! !),(b h ! !)->(b h t !),(b h t); offset t";
}

std::string AttentionGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string text = "(b h t !),(b h t !),(b h ! !),(b h ! !),(b h t !),(b h t)";
  if (in.size() > 6) text += ",(b h t)";
  text += "->(b h t !),(b h ! !),(b h ! !); reduce t by sum; offset t";
  return text + (in.size() > 6 ? "; linear jointly 0 6" : "; linear 0");
}

double ScaleOf(const Attrs& attrs, int64_t depth) {
  const double scale = attrs.Get<double>("scale");
  return scale != 0 ? scale : 1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(depth, 1)));
}

// One block of query rows [row, row + rows) of one head; keys at or past `width` are masked for
// every row of it.
struct Block {
  int64_t row, rows, width;
};

Block BlockAt(int64_t index, const AttentionDims& d, bool causal, int64_t first_row) {
  Block b;
  b.row = index * kBlockRows;
  b.rows = std::min(kBlockRows, d.queries - b.row);
  b.width = causal ? std::min(d.keys, first_row + b.row + b.rows) : d.keys;
  return b;
}

// Keys that row `r` of the whole sequence may see.
int64_t VisibleKeys(int64_t r, int64_t keys, bool causal) {
  return causal ? std::min(keys, r + 1) : keys;
}

template <class T>
GemmArgs<T> Gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
                 const T* b, int64_t ldb, T* c, int64_t ldc, T beta) {
  GemmArgs<T> g;
  g.trans_a = ta;
  g.trans_b = tb;
  g.m = m;
  g.n = n;
  g.k = k;
  g.a = a;
  g.lda = std::max<int64_t>(lda, 1);
  g.b = b;
  g.ldb = std::max<int64_t>(ldb, 1);
  g.c = c;
  g.ldc = std::max<int64_t>(ldc, 1);
  g.beta = beta;
  return g;
}

int64_t BlocksOf(int64_t queries) { return (queries + kBlockRows - 1) / kBlockRows; }

// Splits the heads over the threads; body(head, scratch) with one scratch of `scratch` elements
// for each chunk of heads.
template <class T, class Body>
void ForEachHead(op::KernelContext& c, int64_t heads, int64_t scratch, const Body& body) {
  const int64_t chunks = std::min<int64_t>(heads, std::max(c.stream->threads(), 1));
  T* workspace = reinterpret_cast<T*>(c.workspace.data());
  Parallel(c.stream, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk)
      for (int64_t h = heads * chunk / chunks; h < heads * (chunk + 1) / chunks; ++h)
        body(h, workspace + chunk * scratch);
  });
}

template <class T>
Status RunAttention(op::KernelContext& c) {
  const AttentionDims d =
      DimsOfAttention(c.inputs[0].meta.shape, c.inputs[1].meta.shape, c.inputs[2].meta.shape);
  const bool causal = c.attr<bool>("is_causal");
  const T scale = static_cast<T>(ScaleOf(*c.attrs, d.depth));
  const int64_t first_row = c.input_offsets[0][2];
  if (c.outputs[1].numel() == 0) return Status::Ok();
  ForEachHead<T>(c, d.batch, kBlockRows * d.keys, [&](int64_t head, T* scores) {
    const T* q = c.inputs[0].as<T>() + head * d.queries * d.depth;
    const T* k = c.inputs[1].as<T>() + head * d.keys * d.depth;
    const T* v = c.inputs[2].as<T>() + head * d.keys * d.value_depth;
    T* out = c.outputs[0].as<T>() + head * d.queries * d.value_depth;
    T* lse = c.outputs[1].as<T>() + head * d.queries;
    for (int64_t i = 0; i < BlocksOf(d.queries); ++i) {
      const Block b = BlockAt(i, d, causal, first_row);
      GemmSerial(Gemm<T>(false, true, b.rows, b.width, d.depth, q + b.row * d.depth, d.depth, k,
                         d.depth, scores, b.width, T(0)));
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
      GemmSerial(Gemm<T>(false, false, b.rows, d.value_depth, b.width, scores, b.width, v,
                         d.value_depth, out + b.row * d.value_depth, d.value_depth, T(0)));
    }
  });
  return Status::Ok();
}

int64_t AttentionWorkspace(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                           const Attrs&, int threads) {
  return std::max(threads, 1) * kBlockRows * in[1].shape[2] *
         static_cast<int64_t>(DTypeSize(in[0].dtype));
}

// P and dS of one block, from its scores and from dP = dO V^T.
template <class T>
void BlockGradients(const Block& b, const AttentionDims& d, bool causal, int64_t first_row, T scale,
                    const T* lse, const T* lse_grad, const T* grad, const T* out, T* p, T* dp) {
  for (int64_t r = 0; r < b.rows; ++r) {
    const int64_t row = b.row + r;
    T* p_row = p + r * b.width;
    T* dp_row = dp + r * b.width;
    const int64_t visible = VisibleKeys(first_row + row, b.width, causal);
    RowScaledExp(p_row, p_row, visible, scale, lse[row]);
    T delta = RowDot(grad + row * d.value_depth, out + row * d.value_depth, d.value_depth);
    if (lse_grad != nullptr) delta -= lse_grad[row];
    RowAttentionGrad(p_row, dp_row, dp_row, visible, delta, scale);
    std::fill(p_row + visible, p_row + b.width, T(0));
    std::fill(dp_row + visible, dp_row + b.width, T(0));
  }
}

template <class T>
Status RunAttentionGrad(op::KernelContext& c) {
  const AttentionDims d =
      DimsOfAttention(c.inputs[1].meta.shape, c.inputs[2].meta.shape, c.inputs[3].meta.shape);
  const bool causal = c.attr<bool>("is_causal");
  const T scale = static_cast<T>(ScaleOf(*c.attrs, d.depth));
  const int64_t first_row = c.input_offsets[1][2];
  ForEachHead<T>(c, d.batch, 2 * kBlockRows * d.keys, [&](int64_t head, T* p) {
    const int64_t at_q = head * d.queries, at_k = head * d.keys;
    const T* grad = c.inputs[0].as<T>() + at_q * d.value_depth;
    const T* q = c.inputs[1].as<T>() + at_q * d.depth;
    const T* k = c.inputs[2].as<T>() + at_k * d.depth;
    const T* v = c.inputs[3].as<T>() + at_k * d.value_depth;
    const T* out = c.inputs[4].as<T>() + at_q * d.value_depth;
    const T* lse = c.inputs[5].as<T>() + at_q;
    const T* lse_grad = c.inputs.size() > 6 ? c.inputs[6].as<T>() + at_q : nullptr;
    T* dq = c.outputs[0].as<T>() + at_q * d.depth;
    T* dk = c.outputs[1].as<T>() + at_k * d.depth;
    T* dv = c.outputs[2].as<T>() + at_k * d.value_depth;
    std::fill(dk, dk + d.keys * d.depth, T(0));
    std::fill(dv, dv + d.keys * d.value_depth, T(0));
    T* dp = p + kBlockRows * d.keys;
    for (int64_t i = 0; i < BlocksOf(d.queries); ++i) {
      const Block b = BlockAt(i, d, causal, first_row);
      const T* q_block = q + b.row * d.depth;
      const T* grad_block = grad + b.row * d.value_depth;
      GemmSerial(Gemm<T>(false, true, b.rows, b.width, d.depth, q_block, d.depth, k, d.depth, p,
                         b.width, T(0)));
      GemmSerial(Gemm<T>(false, true, b.rows, b.width, d.value_depth, grad_block, d.value_depth, v,
                         d.value_depth, dp, b.width, T(0)));
      BlockGradients(b, d, causal, first_row, scale, lse, lse_grad, grad, out, p, dp);
      GemmSerial(Gemm<T>(true, false, b.width, d.value_depth, b.rows, p, b.width, grad_block,
                         d.value_depth, dv, d.value_depth, T(1)));
      GemmSerial(Gemm<T>(false, false, b.rows, d.depth, b.width, dp, b.width, k, d.depth,
                         dq + b.row * d.depth, d.depth, T(0)));
      GemmSerial(Gemm<T>(true, false, b.width, d.depth, b.rows, dp, b.width, q_block, d.depth, dk,
                         d.depth, T(1)));
    }
  });
  return Status::Ok();
}

int64_t AttentionGradWorkspace(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                               const Attrs&, int threads) {
  return std::max(threads, 1) * 2 * kBlockRows * in[2].shape[2] *
         static_cast<int64_t>(DTypeSize(in[0].dtype));
}

void GradAttention(op::GradContext& c) {
  if (!c.grads[0] && !c.grads[1]) return;
  op::Value grad = c.grads[0];
  if (!grad) grad = c.b.Call("zeros_like", {c.outputs[0]});
  op::Values operands = {grad, c.inputs[0], c.inputs[1], c.inputs[2], c.outputs[0], c.outputs[1]};
  if (c.grads[1]) operands.push_back(c.grads[1]);
  op::Values out = c.b.CallAll("scaled_dot_product_attention_grad", operands, c.attrs);
  if (!c.b.status().ok()) return;
  for (int i = 0; i < 3; ++i)
    if (c.Needs(i)) c.Set(i, out[i]);
}

// Scores in memory: for layouts that split the keys.
op::Values DecomposeAttention(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  constexpr double kMasked = -std::numeric_limits<double>::infinity();
  const Attrs over = {{"dim", std::vector<int64_t>{-1}}, {"keepdim", true}};
  Shape rows = in[0]->meta().shape;
  const double scale = ScaleOf(attrs, rows[3]);
  rows.erase(3);
  op::Value products = b.Call("matmul", {in[0], in[1]}, {{"transpose_b", true}});
  op::Value scores = b.Call("mul_scalar", {products}, {{"scalar", scale}});
  if (attrs.Get<bool>("is_causal")) {
    op::Value seen = b.Call("cast", {b.Call("tril", {b.Call("ones_like", {scores})})},
                            {{"dtype", DType::kBool}});
    scores = b.Call("where", {seen, scores, b.Call("full_like", {scores}, {{"value", kMasked}})});
  }
  op::Value max = b.Call("amax", {scores}, over);
  op::Value e = b.Call("exp", {b.Call("sub", {scores, max})});
  op::Value sum = b.Call("sum", {e}, over);
  op::Value out = b.Call("div", {b.Call("matmul", {e, in[2]}), sum});
  op::Value lse =
      b.Call("reshape", {b.Call("add", {b.Call("log", {sum}), max})}, {{"shape", DimsOf(rows)}});
  return {out, lse};
}

// Floating-point operations of the two forward products; half of them under a causal mask.
int64_t ForwardFlops(const Shape& q, const Shape& k, const Shape& v, const Attrs& attrs) {
  const AttentionDims d = DimsOfAttention(q, k, v);
  // Rows and columns of one product each come from an operand of their own.
  const int64_t flops =
      SaturatingMul(SaturatingMul(2 * d.batch * d.queries, d.keys), d.depth + d.value_depth);
  return attrs.Get<bool>("is_causal") ? flops / 2 : flops;
}

int64_t FlopsAttention(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                       const Attrs& attrs) {
  return ForwardFlops(in[0].shape, in[1].shape, in[2].shape, attrs);
}

int64_t FlopsAttentionGrad(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                           const Attrs& attrs) {
  return SaturatingMul(5, ForwardFlops(in[1].shape, in[2].shape, in[3].shape, attrs)) / 2;
}

op::Sample AttentionSample(Shape q, Shape k, Shape v, bool causal, double scale) {
  return {{{DType::kFloat32, q}, {DType::kFloat32, k}, {DType::kFloat32, v}},
          {{"is_causal", causal}, {"scale", scale}},
          -1,
          1};
}

op::Sample AttentionGradSample(Shape q, Shape k, bool causal, bool lse_grad) {
  const Shape rows = {q[0], q[1], q[2]};
  op::Sample s = AttentionSample(q, k, k, causal, 0);
  s.inputs.insert(s.inputs.begin(), {DType::kFloat32, q});
  s.inputs.push_back({DType::kFloat32, q});
  s.inputs.push_back({DType::kFloat32, rows});
  if (lse_grad) s.inputs.push_back({DType::kFloat32, rows});
  return s;
}

}  // namespace

OFL_OP(scaled_dot_product_attention) {
  op.Doc(
        "softmax(scale * query key^T) value over (batch, heads, length, depth). `scale` 0 means\n"
        "1/sqrt(depth). With `is_causal`, position i sees keys 0..i. Also gives the logarithm of\n"
        "each row's sum of exponentials, which the gradient uses.")
      .In("query")
      .In("key")
      .In("value")
      .Out("output")
      .Out("logsumexp")
      .Attr("is_causal", op::AttrType::kBool, false)
      .Attr("scale", op::AttrType::kFloat, 0.0)
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
      .Cpu(DType::kFloat32, RunAttention<float>, AttentionWorkspace)
      .Cpu(DType::kFloat64, RunAttention<double>, AttentionWorkspace)
      .Py("scaled_dot_product_attention(query, key, value, /, *, is_causal=False, scale=0.0)")
      .Samples([]() -> std::vector<op::Sample> {
        return {AttentionSample({2, 3, 5, 4}, {2, 3, 5, 4}, {2, 3, 5, 4}, true, 0),
                AttentionSample({2, 2, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 3}, false, 0.3),
                AttentionSample({1, 1, 70, 2}, {1, 1, 70, 2}, {1, 1, 70, 2}, true, 0),
                AttentionSample({1, 2, 4, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}, true, -0.5),
                AttentionSample({0, 2, 3, 2}, {0, 2, 3, 2}, {0, 2, 3, 2}, true, 0)};
      })
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

OFL_OP(scaled_dot_product_attention_grad) {
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
      .Attr("is_causal", op::AttrType::kBool, false)
      .Attr("scale", op::AttrType::kFloat, 0.0)
      .Infer(InferAttentionGrad)
      .Sbp(AttentionGradRule)
      .NotDifferentiable("second derivatives of the fused form are not defined")
      .Flops(FlopsAttentionGrad)
      .Cpu(DType::kFloat32, RunAttentionGrad<float>, AttentionGradWorkspace)
      .Cpu(DType::kFloat64, RunAttentionGrad<double>, AttentionGradWorkspace)
      .Py("scaled_dot_product_attention_grad(grad, query, key, value, output, logsumexp, "
          "logsumexp_grad=None, /, *, is_causal=False, scale=0.0)")
      .Samples([]() -> std::vector<op::Sample> {
        return {AttentionGradSample({2, 3, 5, 4}, {2, 3, 5, 4}, true, false),
                AttentionGradSample({2, 2, 3, 4}, {2, 2, 5, 4}, false, true)};
      });
}

}  // namespace ofl::ops
