// Determinants, by LU.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

struct Determinant {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const SquareLu<T> lu(m, i, arena);
    if (arena.counting()) return Status::Ok();
    T det = 1;
    for (int64_t k = 0; k < lu.n; ++k) det *= lu.Signed(k, lu.Pivot(k));
    *m.Out<T>(0, i, 0) = det;
    return Status::Ok();
  }
};

struct LogDeterminant {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const SquareLu<T> lu(m, i, arena);
    if (arena.counting()) return Status::Ok();
    T sign = 1;
    Real<T> log = 0;
    for (int64_t k = 0; k < lu.n; ++k) {
      const T u = lu.Pivot(k);
      const Real<T> size = std::abs(u);
      if constexpr (math::kIsComplex<T>)
        sign *= lu.Signed(k, size == 0 ? T(0) : u / size);
      else  // NaN has no sign
        sign *= lu.Signed(k, static_cast<T>((u > 0) - (u < 0)));
      log += std::log(size);
    }
    *m.Out<T>(0, i, 0) = sign;
    *m.Out<Real<T>>(1, i, 0) = log;
    return Status::Ok();
  }
};

// det(A) A^-T, by LU. A pivot that is zero becomes the smallest that matters: the determinant is
// smooth, so that the product comes out right for singular matrices too.
struct Cofactors {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const SquareLu<T> lu(m, i, arena);
    if (arena.counting()) return Status::Ok();
    T det = 1;
    for (int64_t k = 0; k < lu.n; ++k) {
      T& u = lu.Pivot(k);
      if (u == T(0)) u = std::numeric_limits<Real<T>>::epsilon();
      det *= lu.Signed(k, u);
    }
    // Columns of the inverse are rows of its transpose.
    lu.SolveUnit('N', det, m.Out<T>(0, i, 2));
    return Status::Ok();
  }
};

Status InferDet(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput({c.input(0).dtype, BatchOf(c.input(0).shape)});
  return Status::Ok();
}
Status InferSlogdet(op::InferContext& c) {
  OFL_TRY(InferDet(c));
  c.AddOutput({RealOf(c.input(0).dtype), BatchOf(c.input(0).shape)});
  return Status::Ok();
}
Status InferSame(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// A number for each matrix, times the matrix.
op::Value Scaled(op::Builder& b, const op::Value& numbers, const op::Value& x) {
  return Mul(b, Unsqueezed(b, Unsqueezed(b, numbers, -1), -1), x);
}

void GradDet(op::GradContext& c) {
  c.Set(0, Scaled(c.b, c.grads[0], Conj(c.b, Of(c.b, "cofactor_matrix", c.inputs[0]))));
}

op::Value Inverse(op::Builder& b, const op::Value& a) {
  return b.CallAll("linalg_inv_ex", {a}, {{"check_errors", false}})[0];
}

// dC = tr(X dA) C - Xt dAt C, with X the inverse.
void GradCofactors(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value xh = Adjoint(b, Inverse(b, c.inputs[0])), conj = Conj(b, c.outputs[0]);
  const op::Value trace =
      b.Call("sum", {Mul(b, c.grads[0], conj)}, {{"dim", Ints{-2, -1}}, {"keepdim", false}});
  const op::Value turned = MatMul(b, MatMul(b, conj, c.grads[0], false, true), xh);
  c.Set(0, Sub(b, Scaled(b, trace, xh), turned));
}

void GradSlogdet(op::GradContext& c) {
  op::Builder& b = c.b;
  const DType dtype = c.inputs[0]->meta().dtype;
  op::Value g = c.grads[1];
  if (IsComplex(dtype)) {
    if (g != nullptr) g = CastTo(b, g, dtype);
    if (c.grads[0] != nullptr) {
      // The sign turns by the imaginary part of tr(A^-1 dA).
      const op::Value turn = Of(b, "imag", Mul(b, Conj(b, c.grads[0]), c.outputs[0]));
      const op::Value along = MulScalar(b, CastTo(b, turn, dtype), std::complex<double>(0, -1));
      g = Plus(b, g, along);
    }
  }
  if (g == nullptr) {
    if (c.grads[0] != nullptr) c.Set(0, ZerosLike(b, c.inputs[0]));  // a real sign is constant
    return;
  }
  c.Set(0, Scaled(b, g, Adjoint(b, Inverse(b, c.inputs[0]))));
}

op::Values ComposeLogdet(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return Refused(b, wrong);
  const op::Values parts = b.CallAll("linalg_slogdet", {in[0]});
  return {Add(b, Of(b, "log", parts[0]), parts[1])};
}

}  // namespace

OFL_OP(linalg_det) {
  op.Doc("The determinants of square matrices.")
      .In("A")
      .Out("output")
      .Infer(InferDet)
      .Sbp("(... ! !)->(...); never partial")
      .Grad(GradDet)
      .Oracle("np.asarray(np.linalg.det(A))")
      .Py("linalg.det(A)")
      .PyBoth("det(input: A)")
      .Samples([] { return SquareSamples(""); })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<Determinant>(op);
}

OFL_OP(cofactor_matrix) {
  op.Doc("The gradient of the determinant, det(A) A^-T, of singular matrices too.")
      .In("A")
      .Out("output")
      .Infer(InferSame)
      .Sbp("(... ! !)->(... ! !); never partial")
      .Grad(GradCofactors)
      .Oracle("cofactors(A)")
      .Py("_cofactor_matrix(A)")
      .Samples([] { return SquareSamples(kDominant); })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<Cofactors>(op);
}

OFL_OP(linalg_slogdet) {
  op.Doc(
        "The sign of determinants, of complex ones a number of size 1, and the logarithm of their "
        "size;\n0 and -inf of singular matrices.")
      .In("A")
      .Out("sign")
      .Out("logabsdet")
      .Infer(InferSlogdet)
      .Sbp("(... ! !)->(...),(...); never partial")
      .Grad(GradSlogdet)
      .Oracle("tuple(map(np.asarray, np.linalg.slogdet(A)))")
      .Py("linalg.slogdet(A)")
      .PyBoth("slogdet(input: A)")
      .Samples([] { return SquareSamples(kDominant); })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<LogDeterminant>(op);
}

OFL_OP(logdet) {
  op.Doc("The logarithm of determinants: NaN of negative ones, -inf of 0.")
      .In("input")
      .Out("output")
      .Compose(ComposeLogdet)
      .Oracle("np.log(np.linalg.det(input))")
      .PyBoth("logdet(input)")
      .Samples([] { return SquareSamples(kHermitian); })
      .ErrorSamples(MatrixErrors(true));
}

}  // namespace ofl::ops
