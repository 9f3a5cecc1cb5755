// ctc_rows: the probability of a sequence of labels under every alignment with the inputs (Graves
// et al., ICML 2006), with its gradient. Both run through the trellis in double, one row of the
// batch after the other.
#include "oneflow_like/ops/nn/ctc_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double AddLogs(double a, double b) {
  const double most = std::max(a, b);
  if (most == kNever) return kNever;
  return most + std::log1p(std::exp(std::min(a, b) - most));
}

// --- operands -----------------------------------------------------------------------------------

// log_probs (time, batch, classes); targets (batch, labels), or those of all rows one after the
// other; lengths as two tensors, or as the attributes inputs_of and labels_of. `first` is the
// operand log_probs.
Status CheckCtc(const op::InferContext& c, int first) {
  OFL_TRY(RequireFloat(c, first, "log_probs"));
  const Shape &probs = c.input(first).shape, &targets = c.input(first + 1).shape;
  OFL_ENSURE(probs.rank() == 3, Code::kInvalidArgument)
      << "log_probs has another number of axes; expected (time, batch, classes)";
  const int64_t blank = c.attr<int64_t>("blank");
  OFL_ENSURE(blank >= 0 && blank < probs[2], Code::kInvalidArgument)
      << "blank is no class: got " << blank << "; expected 0 <= blank < " << probs[2];
  OFL_TRY(RequireInt64(c, first + 1, "targets"));
  OFL_ENSURE(targets.rank() == 1 || (targets.rank() == 2 && targets[0] == probs[1]),
             Code::kInvalidArgument)
      << "targets have another shape; expected (batch, labels) or all labels in one vector";
  const Ints* listed = c.maybe<Ints>("inputs_of");
  if (listed != nullptr) {
    const Ints* labels = c.maybe<Ints>("labels_of");
    OFL_ENSURE(labels != nullptr && c.num_inputs() == first + 2, Code::kInvalidArgument)
        << "lengths are given twice or not at all; expected both as lists or both as tensors";
    // Of a shard of the batch the lists are still those of all rows.
    OFL_ENSURE(std::ssize(*listed) >= probs[1] && labels->size() == listed->size(),
               Code::kInvalidArgument)
        << "there is not one length for each row of the batch: got " << listed->size() << " and "
        << labels->size() << "; expected " << probs[1];
    return Status::Ok();
  }
  OFL_ENSURE(c.num_inputs() == first + 4, Code::kInvalidArgument)
      << "lengths are missing; expected input_lengths and target_lengths";
  for (int i = first + 2; i < first + 4; ++i) {
    OFL_TRY(RequireInt64(c, i, "lengths"));
    OFL_ENSURE(c.input(i).shape == Shape{probs[1]}, Code::kInvalidArgument)
        << "there is not one length for each row of the batch; expected " << probs[1];
  }
  return Status::Ok();
}

std::string CtcOperands(std::span<const Shape> in, int first) {
  const bool flat = in[static_cast<size_t>(first) + 1].rank() == 1;
  std::string rule = flat ? "(! ! !),(!)" : "(! n !),(n !)";
  for (size_t i = static_cast<size_t>(first) + 2; i < in.size(); ++i)
    rule += flat ? ",(!)" : ",(n)";
  return rule;
}
std::string CtcRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const bool flat = in[1].rank() == 1;
  return CtcOperands(in, 0) + "->" + (flat ? "(!); never partial" : "(n); never partial; offset n");
}
std::string CtcGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const bool flat = in[3].rank() == 1;
  return (flat ? "(!),(!)," : "(n),(n),") + CtcOperands(in, 2) + "->" +
         (flat ? "(! ! !); linear 0; never partial" : "(! n !); linear 0; never partial; offset n");
}

// --- one row ------------------------------------------------------------------------------------

// Labels with blanks around each: state s of 2 * count + 1.
template <class T>
struct Row {
  const T* probs;  // at time 0
  int64_t step;    // between times
  int64_t times, count;
  const int64_t* labels;
  int64_t blank;

  int64_t states() const { return 2 * count + 1; }
  int64_t LabelOf(int64_t s) const { return s % 2 == 0 ? blank : labels[s / 2]; }
  double Log(int64_t t, int64_t label) const {
    return static_cast<double>(probs[t * step + label]);
  }
  // Whether the blank between two labels may be left out.
  bool Skips(int64_t s) const { return s >= 2 && s % 2 == 1 && labels[s / 2] != labels[s / 2 - 1]; }

  void Start(double* alpha) const {
    std::fill(alpha, alpha + states(), kNever);
    alpha[0] = Log(0, blank);
    if (count > 0) alpha[1] = Log(0, labels[0]);
  }
  void Forward(int64_t t, const double* before, double* alpha) const {
    for (int64_t s = 0; s < states(); ++s) {
      double sum = before[s];
      if (s > 0) sum = AddLogs(sum, before[s - 1]);
      if (Skips(s)) sum = AddLogs(sum, before[s - 2]);
      alpha[s] = sum == kNever ? kNever : sum + Log(t, LabelOf(s));
    }
  }
  double Loss(const double* last) const {
    const int64_t n = states();
    return -(n > 1 ? AddLogs(last[n - 1], last[n - 2]) : last[0]);
  }
};

// What rows a kernel finds, with the checks that need values.
template <class T>
class Rows {
 public:
  Rows(op::KernelContext& c, int first)
      : c_(c), first_(first), probs_(c.inputs[first]), targets_(c.inputs[first + 1]) {
    const Shape& shape = probs_.meta.shape;
    flat_ = targets_.meta.shape.rank() == 1;
    if (const Ints* listed = c.maybe<Ints>("inputs_of"); listed != nullptr) {
      const int64_t start = flat_ ? 0 : c.input_offsets[first][1];
      inputs_ = listed->data() + start;
      labels_ = c.maybe<Ints>("labels_of")->data() + start;
    } else {
      inputs_ = c.inputs[first + 2].as<int64_t>();
      labels_ = c.inputs[first + 3].as<int64_t>();
    }
    times_ = shape[0], batch_ = shape[1], classes_ = shape[2];
  }
  int64_t batch() const { return batch_; }
  int64_t classes() const { return classes_; }
  int64_t times() const { return times_; }

  Result<Row<T>> At(int64_t n) {
    Row<T> row{probs_.as<T>() + n * classes_, batch_ * classes_, inputs_[n], labels_[n], nullptr,
               c_.attr<int64_t>("blank")};
    OFL_ENSURE(row.times >= 0 && row.times <= times_, Code::kInvalidArgument)
        << "input_lengths has a length that log_probs lacks: got " << row.times
        << "; expected 0 to " << times_;
    const int64_t all = targets_.meta.shape[targets_.meta.shape.rank() - 1];
    const int64_t begin = flat_ ? used_ : n * all;
    used_ = flat_ ? used_ + std::max<int64_t>(row.count, 0) : used_;
    OFL_ENSURE(row.count >= 0 && (flat_ ? used_ : row.count) <= all, Code::kInvalidArgument)
        << "target_lengths has a length that targets lack: got " << row.count << "; expected 0 to "
        << all << (flat_ ? " in sum" : "");
    row.labels = targets_.as<int64_t>() + begin;
    for (int64_t i = 0; i < row.count; ++i) {
      OFL_ENSURE(row.labels[i] >= 0 && row.labels[i] < classes_, Code::kOutOfRange)
          << "targets name a class that there is not: got " << row.labels[i] << "; expected 0 to "
          << classes_ - 1;
    }
    return row;
  }
  Status Finish() const {
    const int64_t all = targets_.meta.shape[0];
    OFL_ENSURE(!flat_ || used_ == all, Code::kInvalidArgument)
        << "target_lengths do not add up to the labels: got " << used_ << " and " << all
        << "; expected one sum";
    return Status::Ok();
  }

 private:
  op::KernelContext& c_;
  int first_;
  const op::TensorView &probs_, &targets_;
  const int64_t *inputs_, *labels_;
  int64_t times_ = 0, batch_ = 0, classes_ = 0, used_ = 0;
  bool flat_ = false;
};

int64_t StatesOf(const Shape& targets) { return 2 * targets[targets.rank() - 1] + 1; }

template <class T>
Status RunCtc(op::KernelContext& c) {
  Rows<T> rows(c, 0);
  const int64_t states = StatesOf(c.inputs[1].meta.shape);
  auto* before = reinterpret_cast<double*>(c.workspace.data());
  double* alpha = before + states;
  T* losses = c.outputs[0].as<T>();
  for (int64_t n = 0; n < rows.batch(); ++n) {
    OFL_ASSIGN(const Row<T> row, rows.At(n));
    if (row.times == 0) {
      losses[n] = static_cast<T>(row.count == 0 ? -0.0 : -kNever);
      continue;
    }
    row.Start(alpha);
    for (int64_t t = 1; t < row.times; ++t) {
      std::swap(alpha, before);
      row.Forward(t, before, alpha);
    }
    losses[n] = static_cast<T>(row.Loss(alpha));
  }
  return rows.Finish();
}

// grad * (exp(log_probs) - the share of alignments that pass there), as torch's: the gradient for
// log_probs that come from log_softmax, whose own gradient leaves the first summand as it is.
template <class T>
Status RunCtcGrad(op::KernelContext& c) {
  Rows<T> rows(c, 2);
  const int64_t states = StatesOf(c.inputs[3].meta.shape), classes = rows.classes();
  auto* alphas = reinterpret_cast<double*>(c.workspace.data());
  double* beta = alphas + rows.times() * states;
  double* behind = beta + states;
  double* share = behind + states;
  const T *grads = c.inputs[0].as<T>(), *losses = c.inputs[1].as<T>();
  T* out = c.outputs[0].as<T>();
  std::fill(out, out + c.outputs[0].numel(), T(0));
  for (int64_t n = 0; n < rows.batch(); ++n) {
    OFL_ASSIGN(const Row<T> row, rows.At(n));
    const double loss = static_cast<double>(losses[n]), grad = static_cast<double>(grads[n]);
    if (row.times == 0 || (c.attr<bool>("zero_infinity") && std::isinf(loss))) continue;
    row.Start(alphas);
    for (int64_t t = 1; t < row.times; ++t)
      row.Forward(t, alphas + (t - 1) * states, alphas + t * states);
    for (int64_t t = row.times - 1; t >= 0; --t) {
      std::swap(beta, behind);
      const int64_t count = row.states();
      for (int64_t s = 0; s < count; ++s) {
        double sum = kNever;
        if (t == row.times - 1) {
          sum = s >= count - 2 ? 0 : kNever;
        } else {
          sum = behind[s];
          if (s + 1 < count) sum = AddLogs(sum, behind[s + 1]);
          if (s + 2 < count && row.Skips(s + 2)) sum = AddLogs(sum, behind[s + 2]);
        }
        beta[s] = sum == kNever ? kNever : sum + row.Log(t, row.LabelOf(s));
      }
      std::fill(share, share + classes, kNever);
      for (int64_t s = 0; s < count; ++s) {
        const int64_t label = row.LabelOf(s);
        share[label] = AddLogs(share[label], alphas[t * states + s] + beta[s]);
      }
      T* made = out + (t * rows.batch() + n) * classes;
      for (int64_t k = 0; k < classes; ++k) {
        const double log = row.Log(t, k);
        made[k] = static_cast<T>((std::exp(log) - std::exp(share[k] + loss - log)) * grad);
      }
    }
  }
  return rows.Finish();
}

int64_t CtcBound(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&, int) {
  return SaturatingMul(2 * StatesOf(in[1].shape), sizeof(double));
}
int64_t CtcGradBound(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&,
                     int) {
  const Shape& probs = in[2].shape;
  const int64_t rows = SaturatingMul(probs[0] + 2, StatesOf(in[3].shape));
  return SaturatingMul(SaturatingAdd(rows, probs[2]), sizeof(double));
}

void GradCtc(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  op::Values operands = {c.grads[0], c.outputs[0]};
  operands.insert(operands.end(), c.inputs.begin(), c.inputs.end());
  c.Set(0, c.b.Call("ctc_rows_grad", std::move(operands), c.attrs));
}

op::OpDefBuilder& WithCtcAttrs(op::OpDefBuilder& op) {
  return op.In("log_probs")
      .In("targets")
      .InOptional("input_lengths")
      .InOptional("target_lengths")
      .OptionalAttr("inputs_of", op::AttrType::kInts)
      .OptionalAttr("labels_of", op::AttrType::kInts)
      .Attr("blank", op::AttrType::kInt, int64_t{0})
      .Attr("zero_infinity", op::AttrType::kBool, false);
}

std::vector<op::Sample> RowsSamples() {
  std::vector<op::Sample> samples = {CtcSample({6, 3, 4}, {3, 2}, {}, false),
                                     CtcSample({4, 2, 3}, {2, 3}, {{"zero_infinity", true}}, true),
                                     CtcSample({5, 2, 3}, {4}, {{"blank", int64_t{0}}}, true),
                                     CtcSample({3, 1, 3}, {1, 2}, {}, false),
                                     CtcSample({4, 2, 5}, {2, 0}, {}, true)};
  samples.push_back(samples[0]);
  samples.back().inputs[0].dtype = DType::kFloat64;
  return samples;
}

}  // namespace

op::Sample CtcSample(Shape probs, Shape targets, Attrs attrs, bool listed) {
  op::Sample s{{{DType::kFloat32, probs}, {DType::kInt64, targets}}, std::move(attrs), 0, 3};
  s.low = 0.2, s.high = 2.2;  // labels 1 and 2; lengths 1 and 2
  const int64_t batch = probs[1];
  if (listed) {
    s.attrs.Set("inputs_of", Ints(static_cast<size_t>(batch), probs[0]));
    const int64_t each =
        targets.rank() == 1 ? targets[0] / std::max<int64_t>(batch, 1) : targets[1];
    s.attrs.Set("labels_of", Ints(static_cast<size_t>(batch), each));
  } else {
    for (int i = 0; i < 2; ++i) s.inputs.push_back({DType::kInt64, {batch}});
  }
  return s;
}

OFL_OP(ctc_rows) {
  WithCtcAttrs(op)
      .Doc(
          "ctc_loss of each row of the batch. Lengths are tensors, or the attributes `inputs_of` "
          "and `labels_of`.")
      .Out("output")
      .Infer([](op::InferContext& c) -> Status {
        OFL_TRY(CheckCtc(c, 0));
        c.AddOutput({c.input(0).dtype, {c.input(0).shape[1]}});
        return Status::Ok();
      })
      .Sbp(CtcRule)
      .Grad(GradCtc)
      .Traits({op::Trait::kInexactGrad})
      .Cpu(DType::kFloat32, RunCtc<float>, CtcBound)
      .Cpu(DType::kFloat64, RunCtc<double>, CtcBound)
      .Oracle(
          "ctc_rows(log_probs, targets, inputs_of or input_lengths, labels_of or "
          "target_lengths, blank)")
      .Py("_ctc_rows(log_probs, targets, input_lengths=None, target_lengths=None, *, "
          "inputs_of=None, labels_of=None, blank=0, zero_infinity=False)")
      .Samples(RowsSamples)
      .ErrorSamples({{CtcSample({3, 1, 3}, {1, 2}, {}, true).inputs,
                      {{"inputs_of", Ints{3}}, {"labels_of", Ints{2}}, {"blank", int64_t{3}}},
                      Code::kInvalidArgument,
                      "no class"},
                     {CtcSample({3, 2, 3}, {2, 2}, {}, true).inputs,
                      {{"inputs_of", Ints{3}}, {"labels_of", Ints{2}}},
                      Code::kInvalidArgument,
                      "one length for each row"}});
}

OFL_OP(ctc_rows_grad) {
  op.In("grad").In("loss");
  WithCtcAttrs(op)
      .Doc("The gradient of ctc_rows for log_probs that come from log_softmax.")
      .Out("output")
      .Infer([](op::InferContext& c) -> Status {
        OFL_TRY(CheckCtc(c, 2));
        for (int i : {0, 1}) {
          OFL_TRY(RequireSameDType(c, i, 2, "grad, loss and log_probs"));
          OFL_ENSURE(c.input(i).shape == Shape{c.input(2).shape[1]}, Code::kInvalidArgument)
              << "grad and loss must have one number for each row of the batch; expected "
              << c.input(2).shape[1];
        }
        c.AddOutput(c.input(2));
        return Status::Ok();
      })
      .Sbp(CtcGradRule)
      .NotDifferentiable("torch has no second derivative of ctc_loss either")
      .Traits({op::Trait::kInexactGrad})
      .Cpu(DType::kFloat32, RunCtcGrad<float>, CtcGradBound)
      .Cpu(DType::kFloat64, RunCtcGrad<double>, CtcGradBound)
      .Oracle(
          "ctc_rows_grad(grad, loss, log_probs, targets, inputs_of or input_lengths, labels_of "
          "or target_lengths, blank)")
      .Py("_ctc_rows_grad(grad, loss, log_probs, targets, input_lengths=None, target_lengths=None, "
          "*, inputs_of=None, labels_of=None, blank=0, zero_infinity=False)")
      .Samples([] {
        std::vector<op::Sample> samples = RowsSamples();
        for (op::Sample& s : samples) {
          const TensorMeta each{s.inputs[0].dtype, {s.inputs[0].shape[1]}};
          s.inputs.insert(s.inputs.begin(), 2, each);
        }
        return samples;
      })
      .ErrorSamples([] {
        op::Sample s = CtcSample({3, 2, 3}, {2, 2}, {}, true);
        s.inputs.insert(s.inputs.begin(), 2, {DType::kFloat32, {3}});
        return std::vector<op::ErrorSample>{{s.inputs,
                                             {{"inputs_of", Ints{3, 3}}, {"labels_of", Ints{2, 2}}},
                                             Code::kInvalidArgument,
                                             "one number for each row"}};
      }());
}

}  // namespace ofl::ops
