// layer_norm over the trailing axes and its gradient.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/row_math.h"
#include "oneflow_like/ops/nn/rows.h"

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
  OFL_TRY(RequireIn(c, 0, kFloats));
  const Shape& x = c.input(0).shape;
  OFL_ASSIGN(const Shape normalized, CheckedNormalizedShape(c, x));
  for (int i = 1; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireSameDType(c, 0, i, "input, weight and bias"));
    OFL_ENSURE(c.input(i).shape == normalized, Code::kInvalidArgument)
        << "weight and bias must have normalized_shape; expected " << normalized;
  }
  const TensorMeta stat{StatisticOf(c.input(0).dtype), LeadingShape(x, normalized.rank())};
  c.AddOutput(c.input(0));
  c.AddOutput(stat);
  c.AddOutput(stat);
  return Status::Ok();
}

Status InferLayerNormGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  for (int i = 1; i < c.num_inputs(); ++i) {
    const DType expected = i == 2 || i == 3 ? StatisticOf(c.input(0).dtype) : c.input(0).dtype;
    OFL_ENSURE(c.input(i).dtype == expected, Code::kTypeMismatch)
        << "operand " << i << " has another dtype than grad asks for; expected "
        << DTypeName(expected);
  }
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

// --- kernels ------------------------------------------------------------------------------------

// A parameter as a row of T, or null where it is not given.
template <class T>
const T* Parameter(op::KernelContext& c, size_t input, int64_t n, T* scratch) {
  if (c.inputs.size() <= input) return nullptr;
  return Rows<T>(c.inputs[input]).Read(0, n, scratch);
}

// Half types: weight, bias, and a row for each thread.
template <class T>
int64_t LayerNormScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                         const Attrs& attrs, int threads) {
  if (!IsHalf(in[0].dtype)) return 0;
  const int64_t n = ProductOf(in[0].shape, out[1].shape.rank(), in[0].shape.rank());
  return 2 * n * static_cast<int64_t>(sizeof(T)) + RowScratch<T>(out[1].shape.numel(), n, threads);
}

template <class T>
Status RunLayerNorm(op::KernelContext& c) {
  const int64_t rows = c.outputs[1].numel();
  const int64_t n = ProductOf(c.inputs[0].meta.shape, c.outputs[1].meta.shape.rank(),
                              c.inputs[0].meta.shape.rank());
  const Rows<T> x(c.inputs[0]), y(c.outputs[0]);
  T* workspace = reinterpret_cast<T*>(c.workspace.data());
  const T* weight = Parameter(c, 1, n, workspace);
  const T* bias = Parameter(c, 2, n, workspace + (x.direct() ? 0 : n));
  T* means = c.outputs[1].as<T>();
  T* rstds = c.outputs[2].as<T>();
  const T eps = static_cast<T>(c.attr<double>("eps"));
  const int64_t scratch_size = x.direct() ? 0 : n;
  ForRows(c.stream, rows, n * 3, scratch_size, workspace + 2 * scratch_size,
          [&](int64_t r, T* scratch) {
            const T* row = x.Read(r * n, n, scratch);
            T* to = y.Target(r * n, scratch);
            const T mean = RowSum(row, n) / static_cast<T>(n);
            const T variance = RowSquaredDistance(row, n, mean) / static_cast<T>(n);
            const T rstd = T(1) / std::sqrt(variance + eps);
            means[r] = mean;
            rstds[r] = rstd;
            RowNormalize(row, weight, bias, to, n, mean, rstd);
            y.Done(r * n, n, to);
          });
  return Status::Ok();
}

int64_t PartsOf(int64_t rows) { return (rows + kRowsPerPart - 1) / kRowsPerPart; }

// The parts' sums; for half types also weight, both sums and two rows for each thread.
template <class T>
int64_t LayerNormGradScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                             const Attrs&, int threads) {
  const int64_t n = out[1].shape.numel(), parts = PartsOf(in[2].shape.numel());
  const int64_t rows = IsHalf(in[0].dtype) ? 3 * n * static_cast<int64_t>(sizeof(T)) +
                                                 RowScratch<T>(parts, 2 * n, threads)
                                           : 0;
  return parts * 2 * n * static_cast<int64_t>(sizeof(T)) + rows;
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
  const Rows<T> dy(c.inputs[0]), x(c.inputs[1]), dx(c.outputs[0]);
  const T* means = c.inputs[2].as<T>();
  const T* rstds = c.inputs[3].as<T>();
  const int64_t count = PartsOf(rows);
  T* parts = reinterpret_cast<T*>(c.workspace.data());
  T* more = parts + count * 2 * n;  // of half types
  const T* weight = Parameter(c, 4, n, more);
  const bool direct = dy.direct();
  ForRows(c.stream, count, n * 4 * kRowsPerPart, direct ? 0 : 2 * n, direct ? more : more + 3 * n,
          [&](int64_t p, T* scratch) {
            T* dweight = parts + 2 * p * n;
            T* dbias = dweight + n;
            std::fill(dweight, dweight + 2 * n, T(0));
            for (int64_t r = p * kRowsPerPart; r < std::min((p + 1) * kRowsPerPart, rows); ++r) {
              const T* g = dy.Read(r * n, n, scratch);
              const T* row = x.Read(r * n, n, direct ? scratch : scratch + n);
              T* to = dx.Target(r * n, scratch);
              T sum_g, sum_gx;
              RowNormSums(g, row, weight, n, means[r], rstds[r], &sum_g, &sum_gx);
              RowNormParamGrad(g, row, dweight, dbias, n, means[r], rstds[r]);
              RowNormGrad(g, row, weight, to, n, means[r], rstds[r], sum_g / static_cast<T>(n),
                          sum_gx / static_cast<T>(n));
              dx.Done(r * n, n, to);
            }
          });
  const Rows<T> dweight(c.outputs[1]), dbias(c.outputs[2]);
  T* weight_sum = dweight.Target(0, more + n);
  T* bias_sum = dbias.Target(0, more + 2 * n);
  SumParts(c.stream, parts, count, n, weight_sum, bias_sum);
  dweight.Done(0, n, weight_sum);
  dbias.Done(0, n, bias_sum);
  return Status::Ok();
}

// --- gradients ----------------------------------------------------------------------------------

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
    op::Value x = CastTo(b, c.inputs[0], r->meta().dtype);
    op::Value centred = b.Call("sub", {x, as_column(c.outputs[1])});
    op::Value term = b.Call("mul", {centred, as_column(scaled(cube, -1.0 / n))});
    total = total ? b.Call("add", {total, term}) : term;
  }
  return CastTo(b, total, c.inputs[0]->meta().dtype);
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

// The gradient's own gradients, by its formula: with g = dy * weight, h = (x - mean) * rstd and
// means over the normalised axes,
//   dx = rstd * (g - mean(g) - h * mean(g * h)), dweight = sum(dy * h), dbias = sum(dy).
// What flows back to dx is u, to dweight v, to dbias t.
void GradLayerNormGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  const int axes = NormAxes(c.attrs);
  const DType dtype = c.inputs[1]->meta().dtype, wide = StatisticOf(dtype);
  const Shape& full = c.inputs[1]->meta().shape;
  Shape column = c.inputs[2]->meta().shape;
  while (column.rank() < full.rank()) column.push_back(1);
  std::vector<int64_t> dims;
  for (int i = axes; i > 0; --i) dims.push_back(-i);
  const Attrs over = {{"dim", dims}, {"keepdim", true}};
  const auto as = [&](const op::Value& v, const Shape& shape) {
    return b.Call("reshape", {v}, {{"shape", DimsOf(shape)}});
  };
  const auto mul = [&](const op::Value& a, const op::Value& v) { return Mul(b, a, v); };
  const auto sub = [&](const op::Value& a, const op::Value& v) { return b.Call("sub", {a, v}); };
  const auto add = [&](const op::Value& a, const op::Value& v) {
    return a == nullptr ? v : v == nullptr ? a : b.Call("add", {a, v});
  };
  const auto mean = [&](const op::Value& v) { return b.Call("mean", {v}, over); };
  const auto total = [&](const op::Value& v) { return b.Call("sum", {v}, over); };
  const auto widened = [&](const op::Value& v) { return v ? CastTo(b, v, wide) : v; };
  const op::Value dy = widened(c.inputs[0]), rstd = as(c.inputs[3], column);
  const op::Value centred = sub(widened(c.inputs[1]), as(c.inputs[2], column));
  const op::Value h = mul(centred, rstd);
  const op::Value weight = c.inputs.size() > 4 ? widened(c.inputs[4]) : nullptr;
  const op::Value u = widened(c.grads[0]), v = widened(c.grads[1]), t = widened(c.grads[2]);
  // What flows back to g (from u), dy, h and rstd itself.
  op::Value to_g, to_dy, to_h, to_rstd;
  if (u) {
    const op::Value g = weight ? mul(dy, weight) : dy;
    const op::Value gh = mean(mul(g, h)), uh = mean(mul(u, h));
    const op::Value centred_u = sub(sub(u, mean(u)), mul(h, uh));
    to_g = mul(rstd, centred_u);
    to_dy = weight ? mul(to_g, weight) : to_g;
    to_h = b.Call("neg", {mul(rstd, add(mul(u, gh), mul(g, uh)))});
    to_rstd = total(mul(u, sub(sub(g, mean(g)), mul(h, gh))));
  }
  if (v) {
    to_dy = add(to_dy, mul(v, h));
    to_h = add(to_h, mul(v, dy));
  }
  if (t) to_dy = add(to_dy, b.Call("broadcast_to", {t}, {{"shape", DimsOf(full)}}));
  if (c.Needs(0) && to_dy) c.Set(0, CastTo(b, to_dy, dtype));
  if (to_h) {
    const op::Value to_x = mul(to_h, rstd);
    if (c.Needs(1)) c.Set(1, CastTo(b, to_x, dtype));
    const Shape& rows = c.inputs[2]->meta().shape;
    if (c.Needs(2)) c.Set(2, as(b.Call("neg", {total(to_x)}), rows));
    if (c.Needs(3)) c.Set(3, as(add(to_rstd, total(mul(to_h, centred))), rows));
  }
  if (weight && c.Needs(4) && to_g)
    c.Set(4, CastTo(b, ReduceTo(b, mul(to_g, dy), weight->meta().shape), dtype));
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
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  op::Value x = CastTo(b, in[0], wide);
  op::Value mean = b.Call("mean", {x}, over);
  op::Value centred = b.Call("sub", {x, mean});
  op::Value variance = b.Call("mean", {b.Call("square", {centred})}, over);
  op::Value rstd =
      b.Call("rsqrt", {b.Call("add_scalar", {variance}, {{"scalar", attrs.Get<double>("eps")}})});
  op::Value y = b.Call("mul", {centred, rstd});
  if (in.size() > 1) y = b.Call("mul", {y, CastTo(b, in[1], wide)});
  if (in.size() > 2) y = b.Call("add", {y, CastTo(b, in[2], wide)});
  return {CastTo(b, y, dtype), as_rows(mean), as_rows(rstd)};
}

int64_t FlopsLayerNorm(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return 8 * in[0].shape.numel();
}

// A bias without a weight is added afterwards.
op::Values ComposeOutput(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const auto* counts = attrs.Maybe<std::vector<int64_t>>(op::kArity);
  const bool bias_alone = in.size() == 2 && counts != nullptr && (*counts)[1] == 0;
  op::Values operands(in.begin(), bias_alone ? in.begin() + 1 : in.end());
  const op::Value y = b.CallAll("layer_norm", std::move(operands),
                                {{"normalized_shape", *attrs.Find("normalized_shape")},
                                 {"eps", attrs.Get<double>("eps")}})[0];
  return {bias_alone ? b.Call("add", {y, in[1]}) : y};
}

op::Sample NormSample(std::vector<Shape> shapes, std::vector<int64_t> normalized,
                      DType dtype = DType::kFloat32) {
  op::Sample s;
  for (const Shape& shape : shapes) s.inputs.push_back({dtype, shape});
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
      .Autocast(op::Autocast::kFloat32)
      .Oracle("layer_norm(normalized_shape, eps, input, weight, bias)")
      .Py("native_layer_norm(input, weight=None, bias=None, *, normalized_shape, eps=1e-05)")
      .Samples([] {
        std::vector<op::Sample> samples{
            NormSample({{2, 3, 6}, {6}}, {6}), NormSample({{3, 2, 5}}, {2, 5}),
            NormSample({{4, 2, 3}, {2, 3}, {2, 3}}, {2, 3}), NormSample({{7}, {7}, {7}}, {7}),
            NormSample({{0, 4}, {4}, {4}}, {4})};
        for (DType dtype : ListOf(kFloats))
          samples.push_back(NormSample({{5, 8}, {8}, {8}}, {8}, dtype));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"normalized_shape", std::vector<int64_t>{4}}},
                      Code::kInvalidArgument,
                      "trailing sizes"},
                     {{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {{"normalized_shape", std::vector<int64_t>{3}}},
                      Code::kInvalidArgument,
                      "weight and bias"}});
  ForEachDType<kFloats>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunLayerNorm<T>, LayerNormScratch<T>); });
}

OFL_OP(layer_norm_output) {
  op.Doc("layer_norm's first result alone, under the name and the parameters that torch gives it.")
      .In("input")
      .InOptional("weight")
      .InOptional("bias")
      .AnyMissing()
      .Out("output")
      .Attr("normalized_shape", op::AttrType::kInts)
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .Attr("cudnn_enable", op::AttrType::kBool, true)  // torch's; says nothing here
      .Compose(ComposeOutput)
      .Oracle("layer_norm(normalized_shape, eps, input, weight, bias)[0]")
      .Py("nn.functional.layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05)")
      .Py("layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, "
          "cudnn_enable=True)")
      .Public()
      .Samples([]() -> std::vector<op::Sample> {
        std::vector<op::Sample> samples = {NormSample({{5, 8}, {8}, {8}}, {8}),
                                           NormSample({{2, 3, 6}}, {6}),
                                           NormSample({{5, 8}, {8}}, {8})};
        const std::vector<int64_t> counts[] = {{1, 1, 1}, {1, 0, 0}, {1, 0, 1}};
        for (size_t i = 0; i < samples.size(); ++i) samples[i].attrs.Set(op::kArity, counts[i]);
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"normalized_shape", std::vector<int64_t>{4}},
                       {std::string(op::kArity), std::vector<int64_t>{1, 0, 0}}},
                      Code::kInvalidArgument,
                      "trailing sizes"}});
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
      .Grad(GradLayerNormGrad)
      .Unclaimed("B,B,B,B,P->P,B,B", kWholeStatistics)
      .Flops(FlopsLayerNorm)
      .Oracle("layer_norm_grad(normalized_shape, grad, input, mean, rstd, weight)")
      .Py("layer_norm_grad(grad, input, mean, rstd, weight=None, *, normalized_shape)")
      .Samples([] {
        std::vector<op::Sample> samples{NormSample({{2, 3, 6}, {2, 3, 6}, {2, 3}, {2, 3}}, {6}),
                                        NormSample({{0, 4}, {0, 4}, {0}, {0}, {4}}, {4})};
        for (DType dtype : ListOf(kFloats)) {
          samples.push_back(NormSample({{5, 8}, {5, 8}, {5}, {5}, {8}}, {8}, dtype));
          for (size_t i : {2, 3}) samples.back().inputs[i].dtype = StatisticOf(dtype);
        }
        return samples;
      });
  ForEachDType<kFloats>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunLayerNormGrad<T>, LayerNormGradScratch<T>); });
}

}  // namespace ofl::ops
