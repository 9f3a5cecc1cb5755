#include "actor/core/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/actor/allocation_count.h"

namespace ofl::actor {
namespace {

using testing::HasSubstr;

// A receive register, a task that reads it, and a push of the task's result.
Program Relay(int micro_batches, int credits) {
  Program p;
  p.rank = 1;
  p.world_size = 3;
  p.micro_batches = micro_batches;
  p.tasks.resize(2);
  p.registers.resize(2);
  for (int i = 0; i < 2; ++i) {
    p.tasks[i].id = p.registers[i].id = i;
    p.tasks[i].firings = micro_batches;
    p.registers[i].instances = credits;
    p.registers[i].producer = i;
    p.tasks[i].outputs = {i};
  }
  p.tasks[0].kind = TaskKind::kReceive;
  p.tasks[0].name = "boxing_3.from.0";
  p.tasks[1].name = "matmul_3";
  p.tasks[1].inputs = {0};
  p.registers[0].consumers = {1};
  p.remote_edges = {{5, 0, 0, 0, 8, credits, false}, {6, 2, 1, 0, 8, credits, true}};
  p.streams.push_back({"compute", 1, {}});
  for (int k = 0; k < micro_batches; ++k) p.streams[0].order.push_back({1, k});
  return p;
}

std::vector<Effect::Kind> Kinds(std::span<const Effect> effects) {
  std::vector<Effect::Kind> kinds;
  for (const Effect& effect : effects) kinds.push_back(effect.kind);
  return kinds;
}

TEST(Core, FiresPushesAndReturnsCreditsInTheOrderOfEvents) {
  const Program p = Relay(1, 1);
  auto core = std::move(Core::Create(p)).value();
  EXPECT_TRUE(core->Step({Event::Kind::kLaunch}).empty());
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kArrived, 0, 0})), std::vector{Effect::Kind::kFire});
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kTaskDone, 0})),
            (std::vector{Effect::Kind::kPush, Effect::Kind::kReturnCredit}));
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kPushDone, 1, 0})),
            std::vector{Effect::Kind::kFinished});
  EXPECT_FALSE(core->running());
  EXPECT_TRUE(core->CheckInvariants().ok());
}

TEST(Core, APushWaitsForTheReceiversCredit) {
  const Program p = Relay(2, 1);
  auto core = std::move(Core::Create(p)).value();
  core->Step({Event::Kind::kLaunch});
  core->Step({Event::Kind::kArrived, 0, 0});
  core->Step({Event::Kind::kTaskDone, 0});
  core->Step({Event::Kind::kPushDone, 1, 0});
  core->Step({Event::Kind::kArrived, 0, 1});
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kTaskDone, 0})),
            std::vector{Effect::Kind::kReturnCredit});  // no push: piece 0 is not read there yet
  EXPECT_THAT(core->Waiting(),
              testing::Contains(HasSubstr("to rank 2 waits for a credit: 1 of 1 pieces")));
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kCredit, 1, 0})), std::vector{Effect::Kind::kPush});
}

TEST(Core, SaysWhichActorWaitsForWhichRegister) {
  const Program p = Relay(4, 2);
  auto core = std::move(Core::Create(p)).value();
  core->Step({Event::Kind::kLaunch});
  core->Step({Event::Kind::kArrived, 0, 0});
  core->Step({Event::Kind::kTaskDone, 0});
  EXPECT_THAT(core->Waiting()[0],
              HasSubstr("actor 1 matmul_3 on rank 1 waits for register 0 from boxing_3.from.0 on "
                        "rank 0: 1 of 4 received, needs piece 1"));
}

TEST(Core, RefusesPiecesBeyondTheCreditsLentAndOutOfOrder) {
  const Program p = Relay(4, 2);
  auto core = std::move(Core::Create(p)).value();
  core->Step({Event::Kind::kArrived, 0, 0});
  core->Step({Event::Kind::kArrived, 0, 1});
  EXPECT_TRUE(core->failure().ok());
  core->Step({Event::Kind::kArrived, 0, 2});
  EXPECT_EQ(core->failure().code(), Code::kDataLoss);
  EXPECT_THAT(core->failure().message(), HasSubstr("no credit was lent: got piece 2 of edge 5"));

  auto other = std::move(Core::Create(p)).value();
  other->Step({Event::Kind::kArrived, 0, 1});
  EXPECT_THAT(other->failure().message(), HasSubstr("out of order: got piece 1"));
  auto third = std::move(Core::Create(p)).value();
  third->Step({Event::Kind::kCredit, 1, 0});
  EXPECT_THAT(third->failure().message(), HasSubstr("a credit came back that was not lent"));
}

TEST(Core, TheFirstFailureEndsTheLaunchOnceNoTaskRuns) {
  const Program p = Relay(1, 1);
  auto core = std::move(Core::Create(p)).value();
  core->Step({Event::Kind::kLaunch});
  core->Step({Event::Kind::kArrived, 0, 0});
  EXPECT_TRUE(core->Fail(Status(Code::kUnavailable, "rank 2 is lost")).empty());
  EXPECT_TRUE(core->Fail(Status(Code::kInternal, "later")).empty());
  EXPECT_EQ(Kinds(core->Step({Event::Kind::kTaskDone, 0})), std::vector{Effect::Kind::kFinished});
  EXPECT_EQ(core->failure().message(), "rank 2 is lost");
}

TEST(Core, AllocatesNothingAfterCreate) {
  const Program p = Relay(4, 2);
  auto core = std::move(Core::Create(p)).value();
  const int64_t before = AllocationCount();
  for (int64_t launch = 0; launch < 10; ++launch) {
    core->Step({Event::Kind::kLaunch});
    for (int64_t piece = 4 * launch; piece < 4 * launch + 4; ++piece) {
      core->Step({Event::Kind::kArrived, 0, piece});
      core->Step({Event::Kind::kTaskDone, 0});
      core->Step({Event::Kind::kPushDone, 1, piece});
      core->Step({Event::Kind::kCredit, 1, piece});
    }
    ASSERT_FALSE(core->running());
  }
  EXPECT_EQ(AllocationCount(), before);
}

TEST(Core, RefusesProgramsThatContradictThemselves) {
  struct Case {
    const char* text;
    void (*spoil)(Program&);
  };
  const Case cases[] = {
      {"fires 3 times; expected 1 or 2", [](Program& p) { p.tasks[1].firings = 3; }},
      {"reads register 9", [](Program& p) { p.tasks[1].inputs = {9}; }},
      {"has 0 instances", [](Program& p) { p.registers[1].instances = 0; }},
      {"is not one output of its producer", [](Program& p) { p.registers[0].producer = 1; }},
      {"lists 0 consumers", [](Program& p) { p.registers[0].consumers.clear(); }},
      {"has no credit", [](Program& p) { p.remote_edges[1].credits = 0; }},
      {"names rank 7 of 3", [](Program& p) { p.remote_edges[1].peer = 7; }},
      {"has 3 credits for 2 instances", [](Program& p) { p.remote_edges[0].credits = 3; }},
      {"no remote edge fills", [](Program& p) { p.remote_edges.erase(p.remote_edges.begin()); }},
      {"orders task 0, which no stream can run",
       [](Program& p) { p.streams[0].order.push_back({0, 0}); }},
      {"fires piece 1 of matmul_3 out of order",
       [](Program& p) { std::swap(p.streams[0].order[0], p.streams[0].order[1]); }},
      {"the streams order 1 firings", [](Program& p) { p.streams[0].order.pop_back(); }},
      {"cannot take over register 1", [](Program& p) { p.registers[1].alias_of = 1; }},
      {"mutates input 4", [](Program& p) { p.tasks[1].mutates = {4}; }},
      {"control edge from task 0 to task 8", [](Program& p) { p.control_edges = {{0, 8, 0}}; }},
      {"which fires when its message arrives", [](Program& p) { p.control_edges = {{1, 0, 0}}; }},
  };
  for (const Case& c : cases) {
    Program p = Relay(2, 2);
    c.spoil(p);
    auto core = Core::Create(p);
    ASSERT_FALSE(core.ok()) << c.text;
    EXPECT_EQ(core.status().code(), Code::kInvalidArgument);
    EXPECT_THAT(core.status().message(), HasSubstr(c.text));
  }
}

}  // namespace
}  // namespace ofl::actor
