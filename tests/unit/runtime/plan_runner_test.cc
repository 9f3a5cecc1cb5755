// Running plans from files that are not to be trusted.

#include "oneflow_like/runtime/plan_runner.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"

namespace ofl::runtime {
namespace {

// Saves the plan of a graph that returns one variable of this name.
void SavePlanOf(const std::string& variable, const std::string& path) {
  ir::Graph graph;
  graph.name = "named";
  auto here = Placement::Make(DeviceKind::kCpu, Shape{1}, {0});
  ASSERT_TRUE(here.ok());
  ir::Node& node =
      graph.AddNode(ir::NodeKind::kVariable, "variable", {}, {{DType::kFloat32, Shape{2}}}, *here);
  node.variable = variable;
  const int value = node.outputs[0];
  graph.values[value].nd_sbp = sbp::NdSbp{sbp::Sbp::Broadcast()};
  graph.AddNode(ir::NodeKind::kOutput, "output", {value}, {}, *here).binding = 0;
  auto plan = compiler::Compile(std::move(graph), {}, {});
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  ASSERT_TRUE(compiler::SavePlan(*plan, path).ok());
}

TEST(PlanRunner, NamesOfAPlanStayWithinItsFolders) {
  const std::string folder = ::testing::TempDir() + "plan_runner_names";
  std::filesystem::create_directories(folder);
  for (const char* name : {"../escaped", "/etc/escaped", ".hidden", ""}) {
    SavePlanOf(name, folder + "/plan.pb");
    const Status status =
        RunPlan({folder + "/plan.pb", folder, folder, folder + "/outputs", /*launches=*/1});
    EXPECT_EQ(status.code(), Code::kDataLoss) << name << ": " << status.ToString();
    EXPECT_NE(status.ToString().find("names no file"), std::string::npos) << status.ToString();
  }
  SavePlanOf("plain", folder + "/plan.pb");
  const Status missing =
      RunPlan({folder + "/plan.pb", folder, folder, folder + "/outputs", /*launches=*/1});
  EXPECT_EQ(missing.code(), Code::kNotFound) << missing.ToString();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ofl::runtime
