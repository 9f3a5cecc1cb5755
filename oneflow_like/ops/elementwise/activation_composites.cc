// Activations that are written in other operators.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/elementwise/repeats.h"

namespace ofl::ops {
namespace {

struct Sloped {
  template <class T>
  OFL_FN T operator()(T x, T weight) const {
    const T below = weight * x;
    return x > T(0) ? x : below;
  }
};

void GradPreluEach(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &weight = c.inputs[1], &grad = c.grads[0];
  const op::Value above = Against(b, "gt", x, 0);
  if (c.Needs(0)) SetReduced(c, 0, Where(b, above, grad, Mul(b, grad, weight)));
  if (c.Needs(1)) {
    SetReduced(c, 1, Filled(b, above, int64_t{0}, Mul(b, grad, x)));
  }
}

// One weight, or one a channel: axis 1.
op::Values ComposePrelu(op::Builder& b, std::span<const op::Value> in, const Attrs&) {
  const Shape& shape = in[0]->meta().shape;
  const Shape& weights = in[1]->meta().shape;
  const int64_t channels = shape.rank() > 1 ? shape[1] : 1;
  const int64_t count = weights.numel();
  if (weights.rank() > 1 || (count != 1 && (count != channels || shape.rank() == 0))) {
    b.Fail(Error(Code::kInvalidArgument)
           << "[prelu] the weights fit no axis: got input: " << in[0]->meta().ToString()
           << ", weight: " << in[1]->meta().ToString() << "; expected one weight or " << channels
           << ", the size of axis 1");
    return {nullptr};
  }
  std::vector<int64_t> dims(static_cast<size_t>(std::max(shape.rank(), 0)), 1);
  if (count != 1) dims[1] = count;
  const op::Value weight = b.Call("reshape", {in[1]}, {{"shape", dims}});
  return {b.Call("prelu_each", {in[0], weight})};
}

op::Values ComposeRrelu(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const double lower = attrs.Get<double>("lower"), upper = attrs.Get<double>("upper");
  if (!(lower <= upper)) {
    b.Fail(Error(Code::kInvalidArgument) << "[rrelu] lower is not below upper: got lower=" << lower
                                         << ", upper=" << upper << "; expected lower <= upper");
    return {nullptr};
  }
  if (!attrs.Get<bool>("training"))
    return {b.Call("leaky_relu", {in[0]}, {{"negative_slope", (lower + upper) / 2}})};
  const DType dtype = in[0]->meta().dtype;
  const op::Value shaped = dtype == DType::kFloat64 ? in[0] : CastTo(b, in[0], DType::kFloat32);
  const op::Value drawn = b.Call("uniform_beside", {shaped}, {{"low", lower}, {"high", upper}});
  const op::Value scaled = Mul(b, in[0], CastTo(b, drawn, dtype));
  return {Where(b, Against(b, "gt", in[0], 0), in[0], scaled)};
}

constexpr char kSoftmax[] = "softmax";
constexpr char kLogSoftmax[] = "log_softmax";

// Where no axis is given, torch's old choice: 0 of 0, 1 or 3 axes, else 1.
template <const char* kName>
op::Values ComposeSoftmax(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  if (in[0] == nullptr) return {nullptr};
  const DType* dtype = attrs.Maybe<DType>("dtype");
  const op::Value x = dtype == nullptr ? in[0] : CastTo(b, in[0], *dtype);
  const int64_t rank = in[0]->meta().shape.rank();
  const int64_t* given = attrs.Maybe<int64_t>("dim");
  const int64_t dim = given != nullptr ? *given : rank == 0 || rank == 1 || rank == 3 ? 0 : 1;
  return {b.Call(kName, {x}, {{"dim", dim}})};
}

op::OpDefBuilder& Softmax(op::OpDefBuilder& op, const std::string& doc, op::DecomposeFn fn) {
  return op.Doc(doc + "; with `dtype` computed in that one.")
      .In("input")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInt)
      .OptionalAttr("dtype", op::AttrType::kDType)
      .Compose(fn)
      .Samples([] { return UnarySamples(ListOf(kFloats), -2, 2, {{"dim", int64_t{-1}}}); });
}

void NameSoftmax(op::OpDefBuilder& op, const std::string& name) {
  op.PyBoth(name + "(input, dim, dtype=None)")
      .Py("nn.functional." + name + "(input, dim=None, _stacklevel=3, dtype=None)")
      .Py("special." + name + "(input, dim, *, dtype=None)");
}

op::OpDefBuilder& Composed(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn) {
  return op.Doc(doc).In("input").Out("output").Compose(fn).Samples(
      [] { return ExactSamples(-4, 4); });
}

}  // namespace

OFL_OP(softsign) {
  Composed(op, "input / (1 + |input|).",
           [](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
             return op::Values{Div(b, in[0], AddScalar(b, Of(b, "abs", in[0]), int64_t{1}))};
           })
      .Oracle("input / (1 + np.abs(input))")
      .Py("nn.functional.softsign(input)");
}

OFL_OP(tanhshrink) {
  Composed(op, "input - tanh(input).",
           [](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
             if (in[0]->meta().dtype == DType::kBool) {
               b.Fail(Error(Code::kTypeMismatch)
                      << "[tanhshrink] bool is not a number: got " << in[0]->meta().ToString()
                      << "; expected a floating or integer dtype");
               return op::Values{nullptr};
             }
             return op::Values{Sub(b, in[0], Of(b, "tanh", in[0]))};
           })
      .ErrorSamples({{{{DType::kBool, {2}}}, {}, Code::kTypeMismatch, "bool is not a number"}})
      .Oracle("input - np.tanh(input)")
      .Py("nn.functional.tanhshrink(input)");
}

OFL_OP(softmax_in) {
  Softmax(op, "exp(input) normalised to sum 1 along `dim`", ComposeSoftmax<kSoftmax>)
      .Oracle("softmax(input, dim)");
  NameSoftmax(op, "softmax");
}

OFL_OP(log_softmax_in) {
  Softmax(op, "The logarithm of softmax along `dim`, without overflow", ComposeSoftmax<kLogSoftmax>)
      .Oracle("log_softmax(input, dim)");
  NameSoftmax(op, "log_softmax");
}

OFL_OP(softmin) {
  Softmax(op, "softmax of -input along `dim`",
          [](op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
            const op::Value turned[] = {Of(b, "neg", in[0])};
            return ComposeSoftmax<kSoftmax>(b, turned, attrs);
          })
      .Oracle("softmax(-input, dim)")
      .Py("nn.functional.softmin(input, dim=None, _stacklevel=3, dtype=None)");
}

OFL_OP(rrelu) {
  op.Doc(
        "input where it is positive, else input times the middle of lower and upper, or in "
        "training times a number drawn between them.")
      .In("input")
      .Out("output")
      .Attr("lower", op::AttrType::kFloat, 1.0 / 8)
      .Attr("upper", op::AttrType::kFloat, 1.0 / 3)
      .Attr("training", op::AttrType::kBool, false)
      .InPlace(0, 0)
      .Traits({op::Trait::kElementwise})
      .Compose(ComposeRrelu)
      .Oracle("np.where(input > 0, input, input * (lower + upper) / 2)")
      .Py("nn.functional.rrelu(input, lower=0.125, upper=0.3333333333333333, training=False, "
          "inplace=False)")
      .Py("rrelu(input, lower=0.125, upper=0.3333333333333333, training=False, "
          "generator=None)")
      .Py("rrelu_(input, lower=0.125, upper=0.3333333333333333, training=False, "
          "generator=None)")
      .Public()
      .Namespace("nn.functional")
      .Samples([] { return UnarySamples(ListOf(kFloats), -4, 4, {{"lower", 0.25}}); })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"lower", 1.0}, {"upper", 0.5}},
                      Code::kInvalidArgument,
                      "lower is not below upper"}});
}

OFL_OP(prelu_each) {
  RepeatingBinary<Sloped, kFloats>(op, "input where it is positive, elsewhere other times input.",
                                   "; never partial")
      .Grad(GradPreluEach)
      .Oracle("np.where(input > 0, input, other * input)")
      .Py("prelu_each(input, other)");
}

OFL_OP(prelu) {
  op.Doc("input where it is positive, else weight * input; one weight, or one for each channel.")
      .In("input")
      .In("weight")
      .Out("output")
      .Promote(op::Promotion::kCommon)
      .Compose(ComposePrelu)
      .Oracle("prelu(input, weight)")
      .PyBoth("prelu(input, weight)")
      .Functional()
      .Samples([]() -> std::vector<op::Sample> {
        constexpr DType kF = DType::kFloat32, kD = DType::kFloat64;
        return {{{{kF, {5, 3}}, {kF, {3}}}, {}},
                {{{kF, {5, 3}}, {kF, {1}}}, {}},
                {{{kF, {2, 3, 4, 2}}, {kF, {3}}}, {}},
                {{{kF, {5}}, {kF, {1}}}, {}},
                {{{kF, {}}, {kF, {}}}, {}},
                {{{kD, {0, 3}}, {kD, {3}}}, {}},
                {{{kD, {5, 3}}, {kD, {3}}}, {}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one weight or 3"}});
}

}  // namespace ofl::ops
