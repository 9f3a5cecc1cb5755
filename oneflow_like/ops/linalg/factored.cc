// Systems solved by the factors of their matrix, which the gradient uses again.
#include <algorithm>

#include "oneflow_like/ops/linalg/systems.h"

namespace ofl::ops {
namespace {

// Factors as LAPACK leaves them, column by column, for the systems that are solved by them.
struct SystemFactors {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    if (arena.counting()) return Status::Ok();
    const int n = m.rows(0);
    T* factors = m.Out<T>(0, i, 2);
    ToColumns(m.In<T>(0, i, 2), n, n, factors);
    const int info = FactorLu(n, n, factors, m.Out<int32_t>(1, i, 1));
    *m.Out<int32_t>(2, i, 0) = info;
    OFL_ENSURE(info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.solve] " << BatchText(m, i) << "the matrix is singular: got a zero as pivot "
        << info << "; expected another matrix";
    return Status::Ok();
  }
};

template <class T>
void Conjugate(T* x, int64_t n) {
  if constexpr (!std::is_floating_point_v<T>)
    for (int64_t e = 0; e < n; ++e) x[e] = std::conj(x[e]);
}

// Inputs: A, which only the gradient looks at, its factors, their pivots, B.
struct FactoredSystem {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(1), rows = m.rows(3), columns = m.columns(3);
    const bool left = m.attrs.Get<bool>("left"), adjoint = m.attrs.Get<bool>("adjoint");
    const int64_t count = int64_t{rows} * columns;
    T* x = arena.Take<T>(left ? count : 0);
    if (arena.counting()) return Status::Ok();
    const T *factors = m.In<T>(1, i, 2), *b = m.In<T>(3, i, 2);
    const int* pivots = m.In<int>(2, i, 1);
    for (int k = 0; k < n; ++k) {
      OFL_ENSURE(pivots[k] >= 1 && pivots[k] <= n, Code::kOutOfRange)
          << "[linalg.solve] a pivot is no row: got " << pivots[k] << "; expected 1 to " << n;
    }
    T* out = m.Out<T>(0, i, 2);
    if (left) {
      ToColumns(b, rows, columns, x);
      lapack::Getrs(adjoint ? 'C' : 'N', n, columns, factors, pivots, x);
      FromColumns(x, rows, columns, out, rows);
      return Status::Ok();
    }
    // Rows of X are columns of its transpose: A^T X^T = B^T, and conj(A) X^T = B^T of the adjoint.
    std::copy(b, b + count, out);
    if (adjoint) Conjugate(out, count);
    lapack::Getrs(adjoint ? 'N' : 'T', n, rows, factors, pivots, out);
    if (adjoint) Conjugate(out, count);
    return Status::Ok();
  }
};

Status InferFactors(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  const Shape& a = c.input(0).shape;
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt32, BatchWith(a, {RowsOf(a)})});
  c.AddOutput({DType::kInt32, BatchOf(a)});
  return Status::Ok();
}

Status InferFactored(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  OFL_TRY(RequireMatrices(c, 3, false));
  OFL_TRY(CheckSystem(c.input(0), c.input(3), c.attr<bool>("left")));
  const Shape& a = c.input(0).shape;
  OFL_ENSURE(c.input(1) == c.input(0) && c.input(2).dtype == DType::kInt32 &&
                 c.input(2).shape == BatchWith(a, {RowsOf(a)}) &&
                 BatchOf(a) == BatchOf(c.input(3).shape),
             Code::kInvalidArgument)
      << "A, its factors, their pivots and B do not fit; expected those of system_factors, and one "
         "batch";
  c.AddOutput(c.input(3));
  return Status::Ok();
}

// As SystemRule, of B as the last operand. Nothing follows from the values of A.
std::string FactoredRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  return std::string("(... ! !),(... ! !),(... !),") +
         (attrs.Get<bool>("left") ? "(... ! k)->(... ! k)" : "(... k !)->(... k !)") +
         "; linear 3; never partial";
}

// By the same factors.
void GradFactored(op::GradContext& c) {
  op::Builder& b = c.b;
  const bool left = c.attrs.Get<bool>("left"), adjoint = c.attrs.Get<bool>("adjoint");
  const op::Value gb =
      b.Call("factored_system", {c.inputs[0], c.inputs[1], c.inputs[2], c.grads[0]},
             {{"left", left}, {"adjoint", !adjoint}});
  c.Set(3, gb);
  if (!c.Needs(0)) return;
  const op::Value &x = c.outputs[0], less = Negative(b, gb);
  // That of A is -gB X^H, or -X^H gB; and the adjoint of this where the adjoint of A is solved by.
  if (left) {
    c.Set(0, adjoint ? MatMul(b, x, Adjoint(b, less)) : MatMul(b, less, Adjoint(b, x)));
  } else {
    c.Set(0, adjoint ? MatMul(b, Adjoint(b, less), x) : MatMul(b, Adjoint(b, x), less));
  }
}

// Pivots of matrices of two rows: 1 or 2.
std::vector<op::Sample> FactoredSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape a, Shape rhs, bool left, bool adjoint) {
    samples.push_back({{{d, a}, {d, a}, {DType::kInt32, BatchWith(a, {RowsOf(a)})}, {d, rhs}},
                       {{"left", left}, {"adjoint", adjoint}},
                       1,
                       3,
                       kDominant});
  };
  for (DType d : ListOf(kLapack)) {
    for (bool adjoint : {false, true}) {
      add(d, {2, 2}, {2, 3}, true, adjoint);
      add(d, {2, 2}, {3, 2}, false, adjoint);
    }
  }
  add(DType::kFloat32, {2, 2, 2}, {2, 2, 3}, true, false);
  add(DType::kFloat32, {0, 0}, {0, 3}, true, false);
  return samples;
}

}  // namespace

OFL_OP(system_factors) {
  Flag(
      op.Doc(
            "L and U of A = P L U, column by column, the rows that were exchanged, and which pivot "
            "is\nzero, else 0; `check_errors` refuses singular matrices.")
          .In("A")
          .Out("factors")
          .Out("pivots")
          .Out("info"),
      "check_errors")
      .Infer(InferFactors)
      .Sbp("(... ! !)->(... ! !),(... !),(...); never partial")
      .NotDifferentiable("factored_system has the gradient of what is solved by them")
      .Oracle("(np.swapaxes(lu_factor(A)[0], -1, -2), *lu_factor(A)[1:])")
      .Py("_system_factors(A, *, check_errors=False)")
      .Samples([] { return SquareSamples(kDominant); })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<SystemFactors>(op);
}

OFL_OP(factored_system) {
  Flag(
      op.Doc("X of A X = B (not `left`: X A = B), by what system_factors gives of A; `adjoint`: of "
             "the\nadjoint of A. Only the gradient is asked of A.")
          .In("A")
          .In("factors")
          .In("pivots")
          .In("B")
          .Out("output")
          .Attr("left", op::AttrType::kBool, true),
      "adjoint")
      .Infer(InferFactored)
      .Sbp(FactoredRule)
      .Grad(GradFactored)
      .Traits({op::Trait::kInexactGrad})  // of operands that are drawn, and are not A's factors
      .Oracle("lu_solve(np.swapaxes(factors, -1, -2), pivots, B, left, adjoint)")
      .Py("_factored_system(A, factors, pivots, B, *, left=True, adjoint=False)")
      .Samples(FactoredSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 2}},
                       {DType::kFloat32, {2, 2}},
                       {DType::kInt32, {3}},
                       {DType::kFloat32, {2, 1}}},
                      {},
                      Code::kInvalidArgument,
                      "its factors, their pivots and B do not fit"}});
  LapackKernels<FactoredSystem>(op);
}

}  // namespace ofl::ops
