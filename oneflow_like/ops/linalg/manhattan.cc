// Sums of absolute differences between all pairs of rows, without the differences themselves, and
// their slopes: cdist of order 1.
#include <algorithm>
#include <cmath>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kWide = SetOf(DType::kFloat32, DType::kFloat64);
constexpr int64_t kSumLanes = 16;  // partial sums of a row, whatever the processor
constexpr int64_t kColumns = 256;  // whose sums stand on the stack

// From x to each of n rows of y. Sums are kept in double, as in reductions.
template <class T>
OFL_SIMD void DistancesOfRow(const T* x, const T* y, int64_t n, int64_t width, T* out) {
  for (int64_t j = 0; j < n; ++j, y += width) {
    double lanes[kSumLanes] = {};
    int64_t c = 0;
    for (; c + kSumLanes <= width; c += kSumLanes)
      for (int64_t l = 0; l < kSumLanes; ++l)
        lanes[l] += static_cast<double>(std::fabs(x[c + l] - y[c + l]));
    for (int64_t l = 0; c < width; ++c, ++l)
      lanes[l] += static_cast<double>(std::fabs(x[c] - y[c]));
    for (int64_t half = kSumLanes / 2; half > 0; half /= 2)
      for (int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    out[j] = static_cast<T>(lanes[0]);
  }
}

// The sum over rows of y of grad times the sign of x - y, of up to kColumns columns.
template <class T>
OFL_SIMD void SlopesOfRow(const T* grad, const T* x, const T* y, int64_t n, int64_t width,
                          int64_t columns, T* out) {
  double sums[kColumns] = {};
  for (int64_t j = 0; j < n; ++j, y += width) {
    const T g = grad[j];
#pragma GCC ivdep
    for (int64_t c = 0; c < columns; ++c) {
      const T up = x[c] > y[c] ? g : T(0), down = x[c] < y[c] ? g : T(0);
      sums[c] += static_cast<double>(up - down);
    }
  }
  for (int64_t c = 0; c < columns; ++c) out[c] = static_cast<T>(sums[c]);
}

// fn(batch, row of x) for all of them.
template <class Fn>
void EachRow(op::KernelContext& c, int64_t batches, int64_t rows, int64_t cost, const Fn& fn) {
  Parallel(c.stream, batches * rows, RowGrain(cost), [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) fn(at / rows, at);
  });
}

template <class T>
Status RunDistances(op::KernelContext& c) {
  const Shape &a = c.inputs[0].meta.shape, &b = c.inputs[1].meta.shape;
  const int64_t rows = RowsOf(a), n = RowsOf(b), width = ColumnsOf(a);
  const T *x = c.inputs[0].as<T>(), *y = c.inputs[1].as<T>();
  T* out = c.outputs[0].as<T>();
  EachRow(c, CountOfMatrices(a), rows, n * width, [&](int64_t batch, int64_t row) {
    DistancesOfRow(x + row * width, y + batch * n * width, n, width, out + row * n);
  });
  return Status::Ok();
}

template <class T>
Status RunSlopes(op::KernelContext& c) {
  const Shape &a = c.inputs[1].meta.shape, &b = c.inputs[2].meta.shape;
  const int64_t rows = RowsOf(a), n = RowsOf(b), width = ColumnsOf(a);
  const T *grad = c.inputs[0].as<T>(), *x = c.inputs[1].as<T>(), *y = c.inputs[2].as<T>();
  T* out = c.outputs[0].as<T>();
  EachRow(c, CountOfMatrices(a), rows, n * width, [&](int64_t batch, int64_t row) {
    for (int64_t at = 0; at < width; at += kColumns) {
      SlopesOfRow(grad + row * n, x + row * width + at, y + batch * n * width + at, n, width,
                  std::min(kColumns, width - at), out + row * width + at);
    }
  });
  return Status::Ok();
}

Status CheckPairs(const op::InferContext& c, int x, int y) {
  for (int i : {x, y}) {
    OFL_TRY(RequireIn(c, i, kWide));
    OFL_ENSURE(c.input(i).shape.rank() >= 2, Code::kInvalidArgument)
        << "an operand has no rows; expected at least two axes";
  }
  const Shape &a = c.input(x).shape, &b = c.input(y).shape;
  OFL_ENSURE(c.input(x).dtype == c.input(y).dtype && ColumnsOf(a) == ColumnsOf(b) &&
                 BatchOf(a) == BatchOf(b),
             Code::kInvalidArgument)
      << "the operands do not fit; expected one dtype, one batch and rows of one length";
  return Status::Ok();
}

Status InferDistances(op::InferContext& c) {
  OFL_TRY(CheckPairs(c, 0, 1));
  const Shape &a = c.input(0).shape, &b = c.input(1).shape;
  c.AddOutput({c.input(0).dtype, BatchWith(a, {RowsOf(a), RowsOf(b)})});
  return Status::Ok();
}

Status InferSlopes(op::InferContext& c) {
  OFL_TRY(CheckPairs(c, 1, 2));
  const Shape &a = c.input(1).shape, &b = c.input(2).shape;
  const TensorMeta grad = {c.input(1).dtype, BatchWith(a, {RowsOf(a), RowsOf(b)})};
  OFL_ENSURE(c.input(0) == grad, Code::kInvalidArgument)
      << "grad does not fit; expected " << grad.ToString();
  c.AddOutput(c.input(1));
  return Status::Ok();
}

void GradDistances(op::GradContext& c) {
  const op::Value &grad = c.grads[0], &x = c.inputs[0], &y = c.inputs[1];
  if (c.Needs(0)) c.Set(0, c.b.Call("l1_slopes", {grad, x, y}));
  if (c.Needs(1)) c.Set(1, c.b.Call("l1_slopes", {Transposed(c.b, grad), y, x}));
}

// Linear in what is summed; signs have no slope. Rare, so of all differences.
void GradSlopes(op::GradContext& c) {
  op::Builder& b = c.b;
  if (c.Needs(0)) {
    const op::Value signs =
        Of(b, "sign", Sub(b, Unsqueezed(b, c.inputs[1], -2), Unsqueezed(b, c.inputs[2], -3)));
    const op::Value products = Mul(b, Unsqueezed(b, c.grads[0], -2), signs);
    c.Set(0, b.Call("sum", {products}, {{"dim", std::vector<int64_t>{-1}}, {"keepdim", false}}));
  }
  for (int i : {1, 2})
    if (c.Needs(i)) c.Set(i, ZerosLike(b, c.inputs[static_cast<size_t>(i)]));
}

std::vector<op::Sample> PairSamples(bool grad) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape x, Shape y) {
    std::vector<TensorMeta> inputs = {{d, x}, {d, y}};
    if (grad) inputs.insert(inputs.begin(), {d, BatchWith(x, {RowsOf(x), RowsOf(y)})});
    samples.push_back({std::move(inputs), {}});
  };
  for (DType d : ListOf(kWide)) add(d, {3, 2}, {4, 2});
  add(DType::kFloat32, {2, 3, 19}, {2, 4, 19});
  add(DType::kFloat32, {1, 1}, {1, 1});
  add(DType::kFloat32, {0, 2}, {3, 2});
  add(DType::kFloat32, {3, 2}, {0, 2});
  add(DType::kFloat32, {2, 0}, {3, 0});
  return samples;
}

}  // namespace

OFL_OP(l1_distances) {
  op.Doc("The sums of absolute differences of each row of x and each of y, in one batch.")
      .In("x")
      .In("y")
      .Out("output")
      .Infer(InferDistances)
      .Sbp("(... m k),(... n k)->(... m n); reduce k by sum")
      .Grad(GradDistances)
      .Cpu(DType::kFloat32, RunDistances<float>)
      .Cpu(DType::kFloat64, RunDistances<double>)
      .Oracle("np.abs(x[..., :, None, :] - y[..., None, :, :]).sum(-1)")
      .Py("_l1_distances(x, y)")
      .Samples([] { return PairSamples(false); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 4}}},
                      {},
                      Code::kInvalidArgument,
                      "rows of one length"}});
}

OFL_OP(l1_slopes) {
  op.Doc("For each row of x the sum over rows of y of grad times the signs of their differences.")
      .In("grad")
      .In("x")
      .In("y")
      .Out("output")
      .Infer(InferSlopes)
      .Sbp("(... m n),(... m k),(... n k)->(... m k); reduce n by sum; linear 0")
      .Grad(GradSlopes)
      .Cpu(DType::kFloat32, RunSlopes<float>)
      .Cpu(DType::kFloat64, RunSlopes<double>)
      .Oracle("(grad[..., None] * np.sign(x[..., :, None, :] - y[..., None, :, :])).sum(-2)")
      .Py("_l1_slopes(grad, x, y)")
      .Samples([] { return PairSamples(true); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 4}}, {DType::kFloat32, {2, 4}}},
            {},
            Code::kInvalidArgument,
            "grad does not fit"}});
}

}  // namespace ofl::ops
