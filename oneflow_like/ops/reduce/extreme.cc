// The largest and smallest values over axes: amax, amin, max, min, aminmax.
#include "oneflow_like/ops/reduce/reduction.h"

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

Status InferExtreme(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kOrdered));
  OFL_TRY(CheckDims(c));
  OFL_TRY(CheckNotEmpty(c));
  c.AddOutput({c.input(0).dtype, ReducedShapeOf(c)});
  return Status::Ok();
}

std::string MaxRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "max");
}
std::string MinRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "min");
}

template <template <class> class R>
void Kernels(op::OpDefBuilder& op) {
  ForEachDType<kOrdered>([&]<class Stored>(DType dtype) {
    using T = Counted<Stored>;
    op.Cpu(dtype, [](op::KernelContext& c) { return Reduce(c, kReducer<R<T>, T>, AxesFor(c)); });
  });
}

// Equal extremes share the gradient; of max(input) and min(input) NaN too, as in torch.
void GradExtreme(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  op::Value hit = c.b.Call("eq", {x, SpreadOut(c.b, c.outputs[0], x, c.attrs)});
  if (c.attrs.Get<bool>("nan_shares")) hit = c.b.Call("logical_or", {hit, IsNan(c.b, x)});
  const op::Value mask = c.b.Call("cast", {hit}, {{"dtype", x->meta().dtype}});
  const Attrs over = {{"dim", c.attrs.Get<std::vector<int64_t>>("dim")},
                      {"keepdim", c.attrs.Get<bool>("keepdim")}};
  const op::Value count = c.b.Call("sum", {mask}, over);
  const op::Value share = c.b.Call("div", {c.grads[0], count});
  c.Set(0, Mul(c.b, mask, SpreadOut(c.b, share, x, c.attrs)));
}

void GradFurthest(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  const op::Value hit = c.b.Call("eq", {x, SpreadOut(c.b, c.outputs[0], x, c.attrs)});
  c.Set(0, Mul(c.b, CastTo(c.b, hit, x->meta().dtype), SpreadOut(c.b, c.grads[0], x, c.attrs)));
}

std::vector<op::ErrorSample> ExtremeErrors() {
  auto errors = DimErrors(DType::kComplex64, "complex64 is not real and has no order");
  errors.push_back({{{DType::kFloat32, {0, 3}}},
                    {},
                    Code::kInvalidArgument,
                    "axis 0 is empty and has no extreme value"});
  return errors;
}

// --- where they stand ---------------------------------------------------------------------------

// The index alone has the gradient, as in torch.
template <bool kMax>
op::Values ComposeExtreme(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const int64_t dim = attrs.Get<int64_t>("dim");
  const bool keepdim = attrs.Get<bool>("keepdim");
  op::Value x = in[0];
  const bool truth = x->meta().dtype == DType::kBool;
  if (truth) x = CastTo(b, x, DType::kUInt8);
  const op::Value indices = b.Call(kMax ? "argmax" : "argmin", {x},
                                   {{"dim", std::vector<int64_t>{dim}}, {"keepdim", keepdim}});
  return {TakeAt(b, in[0], indices, dim), indices};
}

template <bool kMax>
op::OpDefBuilder& Extreme(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Compose(ComposeExtreme<kMax>)
      .Samples([] {
        std::vector<op::Sample> samples{
            {{{DType::kFloat32, {5, 3}}}, {{"dim", int64_t{0}}, {"keepdim", true}}},
            {{{DType::kFloat32, {}}}, {{"dim", int64_t{0}}}}};
        for (DType dtype : ListOf(kOrdered))
          samples.push_back({{{dtype, {5, 3}}}, {{"dim", int64_t{1}}}});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "but got 2"},
           {{{DType::kFloat32, {2, 0}}},
            {{"dim", int64_t{1}}},
            Code::kOutOfRange,
            "axis 1 is empty"}});
}

op::Values ComposeBoth(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Attrs along = {{"dim", DimList(attrs.Maybe<int64_t>("dim"))},
                       {"keepdim", attrs.Get<bool>("keepdim")}};
  return {b.Call("amin", {in[0]}, along), b.Call("amax", {in[0]}, along)};
}

}  // namespace

OFL_OP(amax) {
  Reduction(op, "The largest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Attr("nan_shares", op::AttrType::kBool, false)
      .Infer(InferExtreme)
      .Sbp(MaxRule)
      .Grad(GradExtreme)
      .Oracle("np.max(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("amax(input, dim=(), keepdim=False)")
      .PyBoth("max(input)", {{"nan_shares", true}})
      .Samples([] { return ReduceSamples(kOrdered, false); })
      .ErrorSamples(ExtremeErrors());
  Kernels<MaxOf>(op);
}

OFL_OP(furthest) {
  Reduction(op,
            "The largest value over the axes `dim`, as amax; equal ones each have the whole "
            "gradient,\nas those of a distance have it in torch.")
      .Infer(InferExtreme)
      .Sbp(MaxRule)
      .Grad(GradFurthest)
      .Oracle("np.max(input, axis=axes(input, dim), keepdims=keepdim)")
      .Py("_furthest(input, dim=(), keepdim=False)")
      .Samples([] { return ReduceSamples(kOrdered, false); })
      .ErrorSamples(ExtremeErrors());
  Kernels<MaxOf>(op);
}

OFL_OP(amin) {
  Reduction(op, "The smallest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Attr("nan_shares", op::AttrType::kBool, false)
      .Infer(InferExtreme)
      .Sbp(MinRule)
      .Grad(GradExtreme)
      .Oracle("np.min(input, axis=axes(input, dim), keepdims=keepdim)")
      .PyBoth("amin(input, dim=(), keepdim=False)")
      .PyBoth("min(input)", {{"nan_shares", true}})
      .Samples([] { return ReduceSamples(kOrdered, false); })
      .ErrorSamples(ExtremeErrors());
  Kernels<MinOf>(op);
}

OFL_OP(max) {
  Extreme<true>(op, "The largest values along `dim`, and the index of the first of each.")
      .Oracle("(np.max(input, dim, keepdims=keepdim), np.argmax(input, dim, keepdims=keepdim))")
      .PyBoth("max(input, dim, keepdim=False)");
}

OFL_OP(min) {
  Extreme<false>(op, "The smallest values along `dim`, and the index of the first of each.")
      .Oracle("(np.min(input, dim, keepdims=keepdim), np.argmin(input, dim, keepdims=keepdim))")
      .PyBoth("min(input, dim, keepdim=False)");
}

OFL_OP(aminmax) {
  op.Doc("The smallest and the largest value along `dim` (none: of all); NaN where one is NaN.")
      .In("input")
      .Out("min")
      .Out("max")
      .OptionalAttr("dim", op::AttrType::kInt)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Compose(ComposeBoth)
      .Oracle("tuple(f(input, one_axis(input, dim), keepdims=keepdim) for f in (np.min, np.max))")
      .PyBoth("aminmax(input, *, dim=None, keepdim=False)")
      .Samples([] {
        std::vector<op::Sample> samples{
            {{{DType::kFloat32, {5, 3}}}, {{"dim", int64_t{0}}, {"keepdim", true}}},
            {{{DType::kFloat32, {}}}, {}}};
        for (DType dtype : ListOf(kOrdered)) samples.push_back({{{dtype, {5, 3}}}, {}});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "but got 2"}});
}

}  // namespace ofl::ops
