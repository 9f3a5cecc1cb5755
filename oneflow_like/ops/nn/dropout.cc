// dropout as layers call it: only in training, and only where something is dropped; of single
// elements and of whole channels. And gumbel_softmax, which adds draws.
#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

using Inputs = std::span<const op::Value>;

bool ProbabilityOf(op::Builder& b, const char* name, const Attrs& attrs, double* p) {
  *p = attrs.Get<double>("p");
  if (*p >= 0 && *p <= 1) return true;
  b.Fail(Error(Code::kInvalidArgument)
         << "[" << name << "] got p=" << *p << "; expected a probability between 0 and 1");
  return false;
}

// x times 0, which draws nothing and is of every dtype.
op::Value Nothing(op::Builder& b, const op::Value& x) {
  if (x->meta().dtype == DType::kBool) return ZerosLike(b, x);
  return MulScalar(b, x, int64_t{0});
}

op::Values ComposeDropout(op::Builder& b, Inputs in, const Attrs& attrs) {
  double p = 0;
  if (!ProbabilityOf(b, "dropout", attrs, &p)) return {nullptr};
  if (!attrs.Get<bool>("training") || p == 0) return {in[0]};
  if (p == 1 && !IsFloating(in[0]->meta().dtype)) return {Nothing(b, in[0])};
  return {b.Call("dropout", {in[0]}, {{"p", p}})};
}

// One element for each of the first two axes, its value of no use.
op::Value ChannelsOf(op::Builder& b, const op::Value& x) {
  const Shape& shape = x->meta().shape;
  op::Value channels = x;
  for (int i = 2; i < shape.rank() && channels != nullptr; ++i) {
    channels = shape[i] == 0
                   ? channels
                   : b.Call("narrow", {channels},
                            {{"dim", int64_t{i}}, {"start", int64_t{0}}, {"length", int64_t{1}}});
  }
  return channels == nullptr ? nullptr : OnesLike(b, channels);
}

op::Values ComposeFeatureDropout(op::Builder& b, Inputs in, const Attrs& attrs) {
  double p = 0;
  if (!ProbabilityOf(b, "feature_dropout", attrs, &p)) return {nullptr};
  const TensorMeta& meta = in[0]->meta();
  if (meta.shape.rank() < 2) {
    b.Fail(Error(Code::kInvalidArgument) << "[feature_dropout] input has no channels: got "
                                         << meta.ToString() << "; expected at least 2 axes");
    return {nullptr};
  }
  if (!attrs.Get<bool>("training") || p == 0 || meta.shape.numel() == 0) return {in[0]};
  if (p == 1 && !IsFloating(meta.dtype)) return {Nothing(b, in[0])};
  return {Mul(b, in[0], b.Call("dropout", {ChannelsOf(b, in[0])}, {{"p", p}}))};
}

// Of `axes` spatial axes: (batch, channels, ...), or without the batch. `least`: with fewer axes it
// is refused; others that fit neither are taken as they are, as in torch.
template <int kAxes>
op::Values ComposeDropoutOf(op::Builder& b, Inputs in, const Attrs& attrs) {
  double p = 0;
  const std::string name = "dropout" + std::to_string(kAxes) + "d";
  if (!ProbabilityOf(b, name.c_str(), attrs, &p)) return {nullptr};
  const int rank = in[0]->meta().shape.rank();
  if (kAxes == 1 && rank != 2 && rank != 3) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[dropout1d] input has another number of axes: got " << in[0]->meta().ToString()
           << "; expected (batch, channels, length) or (channels, length)");
    return {nullptr};
  }
  const bool batched = kAxes == 2 || rank == kAxes + 2;
  if (batched) return {b.Call("feature_dropout", {in[0]}, attrs)};
  const op::Value one = b.Call("unsqueeze", {in[0]}, {{"dim", int64_t{0}}});
  const op::Value dropped = b.Call("feature_dropout", {one}, attrs);
  return {b.Call("squeeze", {dropped}, {{"dim", std::vector<int64_t>{0}}})};
}

// Keeps mean and variance of what selu gives: what is dropped becomes its lower limit.
op::Value AlphaDropped(op::Builder& b, const op::Value& x, const op::Value& shaped, double p) {
  constexpr double kLimit = 1.7580993408473766;  // of selu: scale * alpha
  const DType dtype = x->meta().dtype;
  if (p == 1) return MulScalar(b, x, int64_t{0});
  const double scale = 1 / std::sqrt((kLimit * kLimit * p + 1) * (1 - p));
  const op::Value drawn =
      b.Call("uniform_beside", {CastTo(b, shaped, DType::kFloat32)}, {{"low", 0.0}, {"high", 1.0}});
  if (drawn == nullptr) return nullptr;
  const op::Value kept = CastTo(b, Against(b, "ge", drawn, p), dtype);
  const op::Value shift =
      AddScalar(b, MulScalar(b, AddScalar(b, kept, -1.0), kLimit * scale), kLimit * scale * p);
  return Add(b, Mul(b, x, MulScalar(b, kept, scale)), shift);
}

template <bool kChannels>
op::Values ComposeAlphaDropout(op::Builder& b, Inputs in, const Attrs& attrs) {
  double p = 0;
  const char* name = kChannels ? "feature_alpha_dropout" : "alpha_dropout";
  if (!ProbabilityOf(b, name, attrs, &p)) return {nullptr};
  const TensorMeta& meta = in[0]->meta();
  if (!attrs.Get<bool>("training") || p == 0 || meta.shape.numel() == 0) return {in[0]};
  if (kChannels && meta.shape.rank() < 2) {
    b.Fail(Error(Code::kInvalidArgument) << "[feature_alpha_dropout] input has no channels: got "
                                         << meta.ToString() << "; expected at least 2 axes");
    return {nullptr};
  }
  if (p == 1 && !IsFloating(meta.dtype)) return {Nothing(b, in[0])};
  if (!Contains(kFloats, meta.dtype)) {
    b.Fail(Error(Code::kTypeMismatch) << "[" << name << "] input holds no fractions: got "
                                      << meta.ToString() << "; expected a floating dtype");
    return {nullptr};
  }
  return {AlphaDropped(b, in[0], kChannels ? ChannelsOf(b, in[0]) : in[0], p)};
}

op::Values ComposeGumbel(op::Builder& b, Inputs in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  if (!Contains(kFloats, meta.dtype)) {
    b.Fail(Error(Code::kTypeMismatch) << "[gumbel_softmax] logits hold no fractions: got "
                                      << meta.ToString() << "; expected a floating dtype");
    return {nullptr};
  }
  const Attrs along = {{"dim", attrs.Get<int64_t>("dim")}};
  const op::Value noise = Of(b, "neg", Of(b, "log", b.Call("exponential_beside", {in[0]})));
  const op::Value soft = b.Call(
      "softmax", {b.Call("div_scalar", {Add(b, in[0], noise)}, {{"scalar", attrs.Number("tau")}})},
      along);
  if (!attrs.Get<bool>("hard") || soft == nullptr) return {soft};
  // The hard choice, with the gradient of the soft one.
  const op::Value place =
      b.Call("argmax", {soft},
             {{"dim", std::vector<int64_t>{attrs.Get<int64_t>("dim")}}, {"keepdim", true}});
  Attrs put = along;
  put.Set("value", Scalar(1.0));
  const op::Value hard = b.Call("scatter_number", {ZerosLike(b, soft), place}, put);
  return {Add(b, Sub(b, hard, b.Call("without_gradient", {soft})), soft)};
}

std::vector<op::Sample> RestingSamples(Shape shape, bool stays = true) {
  std::vector<op::Sample> samples;
  for (DType dtype : ListOf(kFloats)) samples.push_back({{{dtype, shape}}, {{"training", false}}});
  samples.push_back({{{DType::kFloat32, shape}}, {{"p", 0.0}, {"training", true}}});
  if (stays) samples.push_back({{{DType::kFloat32, shape}}, {{"p", 1.0}, {"training", true}}});
  return samples;
}

op::OpDefBuilder& Dropout(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn,
                          bool training = true) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("p", op::AttrType::kFloat, 0.5)
      .Attr("training", op::AttrType::kBool, training)
      .Compose(fn)
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .Oracle("input * (not (training and p == 1))")  // of the samples, which draw nothing
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"p", 1.5}},
                      Code::kInvalidArgument,
                      "expected a probability between 0 and 1"}});
}

}  // namespace

OFL_OP(dropout_in_training) {
  Dropout(op,
          "In training each element is 0 with probability p, else scaled by 1/(1-p); the input "
          "itself\n"
          "otherwise. Global tensors draw from the job's generator, local ones from the rank's "
          "own.",
          ComposeDropout)
      .Py("dropout(input, p, train: training)")
      .Py("dropout_(input, p, train: training)")
      .Public()
      .Py("nn.functional.dropout(input, p=0.5, training=True, inplace=False)")
      .Samples([] { return RestingSamples({5, 3}); });
}

OFL_OP(feature_dropout) {
  Dropout(op,
          "In training each channel (the first two axes) is 0 with probability p, else scaled by "
          "1/(1-p).",
          ComposeFeatureDropout)
      .Py("feature_dropout(input, p, train: training)")
      .Py("feature_dropout_(input, p, train: training)")
      .Public()
      .Samples([] { return RestingSamples({2, 3, 2}); });
}

OFL_OP(dropout1d) {
  Dropout(op, "dropout of whole channels of (batch, channels, length) or (channels, length).",
          ComposeDropoutOf<1>)
      .Py("nn.functional.dropout1d(input, p=0.5, training=True, inplace=False)")
      .Samples([] { return RestingSamples({3, 2}); });
}

OFL_OP(dropout2d) {
  Dropout(op, "dropout of whole channels: of each place of the first two axes.",
          ComposeDropoutOf<2>)
      .Py("nn.functional.dropout2d(input, p=0.5, training=True, inplace=False)")
      .Samples([] { return RestingSamples({2, 3, 2, 2}); });
}

OFL_OP(dropout3d) {
  Dropout(op,
          "dropout of whole channels of (batch, channels, ...) with three further axes, or without "
          "the batch.",
          ComposeDropoutOf<3>)
      .Py("nn.functional.dropout3d(input, p=0.5, training=True, inplace=False)")
      .Samples([] { return RestingSamples({2, 3, 2, 1}); });
}

OFL_OP(alpha_dropout) {
  Dropout(op,
          "dropout that keeps mean and variance of what selu gives: what is dropped becomes selu's "
          "limit.",
          ComposeAlphaDropout<false>, false)
      .Py("alpha_dropout(input, p, train: training)")
      .Py("alpha_dropout_(input, p, train: training)")
      .Public()
      .Py("nn.functional.alpha_dropout(input, p=0.5, training=False, inplace=False)")
      .Samples([] { return RestingSamples({5, 3}); });
}

OFL_OP(feature_alpha_dropout) {
  Dropout(op, "alpha_dropout of whole channels: of each place of the first two axes.",
          ComposeAlphaDropout<true>, false)
      .Py("feature_alpha_dropout(input, p, train: training)")
      .Py("feature_alpha_dropout_(input, p, train: training)")
      .Public()
      .Py("nn.functional.feature_alpha_dropout(input, p=0.5, training=False, inplace=False)")
      .Samples([] { return RestingSamples({2, 3, 2}); });
}

OFL_OP(gumbel_softmax) {
  op.Doc(
        "softmax of (logits + Gumbel draws) / tau along `dim`; with `hard` the largest as 1 and "
        "the others 0, with the gradient of the soft values.")
      .In("logits")
      .Out("output")
      .Attr("tau", op::AttrType::kScalar, 1.0)
      .Attr("hard", op::AttrType::kBool, false)
      .Attr("eps", op::AttrType::kFloat, 1e-10)
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeGumbel)
      .Traits({op::Trait::kInexactGrad})
      .Oracle("np.ones_like(logits)")  // of the samples, where there is one class
      .Py("nn.functional.gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats)) samples.push_back({{{dtype, {4, 1}}}, {}});
        samples.push_back({{{DType::kFloat32, {1, 3}}}, {{"hard", true}, {"dim", int64_t{0}}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kInt64, {2}}}, {}, Code::kTypeMismatch, "a floating dtype"}});
}

}  // namespace ofl::ops
