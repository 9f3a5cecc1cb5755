#include "oneflow_like/ir/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

namespace ofl::ir {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Every golden file: graphs of three programs after each pass.
std::vector<std::pair<std::string, std::string>> GoldenTexts() {
  std::vector<std::pair<std::string, std::string>> texts;
  const std::string folder = std::string(OFL_SOURCE_DIR) + "/tests/golden/compiler";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    texts.emplace_back(entry.path().filename().string(), text.str());
  }
  std::sort(texts.begin(), texts.end());
  EXPECT_GE(texts.size(), 24u);
  return texts;
}

TEST(Parse, ReadsBackEveryGoldenGraph) {
  for (const auto& [name, text] : GoldenTexts()) {
    auto graph = Parse(text);
    ASSERT_TRUE(graph.ok()) << name << ": " << graph.status().ToString();
    EXPECT_EQ(Print(*graph), text) << name;
    EXPECT_TRUE(Verify(*graph).ok()) << name << ": " << Verify(*graph).ToString();
  }
}

// Parsing succeeds with a sound graph that reads back, or fails with a place in the text.
void ExpectSoundOrRefused(const std::string& text) {
  auto graph = Parse(text);
  if (!graph.ok()) {
    EXPECT_THAT(graph.status().message(), StartsWith("[graph text] line ")) << text;
    return;
  }
  EXPECT_TRUE(Verify(*graph).ok()) << text;
  const std::string printed = Print(*graph);
  auto again = Parse(printed);
  ASSERT_TRUE(again.ok()) << again.status().ToString() << "\n" << text;
  EXPECT_EQ(Print(*again), printed);
}

TEST(Parse, SurvivesTruncation) {
  for (const auto& [name, text] : GoldenTexts()) {
    const size_t step = std::max<size_t>(text.size() / 150, 1);
    for (size_t size = 0; size < text.size(); size += step)
      ExpectSoundOrRefused(text.substr(0, size));
  }
}

TEST(Parse, SurvivesFlippedBytes) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  constexpr char kLikely[] = "0123456789%()[]{}'->,:;=@# abBPS_-.\n";
  for (const auto& [name, text] : GoldenTexts()) {
    for (int round = 0; round < 150; ++round) {
      std::string broken = text;
      for (size_t flips = 1 + below(2); flips > 0; --flips)
        broken[below(broken.size())] = random() % 2 != 0 ? kLikely[below(sizeof kLikely - 1)]
                                                         : static_cast<char>(random() % 256);
      ExpectSoundOrRefused(broken);
    }
  }
}

// An operator-free graph whose input carries attributes of every type.
Graph GraphWith(const Attrs& attrs) {
  Graph graph;
  graph.name = "it's \\ a\nname";
  graph.world_size = 4;
  const Placement mesh =
      *Placement::Make(DeviceKind::kCuda, Shape{2, 2}, {3, 1, 0, 2}, {"da'ta", "model"});
  Node& node = graph.AddNode(NodeKind::kInput, "input", {}, {{DType::kBFloat16, {6, 0}}}, mesh);
  node.attrs = attrs;
  node.binding = 3;
  node.variable = "x 'y'";
  node.location = {"dir with ' quote/a.py", 12, "model.fc1\t"};
  graph.values[0].nd_sbp = sbp::NdSbp{sbp::Sbp::Split(1), sbp::Sbp::Partial(sbp::ReduceOp::kMax)};
  graph.values[0].requires_grad = true;
  return graph;
}

TEST(Parse, KeepsAttributesOfEveryType) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Attrs attrs{{"bool", true},
                    {"int", int64_t{2}},
                    {"least", std::numeric_limits<int64_t>::min()},
                    {"float", 2.0},
                    {"third", 1.0 / 3},
                    {"tiny", std::numeric_limits<double>::denorm_min()},
                    {"huge", -std::numeric_limits<double>::max()},
                    {"zero", -0.0},
                    {"infinite", -kInfinity},
                    {"text", std::string("a'b\\c\n\x7f\xc3\xa9, d=1}")},
                    {"empty", std::string()},
                    {"dtype_text", std::string("float32")},
                    {"dtype", DType::kFloat32},
                    {"ints", std::vector<int64_t>{1, -2}},
                    {"none", std::vector<int64_t>{}}};
  const Graph graph = GraphWith(attrs);
  auto parsed = Parse(Print(graph));
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(Print(*parsed), Print(graph));
  const Node& node = parsed->nodes[0];
  EXPECT_EQ(node.attrs, attrs);
  EXPECT_TRUE(std::signbit(node.attrs.Get<double>("zero")));
  EXPECT_EQ(parsed->name, graph.name);
  EXPECT_EQ(node.placement, graph.nodes[0].placement);  // axis names included
  EXPECT_EQ(node.binding, 3);
  EXPECT_EQ(node.variable, "x 'y'");
  EXPECT_EQ(node.location.file, graph.nodes[0].location.file);
  EXPECT_EQ(node.location.line, 12);
  EXPECT_EQ(node.location.module_path, "model.fc1\t");
  EXPECT_EQ(parsed->values[0].nd_sbp, graph.values[0].nd_sbp);
  EXPECT_TRUE(parsed->values[0].requires_grad);
}

TEST(Parse, KeepsNotANumber) {
  auto parsed = Parse(Print(GraphWith({{"x", std::numeric_limits<double>::quiet_NaN()}})));
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_TRUE(std::isnan(parsed->nodes[0].attrs.Get<double>("x")));
}

// A boxing node with everything a step can say, its cause gone, and ids nothing uses.
constexpr char kBoxing[] =
    "graph 'g' world 2 micro_batches 2 nodes 9 values 7\n"
    "%0: float32[4]{P} = variable_0() 'w' @placement(cpu, ranks=[0, 1]) forward\n"
    "%5: float32[4]{B} = boxing_4(%0) "
    "reduce_scatter placement(cpu, ranks=[0, 1]) (P) -> placement(cpu, ranks=[0, 1]) (S(0)) "
    "{axis=0, bytes=16, codec='half', cost_ps=7, order='backend', rank_bytes=8, rounds=1}; "
    "redistribute placement(cpu, ranks=[0, 1]) (S(0)) -> placement(cpu, ranks=[0, 1]) (B) "
    "{bytes=16, cost_ps=9, rank_bytes=8, rounds=1}; "
    "for to_global_7 (update) before relu_6 @placement(cpu, ranks=[0, 1]) update\n"
    "%6: float32[4]{B} = relu_6(%5) as (B)->(B) cost 12 @placement(cpu, ranks=[0, 1]) update\n";

TEST(Parse, KeepsConversionsAndFreeIds) {
  auto graph = Parse(kBoxing);
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_EQ(Print(*graph), kBoxing);
  EXPECT_EQ(graph->nodes.size(), 9u);
  EXPECT_EQ(graph->values.size(), 7u);
  const Node& node = graph->nodes[4];
  EXPECT_EQ(node.kind, NodeKind::kBoxing);
  EXPECT_EQ(node.cause, 7);
  EXPECT_EQ(graph->nodes[7].segment, Segment::kUpdate);
  EXPECT_EQ(node.continue_before, 6);
  ASSERT_EQ(node.steps.size(), 2u);
  EXPECT_EQ(node.steps[0].kind, sbp::StepKind::kReduceScatter);
  EXPECT_EQ(node.steps[0].mesh_axis, 0);
  EXPECT_EQ(node.steps[0].order, sbp::ReduceOrder::kBackend);
  EXPECT_EQ(node.steps[0].codec, "half");
  EXPECT_EQ(node.steps[0].max_rank_bytes, 8);
  EXPECT_EQ(node.steps[1].mesh_axis, -1);
  EXPECT_EQ(node.steps[1].cost_ps, 9);
  EXPECT_EQ(graph->nodes[6].choice_cost_ps, 12);
}

struct Refused {
  const char* replace;
  const char* with;
  const char* message;
};

// Each change to kBoxing is refused, at this place and in these words.
TEST(Parse, RefusesWhatIsNoGraph) {
  const Refused cases[] = {
      {"graph 'g'", "grph 'g'", "line 1, column 1: got 'grph "},
      {"world 2", "world 0", "line 1, column 17: got '0 micro"},
      {"nodes 9", "nodes 99999999999", "an integer from 0 to 1048576"},
      {"= relu_6", "= rleu_6", "line 4, column 21: "},
      {"relu_6(%5)", "relu_6(%3)", "line 4, column 29: got value %3; expected one of an earlier"},
      {"relu_6(%5)", "relu_6(%5, %5)", "line 4, column 21: "},
      {"relu_6(%5)", "relu_4(%5)", "line 4, column 21: got relu_4 again"},
      {"relu_6(%5)", "relu_06(%5)", "line 4, column 21: got node 'relu_06'"},
      {"relu_6(%5)", "relu_9(%5)", "below the 9 nodes"},
      {"relu_6(%5)", "relu_6(%5) {dim=1}", "no attribute is named 'dim'"},
      {"relu_6(%5)", "relu_6(%5) {dim='a\\q'}", "line 4, column 39: "},
      {"%6: float32[4]{B}", "%6: float32[5]{B}", "line 4, column 21: relu_6 output 0"},
      {"%6: float32[4]{B}", "%6: int32[4]{B}", "infers as float32[4]"},
      {"%6: float32[4]{B}", "%6: float23[4]{B}", "line 4, column 5: "},
      {"%6: float32[4]{B}", "%6: float32[4]{X}", "line 4, column 16: [sbp] not a layout symbol"},
      {"%6: float32[4]{B}", "%6: float32[4]{S(0)}", "another layout than in its signature"},
      {"%6: float32[4]{B}", "%5: float32[4]{B}", "line 4, column 2: got value %5 again"},
      {"%6: float32[4]{B}", "%7: float32[4]{B}", "line 4, column 2: "},
      {"as (B)->(B)", "as (B)->(S(0))", "line 4, column 21: got signature"},
      {"as (B)->(B)", "as (S(0))->(B)", "expected one that relu has"},
      {"before relu_6", "before variable_0", "line 3, column 371: got 'variable_0'; expected"},
      {"before relu_6", "before gelu_6", "got 'gelu_6'; expected a node with a later line"},
      {"to_global_7 (update)", "to_global_7", "which has no line"},
      {"axis=0, ", "", "expected axis in all kinds"},
      {"axis=0", "axis=1", "expected axis, an integer from 0 to 0"},
      {"codec='half'", "kodek='half'", "expected only bytes"},
      {"(S(0)) -> ", "(B) -> ", "line 3, column 21: boxing_4 has a step from"},
      {"variable_0() 'w' @placement(cpu, ranks=[0, 1])",
       "variable_0() 'w' @placement(cpu, ranks=[0, 0])", "stands twice"},
      {"variable_0() 'w' @placement(cpu, ranks=[0, 1])",
       "variable_0() 'w' @placement(cpu, ranks=[0, 2])", "a rank of the world"},
      {"variable_0() 'w' @placement(cpu, ranks=[0, 1])",
       "variable_0() 'w' @placement(cpu, ranks=[0, [1]])", "nested unevenly"},
      {"%0: float32[4]{P}", "%0: float32[4]", "has no layout"},
      {"variable_0()", "input_0()", "expected '#'"},
      {") update\n", ") later\n", "expected forward, backward or update"},
  };
  for (const Refused& c : cases) {
    std::string text = kBoxing;
    const size_t at = text.find(c.replace);
    ASSERT_NE(at, std::string::npos) << c.replace;
    text.replace(at, std::string(c.replace).size(), c.with);
    auto graph = Parse(text);
    ASSERT_FALSE(graph.ok()) << c.with;
    EXPECT_THAT(graph.status().message(), HasSubstr(c.message)) << c.with;
    EXPECT_THAT(graph.status().message(), StartsWith("[graph text] line ")) << c.with;
  }
}

TEST(Parse, RefusesAnEmptyText) {
  EXPECT_FALSE(Parse("").ok());
  EXPECT_FALSE(Parse("\n\n").ok());
}

}  // namespace
}  // namespace ofl::ir
