// Circular and hyperbolic functions and their inverses.
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {
namespace {

OFL_FUNCTOR(Sine, math::Sin(x))
OFL_FUNCTOR(Cosine, math::Cos(x))
OFL_FUNCTOR(Tangent, math::Tan(x))
OFL_FUNCTOR(ArcSine, math::Asin(x))
OFL_FUNCTOR(ArcCosine, math::Acos(x))
OFL_FUNCTOR(ArcTangent, math::Atan(x))
OFL_FUNCTOR(HyperbolicSine, math::Sinh(x))
OFL_FUNCTOR(HyperbolicCosine, math::Cosh(x))
OFL_FUNCTOR(AreaSine, math::Asinh(x))
OFL_FUNCTOR(AreaCosine, math::Acosh(x))
OFL_FUNCTOR(AreaTangent, math::Atanh(x))

// sin(pi x) / (pi x), and 1 at 0.
struct Sinc {
  static constexpr bool kInPieces = true;
  template <class T>
  OFL_FN T operator()(T x) const {
    const T angle = T(math::kPi) * x;
    return x == T(0) ? T(1) : math::Sin(angle) / angle;
  }
};

constexpr DTypeSet kFields = kFloats | kComplexes;

op::Value Square(op::Builder& b, const op::Value& x) { return Of(b, "square", x); }

// (cos(pi x) - sinc(x)) / x, and 0 at 0.
void GradSinc(op::GradContext& c) {
  const op::Value& x = c.inputs[0];
  const op::Value at_zero = Against(c.b, "eq", x, 0);
  const op::Value safe = Where(c.b, at_zero, OnesLike(c.b, x), x);
  const op::Value gap = Sub(c.b, Of(c.b, "cos", MulScalar(c.b, x, math::kPi)), c.outputs[0]);
  SetSlope(c, Filled(c.b, at_zero, int64_t{0}, Div(c.b, gap, safe)));
}

}  // namespace

OFL_OP(sin) {
  Unary<Sine, kFields>(op, "The sine.", "; never partial")
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "cos", c.inputs[0])); })
      .Oracle("np.sin(input)");
  Named(op, "sin(input)", Writes::kBoth);
}

OFL_OP(cos) {
  Unary<Cosine, kFields>(op, "The cosine.", "; never partial")
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "neg", Of(c.b, "sin", c.inputs[0]))); })
      .Oracle("np.cos(input)");
  Named(op, "cos(input)", Writes::kBoth);
}

OFL_OP(tan) {
  Unary<Tangent, kFields>(op, "The tangent.", "; never partial", {-1, 1})
      .Grad([](op::GradContext& c) {
        SetSlope(c, AddScalar(c.b, Square(c.b, c.outputs[0]), int64_t{1}));
      })
      .Oracle("np.tan(input)");
  Named(op, "tan(input)", Writes::kBoth);
}

OFL_OP(asin) {
  Unary<ArcSine, kFields>(op, "The inverse sine; NaN outside [-1, 1].", "; never partial",
                          {-0.9, 0.9})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Of(c.b, "rsqrt", From(c.b, int64_t{1}, Square(c.b, c.inputs[0]))));
      })
      .Oracle("np.arcsin(input)");
  Named(op, "asin(input)", Writes::kBoth);
  Named(op, "arcsin(input)", Writes::kBoth);
}

OFL_OP(acos) {
  Unary<ArcCosine, kFields>(op, "The inverse cosine; NaN outside [-1, 1].", "; never partial",
                            {-0.9, 0.9})
      .Grad([](op::GradContext& c) {
        const op::Value slope = Of(c.b, "rsqrt", From(c.b, int64_t{1}, Square(c.b, c.inputs[0])));
        SetSlope(c, Of(c.b, "neg", slope));
      })
      .Oracle("np.arccos(input)");
  Named(op, "acos(input)", Writes::kBoth);
  Named(op, "arccos(input)", Writes::kBoth);
}

OFL_OP(atan) {
  Unary<ArcTangent, kFields>(op, "The inverse tangent.", "; monotone 0", {-0.9, 0.9})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Over(c.b, int64_t{1}, AddScalar(c.b, Square(c.b, c.inputs[0]), int64_t{1})));
      })
      .Oracle("np.arctan(input)");
  Named(op, "atan(input)", Writes::kBoth);
  Named(op, "arctan(input)", Writes::kBoth);
}

OFL_OP(sinh) {
  Unary<HyperbolicSine, kFields>(op, "The hyperbolic sine.", "; monotone 0")
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "cosh", c.inputs[0])); })
      .Oracle("np.sinh(input)");
  Named(op, "sinh(input)", Writes::kBoth);
}

OFL_OP(cosh) {
  Unary<HyperbolicCosine, kFields>(op, "The hyperbolic cosine.", "; never partial")
      .Grad([](op::GradContext& c) { SetSlope(c, Of(c.b, "sinh", c.inputs[0])); })
      .Oracle("np.cosh(input)");
  Named(op, "cosh(input)", Writes::kBoth);
}

OFL_OP(asinh) {
  Unary<AreaSine, kFields>(op, "The inverse hyperbolic sine.", "; monotone 0", {-0.9, 0.9})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Of(c.b, "rsqrt", AddScalar(c.b, Square(c.b, c.inputs[0]), int64_t{1})));
      })
      .Oracle("np.arcsinh(input)");
  Named(op, "asinh(input)", Writes::kBoth);
  Named(op, "arcsinh(input)", Writes::kBoth);
}

OFL_OP(acosh) {
  Unary<AreaCosine, kFields>(op, "The inverse hyperbolic cosine; NaN below 1.", "; never partial",
                             {1.5, 4})
      .Grad([](op::GradContext& c) {
        // Of complex numbers the product of two roots: it has the function's own branch cut.
        const op::Value& x = c.inputs[0];
        if (!IsComplex(x->meta().dtype)) {
          SetSlope(c, Of(c.b, "rsqrt", AddScalar(c.b, Square(c.b, x), int64_t{-1})));
          return;
        }
        SetSlope(c, Mul(c.b, Of(c.b, "rsqrt", AddScalar(c.b, x, int64_t{1})),
                        Of(c.b, "rsqrt", AddScalar(c.b, x, int64_t{-1}))));
      })
      .Oracle("np.arccosh(input)");
  Named(op, "acosh(input)", Writes::kBoth);
  Named(op, "arccosh(input)", Writes::kBoth);
}

OFL_OP(atanh) {
  Unary<AreaTangent, kFields>(op, "The inverse hyperbolic tangent; NaN outside [-1, 1].",
                              "; never partial", {-0.9, 0.9})
      .Grad([](op::GradContext& c) {
        SetSlope(c, Over(c.b, int64_t{1}, From(c.b, int64_t{1}, Square(c.b, c.inputs[0]))));
      })
      .Oracle("np.arctanh(input)");
  Named(op, "atanh(input)", Writes::kBoth);
  Named(op, "arctanh(input)", Writes::kBoth);
}

OFL_OP(sinc) {
  Unary<Sinc, kFields>(op, "sin(pi input) / (pi input), and 1 at 0.", "; never partial")
      .Grad(GradSinc)
      .Oracle("np.sinc(input)");
  Named(op, "sinc(input)", Writes::kBoth).Namespace("special");
}

}  // namespace ofl::ops
