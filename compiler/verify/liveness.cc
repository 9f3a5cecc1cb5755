// Freedom from deadlock of a whole world: the oracle for worlds that are small enough. One vertex
// for each firing and each push of an iteration, an edge for each "must happen before". Edges that
// carry a token at the start lead into the next iteration and are left out, so the plan is live
// exactly when what remains is acyclic.

#include <map>

#include "compiler/verify/orderings.h"
#include "compiler/verify/verify.h"

namespace ofl::compiler {
namespace {

class MarkedGraph {
 public:
  explicit MarkedGraph(const std::vector<Program>& programs) : programs_(programs) {}

  Status Run() {
    OFL_TRY(MatchEdges());
    Number();
    for (size_t r = 0; r < programs_.size(); ++r)
      EachOrdering(programs_[r], [&](Event before, Event after) {
        Edge(Vertex(static_cast<int>(r), before), Vertex(static_cast<int>(r), after));
      });
    return FindCycle();
  }

 private:
  struct Owner {
    int rank;
    Event event;
  };
  struct End {
    const RemoteEdge* edge;
    int rank;
    int pieces;
    friend std::ostream& operator<<(std::ostream& out, const End& end) {
      return out << end.pieces << " pieces of " << end.edge->bytes << " bytes with "
                 << end.edge->credits << " credits between ranks " << end.rank << " and "
                 << end.edge->peer;
    }
  };

  // Both ends of every remote edge, which must agree on what passes.
  Status MatchEdges() {
    std::map<int64_t, std::vector<End>> edges;
    for (const Program& p : programs_)
      for (const RemoteEdge& edge : p.remote_edges)
        edges[edge.edge_id].push_back(
            {&edge, p.rank, PiecesOf(p, p.registers[edge.local_register])});
    for (const auto& [id, ends] : edges) {
      OFL_ENSURE(ends.size() != 1, Code::kDataLoss) << "edge " << id << " has only one end";
      const End &a = ends[0], &b = ends[1];
      OFL_ENSURE(ends.size() == 2 && a.edge->outgoing != b.edge->outgoing, Code::kDataLoss)
          << "edge " << id << " has two ends of one kind";
      OFL_ENSURE(a.edge->peer == b.rank && b.edge->peer == a.rank &&
                     a.edge->bytes == b.edge->bytes && a.edge->credits == b.edge->credits &&
                     a.pieces == b.pieces,
                 Code::kDataLoss)
          << "the ends of edge " << id << " do not match: got " << a << " and " << b
          << "; expected equal ones";
    }
    return Status::Ok();
  }

  void Number() {
    int next = 0;
    for (size_t r = 0; r < programs_.size(); ++r) {
      const Program& p = programs_[r];
      first_.emplace_back();
      for (const TaskDesc& task : p.tasks) {
        first_.back().push_back(next);
        next += Own(static_cast<int>(r), Event::Kind::kFiring, task.id, task.firings);
      }
      for (size_t e = 0; e < p.remote_edges.size(); ++e) {
        const RemoteEdge& edge = p.remote_edges[e];
        if (!first_push_.try_emplace(edge.edge_id, next).second) continue;
        next += Own(static_cast<int>(r), Event::Kind::kPush, static_cast<int>(e),
                    PiecesOf(p, p.registers[edge.local_register]));
      }
    }
    successors_.resize(next);
    indegree_.assign(next, 0);
  }
  int Own(int rank, Event::Kind kind, int index, int pieces) {
    for (int k = 0; k < pieces; ++k) owner_.push_back({rank, {kind, index, k}});
    return pieces;
  }

  int Vertex(int r, const Event& event) const {
    const int first = event.kind == Event::Kind::kFiring
                          ? first_[r][event.index]
                          : first_push_.at(programs_[r].remote_edges[event.index].edge_id);
    return first + event.piece;
  }

  void Edge(int from, int to) {
    successors_[from].push_back(to);
    ++indegree_[to];
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
    const auto& [r, event] = owner_[v];
    const Program& p = programs_[r];
    const std::string piece = "[" + std::to_string(event.piece) + "]";
    if (event.kind == Event::Kind::kFiring)
      return p.tasks[event.index].name + piece + " on rank " + std::to_string(p.rank);
    const RemoteEdge& edge = p.remote_edges[event.index];
    return "push" + piece + " from rank " + std::to_string(edge.outgoing ? p.rank : edge.peer) +
           " to rank " + std::to_string(edge.outgoing ? edge.peer : p.rank);
  }

  const std::vector<Program>& programs_;
  std::vector<std::vector<int>> first_;  // rank, task -> first vertex
  std::map<int64_t, int> first_push_;    // edge -> first vertex
  std::vector<Owner> owner_;             // of each vertex
  std::vector<std::vector<int>> successors_;
  std::vector<int> indegree_;
};

}  // namespace

Status VerifyLiveness(const std::vector<Program>& programs) { return MarkedGraph(programs).Run(); }

}  // namespace ofl::compiler
