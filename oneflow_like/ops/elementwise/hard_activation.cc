// Activations that are linear in pieces, and hardswish, which is one of them times its input.
#include <limits>

#include "oneflow_like/ops/elementwise/activation.h"

namespace ofl::ops {
namespace {

struct HardSigmoid {
  template <class T>
  OFL_FN T operator()(T x) const {
    const T z = x + T(3);
    return (z < T(0) ? T(0) : z > T(6) ? T(6) : z) / T(6);
  }
};
struct HardSwish {
  template <class T>
  OFL_FN T operator()(T x) const {
    const T z = x + T(3);
    return x * (z < T(0) ? T(0) : z > T(6) ? T(6) : z) / T(6);
  }
};
struct HardSwishSlope {
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return x <= T(-3) ? T(0) : x < T(3) ? dy * (x / T(3) + T(0.5)) : dy;
  }
};

struct Threshold {
  OFL_PARAMETERS(Threshold, {&threshold, "threshold"}, {&value, "value"})
  template <class T>
  OFL_FN T operator()(T x) const {
    return x <= static_cast<T>(threshold) ? static_cast<T>(value) : x;
  }
  double threshold, value;
};
struct HardShrink {
  OFL_PARAMETERS(HardShrink, {&lambda, "lambd"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(lambda);
    return (x >= -l) & (x <= l) ? T(0) : x;
  }
  double lambda;
};
struct SoftShrink {
  OFL_PARAMETERS(SoftShrink, {&lambda, "lambd"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(lambda);
    return x > l ? x - l : x < -l ? x + l : x != x ? x : T(0);
  }
  double lambda;
};
// Like clamp, but for the gradient at the bounds.
struct HardTanh {
  OFL_PARAMETERS(HardTanh, {&low, "min_val"}, {&high, "max_val"})
  template <class T>
  OFL_FN T operator()(T x) const {
    const T l = static_cast<T>(low), h = static_cast<T>(high);
    return x < l ? l : x > h ? h : x;
  }
  double low, high;
};
// grad, scaled, strictly between two bounds, and 0 elsewhere; `outside` the reverse.
struct Window {
  OFL_PARAMETERS(Window, {&low, "low"}, {&high, "high"}, {&scale, "scale"}, {&at_nan, "at_nan"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    const bool out = (x <= static_cast<T>(low)) | (x >= static_cast<T>(high));
    return out ? T(0) : dy * static_cast<T>(x == x ? scale : at_nan);
  }
  double low, high, scale, at_nan;
};
struct OutsideWindow {
  OFL_PARAMETERS(OutsideWindow, {&low, "low"}, {&high, "high"})
  template <class T>
  OFL_FN T operator()(T dy, T x) const {
    return (x >= static_cast<T>(low)) & (x <= static_cast<T>(high)) ? T(0) : dy;
  }
  double low, high;
};

constexpr char kHardSwishGrad[] = "hardswish_grad";
constexpr char kWindowGrad[] = "window_grad";
constexpr char kOutsideGrad[] = "outside_grad";
constexpr double kInf = std::numeric_limits<double>::infinity();

op::Value BendOfHardSwish(op::GradContext& c, const op::Value& x) {
  const op::Value third = c.b.Call("full_like", {x}, {{"value", Scalar(1.0 / 3)}});
  return c.b.Call("window_grad", {third, x}, {{"low", -3.0}, {"high", 3.0}, {"scale", 1.0}});
}

// grad * scale between two bounds; at NaN the slope is `at_nan`.
void SetWindow(op::GradContext& c, double low, double high, double scale, double at_nan) {
  c.Set(0, c.b.Call(kWindowGrad, {c.grads[0], c.inputs[0]},
                    {{"low", low}, {"high", high}, {"scale", scale}, {"at_nan", at_nan}}));
}

void SetOutside(op::GradContext& c, double low, double high) {
  c.Set(0, c.b.Call(kOutsideGrad, {c.grads[0], c.inputs[0]}, {{"low", low}, {"high", high}}));
}

void GradShrink(op::GradContext& c) {
  const double lambda = c.attrs.Get<double>("lambd");
  SetOutside(c, -lambda, lambda);
}

}  // namespace

OFL_OP(hardsigmoid) {
  Activation<HardSigmoid>(op, "(input + 3) / 6, limited to [0, 1].", "; monotone 0")
      .Grad([](op::GradContext& c) { SetWindow(c, -3, 3, 1.0 / 6, 0); })
      .Oracle("np.clip(input + 3, 0, 6) / 6")
      .Py("nn.functional.hardsigmoid(input, inplace=False)");
}

OFL_OP(hardswish) {
  Activation<HardSwish>(op, "input * hardsigmoid(input).", "; never partial")
      .Grad(GradBySlope<kHardSwishGrad>)
      .Oracle("input * np.clip(input + 3, 0, 6) / 6")
      .Py("nn.functional.hardswish(input, inplace=False)");
}

OFL_OP(hardswish_grad) {
  SlopeOf<HardSwishSlope>(op, "grad times the slope of hardswish at input.")
      .Grad(GradOfCurve<kHardSwishGrad, BendOfHardSwish>)
      .Oracle("grad * np.where(input <= -3, 0, np.where(input < 3, input / 3 + 0.5, 1))")
      .Py("hardswish_grad(grad, input)");
}

OFL_OP(threshold) {
  Activation<Threshold, kReals>(op, "input where it is above threshold, else value.",
                                "; never partial", {{"threshold", 1.0}, {"value", 2.0}})
      .Attr("threshold", op::AttrType::kFloat)
      .Attr("value", op::AttrType::kFloat)
      .Grad([](op::GradContext& c) { SetOutside(c, -kInf, c.attrs.Get<double>("threshold")); })
      .Oracle("np.where(input <= threshold, input.dtype.type(value), input)")
      .Py("nn.functional.threshold(input, threshold, value, inplace=False)")
      .Py("threshold(input, threshold, value)")
      .Py("threshold_(input, threshold, value)")
      .Public()
      .Functional();
}

OFL_OP(hardshrink) {
  Activation<HardShrink>(op, "0 where input is in [-lambd, lambd], else input.", "; never partial",
                         {{"lambd", 1.5}})
      .Attr("lambd", op::AttrType::kFloat, 0.5)
      .Grad(GradShrink)
      .Oracle("np.where(np.abs(input) <= lambd, 0, input)")
      .PyBoth("hardshrink(input, lambd=0.5)")
      .Functional();
}

OFL_OP(softshrink) {
  Activation<SoftShrink>(op, "input, moved towards 0 by lambd, and 0 within [-lambd, lambd].",
                         "; monotone 0", {{"lambd", 1.5}})
      .Attr("lambd", op::AttrType::kFloat, 0.5)
      .Infer([](op::InferContext& c) -> Status {
        OFL_ENSURE(c.attr<double>("lambd") >= 0, Code::kInvalidArgument)
            << "lambd is negative; expected at least 0";
        return InferUnary(c, kFloats, Gives::kSame);
      })
      .Grad(GradShrink)
      .Oracle("np.sign(input) * np.maximum(np.abs(input) - lambd, 0)")
      .Py("nn.functional.softshrink(input, lambd=0.5)")
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"lambd", -1.0}},
                      Code::kInvalidArgument,
                      "expected at least 0"}});
}

OFL_OP(hardtanh) {
  Activation<HardTanh, kReals>(op, "input, limited to [min_val, max_val].", "; monotone 0",
                               {{"min_val", 0.0}, {"max_val", 2.0}})
      .Attr("min_val", op::AttrType::kFloat, -1.0)
      .Attr("max_val", op::AttrType::kFloat, 1.0)
      .Infer([](op::InferContext& c) -> Status {
        OFL_ENSURE(c.attr<double>("min_val") <= c.attr<double>("max_val"), Code::kInvalidArgument)
            << "min_val is larger than max_val; expected the smaller one first";
        return InferUnary(c, kReals, Gives::kSame);
      })
      .Grad([](op::GradContext& c) {
        SetWindow(c, c.attrs.Get<double>("min_val"), c.attrs.Get<double>("max_val"), 1, 1);
      })
      .Oracle("np.clip(input, input.dtype.type(min_val), input.dtype.type(max_val))")
      .Py("nn.functional.hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False)")
      .Py("nn.functional.hardtanh_(input, min_val=-1.0, max_val=1.0)")
      .Py("nn.functional.relu6(input, inplace=False)", {{"min_val", 0.0}, {"max_val", 6.0}})
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"min_val", 1.0}, {"max_val", 0.0}},
                      Code::kInvalidArgument,
                      "expected the smaller one first"}});
}

OFL_OP(window_grad) {
  Parameters(op, {"low", "high", "scale"});
  op.Attr("at_nan", op::AttrType::kFloat, 1.0);
  SlopeOf<Window>(op,
                  "grad * scale where input is strictly between low and high, else 0; at NaN\n"
                  "grad * at_nan.",
                  {{"low", -1.5}, {"high", 2.0}, {"scale", 0.5}})
      .Grad(GradOfPieces<kWindowGrad>)
      .Oracle("np.where((input <= low) | (input >= high), 0, grad * scale)")
      .Py("window_grad(grad, input, low, high, scale, at_nan=1.0)");
}

OFL_OP(outside_grad) {
  Parameters(op, {"low", "high"});
  SlopeOf<OutsideWindow>(op, "0 where input is in [low, high], else grad.",
                         {{"low", -1.5}, {"high", 2.0}})
      .Grad(GradOfPieces<kOutsideGrad>)
      .Oracle("np.where((input >= low) & (input <= high), 0, grad)")
      .Py("outside_grad(grad, input, low, high)");
}

}  // namespace ofl::ops
