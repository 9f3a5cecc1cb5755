// argmax and argmin: where the extreme value stands.
#include "oneflow_like/ops/reduce/reducer.h"

namespace ofl::ops {
namespace {

// The extreme so far and where it stands.
template <class T>
struct Found {
  T value;
  int64_t at;  // -1: nothing was seen
};

// NaN counts as the extreme, the first of equal values wins: as in torch.
template <class T, bool kMax>
struct Search {
  using Acc = Found<T>;
  static OFL_INLINE bool Before(T x, T best) { return kMax ? x > best : x < best; }
  static OFL_INLINE T Extreme(T a, T x) { return Before(x, a) | (x != x) ? x : a; }
  static OFL_INLINE bool Beats(T x, const Acc& best) {
    if (best.at < 0) return true;
    if (best.value != best.value) return false;
    return (x != x) | Before(x, best.value);
  }
  static void Clear(void* acc, int64_t n) { std::fill_n(static_cast<Acc*>(acc), n, Acc{T(), -1}); }

  static OFL_INLINE T ExtremeOf(const T* x, int64_t n) {
    T lanes[kLanes];
    for (int j = 0; j < kLanes; ++j) lanes[j] = x[std::min<int64_t>(j, n - 1)];
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
      for (int j = 0; j < kLanes; ++j) lanes[j] = Extreme(lanes[j], x[i + j]);
    for (; i < n; ++i) lanes[0] = Extreme(lanes[0], x[i]);
    for (int width = kLanes / 2; width > 0; width /= 2)
      for (int j = 0; j < width; ++j) lanes[j] = Extreme(lanes[j], lanes[j + width]);
    return lanes[0];
  }
  // The extreme of a block first; where it stands is asked only where it is a new one.
  static OFL_SIMD void Run(void* acc, void*, const void* from, int64_t n, int64_t position, bool,
                           bool) {
    constexpr int64_t kBlock = 1024;
    const T* x = static_cast<const T*>(from);
    Acc best = *static_cast<Acc*>(acc);
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t count = std::min(kBlock, n - begin);
      const T* block = x + begin;
      const T extreme = ExtremeOf(block, count);
      if (!Beats(extreme, best)) continue;
      int64_t at = 0;
      while (extreme == extreme ? block[at] != extreme : block[at] == block[at]) ++at;
      best = {extreme, position + begin + at};
    }
    *static_cast<Acc*>(acc) = best;
  }

  // The first extreme of each column among these rows, side by side; then that of all rows.
  template <int kWidth>
  static OFL_INLINE void RunColumns(Acc* best, const std::byte* x, int64_t stride, int64_t count,
                                    int64_t position) {
    using Place = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
    T value[kWidth];
    Place at[kWidth];
    const T* row = reinterpret_cast<const T*>(x);
    for (int j = 0; j < kWidth; ++j) {
      value[j] = row[j];
      at[j] = 0;
    }
    for (int64_t r = 1; r < count; ++r) {
      row = reinterpret_cast<const T*>(x + r * stride);
      for (int j = 0; j < kWidth; ++j) {
        const bool beats = Before(row[j], value[j]) | ((row[j] != row[j]) & (value[j] == value[j]));
        value[j] = beats ? row[j] : value[j];
        at[j] = beats ? static_cast<Place>(r) : at[j];
      }
    }
    for (int j = 0; j < kWidth; ++j)
      if (Beats(value[j], best[j])) best[j] = {value[j], position + at[j]};
  }
  static OFL_SIMD void Rows(void* acc, const void* from, int64_t stride, int64_t count, int64_t n,
                            int64_t position) {
    constexpr int kWidth = 32;
    const auto* x = static_cast<const std::byte*>(from);
    Acc* best = static_cast<Acc*>(acc);
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth)
      RunColumns<kWidth>(best + i, x + i * sizeof(T), stride, count, position);
    for (; i < n; ++i) RunColumns<1>(best + i, x + i * sizeof(T), stride, count, position);
  }
  static void Join(void* acc, const void* later) {
    const Acc& next = *static_cast<const Acc*>(later);
    Acc& best = *static_cast<Acc*>(acc);
    if (next.at >= 0 && Beats(next.value, best)) best = next;
  }
  static void Finish(const void* acc, const ops::Finish&, void* y, int64_t n) {
    const Acc* best = static_cast<const Acc*>(acc);
    for (int64_t i = 0; i < n; ++i) static_cast<int64_t*>(y)[i] = best[i].at;
  }
};

template <class T, bool kMax>
inline const Reducer kSearch = {
    DTypeOf<T>::value,    DType::kInt64,         sizeof(Found<T>),      Search<T, kMax>::Clear,
    Search<T, kMax>::Run, Search<T, kMax>::Rows, Search<T, kMax>::Join, Search<T, kMax>::Finish};

// The axis searched; -1: the flattened tensor.
int AxisOf(const Attrs& attrs, int rank) {
  const auto& dim = attrs.Get<std::vector<int64_t>>("dim");
  if (dim.empty()) return -1;
  return static_cast<int>(dim[0] < 0 ? dim[0] + rank : dim[0]);
}

template <class T, bool kMax>
Status RunArg(op::KernelContext& c) {
  const int rank = c.inputs[0].meta.shape.rank();
  return Reduce(c, kSearch<T, kMax>, AxesOf(*c.attrs, rank, c.attr<bool>("keepdim")));
}

Status InferArg(op::InferContext& c) {
  const Shape& in = c.input(0).shape;
  const bool keepdim = c.attr<bool>("keepdim");
  OFL_TRY(RequireIn(c, 0, kReals));
  const auto& dim = c.attr<std::vector<int64_t>>("dim");
  OFL_ENSURE(dim.size() <= 1, Code::kInvalidArgument)
      << "several axes at once; expected one dim, or none for the flattened tensor";
  Shape out;
  if (dim.empty()) {
    OFL_ENSURE(in.numel() > 0, Code::kOutOfRange)
        << "an empty tensor has no extreme value; expected at least one element";
    for (int i = 0; keepdim && i < in.rank(); ++i) out.push_back(1);
  } else {
    OFL_ASSIGN(const int axis, NormalizeAxis(dim[0], in.rank()));
    OFL_ENSURE(in.rank() == 0 || in[axis] > 0, Code::kOutOfRange)
        << "axis " << axis << " is empty and has no extreme value; expected at least one element";
    out = in;
    if (in.rank() > 0 && keepdim) out[axis] = 1;
    if (in.rank() > 0 && !keepdim) out.erase(axis);
  }
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

std::string ArgRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  const int rank = in[0].rank();
  const int axis = rank == 0 ? -1 : AxisOf(attrs, rank);
  std::string from, to;
  for (int i = 0; i < rank; ++i) {
    const bool searched = axis < 0 || i == axis;
    const std::string label = searched ? "! " : "a" + std::to_string(i) + " ";
    from += label;
    if (!searched || out[0].rank() == rank) to += searched ? std::string("1 ") : label;
  }
  return "(" + from + ")->(" + to + ")";
}

std::vector<op::Sample> ArgSamples() {
  constexpr DType kF = DType::kFloat32;
  std::vector<op::Sample> samples{{{{kF, {5, 3}}}, {{"dim", Ints{0}}}},
                                  {{{kF, {5, 3}}}, {{"dim", Ints{-1}}, {"keepdim", true}}},
                                  {{{kF, {2, 3, 4}}}, {{"dim", Ints{1}}}},
                                  {{{kF, {5, 3}}}, {}},
                                  {{{kF, {}}}, {}},
                                  {{{kF, {0, 3}}}, {{"dim", Ints{1}}}}};
  for (DType dtype : ListOf(kReals)) samples.push_back({{{dtype, {5, 3}}}, {{"dim", Ints{1}}}});
  return samples;
}

template <bool kMax>
void Arg(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, std::vector<int64_t>{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Infer(InferArg)
      .Sbp(ArgRule)
      .NotDifferentiable("an index is piecewise constant")
      .Strided()
      .Samples(ArgSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim", std::vector<int64_t>{2}}},
                      Code::kOutOfRange,
                      "but got 2"},
                     {{{DType::kFloat32, {2, 0}}},
                      {{"dim", std::vector<int64_t>{1}}},
                      Code::kOutOfRange,
                      "axis 1 is empty"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dim", std::vector<int64_t>{0, 1}}},
                      Code::kInvalidArgument,
                      "several axes at once"},
                     {{{DType::kBool, {2}}}, {}, Code::kTypeMismatch, "bool is not a number"}});
  ForEachDType<kReals>([&]<class T>(DType dtype) { op.Cpu(dtype, RunArg<T, kMax>); });
}

}  // namespace

OFL_OP(argmax) {
  Arg<true>(op, "The index of the first largest value along `dim` (none: of the flat tensor).");
  op.Oracle("search(np.argmax, input, dim, keepdim)")
      .PyBoth("argmax(input, dim=None, keepdim=False)");
}
OFL_OP(argmin) {
  Arg<false>(op, "The index of the first smallest value along `dim` (none: of the flat tensor).");
  op.Oracle("search(np.argmin, input, dim, keepdim)")
      .PyBoth("argmin(input, dim=None, keepdim=False)");
}

}  // namespace ofl::ops
