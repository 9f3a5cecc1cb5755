// Comparisons of two tensors, with NumPy broadcasting, and logic of bool; results are bool.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"

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

// --- with a number ------------------------------------------------------------------------------

template <class T>
Status RunCompareNumber(op::KernelContext& c) {
  const auto& compare = c.attr<std::string>("compare");
  const T number = c.number("value").As<T>();
  const auto run = [&]<class F>(F f, bool number_first) {
    return RunNumber(c, kRowOf<F, T, T>, &f, &number, number_first);
  };
  if (compare == "eq") return run(Equal{}, false);
  if (compare == "ne") return run(Unequal{}, false);
  if constexpr (!math::kIsComplex<T>) {
    if (compare == "lt") return run(Less{}, false);
    if (compare == "le") return run(LessOrEqual{}, false);
    if (compare == "gt") return run(Less{}, true);
    return run(LessOrEqual{}, true);
  }
  return Status::Ok();  // passed Infer
}

Status InferCompareNumber(op::InferContext& c) {
  const auto& compare = c.attr<std::string>("compare");
  const bool equality = compare == "eq" || compare == "ne";
  OFL_ENSURE(equality || compare == "lt" || compare == "le" || compare == "gt" || compare == "ge",
             Code::kInvalidArgument)
      << "there is no such comparison; expected 'eq', 'ne', 'lt', 'le', 'gt' or 'ge'";
  OFL_TRY(RequireIn(c, 0, equality ? kNumbers | kBools : kOrdered));
  OFL_TRY(CheckHolds(c.input(0).dtype, c.number("value")));
  c.AddOutput({DType::kBool, c.input(0).shape});
  return Status::Ok();
}

std::string CompareNumberRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  const auto& compare = attrs.Get<std::string>("compare");
  return std::string("(...)->(...)") + (compare == "eq" || compare == "ne" ? "" : kWhole);
}

std::vector<op::Sample> CompareNumberSamples() {
  constexpr DType kF = DType::kFloat32;
  std::vector<op::Sample> samples;
  for (const char* compare : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    const Attrs attrs = {{"compare", std::string(compare)}, {"value", int64_t{1}}};
    samples.push_back({{{kF, {5, 3}}}, attrs});
    samples.push_back({{{DType::kInt64, {5}}}, attrs});
  }
  for (DType dtype : ListOf(kNumbers))
    samples.push_back({{{dtype, {5}}}, {{"compare", std::string("eq")}, {"value", int64_t{0}}}});
  return samples;
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

OFL_OP(compare_number) {
  op.Doc(
        "Compares each element with a number that its dtype holds: 'eq', 'ne', 'lt', 'le', 'gt' or "
        "'ge'.")
      .In("input")
      .Out("output")
      .Attr("compare", op::AttrType::kString)
      .Attr("value", op::AttrType::kScalar)
      .Infer(InferCompareNumber)
      .Sbp(CompareNumberRule)
      .Unclaimed("P*->P*", "of values that are all equal to the number, or none")
      .NotDifferentiable("a comparison is piecewise constant")
      .Traits({op::Trait::kElementwise})
      .Strided()
      .Oracle("compared(input, compare, value)")
      .Py("compare_number(input, compare, value)")
      .Samples(CompareNumberSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"compare", std::string("is")}, {"value", int64_t{0}}},
                      Code::kInvalidArgument,
                      "no such comparison"},
                     {{{DType::kComplex64, {2}}},
                      {{"compare", std::string("lt")}, {"value", int64_t{0}}},
                      Code::kTypeMismatch,
                      "has no order"}});
  ForEachDType<kNumbers | kBools>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunCompareNumber<T>); });
}

}  // namespace ofl::ops
