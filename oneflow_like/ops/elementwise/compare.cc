// Comparisons and logic of two tensors, with NumPy broadcasting; results are bool.
#include "oneflow_like/ops/elementwise/elementwise.h"

namespace ofl::ops {
namespace {

struct EqFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a == b;
  }
};
struct NeFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a != b;
  }
};
struct LtFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a < b;
  }
};
struct LeFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct GtFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a > b;
  }
};
struct GeFn {
  template <class T>
  OFL_INLINE bool operator()(T a, T b) const {
    return a >= b;
  }
};
// Without short circuits, which would keep the loop from becoming vectors.
struct AndFn {
  OFL_INLINE bool operator()(bool a, bool b) const { return static_cast<bool>(a & b); }
};
struct OrFn {
  OFL_INLINE bool operator()(bool a, bool b) const { return static_cast<bool>(a | b); }
};

template <Numbers kNumbers>
Status Infer(op::InferContext& c) {
  return InferBinary(c, kNumbers, true);
}

std::vector<op::ErrorSample> CompareErrors() {
  constexpr DType kF = DType::kFloat32;
  return {{{{kF, {2, 3}}, {kF, {4, 5}}}, {}, Code::kInvalidArgument, "cannot be broadcast"},
          {{{kF, {2}}, {DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "differ"}};
}

std::vector<op::ErrorSample> LogicErrors() {
  return {{{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
           {},
           Code::kTypeMismatch,
           "float32 is not bool: got input: float32[2]"}};
}

template <class F>
void Comparison(op::OpDefBuilder& op, const char* doc, const char* rule) {
  op.Doc(doc)
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kAny>)
      .Sbp(std::string("(...),(...)->(...)") + rule)
      .NotDifferentiable("a comparison is piecewise constant")
      .Traits({op::Trait::kElementwise})
      .Cpu(DType::kFloat32, RunBinary<F, float, bool>)
      .Cpu(DType::kFloat64, RunBinary<F, double, bool>)
      .Cpu(DType::kInt64, RunBinary<F, int64_t, bool>)
      .Cpu(DType::kInt32, RunBinary<F, int32_t, bool>)
      .Cpu(DType::kBool, RunBinary<F, bool, bool>)
      .Samples([] { return BinarySamples({DType::kInt64, DType::kFloat32, DType::kBool}); })
      .Unclaimed("P(max),P(min)->P*", "holds for bool alone")
      .Unclaimed("P(min),P(max)->P*", "holds for bool alone")
      .ErrorSamples(CompareErrors());
}

template <class F>
void Logic(op::OpDefBuilder& op, const char* doc) {
  op.Doc(doc)
      .In("input")
      .In("other")
      .Out("output")
      .Infer(Infer<Numbers::kBool>)
      .Sbp("(...),(...)->(...); monotone 0 1")
      .NotDifferentiable("bool has no gradient")
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Cpu(DType::kBool, RunBinary<F, bool, bool>)
      .Samples([] { return BinarySamples({DType::kBool}); })
      .ErrorSamples(LogicErrors());
}

}  // namespace

OFL_OP(eq) {
  Comparison<EqFn>(op, "input == other, elementwise.", "");
  op.Py("eq(input, other, /)").Method("eq").Dunder("__eq__");
}
OFL_OP(ne) {
  Comparison<NeFn>(op, "input != other, elementwise.", "");
  op.Py("ne(input, other, /)").Method("ne").Dunder("__ne__");
}
OFL_OP(lt) {
  Comparison<LtFn>(op, "input < other, elementwise.", "; antitone 0; monotone 1");
  op.Py("lt(input, other, /)").Method("lt").Dunder("__lt__");
}
OFL_OP(le) {
  Comparison<LeFn>(op, "input <= other, elementwise.", "; antitone 0; monotone 1");
  op.Py("le(input, other, /)").Method("le").Dunder("__le__");
}
OFL_OP(gt) {
  Comparison<GtFn>(op, "input > other, elementwise.", "; monotone 0; antitone 1");
  op.Py("gt(input, other, /)").Method("gt").Dunder("__gt__");
}
OFL_OP(ge) {
  Comparison<GeFn>(op, "input >= other, elementwise.", "; monotone 0; antitone 1");
  op.Py("ge(input, other, /)").Method("ge").Dunder("__ge__");
}
OFL_OP(logical_and) {
  Logic<AndFn>(op, "True where both are true.");
  op.Py("logical_and(input, other, /)")
      .Method("logical_and")
      .Dunder("__and__")
      .Unclaimed("P(min),P(min)->P(min)", "rules have no joint form of monotone yet");
}
OFL_OP(logical_or) {
  Logic<OrFn>(op, "True where either is true.");
  op.Py("logical_or(input, other, /)")
      .Method("logical_or")
      .Dunder("__or__")
      .Unclaimed("P(max),P(max)->P(max)", "rules have no joint form of monotone yet");
}

}  // namespace ofl::ops
