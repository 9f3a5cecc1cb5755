// sum, mean, amax, amin over axes.
#include "oneflow_like/ops/reduce/reducer.h"

namespace ofl::ops {
namespace {

// NaN wins over everything, as in torch. Empty: the value every other beats.
template <class T>
struct MaxOf {
  using Acc = T;
  static OFL_INLINE Acc Identity() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return (x > a) | (x != x) ? x : a; }
};
template <class T>
struct MinOf {
  using Acc = T;
  static OFL_INLINE Acc Identity() {
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::max();
  }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return (x < a) | (x != x) ? x : a; }
};

constexpr DTypeSet kSummed = kNumbers | kBools;
constexpr DTypeSet kOrdered = kReals | kBools;

// bool is counted, and ordered, as an integer.
template <class T>
using Counted = std::conditional_t<std::is_same_v<T, bool>, int32_t, T>;

Status CheckDims(const op::InferContext& c) {
  const int rank = c.input(0).shape.rank();
  std::array<bool, kMaxRank> seen{};
  for (int64_t d : c.attr<std::vector<int64_t>>("dim")) {
    OFL_ASSIGN(const int axis, NormalizeAxis(d, rank));
    OFL_ENSURE(!seen[static_cast<size_t>(axis)], Code::kInvalidArgument)
        << "axis " << axis << " stands twice in dim; expected different axes";
    seen[static_cast<size_t>(axis)] = true;
  }
  return Status::Ok();
}

ReducedAxes AxesFor(const op::InferContext& c) {
  return AxesOf(c.attrs(), c.input(0).shape.rank(), c.attr<bool>("keepdim"));
}

template <DTypeSet kSet>
Status InferReduce(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kSet));
  OFL_TRY(CheckDims(c));
  c.AddOutput(
      {c.input(0).dtype, ReducedShape(c.input(0).shape, AxesFor(c), c.attr<bool>("keepdim"))});
  return Status::Ok();
}

// As torch: integers and bool add up in int64.
Status InferSum(op::InferContext& c) {
  OFL_TRY(InferReduce<kSummed>(c));
  if (!IsDifferentiable(c.input(0).dtype)) c.outputs[0].dtype = DType::kInt64;
  return Status::Ok();
}

Status InferExtreme(op::InferContext& c) {
  OFL_TRY(InferReduce<kOrdered>(c));
  const Shape& in = c.input(0).shape;
  const ReducedAxes axes = AxesFor(c);
  for (int i = 0; i < in.rank(); ++i)
    OFL_ENSURE(!axes.reduce[static_cast<size_t>(i)] || in[i] > 0, Code::kInvalidArgument)
        << "axis " << i << " is empty and has no extreme value; expected at least one element";
  return Status::Ok();
}

// Reduced axes are factors of the input alone; kept with size 1 they carry no factor.
std::string ReduceRule(const Shape& in, const Attrs& attrs, const char* how) {
  const bool keepdim = attrs.Get<bool>("keepdim");
  const ReducedAxes axes = AxesOf(attrs, in.rank(), keepdim);
  std::string kept, properties;
  for (int i = 0; i < in.rank(); ++i) {
    const bool reduced = axes.reduce[static_cast<size_t>(i)];
    const std::string label = "a" + std::to_string(i);
    if (!reduced) kept += label + " ";
    if (reduced && keepdim) kept += "1 ";
    if (reduced) properties += "; reduce " + label + " by " + how;
  }
  return "(" + Labels("a", in.rank()) + ")->(" + kept + ")" + properties;
}

std::string SumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "sum") + "; linear 0";
}
std::string MaxRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "max");
}
std::string MinRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "min");
}

ReducedAxes AxesFor(const op::KernelContext& c) {
  return AxesOf(*c.attrs, c.inputs[0].meta.shape.rank(), c.attr<bool>("keepdim"));
}

template <class R, class T, class Out>
Status RunReduce(op::KernelContext& c) {
  return Reduce(c, kReducer<R, T, Out>, AxesFor(c));
}

// Divides by the logical count, so that the parts of a split axis are partial sums.
template <class T>
Status RunMean(op::KernelContext& c) {
  const ReducedAxes axes = AxesFor(c);
  double count = 1;
  for (int i = 0; i < c.inputs[0].meta.shape.rank(); ++i)
    if (axes.reduce[static_cast<size_t>(i)])
      count *= static_cast<double>(c.logical_inputs[0].shape[i]);
  return Reduce(c, kReducer<SumOf<T>, T>, axes, count);
}

template <template <class> class R, DTypeSet kSet>
void Kernels(op::OpDefBuilder& op) {
  ForEachDType<kSet>([&]<class Stored>(DType dtype) {
    using T = Counted<Stored>;
    using Acc = typename R<T>::Acc;
    op.Cpu(dtype, RunReduce<R<T>, T, std::conditional_t<std::is_integral_v<T>, Acc, T>>);
  });
}

// --- gradients ----------------------------------------------------------------------------------

// A reduction's result with its axes back at size 1.
op::Value WithAxes(op::GradContext& c, const op::Value& y) {
  const Shape& in = c.inputs[0]->meta().shape;
  const Shape kept = ReducedShape(in, AxesOf(c.attrs, in.rank(), true), true);
  if (y == nullptr || y->meta().shape == kept) return y;
  return c.b.Call("reshape", {y}, {{"shape", DimsOf(kept)}});
}

op::Value SpreadOut(op::GradContext& c, const op::Value& y) {
  return c.b.Call("broadcast_to", {WithAxes(c, y)}, {{"shape", DimsOf(c.inputs[0]->meta().shape)}});
}

void GradSum(op::GradContext& c) { c.Set(0, SpreadOut(c, c.grads[0])); }

void GradMean(op::GradContext& c) {
  const Shape& in = c.inputs[0]->meta().shape;
  const int64_t out = std::max<int64_t>(c.outputs[0]->meta().shape.numel(), 1);
  const double count = static_cast<double>(std::max<int64_t>(in.numel(), 1)) / out;
  const op::Value scaled = c.b.Call("div_scalar", {c.grads[0]}, {{"scalar", count}});
  c.Set(0, SpreadOut(c, scaled));
}

// Equal extremes share the gradient.
void GradExtreme(op::GradContext& c) {
  const op::Value hit = c.b.Call("eq", {c.inputs[0], SpreadOut(c, c.outputs[0])});
  const op::Value mask = c.b.Call("cast", {hit}, {{"dtype", c.inputs[0]->meta().dtype}});
  const op::Value count = c.b.Call("sum", {mask}, c.attrs);
  const op::Value share = c.b.Call("div", {c.grads[0], count});
  c.Set(0, Mul(c.b, mask, SpreadOut(c, share)));
}

// --- samples ------------------------------------------------------------------------------------

std::vector<op::Sample> ReduceSamples(DTypeSet set, bool empty) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape shape, std::vector<int64_t> dim, bool keepdim) {
    samples.push_back({{{d, shape}}, {{"dim", dim}, {"keepdim", keepdim}}, -4, 4, ""});
  };
  for (DType d : ListOf(set)) {
    add(d, {5, 3}, {0}, false);
    if (d == DType::kFloat16) add(d, {3, 40}, {1}, false);
    if (d != DType::kFloat32) continue;
    add(d, {5, 3}, {1}, false);
    add(d, {5, 3}, {-1}, true);
    add(d, {5, 3}, {}, false);
    add(d, {5, 3}, {}, true);
    add(d, {2, 3, 4}, {0, 2}, false);
    add(d, {2, 3, 4}, {1}, true);
    add(d, {3, 2, 4, 2}, {0, 2}, true);
    add(d, {}, {}, false);
    add(d, {1, 4}, {0}, false);
    add(d, {0, 3}, {1}, false);
    add(d, {3, 40}, {1}, false);
    if (empty) add(d, {0, 3}, {0}, false);
  }
  return samples;
}

op::OpDefBuilder& Reduction(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, std::vector<int64_t>{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Strided()
      .Unclaimed("P->P", "of a tensor without axes, where a reduction is the identity")
      .Unclaimed("P(max)->P(max)", "of amax, which rules have no form for, or without axes")
      .Unclaimed("P(min)->P(min)", "of amin, which rules have no form for, or without axes")
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return in[0].shape.numel();
      });
}

std::vector<op::ErrorSample> DimErrors(DType refused, const char* text) {
  constexpr DType kF = DType::kFloat32;
  using Dims = std::vector<int64_t>;
  return {{{{kF, {2, 3}}},
           {{"dim", Dims{5}}},
           Code::kOutOfRange,
           "expected to be in range of [-2, 1], but got 5"},
          {{{kF, {2, 3}}},
           {{"dim", Dims{1, -1}}},
           Code::kInvalidArgument,
           "axis 1 stands twice in dim: got input: float32[2,3], dim=[1, -1]"},
          {{{refused, {2}}}, {}, Code::kTypeMismatch, text}};
}

std::vector<op::ErrorSample> ExtremeErrors() {
  auto errors = DimErrors(DType::kComplex64, "complex64 is not real and has no order");
  errors.push_back({{{DType::kFloat32, {0, 3}}},
                    {},
                    Code::kInvalidArgument,
                    "axis 0 is empty and has no extreme value"});
  return errors;
}

}  // namespace

OFL_OP(sum) {
  Reduction(op,
            "The sum over the axes `dim` (none given: all); of integers and bool in int64. Of an\n"
            "empty axis: 0.")
      .Infer(InferSum)
      .Sbp(SumRule)
      .Grad(GradSum)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.sum(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("sum(input, dim=None, keepdim=False)")
      .Samples([] { return ReduceSamples(kSummed, true); })
      .ErrorSamples(DimErrors(DType::kFloat8E4M3, "stores numbers but is not computed in"));
  Kernels<SumOf, kSummed>(op);
}

OFL_OP(mean) {
  constexpr DTypeSet kSet = kFloats | kComplexes;
  Reduction(op, "The mean over the axes `dim` (none given: all). Of an empty axis: NaN.")
      .Infer(InferReduce<kSet>)
      .Sbp(SumRule)
      .Grad(GradMean)
      .Oracle("np.mean(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("mean(input, dim=None, keepdim=False)")
      .Samples([] { return ReduceSamples(kSet, false); })
      .ErrorSamples(DimErrors(DType::kInt64, "int64 is not a floating dtype"));
  ForEachDType<kSet>([&]<class T>(DType dtype) { op.Cpu(dtype, RunMean<T>); });
}

OFL_OP(amax) {
  Reduction(op, "The largest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Infer(InferExtreme)
      .Sbp(MaxRule)
      .Grad(GradExtreme)
      .Oracle("np.max(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("amax(input, dim=None, keepdim=False)")
      .PyBoth("max(input)")
      .Samples([] { return ReduceSamples(kOrdered, false); })
      .ErrorSamples(ExtremeErrors());
  Kernels<MaxOf, kOrdered>(op);
}

OFL_OP(amin) {
  Reduction(op, "The smallest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Infer(InferExtreme)
      .Sbp(MinRule)
      .Grad(GradExtreme)
      .Oracle("np.min(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("amin(input, dim=None, keepdim=False)")
      .PyBoth("min(input)")
      .Samples([] { return ReduceSamples(kOrdered, false); })
      .ErrorSamples(ExtremeErrors());
  Kernels<MinOf, kOrdered>(op);
}

}  // namespace ofl::ops
