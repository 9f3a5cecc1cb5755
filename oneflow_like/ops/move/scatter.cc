// scatter_to: values put into, or combined with, the places along one axis that an index names. The
// public functions (scatter, scatter_add, scatter_reduce, index_reduce) are composites of it.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/indices.h"

namespace ofl::ops {
namespace {

enum class Mode { kAssign, kSum, kProd, kMean, kMax, kMin };

Mode ModeOf(const Attrs& attrs) {
  const auto& name = attrs.Get<std::string>("reduce");
  if (name == "sum") return Mode::kSum;
  if (name == "prod") return Mode::kProd;
  if (name == "mean") return Mode::kMean;
  if (name == "amax") return Mode::kMax;
  return name == "amin" ? Mode::kMin : Mode::kAssign;
}
bool Extreme(Mode mode) { return mode == Mode::kMax || mode == Mode::kMin; }

Status InferScatterTo(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 1, "index"));
  OFL_TRY(RequireSameDType(c, 0, 2, "input and src"));
  const Shape &x = c.input(0).shape, &index = c.input(1).shape;
  const auto& name = c.attr<std::string>("reduce");
  const Mode mode = ModeOf(c.attrs());
  const DType dtype = c.input(0).dtype;
  OFL_ENSURE(name.empty() || mode != Mode::kAssign, Code::kInvalidArgument)
      << "the reduction is unknown; expected sum, prod, mean, amax or amin";
  OFL_ENSURE(mode == Mode::kAssign || !IsFloat8(dtype), Code::kTypeMismatch)
      << "nothing is combined in a storage type; convert with .to(dtype)";
  OFL_ENSURE(!Extreme(mode) || !IsComplex(dtype), Code::kTypeMismatch)
      << "complex numbers have no order; expected real ones for " << name;
  OFL_ENSURE(mode != Mode::kMean || dtype != DType::kBool, Code::kTypeMismatch)
      << "truth values have no mean; convert with .to(dtype)";
  OFL_ENSURE(x.rank() > 0 && x.rank() == index.rank() && c.input(2).shape == index,
             Code::kInvalidArgument)
      << "input, index and src must have the same number of axes, at least 1, and src index's "
         "shape";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), x.rank()));
  for (int i = 0; i < x.rank(); ++i)
    OFL_ENSURE(i == axis || index[i] == x[i], Code::kInvalidArgument)
        << "index must have input's sizes outside dim; expected index.shape[" << i
        << "] == " << x[i];
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string ScatterToRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  const Mode mode = ModeOf(attrs);
  const bool splits = Extreme(mode) && attrs.Get<bool>("include_self");
  std::string whole = "(", index = "(";
  for (int i = 0; i < rank; ++i) {
    const std::string label = "a" + std::to_string(i) + " ";
    whole += i == axis ? "v " : label;
    index += i != axis ? label : splits ? "i " : "! ";
  }
  std::string text = whole + ")," + index + ")," + index + ")->" + whole + "); offset v";
  if (splits) text += mode == Mode::kMax ? "; reduce i by max" : "; reduce i by min";
  if (mode == Mode::kAssign)
    text += "; linear jointly 0 2; monotone 0 2; max jointly 0 2; min jointly 0 2";
  else
    text += mode == Mode::kSum ? "; linear jointly 0 2; never partial max min" : "; never partial";
  return text;
}

// Calls body(place in out, place in src) for each element of the index in row-major order; threads
// share out the axes before `dim`, so that no two come to one place.
template <class Body>
void ForPlaces(op::KernelContext& c, const op::TensorView& out, const Strides& src,
               const Body& body) {
  const op::TensorView& index = c.inputs[1];
  const Shape& shape = index.meta.shape;
  const int rank = shape.rank(), axis = AxisAttr(*c.attrs, "dim", rank), last = rank - 1;
  const int64_t first = c.output_offsets[0][axis], extent = out.meta.shape[axis];
  const int64_t along = out.strides[axis], block = ProductOf(shape, axis, rank);
  const std::array<Strides, 3> strides = {index.strides, src, Without(out.strides, axis)};
  Parallel(
      c.stream, ProductOf(shape, 0, axis), RowGrain(block * 4), [&](int64_t begin, int64_t end) {
        ForRows<3>(shape, strides, begin * block, end * block, [&](const auto& offset, int64_t n) {
          // Copies of its own: what body() writes might be any of them, to the compiler.
          const int64_t* at = index.as<int64_t>() + offset[0];
          const int64_t steps[] = {strides[0][last], strides[1][last], strides[2][last]};
          const int64_t begins = first, size = extent, stride = along;
          for (int64_t j = 0; j < n; ++j) {
            const int64_t place = at[j * steps[0]] - begins;
            if (place < 0 || place >= size) continue;
            body(offset[2] + j * steps[2] + place * stride, offset[1] + j * steps[1]);
          }
        });
      });
}

template <class T>
T Times(T a, T b) {
  if constexpr (std::is_same_v<T, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}
// A NaN stays.
template <class T>
T Larger(T a, T b) {
  return a != a || a > b ? a : b;
}
template <class T>
T Smaller(T a, T b) {
  return a != a || a < b ? a : b;
}
template <class T>
T Neutral(Mode mode) {
  if constexpr (std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>) {
    return mode == Mode::kProd ? T(1) : T(0);
  } else {
    using Limits = std::numeric_limits<T>;
    const T high = Limits::has_infinity ? Limits::infinity() : Limits::max();
    const T low = Limits::has_infinity ? -Limits::infinity() : Limits::min();
    if (Extreme(mode)) return mode == Mode::kMax ? low : high;
    return mode == Mode::kProd ? T(1) : T(0);
  }
}
// Whole numbers round downwards.
template <class T>
T Share(T sum, int64_t count) {
  if constexpr (std::is_same_v<T, int64_t>)
    return sum / count - (sum % count < 0 ? 1 : 0);
  else
    return sum / static_cast<decltype(std::abs(sum))>(count);
}

template <class T>
void Combine(op::KernelContext& c, const op::TensorView& src, const op::TensorView& sums,
             Mode mode) {
  const T* from = src.as<T>();
  T* to = sums.as<T>();
  const auto each = [&](const auto& combine) {
    ForPlaces(c, sums, src.strides,
              [=](int64_t at, int64_t value) { to[at] = combine(to[at], from[value]); });
  };
  if (!c.attr<bool>("include_self")) {
    const T none = Neutral<T>(mode);
    each([&](T, T) { return none; });
  }
  switch (mode) {
    case Mode::kProd: return each([](T a, T b) { return Times<T>(a, b); });
    case Mode::kMax:
    case Mode::kMin:
      if constexpr (std::is_arithmetic_v<T>) each(mode == Mode::kMax ? Larger<T> : Smaller<T>);
      return;
    default: return each([](T a, T b) { return Plus<T>(a, b); });
  }
}

// How many values each place got, itself among them where it counts.
template <class T>
void Divide(op::KernelContext& c, const op::TensorView& sums, int64_t* counts) {
  const Shape& shape = sums.meta.shape;
  const op::TensorView held(counts, {DType::kInt64, shape});
  std::fill(counts, counts + shape.numel(), c.attr<bool>("include_self") ? 1 : 0);
  ForPlaces(c, held, c.inputs[2].strides, [&](int64_t at, int64_t) { ++counts[at]; });
  int64_t i = 0;
  const int64_t step = shape.rank() > 0 ? sums.strides[shape.rank() - 1] : 0;
  ForRows<1>(shape, {sums.strides}, 0, shape.numel(), [&](const auto& offset, int64_t n) {
    T* row = sums.as<T>() + offset[0];
    for (int64_t j = 0; j < n; ++j, ++i)
      if (counts[i] > 1) row[j * step] = Share(row[j * step], counts[i]);
  });
}

int64_t ScatterToBound(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                       const Attrs& attrs, int) {
  const Mode mode = ModeOf(attrs);
  if (mode == Mode::kAssign) return 0;
  const int64_t counts = mode == Mode::kMean ? SaturatingMul(in[0].shape.numel(), 8) : 0;
  return SaturatingAdd(counts, SaturatingAdd(WidenedBytes(in[0]), WidenedBytes(in[2])));
}

Status RunScatterTo(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const int axis = AxisAttr(*c.attrs, "dim", y.meta.shape.rank());
  const Mode mode = ModeOf(*c.attrs);
  OFL_TRY(CheckIndices("scatter", c.inputs[1], c.logical_inputs[0].shape[axis]));
  if (mode == Mode::kAssign) {
    CopyBox(c.stream, c.inputs[0], y);
    WithBits(ElementSize(y), [&]<class T>(T) {
      const T* from = c.inputs[2].as<T>();
      T* to = y.as<T>();
      ForPlaces(c, y, c.inputs[2].strides,
                [=](int64_t at, int64_t value) { to[at] = from[value]; });
    });
    return Status::Ok();
  }
  std::byte* scratch = c.workspace.data();
  op::TensorView sums = y;
  const bool wide = SumsIn(y.meta.dtype) != y.meta.dtype;
  if (wide) {
    OFL_ASSIGN(sums, Widened(c.stream, c.inputs[0], scratch));
  } else {
    CopyBox(c.stream, c.inputs[0], y);
  }
  OFL_ASSIGN(const op::TensorView src, Widened(c.stream, c.inputs[2], scratch));
  if (y.numel() == 0) return Status::Ok();
  WithSums(sums.meta.dtype, [&]<class T>(T) {
    Combine<T>(c, src, sums, mode);
    if (mode == Mode::kMean) Divide<T>(c, sums, reinterpret_cast<int64_t*>(scratch));
  });
  return wide ? CastElements(c.stream, sums, y) : Status::Ok();
}

// --- gradients
// ------------------------------------------------------------------------------------

class Rule {
 public:
  explicit Rule(op::GradContext& c)
      : c_(c),
        x_(c.inputs[0]),
        index_(c.inputs[1]),
        src_(c.inputs[2]),
        dim_{{"dim", c.attrs.Get<int64_t>("dim")}},
        keeps_(c.attrs.Get<bool>("include_self")) {}

  void Assign() const {
    if (c_.Needs(0)) c_.Set(0, Cleared(c_.grads[0]));
    if (c_.Needs(2)) c_.Set(2, At(c_.grads[0]));
  }
  void Sum() const {
    SetBoth(c_.grads[0], [&] { return At(c_.grads[0]); });
  }
  void Mean() const {
    op::Value count = Of("ones_like", x_);
    if (!keeps_) count = Cleared(count);
    count = Scattered(count, Of("ones_like", src_), "sum");
    const op::Value one = Of("ones_like", x_);
    count = c_.b.Call("where", {Against(c_.b, "eq", count, 0), one, count});
    const op::Value grad = c_.b.Call("div", {c_.grads[0], count});
    SetBoth(grad, [&] { return At(grad); });
  }
  void Prod() const {
    const op::Value grad = c_.grads[0];
    const op::Value result = c_.outputs[0];
    if (c_.Needs(0)) {
      const op::Value others = Scattered(Of("ones_like", x_), src_, "prod");
      SetOwn(Mul(c_.b, grad, Conj(c_.b, others)));
    }
    if (!c_.Needs(2)) return;
    // Of one zero at a place the others' product is the slope; of several nothing is.
    const op::Value zero = Against(c_.b, "eq", src_, 0);
    const op::Value one = Of("ones_like", src_), none = Of("zeros_like", src_);
    const op::Value zeros =
        At(Scattered(Of("zeros_like", x_), c_.b.Call("where", {zero, one, none}), "sum"));
    const op::Value single = c_.b.Call("logical_and", {zero, c_.b.Call("eq", {zeros, one})});
    const op::Value masked = c_.b.Call("where", {single, one, src_});
    const op::Value rest = At(Mul(c_.b, grad, Conj(c_.b, Scattered(x_, masked, "prod"))));
    const op::Value all = At(Mul(c_.b, grad, Conj(c_.b, Scattered(x_, src_, "prod"))));
    const op::Value divisor = Conj(c_.b, c_.b.Call("where", {zero, one, src_}));
    c_.Set(2, c_.b.Call("where", {single, rest, c_.b.Call("div", {all, divisor})}));
  }
  // Ties share alike.
  void Extreme() const {
    const op::Value result = c_.outputs[0];
    const op::Value own = Equal(x_, result), given = Equal(src_, At(result));
    const op::Value counted = keeps_ ? own : Cleared(own);
    const op::Value count = Scattered(counted, given, "sum");
    const op::Value each = c_.b.Call("div", {c_.grads[0], count});
    SetBoth(Mul(c_.b, counted, each), [&] { return Mul(c_.b, given, At(each)); });
  }

 private:
  op::Value Of(const char* name, const op::Value& x) const { return c_.b.Call(name, {x}); }
  op::Value At(const op::Value& x) const { return c_.b.Call("gather", {x, index_}, dim_); }
  op::Value Scattered(const op::Value& x, const op::Value& src, const char* reduce) const {
    Attrs attrs = dim_;
    attrs.Set("reduce", std::string(reduce));
    attrs.Set("include_self", reduce[0] == '\0' || reduce[0] == 's' ? true : keeps_);
    return c_.b.Call("scatter_to", {x, index_, src}, attrs);
  }
  op::Value Cleared(const op::Value& x) const { return Scattered(x, Of("zeros_like", src_), ""); }
  op::Value Equal(const op::Value& x, const op::Value& y) const {
    return CastTo(c_.b, c_.b.Call("eq", {x, y}), x->meta().dtype);
  }
  void SetOwn(const op::Value& grad) const { c_.Set(0, keeps_ ? grad : Cleared(grad)); }
  template <class Fn>
  void SetBoth(const op::Value& own, const Fn& given) const {
    if (c_.Needs(0)) SetOwn(own);
    if (c_.Needs(2)) c_.Set(2, given());
  }

  op::GradContext& c_;
  op::Value x_, index_, src_;
  Attrs dim_;
  bool keeps_;
};

void GradScatterTo(op::GradContext& c) {
  if (!c.grads[0]) return;
  const Rule rule(c);
  switch (ModeOf(c.attrs)) {
    case Mode::kAssign: return rule.Assign();
    case Mode::kSum: return rule.Sum();
    case Mode::kMean: return rule.Mean();
    case Mode::kProd: return rule.Prod();
    default: return rule.Extreme();
  }
}

constexpr DType kF = DType::kFloat32, kI = DType::kInt64;

op::Sample Of(Shape x, Shape index, int64_t dim, double high, const char* reduce = "",
              bool include_self = true, DType dtype = kF) {
  return {{{dtype, x}, {kI, index}, {dtype, index}},
          {{"dim", dim}, {"reduce", std::string(reduce)}, {"include_self", include_self}},
          0,
          high};
}

std::vector<op::Sample> ScatterSamples() {
  // Assigned once: of values for one place each would count in the gradient, as in torch.
  std::vector<op::Sample> samples = WithDTypes(
      {Of({4, 3}, {1, 3}, 0, 4), Of({2, 3, 4}, {2, 1, 4}, 1, 3)}, WithoutFloat8(), {0, 2});
  samples.push_back(Of({3, 5}, {3, 6}, -1, 5, "", true, DType::kInt32));
  for (const char* reduce : {"sum", "prod", "mean", "amax", "amin"}) {
    samples.push_back(Of({4, 3}, {5, 3}, 0, 4, reduce));
    samples.push_back(Of({3, 4}, {3, 5}, 1, 4, reduce, false));
    for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kInt64, DType::kUInt8})
      samples.push_back(Of({3, 4}, {3, 2}, 1, 4, reduce, true, dtype));
  }
  for (DType dtype : {DType::kBFloat16, DType::kInt8, DType::kInt16, DType::kInt32, DType::kBool,
                      DType::kComplex64, DType::kComplex128})
    samples.push_back(Of({3, 4}, {3, 2}, 1, 4, "sum", true, dtype));
  samples.push_back(Of({3}, {0}, 0, 3, "sum"));
  return samples;
}

}  // namespace

OFL_OP(scatter_to) {
  op.Doc(
        "`input` with the elements of `src` at the places along `dim` that the int64 `index` "
        "names,\n"
        "put there or combined by `reduce`: sum, prod, mean, amax, amin. Without `include_self` "
        "what\n"
        "was there does not count. Index has input's sizes in every other axis, src index's shape.")
      .In("input")
      .In("index")
      .In("src")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("reduce", op::AttrType::kString, std::string())
      .Attr("include_self", op::AttrType::kBool, true)
      .Infer(InferScatterTo)
      .Sbp(ScatterToRule)
      .Grad(GradScatterTo)
      .InPlace(0, 0)
      .Strided()
      .Unclaimed("B,S(*),S(*)->P(max)", "of truth values, whose sum is a maximum")
      .Unclaimed("P,S(*),S(*)->P", "of an index that is split: sums of each rank's own values")
      .Oracle("scatter_to(input, index, src, dim, reduce, include_self)")
      .Py("_scatter_to(input, index, src, dim, reduce='', include_self=True)")
      .Samples(ScatterSamples)
      .ErrorSamples({{{{kF, {4, 3}}, {kI, {2, 2}}, {kF, {2, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index.shape[1] == 3"},
                     {{{kF, {4}}, {kI, {2}}, {kF, {2}}},
                      {{"dim", int64_t{0}}, {"reduce", std::string("median")}},
                      Code::kInvalidArgument,
                      "reduction is unknown"}});
  CpuForAllTypes(op, RunScatterTo, ScatterToBound);
}

}  // namespace ofl::ops
