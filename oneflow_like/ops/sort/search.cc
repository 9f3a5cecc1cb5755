// searchsorted and bucketize: where values belong among sorted ones.
#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

bool Right(const Attrs& attrs) {
  const std::string* side = attrs.Maybe<std::string>("side");
  return attrs.Get<bool>("right") || (side != nullptr && *side == "right");
}

Status CheckSide(const op::InferContext& c) {
  const std::string* side = c.maybe<std::string>("side");
  if (side == nullptr) return Status::Ok();
  OFL_ENSURE(*side == "left" || *side == "right", Code::kInvalidArgument)
      << "no such side: got side='" << *side << "'; expected 'left' or 'right'";
  OFL_ENSURE(*side == "right" || !c.attr<bool>("right"), Code::kInvalidArgument)
      << "two sides at once: got side='left', right=True; expected one of them";
  return Status::Ok();
}

Status InferSearch(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals));
  OFL_TRY(CheckSide(c));
  const Shape &sorted = c.input(0).shape, &values = c.input(1).shape;
  OFL_ENSURE(c.input(0).dtype == c.input(1).dtype, Code::kTypeMismatch)
      << "the dtypes of sorted_sequence and the values differ; expected one dtype; convert with "
      << ".to(dtype)";
  OFL_ENSURE(sorted.rank() > 0, Code::kInvalidArgument)
      << "sorted_sequence has no axes; expected at least one";
  bool fits = sorted.rank() == 1 || sorted.rank() == values.rank();
  for (int i = 0; fits && sorted.rank() > 1 && i < sorted.rank() - 1; ++i)
    fits = sorted[i] == values[i];
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "sorted_sequence must be a vector or have the leading axes of the values: got " << sorted
      << " and " << values;
  if (c.num_inputs() > 2) {
    OFL_TRY(RequireInt64(c, 2, "sorter"));
    OFL_ENSURE(c.input(2).shape == sorted, Code::kInvalidArgument)
        << "sorter must have the shape of sorted_sequence; expected " << sorted;
  }
  c.AddOutput({c.attr<bool>("out_int32") ? DType::kInt32 : DType::kInt64, values});
  return Status::Ok();
}

// Rows of the values lie beside rows of the sequence; a vector is whole everywhere.
std::string SearchRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const int rank = in[0].rank(), values = in[1].rank();
  const std::string sorted = rank == 1 ? "(!)" : "(" + LabelsExcept("a", rank, rank - 1) + ")";
  const std::string axes = "(" + Labels("a", values) + ")";
  return sorted + "," + axes + (in.size() > 2 ? "," + sorted : "") + "->" + axes;
}

template <class T>
struct Row {
  const op::TensorView& view;
  LoadFn load;
  explicit Row(const op::TensorView& view)
      : view(view), load(LoaderOf(view.meta.dtype, DTypeOf<T>::value)) {}
  T At(int64_t place) const {
    T value;
    const auto size = static_cast<int64_t>(DTypeSize(view.meta.dtype));
    load(view.as<std::byte>() + place * size, size, &value, 1);
    return value;
  }
};

// Whether `x` belongs behind an element; NaN is the largest.
template <bool kRight, class T>
OFL_INLINE bool Behind(T element, T x) {
  if constexpr (kRight) return !((element > x) | ((element != element) & (x == x)));
  return (element < x) | ((x != x) & (element == element));
}

// Searches that go on side by side, so that none waits alone for memory.
constexpr int64_t kSearches = 16;

// Of `n` elements at base[k], for each of the values x[k]. Where a search has ended, low[k] and
// high[k] are equal and stay.
template <bool kRight, class T>
OFL_SIMD void SearchSome(const T* sequence, const int64_t* sorter, int64_t n, const int64_t* base,
                         const T* x, int64_t* low) {
  int64_t high[kSearches];
  std::fill_n(low, kSearches, int64_t{0});
  std::fill_n(high, kSearches, n);
  for (int64_t left = n; left > 0; left /= 2) {
    for (int64_t k = 0; k < kSearches; ++k) {
      const int64_t middle = low[k] + (high[k] - low[k]) / 2;
      const int64_t seen = std::min(middle, n - 1);
      const int64_t at = sorter == nullptr ? seen : sorter[base[k] + seen];
      const bool behind = (low[k] < high[k]) & Behind<kRight>(sequence[base[k] + at], x[k]);
      low[k] = behind ? middle + 1 : low[k];
      high[k] = behind ? high[k] : middle;
    }
  }
}

// The same of what is stored in another type than it is computed in.
template <bool kRight, class T>
int64_t SearchOne(const Row<T>& sequence, const int64_t* sorter, int64_t n, int64_t base, T x) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const int64_t at = sorter == nullptr ? middle : sorter[base + middle];
    const bool behind = Behind<kRight>(sequence.At(base + at), x);
    low = behind ? middle + 1 : low;
    high = behind ? high : middle;
  }
  return low;
}

template <bool kRight, class T>
void Search(op::KernelContext& c, int64_t n, const int64_t* sorter) {
  const op::TensorView &sorted = c.inputs[0], &values = c.inputs[1], &out = c.outputs[0];
  const bool vector = sorted.meta.shape.rank() == 1;
  const bool direct = sorted.meta.dtype == DTypeOf<T>::value;
  const int64_t columns = vector ? values.numel() : values.meta.shape[values.meta.shape.rank() - 1];
  const Row<T> sequence(sorted), wanted(values);
  Parallel(c.stream, out.numel(), RowGrain(64), [&](int64_t begin, int64_t end) {
    int64_t base[kSearches], found[kSearches];
    T x[kSearches];
    for (int64_t i = begin; i < end; i += kSearches) {
      const int64_t count = std::min(kSearches, end - i);
      for (int64_t k = 0; k < kSearches; ++k) {
        const int64_t place = i + std::min(k, count - 1);
        x[k] = wanted.At(place);
        base[k] = vector ? 0 : place / columns * n;
      }
      if (direct) {
        SearchSome<kRight>(sorted.as<T>(), sorter, n, base, x, found);
      } else {
        for (int64_t k = 0; k < count; ++k)
          found[k] = SearchOne<kRight>(sequence, sorter, n, base[k], x[k]);
      }
      for (int64_t k = 0; k < count; ++k) {
        if (out.meta.dtype == DType::kInt32) {
          out.as<int32_t>()[i + k] = static_cast<int32_t>(found[k]);
        } else {
          out.as<int64_t>()[i + k] = found[k];
        }
      }
    }
  });
}

template <class T>
Status RunSearch(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& sorted = c.inputs[0].meta.shape;
  const int64_t n = sorted[sorted.rank() - 1];
  const int64_t* sorter = c.inputs.size() > 2 ? c.inputs[2].as<int64_t>() : nullptr;
  for (int64_t i = 0; sorter != nullptr && i < c.inputs[2].numel(); ++i)
    OFL_ENSURE(sorter[i] >= 0 && sorter[i] < n, Code::kOutOfRange)
        << "[searchsorted] sorter index out of range: got " << sorter[i]
        << "; expected 0 <= index < " << n;
  if (Right(*c.attrs)) {
    Search<true, T>(c, n, sorter);
  } else {
    Search<false, T>(c, n, sorter);
  }
  return Status::Ok();
}

op::Values ComposeBucketize(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  if (in[1]->meta().shape.rank() != 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "boundaries must be a vector: got " << in[1]->meta().ToString()
                          << "; expected one axis");
  }
  return {b.Call("searchsorted", {in[1], in[0]}, attrs)};
}

std::vector<op::Sample> SearchSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape sorted, Shape values, Attrs attrs, bool sorter) {
    op::Sample s{{{d, sorted}, {d, values}}, std::move(attrs), 0, 1, ""};
    s.ranges = {{1, 2}, {0, 4}};  // a sequence of equal numbers is sorted
    if (sorter) s.inputs.push_back({DType::kInt64, sorted});
    if (sorter) s.ranges.push_back({0, 1});
    samples.push_back(std::move(s));
  };
  for (DType d : ListOf(kReals)) {
    if (!IsFloating(d)) add(d, {4}, {3, 2}, {}, false);
  }
  add(DType::kInt64, {4}, {5}, {{"right", true}}, false);
  add(DType::kInt64, {3, 4}, {3, 2}, {{"out_int32", true}}, false);
  add(DType::kInt64, {4}, {5}, {{"side", std::string("right")}}, true);
  for (DType d : ListOf(kFloats)) add(d, {1}, {5}, {}, false);
  return samples;
}

}  // namespace

OFL_OP(searchsorted) {
  op.Doc(
        "For each value the index before which it keeps the last axis of sorted_sequence in order\n"
        "(behind its equals, where `right`).")
      .In("sorted_sequence")
      .In("input")
      .InOptional("sorter")
      .NoPromotion("sorter")
      .Promote(op::Promotion::kCommon)
      .Out("output")
      .Attr("out_int32", op::AttrType::kBool, false)
      .Attr("right", op::AttrType::kBool, false)
      .OptionalAttr("side", op::AttrType::kString)
      .Infer(InferSearch)
      .Sbp(SearchRule)
      .NotDifferentiable("an index is piecewise constant")
      .Unclaimed("*P*->*", "of sequences of equal numbers, as the samples have them")
      .Unclaimed("*S*->*", "of sequences of equal numbers, as the samples have them")
      .Oracle("searchsorted(sorted_sequence, input, sorter, right, side, out_int32)")
      .Py("searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, "
          "sorter=None)")
      .Public()
      .Samples(SearchSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "leading axes of the values"},
                     {{{DType::kFloat32, {2}}, {DType::kFloat32, {4}}},
                      {{"side", std::string("middle")}},
                      Code::kInvalidArgument,
                      "got side='middle'"},
                     {{{DType::kFloat32, {2}}, {DType::kInt64, {4}}},
                      {},
                      Code::kTypeMismatch,
                      "dtypes of sorted_sequence and the values differ"}});
  ForEachDType<kReals>([&]<class T>(DType dtype) { op.Cpu(dtype, RunSearch<T>); });
}

OFL_OP(bucketize) {
  op.Doc(
        "For each element the index of the bucket between the sorted `boundaries` that it falls\n"
        "into; what equals a boundary stands before it, or (`right`) behind.")
      .In("input")
      .In("boundaries")
      .Out("output")
      .Attr("out_int32", op::AttrType::kBool, false)
      .Attr("right", op::AttrType::kBool, false)
      .Compose(ComposeBucketize)
      .Oracle("searchsorted(boundaries, input, None, right, None, out_int32)")
      .Py("bucketize(input, boundaries, *, out_int32=False, right=False)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : {DType::kInt64, DType::kInt32}) {
          samples.push_back({{{d, {3, 2}}, {d, {4}}}, {}, 0, 1, ""});
          samples.back().ranges = {{0, 4}, {1, 2}};
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "boundaries must be a vector"}});
}

}  // namespace ofl::ops
