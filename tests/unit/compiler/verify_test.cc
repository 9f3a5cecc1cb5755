// Plans made wrong by hand, one way each: the verifier must refuse every one, and say why.

#include "compiler/verify/verify.h"

#include <functional>

#include "compiler/expand/expand.h"
#include "tests/unit/compiler/graphs.h"

namespace ofl::compiler {
namespace {

using testing::CompileMlp;

struct Damage {
  const char* name;
  std::function<void(proto::Semantics&)> apply;
  const char* says;
};

int First(const proto::Semantics& s, proto::OpDef::Kind kind) {
  for (int i = 0; i < s.ops_size(); ++i)
    if (s.ops(i).kind() == kind) return i;
  ADD_FAILURE() << "no op of this kind";
  return 0;
}
proto::OpDef* FirstOp(proto::Semantics& s, proto::OpDef::Kind kind) {
  return s.mutable_ops(First(s, kind));
}

const std::vector<Damage>& AllDamage() {
  static const auto* damage = new std::vector<Damage>{
      {"world of nobody", [](auto& s) { s.set_world_size(0); }, "world size"},
      {"a world of billions", [](auto& s) { s.set_world_size(1 << 30); }, "world size"},
      {"no micro-batches", [](auto& s) { s.set_micro_batches(0); }, "micro-batches"},
      {"no threads", [](auto& s) { s.set_threads(0); }, "threads"},
      {"rank in no class", [](auto& s) { s.mutable_classes(0)->clear_ranks(); }, "class"},
      {"rank in two classes", [](auto& s) { s.mutable_classes(0)->add_ranks(0); }, "two classes"},
      {"negative arena", [](auto& s) { s.mutable_classes(0)->set_arena_bytes(-1); }, "arena"},
      {"arena too small", [](auto& s) { s.mutable_classes(0)->set_arena_bytes(64); }, "arena"},
      {"two ops of one name", [](auto& s) { s.mutable_ops(1)->set_name(s.ops(0).name()); }, "name"},
      {"unnamed op", [](auto& s) { s.mutable_ops(0)->clear_name(); }, "name"},
      {"reads a value that does not exist",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->set_inputs(0, 100000); }, "value"},
      {"reads a negative value",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->set_inputs(0, -7); }, "value"},
      {"reads before it is made",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->set_inputs(0, s.values_size() - 1); },
       "not produced before"},
      {"value made twice", [](auto& s) { s.mutable_ops(1)->set_outputs(0, s.ops(0).outputs(0)); },
       "producer"},
      {"unknown operator", [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->set_type("launder"); },
       "launder"},
      {"attribute without a value",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->add_attrs()->set_name("x"); }, "x"},
      {"wrong dtype", [](auto& s) { s.mutable_values(s.values_size() / 2)->set_dtype(77); },
       "dtype"},
      {"wrong shape",
       [](auto& s) {
         const int v = FirstOp(s, proto::OpDef::COMPUTE)->outputs(0);
         s.mutable_values(v)->set_shape(0, 12345);
       },
       "inputs give"},
      {"shape of overflowing size",
       [](auto& s) {
         for (int i = 0; i < 3; ++i) s.mutable_values(0)->add_shape(int64_t{1} << 40);
       },
       "elements"},
      {"negative size", [](auto& s) { s.mutable_values(0)->set_shape(0, -4); }, "negative"},
      {"layout on a placement that does not exist",
       [](auto& s) { s.mutable_values(0)->mutable_layout()->set_placement(9); }, "placement"},
      {"split of an axis the tensor lacks",
       [](auto& s) { s.mutable_values(0)->mutable_layout()->mutable_sbp(0)->set_axis(7); }, ""},
      {"signature the operator does not have",
       [](auto& s) {
         const int v = FirstOp(s, proto::OpDef::COMPUTE)->outputs(0);
         s.mutable_values(v)->mutable_layout()->mutable_sbp(0)->set_kind(proto::SbpDef::PARTIAL);
       },
       "signature"},
      {"placement of a rank outside the world",
       [](auto& s) { s.mutable_placements(0)->set_ranks(0, 50); }, "50"},
      {"conversion between layouts that are not its values'",
       [](auto& s) {
         FirstOp(s, proto::OpDef::BOXING)
             ->mutable_steps(0)
             ->mutable_to()
             ->mutable_sbp(0)
             ->set_kind(proto::SbpDef::PARTIAL);
       },
       ""},
      {"conversion with too little staging",
       [](auto& s) { FirstOp(s, proto::OpDef::BOXING)->mutable_steps(0)->set_receive_bytes(0); },
       "reserves"},
      {"conversion with absurd staging",
       [](auto& s) {
         FirstOp(s, proto::OpDef::BOXING)->mutable_steps(0)->set_send_bytes(int64_t{1} << 50);
       },
       "reserves"},
      {"conversion that ends before it begins",
       [](auto& s) { FirstOp(s, proto::OpDef::BOXING)->set_finish_before(1); }, "goes on before"},
      {"conversion without steps", [](auto& s) { FirstOp(s, proto::OpDef::BOXING)->clear_steps(); },
       "0 steps"},
      {"conversion of a thousand steps",
       [](auto& s) {
         auto* op = FirstOp(s, proto::OpDef::BOXING);
         for (int i = 0; i < 1000; ++i) *op->add_steps() = op->steps(0);
       },
       "steps"},
      {"two live values in the same bytes",
       [](auto& s) {
         auto* c = s.mutable_classes(0);
         for (int i = 0; i < c->offsets_size(); ++i) c->set_offsets(i, 0);
       },
       "share bytes"},
      {"value outside the arena",
       [](auto& s) {
         auto* c = s.mutable_classes(0);
         c->set_offsets(0, c->arena_bytes());
       },
       "arena"},
      {"value at a negative offset", [](auto& s) { s.mutable_classes(0)->set_offsets(0, -64); },
       "arena"},
      {"bound smaller than the shard",
       [](auto& s) {
         const int v = FirstOp(s, proto::OpDef::BOXING)->outputs(0);
         s.mutable_values(v)->set_bound(1);
       },
       "bound"},
      {"no register instances", [](auto& s) { s.mutable_values(0)->set_instances(0); },
       "instances"},
      {"in-place over a later value",
       [](auto& s) { s.mutable_values(0)->set_alias_of(s.values_size()); }, "take over"},
      {"numbers at the edge of what they can hold",
       [](auto& s) {
         s.mutable_values(0)->set_alias_of(INT32_MIN);
         FirstOp(s, proto::OpDef::BOXING)->set_finish_before(INT32_MIN);
       },
       "position"},
      {"bound of all there is", [](auto& s) { s.mutable_values(0)->set_bound(INT64_MAX); },
       "bound"},
      {"in-place where the operator reads on",
       [](auto& s) {
         auto* op = FirstOp(s, proto::OpDef::COMPUTE);
         s.mutable_values(op->outputs(0))->set_alias_of(op->inputs(0) + 1);
         s.mutable_values(op->inputs(0))->set_bound(1 << 20);
       },
       "overwrite"},
      {"another version of an operator",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->set_version(2); }, "another version"},
      {"an operator of no version",
       [](auto& s) { FirstOp(s, proto::OpDef::COMPUTE)->clear_version(); }, "got version 0"},
      {"argument of another value",
       [](auto& s) { s.mutable_inputs(0)->set_value(s.values_size() - 1); }, "different values"},
      {"argument without an op", [](auto& s) { *s.add_inputs() = s.inputs(0); }, "0 ops"},
      {"argument of other micro-batches",
       [](auto& s) { s.mutable_inputs(0)->set_per_micro_batch(true); }, "micro-batches"},
      {"two variables of one name",
       [](auto& s) { s.mutable_resources(1)->set_name(s.resources(0).name()); }, "two variables"},
      {"update of what is not marked as mutated",
       [](auto& s) { s.mutable_resources(0)->set_mutated(false); }, "mutated"},
      {"conversion twice in the collective order",
       [](auto& s) { s.add_collective_order(s.collective_order(0)); }, "twice"},
      {"argument that does not exist",
       [](auto& s) { FirstOp(s, proto::OpDef::INPUT)->set_binding(40); }, "argument"},
      {"resource that does not exist",
       [](auto& s) { FirstOp(s, proto::OpDef::VARIABLE)->set_resource(40); }, "resource"},
      {"unknown kind of op",
       [](auto& s) { s.mutable_ops(0)->set_kind(static_cast<proto::OpDef::Kind>(42)); }, ""},
      {"segments out of order", [](auto& s) { s.mutable_ops(0)->set_segment(2); }, "order"},
      {"memory lists of different lengths", [](auto& s) { s.mutable_classes(0)->add_offsets(0); },
       "lengths"},
  };
  return *damage;
}

TEST(Verifier, AcceptsWhatTheCompilerMakes) {
  for (const auto& layout :
       {testing::DataParallel(2), testing::TensorParallel(3), testing::Pipeline(4)}) {
    const Status status = VerifyPlan(CompileMlp(layout));
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
}

// What the compiler makes is proved live by each rank alone, in worlds of one class and of several,
// with micro-batches and without; and a stream in another order is refused by its own rank.
TEST(Verifier, EachRankProvesItsPartOfWhatTheCompilerMakes) {
  for (const auto& layout :
       {testing::DataParallel(1), testing::DataParallel(2), testing::TensorParallel(1),
        testing::TensorParallel(3), testing::Pipeline(1), testing::Pipeline(4)}) {
    const proto::Plan plan = CompileMlp(layout);
    int swaps = 0, refused = 0;
    for (int rank = 0; rank < plan.semantics().world_size(); ++rank) {
      Program program = testing::Must(Expand(plan, rank));
      const Status status = VerifyPotential(program);
      EXPECT_TRUE(status.ok()) << status.ToString();
      auto& order = program.streams[0].order;
      for (size_t i = 1; i < order.size(); ++i) {
        std::swap(order[i - 1], order[i]);
        ++swaps;
        refused += !VerifyPotential(program).ok();
        std::swap(order[i - 1], order[i]);
      }
    }
    EXPECT_EQ(refused, swaps);
  }
}

TEST(Verifier, RefusesEdgesWhoseEndsDiffer) {
  const proto::Plan plan = CompileMlp(testing::Pipeline(4));
  const auto changed = [&](const std::function<void(RemoteEdge&)>& change) {
    std::vector<Program> programs;
    for (int rank = 0; rank < 2; ++rank) programs.push_back(testing::Must(Expand(plan, rank)));
    change(programs[1].remote_edges.front());
    return VerifyLiveness(programs).message();
  };
  EXPECT_EQ(changed([](RemoteEdge&) {}), "");
  for (const auto& change : std::vector<std::function<void(RemoteEdge&)>>{
           [](RemoteEdge& edge) { edge.bytes += 4; }, [](RemoteEdge& edge) { ++edge.credits; },
           [](RemoteEdge& edge) { edge.peer = 1; }})
    EXPECT_NE(changed(change).find("do not match"), std::string::npos) << changed(change);
}

TEST(Verifier, RefusesEveryKindOfDamage) {
  const proto::Plan good = CompileMlp(testing::DataParallel(2));
  EXPECT_GE(AllDamage().size(), 20u);
  for (const Damage& damage : AllDamage()) {
    proto::Plan bad = good;
    damage.apply(*bad.mutable_semantics());
    const Status status = VerifyPlan(bad);
    EXPECT_FALSE(status.ok()) << damage.name;
    EXPECT_NE(status.ToString().find(damage.says), std::string::npos)
        << damage.name << ": " << status.ToString();
  }
}

TEST(Verifier, PrintsTheCycleOfADeadlock) {
  const proto::Plan plan = CompileMlp(testing::Pipeline(1));
  std::vector<Program> programs;
  for (int rank = 0; rank < 2; ++rank) programs.push_back(testing::Must(Expand(plan, rank)));
  ASSERT_TRUE(VerifyLiveness(programs).ok());
  // The second stage's stream asks for the backward pieces before it has sent the forward ones.
  auto& order = programs[1].streams[0].order;
  std::reverse(order.begin(), order.end());
  const Status status = VerifyLiveness(programs);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("deadlock"), std::string::npos);
  EXPECT_NE(status.message().find("->"), std::string::npos) << status.message();
}

TEST(Verifier, CrossedOrdersOnTwoRanksDeadlock) {
  // Rank 0 waits for rank 1's message before it sends its own, and the other way round.
  std::vector<Program> programs(2);
  for (int r = 0; r < 2; ++r) {
    Program& p = programs[r];
    p.rank = r;
    p.world_size = 2;
    for (int t = 0; t < 3; ++t) {
      TaskDesc task;
      task.id = t;
      task.name = std::string(t == 0 ? "receive" : t == 1 ? "use" : "send") + std::to_string(r);
      task.kind = t == 0 ? TaskKind::kReceive : TaskKind::kKernel;
      p.tasks.push_back(task);
      RegisterDesc reg;
      reg.id = t;
      reg.producer = t;
      p.registers.push_back(reg);
      p.tasks[t].outputs = {t};
    }
    p.tasks[1].inputs = {0};
    p.registers[0].consumers = {1};
    p.streams.push_back({"compute", 1, {{1, 0}, {2, 0}}});
    RemoteEdge out, in;
    out.edge_id = r;
    out.peer = 1 - r;
    out.local_register = 2;
    out.outgoing = true;
    in.edge_id = 1 - r;
    in.peer = 1 - r;
    in.local_register = 0;
    p.remote_edges = {out, in};
  }
  const Status status = VerifyLiveness(programs);
  ASSERT_FALSE(status.ok());
  for (const char* part : {"use0[0] on rank 0", "send1[0] on rank 1"})
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
}

}  // namespace
}  // namespace ofl::compiler
