// What activations of one element share that are no function of mathematics: each has its slope as
// an operator, so that backward is one pass.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "oneflow_like/ops/elementwise/forms.h"

namespace ofl::ops {

// Functors hold double and compute in T: the constants are rounded once, outside of the loop.
#define OFL_PARAMETERS(NAME, ...)                                                             \
  explicit NAME(const Attrs& attrs) { Read(attrs, {__VA_ARGS__}); }                           \
  void Read(const Attrs& attrs, std::initializer_list<std::pair<double*, const char*>> all) { \
    for (const auto& [into, name] : all) *into = attrs.Get<double>(name);                     \
  }

inline op::OpDefBuilder& Parameters(op::OpDefBuilder& op, const std::vector<const char*>& names) {
  for (const char* name : names) op.Attr(name, op::AttrType::kFloat);
  return op;
}

// y = F(x) of floats with these numbers as attributes.
template <class F, DTypeSet kSet = kFloats>
op::OpDefBuilder& Activation(op::OpDefBuilder& op, const char* doc, const std::string& rule,
                             const Attrs& attrs = {}, Range range = {-4, 4}) {
  return Unary<F, kSet>(op, doc, rule, range)
      .Promote(op::Promotion::kNone)
      .Samples([attrs, range] { return UnarySamples(ListOf(kSet), range.low, range.high, attrs); })
      .ErrorSamples({{{{DType::kBool, {2}}}, attrs, Code::kTypeMismatch, "bool is not a"}});
}

// dx = F(dy, x), linear in dy.
template <class F>
op::OpDefBuilder& SlopeOf(op::OpDefBuilder& op, const char* doc, const Attrs& attrs = {}) {
  ForEachDType<kFloats>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<F, T, T>); });
  return op.Doc(doc)
      .In("grad")
      .In("input")
      .Out("input_grad")
      .Infer(InferGradOf<kFloats>)
      .Sbp("(...),(...)->(...); linear 0; never partial")
      .Traits({op::Trait::kElementwise})
      .InPlace(0, 0)
      .InPlace(0, 1)
      .Strided()
      .Promote(op::Promotion::kCommon)
      .Samples([attrs] {
        std::vector<op::Sample> samples;
        for (DType d : ListOf(kFloats)) {
          for (const Shape& s : {Shape{5, 3}, Shape{}, Shape{0, 2}}) {
            samples.push_back({{{d, s}, {d, s}}, attrs, -4, 4, ""});
            if (d != DType::kFloat32) break;
          }
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {3}}},
                      attrs,
                      Code::kInvalidArgument,
                      "expected one shape and dtype"}});
}

// The gradient of an activation: its slope, an operator of this name with the same attributes.
template <const char* kName>
void GradBySlope(op::GradContext& c) {
  c.Set(0, c.b.Call(kName, {c.grads[0], c.inputs[0]}, c.attrs));
}

// Of a slope that is linear in pieces.
template <const char* kName>
void GradOfPieces(op::GradContext& c) {
  if (c.Needs(0)) c.Set(0, c.b.Call(kName, {c.grads[0], c.inputs[1]}, c.attrs));
}

using BendFn = op::Value (*)(op::GradContext& c, const op::Value& x);
// Of another: `bend` is the second derivative.
template <const char* kName, BendFn bend>
void GradOfCurve(op::GradContext& c) {
  GradOfPieces<kName>(c);
  if (!c.Needs(1)) return;
  c.Set(1, Mul(c.b, Mul(c.b, c.grads[0], c.inputs[0]), bend(c, c.inputs[1])));
}

}  // namespace ofl::ops
