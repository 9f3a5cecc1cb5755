// Loops of elementwise operators: broadcasting, dispatch to vector code, threads.
//
// Functors are small values with an OFL_INLINE call operator, constructible from nothing or from
// Attrs. An output may share memory with an input of the same layout.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include "device/cpu/simd.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

// Elements that are worth a thread: a short loop ends before another core wakes up.
inline constexpr int64_t kElementGrain = 16384;

// Axes of a broadcast loop, neighbours merged where every operand allows; innermost last.
template <int N>
struct BroadcastLoop {
  int rank = 1;
  std::array<int64_t, kMaxRank> size{1};
  std::array<std::array<int64_t, kMaxRank>, N> stride{};  // in elements; 0: repeats
};

template <int N>
BroadcastLoop<N> MakeBroadcastLoop(const Shape& out, const std::array<Shape, N>& inputs) {
  BroadcastLoop<N> loop;
  int used = 0;
  for (int axis = 0; axis < out.rank(); ++axis) {
    if (out[axis] == 1) continue;
    std::array<int64_t, N> step;
    bool merge = used > 0;
    for (int k = 0; k < N; ++k) {
      const Shape& in = inputs[k];
      const int own = axis - (out.rank() - in.rank());
      const bool repeats = own < 0 || in[own] == 1;
      step[k] = repeats ? 0 : ContiguousStrides(in)[own];
      merge = merge && loop.stride[k][used - 1] == step[k] * out[axis];
    }
    const int at = merge ? used - 1 : used++;
    loop.size[at] = merge ? loop.size[at] * out[axis] : out[axis];
    for (int k = 0; k < N; ++k) loop.stride[k][at] = step[k];
  }
  loop.rank = std::max(used, 1);
  return loop;
}

// Calls row(output offset, input offsets, length) for the runs along the innermost axis that
// cover elements [begin, end) of the output.
template <int N, class Row>
void ForRows(const BroadcastLoop<N>& loop, int64_t begin, int64_t end, const Row& row) {
  const int inner = loop.rank - 1;
  std::array<int64_t, kMaxRank> at{};
  int64_t rest = begin;
  for (int i = inner; i >= 0; --i) {
    at[i] = rest % loop.size[i];
    rest /= loop.size[i];
  }
  while (begin < end) {
    std::array<int64_t, N> offset{};
    for (int k = 0; k < N; ++k)
      for (int i = 0; i <= inner; ++i) offset[k] += at[i] * loop.stride[k][i];
    const int64_t n = std::min(loop.size[inner] - at[inner], end - begin);
    row(begin, offset, n);
    begin += n;
    at[inner] = 0;
    for (int i = inner - 1; i >= 0; --i) {
      if (++at[i] < loop.size[i]) break;
      at[i] = 0;
    }
  }
}

// Each iteration reads and writes its own element only, which `ivdep` states: an output may be
// the input itself.
template <class F, class In, class Out>
OFL_SIMD void UnaryLoop(F f, const In* x, Out* y, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

template <class F, class In, class Out>
OFL_SIMD void BinaryRow(F f, const In* a, const In* b, Out* y, int64_t n, bool a_repeats,
                        bool b_repeats) {
  if (a_repeats) {
    const In first = *a;
    if (b_repeats) {
      const Out value = f(first, *b);
      for (int64_t i = 0; i < n; ++i) y[i] = value;
      return;
    }
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(first, b[i]);
  } else if (b_repeats) {
    const In second = *b;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], second);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  }
}

template <class F>
F MakeFunctor(const Attrs& attrs) {
  if constexpr (std::is_constructible_v<F, const Attrs&>) {
    return F(attrs);
  } else {
    return F{};
  }
}

template <class F, class In, class Out>
Status RunUnary(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  const In* x = c.inputs[0].as<In>();
  Out* y = c.outputs[0].as<Out>();
  Parallel(c.stream, c.outputs[0].numel(), kElementGrain,
           [&](int64_t begin, int64_t end) { UnaryLoop(f, x + begin, y + begin, end - begin); });
  return Status::Ok();
}

template <class F, class In, class Out>
Status RunBinary(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  const In* a = c.inputs[0].as<In>();
  const In* b = c.inputs[1].as<In>();
  Out* y = c.outputs[0].as<Out>();
  const int64_t n = c.outputs[0].numel();
  if (n == 0) return Status::Ok();
  const auto loop = MakeBroadcastLoop<2>(c.outputs[0].meta.shape,
                                         {c.inputs[0].meta.shape, c.inputs[1].meta.shape});
  const int inner = loop.rank - 1;
  const bool a_repeats = loop.stride[0][inner] == 0;
  const bool b_repeats = loop.stride[1][inner] == 0;
  Parallel(c.stream, n, kElementGrain, [&](int64_t begin, int64_t end) {
    ForRows(loop, begin, end, [&](int64_t out, const std::array<int64_t, 2>& in, int64_t len) {
      BinaryRow(f, a + in[0], b + in[1], y + out, len, a_repeats, b_repeats);
    });
  });
  return Status::Ok();
}

// --- inference ----------------------------------------------------------------------------------

// The classes of dtypes an operator computes in. Values only moved take any.
enum class Numbers { kFloat, kNumber, kAny, kBool };
Status RequireNumbers(const op::InferContext& c, int i, Numbers numbers);

// Output: the broadcast shape of both inputs, which must have one dtype.
Status InferBinary(op::InferContext& c, Numbers numbers, bool to_bool);

// --- gradients ----------------------------------------------------------------------------------

// `x` summed over the axes along which `shape` was broadcast. Null stays null.
op::Value ReduceTo(op::Builder& b, op::Value x, const Shape& shape);
inline op::Value Mul(op::Builder& b, op::Value x, op::Value y) {
  return b.Call("mul", {std::move(x), std::move(y)});
}
inline op::Value MulScalar(op::Builder& b, op::Value x, double scalar) {
  return b.Call("mul_scalar", {std::move(x)}, {{"scalar", scalar}});
}
inline op::Value AddScalar(op::Builder& b, op::Value x, double scalar) {
  return b.Call("add_scalar", {std::move(x)}, {{"scalar", scalar}});
}

// --- samples ------------------------------------------------------------------------------------

// Shapes every unary operator meets: even, uneven, empty, no axes, size 1.
std::vector<op::Sample> UnarySamples(std::vector<DType> dtypes, double low = -2.0,
                                     double high = 2.0, Attrs attrs = {});
// Pairs of shapes with and without broadcasting.
std::vector<op::Sample> BinarySamples(std::vector<DType> dtypes, double low = -2.0,
                                      double high = 2.0);

}  // namespace ofl::ops
