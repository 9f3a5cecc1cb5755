// softmax and log_softmax over one axis, fused, with their gradients.
#include <algorithm>
#include <cmath>
#include <limits>

#include "device/cpu/simd.h"
#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

Status InferSoftmax(op::InferContext& c) {
  OFL_TRY(RequireFloat(c, 0, "input"));
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), c.input(0).shape.rank()));
  (void)axis;
  c.AddOutput(c.input(0));
  return Status::Ok();
}

Status InferSoftmaxGrad(op::InferContext& c) {
  OFL_TRY(InferSoftmax(c));
  OFL_ENSURE(c.input(0) == c.input(1), Code::kInvalidArgument)
      << "grad and output must have one shape and dtype";
  return Status::Ok();
}

std::string SoftmaxRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const std::string axes = "(" + LabelsExcept("a", rank, AxisAttr(attrs, "dim", rank)) + ")";
  return axes + "->" + axes;
}

std::string SoftmaxGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const std::string axes = "(" + LabelsExcept("a", rank, AxisAttr(attrs, "dim", rank)) + ")";
  return axes + "," + axes + "->" + axes + "; linear 0";
}

// --- rows: the axis is the last one -------------------------------------------------------------

template <class T, bool kLog>
void SoftmaxRow(const T* x, T* y, int64_t n) {
  const T max = RowMax(x, n);
  // A row of -inf alone has no distribution: NaN, as in torch.
  if constexpr (kLog) {
    const T log_sum = std::log(RowSumExp(x, n, max));
    RowLogSoftmax(x, y, n, max, log_sum);
  } else {
    const T sum = RowExp(x, y, n, max);
    RowScale(y, n, T(1) / sum);
  }
}

template <class T, bool kLog>
void SoftmaxGradRow(const T* dy, const T* y, T* dx, int64_t n) {
  if constexpr (kLog) {
    RowLogSoftmaxGrad(dy, y, dx, n, RowSum(dy, n));
  } else {
    RowSoftmaxGrad(dy, y, dx, n, RowDot(dy, y, n));
  }
}

// --- columns: `inner` neighbouring distributions at once ----------------------------------------

template <class T, bool kLog>
void SoftmaxStrided(const T* x, T* y, int64_t n, int64_t inner) {
  for (int64_t j = 0; j < inner; ++j) {
    T max = -std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < n; ++i) max = std::max(max, x[i * inner + j]);
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i * inner + j] - max);
    const T log_sum = std::log(sum);
    for (int64_t i = 0; i < n; ++i) {
      const T centred = x[i * inner + j] - max;
      y[i * inner + j] = kLog ? centred - log_sum : std::exp(centred) / sum;
    }
  }
}

template <class T, bool kLog>
void SoftmaxGradStrided(const T* dy, const T* y, T* dx, int64_t n, int64_t inner) {
  for (int64_t j = 0; j < inner; ++j) {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += kLog ? dy[i * inner + j] : dy[i * inner + j] * y[i * inner + j];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = i * inner + j;
      dx[at] = kLog ? dy[at] - std::exp(y[at]) * sum : y[at] * (dy[at] - sum);
    }
  }
}

constexpr int64_t kStepsPerElement = 8;  // exp against a plain load and store

template <class T, bool kLog>
Status RunSoftmax(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& shape = c.inputs[0].meta.shape;
  const T* x = c.inputs[0].as<T>();
  T* y = c.outputs[0].as<T>();
  if (shape.rank() == 0) {
    SoftmaxRow<T, kLog>(x, y, 1);
    return Status::Ok();
  }
  const AxisView v = ViewAround(shape, AxisAttr(*c.attrs, "dim", shape.rank()));
  const int64_t block = v.size * v.inner;
  Parallel(c.stream, v.outer, RowGrain(block * kStepsPerElement), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      if (v.inner == 1) {
        SoftmaxRow<T, kLog>(x + o * block, y + o * block, v.size);
      } else {
        SoftmaxStrided<T, kLog>(x + o * block, y + o * block, v.size, v.inner);
      }
    }
  });
  return Status::Ok();
}

template <class T, bool kLog>
Status RunSoftmaxGrad(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& shape = c.inputs[0].meta.shape;
  const T* dy = c.inputs[0].as<T>();
  const T* y = c.inputs[1].as<T>();
  T* dx = c.outputs[0].as<T>();
  const AxisView v =
      shape.rank() == 0 ? AxisView{} : ViewAround(shape, AxisAttr(*c.attrs, "dim", shape.rank()));
  const int64_t block = v.size * v.inner;
  Parallel(c.stream, v.outer, RowGrain(block * kStepsPerElement), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const int64_t at = o * block;
      if (v.inner == 1) {
        SoftmaxGradRow<T, kLog>(dy + at, y + at, dx + at, v.size);
      } else {
        SoftmaxGradStrided<T, kLog>(dy + at, y + at, dx + at, v.size, v.inner);
      }
    }
  });
  return Status::Ok();
}

// --- gradient and decomposition -----------------------------------------------------------------

template <bool kLog>
void GradSoftmax(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call(kLog ? "log_softmax_grad" : "softmax_grad", {c.grads[0], c.outputs[0]},
                    {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

template <bool kLog>
op::Values DecomposeSoftmax(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Attrs over = {{"dim", std::vector<int64_t>{attrs.Get<int64_t>("dim")}}, {"keepdim", true}};
  op::Value centred = b.Call("sub", {in[0], b.Call("amax", {in[0]}, over)});
  op::Value e = b.Call("exp", {centred});
  op::Value sum = b.Call("sum", {e}, over);
  if (kLog) return {b.Call("sub", {centred, b.Call("log", {sum})})};
  return {b.Call("div", {e, sum})};
}

std::vector<op::Sample> SoftmaxSamples(int inputs) {
  std::vector<op::Sample> samples;
  const auto add = [&](Shape shape, int64_t dim) {
    samples.push_back({std::vector<TensorMeta>(inputs, {DType::kFloat32, shape}), {{"dim", dim}}});
  };
  add({5, 4}, -1);
  add({5, 4}, 0);
  add({2, 3, 4}, 1);
  add({2, 1, 3}, 1);
  add({0, 3}, 1);
  add({6, 40}, 1);
  return samples;
}

int64_t FlopsSoftmax(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return 5 * in[0].shape.numel();
}

template <bool kLog>
void DefineSoftmax(op::OpDefBuilder& op) {
  op.In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferSoftmax)
      .Sbp(SoftmaxRule)
      .Grad(GradSoftmax<kLog>)
      .Decompose(DecomposeSoftmax<kLog>)
      .Flops(FlopsSoftmax)
      .InPlace(0, 0)
      .Cpu(DType::kFloat32, RunSoftmax<float, kLog>)
      .Cpu(DType::kFloat64, RunSoftmax<double, kLog>)
      .Samples([] { return SoftmaxSamples(1); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "[-2, 1]"},
           {{{DType::kInt64, {2, 3}}},
            {{"dim", int64_t{1}}},
            Code::kTypeMismatch,
            "floating point"}});
}

template <bool kLog>
void DefineSoftmaxGrad(op::OpDefBuilder& op) {
  op.In("grad")
      .In("output")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferSoftmaxGrad)
      .Sbp(SoftmaxGradRule)
      .NotDifferentiable("second derivatives of the fused form are not defined")
      .Flops(FlopsSoftmax)
      .InPlace(0, 0)
      .Cpu(DType::kFloat32, RunSoftmaxGrad<float, kLog>)
      .Cpu(DType::kFloat64, RunSoftmaxGrad<double, kLog>)
      .Samples([] { return SoftmaxSamples(2); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {3, 2}}},
                      {{"dim", int64_t{1}}},
                      Code::kInvalidArgument,
                      "one shape"}});
}

}  // namespace

OFL_OP(softmax) {
  op.Doc("exp(input) normalised to sum 1 along `dim`.")
      .Py("softmax(input, /, dim)")
      .Method("softmax");
  DefineSoftmax<false>(op);
}

OFL_OP(log_softmax) {
  op.Doc("The logarithm of softmax along `dim`, without overflow.")
      .Py("log_softmax(input, /, dim)")
      .Method("log_softmax");
  DefineSoftmax<true>(op);
}

OFL_OP(softmax_grad) {
  op.Doc("Gradient of softmax from its output.").Py("softmax_grad(grad, output, /, *, dim)");
  DefineSoftmaxGrad<false>(op);
}

OFL_OP(log_softmax_grad) {
  op.Doc("Gradient of log_softmax from its output.")
      .Py("log_softmax_grad(grad, output, /, *, dim)");
  DefineSoftmaxGrad<true>(op);
}

}  // namespace ofl::ops
