// all and any, and how many elements are not zero.
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

// NaN counts as true.
template <class T>
struct AnyOf {
  using Acc = uint8_t;
  static OFL_INLINE Acc Identity() { return 0; }
  static OFL_INLINE Acc Of(T x) { return x != T(0); }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return static_cast<Acc>(a | x); }
};
template <class T>
struct AllOf {
  using Acc = uint8_t;
  static OFL_INLINE Acc Identity() { return 1; }
  static OFL_INLINE Acc Of(T x) { return x != T(0); }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return static_cast<Acc>(a & x); }
};

// The axes: all without `dim`, none of an empty list, as in torch.
ReducedAxes TruthAxes(const Attrs& attrs, int rank) {
  const bool keepdim = attrs.Get<bool>("keepdim");
  const Ints* dim = attrs.Maybe<Ints>("dim");
  ReducedAxes axes = AxesOf({{"dim", dim == nullptr ? Ints{} : *dim}}, rank, keepdim);
  if (dim == nullptr || !dim->empty()) return axes;
  axes.reduce.fill(false);
  for (int i = 0; i < rank; ++i) axes.output[static_cast<size_t>(i)] = i;
  return axes;
}

// As torch: bool, but of uint8 uint8.
Status InferTruth(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kSummed));
  if (c.maybe<Ints>("dim") != nullptr) OFL_TRY(CheckDims(c));
  const TensorMeta& in = c.input(0);
  c.AddOutput(
      {in.dtype == DType::kUInt8 ? in.dtype : DType::kBool,
       ReducedShape(in.shape, TruthAxes(c.attrs(), in.shape.rank()), c.attr<bool>("keepdim"))});
  return Status::Ok();
}

// Of shards the reducer sees other numbers, which are 0 or 1 in any case.
template <bool kAll>
std::string TruthRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const bool keepdim = attrs.Get<bool>("keepdim");
  return ReduceRule(in[0], TruthAxes(attrs, in[0].rank()), keepdim, kAll ? "min" : "max");
}

template <template <class> class R>
void Kernels(op::OpDefBuilder& op) {
  ForEachDType<kSummed>([&]<class T>(DType dtype) {
    op.Cpu(dtype, [](op::KernelContext& c) {
      return Reduce(c, kReducer<R<T>, T, uint8_t>,
                    TruthAxes(*c.attrs, c.inputs[0].meta.shape.rank()));
    });
  });
}

std::vector<op::Sample> TruthSamples(bool all) {
  auto samples = ReduceSamples(kSummed, true);
  for (op::Sample& s : samples) {
    if (s.attrs.Get<Ints>("dim").empty()) s.attrs.Set("dim", NoValue{});
  }
  samples.push_back({{{DType::kFloat32, {4, 3}}}, {{"dim", Ints{}}, {"keepdim", true}}});
  for (op::Sample& s : samples) {
    s.low = all ? -1 : -0.5;
    s.high = all ? 8 : 1.5;
  }
  return samples;
}

template <bool kAll>
op::OpDefBuilder& Truth(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInts)
      .Attr("keepdim", op::AttrType::kBool, false)
      .Strided()
      .Infer(InferTruth)
      .Sbp(TruthRule<kAll>)
      .NotDifferentiable("a truth value is piecewise constant")
      .Unclaimed("P*->*", "of few values, which are rarely 0")
      .Unclaimed("P(max)->*", "of values that are never negative, or rarely 0")
      .Unclaimed("P(min)->*", "of values that are never negative, or rarely 0")
      .Samples([] { return TruthSamples(kAll); })
      .ErrorSamples(DimErrors(DType::kFloat8E4M3, "stores numbers but is not computed in"));
  return op;
}

template <class T>
struct NonzeroCount {
  using Acc = int64_t;
  static OFL_INLINE Acc Identity() { return 0; }
  static OFL_INLINE Acc Of(T x) { return x != T(0) ? 1 : 0; }
  static OFL_INLINE Acc Join(Acc a, Acc x) { return a + x; }
};

Attrs Dropping(const Attrs& attrs) { return {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", false}}; }

Status InferCount(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kSummed));
  OFL_TRY(CheckDims(c));
  const Shape& in = c.input(0).shape;
  c.AddOutput({DType::kInt64, ReducedShape(in, AxesOf(c.attrs(), in.rank(), false), false)});
  return Status::Ok();
}

std::string CountRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], Dropping(attrs), "sum") + "; never partial";
}

}  // namespace

OFL_OP(all) {
  Truth<true>(op, "Whether no element over the axes `dim` (none given: all) is 0; true of none.");
  op.Oracle("truth(np.all, input, dim, keepdim)").PyBoth("all(input, dim=None, keepdim=False)");
  Kernels<AllOf>(op);
}

OFL_OP(any) {
  Truth<false>(op, "Whether some element over the axes `dim` (none given: all) is not 0.");
  op.Oracle("truth(np.any, input, dim, keepdim)").PyBoth("any(input, dim=None, keepdim=False)");
  Kernels<AnyOf>(op);
}

OFL_OP(count_nonzero) {
  op.Doc("How many elements over the axes `dim` (none given: all) are not 0; NaN is not.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, Ints{})
      .Infer(InferCount)
      .Sbp(CountRule)
      .NotDifferentiable("a count is piecewise constant")
      .Strided()
      .Oracle("np.asarray(np.count_nonzero(input, axis=axes(input, dim)))")
      .PyBoth("count_nonzero(input, dim=None)")
      .PyMethod("count_nonzero(input, *dim)")
      .Samples([] {
        auto samples = ReduceSamples(kSummed, true);
        std::erase_if(samples, [](const op::Sample& s) { return s.attrs.Get<bool>("keepdim"); });
        for (op::Sample& s : samples) {
          Attrs attrs = {{"dim", s.attrs.Get<std::vector<int64_t>>("dim")}};
          s.attrs = attrs;
          s.low = -1;
          s.high = 2;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim", std::vector<int64_t>{2}}},
                      Code::kOutOfRange,
                      "but got 2"}});
  ForEachDType<kSummed>([&]<class T>(DType dtype) {
    op.Cpu(dtype, [](op::KernelContext& c) {
      return Reduce(c, kReducer<NonzeroCount<T>, T, int64_t>,
                    AxesOf(*c.attrs, c.inputs[0].meta.shape.rank(), false));
    });
  });
}

}  // namespace ofl::ops
