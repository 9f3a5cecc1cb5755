// Random worlds under random schedules: what the marked graph calls live ends, everything else
// gets stuck, no invariant breaks, and every firing computes what a sequential interpreter says.
// The same harness must notice every named fault put into the same code.

#include <gtest/gtest.h>

#include "actor/core/core_impl.h"
#include "tests/unit/actor/symbolic_world.h"

namespace ofl::actor {

// The core compiled with a fault that is chosen at run time.
struct InjectedFaults {
  static inline Fault current = Fault::kNone;
  static bool Has(Fault fault) { return fault == current; }
};
template class BasicCore<InjectedFaults>;

namespace {

constexpr int kLaunches = 2;

struct Tally {
  int64_t live = 0, stuck = 0, events = 0;
  int64_t in_place = 0, reused = 0, held = 0, accumulated = 0, messages = 0, multi = 0;
};

// One schedule of one world: empty when all is as it must be.
template <class CoreType>
std::string RunSchedule(const RandomWorld& world, const MarkedGraph& graph,
                        const SequentialInterpreter* expected, uint64_t seed, Tally* tally) {
  SymbolicMemory memory(world, expected);
  SimulationOptions options;
  options.seed = seed;
  options.launches = kLaunches;
  options.observer = &memory;
  auto simulator = Simulator<CoreType>::Create(world.programs, options);
  if (!simulator.ok()) return simulator.status().ToString();
  Simulator<CoreType>& s = **simulator;
  memory.set_lookup({[&](int r, int t, int i, int64_t k) { return s.core(r).InputSlot(t, i, k); },
                     [&](int r, int t, int i, int64_t k) { return s.core(r).OutputSlot(t, i, k); },
                     [&](int r, int e, int64_t k) { return s.core(r).EdgeSlot(e, k); },
                     [&](int r) { return s.core(r).iteration(); }});
  const SimulationResult result = s.Run();
  if (tally != nullptr) tally->events += result.events;
  if (!memory.error().empty()) return memory.error();
  if (!result.status.ok() && !result.stuck) return result.status.ToString();
  if (result.stuck && graph.live) return "stuck though live: " + result.status.ToString();
  if (!result.stuck && !graph.live) return "ended though the marked graph has an empty cycle";
  return {};
}

void Count(const RandomWorld& world, const MarkedGraph& graph, Tally* tally) {
  ++(graph.live ? tally->live : tally->stuck);
  tally->multi += world.programs.size() > 1;
  for (const Program& p : world.programs) {
    tally->reused += !p.control_edges.empty();
    tally->messages += !p.remote_edges.empty();
    for (const RegisterDesc& reg : p.registers) tally->in_place += reg.alias_of >= 0;
    for (const TaskDesc& task : p.tasks) tally->accumulated += task.kind == TaskKind::kAccumulate;
  }
}

template <class CoreType>
std::string RunWorld(uint64_t seed, int schedules, Tally* tally) {
  const RandomWorld world = MakeRandomWorld(seed);
  const MarkedGraph graph = BuildMarkedGraph(world.programs);
  std::unique_ptr<SequentialInterpreter> expected;
  if (graph.live)
    expected = std::make_unique<SequentialInterpreter>(world.programs, graph.order, kLaunches);
  if (tally != nullptr) Count(world, graph, tally);
  for (int i = 0; i < schedules; ++i) {
    std::string error = RunSchedule<CoreType>(world, graph, expected.get(), seed * 1000 + i, tally);
    if (!error.empty())
      return "seed " + std::to_string(seed) + ", schedule " + std::to_string(i) + ": " + error;
  }
  return {};
}

// 25,000 worlds under four schedules each, in parts so that they can run side by side.
class Schedules : public testing::TestWithParam<int> {};

TEST_P(Schedules, LiveWorldsEndWithTheSequentialResultAndOthersGetStuck) {
  constexpr int kWorlds = 6250, kSchedules = 4;
  Tally tally;
  for (int i = 0; i < kWorlds; ++i) {
    const std::string error = RunWorld<Core>(1 + GetParam() * kWorlds + i, kSchedules, &tally);
    ASSERT_EQ(error, "");
  }
  // The worlds must contain what they are meant to exercise.
  EXPECT_GT(tally.live, kWorlds / 2);
  EXPECT_GT(tally.stuck, kWorlds / 100);
  EXPECT_GT(tally.multi, kWorlds / 2);
  EXPECT_GT(tally.in_place, kWorlds / 10);
  EXPECT_GT(tally.reused, kWorlds / 20);
  EXPECT_GT(tally.accumulated, kWorlds / 2);
  EXPECT_GT(tally.messages, kWorlds / 2);
  RecordProperty("events", static_cast<int>(tally.events));
}
INSTANTIATE_TEST_SUITE_P(Seeds, Schedules, testing::Range(0, 4));

struct NamedFault {
  Fault fault;
  const char* name;
};
class Mutants : public testing::TestWithParam<NamedFault> {};

TEST_P(Mutants, AreKilled) {
  constexpr int kWorlds = 4000;
  InjectedFaults::current = GetParam().fault;
  std::string error;
  for (int seed = 1; seed <= kWorlds && error.empty(); ++seed)
    error = RunWorld<BasicCore<InjectedFaults>>(seed, 2, nullptr);
  InjectedFaults::current = Fault::kNone;
  EXPECT_NE(error, "") << GetParam().name << " survived " << kWorlds << " worlds";
}
INSTANTIATE_TEST_SUITE_P(
    Named, Mutants,
    testing::Values(NamedFault{Fault::kLostCredit, "LostCredit"},
                    NamedFault{Fault::kDoubleCredit, "DoubleCredit"},
                    NamedFault{Fault::kEarlyFree, "EarlyFree"},
                    NamedFault{Fault::kIgnoreStreamOrder, "IgnoreStreamOrder"},
                    NamedFault{Fault::kWrongPiece, "WrongPiece"},
                    NamedFault{Fault::kIgnoreControl, "IgnoreControl"},
                    NamedFault{Fault::kInPlaceFreedEarly, "InPlaceFreedEarly"},
                    NamedFault{Fault::kInPlaceIgnoresReaders, "InPlaceIgnoresReaders"},
                    NamedFault{Fault::kPushWithoutCredit, "PushWithoutCredit"},
                    NamedFault{Fault::kPushNotHeld, "PushNotHeld"},
                    NamedFault{Fault::kHeldFreedEarly, "HeldFreedEarly"},
                    NamedFault{Fault::kAccumulateTooEarly, "AccumulateTooEarly"},
                    NamedFault{Fault::kIgnoreFreeInstance, "IgnoreFreeInstance"},
                    NamedFault{Fault::kMutateTooEarly, "MutateTooEarly"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Mutants, TheUnbrokenCoreCompiledTheSameWaySurvives) {
  for (int seed = 1; seed <= 500; ++seed)
    ASSERT_EQ((RunWorld<BasicCore<InjectedFaults>>(seed, 2, nullptr)), "");
}

}  // namespace
}  // namespace ofl::actor
