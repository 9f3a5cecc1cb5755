// The graph after each pass against the golden files in tests/golden/compiler. To accept a
// change on purpose: OFL_UPDATE_GOLDEN=1 compiler_test --gtest_filter='*Golden*'.

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/unit/compiler/graphs.h"

namespace ofl::compiler {
namespace {

using testing::DataParallel;
using testing::MakeMlp;
using testing::MlpLayout;
using testing::Pipeline;
using testing::TensorParallel;

std::string GoldenPath(const std::string& name) {
  return std::string(OFL_SOURCE_DIR) + "/tests/golden/compiler/" + name + ".txt";
}

void ExpectGolden(const std::string& name, const std::string& text) {
  if (std::getenv("OFL_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GoldenPath(name)) << text;
    return;
  }
  std::ifstream in(GoldenPath(name));
  std::ostringstream expected;
  expected << in.rdbuf();
  EXPECT_EQ(text, expected.str()) << "golden file " << name;
}

void ExpectGoldenPasses(const std::string& name, const MlpLayout& layout) {
  auto mlp = MakeMlp(layout);
  Options options;
  options.dump = [&](const std::string& pass, const std::string& text) {
    ExpectGolden(name + "." + pass, text);
  };
  auto plan = Compile(std::move(mlp.graph), std::move(mlp.training), options);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
}

TEST(PassesGolden, DataParallel) { ExpectGoldenPasses("dp2", DataParallel(2)); }
TEST(PassesGolden, TensorParallel) { ExpectGoldenPasses("tp2", TensorParallel(2)); }
TEST(PassesGolden, PipelineOfFourMicroBatches) { ExpectGoldenPasses("pp2", Pipeline(4)); }

TEST(Passes, DataParallelGradientsAreReducedOnceEach) {
  auto mlp = MakeMlp(DataParallel(4));
  std::vector<int> gradients;
  auto graph = testing::Must(RunAutograd(std::move(mlp.graph), mlp.training, gradients));
  graph = testing::Must(RunUpdate(std::move(graph), mlp.training, gradients));
  graph = testing::Must(RunLayout(testing::Must(RunPrune(std::move(graph))), {}));
  graph = testing::Must(RunBoxing(std::move(graph), {}));
  int from_partial = 0;
  for (int id : graph.order) {
    const ir::Node& node = graph.nodes[id];
    if (node.kind == ir::NodeKind::kBoxing)
      from_partial += node.steps.front().from.nd_sbp.HasPartial();
  }
  EXPECT_EQ(from_partial, 3);  // w1, b1, w2
}

TEST(Passes, MicroBatchesScaleTheLossGradient) {
  auto mlp = MakeMlp(Pipeline(4));
  std::vector<int> gradients;
  auto graph = testing::Must(RunAutograd(std::move(mlp.graph), mlp.training, gradients));
  bool scaled = false;
  for (const ir::Node& node : graph.nodes)
    if (node.op != nullptr && node.op->name == "full")
      scaled |= node.attrs.Get<double>("value") == 0.25;
  EXPECT_TRUE(scaled);
}

TEST(Passes, BackwardOfALossWithoutParametersIsRefused) {
  auto mlp = MakeMlp(DataParallel(2));
  for (ir::Value& value : mlp.graph.values) value.requires_grad = false;
  std::vector<int> gradients;
  auto graph = RunAutograd(std::move(mlp.graph), mlp.training, gradients);
  ASSERT_FALSE(graph.ok());
  EXPECT_NE(graph.status().message().find("requires a gradient"), std::string::npos);
}

}  // namespace
}  // namespace ofl::compiler
