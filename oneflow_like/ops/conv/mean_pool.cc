// The mean of each window, and its adjoint: of average pooling, adaptive or not.
#include "oneflow_like/ops/conv/pool.h"

namespace ofl::ops {
namespace {

// What a mean divides by.
struct Divisor {
  bool borders = true;  // whether elements of the borders count
  int64_t fixed = 0;
  explicit Divisor(const Attrs& attrs) : borders(attrs.Get<bool>("count_include_pad")) {
    if (const int64_t* given = attrs.Maybe<int64_t>("divisor")) fixed = *given;
  }
  // Of the window o of an axis; those of the axes are multiplied.
  int64_t Of(const AxisWindows& a, int64_t o) const {
    const int64_t begin = a.Begin(o), end = a.End(o);
    if (a.adaptive) return end - begin;
    if (borders) return std::min(end, a.in + a.before) - begin;
    return std::max<int64_t>(std::min(end, a.in) - std::max<int64_t>(begin, 0), 0);
  }
  // Of window o of the last axis; `lines` is what the other axes count.
  template <class T>
  T Share(const Pool& p, int64_t lines, int64_t o) const {
    return static_cast<T>(fixed != 0 ? fixed : lines * Of(p.axes[2], o));
  }
};

// Windows that are out of elements hold 0, whatever they would be divided by.
template <class T>
T Quotient(T sum, T by) {
  return by == T(0) ? T(0) : static_cast<T>(sum / by);
}

// --- loops ------------------------------------------------------------------------------------
//
// Rows of the input that a row of windows sees are added up, element by element, in pieces on the
// stack; of their sum each window takes its own part. The adjoint goes the other way.

constexpr int64_t kPiece = 1024;   // elements of a row that are added up at a time
constexpr int64_t kFewPlaces = 6;  // of a kernel: all windows take one place after the other

template <class T>
OFL_SIMD void AddRun(const T* x, T* sums, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sums[i] += x[i];
}
template <class T>
OFL_SIMD void AddNumber(T number, T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += number;
}
template <class T>
OFL_SIMD void AddFromApart(const T* x, int64_t step, T* sums, int64_t n) {
  if (step == 1) {
    for (int64_t i = 0; i < n; ++i) sums[i] += x[i];
  } else if (step == 2) {
    for (int64_t i = 0; i < n; ++i) sums[i] += x[2 * i];
  } else {
    for (int64_t i = 0; i < n; ++i) sums[i] += x[i * step];
  }
}
template <class T>
OFL_SIMD void AddToApart(const T* from, T* x, int64_t step, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) x[i * step] += from[i];
}
template <class T>
T SumRun(const T* x, int64_t n) {
  constexpr int64_t kLanes = 8;
  T lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t k = 0; k < kLanes; ++k) lanes[k] += x[i + k];
  for (; i < n; ++i) lanes[i % kLanes] += x[i];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// Windows of the last axis over its elements [at, at + n): either one place of the kernel after the
// other, places(the first element seen, the first window that sees one, how many), or one window
// after the other, window(which, its first element there, how many). `first` is a window before
// which all have ended; pieces come in their order.
template <class Places, class Window>
void ForWindows(const AxisWindows& a, int64_t at, int64_t n, int64_t* first, const Places& places,
                const Window& window) {
  if (!a.adaptive && a.kernel <= kFewPlaces) {
    const auto from = [&](int64_t element, int64_t shift) {
      const int64_t past = element - shift;
      return std::clamp<int64_t>(past <= 0 ? 0 : (past + a.stride - 1) / a.stride, 0, a.out);
    };
    for (int64_t k = 0; k < a.kernel; ++k) {
      const int64_t shift = k - a.before, low = from(at, shift), high = from(at + n, shift);
      if (low < high) places(low * a.stride + shift, low, high - low);
    }
    return;
  }
  while (*first < a.out && a.End(*first) <= at) ++*first;
  for (int64_t o = *first; o < a.out && a.Begin(o) < at + n; ++o) {
    const int64_t begin = std::max(a.Begin(o), at), end = std::min(a.End(o), at + n);
    if (begin < end) window(o, begin, end - begin);
  }
}

// The rows of the input that windows (i, j) see: body(where a row begins).
template <class Body>
void ForLines(const Pool& p, int64_t i, int64_t j, const Body& body) {
  ForElements(p.axes[0], i, [&](int64_t a) {
    ForElements(p.axes[1], j, [&](int64_t b) { body((a * p.axes[1].in + b) * p.axes[2].in); });
  });
}

template <class T>
void SumsOfRow(const Pool& p, const T* x, int64_t i, int64_t j, T* row) {
  const AxisWindows& last = p.axes[2];
  T sums[kPiece];
  int64_t first = 0;
  std::fill_n(row, last.out, T{});
  for (int64_t at = 0; at < last.in; at += kPiece) {
    const int64_t n = std::min(kPiece, last.in - at);
    int64_t lines = 0;
    const T* seen = nullptr;
    ForLines(p, i, j, [&](int64_t line) {
      const T* from = x + line + at;
      if (lines++ == 0) {
        seen = from;
        return;
      }
      if (lines == 2) std::copy_n(seen, n, sums);
      seen = sums;
      AddRun(from, sums, n);
    });
    if (lines == 0) return;
    ForWindows(
        last, at, n, &first,
        [&](int64_t element, int64_t o, int64_t count) {
          AddFromApart(seen + (element - at), last.stride, row + o, count);
        },
        [&](int64_t o, int64_t element, int64_t count) {
          row[o] += SumRun(seen + (element - at), count);
        });
  }
}

template <class T>
void Means(op::KernelContext& c, const Pool& p, const Divisor& d, const T* x, T* y) {
  const int64_t width = p.axes[2].out;
  ForPlanes(c, p, [&](int64_t plane) {
    ForRowsOf(p, [&](int64_t i, int64_t j) {
      T* row = y + plane * p.out() + (i * p.axes[1].out + j) * width;
      SumsOfRow(p, x + plane * p.in(), i, j, row);
      const int64_t lines = d.Of(p.axes[0], i) * d.Of(p.axes[1], j);
      for (int64_t o = 0; o < width; ++o) row[o] = Quotient(row[o], d.Share<T>(p, lines, o));
    });
  });
}

template <class T>
void SpreadRow(const Pool& p, const Divisor& d, const T* row, int64_t i, int64_t j, T* x) {
  const AxisWindows& last = p.axes[2];
  const int64_t lines = d.Of(p.axes[0], i) * d.Of(p.axes[1], j);
  const auto share = [&](int64_t o) { return Quotient(row[o], d.Share<T>(p, lines, o)); };
  T sums[kPiece], shares[kPiece];
  int64_t first = 0;
  for (int64_t at = 0; at < last.in; at += kPiece) {
    const int64_t n = std::min(kPiece, last.in - at);
    std::fill_n(sums, n, T{});
    ForWindows(
        last, at, n, &first,
        [&](int64_t element, int64_t o, int64_t count) {
          for (int64_t k = 0; k < count; ++k) shares[k] = share(o + k);
          AddToApart(shares, sums + (element - at), last.stride, count);
        },
        [&](int64_t o, int64_t element, int64_t count) {
          AddNumber(share(o), sums + (element - at), count);
        });
    ForLines(p, i, j, [&](int64_t line) { AddRun(sums, x + line + at, n); });
  }
}

template <class T>
void SpreadMeans(op::KernelContext& c, const Pool& p, const Divisor& d, const T* y, T* x) {
  ForPlanes(c, p, [&](int64_t plane) {
    T* to = x + plane * p.in();
    std::fill_n(to, p.in(), T{});
    ForRowsOf(p, [&](int64_t i, int64_t j) {
      const int64_t row = plane * p.out() + (i * p.axes[1].out + j) * p.axes[2].out;
      SpreadRow(p, d, y + row, i, j, to);
    });
  });
}

// --- operators -----------------------------------------------------------------------------------

Status CheckMean(op::InferContext& c, const Shape& x, const Shape& y) {
  OFL_TRY(CheckPool(c, x));
  const int64_t* divisor = c.maybe<int64_t>("divisor");
  // Quotients of integers would not be linear.
  const bool whole = c.input(0).dtype == DType::kInt64;
  OFL_ENSURE(whole ? divisor != nullptr && *divisor == 1 : divisor == nullptr || *divisor != 0,
             Code::kInvalidArgument)
      << "got " << (divisor == nullptr ? "no divisor" : "divisor=" + std::to_string(*divisor))
      << "; expected " << (whole ? "1 for integers" : "another number than 0");
  const Pool p = PoolOf(x, y, c.attrs());
  for (const AxisWindows& a : p.axes) {
    OFL_ENSURE(a.adaptive || a.out == 0 || (a.before < a.kernel && a.Begin(a.out - 1) < a.in),
               Code::kInvalidArgument)
        << "a window has no element: got " << a.out << " windows of " << a.kernel << ", "
        << a.stride << " apart, over " << a.in << " elements and a border of " << a.before
        << "; expected windows that reach into it";
  }
  return Status::Ok();
}
Status InferMean(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | SetOf(DType::kInt64)));
  const Shape& x = c.input(0).shape;
  OFL_ENSURE(x.rank() >= SpatialOf(c.attrs()), Code::kInvalidArgument)
      << "got input: " << x << "; expected at least " << SpatialOf(c.attrs()) << " axes";
  const Shape y = Pooled(x, c.attr<Ints>("size"));
  OFL_TRY(CheckMean(c, x, y));
  c.AddOutput({c.input(0).dtype, y});
  return Status::Ok();
}
// `size` are the windows, as in the forward operator; `shape` the spatial sizes of its input.
Status InferMeanGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | SetOf(DType::kInt64)));
  const Shape& y = c.input(0).shape;
  const Ints &size = c.attr<Ints>("size"), &shape = c.attr<Ints>("shape");
  OFL_ENSURE(shape.size() == size.size() && y.rank() >= std::ssize(size) && y == Pooled(y, size),
             Code::kInvalidArgument)
      << "got " << y << "; expected the windows' numbers as its last axes";
  OFL_TRY(CheckSizes(shape, SpatialOf(c.attrs()), "shape", 1));
  const Shape x = Pooled(y, shape);
  OFL_TRY(CheckMean(c, x, y));
  c.AddOutput({c.input(0).dtype, x});
  return Status::Ok();
}

template <bool kAdjoint>
Status RunMean(op::KernelContext& c) {
  const Shape &in = c.inputs[0].meta.shape, &out = c.outputs[0].meta.shape;
  const Pool p = kAdjoint ? PoolOf(out, in, *c.attrs) : PoolOf(in, out, *c.attrs);
  MutableBytes scratch = c.workspace;
  OFL_ASSIGN(const op::TensorView from, WideCopy(c, c.inputs[0], scratch));
  const op::TensorView to = WideRoom(c.outputs[0], scratch);
  if (to.numel() == 0) return Status::Ok();
  WithWide(from.meta.dtype, [&]<class T>(T) {
    if constexpr (kAdjoint) {
      SpreadMeans(c, p, Divisor(*c.attrs), from.as<T>(), to.as<T>());
    } else {
      Means(c, p, Divisor(*c.attrs), from.as<T>(), to.as<T>());
    }
  });
  return StoreWide(c, to, c.outputs[0]);
}

std::string MeanRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return Lead(in[0], attrs) + "->" + Lead(in[0], attrs) + "; linear 0; never partial max min";
}

void GradMean(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  const Shape& x = c.inputs[0]->meta().shape;
  attrs.Set("shape", Ints(x.end() - SpatialOf(attrs), x.end()));
  c.Set(0, c.b.Call("window_mean_grad", {c.grads[0]}, attrs));
}
void GradMeanGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs;
  for (const auto& [name, value] : c.attrs)
    if (name != "shape") attrs.Set(name, value);
  c.Set(0, c.b.Call("window_mean", {c.grads[0]}, attrs));
}

op::Sample Of(Shape x, Ints kernel, Ints stride, Ints padding, Ints size,
              DType dtype = DType::kFloat32) {
  return {{{dtype, x}},
          {{"kernel", kernel}, {"stride", stride}, {"padding", padding}, {"size", size}}};
}
op::Sample Adaptive(Shape x, Ints size) {
  return {{{DType::kFloat32, x}}, {{"size", size}, {"adaptive", true}}};
}
std::vector<op::Sample> MeanSamples() {
  std::vector<op::Sample> samples = {Of({5, 3, 7}, {3}, {2}, {1}, {4}),
                                     Of({2, 3, 5, 6}, {2, 3}, {1, 2}, {1, 0}, {6, 3}),
                                     Of({2, 5, 4, 6}, {2, 2, 3}, {2, 1, 3}, {1, 0, 1}, {3, 3, 2}),
                                     Of({7, 5}, {2}, {2}, {0}, {3}),
                                     Of({0, 3, 5}, {2}, {2}, {0}, {2}),
                                     Adaptive({5, 3, 7}, {3}),
                                     Adaptive({2, 3, 5, 7}, {3, 2}),
                                     Adaptive({2, 3, 4, 5}, {2, 3, 4})};
  samples.push_back(samples[1]);
  samples.back().attrs.Set("count_include_pad", false);
  samples.push_back(samples[1]);
  samples.back().attrs.Set("divisor", int64_t{3});
  for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16, DType::kInt64}) {
    samples.push_back(Of({2, 3, 5, 5}, {3, 3}, {2, 2}, {1, 1}, {3, 3}, dtype));
    if (dtype == DType::kInt64) samples.back().attrs.Set("divisor", int64_t{1});
  }
  return samples;
}
std::vector<op::Sample> MeanGradSamples() {
  std::vector<op::Sample> samples = MeanSamples();
  for (op::Sample& s : samples) {
    Shape& x = s.inputs[0].shape;
    s.attrs.Set("shape", Ints(x.end() - SpatialOf(s.attrs), x.end()));
    x = Pooled(x, s.attrs.Get<Ints>("size"));
  }
  return samples;
}

op::OpDefBuilder& Mean(op::OpDefBuilder& op, const char* doc) {
  return WithWindows(op.Doc(doc))
      .Out("output")
      .Attr("count_include_pad", op::AttrType::kBool, true)
      .OptionalAttr("divisor", op::AttrType::kInt)
      .Sbp(MeanRule);
}

}  // namespace

OFL_OP(window_mean) {
  op.In("input");
  Mean(op,
       "The sum of each window of the last axes, one for each number of `size`, by the number of "
       "its\nelements, those of the borders counted or not, or by `divisor`.")
      .Infer(InferMean)
      .Grad(GradMean)
      .Oracle(
          "window_mean(input, kernel, stride, padding, size, adaptive, count_include_pad, "
          "divisor)")
      .Py("_window_mean(input, *, kernel=(), stride=(), padding=(), size, adaptive=False, "
          "count_include_pad=True, divisor=None)")
      .Samples(MeanSamples)
      .ErrorSamples(
          {{{{DType::kComplex64, {2, 4}}},
            {{"size", Ints{2}}, {"adaptive", true}},
            Code::kTypeMismatch,
            "input"},
           {{{DType::kFloat32, {2, 4}}},
            {{"kernel", Ints{2}}, {"stride", Ints{2}}, {"padding", Ints{0}}, {"size", Ints{5}}},
            Code::kInvalidArgument,
            "windows that reach into it"}});
  for (DType dtype : ListOf(kFloats | SetOf(DType::kInt64)))
    op.Cpu(dtype, RunMean<false>, WideScratch);
}

OFL_OP(window_mean_grad) {
  op.In("grad");
  Mean(op, "The adjoint of window_mean over an input of spatial sizes `shape`.")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferMeanGrad)
      .Grad(GradMeanGrad)
      .Oracle(
          "window_mean_grad(grad, shape, kernel, stride, padding, size, adaptive, "
          "count_include_pad, divisor)")
      .Py("_window_mean_grad(grad, *, shape, kernel=(), stride=(), padding=(), size, "
          "adaptive=False, count_include_pad=True, divisor=None)")
      .Samples(MeanGradSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 4}}},
                      {{"size", Ints{3}}, {"adaptive", true}, {"shape", Ints{5}}},
                      Code::kInvalidArgument,
                      "windows' numbers"}});
  for (DType dtype : ListOf(kFloats | SetOf(DType::kInt64)))
    op.Cpu(dtype, RunMean<true>, WideScratch);
}

}  // namespace ofl::ops
