// Quotients that are rounded, and what they leave.
#include <atomic>
#include <cmath>

#include "oneflow_like/ops/elementwise/covered.h"
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

// Of integers a division by 0 has no result: it is noted where there is a place, and the call
// fails.
struct Divides {
  bool* by_zero = nullptr;
  template <class T>
  OFL_FN bool Bad(T b) const {
    if (b != 0) return false;
    if (by_zero != nullptr) *by_zero = true;
    return true;
  }
};

// std::fmod takes a step for each bit of the quotient. A small quotient is known at once: the
// division rounds it up to the next whole number at most, and the fused difference is exact.
template <class T>
OFL_FN bool IsSmallQuotient(T a, T b) {
  const T quotient = a / b;
  constexpr T kSmall = 4194304;  // 2^22
  return (quotient < kSmall) & (quotient > -kSmall) & (b - b == T(0));
}
// Written without jumps.
template <class T>
OFL_FN T QuickRest(T a, T b) {
  const T rest = std::fma(-std::trunc(a / b), b, a);
  const T size = b < T(0) ? -b : b, none = std::copysign(T(0), a);
  const T less = rest - size, more = rest + size;
  const T turned = a < T(0) ? less : more;
  const T right = (rest < T(0)) == (a < T(0)) ? rest : turned;
  return rest == T(0) ? none : right;
}
template <class T>
OFL_FN T Rest(T a, T b) {
  return IsSmallQuotient(a, b) ? QuickRest(a, b) : std::fmod(a, b);
}

// What of floating numbers is made of a, b and the rest of a / b, likewise.
template <class T>
OFL_FN T SignedAs(T rest, T b) {
  const T other = rest + b;
  return (rest != T(0)) & ((rest < T(0)) != (b < T(0))) ? other : rest;
}
template <class T>
OFL_FN T FloorOf(T a, T b, T rest) {
  const T ratio = a / b, exact = (a - rest) / b, below = exact - T(1);
  const T quotient = (rest != T(0)) & ((b < T(0)) != (rest < T(0))) ? below : exact;
  const T whole = std::floor(quotient), next = whole + T(1);
  const T rounded = quotient - whole > T(0.5) ? next : whole;
  const T none = std::copysign(T(0), ratio);
  return quotient == T(0) ? none : rounded;
}

// As Python's % and //: the remainder has the sign of the divisor.
struct Remainder : Divides {
  template <class T>
  OFL_FN static bool Covers(T a, T b) {
    return IsSmallQuotient(a, b);
  }
  template <class T>
  OFL_FN static T Quick(T a, T b) {
    return SignedAs(QuickRest(a, b), b);
  }
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (Bad(b) || b == -1) return T(0);
      const T rest = static_cast<T>(a % b);
      return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
    } else {
      return SignedAs(Rest(a, b), b);
    }
  }
};
struct FloorDivide : Divides {
  template <class T>
  OFL_FN static bool Covers(T a, T b) {
    return IsSmallQuotient(a, b) & (b != T(0));
  }
  template <class T>
  OFL_FN static T Quick(T a, T b) {
    return FloorOf(a, b, QuickRest(a, b));
  }
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (Bad(b)) return T(0);
      if (b == -1) return static_cast<T>(-a);
      const T quotient = static_cast<T>(a / b);
      return a % b != 0 && (a < 0) != (b < 0) ? static_cast<T>(quotient - 1) : quotient;
    } else {
      return b == 0 ? a / b : FloorOf(a, b, Rest(a, b));
    }
  }
};
// As C's: towards 0.
struct Fmod : Divides {
  template <class T>
  OFL_FN static bool Covers(T a, T b) {
    return IsSmallQuotient(a, b);
  }
  template <class T>
  OFL_FN static T Quick(T a, T b) {
    return QuickRest(a, b);
  }
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return Bad(b) || b == -1 ? T(0) : static_cast<T>(a % b);
    else
      return Rest(a, b);
  }
};
struct TruncDivide : Divides {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return Bad(b) ? T(0) : b == -1 ? static_cast<T>(-a) : static_cast<T>(a / b);
    else
      return std::trunc(a / b);
  }
};

template <class F, class T>
const Row& DividingRow() {
  if constexpr (std::is_floating_point_v<T> && requires { F::Quick(T(1), T(1)); })
    return kCoveredRow2<F, T, T>;
  else
    return kRowOf<F, T, T>;
}

template <class F, class T>
Status RunDividing(op::KernelContext& c) {
  bool by_zero = false;
  F f;
  f.by_zero = &by_zero;
  OFL_TRY(RunRow(c, DividingRow<F, T>(), &f));
  OFL_ENSURE(!by_zero, Code::kFailedPrecondition)
      << "division of an integer by zero (ZeroDivisionError): got 0 in other; expected another "
      << "number; convert with .to(flow.float32)";
  return Status::Ok();
}

constexpr DTypeSet kSampled = kReals & ~SetOf(DType::kUInt8);  // whose samples hold 0

template <class F>
op::OpDefBuilder& Rounded(op::OpDefBuilder& op, const char* doc) {
  ForEachDType<kReals>([&]<class T>(DType dtype) { op.Cpu(dtype, RunDividing<F, T>); });
  return DescribeBinary(op, kReals, doc, "; never partial", {1, 9})
      .Infer(InferBinaryOf<kReals, Gives::kSame>)
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Samples([] { return BinarySamples(ListOf(kSampled), 1, 9); });
}

// Of a quotient that is rounded.
void GradZeros(op::GradContext& c) {
  for (int i = 0; i < 2; ++i)
    if (c.Needs(i)) c.Set(i, ZerosLike(c.b, c.inputs[static_cast<size_t>(i)]));
}

// Of what a quotient leaves: a - b q.
void GradRest(op::GradContext& c, const char* quotient) {
  if (c.Needs(0)) SetReduced(c, 0, c.grads[0]);
  if (!c.Needs(1)) return;
  const op::Value q = c.b.Call(quotient, {c.inputs[0], c.inputs[1]});
  SetReduced(c, 1, Of(c.b, "neg", Mul(c.b, c.grads[0], q)));
}

op::Values ComposeDiv(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const auto* mode = attrs.Maybe<std::string>("rounding_mode");
  if (mode == nullptr) return {b.Call("div", {in[0], in[1]})};
  if (*mode == "floor") return {b.Call("floor_divide", {in[0], in[1]})};
  if (*mode == "trunc") return {b.Call("trunc_divide", {in[0], in[1]})};
  b.Fail(Error(Code::kInvalidArgument) << "[div] the rounding mode is unknown: got rounding_mode='"
                                       << *mode << "'; expected None, 'trunc' or 'floor'");
  return {nullptr};
}

}  // namespace

OFL_OP(remainder) {
  Rounded<Remainder>(op,
                     "What input // other leaves, with the sign of other, as Python's %. Integers "
                     "are not divided by 0.")
      .Grad([](op::GradContext& c) { GradRest(c, "floor_divide"); })
      .Oracle("np.remainder(input, other)");
  Named(op, "remainder(input, other)").PyMethod("__rmod__(other, input)").Dunder("__mod__");
}

OFL_OP(fmod) {
  Rounded<Fmod>(op,
                "What a division towards 0 leaves, with the sign of input, as C's fmod. Integers "
                "are not divided by 0.")
      .Grad([](op::GradContext& c) { GradRest(c, "trunc_divide"); })
      .Oracle("np.fmod(input, other)");
  Named(op, "fmod(input, other)");
}

OFL_OP(floor_divide) {
  Rounded<FloorDivide>(op,
                       "The quotient, rounded down, as Python's //. Integers are not divided by 0.")
      .Grad(GradZeros)
      .Oracle("np.floor_divide(input, other)");
  Named(op, "floor_divide(input, other)")
      .PyMethod("__rfloordiv__(other, input)")
      .Dunder("__floordiv__");
}

OFL_OP(trunc_divide) {
  Rounded<TruncDivide>(op, "The quotient, rounded towards 0. Integers are not divided by 0.")
      .Grad(GradZeros)
      .Oracle("np.trunc(input / other)")
      .Py("trunc_divide(input, other)");
}

OFL_OP(div_rounded) {
  op.Doc(
        "The quotient: with rounding_mode 'trunc' rounded towards 0, with 'floor' down, of "
        "integers without a way through floating numbers; None is the true quotient.")
      .In("input")
      .In("other")
      .Out("output")
      .OptionalAttr("rounding_mode", op::AttrType::kString)
      .InPlace(0, 0)
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeDiv)
      .Oracle("div_rounded(input, other, rounding_mode)")
      .PyBoth("div(input, other, *, rounding_mode)")
      .Method("div_")
      .PyBoth("divide(input, other, *, rounding_mode)")
      .Method("divide_")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const char* mode : {"trunc", "floor"}) {
          for (DType dtype : ListOf(kSampled)) {
            samples.push_back({{{dtype, {5, 3}}, {dtype, {3}}},
                               {{"rounding_mode", std::string(mode)}},
                               1,
                               9,
                               mode});
          }
        }
        samples.push_back({{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}}, {}, 1, 9, "true"});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {{"rounding_mode", std::string("up")}},
                      Code::kInvalidArgument,
                      "the rounding mode is unknown"}});
}

}  // namespace ofl::ops
