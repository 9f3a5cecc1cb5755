// Losses of class indices and class probabilities: nll_loss, cross_entropy.
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

// Class `axis` of an input: 1, or 0 where it has no batch.
int ClassAxis(const Shape& input) { return input.rank() > 1 ? 1 : 0; }

Shape WithoutClasses(Shape input) {
  input.erase(ClassAxis(input));
  return input;
}

Status CheckClassWeight(Operands in) {
  if (in.size() < 3) return Status::Ok();
  const TensorMeta& x = in[0]->meta();
  const TensorMeta expected{x.dtype, {x.shape[ClassAxis(x.shape)]}};
  OFL_ENSURE(in[2]->meta() == expected, Code::kInvalidArgument)
      << "weight must have one number for each class, of input's dtype: got "
      << in[2]->meta().ToString() << "; expected " << expected.ToString();
  return Status::Ok();
}

// Class indices: one for each element of the input without its class axis.
Status CheckTarget(Operands in) {
  const TensorMeta &x = in[0]->meta(), &t = in[1]->meta();
  const bool index = t.dtype == DType::kInt64 || t.dtype == DType::kUInt8;
  OFL_ENSURE(index, Code::kTypeMismatch)
      << "target must hold class indices: got target: " << t.ToString() << "; expected int64"
      << (IsFloating(t.dtype) ? " or, as class probabilities, input's shape " : "")
      << (IsFloating(t.dtype) ? x.shape.ToString() : "");
  OFL_ENSURE(t.shape == WithoutClasses(x.shape), Code::kInvalidArgument)
      << "target fits no rows: got input: " << x.ToString() << ", target: " << t.ToString()
      << "; expected target.shape == " << WithoutClasses(x.shape) << ": the input (N, C), (C,) or "
      << "(N, C, d1, ...) without its classes; of other orders logits.reshape(-1, C) and "
      << "target.reshape(-1) are rows";
  return Status::Ok();
}

Status CheckInput(Operands in) {
  const TensorMeta& x = in[0]->meta();
  OFL_ENSURE(x.shape.rank() > 0, Code::kInvalidArgument)
      << "input has no classes: got input: " << x.ToString() << "; expected (N, C) or (C,)";
  OFL_ENSURE(IsFloating(x.dtype), Code::kTypeMismatch)
      << "the logits are not floating: got input: " << x.ToString() << "; expected float32";
  return CheckClassWeight(in);
}

// Which rows count, as bool, and targets that are classes in any case.
struct Classes {
  op::Value counts, safe;
};
Classes ClassesOf(op::Builder& b, const op::Value& target, int64_t ignored) {
  const op::Value counts = b.Call("compare_number", {target},
                                  {{"compare", std::string("ne")}, {"value", Scalar(ignored)}});
  return {counts, ZeroUnless(b, counts, target)};
}

// Of each row the weight of its class, 0 where it does not count.
op::Value RowWeights(op::Builder& b, const Classes& classes, const op::Value& weight,
                     const Shape& rows) {
  const op::Value flat = ShapedAs(b, classes.safe, Shape{rows.numel()});
  const op::Value picked = b.Call("index_select", {weight, flat}, {{"dim", int64_t{0}}});
  const op::Value shaped = ShapedAs(b, picked, rows);
  return Mul(b, shaped, CastTo(b, classes.counts, weight->meta().dtype));
}

op::Value CountOf(op::Builder& b, const op::Value& target, int64_t ignored, DType dtype) {
  return b.Call("count_targets", {target}, {{"ignore_index", ignored}, {"dtype", dtype}});
}

// --- nll_loss -----------------------------------------------------------------------------------

op::Values ComposeNll(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto how = ReductionOf(attrs);
  if (!how.ok()) return Refused(b, how.status());
  Status wrong = CheckInput(in);
  if (wrong.ok()) wrong = CheckTarget(in);
  if (!wrong.ok()) return Refused(b, wrong);
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  const int64_t ignored = attrs.Get<int64_t>("ignore_index");
  const op::Value target = CastTo(b, in[1], DType::kInt64);
  const Shape rows = target->meta().shape;
  op::Value losses = b.Call("nll_rows", {Wide(b, in[0]), target}, {{"ignore_index", ignored}});
  op::Value weights;
  if (in.size() > 2) {
    const Classes classes = ClassesOf(b, target, ignored);
    if (!b.status().ok()) return {nullptr};
    weights = RowWeights(b, classes, CastTo(b, in[2], wide), rows);
    losses = Mul(b, losses, weights);
  }
  if (*how != "mean") return {CastTo(b, Reduced(b, losses, *how), dtype)};
  const op::Value count =
      weights != nullptr ? Of(b, "sum", weights) : CountOf(b, target, ignored, wide);
  return {CastTo(b, Div(b, Of(b, "sum", losses), count), dtype)};
}

// --- cross_entropy ------------------------------------------------------------------------------

class CrossEntropy {
 public:
  // The classes of `x` stand last.
  CrossEntropy(op::Builder& b, op::Value x, op::Value target, op::Value weight, DType dtype,
               const Attrs& attrs, std::string how)
      : b_(b),
        target_(std::move(target)),
        dtype_(dtype),
        x_(std::move(x)),
        weight_(std::move(weight)),
        ignore_(attrs.Get<int64_t>("ignore_index")),
        smoothing_(attrs.Get<double>("label_smoothing")),
        how_(std::move(how)) {}

  op::Value OfIndices() {
    const Shape rows = target_->meta().shape;
    const op::Values made =
        b_.CallAll("cross_entropy_rows", {x_, target_}, {{"ignore_index", ignore_}});
    op::Value losses = made[0], row_weights;
    Classes classes;
    if (weight_ != nullptr || smoothing_ > 0) classes = ClassesOf(b_, target_, ignore_);
    if (weight_ != nullptr) {
      row_weights = RowWeights(b_, classes, weight_, rows);
      losses = Mul(b_, losses, row_weights);
    }
    if (smoothing_ > 0) {
      losses = Add(b_, MulScalar(b_, losses, 1 - smoothing_),
                   MulScalar(b_, Smooth(made[1], classes.counts), smoothing_ / Count()));
    }
    if (how_ != "mean") return Reduced(b_, losses, how_);
    const op::Value count =
        row_weights != nullptr ? Of(b_, "sum", row_weights) : CountOf(b_, target_, ignore_, dtype_);
    return Div(b_, Of(b_, "sum", losses), count);
  }

  // The mean is by the number of rows, whatever the weights.
  op::Value OfProbabilities() {
    op::Value t = target_;
    if (smoothing_ > 0) t = AddScalar(b_, MulScalar(b_, t, 1 - smoothing_), smoothing_ / Count());
    const op::Value logs = b_.Call("log_softmax", {x_}, {{"dim", int64_t{-1}}});
    op::Value parts = Mul(b_, logs, t);
    if (weight_ != nullptr) parts = Mul(b_, parts, weight_);
    const op::Value losses = Of(b_, "neg", SumOver(b_, parts, -1));
    return Reduced(b_, losses, how_);
  }

 private:
  double Count() const {
    const Shape& shape = x_->meta().shape;
    return static_cast<double>(shape[shape.rank() - 1]);
  }
  // The sum over the classes of the weighted negative log-probabilities, where a row counts.
  op::Value Smooth(const op::Value& logsumexp, const op::Value& counts) {
    op::Value logits = x_, all = MulScalar(b_, logsumexp, Count());
    if (weight_ != nullptr) {
      logits = Mul(b_, x_, weight_);
      all = Mul(b_, logsumexp, Of(b_, "sum", weight_));
    }
    return Mul(b_, Sub(b_, all, SumOver(b_, logits, -1)), CastTo(b_, counts, dtype_));
  }

  op::Builder& b_;
  op::Value target_;
  DType dtype_;  // that it is computed in
  op::Value x_, weight_;
  int64_t ignore_;
  double smoothing_;
  std::string how_;
};

op::Value ClassesLast(op::Builder& b, const op::Value& x) {
  if (x == nullptr || x->meta().shape.rank() < 3) return x;
  return b.Call("movedim", {x},
                {{"source", std::vector<int64_t>{1}}, {"destination", std::vector<int64_t>{-1}}});
}

Status CheckCrossEntropy(Operands in, const Attrs& attrs, bool probabilities) {
  const double smoothing = attrs.Get<double>("label_smoothing");
  OFL_TRY(CheckInput(in));
  OFL_ENSURE(smoothing >= 0 && smoothing <= 1, Code::kInvalidArgument)
      << "got label_smoothing=" << smoothing << "; expected 0 to 1";
  if (!probabilities) return CheckTarget(in);
  OFL_ENSURE(IsFloating(in[1]->meta().dtype), Code::kTypeMismatch)
      << "class probabilities must be floating: got target: " << in[1]->meta().ToString()
      << "; expected " << DTypeName(in[0]->meta().dtype);
  OFL_ENSURE(attrs.Get<int64_t>("ignore_index") < 0, Code::kInvalidArgument)
      << "class probabilities have no index to ignore: got ignore_index="
      << attrs.Get<int64_t>("ignore_index") << "; leave it out";
  return Status::Ok();
}

op::Values ComposeCrossEntropy(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto how = ReductionOf(attrs);
  if (!how.ok()) return Refused(b, how.status());
  const bool probabilities = in[0]->meta().shape == in[1]->meta().shape;
  if (Status wrong = CheckCrossEntropy(in, attrs, probabilities); !wrong.ok())
    return Refused(b, wrong);
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  const op::Value x = ClassesLast(b, CastTo(b, in[0], wide));
  const op::Value weight = in.size() > 2 ? CastTo(b, in[2], wide) : nullptr;
  op::Value target = CastTo(b, in[1], probabilities ? wide : DType::kInt64);
  if (probabilities) target = ClassesLast(b, target);
  if (x == nullptr || target == nullptr || !b.status().ok()) return {nullptr};
  CrossEntropy loss(b, x, target, weight, wide, attrs, *how);
  return {CastTo(b, probabilities ? loss.OfProbabilities() : loss.OfIndices(), dtype)};
}

// --- samples ------------------------------------------------------------------------------------

op::Sample ClassSample(DType dtype, Shape x, Attrs attrs, bool weighted = false) {
  const int axis = x.rank() > 1 ? 1 : 0;
  const auto classes = static_cast<double>(x[axis]);
  op::Sample s{{{dtype, x}, {DType::kInt64, WithoutClasses(x)}}, std::move(attrs), 0, classes};
  if (!weighted) return s;
  s.inputs.push_back({dtype, {x[axis]}});
  s.ranges = {{-2, 2}, {0, classes}, {0.5, 2}};
  return s;
}

std::vector<op::Sample> ClassSamples() {
  constexpr DType kF = DType::kFloat32;
  const Attrs sum = {{"reduction", std::string("sum")}},
              none = {{"reduction", std::string("none")}};
  std::vector<op::Sample> samples = {ClassSample(kF, {5, 4}, {}, true),
                                     ClassSample(kF, {5, 4}, {{"ignore_index", int64_t{1}}}),
                                     ClassSample(kF, {5, 4}, sum, true),
                                     ClassSample(kF, {2, 4, 3}, none),
                                     ClassSample(kF, {2, 3, 2, 2}, {}, true),
                                     ClassSample(kF, {4}, {})};
  for (DType dtype : ListOf(kFloats)) samples.push_back(ClassSample(dtype, {5, 4}, {}));
  return samples;
}

std::vector<op::Sample> CrossEntropySamples() {
  constexpr DType kF = DType::kFloat32;
  auto samples = ClassSamples();
  samples.push_back(
      ClassSample(kF, {5, 4}, {{"ignore_index", int64_t{2}}, {"label_smoothing", 0.25}}, true));
  samples.push_back(
      ClassSample(kF, {5, 4}, {{"label_smoothing", 0.1}, {"reduction", std::string("none")}}));
  for (const Shape& shape : {Shape{5, 4}, Shape{2, 4, 3}, Shape{4}}) {
    op::Sample s{{{kF, shape}, {kF, shape}}, {{"label_smoothing", 0.2}}, -2, 2, ""};
    s.ranges = {{-2, 2}, {0, 1}, {0.5, 2}};
    if (shape.rank() == 2) s.inputs.push_back({kF, {4}});
    samples.push_back(std::move(s));
  }
  return samples;
}

op::OpDefBuilder& ClassLoss(op::OpDefBuilder& op, const char* doc) {
  constexpr DType kF = DType::kFloat32, kI = DType::kInt64;
  return op.Doc(doc)
      .In("input")
      .In("target")
      .InOptional("weight")
      .Out("loss")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .Autocast(op::Autocast::kFloat32)
      .ErrorSamples(
          {{{{kF, {5, 4}}, {kI, {5}}},
            {{"reduction", std::string("max")}},
            Code::kInvalidArgument,
            "got reduction='max'"},
           {{{kF, {2, 5, 4}}, {kI, {2, 5}}},
            {},
            Code::kInvalidArgument,
            "expected target.shape == (2, 4)"},
           {{{kF, {5, 4}}, {DType::kInt32, {5}}}, {}, Code::kTypeMismatch, "expected int64"},
           {{{kF, {5, 4}}, {kI, {5}}, {kF, {5}}},
            {},
            Code::kInvalidArgument,
            "one number for each class"}});
}

}  // namespace

OFL_OP(nll_loss) {
  ClassLoss(
      op,
      "The negative of input (N, C, ...) at the class indices `target` (N, ...), weighted by\n"
      "class; the mean is by the weights, and leaves out targets that are ignore_index.")
      .Compose(ComposeNll)
      .Oracle("nll(input, target, weight, ignore_index, reduction)")
      .Py("nn.functional.nll_loss(input, target, weight=None, size_average=None, "
          "ignore_index=-100, reduce=None, reduction='mean')")
      .Samples(ClassSamples);
}

OFL_OP(cross_entropy) {
  ClassLoss(op,
            "The negative log-probability of the class indices `target` (N, ...) under logits\n"
            "`input` (N, C, ...), weighted by class; the mean is by the weights, and leaves out\n"
            "targets that are ignore_index. A target of input's shape holds class probabilities.")
      .Attr("label_smoothing", op::AttrType::kFloat, 0.0)
      .Compose(ComposeCrossEntropy)
      .Oracle("cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)")
      .Py("cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, "
          "reduce=None, reduction='mean', label_smoothing=0.0)")
      .Functional()
      .Samples(CrossEntropySamples);
}

}  // namespace ofl::ops
