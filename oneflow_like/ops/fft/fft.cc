// The three transforms that all others are made of, with their kernels. Transformed axes stay
// whole; all others may be split.
#include "oneflow_like/ops/fft/fft.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "oneflow_like/ops/fft/transform.h"

namespace ofl::ops {
namespace {

// Packs hold every number once for each lane: longer ones would not stay in a cache.
constexpr int64_t kLongestPacked = int64_t{1} << 14;

// --- kernels ------------------------------------------------------------------------------------

// One transform for each slot, a share of the work; and the same of packs, or none.
template <class One, class Many>
struct Slots {
  std::vector<std::unique_ptr<One>> one;
  std::vector<std::unique_ptr<Many>> many;
};

template <class T>
struct Plans final : op::KernelState {
  int64_t slots = 1;
  // Of each complex axis, in the order of the passes.
  std::vector<Slots<Transform<T>, Transform<Pack<T>>>> axes;
  Slots<RealTransform<T>, RealTransform<Pack<T>>> real;
};

// What a transform goes from and to; the real axis is the last of `dims`.
enum class Kind { kComplex, kToHalf, kFromHalf };

template <class T, Kind kKind>
Result<op::KernelStateRef> Prepare(const op::KernelQuery& query) {
  auto plans = std::make_shared<Plans<T>>();
  Ints dims = query.attrs.Get<Ints>("dims");
  const Shape& out = query.outputs[0].meta.shape;
  if (out.numel() == 0 || query.inputs[0].numel() == 0) return op::KernelStateRef(plans);
  plans->slots = std::max(query.threads, 1);
  // Packs serve what has lines enough.
  const auto packed = [&](int64_t n) {
    return n <= kLongestPacked && query.inputs[0].numel() >= n * kLanes;
  };
  if (kKind != Kind::kComplex) {
    const auto last = static_cast<int>(dims.back());
    const bool forward = kKind == Kind::kToHalf;
    const int64_t n = forward ? query.inputs[0].meta.shape[last] : out[last];
    dims.pop_back();
    for (int64_t i = 0; i < plans->slots; ++i) {
      plans->real.one.push_back(MakeRealTransform<T>(n, forward));
      plans->real.many.push_back(packed(n) ? MakeRealTransform<Pack<T>>(n, forward) : nullptr);
    }
  }
  const bool forward =
      kKind == Kind::kToHalf || (kKind == Kind::kComplex && query.attrs.Get<bool>("forward"));
  for (const int64_t dim : dims) {
    auto& slots = plans->axes.emplace_back();
    const int64_t n = out[static_cast<int>(dim)];
    for (int64_t i = 0; i < plans->slots; ++i) {
      slots.one.push_back(MakeTransform<T>(n, forward));
      slots.many.push_back(packed(n) ? MakeTransform<Pack<T>>(n, forward) : nullptr);
    }
  }
  return op::KernelStateRef(plans);
}

template <class V>
struct PartOf {
  using Type = V;
  using Packed = Pack<V>;
};
template <class V>
struct PartOf<std::complex<V>> {
  using Type = V;
  using Packed = std::complex<Pack<V>>;
};

// Number k of each of kLanes lines, as the lanes of a pack; and back, times `factor`.
template <class V>
void Gather(const V* const* lines, int64_t step, int64_t size, typename PartOf<V>::Type* packed) {
  for (int64_t k = 0; k < size; ++k) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const V value = lines[l][k * step];
      if constexpr (std::is_floating_point_v<V>) {
        packed[k * kLanes + l] = value;
      } else {
        packed[2 * k * kLanes + l] = value.real();
        packed[(2 * k + 1) * kLanes + l] = value.imag();
      }
    }
  }
}
template <class V>
void Scatter(const typename PartOf<V>::Type* packed, int64_t size, int64_t step,
             typename PartOf<V>::Type factor, V* const* lines) {
  for (int64_t k = 0; k < size; ++k) {
    for (int64_t l = 0; l < kLanes; ++l) {
      if constexpr (std::is_floating_point_v<V>) {
        lines[l][k * step] = packed[k * kLanes + l] * factor;
      } else {
        lines[l][k * step] =
            V(packed[2 * k * kLanes + l] * factor, packed[(2 * k + 1) * kLanes + l] * factor);
      }
    }
  }
}

// Lines of `from_size` elements become lines of `to_size`: everything of the two tensors is seen
// around one axis.
struct Lines {
  int64_t from_size, to_size, outer, inner;
  double scale;
};

int64_t Padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// The lines [first, first + count) by one(slot, in, out), or all kLanes by many.
template <class From, class To, class One, class Many>
void TransformBlock(const Lines& d, int64_t first, int64_t count, const From* from, To* to,
                    std::byte* scratch, bool packs, const One& one, const Many& many) {
  using T = typename PartOf<To>::Type;
  const auto factor = static_cast<T>(d.scale);
  const int64_t in_bytes = Padded(kLanes * d.from_size * static_cast<int64_t>(sizeof(From)));
  const From* sources[kLanes];
  To* targets[kLanes];
  for (int64_t l = 0; l < count; ++l) {
    const int64_t o = (first + l) / d.inner, i = (first + l) % d.inner;
    sources[l] = from + o * d.from_size * d.inner + i;
    targets[l] = to + o * d.to_size * d.inner + i;
  }
  if (packs && count == kLanes) {
    auto* in = reinterpret_cast<T*>(scratch);
    auto* out = reinterpret_cast<T*>(scratch + in_bytes);
    Gather(sources, d.inner, d.from_size, in);
    many(reinterpret_cast<const typename PartOf<From>::Packed*>(in),
         reinterpret_cast<typename PartOf<To>::Packed*>(out));
    Scatter(out, d.to_size, d.inner, factor, targets);
    return;
  }
  auto* in = reinterpret_cast<From*>(scratch);
  auto* out = reinterpret_cast<To*>(scratch + in_bytes);
  for (int64_t l = 0; l < count; ++l) {
    for (int64_t k = 0; k < d.from_size; ++k) in[k] = sources[l][k * d.inner];
    one(in, out);
    for (int64_t k = 0; k < d.to_size; ++k) targets[l][k * d.inner] = out[k] * factor;
  }
}

// run(transform, in, out) calls one line's transform, or that of packs.
template <class From, class To, class One, class Many, class Run>
void EachLine(op::KernelContext& c, const Slots<One, Many>& plans, const Lines& d, const From* from,
              To* to, const Run& run) {
  const int64_t lines = d.outer * d.inner, blocks = (lines + kLanes - 1) / kLanes;
  const int64_t chunks = std::min(static_cast<int64_t>(plans.one.size()), blocks);
  const int64_t slot_bytes = Padded(kLanes * d.from_size * static_cast<int64_t>(sizeof(From))) +
                             Padded(kLanes * d.to_size * static_cast<int64_t>(sizeof(To)));
  const auto start = reinterpret_cast<uintptr_t>(c.workspace.data());
  auto* aligned = c.workspace.data() +
                  (Padded(static_cast<int64_t>(start % 64)) - static_cast<int64_t>(start % 64));
  Parallel(c.stream, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      One& one = *plans.one[static_cast<size_t>(slot)];
      Many* many = plans.many[static_cast<size_t>(slot)].get();
      for (int64_t at = blocks * slot / chunks; at < blocks * (slot + 1) / chunks; ++at) {
        TransformBlock(
            d, at * kLanes, std::min(kLanes, lines - at * kLanes), from, to,
            aligned + slot * slot_bytes, many != nullptr,
            [&](const auto* in, auto* out) { run(one, in, out); },
            [&](const auto* in, auto* out) { run(*many, in, out); });
      }
    }
  });
}

int64_t TransformBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs& attrs, int threads) {
  int64_t longest = 1;
  for (const int64_t dim : attrs.Get<Ints>("dims")) {
    longest = std::max(
        {longest, in[0].shape[static_cast<int>(dim)], out[0].shape[static_cast<int>(dim)]});
  }
  const int64_t complex = DTypeSize(ComplexOf(out[0].dtype));
  const int64_t lines =
      64 + SaturatingMul(std::max(threads, 1) * 2, kLanes * longest * complex + 64);
  // A half that several axes are transformed of first.
  return lines + SaturatingMul(in[0].shape.numel(), complex);
}

template <class T>
void ComplexAxes(op::KernelContext& c, const Plans<T>& plans, std::span<const int64_t> dims,
                 const Shape& shape, const std::complex<T>* from, std::complex<T>* to,
                 double scale) {
  for (size_t i = 0; i < dims.size(); ++i) {
    const AxisView axis = ViewAround(shape, static_cast<int>(dims[i]));
    const Lines lines = {axis.size, axis.size, axis.outer, axis.inner,
                         i + 1 == dims.size() ? scale : 1.0};
    EachLine(c, plans.axes[i], lines, from, to,
             [](auto& transform, const auto* in, auto* out) { transform.Run(in, out); });
    from = to;
  }
}

template <class T>
Status RunComplex(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  if (y.numel() == 0) return Status::Ok();
  const Ints& dims = c.attr<Ints>("dims");
  const auto* from = x.as<std::complex<T>>();
  auto* to = y.as<std::complex<T>>();
  if (dims.empty()) {
    const auto scale = static_cast<T>(c.attr<double>("scale"));
    for (int64_t i = 0; i < y.numel(); ++i) to[i] = from[i] * scale;
    return Status::Ok();
  }
  ComplexAxes(c, *static_cast<Plans<T>*>(c.state), dims, y.meta.shape, from, to,
              c.attr<double>("scale"));
  return Status::Ok();
}

template <class T>
Status RunToHalf(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  if (y.numel() == 0) return Status::Ok();
  const auto& plans = *static_cast<Plans<T>*>(c.state);
  const std::span<const int64_t> dims = c.attr<Ints>("dims");
  const std::span<const int64_t> others = dims.first(dims.size() - 1);
  const AxisView in = ViewAround(x.meta.shape, static_cast<int>(dims.back()));
  const AxisView out = ViewAround(y.meta.shape, static_cast<int>(dims.back()));
  const double scale = c.attr<double>("scale");
  auto* to = y.as<std::complex<T>>();
  EachLine(c, plans.real, {in.size, out.size, in.outer, in.inner, others.empty() ? scale : 1.0},
           x.as<T>(), to,
           [](auto& transform, const auto* from, auto* made) { transform.Forward(from, made); });
  ComplexAxes(c, plans, others, y.meta.shape, to, to, scale);
  return Status::Ok();
}

template <class T>
Status RunFromHalf(op::KernelContext& c) {
  using Complex = std::complex<T>;
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  if (y.numel() == 0) return Status::Ok();
  const auto& plans = *static_cast<Plans<T>*>(c.state);
  const std::span<const int64_t> dims = c.attr<Ints>("dims");
  const std::span<const int64_t> others = dims.first(dims.size() - 1);
  const Complex* from = x.as<Complex>();
  if (!others.empty()) {
    const int64_t bytes = x.numel() * static_cast<int64_t>(sizeof(Complex));
    auto* kept = reinterpret_cast<Complex*>(
        c.workspace.data() + (static_cast<int64_t>(c.workspace.size()) - bytes) / 64 * 64);
    ComplexAxes(c, plans, others, x.meta.shape, from, kept, 1.0);
    from = kept;
  }
  const AxisView in = ViewAround(x.meta.shape, static_cast<int>(dims.back()));
  const AxisView out = ViewAround(y.meta.shape, static_cast<int>(dims.back()));
  EachLine(c, plans.real, {in.size, out.size, in.outer, in.inner, c.attr<double>("scale")}, from,
           y.as<T>(),
           [](auto& transform, const auto* half, auto* made) { transform.Back(half, made); });
  return Status::Ok();
}

// --- definitions --------------------------------------------------------------------------------

Status CheckDims(const op::InferContext& c, bool some) {
  const Shape& shape = c.input(0).shape;
  Ints dims = c.attr<Ints>("dims");
  OFL_ENSURE(!some || !dims.empty(), Code::kInvalidArgument)
      << "no axis is transformed; expected at least one";
  for (const int64_t dim : dims) {
    OFL_ENSURE(dim >= 0 && dim < shape.rank(), Code::kOutOfRange)
        << "there is no axis " << dim << "; expected 0 to " << shape.rank() - 1;
    const int64_t n = shape[static_cast<int>(dim)];
    OFL_ENSURE(n >= 1 && n <= kLongestTransform, Code::kInvalidArgument)
        << "an axis has no points that can be transformed: got " << n << "; expected at least 1";
  }
  std::ranges::sort(dims);
  OFL_ENSURE(std::ranges::adjacent_find(dims) == dims.end(), Code::kInvalidArgument)
      << "an axis is named twice; expected different ones";
  return Status::Ok();
}

Status InferComplexAxes(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kComplexes));
  OFL_TRY(CheckDims(c, false));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

constexpr DTypeSet kWide = SetOf(DType::kFloat32, DType::kFloat64);

Status InferToHalf(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kWide));
  OFL_TRY(CheckDims(c, true));
  Shape shape = c.input(0).shape;
  int64_t& last = shape[static_cast<int>(c.attr<Ints>("dims").back())];
  last = last / 2 + 1;
  c.AddOutput({ComplexOf(c.input(0).dtype), shape});
  return Status::Ok();
}

Status InferFromHalf(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kComplexes));
  OFL_TRY(CheckDims(c, true));
  Shape shape = c.input(0).shape;
  const int64_t last = c.attr<int64_t>("last");
  int64_t& half = shape[static_cast<int>(c.attr<Ints>("dims").back())];
  OFL_ENSURE(last >= 1 && last / 2 + 1 == half, Code::kInvalidArgument)
      << "the half is no half of `last` numbers: got last=" << last << " and " << half
      << "; expected last / 2 + 1";
  half = last;
  c.AddOutput({RealOf(c.input(0).dtype), shape});
  return Status::Ok();
}

std::string TransformRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const Ints& dims = attrs.Get<Ints>("dims");
  std::string axes;
  for (int i = 0; i < in[0].rank(); ++i) {
    const bool whole = std::ranges::find(dims, i) != dims.end();
    axes += (i > 0 ? " " : "") + (whole ? std::string("!") : "a" + std::to_string(i));
  }
  return "(" + axes + ")->(" + axes + "); linear 0";
}

// The numbers of a half that stand for two, which are all but the ends, times `factor`.
op::Value Weighted(op::Builder& b, const op::Value& half, int64_t dim, int64_t n, double factor) {
  const int64_t size = n / 2 + 1, twice = n - size;
  if (half == nullptr || twice == 0) return half;
  const auto part = [&](int64_t start, int64_t length) {
    return b.Call("narrow", {half}, {{"dim", dim}, {"start", start}, {"length", length}});
  };
  op::Values parts = {part(0, 1), MulScalar(b, part(1, twice), factor)};
  if (size - 1 - twice > 0) parts.push_back(part(1 + twice, size - 1 - twice));
  return b.Call("concat", std::move(parts), {{"dim", dim}});
}

op::Sample Of(Shape shape, Ints dims, Attrs attrs, DType dtype) {
  attrs.Set("dims", std::move(dims));
  return {{{dtype, std::move(shape)}}, std::move(attrs)};
}

op::OpDefBuilder& Define(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Sbp(TransformRule);
}

template <class T, Kind kKind>
op::KernelEntry Entry(DType dtype, op::KernelFn run) {
  op::KernelEntry entry;
  entry.dtype = dtype;
  entry.provider.run = run;
  entry.provider.prepare = Prepare<T, kKind>;
  entry.provider.bound = TransformBound;
  return entry;
}

op::ErrorSample Twice(DType dtype, Attrs attrs = {}) {
  attrs.Set("dims", Ints{0, 0});
  return {{{dtype, {2}}}, std::move(attrs), Code::kInvalidArgument, "named twice"};
}

}  // namespace

op::Value Resized(op::Builder& b, const op::Value& x, int64_t dim, int64_t size) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  const int64_t now = shape[static_cast<int>(dim)];
  if (size == now) return x;
  if (size < now)
    return b.Call("narrow", {x}, {{"dim", dim}, {"start", int64_t{0}}, {"length", size}});
  Ints pad(static_cast<size_t>(2 * (shape.rank() - dim)), 0);
  pad.back() = size - now;
  return b.Call("constant_pad_nd", {x}, {{"pad", pad}});
}

op::Value TransformComplex(op::Builder& b, const op::Value& x, const Axes& dims, double scale,
                           bool forward) {
  return b.Call("fft_complex", {x}, {{"dims", dims}, {"scale", scale}, {"forward", forward}});
}
op::Value TransformReal(op::Builder& b, const op::Value& x, const Axes& dims, double scale) {
  return b.Call("fft_to_half", {x}, {{"dims", dims}, {"scale", scale}});
}
op::Value TransformBack(op::Builder& b, const op::Value& x, const Axes& dims, double scale,
                        int64_t last) {
  return b.Call("fft_from_half", {x}, {{"dims", dims}, {"scale", scale}, {"last", last}});
}

OFL_OP(fft_complex) {
  Define(op, "The discrete Fourier transform over the axes `dims`, times `scale`.")
      .Attr("forward", op::AttrType::kBool, true)
      .Infer(InferComplexAxes)
      .Grad([](op::GradContext& c) {
        c.Set(0, TransformComplex(c.b, c.grads[0], c.attrs.Get<Ints>("dims"),
                                  c.attrs.Get<double>("scale"), !c.attrs.Get<bool>("forward")));
      })
      .Kernel(Entry<float, Kind::kComplex>(DType::kComplex64, RunComplex<float>))
      .Kernel(Entry<double, Kind::kComplex>(DType::kComplex128, RunComplex<double>))
      .Oracle("fft_complex(input, dims, forward) * scale")
      .Py("_fft_complex(input, *, dims, scale=1.0, forward=True)")
      .Samples([] {
        const Attrs back = {{"forward", false}, {"scale", 0.5}};
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kComplex64, DType::kComplex128}) {
          for (op::Sample& s : std::vector<op::Sample>{
                   Of({4, 6}, {1}, {}, dtype), Of({5, 3}, {0}, back, dtype),
                   Of({2, 3, 4}, {0, 2}, back, dtype), Of({53}, {0}, {}, dtype),
                   Of({2, 1}, {1}, {}, dtype), Of({0, 7}, {1}, {}, dtype), Of({3}, {}, {}, dtype),
                   Of({11, 6, 2}, {1}, back, dtype), Of({9, 53}, {1}, {}, dtype),
                   Of(Shape{}, {}, back, dtype), Of({9, 14}, {0, 1}, {}, dtype)})
            samples.push_back(std::move(s));
        }
        return samples;
      })
      .ErrorSamples({Twice(DType::kComplex64)});
}

OFL_OP(fft_to_half) {
  Define(op,
         "The discrete Fourier transform of real numbers over the axes `dims`, times `scale`: of "
         "the\nlast of them the first n / 2 + 1 results, which say all.")
      .Infer(InferToHalf)
      .Grad([](op::GradContext& c) {
        const Ints& dims = c.attrs.Get<Ints>("dims");
        const int64_t n = c.inputs[0]->meta().shape[static_cast<int>(dims.back())];
        c.Set(0, TransformBack(c.b, Weighted(c.b, c.grads[0], dims.back(), n, 0.5), dims,
                               c.attrs.Get<double>("scale"), n));
      })
      .Kernel(Entry<float, Kind::kToHalf>(DType::kFloat32, RunToHalf<float>))
      .Kernel(Entry<double, Kind::kToHalf>(DType::kFloat64, RunToHalf<double>))
      .Oracle("np.fft.rfftn(input, axes=dims) * scale")
      .Py("_fft_to_half(input, *, dims, scale=1.0)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
          for (op::Sample& s :
               std::vector<op::Sample>{Of({4, 6}, {1}, {{"scale", 0.5}}, dtype),
                                       Of({5, 3}, {0}, {}, dtype), Of({2, 3, 5}, {0, 2}, {}, dtype),
                                       Of({3, 4, 2}, {2, 1}, {}, dtype), Of({106}, {0}, {}, dtype),
                                       Of({2, 1}, {1}, {}, dtype), Of({0, 7}, {1}, {}, dtype)})
            samples.push_back(std::move(s));
        }
        return samples;
      })
      .ErrorSamples({Twice(DType::kFloat32),
                     {{{DType::kFloat32, {2}}},
                      {{"dims", Ints{}}},
                      Code::kInvalidArgument,
                      "expected at least one"}});
}

OFL_OP(fft_from_half) {
  Define(op,
         "Real numbers from the half of their Fourier transform over the axes `dims` that "
         "fft_to_half\ngives, with the plus sign, times `scale`; `last` of them along the last "
         "axis of `dims`.")
      .Attr("last", op::AttrType::kInt)
      .Infer(InferFromHalf)
      .Grad([](op::GradContext& c) {
        const Ints& dims = c.attrs.Get<Ints>("dims");
        const op::Value half = TransformReal(c.b, c.grads[0], dims, c.attrs.Get<double>("scale"));
        c.Set(0, Weighted(c.b, half, dims.back(), c.attrs.Get<int64_t>("last"), 2.0));
      })
      .Kernel(Entry<float, Kind::kFromHalf>(DType::kComplex64, RunFromHalf<float>))
      .Kernel(Entry<double, Kind::kFromHalf>(DType::kComplex128, RunFromHalf<double>))
      .Oracle(
          "np.fft.irfftn(input, s=[*(input.shape[d] for d in dims[:-1]), last], axes=dims, "
          "norm='forward') * scale")
      .Py("_fft_from_half(input, *, dims, scale=1.0, last)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kComplex64, DType::kComplex128}) {
          const auto last = [](int64_t n) { return Attrs{{"last", n}}; };
          for (op::Sample& s : std::vector<op::Sample>{
                   Of({4, 4}, {1}, last(6), dtype), Of({3, 2}, {0}, last(5), dtype),
                   Of({2, 3, 3}, {0, 2}, {{"last", int64_t{5}}, {"scale", 0.25}}, dtype),
                   Of({3, 3, 2}, {2, 1}, last(4), dtype), Of({2, 1}, {1}, last(1), dtype),
                   Of({0, 4}, {1}, last(7), dtype), Of({4, 13}, {0}, last(6), dtype),
                   Of({10, 3}, {1}, last(5), dtype)})
            samples.push_back(std::move(s));
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kComplex64, {3}}},
                      {{"dims", Ints{0}}, {"last", int64_t{7}}},
                      Code::kInvalidArgument,
                      "no half of `last`"}});
}

}  // namespace ofl::ops
