// LU and LDL factors as torch's functions give them, and systems solved by them.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

op::Values Nothing(op::Builder& b, Status status, size_t results) {
  Refused(b, std::move(status));
  return op::Values(results);
}

op::Values ComposeLuFactor(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMatrices(in[0], false); !wrong.ok()) return Nothing(b, wrong, 2);
  op::Values made = b.CallAll("linalg_lu_factor_ex", {in[0]},
                              {{"pivot", attrs.Get<bool>("pivot")}, {"check_errors", true}});
  made.resize(2);
  return made;
}

// torch.lu: with info as a third result where it is asked for.
op::Values ComposeTorchLu(op::Builder& b, Operands in, const Attrs& attrs) {
  const bool infos = attrs.Get<bool>("get_infos");
  if (Status wrong = CheckMatrices(in[0], false); !wrong.ok())
    return Nothing(b, wrong, infos ? 3 : 2);
  op::Values made = b.CallAll("linalg_lu_factor_ex", {in[0]},
                              {{"pivot", attrs.Get<bool>("pivot")}, {"check_errors", !infos}});
  if (!infos) made.resize(2);
  return made;
}

op::Values ComposeLdlFactor(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMatrices(in[0], true); !wrong.ok()) return Nothing(b, wrong, 2);
  op::Values made =
      b.CallAll("linalg_ldl_factor_ex", {in[0]},
                {{"hermitian", attrs.Get<bool>("hermitian")}, {"check_errors", true}});
  made.resize(2);
  return made;
}

// --- factors apart ------------------------------------------------------------------------------

Status CheckFactors(const op::Value& lu, const op::Value& pivots, bool square) {
  OFL_TRY(CheckMatrices(lu, square));
  const Shape& a = lu->meta().shape;
  OFL_ENSURE(pivots->meta().dtype == DType::kInt32 &&
                 pivots->meta().shape == BatchWith(a, {std::min(RowsOf(a), ColumnsOf(a))}),
             Code::kInvalidArgument)
      << "the pivots do not fit: got LU: " << lu->meta().ToString()
      << ", pivots: " << pivots->meta().ToString() << "; expected int32, those of lu_factor";
  return Status::Ok();
}

struct Factors {
  op::Value l, u;
};
Factors Apart(op::Builder& b, const op::Value& lu) {
  const int64_t m = RowsOf(lu->meta().shape), n = ColumnsOf(lu->meta().shape), k = std::min(m, n);
  op::Value ones = IdentityLike(b, LastPart(b, RowPart(b, lu, 0, k), 0, k));
  if (m > k) {
    const op::Value below = ZerosLike(b, LastPart(b, RowPart(b, lu, k, m), 0, k));
    ones = b.Call("concat", {ones, below}, {{"dim", int64_t{-2}}});
  }
  return {Add(b, Tril(b, LastPart(b, lu, 0, k), -1), ones), Triu(b, RowPart(b, lu, 0, k))};
}

// P of A = P L U, whose row r has its one where row r of A went.
op::Value PermutationMatrix(op::Builder& b, const op::Value& pivots, int64_t rows, DType dtype) {
  const op::Value order = b.Call("lu_permutation", {pivots}, {{"rows", rows}, {"inverse", true}});
  return CastTo(b, b.Call("one_hot", {order}, {{"num_classes", rows}}), dtype);
}

op::Value Empty(op::Builder& b, const op::Value& like) {
  const op::Value flat = b.Call("reshape", {like}, {{"shape", Ints{-1}}});
  return ZerosLike(b, b.Call("narrow", {flat},
                             {{"dim", int64_t{0}}, {"start", int64_t{0}}, {"length", int64_t{0}}}));
}

op::Values ComposeUnpack(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckFactors(in[0], in[1], false); !wrong.ok()) return Nothing(b, wrong, 3);
  const bool data = attrs.Get<bool>("unpack_data"), pivots = attrs.Get<bool>("unpack_pivots");
  const TensorMeta& lu = in[0]->meta();
  const op::Value none = data && pivots ? nullptr : Empty(b, in[0]);
  const Factors factors = data ? Apart(b, in[0]) : Factors{none, none};
  return {pivots ? PermutationMatrix(b, in[1], RowsOf(lu.shape), lu.dtype) : none, factors.l,
          factors.u};
}

op::Values ComposeLu(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckMatrices(in[0], false); !wrong.ok()) return Nothing(b, wrong, 3);
  const op::Values made =
      b.CallAll("linalg_lu_factor_ex", {in[0]}, {{"pivot", attrs.Get<bool>("pivot")}});
  if (made[0] == nullptr) return op::Values(3);
  return b.CallAll("lu_unpack", {made[0], made[1]});
}

// --- systems ------------------------------------------------------------------------------------

// The rows of x in an order (batch, rows).
op::Value Reordered(op::Builder& b, const op::Value& x, const op::Value& pivots, bool inverse) {
  if (x == nullptr) return nullptr;
  const Shape& shape = x->meta().shape;
  const op::Value order =
      b.Call("lu_permutation", {pivots}, {{"rows", RowsOf(shape)}, {"inverse", inverse}});
  const op::Value places =
      b.Call("broadcast_to", {Unsqueezed(b, order, -1)}, {{"shape", DimsOf(shape)}});
  return b.Call("gather", {x, places}, {{"dim", int64_t{shape.rank() - 2}}});
}

// A X = B with A = P L U, or of its adjoint: U^H L^H P^T X = B.
op::Value SolvedBy(op::Builder& b, const op::Value& lu, const op::Value& pivots,
                   const op::Value& rhs, bool adjoint) {
  if (!adjoint) {
    const op::Value y = SolveTriangular(b, lu, Reordered(b, rhs, pivots, false), false, true, true);
    return SolveTriangular(b, lu, y, true);
  }
  const op::Value turned = Adjoint(b, lu);
  const op::Value y = SolveTriangular(b, turned, rhs, false);
  return Reordered(b, SolveTriangular(b, turned, y, true, true, true), pivots, true);
}

op::Values SolvedByFactors(op::Builder& b, const op::Value& lu, const op::Value& pivots,
                           const op::Value& rhs, bool left, bool adjoint) {
  Status wrong = CheckFactors(lu, pivots, true);
  if (wrong.ok()) wrong = CheckMatrices(rhs, false);
  const Shape &a = lu->meta().shape, &x = rhs->meta().shape;
  if (wrong.ok() &&
      (lu->meta().dtype != rhs->meta().dtype || (left ? RowsOf(x) : ColumnsOf(x)) != RowsOf(a))) {
    wrong = Error(Code::kInvalidArgument)
            << "the sizes do not fit: got LU: " << lu->meta().ToString()
            << ", B: " << rhs->meta().ToString() << "; expected as many "
            << (left ? "rows" : "columns") << " of B as LU has, and one dtype";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const auto batch = BroadcastShapes(BatchOf(a), BatchOf(x));
  if (!batch.ok()) return Refused(b, batch.status());
  const op::Value wide = Batched(b, lu, *batch), given = Batched(b, rhs, *batch);
  op::Value swaps = pivots;
  if (!(BatchOf(a) == *batch)) {
    Shape shape = *batch;
    shape.push_back(RowsOf(a));
    swaps = b.Call("broadcast_to", {pivots}, {{"shape", DimsOf(shape)}});
  }
  if (wide == nullptr || given == nullptr || swaps == nullptr) return {nullptr};
  // X A = B is A^H X^H = B^H.
  if (left) return {SolvedBy(b, wide, swaps, given, adjoint)};
  return {Adjoint(b, SolvedBy(b, wide, swaps, Adjoint(b, given), !adjoint))};
}

op::Values ComposeLuSolve(op::Builder& b, Operands in, const Attrs& attrs) {
  return SolvedByFactors(b, in[0], in[1], in[2], attrs.Get<bool>("left"),
                         attrs.Get<bool>("adjoint"));
}
op::Values ComposeTorchLuSolve(op::Builder& b, Operands in, const Attrs&) {
  return SolvedByFactors(b, in[1], in[2], in[0], true, false);
}

// --- samples ------------------------------------------------------------------------------------

std::vector<op::Sample> FactorSamples() {
  return MatrixSamples({{{2, 3, 3}}, {{4, 2}}, {{2, 4}}, {{3, 3}}, {{3, 2, 2, 2}}, {{0, 0}}}, {},
                       kDominant);
}

// Pivots that exchange a row with itself or a later one: of matrices of one and two rows.
std::vector<op::Sample> PackedSamples(bool rhs, bool rhs_first) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape a, Shape x) {
    std::vector<TensorMeta> inputs = {
        {d, a}, {DType::kInt32, BatchWith(a, {std::min(RowsOf(a), ColumnsOf(a))})}};
    if (rhs) inputs.insert(rhs_first ? inputs.begin() : inputs.end(), {d, x});
    samples.push_back({std::move(inputs), {}, 1, 3, kDominant});
  };
  for (DType d : ListOf(kLapack)) add(d, {2, 2}, {2, 3});
  add(DType::kFloat32, {2, 2, 2}, {2, 2, 3});
  if (!rhs) add(DType::kFloat32, {3, 2}, {});
  return samples;
}

op::ErrorSample WrongPivots(bool rhs, bool rhs_first) {
  std::vector<TensorMeta> inputs = {{DType::kFloat32, {2, 2}}, {DType::kInt32, {3}}};
  if (rhs) inputs.insert(rhs_first ? inputs.begin() : inputs.end(), {DType::kFloat32, {2, 1}});
  return {std::move(inputs), {}, Code::kInvalidArgument, "the pivots do not fit"};
}

op::OpDefBuilder& Pivot(op::OpDefBuilder& op) {
  return op.Attr("pivot", op::AttrType::kBool, true);
}

}  // namespace

OFL_OP(linalg_lu_factor) {
  Pivot(op.Doc("L, without its ones, and U of A = P L U in one matrix, and the rows that were "
               "exchanged,\ncounted from 1. A zero on the diagonal of U is refused.")
            .In("A")
            .Out("LU")
            .Out("pivots"))
      .Compose(ComposeLuFactor)
      .Oracle("lu_factor(A)[:2]")
      .Py("linalg.lu_factor(A, *, pivot=True)")
      .Samples(FactorSamples)
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(lu) {
  Pivot(op.Doc("LU and pivots as linalg.lu_factor gives them, and with `get_infos` which diagonal "
               "element of U\nis zero, else 0.")
            .In("A")
            .OutVariadic("outputs"))
      .Attr("get_infos", op::AttrType::kBool, false)
      .Compose(ComposeTorchLu)
      .Oracle("lu_factor(A)[:3 if get_infos else 2]")
      .PyMethod("lu(A, pivot=True, get_infos=False)")
      .Py("_lu(A, pivot=True, get_infos=False)")
      .Samples([] {
        auto samples = FactorSamples();
        samples.push_back(samples[0]);
        samples.back().attrs = {{"get_infos", true}};
        return samples;
      })
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(linalg_ldl_factor) {
  op.Doc(
        "L D L^T (`hermitian`: L D L^H) of symmetric matrices, as LAPACK packs it, and its pivots.")
      .In("A")
      .Out("LD")
      .Out("pivots")
      .Attr("hermitian", op::AttrType::kBool, false)
      .Compose(ComposeLdlFactor)
      .Oracle("ldl_factor(A, hermitian)[:2]")
      .Py("linalg.ldl_factor(A, *, hermitian=False)")
      .Samples([] {
        return MatrixSamples({{{2, 3, 3}}, {{3, 3}}, {{0, 0}}}, {{"hermitian", true}}, kHermitian);
      })
      .ErrorSamples(MatrixErrors(true));
}

OFL_OP(lu_unpack) {
  op.Doc(
        "P, L and U of A = P L U, of its factors in one matrix and its pivots; what is not asked "
        "for is\nempty.")
      .In("LU_data")
      .In("LU_pivots")
      .Out("P")
      .Out("L")
      .Out("U")
      .Attr("unpack_data", op::AttrType::kBool, true)
      .Attr("unpack_pivots", op::AttrType::kBool, true)
      .Compose(ComposeUnpack)
      .Oracle("lu_unpack(LU_data, LU_pivots, unpack_data, unpack_pivots)")
      .Py("lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True)")
      .Public()
      .Samples([] {
        auto samples = PackedSamples(false, false);
        for (const char* name : {"unpack_data", "unpack_pivots"}) {
          samples.push_back(samples[0]);
          samples.back().attrs = {{name, false}};
        }
        return samples;
      })
      .ErrorSamples({WrongPivots(false, false)});
}

OFL_OP(linalg_lu) {
  Pivot(op.Doc("P, L and U of A = P L U.").In("A").Out("P").Out("L").Out("U"))
      .Compose(ComposeLu)
      .Oracle("lu_unpack(*lu_factor(A)[:2], True, True)")
      .Py("linalg.lu(A, *, pivot=True)")
      .Samples(FactorSamples)
      .ErrorSamples(MatrixErrors(false));
}

OFL_OP(linalg_lu_solve) {
  op.Doc("X of A X = B (not `left`: X A = B), by the factors of A; `adjoint`: of the adjoint of A.")
      .In("LU")
      .In("pivots")
      .In("B")
      .Out("output")
      .Attr("left", op::AttrType::kBool, true)
      .Attr("adjoint", op::AttrType::kBool, false)
      .Compose(ComposeLuSolve)
      .Oracle("lu_solve(LU, pivots, B, left, adjoint)")
      .Py("linalg.lu_solve(LU, pivots, B, *, left=True, adjoint=False)")
      .Samples([] {
        auto samples = PackedSamples(true, false);
        samples.push_back(samples[0]);
        samples.back().attrs = {{"adjoint", true}};
        for (bool adjoint : {false, true}) {
          samples.push_back(samples[0]);
          samples.back().inputs[2].shape = {3, 2};
          samples.back().attrs = {{"left", false}, {"adjoint", adjoint}};
        }
        return samples;
      })
      .ErrorSamples({WrongPivots(true, false)});
}

OFL_OP(lu_solve) {
  op.Doc("X of A X = B, by the factors of A.")
      .In("B")
      .In("LU_data")
      .In("LU_pivots")
      .Out("output")
      .Compose(ComposeTorchLuSolve)
      .Oracle("lu_solve(LU_data, LU_pivots, B, True, False)")
      .PyBoth("lu_solve(input: B, LU_data, LU_pivots)")
      .Samples([] { return PackedSamples(true, true); })
      .ErrorSamples({WrongPivots(true, true)});
}

}  // namespace ofl::ops
