// Losses, composed.
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

bool IsReduction(const std::string& name) {
  return name == "mean" || name == "sum" || name == "none";
}

Status CheckReduction(const char* op, const std::string& name) {
  OFL_ENSURE(IsReduction(name), Code::kInvalidArgument)
      << "[" << op << "] got reduction='" << name << "'; expected 'mean', 'sum' or 'none'";
  return Status::Ok();
}

// --- cross_entropy ------------------------------------------------------------------------------

Status CheckCrossEntropy(std::span<const op::Value> in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  OFL_TRY(CheckReduction("cross_entropy", attrs.Get<std::string>("reduction")));
  OFL_ENSURE(x.shape.rank() == 1 || x.shape.rank() == 2, Code::kInvalidArgument)
      << "[cross_entropy] got input: " << x.shape << "; expected (N, C) or (C,); use "
      << "logits.reshape(-1, C) and target.reshape(-1)";
  const double smoothing = attrs.Get<double>("label_smoothing");
  OFL_ENSURE(smoothing >= 0 && smoothing <= 1, Code::kInvalidArgument)
      << "[cross_entropy] got label_smoothing=" << smoothing << "; expected 0 to 1";
  if (in.size() < 3) return Status::Ok();
  const TensorMeta expected{x.dtype, {x.shape[x.shape.rank() - 1]}};
  OFL_ENSURE(in[2]->meta() == expected, Code::kInvalidArgument)
      << "[cross_entropy] weight must have one number for each class, of input's dtype: got "
      << in[2]->meta().ToString() << "; expected " << expected.ToString();
  return Status::Ok();
}

class CrossEntropy {
 public:
  CrossEntropy(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs)
      : b_(b),
        target_(in[1]),
        dtype_(in[0]->meta().dtype),
        rows_(in[1]->meta().shape),
        x_(CastTo(b, in[0], StatisticOf(dtype_))),
        weight_(in.size() > 2 ? CastTo(b, in[2], StatisticOf(dtype_)) : nullptr),
        ignore_(attrs.Get<int64_t>("ignore_index")),
        smoothing_(attrs.Get<double>("label_smoothing")),
        reduction_(attrs.Get<std::string>("reduction")) {}

  op::Value Run() {
    const op::Values made =
        b_.CallAll("cross_entropy_rows", {x_, target_}, {{"ignore_index", ignore_}});
    op::Value losses = made[0], row_weights;
    if (weight_ != nullptr) {
      row_weights = RowWeights();
      losses = Mul(b_, losses, row_weights);
    }
    if (smoothing_ > 0) {
      losses = b_.Call("add", {MulScalar(b_, losses, 1 - smoothing_),
                               MulScalar(b_, Smooth(made[1]), smoothing_ / Classes())});
    }
    if (reduction_ == "none") return CastTo(b_, losses, dtype_);
    const op::Value total = b_.Call("sum", {losses});
    if (reduction_ == "sum") return CastTo(b_, total, dtype_);
    const op::Value count =
        row_weights != nullptr
            ? b_.Call("sum", {row_weights})
            : b_.Call("count_targets", {target_},
                      {{"ignore_index", ignore_}, {"dtype", StatisticOf(dtype_)}});
    return CastTo(b_, b_.Call("div", {total, count}), dtype_);
  }

 private:
  double Classes() const {
    const Shape& shape = x_->meta().shape;
    return static_cast<double>(shape[shape.rank() - 1]);
  }
  // 1 where a row counts, else 0.
  op::Value Counts(DType dtype) {
    const op::Value none = b_.Call("full_like", {target_}, {{"value", Scalar(ignore_)}});
    return CastTo(b_, b_.Call("ne", {target_, none}), dtype);
  }
  op::Value RowWeights() {
    const op::Value safe = Mul(b_, target_, Counts(DType::kInt64));
    Shape flat{rows_.numel()};
    const op::Value picked =
        b_.Call("index_select", {weight_, b_.Call("reshape", {safe}, {{"shape", DimsOf(flat)}})},
                {{"dim", int64_t{0}}});
    const op::Value shaped = b_.Call("reshape", {picked}, {{"shape", DimsOf(rows_)}});
    return Mul(b_, shaped, Counts(StatisticOf(dtype_)));
  }
  // The sum over the classes of the weighted negative log-probabilities, where a row counts.
  op::Value Smooth(const op::Value& logsumexp) {
    const Attrs over = {{"dim", std::vector<int64_t>{-1}}, {"keepdim", false}};
    op::Value logits = x_, all = MulScalar(b_, logsumexp, Classes());
    if (weight_ != nullptr) {
      logits = Mul(b_, x_, weight_);
      all = Mul(b_, logsumexp, b_.Call("sum", {weight_}));
    }
    const op::Value smooth = b_.Call("sub", {all, b_.Call("sum", {logits}, over)});
    return Mul(b_, smooth, Counts(StatisticOf(dtype_)));
  }

  op::Builder& b_;
  op::Value target_;
  DType dtype_;
  Shape rows_;
  op::Value x_, weight_;
  int64_t ignore_;
  double smoothing_;
  std::string reduction_;
};

op::Values ComposeCrossEntropy(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  if (Status wrong = CheckCrossEntropy(in, attrs); !wrong.ok()) {
    b.Fail(wrong);
    return {nullptr};
  }
  return {CrossEntropy(b, in, attrs).Run()};
}

std::vector<op::Sample> CrossEntropySamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, Attrs attrs, bool weighted) {
    samples.push_back({{{dtype, {5, 4}}, {DType::kInt64, {5}}}, std::move(attrs), 0, 4});
    if (!weighted) return;
    samples.back().inputs.push_back({dtype, {4}});
    samples.back().ranges = {{0, 4}, {0, 4}, {0.5, 2}};
  };
  constexpr DType kF = DType::kFloat32;
  add(kF, {}, true);
  add(kF, {{"ignore_index", int64_t{1}}}, false);
  add(kF, {{"ignore_index", int64_t{2}}, {"label_smoothing", 0.25}}, true);
  add(kF, {{"label_smoothing", 0.1}, {"reduction", std::string("none")}}, false);
  add(kF, {{"reduction", std::string("sum")}}, true);
  for (DType dtype : ListOf(kFloats)) add(dtype, {}, false);
  samples.push_back({{{kF, {4}}, {DType::kInt64, {}}}, {}, 0, 4});
  return samples;
}

// --- mse_loss -----------------------------------------------------------------------------------

op::Values ComposeMseLoss(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape &x = in[0]->meta().shape, &y = in[1]->meta().shape;
  const std::string& reduction = attrs.Get<std::string>("reduction");
  Status wrong = CheckReduction("mse_loss", reduction);
  if (wrong.ok() && !(x == y)) {
    wrong = Error(Code::kInvalidArgument)
            << "[mse_loss] shapes differ: got input: " << x << ", target: " << y
            << "; expected the same shape; use expand or reshape";
  }
  if (!wrong.ok()) {
    b.Fail(wrong);
    return {nullptr};
  }
  const op::Value squares = b.Call("square", {b.Call("sub", {in[0], in[1]})});
  return {reduction == "none" ? squares : b.Call(reduction, {squares})};
}

std::vector<op::Sample> MseSamples() {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, const char* reduction) {
    samples.push_back(
        {{{dtype, {5, 3}}, {dtype, {5, 3}}}, {{"reduction", std::string(reduction)}}});
  };
  add(DType::kFloat32, "sum");
  add(DType::kFloat32, "none");
  for (DType dtype : ListOf(kFloats | kComplexes)) add(dtype, "mean");
  return samples;
}

}  // namespace

OFL_OP(cross_entropy) {
  op.Doc(
        "The negative log-probability of the class indices `target` (N,) under logits `input`\n"
        "(N, C), weighted by class; the mean leaves out rows whose target is ignore_index.")
      .In("input")
      .In("target")
      .InOptional("weight")
      .Out("loss")
      .Attr("ignore_index", op::AttrType::kInt, int64_t{-100})
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .Attr("label_smoothing", op::AttrType::kFloat, 0.0)
      .Autocast(op::Autocast::kFloat32)
      .Compose(ComposeCrossEntropy)
      .Oracle("cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)")
      .Py("cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, "
          "reduce=None, reduction='mean', label_smoothing=0.0)")
      .Functional()
      .Samples(CrossEntropySamples)
      .ErrorSamples({{{{DType::kFloat32, {5, 4}}, {DType::kInt64, {5}}},
                      {{"reduction", std::string("max")}},
                      Code::kInvalidArgument,
                      "got reduction='max'"},
                     {{{DType::kFloat32, {2, 5, 4}}, {DType::kInt64, {2, 5}}},
                      {},
                      Code::kInvalidArgument,
                      "expected (N, C) or (C,)"},
                     {{{DType::kFloat32, {5, 4}}, {DType::kInt64, {5}}, {DType::kFloat32, {5}}},
                      {},
                      Code::kInvalidArgument,
                      "one number for each class"},
                     {{{DType::kFloat32, {5, 4}}, {DType::kInt64, {5}}},
                      {{"label_smoothing", 2.0}},
                      Code::kInvalidArgument,
                      "label_smoothing=2"}});
}

OFL_OP(mse_loss) {
  op.Doc("The squared differences of input and target: their mean, their sum or themselves.")
      .In("input")
      .In("target")
      .Out("loss")
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .Promote(op::Promotion::kCommon)
      .Autocast(op::Autocast::kFloat32)
      .Compose(ComposeMseLoss)
      .Oracle("reduced((input - target) ** 2, reduction)")
      .Py("mse_loss(input, target, size_average=None, reduce=None, reduction='mean', weight=None)")
      .Functional()
      .Samples(MseSamples)
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "shapes differ"},
                     {{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}},
                      {{"reduction", std::string("max")}},
                      Code::kInvalidArgument,
                      "got reduction='max'"}});
}

}  // namespace ofl::ops
