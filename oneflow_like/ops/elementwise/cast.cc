// cast: the same values in another dtype.
#include <cmath>
#include <limits>

#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

// Conversions the language leaves undefined (NaN or too large for an integer) get fixed values,
// so that every rank and every vector width agree: NaN becomes 0, the rest the nearest bound.
template <class In, class Out>
struct CastFn {
  OFL_INLINE Out operator()(In x) const {
    if constexpr (std::is_same_v<Out, bool>) {
      return x != In(0);
    } else if constexpr (std::is_floating_point_v<In> && std::is_integral_v<Out>) {
      constexpr In kLow = static_cast<In>(std::numeric_limits<Out>::min());
      constexpr In kHigh = static_cast<In>(std::numeric_limits<Out>::max());
      if (x != x) return Out(0);
      if (x <= kLow) return std::numeric_limits<Out>::min();
      if (x >= kHigh) return std::numeric_limits<Out>::max();
      return static_cast<Out>(x);
    } else {
      return static_cast<Out>(x);
    }
  }
};

template <class In>
Status RunCast(op::KernelContext& c) {
  switch (c.outputs[0].meta.dtype) {
    case DType::kFloat32: return RunUnary<CastFn<In, float>, In, float>(c);
    case DType::kFloat64: return RunUnary<CastFn<In, double>, In, double>(c);
    case DType::kInt64: return RunUnary<CastFn<In, int64_t>, In, int64_t>(c);
    case DType::kInt32: return RunUnary<CastFn<In, int32_t>, In, int32_t>(c);
    case DType::kUInt8: return RunUnary<CastFn<In, uint8_t>, In, uint8_t>(c);
    case DType::kInt8: return RunUnary<CastFn<In, int8_t>, In, int8_t>(c);
    case DType::kBool: return RunUnary<CastFn<In, bool>, In, bool>(c);
    default:
      return Error(Code::kUnimplemented)
             << "[cast] no cpu kernel from " << DTypeName(c.inputs[0].meta.dtype) << " to "
             << DTypeName(c.outputs[0].meta.dtype);
  }
}

Status InferCast(op::InferContext& c) {
  c.AddOutput({c.attr<DType>("dtype"), c.input(0).shape});
  return Status::Ok();
}

// A wider floating dtype adds no rounding, so partial sums may pass; everything else rounds or
// wraps each part. The order of values survives, except into bool and narrower integers.
// The rule sees no dtypes of inputs; the gradient's cast back therefore boxes first.
std::string CastRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  return IsFloating(attrs.Get<DType>("dtype")) ? "(...)->(...); monotone 0" : "(...)->(...)";
}

void GradCast(op::GradContext& c) {
  const DType from = c.inputs[0]->meta().dtype;
  if (!IsFloating(from) || !IsFloating(c.attrs.Get<DType>("dtype"))) return;
  c.Set(0, c.b.Call("cast", {c.grads[0]}, {{"dtype", from}}));
}

std::vector<op::Sample> CastSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType from, Shape shape, DType to) {
    samples.push_back({{{from, shape}}, {{"dtype", to}}, -3, 3, ""});
  };
  add(DType::kFloat32, {5, 3}, DType::kFloat64);
  add(DType::kFloat32, {5, 3}, DType::kInt64);
  add(DType::kFloat32, {5, 3}, DType::kBool);
  add(DType::kFloat64, {0, 3}, DType::kFloat32);
  add(DType::kFloat64, {5}, DType::kFloat32);
  add(DType::kInt64, {5, 3}, DType::kFloat32);
  add(DType::kInt64, {}, DType::kInt32);
  add(DType::kBool, {5, 3}, DType::kFloat32);
  add(DType::kBool, {4}, DType::kInt64);
  add(DType::kUInt8, {4}, DType::kInt64);
  return samples;
}

}  // namespace

OFL_OP(cast) {
  op.Doc(
        "input converted to `dtype`. Floats into integers: towards zero, NaN to 0, too large\n"
        "values to the nearest bound; integers into narrower ones wrap. Into bool: whether it\n"
        "differs from 0.")
      .In("input")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Infer(InferCast)
      .Sbp(CastRule)
      .Grad(GradCast)
      .Traits({op::Trait::kElementwise})
      .Cpu(DType::kFloat32, RunCast<float>)
      .Cpu(DType::kFloat64, RunCast<double>)
      .Cpu(DType::kInt64, RunCast<int64_t>)
      .Cpu(DType::kInt32, RunCast<int32_t>)
      .Cpu(DType::kUInt8, RunCast<uint8_t>)
      .Cpu(DType::kInt8, RunCast<int8_t>)
      .Cpu(DType::kBool, RunCast<bool>)
      .Py("cast(input, /, dtype)")
      .Samples(CastSamples)
      .Unclaimed("P->P", "only into a wider floating dtype, which the rule does not see")
      .Unclaimed("P(max)->P(max)", "into integers only where nothing wraps")
      .Unclaimed("P(min)->P(min)", "into integers only where nothing wraps")
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {}, Code::kInvalidArgument, "attribute 'dtype' is missing"},
           {{{DType::kFloat32, {2}}},
            {{"dtype", int64_t{1}}},
            Code::kTypeMismatch,
            "attribute 'dtype' has the wrong type: got 1; expected a value of type "
            "dtype"}});
}

}  // namespace ofl::ops
