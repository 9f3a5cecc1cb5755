// QR, and products of Householder reflections.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

using lapack::Real;

// How much work the routines that follow one another take at most: `query(w)` asks each of them.
template <class T, class Query>
lapack::Work<T> MostWork(Arena& arena, const Query& query) {
  T size = 0;
  lapack::Work<T> w{&size};
  int most = 1;
  query(w, [&] { most = std::max(most, static_cast<int>(std::real(size))); });
  w.size = most;
  w.work = arena.Take<T>(most);
  return w;
}

// --- QR -----------------------------------------------------------------------------------------

struct Qr {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), columns = m.columns(0), k = std::min(rows, columns);
    const std::string& mode = m.attrs.Get<std::string>("mode");
    const int width = mode == "complete" ? rows : mode == "r" ? 0 : k;
    const int height = mode == "complete" ? rows : k;
    T* a = arena.Take<T>(int64_t{rows} * std::max(columns, width));
    T* tau = arena.Take<T>(k);
    const lapack::Work<T> w = MostWork<T>(arena, [&](const lapack::Work<T>& ask, const auto& note) {
      lapack::Geqrf(rows, columns, a, tau, ask);
      note();
      lapack::Orgqr(rows, width, std::min(k, width), a, tau, ask);
      note();
    });
    if (arena.counting()) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), rows, columns, a);
    if (k > 0) lapack::Geqrf(rows, columns, a, tau, w);
    T* r = m.Out<T>(1, i, 2);
    for (int64_t row = 0; row < height; ++row)
      for (int64_t c = 0; c < columns; ++c)
        r[row * columns + c] = row <= c ? a[c * rows + row] : T(0);
    if (width == 0) return Status::Ok();
    lapack::Orgqr(rows, width, std::min(k, width), a, tau, w);
    FromColumns(a, rows, width, m.Out<T>(0, i, 2), rows);
    return Status::Ok();
  }
};

Status InferQr(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  const std::string& mode = c.attr<std::string>("mode");
  OFL_ENSURE(mode == "reduced" || mode == "complete" || mode == "r", Code::kInvalidArgument)
      << "no such mode: got " << Quoted(mode) << "; expected 'reduced', 'complete' or 'r'";
  const Shape& a = c.input(0).shape;
  const int64_t m = RowsOf(a), n = ColumnsOf(a), k = std::min(m, n);
  const bool complete = mode == "complete";
  c.AddOutput({c.input(0).dtype, mode == "r" ? Shape{0} : BatchWith(a, {m, complete ? m : k})});
  c.AddOutput({c.input(0).dtype, BatchWith(a, {complete ? m : k, n})});
  return Status::Ok();
}

std::string QrRule(std::span<const Shape>, std::span<const Shape>, const Attrs& attrs) {
  if (attrs.Get<std::string>("mode") != "r") return "(... ! !)->(... ! !),(... ! !); never partial";
  return "(... ! !)->(!),(... ! !); never partial";
}

// Of A = Q R with at least as many rows as columns.
op::Value GradTall(op::Builder& b, const op::Value& q, const op::Value& r, const op::Value& gq,
                   const op::Value& gr) {
  op::Value m = gr == nullptr ? nullptr : MatMul(b, gr, Adjoint(b, r));
  if (gq != nullptr) {
    const op::Value turned = MatMul(b, Adjoint(b, q), gq);
    m = m == nullptr ? Negative(b, turned) : Sub(b, m, turned);
  }
  // The upper triangle, mirrored; a diagonal of R is real.
  const op::Value upper = Triu(b, m);
  const op::Value strict = Triu(b, m, 1);
  const op::Value mirrored = Add(b, strict, Adjoint(b, strict));
  op::Value diagonal = DiagonalOf(b, upper);
  if (diagonal == nullptr) return nullptr;
  if (IsComplex(diagonal->meta().dtype))
    diagonal = CastTo(b, Of(b, "real", diagonal), diagonal->meta().dtype);
  op::Value grad = MatMul(b, q, Add(b, mirrored, DiagonalMatrix(b, diagonal)));
  grad = Plus(b, gq, grad);
  return SolveTriangular(b, Adjoint(b, r), grad, false, false);
}

void GradQr(op::GradContext& c) {
  op::Builder& b = c.b;
  const Shape& a = c.inputs[0]->meta().shape;
  const int64_t m = RowsOf(a), n = ColumnsOf(a);
  const std::string& mode = c.attrs.Get<std::string>("mode");
  if (mode == "r" || (mode == "complete" && m > n)) {
    b.Fail(Error(Code::kUnimplemented)
           << "[linalg.qr] QR has no derivative by A where Q is not that of mode='reduced': got "
           << "mode='" << mode << "' of " << c.inputs[0]->meta().ToString()
           << "; expected mode='reduced'");
    return;
  }
  const op::Value &q = c.outputs[0], &r = c.outputs[1], &gq = c.grads[0], &gr = c.grads[1];
  if (m >= n) return c.Set(0, GradTall(b, q, r, gq, gr));
  // The columns beside the square ones: R2 = Q^H A2.
  const op::Value left = gr ? LastPart(b, gr, 0, m) : nullptr;
  const op::Value right = gr ? LastPart(b, gr, m, n) : nullptr;
  op::Value of_q = gq;
  if (right != nullptr)
    of_q = Plus(b, of_q, MatMul(b, LastPart(b, c.inputs[0], m, n), Adjoint(b, right)));
  const op::Value square = GradTall(b, q, LastPart(b, r, 0, m), of_q, left);
  const op::Value beside =
      right != nullptr ? MatMul(b, q, right) : ZerosLike(b, LastPart(b, c.inputs[0], m, n));
  c.Set(0, b.Call("concat", {square, beside}, {{"dim", int64_t{-1}}}));
}

op::Values ComposeTorchQr(op::Builder& b, Operands in, const Attrs& attrs) {
  const std::string mode = attrs.Get<bool>("some") ? "reduced" : "complete";
  return b.CallAll("linalg_qr", {in[0]}, {{"mode", mode}});
}

struct Geqrf {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), columns = m.columns(0);
    T* a = arena.Take<T>(int64_t{rows} * columns);
    const lapack::Work<T> w = MostWork<T>(arena, [&](const lapack::Work<T>& ask, const auto& note) {
      lapack::Geqrf(rows, columns, a, a, ask);
      note();
    });
    if (arena.counting()) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), rows, columns, a);
    if (rows > 0 && columns > 0) lapack::Geqrf(rows, columns, a, m.Out<T>(1, i, 1), w);
    FromColumns(a, rows, columns, m.Out<T>(0, i, 2), rows);
    return Status::Ok();
  }
};

Status InferGeqrf(op::InferContext& c) {
  OFL_TRY(RequireMatrices(c, 0, false));
  const Shape& a = c.input(0).shape;
  c.AddOutput(c.input(0));
  c.AddOutput({c.input(0).dtype, BatchWith(a, {std::min(RowsOf(a), ColumnsOf(a))})});
  return Status::Ok();
}

// --- reflections --------------------------------------------------------------------------------

struct Reflections {
  template <class T>
  static Status One(Matrices& m, int64_t i, Arena& arena) {
    const int rows = m.rows(0), columns = m.columns(0);
    const int k = static_cast<int>(m.shape(1)[m.shape(1).rank() - 1]);
    T* a = arena.Take<T>(int64_t{rows} * columns);
    const lapack::Work<T> w = MostWork<T>(arena, [&](const lapack::Work<T>& ask, const auto& note) {
      lapack::Orgqr(rows, columns, k, a, a, ask);
      note();
    });
    if (arena.counting() || columns == 0) return Status::Ok();
    ToColumns(m.In<T>(0, i, 2), rows, columns, a);
    lapack::Orgqr(rows, columns, k, a, m.In<T>(1, i, 1), w);
    FromColumns(a, rows, columns, m.Out<T>(0, i, 2), rows);
    return Status::Ok();
  }
};

Status CheckReflections(const op::Value& a, const op::Value& tau, bool wide = false) {
  OFL_TRY(CheckMatrices(a, false));
  const Shape &v = a->meta().shape, &t = tau->meta().shape;
  const bool fits = a->meta().dtype == tau->meta().dtype && t.rank() + 1 == v.rank() &&
                    (wide || RowsOf(v) >= ColumnsOf(v)) && t[t.rank() - 1] <= ColumnsOf(v);
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "no reflections: got " << a->meta().ToString() << " and tau: " << tau->meta().ToString()
      << "; expected at least as many rows as columns, and at most a number of tau for each "
         "column, of one dtype and one batch";
  for (int i = 0; i + 1 < t.rank(); ++i)
    OFL_ENSURE(t[i] == v[i], Code::kInvalidArgument)
        << "the batches differ: got " << a->meta().ToString()
        << " and tau: " << tau->meta().ToString() << "; expected one batch shape";
  return Status::Ok();
}

// `x` of no reflections: another tensor, that depends on a and tau with slope 0.
op::Value OfNone(op::Builder& b, const op::Value& a, const op::Value& tau, const op::Value& x) {
  const op::Value nothing = b.Call("sum", {tau});
  if (nothing == nullptr) return nullptr;
  return Add(b, x, Where(b, b.Call("eq", {nothing, nothing}), nothing, b.Call("sum", {a})));
}

// x with the reflections applied from the left: H = I - tau v v^H, one after another from the last
// or, conjugated, from the first.
op::Value Reflected(op::Builder& b, const op::Value& a, const op::Value& tau, op::Value x,
                    bool adjoint) {
  const int64_t rows = RowsOf(a->meta().shape), k = tau->meta().shape[tau->meta().shape.rank() - 1];
  if (k == 0) return OfNone(b, a, tau, x);
  for (int64_t step = 0; step < k; ++step) {
    const int64_t i = adjoint ? step : k - 1 - step;
    // The column below the diagonal, with a one on it.
    const op::Value column = LastPart(b, a, i, i + 1);
    const op::Value below = RowPart(b, column, i + 1, rows);
    op::Value t = Unsqueezed(b, LastPart(b, tau, i, i + 1), -1);
    if (adjoint) t = Conj(b, t);
    const op::Value one = OnesLike(b, t);
    const op::Value v = i + 1 < rows ? b.Call("concat", {one, below}, {{"dim", int64_t{-2}}}) : one;
    const op::Value head = RowPart(b, x, 0, i), part = RowPart(b, x, i, rows);
    const op::Value along = MatMul(b, Adjoint(b, v), part);
    const op::Value turned = Sub(b, part, MatMul(b, Mul(b, t, v), along));
    x = i > 0 ? b.Call("concat", {head, turned}, {{"dim", int64_t{-2}}}) : turned;
    if (x == nullptr) return nullptr;
  }
  return x;
}

op::Values ComposeHouseholder(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckReflections(in[0], in[1]); !wrong.ok()) return Refused(b, wrong);
  const int64_t rows = RowsOf(in[0]->meta().shape), columns = ColumnsOf(in[0]->meta().shape);
  op::Value start = IdentityLike(b, RowPart(b, in[0], 0, columns));
  if (rows > columns) {
    const op::Value below = ZerosLike(b, RowPart(b, in[0], columns, rows));
    start = b.Call("concat", {start, below}, {{"dim", int64_t{-2}}});
  }
  if (start == nullptr) return {nullptr};
  return {Reflected(b, in[0], in[1], start, false)};
}

// Q other, Q^H other; other Q is the adjoint of Q^H other^H.
op::Values ComposeOrmqr(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool left = attrs.Get<bool>("left"), transpose = attrs.Get<bool>("transpose");
  const Shape &v = in[0]->meta().shape, &x = in[2]->meta().shape;
  Status wrong = CheckReflections(in[0], in[1], true);
  if (wrong.ok()) wrong = CheckMatrices(in[2], false);
  if (wrong.ok() && (in[2]->meta().dtype != in[0]->meta().dtype || !(BatchOf(v) == BatchOf(x)) ||
                     (left ? RowsOf(x) : ColumnsOf(x)) != RowsOf(v))) {
    wrong = Error(Code::kInvalidArgument)
            << "the sizes do not fit: got input: " << in[0]->meta().ToString()
            << ", other: " << in[2]->meta().ToString() << "; expected as many "
            << (left ? "rows" : "columns") << " of other as input has rows, one dtype and batch";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const int64_t count = in[1]->meta().shape[in[1]->meta().shape.rank() - 1];
  if (count != std::min(RowsOf(v), ColumnsOf(v))) {
    wrong = Error(Code::kInvalidArgument)
            << "no number of reflections: got " << count
            << " tau for input: " << in[0]->meta().ToString()
            << "; expected as many as it has rows or columns, whichever are fewer";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const op::Value given = left ? in[2] : Adjoint(b, in[2]);
  if (given == nullptr) return {nullptr};
  const op::Value made = Reflected(b, in[0], in[1], given, left == transpose);
  return {left ? made : Adjoint(b, made)};
}

std::vector<op::Sample> QrSamples(const std::vector<Attrs>& forms) {
  std::vector<op::Sample> samples;
  for (const Attrs& attrs : forms) {
    auto some = MatrixSamples(
        {{{2, 3, 2}}, {{3, 3}}, {{2, 4}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 2}}, {{0, 3, 2}}}, attrs,
        kDominant);
    samples.insert(samples.end(), some.begin(), some.end());
  }
  return samples;
}

std::vector<op::Sample> ReflectionSamples() {
  return MatrixSamples(
      {{{2, 4, 3}, {2, 3}}, {{4, 2}, {2}}, {{3, 3}, {2}}, {{1, 1}, {1}}, {{3, 0}, {0}}}, {}, "");
}

}  // namespace

OFL_OP(linalg_qr) {
  op.Doc(
        "A = Q R with orthonormal columns of Q and an upper triangular R: `reduced` to min(m, n)\n"
        "columns, `complete`, or `r` alone, with an empty Q.")
      .In("A")
      .Out("Q")
      .Out("R")
      .Attr("mode", op::AttrType::kString, std::string("reduced"))
      .Infer(InferQr)
      .Sbp(QrRule)
      .Grad(GradQr)
      .Oracle("qr(A, mode)")
      .Py("linalg.qr(A, mode='reduced')")
      .Samples([] {
        auto samples = QrSamples({{}});
        samples.push_back(
            {{{DType::kFloat32, {2, 4}}}, {{"mode", std::string("complete")}}, -1, 1, kDominant});
        return samples;
      })
      .ErrorSamples([] {
        auto errors = MatrixErrors(false);
        errors.push_back({{{DType::kFloat32, {2, 2}}},
                          {{"mode", std::string("x")}},
                          Code::kInvalidArgument,
                          "'reduced', 'complete' or 'r'"});
        return errors;
      }());
  LapackKernels<Qr>(op);
}

OFL_OP(qr) {
  op.Doc("A = Q R with orthonormal columns of Q and an upper triangular R.")
      .In("input")
      .Out("Q")
      .Out("R")
      .Attr("some", op::AttrType::kBool, true)
      .Compose(ComposeTorchQr)
      .Oracle("qr(input, 'reduced' if some else 'complete')")
      .PyBoth("qr(input, some=True)")
      .Samples([] { return QrSamples({{}}); })
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(geqrf) {
  op.Doc("R, and below it the vectors of the reflections that make Q, and their factors tau.")
      .In("input")
      .Out("a")
      .Out("tau")
      .Infer(InferGeqrf)
      .Sbp("(... ! !)->(... ! !),(... !); never partial")
      .NotDifferentiable("as in PyTorch; linalg.qr is")
      .Oracle("geqrf(input)")
      .PyBoth("geqrf(input)")
      .Samples([] { return QrSamples({{}}); })
      .ErrorSamples(MatrixErrors(false));
  LapackKernels<Geqrf>(op);
}

OFL_OP(linalg_householder_product) {
  op.Doc(
        "The first columns of the product of reflections I - tau v v^H, v being a column of A "
        "below\n"
        "the diagonal with a one on it.")
      .In("A")
      .In("tau")
      .Out("output")
      .Compose(ComposeHouseholder)
      .Oracle("householder_product(A, tau)")
      .Py("linalg.householder_product(A, tau)")
      .PyBoth("orgqr(input: A, input2: tau)")
      .Samples(ReflectionSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kInvalidArgument,
                      "no reflections"}});
  LapackKernels<Reflections>(op);
}

OFL_OP(ormqr) {
  op.Doc("`other` times the product Q of reflections (see householder_product), or its adjoint.")
      .In("input")
      .In("tau")
      .In("other")
      .Out("output")
      .Attr("left", op::AttrType::kBool, true)
      .Attr("transpose", op::AttrType::kBool, false)
      .Compose(ComposeOrmqr)
      .Oracle("ormqr(input, tau, other, left, transpose)")
      .PyBoth("ormqr(input, input2: tau, input3: other, left=True, transpose=False)")
      .Samples([] {
        auto samples =
            MatrixSamples({{{2, 4, 3}, {2, 3}, {2, 4, 2}}, {{3, 3}, {3}, {3, 1}}}, {}, "");
        for (bool transpose : {false, true}) {
          samples.push_back(
              {{{DType::kFloat32, {2, 5}}, {DType::kFloat32, {2}}, {DType::kFloat32, {2, 3}}},
               {{"transpose", transpose}},
               -1,
               1,
               ""});
          samples.push_back(
              {{{DType::kFloat32, {4, 2}}, {DType::kFloat32, {2}}, {DType::kFloat32, {3, 4}}},
               {{"left", false}, {"transpose", transpose}},
               -1,
               1,
               ""});
        }
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {3, 3}}, {DType::kFloat32, {3}}, {DType::kFloat32, {2, 2}}},
            {},
            Code::kInvalidArgument,
            "the sizes do not fit"},
           {{{DType::kFloat32, {3, 3}}, {DType::kFloat32, {}}, {DType::kFloat32, {3, 3}}},
            {},
            Code::kInvalidArgument,
            "no reflections"}});
}

}  // namespace ofl::ops
