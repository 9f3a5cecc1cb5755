// Products of several matrices, powers of one; products of vectors along an axis.
#include <algorithm>

#include "oneflow_like/ops/linalg/matrices.h"

namespace ofl::ops {
namespace {

// Several parts compute: what is rounded after each has no samples of half types.
constexpr DTypeSet kExact = kNumbers & ~SetOf(DType::kFloat16, DType::kBFloat16);

std::string Listed(Operands in) {
  std::string text;
  for (const op::Value& x : in) text += (text.empty() ? "" : ", ") + x->meta().ToString();
  return text;
}

Status CheckOneDType(Operands in) {
  for (const op::Value& x : in)
    OFL_ENSURE(x->meta().dtype == in[0]->meta().dtype, Code::kTypeMismatch)
        << "the dtypes differ: got " << Listed(in) << "; expected one dtype; convert with "
        << ".to(dtype)";
  return Status::Ok();
}

// --- chains -------------------------------------------------------------------------------------

Status CheckChain(Operands in, bool vectors) {
  OFL_TRY(CheckOneDType(in));
  for (size_t i = 0; i < in.size(); ++i) {
    const int rank = in[i]->meta().shape.rank();
    const bool end = vectors && (i == 0 || i + 1 == in.size());
    OFL_ENSURE(rank == 2 || (end && rank == 1), Code::kInvalidArgument)
        << "operand " << i << " is no matrix: got " << Listed(in) << "; expected two axes"
        << (vectors ? ", or a vector at either end" : "");
    OFL_ENSURE(i == 0 || in[i - 1]->meta().shape[in[i - 1]->meta().shape.rank() - 1] ==
                             in[i]->meta().shape[0],
               Code::kInvalidArgument)
        << "the sizes of neighbours differ: got " << Listed(in)
        << "; expected each operand's columns to be the next one's rows";
  }
  return Status::Ok();
}

// Where products of operands [i, j] are best cut, by the number of multiplications.
std::vector<std::vector<size_t>> CheapestCuts(const std::vector<double>& sizes) {
  const size_t n = sizes.size() - 1;
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<size_t>> cut(n, std::vector<size_t>(n, 0));
  for (size_t length = 1; length < n; ++length) {
    for (size_t i = 0; i + length < n; ++i) {
      const size_t j = i + length;
      for (size_t k = i; k < j; ++k) {
        const double c = cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1];
        if (k > i && c >= cost[i][j]) continue;
        cost[i][j] = c;
        cut[i][j] = k;
      }
    }
  }
  return cut;
}

op::Value Chained(op::Builder& b, Operands in, const std::vector<std::vector<size_t>>& cut,
                  size_t i, size_t j) {
  if (i == j) return in[i];
  return MatMul(b, Chained(b, in, cut, i, cut[i][j]), Chained(b, in, cut, cut[i][j] + 1, j));
}

op::Value ChainOf(op::Builder& b, Operands in) {
  const Shape first = in[0]->meta().shape, last = in[in.size() - 1]->meta().shape;
  std::vector<double> sizes = {first.rank() == 1 ? 1.0 : static_cast<double>(first[0])};
  for (const op::Value& x : in) {
    const Shape& s = x->meta().shape;
    sizes.push_back(static_cast<double>(s[s.rank() - 1]));
  }
  if (last.rank() == 1) sizes.back() = 1;
  return Chained(b, in, CheapestCuts(sizes), 0, in.size() - 1);
}

op::Values ComposeMultiDot(op::Builder& b, Operands in, const Attrs&) {
  Status wrong = CheckChain(in, true);
  if (wrong.ok() && in.size() < 2) {
    wrong = Error(Code::kInvalidArgument)
            << "no product of one operand: got " << Listed(in) << "; expected at least two";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  return {ChainOf(b, in)};
}

op::Values ComposeChainMatmul(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckChain(in, false); !wrong.ok()) return Refused(b, wrong);
  return {ChainOf(b, in)};
}

// --- powers -------------------------------------------------------------------------------------

op::Values ComposePower(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  const int64_t n = attrs.Get<int64_t>("n");
  Status wrong = Status::Ok();
  if (meta.shape.rank() < 2 || RowsOf(meta.shape) != ColumnsOf(meta.shape)) {
    wrong = Error(Code::kInvalidArgument)
            << "the matrices are not square: got " << meta.ToString() << "; expected equal last "
            << "sizes of at least two axes";
  } else if (n < 0) {
    wrong = CheckMatrices(in[0], true);
  }
  if (!wrong.ok()) return Refused(b, wrong);
  if (n == 0) {  // which depends on the operand, with slope 0
    const op::Value zero = ZerosLike(b, in[0]);
    return {Where(b, b.Call("eq", {zero, zero}), IdentityLike(b, in[0]), in[0])};
  }
  op::Value square = n < 0 ? Of(b, "linalg_inv", in[0]) : in[0];
  op::Value power;
  for (uint64_t rest = n < 0 ? -static_cast<uint64_t>(n) : static_cast<uint64_t>(n);;) {
    if (rest & 1) power = power == nullptr ? square : MatMul(b, power, square);
    if ((rest >>= 1) == 0) break;
    square = MatMul(b, square, square);
    if (square == nullptr) return {nullptr};
  }
  return {n == 1 ? Of(b, "identity", power) : power};
}

// --- vectors along an axis ----------------------------------------------------------------------

op::Values ComposeVecdot(op::Builder& b, Operands in, const Attrs& attrs) {
  Status wrong = CheckOneDType(in);
  if (wrong.ok() && !Contains(kFloats | kComplexes, in[0]->meta().dtype)) {
    wrong = Error(Code::kTypeMismatch)
            << "a product of vectors of " << DTypeName(in[0]->meta().dtype) << ": got "
            << Listed(in) << "; expected a floating or complex dtype";
  }
  if (!wrong.ok()) return Refused(b, wrong);
  const op::Value product = Mul(b, Conj(b, in[0]), in[1]);
  return {b.Call("sum", {product}, {{"dim", Ints{attrs.Get<int64_t>("dim")}}, {"keepdim", false}})};
}

op::Values Crossed(op::Builder& b, Operands in, int64_t dim) {
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  Status wrong = CheckOneDType(in);
  if (wrong.ok() && (x.rank() != y.rank() || x.rank() == 0)) {
    wrong = Error(Code::kInvalidArgument)
            << "the numbers of axes differ: got " << Listed(in) << "; expected as many, at least 1";
  }
  if (wrong.ok() && !Contains(kNumbers, in[0]->meta().dtype)) {
    wrong = Error(Code::kTypeMismatch) << "no vectors of numbers: got " << Listed(in)
                                       << "; expected numbers; convert with .to(dtype)";
  }
  const auto axis = NormalizeAxis(dim, x.rank());
  if (wrong.ok() && !axis.ok()) wrong = axis.status();
  if (wrong.ok() && (x[*axis] != 3 || y[*axis] != 3)) {
    wrong = Error(Code::kInvalidArgument) << "no vectors of three numbers along axis " << *axis
                                          << ": got " << Listed(in) << "; expected size 3 there";
  }
  const auto shape = BroadcastShapes(x, y);
  if (wrong.ok() && !shape.ok()) wrong = shape.status();
  if (!wrong.ok()) return Refused(b, wrong);
  const auto whole = [&](const op::Value& v) {
    const op::Value wide = Wide(b, v);
    if (wide == nullptr || wide->meta().shape == *shape) return wide;
    return b.Call("broadcast_to", {wide}, {{"shape", DimsOf(*shape)}});
  };
  const op::Value product =
      b.Call("cross_product", {whole(in[0]), whole(in[1])}, {{"dim", int64_t{*axis}}});
  return {CastTo(b, product, in[0]->meta().dtype)};
}

op::Values ComposeLinalgCross(op::Builder& b, Operands in, const Attrs& attrs) {
  return Crossed(b, in, attrs.Get<int64_t>("dim"));
}

// Without dim the first axis of size 3 of both.
op::Values ComposeCross(op::Builder& b, Operands in, const Attrs& attrs) {
  if (const int64_t* dim = attrs.Maybe<int64_t>("dim")) return Crossed(b, in, *dim);
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  for (int i = 0; i < std::min(x.rank(), y.rank()); ++i)
    if (x[i] == 3 && y[i] == 3) return Crossed(b, in, i);
  return Refused(b, Error(Code::kInvalidArgument)
                        << "no axis of size 3: got " << Listed(in) << "; expected one in both");
}

Status InferCross(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kExact));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and other"));
  const Shape& shape = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), shape.rank()));
  OFL_ENSURE(shape == c.input(1).shape && shape[axis] == 3, Code::kInvalidArgument)
      << "no vectors of three numbers along axis " << axis << "; expected equal shapes, size 3";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string CrossRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const std::string axes = LabelsExcept("a", rank, AxisAttr(attrs, "dim", rank));
  return "(" + axes + "),(" + axes + ")->(" + axes + "); linear 0 1";
}

template <class T>
Status RunCross(op::KernelContext& c) {
  const Shape& shape = c.outputs[0].meta.shape;
  const AxisView view = ViewAround(shape, AxisAttr(*c.attrs, "dim", shape.rank()));
  const T *x = c.inputs[0].as<T>(), *y = c.inputs[1].as<T>();
  T* z = c.outputs[0].as<T>();
  const int64_t n = view.inner, block = 3 * n;
  Parallel(c.stream, view.outer, RowGrain(block), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t k = 0; k < 3; ++k) {
        const int64_t at = o * block, up = (k + 1) % 3 * n, down = (k + 2) % 3 * n;
        for (int64_t i = 0; i < n; ++i)
          z[at + k * n + i] = static_cast<T>(math::Mul(x[at + up + i], y[at + down + i]) -
                                             math::Mul(x[at + down + i], y[at + up + i]));
      }
    }
  });
  return Status::Ok();
}

void GradCross(op::GradContext& c) {
  const auto cross = [&](const op::Value& x, const op::Value& y) {
    return c.b.Call("cross_product", {x, y}, c.attrs);
  };
  if (c.Needs(0)) c.Set(0, cross(Conj(c.b, c.inputs[1]), c.grads[0]));
  if (c.Needs(1)) c.Set(1, cross(c.grads[0], Conj(c.b, c.inputs[0])));
}

// --- samples ------------------------------------------------------------------------------------

std::vector<op::Sample> ListSamples(const std::vector<std::vector<Shape>>& lists, DTypeSet set,
                                    const Attrs& attrs = {}) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, const std::vector<Shape>& shapes) {
    op::Sample s;
    for (const Shape& shape : shapes) s.inputs.push_back({d, shape});
    s.attrs = attrs;
    samples.push_back(std::move(s));
  };
  for (const auto& shapes : lists) add(DType::kFloat32, shapes);
  for (DType d : ListOf(set))
    if (d != DType::kFloat32) add(d, lists[0]);
  return samples;
}

op::OpDefBuilder& Crossing(op::OpDefBuilder& op) {
  return op.Doc("The cross product of vectors of three numbers along an axis.")
      .In("input")
      .In("other")
      .Out("output");
}

op::ErrorSample NoThree(Attrs attrs) {
  return {{{DType::kFloat32, {2, 4}}, {DType::kFloat32, {2, 4}}},
          std::move(attrs),
          Code::kInvalidArgument,
          "size 3"};
}

}  // namespace

OFL_OP(linalg_multi_dot) {
  op.Doc(
        "The product of matrices, in the order that takes the fewest multiplications. The first "
        "and "
        "the\nlast may be vectors.")
      .InVariadic("tensors")
      .Out("output")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeMultiDot)
      .Oracle("chained(tensors)")
      .Py("linalg.multi_dot(tensors)")
      .Samples([] {
        return ListSamples({{{2, 3}, {3, 4}, {4, 2}},
                            {{3}, {3, 4}, {4}},
                            {{2, 3}, {3, 2}},
                            {{2, 3}, {3, 4}, {4, 1}, {1, 5}},
                            {{2, 0}, {0, 3}, {3}},
                            {{3}, {3}}},
                           kExact);
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}}, {}, Code::kInvalidArgument, "at least two"},
                     {{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "sizes of neighbours differ"}});
}

OFL_OP(chain_matmul) {
  op.Doc("The product of matrices, in the order that takes the fewest multiplications.")
      .InVariadic("matrices")
      .Out("output")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeChainMatmul)
      .Oracle("chained(matrices)")
      .Py("chain_matmul(*matrices)")
      .Public()
      .Samples([] { return ListSamples({{{2, 3}, {3, 4}, {4, 2}}, {{2, 3}}}, kExact); })
      .ErrorSamples({{{{DType::kFloat32, {3}}, {DType::kFloat32, {3, 2}}},
                      {},
                      Code::kInvalidArgument,
                      "operand 0 is no matrix"}});
}

OFL_OP(matrix_power) {
  op.Doc("Square matrices to an integer power; negative ones of the inverse, 0 the identity.")
      .In("input")
      .Out("output")
      .Attr("n", op::AttrType::kInt)
      .Compose(ComposePower)
      .Oracle("matrix_power(input, n)")
      .PyBoth("matrix_power(input, n)")
      .Py("linalg.matrix_power(A: input, n)")
      .Samples([] {
        auto samples = ListSamples({{{2, 2, 2}}, {{3, 3}}, {{0, 0}}}, kExact, {{"n", int64_t{2}}});
        for (int64_t n : {0, 1, 3, 5, 6}) {
          samples.push_back(samples[1]);
          samples.back().attrs = {{"n", n}};
        }
        for (int64_t n : {-1, -3}) {
          samples.push_back({{{DType::kFloat32, {2, 3, 3}}}, {{"n", n}}, -1, 1, kDominant});
        }
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"n", int64_t{2}}}, Code::kInvalidArgument, "not square"},
           {{{DType::kInt64, {2, 2}}},
            {{"n", int64_t{-1}}},
            Code::kTypeMismatch,
            "no matrices of int64"}});
}

OFL_OP(linalg_vecdot) {
  op.Doc("The sums of conj(x) * y along `dim`; x and y broadcast.")
      .In("x")
      .In("y")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeVecdot)
      .Oracle("np.asarray(np.sum(np.conj(x) * y, axis=dim))")
      .Py("linalg.vecdot(x, y, *, dim=-1)")
      .Samples([] {
        auto samples = ListSamples({{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{3}, {3}}, {{2, 0}, {2, 0}}},
                                   SetOf(DType::kFloat64) | kComplexes);
        samples.push_back(samples[0]);
        samples.back().attrs = {{"dim", int64_t{0}}};
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}, {DType::kInt64, {2}}},
                      {},
                      Code::kTypeMismatch,
                      "a product of vectors of int64"}});
}

OFL_OP(cross_product) {
  Crossing(op)
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferCross)
      .Sbp(CrossRule)
      .Grad(GradCross)
      .Oracle("cross(input, other, dim)")
      .Py("_cross_product(input, other, *, dim)")
      .Samples([] {
        auto samples = ListSamples({{{2, 3}, {2, 3}}, {{4, 2, 3}, {4, 2, 3}}, {{0, 3}, {0, 3}}},
                                   kExact, {{"dim", int64_t{-1}}});
        samples.push_back(
            {{{DType::kFloat32, {2, 3, 4}}, {DType::kFloat32, {2, 3, 4}}}, {{"dim", int64_t{1}}}});
        return samples;
      })
      .ErrorSamples({NoThree({{"dim", int64_t{1}}})});
  ForEachDType<kExact>([&]<class T>(DType dtype) {
    if constexpr (std::is_same_v<T, int32_t>) {
      op.Cpu(dtype, dtype == DType::kInt32   ? RunCross<int32_t>
                    : dtype == DType::kInt16 ? RunCross<int16_t>
                    : dtype == DType::kInt8  ? RunCross<int8_t>
                                             : RunCross<uint8_t>);
    } else {
      op.Cpu(dtype, RunCross<T>);
    }
  });
}

OFL_OP(linalg_cross) {
  Crossing(op)
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeLinalgCross)
      .Oracle("cross(input, other, dim)")
      .Py("linalg.cross(input, other, *, dim=-1)")
      .Samples([] {
        auto samples =
            ListSamples({{{2, 3}, {2, 3}}, {{3}, {3}}, {{1, 3}, {2, 3}}, {{0, 3}, {0, 3}}}, kExact);
        samples.push_back(
            {{{DType::kFloat32, {3, 2}}, {DType::kFloat32, {3, 2}}}, {{"dim", int64_t{0}}}});
        return samples;
      })
      .ErrorSamples({NoThree({})});
}

OFL_OP(cross) {
  Crossing(op)
      .OptionalAttr("dim", op::AttrType::kInt)
      .Compose(ComposeCross)
      .Oracle("cross(input, other, input.shape.index(3) if dim is None else dim)")
      .PyBoth("cross(input, other, dim=None)")
      .Samples([] {
        auto samples = ListSamples({{{2, 3}, {2, 3}}, {{3, 3}, {3, 3}}}, kExact);
        samples.push_back(
            {{{DType::kFloat32, {3, 3}}, {DType::kFloat32, {3, 3}}}, {{"dim", int64_t{1}}}});
        return samples;
      })
      .ErrorSamples({NoThree({}), NoThree({{"dim", int64_t{1}}})});
}

}  // namespace ofl::ops
