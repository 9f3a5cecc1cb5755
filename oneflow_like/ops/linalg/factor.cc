// Triangular factorizations: Cholesky, LU, LDL.
#include <algorithm>
#include <utility>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

// --- Cholesky -----------------------------------------------------------------------------------

struct Cholesky {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(0);
    T* a = arena.Take<T>(int64_t{n} * n);
    if (arena.counting()) return Status::Ok();
    const bool upper = m.attrs.Get<bool>("upper");
    ToColumns(m.In<T>(0, i, 2), n, n, a);
    int info = lapack::Potrf(upper ? 'U' : 'L', n, a);
    // The library takes NaN, which is not positive, for positive.
    for (int k = 0; k < (info > 0 ? info - 1 : n); ++k)
      if (std::isnan(std::real(a[int64_t{k} * n + k]))) info = k + 1;
    *m.Out<int32_t>(1, i, 0) = info;
    OFL_ENSURE(info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.cholesky] " << BatchText(m, i)
        << "the matrix is not positive-definite: got a leading minor of order " << info
        << " that is not; expected a Hermitian positive-definite matrix";
    for (int64_t c = 0; c < n; ++c)
      for (int64_t r = 0; r < n; ++r)
        if (upper ? r > c : r < c) a[c * n + r] = T(0);
    FromColumns(a, n, n, m.Out<T>(0, i, 2), n);
    return Status::Ok();
  }
};

Status InferCholesky(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt32, BatchOf(c.input(0).shape)});
  return Status::Ok();
}

// gA = L^-H S L^-1, S being the Hermitian matrix with the lower triangle of L^H gL, halved.
void GradCholesky(op::GradContext& c) {
  if (!c.grads[0]) return;
  op::Builder& b = c.b;
  const bool upper = c.attrs.Get<bool>("upper");
  const op::Value l = upper ? Adjoint(b, c.outputs[0]) : c.outputs[0];
  const op::Value gl = upper ? Adjoint(b, c.grads[0]) : c.grads[0];
  const op::Value phi = MatMul(b, Adjoint(b, l), gl);
  const op::Value lower = Tril(b, phi, -1);
  const op::Value diagonal = DiagonalMatrix(b, DiagonalOf(b, phi));
  const op::Value sum = Add(b, Add(b, lower, Adjoint(b, lower)), diagonal);
  const op::Value left = SolveTriangular(b, Adjoint(b, l), MulScalar(b, sum, 0.5), true);
  c.Set(0, SolveTriangular(b, l, left, false, false));
}

// --- LU -----------------------------------------------------------------------------------------

struct LuFactor {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), columns = m.columns(0);
    T* a = arena.Take<T>(int64_t{rows} * columns);
    if (arena.counting()) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), rows, columns, a);
    const int info = FactorLu(rows, columns, a, m.Out<int32_t>(1, i, 1));
    *m.Out<int32_t>(2, i, 0) = info;
    OFL_ENSURE(info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.lu_factor] " << BatchText(m, i) << "U[" << info << "," << info
        << "] is zero, and to solve with U would divide by it: got a singular matrix; expected "
           "another; linalg.lu and linalg.lu_factor_ex factor it";
    FromColumns(a, rows, columns, m.Out<T>(0, i, 2), rows);
    return Status::Ok();
  }
};

Status InferLuFactor(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  OFL_ENSURE(c.attr<bool>("pivot"), Code::kUnimplemented)
      << "LU without pivoting is not implemented on the CPU; expected pivot=True";
  const Shape& a = c.input(0).shape;
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt32, BatchWith(a, {std::min(RowsOf(a), ColumnsOf(a))})});
  c.AddOutput({DType::kInt32, BatchOf(a)});
  return Status::Ok();
}

// The rows of `x` in the order of a permutation (batch, rows).
op::Value Permuted(op::Builder& b, const op::Value& x, const op::Value& order) {
  if (x == nullptr || order == nullptr) return nullptr;
  const Shape& shape = x->meta().shape;
  const op::Value places =
      b.Call("broadcast_to", {Unsqueezed(b, order, -1)}, {{"shape", DimsOf(shape)}});
  return b.Call("gather", {x, places}, {{"dim", int64_t{shape.rank() - 2}}});
}

op::Value OrderOf(op::Builder& b, const op::Value& pivots, int64_t rows, bool inverse) {
  return b.Call("lu_permutation", {pivots}, {{"rows", rows}, {"inverse", inverse}});
}

// A = P L U. With F = L^-1 d(PtA) U^-1: dL = L tril(F, -1), dU = triu(F) U. What lies below the
// square part of L, or beside that of U, is a product with the inverse of the other's.
void GradLuFactor(op::GradContext& c) {
  if (!c.grads[0]) return;
  op::Builder& b = c.b;
  const op::Value &lu = c.outputs[0], &grad = c.grads[0];
  const int64_t m = RowsOf(lu->meta().shape), n = ColumnsOf(lu->meta().shape), k = std::min(m, n);
  const op::Value square = LastPart(b, RowPart(b, lu, 0, k), 0, k);
  const op::Value g = LastPart(b, RowPart(b, grad, 0, k), 0, k);
  const op::Value l = Add(b, Tril(b, square, -1), IdentityLike(b, square)), u = Triu(b, square);
  const op::Value lh = Adjoint(b, l), uh = Adjoint(b, u);
  op::Value lower = MatMul(b, lh, Tril(b, g, -1)), upper = MatMul(b, Triu(b, g), uh);
  if (m > k) {
    const op::Value below = RowPart(b, lu, k, m);
    upper = Sub(b, upper, MatMul(b, Adjoint(b, below), RowPart(b, grad, k, m)));
  }
  if (n > k) {
    const op::Value beside = LastPart(b, lu, k, n);
    lower = Sub(b, lower, MatMul(b, LastPart(b, grad, k, n), Adjoint(b, beside)));
  }
  const op::Value f = Add(b, Tril(b, lower, -1), Triu(b, upper));
  op::Value a = SolveTriangular(b, lh, SolveTriangular(b, uh, f, false, false), true, true, true);
  if (m > k) {
    const op::Value below = SolveTriangular(b, uh, RowPart(b, grad, k, m), false, false);
    a = b.Call("concat", {a, below}, {{"dim", int64_t{-2}}});
  }
  if (n > k) {
    const op::Value beside = SolveTriangular(b, lh, LastPart(b, grad, k, n), true, true, true);
    a = b.Call("concat", {a, beside}, {{"dim", int64_t{-1}}});
  }
  c.Set(0, Permuted(b, a, OrderOf(b, c.outputs[1], m, true)));
}

Status InferPermutation(op::InferContext& c) {
  const Shape& pivots = c.input(0).shape;
  const int64_t rows = c.attr<int64_t>("rows");
  OFL_ENSURE(c.input(0).dtype == DType::kInt32, Code::kTypeMismatch)
      << "the pivots are not int32; expected those of lu_factor";
  OFL_ENSURE(pivots.rank() >= 1 && pivots[pivots.rank() - 1] <= rows, Code::kInvalidArgument)
      << "more pivots than rows: rows=" << rows << "; expected at most " << rows << " pivots";
  Shape out = pivots;
  out[out.rank() - 1] = rows;
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

Status RunPermutation(op::KernelContext& c) {
  const op::TensorView &pivots = c.inputs[0], &order = c.outputs[0];
  const int64_t k = pivots.meta.shape[pivots.meta.shape.rank() - 1];
  const int64_t rows = c.attr<int64_t>("rows");
  const int64_t count = rows == 0 ? 0 : order.numel() / rows;
  const bool inverse = c.attr<bool>("inverse");
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* swaps = pivots.as<int32_t>() + i * k;
    int64_t* p = order.as<int64_t>() + i * rows;
    for (int64_t r = 0; r < rows; ++r) p[r] = r;
    // The inverse undoes the exchanges, the last one first.
    for (int64_t step = 0; step < k; ++step) {
      const int64_t r = inverse ? k - 1 - step : step, with = int64_t{swaps[r]} - 1;
      OFL_ENSURE(with >= 0 && with < rows, Code::kOutOfRange)
          << "[lu_permutation] a pivot is no row: got " << swaps[r] << "; expected 1 to " << rows;
      std::swap(p[r], p[with]);
    }
  }
  return Status::Ok();
}

// --- LDL ----------------------------------------------------------------------------------------

struct LdlFactor {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(0);
    const bool hermitian = m.attrs.Get<bool>("hermitian");
    T* a = arena.Take<T>(int64_t{n} * n);
    T size = 0;
    lapack::Work<T> w{&size};
    lapack::Sytrf(hermitian, n, a, nullptr, w);
    w.size = std::max(static_cast<int>(std::real(size)), 1);
    w.work = arena.Take<T>(w.size);
    if (arena.counting()) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), n, n, a);
    const int info = lapack::Sytrf(hermitian, n, a, m.Out<int32_t>(1, i, 1), w);
    *m.Out<int32_t>(2, i, 0) = info;
    OFL_ENSURE(info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.ldl_factor] " << BatchText(m, i) << "D[" << info << "," << info
        << "] is zero: got a singular matrix; expected another";
    for (int64_t c = 1; c < n; ++c)
      for (int64_t r = 0; r < c; ++r) a[c * n + r] = T(0);
    FromColumns(a, n, n, m.Out<T>(0, i, 2), n);
    return Status::Ok();
  }
};

Status InferLdl(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt32, BatchWith(c.input(0).shape, {RowsOf(c.input(0).shape)})});
  c.AddOutput({DType::kInt32, BatchOf(c.input(0).shape)});
  return Status::Ok();
}

op::OpDefBuilder& Checked(op::OpDefBuilder& op) {
  return op.Attr("check_errors", op::AttrType::kBool, false);
}

}  // namespace

OFL_OP(linalg_cholesky_ex) {
  Checked(op.Doc("The Cholesky factor L of Hermitian positive-definite matrices, A = L L^H, or "
                 "`upper` U,\nA = U^H U; and the order of the first leading minor that is not "
                 "positive, else 0. One\ntriangle of A is read.")
              .In("A")
              .Out("L")
              .Out("info")
              .Attr("upper", op::AttrType::kBool, false))
      .Infer(InferCholesky)
      .Sbp("(... ! !)->(... ! !),(...); never partial")
      .Grad(GradCholesky)
      .Oracle("cholesky_ex(A, upper)")
      .Py("linalg.cholesky_ex(A, *, upper=False, check_errors=False)")
      .Samples([] {
        auto samples = SquareSamples(kHermitian);
        samples.push_back(samples[0]);
        samples.back().attrs = {{"upper", true}};
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<Cholesky>(op);
}

OFL_OP(linalg_cholesky) {
  op.Doc("The Cholesky factor L of Hermitian positive-definite matrices, A = L L^H, or `upper` U.")
      .In("A")
      .Out("L")
      .Attr("upper", op::AttrType::kBool, false)
      .Compose([](op::Builder& b, Operands in, const Attrs& attrs) -> op::Values {
        if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return Refused(b, wrong);
        return {b.CallAll("linalg_cholesky_ex", {in[0]},
                          {{"upper", attrs.Get<bool>("upper")}, {"check_errors", true}})[0]};
      })
      .Oracle("cholesky_ex(A, upper)[0]")
      .Py("linalg.cholesky(A, *, upper=False)")
      .PyBoth("cholesky(input: A, upper=False)")
      .Samples([] { return SquareSamples(kHermitian); })
      .ErrorSamples(MatrixErrors(true));
}

OFL_OP(linalg_lu_factor_ex) {
  Checked(op.Doc("L, without its ones, and U of A = P L U in one matrix; the rows that were "
                 "exchanged, counted\nfrom 1; and which diagonal element of U is zero, else 0.")
              .In("A")
              .Out("LU")
              .Out("pivots")
              .Out("info")
              .Attr("pivot", op::AttrType::kBool, true))
      .Infer(InferLuFactor)
      .Sbp("(... ! !)->(... ! !),(... !),(...); never partial")
      .Grad(GradLuFactor)
      .Oracle("lu_factor(A)")
      .Py("linalg.lu_factor_ex(A, *, pivot=True, check_errors=False)")
      .Samples([] {
        auto samples = SquareSamples(kDominant);
        for (const Shape& shape : {Shape{4, 2}, Shape{2, 4}, Shape{2, 4, 3}, Shape{3, 0}})
          samples.push_back({{{DType::kFloat32, shape}}, {}, -1, 1, kDominant});
        return samples;
      })
      .ErrorSamples([] {
        auto errors = MatrixErrors(false);
        errors.push_back({{{DType::kFloat32, {2, 2}}},
                          {{"pivot", false}},
                          Code::kUnimplemented,
                          "without pivoting"});
        return errors;
      }());
  LapackKernels<LuFactor>(op);
}

OFL_OP(lu_permutation) {
  op.Doc(
        "The row of A at each row of L U, A[order] = L U, of exchanges counted from 1; `inverse`:\n"
        "the row of L U at each row of A.")
      .In("pivots")
      .Out("order")
      .Attr("rows", op::AttrType::kInt)
      .Attr("inverse", op::AttrType::kBool, false)
      .Infer(InferPermutation)
      .Sbp("(... !)->(... !); never partial")
      .NotDifferentiable("it is whole numbers")
      .Oracle("lu_permutation(pivots, rows, inverse)")
      .Py("_lu_permutation(pivots, *, rows, inverse=False)")
      .Cpu(DType::kInt32, RunPermutation)
      .Samples([] {
        const auto of = [](Shape shape, int64_t rows, bool inverse) {
          return op::Sample{
              {{DType::kInt32, shape}}, {{"rows", rows}, {"inverse", inverse}}, 1, 4, ""};
        };
        return std::vector<op::Sample>{of({3}, 3, false),   of({3}, 5, true),
                                       of({2, 3}, 4, true), of({2, 3}, 3, false),
                                       of({0}, 3, false),   of({0, 3}, 3, true)};
      })
      .ErrorSamples({{{{DType::kInt32, {3}}},
                      {{"rows", int64_t{2}}},
                      Code::kInvalidArgument,
                      "more pivots than rows"}});
}

OFL_OP(linalg_ldl_factor_ex) {
  Checked(op.Doc("L D L^T (`hermitian`: L D L^H) of symmetric matrices, as LAPACK packs it, its "
                 "pivots, and\nwhich diagonal block of D is zero, else 0. The lower triangle of A "
                 "is read.")
              .In("A")
              .Out("LD")
              .Out("pivots")
              .Out("info")
              .Attr("hermitian", op::AttrType::kBool, false))
      .Infer(InferLdl)
      .Sbp("(... ! !)->(... ! !),(... !),(...); never partial")
      .NotDifferentiable("as in PyTorch")
      .Oracle("ldl_factor(A, hermitian)")
      .Py("linalg.ldl_factor_ex(A, *, hermitian=False, check_errors=False)")
      .Samples([] {
        auto samples = SquareSamples(kHermitian, {{"hermitian", true}});
        samples.push_back({{{DType::kFloat32, {3, 3}}}, {}, -1, 1, kHermitian});
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<LdlFactor>(op);
}

}  // namespace ofl::ops
