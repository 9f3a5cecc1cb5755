// Resampling along one axis, and its adjoint: each element of the result is a sum of a few elements
// of a row, with weights that follow from sizes alone. interpolate.cc composes it axis by axis.
#include <algorithm>
#include <cmath>
#include <utility>

#include "oneflow_like/ops/conv/windows.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

// --- weights -------------------------------------------------------------------------------------

enum class Mode { kNearest, kNearestExact, kLinear, kCubic };

// As torch computes them, in the type that values are computed in.
struct Resampling {
  Mode mode = Mode::kNearest;
  bool align_corners = false, antialias = false;
  const double* factor = nullptr;  // of the sizes, where it was given and they only follow from it
  int64_t in = 1, out = 1;

  static Resampling Of(const Attrs& attrs, int64_t in, int64_t out) {
    const std::string& name = attrs.Get<std::string>("mode");
    return {.mode = name == "nearest"         ? Mode::kNearest
                    : name == "nearest-exact" ? Mode::kNearestExact
                    : name == "linear"        ? Mode::kLinear
                                              : Mode::kCubic,
            .align_corners = attrs.Get<bool>("align_corners"),
            .antialias = attrs.Get<bool>("antialias"),
            .factor = attrs.Maybe<double>("factor"),
            .in = in,
            .out = out};
  }
  template <class T>
  T Step() const {
    if (align_corners) return out > 1 ? static_cast<T>(in - 1) / static_cast<T>(out - 1) : T(0);
    if (factor != nullptr && *factor > 0) return static_cast<T>(1.0 / *factor);
    return static_cast<T>(in) / static_cast<T>(out);
  }
  template <class T>
  T Support() const {
    const T half = mode == Mode::kCubic ? T(2) : T(1), step = Step<T>();
    return step >= T(1) ? half * step : half;
  }
  bool nearest() const { return mode == Mode::kNearest || mode == Mode::kNearestExact; }
  // The most elements that one of the result is made of.
  int64_t taps() const {
    if (nearest()) return 1;
    if (!antialias) return mode == Mode::kLinear ? 2 : 4;
    const double support = std::ceil(Support<double>()) + 1;  // and one for rounding in float
    return support > 1e9 ? in : std::min<int64_t>(static_cast<int64_t>(support) * 2 + 1, in);
  }
};

// taps() for each element of the result: where its elements stand, and what they are multiplied by.
template <class T>
struct Taps {
  int64_t* places;
  T* weights;
};

template <class T>
T CubicNear(T x, T a) {
  return ((a + 2) * x - (a + 3)) * x * x + 1;
}
template <class T>
T CubicFar(T x, T a) {
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
template <class T>
T Filter(Mode mode, T x) {
  x = std::abs(x);
  if (mode == Mode::kLinear) return x < T(1) ? T(1) - x : T(0);
  constexpr T kSharpness = T(-0.5);
  return x < T(1) ? CubicNear(x, kSharpness) : x < T(2) ? CubicFar(x, kSharpness) : T(0);
}

template <class T>
void FillSmoothed(const Resampling& r, int64_t o, int64_t* places, T* weights) {
  const int64_t taps = r.taps();
  const T step = r.Step<T>(), support = r.Support<T>();
  const T center = step * (static_cast<T>(o) + T(0.5));
  const T narrow = step >= T(1) ? T(1) / step : T(1);
  const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - support + T(0.5)), 0);
  const int64_t end = std::min<int64_t>(static_cast<int64_t>(center + support + T(0.5)), r.in);
  const int64_t count = std::clamp<int64_t>(end - begin, 0, taps);
  T total = 0;
  for (int64_t k = 0; k < taps; ++k) {
    places[k] = std::min(begin + std::min(k, std::max<int64_t>(count - 1, 0)), r.in - 1);
    weights[k] =
        k < count ? Filter(r.mode, (static_cast<T>(k + begin) - center + T(0.5)) * narrow) : T(0);
    total += weights[k];
  }
  for (int64_t k = 0; k < taps && total != T(0); ++k) weights[k] /= total;
}

template <class T>
void FillTaps(const Resampling& r, const Taps<T>& taps) {
  const int64_t count = r.taps(), last = r.in - 1;
  // Nearest places are computed in float, whatever the dtype.
  const float coarse = r.Step<float>();
  const T step = r.Step<T>();
  for (int64_t o = 0; o < r.out; ++o) {
    int64_t* const places = taps.places + o * count;
    T* const weights = taps.weights + o * count;
    if (r.nearest()) {
      const float at = static_cast<float>(o) + (r.mode == Mode::kNearestExact ? 0.5f : 0.0f);
      places[0] = std::min<int64_t>(static_cast<int64_t>(std::floor(at * coarse)), last);
      weights[0] = T(1);
      continue;
    }
    if (r.antialias) {
      FillSmoothed(r, o, places, weights);
      continue;
    }
    T at =
        r.align_corners ? step * static_cast<T>(o) : step * (static_cast<T>(o) + T(0.5)) - T(0.5);
    if (r.mode == Mode::kLinear) at = std::max(at, T(0));
    const int64_t place = std::min<int64_t>(static_cast<int64_t>(std::floor(at)), last);
    const T rest = std::clamp(at - static_cast<T>(place), T(0), T(1));
    if (r.mode == Mode::kLinear) {
      places[0] = place;
      places[1] = std::min(place + 1, last);
      weights[0] = T(1) - rest;
      weights[1] = rest;
      continue;
    }
    constexpr T kSharpness = T(-0.75);
    for (int64_t k = 0; k < 4; ++k) places[k] = std::clamp<int64_t>(place - 1 + k, 0, last);
    weights[0] = CubicFar(rest + T(1), kSharpness);
    weights[1] = CubicNear(rest, kSharpness);
    weights[2] = CubicNear(T(1) - rest, kSharpness);
    weights[3] = CubicFar(T(2) - rest, kSharpness);
  }
}

// Weights of bytes: whole multiples of a power of two, below 2^15, as torch keeps them, where an
// element at the border has one weight.
template <class T>
void QuantizeTaps(const Resampling& r, const Taps<T>& taps) {
  const int64_t count = r.out * r.taps();
  T largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (i % r.taps() > 0 && taps.places[i] == taps.places[i - 1])
      taps.weights[i] += std::exchange(taps.weights[i - 1], T(0));
    largest = std::max(largest, taps.weights[i]);
  }
  int bits = 0;
  while (bits < 22 && T(0.5) + largest * std::ldexp(T(1), bits + 1) < T(1 << 15)) ++bits;
  const T unit = std::ldexp(T(1), bits);
  for (int64_t i = 0; i < count; ++i) {
    const T scaled = taps.weights[i] * unit;
    taps.weights[i] = std::trunc(scaled + (scaled < T(0) ? T(-0.5) : T(0.5))) / unit;
  }
}

// --- loops ---------------------------------------------------------------------------------------

template <class T>
OFL_SIMD void SumRows(const T* x, int64_t inner, const int64_t* places, const T* weights,
                      int64_t count, T* y) {
  for (int64_t i = 0; i < inner; ++i) y[i] = weights[0] * x[places[0] * inner + i];
  for (int64_t k = 1; k < count; ++k) {
    const T* row = x + places[k] * inner;
    for (int64_t i = 0; i < inner; ++i) y[i] += weights[k] * row[i];
  }
}
template <class T>
OFL_SIMD void AddRow(const T* y, T weight, int64_t inner, T* x) {
  for (int64_t i = 0; i < inner; ++i) x[i] += weight * y[i];
}
// A row whose neighbours are the elements themselves, and its adjoint.
template <class T>
void AddLine(const T* y, const Taps<T>& taps, int64_t count, int64_t out, T* x) {
  const int64_t* place = taps.places;
  const T* weight = taps.weights;
  if (count == 1) {
    for (int64_t o = 0; o < out; ++o) x[place[o]] += y[o];
    return;
  }
  for (int64_t o = 0; o < out; ++o)
    for (int64_t k = 0; k < count; ++k) x[*place++] += *weight++ * y[o];
}
template <class T>
OFL_SIMD void SumLine(const T* x, const Taps<T>& taps, int64_t count, int64_t out, T* y) {
  if (count == 1) {
    for (int64_t o = 0; o < out; ++o) y[o] = x[taps.places[o]];
  } else if (count == 2) {
    for (int64_t o = 0; o < out; ++o) {
      y[o] = taps.weights[2 * o] * x[taps.places[2 * o]] +
             taps.weights[2 * o + 1] * x[taps.places[2 * o + 1]];
    }
  } else {
    for (int64_t o = 0; o < out; ++o) {
      T sum = 0;
      for (int64_t k = 0; k < count; ++k)
        sum += taps.weights[o * count + k] * x[taps.places[o * count + k]];
      y[o] = sum;
    }
  }
}

template <class T>
void Forward(op::KernelContext& c, const Resampling& r, const AxisView& v, const Taps<T>& taps,
             const T* x, T* y) {
  const int64_t count = r.taps();
  Parallel(c.stream, v.outer, RowGrain(r.out * v.inner * count), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* from = x + n * r.in * v.inner;
      T* to = y + n * r.out * v.inner;
      if (v.inner == 1) {
        SumLine(from, taps, count, r.out, to);
        continue;
      }
      for (int64_t o = 0; o < r.out; ++o) {
        SumRows(from, v.inner, taps.places + o * count, taps.weights + o * count, count,
                to + o * v.inner);
      }
    }
  });
}
template <class T>
void Adjoint(op::KernelContext& c, const Resampling& r, const AxisView& v, const Taps<T>& taps,
             const T* y, T* x) {
  const int64_t count = r.taps();
  Parallel(c.stream, v.outer, RowGrain(r.out * v.inner * count), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* from = y + n * r.out * v.inner;
      T* to = x + n * r.in * v.inner;
      std::fill_n(to, r.in * v.inner, T(0));
      if (v.inner == 1) {
        AddLine(from, taps, count, r.out, to);
        continue;
      }
      for (int64_t o = 0; o < r.out; ++o) {
        for (int64_t k = o * count; k < (o + 1) * count; ++k)
          AddRow(from + o * v.inner, taps.weights[k], v.inner, to + taps.places[k] * v.inner);
      }
    }
  });
}

// --- operators -----------------------------------------------------------------------------------

template <bool kAdjoint>
Status Infer(op::InferContext& c) {
  constexpr DTypeSet kBoth = SetOf(DType::kFloat32, DType::kFloat64);
  OFL_TRY(RequireIn(c, 0, kBoth));
  const Shape& from = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), from.rank()));
  OFL_ENSURE(from.rank() > 0, Code::kInvalidArgument) << "a 0-d tensor has no axis to resample";
  const std::string& mode = c.attr<std::string>("mode");
  OFL_ENSURE(mode == "nearest" || mode == "nearest-exact" || mode == "linear" || mode == "cubic",
             Code::kInvalidArgument)
      << "got mode=" << Quoted(mode) << "; expected 'nearest', 'nearest-exact', 'linear', 'cubic'";
  const int64_t size = c.attr<int64_t>("size");
  OFL_ENSURE(size > 0 && from[axis] > 0, Code::kInvalidArgument)
      << "got " << from[axis] << " elements and size=" << size << "; expected at least 1 of each";
  Shape to = from;
  to[axis] = size;
  c.AddOutput({c.input(0).dtype, to});
  return Status::Ok();
}

std::string Rule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const std::string axes = "(" + LabelsExcept("a", rank, AxisAttr(attrs, "dim", rank)) + ")";
  return axes + "->" + axes + "; linear 0; never partial max min";
}

template <bool kAdjoint>
Resampling ResamplingOf(const Attrs& attrs, const Shape& from, const Shape& to) {
  const int axis = AxisAttr(attrs, "dim", from.rank());
  return kAdjoint ? Resampling::Of(attrs, to[axis], from[axis])
                  : Resampling::Of(attrs, from[axis], to[axis]);
}
template <bool kAdjoint>
int64_t Scratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs& attrs,
                int) {
  const Resampling r = ResamplingOf<kAdjoint>(attrs, in[0].shape, out[0].shape);
  return SaturatingMul(SaturatingMul(r.out, r.taps()), 16);
}

template <class T, bool kAdjoint>
Status Run(op::KernelContext& c) {
  const Shape &from = c.inputs[0].meta.shape, &to = c.outputs[0].meta.shape;
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Resampling r = ResamplingOf<kAdjoint>(*c.attrs, from, to);
  const AxisView v = ViewAround(from, AxisAttr(*c.attrs, "dim", from.rank()));
  const Taps<T> taps{reinterpret_cast<int64_t*>(c.workspace.data()),
                     reinterpret_cast<T*>(c.workspace.data() + r.out * r.taps() * 8)};
  FillTaps(r, taps);
  if (c.attr<bool>("bytes")) QuantizeTaps(r, taps);
  const T* x = c.inputs[0].as<T>();
  if constexpr (kAdjoint) {
    Adjoint(c, r, v, taps, x, c.outputs[0].as<T>());
  } else {
    Forward(c, r, v, taps, x, c.outputs[0].as<T>());
  }
  return Status::Ok();
}

template <bool kAdjoint>
void Grad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  const Shape& x = c.inputs[0]->meta().shape;
  attrs.Set("size", x[AxisAttr(attrs, "dim", x.rank())]);
  c.Set(0, c.b.Call(kAdjoint ? "resample" : "resample_adjoint", {c.grads[0]}, attrs));
}

std::vector<op::Sample> Samples(bool adjoint) {
  const auto of = [&](Shape x, int64_t dim, int64_t size, Attrs attrs,
                      DType dtype = DType::kFloat32) {
    const int64_t in = x[static_cast<int>(dim)];
    if (adjoint) x[static_cast<int>(dim)] = size;
    attrs.Set("dim", dim);
    attrs.Set("size", adjoint ? in : size);
    return op::Sample{{{dtype, x}}, std::move(attrs)};
  };
  const auto mode = [](const char* name, bool align = false) {
    return Attrs{{"mode", std::string(name)}, {"align_corners", align}};
  };
  Attrs smooth = mode("linear"), by_factor = mode("linear");
  smooth.Set("antialias", true);
  by_factor.Set("factor", 1.6);
  std::vector<op::Sample> samples = {of({5, 4, 3}, 1, 7, mode("nearest")),
                                     of({5, 7}, 1, 3, mode("nearest-exact")),
                                     of({5, 4, 3}, 1, 7, mode("linear")),
                                     of({3, 7}, 1, 4, mode("linear", true)),
                                     of({5, 4}, 1, 6, by_factor),
                                     of({5, 4, 3}, 1, 7, mode("cubic")),
                                     of({2, 7, 2}, 1, 4, mode("cubic", true)),
                                     of({2, 8, 3}, 1, 3, smooth),
                                     of({0, 4}, 1, 3, mode("linear"))};
  smooth.Set("mode", std::string("cubic"));
  samples.push_back(of({3, 9}, 1, 4, smooth, DType::kFloat64));
  samples.push_back(of({3, 4}, 1, 1, mode("linear", true), DType::kFloat64));
  Attrs bytes = mode("cubic");
  bytes.Set("bytes", true);
  samples.push_back(of({5, 4, 3}, 1, 7, bytes));
  return samples;
}

template <bool kAdjoint>
void Define(op::OpDefBuilder& op, const char* doc, const char* oracle, const char* python) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Attr("mode", op::AttrType::kString)
      .Attr("align_corners", op::AttrType::kBool, false)
      .Attr("antialias", op::AttrType::kBool, false)
      .Attr("bytes", op::AttrType::kBool, false)
      .OptionalAttr("factor", op::AttrType::kFloat)
      .Infer(Infer<kAdjoint>)
      .Sbp(Rule)
      .Grad(Grad<kAdjoint>)
      .Cpu(DType::kFloat32, Run<float, kAdjoint>, Scratch<kAdjoint>)
      .Cpu(DType::kFloat64, Run<double, kAdjoint>, Scratch<kAdjoint>)
      .Oracle(oracle)
      .Py(python)
      .Samples([] { return Samples(kAdjoint); })
      .ErrorSamples({{{{DType::kFloat32, {2, 4}}},
                      {{"dim", int64_t{1}}, {"size", int64_t{0}}, {"mode", std::string("linear")}},
                      Code::kInvalidArgument,
                      "expected at least 1"},
                     {{{DType::kFloat32, {2, 4}}},
                      {{"dim", int64_t{1}}, {"size", int64_t{3}}, {"mode", std::string("spline")}},
                      Code::kInvalidArgument,
                      "got mode="}});
}

}  // namespace

OFL_OP(resample) {
  Define<false>(op,
                "`input` with `size` elements along an axis, each from its neighbours at the same "
                "place: the nearest,\nor a linear or cubic mean of them; with antialias of all "
                "that it stands for.",
                "resample(input, dim, size, mode, align_corners, antialias, factor, bytes)",
                "_resample(input, dim, size, *, mode, align_corners=False, antialias=False, "
                "factor=None, bytes=False)");
}
OFL_OP(resample_adjoint) {
  Define<true>(op, "The adjoint of resample, from its result to `size` elements.",
               "resample_adjoint(input, dim, size, mode, align_corners, antialias, factor, bytes)",
               "_resample_adjoint(input, dim, size, *, mode, align_corners=False, "
               "antialias=False, factor=None, bytes=False)");
}

}  // namespace ofl::ops
