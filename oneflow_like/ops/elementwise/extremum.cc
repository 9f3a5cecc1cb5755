// The larger and the smaller of two elements, and clamp.
#include <limits>

#include "oneflow_like/core/integers.h"
#include "oneflow_like/op/def/promotion.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {
namespace {

// NaN of either side wins, as in torch.
struct Larger {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return (a > b) | (a != a) ? a : b;
  }
};
struct Smaller {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return (a < b) | (a != a) ? a : b;
  }
};
// The bounds are no NaN; that of an element stays.
struct Clamp {
  template <class T>
  OFL_FN T operator()(T x, T low, T high) const {
    const T raised = x < low ? low : x;
    return raised > high ? high : raised;
  }
};

// The input that does not lose takes the gradient; equal ones share it, beside NaN both have it.
void GradExtremum(op::GradContext& c, const char* loses) {
  const op::Value none = c.b.Call("zeros_like", {c.grads[0]});
  const op::Value half = MulScalar(c.b, c.grads[0], 0.5);
  const op::Value tie = c.b.Call("eq", {c.inputs[0], c.inputs[1]});
  const op::Value shared = Where(c.b, tie, half, c.grads[0]);
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value lost = c.b.Call(loses, {c.inputs[i], c.inputs[1 - i]});
    SetReduced(c, i, Where(c.b, lost, none, shared));
  }
}

std::optional<Scalar> Bound(const Attrs& attrs, const char* name) {
  const AttrValue* value = attrs.Find(name);
  if (value == nullptr || std::holds_alternative<NoValue>(*value)) return std::nullopt;
  return Scalar::Of(*value);
}

// A bound beyond what a narrow integer holds is the end of its range.
template <class T>
T BoundAs(const Scalar& bound, DType dtype) {
  if constexpr (std::is_integral_v<T>) {
    const auto [least, most] = BoundsOf(dtype);
    return static_cast<T>(std::clamp(bound.As<int64_t>(), least, most));
  } else {
    return bound.As<T>();
  }
}

constexpr DTypeSet kClamped = kReals | kBools;

Status InferClamp(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kClamped));
  op::TypedOperand typed[3] = {op::TypedOf(c.input(0))};
  size_t count = 1;
  for (const char* name : {"min", "max"}) {
    const auto bound = Bound(c.attrs(), name);
    if (!bound) continue;
    OFL_ENSURE(bound->category() != DTypeCategory::kComplex, Code::kTypeMismatch)
        << "a bound is complex, and complex numbers have no order; expected real numbers";
    typed[count++] = {bound->dtype(), op::TypedOperand::Weight::kNumber};
  }
  OFL_ENSURE(count > 1, Code::kInvalidArgument)
      << "neither min nor max is given; expected at least one of them";
  OFL_ASSIGN(const DType dtype, op::ResultType({typed, count}));
  OFL_ENSURE(dtype != DType::kBool, Code::kTypeMismatch)
      << "neither the elements nor the bounds are numbers; expected a number as a bound";
  c.AddOutput({dtype, c.input(0).shape});
  return Status::Ok();
}

template <class T>
Status ClampInto(op::KernelContext& c) {
  using L = std::numeric_limits<T>;
  const op::TensorView& out = c.outputs[0];
  const op::TensorView* from = &c.inputs[0];
  if (from->meta.dtype != out.meta.dtype) {  // integers beside a bound that is none
    OFL_TRY(CastElements(c.stream, *from, out));
    from = &out;
  }
  T low = L::has_infinity ? -L::infinity() : L::lowest();
  T high = L::has_infinity ? L::infinity() : L::max();
  if (const auto bound = Bound(*c.attrs, "min")) low = BoundAs<T>(*bound, out.meta.dtype);
  if (const auto bound = Bound(*c.attrs, "max")) high = BoundAs<T>(*bound, out.meta.dtype);
  if (low != low || high != high) {
    FillElements(c.stream, Scalar(std::numeric_limits<double>::quiet_NaN()), out);
    return Status::Ok();
  }
  const Clamp clamp;
  const RowInput inputs[] = {{from}, {nullptr, &low}, {nullptr, &high}};
  RunRow(c.stream, kRowOf<Clamp, T, T, T>, &clamp, inputs, out);
  return Status::Ok();
}

Status RunClamp(op::KernelContext& c) {
  switch (ComputeTypeOf(c.outputs[0].meta.dtype)) {
    case DType::kFloat32: return ClampInto<float>(c);
    case DType::kFloat64: return ClampInto<double>(c);
    case DType::kInt32: return ClampInto<int32_t>(c);
    default: return ClampInto<int64_t>(c);
  }
}

// Elements inside the bounds, the ends included.
void GradClamp(op::GradContext& c) {
  if (!c.Needs(0)) return;
  const op::Value& x = c.inputs[0];
  const auto low = Bound(c.attrs, "min"), high = Bound(c.attrs, "max");
  if (low && high && low->As<double>() > high->As<double>()) {
    SetZero(c);
    return;
  }
  c.Set(0, ZeroUnless(c.b, c.b.Call("eq", {c.outputs[0], x}), c.grads[0]));
}

// An element within its bound keeps the gradient, the bound itself included; else the bound has it.
void GradBound(op::GradContext& c, const char* within, const char* beyond) {
  const char* const compare[] = {within, beyond};
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value mine = c.b.Call(compare[i], {c.inputs[0], c.inputs[1]});
    SetReduced(c, i, ZeroUnless(c.b, mine, c.grads[0]));
  }
}

// clamp with tensors as bounds, either of which may be missing.
op::Values ComposeClamp(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const auto* counts = attrs.Maybe<std::vector<int64_t>>(op::kArity);
  if (counts == nullptr || counts->size() != 3 || in.size() < 2) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[clamp] neither min nor max is given; expected at least one of them");
    return {nullptr};
  }
  op::Value result = in[0];
  if ((*counts)[1] > 0) result = b.Call("clamp_low", {result, in[1]});
  if ((*counts)[2] > 0) result = b.Call("clamp_high", {result, in.back()});
  return {result};
}

std::vector<op::Sample> ClampTensorSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, std::vector<int64_t> counts) {
    samples.push_back({{{dtype, {5, 3}}}, {{std::string(op::kArity), counts}}});
    if (counts[1] > 0) samples.back().inputs.push_back({dtype, {3}});
    if (counts[2] > 0) samples.back().inputs.push_back({dtype, {5, 1}});
  };
  for (DType dtype : ListOf(kReals)) add(dtype, {1, 1, 1});
  add(DType::kFloat32, {1, 1, 0});
  add(DType::kFloat32, {1, 0, 1});
  return samples;
}

void NameClamp(op::OpDefBuilder& op) {
  for (const char* signature :
       {"clamp(input, min=None, max=None)", "clip(input, min=None, max=None)",
        "clamp_min(input, min)", "clamp_max(input, max)"})
    Named(op, signature, Writes::kBoth);
}

std::vector<op::Sample> ClampSamples() {
  auto samples = UnarySamples(ListOf(kReals), -4, 4, {{"min", Scalar(-1)}, {"max", Scalar(2)}});
  constexpr DType kF = DType::kFloat32;
  samples.push_back({{{kF, {5, 3}}}, {{"min", Scalar(0.5)}}, -2, 2, "below"});
  samples.push_back({{{kF, {5, 3}}}, {{"max", Scalar(0.5)}}, -2, 2, "above"});
  samples.push_back({{{DType::kInt64, {5}}}, {{"min", Scalar(0.5)}}, -4, 4, "promotes"});
  samples.push_back({{{DType::kBool, {5}}}, {{"max", Scalar(0)}}, 0, 2, "promotes"});
  return samples;
}

}  // namespace

OFL_OP(maximum) {
  Binary<Larger, kReals | kBools>(
      op, "The larger of input and other, elementwise; NaN where either is NaN.",
      "; monotone 0 1; max jointly 0 1");
  op.Grad([](op::GradContext& c) { GradExtremum(c, "lt"); })
      .Oracle("np.maximum(input, other)")
      .PyBoth("maximum(input, other)")
      .PyBoth("max(input, other)");
}

OFL_OP(minimum) {
  Binary<Smaller, kReals | kBools>(
      op, "The smaller of input and other, elementwise; NaN where either is NaN.",
      "; monotone 0 1; min jointly 0 1");
  op.Grad([](op::GradContext& c) { GradExtremum(c, "gt"); })
      .Oracle("np.minimum(input, other)")
      .PyBoth("minimum(input, other)")
      .PyBoth("min(input, other)");
}

OFL_OP(clamp) {
  DescribeUnary(
      op, kClamped,
      "The elements, limited to [min, max]; where the bounds cross, max. NaN stays. Either "
      "bound may be left out; integers beside a bound that is none become floating.",
      "; monotone 0", {})
      .OptionalAttr("min", op::AttrType::kScalar)
      .OptionalAttr("max", op::AttrType::kScalar)
      .Infer(InferClamp)
      .Grad(GradClamp)
      .Samples(ClampSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {},
                      Code::kInvalidArgument,
                      "neither min nor max is given: got input: float32[2]"},
                     {{{DType::kBool, {2}}},
                      {{"min", Scalar(false)}},
                      Code::kTypeMismatch,
                      "expected a number as a bound"},
                     {{{DType::kComplex64, {2}}},
                      {{"min", Scalar(0)}},
                      Code::kTypeMismatch,
                      "complex64 is not real and has no order"}})
      .Oracle("np.clip(input, min, max)");
  NameClamp(op);
  for (DType dtype : ListOf(kClamped)) op.Cpu(dtype, RunClamp);
}

OFL_OP(clamp_tensor) {
  op.Doc(
        "The elements, limited to bounds that are tensors; where the bounds cross, max. NaN stays.")
      .In("input")
      .InOptional("min")
      .InOptional("max")
      .AnyMissing()
      .Out("output")
      .InPlace(0, 0)
      .Compose(ComposeClamp)
      .Oracle("clamp_tensor(arity, input, min, max)")
      .Samples(ClampTensorSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{std::string(op::kArity), std::vector<int64_t>{1, 0, 0}}},
                      Code::kInvalidArgument,
                      "neither min nor max is given"}});
  NameClamp(op);
}

OFL_OP(clamp_low) {
  Binary<Larger, kReals | kBools>(op, "The elements, limited from below; NaN where either is NaN.",
                                  "; monotone 0 1; max jointly 0 1")
      .Grad([](op::GradContext& c) { GradBound(c, "ge", "lt"); })
      .Oracle("np.maximum(input, other)")
      .Py("_clamp_low(input, other)");
}

OFL_OP(clamp_high) {
  Binary<Smaller, kReals | kBools>(op, "The elements, limited from above; NaN where either is NaN.",
                                   "; monotone 0 1; min jointly 0 1")
      .Grad([](op::GradContext& c) { GradBound(c, "le", "gt"); })
      .Oracle("np.minimum(input, other)")
      .Py("_clamp_high(input, other)");
}

}  // namespace ofl::ops
