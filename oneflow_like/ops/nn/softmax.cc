// softmax and log_softmax over one axis, fused, with their gradients.
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/panels.h"
#include "oneflow_like/ops/nn/row_math.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

Status InferSoftmax(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
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

// --- rows ---------------------------------------------------------------------------------------

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

// The same of rows side by side.
template <class T, bool kLog>
void SoftmaxPanel(Side<const T> x, Side<T> y, int64_t n, int64_t rows) {
  T max[kPanel], sum[kPanel];
  PanelMax(x, n, rows, max);
  if constexpr (kLog) {
    PanelSumExp(x, n, rows, max, sum);
    for (int64_t c = 0; c < rows; ++c) sum[c] = std::log(sum[c]);
    PanelLogSoftmax(x, y, n, rows, max, sum);
  } else {
    PanelExp(x, y, n, rows, max, sum);
    for (int64_t c = 0; c < rows; ++c) sum[c] = T(1) / sum[c];
    PanelScale(y, n, rows, sum);
  }
}

template <class T, bool kLog>
void SoftmaxGradPanel(Side<const T> dy, Side<const T> y, Side<T> dx, int64_t n, int64_t rows) {
  T sum[kPanel];
  if constexpr (kLog) {
    PanelSum(dy, n, rows, sum);
    PanelLogSoftmaxGrad(dy, y, dx, n, rows, sum);
  } else {
    PanelDot(dy, y, n, rows, sum);
    PanelSoftmaxGrad(dy, y, dx, n, rows, sum);
  }
}

constexpr int64_t kStepsPerElement = 8;  // exp against a plain load and store

int AxisOf(const Attrs& attrs, const Shape& shape) {
  return shape.rank() == 0 ? -1 : AxisAttr(attrs, "dim", shape.rank());
}

// Rows that do not lie dense in T pass through scratch, one buffer for each operand that is read.
template <class T, int kOperands>
int64_t SoftmaxScratch(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                       const Attrs& attrs, int threads) {
  const Shape& shape = in[0].shape;
  const int axis = AxisOf(attrs, shape);
  const int64_t n = std::max<int64_t>(axis < 0 ? 1 : shape[axis], 1);
  return RowScratch<T>(shape.numel() / n, kOperands * n, threads);
}

template <class T, bool kLog>
Status RunSoftmax(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const RowStarts starts({&c.inputs[0], &c.outputs[0]}, AxisOf(*c.attrs, c.inputs[0].meta.shape));
  const int64_t n = starts.length();
  if (LiesInPanels<T>(starts, {&c.inputs[0], &c.outputs[0]})) {
    ForPanels(c.stream, starts, n * kStepsPerElement,
              [&](int64_t, const std::array<int64_t, 3>& at, int64_t rows) {
                SoftmaxPanel<T, kLog>({c.inputs[0].as<T>() + at[0], starts.stride(0)},
                                      {c.outputs[0].as<T>() + at[1], starts.stride(1)}, n, rows);
              });
    return Status::Ok();
  }
  const Rows<T> x(c.inputs[0], starts.stride(0)), y(c.outputs[0], starts.stride(1));
  const int64_t scratch_size = x.direct() && y.direct() ? 0 : n;
  ForRows(c.stream, starts.rows(), n * kStepsPerElement, scratch_size,
          reinterpret_cast<T*>(c.workspace.data()), [&](int64_t r, T* scratch) {
            const auto at = starts.Of(r);
            const T* from = x.Read(at[0], n, scratch);
            T* to = y.Target(at[1], scratch);
            SoftmaxRow<T, kLog>(from, to, n);
            y.Done(at[1], n, to);
          });
  return Status::Ok();
}

template <class T, bool kLog>
Status RunSoftmaxGrad(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const RowStarts starts({&c.inputs[0], &c.inputs[1], &c.outputs[0]},
                         AxisOf(*c.attrs, c.inputs[0].meta.shape));
  const int64_t n = starts.length();
  if (LiesInPanels<T>(starts, {&c.inputs[0], &c.inputs[1], &c.outputs[0]})) {
    ForPanels(c.stream, starts, n * kStepsPerElement,
              [&](int64_t, const std::array<int64_t, 3>& at, int64_t rows) {
                SoftmaxGradPanel<T, kLog>({c.inputs[0].as<T>() + at[0], starts.stride(0)},
                                          {c.inputs[1].as<T>() + at[1], starts.stride(1)},
                                          {c.outputs[0].as<T>() + at[2], starts.stride(2)}, n,
                                          rows);
              });
    return Status::Ok();
  }
  const Rows<T> dy(c.inputs[0], starts.stride(0)), y(c.inputs[1], starts.stride(1)),
      dx(c.outputs[0], starts.stride(2));
  const bool direct = dy.direct() && y.direct() && dx.direct();
  ForRows(c.stream, starts.rows(), n * kStepsPerElement, direct ? 0 : 2 * n,
          reinterpret_cast<T*>(c.workspace.data()), [&](int64_t r, T* scratch) {
            const auto at = starts.Of(r);
            const T* grad = dy.Read(at[0], n, scratch);
            const T* output = y.Read(at[1], n, scratch + n);
            T* to = dx.Target(at[2], scratch);
            SoftmaxGradRow<T, kLog>(grad, output, to, n);
            dx.Done(at[2], n, to);
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

// In the type the kernel computes in, rounded once.
template <bool kLog>
op::Values DecomposeSoftmax(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Attrs over = {{"dim", std::vector<int64_t>{attrs.Get<int64_t>("dim")}}, {"keepdim", true}};
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = CastTo(b, in[0], StatisticOf(dtype));
  const op::Value centred = b.Call("sub", {x, b.Call("amax", {x}, over)});
  const op::Value e = b.Call("exp", {centred});
  const op::Value sum = b.Call("sum", {e}, over);
  if (kLog) return {CastTo(b, b.Call("sub", {centred, b.Call("log", {sum})}), dtype)};
  return {CastTo(b, b.Call("div", {e, sum}), dtype)};
}

// dx = y * (dy - sum(dy * y)), of which both operands have a gradient.
void GradSoftmaxGrad(op::GradContext& c) {
  const op::Value &dy = c.inputs[0], &y = c.inputs[1], &grad = c.grads[0];
  const int64_t dim = c.attrs.Get<int64_t>("dim");
  const Attrs over = {{"dim", std::vector<int64_t>{dim}}, {"keepdim", true}};
  if (c.Needs(0)) c.Set(0, c.b.Call("softmax_grad", {grad, y}, c.attrs));
  if (!c.Needs(1)) return;
  const op::Value weighted = c.b.Call("sum", {Mul(c.b, dy, y)}, over);
  const op::Value back = c.b.Call("sum", {Mul(c.b, grad, y)}, over);
  const op::Value own = Mul(c.b, grad, c.b.Call("sub", {dy, weighted}));
  c.Set(1, c.b.Call("sub", {own, Mul(c.b, dy, back)}));
}

// dx = dy - exp(y) * sum(dy)
void GradLogSoftmaxGrad(op::GradContext& c) {
  const op::Value &dy = c.inputs[0], &y = c.inputs[1], &grad = c.grads[0];
  const int64_t dim = c.attrs.Get<int64_t>("dim");
  const Attrs over = {{"dim", std::vector<int64_t>{dim}}, {"keepdim", true}};
  const op::Value weighted = Mul(c.b, grad, c.b.Call("exp", {y}));
  if (c.Needs(0)) c.Set(0, c.b.Call("sub", {grad, c.b.Call("sum", {weighted}, over)}));
  if (!c.Needs(1)) return;
  c.Set(1, c.b.Call("neg", {Mul(c.b, weighted, c.b.Call("sum", {dy}, over))}));
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
  for (DType dtype : ListOf(kFloats))
    samples.push_back({std::vector<TensorMeta>(inputs, {dtype, {3, 5}}), {{"dim", int64_t{-1}}}});
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
      .Strided()
      .Autocast(op::Autocast::kFloat32)
      .Samples([] { return SoftmaxSamples(1); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}}, {{"dim", int64_t{2}}}, Code::kOutOfRange, "[-2, 1]"},
           {{{DType::kInt64, {2, 3}}},
            {{"dim", int64_t{1}}},
            Code::kTypeMismatch,
            "int64 is not a floating dtype"}});
  ForEachDType<kFloats>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunSoftmax<T, kLog>, SoftmaxScratch<T, 1>); });
}

template <bool kLog>
void DefineSoftmaxGrad(op::OpDefBuilder& op) {
  op.In("grad")
      .In("output")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferSoftmaxGrad)
      .Sbp(SoftmaxGradRule)
      .Grad(kLog ? GradLogSoftmaxGrad : GradSoftmaxGrad)
      .Flops(FlopsSoftmax)
      .InPlace(0, 0)
      .Strided()
      .Samples([] { return SoftmaxSamples(2); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {3, 2}}},
                      {{"dim", int64_t{1}}},
                      Code::kInvalidArgument,
                      "one shape"}});
  ForEachDType<kFloats>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunSoftmaxGrad<T, kLog>, SoftmaxScratch<T, 2>); });
}

}  // namespace

OFL_OP(softmax) {
  op.Doc("exp(input) normalised to sum 1 along `dim`.")
      .Oracle("softmax(input, dim)")
      .Py("_softmax(input, dim)");
  DefineSoftmax<false>(op);
}

OFL_OP(log_softmax) {
  op.Doc("The logarithm of softmax along `dim`, without overflow.")
      .Oracle("log_softmax(input, dim)")
      .Py("_log_softmax(input, dim)");
  DefineSoftmax<true>(op);
}

OFL_OP(softmax_grad) {
  op.Doc("Gradient of softmax from its output.")
      .Oracle("output * (grad - (grad * output).sum(axis=dim, keepdims=True))")
      .Py("softmax_grad(grad, output, *, dim)");
  DefineSoftmaxGrad<false>(op);
}

OFL_OP(log_softmax_grad) {
  op.Doc("Gradient of log_softmax from its output.")
      .Oracle("grad - np.exp(output) * grad.sum(axis=dim, keepdims=True)")
      .Py("log_softmax_grad(grad, output, *, dim)");
  DefineSoftmaxGrad<true>(op);
}

}  // namespace ofl::ops
