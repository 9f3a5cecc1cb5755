// Freedom from deadlock, as each rank tells it of itself, against two oracles that see the whole
// world: the marked graph of the tests and that of the verifier, built apart from each other.

#include <gtest/gtest.h>

#include "compiler/verify/verify.h"
#include "tests/unit/actor/marked_graph.h"
#include "tests/unit/actor/random_programs.h"

namespace ofl::actor {
namespace {

// Gives each task and edge a region of its own, with the slots that the oracle's order has for it.
void PlaceByOrder(const MarkedGraph& graph, std::vector<Program>* programs) {
  for (size_t r = 0; r < programs->size(); ++r) {
    Program& p = (*programs)[r];
    p.slots.clear();
    for (TaskDesc& task : p.tasks) {
      task.place = {static_cast<int>(p.slots.size()), 0};
      p.slots.push_back(graph.firings[r][task.id]);
    }
    for (RemoteEdge& edge : p.remote_edges) {
      edge.push = {static_cast<int>(p.slots.size()), 0};
      p.slots.push_back(graph.pushes.at(edge.edge_id));
    }
  }
}

Status AllRanks(const std::vector<Program>& programs) {
  for (const Program& p : programs) OFL_TRY(compiler::VerifyPotential(p));
  return Status::Ok();
}

TEST(Potential, AcceptsALiveWorldInTheOraclesOrderAndNoOther) {
  constexpr int kWorlds = 10000;
  int live = 0, stuck = 0;
  for (int seed = 1; seed <= kWorlds; ++seed) {
    std::vector<Program> programs = MakeRandomWorld(seed).programs;
    const MarkedGraph graph = BuildMarkedGraph(programs);
    PlaceByOrder(graph, &programs);
    const Status potential = AllRanks(programs);
    const Status whole = compiler::VerifyLiveness(programs);
    ASSERT_EQ(whole.ok(), graph.live) << "seed " << seed << ": " << whole.ToString();
    ASSERT_EQ(potential.ok(), graph.live) << "seed " << seed << ": " << potential.ToString();
    ++(graph.live ? live : stuck);
  }
  EXPECT_GT(live, kWorlds / 2);
  EXPECT_GT(stuck, kWorlds / 100);
}

TEST(Potential, NamesWhoStandsBeforeWhatItWaitsFor) {
  for (int seed = 1;; ++seed) {
    std::vector<Program> programs = MakeRandomWorld(seed).programs;
    const MarkedGraph graph = BuildMarkedGraph(programs);
    if (!graph.live || programs[0].streams[0].order.size() < 2) continue;
    PlaceByOrder(graph, &programs);
    const auto& order = programs[0].streams[0].order;
    const Firing first = order[0], second = order[1];
    std::swap(programs[0].slots[first.task][first.piece],
              programs[0].slots[second.task][second.piece]);
    const Status status = compiler::VerifyPotential(programs[0]);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.message().find("waits for"), std::string::npos) << status.ToString();
    return;
  }
}

TEST(Potential, RefusesPlacesThatDoNotExist) {
  std::vector<Program> programs = MakeRandomWorld(1).programs;
  PlaceByOrder(BuildMarkedGraph(programs), &programs);
  Program none = programs[0], short_of = programs[0], negative = programs[0];
  none.tasks[0].place.region = static_cast<int>(none.slots.size());
  negative.tasks[0].place.region = -1;
  short_of.slots[short_of.tasks[0].place.region].clear();
  for (const Program& bad : {none, short_of, negative})
    EXPECT_EQ(compiler::VerifyPotential(bad).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace ofl::actor
