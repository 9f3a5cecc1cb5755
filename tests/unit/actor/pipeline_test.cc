// Credits in virtual time: a pipeline with enough registers shows the bubble of theory, one with
// fewer shows more.

#include <gtest/gtest.h>

#include "actor/drivers/simulator.h"

namespace ofl::actor {
namespace {

constexpr int64_t kStageTime = 1000;

int AddTask(Program& p, TaskKind kind, const std::string& name, int firings) {
  TaskDesc task;
  task.id = static_cast<int>(p.tasks.size());
  task.kind = kind;
  task.name = name;
  task.firings = firings;
  p.tasks.push_back(task);
  return task.id;
}
int AddRegister(Program& p, int producer, int instances) {
  RegisterDesc reg;
  reg.id = static_cast<int>(p.registers.size());
  reg.instances = instances;
  reg.producer = producer;
  p.registers.push_back(reg);
  p.tasks[producer].outputs = {reg.id};
  return reg.id;
}
void AddReader(Program& p, int task, int reg) {
  p.tasks[task].inputs.push_back(reg);
  p.registers[reg].consumers.push_back(task);
}

// Stage r on rank r; every register has `credits` instances.
std::vector<Program> Pipeline(int stages, int micro_batches, int credits) {
  std::vector<Program> programs(stages);
  for (int r = 0; r < stages; ++r) {
    Program& p = programs[r];
    p.rank = r;
    p.world_size = stages;
    p.micro_batches = micro_batches;
    int source = -1;
    if (r > 0) {
      source = AddRegister(p, AddTask(p, TaskKind::kReceive, "receive", micro_batches), credits);
      p.remote_edges.push_back({r - 1, r - 1, source, 0, 8, credits, false});
    }
    const int stage = AddTask(p, TaskKind::kKernel, "stage", micro_batches);
    if (source >= 0) AddReader(p, stage, source);
    if (r + 1 < stages) {
      const int out = AddRegister(p, stage, credits);
      p.remote_edges.push_back({r, r + 1, out, 0, 8, credits, true});
    }
    p.streams.push_back({"compute", 1, {}});
    for (int k = 0; k < micro_batches; ++k) p.streams[0].order.push_back({stage, k});
  }
  return programs;
}

int64_t Makespan(int stages, int micro_batches, int credits, int64_t delay = 0) {
  const std::vector<Program> programs = Pipeline(stages, micro_batches, credits);
  SimulationOptions options;
  options.duration = [](int, const TaskDesc&) { return kStageTime; };
  options.min_delay = options.max_delay = delay;
  auto simulator = Simulator<Core>::Create(programs, options);
  EXPECT_TRUE(simulator.ok()) << simulator.status().ToString();
  const SimulationResult result = (*simulator)->Run();
  EXPECT_TRUE(result.status.ok()) << result.status.ToString();
  return result.makespan;
}

// The part of all stages' time that is idle.
double Bubble(int micro_batches, int64_t makespan) {
  return 1.0 - static_cast<double>(micro_batches * kStageTime) / static_cast<double>(makespan);
}

TEST(Pipeline, EnoughCreditsGiveTheBubbleOfTheory) {
  for (int stages : {1, 2, 4, 8})
    for (int m : {1, 4, 16}) {
      const double expected = static_cast<double>(stages - 1) / (m + stages - 1);
      // A wire tick stands between two messages of an edge; it is far below a stage's time.
      EXPECT_NEAR(Bubble(m, Makespan(stages, m, m)), expected, 1e-3) << stages << " stages, " << m;
      EXPECT_NEAR(Bubble(m, Makespan(stages, m, 2)), expected, 1e-3) << stages << " stages, " << m;
    }
}

TEST(Pipeline, FewerCreditsGiveALargerBubble) {
  // With messages that take half a stage, one register in flight stalls the sender for the way
  // there and the credit's way back.
  const int64_t delay = kStageTime / 2;
  const int64_t enough = Makespan(4, 16, 4, delay), one = Makespan(4, 16, 1, delay);
  EXPECT_GT(Bubble(16, one), Bubble(16, enough) + 0.2);
  EXPECT_GE(Makespan(4, 16, 2, delay), enough);
  // With one, a piece's whole round repeats: leave, arrive, stage, credit; then the last piece's
  // way.
  const int64_t round = 3 * delay + kStageTime, way = 4 * kStageTime + 3 * 2 * delay;
  EXPECT_NEAR(static_cast<double>(one), static_cast<double>(15 * round + way), kStageTime);
}

TEST(Pipeline, TheSameSeedGivesTheSameRun) {
  const std::vector<Program> programs = Pipeline(4, 8, 2);
  int64_t makespans[2];
  for (int64_t& makespan : makespans) {
    SimulationOptions options;
    options.seed = 7;
    makespan = (*Simulator<Core>::Create(programs, options))->Run().makespan;
  }
  EXPECT_EQ(makespans[0], makespans[1]);
}

}  // namespace
}  // namespace ofl::actor
