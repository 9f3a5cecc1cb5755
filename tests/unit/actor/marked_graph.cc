#include "tests/unit/actor/marked_graph.h"

#include <algorithm>
#include <map>

namespace ofl::actor {
namespace {

class Builder {
 public:
  explicit Builder(const std::vector<Program>& programs) : programs_(programs) {}

  MarkedGraph Build() {
    Number();
    for (int r = 0; r < static_cast<int>(programs_.size()); ++r) {
      for (const StreamDesc& stream : programs_[r].streams)
        for (size_t i = 1; i < stream.order.size(); ++i)
          Edge(V(r, stream.order[i - 1].task, stream.order[i - 1].piece),
               V(r, stream.order[i].task, stream.order[i].piece));
      for (const TaskDesc& task : programs_[r].tasks)  // each task's own pieces are in order
        for (int k = 1; k < task.firings; ++k) Edge(V(r, task.id, k - 1), V(r, task.id, k));
      for (const RegisterDesc& reg : programs_[r].registers) Register(r, reg);
      for (const ControlEdge& edge : programs_[r].control_edges) Control(r, edge);
    }
    return Sort();
  }

 private:
  int V(int r, int task, int k) const { return first_[r][task] + k; }
  int Firings(int r, int task) const { return programs_[r].tasks[task].firings; }
  void Edge(int from, int to) { next_[from].push_back(to); }

  int Pieces(int r, int reg) const {
    const TaskDesc& task = programs_[r].tasks[programs_[r].registers[reg].producer];
    return task.kind == TaskKind::kAccumulate ? 1 : task.firings;
  }
  int Completes(int r, int reg, int p) const {
    const TaskDesc& task = programs_[r].tasks[programs_[r].registers[reg].producer];
    return V(r, task.id, task.kind == TaskKind::kAccumulate ? task.firings - 1 : p);
  }
  // The vertex at which piece p's memory is taken: a receive register's when the sender pushes.
  int Acquires(int r, int reg, int p) const {
    for (const RemoteEdge& edge : programs_[r].remote_edges)
      if (!edge.outgoing && edge.local_register == reg) return pushes_.at(edge.edge_id) + p;
    return V(r, programs_[r].registers[reg].producer, p);
  }

  void Number() {
    int n = 0;
    for (int r = 0; r < static_cast<int>(programs_.size()); ++r) {
      first_.emplace_back();
      for (const TaskDesc& task : programs_[r].tasks) {
        first_.back().push_back(n);
        for (int k = 0; k < task.firings; ++k) owner_.push_back({r, task.id, k});
        n += task.firings;
      }
    }
    for (int r = 0; r < static_cast<int>(programs_.size()); ++r)
      for (const RemoteEdge& edge : programs_[r].remote_edges)
        if (edge.outgoing) {
          pushes_[edge.edge_id] = n;
          n += Pieces(r, edge.local_register);
        }
    next_.resize(n);
  }

  // Firings of a consumer that read piece p, and the one that lets go of it (-1: none).
  std::vector<int> Reads(int r, int reg, int consumer, int p) const {
    const int pieces = Pieces(r, reg), firings = Firings(r, consumer);
    std::vector<int> reads;
    if (pieces == firings)
      reads.push_back(V(r, consumer, p));
    else if (pieces == 1)
      for (int k = 0; k < firings; ++k) reads.push_back(V(r, consumer, k));
    else if (p == pieces - 1)
      reads.push_back(V(r, consumer, 0));
    return reads;
  }

  std::vector<int> Pushes(int r, int reg, int p) const {
    std::vector<int> pushes;
    for (const RemoteEdge& edge : programs_[r].remote_edges)
      if (edge.outgoing && edge.local_register == reg)
        pushes.push_back(pushes_.at(edge.edge_id) + p);
    return pushes;
  }

  // Everything after which the memory of piece p is free again.
  void Releases(int r, int reg, int p, std::vector<int>* out) const {
    out->push_back(Completes(r, reg, p));
    for (int c : programs_[r].registers[reg].consumers)
      for (int v : Reads(r, reg, c, p)) out->push_back(v);
    for (int v : Pushes(r, reg, p)) out->push_back(v);
    for (const RegisterDesc& other : programs_[r].registers)
      if (other.alias_of == reg) Releases(r, other.id, p, out);
  }

  bool Mutates(int r, int task, int reg) const {
    const TaskDesc& desc = programs_[r].tasks[task];
    return std::any_of(desc.mutates.begin(), desc.mutates.end(),
                       [&](int i) { return desc.inputs[i] == reg; });
  }

  void Register(int r, const RegisterDesc& reg) {
    for (int p = 0; p < Pieces(r, reg.id); ++p) {
      const int made = Completes(r, reg.id, p);
      for (int c : reg.consumers)
        for (int v : Reads(r, reg.id, c, p)) Edge(made, v);
      for (int v : Pushes(r, reg.id, p)) Edge(made, v);
      if (p + reg.instances < Pieces(r, reg.id)) {
        std::vector<int> releases;
        Releases(r, reg.id, p, &releases);
        for (int v : releases) Edge(v, Acquires(r, reg.id, p + reg.instances));
      }
      if (reg.alias_of >= 0) InPlace(r, reg, p);
      Mutations(r, reg, p);
    }
    for (const RemoteEdge& edge : programs_[r].remote_edges) {
      if (edge.local_register != reg.id) continue;
      for (int p = 0; p < Pieces(r, reg.id); ++p) {
        const int push = pushes_.at(edge.edge_id) + p;
        if (!edge.outgoing) Edge(push, V(r, reg.producer, p));
        if (edge.outgoing && p > 0) Edge(push - 1, push);
      }
    }
  }

  void InPlace(int r, const RegisterDesc& reg, int p) {
    for (int c : programs_[r].registers[reg.alias_of].consumers)
      for (int v : Reads(r, reg.alias_of, c, p))
        if (c != reg.producer) Edge(v, V(r, reg.producer, p));
    for (int v : Pushes(r, reg.alias_of, p)) Edge(v, V(r, reg.producer, p));
  }

  void Mutations(int r, const RegisterDesc& reg, int p) {
    for (size_t j = 0; j < reg.consumers.size(); ++j)
      for (size_t i = 0; i < j; ++i) {
        const int before = reg.consumers[i], after = reg.consumers[j];
        if (!Mutates(r, before, reg.id) && !Mutates(r, after, reg.id)) continue;
        for (int v : Reads(r, reg.id, before, p))
          for (int w : Reads(r, reg.id, after, p)) Edge(v, w);
      }
  }

  void Control(int r, const ControlEdge& edge) {
    const int before = Firings(r, edge.before), after = Firings(r, edge.after);
    for (int k = 0; k < after; ++k) {
      const int needed = before == after ? k - edge.tokens : before - 1;
      if (needed >= 0) Edge(V(r, edge.before, needed), V(r, edge.after, k));
    }
  }

  MarkedGraph Sort() {
    std::vector<int> left(next_.size(), 0), ready;
    for (const auto& successors : next_)
      for (int v : successors) ++left[v];
    for (size_t v = 0; v < left.size(); ++v)
      if (left[v] == 0) ready.push_back(static_cast<int>(v));
    MarkedGraph graph;
    size_t done = 0;
    for (; done < ready.size(); ++done) {
      const int v = ready[done];
      if (v < static_cast<int>(owner_.size())) graph.order.push_back(owner_[v]);
      for (int w : next_[v])
        if (--left[w] == 0) ready.push_back(w);
    }
    graph.live = done == next_.size();
    for (size_t v = 0; v < left.size(); ++v)
      if (left[v] > 0) ready.push_back(static_cast<int>(v));  // never: behind all others
    std::vector<int64_t> at(next_.size());
    for (size_t i = 0; i < ready.size(); ++i) at[ready[i]] = static_cast<int64_t>(i);
    graph.firings.resize(programs_.size());
    for (size_t r = 0; r < programs_.size(); ++r)
      for (const TaskDesc& task : programs_[r].tasks) {
        const auto first = at.begin() + first_[r][task.id];
        graph.firings[r].emplace_back(first, first + task.firings);
      }
    for (size_t r = 0; r < programs_.size(); ++r)
      for (const RemoteEdge& edge : programs_[r].remote_edges)
        if (edge.outgoing) {
          const auto first = at.begin() + pushes_.at(edge.edge_id);
          graph.pushes[edge.edge_id].assign(first, first + Pieces(r, edge.local_register));
        }
    return graph;
  }

  const std::vector<Program>& programs_;
  std::vector<std::vector<int>> first_;
  std::vector<FiringId> owner_;
  std::map<int64_t, int> pushes_;  // edge id -> vertex of its first push
  std::vector<std::vector<int>> next_;
};

}  // namespace

MarkedGraph BuildMarkedGraph(const std::vector<Program>& programs) {
  return Builder(programs).Build();
}

}  // namespace ofl::actor
