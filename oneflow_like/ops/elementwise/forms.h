// What the definitions of elementwise functions share beside their families: names, slopes,
// predicates, operators of three operands.
#pragma once

#include <string>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/vector_math.h"

namespace ofl::ops {

// A functor of one element whose functions have vector forms.
#define OFL_FUNCTOR(NAME, EXPRESSION)       \
  struct NAME {                             \
    static constexpr bool kInPieces = true; \
    template <class T>                      \
    OFL_FN T operator()(T x) const {        \
      return EXPRESSION;                    \
    }                                       \
  };

// --- names --------------------------------------------------------------------------------------

// Which forms that write into the first operand torch has of a name: x.sin_(), flow.sin_(x).
enum class Writes { kNothing, kMethod, kBoth };
// flow.<name> and Tensor.<name> by a signature, and those forms.
op::OpDefBuilder& Named(op::OpDefBuilder& op, const std::string& signature,
                        Writes writes = Writes::kMethod);

// --- gradients ----------------------------------------------------------------------------------

inline op::Value Sub(op::Builder& b, op::Value x, op::Value y) {
  return b.Call("sub", {std::move(x), std::move(y)});
}
inline op::Value Add(op::Builder& b, op::Value x, op::Value y) {
  return b.Call("add", {std::move(x), std::move(y)});
}
inline op::Value Div(op::Builder& b, op::Value x, op::Value y) {
  return b.Call("div", {std::move(x), std::move(y)});
}
inline op::Value Of(op::Builder& b, const char* function, op::Value x) {
  return b.Call(function, {std::move(x)});
}
// scalar - x.
inline op::Value From(op::Builder& b, Scalar scalar, op::Value x) {
  return b.Call("rsub_scalar", {std::move(x)}, {{"scalar", scalar}});
}
// scalar / x.
inline op::Value Over(op::Builder& b, Scalar scalar, op::Value x) {
  return b.Call("rdiv_scalar", {std::move(x)}, {{"scalar", scalar}});
}
inline op::Value ZerosLike(op::Builder& b, op::Value x) {
  return Of(b, "zeros_like", std::move(x));
}
inline op::Value OnesLike(op::Builder& b, op::Value x) { return Of(b, "ones_like", std::move(x)); }
inline op::Value Where(op::Builder& b, op::Value condition, op::Value x, op::Value y) {
  return b.Call("where", {std::move(condition), std::move(x), std::move(y)});
}
// Compares with a number that x's dtype holds.
op::Value Against(op::Builder& b, const char* compare, const op::Value& x, double number);

// The gradient of a holomorphic function of one operand: grad * conj(slope).
void SetSlope(op::GradContext& c, const op::Value& slope);
// Of operand `i`, which was broadcast.
void SetReduced(op::GradContext& c, int i, op::Value grad);
// Of what is piecewise constant.
inline void SetZero(op::GradContext& c) { c.Set(0, ZerosLike(c.b, c.grads[0])); }

// --- predicates ---------------------------------------------------------------------------------

// Whether something holds of an element, as bool.
op::OpDefBuilder& DescribePredicate(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                    const std::string& rule);
template <class F, DTypeSet kSet>
op::OpDefBuilder& Predicate(op::OpDefBuilder& op, const char* doc,
                            const std::string& rule = "; never partial") {
  UnaryKernels<F, kSet>(op);
  return DescribePredicate(op, kSet, doc, rule).Infer(InferUnaryOf<kSet, Gives::kBool>);
}

// --- three operands, which broadcast
// --------------------------------------------------------------

Status InferTernary(op::InferContext& c, DTypeSet set);
template <DTypeSet kSet>
Status InferTernaryOf(op::InferContext& c) {
  return InferTernary(c, kSet);
}
op::OpDefBuilder& DescribeTernary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                  const std::string& rule, Range range, Attrs attrs);
// y = F(first, second, third) of one dtype; operands are named before.
template <class F, DTypeSet kSet>
op::OpDefBuilder& Ternary(op::OpDefBuilder& op, const char* doc, const std::string& rule = "",
                          Range range = {}, Attrs attrs = {}) {
  ForEachDType<kSet>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<F, T, T, T>); });
  return DescribeTernary(op, kSet, doc, rule, range, std::move(attrs)).Infer(InferTernaryOf<kSet>);
}

// --- samples ------------------------------------------------------------------------------------

// Of a composite of one operand, which rounds after each part: floats of 32 and 64 bits.
std::vector<op::Sample> ExactSamples(double low = -2, double high = 2, Attrs attrs = {});

}  // namespace ofl::ops
