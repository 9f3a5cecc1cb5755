// Freedom from deadlock. One vertex for each firing of an iteration on each rank; an edge for
// each "must happen before" the runtime enforces. Edges that carry a token at the start lead into
// the next iteration and are left out, so the plan is live exactly when what remains is acyclic.

#include <map>

#include "compiler/verify/rates.h"
#include "compiler/verify/verify.h"

namespace ofl::compiler {
namespace {

class MarkedGraph {
 public:
  explicit MarkedGraph(const std::vector<Program>& programs) : programs_(programs) {}

  Status Run() {
    Number();
    OFL_TRY(MatchEdges());
    for (size_t r = 0; r < programs_.size(); ++r) {
      StreamOrder(static_cast<int>(r));
      for (const RegisterDesc& reg : programs_[r].registers)
        DataAndCredit(static_cast<int>(r), reg);
      for (const TaskDesc& task : programs_[r].tasks) Overwrites(static_cast<int>(r), task);
      for (const ControlEdge& edge : programs_[r].control_edges) Control(static_cast<int>(r), edge);
    }
    for (const Wire& wire : wires_) Remote(wire);
    return FindCycle();
  }

 private:
  // One message stream between two ranks.
  struct Wire {
    int src = -1, src_register = -1;
    int dst = -1, dst_register = -1;
    int credits = 1;
  };

  void Number() {
    int next = 0;
    for (const Program& p : programs_) {
      first_.emplace_back();
      for (const TaskDesc& task : p.tasks) {
        first_.back().push_back(next);
        for (int k = 0; k < task.firings; ++k)
          owner_.emplace_back(static_cast<int>(first_.size()) - 1, task.id);
        next += task.firings;
      }
    }
    successors_.resize(next);
    indegree_.assign(next, 0);
  }

  int Firings(int r, int task) const { return programs_[r].tasks[task].firings; }
  int Vertex(int r, int task, int k) const { return first_[r][task] + k; }
  int Last(int r, int task) const { return Vertex(r, task, Firings(r, task) - 1); }

  void Edge(int from, int to) {
    successors_[from].push_back(to);
    ++indegree_[to];
  }

  Status MatchEdges() {
    std::map<int64_t, Wire> by_id;
    for (size_t r = 0; r < programs_.size(); ++r)
      for (const RemoteEdge& edge : programs_[r].remote_edges) {
        Wire& wire = by_id[edge.edge_id];
        int& rank = edge.outgoing ? wire.src : wire.dst;
        OFL_ENSURE(rank < 0, Code::kDataLoss)
            << "edge " << edge.edge_id << " has two ends of one kind";
        rank = static_cast<int>(r);
        (edge.outgoing ? wire.src_register : wire.dst_register) = edge.local_register;
        wire.credits = edge.credits;
      }
    for (auto& [id, wire] : by_id) {
      OFL_ENSURE(wire.src >= 0 && wire.dst >= 0, Code::kDataLoss)
          << "edge " << id << " has only one end";
      wires_.push_back(wire);
    }
    return Status::Ok();
  }

  void StreamOrder(int r) {
    for (const StreamDesc& stream : programs_[r].streams)
      for (size_t i = 1; i < stream.order.size(); ++i)
        Edge(Vertex(r, stream.order[i - 1].task, stream.order[i - 1].piece),
             Vertex(r, stream.order[i].task, stream.order[i].piece));
  }

  // Calls fn(producer vertex, consumer vertex, piece) for every piece a consumer reads.
  template <class Fn>
  void EachRead(int r, const RegisterDesc& reg, int consumer, Fn fn) {
    const int made = Pieces(r, reg);
    const int reads = Firings(r, consumer);
    for (int k = 0; k < reads; ++k) {
      const int piece = PieceRead(reads, made, k);
      fn(ProducerVertex(r, reg, piece), Vertex(r, consumer, k), piece);
    }
  }

  int Pieces(int r, const RegisterDesc& reg) const { return PiecesOf(programs_[r], reg); }
  // The firing that completes a piece.
  int ProducerVertex(int r, const RegisterDesc& reg, int piece) const {
    const TaskDesc& producer = programs_[r].tasks[reg.producer];
    if (producer.kind == TaskKind::kAccumulate) return Last(r, producer.id);
    return Vertex(r, producer.id, piece);
  }

  void DataAndCredit(int r, const RegisterDesc& reg) {
    const int made = Pieces(r, reg);
    for (int consumer : reg.consumers)
      EachRead(r, reg, consumer, [&](int producer, int reader, int piece) {
        Edge(producer, reader);
        const int next = piece + reg.instances;
        if (next < made) Edge(reader, ProducerVertex(r, reg, next));
      });
  }

  void Control(int r, const ControlEdge& edge) {
    const int before = Firings(r, edge.before), after = Firings(r, edge.after);
    for (int k = 0; k < after; ++k) {
      if (before == after && k - edge.tokens >= 0)
        Edge(Vertex(r, edge.before, k - edge.tokens), Vertex(r, edge.after, k));
      else if (before != after)
        Edge(Last(r, edge.before), Vertex(r, edge.after, k));
    }
  }

  // Who changes a register's memory, by an update or by taking it over, waits for all others that
  // read it before.
  void Overwrites(int r, const TaskDesc& task) {
    const Program& p = programs_[r];
    for (int i : task.mutates) After(r, p.registers[task.inputs[i]], task);
    for (int out : task.outputs)
      if (p.registers[out].alias_of >= 0) After(r, p.registers[p.registers[out].alias_of], task);
  }

  void After(int r, const RegisterDesc& reg, const TaskDesc& writer) {
    for (int reader : reg.consumers) {
      if (reader == writer.id) break;  // later readers see the new content
      if (Firings(r, reader) == Firings(r, writer.id)) {
        for (int k = 0; k < Firings(r, reader); ++k)
          Edge(Vertex(r, reader, k), Vertex(r, writer.id, k));
      } else {
        Edge(Last(r, reader), Vertex(r, writer.id, 0));
      }
    }
  }

  void Remote(const Wire& wire) {
    const RegisterDesc& from = programs_[wire.src].registers[wire.src_register];
    const RegisterDesc& to = programs_[wire.dst].registers[wire.dst_register];
    const int receive = to.producer;
    for (int k = 0; k < Firings(wire.dst, receive); ++k) {
      const int arrival = Vertex(wire.dst, receive, k);
      const int piece = std::min(k, Pieces(wire.src, from) - 1);
      Edge(ProducerVertex(wire.src, from, piece), arrival);
      // The sender's register is free again once the message has left.
      if (piece + from.instances < Pieces(wire.src, from))
        Edge(arrival, ProducerVertex(wire.src, from, piece + from.instances));
    }
  }

  Status FindCycle() {
    std::vector<int> ready;
    std::vector<int> left = indegree_;
    for (size_t v = 0; v < left.size(); ++v)
      if (left[v] == 0) ready.push_back(static_cast<int>(v));
    size_t fired = 0;
    while (!ready.empty()) {
      const int v = ready.back();
      ready.pop_back();
      ++fired;
      for (int next : successors_[v])
        if (--left[next] == 0) ready.push_back(next);
    }
    if (fired == left.size()) return Status::Ok();
    return Error(Code::kFailedPrecondition)
           << "the plan would deadlock: every task of this cycle waits for the one before it: "
           << CycleText(left);
  }

  // Walks backwards through blocked vertices until one repeats.
  std::string CycleText(const std::vector<int>& left) const {
    std::vector<int> blocked_by(left.size(), -1);
    for (size_t v = 0; v < left.size(); ++v)
      if (left[v] > 0)
        for (int next : successors_[v])
          if (left[next] > 0) blocked_by[next] = static_cast<int>(v);
    int v = 0;
    while (left[v] == 0 || blocked_by[v] < 0) ++v;
    std::vector<bool> seen(left.size(), false);
    while (!seen[v]) {
      seen[v] = true;
      v = blocked_by[v];
    }
    std::vector<int> cycle = {v};
    for (int at = blocked_by[v]; at != v; at = blocked_by[at]) cycle.push_back(at);
    std::string text;
    for (auto it = cycle.rbegin(); it != cycle.rend(); ++it) text += Name(*it) + " -> ";
    return text + Name(cycle.back());
  }

  std::string Name(int v) const {
    const auto [r, task] = owner_[v];
    return programs_[r].tasks[task].name + "[" + std::to_string(v - first_[r][task]) +
           "] on rank " + std::to_string(programs_[r].rank);
  }

  const std::vector<Program>& programs_;
  std::vector<std::vector<int>> first_;     // rank, task -> first vertex
  std::vector<std::pair<int, int>> owner_;  // vertex -> rank, task
  std::vector<std::vector<int>> successors_;
  std::vector<int> indegree_;
  std::vector<Wire> wires_;
};

}  // namespace

Status VerifyLiveness(const std::vector<Program>& programs) { return MarkedGraph(programs).Run(); }

}  // namespace ofl::compiler
