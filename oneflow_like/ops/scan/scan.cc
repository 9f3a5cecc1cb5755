// Running sums, products and logarithms of sums along one axis.
#include "oneflow_like/ops/scan/scan.h"
#include "oneflow_like/ops/elementwise/forms.h"

#include <cmath>

#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {

std::string ScanRule(const Shape& shape, const Attrs& attrs, int inputs, int outputs) {
  const int axis = ScanAxis(attrs, shape);
  const std::string axes =
      "(" + (axis < 0 ? std::string() : LabelsExcept("a", shape.rank(), axis)) + ")";
  std::string text = axes;
  for (int i = 1; i < inputs; ++i) text += "," + axes;
  text += "->" + axes;
  for (int i = 1; i < outputs; ++i) text += "," + axes;
  return text;
}

std::vector<op::Sample> ScanSamples(DTypeSet set, double low, double high, int inputs,
                                    const Attrs& more) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, Shape shape, int64_t dim) {
    Attrs attrs = more;
    attrs.Set("dim", dim);
    samples.push_back({std::vector<TensorMeta>(static_cast<size_t>(inputs), {dtype, shape}),
                       std::move(attrs), low, high, ""});
  };
  for (DType dtype : ListOf(set)) {
    add(dtype, {5, 3}, 0);
    if (dtype != DType::kFloat32) continue;
    add(dtype, {4, 5}, -1);
    add(dtype, {2, 4, 3}, 1);
    add(dtype, {1, 3}, 0);
    add(dtype, {0, 3}, 0);
    add(dtype, {}, 0);
  }
  return samples;
}

op::ErrorSample ScanAxisError(int inputs) {
  return {std::vector<TensorMeta>(static_cast<size_t>(inputs), {DType::kFloat32, {2, 3}}),
          {{"dim", int64_t{2}}},
          Code::kOutOfRange,
          "but got 2"};
}

Status CheckScanAxis(const op::InferContext& c) {
  return NormalizeAxis(c.attr<int64_t>("dim"), c.input(0).shape.rank()).status();
}

op::Value LinearScan(op::Builder& b, const op::Value& factor, const op::Value& term, int64_t dim,
                     bool reverse) {
  return b.Call("linear_scan", {factor, term}, {{"dim", dim}, {"reverse", reverse}});
}

namespace {

// --- sums and products --------------------------------------------------------------------------

// Floating results are kept in double and rounded one by one; whole ones wrap.
template <class T, bool kProduct>
OFL_INLINE void RunningRow(const T* x, T* y, int64_t n, typename SumOf<T>::Acc& state) {
  using Acc = typename SumOf<T>::Acc;
  Acc s = state;
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<T>) {
      const auto a = static_cast<uint64_t>(s), v = static_cast<uint64_t>(x[i]);
      s = static_cast<Acc>(kProduct ? a * v : a + v);
    } else if constexpr (kProduct) {
      s = math::Mul(s, static_cast<Acc>(x[i]));
    } else {
      s += static_cast<Acc>(x[i]);
    }
    y[i] = static_cast<T>(s);
  }
  state = s;
}

// The same from the last element on.
template <class T, bool kProduct>
OFL_INLINE void RunningRowBack(const T* x, T* y, int64_t n) {
  typename SumOf<T>::Acc state(kProduct ? 1 : 0);
  for (int64_t i = n - 1; i >= 0; --i) RunningRow<T, kProduct>(x + i, y + i, 1, state);
}

// One step of many rows side by side.
template <class T, bool kProduct>
OFL_SIMD void RunningStep(const T* x, T* y, int64_t n, typename SumOf<T>::Acc* state) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    RunningRow<T, kProduct>(x + i, y + i, 1, state[i]);
  }
}

// Where rows lie side by side in memory, they are walked through together.
template <class T, bool kProduct>
void RunningAcross(op::KernelContext& c, const op::TensorView& x, const op::TensorView& y,
                   const RowStarts& rows, bool reverse) {
  constexpr int64_t kWidth = 256;
  const DType compute = DTypeOf<T>::value;
  // Of these the "row" is what lies across the rows that are scanned.
  const TileRows from(x, rows.step(0), compute, false), to(y, rows.step(1), compute, false);
  const int64_t n = rows.length(), beside = rows.neighbours();
  const int64_t tiles = (beside + kWidth - 1) / kWidth;
  Parallel(c.stream, rows.rows() / beside * tiles, RowGrain(n * kWidth),
           [&](int64_t begin, int64_t end) {
             typename SumOf<T>::Acc state[kWidth];
             T tile[kWidth];
             for (int64_t t = begin; t < end; ++t) {
               const int64_t first = t % tiles * kWidth, width = std::min(kWidth, beside - first);
               const auto at = rows.Of(t / tiles * beside + first);
               std::fill_n(state, width, typename SumOf<T>::Acc(kProduct ? 1 : 0));
               for (int64_t k = 0; k < n; ++k) {
                 const int64_t place = reverse ? n - 1 - k : k;
                 from.Load(at[0] + place * rows.stride(0), 0, width, tile);
                 RunningStep<T, kProduct>(tile, tile, width, state);
                 to.Store(at[1] + place * rows.stride(1), 0, width, tile);
               }
             }
           });
}

template <class T, bool kProduct>
void RunningResult(op::KernelContext& c, const op::TensorView& x, const op::TensorView& y) {
  const RowStarts rows({&x, &y}, ScanAxis(*c.attrs, x.meta.shape));
  const bool reverse = c.attr<bool>("reverse");
  if (rows.length() > 0 && rows.neighbours() >= 8 &&
      std::abs(rows.step(0)) < std::abs(rows.stride(0))) {
    return RunningAcross<T, kProduct>(c, x, y, rows, reverse);
  }
  const DType compute = DTypeOf<T>::value;
  const TileRows from(x, rows.stride(0), compute, reverse);
  const TileRows to(y, rows.stride(1), compute, reverse);
  const int64_t n = rows.length();
  const bool direct = x.meta.dtype == compute && y.meta.dtype == compute && rows.stride(0) == 1 &&
                      rows.stride(1) == 1;
  ForScanRows(c.stream, rows, 2, reverse, [&](const std::array<int64_t, 3>& at) {
    typename SumOf<T>::Acc state(kProduct ? 1 : 0);
    if (direct && reverse)
      return RunningRowBack<T, kProduct>(x.as<T>() + at[0] - (n - 1), y.as<T>() + at[1] - (n - 1),
                                         n);
    if (direct) return RunningRow<T, kProduct>(x.as<T>() + at[0], y.as<T>() + at[1], n, state);
    T tile[kScanTile];
    for (int64_t i = 0; i < n; i += kScanTile) {
      const int64_t count = std::min(kScanTile, n - i);
      from.Load(at[0], i, count, tile);
      RunningRow<T, kProduct>(tile, tile, count, state);
      to.Store(at[1], i, count, tile);
    }
  });
}

template <bool kProduct>
Status RunRunning(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  OFL_ASSIGN(const op::TensorView x, Converted(c, y.meta.dtype));
  if (y.numel() == 0) return Status::Ok();
  switch (ComputeTypeOf(y.meta.dtype)) {
    case DType::kFloat32: RunningResult<float, kProduct>(c, x, y); break;
    case DType::kFloat64: RunningResult<double, kProduct>(c, x, y); break;
    case DType::kComplex64: RunningResult<std::complex<float>, kProduct>(c, x, y); break;
    case DType::kComplex128: RunningResult<std::complex<double>, kProduct>(c, x, y); break;
    case DType::kInt64: RunningResult<int64_t, kProduct>(c, x, y); break;
    default: RunningResult<int32_t, kProduct>(c, x, y); break;  // narrow ones wrap
  }
  return Status::Ok();
}

int64_t RunningScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs&, int) {
  return CastScratch(in[0], out[0].dtype);
}

Status InferRunning(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kNumbers | kBools));
  OFL_TRY(CheckScanAxis(c));
  const DType* asked = c.maybe<DType>("dtype");
  const DType dtype = SummedDType(c.input(0).dtype, asked);
  OFL_ENSURE(Contains(kNumbers, dtype), Code::kTypeMismatch)
      << "running results are not kept in " << DTypeName(dtype)
      << "; expected the dtype of numbers; convert afterwards with .to(dtype)";
  c.AddOutput({dtype, c.input(0).shape});
  return Status::Ok();
}

std::string CumsumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const bool converts = attrs.Maybe<DType>("dtype") != nullptr;
  return ScanRule(in[0], attrs, 1, 1) + (converts ? "" : "; linear 0");
}
std::string CumprodRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ScanRule(in[0], attrs, 1, 1);
}

void GradCumsum(op::GradContext& c) {
  if (!c.Needs(0)) return;
  const op::Value grad =
      c.b.Call("cumsum", {c.grads[0]},
               {{"dim", c.attrs.Get<int64_t>("dim")}, {"reverse", !c.attrs.Get<bool>("reverse")}});
  c.Set(0, CastTo(c.b, grad, c.inputs[0]->meta().dtype));
}

// dx[k] = (product before k) * (g[k] + x[k+1] * (g[k+1] + x[k+2] * ...)): no division, so that
// zeros are no matter.
void GradCumprod(op::GradContext& c) {
  if (!c.Needs(0)) return;
  op::Builder& b = c.b;
  const Shape& shape = c.inputs[0]->meta().shape;
  const bool reverse = c.attrs.Get<bool>("reverse");
  if (shape.rank() == 0 || shape.numel() == 0) {
    c.Set(0, CastTo(b, c.grads[0], c.inputs[0]->meta().dtype));
    return;
  }
  const int64_t dim = AxisAttr(c.attrs, "dim", shape.rank());
  const op::Value x = Conj(b, CastTo(b, c.inputs[0], c.grads[0]->meta().dtype));
  const op::Value next = Shifted(b, x, dim, !reverse, 0);
  const op::Value rest = LinearScan(b, next, c.grads[0], dim, !reverse);
  const op::Value before = Shifted(b, Conj(b, c.outputs[0]), dim, reverse, 1);
  c.Set(0, CastTo(b, Mul(b, before, rest), c.inputs[0]->meta().dtype));
}

op::OpDefBuilder& Running(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Attr("reverse", op::AttrType::kBool, false)
      .Infer(InferRunning)
      .Strided()
      .Autocast(op::Autocast::kFloat32)
      .Unclaimed("P*->P*", "of a tensor without axes, or of an increasing result")
      .ErrorSamples({ScanAxisError()});
}

std::vector<op::Sample> RunningSamples() {
  auto samples = ScanSamples(kNumbers | kBools);
  for (const Attrs& more : {Attrs{{"reverse", true}}, Attrs{{"dtype", DType::kFloat64}}}) {
    const auto extra = ScanSamples(SetOf(DType::kFloat32, DType::kInt32), -2, 2, 1, more);
    samples.push_back(extra.front());
    samples.push_back(extra.back());
  }
  return samples;
}

// --- s = b + a * s ------------------------------------------------------------------------------

template <class T>
Status RunLinearScan(op::KernelContext& c) {
  const op::TensorView &a = c.inputs[0], &x = c.inputs[1], &y = c.outputs[0];
  if (y.numel() == 0) return Status::Ok();
  const RowStarts rows({&a, &x, &y}, ScanAxis(*c.attrs, a.meta.shape));
  const bool reverse = c.attr<bool>("reverse");
  const TileRows factors(a, rows.stride(0), DTypeOf<T>::value, reverse);
  const TileRows terms(x, rows.stride(1), DTypeOf<T>::value, reverse);
  const TileRows to(y, rows.stride(2), DTypeOf<T>::value, reverse);
  const int64_t n = rows.length();
  ForScanRows(c.stream, rows, 3, reverse, [&](const std::array<int64_t, 3>& at) {
    using Acc = typename SumOf<T>::Acc;
    Acc state(0);
    T factor[kScanTile], term[kScanTile];
    for (int64_t i = 0; i < n; i += kScanTile) {
      const int64_t count = std::min(kScanTile, n - i);
      factors.Load(at[0], i, count, factor);
      terms.Load(at[1], i, count, term);
      for (int64_t j = 0; j < count; ++j) {
        state = static_cast<Acc>(term[j]) + math::Mul(static_cast<Acc>(factor[j]), state);
        term[j] = static_cast<T>(state);
      }
      to.Store(at[2], i, count, term);
    }
  });
  return Status::Ok();
}

Status InferLinearScan(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | kComplexes));
  OFL_TRY(CheckScanAxis(c));
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "factor and term must have one shape and dtype";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// With s the adjoint: s[k] = g[k] + a[k+1] * s[k+1], a scan from the other end; db = s,
// da[k] = s[k] * y[k-1].
void GradLinearScan(op::GradContext& c) {
  op::Builder& b = c.b;
  const Shape& shape = c.inputs[0]->meta().shape;
  const bool reverse = c.attrs.Get<bool>("reverse");
  if (shape.rank() == 0 || shape.numel() == 0) {
    if (c.Needs(0)) c.Set(0, b.Call("zeros_like", {c.grads[0]}));
    c.Set(1, c.grads[0]);
    return;
  }
  const int64_t dim = AxisAttr(c.attrs, "dim", shape.rank());
  const op::Value next = Shifted(b, Conj(b, c.inputs[0]), dim, !reverse, 0);
  const op::Value adjoint = LinearScan(b, next, c.grads[0], dim, !reverse);
  if (c.Needs(0)) c.Set(0, Mul(b, adjoint, Shifted(b, Conj(b, c.outputs[0]), dim, reverse, 0)));
  c.Set(1, adjoint);
}

// --- logcumsumexp -------------------------------------------------------------------------------

// log(exp(a) + exp(b)), the larger one taken out.
inline double LogAddExp(double a, double b) {
  const double most = std::max(a, b), least = std::min(a, b);
  if (a != a || b != b) return a + b;
  if (std::isinf(most)) return most;
  return most + std::log1p(std::exp(least - most));
}
inline std::complex<double> LogAddExp(std::complex<double> a, std::complex<double> b) {
  const bool swap = a.real() < b.real();
  const std::complex<double> most = swap ? b : a, least = swap ? a : b;
  if (std::isinf(most.real())) return most;
  return most + std::log(1.0 + std::exp(least - most));
}

template <class T>
Status RunLogCumSumExp(op::KernelContext& c) {
  using Acc = typename SumOf<T>::Acc;
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  if (y.numel() == 0) return Status::Ok();
  const RowStarts rows({&x, &y}, ScanAxis(*c.attrs, x.meta.shape));
  const TileRows from(x, rows.stride(0), DTypeOf<T>::value, false);
  const TileRows to(y, rows.stride(1), DTypeOf<T>::value, false);
  const int64_t n = rows.length();
  ForScanRows(c.stream, rows, 2, false, [&](const std::array<int64_t, 3>& at) {
    Acc state(-std::numeric_limits<double>::infinity());
    T tile[kScanTile];
    for (int64_t i = 0; i < n; i += kScanTile) {
      const int64_t count = std::min(kScanTile, n - i);
      from.Load(at[0], i, count, tile);
      for (int64_t j = 0; j < count; ++j) {
        state = LogAddExp(state, static_cast<Acc>(tile[j]));
        tile[j] = static_cast<T>(state);
      }
      to.Store(at[1], i, count, tile);
    }
  });
  return Status::Ok();
}

Status InferLogCumSumExp(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | kComplexes));
  OFL_TRY(CheckScanAxis(c));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// dx[k] = exp(x[k] - y[k]) * s[k], s[k] = g[k] + exp(y[k] - y[k+1]) * s[k+1]: y never falls, so
// nothing overflows. Before the first finite element there is no slope.
void GradLogCumSumExp(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &y = c.outputs[0];
  const Shape& shape = x->meta().shape;
  if (shape.rank() == 0 || shape.numel() == 0) {
    c.Set(0, c.grads[0]);
    return;
  }
  const int64_t dim = AxisAttr(c.attrs, "dim", shape.rank()), n = shape[static_cast<int>(dim)];
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const op::Value size = IsComplex(y->meta().dtype) ? b.Call("real", {y}) : y;
  const op::Value none = Against(b, "eq", size, -kInf);
  const op::Value safe = ReplaceWhere(b, none, 0.0, y);
  // The last place has none behind it: its factor meets nothing.
  const op::Value next =
      b.Call("concat", {Part(b, safe, dim, 1, n), Part(b, safe, dim, n - 1, n)}, {{"dim", dim}});
  const op::Value fall = b.Call("exp", {b.Call("sub", {safe, next})});
  const op::Value level = b.Call("eq", {safe, next});  // infinite ones too
  const op::Value step = ReplaceWhere(b, none, 0.0, ReplaceWhere(b, level, 1.0, fall));
  const op::Value rest = LinearScan(b, Conj(b, step), c.grads[0], dim, true);
  const op::Value share = ReplaceWhere(b, none, 0.0, b.Call("exp", {b.Call("sub", {x, safe})}));
  c.Set(0, Mul(b, Conj(b, share), rest));
}

}  // namespace

OFL_OP(cumsum) {
  Running(op,
          "The sum of the elements up to each one along `dim`; of integers and bool in int64. The\n"
          "elements are converted to `dtype` first, where it is given.")
      .Sbp(CumsumRule)
      .Grad(GradCumsum)
      .Oracle("running(np.cumsum, input, dim, dtype, reverse)")
      .PyBoth("cumsum(input, dim, *, dtype=None)")
      .PyMethod("cumsum_(input, dim, *, dtype=None)")
      .Samples(RunningSamples);
  for (DType dtype : ListOf(kNumbers | kBools)) op.Cpu(dtype, RunRunning<false>, RunningScratch);
}

OFL_OP(cumprod) {
  Running(op,
          "The product of the elements up to each one along `dim`; of integers and bool in int64.\n"
          "The elements are converted to `dtype` first, where it is given.")
      .Sbp(CumprodRule)
      .Grad(GradCumprod)
      .Oracle("running(np.cumprod, input, dim, dtype, reverse)")
      .PyBoth("cumprod(input, dim, *, dtype=None)")
      .PyMethod("cumprod_(input, dim, *, dtype=None)")
      .Samples(RunningSamples);
  for (DType dtype : ListOf(kNumbers | kBools)) op.Cpu(dtype, RunRunning<true>, RunningScratch);
}

OFL_OP(linear_scan) {
  op.Doc("s[k] = term[k] + factor[k] * s[k - 1] along `dim`, from 0 on; reversed from the end on.")
      .In("factor")
      .In("term")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("reverse", op::AttrType::kBool, false)
      .Infer(InferLinearScan)
      .Sbp([](std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
        return ScanRule(in[0], attrs, 2, 1) + "; linear 1";
      })
      .Grad(GradLinearScan)
      .Strided()
      .Unclaimed("*P*->*", "of a tensor without axes, whose factor meets nothing")
      .Oracle("linear_scan(factor, term, dim, reverse)")
      .Py("linear_scan(factor, term, dim, reverse=False)")
      .Samples([] {
        auto samples = ScanSamples(kFloats | kComplexes, -1, 1, 2);
        samples.push_back(ScanSamples(SetOf(DType::kFloat32), -1, 1, 2, {{"reverse", true}})[1]);
        return samples;
      })
      .ErrorSamples({ScanAxisError(2),
                     {{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "one shape and dtype"}});
  ForEachDType<kFloats | kComplexes>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunLinearScan<T>); });
}

OFL_OP(logcumsumexp) {
  op.Doc("The logarithm of the sum of the exponentials up to each element along `dim`.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferLogCumSumExp)
      .Sbp([](std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
        return ScanRule(in[0], attrs, 1, 1);
      })
      .Grad(GradLogCumSumExp)
      .Strided()
      .Promote(op::Promotion::kFloat)
      .Autocast(op::Autocast::kFloat32)
      .Unclaimed("P*->P*", "of a tensor without axes, or of an increasing result")
      .Oracle("np.log(np.cumsum(np.exp(input), axis=dim)) if input.ndim else input")
      .PyBoth("logcumsumexp(input, dim)")
      .Samples([] { return ScanSamples(kFloats | kComplexes); })
      .ErrorSamples({ScanAxisError()});
  ForEachDType<kFloats | kComplexes>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunLogCumSumExp<T>); });
}

}  // namespace ofl::ops
