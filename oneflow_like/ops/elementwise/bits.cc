// Bits of integers, and logic of any numbers.
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

struct BitAnd {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct BitOr {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct BitXor {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
struct BitNot {
  template <class T>
  OFL_FN T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
// Narrow integers are shifted in 32 bits: what leaves their own width is cut off when stored.
struct ShiftLeft {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    constexpr T kWidth = sizeof(T) * 8;
    using Bits = std::make_unsigned_t<T>;
    const bool all = (b < 0) | (b >= kWidth);
    return all ? T(0) : static_cast<T>(static_cast<Bits>(a) << (all ? T(0) : b));
  }
};
struct ShiftRight {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    constexpr T kMost = sizeof(T) * 8 - 1;
    return static_cast<T>(a >> ((b < 0) | (b > kMost) ? kMost : b));
  }
};
struct Gcd {
  template <class T>
  OFL_FN static T Of(T a, T b) {
    while (a != 0) {
      const T rest = a == -1 ? T(0) : static_cast<T>(b % a);  // the lowest one by -1 traps
      b = a;
      a = rest;
    }
    return b < 0 ? static_cast<T>(-b) : b;
  }
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    return Of(a, b);
  }
};
struct Lcm {
  template <class T>
  OFL_FN T operator()(T a, T b) const {
    const T g = Gcd::Of(a, b);
    if (g == 0) return T(0);
    const T product = static_cast<T>(a / g * b);
    return product < 0 ? static_cast<T>(-product) : product;
  }
};

template <class F>
op::OpDefBuilder& Whole(op::OpDefBuilder& op, const char* doc, Range range = {-9, 9}) {
  return Binary<F, kInts>(op, doc, "; never partial", range)
      .NotDifferentiable("integers have no gradient")
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "float32 is not an integer dtype"},
                     {{{DType::kInt64, {2, 3}}, {DType::kInt64, {2, 5}}},
                      {},
                      Code::kInvalidArgument,
                      "expected equal sizes or 1"}});
}

op::Value Truth(op::Builder& b, const op::Value& x) { return CastTo(b, x, DType::kBool); }

// Of bool by one operator, of integers by another.
template <const char* kOfBool, const char* kOfInts>
op::Values ComposeBits(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  bool truth = true;
  for (const op::Value& x : in) truth &= x->meta().dtype == DType::kBool;
  return {b.Call(truth ? kOfBool : kOfInts, op::Values(in.begin(), in.end()))};
}
constexpr char kAnd[] = "logical_and";
constexpr char kOr[] = "logical_or";
constexpr char kUnequal[] = "ne";
constexpr char kNot[] = "logical_not";
constexpr char kIntAnd[] = "int_and";
constexpr char kIntOr[] = "int_or";
constexpr char kIntXor[] = "int_xor";
constexpr char kIntNot[] = "int_not";

// Of whatever is not 0.
template <const char* kOfBool>
op::Values ComposeLogic(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  op::Values truths;
  for (const op::Value& x : in) truths.push_back(Truth(b, x));
  return {b.Call(kOfBool, std::move(truths))};
}

op::OpDefBuilder& Logic(op::OpDefBuilder& op, const char* doc, DTypeSet set, op::DecomposeFn fn,
                        bool binary) {
  op.Doc(doc).In("input");
  if (binary) op.In("other");
  return op.Out("output")
      .InPlace(0, 0)
      .Traits({op::Trait::kElementwise})
      .Promote(op::Promotion::kCommon)
      .Compose(fn)
      .Samples([set, binary] {
        return binary ? BinarySamples(ListOf(set)) : UnarySamples(ListOf(set));
      });
}
op::OpDefBuilder& Bitwise(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn,
                          bool binary = true) {
  return Logic(op, doc, kInts | kBools, fn, binary);
}
constexpr DTypeSet kAny = kNumbers | kBools;

}  // namespace

OFL_OP(int_and) {
  Whole<BitAnd>(op, "The bits that both integers have.")
      .Oracle("input & other")
      .Py("int_and(input, other)");
}
OFL_OP(int_or) {
  Whole<BitOr>(op, "The bits that either integer has.")
      .Oracle("input | other")
      .Py("int_or(input, other)");
}
OFL_OP(int_xor) {
  Whole<BitXor>(op, "The bits that one of two integers has.")
      .Oracle("input ^ other")
      .Py("int_xor(input, other)");
}
OFL_OP(int_not) {
  Unary<BitNot, kInts>(op, "The bits that an integer has not.", "; never partial")
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {}, Code::kTypeMismatch, "float32 is not an integer dtype"}})
      .NotDifferentiable("integers have no gradient")
      .Oracle("~input")
      .Py("int_not(input)");
}

OFL_OP(left_shift) {
  Whole<ShiftLeft>(op, "input * 2^other: its bits moved up by other.", {0, 9})
      .Oracle("np.left_shift(input, other)");
  Named(op, "bitwise_left_shift(input, other)")
      .PyMethod("__rlshift__(other, input)")
      .Dunder("__lshift__");
}
OFL_OP(right_shift) {
  Whole<ShiftRight>(op, "The bits of input moved down by other; the sign stays.", {0, 9})
      .Oracle("np.right_shift(input, other)");
  Named(op, "bitwise_right_shift(input, other)")
      .PyMethod("__rrshift__(other, input)")
      .Dunder("__rshift__");
}
OFL_OP(gcd) {
  Whole<Gcd>(op, "The greatest common divisor; of 0 and 0 it is 0.").Oracle("np.gcd(input, other)");
  Named(op, "gcd(input, other)", Writes::kBoth);
}
OFL_OP(lcm) {
  Whole<Lcm>(op, "The least common multiple; with 0 it is 0.").Oracle("np.lcm(input, other)");
  Named(op, "lcm(input, other)", Writes::kBoth);
}

OFL_OP(bitwise_and) {
  Bitwise(op, "The bits that both integers have; of bool the logical and.",
          ComposeBits<kAnd, kIntAnd>)
      .Oracle("input & other");
  Named(op, "bitwise_and(input, other)").PyMethod("__rand__(other, input)").Dunder("__and__");
}
OFL_OP(bitwise_or) {
  Bitwise(op, "The bits that either integer has; of bool the logical or.", ComposeBits<kOr, kIntOr>)
      .Oracle("input | other");
  Named(op, "bitwise_or(input, other)").PyMethod("__ror__(other, input)").Dunder("__or__");
}
OFL_OP(bitwise_xor) {
  Bitwise(op, "The bits that one of two integers has; of bool whether they differ.",
          ComposeBits<kUnequal, kIntXor>)
      .Oracle("input ^ other");
  Named(op, "bitwise_xor(input, other)").PyMethod("__rxor__(other, input)").Dunder("__xor__");
}
OFL_OP(bitwise_not) {
  Bitwise(op, "The bits that an integer has not; of bool the logical not.",
          ComposeBits<kNot, kIntNot>, false)
      .Oracle("~input");
  Named(op, "bitwise_not(input)").Dunder("__invert__");
}

OFL_OP(both_true) {
  Logic(op, "Whether both are not 0.", kAny, ComposeLogic<kAnd>, true)
      .Oracle("np.logical_and(input, other)");
  Named(op, "logical_and(input, other)");
}
OFL_OP(either_true) {
  Logic(op, "Whether either is not 0.", kAny, ComposeLogic<kOr>, true)
      .Oracle("np.logical_or(input, other)");
  Named(op, "logical_or(input, other)");
}
OFL_OP(one_true) {
  Logic(op, "Whether one of the two is not 0.", kAny, ComposeLogic<kUnequal>, true)
      .Oracle("np.logical_xor(input, other)");
  Named(op, "logical_xor(input, other)");
}
OFL_OP(not_true) {
  Logic(op, "Whether input is 0.", kAny, ComposeLogic<kNot>, false).Oracle("np.logical_not(input)");
  Named(op, "logical_not(input)");
}

}  // namespace ofl::ops
