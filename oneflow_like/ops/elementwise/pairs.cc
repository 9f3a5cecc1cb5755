// Functions of two elements that are no arithmetic.
#include <cmath>
#include <limits>

#include "oneflow_like/core/half.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/elementwise/vanishing.h"

namespace ofl::ops {
namespace {

struct ArcTangent2 {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T y, T x) const {
    return math::Atan2(y, x);
  }
};
struct Hypotenuse {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return math::Hypot(a, b);
  }
};
struct CopySign {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return std::copysign(a, b);
  }
};
struct Next {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return std::nextafter(a, b);
  }
};
#ifndef __CUDACC__  // its functions of half types are the host's
// Between numbers of a half type, which are computed in float.
template <class Half>
struct NextHalf {
  OFL_FN float operator()(float a, float b) const {
    if (a != a || b != b) return a + b;
    if (a == b) return b;
    Half half = Half::Round(a);
    const bool away = (a < b) == (a > 0);
    if (a == 0)
      half.bits = b > 0 ? 0x0001u : 0x8001u;
    else
      half.bits = static_cast<uint16_t>(away ? half.bits + 1u : half.bits - 1u);
    return Half::Widen(half);
  }
};
template <class F>
Status RunHalves(op::KernelContext& c) {
  return RunFunctor<F, float, float>(c);
}
#endif

// The larger one takes what the smaller one adds; equal infinities are their own sum.
struct LogAddExp {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN std::complex<T> operator()(std::complex<T> a, std::complex<T> b) const {
    const bool swap = a.real() < b.real();
    const std::complex<T> high = swap ? b : a, low = swap ? a : b;
    if (high.real() == -std::numeric_limits<T>::infinity()) return high;
    return high + math::Log1p(std::exp(low - high));
  }
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    const T high = a > b ? a : b;
    const T gap = a == b ? T(0) : a > b ? b - a : a - b;
    return high + math::Log1p(ExpOrNothing(gap));
  }
};
struct LogAddExp2 {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    const T high = a > b ? a : b;
    const T gap = a > b ? b - a : a - b;
    const T added = math::Log1p(math::Exp2(gap)) * T(1 / math::kLn2);
    return a == b ? a + T(1) : high + added;
  }
};
struct Step {
  template <class T>
  OFL_FN T operator()(T x, T at_zero) const {
    return x == T(0) ? at_zero : static_cast<T>(x > T(0));
  }
};
// A NaN gives way to a number.
struct LargerNumber {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return (a >= b) | (b != b) ? a : b;
  }
};
struct SmallerNumber {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return (a <= b) | (b != b) ? a : b;
  }
};
// x log y, and 0 where x is 0 and y no NaN.
struct TimesLog {
  template <class T>
  OFL_FN T operator()(T x, T y) const {
    return (x == T(0)) & (y == y) ? T(0) : x * math::Log(y);
  }
};
struct TimesLog1p {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T x, T y) const {
    return (x == T(0)) & (y == y) ? T(0) : x * math::Log1p(y);
  }
};
struct Mantissa {
  template <class T>
  OFL_FN T operator()(T x) const {
    int exponent = 0;
    return std::frexp(x, &exponent);
  }
};
struct Exponent {
  template <class T>
  OFL_FN int32_t operator()(T x) const {
    int exponent = 0;
    const T mantissa = std::frexp(x, &exponent);
    return mantissa - mantissa == T(0) ? exponent : 0;
  }
};
struct MakeComplex {
  template <class T>
  OFL_FN std::complex<T> operator()(T re, T im) const {
    return std::complex<T>(re, im);
  }
};
struct Angle {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN auto operator()(T x) const {
    if constexpr (math::kIsComplex<T>)
      return std::arg(x);
    else
      return x != x ? x : x < T(0) ? T(math::kPi) : T(0);
  }
};

constexpr DTypeSet kWide = SetOf(DType::kFloat32, DType::kFloat64);

// grad * own / (input^2 + other^2) with a sign.
void GradAtan2(op::GradContext& c) {
  const op::Value& y = c.inputs[0];
  const op::Value& x = c.inputs[1];
  const op::Value size = Add(c.b, Of(c.b, "square", y), Of(c.b, "square", x));
  // 0 at the origin, which has no angle.
  const op::Value origin = Against(c.b, "eq", size, 0);
  const op::Value unit = Where(c.b, origin, ZerosLike(c.b, size), Div(c.b, c.grads[0], size));
  if (c.Needs(0)) SetReduced(c, 0, Mul(c.b, unit, x));
  if (c.Needs(1)) SetReduced(c, 1, Of(c.b, "neg", Mul(c.b, unit, y)));
}

void GradHypot(op::GradContext& c) {
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value slope = Div(c.b, c.inputs[static_cast<size_t>(i)], c.outputs[0]);
    SetReduced(c, i, Mul(c.b, c.grads[0], slope));
  }
}

void GradCopySign(op::GradContext& c) {
  if (c.Needs(0)) {
    const op::Value& x = c.inputs[0];
    const op::Value none = Against(c.b, "eq", x, 0);
    const op::Value safe = Where(c.b, none, OnesLike(c.b, x), x);
    const op::Value way = Div(c.b, c.outputs[0], safe);
    SetReduced(c, 0, Mul(c.b, c.grads[0], Filled(c.b, none, int64_t{0}, way)));
  }
  if (c.Needs(1)) c.Set(1, ZerosLike(c.b, c.inputs[1]));
}

// The share of each: sigmoid of the difference.
void GradLogAdd(op::GradContext& c, double rate) {
  for (int i = 0; i < 2; ++i) {
    if (!c.Needs(i)) continue;
    const op::Value ahead =
        Sub(c.b, c.inputs[static_cast<size_t>(i)], c.inputs[static_cast<size_t>(1 - i)]);
    const op::Value share = Of(c.b, "sigmoid", rate == 1 ? ahead : MulScalar(c.b, ahead, rate));
    SetReduced(c, i, Mul(c.b, c.grads[0], Conj(c.b, share)));
  }
}

// The input that was taken gets the gradient; of equal ones the first.
void GradNumber(op::GradContext& c, const char* compare) {
  const op::Value first = c.b.Call(
      "logical_or", {c.b.Call(compare, {c.inputs[0], c.inputs[1]}), Of(c.b, "isnan", c.inputs[1])});
  const op::Value none = ZerosLike(c.b, c.grads[0]);
  if (c.Needs(0)) SetReduced(c, 0, Where(c.b, first, c.grads[0], none));
  if (c.Needs(1)) SetReduced(c, 1, Where(c.b, first, none, c.grads[0]));
}

// Of x log(y + shift): 0 for x where it is 0 and the logarithm is none.
void GradTimesLog(op::GradContext& c, const char* log, int64_t shift) {
  const op::Value& x = c.inputs[0];
  const op::Value& y = c.inputs[1];
  if (c.Needs(0)) {
    const op::Value at_zero = Against(c.b, "eq", x, 0);
    const op::Value flat =
        c.b.Call("logical_and", {at_zero, Against(c.b, "le", y, static_cast<double>(-shift))});
    const op::Value safe = Where(c.b, flat, OnesLike(c.b, y), y);
    const op::Value slope = Of(c.b, log, safe);
    const op::Value none = ZerosLike(c.b, slope);
    SetReduced(c, 0, Mul(c.b, c.grads[0], Where(c.b, flat, none, slope)));
  }
  if (c.Needs(1)) {
    const op::Value moved = shift == 0 ? y : AddScalar(c.b, y, shift);
    SetReduced(c, 1, Mul(c.b, c.grads[0], Div(c.b, x, moved)));
  }
}

void GradAngle(op::GradContext& c) {
  const op::Value& z = c.inputs[0];
  if (!IsComplex(z->meta().dtype)) {
    c.Set(0, ZerosLike(c.b, z));
    return;
  }
  // i z / |z|^2 = i / conj(z), and 0 at 0.
  const op::Value at_zero = Against(c.b, "eq", z, 0);
  const op::Value safe = Where(c.b, at_zero, OnesLike(c.b, z), z);
  const op::Value turned =
      Div(c.b, MulScalar(c.b, CastTo(c.b, c.grads[0], z->meta().dtype), std::complex<double>(0, 1)),
          Conj(c.b, safe));
  c.Set(0, Filled(c.b, at_zero, int64_t{0}, turned));
}

Status InferComplex(op::InferContext& c) {
  OFL_TRY(InferBinary(c, kWide, Gives::kSame));
  c.outputs[0].dtype =
      c.outputs[0].dtype == DType::kFloat32 ? DType::kComplex64 : DType::kComplex128;
  return Status::Ok();
}

std::vector<op::Sample> WideSamples(double low, double high) {
  return BinarySamples(ListOf(kWide), low, high);
}

}  // namespace

OFL_OP(atan2) {
  Binary<ArcTangent2, kFloats>(op, "The angle of the point (other, input), from -pi to pi.",
                               "; never partial", {0.5, 2})
      .Grad(GradAtan2)
      .Oracle("np.arctan2(input, other)");
  Named(op, "atan2(input, other)");
  Named(op, "arctan2(input, other)");
}

OFL_OP(hypot) {
  Binary<Hypotenuse, kFloats>(op, "The square root of input^2 + other^2.", "; never partial",
                              {1, 3})
      .Promote(op::Promotion::kCommon)
      .Grad(GradHypot)
      .Oracle("np.hypot(input, other)");
  Named(op, "hypot(input, other)");
}

OFL_OP(copysign) {
  Binary<CopySign, kFloats>(op, "input with the sign of other.", "; never partial")
      .Grad(GradCopySign)
      .Oracle("np.copysign(input, other)");
  Named(op, "copysign(input, other)");
}

OFL_OP(nextafter) {
  Binary<Next, kWide>(op, "The number after input in the direction of other.", "; never partial")
      .Promote(op::Promotion::kCommon)
      .Grad([](op::GradContext& c) {
        if (c.Needs(0)) SetReduced(c, 0, c.grads[0]);
        if (c.Needs(1)) c.Set(1, ZerosLike(c.b, c.inputs[1]));
      })
      .Infer(InferBinaryOf<kFloats, Gives::kSame>)
      .Oracle("np.nextafter(input, other)")
      .Samples([] { return WideSamples(-2, 2); });
#ifndef __CUDACC__
  op.Cpu(DType::kFloat16, RunHalves<NextHalf<Float16>>);
  op.Cpu(DType::kBFloat16, RunHalves<NextHalf<BFloat16>>);
#endif
  Named(op, "nextafter(input, other)");
}

OFL_OP(logaddexp) {
  Binary<LogAddExp, kFloats | kComplexes>(op, "log(exp(input) + exp(other)), without overflow.",
                                          "; monotone 0 1; never partial")
      .Promote(op::Promotion::kCommon)
      .Grad([](op::GradContext& c) { GradLogAdd(c, 1); })
      .Oracle("np.log(np.exp(input) + np.exp(other))");
  Named(op, "logaddexp(input, other)", Writes::kNothing);
}

OFL_OP(logaddexp2) {
  Binary<LogAddExp2, kFloats>(op, "log2(2^input + 2^other), without overflow.",
                              "; monotone 0 1; never partial")
      .Promote(op::Promotion::kCommon)
      .Grad([](op::GradContext& c) { GradLogAdd(c, math::kLn2); })
      .Oracle("np.logaddexp2(input, other)");
  Named(op, "logaddexp2(input, other)", Writes::kNothing);
}

OFL_OP(heaviside) {
  Binary<Step, kReals | kBools>(op, "0 where input is negative, values where it is 0, else 1.",
                                "; monotone 1; never partial")
      .Promote(op::Promotion::kNone)
      .Grad([](op::GradContext& c) {
        const op::Value& x = c.inputs[0];
        if (c.Needs(0)) c.Set(0, ZerosLike(c.b, x));
        if (!c.Needs(1)) return;
        const op::Value taken = Against(c.b, "eq", x, 0);
        SetReduced(c, 1, ZeroUnless(c.b, taken, c.grads[0]));
      })
      .Oracle("np.heaviside(input, other)");
  Named(op, "heaviside(input, values: other)");
}

OFL_OP(fmax) {
  Binary<LargerNumber, kReals | kBools>(op, "The larger one; of a number and NaN the number.",
                                        "; never partial")
      .Grad([](op::GradContext& c) { GradNumber(c, "ge"); })
      .Oracle("np.fmax(input, other)");
  Named(op, "fmax(input, other)", Writes::kNothing);
}

OFL_OP(fmin) {
  Binary<SmallerNumber, kReals | kBools>(op, "The smaller one; of a number and NaN the number.",
                                         "; never partial")
      .Grad([](op::GradContext& c) { GradNumber(c, "le"); })
      .Oracle("np.fmin(input, other)");
  Named(op, "fmin(input, other)", Writes::kNothing);
}

// Not linear: the logarithm of 0 is infinite, and parts times that are infinities of both signs.
OFL_OP(xlogy) {
  Binary<TimesLog, kFloats>(op, "input * log(other), and 0 where input is 0.", "; never partial",
                            {1, 3})
      .Grad([](op::GradContext& c) { GradTimesLog(c, "log", 0); })
      .Oracle("np.where(input == 0, 0, input * np.log(other))");
  Named(op, "xlogy(input, other)", Writes::kBoth).Namespace("special");
}

OFL_OP(xlog1py) {
  Binary<TimesLog1p, kFloats>(op, "input * log(1 + other), and 0 where input is 0.",
                              "; never partial", {1, 3})
      .Grad([](op::GradContext& c) { GradTimesLog(c, "log1p", 1); })
      .Oracle("np.where(input == 0, 0, input * np.log1p(other))")
      .Py("special.xlog1py(input, other)");
}

OFL_OP(frexp_mantissa) {
  Unary<Mantissa, kFloats>(op, "The mantissa of input, in [0.5, 1).", "; never partial")
      .Promote(op::Promotion::kNone)
      .Grad([](op::GradContext& c) {
        const op::Value exponent = Of(c.b, "frexp_exponent", c.inputs[0]);
        const op::Value down = CastTo(c.b, Of(c.b, "neg", exponent), c.inputs[0]->meta().dtype);
        c.Set(0, c.b.Call("ldexp", {c.grads[0], down}));
      })
      .Oracle("np.frexp(input)[0]")
      .Py("_frexp_mantissa(input)");
}

OFL_OP(frexp_exponent) {
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<Exponent, T>); });
  op.Doc("The exponent of input as a power of 2 beside its mantissa.")
      .In("input")
      .Out("output")
      .Infer([](op::InferContext& c) -> Status {
        OFL_TRY(RequireIn(c, 0, kFloats));
        c.AddOutput({DType::kInt32, c.input(0).shape});
        return Status::Ok();
      })
      .Sbp("(...)->(...); never partial")
      .Traits({op::Trait::kElementwise})
      .Strided()
      .NotDifferentiable("integers have no gradient")
      .Oracle("np.frexp(input)[1].astype(np.int32)")
      .Py("_frexp_exponent(input)")
      .Samples([] { return UnarySamples(ListOf(kFloats)); });
}

OFL_OP(frexp) {
  op.Doc("input as mantissa * 2^exponent, with the mantissa in [0.5, 1) or 0.")
      .In("input")
      .Out("mantissa")
      .Out("exponent")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{Of(b, "frexp_mantissa", in[0]), Of(b, "frexp_exponent", in[0])};
      })
      .Oracle("(np.frexp(input)[0], np.frexp(input)[1].astype(np.int32))")
      .PyBoth("frexp(input)")
      .Samples([] { return UnarySamples(ListOf(kFloats)); });
}

OFL_OP(ldexp) {
  op.Doc("input * 2^other.")
      .In("input")
      .In("other")
      .Out("output")
      .InPlace(0, 0)
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        // A whole exponent has no say in the dtype, and its power may be too large for a half type.
        const DType dtype = in[0]->meta().dtype;
        const bool whole = CategoryOf(in[1]->meta().dtype) < DTypeCategory::kFloating;
        const DType wide = dtype == DType::kFloat64 ? dtype : DType::kFloat32;
        const op::Value other = whole ? CastTo(b, in[1], wide) : in[1];
        const op::Value two = b.Call("full_like", {other}, {{"value", Scalar(2.0)}});
        const op::Value scaled = Mul(b, in[0], b.Call("pow", {two, other}));
        return op::Values{whole && IsFloating(dtype) ? CastTo(b, scaled, dtype) : scaled};
      })
      .Oracle("input * 2.0 ** other")
      .Samples([]() -> std::vector<op::Sample> {
        constexpr DType kF = DType::kFloat32, kI = DType::kInt64;
        return {{{{kF, {5, 3}}, {kI, {3}}}, {}},
                {{{kF, {5}}, {kF, {5}}}, {}},
                {{{kI, {5}}, {kI, {5}}}, {}},
                {{{DType::kFloat64, {4}}, {DType::kInt8, {}}}, {}}};
      });
  Named(op, "ldexp(input, other)", Writes::kBoth);
}

OFL_OP(make_complex) {
  ForEachDType<kWide>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<MakeComplex, T, T>); });
  DescribeBinary(op, kWide, "The complex numbers of these real and imaginary parts.",
                 "; linear jointly 0 1", {})
      .Infer(InferComplex)
      .Promote(op::Promotion::kNone)
      .Grad([](op::GradContext& c) {
        if (c.Needs(0)) SetReduced(c, 0, Of(c.b, "real", c.grads[0]));
        if (c.Needs(1)) SetReduced(c, 1, Of(c.b, "imag", c.grads[0]));
      })
      .Oracle("input + 1j * other")
      .Py("complex(real: input, imag: other)")
      .Public()
      .Samples([] { return WideSamples(-2, 2); });
}

OFL_OP(polar) {
  op.Doc("The complex numbers of these absolute values and angles.")
      .In("abs")
      .In("angle")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        return op::Values{b.Call("make_complex", {Mul(b, in[0], Of(b, "cos", in[1])),
                                                  Mul(b, in[0], Of(b, "sin", in[1]))})};
      })
      .Oracle("abs * np.exp(1j * angle)")
      .Py("polar(abs, angle)")
      .Public()
      .Samples([] { return WideSamples(-2, 2); });
}

OFL_OP(angle) {
  Unary<Angle, kFloats | kComplexes>(op, "The angle of complex numbers; of negative ones pi.",
                                     "; never partial")
      .Grad(GradAngle)
      .Oracle("np.angle(input)");
  Named(op, "angle(input)", Writes::kNothing);
}

OFL_OP(positive) {
  op.Doc("input itself.")
      .In("input")
      .Out("output")
      .Compose([](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
        if (in[0]->meta().dtype == DType::kBool) {
          b.Fail(Error(Code::kTypeMismatch)
                 << "[positive] bool is not a number: got input: " << in[0]->meta().ToString()
                 << "; expected a number; convert with .to(flow.int64)");
          return op::Values{nullptr};
        }
        return op::Values{in[0]};
      })
      .Oracle("input")
      .PyBoth("positive(input)")
      .Samples([] { return UnarySamples(ListOf(kNumbers)); })
      .ErrorSamples({{{{DType::kBool, {2}}}, {}, Code::kTypeMismatch, "bool is not a number"}});
}

}  // namespace ofl::ops
