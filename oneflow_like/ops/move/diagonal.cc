// diagonal: the elements whose places in two axes differ by a constant, as a last axis.
#include <algorithm>

#include "oneflow_like/ops/move/view_family.h"

namespace ofl::ops {
namespace {

struct Diagonal {
  static constexpr const char* kView = "diagonal";
  static constexpr const char* kEmbed = "diagonal_embed";
  static constexpr const char* kPut = "diagonal_put";

  static Result<op::ViewGeometry> Geometry(const Shape& base, const Strides& strides,
                                           const Attrs& attrs) {
    OFL_ENSURE(base.rank() > 0, Code::kOutOfRange) << "a 0-d tensor has no diagonal";
    OFL_ASSIGN(const int row, NormalizeAxis(attrs.Get<int64_t>("dim1"), base.rank()));
    OFL_ASSIGN(const int column, NormalizeAxis(attrs.Get<int64_t>("dim2"), base.rank()));
    OFL_ENSURE(row != column, Code::kInvalidArgument)
        << "a diagonal runs through two axes: dim1 and dim2 are the same; expected two axes";
    // A diagonal further away than any element is as empty as one that is near.
    const int64_t offset = std::clamp(attrs.Get<int64_t>("offset"), -kMaxElements, kMaxElements);
    const int64_t down = std::max<int64_t>(-offset, 0), right = std::max<int64_t>(offset, 0);
    const int64_t size = std::max<int64_t>(std::min(base[row] - down, base[column] - right), 0);
    op::ViewGeometry view{base, strides, 0};
    view.shape.erase(std::max(row, column));
    view.shape.erase(std::min(row, column));
    view.strides.erase(std::max(row, column));
    view.strides.erase(std::min(row, column));
    view.shape.push_back(size);
    view.strides.push_back(SaturatingAdd(strides[row], strides[column]));
    if (size > 0) view.offset = down * strides[row] + right * strides[column];
    return view;
  }
  static ViewAxes Axes(const Shape& base, const Attrs& attrs) {
    const int row = AxisAttr(attrs, "dim1", base.rank());
    const int column = AxisAttr(attrs, "dim2", base.rank());
    ViewAxes axes{"(", "("};
    for (int i = 0; i < base.rank(); ++i) {
      const bool kept = i != row && i != column;
      axes.base += kept ? "a" + std::to_string(i) + " " : std::string("! ");
      if (kept) axes.view += "a" + std::to_string(i) + " ";
    }
    axes.base += ")";
    axes.view += "!)";
    return axes;
  }
  static Attrs View(const Attrs& attrs) { return Picked(attrs, {"offset", "dim1", "dim2"}); }
};

using Family = ViewFamily<Diagonal>;

op::OpDefBuilder& WithAttrs(op::OpDefBuilder& op) {
  return op.Attr("offset", op::AttrType::kInt, int64_t{0})
      .Attr("dim1", op::AttrType::kInt, int64_t{0})
      .Attr("dim2", op::AttrType::kInt, int64_t{1});
}

op::Sample Of(Shape base, int64_t offset, int64_t dim1, int64_t dim2) {
  return {{{DType::kFloat32, base}}, {{"offset", offset}, {"dim1", dim1}, {"dim2", dim2}}};
}
std::vector<op::Sample> BaseSamples() {
  return {Of({3, 3}, 0, 0, 1),    Of({3, 5}, 2, 0, 1), Of({4, 2, 3}, -1, 0, -1),
          Of({2, 4, 3}, 1, 2, 0), Of({3, 3}, 7, 0, 1), Of({0, 3}, 0, 0, 1),
          Of({1, 1}, 0, 1, 0)};
}
Shape DiagonalShape(const op::Sample& s) {
  const Shape& base = s.inputs[0].shape;
  return Diagonal::Geometry(base, ContiguousStrides(base), s.attrs).value().shape;
}
std::vector<op::Sample> EmbedSamples() {
  std::vector<op::Sample> samples = BaseSamples();
  for (op::Sample& s : samples) {
    const Shape full = s.inputs[0].shape;
    s.inputs[0].shape = DiagonalShape(s);
    s.attrs.Set("shape", DimsOf(full));
  }
  return InEveryDType(std::move(samples));
}
std::vector<op::Sample> PutSamples() {
  std::vector<op::Sample> samples = BaseSamples();
  for (op::Sample& s : samples) s.inputs.push_back({s.inputs[0].dtype, DiagonalShape(s)});
  return InEveryDType(std::move(samples));
}

// --- matrices of diagonals ------------------------------------------------------------------

op::Values ComposeDiagEmbed(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape& from = in[0]->meta().shape;
  if (from.rank() == 0) {
    return Refused(b, Error(Code::kOutOfRange)
                          << "a 0-d tensor is no diagonal; expected at least one axis");
  }
  const auto row = NormalizeAxis(attrs.Get<int64_t>("dim1"), from.rank() + 1);
  const auto column = NormalizeAxis(attrs.Get<int64_t>("dim2"), from.rank() + 1);
  if (!row.ok() || !column.ok()) return Refused(b, row.ok() ? column.status() : row.status());
  if (*row == *column) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a diagonal runs through two axes: dim1 and dim2 are the same; "
                             "expected two axes");
  }
  const int64_t offset = attrs.Get<int64_t>("offset");
  const int64_t away = offset == INT64_MIN ? INT64_MAX : std::abs(offset);
  const int64_t side = SaturatingAdd(from[from.rank() - 1], away);
  Ints shape(from.begin(), from.end() - 1);
  shape.insert(shape.begin() + std::min(*row, *column), side);
  shape.insert(shape.begin() + std::max(*row, *column), side);
  Attrs place = attrs;
  place.Set("shape", std::move(shape));
  return {b.Call("diagonal_embed", {in[0]}, place)};
}

op::Values ComposeDiag(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  const Attrs along = {{"offset", attrs.Get<int64_t>("diagonal")}};
  if (rank == 1) return {b.Call("diag_embed", {in[0]}, along)};
  if (rank == 2) return {b.Call("identity", {b.Call("diagonal", {in[0]}, along)})};
  return Refused(b, Error(Code::kInvalidArgument)
                        << "diag takes a vector or a matrix: got " << rank
                        << " axes; expected 1 or 2; use diagonal or diag_embed");
}

op::Values ComposeDiagflat(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const op::Value flat = b.Call("reshape", {in[0]}, {{"shape", Ints{-1}}});
  return {b.Call("diag_embed", {flat}, {{"offset", attrs.Get<int64_t>("offset")}})};
}

op::Sample Diag(Shape shape, Attrs attrs = {}) {
  return {{{DType::kFloat32, shape}}, std::move(attrs)};
}

}  // namespace

OFL_OP(diagonal) {
  WithAttrs(Family::DefineView(
                op,
                "The elements of `input` at places (i, i + offset) of axes dim1 and dim2, as a "
                "last axis.",
                Family::GradView, "diagonal_scatter"))
      .Oracle("np.diagonal(input, offset, dim1, dim2)")
      .PyBoth("diagonal(input, offset=0, dim1=0, dim2=1)")
      .Py("linalg.diagonal(A: input, *, offset=0, dim1=-2, dim2=-1)",
          {{"dim1", int64_t{-2}}, {"dim2", int64_t{-1}}})
      .Samples([] { return InEveryDType(BaseSamples()); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim1", int64_t{1}}},
                      Code::kInvalidArgument,
                      "dim1 and dim2 are the same"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dim2", int64_t{2}}},
                      Code::kOutOfRange,
                      "[-2, 1], but got 2"},
                     {{{DType::kFloat32, {}}}, {}, Code::kOutOfRange, "no diagonal"}});
}

OFL_OP(diagonal_embed) {
  WithAttrs(Family::DefineEmbed(op, "Zeros of `shape` whose diagonal is `grad`."))
      .Oracle("put_diagonal(np.zeros(shape, grad.dtype), grad, offset, dim1, dim2)")
      .Py("_diagonal_embed(grad, *, shape, offset=0, dim1=0, dim2=1)")
      .Samples(EmbedSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"shape", Ints{3, 3}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

OFL_OP(diagonal_put) {
  WithAttrs(Family::DefinePut(op, "`base` whose diagonal is `value`."))
      .Oracle("put_diagonal(base, value, offset, dim1, dim2)")
      .Py("_diagonal_put(base, value, offset=0, dim1=0, dim2=1)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "one dtype"}});
}

OFL_OP(diagonal_scatter) {
  WithAttrs(Family::DefineScatter(op, "`input` with its diagonal replaced by `src`."))
      .Oracle("put_diagonal(base, value, offset, dim1, dim2)")
      .PyBoth("diagonal_scatter(input: base, src: value, offset=0, dim1=0, dim2=1)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}, {DType::kFloat32, {3}}},
                      {},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

OFL_OP(diag_embed) {
  op.Doc("Matrices of zeros whose diagonals are the last axis of `input`.")
      .In("input")
      .Out("output")
      .Attr("offset", op::AttrType::kInt, int64_t{0})
      .Attr("dim1", op::AttrType::kInt, int64_t{-2})
      .Attr("dim2", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeDiagEmbed)
      .Oracle("diag_embed(input, offset, dim1, dim2)")
      .PyBoth("diag_embed(input, offset=0, dim1=-2, dim2=-1)")
      .Samples([] {
        return InEveryDType(
            {Diag({3}), Diag({2, 3}, {{"offset", int64_t{1}}}),
             Diag({2, 3}, {{"offset", int64_t{-2}}, {"dim1", int64_t{0}}, {"dim2", int64_t{2}}}),
             Diag({2, 3}, {{"dim1", int64_t{2}}, {"dim2", int64_t{0}}}), Diag({2, 0})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim1", int64_t{1}}, {"dim2", int64_t{1}}},
                      Code::kInvalidArgument,
                      "dim1 and dim2 are the same"},
                     {{{DType::kFloat32, {}}}, {}, Code::kOutOfRange, "at least one axis"}});
}

OFL_OP(diag) {
  op.Doc("The matrix of zeros whose diagonal is a vector; of a matrix its diagonal, as a copy.")
      .In("input")
      .Out("output")
      .Attr("diagonal", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeDiag)
      .Oracle("np.diag(input, diagonal)")
      .PyBoth("diag(input, diagonal=0)")
      .Samples([] {
        return InEveryDType({Diag({3}, {{"diagonal", int64_t{1}}}), Diag({3, 4}),
                             Diag({3, 4}, {{"diagonal", int64_t{-1}}}), Diag({0})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2, 2}}}, {}, Code::kInvalidArgument, "1 or 2"},
                     {{{DType::kFloat32, {}}}, {}, Code::kInvalidArgument, "1 or 2"}});
}

OFL_OP(diagflat) {
  op.Doc("The matrix of zeros whose diagonal is all elements of `input`.")
      .In("input")
      .Out("output")
      .Attr("offset", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeDiagflat)
      .Oracle("np.diagflat(input, offset)")
      .PyBoth("diagflat(input, offset=0)")
      .Samples([] {
        return InEveryDType(
            {Diag({2, 2}, {{"offset", int64_t{-1}}}), Diag({3}), Diag(Shape{}), Diag({0})});
      });
}

}  // namespace ofl::ops
