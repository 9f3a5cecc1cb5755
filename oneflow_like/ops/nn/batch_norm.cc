// Normalisations in other operators: batch, instance, group, rms, local response.
//
// Statistics are means over logical axes: under a split batch those of the whole batch.
#include <limits>

#include "oneflow_like/ops/nn/group_affine.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

struct Running {
  op::Value mean, var;
};

op::Value Over(op::Builder& b, const char* how, const op::Value& x, const Ints& axes) {
  return b.Call(how, {x}, {{"dim", axes}, {"keepdim", true}});
}

// One number a channel, in the shape that broadcasts to the input: (1, C, 1, ...).
op::Value Channels(op::Builder& b, const op::Value& x, int rank, DType dtype) {
  Shape shape;
  for (int i = 0; i < rank; ++i) shape.push_back(i == 1 ? x->meta().shape.numel() : 1);
  return ShapedAs(b, CastTo(b, x, dtype), shape);
}

Status CheckChannels(const char* name, const op::Value* x, int64_t channels) {
  if (x == nullptr) return Status::Ok();
  const TensorMeta& meta = (*x)->meta();
  OFL_ENSURE(meta.shape == Shape{channels} && IsFloating(meta.dtype), Code::kInvalidArgument)
      << name << " must have one number for each channel: got " << meta.ToString()
      << "; expected the shape " << Shape{channels};
  return Status::Ok();
}

constexpr const char* kOperands[] = {"input", "running_mean", "running_var", "weight", "bias"};

Status CheckNorm(Operands in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  OFL_ENSURE(x.shape.rank() >= 2, Code::kInvalidArgument)
      << "input has no channels: got " << x.ToString() << "; expected (N, C, ...)";
  OFL_ENSURE(IsFloating(x.dtype), Code::kTypeMismatch)
      << "got input: " << x.ToString() << "; expected a floating dtype, as float32";
  for (size_t i = 1; i < 5; ++i)
    OFL_TRY(CheckChannels(kOperands[i], OperandAt(in, attrs, i), x.shape[1]));
  return Status::Ok();
}

Running RunningOf(Operands in, const Attrs& attrs) {
  const op::Value *mean = OperandAt(in, attrs, 1), *var = OperandAt(in, attrs, 2);
  return {mean != nullptr ? *mean : nullptr, var != nullptr ? *var : nullptr};
}

// old <- (1 - momentum) old + momentum seen, in place; no gradient passes.
void Update(op::Builder& b, const op::Value& old, const op::Value& seen, double momentum) {
  if (old == nullptr || seen == nullptr) return;
  const DType dtype = old->meta().dtype, wide = StatisticOf(dtype);
  const op::Value fresh =
      CastTo(b, b.Call("without_gradient", {ShapedAs(b, seen, old->meta().shape)}), wide);
  const op::Value kept = MulScalar(b, CastTo(b, old, wide), 1 - momentum);
  const op::Value value = CastTo(b, Add(b, kept, MulScalar(b, fresh, momentum)), dtype);
  if (value != nullptr) (void)b.CallAll("assign", {old, value});
}

// x * scale + bias in one pass; either may be missing.
op::Value Affine(op::Builder& b, const op::Value& x, const op::Value& scale,
                 const op::Value& bias) {
  if (scale == nullptr) return bias == nullptr ? x : Add(b, x, bias);
  if (bias == nullptr) return Mul(b, x, scale);
  return b.Call("addcmul", {bias, x, scale});
}

// (x - mean) / sqrt(var + eps) * weight + bias, in x's dtype. Channels are axis 1.
op::Value Scaled(op::Builder& b, const op::Value& centred, const op::Value& var,
                 const op::Value* weight, const op::Value* bias, double eps) {
  if (centred == nullptr) return nullptr;
  const int rank = centred->meta().shape.rank();
  const DType dtype = centred->meta().dtype;
  op::Value scale = Of(b, "rsqrt", AddScalar(b, var, eps));
  if (weight != nullptr) scale = Mul(b, scale, Channels(b, *weight, rank, dtype));
  return Affine(b, centred, scale, bias != nullptr ? Channels(b, *bias, rank, dtype) : nullptr);
}

// Normalises by statistics over `axes`, and lets the running ones follow them: of each channel the
// mean over those axes and the variance with one degree of freedom less.
op::Value ByOwnStatistics(op::Builder& b, Operands in, const Attrs& attrs, const Ints& axes) {
  const op::Value x = Wide(b, in[0]);
  const Shape& shape = in[0]->meta().shape;
  const op::Value mean = Over(b, "mean", x, axes);
  const op::Value centred = Sub(b, x, mean);
  const op::Value var = Over(b, "mean", Of(b, "square", centred), axes);
  const Running running = RunningOf(in, attrs);
  if (running.mean != nullptr || running.var != nullptr) {
    double count = 1;
    for (int64_t axis : axes) count *= static_cast<double>(shape[static_cast<int>(axis)]);
    const double momentum = attrs.Get<double>("momentum");
    const op::Value spread = MulScalar(b, var, count / (count - 1));
    const bool each = axes.front() != 0;  // of every instance: their mean counts
    Update(b, running.mean, each ? Over(b, "mean", mean, {0}) : mean, momentum);
    Update(b, running.var, each ? Over(b, "mean", spread, {0}) : spread, momentum);
  }
  const op::Value y = Scaled(b, centred, var, OperandAt(in, attrs, 3), OperandAt(in, attrs, 4),
                             attrs.Get<double>("eps"));
  return CastTo(b, y, in[0]->meta().dtype);
}

op::Value ByRunning(op::Builder& b, Operands in, const Attrs& attrs) {
  const Running running = RunningOf(in, attrs);
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  if (running.mean == nullptr || running.var == nullptr) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "there are no running statistics to normalise by: got None; expected "
                           "running_mean and running_var, or statistics of the input");
  }
  // What is the same for every element of a channel comes first, so that one pass is left.
  op::Value scale =
      Of(b, "rsqrt", AddScalar(b, CastTo(b, running.var, wide), attrs.Get<double>("eps")));
  if (const op::Value* weight = OperandAt(in, attrs, 3))
    scale = Mul(b, scale, CastTo(b, *weight, wide));
  op::Value shift = Of(b, "neg", Mul(b, CastTo(b, running.mean, wide), scale));
  if (const op::Value* bias = OperandAt(in, attrs, 4))
    shift = Add(b, shift, CastTo(b, *bias, wide));
  if (scale == nullptr || shift == nullptr) return nullptr;
  const int rank = in[0]->meta().shape.rank();
  const op::Value y = Affine(b, CastTo(b, in[0], wide), Channels(b, scale, rank, wide),
                             Channels(b, shift, rank, wide));
  return CastTo(b, y, dtype);
}

Ints AxesFrom(int first, int rank) {
  Ints axes;
  for (int i = first; i < rank; ++i) axes.push_back(i);
  return axes;
}

// Statistics of a single value say nothing.
Status CheckCount(const Shape& shape, bool with_batch) {
  int64_t count = with_batch ? shape[0] : 1;
  for (int i = 2; i < shape.rank(); ++i) count = SaturatingMul(count, shape[i]);
  OFL_ENSURE(count != 1, Code::kInvalidArgument)
      << "statistics of one value a channel: got input: " << shape
      << "; expected more than 1 value per channel when training";
  return Status::Ok();
}

op::Values ComposeBatchNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  Status wrong = CheckNorm(in, attrs);
  const bool training = attrs.Get<bool>("training");
  const double eps = attrs.Get<double>("eps");
  if (wrong.ok() && (eps < 0 || (training && eps == 0))) {
    wrong = Error(Code::kInvalidArgument)
            << "got eps=" << eps << "; expected a positive number (0 outside of training)";
  }
  if (wrong.ok() && training) wrong = CheckCount(in[0]->meta().shape, true);
  if (!wrong.ok()) return Refused(b, wrong);
  if (!training) return {ByRunning(b, in, attrs)};
  Ints axes = AxesFrom(2, in[0]->meta().shape.rank());
  axes.insert(axes.begin(), 0);
  return {ByOwnStatistics(b, in, attrs, axes)};
}

// Of groups of channels, in parts that take any of the operands.
op::Value ByGroups(op::Builder& b, const op::Value& x, int64_t groups, const op::Value* weight,
                   const op::Value* bias, double eps) {
  const Shape shape = x->meta().shape;
  const DType dtype = x->meta().dtype, wide = StatisticOf(dtype);
  int64_t each = shape[1] / groups;
  for (int i = 2; i < shape.rank(); ++i) each = SaturatingMul(each, shape[i]);
  const op::Value normal = NormalisedGroups(b, Wide(b, x), groups, each, eps);
  const auto channels = [&](const op::Value* of) {
    return of == nullptr ? nullptr : Channels(b, *of, shape.rank(), wide);
  };
  return CastTo(b, Affine(b, normal, channels(weight), channels(bias)), dtype);
}

op::Values ComposeInstanceNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  Status wrong = CheckNorm(in, attrs);
  const bool own = attrs.Get<bool>("use_input_stats");
  if (wrong.ok() && own) wrong = CheckCount(in[0]->meta().shape, false);
  if (!wrong.ok()) return Refused(b, wrong);
  if (!own) return {ByRunning(b, in, attrs)};
  const Running running = RunningOf(in, attrs);
  const Shape shape = in[0]->meta().shape;
  if (running.mean != nullptr || running.var != nullptr || shape.numel() == 0)
    return {ByOwnStatistics(b, in, attrs, AxesFrom(2, shape.rank()))};
  return {ByGroups(b, in[0], shape[1], OperandAt(in, attrs, 3), OperandAt(in, attrs, 4),
                   attrs.Get<double>("eps"))};
}

// --- group_norm ---------------------------------------------------------------------------------

Status CheckGroups(Operands in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  const int64_t groups = attrs.Get<int64_t>("num_groups");
  OFL_ENSURE(x.shape.rank() >= 2, Code::kInvalidArgument)
      << "input has no channels: got " << x.ToString() << "; expected (N, C, ...)";
  OFL_ENSURE(groups > 0 && x.shape[1] % groups == 0, Code::kInvalidArgument)
      << "the channels fall into no groups: got input: " << x.ToString()
      << ", num_groups=" << groups << "; expected a divisor of " << x.shape[1];
  for (size_t i = 1; i < 3; ++i)
    OFL_TRY(CheckChannels(i == 1 ? "weight" : "bias", OperandAt(in, attrs, i), x.shape[1]));
  return Status::Ok();
}

op::Values ComposeGroupNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  if (Status wrong = CheckGroups(in, attrs); !wrong.ok()) return Refused(b, wrong);
  const Shape shape = in[0]->meta().shape;
  const int64_t groups = attrs.Get<int64_t>("num_groups"), channels = shape[1] / groups;
  const double eps = attrs.Get<double>("eps");
  const op::Value *weight = OperandAt(in, attrs, 1), *bias = OperandAt(in, attrs, 2);
  if (weight == nullptr || bias == nullptr || shape.numel() == 0)
    return {ByGroups(b, in[0], groups, weight, bias, eps)};
  const DType dtype = in[0]->meta().dtype, wide = StatisticOf(dtype);
  const Shape own{groups, channels};
  const int64_t length = shape.numel() / (shape[0] * shape[1]);
  const op::Value y =
      b.Call("group_affine",
             {ShapedAs(b, Wide(b, in[0]), Shape{shape[0], groups, channels, length}),
              ShapedAs(b, CastTo(b, *weight, wide), own), ShapedAs(b, CastTo(b, *bias, wide), own)},
             {{"eps", eps}});
  return {y == nullptr ? y : CastTo(b, ShapedAs(b, y, shape), dtype)};
}

// --- rms_norm -----------------------------------------------------------------------------------

op::Values ComposeRmsNorm(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta& x = in[0]->meta();
  const Ints& sizes = attrs.Get<Ints>("normalized_shape");
  const Shape expected{std::span<const int64_t>(sizes)};
  const int count = static_cast<int>(sizes.size()), rank = x.shape.rank();
  bool fits = count > 0 && count <= rank;
  for (int i = 0; fits && i < count; ++i) fits = x.shape[rank - count + i] == expected[i];
  if (fits && in.size() > 1) fits = in[1]->meta().shape == expected;
  if (!fits || !(IsFloating(x.dtype) || IsComplex(x.dtype))) {
    return Refused(b, Error(fits ? Code::kTypeMismatch : Code::kInvalidArgument)
                          << "got input: " << x.ToString() << ", normalized_shape=" << expected
                          << (in.size() > 1 ? ", weight: " + in[1]->meta().ToString() : "")
                          << "; expected floats whose trailing sizes are normalized_shape, and "
                             "a weight of that shape");
  }
  const DType wide = StatisticOf(x.dtype);
  const double* given = attrs.Maybe<double>("eps");
  const double eps = given != nullptr                  ? *given
                     : RealOf(wide) == DType::kFloat64 ? std::numeric_limits<double>::epsilon()
                                                       : std::numeric_limits<float>::epsilon();
  const op::Value v = Wide(b, in[0]);
  const op::Value square = Over(b, "mean", Of(b, "square", v), AxesFrom(rank - count, rank));
  op::Value y = Mul(b, v, Of(b, "rsqrt", AddScalar(b, square, eps)));
  if (in.size() > 1) y = Mul(b, y, CastTo(b, in[1], wide));
  return {CastTo(b, y, x.dtype)};
}

// --- local_response_norm ------------------------------------------------------------------------

// Of each of `count` channels and the size - 1 behind it. Few are added one after the other, in
// passes over all elements.
op::Value SumOfNeighbours(op::Builder& b, const op::Value& x, int64_t count, int64_t size) {
  constexpr int64_t kFew = 16;
  if (size > kFew) {
    const op::Value windows =
        b.Call("unfold", {x}, {{"dimension", int64_t{1}}, {"size", size}, {"step", int64_t{1}}});
    return b.Call("sum", {windows}, {{"dim", Ints{-1}}});
  }
  op::Value sum;
  for (int64_t k = 0; k < size; ++k) {
    const op::Value part =
        b.Call("narrow", {x}, {{"dim", int64_t{1}}, {"start", k}, {"length", count}});
    sum = sum == nullptr ? part : Add(b, sum, part);
    if (sum == nullptr) return nullptr;
  }
  return sum;
}

// The mean of the squares over a window of `size` channels, those beyond the ends being 0.
op::Values ComposeLocalResponse(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta meta = in[0]->meta();
  const int64_t size = attrs.Get<int64_t>("size");
  if (meta.shape.rank() < 3 || size < 1) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "got input: " << meta.ToString() << ", size=" << size
                          << "; expected (N, C, L, ...) and a size of at least 1");
  }
  if (IsComplex(meta.dtype)) {
    return Refused(b, Error(Code::kTypeMismatch)
                          << "got input: " << meta.ToString() << "; expected real numbers");
  }
  if (meta.shape.numel() == 0) return {in[0]};
  const bool whole = !IsFloating(meta.dtype);
  const op::Value x = whole ? CastTo(b, in[0], DType::kInt64) : Wide(b, in[0]);
  Ints around(static_cast<size_t>(2 * (meta.shape.rank() - 1)), 0);
  around[around.size() - 2] = size / 2;
  around[around.size() - 1] = (size - 1) / 2;
  const op::Value padded = b.Call("constant_pad_nd", {Mul(b, x, x)}, {{"pad", around}});
  op::Value mean = SumOfNeighbours(b, padded, meta.shape[1], size);
  if (!whole) {
    mean = b.Call("div_scalar", {mean}, {{"scalar", static_cast<double>(size)}});
  } else if (mean != nullptr) {  // of whole numbers a whole one, as torch's pooling has it
    const op::Value count = b.Call("full_like", {mean}, {{"value", size}});
    mean = CastTo(b, b.Call("trunc_divide", {mean, count}), DType::kFloat32);
  }
  const op::Value base =
      AddScalar(b, MulScalar(b, mean, attrs.Get<double>("alpha")), attrs.Get<double>("k"));
  const op::Value by = b.Call("pow_scalar", {base}, {{"scalar", attrs.Get<double>("beta")}});
  return {Narrow(b, Div(b, x, by), meta.dtype)};
}

// --- samples ------------------------------------------------------------------------------------

// `counts`: which of the five operands are given.
op::Sample NormSample(DType dtype, Shape x, Ints counts, Attrs attrs) {
  op::Sample s{{}, std::move(attrs), -2, 2, ""};
  if (counts.size() == 5 && counts[2] != 0) s.low = 0.5;  // a variance is among them
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    s.inputs.push_back({dtype, i == 0 ? x : Shape{x[1]}});
    s.ranges.push_back(counts.size() == 5 && i == 2 ? std::pair(0.5, 2.0) : std::pair(-2.0, 2.0));
  }
  s.attrs.Set(op::kArity, std::move(counts));
  return s;
}

std::vector<op::Sample> StatisticSamples(const char* own) {
  constexpr DType kF = DType::kFloat32;
  const Attrs by_own = {{own, true}, {"eps", 0.1}}, by_running = {{own, false}, {"eps", 1e-3}};
  std::vector<op::Sample> samples = {NormSample(kF, {5, 3, 2}, {1, 0, 0, 1, 1}, by_own),
                                     NormSample(kF, {2, 3, 2, 2}, {1, 0, 0, 1, 0}, by_own),
                                     NormSample(kF, {5, 3, 2}, {1, 1, 1, 0, 1}, by_running)};
  for (DType dtype : ListOf(kFloats)) {
    samples.push_back(NormSample(dtype, {4, 3, 5}, {1, 0, 0, 0, 0}, by_own));
    samples.push_back(NormSample(dtype, {4, 3, 2}, {1, 1, 1, 1, 1}, by_running));
  }
  return samples;
}

op::OpDefBuilder& Norm(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .InOptional("running_mean")
      .InOptional("running_var")
      .InOptional("weight")
      .InOptional("bias")
      .Out("output")
      .AnyMissing()
      .Attr("cudnn_enabled", op::AttrType::kBool, true)  // torch's; says nothing here
      .Attr("momentum", op::AttrType::kFloat, 0.1)
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .ErrorSamples(
          {{{{DType::kFloat32, {5}}},
            {{std::string(op::kArity), Ints{1, 0, 0, 0, 0}}},
            Code::kInvalidArgument,
            "input has no channels"},
           {{{DType::kFloat32, {4, 3, 2}}, {DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
            {{std::string(op::kArity), Ints{1, 1, 1, 0, 0}}},
            Code::kInvalidArgument,
            "running_mean must have one number for each channel"}});
}

}  // namespace

OFL_OP(batch_norm) {
  Norm(op,
       "Normalises each channel (axis 1) to mean 0 and variance 1, then applies weight and bias.\n"
       "In training by the statistics of the whole batch, which running_mean and running_var\n"
       "follow in place; else by those two.")
      .Attr("training", op::AttrType::kBool, false)
      .Compose(ComposeBatchNorm)
      .Oracle("batch_norm(input, running_mean, running_var, weight, bias, training, eps)")
      .Py("nn.functional.batch_norm(input, running_mean, running_var, weight=None, bias=None, "
          "training=False, momentum=0.1, eps=1e-05)")
      .Py("batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, "
          "cudnn_enabled)")
      .Public()
      .Samples([] { return StatisticSamples("training"); });
}

OFL_OP(instance_norm) {
  Norm(op,
       "Normalises each channel (axis 1) of each instance to mean 0 and variance 1, then applies\n"
       "weight and bias; running_mean and running_var follow in place, or are used instead.")
      .Attr("use_input_stats", op::AttrType::kBool, true)
      .Compose(ComposeInstanceNorm)
      .Oracle(
          "batch_norm(input, running_mean, running_var, weight, bias, use_input_stats, eps, True)")
      .Py("nn.functional.instance_norm(input, running_mean=None, running_var=None, weight=None, "
          "bias=None, use_input_stats=True, momentum=0.1, eps=1e-05)")
      .Py("instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, "
          "momentum, "
          "eps, cudnn_enabled)")
      .Public()
      .Samples([] { return StatisticSamples("use_input_stats"); });
}

OFL_OP(group_norm) {
  op.Doc(
        "Normalises each of num_groups groups of channels (axis 1) to mean 0 and variance 1, then\n"
        "applies weight and bias by channel.")
      .In("input")
      .InOptional("weight")
      .InOptional("bias")
      .Out("output")
      .AnyMissing()
      .Attr("num_groups", op::AttrType::kInt)
      .Attr("cudnn_enabled", op::AttrType::kBool, true)  // torch's; says nothing here
      .Attr("eps", op::AttrType::kFloat, 1e-5)
      .Autocast(op::Autocast::kFloat32)
      .Compose(ComposeGroupNorm)
      .Oracle("group_norm(input, num_groups, weight, bias, eps)")
      .Py("nn.functional.group_norm(input, num_groups, weight=None, bias=None, eps=1e-05)")
      .Py("group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True)")
      .Public()
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples = {
            NormSample(kF, {5, 4, 3}, {1, 1, 1}, {{"num_groups", int64_t{2}}}),
            NormSample(kF, {2, 6}, {1, 1, 0}, {{"num_groups", int64_t{3}}}),
            NormSample(kF, {2, 4, 2, 2}, {1, 0, 1}, {{"num_groups", int64_t{4}}})};
        for (DType dtype : ListOf(kFloats))
          samples.push_back(NormSample(dtype, {5, 4, 3}, {1, 0, 0}, {{"num_groups", int64_t{1}}}));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 6}}},
                      {{"num_groups", int64_t{4}}, {std::string(op::kArity), Ints{1, 0, 0}}},
                      Code::kInvalidArgument,
                      "expected a divisor of 6"}});
}

OFL_OP(rms_norm) {
  op.Doc(
        "input by the root of the mean square over the trailing axes `normalized_shape`, times\n"
        "weight. eps: the dtype's own where it is None.")
      .In("input")
      .InOptional("weight")
      .Out("output")
      .Attr("normalized_shape", op::AttrType::kInts)
      .OptionalAttr("eps", op::AttrType::kFloat)
      .Autocast(op::Autocast::kFloat32)
      .Compose(ComposeRmsNorm)
      .Oracle("rms_norm(input, normalized_shape, weight, eps)")
      .Py("rms_norm(input, normalized_shape, weight=None, eps=None)")
      .Public()
      .Functional()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats | kComplexes)) {
          samples.push_back(
              {{{dtype, {5, 4}}, {dtype, {4}}}, {{"normalized_shape", Ints{4}}, {"eps", 0.1}}});
        }
        samples.push_back({{{DType::kFloat32, {2, 3, 4}}}, {{"normalized_shape", Ints{3, 4}}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"normalized_shape", Ints{4}}},
                      Code::kInvalidArgument,
                      "trailing sizes"}});
}

OFL_OP(local_response_norm) {
  op.Doc(
        "input by (k + alpha * m)^beta, m being the mean of the squares over `size` channels\n"
        "around, those beyond the ends counting as 0.")
      .In("input")
      .Out("output")
      .Attr("size", op::AttrType::kInt)
      .Attr("alpha", op::AttrType::kFloat, 1e-4)
      .Attr("beta", op::AttrType::kFloat, 0.75)
      .Attr("k", op::AttrType::kFloat, 1.0)
      .Compose(ComposeLocalResponse)
      .Oracle("local_response_norm(input, size, alpha, beta, k)")
      .Py("nn.functional.local_response_norm(input, size, alpha=0.0001, beta=0.75, k=1.0)")
      .Samples([] {
        const Attrs attrs = {{"size", int64_t{3}}, {"alpha", 0.5}};
        std::vector<op::Sample> samples = {
            {{{DType::kFloat32, {2, 5, 2, 2}}}, {{"size", int64_t{2}}, {"alpha", 0.5}}}};
        for (DType dtype : ListOf(kFloats)) samples.push_back({{{dtype, {4, 5, 3}}}, attrs});
        samples.push_back({{{DType::kInt64, {4, 5, 3}}}, attrs, -9, 9, ""});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"size", int64_t{2}}},
                      Code::kInvalidArgument,
                      "expected (N, C, L, ...)"}});
}

}  // namespace ofl::ops
