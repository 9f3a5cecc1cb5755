// layer_norm over the trailing axes and its gradient.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

// Rows of one partial sum of the parameters' gradients. Fixed, so that sums do not depend on the
// number of threads.
constexpr int64_t kRowsPerPart = 64;
constexpr const char* kWholeStatistics =
    "other outputs would stay whole beside a partial one, which rules cannot say";

int NormAxes(const Attrs& attrs) {
  return static_cast<int>(attrs.Get<std::vector<int64_t>>("normalized_shape").size());
}

Status CheckNormalizedShape(const Shape& x, const Shape& normalized) {
  const int lead = x.rank() - normalized.rank();
  bool fits = normalized.rank() >= 1 && lead >= 0;
  for (int i = 0; fits && i < normalized.rank(); ++i) fits = x[lead + i] == normalized[i];
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "normalized_shape must be the trailing sizes of input; expected input of shape (*, "
      << normalized.ToString().substr(1);
  return Status::Ok();
}

Shape LeadingShape(const Shape& x, int norm_axes) {
  return Shape(x.dims().first(x.rank() - norm_axes));
}

Result<Shape> CheckedNormalizedShape(const op::InferContext& c, const Shape& x) {
  OFL_ASSIGN(Shape normalized, Shape::Checked(c.attr<std::vector<int64_t>>("normalized_shape")));
  OFL_TRY(CheckNormalizedShape(x, normalized));
  return normalized;
}

Status InferLayerNorm(op::InferContext& c) {
  OFL_TRY(RequireFloat(c, 0, "input"));
  const Shape& x = c.input(0).shape;
  OFL_ASSIGN(const Shape normalized, CheckedNormalizedShape(c, x));
  for (int i = 1; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireSameDType(c, 0, i, "input, weight and bias"));
    OFL_ENSURE(c.input(i).shape == normalized, Code::kInvalidArgument)
        << "weight and bias must have normalized_shape; expected " << normalized;
  }
  OFL_ENSURE(c.attr<double>("eps") >= 0, Code::kInvalidArgument) << "eps must not be negative";
  const TensorMeta stat{c.input(0).dtype, LeadingShape(x, normalized.rank())};
  c.AddOutput(c.input(0));
  c.AddOutput(stat);
  c.AddOutput(stat);
  return Status::Ok();
}

Status InferLayerNormGrad(op::InferContext& c) {
  OFL_TRY(RequireFloat(c, 0, "grad"));
  for (int i = 1; i < c.num_inputs(); ++i) OFL_TRY(RequireSameDType(c, 0, i, "the operands"));
  const Shape& x = c.input(1).shape;
  OFL_ASSIGN(const Shape normalized, CheckedNormalizedShape(c, x));
  const Shape lead = LeadingShape(x, normalized.rank());
  OFL_ENSURE(c.input(0).shape == x && c.input(2).shape == lead && c.input(3).shape == lead,
             Code::kInvalidArgument)
      << "grad must have input's shape, mean and rstd its leading axes " << lead;
  OFL_ENSURE(c.num_inputs() < 5 || c.input(4).shape == normalized, Code::kInvalidArgument)
      << "weight must have normalized_shape; expected " << normalized;
  c.AddOutput(c.input(1));
  c.AddOutput({c.input(0).dtype, normalized});
  c.AddOutput({c.input(0).dtype, normalized});
  return Status::Ok();
}

std::string Whole(int axes) {
  std::string text = "!";
  for (int i = 1; i < axes; ++i) text += " !";
  return text;
}

std::string LayerNormRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int axes = NormAxes(attrs);
  const std::string lead = Labels("a", in[0].rank() - axes);
  std::string text = "(" + lead + " " + Whole(axes) + ")";
  for (size_t i = 1; i < in.size(); ++i) text += ",(" + Whole(axes) + ")";
  return text + "->(" + lead + " " + Whole(axes) + "),(" + lead + "),(" + lead + ")";
}

std::string LayerNormGradRule(std::span<const Shape> in, std::span<const Shape>,
                              const Attrs& attrs) {
  const int axes = NormAxes(attrs), rows = in[1].rank() - axes;
  const std::string lead = Labels("a", rows);
  const std::string full = "(" + lead + " " + Whole(axes) + ")", param = "(" + Whole(axes) + ")";
  std::string text = full + "," + full + ",(" + lead + "),(" + lead + ")";
  if (in.size() > 4) text += "," + param;
  text += "->" + full + "," + param + "," + param;
  for (int i = 0; i < rows; ++i) text += "; reduce a" + std::to_string(i) + " by sum";
  return text + "; linear 0";
}

template <class T>
Status RunLayerNorm(op::KernelContext& c) {
  const int64_t rows = c.outputs[1].numel();
  const int64_t n = ProductOf(c.inputs[0].meta.shape, c.outputs[1].meta.shape.rank(),
                              c.inputs[0].meta.shape.rank());
  const T* x = c.inputs[0].as<T>();
  const T* weight = c.inputs.size() > 1 ? c.inputs[1].as<T>() : nullptr;
  const T* bias = c.inputs.size() > 2 ? c.inputs[2].as<T>() : nullptr;
  T* y = c.outputs[0].as<T>();
  T* means = c.outputs[1].as<T>();
  T* rstds = c.outputs[2].as<T>();
  const T eps = static_cast<T>(c.attr<double>("eps"));
  Parallel(c.stream, rows, RowGrain(n * 3), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * n;
      const T mean = RowSum(row, n) / static_cast<T>(n);
      const T variance = RowSquaredDistance(row, n, mean) / static_cast<T>(n);
      const T rstd = T(1) / std::sqrt(variance + eps);
      means[r] = mean;
      rstds[r] = rstd;
      RowNormalize(row, weight, bias, y + r * n, n, mean, rstd);
    }
  });
  return Status::Ok();
}

int64_t PartsOf(int64_t rows) { return (rows + kRowsPerPart - 1) / kRowsPerPart; }

int64_t LayerNormGradWorkspace(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                               const Attrs&, int) {
  return PartsOf(in[2].shape.numel()) * 2 * out[1].bytes();
}

// Adds the parts' sums in their order.
template <class T>
void SumParts(device::Stream* stream, const T* parts, int64_t count, int64_t n, T* dweight,
              T* dbias) {
  Parallel(stream, n, std::max<int64_t>(RowGrain(2 * count), 64), [&](int64_t begin, int64_t end) {
    std::fill(dweight + begin, dweight + end, T(0));
    std::fill(dbias + begin, dbias + end, T(0));
    for (int64_t p = 0; p < count; ++p) {
      RowAdd(parts + 2 * p * n + begin, dweight + begin, end - begin);
      RowAdd(parts + (2 * p + 1) * n + begin, dbias + begin, end - begin);
    }
  });
}

template <class T>
Status RunLayerNormGrad(op::KernelContext& c) {
  const int64_t rows = c.inputs[2].numel();
  const int64_t n = c.outputs[1].numel();
  const T* dy = c.inputs[0].as<T>();
  const T* x = c.inputs[1].as<T>();
  const T* means = c.inputs[2].as<T>();
  const T* rstds = c.inputs[3].as<T>();
  const T* weight = c.inputs.size() > 4 ? c.inputs[4].as<T>() : nullptr;
  T* dx = c.outputs[0].as<T>();
  T* parts = reinterpret_cast<T*>(c.workspace.data());
  const int64_t count = PartsOf(rows);
  Parallel(c.stream, count, RowGrain(n * 4 * kRowsPerPart), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      T* dweight = parts + 2 * p * n;
      T* dbias = dweight + n;
      std::fill(dweight, dweight + 2 * n, T(0));
      for (int64_t r = p * kRowsPerPart; r < std::min((p + 1) * kRowsPerPart, rows); ++r) {
        const int64_t at = r * n;
        T sum_g, sum_gx;
        RowNormSums(dy + at, x + at, weight, n, means[r], rstds[r], &sum_g, &sum_gx);
        RowNormParamGrad(dy + at, x + at, dweight, dbias, n, means[r], rstds[r]);
        RowNormGrad(dy + at, x + at, weight, dx + at, n, means[r], rstds[r],
                    sum_g / static_cast<T>(n), sum_gx / static_cast<T>(n));
      }
    }
  });
  SumParts(c.stream, parts, count, n, c.outputs[1].as<T>(), c.outputs[2].as<T>());
  return Status::Ok();
}

// Gradients that reach mean and rstd themselves: rare, so composed from plain operators.
op::Value StatisticsGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  const Shape& full = c.inputs[0]->meta().shape;
  Shape column = c.outputs[1]->meta().shape;
  const int64_t n = ProductOf(full, column.rank(), full.rank());
  while (column.rank() < full.rank()) column.push_back(1);
  const auto as_column = [&](const op::Value& v) {
    return b.Call("reshape", {v}, {{"shape", DimsOf(column)}});
  };
  const auto scaled = [&](op::Value v, double by) {
    return b.Call("mul_scalar", {std::move(v)}, {{"scalar", by}});
  };
  op::Value total;
  if (c.grads[1]) {
    total =
        b.Call("broadcast_to", {as_column(scaled(c.grads[1], 1.0 / n))}, {{"shape", DimsOf(full)}});
  }
  if (c.grads[2]) {
    const op::Value& r = c.outputs[2];
    op::Value cube = b.Call("mul", {b.Call("mul", {r, r}), b.Call("mul", {r, c.grads[2]})});
    op::Value centred = b.Call("sub", {c.inputs[0], as_column(c.outputs[1])});
    op::Value term = b.Call("mul", {centred, as_column(scaled(cube, -1.0 / n))});
    total = total ? b.Call("add", {total, term}) : term;
  }
  return total;
}

void GradLayerNorm(op::GradContext& c) {
  op::Value dx, dweight, dbias;
  if (c.grads[0]) {
    op::Values operands = {c.grads[0], c.inputs[0], c.outputs[1], c.outputs[2]};
    if (c.inputs.size() > 1) operands.push_back(c.inputs[1]);
    op::Values out =
        c.b.CallAll("layer_norm_grad", operands,
                    {{"normalized_shape", c.attrs.Get<std::vector<int64_t>>("normalized_shape")}});
    if (!c.b.status().ok()) return;
    dx = out[0];
    dweight = out[1];
    dbias = out[2];
  }
  if (c.Needs(0) && (c.grads[1] || c.grads[2])) {
    op::Value extra = StatisticsGrad(c);
    dx = dx ? c.b.Call("add", {dx, extra}) : extra;
  }
  if (c.Needs(0)) c.Set(0, dx);
  if (c.inputs.size() > 1 && c.Needs(1)) c.Set(1, dweight);
  if (c.inputs.size() > 2 && c.Needs(2)) c.Set(2, dbias);
}

// For layouts that split the normalised axes: the statistics become means over the logical axes.
op::Values DecomposeLayerNorm(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  std::vector<int64_t> axes;
  for (int i = NormAxes(attrs); i > 0; --i) axes.push_back(-i);
  const Attrs over = {{"dim", axes}, {"keepdim", true}};
  const Shape rows = LeadingShape(in[0]->meta().shape, NormAxes(attrs));
  const auto as_rows = [&](const op::Value& v) {
    return b.Call("reshape", {v}, {{"shape", DimsOf(rows)}});
  };
  op::Value mean = b.Call("mean", {in[0]}, over);
  op::Value centred = b.Call("sub", {in[0], mean});
  op::Value variance = b.Call("mean", {b.Call("square", {centred})}, over);
  op::Value rstd =
      b.Call("rsqrt", {b.Call("add_scalar", {variance}, {{"scalar", attrs.Get<double>("eps")}})});
  op::Value y = b.Call("mul", {centred, rstd});
  if (in.size() > 1) y = b.Call("mul", {y, in[1]});
  if (in.size() > 2) y = b.Call("add", {y, in[2]});
  return {y, as_rows(mean), as_rows(rstd)};
}

int64_t FlopsLayerNorm(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return 8 * in[0].shape.numel();
}

op::Sample NormSample(std::vector<Shape> shapes, std::vector<int64_t> normalized) {
  op::Sample s;
  for (const Shape& shape : shapes) s.inputs.push_back({DType::kFloat32, shape});
  s.attrs = {{"normalized_shape", std::move(normalized)}};
  return s;
}

}  // namespace

OFL_OP(layer_norm) {
  op.Doc(
        "Normalises the trailing axes `normalized_shape` to mean 0 and variance 1, then applies\n"
        "weight and bias. Also gives the mean and 1/std of each row, which the gradient uses.")
      .In("input")
      .InOptional("weight")
      .InOptional("bias")
      .Out("output")
      .Out("mean")
      .Out("rstd")
      .Attr("normalized_shape", op::AttrType::kInts)
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .Infer(InferLayerNorm)
      .Sbp(LayerNormRule)
      .Grad(GradLayerNorm)
      .Decompose(DecomposeLayerNorm)
      .Unclaimed("B,P->P,B,B", kWholeStatistics)
      .Unclaimed("B,P,P->P,B,B", kWholeStatistics)
      .Unclaimed("B,B,P(max)->P(max),B,B", kWholeStatistics)
      .Unclaimed("B,B,P(min)->P(min),B,B", kWholeStatistics)
      .Flops(FlopsLayerNorm)
      .Cpu(DType::kFloat32, RunLayerNorm<float>)
      .Cpu(DType::kFloat64, RunLayerNorm<double>)
      .Py("layer_norm(input, weight=None, bias=None, /, *, normalized_shape, eps=1e-05)")
      .Samples([]() -> std::vector<op::Sample> {
        return {
            NormSample({{5, 8}, {8}, {8}}, {8}), NormSample({{2, 3, 6}, {6}}, {6}),
            NormSample({{3, 2, 5}}, {2, 5}),     NormSample({{4, 2, 3}, {2, 3}, {2, 3}}, {2, 3}),
            NormSample({{7}, {7}, {7}}, {7}),    NormSample({{0, 4}, {4}, {4}}, {4})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"normalized_shape", std::vector<int64_t>{4}}},
                      Code::kInvalidArgument,
                      "trailing sizes"},
                     {{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {{"normalized_shape", std::vector<int64_t>{3}}},
                      Code::kInvalidArgument,
                      "weight and bias"}});
}

OFL_OP(layer_norm_grad) {
  op.Doc("Gradients of layer_norm's input, weight and bias.")
      .In("grad")
      .In("input")
      .In("mean")
      .In("rstd")
      .InOptional("weight")
      .Out("input_grad")
      .Out("weight_grad")
      .Out("bias_grad")
      .Attr("normalized_shape", op::AttrType::kInts)
      .Infer(InferLayerNormGrad)
      .Sbp(LayerNormGradRule)
      .NotDifferentiable("second derivatives of the fused form are not defined")
      .Unclaimed("B,B,B,B,P->P,B,B", kWholeStatistics)
      .Flops(FlopsLayerNorm)
      .Cpu(DType::kFloat32, RunLayerNormGrad<float>, LayerNormGradWorkspace)
      .Cpu(DType::kFloat64, RunLayerNormGrad<double>, LayerNormGradWorkspace)
      .Py("layer_norm_grad(grad, input, mean, rstd, weight=None, /, *, normalized_shape)")
      .Samples([]() -> std::vector<op::Sample> {
        return {NormSample({{5, 8}, {5, 8}, {5}, {5}, {8}}, {8}),
                NormSample({{2, 3, 6}, {2, 3, 6}, {2, 3}, {2, 3}}, {6}),
                NormSample({{0, 4}, {0, 4}, {0}, {0}, {4}}, {4})};
      });
}

}  // namespace ofl::ops
