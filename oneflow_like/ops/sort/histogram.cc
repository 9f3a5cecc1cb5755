// How many elements fall into which bin: histc, histogram, bincount.
#include <cmath>

#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// --- evenly spaced bins -------------------------------------------------------------------------

Status InferHistc(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  OFL_ENSURE(c.input(1) == (TensorMeta{c.input(0).dtype, {}}) && c.input(1) == c.input(2),
             Code::kInvalidArgument)
      << "low and high must be 0-d tensors of the dtype of input";
  const int64_t bins = c.attr<int64_t>("bins");
  OFL_ENSURE(bins > 0, Code::kInvalidArgument)
      << "bins must be > 0: got bins=" << bins << "; expected at least 1";
  c.AddOutput({c.input(0).dtype, {bins}});
  return Status::Ok();
}

// Parts of the input are counted apart and added up.
std::string HistcRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string text = "(" + Labels("a", in[0].rank()) + "),(),()->(!)";
  for (int i = 0; i < in[0].rank(); ++i) text += "; reduce a" + std::to_string(i) + " by sum";
  return text + "; never partial";
}

template <class T>
T ScalarAt(const op::TensorView& x) {
  T value;
  LoaderOf(x.meta.dtype, DTypeOf<T>::value)(x.data, 0, &value, 1);
  return value;
}

template <class T>
Status RunHistc(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  const int64_t bins = y.numel();
  auto* counts = reinterpret_cast<int64_t*>(c.workspace.data());
  std::fill_n(counts, bins, int64_t{0});
  T low = ScalarAt<T>(c.inputs[1]), high = ScalarAt<T>(c.inputs[2]);
  OFL_ENSURE(std::isfinite(low) && std::isfinite(high), Code::kInvalidArgument)
      << "[histc] the range is not finite: got " << low << " to " << high
      << "; expected finite bounds";
  if (low == high) {
    low -= 1;
    high += 1;
  }
  // A range beyond the largest number, and its parts, are counted on a smaller scale.
  const T scale = std::isfinite((high - low) * static_cast<T>(bins)) ? T(1) : std::ldexp(T(1), -64);
  const T from = low * scale, width = high * scale - from;
  const LoadFn load = LoaderOf(x.meta.dtype, DTypeOf<T>::value);
  const auto size = static_cast<int64_t>(DTypeSize(x.meta.dtype));
  constexpr int64_t kTile = 512;
  T tile[kTile];
  const int last = x.meta.shape.rank() - 1;
  ForRows<1>(x.meta.shape, {x.strides}, 0, x.numel(), [&](const auto& offset, int64_t n) {
    const int64_t stride = last < 0 ? 0 : x.strides[last] * size;
    for (int64_t i = 0; i < n; i += kTile) {
      const int64_t count = std::min(kTile, n - i);
      load(x.as<std::byte>() + offset[0] * size + i * stride, stride, tile, count);
      for (int64_t j = 0; j < count; ++j) {
        if (!(tile[j] >= low && tile[j] <= high)) continue;
        const auto bin =
            static_cast<int64_t>((tile[j] * scale - from) * static_cast<T>(bins) / width);
        ++counts[std::min(bin, bins - 1)];
      }
    }
  });
  std::byte* to = y.as<std::byte>();
  const StoreFn store = StorerOf(DTypeOf<T>::value, y.meta.dtype);
  for (int64_t i = 0; i < bins; ++i) {
    const T count = static_cast<T>(counts[i]);
    store(&count, to + i * size, size, 1);
  }
  return Status::Ok();
}

op::Values ComposeHistc(op::Builder& b, Span in, const Attrs& attrs) {
  const op::Value& x = in[0];
  const Scalar low = attrs.Number("min"), high = attrs.Number("max");
  const double from = low.As<double>(), to = high.As<double>();
  if (from > to) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "max must be larger than min: got min=" << from << ", max=" << to
                          << "; expected min <= max");
  }
  if (!IsFloating(x->meta().dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "a histogram of " << DTypeName(x->meta().dtype) << ": got "
                          << x->meta().ToString() << "; expected a floating dtype");
  }
  op::Value least, most;
  if (from == to && x->meta().shape.numel() > 0) {
    least = b.Call("amin", {x});
    most = b.Call("amax", {x});
  } else {
    const op::Value zero = b.Call("sum", {b.Call("zeros_like", {x})});
    least = b.Call("full_like", {zero}, {{"value", Scalar(from)}});
    most = b.Call("full_like", {zero}, {{"value", Scalar(to)}});
  }
  return {b.Call("histc_between", {x, least, most}, {{"bins", attrs.Get<int64_t>("bins")}})};
}

// --- histogram ----------------------------------------------------------------------------------

// The numbers from 0 to n, each by the rank of its place among equal steps.
op::Value Steps(op::Builder& b, const op::Value& like, int64_t n) {
  const op::Value one = b.Call("reshape", {b.Call("ones_like", {like})}, {{"shape", Ints{1}}});
  const op::Value ones = b.Call("broadcast_to", {one}, {{"shape", Ints{n + 1}}});
  return AddScalar(b, b.Call("cumsum", {ones}, {{"dim", int64_t{0}}}), -1.0);
}

// bins + 1 edges in even steps over the range, or from the smallest element to the largest.
op::Value EdgesOf(op::Builder& b, const op::Value& x, const Attrs& attrs, int64_t bins) {
  op::Value checked;  // a zero, where the extremes are finite
  const auto* range = attrs.Maybe<std::vector<double>>("range");
  const op::Value zero = b.Call("sum", {b.Call("zeros_like", {x})});
  if (zero == nullptr) return zero;
  const auto constant = [&](double value) {
    return b.Call("full_like", {zero}, {{"value", Scalar(value)}});
  };
  op::Value low, high;
  if (range != nullptr) {
    low = constant((*range)[0] == (*range)[1] ? (*range)[0] - 0.5 : (*range)[0]);
    high = constant((*range)[0] == (*range)[1] ? (*range)[1] + 0.5 : (*range)[1]);
  } else if (x->meta().shape.numel() == 0) {
    low = constant(0);
    high = constant(1);
  } else {
    low = b.Call("amin", {x});
    high = b.Call("amax", {x});
    const op::Value all = b.Call("reshape", {x}, {{"shape", Ints{x->meta().shape.numel()}}});
    checked = b.Call("histc_between", {Part(b, all, 0, 0, 0), low, high}, {{"bins", int64_t{1}}});
    const op::Value same = b.Call("eq", {low, high});
    const op::Value left = b.Call("where", {same, AddScalar(b, low, -0.5), low});
    high = b.Call("where", {same, AddScalar(b, high, 0.5), high});
    low = left;
  }
  const op::Value step = MulScalar(b, b.Call("sub", {high, low}), 1.0 / static_cast<double>(bins));
  const op::Value steps = Steps(b, zero, bins);
  op::Value edges = b.Call("add", {low, Mul(b, steps, step)});
  if (checked != nullptr) edges = b.Call("add", {edges, checked});
  if (edges == nullptr || bins < 1) return edges;
  // The last one exactly.
  const op::Value last = b.Call("reshape", {high}, {{"shape", Ints{1}}});
  return b.Call("concat", {Part(b, edges, 0, 0, bins), last}, {{"dim", int64_t{0}}});
}

op::Values CountBetween(op::Builder& b, const op::Value& x, const op::Value& weight,
                        const op::Value& edges, bool density) {
  if (x == nullptr || edges == nullptr) return {nullptr, nullptr};
  const int64_t bins = edges->meta().shape[0] - 1;
  const Attrs flat = {{"shape", Ints{x->meta().shape.numel()}}};
  const op::Value values = b.Call("reshape", {x}, flat);
  const op::Value place = b.Call("searchsorted", {edges, values}, {{"right", true}});
  const op::Value before = AddScalar(b, place, int64_t{-1});
  // The last edge belongs to the last bin; what lies outside goes into one that is dropped.
  const op::Value last = Part(b, edges, 0, bins, bins + 1);
  op::Value bin = ReplaceWhere(b, b.Call("eq", {values, last}), bins - 1, before);
  const op::Value outside =
      b.Call("logical_not", {b.Call("logical_and", {b.Call("ge", {values, Part(b, edges, 0, 0, 1)}),
                                                    b.Call("le", {values, last})})});
  bin = ReplaceWhere(b, outside, bins, bin);
  op::Values operands{bin};
  if (weight != nullptr) operands.push_back(b.Call("reshape", {weight}, flat));
  const op::Value counts = b.Call("bincount_sized", operands, {{"size", bins + 1}});
  if (counts == nullptr) return {nullptr, nullptr};
  op::Value hist = CastTo(b, Part(b, counts, 0, 0, bins), x->meta().dtype);
  if (density) {
    const op::Value widths =
        b.Call("sub", {Part(b, edges, 0, 1, bins + 1), Part(b, edges, 0, 0, bins)});
    hist = b.Call("div", {hist, Mul(b, widths, b.Call("sum", {hist}))});
  }
  return {hist, edges};
}

Status CheckHistogram(const op::Value& x, const op::Value& weight, int64_t bins,
                      const std::vector<double>* range) {
  const TensorMeta& meta = x->meta();
  OFL_ENSURE(meta.dtype == DType::kFloat32 || meta.dtype == DType::kFloat64, Code::kTypeMismatch)
      << "a histogram of " << DTypeName(meta.dtype) << ": got " << meta.ToString()
      << "; expected float32 or float64";
  OFL_ENSURE(weight == nullptr || weight->meta() == meta, Code::kInvalidArgument)
      << "weight must have the shape and dtype of input: got " << weight->meta().ToString()
      << "; expected " << meta.ToString();
  OFL_ENSURE(bins > 0 && bins < int64_t{1} << 48, Code::kInvalidArgument)
      << "bins must be > 0: got " << bins << "; expected at least 1, less than 2^48";
  OFL_ENSURE(range == nullptr || (range->size() == 2 && (*range)[0] <= (*range)[1] &&
                                  std::isfinite((*range)[1] - (*range)[0])),
             Code::kInvalidArgument)
      << "the range is none: got " << AttrToString(*range) << "; expected finite (low, high)";
  return Status::Ok();
}

op::Values RefusedBoth(op::Builder& b, Status status) {
  Refused(b, std::move(status));
  return {nullptr, nullptr};
}

op::Values ComposeHistogram(op::Builder& b, Span in, const Attrs& attrs) {
  const int64_t bins = attrs.Get<int64_t>("bins");
  const op::Value weight = in.size() > 1 ? in[1] : nullptr;
  const auto* range = attrs.Maybe<std::vector<double>>("range");
  if (Status wrong = CheckHistogram(in[0], weight, bins, range); !wrong.ok())
    return RefusedBoth(b, wrong);
  return CountBetween(b, in[0], weight, EdgesOf(b, in[0], attrs, bins), attrs.Get<bool>("density"));
}

op::Values ComposeHistogramBetween(op::Builder& b, Span in, const Attrs& attrs) {
  const op::Value weight = in.size() > 2 ? in[2] : nullptr;
  const TensorMeta& edges = in[1]->meta();
  Status wrong = CheckHistogram(in[0], weight, 1, nullptr);
  if (wrong.ok() &&
      (edges.shape.rank() != 1 || edges.shape[0] < 2 || edges.dtype != in[0]->meta().dtype)) {
    wrong = Error(Code::kInvalidArgument)
            << "bins are no edges: got " << edges.ToString() << "; expected a vector of at least 2 "
            << "numbers of input's dtype";
  }
  if (!wrong.ok()) return RefusedBoth(b, wrong);
  const op::Value ascending = b.CallAll("sort", {in[1]})[0];
  return CountBetween(b, in[0], weight, ascending, attrs.Get<bool>("density"));
}

// --- bincount -----------------------------------------------------------------------------------

Status InferBincount(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kInts));
  OFL_ENSURE(c.input(0).shape.rank() == 1, Code::kInvalidArgument)
      << "only vectors of non-negative integers are counted; expected one axis";
  OFL_ENSURE(c.attr<int64_t>("size") >= 0, Code::kInvalidArgument) << "size must not be negative";
  DType dtype = DType::kInt64;
  if (c.num_inputs() > 1) {
    OFL_TRY(RequireIn(c, 1, SetOf(DType::kFloat32, DType::kFloat64)));
    OFL_ENSURE(c.input(1).shape == c.input(0).shape, Code::kInvalidArgument)
        << "weights must have the shape of input; expected " << c.input(0).shape;
    dtype = c.input(1).dtype;
  }
  c.AddOutput({dtype, {c.attr<int64_t>("size")}});
  return Status::Ok();
}

std::string BincountRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  return in.size() > 1 ? "(n),(n)->(!); reduce n by sum; linear 1"
                       : "(n)->(!); reduce n by sum; never partial";
}

template <class T>
Status RunBincount(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &y = c.outputs[0];
  const int64_t size = y.numel();
  if (y.numel() > 0) std::memset(y.data, 0, y.meta.bytes());
  const LoadFn load = LoaderOf(x.meta.dtype, DTypeOf<T>::value);
  const auto width = static_cast<int64_t>(DTypeSize(x.meta.dtype));
  const auto each = [&](const auto& add) -> Status {
    constexpr int64_t kTile = 512;
    T tile[kTile];
    for (int64_t i = 0; i < x.numel(); i += kTile) {
      const int64_t count = std::min(kTile, x.numel() - i);
      load(x.as<std::byte>() + i * width, width, tile, count);
      for (int64_t j = 0; j < count; ++j) {
        const auto at = static_cast<int64_t>(tile[j]);
        OFL_ENSURE(at >= 0 && at < size, Code::kOutOfRange)
            << "[bincount] a number outside of the bins: got " << at << " at position " << i + j
            << "; expected 0 <= number < " << size;
        add(at, i + j);
      }
    }
    return Status::Ok();
  };
  if (y.meta.dtype == DType::kFloat32) {
    return each([sums = y.as<float>(), weights = c.inputs[1].as<float>()](int64_t at, int64_t i) {
      sums[at] += weights[i];
    });
  }
  if (y.meta.dtype == DType::kFloat64) {
    return each([sums = y.as<double>(), weights = c.inputs[1].as<double>()](int64_t at, int64_t i) {
      sums[at] += weights[i];
    });
  }
  return each([counts = y.as<int64_t>()](int64_t at, int64_t) { ++counts[at]; });
}

}  // namespace

OFL_OP(histc_between) {
  op.Doc("How many elements fall into each of `bins` bins of one width between low and high.")
      .In("input")
      .In("low")
      .In("high")
      .Out("output")
      .Attr("bins", op::AttrType::kInt, int64_t{100})
      .Infer(InferHistc)
      .Sbp(HistcRule)
      .NotDifferentiable("a count is piecewise constant")
      .Traits({op::Trait::kIgnoresValues})  // as far as the tape is concerned
      .Strided("input")
      .Oracle("histc(input, low, high, bins)")
      .Py("histc_between(input, low, high, bins=100)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats)) {
          samples.push_back({{{d, {5, 4}}, {d, {}}, {d, {}}}, {{"bins", int64_t{4}}}, 0, 1, ""});
          samples.back().ranges = {{0, 4}, {0, 0.5}, {3, 4}};
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {}}, {DType::kFloat32, {}}},
                      {{"bins", int64_t{0}}},
                      Code::kInvalidArgument,
                      "got bins=0"}});
  ForEachDType<kFloats>([&]<class T>(DType dtype) {
    op.Cpu(dtype, RunHistc<T>,
           [](std::span<const TensorMeta>, std::span<const TensorMeta> out, const Attrs&, int) {
             return out[0].shape.numel() * 8;
           });
  });
}

OFL_OP(histc) {
  op.Doc(
        "How many elements fall into each of `bins` bins of one width from min to max; where "
        "these\n"
        "are equal, from the smallest element to the largest.")
      .In("input")
      .Out("output")
      .Attr("bins", op::AttrType::kInt, int64_t{100})
      .Attr("min", op::AttrType::kScalar, int64_t{0})
      .Attr("max", op::AttrType::kScalar, int64_t{0})
      .Compose(ComposeHistc)
      .Oracle(
          "histc(input, min if min < max else input.min(), max if min < max else input.max(), "
          "bins)")
      .PyBoth("histc(input, bins=100, min=0, max=0)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats))
          samples.push_back({{{d, {5, 4}}}, {{"bins", int64_t{4}}}, 0, 4, ""});
        samples.push_back(
            {{{DType::kFloat32, {9}}}, {{"bins", int64_t{3}}, {"min", 1}, {"max", 3}}, 0, 4, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"min", 2}, {"max", 1}},
                      Code::kInvalidArgument,
                      "got min=2, max=1"},
                     {{{DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "a floating dtype"}});
}

OFL_OP(histogram) {
  op.Doc(
        "How many elements, or how much of `weight`, fall into each of `bins` bins over `range`\n"
        "(none: from the smallest element to the largest), and the edges of the bins; `density`:\n"
        "so that their area is 1.")
      .In("input")
      .InOptional("weight")
      .Out("hist")
      .Out("bin_edges")
      .Attr("bins", op::AttrType::kInt, int64_t{100})
      .OptionalAttr("range", op::AttrType::kFloats)
      .Attr("density", op::AttrType::kBool, false)
      .Compose(ComposeHistogram)
      .Oracle("histogram(input, bins, range, weight, density)")
      .PyBoth("histogram(input, bins=100, *, range=None, weight=None, density=False)")
      .Samples([] {
        std::vector<op::Sample> samples;
        constexpr DType kF = DType::kFloat32;
        const Attrs five = {{"bins", int64_t{5}}};
        for (DType d : {kF, DType::kFloat64}) samples.push_back({{{d, {9}}}, five, 0, 4, ""});
        samples.push_back({{{kF, {4, 3}}, {kF, {4, 3}}}, five, 0, 4, ""});
        samples.push_back(
            {{{kF, {9}}},
             {{"bins", int64_t{3}}, {"range", std::vector<double>{1, 3}}, {"density", true}},
             0,
             4,
             ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {3}}}, {}, Code::kTypeMismatch, "expected float32"},
                     {{{DType::kFloat32, {3}}},
                      {{"bins", int64_t{0}}},
                      Code::kInvalidArgument,
                      "bins must be > 0: got 0"}});
}

OFL_OP(histogram_between) {
  op.Doc(
        "How many elements, or how much of `weight`, fall between neighbours of the edges `bins`, "
        "and\n"
        "these edges in order; `density`: so that the area is 1.")
      .In("input")
      .In("bins")
      .InOptional("weight")
      .Out("hist")
      .Out("bin_edges")
      .Attr("density", op::AttrType::kBool, false)
      .Compose(ComposeHistogramBetween)
      .Oracle("histogram(input, bins, None, weight, density)")
      .PyBoth("histogram(input, bins, *, weight=None, density=False)")
      .Samples([] {
        std::vector<op::Sample> samples;
        constexpr DType kF = DType::kFloat32;
        samples.push_back({{{kF, {9}}, {kF, {2}}}, {}, 0, 4, ""});
        samples.back().ranges = {{0, 4}, {1, 1.5}};
        samples.back().inputs[1].shape = {2};
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {3}}, {DType::kFloat32, {1}}},
                      {},
                      Code::kInvalidArgument,
                      "bins are no edges"}});
}

OFL_OP(bincount_sized) {
  op.Doc(
        "How often each of the numbers from 0 to size - 1 stands in input, or the sum of the\n"
        "weights beside it.")
      .In("input")
      .InOptional("weights")
      .Out("output")
      .Attr("size", op::AttrType::kInt)
      .Infer(InferBincount)
      .Sbp(BincountRule)
      .NotDifferentiable("as in torch, of the weights too")
      .Traits({op::Trait::kIgnoresValues})  // as far as the tape is concerned
      .Unclaimed("S(0),P->P", "of weights that are shares")
      .Oracle("bincount(input, weights, size)")
      .Py("bincount_sized(input, weights=None, *, size)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kInts)) samples.push_back({{{d, {7}}}, {{"size", int64_t{4}}}, 0, 4});
        for (DType d : {DType::kFloat32, DType::kFloat64})
          samples.push_back({{{DType::kInt64, {7}}, {d, {7}}}, {{"size", int64_t{5}}}, 0, 4, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2, 2}}},
                      {{"size", int64_t{2}}},
                      Code::kInvalidArgument,
                      "only vectors"}});
  ForEachDType<kInts>([&]<class T>(DType dtype) { op.Cpu(dtype, RunBincount<T>); });
}

}  // namespace ofl::ops
