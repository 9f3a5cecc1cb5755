// Least squares, by LAPACK's drivers.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

template <class T>
int SolveLeastSquares(const std::string& driver, int m, int n, int columns, T* a, T* x, int ld,
                      int* jpvt, Real<T>* s, Real<T> rcond, int* rank, const lapack::Work<T>& w) {
  if (driver == "gels") return lapack::Gels(m, n, columns, a, x, ld, w);
  if (driver == "gelsy") return lapack::Gelsy(m, n, columns, a, x, ld, jpvt, rcond, rank, w);
  return lapack::Gelss(driver == "gelsd", m, n, columns, a, x, ld, s, rcond, rank, w);
}

struct LeastSquares {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), n = m.columns(0), columns = m.columns(1);
    const int least = std::min(rows, n), ld = std::max({rows, n, 1});
    const std::string& driver = m.attrs.Get<std::string>("driver");
    const bool values = driver == "gelsd" || driver == "gelss";
    T* a = arena.Take<T>(int64_t{rows} * n);
    T* x = arena.Take<T>(int64_t{ld} * columns);
    int* jpvt = arena.Take<int>(n);
    Real<T>* s = arena.Take<Real<T>>(least);
    T size = 0;
    Real<T> real_size = 0;
    int whole_size = 0, rank = 0;
    lapack::Work<T> w{&size, -1, &real_size, -1, &whole_size, -1};
    const Real<T> rcond = static_cast<Real<T>>(m.attrs.Get<double>("rcond"));
    if (least > 0 && columns > 0)
      SolveLeastSquares(driver, rows, n, columns, a, x, ld, jpvt, s, rcond, &rank, w);
    w.size = std::max(static_cast<int>(std::real(size)), 1);
    w.work = arena.Take<T>(w.size);
    w.real = arena.Take<Real<T>>(
        std::max<int64_t>({static_cast<int64_t>(real_size), 2 * int64_t{n}, 5 * int64_t{least}}));
    w.whole = arena.Take<int>(whole_size);
    if (arena.counting()) return Status::Ok();
    const T *from = m.In<T>(0, i, 2), *rhs = m.In<T>(1, i, 2);
    OFL_ENSURE(AllFinite(from, int64_t{rows} * n), Code::kInvalidArgument)
        << "[linalg.lstsq] " << BatchText(m, i)
        << "the matrix has infinite elements or NaN: got no number; expected finite ones";
    std::fill_n(x, int64_t{ld} * columns, T(0));
    std::fill_n(jpvt, n, 0);
    ToColumns(from, rows, n, a);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) x[c * ld + r] = rhs[r * columns + c];
    const int info = least == 0 || columns == 0 ? 0
                                                : SolveLeastSquares(driver, rows, n, columns, a, x,
                                                                    ld, jpvt, s, rcond, &rank, w);
    OFL_ENSURE(info == 0, Code::kInvalidArgument)
        << "[linalg.lstsq] " << BatchText(m, i) << "no solution was found: got "
        << (driver == "gels" ? "a matrix without full rank; expected another, or driver='gelsd'"
                             : "singular values that did not converge; expected another matrix");
    FromColumns(x, n, columns, m.Out<T>(0, i, 2), ld);
    if (driver != "gelsy" && rows > n) {
      Real<T>* residuals = m.Out<Real<T>>(1, i, 1);
      std::fill_n(residuals, columns, Real<T>(0));
      for (int64_t c = 0; c < columns; ++c)
        for (int64_t r = n; r < rows; ++r) residuals[c] += std::norm(x[c * ld + r]);
    }
    if (driver != "gels") *m.Out<int64_t>(2, i, 0) = rank;
    if (values) std::copy_n(s, least, m.Out<Real<T>>(3, i, 1));
    return Status::Ok();
  }
};

Status InferLeastSquares(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  OFL_TRY(RequireMatrices(c, 1, false));
  const TensorMeta &a = c.input(0), &rhs = c.input(1);
  OFL_ENSURE(a.dtype == rhs.dtype && BatchOf(a.shape) == BatchOf(rhs.shape) &&
                 RowsOf(a.shape) == RowsOf(rhs.shape),
             Code::kInvalidArgument)
      << "A and B do not fit; expected one dtype, one batch and equal numbers of rows";
  const std::string& driver = c.attr<std::string>("driver");
  const bool values = driver == "gelsd" || driver == "gelss";
  OFL_ENSURE(values || driver == "gels" || driver == "gelsy", Code::kInvalidArgument)
      << "no such driver: got " << Quoted(driver)
      << "; expected 'gels', 'gelsy', 'gelsd' or 'gelss'";
  const int64_t m = RowsOf(a.shape), n = ColumnsOf(a.shape), k = ColumnsOf(rhs.shape);
  const DType real = RealOf(a.dtype);
  c.AddOutput({a.dtype, BatchWith(a.shape, {n, k})});
  c.AddOutput({real, driver != "gelsy" && m > n ? BatchWith(a.shape, {k}) : Shape{0}});
  c.AddOutput({DType::kInt64, driver == "gels" ? Shape{0} : BatchOf(a.shape)});
  c.AddOutput({real, values ? BatchWith(a.shape, {std::min(m, n)}) : Shape{0}});
  return Status::Ok();
}

std::string LeastSquaresRule(std::span<const Shape> in, std::span<const Shape>,
                             const Attrs& attrs) {
  const std::string& driver = attrs.Get<std::string>("driver");
  const bool values = driver == "gelsd" || driver == "gelss";
  const bool residuals = driver != "gelsy" && RowsOf(in[0]) > ColumnsOf(in[0]);
  return std::string("(... ! !),(... ! !)->(... ! !),") + (residuals ? "(... !)," : "(!),") +
         (driver == "gels" ? "(!)," : "(...),") + (values ? "(... !)" : "(!)") + "; never partial";
}

// The pseudo-inverse's gradient, of B that is times it.
void GradLeastSquares(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &a = c.inputs[0], &rhs = c.inputs[1];
  const std::string& driver = c.attrs.Get<std::string>("driver");
  const bool values = driver == "gelsd" || driver == "gelss";
  op::Value ga, gb;
  if (c.grads[0]) {
    const op::Value inverse = Of(b, "linalg_pinv", a);
    gb = MatMul(b, Adjoint(b, inverse), c.grads[0]);
    if (c.Needs(0)) ga = GradOfPinv(b, MatMul(b, c.grads[0], Adjoint(b, rhs)), inverse, a);
  }
  if (driver != "gelsy" && c.grads[1] && RowsOf(a->meta().shape) > ColumnsOf(a->meta().shape)) {
    // Of |A X - B|^2 by column: X is where it does not depend on X.
    const op::Value apart = Sub(b, MatMul(b, a, c.outputs[0]), rhs);
    const op::Value twice =
        MulScalar(b, CastTo(b, Unsqueezed(b, c.grads[1], -2), a->meta().dtype), 2.0);
    const op::Value scaled = Mul(b, apart, twice);
    gb = gb == nullptr ? Negative(b, scaled) : Sub(b, gb, scaled);
    if (c.Needs(0)) ga = Plus(b, ga, MatMul(b, scaled, Adjoint(b, c.outputs[0])));
  }
  if (values && c.grads[3] && c.Needs(0)) {
    const op::Values usv = b.CallAll("linalg_svd", {a}, {{"full_matrices", false}});
    const op::Value row = CastTo(b, Unsqueezed(b, c.grads[3], -2), a->meta().dtype);
    ga = Plus(b, ga, MatMul(b, Mul(b, usv[0], row), usv[2]));
  }
  if (c.Needs(0)) c.Set(0, ga);
  c.Set(1, gb);
}

op::Values ComposeLstsq(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto refuse = [&](Status status) {
    Refused(b, std::move(status));
    return op::Values(4);
  };
  if (Status wrong = CheckMatrices(in[0], false); !wrong.ok()) return refuse(wrong);
  const Shape &a = in[0]->meta().shape, &given = in[1]->meta().shape;
  const bool vectors = given.rank() == a.rank() - 1 && given == Shape(a.dims().first(a.rank() - 1));
  const op::Value rhs = vectors ? Unsqueezed(b, in[1], -1) : in[1];
  if (rhs == nullptr) return op::Values(4);
  if (Status wrong = CheckMatrices(rhs, false); !wrong.ok()) return refuse(wrong);
  const auto batch = BroadcastShapes(BatchOf(a), BatchOf(rhs->meta().shape));
  if (!batch.ok()) return refuse(batch.status());
  const double* rcond = attrs.Maybe<double>("rcond");
  const std::string* driver = attrs.Maybe<std::string>("driver");
  const bool single = RealOf(in[0]->meta().dtype) == DType::kFloat32;
  const double epsilon =
      single ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
  const double least =
      rcond ? *rcond : epsilon * static_cast<double>(std::max(RowsOf(a), ColumnsOf(a)));
  op::Values made =
      b.CallAll("least_squares", {Batched(b, in[0], *batch), Batched(b, rhs, *batch)},
                {{"rcond", least}, {"driver", driver ? *driver : std::string("gelsy")}});
  if (made[0] == nullptr || !vectors) return made;
  made[0] = b.Call("squeeze", {made[0]}, {{"dim", std::vector<int64_t>{-1}}});
  return made;
}

}  // namespace

OFL_OP(least_squares) {
  op.Doc("X that makes |A X - B| least, by one of LAPACK's drivers.")
      .In("A")
      .In("B")
      .Out("solution")
      .Out("residuals")
      .Out("rank")
      .Out("singular_values")
      .Attr("rcond", op::AttrType::kFloat)
      .Attr("driver", op::AttrType::kString)
      .Infer(InferLeastSquares)
      .Sbp(LeastSquaresRule)
      .Grad(GradLeastSquares)
      .Unclaimed("B,S(*", "columns of B are apart, but rank and singular values are of A alone")
      .Oracle("lstsq(A, B, rcond, driver)")
      .Py("_least_squares(A, B, *, rcond, driver)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const char* driver : {"gelsy", "gels", "gelsd", "gelss"}) {
          auto some = MatrixSamples({{{2, 3, 2}, {2, 3, 2}}, {{4, 2}, {4, 3}}, {{2, 3}, {2, 1}}},
                                    {{"rcond", 1e-6}, {"driver", std::string(driver)}}, kDominant);
          samples.insert(samples.end(), some.begin(), some.end());
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {3, 2}}, {DType::kFloat32, {2, 1}}},
                      {{"rcond", 0.0}, {"driver", std::string("gels")}},
                      Code::kInvalidArgument,
                      "A and B do not fit"}});
  LapackKernels<LeastSquares>(op);
}

OFL_OP(linalg_lstsq) {
  op.Doc(
        "X that makes |A X - B| least, the residuals' squares (of other drivers than 'gelsy', "
        "where\n"
        "A has more rows than columns), the rank of A and its singular values, as far as the "
        "driver\n"
        "gives them.")
      .In("A")
      .In("B")
      .Out("solution")
      .Out("residuals")
      .Out("rank")
      .Out("singular_values")
      .OptionalAttr("rcond", op::AttrType::kFloat)
      .OptionalAttr("driver", op::AttrType::kString)
      .Compose(ComposeLstsq)
      .Oracle("lstsq(A, B, 1e-6 if rcond is None else rcond, driver or 'gelsy')")
      .Py("linalg.lstsq(A, B, rcond=None, *, driver=None)")
      .Samples([] {
        return MatrixSamples(
            {{{2, 3, 2}, {2, 3, 2}}, {{4, 2}, {4, 3}}, {{2, 3}, {2, 1}}, {{3, 2}, {3}}}, {},
            kDominant);
      })
      .ErrorSamples({{{{DType::kFloat32, {3, 2}}, {DType::kFloat32, {2, 1}}},
                      {},
                      Code::kInvalidArgument,
                      "A and B do not fit"}});
}

}  // namespace ofl::ops
