// The largest element of each window, and where it is: of max pooling, adaptive and fractional.
#include <limits>

#include "oneflow_like/ops/conv/pool.h"

namespace ofl::ops {
namespace {

// --- the largest element ------------------------------------------------------------------------

template <class T>
constexpr T Lowest() {
  return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                              : std::numeric_limits<T>::lowest();
}
template <class T>
OFL_INLINE bool Beyond(T x, T most) {
  return x > most || x != x;  // of equal ones the first stays, of NaNs the last
}

// Windows of a row, each with its element at one place of the kernel. Elements are kIn apart where
// that is known.
template <class T, class Index, int64_t kStep>
OFL_INLINE void TakeLarger(const T* x, int64_t step, Index at, T* most, Index* place, int64_t n) {
  const int64_t apart = kStep > 0 ? kStep : step;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T value = x[i * apart];
    const bool beyond = Beyond(value, most[i]);
    most[i] = beyond ? value : most[i];
    place[i] = beyond ? static_cast<Index>(at + static_cast<Index>(i * apart)) : place[i];
  }
}
template <class T, class Index>
OFL_SIMD void TakeLarger(const T* x, int64_t step, Index at, T* most, Index* place, int64_t n) {
  switch (step) {
    case 1: return TakeLarger<T, Index, 1>(x, step, at, most, place, n);
    case 2: return TakeLarger<T, Index, 2>(x, step, at, most, place, n);
    default: return TakeLarger<T, Index, 0>(x, step, at, most, place, n);
  }
}

// The same without places.
template <class T, int64_t kStep>
OFL_INLINE void TakeLarger(const T* x, int64_t step, T* most, int64_t n) {
  const int64_t apart = kStep > 0 ? kStep : step;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T value = x[i * apart];
    most[i] = Beyond(value, most[i]) ? value : most[i];
  }
}
template <class T>
OFL_SIMD void TakeLarger(const T* x, int64_t step, T* most, int64_t n) {
  switch (step) {
    case 1: return TakeLarger<T, 1>(x, step, most, n);
    case 2: return TakeLarger<T, 2>(x, step, most, n);
    default: return TakeLarger<T, 0>(x, step, most, n);
  }
}

constexpr int64_t kPieceOfRow = 256;  // windows whose largest elements are kept on the stack

template <class T>
void ValuesOfRow(const Pool& p, const T* x, int64_t i, int64_t j, T* y) {
  const AxisWindows& last = p.axes[2];
  const auto seen = PlacesSeen(last);
  const int64_t line = last.in, plane = p.axes[1].in * line;
  for (int64_t first = 0; first < last.out; first += kPieceOfRow) {
    const int64_t end = std::min(first + kPieceOfRow, last.out);
    std::fill(y + first, y + end, Lowest<T>());
    ForElements(p.axes[0], i, [&](int64_t a) {
      ForElements(p.axes[1], j, [&](int64_t b) {
        for (int64_t k = seen.first; k < seen.second; ++k) {
          const int64_t shift = k * last.dilation - last.before;
          auto [low, high] = Seeing(last, shift);
          low = std::max(low, first), high = std::min(high, end);
          if (low >= high) continue;
          TakeLarger(x + a * plane + b * line + low * last.stride + shift, last.stride, y + low,
                     high - low);
        }
      });
    });
  }
}

// Places are counted in 32 bits where planes allow, beside floats of the same width.
template <class T, class Index>
void LargestOfRow(const Pool& p, const T* x, int64_t i, int64_t j, T* y, int64_t* places) {
  const AxisWindows& last = p.axes[2];
  const auto seen = PlacesSeen(last);
  const int64_t line = last.in, plane = p.axes[1].in * line;
  Index at[kPieceOfRow];
  for (int64_t first = 0; first < last.out; first += kPieceOfRow) {
    const int64_t n = std::min(kPieceOfRow, last.out - first);
    // Where nothing is larger than -inf: the first element of the window.
    int64_t corner = -1;
    std::fill_n(at, n, Index{0});
    std::fill_n(y + first, n, Lowest<T>());
    ForElements(p.axes[0], i, [&](int64_t a) {
      ForElements(p.axes[1], j, [&](int64_t b) {
        const int64_t row = a * plane + b * line;
        if (corner < 0) {
          corner = row;
          for (int64_t o = 0; o < n; ++o) {
            int64_t begin = last.Begin(first + o);
            if (begin < 0) begin += (-begin + last.dilation - 1) / last.dilation * last.dilation;
            at[o] = static_cast<Index>(row + std::min(begin, last.in - 1));
          }
        }
        if (last.adaptive) {
          for (int64_t o = 0; o < n; ++o) {
            const int64_t begin = last.Begin(first + o), end = last.End(first + o);
            for (int64_t k = begin; k < end; ++k) {
              if (!Beyond(x[row + k], y[first + o])) continue;
              y[first + o] = x[row + k];
              at[o] = static_cast<Index>(row + k);
            }
          }
          return;
        }
        for (int64_t k = seen.first; k < seen.second; ++k) {
          const int64_t shift = k * last.dilation - last.before;
          auto [low, high] = Seeing(last, shift);
          low = std::max(low, first), high = std::min(high, first + n);
          if (low >= high) continue;
          const int64_t from = row + low * last.stride + shift;
          TakeLarger<T, Index>(x + from, last.stride, static_cast<Index>(from), y + low,
                               at + (low - first), high - low);
        }
      });
    });
    for (int64_t o = 0; o < n; ++o) places[first + o] = at[o];
  }
}

template <class T>
void Largest(op::KernelContext& c, const Pool& p, const T* x, T* y, int64_t* places) {
  const bool small = p.in() < (int64_t{1} << 31);
  ForPlanes(c, p, [&](int64_t plane) {
    const T* from = x + plane * p.in();
    ForRowsOf(p, [&](int64_t i, int64_t j) {
      const int64_t row = plane * p.out() + (i * p.axes[1].out + j) * p.axes[2].out;
      if (small) {
        LargestOfRow<T, int32_t>(p, from, i, j, y + row, places + row);
      } else {
        LargestOfRow<T, int64_t>(p, from, i, j, y + row, places + row);
      }
    });
  });
}

template <class T>
void Values(op::KernelContext& c, const Pool& p, const T* x, T* y) {
  ForPlanes(c, p, [&](int64_t plane) {
    ForRowsOf(p, [&](int64_t i, int64_t j) {
      const int64_t row = plane * p.out() + (i * p.axes[1].out + j) * p.axes[2].out;
      ValuesOfRow(p, x + plane * p.in(), i, j, y + row);
    });
  });
}

Status InferMax(op::InferContext& c) {
  const TensorMeta& x = c.input(0);
  OFL_TRY(RequireIn(c, 0, kReals));
  OFL_TRY(CheckPool(c, x.shape));
  const Shape out = Pooled(x.shape, c.attr<Ints>("size"));
  const Pool p = PoolOf(x.shape, out, c.attrs());
  for (const AxisWindows& a : p.axes) {
    OFL_ENSURE(a.adaptive || a.out == 0 ||
                   (a.before < Span(a.kernel, a.dilation) && a.Begin(a.out - 1) < a.in),
               Code::kInvalidArgument)
        << "a window has no element: got " << a.out << " windows of " << a.kernel << ", "
        << a.stride << " apart, over " << a.in << " elements and a border of " << a.before
        << "; expected windows that reach into it";
  }
  c.AddOutput({x.dtype, out});
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

Status RunMax(op::KernelContext& c) {
  return RunWindowMax(c, PoolOf(c.inputs[0].meta.shape, c.outputs[0].meta.shape, *c.attrs));
}

std::string MaxRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const std::string axes = Lead(in[0], attrs);
  return axes + "->" + axes + "," + axes + "; never partial";
}

// Planes as rows.
op::Value Flat(op::Builder& b, const op::Value& x, int spatial) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  Ints flat(shape.begin(), shape.end() - spatial);
  flat.push_back(ProductOf(shape, shape.rank() - spatial, shape.rank()));
  return b.Call("reshape", {x}, {{"shape", flat}});
}

void GradMax(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int spatial = SpatialOf(c.attrs);
  const Shape& shape = c.inputs[0]->meta().shape;
  const int64_t plane = ProductOf(shape, shape.rank() - spatial, shape.rank());
  const op::Value rows =
      c.b.Call("gather_grad", {Flat(c.b, c.grads[0], spatial), Flat(c.b, c.outputs[1], spatial)},
               {{"dim", int64_t{-1}}, {"size", plane}});
  c.Set(0, c.b.Call("reshape", {rows}, {{"shape", DimsOf(shape)}}));
}

// --- where a sample says where windows begin ----------------------------------------------------

// As torch has it: in the dtype of the sample. Samples that lie elsewhere than they should begin at
// one of the ends.
template <class T>
int64_t FractionalBegin(T sample, int64_t o, int64_t in, int64_t out, int64_t kernel) {
  if (o == out - 1) return in - kernel;
  if (!(sample >= T(0))) sample = T(0);
  sample = std::min(sample, T(1));
  const T alpha = static_cast<T>(in - kernel) / static_cast<T>(out - 1);
  const int64_t begin = static_cast<int64_t>((static_cast<T>(o) + sample) * alpha) -
                        static_cast<int64_t>(sample * alpha);
  return std::clamp<int64_t>(begin, 0, in - kernel);
}

Status InferFractional(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and samples"));
  const Shape& x = c.input(0).shape;
  const int spatial = SpatialOf(c.attrs());
  const Ints& size = c.attr<Ints>("size");
  OFL_ENSURE(spatial >= 2 && spatial <= 3 && x.rank() == spatial + 2, Code::kInvalidArgument)
      << "got input: " << x << "; expected (images, channels, two or three spatial axes)";
  OFL_ENSURE(c.input(1).shape == (Shape{x[0], x[1], spatial}), Code::kInvalidArgument)
      << "got samples: " << c.input(1).shape << "; expected " << (Shape{x[0], x[1], spatial});
  OFL_TRY(CheckSizes(size, spatial, "size", 1));
  OFL_ASSIGN(const Ints kernel, SizesOf(c.attr<Ints>("kernel"), spatial, "kernel", 1));
  for (int i = 0; i < spatial; ++i) {
    // torch wants one element more of three axes.
    OFL_ENSURE(size[i] + kernel[i] - 1 <= x[2 + i] - (spatial == 3 ? 1 : 0), Code::kInvalidArgument)
        << "spatial axis " << i << " is too short: got " << x[2 + i] << " elements for " << size[i]
        << " windows of " << kernel[i] << "; expected at least "
        << size[i] + kernel[i] - (spatial == 3 ? 0 : 1);
  }
  const Shape out = Pooled(x, size);
  c.AddOutput({c.input(0).dtype, out});
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

template <class T>
void LargestAt(op::KernelContext& c, const Pool& p, const Ints& kernel, int spatial, const T* x,
               const T* samples, T* y, int64_t* places) {
  const auto begin = [&](const T* sample, int axis, int64_t o) -> int64_t {
    const int i = axis - (3 - spatial);
    if (i < 0) return 0;
    const AxisWindows& a = p.axes[static_cast<size_t>(axis)];
    // Of two axes the samples stand in the other order.
    const T s = sample[spatial == 2 ? 1 - i : i];
    return FractionalBegin(s, o, a.in, a.out, kernel[static_cast<size_t>(i)]);
  };
  const auto length = [&](int axis) {
    return axis < 3 - spatial ? 1 : kernel[static_cast<size_t>(axis - (3 - spatial))];
  };
  Parallel(c.stream, p.planes, 1, [&](int64_t first, int64_t last) {
    for (int64_t o = first * p.out(); o < last * p.out(); ++o) {
      const int64_t plane = o / p.out();
      const T* from = x + plane * p.in();
      const T* sample = samples + plane * spatial;
      const int64_t z = begin(sample, 0, o / (p.axes[1].out * p.axes[2].out) % p.axes[0].out);
      const int64_t r = begin(sample, 1, o / p.axes[2].out % p.axes[1].out);
      const int64_t s = begin(sample, 2, o % p.axes[2].out);
      int64_t at = (z * p.axes[1].in + r) * p.axes[2].in + s;
      T most = Lowest<T>();
      for (int64_t i = z; i < z + length(0); ++i)
        for (int64_t j = r; j < r + length(1); ++j)
          for (int64_t k = s; k < s + length(2); ++k) {
            const int64_t place = (i * p.axes[1].in + j) * p.axes[2].in + k;
            if (!Beyond(from[place], most)) continue;
            most = from[place];
            at = place;
          }
      y[o] = most;
      places[o] = at;
    }
  });
}

Status RunFractional(op::KernelContext& c) {
  const Shape &in = c.inputs[0].meta.shape, &out = c.outputs[0].meta.shape;
  const int spatial = SpatialOf(*c.attrs);
  Pool p;
  p.planes = in[0] * in[1];
  for (int i = 0; i < spatial; ++i) {
    p.axes[static_cast<size_t>(3 - spatial + i)].in = in[2 + i];
    p.axes[static_cast<size_t>(3 - spatial + i)].out = out[2 + i];
  }
  const Ints kernel = SizesOf(c.attr<Ints>("kernel"), spatial, "kernel", 1).value();
  MutableBytes scratch = c.workspace;
  OFL_ASSIGN(const op::TensorView x, WideCopy(c, c.inputs[0], scratch));
  OFL_ASSIGN(const op::TensorView samples, WideCopy(c, c.inputs[1], scratch));
  const op::TensorView y = WideRoom(c.outputs[0], scratch);
  if (y.numel() == 0) return Status::Ok();
  WithWide(x.meta.dtype, [&]<class T>(T) {
    LargestAt(c, p, kernel, spatial, x.as<T>(), samples.as<T>(), y.as<T>(),
              c.outputs[1].as<int64_t>());
  });
  return StoreWide(c, y, c.outputs[0]);
}
int64_t FractionalScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                          const Attrs&, int) {
  return WideBytes(in[0]) + WideBytes(in[1]) + WideBytes(out[0]);
}
std::string FractionalRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const std::string axes = Lead(in[0], attrs);
  return axes + ",(l0 l1 !)->" + axes + "," + axes + "; never partial";
}

// --- samples ------------------------------------------------------------------------------------

op::Sample Of(Shape x, Ints kernel, Ints stride, Ints padding, Ints dilation, Ints size,
              DType dtype = DType::kFloat32) {
  op::Sample sample{{{dtype, x}},
                    {{"kernel", kernel},
                     {"stride", stride},
                     {"padding", padding},
                     {"dilation", dilation},
                     {"size", size}}};
  sample.high = 20;  // whole numbers without many ties
  sample.low = -20;
  return sample;
}
op::Sample Adaptive(Shape x, Ints size, DType dtype = DType::kFloat32) {
  op::Sample sample = Of(x, {}, {}, {}, {}, size, dtype);
  sample.attrs = {{"size", size}, {"adaptive", true}};
  return sample;
}
std::vector<op::Sample> MaxSamples() {
  std::vector<op::Sample> samples = {
      Of({5, 3, 7}, {3}, {2}, {1}, {1}, {4}),
      Of({2, 3, 5, 6}, {2, 3}, {1, 2}, {1, 0}, {2, 1}, {5, 2}),
      Of({2, 5, 4, 6}, {2, 2, 3}, {2, 1, 3}, {1, 0, 1}, {1, 1, 1}, {3, 3, 2}),
      Of({7, 5}, {2}, {2}, {0}, {1}, {3}),
      Of({0, 3, 5}, {2}, {2}, {0}, {1}, {2}),
      Adaptive({5, 3, 7}, {3}),
      Adaptive({2, 3, 5, 7}, {3, 2}),
      Adaptive({2, 3, 4, 5}, {2, 3, 4})};
  for (DType dtype : ListOf(kReals)) {
    if (dtype == DType::kFloat32) continue;
    samples.push_back(Of({2, 3, 5, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {3, 3}, dtype));
    if (dtype == DType::kUInt8) samples.back().low = 0;
  }
  return samples;
}
std::vector<op::Sample> FractionalSamples() {
  const auto of = [](Shape x, Ints kernel, Ints size, DType dtype) {
    op::Sample s{{{dtype, x}, {dtype, {x[0], x[1], std::ssize(size)}}},
                 {{"kernel", kernel}, {"size", size}}};
    s.low = 0, s.high = 1;
    return s;
  };
  std::vector<op::Sample> samples = {of({5, 3, 7, 6}, {2, 3}, {3, 2}, DType::kFloat32),
                                     of({2, 3, 5, 6, 4}, {2, 2, 2}, {3, 1, 2}, DType::kFloat32)};
  samples.push_back(of({2, 3, 7, 6}, {2, 2}, {3, 4}, DType::kFloat64));
  return samples;
}

}  // namespace

Status RunWindowMax(op::KernelContext& c, const Pool& p) {
  MutableBytes scratch = c.workspace;
  OFL_ASSIGN(const op::TensorView x, WideCopy(c, c.inputs[0], scratch));
  const op::TensorView y = WideRoom(c.outputs[0], scratch);
  if (y.numel() == 0) return Status::Ok();
  WithWide(x.meta.dtype, [&]<class T>(T) {
    if (c.outputs.size() > 1) {
      Largest(c, p, x.as<T>(), y.as<T>(), c.outputs[1].as<int64_t>());
    } else {
      Values(c, p, x.as<T>(), y.as<T>());
    }
  });
  return StoreWide(c, y, c.outputs[0]);
}

OFL_OP(window_max) {
  WithWindows(op.Doc("The largest element of each window of the last axes, one for each number of "
                     "`size`, and its place\nin the plane: of equal ones the first, of NaNs the "
                     "last."))
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("dilation", op::AttrType::kInts, Ints{})
      .Infer(InferMax)
      .Sbp(MaxRule)
      .Grad(GradMax)
      .Oracle("window_max(input, kernel, stride, padding, dilation, size, adaptive)")
      .Py("_window_max(input, *, kernel=(), stride=(), padding=(), dilation=(), size, "
          "adaptive=False)")
      .Samples(MaxSamples)
      .ErrorSamples({{{{DType::kComplex64, {2, 4}}},
                      {{"size", Ints{2}}, {"adaptive", true}},
                      Code::kTypeMismatch,
                      "input"},
                     {{{DType::kFloat32, {2, 4}}},
                      {{"kernel", Ints{2}},
                       {"stride", Ints{2}},
                       {"padding", Ints{0}},
                       {"dilation", Ints{1}},
                       {"size", Ints{5}}},
                      Code::kInvalidArgument,
                      "windows that reach into it"}});
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunMax, WideScratch);
}

OFL_OP(fractional_max) {
  op.Doc(
        "The largest element of each window, and its place in the plane; windows begin where the "
        "samples in\n[0, 1) of a plane say.")
      .In("input")
      .In("samples")
      .Out("values")
      .Out("indices")
      .Attr("kernel", op::AttrType::kInts)
      .Attr("size", op::AttrType::kInts)
      .Infer(InferFractional)
      .Sbp(FractionalRule)
      .Grad(GradMax)
      .Oracle("fractional_max(input, samples, kernel, size)")
      .Py("_fractional_max(input, samples, *, kernel, size)")
      .Samples(FractionalSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4, 4}}, {DType::kFloat32, {2, 3, 2}}},
                      {{"kernel", Ints{2, 2}}, {"size", Ints{4, 3}}},
                      Code::kInvalidArgument,
                      "is too short"}});
  for (DType dtype : ListOf(kFloats)) op.Cpu(dtype, RunFractional, FractionalScratch);
}

}  // namespace ofl::ops
