// Values as hashes. A sequential interpreter says what every firing must compute; SymbolicMemory
// plays the memory of a simulated world and compares, so that a register that is read too late,
// written too early or mixed up shows as a wrong value.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "actor/drivers/simulator.h"
#include "tests/unit/actor/marked_graph.h"
#include "tests/unit/actor/random_programs.h"

namespace ofl::actor {

// What each firing reads: hash[launch][rank][first firing of task + piece].
class SequentialInterpreter {
 public:
  SequentialInterpreter(const std::vector<Program>& programs, const std::vector<FiringId>& order,
                        int launches);
  uint64_t Expected(int rank, int task, int64_t launch, int64_t piece) const {
    return results_[launch][rank][first_[rank][task] + piece];
  }

 private:
  std::vector<std::vector<int>> first_;
  std::vector<std::vector<std::vector<uint64_t>>> results_;
};

// Slot lookups go through the core under test.
struct SlotLookup {
  std::function<int(int rank, int task, int i, int64_t piece)> input, output;
  std::function<int(int rank, int edge, int64_t piece)> edge;
  std::function<int64_t(int rank)> launch;
};

class SymbolicMemory : public SimulationObserver {
 public:
  // `expected` may be null: then only stream orders are checked.
  SymbolicMemory(const RandomWorld& world, const SequentialInterpreter* expected);
  void set_lookup(SlotLookup lookup) { lookup_ = std::move(lookup); }
  const std::string& error() const { return error_; }

  void OnStart(int rank, int stream, int task, int64_t piece) override;
  void OnFinish(int rank, int stream, int task, int64_t piece) override;
  void OnLeave(int rank, int edge, int64_t piece) override;
  void OnArrive(int rank, int edge, int64_t piece) override;

 private:
  struct RankMemory {
    std::vector<uint64_t> cells;
    std::vector<int> first_cell;                // of each register
    std::vector<std::vector<uint64_t>> before;  // by task: what was read at its start
    std::vector<size_t> cursors;                // by stream
    std::vector<std::vector<uint64_t>> wire;    // by edge: payloads under way to it, in order
    std::vector<size_t> taken;
  };
  uint64_t& Cell(int rank, int reg, int slot) {
    return memory_[rank].cells[memory_[rank].first_cell[reg] + slot];
  }
  bool Overwrites(const TaskDesc& task, const Program& p, size_t input) const;

  const RandomWorld& world_;
  const SequentialInterpreter* expected_;
  SlotLookup lookup_;
  std::vector<RankMemory> memory_;
  std::map<int64_t, std::pair<int, int>> receivers_;  // edge id -> rank, index
  uint64_t garbage_ = 0x5eed;
  std::string error_;
};

}  // namespace ofl::actor
