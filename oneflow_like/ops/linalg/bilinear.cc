// bilinear: a matrix for each output between two inputs.
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

Status CheckBilinear(Operands in) {
  const TensorMeta &x = in[0]->meta(), &y = in[1]->meta(), &w = in[2]->meta();
  const int rank = x.shape.rank();
  bool fits = rank >= 1 && y.shape.rank() == rank && w.shape.rank() == 3;
  for (int i = 0; fits && i + 1 < rank; ++i) fits = x.shape[i] == y.shape[i];
  fits = fits && x.shape[rank - 1] == w.shape[1] && y.shape[rank - 1] == w.shape[2];
  if (fits && in.size() > 3) fits = in[3]->meta().shape == Shape{w.shape[0]};
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "got input1: " << x.ToString() << ", input2: " << y.ToString()
      << ", weight: " << w.ToString()
      << (in.size() > 3 ? ", bias: " + in[3]->meta().ToString() : "")
      << "; expected (..., n), (..., m), (out, n, m) and (out,)";
  return Status::Ok();
}

// input1 @ weight first: (B, out, m), whose rows meet input2.
op::Values ComposeBilinear(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckBilinear(in); !wrong.ok()) return Refused(b, wrong);
  const Shape given = in[0]->meta().shape, w = in[2]->meta().shape;
  Shape lead = given;
  lead.erase(given.rank() - 1);
  const int64_t rows = lead.numel(), out = w[0], n = w[1], m = w[2];
  const op::Value x = ShapedAs(b, in[0], Shape{rows, n}), y = ShapedAs(b, in[1], Shape{rows, m, 1});
  const op::Value turned = b.Call("permute", {in[2]}, {{"dims", std::vector<int64_t>{1, 0, 2}}});
  const op::Value half = b.Call("matmul", {x, ShapedAs(b, turned, Shape{n, out * m})});
  const op::Value whole = b.Call("matmul", {ShapedAs(b, half, Shape{rows, out, m}), y});
  Shape result = lead;
  result.push_back(out);
  const op::Value z = ShapedAs(b, whole, result);
  return {in.size() > 3 ? Add(b, z, in[3]) : z};
}

}  // namespace

OFL_OP(bilinear) {
  op.Doc("input1 @ weight[k] @ input2 of rows, for each output k, and bias; weight is (out, n, m).")
      .In("input1")
      .In("input2")
      .In("weight")
      .InOptional("bias")
      .Out("output")
      .Autocast(op::Autocast::kLower)
      .Compose(ComposeBilinear)
      .Oracle(
          "np.einsum('...i,oij,...j->...o', input1, weight, input2) + (0 if bias is None else "
          "bias)")
      .Py("bilinear(input1, input2, weight, bias=None)")
      .Public()
      .Functional()
      .Samples([]() -> std::vector<op::Sample> {
        constexpr DType kF = DType::kFloat32, kD = DType::kFloat64;
        return {{{{kF, {5, 3}}, {kF, {5, 4}}, {kF, {2, 3, 4}}, {kF, {2}}}, {}},
                {{{kF, {2, 3, 3}}, {kF, {2, 3, 4}}, {kF, {2, 3, 4}}}, {}},
                {{{kF, {3}}, {kF, {4}}, {kF, {5, 3, 4}}}, {}},
                {{{kD, {5, 3}}, {kD, {5, 4}}, {kD, {2, 3, 4}}, {kD, {2}}}, {}}};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {5, 4}}, {DType::kFloat32, {2, 4, 3}}},
            {},
            Code::kInvalidArgument,
            "expected (..., n), (..., m)"}});
}

}  // namespace ofl::ops
