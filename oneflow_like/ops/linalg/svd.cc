// Singular values, with their vectors.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

template <class T>
Status SingularSpectrum(Matrices& m, int64_t i, Arena& arena) {
  const int rows = m.rows(0), columns = m.columns(0), k = std::min(rows, columns);
  const bool vectors = m.outputs.size() > 1;
  const bool full = vectors && m.attrs.Get<bool>("full_matrices");
  const int u_columns = full ? rows : k, v_rows = full ? columns : k;
  const char job = !vectors ? 'N' : full ? 'A' : 'S';
  T* a = arena.Take<T>(int64_t{rows} * columns);
  T* u = arena.Take<T>(vectors ? int64_t{rows} * u_columns : 1);
  T* vt = arena.Take<T>(vectors ? int64_t{v_rows} * columns : 1);
  T size = 0;
  lapack::Work<T> w{&size};
  const int ldu = std::max(rows, 1), ldvt = std::max(v_rows, 1);
  if (k > 0) lapack::Gesdd(job, rows, columns, a, nullptr, u, ldu, vt, ldvt, w);
  w.size = std::max(static_cast<int>(std::real(size)), 1);
  w.work = arena.Take<T>(w.size);
  const int64_t most = std::max(rows, columns), least = k;
  w.real = arena.Take<Real<T>>(
      math::kIsComplex<T>
          ? std::max(5 * least * least + 7 * least, 2 * most * least + 2 * least * least + least)
          : 1);
  w.whole = arena.Take<int>(8 * least);
  if (arena.counting()) return Status::Ok();
  if (k == 0) {  // nothing but the identities that complete nothing
    const auto identity = [](T* x, int64_t n) {
      for (int64_t e = 0; e < n * n; ++e) x[e] = T(e % (n + 1) == 0 ? 1 : 0);
    };
    if (full) identity(m.Out<T>(0, i, 2), rows), identity(m.Out<T>(2, i, 2), columns);
    return Status::Ok();
  }
  const T* from = m.In<T>(0, i, 2);
  OFL_ENSURE(AllFinite(from, int64_t{rows} * columns), Code::kInvalidArgument)
      << "[linalg.svd] " << BatchText(m, i)
      << "the algorithm cannot converge: got infinite elements or NaN; expected finite ones";
  ToColumns(from, rows, columns, a);
  Real<T>* s = m.Out<Real<T>>(vectors ? 1 : 0, i, 1);
  const int info = lapack::Gesdd(job, rows, columns, a, s, u, ldu, vt, ldvt, w);
  OFL_ENSURE(info == 0, Code::kInvalidArgument)
      << "[linalg.svd] " << BatchText(m, i) << "the algorithm did not converge: got an "
      << "ill-conditioned matrix (" << info << "); expected another";
  if (vectors) {
    FromColumns(u, rows, u_columns, m.Out<T>(0, i, 2), ldu);
    FromColumns(vt, v_rows, columns, m.Out<T>(2, i, 2), ldvt);
  }
  return Status::Ok();
}

struct Singular {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    return SingularSpectrum<T>(m, i, arena);
  }
};

Status CheckDriver(const op::InferContext& c) {
  const std::string* driver = c.maybe<std::string>("driver");
  OFL_ENSURE(driver == nullptr, Code::kUnimplemented)
      << "driver= is of CUDA alone: got " << Quoted(*driver) << "; expected None";
  return Status::Ok();
}

Status InferSvdvals(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  OFL_TRY(CheckDriver(c));
  const Shape& a = c.input(0).shape;
  c.AddOutput({RealOf(c.input(0).dtype), BatchWith(a, {std::min(RowsOf(a), ColumnsOf(a))})});
  return Status::Ok();
}
Status InferSvd(op::InferContext& c) {
  OFL_TRY(InferSvdvals(c));
  const TensorMeta s = c.outputs[0];
  c.outputs.clear();
  const Shape& a = c.input(0).shape;
  const int64_t m = RowsOf(a), n = ColumnsOf(a), k = std::min(m, n);
  const bool full = c.attr<bool>("full_matrices");
  c.AddOutput({c.input(0).dtype, BatchWith(a, {m, full ? m : k})});
  c.AddOutput(s);
  c.AddOutput({c.input(0).dtype, BatchWith(a, {full ? n : k, n})});
  return Status::Ok();
}

struct SvdParts {
  op::Value u, s, vh, gu, gs, gvh;
  bool tall, wide;
};

// U^H dU and V^H dV of the inner part of the gradient, and the phases that complex ones share.
op::Value InnerOfSvd(op::Builder& b, const SvdParts& p) {
  const op::Value column = Unsqueezed(b, p.s, -2), row = Unsqueezed(b, p.s, -1);
  op::Value inner = p.gs ? DiagonalMatrix(b, LikeMatrix(b, p.gs, p.u)) : nullptr;
  const op::Value gaps = LikeMatrix(b, Gaps(b, Mul(b, p.s, p.s)), p.u);
  op::Value left, right;
  if (p.gu) {
    left = MatMul(b, Adjoint(b, p.u), p.gu);
    const op::Value skew = Div(b, Sub(b, left, Adjoint(b, left)), gaps);
    inner = Plus(b, inner, Mul(b, skew, LikeMatrix(b, column, p.u)));
  }
  if (p.gvh) {
    right = MatMul(b, p.vh, Adjoint(b, p.gvh));
    const op::Value skew = Div(b, Sub(b, right, Adjoint(b, right)), gaps);
    inner = Plus(b, inner, Mul(b, LikeMatrix(b, row, p.u), skew));
  }
  if (!IsComplex(p.u->meta().dtype) || (!p.gu && !p.gvh)) return inner;
  // Of complex matrices the diagonals of both skew parts are no differences of values; what is
  // left of them is the phase that a pair of vectors shares.
  op::Value phase = p.gu ? DiagonalOf(b, left) : nullptr;
  if (p.gvh) {
    const op::Value other = DiagonalOf(b, right);
    phase = phase == nullptr ? Negative(b, other) : Sub(b, phase, other);
  }
  const op::Value turn =
      MulScalar(b, LikeMatrix(b, Of(b, "imag", phase), p.u), std::complex<double>(0, 1));
  const op::Value half = Div(b, turn, LikeMatrix(b, MulScalar(b, p.s, 2.0), p.u));
  const op::Value plain = Sub(b, inner, DiagonalMatrix(b, DiagonalOf(b, inner)));
  const op::Value diagonal = p.gs ? Add(b, half, LikeMatrix(b, p.gs, p.u)) : half;
  return Add(b, plain, DiagonalMatrix(b, diagonal));
}

void GradSvd(op::GradContext& c) {
  op::Builder& b = c.b;
  const Shape& a = c.inputs[0]->meta().shape;
  const int64_t m = RowsOf(a), n = ColumnsOf(a), k = std::min(m, n);
  // Vectors that complete a basis are of no consequence, as in torch.
  SvdParts p{LastPart(b, c.outputs[0], 0, k),
             c.outputs[1],
             RowPart(b, c.outputs[2], 0, k),
             LastPart(b, c.grads[0], 0, k),
             c.grads[1],
             RowPart(b, c.grads[2], 0, k),
             m > k,
             n > k};
  if (!p.u || !p.vh) return;
  if (!p.gu && !p.gvh) {
    if (!p.gs) return;
    const op::Value row = Unsqueezed(b, LikeMatrix(b, p.gs, p.u), -2);
    c.Set(0, MatMul(b, Mul(b, p.u, row), p.vh));
    return;
  }
  const op::Value s = LikeMatrix(b, p.s, p.u);
  op::Value grad = MatMul(b, p.u, InnerOfSvd(b, p));
  if (p.tall && p.gu) {
    const op::Value inside = MatMul(b, p.u, MatMul(b, Adjoint(b, p.u), p.gu));
    grad = Add(b, grad, Div(b, Sub(b, p.gu, inside), Unsqueezed(b, s, -2)));
  }
  grad = MatMul(b, grad, p.vh);
  if (p.wide && p.gvh) {
    const op::Value inside = MatMul(b, MatMul(b, p.gvh, Adjoint(b, p.vh)), p.vh);
    const op::Value beside = Div(b, Sub(b, p.gvh, inside), Unsqueezed(b, s, -1));
    grad = Add(b, grad, MatMul(b, p.u, beside));
  }
  c.Set(0, grad);
}

op::Values ComposeSvdvals(op::Builder& b, Operands in, const Attrs& attrs) {
  Attrs thin = attrs;
  thin.Set("full_matrices", false);
  return {b.CallAll("linalg_svd", {in[0]}, thin)[1]};
}

// V in place of its adjoint; without vectors zeros, as torch has it.
op::Values ComposeTorchSvd(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMatrices(in[0], false); !wrong.ok()) return Refused(b, wrong);
  const bool full = !attrs.Get<bool>("some"), vectors = attrs.Get<bool>("compute_uv");
  const op::Values usv = b.CallAll("linalg_svd", {in[0]}, {{"full_matrices", full || !vectors}});
  if (usv[0] == nullptr) return {nullptr, nullptr, nullptr};
  if (vectors) return {usv[0], usv[1], Adjoint(b, usv[2])};
  return {ZerosLike(b, usv[0]), usv[1], ZerosLike(b, usv[2])};
}

std::vector<op::Sample> SvdSamples(const std::vector<Attrs>& forms, bool vectors) {
  std::vector<op::Sample> samples;
  for (const Attrs& attrs : forms) {
    auto some = MatrixSamples(
        {{{2, 3, 2}}, {{2, 4}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 2}}, {{0, 2, 3}}}, attrs,
        "", 1, 9);  // no zeros, whose signs would turn vectors
    samples.insert(samples.end(), some.begin(), some.end());
  }
  for (op::Sample& s : samples)
    if (vectors && (IsComplex(s.inputs[0].dtype) || s.attrs.size() > 0)) s.note = kPhase;
  return samples;
}

}  // namespace

OFL_OP(linalg_svd) {
  op.Doc(
        "Singular values in descending order, with vectors: A = U diag(S) Vh. With "
        "`full_matrices`\n"
        "U and Vh are square; what completes them has no gradient.")
      .In("A")
      .Out("U")
      .Out("S")
      .Out("Vh")
      .Attr("full_matrices", op::AttrType::kBool, true)
      .OptionalAttr("driver", op::AttrType::kString)
      .Infer(InferSvd)
      .Sbp("(... ! !)->(... ! !),(... !),(... ! !); never partial")
      .Grad(GradSvd)
      .Oracle("svd(A, full_matrices)")
      .Py("linalg.svd(A, full_matrices=True, *, driver=None)")
      .Samples([] {
        auto samples = SvdSamples({{{"full_matrices", false}}}, false);
        for (op::Sample& s : samples)
          if (IsComplex(s.inputs[0].dtype)) s.note = kPhase;
        const auto full = SvdSamples({{{"full_matrices", true}}}, true);
        samples.insert(samples.end(), full.begin(), full.end());
        return samples;
      })
      .ErrorSamples([] {
        auto errors = MatrixErrors(false);
        errors.push_back({{{DType::kFloat32, {2, 2}}},
                          {{"driver", std::string("gesvd")}},
                          Code::kUnimplemented,
                          "of CUDA alone"});
        return errors;
      }());
  LapackKernels<Singular>(op);
}

OFL_OP(linalg_svdvals) {
  op.Doc("Singular values in descending order.")
      .In("A")
      .Out("output")
      .OptionalAttr("driver", op::AttrType::kString)
      .Compose(ComposeSvdvals)
      .Oracle("svd(A, False)[1]")
      .Py("linalg.svdvals(A, *, driver=None)")
      .Samples([] { return SvdSamples({{}}, false); })
      .ErrorSamples(MatrixErrors(false));
  LapackKernels<Singular>(op);
}

OFL_OP(svd) {
  op.Doc("U, S and V of A = U diag(S) V^H; `some`: the thin ones; without `compute_uv` zeros.")
      .In("input")
      .Out("U")
      .Out("S")
      .Out("V")
      .Attr("some", op::AttrType::kBool, true)
      .Attr("compute_uv", op::AttrType::kBool, true)
      .Compose(ComposeTorchSvd)
      .Oracle("torch_svd(input, some, compute_uv)")
      .PyBoth("svd(input, some=True, compute_uv=True)")
      .Samples([] {
        auto samples = SvdSamples({{}}, true);
        for (const char* name : {"some", "compute_uv"}) {
          samples.push_back(samples[0]);
          samples.back().attrs = {{name, false}};
          samples.back().note = kPhase;
        }
        return samples;
      })
      .ErrorSamples(MatrixErrors(false));
}

}  // namespace ofl::ops
