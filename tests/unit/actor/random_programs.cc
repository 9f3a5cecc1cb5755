#include "tests/unit/actor/random_programs.h"

#include <algorithm>
#include <random>
#include <set>

namespace ofl::actor {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  RandomWorld Make() {
    ranks_ = 1 + Below(4);
    m_ = Chance(30) ? 1 : 2 + Below(2);
    segments_ = 1 + Below(2);
    world_.programs.resize(ranks_);
    world_.blocks.resize(ranks_);
    rank_.resize(ranks_);
    for (int r = 0; r < ranks_; ++r) {
      Program& p = world_.programs[r];
      p.rank = r;
      p.world_size = ranks_;
      p.micro_batches = m_;
      rank_[r].two_streams = Chance(60);
      Begin(r);
    }
    const int steps = 3 + Below(8);
    for (segment_ = 0; segment_ < segments_; ++segment_)
      for (int i = 0; i < steps / segments_; ++i) Step();
    segment_ = 2;
    for (int r = 0; r < ranks_; ++r) End(r);
    for (int r = 0; r < ranks_; ++r) Finish(r);
    return std::move(world_);
  }

 private:
  struct RegisterState {
    bool closed = false;  // taken over or mutated: no further reader
    bool pushed = false;
    int segment = 0;
  };
  struct RankState {
    bool two_streams = false;
    std::vector<RegisterState> registers;
    std::vector<int> variables;
    std::vector<std::pair<int, int>> scheduled[3];  // (task, stream), by segment
    std::vector<int> once;
  };

  int Below(int n) { return static_cast<int>(random_() % n); }
  bool Chance(int percent) { return Below(100) < percent; }
  Program& program(int r) { return world_.programs[r]; }

  int NewTask(int r, TaskKind kind, int firings) {
    TaskDesc task;
    task.id = static_cast<int>(program(r).tasks.size());
    task.kind = kind;
    task.name = "t" + std::to_string(task.id);
    task.firings = firings;
    program(r).tasks.push_back(task);
    return task.id;
  }
  int NewRegister(int r, int task, int instances) {
    RegisterDesc reg;
    reg.id = static_cast<int>(program(r).registers.size());
    reg.instances = instances;
    reg.producer = task;
    program(r).registers.push_back(reg);
    program(r).tasks[task].outputs.push_back(reg.id);
    world_.blocks[r].push_back(reg.id);
    rank_[r].registers.push_back({false, false, segment_});
    return reg.id;
  }
  void Read(int r, int task, int reg) {
    program(r).tasks[task].inputs.push_back(reg);
    std::vector<int>& consumers = program(r).registers[reg].consumers;
    if (consumers.empty() || consumers.back() != task) consumers.push_back(task);
    RegisterState& state = rank_[r].registers[reg];
    // Read in a later segment: one instance for each micro-batch, as a compiler would plan it.
    if (state.segment != segment_ && segment_ < 2 && Pieces(r, reg) > 1 && !Chance(3))
      Widen(r, reg);
  }
  void Widen(int r, int reg) {
    RegisterDesc& desc = program(r).registers[reg];
    if (desc.alias_of >= 0) return;
    for (const RegisterDesc& other : program(r).registers)
      if (other.alias_of == reg) return;
    desc.instances = m_;
    for (RemoteEdge& edge : program(r).remote_edges)
      if (!edge.outgoing && edge.local_register == reg) {
        edge.credits = m_;
        for (RemoteEdge& out : program(edge.peer).remote_edges)
          if (out.edge_id == edge.edge_id) out.credits = m_;
      }
  }
  int Pieces(int r, int reg) {
    const TaskDesc& task = program(r).tasks[program(r).registers[reg].producer];
    return task.kind == TaskKind::kAccumulate ? 1 : task.firings;
  }
  void Schedule(int r, int task, int stream) {
    if (program(r).tasks[task].firings == 1 && segment_ < 2 && m_ > 1)
      rank_[r].once.push_back(task);
    else
      rank_[r].scheduled[segment_].push_back({task, stream});
  }
  int AnyStream(int r) { return rank_[r].two_streams ? Below(2) : 0; }

  void Begin(int r) {
    segment_ = 0;
    for (int i = 1 + Below(2); i > 0; --i) {
      const int task = NewTask(r, TaskKind::kVariable, 1);
      rank_[r].variables.push_back(NewRegister(r, task, 1));
      if (Chance(50)) rank_[r].once.push_back(task);
    }
    const int task = NewTask(r, TaskKind::kInput, m_);
    NewRegister(r, task, Chance(70) ? m_ : 1 + Below(2));
    if (Chance(50)) Schedule(r, task, 0);
  }

  // An open register of the rank with pieces for every micro-batch, or any.
  int Pick(int r, bool each) {
    std::vector<int> open;
    for (size_t i = 0; i < rank_[r].registers.size(); ++i)
      if (!rank_[r].registers[i].closed && (!each || Pieces(r, static_cast<int>(i)) == m_))
        open.push_back(static_cast<int>(i));
    return open.empty() ? -1 : open[Below(static_cast<int>(open.size()))];
  }

  void Step() {
    const int r = Below(ranks_);
    const int choice = Below(100);
    if (choice < 45)
      Compute(r);
    else if (choice < 65 && ranks_ > 1)
      Transfer(r, (r + 1 + Below(ranks_ - 1)) % ranks_);
    else if (choice < 80 && ranks_ > 1)
      Collective();
    else
      InPlace(r);
  }

  int Compute(int r) {
    const int task = NewTask(r, TaskKind::kKernel, m_);
    for (int i = 1 + Below(2); i > 0; --i) {
      const int reg = Pick(r, false);
      if (reg >= 0) Read(r, task, reg);
    }
    const int out = NewRegister(r, task, 1 + Below(3));
    if (Chance(15)) NewRegister(r, task, 1 + Below(2));
    Schedule(r, task, AnyStream(r));
    return out;
  }

  void InPlace(int r) {
    const int base = Pick(r, true);
    if (base < 0 || (m_ == 1 && program(r).registers[base].producer < 0)) return;
    const TaskKind kind = program(r).tasks[program(r).registers[base].producer].kind;
    if (kind == TaskKind::kVariable || kind == TaskKind::kInput) return;
    const int task = NewTask(r, TaskKind::kKernel, m_);
    if (Chance(40)) Read(r, task, Pick(r, false));
    Read(r, task, base);
    rank_[r].registers[base].closed = true;
    const int out = NewRegister(r, task, program(r).registers[base].instances);
    program(r).registers[out].alias_of = base;
    world_.blocks[r][out] = world_.blocks[r][base];
    Schedule(r, task, AnyStream(r));
  }

  int Wire(int r, int reg, int other) {
    const int firings = Pieces(r, reg);
    const int task = NewTask(other, TaskKind::kReceive, firings);
    const int credits = 1 + Below(3);
    const int target = NewRegister(other, task, credits);
    const int64_t id = next_edge_++;
    program(r).remote_edges.push_back({id, other, reg, 0, 8, credits, true});
    program(other).remote_edges.push_back({id, r, target, 0, 8, credits, false});
    rank_[r].registers[reg].pushed = true;
    return target;
  }

  void Transfer(int r, int other) {
    int reg = Pick(r, false);
    if (reg < 0 || Chance(30)) reg = Compute(r);
    const TaskKind kind = program(r).tasks[program(r).registers[reg].producer].kind;
    if (kind == TaskKind::kVariable || kind == TaskKind::kAccumulate) reg = Compute(r);
    Wire(r, reg, other);
  }

  // Every rank packs, sends to all others and assembles, in one common order on the last stream.
  void Collective() {
    std::vector<int> packed(ranks_);
    for (int r = 0; r < ranks_; ++r) {
      const int task = NewTask(r, TaskKind::kPack, m_);
      Read(r, task, Pick(r, true) < 0 ? Compute(r) : Pick(r, true));
      packed[r] = NewRegister(r, task, 1 + Below(2));
      Schedule(r, task, rank_[r].two_streams);
    }
    std::vector<std::vector<int>> received(ranks_);
    for (int r = 0; r < ranks_; ++r)
      for (int other = 0; other < ranks_; ++other)
        if (other != r) received[other].push_back(Wire(r, packed[r], other));
    for (int r = 0; r < ranks_; ++r) {
      const int task = NewTask(r, TaskKind::kAssemble, m_);
      Read(r, task, packed[r]);
      for (int reg : received[r]) Read(r, task, reg);
      NewRegister(r, task, 1 + Below(2));
      Schedule(r, task, rank_[r].two_streams);
    }
  }

  // Accumulations, updates of variables with their result, and a last-piece reader.
  void End(int r) {
    for (int variable : rank_[r].variables) {
      if (Chance(25)) continue;
      const int gradient = Pick(r, true);
      if (gradient < 0 || gradient == variable) continue;
      const int sum = NewTask(r, TaskKind::kAccumulate, m_);
      segment_ = segments_ - 1;
      Read(r, sum, gradient);
      const int total = NewRegister(r, sum, 1);
      rank_[r].scheduled[segment_].push_back({sum, AnyStream(r)});
      segment_ = 2;
      if (rank_[r].registers[variable].pushed) continue;
      const int update = NewTask(r, TaskKind::kKernel, 1);
      Read(r, update, total);
      Read(r, update, variable);
      program(r).tasks[update].mutates = {1};
      Schedule(r, update, AnyStream(r));
      if (!Chance(30)) continue;
      const int after = NewTask(r, TaskKind::kKernel, 1);
      Read(r, after, variable);
      NewRegister(r, after, 1);
      Schedule(r, after, AnyStream(r));
    }
    if (!Chance(40)) return;
    const int last = NewTask(r, TaskKind::kOutput, 1);
    const int reg = Pick(r, true);
    if (reg >= 0 && !IsBase(r, reg)) Read(r, last, reg);
    Schedule(r, last, AnyStream(r));
  }
  bool IsBase(int r, int reg) {
    for (const RegisterDesc& other : program(r).registers)
      if (other.alias_of == reg) return true;
    return program(r).registers[reg].alias_of >= 0;
  }

  void Finish(int r) {
    Program& p = program(r);
    for (int i = 0; i < 20; ++i) ReuseMemory(r);
    p.streams.resize(rank_[r].two_streams ? 2 : 1);
    for (int task : rank_[r].once) p.streams[0].order.push_back({task, 0});
    for (int s = 0; s < 2; ++s)
      for (int k = 0; k < m_; ++k)
        for (auto [task, stream] : rank_[r].scheduled[s])
          p.streams[stream].order.push_back({task, k});
    for (auto [task, stream] : rank_[r].scheduled[2]) p.streams[stream].order.push_back({task, 0});
    for (StreamDesc& stream : p.streams) {
      stream.name = "s" + std::to_string(&stream - p.streams.data());
      if (stream.order.size() < 2 || !Chance(8)) continue;
      const int at = Below(static_cast<int>(stream.order.size()) - 1);
      if (stream.order[at].task != stream.order[at + 1].task)
        std::swap(stream.order[at], stream.order[at + 1]);
    }
  }

  // Lets a later register live in the memory of an earlier one, with the control edges that make
  // it safe: its writer after the earlier one's readers, and those of the next piece after its own.
  void ReuseMemory(int r) {
    Program& p = program(r);
    if (p.registers.size() < 2) return;
    const int a = Below(static_cast<int>(p.registers.size()));
    const int b = Below(static_cast<int>(p.registers.size()));
    if (a >= b || !Reusable(r, a) || !Reusable(r, b)) return;
    const int writer = p.registers[b].producer;
    if (std::count(p.registers[a].consumers.begin(), p.registers[a].consumers.end(), writer))
      return;
    world_.blocks[r][b] = world_.blocks[r][a];
    auto done = [&](int reg) {
      std::vector<int> tasks = p.registers[reg].consumers;
      tasks.push_back(p.registers[reg].producer);
      return tasks;
    };
    for (int reader : done(a)) p.control_edges.push_back({reader, writer, 0});
    for (int reader : done(b)) p.control_edges.push_back({reader, p.registers[a].producer, 1});
  }
  bool Reusable(int r, int reg) {
    const RegisterDesc& desc = program(r).registers[reg];
    const TaskDesc& task = program(r).tasks[desc.producer];
    const bool shared =
        std::count(world_.blocks[r].begin(), world_.blocks[r].end(), world_.blocks[r][reg]) > 1;
    if (task.kind != TaskKind::kKernel && task.kind != TaskKind::kAssemble) return false;
    if (desc.instances != 1 || shared || rank_[r].registers[reg].pushed || task.firings != m_)
      return false;
    return std::all_of(desc.consumers.begin(), desc.consumers.end(),
                       [&](int c) { return program(r).tasks[c].firings == m_; });
  }

  std::mt19937_64 random_;
  RandomWorld world_;
  std::vector<RankState> rank_;
  int ranks_ = 1, m_ = 1, segments_ = 1, segment_ = 0;
  int64_t next_edge_ = 0;
};

}  // namespace

RandomWorld MakeRandomWorld(uint64_t seed) { return Generator(seed).Make(); }

}  // namespace ofl::actor
