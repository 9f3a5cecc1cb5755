// Cross entropy of logits against class indices, one loss for each row. The mean over the rows
// that count is composed by the caller: sum(losses) / count_targets(target).
#include <algorithm>
#include <cmath>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/panels.h"
#include "oneflow_like/ops/nn/row_math.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

constexpr int64_t kStepsPerElement = 8;

Status CheckTargets(const op::InferContext& c, const Shape& logits, int target) {
  OFL_TRY(RequireInt64(c, target, "target"));
  OFL_ENSURE(
      logits.rank() >= 1 && c.input(target).shape == Shape(logits.dims().first(logits.rank() - 1)),
      Code::kInvalidArgument)
      << "target must have one class index for each row of logits; expected target.shape == "
         "input.shape[:-1]";
  return Status::Ok();
}

Status InferCrossEntropy(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  OFL_TRY(CheckTargets(c, c.input(0).shape, 1));
  c.AddOutput({c.input(0).dtype, c.input(1).shape});
  c.AddOutput({StatisticOf(c.input(0).dtype), c.input(1).shape});
  return Status::Ok();
}

Status InferCrossEntropyGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats));
  OFL_TRY(CheckTargets(c, c.input(1).shape, 2));
  for (int i : {0, 3, 4}) {
    if (i >= c.num_inputs()) continue;
    const DType dtype = i == 0 ? c.input(1).dtype : StatisticOf(c.input(1).dtype);
    OFL_ENSURE(c.input(i) == (TensorMeta{dtype, c.input(2).shape}), Code::kInvalidArgument)
        << "grad and logsumexp must have one value for each row";
  }
  c.AddOutput(c.input(1));
  return Status::Ok();
}

std::string CrossEntropyRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string rows = Labels("n", in[1].rank());
  return "(" + rows + " !),(" + rows + ")->(" + rows + "),(" + rows + ")";
}

std::string CrossEntropyGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string rows = "(" + Labels("n", in[2].rank()) + ")";
  const std::string full = "(" + Labels("n", in[2].rank()) + " c)";
  std::string text = rows + "," + full + "," + rows + "," + rows;
  if (in.size() > 4) text += "," + rows;
  text += "->" + full + "; offset c";
  return text + (in.size() > 4 ? "; linear jointly 0 4" : "; linear 0") +
         "; never partial max min";  // holds only where no gradient is negative
}

Status CheckClasses(const char* op, const int64_t* target, int64_t count, int64_t classes,
                    int64_t ignored) {
  for (int64_t i = 0; i < count; ++i)
    OFL_ENSURE((target[i] >= 0 && target[i] < classes) || target[i] == ignored, Code::kOutOfRange)
        << "[" << op << "] a target is not a class: got " << target[i] << " at position " << i
        << "; expected 0 <= target < " << classes << " or ignore_index=" << ignored;
  return Status::Ok();
}

// A row for each thread, of half types, and of rows that may be strided.
template <class T, int kLogits>
int64_t CrossEntropyScratch(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                            const Attrs&, int threads) {
  const TensorMeta& logits = in[kLogits];
  if (!IsHalf(logits.dtype) && kLogits > 0) return 0;
  const int64_t rows = in[kLogits + 1].shape.numel();
  return RowScratch<T>(rows, logits.shape[logits.shape.rank() - 1], threads);
}

template <class T>
Status RunCrossEntropy(op::KernelContext& c) {
  const int64_t rows = c.inputs[1].numel();
  const Shape& shape = c.inputs[0].meta.shape;
  const int64_t classes = shape[shape.rank() - 1];
  const int64_t ignored = c.attr<int64_t>("ignore_index");
  const int64_t* target = c.inputs[1].as<int64_t>();
  OFL_TRY(CheckClasses("cross_entropy_rows", target, rows, classes, ignored));
  if (rows == 0) return Status::Ok();
  const RowStarts starts({&c.inputs[0]}, shape.rank() - 1);
  T* lse = c.outputs[1].as<T>();
  if (LiesInPanels<T>(starts, {&c.inputs[0]})) {
    ForPanels(c.stream, starts, classes * kStepsPerElement,
              [&](int64_t first, const std::array<int64_t, 3>& at, int64_t count) {
                const Side<const T> x{c.inputs[0].as<T>() + at[0], starts.stride(0)};
                T max[kPanel], sum[kPanel];
                PanelMax(x, classes, count, max);
                PanelSumExp(x, classes, count, max, sum);
                for (int64_t k = 0; k < count; ++k) {
                  const int64_t r = first + k;
                  const T log_sum = std::log(sum[k]);
                  lse[r] = max[k] + log_sum;
                  c.outputs[0].as<T>()[r] =
                      target[r] == ignored ? T(0)
                                           : log_sum - (x.data[target[r] * x.step + k] - max[k]);
                }
              });
    return Status::Ok();
  }
  const Rows<T> x(c.inputs[0], starts.stride(0)), losses(c.outputs[0]);
  ForRows(c.stream, rows, classes * kStepsPerElement, x.direct() ? 0 : classes,
          reinterpret_cast<T*>(c.workspace.data()), [&](int64_t r, T* scratch) {
            const T* row = x.Read(starts.Of(r)[0], classes, scratch);
            const T max = RowMax(row, classes);
            const T log_sum = std::log(RowSumExp(row, classes, max));
            lse[r] = max + log_sum;
            T one;
            T* loss = losses.Target(r, &one);
            *loss = target[r] == ignored ? T(0) : log_sum - (row[target[r]] - max);
            losses.Done(r, 1, loss);
          });
  return Status::Ok();
}

template <class T>
Status RunCrossEntropyGrad(op::KernelContext& c) {
  const int64_t rows = c.inputs[2].numel();
  const Shape& shape = c.inputs[1].meta.shape;
  const int64_t classes = shape[shape.rank() - 1];
  const int64_t first = c.input_offsets[1][shape.rank() - 1];
  const int64_t all_classes = c.logical_inputs[1].shape[shape.rank() - 1];
  const int64_t ignored = c.attr<int64_t>("ignore_index");
  const int64_t* target = c.inputs[2].as<int64_t>();
  OFL_TRY(CheckClasses("cross_entropy_grad", target, rows, all_classes, ignored));
  const Rows<T> grad(c.inputs[0]), x(c.inputs[1]), dx(c.outputs[0]);
  const T* lse = c.inputs[3].as<T>();
  const T* lse_grad = c.inputs.size() > 4 ? c.inputs[4].as<T>() : nullptr;
  if (classes == 0) return Status::Ok();
  ForRows(c.stream, rows, classes * kStepsPerElement, x.direct() ? 0 : classes,
          reinterpret_cast<T*>(c.workspace.data()), [&](int64_t r, T* scratch) {
            T one;
            const bool counts = target[r] != ignored;
            const T loss_grad = counts ? *grad.Read(r, 1, &one) : T(0);
            const T factor = loss_grad + (lse_grad != nullptr ? lse_grad[r] : T(0));
            const T* row = x.Read(r * classes, classes, scratch);
            T* to = dx.Target(r * classes, scratch);
            RowExpTimes(row, to, classes, lse[r], factor);
            const int64_t own = target[r] - first;
            if (counts && own >= 0 && own < classes) to[own] -= loss_grad;
            dx.Done(r * classes, classes, to);
          });
  return Status::Ok();
}

void GradCrossEntropy(op::GradContext& c) {
  if ((!c.grads[0] && !c.grads[1]) || !c.Needs(0)) return;
  op::Value grad = c.grads[0];
  if (!grad) grad = c.b.Call("zeros_like", {c.outputs[0]});
  op::Values operands = {grad, c.inputs[0], c.inputs[1], c.outputs[1]};
  if (c.grads[1]) operands.push_back(c.grads[1]);
  c.Set(0, c.b.Call("cross_entropy_grad", operands, c.attrs));
}

// Which rows count, as 0 and 1 in `dtype`, and targets that are classes in any case.
struct Targets {
  op::Value counts, safe;
};
Targets TargetsOf(op::Builder& b, const op::Value& target, int64_t ignored, DType dtype) {
  const op::Value none = b.Call("full_like", {target}, {{"value", Scalar(ignored)}});
  const op::Value counts = b.Call("ne", {target, none});
  return {CastTo(b, counts, dtype), Mul(b, target, CastTo(b, counts, DType::kInt64))};
}

op::Value As(op::Builder& b, const op::Value& v, const Shape& shape) {
  return b.Call("reshape", {v}, {{"shape", DimsOf(shape)}});
}
Shape ColumnOf(Shape rows) {
  rows.push_back(1);
  return rows;
}
const Attrs& OverClasses() {
  static const Attrs over = {{"dim", std::vector<int64_t>{-1}}, {"keepdim", true}};
  return over;
}

// The gradient's own gradients. With p = exp(x - lse), c = 1 where a row counts and the picked
// class k, dx = p * (c * grad + lse_grad) - c * grad at k. What flows back to dx is u.
void GradCrossEntropyGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  const DType dtype = c.inputs[1]->meta().dtype, wide = StatisticOf(dtype);
  const Shape rows = c.inputs[2]->meta().shape, column = ColumnOf(rows);
  const Targets targets = TargetsOf(b, c.inputs[2], c.attrs.Get<int64_t>("ignore_index"), wide);
  const op::Value u = CastTo(b, c.grads[0], wide);
  const op::Value p =
      b.Call("exp", {b.Call("sub", {CastTo(b, c.inputs[1], wide), As(b, c.inputs[3], column)})});
  const op::Value up = Mul(b, u, p);
  const op::Value sum = As(b, b.Call("sum", {up}, OverClasses()), rows);
  op::Value factor = Mul(b, CastTo(b, c.inputs[0], wide), targets.counts);
  if (c.inputs.size() > 4) factor = b.Call("add", {factor, c.inputs[4]});
  if (c.Needs(0)) {
    const op::Value picked =
        b.Call("gather", {u, As(b, targets.safe, column)}, {{"dim", int64_t{-1}}});
    const op::Value own = b.Call("sub", {sum, As(b, picked, rows)});
    c.Set(0, CastTo(b, Mul(b, targets.counts, own), dtype));
  }
  if (c.Needs(1)) c.Set(1, CastTo(b, Mul(b, up, As(b, factor, column)), dtype));
  if (c.Needs(3)) c.Set(3, b.Call("neg", {Mul(b, sum, factor)}));
  if (c.inputs.size() > 4 && c.Needs(4)) c.Set(4, sum);
}

// For layouts that split the classes: the maximum, the sum and the picked logit become partial.
op::Values DecomposeCrossEntropy(op::Builder& b, std::span<const op::Value> in,
                                 const Attrs& attrs) {
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  const op::Value x = CastTo(b, in[0], wide);
  const Shape rows = in[1]->meta().shape, column = ColumnOf(rows);
  const Targets targets = TargetsOf(b, in[1], attrs.Get<int64_t>("ignore_index"), wide);
  op::Value max = b.Call("amax", {x}, OverClasses());
  op::Value sum = b.Call("sum", {b.Call("exp", {b.Call("sub", {x, max})})}, OverClasses());
  op::Value lse = As(b, b.Call("add", {b.Call("log", {sum}), max}), rows);
  op::Value picked = b.Call("gather", {x, As(b, targets.safe, column)}, {{"dim", int64_t{-1}}});
  op::Value loss = Mul(b, b.Call("sub", {lse, As(b, picked, rows)}), targets.counts);
  return {CastTo(b, loss, dtype), lse};
}

// --- count_targets ------------------------------------------------------------------------------

Status InferCountTargets(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 0, "target"));
  const DType dtype = c.attr<DType>("dtype");
  OFL_ENSURE(dtype == DType::kFloat32 || dtype == DType::kFloat64, Code::kTypeMismatch)
      << "the count is a divisor; expected dtype float32 or float64";
  c.AddOutput({dtype, {}});
  return Status::Ok();
}

std::string CountTargetsRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  std::string text = "(" + Labels("n", in[0].rank()) + ")->()";
  for (int i = 0; i < in[0].rank(); ++i) text += "; reduce n" + std::to_string(i) + " by sum";
  return text;
}

Status RunCountTargets(op::KernelContext& c) {
  const int64_t* target = c.inputs[0].as<int64_t>();
  const int64_t n = c.inputs[0].numel(), ignored = c.attr<int64_t>("ignore_index");
  const int64_t count = n - std::count(target, target + n, ignored);
  if (c.outputs[0].meta.dtype == DType::kFloat64) {
    *c.outputs[0].as<double>() = static_cast<double>(count);
  } else {
    *c.outputs[0].as<float>() = static_cast<float>(count);
  }
  return Status::Ok();
}

int64_t FlopsCrossEntropy(std::span<const TensorMeta> in, std::span<const TensorMeta>,
                          const Attrs&) {
  return 4 * in[0].shape.numel();
}
int64_t FlopsCrossEntropyGrad(std::span<const TensorMeta>, std::span<const TensorMeta> out,
                              const Attrs&) {
  return 3 * out[0].shape.numel();
}

op::Sample LossSample(Shape logits, int64_t ignore_index, DType dtype = DType::kFloat32) {
  const Shape rows(logits.dims().first(logits.rank() - 1));
  return {{{dtype, logits}, {DType::kInt64, rows}},
          {{"ignore_index", ignore_index}},
          0,
          static_cast<double>(logits[logits.rank() - 1])};
}

op::Sample LossGradSample(Shape logits, int64_t ignore_index, bool lse_grad,
                          DType dtype = DType::kFloat32) {
  op::Sample s = LossSample(logits, ignore_index, dtype);
  const Shape rows = s.inputs[1].shape;
  s.inputs.insert(s.inputs.begin(), TensorMeta{dtype, rows});
  s.inputs.push_back({StatisticOf(dtype), rows});
  if (lse_grad) s.inputs.push_back({StatisticOf(dtype), rows});
  return s;
}

}  // namespace

OFL_OP(cross_entropy_rows) {
  op.Doc(
        "The negative log-probability of each row's class: logsumexp(input[r]) -\n"
        "input[r, target[r]], and 0 where target is ignore_index. Also gives logsumexp.")
      .In("input")
      .In("target")
      .Out("loss")
      .Out("logsumexp")
      .Strided("input")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Infer(InferCrossEntropy)
      .Sbp(CrossEntropyRule)
      .Grad(GradCrossEntropy)
      .Decompose(DecomposeCrossEntropy)
      .Flops(FlopsCrossEntropy)
      .Autocast(op::Autocast::kFloat32)
      .Oracle("cross_entropy_rows(input, target, ignore_index)")
      .Py("cross_entropy_rows(input, target, *, ignore_index=-100)")
      .Samples([] {
        std::vector<op::Sample> samples{LossSample({7, 6}, 1), LossSample({2, 3, 4}, -100),
                                        LossSample({0, 3}, -100), LossSample({3, 40}, -100)};
        for (DType dtype : ListOf(kFloats)) samples.push_back(LossSample({5, 4}, -100, dtype));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 4}}, {DType::kInt64, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "target.shape == input.shape[:-1]"},
                     {{{DType::kFloat32, {5, 4}}, {DType::kFloat32, {5}}},
                      {},
                      Code::kTypeMismatch,
                      "int64"}});
  ForEachDType<kFloats>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunCrossEntropy<T>, CrossEntropyScratch<T, 0>); });
}

OFL_OP(cross_entropy_grad) {
  op.Doc(
        "Gradient of cross_entropy_rows: (softmax(input) - one_hot(target)) * grad by row.\n"
        "The classes may be split, since logsumexp is of the whole row.")
      .In("grad")
      .In("input")
      .In("target")
      .In("logsumexp")
      .InOptional("logsumexp_grad")
      .Out("input_grad")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Infer(InferCrossEntropyGrad)
      .Sbp(CrossEntropyGradRule)
      .Grad(GradCrossEntropyGrad)
      .Flops(FlopsCrossEntropyGrad)
      .Oracle("cross_entropy_grad(ignore_index, grad, input, target, logsumexp, logsumexp_grad)")
      .Py("cross_entropy_grad(grad, input, target, logsumexp, logsumexp_grad=None, *, "
          "ignore_index=-100)")
      .Samples([] {
        std::vector<op::Sample> samples{LossGradSample({6, 3}, 1, true),
                                        LossGradSample({2, 3, 4}, -100, false),
                                        LossGradSample({0, 3}, -100, false)};
        for (DType dtype : ListOf(kFloats))
          samples.push_back(LossGradSample({5, 4}, -100, dtype != DType::kFloat32, dtype));
        return samples;
      });
  ForEachDType<kFloats>([&]<class T>(DType dtype) {
    op.Cpu(dtype, RunCrossEntropyGrad<T>, CrossEntropyScratch<T, 1>);
  });
}

OFL_OP(count_targets) {
  op.Doc(
        "How many elements of `target` are not ignore_index, as a floating-point scalar: what a\n"
        "mean loss divides by.")
      .In("target")
      .Out("count")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Attr("dtype", op::AttrType::kDType, DType::kFloat32)
      .Infer(InferCountTargets)
      .Sbp(CountTargetsRule)
      .NotDifferentiable("a count is piecewise constant")
      .Oracle("np.sum(target != ignore_index)")
      .Cpu(DType::kInt64, RunCountTargets)
      .Py("count_targets(target, *, ignore_index=-100, dtype=float32)")
      .Samples([]() -> std::vector<op::Sample> {
        const auto sample = [](Shape s) {
          return op::Sample{{{DType::kInt64, s}}, {{"ignore_index", int64_t{1}}}, 0, 3};
        };
        return {sample({5}), sample({2, 3}), sample({0}), sample({})};
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}}, {}, Code::kTypeMismatch, "int64"}});
}

}  // namespace ofl::ops
