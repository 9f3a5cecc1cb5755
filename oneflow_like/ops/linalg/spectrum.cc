// Eigenvalues, with their vectors.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

// --- Hermitian matrices -------------------------------------------------------------------------

// Whether the triangle of a row-major matrix that is read is finite.
template <class T>
bool TriangleIsFinite(const T* x, int64_t n, bool upper) {
  for (int64_t r = 0; r < n; ++r)
    if (!AllFinite(x + r * n + (upper ? r : 0), upper ? n - r : r + 1)) return false;
  return true;
}

// Vectors where output 1 is asked for.
template <class T>
Status HermitianSpectrum(Matrices& m, int64_t i, Arena& arena) {
  const int n = m.rows(0);
  const bool vectors = m.outputs.size() > 1;
  const bool upper = (m.attrs.Get<std::string>("UPLO").front() & ~0x20) == 'U';
  T* a = arena.Take<T>(int64_t{n} * n);
  T size = 0;
  Real<T> real_size = 0;
  int whole_size = 0;
  lapack::Work<T> w{&size, -1, &real_size, -1, &whole_size, -1};
  if (n > 0) lapack::Syevd(vectors, 'L', n, a, nullptr, w);
  w = {nullptr, std::max(static_cast<int>(std::real(size)), 1),
       nullptr, std::max(static_cast<int>(real_size), 1),
       nullptr, std::max(whole_size, 1)};
  w.work = arena.Take<T>(w.size);
  w.real = arena.Take<Real<T>>(w.real_size);
  w.whole = arena.Take<int>(w.whole_size);
  if (arena.counting() || n == 0) return Status::Ok();
  const T* from = m.In<T>(0, i, 2);
  Real<T>* values = m.Out<Real<T>>(0, i, 1);
  if (n > 1 && !TriangleIsFinite(from, n, upper)) {
    OFL_ENSURE(n == 2, Code::kInvalidArgument)  // of which there are formulas
        << "[linalg.eigh] " << BatchText(m, i)
        << "the algorithm cannot converge: got infinite elements or NaN; expected finite ones";
    constexpr Real<T> kNan = std::numeric_limits<Real<T>>::quiet_NaN();
    std::fill_n(values, n, kNan);
    if (vectors) std::fill_n(m.Out<T>(1, i, 2), int64_t{n} * n, T(kNan));
    return Status::Ok();
  }
  ToColumns(from, n, n, a);
  const int info = lapack::Syevd(vectors, upper ? 'U' : 'L', n, a, values, w);
  OFL_ENSURE(info == 0, Code::kInvalidArgument)
      << "[linalg.eigh] " << BatchText(m, i) << "the algorithm did not converge: got an "
      << "ill-conditioned matrix (" << info << "); expected another";
  if (vectors) FromColumns(a, n, n, m.Out<T>(1, i, 2), n);
  return Status::Ok();
}

struct Hermitian {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    return HermitianSpectrum<T>(m, i, arena);
  }
};

Status InferEigvalsh(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  const std::string& uplo = c.attr<std::string>("UPLO");
  OFL_ENSURE(uplo == "L" || uplo == "U" || uplo == "l" || uplo == "u", Code::kInvalidArgument)
      << "no triangle: got UPLO=" << Quoted(uplo) << "; expected 'L' or 'U'";
  const Shape& a = c.input(0).shape;
  c.AddOutput({RealOf(c.input(0).dtype), BatchWith(a, {RowsOf(a)})});
  return Status::Ok();
}
Status InferEigh(op::InferContext& c) {
  OFL_TRY(InferEigvalsh(c));
  c.AddOutput(c.input(0));
  return Status::Ok();
}

// V (diag(gL) + skew(V^H gV) / gaps) V^H; the vectors' phases do not matter.
void GradEigh(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value& v = c.outputs[1];
  const op::Value vh = Adjoint(b, v);
  op::Value inner = c.grads[0] ? DiagonalMatrix(b, LikeMatrix(b, c.grads[0], v)) : nullptr;
  if (c.grads[1]) {
    const op::Value m = MatMul(b, vh, c.grads[1]);
    const op::Value skew = MulScalar(b, Sub(b, m, Adjoint(b, m)), 0.5);
    op::Value turned = Div(b, skew, LikeMatrix(b, Gaps(b, c.outputs[0]), v));
    if (IsComplex(v->meta().dtype))
      turned = Sub(b, turned, DiagonalMatrix(b, DiagonalOf(b, turned)));
    inner = Plus(b, inner, turned);
  }
  if (inner == nullptr) return;
  c.Set(0, MatMul(b, v, MatMul(b, inner, vh)));
}

// --- general matrices ---------------------------------------------------------------------------

// LAPACK packs a conjugate pair's vectors of real matrices as real and imaginary part.
template <class R>
void UnpackVectors(const R* imaginary, const R* packed, int n, std::complex<R>* out) {
  for (int64_t j = 0; j < n; ++j) {
    const bool pair = imaginary[j] != 0;
    for (int64_t r = 0; r < n; ++r) {
      const R re = packed[j * n + r], im = pair ? packed[(j + 1) * n + r] : R(0);
      out[r * n + j] = {re, im};
      if (pair) out[r * n + j + 1] = {re, -im};
    }
    if (pair) ++j;
  }
}

template <class T>
Status GeneralSpectrum(Matrices& m, int64_t i, Arena& arena) {
  const int n = m.rows(0);
  const bool vectors = m.outputs.size() > 1;
  constexpr bool kReal = !math::kIsComplex<T>;
  using C = std::complex<Real<T>>;
  T* a = arena.Take<T>(int64_t{n} * n);
  T* right = arena.Take<T>(vectors ? int64_t{n} * n : 1);
  T* values = arena.Take<T>(n);
  T* imaginary = arena.Take<T>(kReal ? n : 1);
  T size = 0;
  Real<T> real_size = 0;
  lapack::Work<T> w{&size, -1, &real_size};
  if (n > 0) lapack::Geev(vectors, n, a, values, imaginary, right, w);
  w.size = std::max(static_cast<int>(std::real(size)), 1);
  w.work = arena.Take<T>(w.size);
  w.real = arena.Take<Real<T>>(2 * int64_t{n});
  if (arena.counting() || n == 0) return Status::Ok();
  const T* from = m.In<T>(0, i, 2);
  OFL_ENSURE(AllFinite(from, int64_t{n} * n), Code::kInvalidArgument)
      << "[linalg.eig] " << BatchText(m, i)
      << "the matrix has infinite elements or NaN: got no number; expected finite ones";
  ToColumns(from, n, n, a);
  const int info = lapack::Geev(vectors, n, a, values, imaginary, right, w);
  OFL_ENSURE(info == 0, Code::kInvalidArgument)
      << "[linalg.eig] " << BatchText(m, i)
      << "the algorithm did not converge: got an ill-conditioned matrix (" << info
      << "); expected another";
  C* out = m.Out<C>(0, i, 1);
  if constexpr (kReal) {
    for (int k = 0; k < n; ++k) out[k] = {values[k], imaginary[k]};
    if (vectors) UnpackVectors(imaginary, right, n, m.Out<C>(1, i, 2));
  } else {
    std::copy_n(values, n, out);
    if (vectors) FromColumns(right, n, n, m.Out<C>(1, i, 2), n);
  }
  return Status::Ok();
}

struct General {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    return GeneralSpectrum<T>(m, i, arena);
  }
};

DType ComplexDType(DType d) {
  return d == DType::kFloat32 ? DType::kComplex64 : d == DType::kFloat64 ? DType::kComplex128 : d;
}

Status InferEigvals(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, true));
  const Shape& a = c.input(0).shape;
  c.AddOutput({ComplexDType(c.input(0).dtype), BatchWith(a, {RowsOf(a)})});
  return Status::Ok();
}
Status InferEig(op::InferContext& c) {
  OFL_TRY(InferEigvals(c));
  c.AddOutput({ComplexDType(c.input(0).dtype), c.input(0).shape});
  return Status::Ok();
}

// V^-H (diag(gL) + (V^H gV - V^H V diag(Re(V^H gV))) / conj(gaps)) V^H: vectors keep length 1.
void GradEig(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value& v = c.outputs[1];
  const op::Value vh = Adjoint(b, v);
  op::Value inner = c.grads[0] ? DiagonalMatrix(b, c.grads[0]) : nullptr;
  if (c.grads[1]) {
    const op::Value m = MatMul(b, vh, c.grads[1]);
    const op::Value real = CastTo(b, Of(b, "real", DiagonalOf(b, m)), v->meta().dtype);
    const op::Value kept = MatMul(b, vh, Mul(b, v, Unsqueezed(b, real, -2)));
    const op::Value turned = Div(b, Sub(b, m, kept), Conj(b, Gaps(b, c.outputs[0])));
    inner = Plus(b, inner, Sub(b, turned, DiagonalMatrix(b, DiagonalOf(b, turned))));
  }
  if (inner == nullptr) return;
  const op::Value grad = b.Call("linear_system", {vh, MatMul(b, inner, vh)},
                                {{"left", true}, {"check_errors", false}});
  const bool real = !IsComplex(c.inputs[0]->meta().dtype);
  c.Set(0, real ? Of(b, "real", grad) : grad);
}

// --- composites ---------------------------------------------------------------------------------

op::Values ComposeEigvalsh(op::Builder& b, Operands in, const Attrs& attrs) {
  return {b.CallAll("linalg_eigh", {in[0]}, attrs)[0]};
}
op::Values ComposeEigvals(op::Builder& b, Operands in, const Attrs&) {
  return {b.CallAll("linalg_eig", {in[0]})[0]};
}
std::vector<op::Sample> SpectrumSamples(const Attrs& attrs, const char* note,
                                        const char* complex_note) {
  auto samples = MatrixSamples(
      {{{2, 3, 3}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 0}}, {{0, 2, 2}}}, attrs, note);
  for (op::Sample& s : samples)
    if (IsComplex(s.inputs[0].dtype)) s.note = complex_note;
  return samples;
}

op::OpDefBuilder& Triangle(op::OpDefBuilder& op) {
  return op.Attr("UPLO", op::AttrType::kString, std::string("L"));
}

std::vector<op::ErrorSample> TriangleErrors() {
  auto errors = MatrixErrors(true);
  errors.push_back({{{DType::kFloat32, {2, 2}}},
                    {{"UPLO", std::string("X")}},
                    Code::kInvalidArgument,
                    "expected 'L' or 'U'"});
  return errors;
}

}  // namespace

OFL_OP(linalg_eigh) {
  Triangle(op.Doc("The eigenvalues of Hermitian matrices, in ascending order, and their vectors as "
                  "columns. One\ntriangle is read (UPLO: 'L' or 'U').")
               .In("A")
               .Out("eigenvalues")
               .Out("eigenvectors"))
      .Infer(InferEigh)
      .Sbp("(... ! !)->(... !),(... ! !); never partial")
      .Grad(GradEigh)
      .Oracle("eigh(A, UPLO)")
      .Py("linalg.eigh(A, UPLO='L')")
      .Samples([] {
        auto samples = SpectrumSamples({}, kHermitian, "hermitian phase");
        samples.push_back(samples[0]);
        samples.back().attrs = {{"UPLO", std::string("U")}};
        return samples;
      })
      .ErrorSamples(TriangleErrors());
  LapackKernels<Hermitian>(op);
}

OFL_OP(linalg_eigvalsh) {
  Triangle(
      op.Doc("The eigenvalues of Hermitian matrices, in ascending order. One triangle is read.")
          .In("A")
          .Out("output"))
      .Compose(ComposeEigvalsh)
      .Oracle("eigh(A, UPLO)[0]")
      .Py("linalg.eigvalsh(A, UPLO='L')")
      .Samples([] { return SpectrumSamples({}, kHermitian, kHermitian); })
      .ErrorSamples(TriangleErrors());
  LapackKernels<Hermitian>(op);
}

OFL_OP(linalg_eig) {
  op.Doc("The eigenvalues of square matrices, complex, and their vectors as columns of length 1.")
      .In("A")
      .Out("eigenvalues")
      .Out("eigenvectors")
      .Infer(InferEig)
      .Sbp("(... ! !)->(... !),(... ! !); never partial")
      .Grad(GradEig)
      .Oracle("eig(A)")
      .Py("linalg.eig(A)")
      .Samples([] {
        // Signs of vectors depend on rounding: those that are compared have the oracle's precision.
        auto samples = SpectrumSamples({}, kPhase, kPhase);
        for (op::Sample& s : samples) {
          TensorMeta& a = s.inputs[0];
          if (a.dtype == DType::kFloat32) a.dtype = DType::kFloat64;
          if (a.dtype == DType::kComplex64) a.dtype = DType::kComplex128;
        }
        samples.push_back({{{DType::kFloat32, {2, 1, 1}}}, {}, 1, 2, kPhase});
        samples.push_back({{{DType::kComplex64, {1, 1}}}, {}, 1, 2, kPhase});
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<General>(op);
}

OFL_OP(linalg_eigvals) {
  op.Doc("The eigenvalues of square matrices, complex.")
      .In("A")
      .Out("output")
      .Compose(ComposeEigvals)
      .Oracle("eig(A)[0]")
      .Py("linalg.eigvals(A)")
      .Samples([] {
        auto samples = SpectrumSamples({}, "", "");
        for (op::Sample& s : samples)  // the order of a pair depends on rounding
          if (s.inputs[0].dtype == DType::kFloat32) s.inputs[0].dtype = DType::kFloat64;
        samples.push_back({{{DType::kFloat32, {2, 1, 1}}}, {}, 1, 2, ""});
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
  LapackKernels<General>(op);
}

}  // namespace ofl::ops
