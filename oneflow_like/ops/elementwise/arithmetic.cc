// Sums, differences, products and quotients of two tensors, or of a tensor and a number.
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/repeats.h"

namespace ofl::ops {
namespace {

struct Plus {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return static_cast<T>(a + b);
  }
};
struct Minus {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return static_cast<T>(a - b);
  }
};
struct Times {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return math::Mul(a, b);
  }
};
struct Ratio {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return a / b;
  }
};

constexpr DTypeSet kFields = kFloats | kComplexes;  // what can be divided

Scalar ConjOf(const Scalar& s) {
  if (s.category() != DTypeCategory::kComplex) return s;
  return std::conj(s.As<std::complex<double>>());
}

void GradAdd(op::GradContext& c) {
  for (int i = 0; i < 2; ++i)
    if (c.Needs(i)) c.Set(i, ReduceTo(c.b, c.grads[0], c.inputs[i]->meta().shape));
}

void GradSub(op::GradContext& c) {
  if (c.Needs(0)) c.Set(0, ReduceTo(c.b, c.grads[0], c.inputs[0]->meta().shape));
  if (c.Needs(1)) {
    const op::Value dy = ReduceTo(c.b, c.grads[0], c.inputs[1]->meta().shape);
    c.Set(1, c.b.Call("neg", {dy}));
  }
}

void GradMul(op::GradContext& c) {
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value dx = Mul(c.b, c.grads[0], Conj(c.b, c.inputs[1 - i]));
    c.Set(i, ReduceTo(c.b, dx, c.inputs[i]->meta().shape));
  }
}

// output / other, not grad / other, meets the output: with an other near 0 the gradient would pass
// the largest number before a zero of the output ends it.
void GradDiv(op::GradContext& c) {
  const op::Value other = Conj(c.b, c.inputs[1]);
  if (c.Needs(0)) {
    const op::Value da = c.b.Call("div", {c.grads[0], other});
    c.Set(0, ReduceTo(c.b, da, c.inputs[0]->meta().shape));
  }
  if (c.Needs(1)) {
    const op::Value slope = c.b.Call("div", {Conj(c.b, c.outputs[0]), other});
    const op::Value db = c.b.Call("neg", {Mul(c.b, c.grads[0], slope)});
    c.Set(1, ReduceTo(c.b, db, c.inputs[1]->meta().shape));
  }
}

// Sums and multiples are monotone on numbers, but not on integers that wrap: the lowest of them,
// which an empty part of a P(max) holds, would come out on top. And 0 times -inf is no number.
constexpr char kShiftRule[] = "(...)->(...); never partial max min";
constexpr char kScaleRule[] = "(...)->(...); linear 0; never partial max min";

// The parts of a sum, times infinity or by 0, would be infinities of both signs: no number.
template <bool kDivides>
std::string ScaleRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  const auto factor = attrs.Number("scalar").As<std::complex<double>>();
  const bool finite = std::isfinite(factor.real()) && std::isfinite(factor.imag());
  return (kDivides ? factor != 0.0 : finite) ? kScaleRule : "(...)->(...); never partial";
}

// --- with a factor ------------------------------------------------------------------------------

template <bool kAdd>
op::Values ComposeScaled(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Scalar alpha = attrs.Number("alpha");
  const bool whole = alpha.category() <= DTypeCategory::kInteger;
  if (kAdd && in[1]->meta().dtype == DType::kBool && whole) {  // a product of bools is one of them
    const bool counts = alpha.As<int64_t>() != 0;
    return {b.Call("add", {in[0], counts ? in[1] : b.Call("zeros_like", {in[1]})})};
  }
  const op::Value scaled = b.Call("mul_scalar", {in[1]}, {{"scalar", alpha}});
  return {b.Call(kAdd ? "add" : "sub", {in[0], scaled})};
}

template <bool kAdd>
op::OpDefBuilder& Scaled(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .In("other")
      .Out("output")
      .Attr("alpha", op::AttrType::kScalar, int64_t{1})
      .InPlace(0, 0)
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeScaled<kAdd>)
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kNumbers))
          samples.push_back({{{dtype, {5, 3}}, {dtype, {3}}}, {{"alpha", int64_t{2}}}});
        samples.push_back({{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}}, {{"alpha", 0.5}}});
        for (int64_t alpha : {0, 2})
          if (kAdd)
            samples.push_back({{{DType::kBool, {5}}, {DType::kBool, {5}}}, {{"alpha", alpha}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt32, {2}}, {DType::kInt32, {2}}},
                      {{"alpha", 0.5}},
                      Code::kTypeMismatch,
                      "the number is not a whole one"}});
}

}  // namespace

OFL_OP(add) {
  RepeatingBinary<Plus, kNumbers | kBools>(op, "The sum input + other, with NumPy broadcasting.",
                                           "; linear jointly 0 1; never partial max min");
  op.Numbers({"add_scalar", "add_scalar"})
      .Grad(GradAdd)
      .Oracle("input + other")
      .PyBoth("add(input, other)")
      .Dunder("__add__");
}

OFL_OP(add_scalar) {
  WithNumber<Plus, kNumbers>(op, "input + scalar.");
  op.Sbp(kShiftRule)
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Oracle("input + input.dtype.type(scalar)")
      .Py("add_scalar(input, scalar)");
}

OFL_OP(sub) {
  RepeatingBinary<Minus, kNumbers>(op, "The difference input - other, with NumPy broadcasting.",
                                   "; linear jointly 0 1; never partial max min");
  op.Numbers({"add_scalar", "rsub_scalar", true})
      .Grad(GradSub)
      .Oracle("input - other")
      .PyBoth("sub(input, other)")
      .Dunder("__sub__");
  Named(op, "subtract(input, other)");
}

OFL_OP(rsub_scalar) {
  WithNumber<Minus, kNumbers, true>(op, "scalar - input.");
  op.Sbp(kShiftRule)
      .Grad([](op::GradContext& c) { c.Set(0, c.b.Call("neg", {c.grads[0]})); })
      .Oracle("input.dtype.type(scalar) - input")
      .Py("rsub_scalar(input, scalar)");
}

OFL_OP(mul) {
  RepeatingBinary<Times, kNumbers | kBools>(op,
                                            "The product input * other, with NumPy broadcasting.",
                                            "; linear 0 1; never partial max min");
  op.Numbers({"mul_scalar", "mul_scalar"})
      .Grad(GradMul)
      .Oracle("input * other")
      .PyBoth("mul(input, other)")
      .Dunder("__mul__");
  Named(op, "multiply(input, other)");
}

OFL_OP(mul_scalar) {
  WithNumber<Times, kNumbers>(op, "input * scalar.");
  op.Sbp(ScaleRule<false>)
      .Grad([](op::GradContext& c) {
        c.Set(0, MulScalar(c.b, c.grads[0], ConjOf(c.attrs.Number("scalar"))));
      })
      .Oracle("input * input.dtype.type(scalar)")
      .Py("mul_scalar(input, scalar)");
}

OFL_OP(div) {
  // No sum of quotients: a part by next to nothing is huge, and where parts cancel out their
  // quotients do not; by 0 they are infinities of both signs.
  RepeatingBinary<Ratio, kFields>(op, "The quotient input / other, with NumPy broadcasting.",
                                  "; never partial", {1, 3});
  op.Numbers({"div_scalar", "rdiv_scalar"})
      .Grad(GradDiv)
      .Oracle("input / other")
      .PyBoth("div(input, other, *, rounding_mode=None)")
      .Dunder("__truediv__");
  Named(op, "divide(input, other, *, rounding_mode=None)");
  Named(op, "true_divide(input, other)");
}

OFL_OP(div_scalar) {
  WithNumber<Ratio, kFields>(op, "input / scalar.", {3.0, -2.0}, {1, 3});
  op.Sbp(ScaleRule<true>)
      .Grad([](op::GradContext& c) {
        c.Set(0,
              c.b.Call("div_scalar", {c.grads[0]}, {{"scalar", ConjOf(c.attrs.Number("scalar"))}}));
      })
      .Oracle("input / scalar")
      .Py("div_scalar(input, scalar)");
}

OFL_OP(rdiv_scalar) {
  WithNumber<Ratio, kFields, true>(op, "scalar / input.", {3.0, -2.0}, {1, 3});
  op.Sbp("(...)->(...); never partial max min")  // turns with the sign of the input
      .Grad([](op::GradContext& c) {
        const op::Value slope = c.b.Call("div", {c.outputs[0], c.inputs[0]});
        c.Set(0, c.b.Call("neg", {Mul(c.b, c.grads[0], Conj(c.b, slope))}));
      })
      .Oracle("scalar / input")
      .Py("rdiv_scalar(input, scalar)");
}

OFL_OP(add_scaled) {
  Scaled<true>(op, "input + alpha * other.")
      .Oracle("(input + alpha * other).astype(input.dtype)")
      .PyBoth("add(input, other, *, alpha)")
      .Method("add_");
}

OFL_OP(sub_scaled) {
  Scaled<false>(op, "input - alpha * other.")
      .Numbers({"", "", true})
      .Oracle("input - alpha * other")
      .PyBoth("sub(input, other, *, alpha)")
      .Method("sub_");
  Named(op, "subtract(input, other, *, alpha=1)");
  Named(op, "subtract(input, other, alpha=1)");  // as torch beside a number
}

OFL_OP(rsub) {
  op.Doc("other - alpha * input.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("alpha", op::AttrType::kScalar, int64_t{1})
      .Promote(op::Promotion::kCommon)
      .Numbers({"", "", true})
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
        const Scalar alpha = attrs.Number("alpha");
        const op::Value x = alpha == Scalar(int64_t{1}) ? in[0] : MulScalar(b, in[0], alpha);
        return op::Values{Sub(b, in[1], x)};
      })
      .Oracle("other - alpha * input")
      .Py("rsub(input, other, *, alpha=1)")
      .Py("rsub(input, other, alpha=1)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kInt64, DType::kComplex64})
          samples.push_back({{{dtype, {5, 3}}, {dtype, {3}}}, {{"alpha", int64_t{2}}}});
        samples.push_back({{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}}, {}});
        return samples;
      });
}

}  // namespace ofl::ops
