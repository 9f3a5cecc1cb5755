// linear: y = x W^T + b, in one product whose result starts from the bias.
#include <algorithm>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/product.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

constexpr const char* kPartialBias =
    "needs a bias that is already partial; the decomposition adds a whole one after the sum";

Status InferLinear(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, "input"));
  OFL_TRY(RequireSameDType(c, 0, 1, "input and weight"));
  const Shape& x = c.input(0).shape;
  const Shape& w = c.input(1).shape;
  const bool vector = w.rank() == 1 && c.num_inputs() == 2;
  OFL_ENSURE(x.rank() >= 1 && (w.rank() == 2 || vector), Code::kInvalidArgument)
      << "weight must be a matrix (out_features, in_features), or without bias a vector, and input "
         "have at least one axis";
  OFL_ENSURE(x[x.rank() - 1] == w[w.rank() - 1], Code::kInvalidArgument)
      << "the feature sizes differ; expected input.shape[-1] == weight.shape[" << w.rank() - 1
      << "] but " << x[x.rank() - 1] << " != " << w[w.rank() - 1];
  if (c.num_inputs() > 2) {
    OFL_TRY(RequireSameDType(c, 0, 2, "input and bias"));
    OFL_ENSURE(c.input(2).shape == Shape({w[0]}), Code::kInvalidArgument)
        << "bias must be a vector of out_features; expected bias.shape == (" << w[0] << ",)";
  }
  OFL_TRY(CheckGemmSizes(ProductOf(x, 0, x.rank() - 1), vector ? 1 : w[0], w[w.rank() - 1]));
  Shape y = x;
  y.erase(y.rank() - 1);
  if (!vector) y.push_back(w[0]);
  c.AddOutput({c.input(0).dtype, y});
  return Status::Ok();
}

// With a bias the inner axis stays whole: each part of a split sum would add the bias once.
std::string LinearRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string rows = Labels("b", in[0].rank() - 1);
  if (in[1].rank() == 1) return "(" + rows + " k),(k)->(" + rows + "); reduce k by sum; linear 0 1";
  if (in.size() < 3) return "(" + rows + " k),(n k)->(" + rows + " n); reduce k by sum; linear 0 1";
  return "(" + rows + " !),(n !),(n)->(" + rows +
         " n); linear jointly 0 2; linear jointly 1 2; never partial max min";
}

Status RunLinear(op::KernelContext& c) {
  const op::TensorView& y = c.outputs[0];
  const bool biased = c.inputs.size() > 2;
  if (biased && y.numel() > 0) {
    op::TensorView bias = c.inputs[2];
    const int64_t step = bias.strides[0];
    bias.meta.shape = y.meta.shape;
    bias.strides = y.meta.shape;
    for (int i = 0; i < bias.strides.rank(); ++i) bias.strides[i] = 0;
    bias.strides[bias.strides.rank() - 1] = step;
    CopyBox(c.stream, bias, y);
  }
  const bool vector = c.inputs[1].meta.shape.rank() == 1;
  return Multiply(c.stream, c.inputs[0], c.inputs[1], y, false, !vector, biased, c.workspace);
}

int64_t LinearBound(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&,
                    int) {
  return ProductScratch(in[0], in[1], out[0]);
}

// Of a vector as weight: each input is summed with it to a number.
void GradVector(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value column = b.Call("unsqueeze", {c.grads[0]}, {{"dim", int64_t{-1}}});
  if (c.Needs(0)) c.Set(0, Mul(b, column, Conj(b, c.inputs[1])));
  if (c.Needs(1))
    c.Set(1, ReduceTo(b, Mul(b, column, Conj(b, c.inputs[0])), c.inputs[1]->meta().shape));
}

void GradLinear(op::GradContext& c) {
  const op::Value& dy = c.grads[0];
  if (!dy) return;
  if (c.inputs[1]->meta().shape.rank() == 1) return GradVector(c);
  if (c.Needs(0)) c.Set(0, c.b.Call("matmul", {dy, Conj(c.b, c.inputs[1])}));
  if (c.Needs(1)) {
    // A vector is one row.
    const int64_t k = c.inputs[1]->meta().shape[1], n = c.inputs[1]->meta().shape[0];
    const op::Value x = Conj(c.b, c.inputs[0]);
    if (c.inputs[0]->meta().shape.rank() == 1) {
      op::Value rows = c.b.Call("reshape", {dy}, {{"shape", std::vector<int64_t>{1, n}}});
      op::Value row = c.b.Call("reshape", {x}, {{"shape", std::vector<int64_t>{1, k}}});
      c.Set(1, c.b.Call("linear_weight_grad", {rows, row}));
    } else {
      c.Set(1, c.b.Call("linear_weight_grad", {dy, x}));
    }
  }
  if (c.inputs.size() > 2 && c.Needs(2)) {
    const Shape bias = c.inputs[2]->meta().shape;
    c.Set(2, dy->meta().shape == bias ? dy : c.b.Call("sum_to", {dy}, {{"shape", DimsOf(bias)}}));
  }
}

op::Values DecomposeLinear(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  const bool vector = in[1] != nullptr && in[1]->meta().shape.rank() == 1;
  op::Value y = b.Call("matmul", {in[0], in[1]}, {{"transpose_b", !vector}});
  if (in.size() < 3) return {y};
  return {b.Call("add", {y, in[2]})};
}

int64_t FlopsLinear(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&) {
  return SaturatingMul(out[0].shape.numel(),
                       2 * in[1].shape[in[1].shape.rank() - 1] + (in.size() > 2 ? 1 : 0));
}

std::vector<op::Sample> LinearSamples() {
  const auto sample = [](Shape x, Shape w, bool bias, DType dtype = DType::kFloat32) {
    op::Sample s{{{dtype, x}, {dtype, w}}, {}};
    if (bias) s.inputs.push_back({dtype, {w[0]}});
    return s;
  };
  return {sample({5, 4}, {3, 4}, false),
          sample({5, 4}, {3, 4}, true),
          sample({2, 3, 4}, {5, 4}, true),
          sample({2, 3, 4}, {5, 4}, false),
          sample({4}, {3, 4}, true),
          sample({2, 3, 4}, {4}, false),
          sample({4}, {4}, false),
          sample({3, 0}, {2, 0}, true),
          sample({1, 4}, {1, 4}, true),
          sample({3, 4}, {2, 4}, true, DType::kFloat16),
          sample({3, 4}, {2, 4}, true, DType::kBFloat16),
          sample({3, 4}, {2, 4}, false, DType::kComplex64),
          sample({3, 4}, {2, 4}, false, DType::kInt64)};
}

}  // namespace

OFL_OP(linear) {
  op.Doc("The affine map input @ weight.T + bias of the last axis; weight is (out, in).")
      .In("input")
      .In("weight")
      .InOptional("bias")
      .Out("output")
      .Infer(InferLinear)
      .Sbp(LinearRule)
      .Grad(GradLinear)
      .Decompose(DecomposeLinear)
      .Unclaimed("S(1),S(1),P->P", kPartialBias)
      .Unclaimed("S(2),S(1),P->P", kPartialBias)
      .Unclaimed("S(0),S(1),P->P", kPartialBias)
      .Flops(FlopsLinear)
      .Matrix("input")
      .Matrix("weight")
      .Strided("bias")
      .Autocast(op::Autocast::kLower)
      .Oracle("input @ weight.T + (0 if bias is None else bias)")
      .Py("linear(input, weight, bias=None)")
      .Functional()
      .Samples(LinearSamples)
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 5}}},
            {},
            Code::kInvalidArgument,
            "input.shape[-1] == weight.shape[1]"},
           {{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {4, 3}}, {DType::kFloat32, {3}}},
            {},
            Code::kInvalidArgument,
            "bias.shape == (4,)"}});
  CpuForProducts(op, RunLinear, LinearBound);
}

}  // namespace ofl::ops
