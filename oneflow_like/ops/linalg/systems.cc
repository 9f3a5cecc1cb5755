// Systems of linear equations as torch's functions have them: vectors, batches that broadcast,
// factors, tensors as matrices.
#include <algorithm>

#include "oneflow_like/ops/linalg/systems.h"

namespace ofl::ops {
namespace {

// Both operands' batches broadcast; runs fn(a, b) on matrices.
template <class Fn>
op::Values OnOneBatch(op::Builder& b, const op::Value& x, const op::Value& y, const Fn& fn) {
  const auto batch = BroadcastShapes(BatchOf(x->meta().shape), BatchOf(y->meta().shape));
  if (!batch.ok()) return Refused(b, batch.status());
  const op::Value wide = Batched(b, x, *batch), other = Batched(b, y, *batch);
  if (wide == nullptr || other == nullptr) return {nullptr};
  return fn(wide, other);
}

Status CheckOperands(const op::Value& a, const op::Value& rhs, bool left) {
  OFL_TRY(CheckMatrices(a, true));
  OFL_TRY(CheckMatrices(rhs, false));
  return CheckSystem(a->meta(), rhs->meta(), left);
}

// torch takes B for vectors where it is one, or has the shape of A without its last axis.
bool IsVectors(const Shape& a, const Shape& rhs) {
  if (rhs.rank() == 1) return true;
  if (rhs.rank() + 1 != a.rank()) return false;
  for (int i = 0; i < rhs.rank(); ++i)
    if (rhs[i] != a[i]) return false;
  return true;
}

// The solution, and which pivot is zero.
op::Values Solved(op::Builder& b, Operands in, bool left, bool check) {
  const op::Values refused = {nullptr, nullptr};
  const auto refuse = [&](Status status) {
    Refused(b, std::move(status));
    return refused;
  };
  if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return refuse(wrong);
  const bool vectors = IsVectors(in[0]->meta().shape, in[1]->meta().shape);
  const op::Value rhs = vectors ? Unsqueezed(b, in[1], -1) : in[1];
  if (rhs == nullptr) return refused;
  Status wrong = CheckOperands(in[0], rhs, left);
  if (wrong.ok() && vectors && !left) {
    wrong = Error(Code::kInvalidArgument)
            << "vectors stand on the right alone: got left=False and B: "
            << in[1]->meta().ToString() << "; expected left=True, or matrices";
  }
  if (!wrong.ok()) return refuse(wrong);
  const auto batch = BroadcastShapes(BatchOf(in[0]->meta().shape), BatchOf(rhs->meta().shape));
  if (!batch.ok()) return refuse(batch.status());
  // Each matrix is factored once, whatever it solves.
  const op::Values made = b.CallAll("system_factors", {in[0]}, {{"check_errors", check}});
  if (made[0] == nullptr) return refused;
  Shape rows = *batch;
  rows.push_back(RowsOf(in[0]->meta().shape));
  const op::Value pivots = made[1]->meta().shape == rows
                               ? made[1]
                               : b.Call("broadcast_to", {made[1]}, {{"shape", DimsOf(rows)}});
  const op::Value result = b.Call(
      "factored_system",
      {Batched(b, in[0], *batch), Batched(b, made[0], *batch), pivots, Batched(b, rhs, *batch)},
      {{"left", left}});
  if (!vectors) return {result, made[2]};
  return {b.Call("squeeze", {result}, {{"dim", Ints{-1}}}), made[2]};
}

op::Values ComposeSolve(op::Builder& b, Operands in, const Attrs& attrs) {
  return {Solved(b, in, attrs.Get<bool>("left"), true)[0]};
}

op::Values ComposeSolveEx(op::Builder& b, Operands in, const Attrs& attrs) {
  return Solved(b, in, attrs.Get<bool>("left"), attrs.Get<bool>("check_errors"));
}

op::Values ComposeInv(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return Refused(b, wrong);
  return {b.CallAll("linalg_inv_ex", {in[0]}, {{"check_errors", true}})[0]};
}

op::Values ComposeSolveTriangular(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool left = attrs.Get<bool>("left");
  if (Status wrong = CheckOperands(in[0], in[1], left); !wrong.ok()) return Refused(b, wrong);
  return OnOneBatch(b, in[0], in[1], [&](const op::Value& a, const op::Value& rhs) {
    return op::Values{b.Call("triangular_system", {a, rhs}, attrs)};
  });
}

op::Values ComposeTriangularSolve(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckOperands(in[1], in[0], true); !wrong.ok()) return Refused(b, wrong);
  const bool transpose = attrs.Get<bool>("transpose"), upper = attrs.Get<bool>("upper");
  op::Values made = OnOneBatch(b, in[1], in[0], [&](const op::Value& a, const op::Value& rhs) {
    return op::Values{
        SolveTriangular(b, transpose ? Transposed(b, a) : a, rhs, transpose ? !upper : upper, true,
                        attrs.Get<bool>("unitriangular")),
        Of(b, "identity", a)};
  });
  made.resize(2);
  return made;
}

// A = L L^H, or U^H U.
op::Values ComposeCholeskySolve(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckOperands(in[1], in[0], true); !wrong.ok()) return Refused(b, wrong);
  const bool upper = attrs.Get<bool>("upper");
  return OnOneBatch(b, in[1], in[0], [&](const op::Value& l, const op::Value& rhs) {
    const op::Value lh = Adjoint(b, l);
    const op::Value half = SolveTriangular(b, upper ? lh : l, rhs, false);
    return op::Values{SolveTriangular(b, upper ? l : lh, half, true)};
  });
}

op::Values ComposeCholeskyInverse(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return Refused(b, wrong);
  const bool upper = attrs.Get<bool>("upper");
  const op::Value w = SolveTriangular(b, in[0], IdentityLike(b, in[0]), upper);
  const op::Value wh = Adjoint(b, w);
  return {upper ? MatMul(b, w, wh) : MatMul(b, wh, w)};
}

op::Values ComposeLdlSolve(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckOperands(in[0], in[2], true); !wrong.ok()) return Refused(b, wrong);
  return OnOneBatch(b, in[0], in[2], [&](const op::Value& ld, const op::Value& rhs) -> op::Values {
    Shape shape = BatchWith(ld->meta().shape, {RowsOf(ld->meta().shape)});
    op::Value pivots = in[1];
    if (!(pivots->meta().shape == shape))
      pivots = b.Call("broadcast_to", {pivots}, {{"shape", DimsOf(shape)}});
    return {b.Call("ldl_system", {ld, pivots, rhs}, attrs)};
  });
}

// --- tensors as matrices ------------------------------------------------------------------------

op::Value AsShape(op::Builder& b, const op::Value& x, const Ints& shape) {
  return b.Call("reshape", {x}, {{"shape", shape}});
}

op::Values ComposeTensorInv(op::Builder& b, Operands in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t ind = attrs.Get<int64_t>("ind");
  const int split = static_cast<int>(std::clamp<int64_t>(ind, 0, shape.rank()));
  const int64_t rows = ProductOf(shape, 0, split), columns = ProductOf(shape, split, shape.rank());
  if (ind <= 0 || rows != columns) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "no square matrix: got " << in[0]->meta().ToString() << ", ind=" << ind
                          << "; expected ind > 0, and the product of the first ind sizes equal to "
                             "that of the others");
  }
  const op::Value inverse = Of(b, "linalg_inv", AsShape(b, in[0], {rows, columns}));
  Ints out(shape.begin() + split, shape.end());
  out.insert(out.end(), shape.begin(), shape.begin() + split);
  return {AsShape(b, inverse, out)};
}

op::Values ComposeTensorSolve(op::Builder& b, Operands in, const Attrs& attrs) {
  op::Value a = in[0];
  const Shape& rhs = in[1]->meta().shape;
  const int rank = a->meta().shape.rank();
  if (const Ints* dims = attrs.Maybe<Ints>("dims")) {
    Ints last;
    for (int64_t dim : *dims) {
      const auto axis = NormalizeAxis(dim, rank);
      if (!axis.ok()) return Refused(b, axis.status());
      last.push_back(*axis);
    }
    Ints order;
    for (int64_t i = 0; i < rank; ++i)
      if (std::ranges::count(last, i) == 0) order.push_back(i);
    order.insert(order.end(), last.begin(), last.end());
    a = b.Call("permute", {a}, {{"dims", order}});
    if (a == nullptr) return {nullptr};
  }
  const Shape shape = a->meta().shape;
  const int64_t n = rhs.numel();
  if (rhs.rank() > rank || ProductOf(shape, 0, rhs.rank()) != n ||
      ProductOf(shape, rhs.rank(), rank) != n) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "no square system: got A: " << in[0]->meta().ToString()
                          << ", B: " << in[1]->meta().ToString()
                          << "; expected the sizes of B's axes in A, and others with the same "
                             "product");
  }
  const op::Value solved = b.Call("linalg_solve", {AsShape(b, a, {n, n}), AsShape(b, in[1], {n})});
  return {AsShape(b, solved, Ints(shape.begin() + rhs.rank(), shape.end()))};
}

std::vector<op::Sample> Swapped(std::vector<op::Sample> samples) {
  for (op::Sample& s : samples) std::swap(s.inputs[0], s.inputs[1]);
  return samples;
}
std::vector<op::ErrorSample> Swapped(std::vector<op::ErrorSample> samples) {
  for (op::ErrorSample& s : samples) std::swap(s.inputs[0], s.inputs[1]);
  return samples;
}

}  // namespace

OFL_OP(linalg_solve) {
  System(
      op,
      "X of A X = B (not `left`: X A = B); singular matrices are refused. B may be a vector, or\n"
      "vectors where it has the shape of A without its last axis.")
      .Out("result")
      .Compose(ComposeSolve)
      .Oracle("solve(A, B, left)")
      .Py("linalg.solve(A, B, *, left=True)")
      .Samples([] {
        auto samples = SystemSamples({}, kDominant, true);
        for (const auto& [a, rhs] : {std::pair<Shape, Shape>{{3, 3}, {3}}, {{2, 3, 3}, {2, 3}}})
          samples.push_back({{{DType::kFloat32, a}, {DType::kFloat32, rhs}}, {}, -1, 1, kDominant});
        samples.push_back({{{DType::kFloat32, {3, 3}}, {DType::kFloat32, {2, 3}}},
                           {{"left", false}},
                           -1,
                           1,
                           kDominant});
        return samples;
      })
      .ErrorSamples(SystemErrors());
}

OFL_OP(linalg_solve_ex) {
  Flag(System(op, "X of A X = B (not `left`: X A = B), and which pivot of A is zero, else 0.")
           .Out("result")
           .Out("info"),
       "check_errors")
      .Compose(ComposeSolveEx)
      .Oracle("(solve(A, B, left), np.zeros(A.shape[:-2], np.int32))")
      .Py("linalg.solve_ex(A, B, *, left=True, check_errors=False)")
      .Samples([] { return SystemSamples({}, kDominant, false); })
      .ErrorSamples(SystemErrors());
}

OFL_OP(linalg_inv) {
  op.Doc("The inverses of square matrices; singular ones are refused.")
      .In("A")
      .Out("output")
      .Compose(ComposeInv)
      .Oracle("np.linalg.inv(A)")
      .Py("linalg.inv(A)")
      .PyBoth("inverse(input: A)")
      .Samples([] { return MatrixSamples({{{2, 3, 3}}, {{3, 3}}, {{0, 0}}}, {}, kDominant); })
      .ErrorSamples(MatrixErrors(true));
}

OFL_OP(linalg_solve_triangular) {
  Flag(System(op, "X of A X = B (not `left`: X A = B), of which one triangle of A is read.")
           .Out("output")
           .Attr("upper", op::AttrType::kBool),
       "unitriangular")
      .Compose(ComposeSolveTriangular)
      .Oracle("solve_triangular(A, B, upper, left, unitriangular)")
      .Py("linalg.solve_triangular(A, B, *, upper, left=True, unitriangular=False)")
      .Samples([] { return SystemSamples({{"upper", true}}, kDominant, true); })
      .ErrorSamples(SystemErrors({{"upper", true}}));
}

OFL_OP(triangular_solve) {
  Flag(Flag(op.Doc("X of A X = b, or with `transpose` of A^T X = b, of which one triangle of A is "
                   "read; and A.")
                .In("b")
                .In("A")
                .Out("solution")
                .Out("cloned_coefficient")
                .Attr("upper", op::AttrType::kBool, true),
            "transpose"),
       "unitriangular")
      .Compose(ComposeTriangularSolve)
      .Oracle(
          "(solve_triangular(np.swapaxes(A, -1, -2) if transpose else A, b, upper != transpose, "
          "True, unitriangular), np.broadcast_to(A, (*np.broadcast_shapes(A.shape[:-2], "
          "b.shape[:-2]), *A.shape[-2:])))")
      .PyBoth("triangular_solve(input: b, A, upper=True, transpose=False, unitriangular=False)")
      .Samples([] {
        auto samples = Swapped(SystemSamples({}, kDominant, true));
        samples.push_back(samples[0]);
        samples.back().attrs = {{"transpose", true}};
        return samples;
      })
      .ErrorSamples(Swapped(SystemErrors()));
}

OFL_OP(cholesky_solve) {
  Flag(op.Doc("X of A X = B by the Cholesky factor L of A (`upper`: U).").In("B").In("L").Out("X"),
       "upper")
      .Compose(ComposeCholeskySolve)
      .Oracle("cholesky_solve(B, L, upper)")
      .PyBoth("cholesky_solve(input: B, input2: L, upper=False)")
      .Samples([] {
        auto samples = Swapped(SystemSamples({}, kDominant, true));
        samples.push_back(samples[0]);
        samples.back().attrs = {{"upper", true}};
        return samples;
      })
      .ErrorSamples(Swapped(SystemErrors()));
}

OFL_OP(cholesky_inverse) {
  Flag(op.Doc("The inverse of A by its Cholesky factor L (`upper`: U).").In("L").Out("output"),
       "upper")
      .Compose(ComposeCholeskyInverse)
      .Oracle("cholesky_solve(np.broadcast_to(np.eye(L.shape[-1]), L.shape), L, upper)")
      .PyBoth("cholesky_inverse(input: L, upper=False)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 3}}, {{3, 3}}, {{0, 0}}}, {}, kDominant);
        samples.push_back(samples[0]);
        samples.back().attrs = {{"upper", true}};
        return samples;
      })
      .ErrorSamples(MatrixErrors(true));
}

OFL_OP(linalg_ldl_solve) {
  Flag(op.Doc("X of A X = B, A as ldl_factor has factored it.")
           .In("LD")
           .In("pivots")
           .In("B")
           .Out("output"),
       "hermitian")
      .Compose(ComposeLdlSolve)
      .Oracle("ldl_solve(LD, B, hermitian)")
      .Py("linalg.ldl_solve(LD, pivots, B, *, hermitian=False)")
      .Samples([] {
        return std::vector<op::Sample>{
            {{{DType::kFloat32, {1, 1}}, {DType::kInt32, {1}}, {DType::kFloat32, {2, 1, 3}}},
             {},
             1,
             2,
             kHermitian}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}, {DType::kInt32, {2}}, {DType::kFloat32, {3, 1}}},
                      {},
                      Code::kInvalidArgument,
                      "the sizes do not fit"}});
}

OFL_OP(linalg_tensorinv) {
  op.Doc("The inverse of a tensor as a map from its last axes to its first `ind`.")
      .In("A")
      .Out("output")
      .Attr("ind", op::AttrType::kInt, int64_t{2})
      .Compose(ComposeTensorInv)
      .Oracle("np.linalg.tensorinv(A, ind)")
      .Py("linalg.tensorinv(A, ind=2)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 6}}}, {}, kRegular, -3, 3);
        samples.push_back({{{DType::kFloat32, {4, 2, 2}}}, {{"ind", int64_t{1}}}, -3, 3, kRegular});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3, 4}}}, {}, Code::kInvalidArgument, "no square matrix"}});
}

OFL_OP(linalg_tensorsolve) {
  op.Doc("X of tensordot(A, X, X.ndim) = B; the axes `dims` of A are moved to its end first.")
      .In("A")
      .In("B")
      .Out("output")
      .OptionalAttr("dims", op::AttrType::kInts)
      .Compose(ComposeTensorSolve)
      .Oracle("np.linalg.tensorsolve(A, B, dims)")
      .Py("linalg.tensorsolve(A, B, dims=None)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 6}, {2, 3}}, {{6, 2, 3}, {6}}}, {}, kRegular, -3, 3);
        samples.push_back({{{DType::kFloat32, {2, 6, 3}}, {DType::kFloat32, {2, 3}}},
                           {{"dims", Ints{1}}},
                           -3,
                           3,
                           kRegular});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4}}, {DType::kFloat32, {2, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "no square system"}});
}

}  // namespace ofl::ops
