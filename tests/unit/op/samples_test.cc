// Every operator, driven by its own samples: documentation, shapes, errors, threads, gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "tests/unit/op/evaluator.h"

namespace ofl::op::testing {
namespace {

class EveryOp : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& def() const { return *GetParam(); }
  // A sample whose attributes are complete.
  std::vector<Sample> Samples() const {
    std::vector<Sample> samples = def().samples();
    for (Sample& s : samples) {
      auto attrs = def().CompleteAttrs(s.attrs);
      EXPECT_TRUE(attrs.ok()) << attrs.status().ToString();
      if (attrs.ok()) s.attrs = *attrs;
    }
    return samples;
  }
  static std::string Describe(const Sample& s) {
    std::string text = "sample";
    for (const TensorMeta& m : s.inputs) text += " " + m.ToString();
    return text + " " + s.attrs.ToString() + " " + s.note;
  }
};

const std::function<Shape(Shape)> kEdges[] = {
    [](const Shape& s) { return s; },
    [](const Shape&) { return Shape{}; },
    [](Shape s) {
      for (int i = 0; i < s.rank(); ++i) s[i] = 1;
      return s;
    },
    [](Shape s) {
      if (s.rank() > 0) s[0] = 0;
      return s;
    },
    [](Shape s) {
      if (s.rank() > 0) s[s.rank() - 1] = 0;
      return s;
    },
};

TEST_P(EveryOp, HasSamplesAndKernels) {
  EXPECT_FALSE(def().samples().empty());
  EXPECT_TRUE(def().composite || !def().kernels.empty());
  EXPECT_FALSE(def().py.empty());
}

TEST_P(EveryOp, RunsItsSamplesToTheInferredShapes) {
  std::mt19937 random(1);
  for (const Sample& s : Samples()) {
    const Hosts inputs = DrawInputs(s, true, random);
    const auto inferred = def().Infer(s.inputs, s.attrs);
    ASSERT_TRUE(inferred.ok()) << Describe(s) << "\n" << inferred.status().ToString();
    const auto results = RunWhole(def(), inputs, s.attrs);
    ASSERT_TRUE(results.ok()) << Describe(s) << "\n" << results.status().ToString();
    for (size_t i = 0; i < inferred->size(); ++i)
      EXPECT_EQ((*results)[i]->meta(), (*inferred)[i]) << Describe(s);
  }
}

// Whatever its outputs and its scratch held before: a place that it does not write, or adds to,
// shows.
TEST_P(EveryOp, GivesTheSameBitsAgain) {
  std::mt19937 random(2);
  for (const Sample& s : Samples()) {
    const Hosts inputs = DrawInputs(s, false, random);
    const auto first = RunWhole(def(), inputs, s.attrs);
    const UndefinedIs zero(std::byte{0});
    const auto again = RunWhole(def(), inputs, s.attrs);
    const auto threaded = RunWhole(def(), inputs, s.attrs, 3);
    ASSERT_TRUE(first.ok() && again.ok() && threaded.ok()) << Describe(s);
    for (size_t i = 0; i < first->size(); ++i) {
      EXPECT_TRUE(SameBits((*first)[i], (*again)[i])) << Describe(s);
      EXPECT_EQ(Difference((*threaded)[i], (*first)[i]), "") << Describe(s);
    }
  }
}

// The attributes themselves, and with one of them another: a number 0, 1, -1, a choice the other.
std::vector<Attrs> NextTo(const Attrs& attrs) {
  std::vector<Attrs> all = {attrs};
  for (const auto& [name, value] : attrs) {
    const auto add = [&](AttrValue other) {
      all.push_back(attrs);
      all.back().Set(name, std::move(other));
    };
    if (const bool* choice = std::get_if<bool>(&value)) add(!*choice);
    if (!std::holds_alternative<int64_t>(value)) continue;
    for (int64_t other : {0, 1, -1}) add(other);
  }
  return all;
}

// Samples without axes, with sizes of one, with one axis empty, with extreme attributes: a call
// that is accepted writes all of its outputs.
TEST_P(EveryOp, WritesAllOfItsOutputsAtTheEdgesOfItsSamples) {
  std::mt19937 random(5);
  std::set<std::string> seen;
  for (const Sample& s : Samples()) {
    for (const Attrs& attrs : NextTo(s.attrs)) {
      for (const auto& edge : kEdges) {
        Sample x = s;
        x.attrs = attrs;
        for (TensorMeta& m : x.inputs) m.shape = edge(m.shape);
        if (!seen.insert(Describe(x)).second || !def().Infer(x.inputs, attrs).ok()) continue;
        const Hosts inputs = DrawInputs(x, true, random);
        const auto first = RunWhole(def(), inputs, attrs);
        const UndefinedIs zero(std::byte{0});
        const auto again = RunWhole(def(), inputs, attrs);
        ASSERT_EQ(first.ok(), again.ok()) << Describe(x);
        if (!first.ok()) continue;  // refused by what the values are
        for (size_t i = 0; i < first->size(); ++i)
          EXPECT_TRUE(SameBits((*first)[i], (*again)[i])) << Describe(x) << "\n"
                                                          << Difference((*again)[i], (*first)[i]);
      }
    }
  }
}

TEST_P(EveryOp, RefusesItsErrorSamples) {
  for (const ErrorSample& e : def().error_samples) {
    Status status;
    auto attrs = def().CompleteAttrs(e.attrs);
    status = attrs.ok() ? def().Infer(e.inputs, *attrs).status() : attrs.status();
    ASSERT_FALSE(status.ok()) << "accepted, though it should say: " << e.text;
    EXPECT_EQ(status.code(), e.code) << status.ToString();
    EXPECT_NE(status.message().find(e.text), std::string::npos)
        << "message: " << status.message() << "\nshould contain: " << e.text;
    EXPECT_EQ(status.message().rfind("[" + def().name + "] ", 0), 0u) << status.message();
  }
}

TEST_P(EveryOp, DecomposesIntoTheSameValues) {
  if (def().decompose == nullptr) return;
  std::mt19937 random(3);
  for (const Sample& s : Samples()) {
    const Hosts inputs = DrawInputs(s, false, random);
    const auto want = RunWhole(def(), inputs, s.attrs);
    ASSERT_TRUE(want.ok()) << Describe(s);
    Evaluator builder;
    const Values values(inputs.begin(), inputs.end());
    const Values got = def().decompose(builder, values, s.attrs);
    ASSERT_TRUE(builder.status().ok()) << Describe(s) << "\n" << builder.status().ToString();
    const bool any_number = !def().outputs.empty() && def().outputs.back().variadic;
    ASSERT_EQ(got.size(), any_number ? want->size() : def().outputs.size());
    for (size_t i = 0; i < got.size(); ++i) {
      // An output that only a fused gradient reads may be left out.
      if (got[i] == nullptr && i > 0) continue;
      EXPECT_EQ(Difference(AsHost(got[i]), (*want)[i], 10), "") << Describe(s);
    }
  }
}

// --- gradients ----------------------------------------------------------------------------------

// The sample in double precision, where the operator has such a kernel.
Sample Widened(const OpDef& def, const Sample& s) {
  Sample wide = s;
  for (TensorMeta& m : wide.inputs) {
    if (IsFloating(m.dtype) && !IsFloat8(m.dtype)) m.dtype = DType::kFloat64;
    if (IsComplex(m.dtype)) m.dtype = DType::kComplex128;
  }
  const auto outputs = def.Infer(wide.inputs, wide.attrs);
  const auto has_kernel = [&] {
    return def.Bounds(DeviceKind::kCpu, wide.inputs, *outputs, wide.attrs, 1).ok();
  };
  if (!outputs.ok() || !has_kernel()) return s;
  return wide;
}

// Sum of output k weighted by `weights`.
double Loss(const OpDef& def, const Hosts& inputs, const Attrs& attrs, int k, const Host& weights) {
  const auto results = RunWhole(def, inputs, attrs);
  OFL_CHECK(results.ok()) << results.status().ToString();
  double loss = 0;
  for (int64_t i = 0; i < weights->numel(); ++i) loss += (*results)[k]->Get(i) * weights->Get(i);
  return loss;
}

bool Wide(DType dtype) { return dtype == DType::kFloat64 || dtype == DType::kComplex128; }

struct GradCase {
  const OpDef& def;
  const Sample& sample;
  Hosts inputs;
  Hosts outputs;
};

Result<Values> AnalyticGrads(const GradCase& g, int k, const Host& weights) {
  Evaluator builder;
  const Values inputs(g.inputs.begin(), g.inputs.end());
  const Values outputs(g.outputs.begin(), g.outputs.end());
  Values grads(outputs.size());
  grads[k] = weights;
  std::vector<char> needs;
  for (const Host& x : g.inputs) needs.push_back(IsDifferentiable(x->meta().dtype));
  const std::span<const bool> flags(reinterpret_cast<const bool*>(needs.data()), needs.size());
  GradContext context(builder, inputs, outputs, grads, g.sample.attrs, flags);
  g.def.grad(context);
  if (!builder.status().ok()) return builder.status();
  return context.input_grads;
}

// The elements that a step changes, and in which direction.
using Moves = std::vector<std::pair<int64_t, double>>;
Moves MovesOf(const Host& x, int64_t e, bool hermitian) {
  if (!hermitian) return {{e, 1.0}};
  const bool complex = IsComplex(x->meta().dtype);
  const int64_t parts = complex ? 2 : 1, mirrored = MirrorOf(x->meta().shape, e / parts);
  const bool imaginary = complex && e % 2 == 1;
  if (mirrored == e / parts) return imaginary ? Moves{} : Moves{{e, 1.0}};
  return {{e, 1.0}, {mirrored * parts + (imaginary ? 1 : 0), imaginary ? -1.0 : 1.0}};
}

void CheckGradOfOutput(const GradCase& g, int k, std::mt19937& random, const std::string& what) {
  Sample unit;
  unit.low = -1;
  unit.high = 1;
  const Host weights = Draw(g.outputs[k]->meta(), unit, false, random);
  const auto grads = AnalyticGrads(g, k, weights);
  ASSERT_TRUE(grads.ok()) << what << "\n" << grads.status().ToString();
  const bool flows = std::ranges::any_of(*grads, [](const Value& v) { return v != nullptr; });
  if (k > 0 && !flows) return;  // an output kept for the gradient's own use
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    const Host& x = g.inputs[i];
    if (!IsDifferentiable(x->meta().dtype)) {
      EXPECT_EQ((*grads)[i], nullptr) << what << ": a gradient for an integer input";
      continue;
    }
    // A step is lost in the rounding of such an input.
    if (IsFloat8(x->meta().dtype) || IsHalf(x->meta().dtype)) continue;
    if ((*grads)[i] != nullptr) {
      ASSERT_EQ((*grads)[i]->meta(), x->meta()) << what << ": input " << i;
    }
    const bool wide = Wide(x->meta().dtype) && Wide(g.outputs[k]->meta().dtype);
    const double step = wide ? 1e-5 : 1e-2, tolerance = wide ? 1e-5 : 3e-2;
    const bool hermitian = g.sample.note.find("hermitian") != std::string::npos;
    const int64_t stride = std::max<int64_t>(1, x->numel() / 24);
    for (int64_t e = 0; e < x->numel(); e += stride) {
      // Of a Hermitian matrix a step goes along Hermitian ones.
      const Moves moves = MovesOf(x, e, hermitian);
      const auto loss_at = [&](double by) {
        Hosts moved = g.inputs;
        moved[i] = Copy(x);
        for (auto [at, sign] : moves) moved[i]->Set(at, x->Get(at) + sign * by);
        return Loss(g.def, moved, g.sample.attrs, k, weights);
      };
      const double numeric = (loss_at(step) - loss_at(-step)) / (2 * step);
      double analytic = 0;
      for (auto [at, sign] : moves)
        if ((*grads)[i]) analytic += sign * AsHost((*grads)[i])->Get(at);
      ASSERT_NEAR(analytic, numeric, tolerance * std::max(1.0, std::fabs(numeric)))
          << what << ": input " << i << " element " << e << ", output " << k;
    }
  }
}

TEST_P(EveryOp, HasTheGradientOfFiniteDifferences) {
  if (def().composite) return;  // its parts have gradients
  if (def().grad == nullptr) {
    EXPECT_FALSE(def().not_differentiable.empty());
    return;
  }
  if (def().Has(Trait::kInexactGrad)) return;  // piecewise constant: differences say nothing
  std::mt19937 random(4);
  for (const Sample& narrow : Samples()) {
    // Vectors up to a phase: their derivative depends on which one the library takes.
    if (narrow.note.find("phase") != std::string::npos) continue;
    const Sample s = Widened(def(), narrow);
    GradCase g{def(), s, DrawInputs(s, false, random), {}};
    auto outputs = RunWhole(def(), g.inputs, s.attrs);
    ASSERT_TRUE(outputs.ok()) << Describe(s) << "\n" << outputs.status().ToString();
    g.outputs = *outputs;
    g.outputs.resize(def().outputs.size());
    for (int k = 0; k < static_cast<int>(g.outputs.size()); ++k) {
      const DType dtype = g.outputs[k]->meta().dtype;
      // Of a half type differences would see the steps of its rounding.
      if (!IsDifferentiable(dtype) || IsHalf(dtype) || IsFloat8(dtype)) continue;
      CheckGradOfOutput(g, k, random, Describe(s));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryOp, GivesTheSameGradientsAgain) {
  if (def().composite || def().grad == nullptr) return;
  std::mt19937 random(6);
  for (const Sample& s : Samples()) {
    GradCase g{def(), s, DrawInputs(s, false, random), {}};
    auto outputs = RunWhole(def(), g.inputs, s.attrs);
    ASSERT_TRUE(outputs.ok()) << Describe(s) << "\n" << outputs.status().ToString();
    g.outputs = *outputs;
    g.outputs.resize(def().outputs.size());
    for (int k = 0; k < static_cast<int>(g.outputs.size()); ++k) {
      if (!IsDifferentiable(g.outputs[k]->meta().dtype)) continue;
      const Host weights = Draw(g.outputs[k]->meta(), s, false, random);
      const auto first = AnalyticGrads(g, k, weights);
      const UndefinedIs zero(std::byte{0});
      const auto again = AnalyticGrads(g, k, weights);
      ASSERT_EQ(first.ok(), again.ok()) << Describe(s);
      if (!first.ok()) continue;  // of a dtype or an operand that has no gradient
      for (size_t i = 0; i < first->size(); ++i) {
        ASSERT_EQ((*first)[i] == nullptr, (*again)[i] == nullptr) << Describe(s);
        if ((*first)[i] == nullptr) continue;
        EXPECT_TRUE(SameBits(AsHost((*first)[i]), AsHost((*again)[i])))
            << Describe(s) << ": input " << i << " of output " << k << "\n"
            << Difference(AsHost((*again)[i]), AsHost((*first)[i]));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, EveryOp, ::testing::ValuesIn(OpRegistry::Get().all()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace ofl::op::testing
