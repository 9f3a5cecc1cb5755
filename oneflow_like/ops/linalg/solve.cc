// Systems of linear equations: triangular, general, from LDL factors; inverses.
#include <algorithm>

#include "oneflow_like/ops/linalg/systems.h"

namespace ofl::ops {
namespace {

// --- kernels ------------------------------------------------------------------------------------

struct TriangularSystem {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    if (arena.counting()) return Status::Ok();
    const T* b = m.In<T>(1, i, 2);
    T* x = m.Out<T>(0, i, 2);
    std::copy(b, b + int64_t{m.rows(1)} * m.columns(1), x);
    lapack::Trsm(m.attrs.Get<bool>("left"), m.attrs.Get<bool>("upper"),
                 m.attrs.Get<bool>("unitriangular"), m.rows(1), m.columns(1), m.In<T>(0, i, 2), x);
    return Status::Ok();
  }
};

struct LinearSystem {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(1), columns = m.columns(1);
    const bool left = m.attrs.Get<bool>("left");
    T* x = arena.Take<T>(left ? int64_t{rows} * columns : 0);
    const SquareLu<T> lu(m, i, arena);
    if (arena.counting()) return Status::Ok();
    OFL_ENSURE(lu.info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.solve] " << BatchText(m, i) << "the matrix is singular: got a zero as pivot "
        << lu.info << "; expected another matrix";
    const T* b = m.In<T>(1, i, 2);
    T* out = m.Out<T>(0, i, 2);
    if (left) {
      ToColumns(b, rows, columns, x);
      lapack::Getrs('N', lu.n, columns, lu.factors, lu.pivots, x);
      FromColumns(x, rows, columns, out, rows);
    } else {
      // Rows of X are columns of its transpose, and A^T X^T = B^T.
      std::copy(b, b + int64_t{rows} * columns, out);
      lapack::Getrs('T', lu.n, rows, lu.factors, lu.pivots, out);
    }
    return Status::Ok();
  }
};

// As LAPACK compares elements of a column.
template <class T>
auto MagnitudeOf(T x) {
  return std::abs(std::real(x)) + std::abs(std::imag(x));
}

// Up to this size calls of the library would cost more than what they compute.
constexpr int kSmallMatrix = 4;

// The inverse of a row-major matrix by elimination, the row with the largest element of a column
// first. Gives the first pivot that is zero, from 1, else 0.
template <class T, int n>
int InvertSmall(const T* from, T* to) {
  T a[n][n], x[n][n];
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) a[i][j] = from[i * n + j], x[i][j] = i == j ? T(1) : T(0);
  int info = 0;
  for (int k = 0; k < n; ++k) {
    int row = k;
    for (int i = k + 1; i < n; ++i)
      if (MagnitudeOf(a[i][k]) > MagnitudeOf(a[row][k])) row = i;
    for (int j = 0; j < n && row != k; ++j)
      std::swap(a[k][j], a[row][j]), std::swap(x[k][j], x[row][j]);
    if (a[k][k] == T(0) && info == 0) info = k + 1;
    for (int i = k + 1; i < n; ++i) {
      const T by = a[k][k] == T(0) ? T(0) : a[i][k] / a[k][k];
      for (int j = k + 1; j < n; ++j) a[i][j] -= by * a[k][j];
      for (int j = 0; j < n; ++j) x[i][j] -= by * x[k][j];
    }
  }
  for (int k = n - 1; k >= 0; --k) {
    for (int i = k + 1; i < n; ++i)
      for (int j = 0; j < n; ++j) x[k][j] -= a[k][i] * x[i][j];
    for (int j = 0; j < n; ++j) to[k * n + j] = x[k][j] = x[k][j] / a[k][k];
  }
  return info;
}
template <class T>
int InvertSmall(int n, const T* from, T* to) {
  switch (n) {
    case 1: return InvertSmall<T, 1>(from, to);
    case 2: return InvertSmall<T, 2>(from, to);
    case 3: return InvertSmall<T, 3>(from, to);
    default: return InvertSmall<T, 4>(from, to);
  }
}

struct Inverse {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(0);
    int info = 0;
    if (n > 0 && n <= kSmallMatrix) {
      if (arena.counting()) return Status::Ok();
      info = InvertSmall(n, m.In<T>(0, i, 2), m.Out<T>(0, i, 2));
    } else {
      const SquareLu<T> lu(m, i, arena);
      if (arena.counting()) return Status::Ok();
      info = lu.info;
      // Columns of the transpose's inverse are rows of the inverse.
      lu.SolveUnit('T', T(1), m.Out<T>(0, i, 2));
    }
    *m.Out<int32_t>(1, i, 0) = info;
    OFL_ENSURE(info == 0 || !m.attrs.Get<bool>("check_errors"), Code::kInvalidArgument)
        << "[linalg.inv] " << BatchText(m, i) << "the matrix is singular: got a zero as pivot "
        << info << "; expected another matrix; linalg.pinv takes any";
    return Status::Ok();
  }
};

struct LdlSystem {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(0), columns = m.columns(2);
    T* a = arena.Take<T>(int64_t{n} * n);
    T* x = arena.Take<T>(int64_t{n} * columns);
    if (arena.counting()) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), n, n, a);
    ToColumns(m.In<T>(2, i, 2), n, columns, x);
    const int* pivots = m.In<int>(1, i, 1);
    for (int k = 0; k < n; ++k) {
      OFL_ENSURE(pivots[k] != 0 && std::abs(int64_t{pivots[k]}) <= n, Code::kOutOfRange)
          << "[linalg.ldl_solve] a pivot is no row: got " << pivots[k] << "; expected 1 to " << n
          << ", or -1 to -" << n;
    }
    lapack::Sytrs(m.attrs.Get<bool>("hermitian"), n, columns, a, pivots, x);
    FromColumns(x, n, columns, m.Out<T>(0, i, 2), n);
    return Status::Ok();
  }
};

// --- inference and layouts ----------------------------------------------------------------------

Status InferSystem(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  OFL_TRY(RequireMatrices(c, 1, false));
  OFL_TRY(CheckSystem(c.input(0), c.input(1), c.attr<bool>("left")));
  OFL_ENSURE(BatchOf(c.input(0).shape) == BatchOf(c.input(1).shape), Code::kInvalidArgument)
      << "the batches differ; expected one batch shape";
  c.AddOutput(c.input(1));
  return Status::Ok();
}

// The other axis of B may be cut freely: a column of the result is of one column.
std::string SystemRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  return attrs.Get<bool>("left") ? "(... ! !),(... ! k)->(... ! k); linear 1"
                                 : "(... ! !),(... k !)->(... k !); linear 1";
}

Status InferInverse(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt32, BatchOf(c.input(0).shape)});
  return Status::Ok();
}

Status InferLdlSolve(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  OFL_TRY(RequireMatrices(c, 2, false));
  OFL_TRY(CheckSystem(c.input(0), c.input(2), true));
  const Shape &a = c.input(0).shape, &pivots = c.input(1).shape;
  OFL_ENSURE(c.input(1).dtype == DType::kInt32 && pivots == BatchWith(a, {RowsOf(a)}) &&
                 BatchOf(a) == BatchOf(c.input(2).shape),
             Code::kInvalidArgument)
      << "the factor, its pivots and B do not fit; expected those of ldl_factor, and one batch";
  c.AddOutput(c.input(2));
  return Status::Ok();
}

// --- gradients ----------------------------------------------------------------------------------

// The gradient of A, from that of B: A X = B gives dA = -gB X^H.
op::Value GradOfMatrix(op::Builder& b, const op::Value& gb, const op::Value& x, bool left) {
  const op::Value xh = Adjoint(b, x);
  return Negative(b, left ? MatMul(b, gb, xh) : MatMul(b, xh, gb));
}

void GradTriangular(op::GradContext& c) {
  op::Builder& b = c.b;
  const bool upper = c.attrs.Get<bool>("upper"), left = c.attrs.Get<bool>("left");
  const bool unit = c.attrs.Get<bool>("unitriangular");
  const op::Value gb = SolveTriangular(b, Adjoint(b, c.inputs[0]), c.grads[0], !upper, left, unit);
  c.Set(1, gb);
  if (!c.Needs(0)) return;
  const op::Value ga = GradOfMatrix(b, gb, c.outputs[0], left);
  c.Set(0, upper ? Triu(b, ga, unit ? 1 : 0) : Tril(b, ga, unit ? -1 : 0));
}

void GradSystem(op::GradContext& c) {
  op::Builder& b = c.b;
  const bool left = c.attrs.Get<bool>("left");
  const op::Value gb = b.Call("linear_system", {Adjoint(b, c.inputs[0]), c.grads[0]},
                              {{"left", left}, {"check_errors", false}});
  c.Set(1, gb);
  if (c.Needs(0)) c.Set(0, GradOfMatrix(b, gb, c.outputs[0], left));
}

void GradInverse(op::GradContext& c) {
  if (!c.grads[0]) return;
  const op::Value xh = Adjoint(c.b, c.outputs[0]);
  c.Set(0, Negative(c.b, MatMul(c.b, xh, MatMul(c.b, c.grads[0], xh))));
}

// Samples of left=True, and some of left=False.
std::vector<op::Sample> BothSides(Attrs attrs, const char* note) {
  attrs.Set("left", true);
  auto samples = SystemSamples(attrs, note, false);
  attrs.Set("left", false);
  for (const auto& operands : {std::pair<Shape, Shape>{{2, 3, 3}, {2, 2, 3}}, {{3, 3}, {4, 3}}}) {
    samples.push_back({{{DType::kFloat32, operands.first}, {DType::kFloat32, operands.second}},
                       attrs,
                       -1,
                       1,
                       note});
  }
  samples.push_back(samples.back());
  for (TensorMeta& meta : samples.back().inputs) meta.dtype = DType::kComplex64;
  return samples;
}

}  // namespace

Status CheckSystem(const TensorMeta& a, const TensorMeta& b, bool left) {
  OFL_ENSURE(a.dtype == b.dtype, Code::kTypeMismatch)
      << "the dtypes differ: got A: " << a.ToString() << ", B: " << b.ToString()
      << "; expected one dtype; convert with .to(dtype)";
  OFL_ENSURE((left ? RowsOf(b.shape) : ColumnsOf(b.shape)) == RowsOf(a.shape),
             Code::kInvalidArgument)
      << "the sizes do not fit: got A: " << a.ToString() << ", B: " << b.ToString()
      << "; expected as many " << (left ? "rows" : "columns") << " of B as A has";
  return Status::Ok();
}

op::OpDefBuilder& System(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc).In("A").In("B").Attr("left", op::AttrType::kBool, true);
}
op::OpDefBuilder& Flag(op::OpDefBuilder& op, const char* name) {
  return op.Attr(name, op::AttrType::kBool, false);
}

std::vector<op::Sample> SystemSamples(const Attrs& attrs, const char* note, bool broadcast) {
  std::vector<std::vector<Shape>> shapes = {{{2, 3, 3}, {2, 3, 2}},
                                            {{3, 3}, {3, 3}},
                                            {{3, 3}, {3, 1}},
                                            {{1, 1}, {1, 2}},
                                            {{0, 0}, {0, 2}},
                                            {{3, 3}, {3, 0}},
                                            {{2, 2, 3, 3}, {2, 2, 3, 2}}};
  if (broadcast) {
    shapes.push_back({{3, 3}, {2, 3, 2}});
    shapes.push_back({{2, 1, 3, 3}, {3, 3, 2}});
  }
  return MatrixSamples(shapes, attrs, note);
}

std::vector<op::ErrorSample> SystemErrors(const Attrs& attrs) {
  return {{{{DType::kFloat32, {3, 3}}, {DType::kFloat32, {2, 2}}},
           attrs,
           Code::kInvalidArgument,
           "the sizes do not fit"},
          {{{DType::kFloat32, {2, 2}}, {DType::kFloat64, {2, 2}}},
           attrs,
           Code::kTypeMismatch,
           "the dtypes differ"}};
}

OFL_OP(triangular_system) {
  Flag(System(op, "X of A X = B (not `left`: X A = B), of which one triangle of A is read.")
           .Out("output")
           .Attr("upper", op::AttrType::kBool),
       "unitriangular")
      .Infer(InferSystem)
      .Sbp(SystemRule)
      .Grad(GradTriangular)
      .Oracle("solve_triangular(A, B, upper, left, unitriangular)")
      .Py("_triangular_system(A, B, *, upper, left=True, unitriangular=False)")
      .Samples([] {
        auto samples = BothSides({{"upper", true}}, kDominant);
        const auto lower = BothSides({{"upper", false}, {"unitriangular", true}}, "");
        samples.insert(samples.end(), lower.begin(), lower.end());
        return samples;
      })
      .ErrorSamples(SystemErrors({{"upper", true}}));
  LapackKernels<TriangularSystem>(op);
}

OFL_OP(linear_system) {
  Flag(System(op, "X of A X = B (not `left`: X A = B); `check_errors` refuses singular matrices.")
           .Out("output"),
       "check_errors")
      .Infer(InferSystem)
      .Sbp(SystemRule)
      .Grad(GradSystem)
      .Oracle("solve(A, B, left)")
      .Py("_linear_system(A, B, *, left=True, check_errors=False)")
      .Samples([] { return BothSides({}, kDominant); })
      .ErrorSamples(SystemErrors());
  LapackKernels<LinearSystem>(op);
}

OFL_OP(linalg_inv_ex) {
  Flag(op.Doc("The inverses of square matrices, and which pivot is zero, else 0.")
           .In("A")
           .Out("inverse")
           .Out("info"),
       "check_errors")
      .Infer(InferInverse)
      .Sbp("(... ! !)->(... ! !),(...); never partial")
      .Grad(GradInverse)
      .Oracle("(np.linalg.inv(A), np.zeros(A.shape[:-2], np.int32))")
      .Py("linalg.inv_ex(A, *, check_errors=False)")
      .Samples([] {
        return MatrixSamples(
            {{{2, 3, 3}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 0}}, {{0, 2, 2}}}, {},
            kDominant);
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<Inverse>(op);
}

OFL_OP(ldl_system) {
  Flag(op.Doc("X of A X = B, A as ldl_factor has factored it.")
           .In("LD")
           .In("pivots")
           .In("B")
           .Out("output"),
       "hermitian")
      .Infer(InferLdlSolve)
      .Sbp("(... ! !),(... !),(... ! k)->(... ! k); linear 2")
      .NotDifferentiable("as in PyTorch")
      .Oracle("ldl_solve(LD, B, hermitian)")
      .Py("_ldl_system(LD, pivots, B, *, hermitian=False)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kLapack)) {
          samples.push_back({{{d, {1, 1}}, {DType::kInt32, {1}}, {d, {1, 3}}},
                             {{"hermitian", true}},
                             1,
                             2,
                             kHermitian});
        }
        samples.push_back(
            {{{DType::kFloat32, {2, 1, 1}}, {DType::kInt32, {2, 1}}, {DType::kFloat32, {2, 1, 3}}},
             {},
             1,
             2,
             kHermitian});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}, {DType::kInt32, {3}}, {DType::kFloat32, {2, 1}}},
                      {},
                      Code::kInvalidArgument,
                      "its pivots and B do not fit"}});
  LapackKernels<LdlSystem>(op);
}

}  // namespace ofl::ops
