#include "tests/unit/actor/symbolic_world.h"

#include <algorithm>

namespace ofl::actor {
namespace {

uint64_t Mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
  h *= 0xbf58476d1ce4e5b9ull;
  return h ^ (h >> 29);
}
// What firing a task makes of the values it read.
uint64_t Seed(int rank, int task) { return Mix(Mix(17, rank), task); }

bool IsSource(TaskKind kind) { return kind == TaskKind::kInput; }

uint64_t InitialVariable(int rank, int reg) { return Mix(Mix(99, rank), reg); }

}  // namespace

SequentialInterpreter::SequentialInterpreter(const std::vector<Program>& programs,
                                             const std::vector<FiringId>& order, int launches) {
  std::vector<std::vector<uint64_t>> variables(programs.size());  // by register
  std::map<int64_t, std::pair<int, int>> senders;                 // edge id -> rank, register
  for (size_t r = 0; r < programs.size(); ++r) {
    first_.emplace_back();
    int n = 0;
    for (const TaskDesc& task : programs[r].tasks) {
      first_[r].push_back(n);
      n += task.firings;
    }
    for (const RegisterDesc& reg : programs[r].registers)
      variables[r].push_back(InitialVariable(static_cast<int>(r), reg.id));
    for (const RemoteEdge& edge : programs[r].remote_edges)
      if (edge.outgoing) senders[edge.edge_id] = {static_cast<int>(r), edge.local_register};
  }
  for (int launch = 0; launch < launches; ++launch) {
    std::map<std::tuple<int, int, int>, uint64_t> values;  // (rank, register, piece)
    results_.emplace_back(programs.size());
    for (size_t r = 0; r < programs.size(); ++r) {
      int firings = 0;
      for (const TaskDesc& task : programs[r].tasks) firings += task.firings;
      results_[launch][r].resize(firings);
    }
    auto pieces = [&](const Program& p, int reg) {
      const TaskDesc& t = p.tasks[p.registers[reg].producer];
      return t.kind == TaskKind::kAccumulate ? 1 : t.firings;
    };
    auto is_variable = [&](const Program& p, int reg) {
      return p.tasks[p.registers[reg].producer].kind == TaskKind::kVariable;
    };
    for (const FiringId& f : order) {
      const Program& p = programs[f.rank];
      const TaskDesc& task = p.tasks[f.task];
      if (task.kind == TaskKind::kReceive) {
        for (const RemoteEdge& edge : p.remote_edges) {
          if (edge.outgoing || edge.local_register != task.outputs[0]) continue;
          auto [rank, reg] = senders.at(edge.edge_id);
          values[{f.rank, task.outputs[0], f.piece}] = is_variable(programs[rank], reg)
                                                           ? variables[rank][reg]
                                                           : values.at({rank, reg, f.piece});
        }
        continue;
      }
      if (task.kind == TaskKind::kVariable) continue;
      uint64_t h = Seed(f.rank, f.task);
      if (IsSource(task.kind)) h = Mix(Mix(h, launch), f.piece);
      for (int reg : task.inputs) {
        const int count = pieces(p, reg);
        const int piece = count == task.firings ? f.piece : count - 1;
        h = Mix(h, is_variable(p, reg) ? variables[f.rank][reg] : values.at({f.rank, reg, piece}));
      }
      if (task.kind == TaskKind::kAccumulate && f.piece > 0)
        h = Mix(h, values.at({f.rank, task.outputs[0], 0}));
      results_[launch][f.rank][first_[f.rank][f.task] + f.piece] = h;
      for (size_t i = 0; i < task.outputs.size(); ++i)
        values[{f.rank, task.outputs[i], task.kind == TaskKind::kAccumulate ? 0 : f.piece}] = h + i;
      for (int i : task.mutates) variables[f.rank][task.inputs[i]] = h;
    }
  }
}

SymbolicMemory::SymbolicMemory(const RandomWorld& world, const SequentialInterpreter* expected)
    : world_(world), expected_(expected) {
  for (size_t r = 0; r < world.programs.size(); ++r) {
    const Program& p = world.programs[r];
    RankMemory memory;
    std::map<int, int> first;  // of each block
    for (const RegisterDesc& reg : p.registers) {
      const int block = world.blocks[r][reg.id];
      if (!first.count(block)) {
        first[block] = static_cast<int>(memory.cells.size());
        memory.cells.resize(memory.cells.size() + reg.instances, 1);
      }
      memory.first_cell.push_back(first[block]);
      if (p.tasks[reg.producer].kind == TaskKind::kVariable)
        memory.cells[first[block]] = InitialVariable(static_cast<int>(r), reg.id);
    }
    memory.before.resize(p.tasks.size());
    memory.cursors.resize(p.streams.size());
    memory.wire.resize(p.remote_edges.size());
    memory.taken.resize(p.remote_edges.size());
    memory_.push_back(std::move(memory));
    for (size_t e = 0; e < p.remote_edges.size(); ++e)
      if (!p.remote_edges[e].outgoing)
        receivers_[p.remote_edges[e].edge_id] = {static_cast<int>(r), static_cast<int>(e)};
  }
}

// Whether the task writes into the memory of this input: its value is gone at the end.
bool SymbolicMemory::Overwrites(const TaskDesc& task, const Program& p, size_t input) const {
  const int reg = task.inputs[input];
  for (int out : task.outputs)
    if (p.registers[out].alias_of == reg) return true;
  return std::any_of(task.mutates.begin(), task.mutates.end(),
                     [&](int i) { return task.inputs[i] == reg; });
}

void SymbolicMemory::OnStart(int rank, int stream, int id, int64_t piece) {
  const Program& p = world_.programs[rank];
  const TaskDesc& task = p.tasks[id];
  RankMemory& memory = memory_[rank];
  if (stream >= 0) {
    const auto& order = p.streams[stream].order;
    const Firing due = order[memory.cursors[stream]++ % order.size()];
    if (due.task != id || due.piece != piece)
      error_ = task.name + " fired out of its stream's order";
  }
  std::vector<uint64_t>& before = memory.before[id];
  before.clear();
  for (size_t i = 0; i < task.inputs.size(); ++i)
    before.push_back(
        Cell(rank, task.inputs[i], lookup_.input(rank, id, static_cast<int>(i), piece)));
  const bool keeps =
      task.kind == TaskKind::kVariable || (task.kind == TaskKind::kAccumulate && piece > 0);
  for (size_t i = 0; i < task.outputs.size() && !keeps; ++i)
    if (p.registers[task.outputs[i]].alias_of < 0)
      Cell(rank, task.outputs[i], lookup_.output(rank, id, static_cast<int>(i), piece)) =
          ++garbage_;
}

void SymbolicMemory::OnFinish(int rank, int, int id, int64_t piece) {
  const Program& p = world_.programs[rank];
  const TaskDesc& task = p.tasks[id];
  if (task.kind == TaskKind::kVariable) return;
  const int64_t launch = lookup_.launch(rank);
  uint64_t h = Seed(rank, id);
  if (IsSource(task.kind)) h = Mix(Mix(h, launch), piece);
  for (size_t i = 0; i < task.inputs.size(); ++i) {
    const uint64_t first = memory_[rank].before[id][i];
    const uint64_t now =
        Cell(rank, task.inputs[i], lookup_.input(rank, id, static_cast<int>(i), piece));
    if (now != first && !Overwrites(task, p, i))
      error_ = "an input of " + task.name + " changed while it was read";
    h = Mix(h, first);
  }
  if (task.kind == TaskKind::kAccumulate && piece > 0)
    h = Mix(h, Cell(rank, task.outputs[0], lookup_.output(rank, id, 0, piece)));
  for (size_t i = 0; i < task.outputs.size(); ++i)
    Cell(rank, task.outputs[i], lookup_.output(rank, id, static_cast<int>(i), piece)) = h + i;
  for (int i : task.mutates) Cell(rank, task.inputs[i], lookup_.input(rank, id, i, piece)) = h;
  if (expected_ != nullptr && h != expected_->Expected(rank, id, launch, piece))
    error_ = task.name + " of rank " + std::to_string(rank) + " computed another value";
}

void SymbolicMemory::OnLeave(int rank, int edge, int64_t piece) {
  const RemoteEdge& e = world_.programs[rank].remote_edges[edge];
  auto [other, index] = receivers_.at(e.edge_id);
  memory_[other].wire[index].push_back(
      Cell(rank, e.local_register, lookup_.edge(rank, edge, piece)));
}

void SymbolicMemory::OnArrive(int rank, int edge, int64_t piece) {
  const RemoteEdge& e = world_.programs[rank].remote_edges[edge];
  RankMemory& memory = memory_[rank];
  Cell(rank, e.local_register, lookup_.edge(rank, edge, piece)) =
      memory.wire[edge][memory.taken[edge]++];
}

}  // namespace ofl::actor
