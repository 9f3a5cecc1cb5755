// sum, mean and prod over axes, in a dtype of the caller's choice.
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

// Whole products wrap, floating ones are kept in double.
template <class T>
struct ProductOf {
  using Acc = typename SumOf<T>::Acc;
  static OFL_INLINE Acc Identity() { return Acc(1); }
  static OFL_INLINE Acc Join(Acc a, Acc x) {
    if constexpr (std::is_integral_v<T>) {
      return static_cast<Acc>(static_cast<uint64_t>(a) * static_cast<uint64_t>(x));
    } else {
      return math::Mul(a, x);
    }
  }
};

template <class T>
struct NanSumOf : SumOf<T> {
  using Acc = typename SumOf<T>::Acc;
  static OFL_INLINE Acc Of(T x) { return x == x ? static_cast<Acc>(x) : Acc(0); }
};

// Computes in the type that `dtype` is computed in; integers in int64.
template <template <class> class R>
const Reducer* ReducerFor(DType dtype) {
  switch (ComputeTypeOf(dtype)) {
    case DType::kFloat32: return &kReducer<R<float>, float>;
    case DType::kFloat64: return &kReducer<R<double>, double>;
    case DType::kComplex64: return &kReducer<R<std::complex<float>>, std::complex<float>>;
    case DType::kComplex128: return &kReducer<R<std::complex<double>>, std::complex<double>>;
    case DType::kInt64: return &kReducer<R<int64_t>, int64_t>;
    default: return &kReducer<R<int32_t>, int32_t, int64_t>;
  }
}

// The dtype that elements are converted to before they are combined.
DType ConvertedTo(DType input, const Attrs& attrs) {
  const DType* asked = attrs.Maybe<DType>("dtype");
  if (asked == nullptr) return input;
  // int64 is what integers are combined in anyway, float32 what half types are.
  if (*asked == DType::kInt64 && !IsDifferentiable(input)) return input;
  if (*asked == DType::kFloat32 && IsHalf(input)) return input;
  return *asked;
}

// Results of integers are computed in int64, and stored in what was asked for.
bool StoresElsewhere(DType output) { return !IsDifferentiable(output) && output != DType::kInt64; }

int64_t CombineScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                       const Attrs& attrs, int) {
  const int64_t before = CastScratch(in[0], ConvertedTo(in[0].dtype, attrs));
  return (before + 15) / 16 * 16 + (StoresElsewhere(out[0].dtype) ? out[0].shape.numel() * 8 : 0);
}

template <template <class> class R>
Status Combine(op::KernelContext& c, double divisor) {
  const op::TensorView& out = c.outputs[0];
  const DType dtype = ConvertedTo(c.inputs[0].meta.dtype, *c.attrs);
  OFL_ASSIGN(const op::TensorView in, Converted(c, dtype));
  const Reducer& reducer = *ReducerFor<R>(dtype);
  if (out.numel() == 0) return Status::Ok();
  if (!StoresElsewhere(out.meta.dtype)) {
    Reduce(c.stream, in, out, reducer, AxesFor(c), {.divisor = divisor});
    return Status::Ok();
  }
  const int64_t before = (CastScratch(c.inputs[0].meta, dtype) + 15) / 16 * 16;
  const op::TensorView whole(c.workspace.data() + before, {DType::kInt64, out.meta.shape});
  Reduce(c.stream, in, whole, reducer, AxesFor(c), {.divisor = divisor});
  return CastElements(c.stream, whole, out);
}

Status RunSum(op::KernelContext& c) { return Combine<SumOf>(c, 1); }
Status RunNanSum(op::KernelContext& c) { return Combine<NanSumOf>(c, 1); }
Status RunProd(op::KernelContext& c) { return Combine<ProductOf>(c, 1); }
// Divides by the logical count, so that the parts of a split axis are partial sums.
Status RunMean(op::KernelContext& c) { return Combine<SumOf>(c, LogicalCount(c)); }

Status CheckAsked(const op::InferContext& c) {
  const DType* asked = c.maybe<DType>("dtype");
  OFL_ENSURE(asked == nullptr || !IsFloat8(*asked), Code::kTypeMismatch)
      << DTypeName(*asked) << " stores numbers but is not computed in; expected another dtype";
  return Status::Ok();
}

Status InferCombined(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kSummed));
  OFL_TRY(CheckDims(c));
  OFL_TRY(CheckAsked(c));
  c.AddOutput({SummedDType(c.input(0).dtype, c.maybe<DType>("dtype")), ReducedShapeOf(c)});
  return Status::Ok();
}

Status InferMean(op::InferContext& c) {
  const DType* asked = c.maybe<DType>("dtype");
  OFL_TRY(RequireIn(c, 0, asked == nullptr ? kFloats | kComplexes : kSummed));
  OFL_TRY(CheckDims(c));
  OFL_TRY(CheckAsked(c));
  OFL_ENSURE(asked == nullptr || IsDifferentiable(*asked), Code::kTypeMismatch)
      << "a mean is not whole: got dtype=" << DTypeName(*asked)
      << "; expected a floating or complex dtype";
  c.AddOutput({asked == nullptr ? c.input(0).dtype : *asked, ReducedShapeOf(c)});
  return Status::Ok();
}

// A conversion that rounds or wraps is not linear.
std::string SumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const bool converts = attrs.Maybe<DType>("dtype") != nullptr;
  return ReduceRule(in[0], attrs, "sum") + (converts ? "" : "; linear 0");
}

void GradSum(op::GradContext& c) {
  if (!c.Needs(0)) return;
  const op::Value grad = CastTo(c.b, c.grads[0], c.inputs[0]->meta().dtype);
  c.Set(0, SpreadOut(c.b, grad, c.inputs[0], c.attrs));
}

Status InferNanSum(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals | kBools));
  return InferCombined(c);
}

std::string NanSumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "sum") + "; never partial";
}

void GradNanSum(op::GradContext& c) {
  if (!c.Needs(0)) return;
  GradSum(c);
  // Times 0: a gradient that is infinite (of a mean of nothing) is NaN then, as in torch.
  const op::Value counts = c.b.Call("logical_not", {IsNan(c.b, c.inputs[0])});
  c.Set(0, Mul(c.b, c.input_grads[0], CastTo(c.b, counts, c.inputs[0]->meta().dtype)));
}

void GradMean(op::GradContext& c) {
  if (!c.Needs(0)) return;
  const int64_t count = std::max<int64_t>(CountOf(c.inputs[0]->meta().shape, c.attrs), 1);
  const op::Value scaled =
      c.b.Call("div_scalar", {c.grads[0]}, {{"scalar", static_cast<double>(count)}});
  const op::Value grad = CastTo(c.b, scaled, c.inputs[0]->meta().dtype);
  c.Set(0, SpreadOut(c.b, grad, c.inputs[0], c.attrs));
}

std::vector<op::Sample> CombineSamples(DTypeSet set, bool empty) {
  auto samples = ReduceSamples(set, empty);
  const auto add = [&](DType dtype, DType asked) {
    samples.push_back({{{dtype, {5, 3}}}, {{"dim", Ints{0}}, {"dtype", asked}}, -4, 4, ""});
  };
  add(DType::kFloat32, DType::kFloat64);
  add(DType::kFloat16, DType::kFloat32);
  add(DType::kInt32, DType::kFloat32);
  return samples;
}

// --- prod ---------------------------------------------------------------------------------------

Attrs AlongProd(const Attrs& attrs) {
  Attrs along = attrs;
  along.Set("dim", DimList(attrs.Maybe<int64_t>("dim")));
  return along;
}

Status InferProd(op::InferContext& c) {
  const Attrs along = AlongProd(c.attrs());
  const TensorMeta input = c.input(0);
  op::InferContext list({&input, 1}, along);
  OFL_TRY(InferCombined(list));
  c.AddOutput(list.outputs[0]);
  return Status::Ok();
}

Status RunProdAlong(op::KernelContext& c) {
  const Attrs along = AlongProd(*c.attrs);
  op::KernelContext list = c;
  list.attrs = &along;
  return RunProd(list);
}

std::string ProdRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], AlongProd(attrs), "");
}

// What stands before each element along axis `axis` of a running product, 1 before the first.
op::Value Others(op::Builder& b, const op::Value& x, int64_t axis, bool reverse) {
  const op::Value running = b.Call("cumprod", {x}, {{"dim", axis}, {"reverse", reverse}});
  return Shifted(b, running, axis, reverse, 1);
}

// The product of the others: of those before times those after, so that zeros are no matter.
void GradProd(op::GradContext& c) {
  if (!c.Needs(0)) return;
  const Shape& shape = c.inputs[0]->meta().shape;
  const Attrs along = AlongProd(c.attrs);
  op::Value x = CastTo(c.b, c.inputs[0], c.grads[0]->meta().dtype);
  op::Value grad = SpreadOut(c.b, c.grads[0], c.inputs[0], along);
  int64_t axis = 0;
  const Shape flat{shape.numel()};
  const bool all = c.attrs.Maybe<int64_t>("dim") == nullptr || shape.rank() == 0;
  if (all) {
    x = c.b.Call("reshape", {x}, {{"shape", DimsOf(flat)}});
    grad = c.b.Call("reshape", {grad}, {{"shape", DimsOf(flat)}});
  } else {
    axis = *c.attrs.Maybe<int64_t>("dim");
  }
  const op::Value others = Mul(c.b, Others(c.b, x, axis, false), Others(c.b, x, axis, true));
  op::Value result = Mul(c.b, grad, Conj(c.b, others));
  if (all) result = c.b.Call("reshape", {result}, {{"shape", DimsOf(shape)}});
  c.Set(0, CastTo(c.b, result, c.inputs[0]->meta().dtype));
}

std::vector<op::Sample> ProdSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape shape, Attrs attrs) {
    samples.push_back({{{d, shape}}, std::move(attrs), 0.5, 3.5, ""});
  };
  constexpr DType kF = DType::kFloat32;
  for (DType d : ListOf(kSummed)) add(d, {4, 3}, {{"dim", int64_t{0}}});
  add(kF, {4, 3}, {});
  add(kF, {4, 3}, {{"dim", int64_t{-1}}, {"keepdim", true}});
  add(kF, {2, 3, 4}, {{"dim", int64_t{1}}});
  add(kF, {}, {});
  add(kF, {1, 4}, {{"dim", int64_t{0}}});
  add(kF, {0, 3}, {{"dim", int64_t{0}}});
  add(kF, {0, 3}, {{"dim", int64_t{1}}});
  add(DType::kInt32, {4, 3}, {{"dim", int64_t{0}}, {"dtype", DType::kFloat64}});
  return samples;
}

}  // namespace

OFL_OP(sum) {
  Reduction(op,
            "The sum over the axes `dim` (none given: all); of integers and bool in int64. Of an\n"
            "empty axis: 0. The elements are converted to `dtype` first, where it is given.")
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferCombined)
      .Sbp(SumRule)
      .Grad(GradSum)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("combined(np.sum, input, axes(input, dim), keepdim, dtype)")
      .PyBoth("sum(input, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] { return CombineSamples(kSummed, true); })
      .ErrorSamples(DimErrors(DType::kFloat8E4M3, "stores numbers but is not computed in"));
  for (DType dtype : ListOf(kSummed)) op.Cpu(dtype, RunSum, CombineScratch);
}

OFL_OP(mean) {
  Reduction(op,
            "The mean over the axes `dim` (none given: all), of elements converted to `dtype`\n"
            "where it is given. Of an empty axis: NaN.")
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferMean)
      .Sbp(SumRule)
      .Grad(GradMean)
      .Oracle("combined(np.mean, input, axes(input, dim), keepdim, dtype)")
      .PyBoth("mean(input, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] { return CombineSamples(kFloats | kComplexes, false); })
      .ErrorSamples(DimErrors(DType::kInt64, "int64 is not a floating dtype"));
  for (DType dtype : ListOf(kSummed)) op.Cpu(dtype, RunMean, CombineScratch);
}

OFL_OP(nansum) {
  Reduction(op,
            "The sum over the axes `dim` (none given: all), in which NaN counts as 0; of integers\n"
            "and bool in int64. The elements are converted to `dtype` first, where it is given.")
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferNanSum)
      .Sbp(NanSumRule)
      .Grad(GradNanSum)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("combined(np.nansum, input, axes(input, dim), keepdim, dtype)")
      .PyBoth("nansum(input, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] { return CombineSamples(kReals | kBools, true); })
      .ErrorSamples(DimErrors(DType::kComplex64, "complex64 is not real"));
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunNanSum, CombineScratch);
}

OFL_OP(prod) {
  op.Doc(
        "The product over the axis `dim` (none given: all); of integers and bool in int64. Of an\n"
        "empty axis: 1. The elements are converted to `dtype` first, where it is given.")
      .In("input")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Infer(InferProd)
      .Sbp(ProdRule)
      .Grad(GradProd)
      .Strided()
      .Autocast(op::Autocast::kFloat32)
      .Unclaimed("P*->P*", "of a tensor without axes, where a reduction is the identity")
      .Unclaimed("S(*)->P(min)", "of truth values, whose product is their minimum")
      .Oracle("combined(np.prod, input, one_axis(input, dim), keepdim, dtype)")
      .PyBoth("prod(input, *, dtype=None)")
      .PyBoth("prod(input, dim, keepdim=False, *, dtype=None)")
      .Samples(ProdSamples)
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "but got 2"}});
  for (DType dtype : ListOf(kSummed)) op.Cpu(dtype, RunProdAlong, CombineScratch);
}

}  // namespace ofl::ops
