// var and std, alone and with the mean.
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/nn/rows.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

// The count, the mean and the sum of squared distances from it: of a block in two passes, of
// several blocks put together (Chan et al.), so that no large squares are subtracted.
struct Moments {
  double count, mean, squares;
};
static_assert(sizeof(Moments) <= kMaxAccumulator);

OFL_INLINE void Add(Moments& a, const Moments& b) {
  if (b.count == 0) return;
  const double count = a.count + b.count, apart = b.mean - a.mean;
  const double share = b.count / count;
  a.mean = a.count == 0 ? b.mean : a.mean + apart * share;
  a.squares += b.squares + (a.count == 0 ? 0 : apart * apart * a.count * share);
  a.count = count;
}

template <class T>
struct Variance {
  static void Clear(void* acc, int64_t n) { std::fill_n(static_cast<Moments*>(acc), n, Moments{}); }

  // Whole parts consist of such blocks, however long they are.
  static constexpr int64_t kBlock = 128;
  static OFL_SIMD void Run(void* acc, void*, const void* from, int64_t n, int64_t, bool, bool) {
    const T* x = static_cast<const T*>(from);
    for (int64_t begin = 0; begin < n; begin += kBlock, x += kBlock) {
      const int64_t count = std::min(kBlock, n - begin);
      double lanes[kLanes] = {};
      int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(x[i + j]);
      for (int j = 0; i < count; ++i, ++j) lanes[j] += static_cast<double>(x[i]);
      const double mean = Total(lanes) / static_cast<double>(count);
      for (double& lane : lanes) lane = 0;
      for (i = 0; i + kLanes <= count; i += kLanes)
        for (int j = 0; j < kLanes; ++j) lanes[j] += Square(static_cast<double>(x[i + j]) - mean);
      for (int j = 0; i < count; ++i, ++j) lanes[j] += Square(static_cast<double>(x[i]) - mean);
      Add(*static_cast<Moments*>(acc), {static_cast<double>(count), mean, Total(lanes)});
    }
  }

  static OFL_SIMD void Rows(void* acc, const void* from, int64_t stride, int64_t count, int64_t n,
                            int64_t) {
    constexpr int kWidth = 32;
    const auto* x = static_cast<const std::byte*>(from);
    Moments* to = static_cast<Moments*>(acc);
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) Columns<kWidth>(to + i, x + i * sizeof(T), stride, count);
    for (; i < n; ++i) Columns<1>(to + i, x + i * sizeof(T), stride, count);
  }
  static void Join(void* acc, const void* later) {
    Add(*static_cast<Moments*>(acc), *static_cast<const Moments*>(later));
  }
  static void Finish(const void* acc, const ops::Finish& how, void* y, int64_t n) {
    const Moments* a = static_cast<const Moments*>(acc);
    for (int64_t i = 0; i < n; ++i) {
      const double variance = a[i].squares / how.divisor;
      const double value = how.root ? std::sqrt(variance) : variance;
      if constexpr (std::is_same_v<T, float>) {
        static_cast<float*>(y)[i] = how.half ? math::RoundToOdd(value) : static_cast<float>(value);
      } else {
        static_cast<T*>(y)[i] = value;
      }
    }
  }

 private:
  static OFL_INLINE double Square(double x) { return x * x; }
  static OFL_INLINE double Total(double* lanes) {
    for (int width = kLanes / 2; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) lanes[j] += lanes[j + width];
    return lanes[0];
  }
  template <int kWidth>
  static OFL_INLINE void Columns(Moments* acc, const std::byte* x, int64_t stride, int64_t count) {
    double mean[kWidth] = {}, squares[kWidth] = {};
    for (int64_t r = 0; r < count; ++r) {
      const T* row = reinterpret_cast<const T*>(x + r * stride);
      for (int j = 0; j < kWidth; ++j) mean[j] += static_cast<double>(row[j]);
    }
    for (int j = 0; j < kWidth; ++j) mean[j] /= static_cast<double>(count);
    for (int64_t r = 0; r < count; ++r) {
      const T* row = reinterpret_cast<const T*>(x + r * stride);
      for (int j = 0; j < kWidth; ++j) {
        const double apart = static_cast<double>(row[j]) - mean[j];
        squares[j] += apart * apart;
      }
    }
    for (int j = 0; j < kWidth; ++j) Add(acc[j], {static_cast<double>(count), mean[j], squares[j]});
  }
};

template <class T>
inline const Reducer kVariance = {DTypeOf<T>::value,  DTypeOf<T>::value,  sizeof(Moments),
                                  Variance<T>::Clear, Variance<T>::Run,   Variance<T>::Rows,
                                  Variance<T>::Join,  Variance<T>::Finish};

// What the squares are divided by: infinite or NaN results where there are too few elements.
double DivisorOf(double count, const Attrs& attrs) {
  return std::max(count - attrs.Get<double>("correction"), 0.0);
}

template <class T>
Status RunVariance(op::KernelContext& c) {
  Reduce(c.stream, c.inputs[0], c.outputs[0], kVariance<T>, AxesFor(c),
         {.divisor = DivisorOf(LogicalCount(c), *c.attrs), .root = c.attr<bool>("root")});
  return Status::Ok();
}

Status InferVariance(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  OFL_TRY(CheckDims(c));
  c.AddOutput({c.input(0).dtype, ReducedShapeOf(c)});
  return Status::Ok();
}

std::string VarianceRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "");
}

// In two stages, of which each can be split.
op::Values DecomposeVariance(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = CastTo(b, in[0], StatisticOf(dtype));
  if (x == nullptr) return {nullptr};
  const op::Value apart = b.Call("sub", {x, b.Call("mean", {x}, KeptAxes(attrs))});
  const Attrs over = {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", attrs.Get<bool>("keepdim")}};
  const op::Value squares = b.Call("sum", {b.Call("square", {apart})}, over);
  const double divisor = DivisorOf(static_cast<double>(CountOf(x->meta().shape, attrs)), attrs);
  op::Value y = b.Call("div_scalar", {squares}, {{"scalar", divisor}});
  if (attrs.Get<bool>("root")) y = b.Call("root_power", {y}, {{"exponent", 0.5}});
  return {CastTo(b, y, dtype)};
}

// Of a standard deviation of 0 the slope is taken as 0, as in torch.
void GradVariance(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &y = c.outputs[0];
  // Not cut off at 0, as in torch.
  const double divisor =
      static_cast<double>(CountOf(x->meta().shape, c.attrs)) - c.attrs.Get<double>("correction");
  op::Value grad = c.grads[0];
  if (c.attrs.Get<bool>("root")) {
    const op::Value none = Against(b, "eq", y, 0);
    const op::Value safe = ReplaceWhere(b, none, 1.0, y);
    grad = ReplaceWhere(b, none, 0.0, b.Call("div", {MulScalar(b, grad, 0.5), safe}));
  }
  const op::Value apart = b.Call("sub", {x, b.Call("mean", {x}, KeptAxes(c.attrs))});
  const op::Value scaled = MulScalar(b, apart, 2.0 / divisor);
  c.Set(0, Mul(b, scaled, SpreadOut(b, grad, x, c.attrs)));
}

// --- composites ---------------------------------------------------------------------------------

double CorrectionOf(const Attrs& attrs) {
  if (const bool* unbiased = attrs.Maybe<bool>("unbiased")) return *unbiased ? 1 : 0;
  const AttrValue* given = attrs.Find("correction");
  return std::holds_alternative<NoValue>(*given) ? 1 : Scalar::Of(*given).As<double>();
}

op::Value VarianceOf(op::Builder& b, const op::Value& x, const Attrs& attrs, bool root) {
  Attrs over = {{"dim", attrs.Get<Ints>("dim")},
                {"keepdim", attrs.Get<bool>("keepdim")},
                {"correction", CorrectionOf(attrs)}};
  if (!IsComplex(x->meta().dtype)) {
    over.Set("root", root);
    return b.Call("variance", {x}, over);
  }
  over.Set("root", false);
  const op::Value sum = b.Call("add", {b.Call("variance", {b.Call("real", {x})}, over),
                                       b.Call("variance", {b.Call("imag", {x})}, over)});
  return root ? b.Call("root_power", {sum}, {{"exponent", 0.5}}) : sum;
}

template <bool kRoot, bool kMean>
op::Values ComposeVariance(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  op::Values results{VarianceOf(b, in[0], attrs, kRoot)};
  const Attrs over = {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", attrs.Get<bool>("keepdim")}};
  if (kMean) results.push_back(b.Call("mean", {in[0]}, over));
  return results;
}

std::vector<op::Sample> VarianceSamples(DTypeSet set, const Attrs& more) {
  auto samples = ReduceSamples(set, false, more);
  std::erase_if(samples, [](const op::Sample& s) {  // of one element: NaN, which has no slope
    return CountOf(s.inputs[0].shape, s.attrs) < 2;
  });
  return samples;
}

template <bool kRoot, bool kMean>
void Spread(op::OpDefBuilder& op, const std::string& name, const std::string& doc) {
  op.Doc(doc)
      .In("input")
      .Out(kMean ? (kRoot ? "std" : "var") : "output")
      .Attr("dim", op::AttrType::kInts, Ints{})
      .OptionalAttr("correction", op::AttrType::kScalar)
      .OptionalAttr("unbiased", op::AttrType::kBool)
      .Attr("keepdim", op::AttrType::kBool, false);
  if (kMean) op.Out("mean");
  op.Compose(ComposeVariance<kRoot, kMean>)
      .Oracle(std::string("spread(input, dim, keepdim, correction, unbiased, ") +
              (kRoot ? "True, " : "False, ") + (kMean ? "True)" : "False)"))
      .Samples([] {
        auto samples = VarianceSamples(kFloats | kComplexes, {});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"correction", int64_t{0}}}, -4, 4, ""});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"unbiased", false}}, -4, 4, ""});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", Ints{5}}}, Code::kOutOfRange, "but got 5"},
           {{{DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "not a floating dtype"}});
  const char* forms[] = {"(input, dim=None, *, correction=None, keepdim=False)",
                         "(input, dim, unbiased=True, keepdim=False)", "(input, unbiased=True)"};
  for (const char* form : forms) {
    if (kMean) {
      op.Py(name + form).Public();
    } else {
      op.PyBoth(name + form);
    }
  }
}

}  // namespace

OFL_OP(variance) {
  Reduction(op,
            "The squared distances from the mean over the axes `dim` (none given: all), added up\n"
            "and divided by count - correction; with `root` the square root of that.")
      .Attr("correction", op::AttrType::kFloat, 1.0)
      .Attr("root", op::AttrType::kBool, false)
      .Infer(InferVariance)
      .Sbp(VarianceRule)
      .Grad(GradVariance)
      .Decompose(DecomposeVariance)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("spread(input, dim, keepdim, correction, None, root, False)")
      .Py("variance(input, dim=None, keepdim=False, *, correction=1.0, root=False)")
      .Samples([] {
        auto samples = VarianceSamples(kFloats, {});
        const auto rooted = VarianceSamples(kFloats, {{"root", true}, {"correction", 0.0}});
        samples.insert(samples.end(), rooted.begin(), rooted.end());
        return samples;
      })
      .ErrorSamples(DimErrors(DType::kInt64, "int64 is not a floating dtype"));
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunVariance<T>); });
}

OFL_OP(var) {
  Spread<false, false>(op, "var",
                       "The variance over the axes `dim` (none given: all): squared distances from "
                       "the\nmean, added up and divided by count - correction.");
}
OFL_OP(std) {
  Spread<true, false>(op, "std",
                      "The standard deviation over the axes `dim` (none given: all): the square "
                      "root of\nthe variance with this correction.");
}
OFL_OP(var_mean) {
  Spread<false, true>(op, "var_mean",
                      "The variance and the mean over the axes `dim` (none given: all).");
}
OFL_OP(std_mean) {
  Spread<true, true>(op, "std_mean",
                     "The standard deviation and the mean over the axes `dim` (none given: all).");
}

}  // namespace ofl::ops
