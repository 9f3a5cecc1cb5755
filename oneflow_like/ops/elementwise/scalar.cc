// A tensor and a number that is an attribute.
#include <cmath>

#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

struct WithNumber {
  explicit WithNumber(const Attrs& attrs) : value(attrs.Number("scalar")) {}
  template <class T>
  OFL_INLINE T As() const {
    return value.As<T>();
  }
  Scalar value;
};
struct AddFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return static_cast<T>(x + As<T>());
  }
};
struct MulFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return static_cast<T>(x * As<T>());
  }
};
struct DivFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x / As<T>();
  }
};
struct RsubFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return static_cast<T>(As<T>() - x);
  }
};
struct RdivFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return As<T>() / x;
  }
};
struct PowFn : WithNumber {
  using WithNumber::WithNumber;
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return std::pow(x, As<T>());
  }
};
struct CubeFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x * x * x;
  }
};
struct SquareFn {
  template <class T>
  OFL_INLINE T operator()(T x) const {
    return x * x;
  }
};

double ScalarOf(const Attrs& attrs) { return attrs.Number("scalar").As<double>(); }

Status InferNumber(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, Numbers::kNumber));
  const Scalar scalar = c.number("scalar");
  // 2^53: above it a double no longer holds every integer.
  const double real = scalar.As<double>();
  const bool whole = std::floor(real) == real && std::fabs(real) <= 9007199254740992.0;
  const bool fits = scalar.category() <= CategoryOf(c.input(0).dtype) ||
                    (scalar.category() == DTypeCategory::kFloating && whole);
  OFL_ENSURE(fits, Code::kTypeMismatch)
      << "the number is not a whole one and the tensor has an integer dtype; expected a floating "
      << "tensor; convert with .to(flow.float32)";
  const bool narrow = c.input(0).dtype == DType::kInt32;
  OFL_ENSURE(!narrow || scalar.As<int64_t>() == int64_t{scalar.As<int32_t>()},
             Code::kInvalidArgument)
      << "int32 cannot hold the number; expected one in its range; convert with .to(flow.int64)";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferFloat(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, Numbers::kFloat));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// Kernels that are powers by multiplication, which is also what gradients of squares see.
template <class T>
Status RunPow(op::KernelContext& c) {
  const double e = ScalarOf(*c.attrs);
  if (e == 2.0) return RunUnary<SquareFn, T, T>(c);
  if (e == 3.0) return RunUnary<CubeFn, T, T>(c);
  return RunUnary<PowFn, T, T>(c);
}

op::OpDefBuilder& Common(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("scalar", op::AttrType::kScalar)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0);
}

template <class F>
void NumberScalar(op::OpDefBuilder& op, const char* doc) {
  Common(op, doc)
      .Infer(InferNumber)
      .Cpu(DType::kFloat32, RunUnary<F, float, float>)
      .Cpu(DType::kFloat64, RunUnary<F, double, double>)
      .Cpu(DType::kInt64, RunUnary<F, int64_t, int64_t>)
      .Cpu(DType::kInt32, RunUnary<F, int32_t, int32_t>)
      .Samples([] {
        auto samples = UnarySamples({DType::kFloat32}, -2, 2, {{"scalar", 1.5}});
        samples.push_back({{{DType::kInt64, {5, 3}}}, {{"scalar", 3.0}}, -4, 4, ""});
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"scalar", -2.0}}, -2, 2, "negative"});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {{"scalar", 0.5}},
                      Code::kTypeMismatch,
                      "not a whole one and the tensor has an integer dtype: got input: int64[2], "
                      "scalar=0.5"},
                     {{{DType::kBool, {2}}},
                      {{"scalar", 1.0}},
                      Code::kTypeMismatch,
                      "bool is not a number"}});
}

void FloatScalar(op::OpDefBuilder& op, const char* doc, op::KernelFn f32, op::KernelFn f64,
                 std::vector<double> scalars) {
  Common(op, doc)
      .Infer(InferFloat)
      .Cpu(DType::kFloat32, f32)
      .Cpu(DType::kFloat64, f64)
      .Samples([scalars] {
        std::vector<op::Sample> samples;
        for (double s : scalars) {
          samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"scalar", s}}, 1, 3, ""});
          samples.push_back({{{DType::kFloat32, {0, 3}}}, {{"scalar", s}}, 1, 3, ""});
        }
        samples.push_back({{{DType::kFloat64, {4}}}, {{"scalar", scalars[0]}}, 1, 3, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {{"scalar", 2.0}},
                      Code::kTypeMismatch,
                      "int64 is not a floating dtype"}});
}

// Scaling is monotone in the direction of the factor's sign.
std::string ScaleRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  const bool up = ScalarOf(attrs) >= 0;
  return std::string("(...)->(...); linear 0; ") + (up ? "monotone 0" : "antitone 0");
}

std::string PowRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  const double e = ScalarOf(attrs);
  const bool odd = std::fmod(std::fabs(e), 2.0) == 1.0;
  // Even powers turn at 0; the others either rise everywhere or live above 0 alone.
  if (e > 0 && (odd || std::floor(e) != e)) return "(...)->(...); monotone 0";
  if (e < 0 && std::floor(e) != e) return "(...)->(...); antitone 0";
  return "(...)->(...)";
}

}  // namespace

OFL_OP(add_scalar) {
  NumberScalar<AddFn>(op, "input + scalar.");
  op.Sbp("(...)->(...); monotone 0")
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Py("add_scalar(input, /, scalar)");
}

OFL_OP(mul_scalar) {
  NumberScalar<MulFn>(op, "input * scalar.");
  op.Sbp(ScaleRule)
      .Grad([](op::GradContext& c) { c.Set(0, MulScalar(c.b, c.grads[0], ScalarOf(c.attrs))); })
      .Py("mul_scalar(input, /, scalar)");
}

OFL_OP(rsub_scalar) {
  NumberScalar<RsubFn>(op, "scalar - input.");
  op.Sbp("(...)->(...); antitone 0")
      .Grad([](op::GradContext& c) { c.Set(0, c.b.Call("neg", {c.grads[0]})); })
      .Py("rsub_scalar(input, /, scalar)");
}

OFL_OP(div_scalar) {
  FloatScalar(op, "input / scalar.", RunUnary<DivFn, float, float>, RunUnary<DivFn, double, double>,
              {3.0, -2.0});
  op.Sbp(ScaleRule)
      .Grad([](op::GradContext& c) {
        c.Set(0, c.b.Call("div_scalar", {c.grads[0]}, {{"scalar", ScalarOf(c.attrs)}}));
      })
      .Py("div_scalar(input, /, scalar)");
}

OFL_OP(rdiv_scalar) {
  FloatScalar(op, "scalar / input.", RunUnary<RdivFn, float, float>,
              RunUnary<RdivFn, double, double>, {3.0, -2.0});
  op.Sbp("(...)->(...)")
      .Grad([](op::GradContext& c) {
        const op::Value slope = c.b.Call("div", {c.outputs[0], c.inputs[0]});
        c.Set(0, c.b.Call("neg", {Mul(c.b, c.grads[0], slope)}));
      })
      .Unclaimed("P(max)->P(min)", "turns with the sign of the input")
      .Unclaimed("P(min)->P(max)", "turns with the sign of the input")
      .Unclaimed("P(max)->P(max)", "turns with the sign of the input")
      .Unclaimed("P(min)->P(min)", "turns with the sign of the input")
      .Py("rdiv_scalar(input, /, scalar)");
}

OFL_OP(pow_scalar) {
  FloatScalar(op, "input to the power of scalar.", RunPow<float>, RunPow<double>,
              {2.0, 3.0, 0.5, -1.5, -1.0});
  op.Sbp(PowRule)
      .Grad([](op::GradContext& c) {
        const double e = ScalarOf(c.attrs);
        const op::Value lower = c.b.Call("pow_scalar", {c.inputs[0]}, {{"scalar", e - 1}});
        c.Set(0, Mul(c.b, c.grads[0], MulScalar(c.b, lower, e)));
      })
      .Unclaimed("P(max)->P(max)", "an even power is monotone above 0 only")
      .Unclaimed("P(min)->P(min)", "an even power is monotone above 0 only")
      .Unclaimed("P(max)->P(min)", "a negative whole power is antitone above 0 only")
      .Unclaimed("P(min)->P(max)", "a negative whole power is antitone above 0 only")
      .Py("pow_scalar(input, /, scalar)");
}

}  // namespace ofl::ops
