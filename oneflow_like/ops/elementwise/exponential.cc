// Exponentials and logarithms of other bases and near 0, and the reciprocal.
#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {
namespace {

OFL_FUNCTOR(PowerOf2, math::Exp2(x))
OFL_FUNCTOR(ExpMinus1, math::Expm1(x))
OFL_FUNCTOR(LogOf2, math::Log2(x))
OFL_FUNCTOR(LogOf10, math::Log10(x))
OFL_FUNCTOR(Log1Plus, math::Log1p(x))

struct Reciprocal {
  template <class T>
  OFL_FN T operator()(T x) const {
    return T(1) / x;
  }
};

// log(x / (1 - x)), with x limited to [eps, 1 - eps] where there is an eps.
struct LogOdds {
  explicit LogOdds(const Attrs& attrs) : eps(-1) {
    if (const double* given = attrs.Maybe<double>("eps")) eps = *given;
  }
  template <class T>
  OFL_FN T operator()(T x) const {
    const T low = static_cast<T>(eps), high = T(1) - low;
    const T z = eps < 0 ? x : x < low ? low : x > high ? high : x;
    return math::Log(z / (T(1) - z));
  }
  double eps;
};

constexpr DTypeSet kFields = kFloats | kComplexes;
constexpr double kLn10 = 2.30258509299404568402;

// dy / (x (1 - x)); where eps limits x 0, and without one NaN outside [0, 1].
struct LogitSlope : LogOdds {
  using LogOdds::LogOdds;
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const T low = eps < 0 ? T(0) : static_cast<T>(eps), high = T(1) - low;
    const T slope = dy / (x * (T(1) - x)), outside = eps < 0 ? T(NAN) : T(0);
    return (x >= low) & (x <= high) ? slope : outside;
  }
};

void GradLogit(op::GradContext& c) {
  c.Set(0, c.b.Call("logit_grad", {c.grads[0], c.inputs[0]}, c.attrs));
}
// By x: (2 x - 1) / (x (1 - x))^2.
void GradLogitGrad(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &dy = c.inputs[0], &x = c.inputs[1], &u = c.grads[0];
  if (c.Needs(0)) SetReduced(c, 0, b.Call("logit_grad", {u, x}, c.attrs));
  if (!c.Needs(1)) return;
  const op::Value once = b.Call("logit_grad", {Mul(b, u, dy), x}, c.attrs);
  const op::Value bend = AddScalar(b, MulScalar(b, x, int64_t{2}), int64_t{-1});
  SetReduced(c, 1, b.Call("logit_grad", {Mul(b, once, bend), x}, c.attrs));
}

op::Values Scaled(op::Builder& b, const char* name, const op::Value& x, double factor) {
  if (x != nullptr && IsComplex(x->meta().dtype)) {
    b.Fail(Error(Code::kTypeMismatch)
           << "[" << name << "] a complex number is no angle: got input: " << x->meta().ToString()
           << "; expected a real dtype; take .real or .angle() first");
    return {nullptr};
  }
  return {MulScalar(b, x, factor)};
}

// input times a factor, integers as floats.
op::OpDefBuilder& Scaling(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .InPlace(0, 0)
      .Promote(op::Promotion::kFloat)
      .Compose(fn)
      .Samples([] { return UnarySamples(ListOf(kFloats), -4, 4); })
      .ErrorSamples(
          {{{{DType::kComplex64, {2}}}, {}, Code::kTypeMismatch, "a complex number is no angle"}});
}

}  // namespace

OFL_OP(deg2rad) {
  Scaling(op, "Degrees in radians.",
          [](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
            return Scaled(b, "deg2rad", in[0], math::kPi / 180);
          })
      .Oracle("np.deg2rad(input)");
  Named(op, "deg2rad(input)", Writes::kBoth);
}

OFL_OP(rad2deg) {
  Scaling(op, "Radians in degrees.",
          [](op::Builder& b, std::span<const op::Value> in, const Attrs&) {
            return Scaled(b, "rad2deg", in[0], 180 / math::kPi);
          })
      .Oracle("np.rad2deg(input)");
  Named(op, "rad2deg(input)", Writes::kBoth);
}

OFL_OP(exp2) {
  Unary<PowerOf2, kFields>(op, "2 to the power of input.", "; monotone 0")
      .Grad([](op::GradContext& c) { SetSlope(c, MulScalar(c.b, c.outputs[0], math::kLn2)); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.exp2(input) if input.dtype.kind == 'f' else np.exp(input * np.log(2))");
  Named(op, "exp2(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(expm1) {
  Unary<ExpMinus1, kFields>(op, "exp(input) - 1, exact near 0.", "; monotone 0")
      .Grad([](op::GradContext& c) { SetSlope(c, AddScalar(c.b, c.outputs[0], int64_t{1})); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.expm1(input)");
  Named(op, "expm1(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(log2) {
  Unary<LogOf2, kFields>(op, "The logarithm of base 2; -inf at 0, NaN below.", "; never partial",
                         {1, 4})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Over(c.b, int64_t{1}, MulScalar(c.b, c.inputs[0], math::kLn2)));
      })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.log2(input)");
  Named(op, "log2(input)", Writes::kBoth);
}

OFL_OP(log10) {
  Unary<LogOf10, kFields>(op, "The logarithm of base 10; -inf at 0, NaN below.", "; never partial",
                          {1, 4})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Over(c.b, int64_t{1}, MulScalar(c.b, c.inputs[0], kLn10)));
      })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.log10(input)");
  Named(op, "log10(input)", Writes::kBoth);
}

OFL_OP(log1p) {
  Unary<Log1Plus, kFields>(op, "log(1 + input), exact near 0.", "; never partial", {-0.5, 3})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Over(c.b, int64_t{1}, AddScalar(c.b, c.inputs[0], int64_t{1})));
      })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("np.log1p(input)");
  Named(op, "log1p(input)", Writes::kBoth).Namespace("special");
}

OFL_OP(reciprocal) {
  Unary<Reciprocal, kFields>(op, "1 / input.", "; never partial", {1, 3})
      .Grad(
          [](op::GradContext& c) { SetSlope(c, Of(c.b, "neg", Of(c.b, "square", c.outputs[0]))); })
      .Autocast(op::Autocast::kFloat32)
      .Oracle("1 / input");
  Named(op, "reciprocal(input)", Writes::kBoth);
}

OFL_OP(logit) {
  Unary<LogOdds, kFloats>(op,
                          "log(input / (1 - input)); with eps, input is limited to [eps, 1 - eps] "
                          "first.",
                          "; never partial", {0.1, 0.9})
      .OptionalAttr("eps", op::AttrType::kFloat)
      .Grad(GradLogit)
      .Oracle("logit(input, eps)")
      .Samples([] {
        auto samples = UnarySamples(ListOf(kFloats), 0.1, 0.9);
        samples.push_back({{{DType::kFloat32, {5, 3}}}, {{"eps", 0.25}}, -1, 2, "eps"});
        return samples;
      });
  Named(op, "logit(input, eps=None)", Writes::kBoth).Namespace("special");
}

OFL_OP(logit_grad) {
  Binary<LogitSlope, kFloats>(op, "input times the slope of logit at other.",
                              "; linear 0; never partial max min")
      .OptionalAttr("eps", op::AttrType::kFloat)
      .Grad(GradLogitGrad)
      .Oracle("logit_grad(input, other, eps)")
      .Py("logit_grad(input, other, eps=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats))
          samples.push_back({{{dtype, {5, 3}}, {dtype, {5, 3}}}, {}, 0.1, 0.9, ""});
        samples.push_back({{{DType::kFloat32, {5, 3}}, {DType::kFloat32, {3}}},
                           {{"eps", 0.25}},
                           0.05,
                           0.95,
                           "eps"});
        return samples;
      });
}

}  // namespace ofl::ops
