// Whole numbers near an element, its sign, its fraction.
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

#define OFL_ROUNDING(NAME, FUNCTION)       \
  struct NAME {                            \
    template <class T>                     \
    OFL_FN T operator()(T x) const {       \
      if constexpr (std::is_integral_v<T>) \
        return x;                          \
      else                                 \
        return FUNCTION(x);                \
    }                                      \
  };
OFL_ROUNDING(Ceil, std::ceil)
OFL_ROUNDING(Floor, std::floor)
OFL_ROUNDING(Trunc, std::trunc)
OFL_ROUNDING(ToEven, std::nearbyint)
#undef OFL_ROUNDING

// Half a unit goes to the even neighbour. The product and the quotient are torch's: each rounds.
struct ToDecimals {
  explicit ToDecimals(const Attrs& attrs)
      : decimals(static_cast<int>(attrs.Get<int64_t>("decimals"))),
        power(std::pow(10.0, std::abs(decimals))) {}
  template <class T>
  OFL_FN T operator()(T x) const {
    const T scale = static_cast<T>(power);
    if (decimals >= 0) return std::nearbyint(math::Rounded(x * scale)) / scale;
    return std::nearbyint(x / scale) * scale;
  }
  int decimals;
  double power;
};

struct Fraction {
  template <class T>
  OFL_FN T operator()(T x) const {
    return x - std::trunc(x);
  }
};
struct SignBit {
  template <class T>
  OFL_FN bool operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return std::signbit(x);
    else
      return x < T(0);
  }
};
struct Phase {
  template <class T>
  OFL_FN T operator()(T x) const {
    const auto size = std::abs(x);
    return size == 0 ? T(0) : T(x.real() / size, x.imag() / size);
  }
};

template <class F>
op::OpDefBuilder& Rounding(op::OpDefBuilder& op, const char* doc) {
  return Unary<F, kReals>(op, doc, "; monotone 0; never partial sum", {-4, 4}).Grad(SetZero);
}

Status InferRound(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals));
  OFL_ENSURE(c.attr<int64_t>("decimals") == 0 || IsFloating(c.input(0).dtype), Code::kTypeMismatch)
      << "integers have no decimals; expected decimals=0; convert with .to(flow.float32)";
  OFL_ENSURE(std::llabs(c.attr<int64_t>("decimals")) <= 400, Code::kInvalidArgument)
      << "more decimals than a number has; expected at most 400";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

template <class T>
Status RunRound(op::KernelContext& c) {
  if constexpr (std::is_floating_point_v<T>) {
    if (c.attr<int64_t>("decimals") != 0) return RunFunctor<ToDecimals, T>(c);
  }
  return RunFunctor<ToEven, T>(c);
}

std::vector<op::Sample> RoundSamples() {
  auto samples = UnarySamples(ListOf(kReals), -4, 4);
  for (DType d : {DType::kFloat32, DType::kFloat64}) {
    for (int64_t decimals : {2, -1})
      samples.push_back({{{d, {5, 3}}}, {{"decimals", decimals}}, -40, 40, "decimals"});
  }
  return samples;
}

}  // namespace

OFL_OP(ceil) {
  Rounding<Ceil>(op, "The smallest whole number that is not below input.").Oracle("np.ceil(input)");
  Named(op, "ceil(input)", Writes::kBoth);
}

OFL_OP(floor) {
  Rounding<Floor>(op, "The largest whole number that is not above input.")
      .Oracle("np.floor(input)");
  Named(op, "floor(input)", Writes::kBoth);
}

OFL_OP(trunc) {
  Rounding<Trunc>(op, "input without its fraction.").Oracle("np.trunc(input)");
  Named(op, "trunc(input)", Writes::kBoth);
  Named(op, "fix(input)", Writes::kBoth);
}

OFL_OP(round) {
  DescribeUnary(
      op, kReals,
      "The nearest whole number, half a unit to the even one; with `decimals` the nearest "
      "number of so many decimals.",
      "; monotone 0; never partial sum", {-4, 4})
      .Attr("decimals", op::AttrType::kInt, int64_t{0})
      .Infer(InferRound)
      .Grad(SetZero)
      .Oracle("np.round(input, decimals)")
      .Samples(RoundSamples)
      .ErrorSamples({{{{DType::kInt64, {2}}},
                      {{"decimals", int64_t{1}}},
                      Code::kTypeMismatch,
                      "integers have no decimals"},
                     {{{DType::kFloat32, {2}}},
                      {{"decimals", int64_t{1000}}},
                      Code::kInvalidArgument,
                      "expected at most 400"}});
  ForEachDType<kReals>([&]<class T>(DType dtype) { op.Cpu(dtype, RunRound<T>); });
  Named(op, "round(input, *, decimals=0)", Writes::kBoth)
      .Py("special.round(input)")
      .Py("special.round(input, *, decimals)");
}

OFL_OP(frac) {
  Unary<Fraction, kFloats>(op, "What trunc takes from input.", "; never partial")
      .Promote(op::Promotion::kNone)
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Oracle("input - np.trunc(input)");
  Named(op, "frac(input)", Writes::kBoth);
}

// Not antitone: NaN has a sign that is not that of the numbers of other parts.
OFL_OP(signbit) {
  Predicate<SignBit, kReals | kBools>(op, "Whether the sign of input is -; of -0 it is.",
                                      "; never partial")
      .Oracle("np.signbit(input) if input.dtype.kind == 'f' else input < 0");
  Named(op, "signbit(input)", Writes::kNothing);
}

OFL_OP(phase) {
  Unary<Phase, kComplexes>(op, "input / |input|, and 0 at 0.", "; never partial")
      .Grad([](op::GradContext& c) {
        // With s = z / |z|: (g - Re(conj(g) s) s) / |z|.
        const DType dtype = c.inputs[0]->meta().dtype;
        const op::Value along =
            CastTo(c.b, Of(c.b, "real", Mul(c.b, Conj(c.b, c.grads[0]), c.outputs[0])), dtype);
        const op::Value across = Sub(c.b, c.grads[0], Mul(c.b, along, c.outputs[0]));
        const op::Value size = CastTo(c.b, Of(c.b, "abs", c.inputs[0]), dtype);
        const op::Value none = ZerosLike(c.b, size);
        const op::Value at_zero = c.b.Call("eq", {size, none});
        const op::Value safe = Where(c.b, at_zero, OnesLike(c.b, size), size);
        c.Set(0, Where(c.b, at_zero, none, Div(c.b, across, safe)));
      })
      .Oracle("input / np.abs(input)")
      .Py("_phase(input)");
}

OFL_OP(sgn) {
  op.Doc("The sign of real numbers; of complex ones input / |input|, and 0 at 0.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{Of(b, IsComplex(in[0]->meta().dtype) ? "phase" : "sign", in[0])};
      })
      .Oracle("input / np.abs(input) if input.dtype.kind == 'c' else np.sign(input)")
      .Samples([] {
        return UnarySamples({DType::kFloat32, DType::kComplex64, DType::kInt64, DType::kFloat16});
      });
  Named(op, "sgn(input)");
}

}  // namespace ofl::ops
