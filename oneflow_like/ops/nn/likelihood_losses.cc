// Losses that are negative log-likelihoods: binary cross entropy, kl_div, poisson, gaussian.
#include <atomic>
#include <cmath>
#include <numbers>

#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {
namespace {

constexpr double kLeastLog = -100;  // torch's bound, so that no loss is infinite

// --- binary cross entropy -----------------------------------------------------------------------

// Notes a probability that is none; a comparison catches NaN as well.
struct BinaryTerm {
  enum Which { kNone, kInput, kTarget };
  std::atomic<Which>* outside;
  template <class T>
  OFL_FN T operator()(T x, T target) const {
    if (!(x >= T(0) && x <= T(1))) outside->store(kInput, std::memory_order_relaxed);
    if (!(target >= T(0) && target <= T(1))) outside->store(kTarget, std::memory_order_relaxed);
    const T yes = std::max(std::log(x), T(kLeastLog)), no = std::max(std::log1p(-x), T(kLeastLog));
    return (target - T(1)) * no - target * yes;
  }
};

template <class T>
Status RunBinaryTerm(op::KernelContext& c) {
  std::atomic<BinaryTerm::Which> outside = BinaryTerm::kNone;
  const BinaryTerm f{&outside};
  OFL_TRY(RunRow(c, kRowOf<BinaryTerm, T, T>, &f));
  const BinaryTerm::Which wrong = outside;
  OFL_ENSURE(wrong != BinaryTerm::kInput, Code::kInvalidArgument)
      << "[binary_cross_entropy] an element of input is no probability: got "
      << c.inputs[0].meta.ToString() << " with one outside of [0, 1]; expected elements from 0 "
      << "to 1; use sigmoid, or binary_cross_entropy_with_logits";
  OFL_ENSURE(wrong != BinaryTerm::kTarget, Code::kInvalidArgument)
      << "[binary_cross_entropy] an element of target is no probability: got "
      << c.inputs[1].meta.ToString() << " with one outside of [0, 1]; expected elements from 0 "
      << "to 1; use binary_cross_entropy_with_logits, which takes any target";
  return Status::Ok();
}

// (x - t) / (x (1 - x)), whose divisor counts as 1e-12 at least; and the difference of the
// logarithms, without a least one, for the target.
void GradBinaryTerm(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &t = c.inputs[1];
  const op::Value other = From(b, int64_t{1}, x);
  if (c.Needs(0)) {
    const op::Value divisor = AtLeast(b, Mul(b, other, x), 1e-12);
    SetReduced(c, 0, Mul(b, c.grads[0], Div(b, Sub(b, x, t), divisor)));
  }
  if (c.Needs(1)) {
    const op::Value yes = Of(b, "log", x), no = Of(b, "log1p", Of(b, "neg", x));
    SetReduced(c, 1, Mul(b, c.grads[0], Sub(b, no, yes)));
  }
}

Status CheckSame(Operands in) {
  OFL_ENSURE(in[0]->meta().shape == in[1]->meta().shape, Code::kInvalidArgument)
      << "input and target have different shapes: got input: " << in[0]->meta().ToString()
      << ", target: " << in[1]->meta().ToString() << "; expected one shape";
  return Status::Ok();
}

op::Value BinaryLosses(op::Builder& b, Operands in, const Attrs&) {
  if (Status wrong = CheckSame(in); !wrong.ok()) return Wrong(b, wrong);
  const op::Value losses = b.Call("binary_cross_entropy_terms", {in[0], in[1]});
  return in.size() > 2 ? Mul(b, losses, in[2]) : losses;
}

// (1 - t) x + w log(1 + exp(-x)), w = (pos_weight - 1) t + 1.
op::Value LogitLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const op::Value &x = in[0], &t = in[1];
  if (Status wrong = CheckSame(in); !wrong.ok()) return Wrong(b, wrong);
  op::Value soft = Of(b, "logsigmoid", x);
  if (const op::Value* positive = OperandAt(in, attrs, 3)) {
    const op::Value weight = AddScalar(b, Mul(b, AddScalar(b, *positive, int64_t{-1}), t), 1.0);
    soft = Mul(b, weight, soft);
  }
  const op::Value losses = Sub(b, Mul(b, From(b, int64_t{1}, t), x), soft);
  const op::Value* weight = OperandAt(in, attrs, 2);
  return weight != nullptr ? Mul(b, losses, *weight) : losses;
}

// --- kl_div -------------------------------------------------------------------------------------

op::Values ComposeKlDiv(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto how = ReductionOf(attrs, true);
  if (!how.ok()) return Refused(b, how.status());
  if (Status wrong = RequireFloating(in[0]); !wrong.ok()) return Refused(b, wrong);
  const DType dtype = in[0]->meta().dtype;
  const op::Value x = Wide(b, in[0]), t = Wide(b, in[1]);
  const op::Value losses = attrs.Get<bool>("log_target")
                               ? Mul(b, Of(b, "exp", t), Sub(b, t, x))
                               : Sub(b, b.Call("xlogy", {t, t}), Mul(b, t, x));
  const bool batch = *how == "batchmean";
  op::Value loss = Reduced(b, losses, batch ? "sum" : *how);
  const Shape& shape = in[0]->meta().shape;
  if (batch && shape.rank() > 0)
    loss = b.Call("div_scalar", {loss}, {{"scalar", Scalar(static_cast<double>(shape[0]))}});
  return {Narrow(b, loss, dtype)};
}

// --- poisson_nll_loss ---------------------------------------------------------------------------

op::Value PoissonLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const op::Value &x = in[0], &t = in[1];
  op::Value losses;
  if (attrs.Get<bool>("log_input")) {
    losses = Sub(b, Of(b, "exp", x), Mul(b, t, x));
  } else {
    losses = Sub(b, x, Mul(b, t, Of(b, "log", AddScalar(b, x, attrs.Get<double>("eps")))));
  }
  if (!attrs.Get<bool>("full")) return losses;
  // Stirling's approximation of log(t!), of what is above 1.
  const op::Value above = Against(b, "gt", t, 1);
  const op::Value safe = Where(b, above, t, OnesLike(b, t));
  const op::Value half_log =
      MulScalar(b, Of(b, "log", MulScalar(b, safe, 2 * std::numbers::pi)), 0.5);
  const op::Value stirling = Add(b, Sub(b, Mul(b, safe, Of(b, "log", safe)), safe), half_log);
  return Add(b, losses, ZeroUnless(b, above, stirling));
}

// --- gaussian_nll_loss --------------------------------------------------------------------------

struct BoundedVariance {
  double eps;
  std::atomic<bool>* negative;
  template <class T>
  OFL_FN T operator()(T x) const {
    if (x < T(0)) negative->store(true, std::memory_order_relaxed);
    return x < T(eps) ? T(eps) : x;
  }
};

template <class T>
Status RunBoundedVariance(op::KernelContext& c) {
  std::atomic<bool> negative = false;
  const BoundedVariance f{c.attr<double>("eps"), &negative};
  OFL_TRY(RunRow(c, kRowOf<BoundedVariance, T>, &f));
  OFL_ENSURE(!negative, Code::kInvalidArgument)
      << "[gaussian_nll_loss] var has a negative element: got " << c.inputs[0].meta.ToString()
      << "; expected elements of at least 0";
  return Status::Ok();
}

// The shape in which `var` broadcasts to the input: its own, or with one axis more.
Result<Shape> VarianceShape(const Shape& x, Shape var) {
  if (var == x) return var;
  if (x.rank() > 0 && var == Shape(x.dims().first(x.rank() - 1))) {
    var.push_back(1);
    return var;
  }
  int64_t differing = 0;
  bool fits = x.rank() == var.rank();
  for (int i = 0; fits && i < x.rank(); ++i)
    if (x[i] != var[i]) differing += var[i];
  OFL_ENSURE(fits && differing == 1, Code::kInvalidArgument)
      << "var is of incorrect size: got input: " << x << ", var: " << var
      << "; expected input's shape, that with an axis of size 1, or without its last axis";
  return var;
}

op::Value GaussianOf(op::Builder& b, const op::Value& x, const op::Value& t, const op::Value& var,
                     const Attrs& attrs) {
  const op::Value squares = Of(b, "square", Sub(b, x, t));
  const op::Value losses = MulScalar(b, Add(b, Of(b, "log", var), Div(b, squares, var)), 0.5);
  if (!attrs.Get<bool>("full")) return losses;
  return AddScalar(b, losses, 0.5 * std::log(2 * std::numbers::pi));
}

op::Value GaussianLosses(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto shape = VarianceShape(in[0]->meta().shape, in[2]->meta().shape);
  if (!shape.ok()) return Wrong(b, shape.status());
  const op::Value var = b.Call("bounded_variance", {in[2]}, {{"eps", attrs.Get<double>("eps")}});
  return GaussianOf(b, in[0], in[1], ShapedAs(b, var, *shape), attrs);
}

op::Value GaussianLossesOfNumber(op::Builder& b, Operands in, const Attrs& attrs) {
  const double var = attrs.Get<double>("var");
  if (var < 0) {
    return Wrong(b, Error(Code::kInvalidArgument)
                        << "var is negative: got " << var << "; expected at least 0");
  }
  const double bounded = std::max(var, attrs.Get<double>("eps"));
  const op::Value whole = b.Call("full_like", {in[0]}, {{"value", Scalar(bounded)}});
  return GaussianOf(b, in[0], in[1], whole, attrs);
}

op::OpDefBuilder& Gaussian(op::OpDefBuilder& op) {
  return Loss(op,
              "Half of log(var) + (input - target)^2 / var, where var counts as eps at least; with "
              "`full` log(2 pi) / 2 more.")
      .Attr("full", op::AttrType::kBool, false)
      .Attr("eps", op::AttrType::kFloat, 1e-6);
}

}  // namespace

OFL_OP(binary_cross_entropy_terms) {
  DescribeBinary(
      op, kFloats,
      "-(t log x + (1 - t) log(1 - x)) of probabilities, logarithms being at least -100.", "",
      {0.05, 0.95});
  op.Infer(InferBinaryOf<kFloats, Gives::kSame>)
      .Grad(GradBinaryTerm)
      .Oracle("bce(input, other)")
      .Py("binary_cross_entropy_terms(input, other)");
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunBinaryTerm<T>); });
}

OFL_OP(binary_cross_entropy) {
  Loss(op.In("input").In("target").InOptional("weight"),
       "-(target log(input) + (1 - target) log(1 - input)) of probabilities from 0 to 1; a\n"
       "logarithm counts as -100 at least.")
      .Compose(ComposeLoss<BinaryLosses>)
      .Oracle("reduced(bce(input, target) * (1 if weight is None else weight), reduction)")
      .Py("nn.functional.binary_cross_entropy(input, target, weight=None, " OFL_REDUCTION ")")
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}}, {{0.05, 0.95}, {0, 1}});
        const auto weighted = LossSamples({{5, 3}, {5, 3}, {3}}, {{0.05, 0.95}, {0, 1}, {0.5, 2}});
        samples.insert(samples.end(), weighted.begin(), weighted.begin() + 3);
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "expected one shape"},
                     ReductionError({{5}, {5}})});
}

OFL_OP(binary_cross_entropy_with_logits) {
  Loss(op.In("input").In("target").InOptional("weight").InOptional("pos_weight"),
       "binary_cross_entropy of sigmoid(input), without its overflow; `pos_weight` multiplies the\n"
       "part of the target.")
      .AnyMissing()
      .Compose(ComposeLoss<LogitLosses>)
      .Oracle(
          "reduced(bce_logits(input, target, pos_weight) * (1 if weight is None else weight), "
          "reduction)")
      .Py("nn.functional.binary_cross_entropy_with_logits(input, target, weight=None, "
          "" OFL_REDUCTION ", pos_weight=None)")
      .Py("binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, "
          "reduction: code=0)",
          {{"code", int64_t{0}}})
      .Public()
      .Samples([] {
        const auto add = [](std::vector<op::Sample>& to, std::vector<Shape> shapes,
                            std::vector<int64_t> counts) {
          auto samples = LossSamples(shapes, {{-4, 4}, {0, 1}, {0.5, 2}, {0.5, 2}},
                                     {{std::string(op::kArity), counts}});
          to.insert(to.end(), samples.begin(), samples.begin() + (to.empty() ? 6 : 2));
        };
        std::vector<op::Sample> samples;
        add(samples, {{5, 3}, {5, 3}}, {1, 1, 0, 0});
        add(samples, {{5, 3}, {5, 3}, {5, 1}}, {1, 1, 1, 0});
        add(samples, {{5, 3}, {5, 3}, {3}}, {1, 1, 0, 1});
        add(samples, {{5, 3}, {5, 3}, {3}, {3}}, {1, 1, 1, 1});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {4}}},
                      {{std::string(op::kArity), std::vector<int64_t>{1, 1, 0, 0}}},
                      Code::kInvalidArgument,
                      "expected one shape"}});
}

OFL_OP(kl_div) {
  Loss(op.In("input").In("target"),
       "target (log(target) - input), input being logarithms; with `log_target` the target too.\n"
       "'batchmean' is the sum by the size of axis 0.")
      .Attr("log_target", op::AttrType::kBool, false)
      .Compose(ComposeKlDiv)
      .Oracle("kl_div(input, target, reduction, log_target)")
      .Py("nn.functional.kl_div(input, target, " OFL_REDUCTION ", log_target=False)")
      .Py("kl_div(input, target, reduction: code=0, *, log_target=False)", {{"code", int64_t{0}}})
      .Public()
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}}, {{0.1, 1}, {0.1, 1}});
        const auto logs = LossSamples({{5, 3}, {5, 3}}, {{-3, 0}, {-3, 0}}, {{"log_target", true}});
        samples.insert(samples.end(), logs.begin(), logs.begin() + 2);
        samples.push_back(samples[0]);
        samples.back().attrs.Set("reduction", std::string("batchmean"));
        return samples;
      })
      .ErrorSamples({ReductionError({{5}, {5}})});
}

OFL_OP(poisson_nll_loss) {
  Loss(op.In("input").In("target"),
       "exp(input) - target * input, or without `log_input` input - target * log(input + eps); "
       "with\n`full` Stirling's approximation of log(target!) more.")
      .Attr("log_input", op::AttrType::kBool, true)
      .Attr("full", op::AttrType::kBool, false)
      .Attr("eps", op::AttrType::kFloat, 1e-8)
      .Compose(ComposeLoss<PoissonLosses, Whole::kToFloat>)
      .Oracle("reduced(poisson(input, target, log_input, full, eps), reduction)")
      .Py("nn.functional.poisson_nll_loss(input, target, log_input=True, full=False, "
          "size_average=None, eps=1e-08, reduce=None, reduction='mean')")
      .Py("poisson_nll_loss(input, target, log_input, full, eps, reduction: code)")
      .Public()
      .Samples([] {
        auto samples = LossSamples({{5, 3}, {5, 3}}, {{-2, 2}, {0, 4}}, {{"full", true}});
        const auto plain =
            LossSamples({{5, 3}, {5, 3}}, {{0.2, 3}, {0, 4}}, {{"log_input", false}});
        samples.insert(samples.end(), plain.begin(), plain.begin() + 3);
        return samples;
      })
      .ErrorSamples({ReductionError({{5}, {5}})});
}

OFL_OP(bounded_variance) {
  DescribeUnary(op, kFloats,
                "The larger of a variance and eps; a negative one is refused. The gradient passes.",
                "", {0.1, 2});
  op.Attr("eps", op::AttrType::kFloat, 1e-6)
      .Infer(InferUnaryOf<kFloats, Gives::kSame>)
      .Grad([](op::GradContext& c) { c.Set(0, c.grads[0]); })
      .Oracle("np.maximum(input, eps)")
      .Unclaimed("P(max)->P(max)", "a share may be negative where the whole is not")
      .Unclaimed("P(min)->P(min)", "a share may be negative where the whole is not")
      .Py("bounded_variance(input, eps=1e-06)");
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunBoundedVariance<T>); });
}

OFL_OP(gaussian_nll_loss) {
  Gaussian(op.In("input").In("target").In("var"))
      .Compose(ComposeLoss<GaussianLosses>)
      .Oracle("reduced(gaussian(input, target, var, full, eps), reduction)")
      .Py("nn.functional.gaussian_nll_loss(input, target, var, full=False, eps=1e-06, "
          "reduction='mean')")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Shape& var : {Shape{5, 3}, Shape{5, 1}, Shape{5}}) {
          const auto of = LossSamples({{5, 3}, {5, 3}, var}, {{-2, 2}, {-2, 2}, {0.5, 2}},
                                      {{"full", var.rank() == 1}});
          samples.insert(samples.end(), of.begin(), of.begin() + (samples.empty() ? 6 : 2));
        }
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {5, 3}}, {DType::kFloat32, {3}}},
            {},
            Code::kInvalidArgument,
            "var is of incorrect size"},
           ReductionError({{5}, {5}, {5}})});
}

OFL_OP(gaussian_nll_loss_number) {
  Gaussian(op.In("input").In("target"))
      .Attr("var", op::AttrType::kFloat)
      .Compose(ComposeLoss<GaussianLossesOfNumber>)
      .Oracle("reduced(gaussian(input, target, var, full, eps), reduction)")
      .Py("nn.functional.gaussian_nll_loss(input, target, var, full=False, eps=1e-06, "
          "reduction='mean')")
      .Samples([] { return LossSamples({{5, 3}, {5, 3}}, {}, {{"var", 1.5}}); })
      .ErrorSamples({{{{DType::kFloat32, {5}}, {DType::kFloat32, {5}}},
                      {{"var", -1.0}},
                      Code::kInvalidArgument,
                      "var is negative"}});
}

}  // namespace ofl::ops
