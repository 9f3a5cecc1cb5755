// The graph after each pass against the golden files in tests/golden/compiler. To accept a
// change on purpose: OFL_UPDATE_GOLDEN=1 compiler_test --gtest_filter='*Golden*'.

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "oneflow_like/ir/parse.h"
#include "tests/unit/compiler/heads.h"

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

std::string Golden(const std::string& name) {
  std::ifstream in(GoldenPath(name));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void ExpectGolden(const std::string& name, const std::string& text) {
  if (std::getenv("OFL_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(GoldenPath(name)) << text;
    return;
  }
  EXPECT_EQ(text, Golden(name)) << "golden file " << name;
}

void ExpectGoldenPasses(const std::string& name, testing::Mlp mlp) {
  Options options;
  options.dump = [&](const std::string& pass, const std::string& text) {
    ExpectGolden(name + "." + pass, text);
  };
  auto plan = Compile(std::move(mlp.graph), std::move(mlp.training), options);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
}

TEST(PassesGolden, DataParallel) { ExpectGoldenPasses("dp2", MakeMlp(DataParallel(2))); }
TEST(PassesGolden, TensorParallel) { ExpectGoldenPasses("tp2", MakeMlp(TensorParallel(2))); }
TEST(PassesGolden, PipelineOfFourMicroBatches) { ExpectGoldenPasses("pp2", MakeMlp(Pipeline(4))); }

TEST(PassesGolden, HeadsReadWhereTheyLie) {
  ExpectGoldenPasses("heads2", testing::MakeHeads({2, false, 1}));
}

// Each of these passes sees no more than the text: what the pass before it printed gives what it
// printed itself.
TEST(PassesFromText, GiveTheGoldenGraphs) {
  using Pass = std::function<Result<ir::Graph>(ir::Graph)>;
  const std::vector<std::pair<std::string, Pass>> passes = {
      {"03_update", nullptr},
      {"04_prune", RunPrune},
      {"05_layout", [](ir::Graph g) { return RunLayout(std::move(g), {}); }},
      {"06_boxing", [](ir::Graph g) { return RunBoxing(std::move(g), {}); }},
      {"07_order", RunOrder},
      {"08_views", RunViews}};
  for (const std::string program : {"dp2", "tp2", "pp2", "heads2"}) {
    for (size_t i = 1; i < passes.size(); ++i) {
      const std::string from = program + "." + passes[i - 1].first;
      ir::Graph graph = testing::Must(ir::Parse(Golden(from)));
      graph = testing::Must(passes[i].second(std::move(graph)));
      EXPECT_EQ(ir::Print(graph), Golden(program + "." + passes[i].first)) << "from " << from;
    }
  }
}

// Nothing reads %3 but the conversion back asks for its layout.
TEST(PassesFromText, PruneKeepsWhatAConversionTakesItsLayoutFrom) {
  ir::Graph graph = testing::Must(ir::Parse(R"(
graph 'moved' world 2 micro_batches 1 nodes 8 values 7
%0: float32[4,2]{B} = input_0() 'x' #0 @placement(cpu, ranks=[0]) forward
%1: float32[3,2]{B} grad = variable_1() 'w' @placement(cpu, ranks=[0]) forward
%2: float64[2]{B} = input_2() {whole=true} 'hyper' #1 @placement(cpu, ranks=[0]) forward
%3: float32[4,3] grad = linear_3(%0, %1) @placement(cpu, ranks=[0]) forward
%4: float32[4,3] = full_4() {shape=[4, 3], value=1.0} @placement(cpu, ranks=[1]) backward
%5: float32[4,3] = to_global_5(%4) -> dual of %3 @placement(cpu, ranks=[0]) backward
%6: float32[3,2] = linear_weight_grad_6(%5, %0) @placement(cpu, ranks=[0]) backward
sgd_update_7(%1, %6, %2) @placement(cpu, ranks=[0]) update
)"));
  graph = testing::Must(RunPrune(std::move(graph)));
  ASSERT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
  graph = testing::Must(RunBoxing(testing::Must(RunLayout(std::move(graph), {})), {}));
  EXPECT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
}

// A layout that the program has read is kept, where the operator would give another and where a
// composition takes its place; both cost a conversion.
TEST(PassesFromText, PinnedLayoutsAreKept) {
  const std::string text = R"(
graph 'pinned' world 2 micro_batches 1 nodes 5 values 3
%0: float32[64,1048576]{S(1)} = input_0() 'x' #0 @placement(cpu, ranks=[0, 1]) forward
%1: float32[64,1048576]{B} pinned = relu_1(%0) @placement(cpu, ranks=[0, 1]) forward
%2: float32[64,1048576]{B} pinned = softmax_2(%0) {dim=-1} @placement(cpu, ranks=[0, 1]) forward
output_3(%1) #0 @placement(cpu, ranks=[0, 1]) forward
output_4(%2) #1 @placement(cpu, ranks=[0, 1]) forward
)";
  ir::Graph graph = testing::Must(ir::Parse(text));
  EXPECT_EQ("\n" + ir::Print(graph), text);
  graph = testing::Must(RunLayout(std::move(graph), {}));
  ASSERT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
  const sbp::NdSbp whole{sbp::Sbp::Broadcast()};
  for (int id : graph.order) {
    const ir::Node& node = graph.nodes[id];
    if (node.kind != ir::NodeKind::kOutput) continue;
    EXPECT_TRUE(graph.values[node.inputs[0]].pinned) << node.name;
    EXPECT_EQ(*graph.values[node.inputs[0]].nd_sbp, whole) << node.name;
  }
  EXPECT_EQ(ir::Print(testing::Must(ir::Parse(ir::Print(graph)))), ir::Print(graph));
  graph = testing::Must(RunOrder(testing::Must(RunBoxing(std::move(graph), {}))));
  ASSERT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
  for (int id : graph.order) {
    const ir::Node& node = graph.nodes[id];
    if (node.kind == ir::NodeKind::kOutput) {
      EXPECT_EQ(*graph.values[node.inputs[0]].nd_sbp, whole) << node.name;
    }
  }
}

// Which reader comes first, and in which layout, is all that lays a value without operands.
TEST(PassesFromText, FreeValuesFollowTheirFirstReader) {
  ir::Graph graph = testing::Must(ir::Parse(R"(
graph 'free' world 2 micro_batches 1 nodes 7 values 6
%0: float32[4,8]{S(0)} = input_0() 'x' #0 @placement(cpu, ranks=[0, 1]) forward
%1: float32[4,8]{S(1)} = input_1() 'y' #1 @placement(cpu, ranks=[0, 1]) forward
%2: float32[4,8] = full_2() {dtype=float32, shape=[4, 8], value=2.0} @placement(cpu, ranks=[0, 1]) forward
%3: float32[4,8] = exp_3(%2) @placement(cpu, ranks=[0, 1]) forward
%4: float32[4,8] = add_4(%1, %3) @placement(cpu, ranks=[0, 1]) forward
%5: float32[4,8] = full_5() {dtype=float32, shape=[4, 8], value=2.0} @placement(cpu, ranks=[0, 1]) forward
output_6(%4) #0 @placement(cpu, ranks=[0, 1]) forward
)"));
  graph = testing::Must(RunLayout(std::move(graph), {}));
  ASSERT_TRUE(ir::Verify(graph).ok()) << ir::Verify(graph).ToString();
  for (int value : {2, 3, 4}) {
    EXPECT_EQ(graph.values[value].nd_sbp->ToString(), "(S(1))") << "%" << value;
  }
  EXPECT_EQ(graph.values[5].nd_sbp->ToString(), "(B)");
}

// What the compiler makes of a program does not depend on whether it came as text.
TEST(PassesFromText, LowerToTheSamePlan) {
  for (const std::string program : {"dp2", "tp2", "pp2"}) {
    auto plan = testing::Must(Lower(testing::Must(ir::Parse(Golden(program + ".08_views"))), {}));
    const MlpLayout layout = program == "dp2"   ? DataParallel(2)
                             : program == "tp2" ? TensorParallel(2)
                                                : Pipeline(4);
    EXPECT_EQ(plan.hash(), testing::CompileMlp(layout).hash()) << program;
  }
}

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
