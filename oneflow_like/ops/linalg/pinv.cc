// Pseudo-inverses and ranks.
#include <algorithm>

#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/matrices.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

using lapack::Real;

// --- pseudo-inverses ----------------------------------------------------------------------------

double EpsilonOf(DType dtype) {
  return RealOf(dtype) == DType::kFloat32 ? std::numeric_limits<float>::epsilon()
                                          : std::numeric_limits<double>::epsilon();
}

// What singular values are compared with.
struct Tolerance {
  double absolute, relative;
};
// Nothing given: eps * max(m, n) times the largest; of an absolute one alone nothing relative.
Tolerance ToleranceOf(const TensorMeta& a, const double* atol, const double* rtol) {
  const double usual =
      EpsilonOf(a.dtype) * static_cast<double>(std::max(RowsOf(a.shape), ColumnsOf(a.shape)));
  const double absolute = atol ? *atol : 0;
  return {absolute, rtol ? *rtol : absolute > 0 ? 0 : usual};
}

// The upper triangle of a column-major matrix from the lower one, whose diagonal is real.
template <class T>
void Mirror(int64_t n, T* a) {
  for (int64_t c = 0; c < n; ++c) {
    a[c * n + c] = std::real(a[c * n + c]);
    for (int64_t r = 0; r < c; ++r) {
      a[c * n + r] = a[r * n + c];
      if constexpr (math::kIsComplex<T>) a[c * n + r] = std::conj(a[c * n + r]);
    }
  }
}

struct PseudoInverse {
  // V diag(1 / s) U^H, where s counts.
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), columns = m.columns(0), k = std::min(rows, columns);
    T* a = arena.Take<T>(int64_t{rows} * columns);
    T* u = arena.Take<T>(int64_t{rows} * k);
    T* vt = arena.Take<T>(int64_t{k} * columns);
    Real<T>* s = arena.Take<Real<T>>(k);
    T size = 0;
    lapack::Work<T> w{&size};
    const int ldu = std::max(rows, 1), ldvt = std::max(k, 1);
    if (k > 0) lapack::Gesdd('S', rows, columns, a, s, u, ldu, vt, ldvt, w);
    w.size = std::max(static_cast<int>(std::real(size)), 1);
    w.work = arena.Take<T>(w.size);
    const int64_t most = std::max(rows, columns), least = k;
    w.real = arena.Take<Real<T>>(
        std::max(5 * least * least + 7 * least, 2 * most * least + 2 * least * least + least));
    w.whole = arena.Take<int>(8 * least);
    if (arena.counting() || k == 0) return Status::Ok();
    const T* from = m.In<T>(0, i, 2);
    ToColumns(from, rows, columns, a);
    if (m.attrs.Get<bool>("hermitian")) Mirror(rows, a);  // the other triangle is not read
    OFL_ENSURE(AllFinite(a, int64_t{rows} * columns), Code::kInvalidArgument)
        << "[linalg.pinv] " << BatchText(m, i)
        << "the algorithm cannot converge: got infinite elements or NaN; expected finite ones";
    const int info = lapack::Gesdd('S', rows, columns, a, s, u, ldu, vt, ldvt, w);
    OFL_ENSURE(info == 0, Code::kInvalidArgument)
        << "[linalg.pinv] " << BatchText(m, i) << "the algorithm did not converge: got an "
        << "ill-conditioned matrix (" << info << "); expected another";
    double cutoff = std::max(m.attrs.Get<double>("atol"), m.attrs.Get<double>("rtol") * s[0]);
    if (m.inputs.size() > 1) cutoff = *m.In<Real<T>>(1, i, 0);
    for (int64_t c = 0; c < k; ++c) {
      const Real<T> factor = s[c] > cutoff ? 1 / s[c] : 0;
      for (int64_t r = 0; r < rows; ++r) {
        T& x = u[c * rows + r];
        x = factor * x;
        if constexpr (math::kIsComplex<T>) x = std::conj(x);
      }
    }
    // Row-major U is (k, rows) here, and V^T (columns, k): the product of their transposes.
    if constexpr (math::kIsComplex<T>)
      for (int64_t e = 0; e < least * columns; ++e) vt[e] = std::conj(vt[e]);
    GemmArgs<T> g;
    g.m = columns;
    g.n = rows;
    g.k = k;
    g.a = vt;
    g.lda = k;
    g.b = u;
    g.ldb = rows;
    g.c = m.Out<T>(0, i, 2);
    g.ldc = rows;
    GemmSerial(g);
    return Status::Ok();
  }
};

Status InferPseudoInverse(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  const TensorMeta& a = c.input(0);
  OFL_ENSURE(!c.attr<bool>("hermitian") || RowsOf(a.shape) == ColumnsOf(a.shape),
             Code::kInvalidArgument)
      << "the matrices are not square; expected equal last sizes of Hermitian ones";
  if (c.num_inputs() > 1) {
    OFL_ENSURE(c.input(1).dtype == RealOf(a.dtype) && c.input(1).shape == BatchOf(a.shape),
               Code::kInvalidArgument)
        << "the bound does not fit; expected a real number for each matrix";
  }
  c.AddOutput({a.dtype, BatchWith(a.shape, {ColumnsOf(a.shape), RowsOf(a.shape)})});
  return Status::Ok();
}

std::string PseudoInverseRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  return in.size() > 1 ? "(... ! !),(...)->(... ! !); never partial"
                       : "(... ! !)->(... ! !); never partial";
}

void GradPseudoInverse(op::GradContext& c) {
  c.Set(0, GradOfPinv(c.b, c.grads[0], c.outputs[0], c.inputs[0]));
}

op::Values ComposePinv(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool hermitian = attrs.Get<bool>("hermitian");
  if (Status wrong = CheckMatrices(in[0], hermitian); !wrong.ok()) return Refused(b, wrong);
  const Tolerance t =
      ToleranceOf(in[0]->meta(), attrs.Maybe<double>("atol"), attrs.Maybe<double>("rtol"));
  return {b.Call("pseudo_inverse", {in[0]},
                 {{"atol", t.absolute}, {"rtol", t.relative}, {"hermitian", hermitian}})};
}

// --- singular values against a bound ------------------------------------------------------------

op::Value SingularValues(op::Builder& b, const op::Value& a, bool hermitian) {
  return hermitian ? Of(b, "abs", Of(b, "linalg_eigvalsh", a)) : Of(b, "linalg_svdvals", a);
}

// The larger of both bounds for each matrix, (batch, 1).
op::Value BoundOf(op::Builder& b, const op::Value& s, const op::Value& absolute,
                  const op::Value& relative) {
  const op::Value largest = b.Call("amax", {s}, {{"dim", Ints{-1}}, {"keepdim", true}});
  return b.Call("maximum", {absolute, Mul(b, relative, largest)});
}

op::Value FilledLike(op::Builder& b, const op::Value& x, double value) {
  return b.Call("full_like", {x}, {{"value", Scalar(value)}});
}

op::Value CountAbove(op::Builder& b, const op::Value& s, const op::Value& bound) {
  return b.Call("sum", {b.Call("gt", {s, bound})}, {{"dim", Ints{-1}}, {"keepdim", false}});
}

op::Value NothingAbove(op::Builder& b, const op::Value& s) {
  const op::Value count =
      b.Call("sum", {b.Call("ne", {s, s})}, {{"dim", Ints{-1}}, {"keepdim", false}});
  return count;
}

op::Values ComposeRank(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool hermitian = attrs.Get<bool>("hermitian");
  if (Status wrong = CheckMatrices(in[0], hermitian); !wrong.ok()) return Refused(b, wrong);
  const op::Value s = SingularValues(b, in[0], hermitian);
  if (s == nullptr) return {nullptr};
  if (s->meta().shape[s->meta().shape.rank() - 1] == 0) return {NothingAbove(b, s)};
  const double* rtol = attrs.Maybe<double>("rtol");
  const Tolerance t = ToleranceOf(in[0]->meta(), attrs.Maybe<double>("atol"), rtol);
  const op::Value one = LastPart(b, s, 0, 1);
  return {CountAbove(
      b, s, BoundOf(b, s, FilledLike(b, one, t.absolute), FilledLike(b, one, t.relative)))};
}

// Tolerances as tensors that broadcast with the batch: (batch, 1) each.
struct Bounds {
  op::Value absolute, relative;
};
Bounds BoundsOf(op::Builder& b, Operands in, const Attrs& attrs, const op::Value& s) {
  const op::Value *atol = OperandAt(in, attrs, 1), *rtol = OperandAt(in, attrs, 2);
  const op::Value one = LastPart(b, s, 0, 1);
  if (one == nullptr) return {};
  const DType real = one->meta().dtype;
  const Tolerance usual = ToleranceOf(in[0]->meta(), nullptr, nullptr);
  Bounds bounds;
  bounds.absolute = atol ? Unsqueezed(b, CastTo(b, *atol, real), -1) : FilledLike(b, one, 0);
  if (rtol) {
    bounds.relative = Unsqueezed(b, CastTo(b, *rtol, real), -1);
  } else if (atol) {
    // The usual one only where nothing absolute was asked for.
    const op::Value asked = b.Call("gt", {bounds.absolute, FilledLike(b, bounds.absolute, 0)});
    bounds.relative = ReplaceWhere(b, asked, 0.0, FilledLike(b, bounds.absolute, usual.relative));
  } else {
    bounds.relative = FilledLike(b, one, usual.relative);
  }
  return bounds;
}

op::Values ComposeRankWithin(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool hermitian = attrs.Get<bool>("hermitian");
  if (Status wrong = CheckMatrices(in[0], hermitian); !wrong.ok()) return Refused(b, wrong);
  const op::Value s = SingularValues(b, in[0], hermitian);
  if (s == nullptr) return {nullptr};
  if (s->meta().shape[s->meta().shape.rank() - 1] == 0) return {NothingAbove(b, s)};
  const Bounds bounds = BoundsOf(b, in, attrs, s);
  return {CountAbove(b, s, BoundOf(b, s, bounds.absolute, bounds.relative))};
}

op::Values ComposePinvWithin(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool hermitian = attrs.Get<bool>("hermitian");
  if (Status wrong = CheckMatrices(in[0], hermitian); !wrong.ok()) return Refused(b, wrong);
  const op::Value& a = in[0];
  const Shape& shape = a->meta().shape;
  if (RowsOf(shape) == 0 || ColumnsOf(shape) == 0) return {b.Call("pseudo_inverse", {a})};
  const op::Value s = b.Call("without_gradient", {SingularValues(b, a, hermitian)});
  const Bounds bounds = BoundsOf(b, in, attrs, s);
  const op::Value bound =
      b.Call("squeeze", {BoundOf(b, s, bounds.absolute, bounds.relative)}, {{"dim", Ints{-1}}});
  if (bound == nullptr) return {nullptr};
  const auto batch = BroadcastShapes(BatchOf(shape), bound->meta().shape);
  if (!batch.ok()) return Refused(b, batch.status());
  const op::Value each = bound->meta().shape == *batch
                             ? bound
                             : b.Call("broadcast_to", {bound}, {{"shape", DimsOf(*batch)}});
  return {b.Call("pseudo_inverse", {Batched(b, a, *batch), each}, {{"hermitian", hermitian}})};
}

std::vector<op::Sample> AnySamples(const Attrs& attrs, const char* note) {
  return MatrixSamples(
      {{{2, 3, 2}}, {{2, 4}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 2}}, {{0, 2, 3}}}, attrs,
      note);
}

op::OpDefBuilder& Hermitian(op::OpDefBuilder& op) {
  return op.Attr("hermitian", op::AttrType::kBool, false);
}

op::OpDefBuilder& WithTolerances(op::OpDefBuilder& op) {
  return Hermitian(op.In("A").Out("output"))
      .OptionalAttr("atol", op::AttrType::kFloat)
      .OptionalAttr("rtol", op::AttrType::kFloat);
}
op::OpDefBuilder& WithTensors(op::OpDefBuilder& op) {
  return Hermitian(op.In("A").InOptional("atol").InOptional("rtol").AnyMissing().Out("output"));
}

std::vector<op::Sample> TensorSamples() {
  std::vector<op::Sample> samples;
  constexpr DType kF = DType::kFloat32;
  const auto add = [&](std::vector<TensorMeta> inputs, Ints arity) {
    op::Sample s{std::move(inputs), {{"arity", std::move(arity)}}, 0.1, 0.4, kDominant};
    samples.push_back(std::move(s));
  };
  add({{kF, {2, 3, 3}}, {kF, {}}}, {1, 1, 0});
  add({{kF, {2, 3, 3}}, {kF, {2}}}, {1, 1, 0});
  add({{kF, {2, 3, 3}}, {kF, {2}}}, {1, 0, 1});
  add({{kF, {3, 3}}, {kF, {}}, {kF, {}}}, {1, 1, 1});
  return samples;
}

std::vector<op::ErrorSample> TensorErrors() {
  return MatrixErrors(false, {{"arity", Ints{1, 0, 0}}});
}

}  // namespace

op::Value GradOfPinv(op::Builder& b, const op::Value& grad, const op::Value& inverse,
                     const op::Value& a) {
  if (grad == nullptr || inverse == nullptr) return nullptr;
  const op::Value adjoint = Adjoint(b, inverse), gh = Adjoint(b, grad);
  if (RowsOf(a->meta().shape) <= ColumnsOf(a->meta().shape)) {
    const op::Value k = MatMul(b, gh, inverse), kp = MatMul(b, k, adjoint);
    const op::Value first = Sub(b, kp, Adjoint(b, MatMul(b, inverse, k)));
    const op::Value second = MatMul(b, MatMul(b, a, inverse), kp);
    const op::Value third = MatMul(b, MatMul(b, adjoint, inverse), Sub(b, gh, MatMul(b, k, a)));
    return Add(b, Sub(b, first, second), third);
  }
  const op::Value k = MatMul(b, inverse, gh), pk = MatMul(b, adjoint, k);
  const op::Value first = Sub(b, pk, Adjoint(b, MatMul(b, k, inverse)));
  const op::Value second = MatMul(b, MatMul(b, Sub(b, gh, MatMul(b, a, k)), inverse), adjoint);
  return Sub(b, Add(b, first, second), MatMul(b, MatMul(b, pk, inverse), a));
}

OFL_OP(pseudo_inverse) {
  op.Doc(
        "The pseudo-inverses of matrices; singular values count above max(atol, rtol * the "
        "largest),\n"
        "or above `bound`. `hermitian`: the matrices are, and their lower triangle is read.")
      .In("A")
      .InOptional("bound")
      .Out("output")
      .Attr("atol", op::AttrType::kFloat, 0.0)
      .Attr("rtol", op::AttrType::kFloat, 0.0)
      .Attr("hermitian", op::AttrType::kBool, false)
      .Infer(InferPseudoInverse)
      .Sbp(PseudoInverseRule)
      .Grad(GradPseudoInverse)
      .Oracle("pinv(A, atol, rtol, bound)")
      .Py("_pseudo_inverse(A, bound=None, *, atol=0.0, rtol=0.0, hermitian=False)")
      .Samples([] {
        auto samples = AnySamples({{"rtol", 1e-6}}, kDominant);
        samples.push_back(
            {{{DType::kFloat32, {2, 3, 3}}}, {{"hermitian", true}}, -1, 1, kHermitian});
        samples.push_back(
            {{{DType::kComplex64, {2, 2}}}, {{"hermitian", true}}, -1, 1, kHermitian});
        samples.push_back(
            {{{DType::kFloat32, {2, 3, 3}}, {DType::kFloat32, {2}}}, {}, 0.1, 0.4, kDominant});
        return samples;
      })
      .ErrorSamples([] {
        auto errors = MatrixErrors(false);
        errors.push_back({{{DType::kFloat32, {2, 3, 3}}, {DType::kFloat32, {3}}},
                          {},
                          Code::kInvalidArgument,
                          "the bound does not fit"});
        return errors;
      }());
  LapackKernels<PseudoInverse>(op);
}

OFL_OP(linalg_pinv) {
  WithTolerances(
      op.Doc("The pseudo-inverses of matrices; singular values count above max(atol, rtol * the "
             "largest).\n`hermitian`: the matrices are, and one triangle is read."))
      .Compose(ComposePinv)
      .Oracle("pinv(A, atol or 0, 1e-6 if rtol is None else rtol, None)")
      .Py("linalg.pinv(A, *, atol=None, rtol=None, hermitian=False)")
      .Py("linalg.pinv(A, rcond: rtol, hermitian=False)")
      .PyBoth("pinverse(input: A, rcond: rtol=1e-15)")
      .Samples([] {
        auto samples = AnySamples({}, kDominant);
        samples.push_back(
            {{{DType::kFloat32, {2, 3, 3}}}, {{"hermitian", true}}, -1, 1, kHermitian});
        return samples;
      })
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(pinv_within) {
  WithTensors(op.Doc("The pseudo-inverses of matrices, with tolerances that are tensors."))
      .Compose(ComposePinvWithin)
      .Oracle("pinv_within(arity, A, atol, rtol)")
      .Py("linalg.pinv(A, *, atol=None, rtol=None, hermitian=False)")
      .Py("linalg.pinv(A, rcond: rtol, hermitian=False)")
      .Samples(TensorSamples)
      .ErrorSamples(TensorErrors());
}

OFL_OP(linalg_matrix_rank) {
  WithTolerances(
      op.Doc("How many singular values of matrices are larger than max(atol, rtol * the largest)."))
      .Compose(ComposeRank)
      .Oracle("np.asarray(matrix_rank(A, atol or 0, 1e-6 if rtol is None else rtol))")
      .Py("linalg.matrix_rank(A, *, atol=None, rtol=None, hermitian=False)")
      .Py("linalg.matrix_rank(A, tol: atol, hermitian=False)", {{"rtol", 0.0}})
      .Samples([] {
        auto samples = AnySamples({}, kDominant);
        samples.push_back({{{DType::kFloat32, {2, 3, 3}}},
                           {{"hermitian", true}, {"atol", 0.5}},
                           -1,
                           1,
                           kHermitian});
        return samples;
      })
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(matrix_rank_within) {
  WithTensors(op.Doc("How many singular values of matrices are larger than tolerances, which are "
                     "tensors."))
      .Compose(ComposeRankWithin)
      .Oracle("np.asarray(rank_within(arity, A, atol, rtol))")
      .Py("linalg.matrix_rank(A, *, atol=None, rtol=None, hermitian=False)")
      .Py("linalg.matrix_rank(A, tol: atol, hermitian=False)")
      .Samples(TensorSamples)
      .ErrorSamples(TensorErrors());
}

}  // namespace ofl::ops
