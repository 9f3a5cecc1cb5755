// Losses of a difference: l1, mse, smooth_l1, huber.
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

Status CheckPair(Operands in) {
  const Shape &x = in[0]->meta().shape, &t = in[1]->meta().shape;
  const auto together = BroadcastShapes(x, t);
  OFL_ENSURE(together.ok(), Code::kInvalidArgument)
      << "shapes differ: got input: " << x << ", target: " << t
      << ", which do not broadcast: " << together.status().message();
  if (in.size() < 3) return Status::Ok();
  OFL_ENSURE(in[2]->meta().shape == in[0]->meta().shape, Code::kInvalidArgument)
      << "weight must have one number for each of input's: got weight: " << in[2]->meta().ToString()
      << "; expected the shape " << in[0]->meta().shape;
  return Status::Ok();
}

// The mean of weighted losses is theirs by the sum of the weights, where `of_weights`.
op::Values Weighted(op::Builder& b, Operands in, const Attrs& attrs, LossFn losses, bool of_weights,
                    Whole whole = Whole::kRefused) {
  if (Status wrong = CheckPair(in); !wrong.ok()) return Refused(b, wrong);
  if (in.size() < 3) return ComposeReduced(b, in, attrs, losses, whole);
  const auto how = ReductionOf(attrs);
  if (!how.ok()) return Refused(b, how.status());
  const DType dtype = in[0]->meta().dtype;
  const op::Values wide = {Wide(b, in[0]), Wide(b, in[1])};
  const op::Value weight = Wide(b, in[2]);
  const op::Value weighted = Mul(b, losses(b, wide, attrs), weight);
  if (*how != "mean" || !of_weights) return {Narrow(b, Reduced(b, weighted, *how), dtype)};
  return {Narrow(b, Div(b, Of(b, "sum", weighted), Of(b, "sum", weight)), dtype)};
}

op::Value Difference(op::Builder& b, Operands in) { return Sub(b, in[0], in[1]); }
op::Value Absolute(op::Builder& b, Operands in, const Attrs&) {
  return Of(b, "abs", Difference(b, in));
}
op::Value Squares(op::Builder& b, Operands in, const Attrs&) {
  return Of(b, "square", Difference(b, in));
}

// d^2 / 2 up to `bend`, then bend * (d - bend / 2): both are m * (d - m / 2), m what is below.
struct BentTerm {
  explicit BentTerm(const Attrs& attrs)
      : bend(attrs.Get<double>("bend")), scale(attrs.Get<double>("scale")) {}
  template <class T>
  OFL_FN T operator()(T x, T t) const {
    const T z = x - t, d = z < T(0) ? -z : z, limit = static_cast<T>(bend);
    const T m = d > limit ? limit : d;
    return m * (d - m * T(0.5)) * static_cast<T>(scale);  // half of m is exact
  }
  double bend, scale;
};
// The gradient by x: the difference, limited to the bend.
struct BentSlope : BentTerm {
  using BentTerm::BentTerm;
  template <class T>
  OFL_FN T operator()(T dy, T x, T t) const {
    const T z = x - t, limit = static_cast<T>(bend);
    const T low = z < -limit ? -limit : z;
    return dy * (low > limit ? limit : low) * static_cast<T>(scale);
  }
};

// Both operands' gradients, of which the second is the negative of the first.
void SetBoth(op::GradContext& c, int first, const op::Value& grad) {
  if (c.Needs(first)) SetReduced(c, first, grad);
  if (c.Needs(first + 1)) SetReduced(c, first + 1, Of(c.b, "neg", grad));
}

void GradBentTerm(op::GradContext& c) {
  SetBoth(c, 0, c.b.Call("bent_slope", {c.grads[0], c.inputs[0], c.inputs[1]}, c.attrs));
}
void GradBentSlope(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &u = c.grads[0], &dy = c.inputs[0], &x = c.inputs[1], &t = c.inputs[2];
  if (c.Needs(0)) SetReduced(c, 0, b.Call("bent_slope", {u, x, t}, c.attrs));
  if (!c.Needs(1) && !c.Needs(2)) return;
  const op::Value inside =
      Against(b, "le", Of(b, "abs", Sub(b, x, t)), c.attrs.Get<double>("bend"));
  SetBoth(c, 1, ZeroUnless(b, inside, MulScalar(b, Mul(b, u, dy), c.attrs.Get<double>("scale"))));
}

op::Value Bent(op::Builder& b, Operands in, double bend, double scale) {
  return b.Call("bent_terms", {in[0], in[1]}, {{"bend", bend}, {"scale", scale}});
}

op::Value SmoothLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const double beta = attrs.Get<double>("beta");
  if (beta == 0) return Absolute(b, in, attrs);
  return Bent(b, in, beta, 1 / beta);
}
op::Value HuberLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  return Bent(b, in, attrs.Get<double>("delta"), 1);
}

op::Values ComposeL1(op::Builder& b, Operands in, const Attrs& attrs) {
  return Weighted(b, in, attrs, Absolute, true, Whole::kKept);
}
op::Values ComposeMse(op::Builder& b, Operands in, const Attrs& attrs) {
  return Weighted(b, in, attrs, Squares, true);
}
op::Values ComposeSmooth(op::Builder& b, Operands in, const Attrs& attrs) {
  if (attrs.Get<double>("beta") < 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "a negative bend: got beta=" << attrs.Get<double>("beta")
                          << "; expected 0 or more");
  }
  return Weighted(b, in, attrs, SmoothLosses, false);
}
op::Values ComposeHuber(op::Builder& b, Operands in, const Attrs& attrs) {
  if (!(attrs.Get<double>("delta") > 0)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the bend is not positive: got delta=" << attrs.Get<double>("delta")
                          << "; expected a positive number");
  }
  return Weighted(b, in, attrs, HuberLosses, false);
}

std::vector<op::Sample> DistanceSamples(bool weighted, const Attrs& more = {}) {
  auto samples = LossSamples({{5, 3}, {5, 3}}, {}, more);
  constexpr DType kF = DType::kFloat32;
  samples.push_back({{{kF, {5, 3}}, {kF, {3}}}, more});
  samples.push_back({{{kF, {}}, {kF, {}}}, more});
  Attrs sum = more;
  sum.Set("reduction", std::string("sum"));
  samples.push_back({{{kF, {0, 3}}, {kF, {0, 3}}}, sum});
  if (!weighted) return samples;
  for (const char* how : {"mean", "none"}) {
    op::Sample s{{{kF, {5, 3}}, {kF, {5, 3}}, {kF, {5, 3}}}, more, -2, 2, ""};
    s.ranges = {{-2, 2}, {-2, 2}, {0.5, 2}};
    s.attrs.Set("reduction", std::string(how));
    samples.push_back(std::move(s));
  }
  return samples;
}

std::vector<op::Sample> BentSamples() {
  std::vector<op::Sample> samples;
  for (DType dtype : ListOf(kFloats))
    samples.push_back({{{dtype, {5, 3}}, {dtype, {5, 3}}}, {{"bend", 0.7}, {"scale", 2.0}}});
  samples.push_back(
      {{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {3}}}, {{"bend", 1.5}, {"scale", 1.0}}});
  samples.push_back(
      {{{DType::kFloat32, {0, 3}}, {DType::kFloat32, {3}}}, {{"bend", 1.5}, {"scale", 1.0}}});
  return samples;
}

op::OpDefBuilder& Distance(op::OpDefBuilder& op, const char* doc) {
  return Loss(op.In("input").In("target"), doc)
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "shapes differ"},
                     ReductionError({{5}, {5}})});
}

}  // namespace

OFL_OP(bent_terms) {
  Binary<BentTerm, kFloats>(
      op,
      "scale d^2 / 2 where the distance d of input and other is at most bend, "
      "else scale bend (d - bend / 2).",
      "; never partial")
      .Attr("bend", op::AttrType::kFloat, 1.0)
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Grad(GradBentTerm)
      .Oracle("scale * bend * bent(input - other, bend)")
      .Py("bent_terms(input, other, bend, scale)")
      .Samples([] { return BentSamples(); });
}

OFL_OP(bent_slope) {
  op.In("grad").In("input").In("other");
  Ternary<BentSlope, kFloats>(op,
                              "Gradient of bent_terms by input: grad times scale times the "
                              "difference, limited to bend on either side.",
                              "; linear 0", {}, {{"bend", 0.7}, {"scale", 2.0}})
      .Attr("bend", op::AttrType::kFloat, 1.0)
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Grad(GradBentSlope)
      .Oracle("grad * scale * np.clip(input - other, -bend, bend)")
      .Py("bent_slope(grad, input, other, bend, scale)");
}

OFL_OP(mse_loss) {
  Distance(op, "The squared differences of input and target: their mean, their sum or themselves.")
      .InOptional("weight")
      .Compose(ComposeMse)
      .Oracle("weighted((input - target) ** 2, weight, reduction)")
      .Py("mse_loss(input, target, " OFL_REDUCTION ", weight=None)")
      .Functional()
      .Samples([] {
        auto samples = DistanceSamples(true);
        for (DType dtype : ListOf(kComplexes))
          samples.push_back({{{dtype, {5, 3}}, {dtype, {5, 3}}}, {}});
        return samples;
      });
}

OFL_OP(l1_loss) {
  Distance(op, "The distances of input and target: their mean, their sum or themselves.")
      .InOptional("weight")
      .Compose(ComposeL1)
      .Oracle("weighted(np.abs(input - target), weight, reduction)")
      .Py("l1_loss(input, target, " OFL_REDUCTION ", weight=None)")
      .Functional()
      .Samples([] { return DistanceSamples(true); });
}

OFL_OP(smooth_l1_loss) {
  Distance(op,
           "d^2 / (2 beta) where the distance d of input and target is below beta, else d - "
           "beta / 2.")
      .Attr("beta", op::AttrType::kFloat, 1.0)
      .Compose(ComposeSmooth)
      .Oracle("reduced(bent(input - target, beta), reduction)")
      .Py("smooth_l1_loss(input, target, " OFL_REDUCTION ", beta=1.0)")
      .Functional()
      .Samples([] {
        auto samples = DistanceSamples(false, {{"beta", 0.7}});
        samples.push_back(
            {{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {5, 3}}}, {{"beta", 0.0}}});
        return samples;
      });
}

OFL_OP(huber_loss) {
  Distance(op,
           "d^2 / 2 where the distance d of input and target is at most delta, else delta * (d - "
           "delta / 2).")
      .InOptional("weight")
      .Attr("delta", op::AttrType::kFloat, 1.0)
      .Compose(ComposeHuber)
      .Oracle("weighted(delta * bent(input - target, delta), weight, reduction, False)")
      .Py("huber_loss(input, target, reduction='mean', delta=1.0, weight=None)")
      .Functional()
      .Samples([] { return DistanceSamples(true, {{"delta", 0.7}}); });
}

}  // namespace ofl::ops
