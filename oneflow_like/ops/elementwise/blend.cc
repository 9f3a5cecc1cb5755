// Three operands: interpolation, sums with a product or a quotient; and elements that are replaced.
#include <cmath>
#include <limits>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {
namespace {

// Sums with products may be fused or not, but everywhere alike: these rows run in pieces.
// From the nearer end, so that a weight of 1 gives the end exactly, as torch.
struct Lerp {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T start, T end, T weight) const {
    const T way = end - start;
    bool near;
    if constexpr (math::kIsComplex<T>)
      near = std::norm(weight) < 0.25;
    else
      near = (weight < T(0) ? -weight : weight) < T(0.5);
    return near ? start + math::Mul(weight, way) : end - math::Mul(way, T(1) - weight);
  }
};
template <class V>
struct AddProduct {
  static constexpr bool kInPieces = true;
  V value;
  OFL_FN V operator()(V x, V a, V b) const {
    return static_cast<V>(x + math::Mul(math::Mul(value, a), b));
  }
};
template <class V>
struct AddQuotient {
  static constexpr bool kInPieces = true;
  V value;
  OFL_FN V operator()(V x, V a, V b) const { return x + math::Mul(value, a) / b; }
};

template <template <class> class F, class T>
Status RunWithValue(op::KernelContext& c) {
  const F<T> f{c.number("value").template As<T>()};
  return RunRow(c, kRowOf<F<T>, T, T, T>, &f);
}

template <class V>
struct Replace {
  V nan, high, low;
  OFL_FN V operator()(V x) const {
    constexpr V kInf = std::numeric_limits<V>::infinity();
    return x != x ? nan : x == kInf ? high : x == -kInf ? low : x;
  }
};
template <class V>
struct Replace<std::complex<V>> {
  V nan, high, low;
  OFL_FN std::complex<V> operator()(std::complex<V> x) const {
    const Replace<V> part{nan, high, low};
    return {part(x.real()), part(x.imag())};
  }
};
template <class T>
struct PartOf {
  using type = T;
};
template <class T>
struct PartOf<std::complex<T>> {
  using type = T;
};

double LargestOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return 65504.0;
    case DType::kBFloat16: return 0x1.fep127;
    case DType::kComplex64:
    case DType::kFloat32: return std::numeric_limits<float>::max();
    default: return std::numeric_limits<double>::max();
  }
}

template <class T>
Status RunReplace(op::KernelContext& c) {
  const double largest = LargestOf(c.inputs[0].meta.dtype);
  const auto given = [&](const char* name, double otherwise) {
    const double* value = c.attrs->Maybe<double>(name);
    return static_cast<typename PartOf<T>::type>(value != nullptr ? *value : otherwise);
  };
  const Replace<T> f{given("nan", 0), given("posinf", largest), given("neginf", -largest)};
  return RunRow(c, kRowOf<Replace<T>, T>, &f);
}

// The numbers fit the dtype: a half one times a whole number is none.
Status InferWithValue(op::InferContext& c, DTypeSet set) {
  const Scalar value = c.number("value");
  OFL_ENSURE(value.category() <= CategoryOf(c.input(0).dtype), Code::kTypeMismatch)
      << "value is of a higher category than the tensors; expected a number that their dtype "
         "holds; "
      << "convert them with .to(dtype)";
  return InferTernary(c, set);
}
template <DTypeSet kSet>
Status InferWithValueOf(op::InferContext& c) {
  return InferWithValue(c, kSet);
}

op::Value Scaled(op::GradContext& c, op::Value x) {
  Scalar value = c.attrs.Number("value");
  if (value.category() == DTypeCategory::kComplex)
    value = std::conj(value.As<std::complex<double>>());
  return value == Scalar(int64_t{1}) ? x : MulScalar(c.b, std::move(x), value);
}

void GradLerp(op::GradContext& c) {
  const op::Value weight = Conj(c.b, c.inputs[2]);
  if (c.Needs(0)) SetReduced(c, 0, Mul(c.b, c.grads[0], From(c.b, int64_t{1}, weight)));
  if (c.Needs(1)) SetReduced(c, 1, Mul(c.b, c.grads[0], weight));
  if (c.Needs(2)) {
    const op::Value way = Conj(c.b, Sub(c.b, c.inputs[1], c.inputs[0]));
    SetReduced(c, 2, Mul(c.b, c.grads[0], way));
  }
}

void GradAddProduct(op::GradContext& c) {
  if (c.Needs(0)) SetReduced(c, 0, c.grads[0]);
  for (int i = 1; i < 3; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value other = Conj(c.b, c.inputs[static_cast<size_t>(3 - i)]);
    SetReduced(c, i, Scaled(c, Mul(c.b, c.grads[0], other)));
  }
}

void GradAddQuotient(op::GradContext& c) {
  if (c.Needs(0)) SetReduced(c, 0, c.grads[0]);
  const op::Value below = Conj(c.b, c.inputs[2]);
  if (c.Needs(1)) SetReduced(c, 1, Scaled(c, Div(c.b, c.grads[0], below)));
  if (c.Needs(2)) {
    const op::Value slope = Div(c.b, Conj(c.b, c.inputs[1]), Mul(c.b, below, below));
    SetReduced(c, 2, Of(c.b, "neg", Scaled(c, Mul(c.b, c.grads[0], slope))));
  }
}

op::Values ComposeIsClose(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const double rtol = attrs.Get<double>("rtol"), atol = attrs.Get<double>("atol");
  const DType dtype = in[0]->meta().dtype;
  if (dtype != in[1]->meta().dtype || !(rtol >= 0) || !(atol >= 0)) {
    ErrorStream error(dtype != in[1]->meta().dtype ? Code::kTypeMismatch : Code::kInvalidArgument);
    error << "[isclose] the dtypes differ or a tolerance is negative: got "
          << in[0]->meta().ToString() << ", " << in[1]->meta().ToString() << ", rtol=" << rtol
          << ", atol=" << atol << "; expected one dtype and tolerances of at least 0";
    b.Fail(error);
    return {nullptr};
  }
  op::Value close = b.Call("eq", {in[0], in[1]});
  const bool exact = !IsFloating(dtype) && !IsComplex(dtype);
  if (attrs.Get<bool>("equal_nan") && !exact) {
    const op::Value both = b.Call("logical_and", {Of(b, "isnan", in[0]), Of(b, "isnan", in[1])});
    close = b.Call("logical_or", {close, both});
  }
  if (rtol == 0 && atol == 0) return {close};
  const op::Value x = exact ? CastTo(b, in[0], DType::kFloat64) : in[0];
  const op::Value y = exact ? CastTo(b, in[1], DType::kFloat64) : in[1];
  const op::Value error = Of(b, "abs", Sub(b, x, y));
  const op::Value allowed = AddScalar(b, Of(b, "abs", MulScalar(b, y, rtol)), atol);
  const op::Value within =
      b.Call("logical_and", {b.Call("le", {error, allowed}), Of(b, "isfinite", error)});
  return {b.Call("logical_or", {close, within})};
}

constexpr DTypeSet kFields = kFloats | kComplexes;

op::OpDefBuilder& Operands(op::OpDefBuilder& op, const char* a, const char* b, const char* c) {
  return op.In(a).In(b).In(c);
}

}  // namespace

OFL_OP(lerp) {
  Operands(op, "input", "end", "weight");
  Ternary<Lerp, kFields>(op, "input + weight * (end - input).",
                         "; linear jointly 0 1; never partial")
      .Promote(op::Promotion::kNone)
      .Grad(GradLerp)
      .Oracle("input + weight * (end - input)");
  Named(op, "lerp(input, end, weight)");
}

OFL_OP(addcmul) {
  Operands(op, "input", "tensor1", "tensor2").Attr("value", op::AttrType::kScalar, int64_t{1});
  DescribeTernary(op, kNumbers, "input + value * tensor1 * tensor2.",
                  "; linear jointly 0 1; linear jointly 0 2; never partial", {},
                  {{"value", int64_t{2}}})
      .Infer(InferWithValueOf<kNumbers>)
      .Grad(GradAddProduct)
      .Oracle("input + value * tensor1 * tensor2");
  ForEachDType<kNumbers>([&]<class T>(DType dtype) { op.Cpu(dtype, RunWithValue<AddProduct, T>); });
  Named(op, "addcmul(input, tensor1, tensor2, *, value=1)");
}

OFL_OP(addcdiv) {
  Operands(op, "input", "tensor1", "tensor2").Attr("value", op::AttrType::kScalar, int64_t{1});
  DescribeTernary(op, kFields, "input + value * tensor1 / tensor2.", "; never partial", {1, 3},
                  {{"value", int64_t{2}}})
      .Infer(InferWithValueOf<kFields>)
      .Grad(GradAddQuotient)
      .Oracle("input + value * tensor1 / tensor2");
  ForEachDType<kFields>([&]<class T>(DType dtype) { op.Cpu(dtype, RunWithValue<AddQuotient, T>); });
  Named(op, "addcdiv(input, tensor1, tensor2, *, value=1)");
}

OFL_OP(nan_to_num) {
  DescribeUnary(op, kReals | kBools | kComplexes,
                "NaN becomes nan (0), inf posinf, -inf neginf (the largest and the lowest number "
                "of the dtype), in both parts of complex numbers; integers stay.",
                "; never partial", {})
      .OptionalAttr("nan", op::AttrType::kFloat)
      .OptionalAttr("posinf", op::AttrType::kFloat)
      .OptionalAttr("neginf", op::AttrType::kFloat)
      .Infer(InferUnaryOf<kReals | kBools | kComplexes, Gives::kSame>)
      .Grad([](op::GradContext& c) {
        const op::Value finite = Of(c.b, "isfinite", c.inputs[0]);
        c.Set(0, ZeroUnless(c.b, finite, c.grads[0]));
      })
      .Oracle("np.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf)");
  ForEachDType<kFields>([&]<class T>(DType dtype) { op.Cpu(dtype, RunReplace<T>); });
  for (DType dtype : ListOf(kInts | kBools)) {
    op.Cpu(dtype, [](op::KernelContext& c) {
      CopyElements(c.stream, c.inputs[0], c.outputs[0]);
      return Status::Ok();
    });
  }
  Named(op, "nan_to_num(input, nan=None, posinf=None, neginf=None)", Writes::kBoth);
}

OFL_OP(isclose) {
  op.Doc(
        "Whether |input - other| <= atol + rtol * |other|, or both are equal, or with equal_nan "
        "both NaN.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("rtol", op::AttrType::kFloat, 1e-5)
      .Attr("atol", op::AttrType::kFloat, 1e-8)
      .Attr("equal_nan", op::AttrType::kBool, false)
      .Compose(ComposeIsClose)
      .Oracle("np.isclose(input, other, rtol, atol, equal_nan)")
      .PyBoth("isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False)")
      .Samples([] {
        auto samples = BinarySamples(
            {DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kBool, DType::kComplex64});
        for (op::Sample& sample : samples) sample.attrs = {{"rtol", 0.5}, {"equal_nan", true}};
        samples.push_back(
            {{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}}, {{"rtol", 0.0}, {"atol", 0.0}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "expected one dtype"},
                     {{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {{"rtol", -1.0}},
                      Code::kInvalidArgument,
                      "a tolerance is negative"}});
}

}  // namespace ofl::ops
