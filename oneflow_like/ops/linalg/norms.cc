// Norms of vectors and matrices as torch.linalg has them, and condition numbers.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/linalg/matrices.h"
#include "oneflow_like/ops/reduce/norm.h"

namespace ofl::ops {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Status CheckFloating(const op::Value& x) {
  OFL_ENSURE(Contains(kFloats | kComplexes, x->meta().dtype), Code::kTypeMismatch)
      << "a norm of " << DTypeName(x->meta().dtype) << ": got " << x->meta().ToString()
      << "; expected a floating or complex dtype; convert with .to(flow.float32)";
  return Status::Ok();
}

// dtype= may only widen, and keeps real numbers real.
Status CheckAsked(const op::Value& x, const Attrs& attrs) {
  OFL_TRY(CheckFloating(x));
  const DType* asked = attrs.Maybe<DType>("dtype");
  if (asked == nullptr) return Status::Ok();
  const DType dtype = x->meta().dtype;
  OFL_ENSURE(Contains(kFloats | kComplexes, *asked) && IsComplex(*asked) == IsComplex(dtype) &&
                 DTypeSize(*asked) >= DTypeSize(dtype),
             Code::kTypeMismatch)
      << "no dtype for this norm: got dtype=" << DTypeName(*asked) << " for "
      << x->meta().ToString() << "; expected one that holds the operand, real if it is";
  return Status::Ok();
}

Result<Ints> AxesOf(const Ints& dims, int rank) {
  Ints axes;
  for (int64_t dim : dims) {
    OFL_ASSIGN(const int axis, NormalizeAxis(dim, rank));
    OFL_ENSURE(std::ranges::count(axes, axis) == 0, Code::kInvalidArgument)
        << "an axis stands twice in dim: got axis " << axis << "; expected each once";
    axes.push_back(axis);
  }
  return axes;
}

// --- vectors ------------------------------------------------------------------------------------

op::Value NormOfVectors(op::Builder& b, const op::Value& given, double ord, const Ints& dims,
                        bool keepdim, const Attrs& attrs) {
  Status wrong = CheckAsked(given, attrs);
  const Shape& shape = given->meta().shape;
  const auto axes = AxesOf(dims, shape.rank());
  if (wrong.ok() && !axes.ok()) wrong = axes.status();
  if (wrong.ok()) {
    const auto is_empty = [&](int64_t axis) {
      return shape.rank() > 0 && shape[static_cast<int>(axis)] == 0;
    };
    const bool none = dims.empty() ? shape.numel() == 0 : std::ranges::any_of(*axes, is_empty);
    if (none && (ord < 0 || std::isinf(ord))) {
      wrong = Error(Code::kInvalidArgument)
              << "the norm of order " << ord << " of no elements: got " << given->meta().ToString()
              << "; expected some";
    }
  }
  if (!wrong.ok()) return Refused(b, wrong)[0];
  return VectorNorm(b, InDType(b, given, attrs), ord, {{"dim", dims}, {"keepdim", keepdim}});
}

Ints DimsGiven(const Attrs& attrs) {
  const Ints* dims = attrs.Maybe<Ints>("dim");
  return dims == nullptr ? Ints{} : *dims;
}

Status CheckOrder(const Scalar& ord) {
  OFL_ENSURE(ord.category() != DTypeCategory::kComplex, Code::kTypeMismatch)
      << "the order of a norm is complex: got " << AttrToString(ord) << "; expected a real number";
  return Status::Ok();
}

op::Values ComposeVectorNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const Scalar ord = attrs.Number("ord");
  if (Status wrong = CheckOrder(ord); !wrong.ok()) return Refused(b, wrong);
  return {NormOfVectors(b, in[0], ord.As<double>(), DimsGiven(attrs), attrs.Get<bool>("keepdim"),
                        attrs)};
}

// --- matrices -----------------------------------------------------------------------------------

// What a matrix norm is: one that has a name, or the order `p`.
struct Order {
  enum Kind { kNumber, kFrobenius, kNuclear } kind = kNumber;
  double p = 0;
};

Result<Order> OrderNamed(const std::string& name) {
  if (name == "fro") return Order{Order::kFrobenius};
  if (name == "nuc") return Order{Order::kNuclear};
  return Error(Code::kInvalidArgument) << "no such norm: got ord=" << Quoted(name)
                                       << "; expected 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2";
}

op::Value Extreme(op::Builder& b, const op::Value& x, bool largest, int64_t axis) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  const Attrs over = {{"dim", Ints{axis}}, {"keepdim", true}};
  // The largest of no elements is 0.
  if (shape[static_cast<int>(axis)] == 0 && largest) return b.Call("sum", {x}, over);
  return b.Call(largest ? "amax" : "amin", {x}, over);
}

// With both axes at size 1.
op::Value KeptNorm(op::Builder& b, const op::Value& x, const Order& order, int64_t row,
                   int64_t column) {
  const double ord = order.p;
  if (order.kind == Order::kFrobenius)
    return VectorNorm(b, x, 2, {{"dim", Ints{row, column}}, {"keepdim", true}});
  if (order.kind == Order::kNumber && std::abs(ord) != 2) {
    const bool columns = std::abs(ord) == 1;
    const op::Value sums =
        VectorNorm(b, x, 1, {{"dim", Ints{columns ? row : column}}, {"keepdim", true}});
    return Extreme(b, sums, ord > 0, columns ? column : row);
  }
  const int rank = x->meta().shape.rank();
  const op::Value matrices = b.Call(
      "movedim", {x}, {{"source", Ints{row, column}}, {"destination", Ints{rank - 2, rank - 1}}});
  const op::Value s = Of(b, "linalg_svdvals", matrices);
  const op::Value norm = order.kind == Order::kNuclear
                             ? b.Call("sum", {s}, {{"dim", Ints{-1}}, {"keepdim", true}})
                             : Extreme(b, s, ord > 0, rank - 2);
  if (norm == nullptr) return nullptr;
  Shape shape = x->meta().shape;
  shape[static_cast<int>(row)] = shape[static_cast<int>(column)] = 1;
  return b.Call("reshape", {norm}, {{"shape", DimsOf(shape)}});
}

op::Value NormOfMatrices(op::Builder& b, const op::Value& given, const Order& order,
                         const Ints& dims, bool keepdim, const Attrs& attrs) {
  Status wrong = CheckAsked(given, attrs);
  const double ord = order.p;
  const int rank = given->meta().shape.rank();
  if (wrong.ok() && (rank < 2 || dims.size() != 2)) {
    wrong = Error(Code::kInvalidArgument) << "no matrices: got " << given->meta().ToString()
                                          << " and " << dims.size() << " axes; expected two axes";
  }
  const auto axes = AxesOf(dims, rank);
  if (wrong.ok() && !axes.ok()) wrong = axes.status();
  const bool known =
      order.kind != Order::kNumber || std::isinf(ord) || std::abs(ord) == 1 || std::abs(ord) == 2;
  if (wrong.ok() && !known) {
    wrong = Error(Code::kInvalidArgument) << "no such norm: got ord=" << ord
                                          << "; expected 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2";
  }
  if (!wrong.ok()) return Refused(b, wrong)[0];
  const op::Value x = InDType(b, given, attrs);
  if (x == nullptr) return nullptr;
  const op::Value norm = KeptNorm(b, x, order, (*axes)[0], (*axes)[1]);
  if (keepdim) return norm;
  return b.Call("squeeze", {norm}, {{"dim", *axes}});
}

op::Values ComposeMatrixNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const Scalar ord = attrs.Number("ord");
  if (Status wrong = CheckOrder(ord); !wrong.ok()) return Refused(b, wrong);
  const Order order{Order::kNumber, ord.As<double>()};
  return {
      NormOfMatrices(b, in[0], order, attrs.Get<Ints>("dim"), attrs.Get<bool>("keepdim"), attrs)};
}
op::Values ComposeNamedMatrixNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto order = OrderNamed(attrs.Get<std::string>("ord"));
  if (!order.ok()) return Refused(b, order.status());
  return {
      NormOfMatrices(b, in[0], *order, attrs.Get<Ints>("dim"), attrs.Get<bool>("keepdim"), attrs)};
}

// --- either -------------------------------------------------------------------------------------

op::Values NormOfEither(op::Builder& b, Operands in, const Order& order, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  const Ints* dims = attrs.Maybe<Ints>("dim");
  const bool keepdim = attrs.Get<bool>("keepdim");
  const size_t axes = dims ? dims->size() : static_cast<size_t>(rank);
  if (axes != 1 && axes != 2) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "neither vectors nor matrices: got " << in[0]->meta().ToString()
                          << " and " << axes << " axes; expected one or two, which dim= may name");
  }
  if (axes == 1 && order.kind == Order::kNumber)
    return {NormOfVectors(b, in[0], order.p, dims ? *dims : Ints{0}, keepdim, attrs)};
  return {NormOfMatrices(b, in[0], order,
                         dims        ? *dims
                         : axes == 2 ? Ints{0, 1}
                                     : Ints{0},
                         keepdim, attrs)};
}

op::Values ComposeNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const AttrValue* given = attrs.Find("ord");
  if (given == nullptr || std::holds_alternative<NoValue>(*given)) {
    const Ints* dims = attrs.Maybe<Ints>("dim");
    if (dims != nullptr && dims->size() != 1 && dims->size() != 2) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "neither vectors nor matrices: got " << dims->size()
                            << " axes in dim; expected one or two");
    }
    return {NormOfVectors(b, in[0], 2, DimsGiven(attrs), attrs.Get<bool>("keepdim"), attrs)};
  }
  const Scalar ord = attrs.Number("ord");
  if (Status wrong = CheckOrder(ord); !wrong.ok()) return Refused(b, wrong);
  return NormOfEither(b, in, {Order::kNumber, ord.As<double>()}, attrs);
}
op::Values ComposeNamedNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto order = OrderNamed(attrs.Get<std::string>("ord"));
  if (!order.ok()) return Refused(b, order.status());
  return NormOfEither(b, in, *order, attrs);
}

// --- condition numbers --------------------------------------------------------------------------

op::Values Condition(op::Builder& b, const op::Value& a, const Order& order) {
  const Attrs none = {{"dtype", NoValue{}}};
  if (order.kind == Order::kNumber && std::abs(order.p) == 2) {
    if (Status wrong = CheckMatrices(a, false); !wrong.ok()) return Refused(b, wrong);
    const op::Value s = Of(b, "linalg_svdvals", a);
    if (s == nullptr) return {nullptr};
    const int64_t k = s->meta().shape[s->meta().shape.rank() - 1];
    const int64_t last = s->meta().shape.rank() - 1;
    if (k == 0) return {b.Call("sum", {s}, {{"dim", Ints{last}}, {"keepdim", false}})};
    const op::Value first = LastPart(b, s, 0, 1), least = LastPart(b, s, k - 1, k);
    const op::Value ratio = order.p > 0 ? Div(b, first, least) : Div(b, least, first);
    return {b.Call("squeeze", {ratio}, {{"dim", Ints{last}}})};
  }
  if (Status wrong = CheckMatrices(a, true); !wrong.ok()) return Refused(b, wrong);
  if (RowsOf(a->meta().shape) == 0)  // 0, whatever the norm
    return {VectorNorm(b, a, 1, {{"dim", Ints{-2, -1}}, {"keepdim", false}})};
  const op::Values inverse = b.CallAll("linalg_inv_ex", {a});
  if (inverse[0] == nullptr) return {nullptr};
  const op::Value product = Mul(b, NormOfMatrices(b, a, order, {-2, -1}, false, none),
                                NormOfMatrices(b, inverse[0], order, {-2, -1}, false, none));
  const op::Value singular = Against(b, "ne", inverse[1], 0);
  const op::Value unknown = product == nullptr ? nullptr : IsNan(b, product);
  return {ReplaceWhere(b, singular, kInf, ReplaceWhere(b, unknown, kInf, product))};
}

op::Values ComposeCond(op::Builder& b, Operands in, const Attrs& attrs) {
  const AttrValue* given = attrs.Find("p");
  if (given == nullptr || std::holds_alternative<NoValue>(*given))
    return Condition(b, in[0], {Order::kNumber, 2});
  const Scalar p = attrs.Number("p");
  if (Status wrong = CheckOrder(p); !wrong.ok()) return Refused(b, wrong);
  return Condition(b, in[0], {Order::kNumber, p.As<double>()});
}
op::Values ComposeNamedCond(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto order = OrderNamed(attrs.Get<std::string>("p"));
  if (!order.ok()) return Refused(b, order.status());
  return Condition(b, in[0], *order);
}

// --- definitions --------------------------------------------------------------------------------

op::OpDefBuilder& Norm(op::OpDefBuilder& op, const char* doc, const char* operand) {
  return op.Doc(doc)
      .In(operand)
      .Out("output")
      .Attr("keepdim", op::AttrType::kBool, false)
      .OptionalAttr("dtype", op::AttrType::kDType);
}

op::Sample Of(Shape shape, Attrs attrs, DType dtype = DType::kFloat32) {
  return {{{dtype, shape}}, std::move(attrs), -4, 4, ""};
}

op::ErrorSample WholeError(Attrs attrs) {
  return {{{DType::kInt64, {2, 3}}}, std::move(attrs), Code::kTypeMismatch, "a norm of int64"};
}

std::vector<op::Sample> MatrixNormSamples(const std::vector<AttrValue>& orders) {
  std::vector<op::Sample> samples;
  for (const AttrValue& ord : orders) {
    samples.push_back(Of({2, 3}, {{"ord", ord}}));
    samples.push_back(Of({2, 4, 3}, {{"ord", ord}, {"dim", Ints{0, 1}}, {"keepdim", true}}));
    samples.push_back(Of({2, 3}, {{"ord", ord}}, DType::kComplex64));
  }
  samples.push_back(Of({2, 0, 3}, {{"ord", orders[0]}}));
  samples.push_back(Of({2, 3}, {{"ord", orders[0]}}, DType::kFloat64));
  samples.push_back(Of({2, 3, 4}, {{"ord", orders[0]}, {"dim", Ints{2, 0}}}));
  return samples;
}

}  // namespace

OFL_OP(linalg_vector_norm) {
  Norm(op, "The norm of order `ord` over the axes `dim` (none given: all).", "x")
      .Attr("ord", op::AttrType::kScalar, int64_t{2})
      .OptionalAttr("dim", op::AttrType::kInts)
      .Compose(ComposeVectorNorm)
      .Oracle("norm(x, ord, dim or [], keepdim)")
      .Py("linalg.vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats | kComplexes)) samples.push_back(Of({2, 3}, {}, d));
        for (double ord : {0.0, 0.5, 1.0, 3.0, -1.0, kInf, -kInf})
          samples.push_back(Of({5, 3}, {{"ord", ord}, {"dim", Ints{1}}}));
        samples.push_back(Of({2, 3, 4}, {{"dim", Ints{0, 2}}, {"keepdim", true}}));
        samples.push_back(Of({}, {}));
        samples.push_back(Of({0, 3}, {{"dim", Ints{0}}}));
        return samples;
      })
      .ErrorSamples(
          {WholeError({}),
           {{{DType::kFloat32, {0}}}, {{"ord", kInf}}, Code::kInvalidArgument, "of no elements"}});
}

OFL_OP(linalg_matrix_norm) {
  Norm(op, "The norm of order `ord` (1, -1, 2, -2, inf, -inf) of the matrices in two axes.", "A")
      .Attr("ord", op::AttrType::kScalar)
      .Attr("dim", op::AttrType::kInts, Ints{-2, -1})
      .Compose(ComposeMatrixNorm)
      .Oracle("matrix_norm(A, ord, dim, keepdim)")
      .Py("linalg.matrix_norm(A, ord, dim=(-2, -1), keepdim=False, *, dtype=None)")
      .Samples([] { return MatrixNormSamples({1.0, -1.0, 2.0, -2.0, kInf, -kInf}); })
      .ErrorSamples({WholeError({{"ord", int64_t{1}}}),
                     {{{DType::kFloat32, {2, 3}}},
                      {{"ord", int64_t{3}}},
                      Code::kInvalidArgument,
                      "got ord=3"}});
}

OFL_OP(matrix_norm_named) {
  Norm(op, "The Frobenius ('fro') or nuclear ('nuc') norm of the matrices in two axes.", "A")
      .Attr("ord", op::AttrType::kString, std::string("fro"))
      .Attr("dim", op::AttrType::kInts, Ints{-2, -1})
      .Compose(ComposeNamedMatrixNorm)
      .Oracle("matrix_norm(A, ord, dim, keepdim)")
      .Py("linalg.matrix_norm(A, ord='fro', dim=(-2, -1), keepdim=False, *, dtype=None)")
      .Samples([] { return MatrixNormSamples({std::string("fro"), std::string("nuc")}); })
      .ErrorSamples({WholeError({}),
                     {{{DType::kFloat32, {2, 3}}},
                      {{"ord", std::string("x")}},
                      Code::kInvalidArgument,
                      "got ord='x'"}});
}

OFL_OP(linalg_norm) {
  Norm(op,
       "The norm of vectors or matrices: of one axis or two, which `dim` names. Without `ord` the\n"
       "Euclidean one.",
       "A")
      .OptionalAttr("ord", op::AttrType::kScalar)
      .OptionalAttr("dim", op::AttrType::kInts)
      .Compose(ComposeNorm)
      .Oracle("linalg_norm(A, ord, dim, keepdim)")
      .Py("linalg.norm(input: A, ord=None, dim=None, keepdim=False, *, dtype=None)")
      .Py("linalg.norm(A, ord=None, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] {
        return std::vector<op::Sample>{
            Of({2, 3}, {}),
            Of({2, 3, 4}, {}),
            Of({3}, {{"ord", 1.0}}),
            Of({2, 3}, {{"ord", 2.0}}),
            Of({2, 3}, {{"ord", 1.0}, {"dim", Ints{1}}}),
            Of({2, 3, 4}, {{"ord", kInf}, {"dim", Ints{0, 1}}, {"keepdim", true}})};
      })
      .ErrorSamples({WholeError({}),
                     {{{DType::kFloat32, {2, 3, 4}}},
                      {{"ord", int64_t{2}}},
                      Code::kInvalidArgument,
                      "neither vectors nor matrices"}});
}

OFL_OP(norm_named) {
  Norm(op, "The Frobenius ('fro') or nuclear ('nuc') norm of matrices.", "A")
      .Attr("ord", op::AttrType::kString)
      .OptionalAttr("dim", op::AttrType::kInts)
      .Compose(ComposeNamedNorm)
      .Oracle("linalg_norm(A, ord, dim, keepdim)")
      .Py("linalg.norm(input: A, ord, dim=None, keepdim=False, *, dtype=None)")
      .Py("linalg.norm(A, ord, dim=None, keepdim=False, *, dtype=None)")
      .Samples([] {
        return std::vector<op::Sample>{
            Of({2, 3}, {{"ord", std::string("fro")}}), Of({2, 3}, {{"ord", std::string("nuc")}}),
            Of({2, 3, 4}, {{"ord", std::string("fro")}, {"dim", Ints{0, 2}}})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"ord", std::string("x")}},
                      Code::kInvalidArgument,
                      "got ord='x'"}});
}

OFL_OP(linalg_cond) {
  op.Doc(
        "The condition number of matrices by the norm of order `p` (none: 2); inf of singular "
        "ones.")
      .In("A")
      .Out("output")
      .OptionalAttr("p", op::AttrType::kScalar)
      .Compose(ComposeCond)
      .Oracle("np.asarray(np.linalg.cond(A, p)) if A.size else np.zeros(A.shape[:-2])")
      .Py("linalg.cond(A, p=None)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 3}}, {{3, 2}}, {{0, 2, 2}}}, {}, kDominant);
        samples.push_back({{{DType::kFloat32, {2, 0, 0}}}, {{"p", -kInf}}});
        for (double p : {-2.0, 1.0, -1.0, kInf, -kInf})
          samples.push_back({{{DType::kFloat32, {2, 3, 3}}}, {{"p", p}}, -1, 1, kDominant});
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 2}}}, {{"p", int64_t{3}}}, Code::kInvalidArgument, "got ord=3"},
           {{{DType::kFloat32, {2, 3}}},
            {{"p", int64_t{1}}},
            Code::kInvalidArgument,
            "not square"}});
}

OFL_OP(cond_named) {
  op.Doc("The condition number of matrices by the norm 'fro' or 'nuc'; inf of singular ones.")
      .In("A")
      .Out("output")
      .Attr("p", op::AttrType::kString)
      .Compose(ComposeNamedCond)
      .Oracle("np.asarray(np.linalg.cond(A, p))")
      .Py("linalg.cond(A, p)")
      .Samples([] {
        auto samples = MatrixSamples({{{2, 3, 3}}}, {{"p", std::string("fro")}}, kDominant);
        samples.push_back(
            {{{DType::kFloat32, {3, 3}}}, {{"p", std::string("nuc")}}, -1, 1, kDominant});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}},
                      {{"p", std::string("x")}},
                      Code::kInvalidArgument,
                      "got ord='x'"}});
}

}  // namespace ofl::ops
