// Convolutions by every provider of theirs: that they agree on problems of several pieces, with any
// number of threads, and that callers at the same time get the bits of one alone.
#include <gtest/gtest.h>

#include <array>
#include <thread>

#include "oneflow_like/op/def/providers.h"
#include "tests/unit/op/evaluator.h"

namespace ofl::op::testing {
namespace {

struct Problem {
  const char* op;
  std::vector<Shape> shapes;
  Attrs attrs;
};

Attrs Geometry(Ints stride, Ints padding, Ints dilation, const char* last, Ints size,
               bool grouped = false) {
  return {{"stride", stride},
          {"padding", padding},
          {"dilation", dilation},
          {last, size},
          {"grouped", grouped}};
}

// Images enough for several calls of a library, with a rest; channels that its blocks do not
// divide.
std::vector<Problem> Problems() {
  const Shape x{7, 19, 40, 33}, w{21, 19, 3, 3}, y{7, 21, 40, 33}, few{7, 21, 20, 17};
  const Shape grouped_x{5, 3, 6, 21, 20}, grouped_w{3, 4, 6, 3, 2}, grouped_y{5, 3, 4, 10, 19};
  const auto same = [](const char* last, Ints size) {
    return Geometry({1, 1}, {1, 1}, {1, 1}, last, size);
  };
  const auto apart = [](const char* last, Ints size) {
    return Geometry({2, 2}, {1, 1}, {1, 1}, last, size);
  };
  const auto groups = [](const char* last, Ints size) {
    return Geometry({2, 1}, {0, 0}, {1, 1}, last, size, true);
  };
  return {{"conv", {x, w}, same("padding_after", {1, 1})},
          {"conv_biased", {x, w, {21}}, same("padding_after", {1, 1})},
          {"conv", {x, w}, apart("padding_after", {1, 1})},
          {"conv", {grouped_x, grouped_w}, groups("padding_after", {0, 0})},
          {"conv", {{9, 5, 400}, {6, 5, 4}}, Geometry({1}, {3}, {2}, "padding_after", {3})},
          {"conv",
           {{2, 3, 9, 8, 7}, {4, 3, 3, 3, 3}},
           Geometry({1, 1, 2}, {1, 1, 1}, {1, 1, 1}, "padding_after", {1, 1, 1})},
          {"conv_input", {y, w}, same("size", {40, 33})},
          {"conv_input", {few, w}, apart("size", {40, 33})},
          {"conv_input", {grouped_y, grouped_w}, groups("size", {21, 20})},
          {"conv_weight", {y, x}, same("kernel", {3, 3})},
          {"conv_weight", {few, x}, apart("kernel", {3, 3})},
          {"conv_weight", {grouped_y, grouped_x}, groups("kernel", {3, 2})}};
}

Hosts Inputs(const Problem& problem, DType dtype) {
  std::mt19937 random(5);
  Hosts inputs;
  for (const Shape& shape : problem.shapes) {
    Sample sample{{{dtype, shape}}, {}, -1, 1, ""};
    inputs.push_back(Draw({dtype, shape}, sample, false, random));
  }
  return inputs;
}

// The result by one provider, or null where it declines.
Host RunBy(const KernelProvider& provider, const Problem& problem, const Hosts& inputs,
           int threads) {
  const OpDef& def = *OpRegistry::Get().Find(problem.op);
  const Attrs attrs = def.CompleteAttrs(problem.attrs).value();
  const std::vector<TensorMeta> in = MetasOf(inputs), out = def.Infer(in, attrs).value();
  const std::vector<TensorView> in_views = DenseViews(in), out_views = DenseViews(out);
  KernelBounds bounds;
  if (provider.bound != nullptr) bounds.scratch = provider.bound(in, out, attrs, threads);
  KernelStateRef state;
  if (provider.prepare != nullptr) {
    auto prepared = provider.prepare({in_views, out_views, attrs, threads, bounds});
    if (!prepared.ok()) return nullptr;
    state = *prepared;
  }
  const Host made = Make(out[0]);
  std::vector<TensorView> views;
  for (const Host& input : inputs) views.push_back(input->view());
  const TensorView to = made->view();
  std::vector<std::byte> scratch(static_cast<size_t>(bounds.scratch));
  const auto stream = (*device::GetDevice(DeviceKind::kCpu))->NewStream(threads);
  KernelContext context;
  context.inputs = views;
  context.outputs = {&to, 1};
  context.attrs = &attrs;
  context.stream = stream.get();
  context.workspace = scratch;
  context.state = state.get();
  const Status status = provider.run(context);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return made;
}

class Convolution : public ::testing::TestWithParam<DType> {};

TEST_P(Convolution, IsTheSameByEveryProviderAndNumberOfThreads) {
  for (const Problem& problem : Problems()) {
    const Hosts inputs = Inputs(problem, GetParam());
    const OpDef& def = *OpRegistry::Get().Find(problem.op);
    const auto providers = ProvidersOf(def, DeviceKind::kCpu, GetParam());
    const Host want = RunBy(*providers.back(), problem, inputs, 1);  // our own
    for (const KernelProvider* provider : providers) {
      for (int threads : {1, 3, 16}) {
        const Host got = RunBy(*provider, problem, inputs, threads);
        if (got == nullptr) continue;
        EXPECT_EQ(Difference(got, want, 20), "") << problem.op << " by " << provider->name;
        EXPECT_TRUE(SameBits(got, RunBy(*provider, problem, inputs, threads)));
      }
    }
  }
}

TEST_P(Convolution, HasTheSameBitsForCallersAtTheSameTime) {
  constexpr int kCallers = 4, kCalls = 3;
  for (const Problem& problem : Problems()) {
    const Hosts inputs = Inputs(problem, GetParam());
    const OpDef& def = *OpRegistry::Get().Find(problem.op);
    for (const KernelProvider* provider : ProvidersOf(def, DeviceKind::kCpu, GetParam())) {
      const Host want = RunBy(*provider, problem, inputs, 1);
      if (want == nullptr) continue;
      std::vector<std::thread> callers;
      std::array<bool, kCallers> equal{};
      for (int caller = 0; caller < kCallers; ++caller) {
        callers.emplace_back([&, caller] {
          equal[caller] = true;
          for (int i = 0; i < kCalls; ++i)
            equal[caller] &= SameBits(RunBy(*provider, problem, inputs, 1), want);
        });
      }
      for (std::thread& caller : callers) caller.join();
      for (bool same : equal) EXPECT_TRUE(same) << problem.op << " by " << provider->name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Floats, Convolution,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16, DType::kFloat16),
                         [](const auto& dtype) { return DTypeName(dtype.param); });

}  // namespace
}  // namespace ofl::op::testing
