// What attention and its gradient share: blocks of query rows, the causal mask, checks of operands.
#pragma once

#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"

namespace ofl::ops {

inline constexpr int64_t kBlockRows = 64;

struct AttentionDims {
  int64_t batch = 0;  // batch x heads
  int64_t queries = 0, keys = 0;
  int64_t depth = 0, value_depth = 0;
};
inline AttentionDims DimsOfAttention(const Shape& q, const Shape& k, const Shape& v) {
  return {q[0] * q[1], q[2], k[2], q[3], v[3]};
}

// Query, key and value from input `first` on.
Status CheckQkv(const op::InferContext& c, int first);

// Sums and logarithms stay in float where the operands are half: the gradient needs them exact.
inline DType RowDType(DType operands) { return IsHalf(operands) ? DType::kFloat32 : operands; }

// Of no value: 1/sqrt(depth).
double ScaleOf(const Attrs& attrs, int64_t depth);

// One block of query rows [row, row + rows) of one head; keys at or past `width` are masked for
// every row of it.
struct Block {
  int64_t row, rows, width;
};

inline Block BlockAt(int64_t index, const AttentionDims& d, bool causal, int64_t first_row) {
  Block b;
  b.row = index * kBlockRows;
  b.rows = std::min(kBlockRows, d.queries - b.row);
  b.width = causal ? std::min(d.keys, first_row + b.row + b.rows) : d.keys;
  return b;
}

// Keys that row `r` of the whole sequence may see.
inline int64_t VisibleKeys(int64_t r, int64_t keys, bool causal) {
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

// The (length, depth) matrix of one head as it lies: by rows, or by columns (Access::kMatrix).
// Heads that a transpose has split off wider rows are read where they are.
template <class T>
struct HeadMatrix {
  const T* data = nullptr;
  int64_t ld = 0;
  bool by_columns = false;
  const T* From(int64_t row) const { return data + (by_columns ? row : row * ld); }
};

template <class T>
HeadMatrix<T> HeadOf(const op::TensorView& x, int64_t head) {
  const Shape& shape = x.meta.shape;
  const Strides& strides = x.strides;
  if (x.numel() == 0) return {nullptr, shape[3], false};
  const T* data = x.as<T>() + head / shape[1] * strides[0] + head % shape[1] * strides[1];
  const bool by_rows = (strides[3] == 1 || shape[3] <= 1) &&
                       (strides[2] >= std::max<int64_t>(shape[3], 1) || shape[2] <= 1);
  if (by_rows) return {data, shape[2] > 1 ? strides[2] : shape[3], false};
  return {data, shape[3] > 1 ? strides[3] : shape[2], true};
}

inline int64_t BlocksOf(int64_t queries) { return (queries + kBlockRows - 1) / kBlockRows; }

// Splits the heads over the threads; body(head, block) with one block of `block` elements of
// scratch for each chunk of heads.
template <class T, class Body>
void ForEachHead(device::Stream* stream, int64_t heads, int64_t block, MutableBytes scratch,
                 const Body& body) {
  const int64_t chunks = std::min<int64_t>(heads, std::max(stream->threads(), 1));
  T* workspace = reinterpret_cast<T*>(scratch.data());
  Parallel(stream, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk)
      for (int64_t h = heads * chunk / chunks; h < heads * (chunk + 1) / chunks; ++h)
        body(h, workspace + chunk * block);
  });
}

// Scores scale * query key^T in memory, -infinity where the mask hides the key.
op::Value ScoresOf(op::Builder& b, const op::Value& query, const op::Value& key,
                   const Attrs& attrs);

// Floating-point operations of the two forward products; half of them under a causal mask.
int64_t ForwardFlops(const Shape& q, const Shape& k, const Shape& v, const Attrs& attrs);

op::Sample AttentionSample(Shape q, Shape k, Shape v, bool causal, AttrValue scale,
                           DType dtype = DType::kFloat32);

}  // namespace ofl::ops
