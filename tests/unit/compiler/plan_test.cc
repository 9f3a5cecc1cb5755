// Plans as files, and what each rank gets from one.

#include <cstdio>
#include <map>

#include "compiler/expand/expand.h"
#include "compiler/verify/verify.h"
#include "tests/unit/compiler/graphs.h"

namespace ofl::compiler {
namespace {

using testing::CompileMlp;
using testing::DataParallel;
using testing::Pipeline;
using testing::TensorParallel;

TEST(Plan, AHundredCompilationsGiveOneHash) {
  const std::string hash = CompileMlp(DataParallel(2)).hash();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(CompileMlp(DataParallel(2)).hash(), hash);
}

TEST(Plan, SizeDoesNotGrowWithRanks) {
  const auto two = CompileMlp(DataParallel(2)).ByteSizeLong();
  const auto many = CompileMlp(DataParallel(64)).ByteSizeLong();
  std::printf("plan of 2 ranks %zu bytes, of 64 ranks %zu\n", two, many);
  // This graph is tiny, so the 62 further rank numbers weigh; the GPT's ratio is tested in Python.
  EXPECT_LE(many, two + 64 * 6 * 4);
}

TEST(Plan, AFileComesBackEqualAndDamageIsSeen) {
  const proto::Plan plan = CompileMlp(TensorParallel(2));
  const std::string bytes = plan.SerializeAsString();
  auto again = ParsePlan(bytes);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(again->hash(), plan.hash());
  for (size_t keep : {size_t{0}, size_t{1}, bytes.size() / 3, bytes.size() / 2}) {
    auto cut = ParsePlan(std::string_view(bytes).substr(0, keep));
    ASSERT_FALSE(cut.ok()) << keep;
    EXPECT_EQ(cut.status().code(), Code::kDataLoss);
  }
}

TEST(Plan, EveryMessageHasTwoEndsOfEqualSize) {
  for (const auto& layout : {DataParallel(3), TensorParallel(2), Pipeline(4)}) {
    const proto::Plan plan = CompileMlp(layout);
    std::map<int64_t, int64_t> open;  // edge -> bytes sent minus bytes expected
    std::map<int64_t, int> ends;
    for (int rank = 0; rank < layout.world; ++rank) {
      const Program program = testing::Must(Expand(plan, rank));
      for (const RemoteEdge& edge : program.remote_edges) {
        open[edge.edge_id] += edge.outgoing ? edge.bytes : -edge.bytes;
        ++ends[edge.edge_id];
      }
    }
    EXPECT_FALSE(ends.empty());
    for (auto [id, difference] : open) {
      EXPECT_EQ(difference, 0) << id;
      EXPECT_EQ(ends[id], 2) << id;
    }
  }
}

TEST(Plan, PipelineKeepsOneRegisterForEachMicroBatchInFlight) {
  const proto::Plan plan = CompileMlp(Pipeline(4));
  int many = 0;
  for (const auto& value : plan.semantics().values()) many += value.instances() == 4;
  EXPECT_GT(many, 0);
  const Program first = testing::Must(Expand(plan, 0));
  const Program second = testing::Must(Expand(plan, 1));
  EXPECT_EQ(first.micro_batches, 4);
  EXPECT_GT(second.tasks.size(), 0u);
}

// A conversion of several steps that only the backward segment reads, because nothing returns the
// loss: its last step must not run before the others.
TEST(Plan, AConversionOfSeveralStepsEndsWhereItContinuesForLaterSegments) {
  const Placement here = testing::Ranks(Shape{3});
  const sbp::NdSbp whole{sbp::Sbp::Broadcast()}, columns{sbp::Sbp::Split(1)};
  testing::Mlp mlp;
  mlp.graph.name = "late";
  mlp.graph.world_size = 3;
  mlp.graph.micro_batches = 2;
  ir::GraphBuilder builder(&mlp.graph);
  const auto source = [&](ir::NodeKind kind, const char* name, const Shape& shape,
                          const sbp::NdSbp& nd_sbp) {
    ir::Node& node = mlp.graph.AddNode(kind, name, {}, {{DType::kFloat32, shape}}, here);
    node.variable = name;
    ir::Value& value = mlp.graph.values[node.outputs[0]];
    value.nd_sbp = nd_sbp;
    return value.id;
  };
  const int x = source(ir::NodeKind::kInput, "x", Shape{400, 400}, columns);
  mlp.graph.producer(x).binding = 0;
  const int rate = source(ir::NodeKind::kInput, "hyper", Shape{2}, whole);
  mlp.graph.values[rate].meta.dtype = DType::kFloat64;
  mlp.graph.producer(rate).binding = 1;
  mlp.graph.producer(rate).attrs.Set("whole", true);
  const int v = source(ir::NodeKind::kVariable, "v", Shape{400, 400}, columns);
  const int w = source(ir::NodeKind::kVariable, "w", Shape{4, 400}, whole);
  mlp.graph.values[w].requires_grad = true;
  op::Value h = builder.Call("linear", {builder.Handle(x), builder.Handle(v)});
  h = builder.ToLayout(h, {here, whole});
  op::Value loss = builder.Call("sum", {builder.Call("linear", {h, builder.Handle(w)})});
  ASSERT_TRUE(builder.status().ok()) << builder.status().ToString();
  mlp.training.loss = static_cast<const ir::GraphValue*>(loss.get())->id();
  mlp.graph.AddNode(ir::NodeKind::kOutput, "output", {x}, {}, here).binding = 0;
  Update update;
  update.variable = w;
  update.op = testing::Must(op::OpRegistry::Get().Require("sgd_update"));
  update.attrs = testing::Must(update.op->CompleteAttrs({}));
  update.extras = {rate};
  mlp.training.updates.push_back(update);
  const auto plan = testing::Must(Compile(std::move(mlp.graph), std::move(mlp.training), {}));
  int late = 0;
  for (const proto::OpDef& op : plan.semantics().ops()) {
    if (op.continue_before() == 0) continue;
    ++late;
    EXPECT_GE(op.finish_before(), op.continue_before()) << op.name();
  }
  EXPECT_GT(late, 0) << Summary(plan);
}

TEST(Plan, InPlaceReuseSavesMemory) {
  const proto::Plan plan = CompileMlp(DataParallel(1));
  int aliases = 0;
  int64_t sum = 0;
  for (const auto& value : plan.semantics().values()) {
    aliases += value.alias_of() > 0;
    sum += value.bound();
  }
  EXPECT_GT(aliases, 0);
  EXPECT_LT(plan.semantics().classes(0).arena_bytes(), sum);
}

}  // namespace
}  // namespace ofl::compiler
