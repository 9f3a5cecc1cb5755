// ctc_loss as it is called: its lengths and reductions, in other operators (ctc_rows.cc).
#include <algorithm>

#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/ctc_rows.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

// One length for each row, in one axis.
op::Value Lengths(op::Builder& b, const op::Value& given) {
  if (given == nullptr) return given;
  const op::Value whole = CastTo(b, given, DType::kInt64);
  return given->meta().shape.rank() > 0 ? whole : b.Call("reshape", {whole}, {{"shape", Ints{1}}});
}

Status CheckCall(Operands in, const Attrs& attrs, int64_t batch) {
  const TensorMeta& probs = in[0]->meta();
  OFL_ENSURE((probs.shape.rank() == 2 || probs.shape.rank() == 3) && probs.shape.numel() > 0,
             Code::kInvalidArgument)
      << "[ctc_loss] log_probs holds no classes: got " << probs.ToString()
      << "; expected (time, batch, classes) or (time, classes), not empty";
  OFL_ENSURE(!IsComplex(in[1]->meta().dtype) && in[1]->meta().dtype != DType::kBool,
             Code::kTypeMismatch)
      << "[ctc_loss] targets are no classes: got " << in[1]->meta().ToString()
      << "; expected integers";
  const auto one_each = [&](int64_t count, const char* name) -> Status {
    OFL_ENSURE(count == batch, Code::kInvalidArgument)
        << "[ctc_loss] " << name << " has " << count << " lengths; expected one for each of the "
        << batch << " rows";
    return Status::Ok();
  };
  const Ints *inputs = attrs.Maybe<Ints>("inputs_of"), *labels = attrs.Maybe<Ints>("labels_of");
  const bool listed = inputs != nullptr && labels != nullptr && in.size() == 2;
  OFL_ENSURE(listed || (inputs == nullptr && labels == nullptr && in.size() == 4),
             Code::kInvalidArgument)
      << "[ctc_loss] lengths are missing, or of two kinds; expected both input_lengths and "
         "target_lengths, as tensors or as lists";
  if (listed) {
    OFL_TRY(one_each(std::ssize(*inputs), "input_lengths"));
    return one_each(std::ssize(*labels), "target_lengths");
  }
  for (size_t i = 2; i < 4; ++i) {
    const TensorMeta& lengths = in[i]->meta();
    OFL_ENSURE(IsInteger(lengths.dtype) && lengths.shape.rank() <= 1, Code::kTypeMismatch)
        << "[ctc_loss] lengths are integers: got " << lengths.ToString()
        << "; expected an integer for each row of the batch";
    OFL_TRY(one_each(lengths.shape.numel(), i == 2 ? "input_lengths" : "target_lengths"));
  }
  return Status::Ok();
}

// The mean over the batch of losses by their numbers of labels, of which there may be none.
op::Value MeanByLabels(op::Builder& b, const op::Value& losses, Operands in, const Attrs& attrs) {
  op::Value labels;
  if (const Ints* listed = attrs.Maybe<Ints>("labels_of"); listed != nullptr) {
    op::Values each;
    const auto batch = std::ssize(*listed);
    for (int64_t n = 0; n < batch; ++n) {
      const op::Value one =
          b.Call("narrow", {losses}, {{"dim", int64_t{0}}, {"start", n}, {"length", int64_t{1}}});
      const double count = static_cast<double>(std::max<int64_t>((*listed)[n], 1));
      each.push_back(b.Call("full_like", {one}, {{"value", Scalar(count)}}));
    }
    labels = b.Call("concat", std::move(each), {{"dim", int64_t{0}}});
  } else {
    labels = AtLeast(b, CastTo(b, Lengths(b, in[3]), losses->meta().dtype), 1);
  }
  return b.Call("mean", {Div(b, losses, labels)});
}

op::Values ComposeCtc(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto how = ReductionOf(attrs);
  if (!how.ok()) return {Wrong(b, how.status())};
  const bool one = in[0]->meta().shape.rank() == 2;
  const int64_t batch = one ? 1 : in[0]->meta().shape.rank() == 3 ? in[0]->meta().shape[1] : 0;
  if (Status wrong = CheckCall(in, attrs, batch); !wrong.ok()) return {Wrong(b, wrong)};
  op::Values operands = {one ? b.Call("unsqueeze", {in[0]}, {{"dim", int64_t{1}}}) : in[0],
                         CastTo(b, in[1], DType::kInt64)};
  Attrs given = {{"blank", attrs.Get<int64_t>("blank")},
                 {"zero_infinity", attrs.Get<bool>("zero_infinity")}};
  if (const Ints* listed = attrs.Maybe<Ints>("inputs_of"); listed != nullptr) {
    given.Set("inputs_of", *listed);
    given.Set("labels_of", *attrs.Maybe<Ints>("labels_of"));
  } else {
    for (size_t i = 2; i < 4; ++i) operands.push_back(Lengths(b, in[i]));
  }
  op::Value losses = b.Call("ctc_rows", std::move(operands), given);
  if (losses != nullptr && attrs.Get<bool>("zero_infinity"))
    losses = Filled(b, Of(b, "isinf", losses), int64_t{0}, losses);
  if (losses == nullptr) return {nullptr};
  if (*how == "mean") return {MeanByLabels(b, losses, in, attrs)};
  if (*how == "sum") return {b.Call("sum", {losses})};
  return {one ? b.Call("reshape", {losses}, {{"shape", Ints{}}}) : losses};
}

constexpr const char* kDoc =
    "The negative logarithm of the probability that the classes along time, whose logarithms are\n"
    "`log_probs` (time, batch, classes), say the labels `targets` once repeats and blanks are left "
    "out.\nThe gradient supposes, as torch's does, that log_probs come from log_softmax. 'mean' "
    "divides each\nloss by its number of labels first.";

op::OpDefBuilder& CtcOp(op::OpDefBuilder& op) {
  return op.Doc(kDoc)
      .Out("output")
      .Attr("blank", op::AttrType::kInt, int64_t{0})
      .Attr("zero_infinity", op::AttrType::kBool, false)
      .Attr("reduction", op::AttrType::kString, std::string("mean"))
      .OptionalAttr("code", op::AttrType::kInt)
      .Traits({op::Trait::kInexactGrad})
      .Compose(ComposeCtc);
}

std::vector<op::Sample> CallSamples(bool listed) {
  std::vector<op::Sample> samples;
  for (const char* reduction : {"mean", "sum", "none"})
    samples.push_back(
        CtcSample({6, 3, 4}, {3, 2}, {{"reduction", std::string(reduction)}}, listed));
  samples.push_back(CtcSample({4, 2, 3}, {2, 3}, {{"zero_infinity", true}}, listed));
  samples.push_back(samples[0]);
  samples.back().inputs[0].dtype = DType::kFloat64;
  return samples;
}

}  // namespace

OFL_OP(ctc_loss) {
  op.In("log_probs").In("targets").In("input_lengths").In("target_lengths");
  CtcOp(op)
      .Oracle(
          "ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, "
          "zero_infinity)")
      .Py("nn.functional.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, "
          "reduction='mean', zero_infinity=False)")
      .Py("ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction: code=0, "
          "zero_infinity=False)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] { return CallSamples(false); });
}

OFL_OP(ctc_loss_listed) {
  op.In("log_probs").In("targets");
  CtcOp(op)
      .OptionalAttr("inputs_of", op::AttrType::kInts)
      .OptionalAttr("labels_of", op::AttrType::kInts)
      .Oracle("ctc_loss(log_probs, targets, inputs_of, labels_of, blank, reduction, zero_infinity)")
      .Py("nn.functional.ctc_loss(log_probs, targets, input_lengths: inputs_of, target_lengths: "
          "labels_of, blank=0, reduction='mean', zero_infinity=False)")
      .Py("ctc_loss(log_probs, targets, input_lengths: inputs_of, target_lengths: labels_of, "
          "blank=0, reduction: code=0, zero_infinity=False)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] { return CallSamples(true); })
      .ErrorSamples({{CtcSample({3, 1, 3}, {1, 2}, {}, true).inputs,
                      {{"inputs_of", Ints{3, 3}}, {"labels_of", Ints{2}}},
                      Code::kInvalidArgument,
                      "one for each of the 1 rows"},
                     {CtcSample({3, 1, 3}, {1, 2}, {}, true).inputs,
                      {{"inputs_of", Ints{3}}},
                      Code::kInvalidArgument,
                      "lengths are missing"}});
}

}  // namespace ofl::ops
