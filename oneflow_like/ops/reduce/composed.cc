// Reductions that others compose: logsumexp, and sums that leave NaN out.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/nn/rows.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

Attrs OverOf(const Attrs& attrs) {
  return {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", attrs.Get<bool>("keepdim")}};
}

// The largest value is taken out first, and has no part in the gradient. An infinite one is left
// in: it says the result.
op::Values ComposeLogSumExp(op::Builder& b, Span in, const Attrs& attrs) {
  const DType dtype = in[0]->meta().dtype;
  const Attrs over = OverOf(attrs);
  const op::Value x = CastTo(b, in[0], StatisticOf(dtype));
  if (x == nullptr) return {nullptr};
  if (x->meta().shape.numel() == 0)
    return {CastTo(b, b.Call("log", {b.Call("sum", {b.Call("exp", {x})}, over)}), dtype)};
  // Of complex numbers the largest real part.
  const op::Value real = IsComplex(dtype) ? b.Call("real", {x}) : x;
  op::Value most = b.Call("without_gradient", {b.Call("amax", {real}, KeptAxes(attrs))});
  if (most == nullptr) return {nullptr};
  const op::Value size = b.Call("abs", {most});
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const op::Value infinite = Against(b, "eq", size, kInf);
  most = CastTo(b, ReplaceWhere(b, infinite, 0.0, most),
                dtype == RealOf(dtype) ? StatisticOf(dtype) : dtype);
  const op::Value sum = b.Call("sum", {b.Call("exp", {b.Call("sub", {x, most})})}, over);
  const op::Value log = b.Call("log", {sum});
  if (log == nullptr) return {nullptr};
  if (!(log->meta().shape == most->meta().shape))
    most = b.Call("reshape", {most}, {{"shape", DimsOf(log->meta().shape)}});
  return {CastTo(b, b.Call("add", {log, most}), dtype)};
}

op::Values ComposeNanmean(op::Builder& b, Span in, const Attrs& attrs) {
  const DType* asked = attrs.Maybe<DType>("dtype");
  if (asked != nullptr && !IsFloating(*asked)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "a mean is not whole: got dtype=" << DTypeName(*asked)
                          << "; expected a floating dtype");
  }
  if (!IsFloating(in[0]->meta().dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "a mean of " << DTypeName(in[0]->meta().dtype) << ": got "
                          << in[0]->meta().ToString() << "; expected a floating dtype");
  }
  const op::Value given = InDType(b, in[0], attrs);
  if (given == nullptr) return {nullptr};
  const DType dtype = given->meta().dtype;
  const op::Value x = CastTo(b, given, StatisticOf(dtype));
  const op::Value nan = IsNan(b, x);
  const op::Value sum = b.Call("nansum", {x}, OverOf(attrs));
  const op::Value count = b.Call("sum", {b.Call("logical_not", {nan})}, OverOf(attrs));
  return {CastTo(b, b.Call("div", {sum, CastTo(b, count, StatisticOf(dtype))}), dtype)};
}

op::OpDefBuilder& Over(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, Ints{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", Ints{2}}}, Code::kOutOfRange, "but got 2"},
           {{{DType::kFloat8E4M3, {2, 3}}},
            {{"dim", Ints{0}}},
            Code::kTypeMismatch,
            "float8_e4m3fn"}});
}

std::vector<op::Sample> OverSamples(DTypeSet set) {
  constexpr DType kF = DType::kFloat32;
  std::vector<op::Sample> samples{{{{kF, {5, 3}}}, {{"dim", Ints{1}}, {"keepdim", true}}},
                                  {{{kF, {2, 3, 4}}}, {{"dim", Ints{0, 2}}}},
                                  {{{kF, {5, 3}}}, {}},
                                  {{{kF, {}}}, {}}};
  for (DType dtype : ListOf(set)) samples.push_back({{{dtype, {5, 3}}}, {{"dim", Ints{0}}}});
  return samples;
}

}  // namespace

OFL_OP(without_gradient) {
  DescribeUnary(op, kFloats, "A copy of input through which no gradient flows.",
                "; linear 0; monotone 0", {});
  op.Infer(InferUnaryOf<kFloats, Gives::kSame>)
      .NotDifferentiable("that is what it is for")
      .Traits({op::Trait::kElementwise, op::Trait::kIgnoresValues})
      .Oracle("input")
      .Py("without_gradient(input)");
  for (DType dtype : ListOf(kFloats)) {
    op.Cpu(dtype, [](op::KernelContext& c) {
      CopyElements(c.stream, c.inputs[0], c.outputs[0]);
      return Status::Ok();
    });
  }
}

OFL_OP(logsumexp) {
  Over(op, "The logarithm of the sum of exponentials over the axes `dim`, without overflow.")
      .Promote(op::Promotion::kFloat)
      .Autocast(op::Autocast::kFloat32)
      .Compose(ComposeLogSumExp)
      .Oracle("np.log(np.sum(np.exp(input), axis=axes(input, dim), keepdims=keepdim))")
      .PyBoth("logsumexp(input, dim, keepdim=False)")
      .Namespace("special")
      .Samples([] { return OverSamples(kFloats | kComplexes); });
}

OFL_OP(nanmean) {
  Over(op, "The mean over the axes `dim` (none given: all) of what is not NaN; of nothing NaN.")
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Compose(ComposeNanmean)
      .Oracle("combined(np.nanmean, input, axes(input, dim), keepdim, dtype)")
      .PyBoth("nanmean(input, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] { return OverSamples(kFloats); });
}

}  // namespace ofl::ops
