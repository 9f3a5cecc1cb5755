// Products of matrices and vectors of fixed ranks, and sums with them: mm, bmm, mv, dot, addmm, ...
#include "oneflow_like/ops/linalg/contract.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/nn/losses.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

std::string Listed(Operands in) {
  std::string text;
  for (const op::Value& x : in) text += (text.empty() ? "" : ", ") + x->meta().ToString();
  return text;
}

Status CheckNumbers(Operands in) {
  for (const op::Value& x : in) {
    OFL_ENSURE(x->meta().dtype == in[0]->meta().dtype, Code::kTypeMismatch)
        << "the dtypes differ: got " << Listed(in)
        << "; expected one dtype; convert with .to(dtype)";
    OFL_ENSURE(Contains(kNumbers, x->meta().dtype), Code::kTypeMismatch)
        << "no numbers to multiply and add: got " << Listed(in)
        << "; expected a floating, complex or integer dtype; convert with .to(dtype)";
  }
  return Status::Ok();
}

// The last two operands as a product: matrices (or batches of them) and vectors of these ranks.
Status CheckProduct(Operands in, int left, int right) {
  OFL_TRY(CheckNumbers(in));
  const Shape& a = in[in.size() - 2]->meta().shape;
  const Shape& b = in[in.size() - 1]->meta().shape;
  OFL_ENSURE(a.rank() == left && b.rank() == right, Code::kInvalidArgument)
      << "the ranks do not fit: got " << Listed(in) << "; expected factors of " << left << " and "
      << right << (right == 1 ? " axis" : " axes");
  const bool batches = left < 3 || a[0] == b[0];
  OFL_ENSURE(batches && a[left - 1] == b[right == 1 ? 0 : right - 2], Code::kInvalidArgument)
      << "the sizes do not fit: got " << Listed(in)
      << "; expected equal inner sizes (and equal batches)";
  return Status::Ok();
}

template <int kLeft, int kRight>
op::Values ComposeProduct(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckProduct(in, kLeft, kRight); !wrong.ok()) return Refused(b, wrong);
  return {b.Call("matmul", {in[0], in[1]})};
}

op::Values ComposeVdot(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckProduct(in, 1, 1); !wrong.ok()) return Refused(b, wrong);
  return {b.Call("matmul", {Conj(b, in[0]), in[1]})};
}

op::Values ComposeOuter(op::Builder& b, Operands in, const Attrs&) {
  if (in[0]->meta().shape.rank() != 1 || in[1]->meta().shape.rank() != 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "expected two vectors: got " << Listed(in) << "; expected one axis");
  }
  return {Mul(b, b.Call("unsqueeze", {in[0]}, {{"dim", int64_t{1}}}), in[1])};
}

op::Values ComposeInner(op::Builder& b, Operands in, const Attrs&) {
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  if (x.rank() == 0 || y.rank() == 0) return {Mul(b, in[0], in[1])};
  Status wrong = CheckNumbers(in);
  if (wrong.ok() && x[x.rank() - 1] != y[y.rank() - 1]) {
    wrong = Error(Code::kInvalidArgument)
            << "the last sizes differ: got " << Listed(in) << "; expected equal ones";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  AxisNames left, right, out;
  for (int i = 0; i < x.rank(); ++i) left.push_back(i);
  for (int i = 0; i < y.rank(); ++i) right.push_back(kMaxRank + i);
  right.back() = left.back();
  out.assign(left.begin(), left.end() - 1);
  out.insert(out.end(), right.begin(), right.end() - 1);
  return {Contracted(b, {{in[0], left}, {in[1], right}}, out)};
}

// --- sums with a product ------------------------------------------------------------------------

bool Is(const Scalar& s, int64_t value) { return s.As<std::complex<double>>() == double(value); }

// s * x; of 0 times anything 0, NaN included, as BLAS has it.
op::Value Times(op::Builder& b, const op::Value& x, const Scalar& s) {
  if (x == nullptr || Is(s, 1)) return x;
  if (Is(s, 0)) {
    const op::Value zero = ZerosLike(b, x);
    return ReplaceWhere(b, b.Call("eq", {zero, zero}), 0, x);
  }
  return MulScalar(b, x, s);
}

// A number as the dtype holds it: torch cuts one that is not whole beside integers.
Scalar NumberFor(const Attrs& attrs, const char* name, DType dtype) {
  const Scalar s = attrs.Number(name);
  return IsInteger(dtype) ? Scalar(s.As<int64_t>()) : s;
}

Status CheckFactor(const Attrs& attrs, const char* name, DType dtype) {
  OFL_ENSURE(attrs.Number(name).category() != DTypeCategory::kComplex || IsComplex(dtype),
             Code::kTypeMismatch)
      << name << " is complex beside " << DTypeName(dtype) << ": got "
      << AttrToString(attrs.Number(name)) << "; expected a real number";
  return Status::Ok();
}

// beta * input + alpha * product, input being broadcast to the product's shape. Where torch leaves
// the product to BLAS, alpha = 0 silences a NaN of it too.
op::Values Summed(op::Builder& b, Operands in, const op::Value& product, const Attrs& attrs,
                  bool by_blas = true) {
  if (product == nullptr) return {nullptr};
  const DType dtype = product->meta().dtype;
  Status wrong = CheckFactor(attrs, "beta", dtype);
  if (wrong.ok()) wrong = CheckFactor(attrs, "alpha", dtype);
  const auto shape = BroadcastShapes(in[0]->meta().shape, product->meta().shape);
  if (wrong.ok() && (!shape.ok() || !(*shape == product->meta().shape))) {
    wrong = Error(Code::kInvalidArgument)
            << "the input does not broadcast to the product: got " << Listed(in)
            << "; expected an input for shape " << product->meta().shape;
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const Scalar alpha = NumberFor(attrs, "alpha", dtype);
  return {Add(b, Times(b, in[0], NumberFor(attrs, "beta", dtype)),
              by_blas ? Times(b, product, alpha) : MulScalar(b, product, alpha))};
}

template <int kLeft, int kRight>
op::Values ComposeAdd(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckProduct(in, kLeft, kRight); !wrong.ok()) return Refused(b, wrong);
  return Summed(b, in, b.Call("matmul", {in[1], in[2]}), attrs, kLeft < 3);
}

op::Values ComposeAddbmm(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckProduct(in, 3, 3); !wrong.ok()) return Refused(b, wrong);
  return Summed(b, in, Contracted(b, {{in[1], {0, 1, 2}}, {in[2], {0, 2, 3}}}, {1, 3}), attrs);
}

op::Values ComposeAddr(op::Builder& b, Operands in, const Attrs& attrs) {
  const Shape &x = in[1]->meta().shape, &y = in[2]->meta().shape;
  const DType dtype = in[0]->meta().dtype;
  Status wrong = Status::Ok();
  if (x.rank() != 1 || y.rank() != 1) {
    wrong = Error(Code::kInvalidArgument)
            << "expected two vectors: got " << Listed(in) << "; expected one axis";
  }
  for (const char* name : {"beta", "alpha"}) {
    const Scalar factor = attrs.Number(name);
    if (wrong.ok() && factor.category() == DTypeCategory::kBool && dtype != DType::kBool) {
      wrong = Error(Code::kTypeMismatch)
              << name << " is a truth value beside " << DTypeName(dtype) << ": got "
              << AttrToString(factor) << "; expected a number";
    }
    if (wrong.ok() && !IsDifferentiable(dtype) &&
        attrs.Number(name).category() > DTypeCategory::kInteger) {
      wrong = Error(Code::kTypeMismatch)
              << name << " is not whole beside " << DTypeName(dtype) << ": got "
              << AttrToString(attrs.Number(name)) << "; expected an integer";
    }
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const op::Value product = Mul(b, b.Call("unsqueeze", {in[1]}, {{"dim", int64_t{1}}}), in[2]);
  if (dtype != DType::kBool) return Summed(b, in, product, attrs, false);
  // Truth values: "or" of what counts.
  const Attrs counted = {{"beta", attrs.Number("beta").As<bool>() ? int64_t{1} : int64_t{0}},
                         {"alpha", attrs.Number("alpha").As<bool>() ? int64_t{1} : int64_t{0}}};
  return Summed(b, in, product, counted);
}

// --- definitions --------------------------------------------------------------------------------

std::vector<op::Sample> ProductSamples(const std::vector<std::vector<Shape>>& shapes,
                                       DTypeSet set = kNumbers, const Attrs& attrs = {}) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, const std::vector<Shape>& operands) {
    op::Sample s;
    for (const Shape& shape : operands) s.inputs.push_back({d, shape});
    s.attrs = attrs;
    samples.push_back(std::move(s));
  };
  for (const auto& operands : shapes) add(DType::kFloat32, operands);
  // What is rounded after each part has no samples of half types.
  for (DType d : ListOf(attrs.size() > 0 ? set & ~SetOf(DType::kFloat16, DType::kBFloat16) : set))
    if (d != DType::kFloat32) add(d, shapes[0]);
  return samples;
}

op::ErrorSample WrongSizes(std::vector<Shape> shapes, const char* text = "the sizes do not fit") {
  op::ErrorSample e;
  for (const Shape& shape : shapes) e.inputs.push_back({DType::kFloat32, shape});
  e.code = Code::kInvalidArgument;
  e.text = text;
  return e;
}

op::OpDefBuilder& Pair(op::OpDefBuilder& op, const char* doc, const char* second) {
  return op.Doc(doc).In("input").In(second).Out("output").Autocast(op::Autocast::kLower);
}

op::OpDefBuilder& Sum(op::OpDefBuilder& op, const char* doc, const char* left, const char* right) {
  return op.Doc(doc)
      .In("input")
      .In(left)
      .In(right)
      .Out("output")
      .Attr("beta", op::AttrType::kScalar, int64_t{1})
      .Attr("alpha", op::AttrType::kScalar, int64_t{1});
}

std::vector<op::Sample> SumSamples(const std::vector<std::vector<Shape>>& shapes) {
  auto samples = ProductSamples(shapes, kNumbers, {{"beta", int64_t{2}}, {"alpha", int64_t{3}}});
  for (const Attrs& attrs : {Attrs{{"beta", 0.5}, {"alpha", -1.5}}, Attrs{},
                             Attrs{{"beta", int64_t{0}}}, Attrs{{"alpha", int64_t{0}}}}) {
    samples.push_back(samples.front());
    samples.back().attrs = attrs;
  }
  return samples;
}

}  // namespace

OFL_OP(mm) {
  Pair(op, "The product of two matrices.", "mat2")
      .Compose(ComposeProduct<2, 2>)
      .Oracle("input @ mat2")
      .PyBoth("mm(input, mat2)")
      .Samples([] {
        return ProductSamples(
            {{{2, 3}, {3, 4}}, {{0, 3}, {3, 2}}, {{2, 0}, {0, 3}}, {{1, 1}, {1, 1}}});
      })
      .ErrorSamples({WrongSizes({{2, 3}, {2, 3}}), WrongSizes({{2, 3, 1}, {3, 1}}, "ranks")});
}

OFL_OP(bmm) {
  Pair(op, "The products of two batches of matrices.", "mat2")
      .Compose(ComposeProduct<3, 3>)
      .Oracle("input @ mat2")
      .PyBoth("bmm(input, mat2)")
      .Samples([] {
        return ProductSamples(
            {{{4, 2, 3}, {4, 3, 2}}, {{0, 2, 3}, {0, 3, 2}}, {{1, 1, 3}, {1, 3, 1}}});
      })
      .ErrorSamples({WrongSizes({{4, 2, 3}, {1, 3, 2}}), WrongSizes({{2, 3}, {3, 1}}, "ranks")});
}

OFL_OP(mv) {
  Pair(op, "The product of a matrix and a vector.", "vec")
      .Compose(ComposeProduct<2, 1>)
      .Oracle("input @ vec")
      .PyBoth("mv(input, vec)")
      .Samples([] {
        return ProductSamples({{{2, 3}, {3}}, {{0, 3}, {3}}, {{2, 0}, {0}}, {{1, 1}, {1}}});
      })
      .ErrorSamples({WrongSizes({{2, 3}, {2}}), WrongSizes({{3}, {3}}, "ranks")});
}

OFL_OP(dot) {
  Pair(op, "The sum of the products of two vectors' elements.", "tensor")
      .Compose(ComposeProduct<1, 1>)
      .Oracle("input @ tensor")
      .PyBoth("dot(input, tensor)")
      .Samples([] { return ProductSamples({{{3}, {3}}, {{0}, {0}}, {{1}, {1}}}); })
      .ErrorSamples({WrongSizes({{3}, {4}}), WrongSizes({{2, 2}, {2, 2}}, "ranks")});
}

OFL_OP(vdot) {
  Pair(op, "The sum of the products of two vectors' elements, the first ones conjugated.", "other")
      .Compose(ComposeVdot)
      .Oracle("np.conj(input) @ other")
      .PyBoth("vdot(input, other)")
      .Samples([] { return ProductSamples({{{3}, {3}}, {{0}, {0}}}); })
      .ErrorSamples({WrongSizes({{3}, {4}})});
}

OFL_OP(outer) {
  Pair(op, "The products of each element of one vector with each of another.", "vec2")
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeOuter)
      .Oracle("input[:, None] * vec2")
      .PyBoth("outer(input, vec2)")
      .PyBoth("ger(input, vec2)")
      .Samples(
          [] { return ProductSamples({{{3}, {2}}, {{0}, {2}}, {{1}, {1}}}, kNumbers | kBools); })
      .ErrorSamples({WrongSizes({{2, 2}, {2}}, "expected two vectors")});
}

OFL_OP(inner) {
  Pair(op, "The sums of products over the last axes of both; of a 0-d operand the products.",
       "other")
      .Compose(ComposeInner)
      .Oracle("np.inner(input, other)")
      .PyBoth("inner(input, other)")
      .Samples([] {
        return ProductSamples(
            {{{2, 3}, {4, 3}}, {{3}, {3}}, {{2, 3}, {3}}, {{}, {2, 3}}, {{2, 0}, {3, 0}}});
      })
      .ErrorSamples({WrongSizes({{2, 3}, {2, 4}}, "last sizes differ")});
}

OFL_OP(addmm) {
  Sum(op, "beta * input + alpha * mat1 @ mat2.", "mat1", "mat2")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeAdd<2, 2>)
      .Oracle("summed(input, mat1 @ mat2, beta, alpha)")
      .PyBoth("addmm(input, mat1, mat2, *, beta=1, alpha=1)")
      .Method("addmm_")
      .Samples([] {
        return SumSamples({{{2, 4}, {2, 3}, {3, 4}}, {{4}, {2, 3}, {3, 4}}, {{}, {2, 0}, {0, 3}}});
      })
      .ErrorSamples({WrongSizes({{2, 4}, {2, 3}, {2, 4}}),
                     WrongSizes({{3, 4}, {2, 3}, {3, 4}}, "does not broadcast")});
}

OFL_OP(addmv) {
  Sum(op, "beta * input + alpha * mat @ vec.", "mat", "vec")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeAdd<2, 1>)
      .Oracle("summed(input, mat @ vec, beta, alpha)")
      .PyBoth("addmv(input, mat, vec, *, beta=1, alpha=1)")
      .Method("addmv_")
      .Py("addmv_(input, mat, vec, *, beta=1, alpha=1)")
      .Public()
      .Samples([] { return SumSamples({{{2}, {2, 3}, {3}}, {{}, {2, 3}, {3}}}); })
      .ErrorSamples({WrongSizes({{3}, {2, 3}, {3}}, "does not broadcast")});
}

OFL_OP(addbmm) {
  Sum(op, "beta * input + alpha * the sum of the products of two batches of matrices.", "batch1",
      "batch2")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeAddbmm)
      .Oracle("summed(input, np.sum(batch1 @ batch2, axis=0), beta, alpha)")
      .PyBoth("addbmm(input, batch1, batch2, *, beta=1, alpha=1)")
      .Method("addbmm_")
      .Samples(
          [] { return SumSamples({{{2, 4}, {5, 2, 3}, {5, 3, 4}}, {{4}, {1, 2, 3}, {1, 3, 4}}}); })
      .ErrorSamples({WrongSizes({{2, 4}, {5, 2, 3}, {4, 3, 4}})});
}

OFL_OP(baddbmm) {
  Sum(op, "beta * input + alpha * the products of two batches of matrices.", "batch1", "batch2")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeAdd<3, 3>)
      .Oracle("summed(input, batch1 @ batch2, beta, alpha)")
      .PyBoth("baddbmm(input, batch1, batch2, *, beta=1, alpha=1)")
      .Method("baddbmm_")
      .Samples([] {
        return SumSamples({{{5, 2, 4}, {5, 2, 3}, {5, 3, 4}}, {{2, 4}, {5, 2, 3}, {5, 3, 4}}});
      })
      .ErrorSamples({WrongSizes({{5, 2, 4}, {5, 2, 3}, {4, 3, 4}})});
}

OFL_OP(addr) {
  Sum(op, "beta * input + alpha * the outer product of two vectors.", "vec1", "vec2")
      .Promote(op::Promotion::kCommon)
      .Compose(ComposeAddr)
      .Oracle("summed(input, vec1[:, None] * vec2, beta, alpha)")
      .PyBoth("addr(input, vec1, vec2, *, beta=1, alpha=1)")
      .Method("addr_")
      .Samples([] { return SumSamples({{{3, 2}, {3}, {2}}, {{2}, {3}, {2}}}); })
      .ErrorSamples({WrongSizes({{3, 2}, {3, 1}, {2}}, "expected two vectors")});
}

}  // namespace ofl::ops
