// The exponential of matrices.
#include <algorithm>

#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

// c = alpha a b + beta c of n x n matrices.
template <class T>
void Multiplied(int n, T alpha, const T* a, const T* b, T beta, T* c) {
  GemmArgs<T> g;
  g.m = g.n = g.k = n;
  g.a = a;
  g.b = b;
  g.c = c;
  g.lda = g.ldb = g.ldc = std::max(n, 1);
  g.alpha = alpha;
  g.beta = beta;
  GemmSerial(g);
}

// Higham's scaling and squaring with the Pade approximant of degree 13, which is exact to double
// precision up to a norm of 5.37. (N. Higham, SIAM J. Matrix Anal. Appl. 26, 2005.)
struct Exponential {
  static constexpr double kLargest = 5.371920351148152;
  static constexpr double kPade[] = {64764752532480000,
                                     32382376266240000,
                                     7771770303897600,
                                     1187353796428800,
                                     129060195264000,
                                     10559470521600,
                                     670442572800,
                                     33522128640,
                                     1323241920,
                                     40840800,
                                     960960,
                                     16380,
                                     182,
                                     1};
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int n = m.rows(0);
    const int64_t size = int64_t{n} * n;
    T *a = arena.Take<T>(size), *a2 = arena.Take<T>(size), *a4 = arena.Take<T>(size);
    T *a6 = arena.Take<T>(size), *u = arena.Take<T>(size), *v = arena.Take<T>(size);
    T* t = arena.Take<T>(size);
    int* pivots = arena.Take<int>(n);
    if (arena.counting() || n == 0) return Status::Ok();
    const T* from = m.In<T>(0, i, 2);
    T* out = m.Out<T>(0, i, 2);
    double norm = 0;
    for (int64_t c = 0; c < n; ++c) {
      double sum = 0;
      for (int64_t r = 0; r < n; ++r) sum += std::abs(from[r * n + c]);
      norm = std::max(norm, sum);
    }
    if (!AllFinite(from, size) || !std::isfinite(norm)) {
      std::fill_n(out, size, T(std::numeric_limits<Real<T>>::quiet_NaN()));
      return Status::Ok();
    }
    const int squarings =
        norm > kLargest ? static_cast<int>(std::ceil(std::log2(norm / kLargest))) : 0;
    const Real<T> scale = static_cast<Real<T>>(std::ldexp(1.0, -squarings));
    for (int64_t e = 0; e < size; ++e) a[e] = scale * from[e];
    Multiplied(n, T(1), a, a, T(0), a2);
    Multiplied(n, T(1), a2, a2, T(0), a4);
    Multiplied(n, T(1), a4, a2, T(0), a6);
    const auto combined = [&](int from_degree, T* to, bool identity) {
      const auto b = [&](int k) { return static_cast<Real<T>>(kPade[k]); };
      for (int64_t e = 0; e < size; ++e) {
        to[e] =
            b(from_degree + 6) * a6[e] + b(from_degree + 4) * a4[e] + b(from_degree + 2) * a2[e];
        if (identity && e % (n + 1) == 0) to[e] += b(from_degree);
      }
    };
    // u = a (a6 (b13 a6 + b11 a4 + b9 a2) + b7 a6 + b5 a4 + b3 a2 + b1)
    combined(7, t, false);
    combined(1, v, true);
    Multiplied(n, T(1), a6, t, T(1), v);
    Multiplied(n, T(1), a, v, T(0), u);
    // v = a6 (b12 a6 + b10 a4 + b8 a2) + b6 a6 + b4 a4 + b2 a2 + b0
    combined(6, t, false);
    combined(0, v, true);
    Multiplied(n, T(1), a6, t, T(1), v);
    // (v - u) x = v + u, by columns.
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        t[c * n + r] = v[r * n + c] - u[r * n + c];
        a[c * n + r] = v[r * n + c] + u[r * n + c];
      }
    }
    lapack::Getrf(n, n, t, pivots);
    lapack::Getrs('N', n, n, t, pivots, a);
    T *x = a, *y = a2;
    for (int k = 0; k < squarings; ++k) {
      Multiplied(n, T(1), x, x, T(0), y);
      std::swap(x, y);
    }
    FromColumns(x, n, n, out, n);
    return Status::Ok();
  }
};

Status InferExp(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// The upper right block of exp((A^H, G), (0, A^H)).
void GradExp(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value ah = Adjoint(b, c.inputs[0]);
  const int64_t n = RowsOf(c.inputs[0]->meta().shape);
  const auto beside = [&](const op::Value& x, const op::Value& y) {
    return b.Call("concat", {x, y}, {{"dim", int64_t{-1}}});
  };
  const op::Value blocks = b.Call("concat", {beside(ah, c.grads[0]), beside(ZerosLike(b, ah), ah)},
                                  {{"dim", int64_t{-2}}});
  const op::Value exp = Of(b, "exponential_of_matrix", blocks);
  c.Set(0, LastPart(b, RowPart(b, exp, 0, n), n, 2 * n));
}

}  // namespace

OFL_OP(linalg_matrix_exp) {
  op.Doc("The exponentials of square matrices; of half types computed in float32.")
      .In("A")
      .Out("output")
      .Compose([](op::Builder& b, Operands in, const Attrs&) -> op::Values {
        const op::Value a = Wide(b, in[0]);
        if (a == nullptr) return {nullptr};
        if (Status wrong = CheckMatrices(a, true); !wrong.ok()) return Refused(b, wrong);
        return {CastTo(b, Of(b, "exponential_of_matrix", a), in[0]->meta().dtype)};
      })
      .Oracle("matrix_exp(A)")
      .Py("linalg.matrix_exp(A)")
      .PyBoth("matrix_exp(input: A)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 3}}, {{3, 3}}, {{0, 0}}}, {}, "");
        samples.push_back({{{DType::kFloat16, {2, 2}}}, {}, -1, 1, ""});
        samples.push_back({{{DType::kBFloat16, {2, 2}}}, {}, -1, 1, ""});
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
}

OFL_OP(exponential_of_matrix) {
  op.Doc("The exponentials of square matrices.")
      .In("A")
      .Out("output")
      .Infer(InferExp)
      .Sbp("(... ! !)->(... ! !); never partial")
      .Grad(GradExp)
      .Oracle("matrix_exp(A)")
      .Py("_exponential_of_matrix(A)")
      .Samples([] {
        auto samples = MatrixSamples(
            {{{2, 3, 3}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 0}}, {{0, 2, 2}}}, {}, "");
        samples.push_back({{{DType::kFloat32, {2, 2}}}, {}, -6, 3, ""});
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<Exponential>(op);
}

}  // namespace ofl::ops
