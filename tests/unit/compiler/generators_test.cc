// Generators of random numbers as resources of a plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "oneflow_like/ir/parse.h"
#include "tests/unit/compiler/graphs.h"

namespace ofl::compiler {
namespace {

using testing::CompileTwoGenerators;
using testing::DropoutOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Must;
using testing::TwoGenerators;

TEST(Generators, AreResourcesOfThePlan) {
  const proto::Plan plan = CompileTwoGenerators();
  const proto::Semantics& s = plan.semantics();
  ASSERT_EQ(s.resources_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(s.resources(i).kind(), proto::Resource::GENERATOR);
    EXPECT_TRUE(s.resources(i).mutated());
  }
  EXPECT_EQ(s.resources(0).name(), "default");
  EXPECT_EQ(s.resources(0).draws(), 3);  // what was pruned is drawn in eager mode too
  EXPECT_EQ(s.resources(1).draws(), 1);
  std::vector<std::pair<int, int64_t>> drawn;
  for (const proto::OpDef& op : s.ops()) {
    if (op.type() != "dropout") continue;
    drawn.emplace_back(op.generator() - 1, op.draw());
    EXPECT_EQ(op.attrs_size(), 1);  // p: the draw is no attribute
  }
  EXPECT_THAT(drawn, ElementsAre(std::pair(0, int64_t{0}), std::pair(1, int64_t{0}),
                                 std::pair(0, int64_t{2})));
  EXPECT_THAT(Summary(plan), HasSubstr("  generators\n    default  3 draws a launch\n"
                                       "    generator_1  1 draw a launch\n"));
  EXPECT_THAT(Summary(plan), HasSubstr("variables     0"));

  const Program program = Must(Expand(plan, 1));
  ASSERT_EQ(program.generators.size(), 2u);
  EXPECT_EQ(program.generators[1].name, "generator_1");
  std::vector<std::pair<int, int64_t>> tasks;
  for (const TaskDesc& task : program.tasks)
    if (task.op == "dropout") tasks.emplace_back(task.generator, task.draw);
  EXPECT_EQ(tasks, drawn);
}

TEST(Generators, EnterTheHash) {
  const proto::Plan plan = CompileTwoGenerators();
  const std::vector<std::function<void(proto::Semantics&)>> changes = {
      [](auto& s) { s.mutable_resources(0)->set_draws(4); },
      [](auto& s) { s.mutable_resources(1)->set_name("other"); },
      [](auto& s) { s.mutable_ops(1)->set_draw(1); },
      [](auto& s) { s.mutable_ops(1)->set_generator(2); }};
  for (const auto& change : changes) {
    proto::Semantics other = plan.semantics();
    change(other);
    EXPECT_NE(HashOf(other), plan.hash());
  }
}

TEST(Generators, StandInTheText) {
  const ir::Graph graph = TwoGenerators();
  const std::string text = ir::Print(graph);
  EXPECT_THAT(text, HasSubstr(" draws 'default' 3, 'generator_1' 1\n"));
  EXPECT_THAT(text, HasSubstr("draw=[0, 2, 0]"));
  EXPECT_EQ(ir::Print(Must(ir::Parse(text))), text);
}

TEST(Generators, AreAskedForByTheGraphThatNamesThem) {
  for (const Attrs& attrs :
       {DropoutOf(0, 3), DropoutOf(2, 0), DropoutOf(-1, 0), Attrs{{"p", 0.5}}}) {
    ir::Graph graph = TwoGenerators();
    for (ir::Node& node : graph.nodes)
      if (node.op != nullptr) node.attrs = attrs;
    const auto plan = Compile(std::move(graph), {}, {});
    ASSERT_FALSE(plan.ok()) << attrs.ToString();
    EXPECT_THAT(plan.status().message(), HasSubstr("has no draw of the graph's 2 generators"));
  }
}

TEST(Generators, OfADamagedPlanAreRefused) {
  struct Damage {
    std::function<void(proto::Semantics&)> apply;
    const char* says;
  };
  const auto dropout = [](proto::Semantics& s) {
    for (proto::OpDef& op : *s.mutable_ops())
      if (op.type() == "dropout") return &op;
    return s.mutable_ops(0);
  };
  const std::vector<Damage> all = {
      {[&](auto& s) { dropout(s)->set_generator(0); }, "expected a generator"},
      {[&](auto& s) { dropout(s)->set_generator(3); }, "takes draw 0 of resource 2"},
      {[&](auto& s) { dropout(s)->set_generator(-5); }, "takes draw 0 of resource -6"},
      {[&](auto& s) { dropout(s)->set_draw(3); }, "takes draw 3"},
      {[&](auto& s) { dropout(s)->set_draw(-1); }, "takes draw -1"},
      {[](auto& s) { s.mutable_resources(0)->set_draws(-1); }, "drawn from -1 times"},
      {[](auto& s) { s.mutable_resources(0)->set_draws(int64_t{1} << 40); }, "drawn from"},
      {[](auto& s) { s.mutable_resources(0)->set_mutated(false); }, "no sound generator"},
      {[](auto& s) { s.mutable_resources(1)->set_name("default"); }, "no sound generator"},
      {[](auto& s) { s.mutable_resources(0)->set_kind(proto::Resource::VARIABLE); }, "generator"},
      {[](auto& s) { s.mutable_ops(0)->set_generator(1); }, "no operator"},
      {[](auto& s) { s.mutable_ops(0)->set_state(64); }, "no operator"},
      {[&](auto& s) {
         proto::AttrDef* attr = dropout(s)->add_attrs();
         attr->set_name("draw");
         attr->mutable_ints()->add_v(1);
         attr->mutable_ints()->add_v(2);
       },
       "among the attributes"},
  };
  for (const Damage& damage : all) {
    proto::Plan plan = CompileTwoGenerators();
    damage.apply(*plan.mutable_semantics());
    const Status status = VerifyPlan(plan);
    ASSERT_FALSE(status.ok()) << damage.says;
    EXPECT_THAT(status.ToString(), HasSubstr(damage.says));
  }
}

}  // namespace
}  // namespace ofl::compiler
