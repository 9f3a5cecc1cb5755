#include "oneflow_like/ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneflow_like/ir/graph_builder.h"

namespace ofl::ir {
namespace {

using ::testing::HasSubstr;

Placement TwoRanks() { return *Placement::Make(DeviceKind::kCpu, Shape{2}, {0, 1}); }

// relu(x) + x on two ranks.
Graph SmallGraph() {
  Graph graph;
  graph.name = "small";
  graph.world_size = 2;
  Node& input =
      graph.AddNode(NodeKind::kInput, "input", {}, {{DType::kFloat32, {4, 3}}}, TwoRanks());
  input.binding = 0;
  graph.values[0].nd_sbp = sbp::NdSbp{sbp::Sbp::Split(0)};
  GraphBuilder builder(&graph);
  op::Value x = builder.Handle(0);
  builder.Call("add", {builder.Call("relu", {x}), x});
  EXPECT_TRUE(builder.status().ok()) << builder.status().ToString();
  return graph;
}

TEST(Graph, PrintsOneLineANode) {
  EXPECT_EQ(Print(SmallGraph()),
            "graph 'small' world 2 micro_batches 1 nodes 3 values 3\n"
            "%0: float32[4,3]{S(0)} = input_0() #0 @placement(cpu, ranks=[0, 1]) forward\n"
            "%1: float32[4,3] = relu_1(%0) @placement(cpu, ranks=[0, 1]) forward\n"
            "%2: float32[4,3] = add_2(%1, %0) @placement(cpu, ranks=[0, 1]) forward\n");
}

TEST(Graph, ListsConsumersInExecutionOrder) {
  EXPECT_EQ(SmallGraph().Consumers()[0], (std::vector<int>{1, 2}));
}

TEST(Verify, AcceptsASoundGraph) { EXPECT_TRUE(Verify(SmallGraph()).ok()); }

TEST(Verify, RefusesAReadBeforeItsProducer) {
  Graph graph = SmallGraph();
  std::swap(graph.order[0], graph.order[1]);
  EXPECT_THAT(Verify(graph).message(), HasSubstr("relu_1 reads %0 before"));
}

TEST(Verify, RefusesMetadataThatInfersOtherwise) {
  Graph graph = SmallGraph();
  graph.values[1].meta.shape[0] = 5;
  EXPECT_THAT(Verify(graph).message(), HasSubstr("infers as float32[4,3]"));
}

TEST(Verify, RefusesANodeListedTwice) {
  Graph graph = SmallGraph();
  graph.order.push_back(graph.order[0]);
  EXPECT_FALSE(Verify(graph).ok());
}

TEST(Verify, RefusesALayoutTheShapeCannotHave) {
  Graph graph = SmallGraph();
  graph.values[0].nd_sbp = sbp::NdSbp{sbp::Sbp::Split(5)};
  EXPECT_FALSE(Verify(graph).ok());
}

TEST(Verify, RefusesAnArgumentWithoutAPosition) {
  Graph graph = SmallGraph();
  graph.nodes[0].binding = -1;
  EXPECT_THAT(Verify(graph).message(), HasSubstr("bound to no argument"));
}

TEST(GraphBuilder, RefusesOperandsOnTwoPlacements) {
  Graph graph = SmallGraph();
  GraphBuilder builder(&graph);
  op::Value moved =
      builder.ToPlacement(builder.Handle(0), *Placement::Make(DeviceKind::kCpu, Shape{1}, {1}));
  builder.Call("add", {builder.Handle(0), moved});
  EXPECT_THAT(builder.status().message(), HasSubstr("same placement"));
}

TEST(GraphBuilder, RefusesValuesOfAnotherGraph) {
  Graph graph = SmallGraph(), other = SmallGraph();
  GraphBuilder builder(&graph);
  builder.Call("relu", {GraphBuilder(&other).Handle(0)});
  EXPECT_THAT(builder.status().message(), HasSubstr("another graph"));
}

}  // namespace
}  // namespace ofl::ir
