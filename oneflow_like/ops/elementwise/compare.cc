// Comparisons of two tensors, with NumPy broadcasting, and logic of bool; results are bool.
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

struct Equal {
  template <class T>
  OFL_FN bool operator()(T a, T b) const {
    return a == b;
  }
};
struct Unequal {
  template <class T>
  OFL_FN bool operator()(T a, T b) const {
    return a != b;
  }
};
struct Less {
  template <class T>
  OFL_FN bool operator()(T a, T b) const {
    return a < b;
  }
};
struct LessOrEqual {
  template <class T>
  OFL_FN bool operator()(T a, T b) const {
    return a <= b;
  }
};
// Without short circuits, which would keep the loop from becoming vectors.
struct And {
  OFL_FN bool operator()(bool a, bool b) const { return static_cast<bool>(a & b); }
};
struct Or {
  OFL_FN bool operator()(bool a, bool b) const { return static_cast<bool>(a | b); }
};

constexpr DTypeSet kOrdered = kReals | kBools;

// An order is not monotone: NaN is neither below nor above a number that another part may hold.
constexpr char kWhole[] = "; never partial";

template <class F, DTypeSet kSet, bool kSwapped = false>
op::OpDefBuilder& Comparison(op::OpDefBuilder& op, const char* doc, const char* rule = "") {
  BinaryKernels<F, kSet, kSwapped>(op);
  return DescribeBinary(op, kSet, doc, rule, {})
      .Infer(InferBinaryOf<kSet, Gives::kBool>)
      .NotDifferentiable("a comparison is piecewise constant");
}

}  // namespace

OFL_OP(eq) {
  Comparison<Equal, kNumbers | kBools>(op, "input == other, elementwise.").Oracle("input == other");
  Named(op, "eq(input, other)").Dunder("__eq__");
}
OFL_OP(ne) {
  Comparison<Unequal, kNumbers | kBools>(op, "input != other, elementwise.")
      .Oracle("input != other");
  Named(op, "ne(input, other)").Dunder("__ne__");
  Named(op, "not_equal(input, other)");
}
OFL_OP(lt) {
  Comparison<Less, kOrdered>(op, "input < other, elementwise.", kWhole).Oracle("input < other");
  Named(op, "lt(input, other)").Dunder("__lt__");
  Named(op, "less(input, other)");
}
OFL_OP(le) {
  Comparison<LessOrEqual, kOrdered>(op, "input <= other, elementwise.", kWhole)
      .Oracle("input <= other");
  Named(op, "le(input, other)").Dunder("__le__");
  Named(op, "less_equal(input, other)");
}
OFL_OP(gt) {
  Comparison<Less, kOrdered, true>(op, "input > other, elementwise.", kWhole)
      .Oracle("input > other");
  Named(op, "gt(input, other)").Dunder("__gt__");
  Named(op, "greater(input, other)");
}
OFL_OP(ge) {
  Comparison<LessOrEqual, kOrdered, true>(op, "input >= other, elementwise.", kWhole)
      .Oracle("input >= other");
  Named(op, "ge(input, other)").Dunder("__ge__");
  Named(op, "greater_equal(input, other)");
}
OFL_OP(logical_and) {
  Binary<And, kBools>(op, "True where both are true.", "; monotone 0 1; min jointly 0 1");
  op.NotDifferentiable("bool has no gradient")
      .Oracle("input & other")
      .Py("_logical_and(input, other)");
}
OFL_OP(logical_or) {
  Binary<Or, kBools>(op, "True where either is true.", "; monotone 0 1; max jointly 0 1");
  op.NotDifferentiable("bool has no gradient")
      .Oracle("input | other")
      .Py("_logical_or(input, other)");
}

}  // namespace ofl::ops
