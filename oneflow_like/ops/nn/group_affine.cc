// group_affine: normalised groups of channels with a weight and a bias for each channel, of
// group_norm; and its gradient, in two passes over what the caches hold.
#include "oneflow_like/ops/nn/group_affine.h"

#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/losses.h"
#include "oneflow_like/ops/nn/row_math.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kWide = SetOf(DType::kFloat32, DType::kFloat64);

// `x`: which operand holds the groups (N, G, C, L); those of the channels (G, C) come after it.
Status CheckGroups(const op::InferContext& c, int x) {
  OFL_TRY(RequireIn(c, 0, kWide));
  for (int i = 1; i < c.num_inputs(); ++i) OFL_TRY(RequireSameDType(c, 0, i, "the operands"));
  const Shape& shape = c.input(x).shape;
  OFL_ENSURE(shape.rank() == 4 && c.input(0).shape == shape, Code::kInvalidArgument)
      << "groups have four axes; expected (batch, groups, channels, elements)";
  for (int i = x + 1; i < c.num_inputs(); ++i)
    OFL_ENSURE(c.input(i).shape == (Shape{shape[1], shape[2]}), Code::kInvalidArgument)
        << "weight and bias must have one number for each channel; expected "
        << (Shape{shape[1], shape[2]});
  return Status::Ok();
}

Status InferAffine(op::InferContext& c) {
  OFL_TRY(CheckGroups(c, 0));
  c.AddOutput(c.input(0));
  return Status::Ok();
}
Status InferAffineGrad(op::InferContext& c) {
  OFL_TRY(CheckGroups(c, 1));
  c.AddOutput(c.input(1));
  c.AddOutput(c.input(2));
  c.AddOutput(c.input(2));
  return Status::Ok();
}

struct Sizes {
  int64_t groups, channels, length, rows;
  explicit Sizes(const Shape& x) : groups(x[1]), channels(x[2]), length(x[3]), rows(x[0] * x[1]) {}
  int64_t each() const { return channels * length; }
};

template <class T>
struct Moments {
  T mean, rstd;
  Moments(const T* x, int64_t n, double eps)
      : mean(RowSum(x, n) / static_cast<T>(n)),
        rstd(T(1) /
             std::sqrt(RowSquaredDistance(x, n, mean) / static_cast<T>(n) + static_cast<T>(eps))) {}
};

template <class T>
OFL_SIMD void Scale(const T* x, T mean, T rstd, T weight, T bias, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd * weight + bias;
}
// rstd (weight dy - mean of g - normalised x times the mean of g x)
template <class T>
OFL_SIMD void Back(const T* dy, const T* x, T mean, T rstd, T weight, T mean_g, T mean_gx, T* dx,
                   int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    dx[i] = rstd * (dy[i] * weight - mean_g - (x[i] - mean) * rstd * mean_gx);
}

template <class T>
Status RunAffine(op::KernelContext& c) {
  const Sizes s(c.inputs[0].meta.shape);
  const double eps = c.attr<double>("eps");
  const T *x = c.inputs[0].as<T>(), *weight = c.inputs[1].as<T>(), *bias = c.inputs[2].as<T>();
  T* y = c.outputs[0].as<T>();
  if (s.each() == 0) return Status::Ok();
  Parallel(c.stream, s.rows, RowGrain(s.each() * 3), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Moments<T> m(x + r * s.each(), s.each(), eps);
      for (int64_t k = 0; k < s.channels; ++k) {
        const int64_t at = r * s.each() + k * s.length, own = r % s.groups * s.channels + k;
        Scale(x + at, m.mean, m.rstd, weight[own], bias[own], y + at, s.length);
      }
    }
  });
  return Status::Ok();
}

// Of each channel of each group the sums of g and of g x.
template <class T>
int64_t AffineGradScratch(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&,
                          int) {
  const Sizes s(in[1].shape);
  return 2 * s.rows * s.channels * static_cast<int64_t>(sizeof(T));
}

// The gradients of weight and bias, added over the batch in its order.
template <class T>
void SumOverBatch(const Sizes& s, const T* sums, T* dweight, T* dbias) {
  const int64_t all = s.groups * s.channels;
  std::fill_n(dweight, all, T(0));
  std::fill_n(dbias, all, T(0));
  for (int64_t r = 0; r < s.rows; ++r) {
    const T* own = sums + 2 * r * s.channels;
    RowAdd(own, dbias + r % s.groups * s.channels, s.channels);
    RowAdd(own + s.channels, dweight + r % s.groups * s.channels, s.channels);
  }
}

template <class T>
Status RunAffineGrad(op::KernelContext& c) {
  const Sizes s(c.inputs[1].meta.shape);
  const double eps = c.attr<double>("eps");
  const T *dy = c.inputs[0].as<T>(), *x = c.inputs[1].as<T>(), *weight = c.inputs[2].as<T>();
  T* dx = c.outputs[0].as<T>();
  T* sums = reinterpret_cast<T*>(c.workspace.data());
  const T count = static_cast<T>(s.each());
  Parallel(c.stream, s.rows, RowGrain(s.each() * 6), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end && s.channels > 0; ++r) {
      const Moments<T> m(x + r * s.each(), s.each(), eps);
      T *of_g = sums + 2 * r * s.channels, *of_gx = of_g + s.channels;
      const T* own = weight + r % s.groups * s.channels;
      for (int64_t k = 0; k < s.channels; ++k) {
        const int64_t at = r * s.each() + k * s.length;
        RowNormSums<T>(dy + at, x + at, nullptr, s.length, m.mean, m.rstd, of_g + k, of_gx + k);
      }
      const T mean_g = RowDot(of_g, own, s.channels) / count;
      const T mean_gx = RowDot(of_gx, own, s.channels) / count;
      for (int64_t k = 0; k < s.channels; ++k) {
        const int64_t at = r * s.each() + k * s.length;
        Back(dy + at, x + at, m.mean, m.rstd, own[k], mean_g, mean_gx, dx + at, s.length);
      }
    }
  });
  SumOverBatch(s, sums, c.outputs[1].as<T>(), c.outputs[2].as<T>());
  return Status::Ok();
}

op::Values DecomposeAffine(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape shape = in[0]->meta().shape;
  const op::Value rows =
      NormalisedGroups(b, in[0], shape[1], shape[2] * shape[3], attrs.Get<double>("eps"));
  const Shape wide = {1, shape[1], shape[2], 1};
  return {b.Call("addcmul", {ShapedAs(b, in[2], wide), rows, ShapedAs(b, in[1], wide)})};
}

void GradAffine(op::GradContext& c) {
  if (!c.grads[0]) return;
  const op::Values made =
      c.b.CallAll("group_affine_grad", {c.grads[0], c.inputs[0], c.inputs[1]}, c.attrs);
  for (int i = 0; i < 3 && made.size() == 3; ++i)
    if (c.Needs(i)) c.Set(i, made[static_cast<size_t>(i)]);
}

int64_t FlopsAffine(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return SaturatingMul(in[0].shape.numel(), 8);
}

std::vector<op::Sample> AffineSamples(bool gradient) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, Shape x) {
    const Shape channels = {x[1], x[2]};
    op::Sample s{{{dtype, x}}, {{"eps", 0.1}}};
    s.inputs.push_back({dtype, gradient ? x : channels});
    s.inputs.push_back({dtype, channels});
    samples.push_back(std::move(s));
  };
  add(DType::kFloat32, {4, 2, 3, 5});
  add(DType::kFloat32, {2, 4, 1, 19});
  add(DType::kFloat32, {0, 2, 2, 3});
  add(DType::kFloat64, {2, 2, 2, 3});
  return samples;
}

}  // namespace

op::Value NormalisedGroups(op::Builder& b, const op::Value& x, int64_t groups, int64_t each,
                           double eps) {
  if (x == nullptr) return nullptr;
  const Shape shape = x->meta().shape;
  const op::Values rows =
      b.CallAll("layer_norm", {ShapedAs(b, x, Shape{shape[0], groups, each})},
                {{"normalized_shape", std::vector<int64_t>{each}}, {"eps", eps}});
  return rows.empty() ? nullptr : ShapedAs(b, rows[0], shape);
}

OFL_OP(group_affine) {
  op.Doc(
        "Normalises each group (the last two axes of (batch, groups, channels, elements)) to mean "
        "0 and\nvariance 1, then applies weight and bias by channel.")
      .In("input")
      .In("weight")
      .In("bias")
      .Out("output")
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .Infer(InferAffine)
      .Sbp("(n g ! !),(g !),(g !)->(n g ! !); linear jointly 1 2; monotone 2")
      .Grad(GradAffine)
      .Decompose(DecomposeAffine)
      .Flops(FlopsAffine)
      .Oracle("group_affine(input, weight, bias, eps)")
      .Py("group_affine(input, weight, bias, *, eps=1e-05)")
      .Cpu(DType::kFloat32, RunAffine<float>)
      .Cpu(DType::kFloat64, RunAffine<double>)
      .Samples([] { return AffineSamples(false); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3, 4, 5}}, {DType::kFloat32, {3, 4}}, {DType::kFloat32, {12}}},
            {},
            Code::kInvalidArgument,
            "one number for each channel"}});
}

OFL_OP(group_affine_grad) {
  op.Doc("Gradients of group_affine's input, weight and bias.")
      .In("grad")
      .In("input")
      .In("weight")
      .Out("input_grad")
      .Out("weight_grad")
      .Out("bias_grad")
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .Infer(InferAffineGrad)
      .Sbp("(n g ! !),(n g ! !),(g !)->(n g ! !),(g !),(g !); reduce n by sum; linear 0")
      .Unclaimed("B,B,P->P,B,B",
                 "other outputs would stay whole beside a partial one, which rules cannot say")
      .NotDifferentiable("a gradient that is differentiated goes through the composition")
      .Flops(FlopsAffine)
      .Oracle("group_affine_grad(grad, input, weight, eps)")
      .Py("group_affine_grad(grad, input, weight, *, eps=1e-05)")
      .Cpu(DType::kFloat32, RunAffineGrad<float>, AffineGradScratch<float>)
      .Cpu(DType::kFloat64, RunAffineGrad<double>, AffineGradScratch<double>)
      .Samples([] { return AffineSamples(true); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4, 5}},
                       {DType::kFloat32, {2, 3, 4}},
                       {DType::kFloat32, {3, 4}}},
                      {},
                      Code::kInvalidArgument,
                      "four axes"}});
}

}  // namespace ofl::ops
