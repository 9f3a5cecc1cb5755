#include "sbp/boxing.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <queue>
#include <tuple>

#include "sbp/cost_internal.h"
#include "sbp/exchange_internal.h"

namespace ofl::sbp {
namespace {

// Up to here every layout is a way point and every pair of them a step. Beyond (a mesh of three or
// four axes under a tensor of many) only the axes that matter, and redistributions to the target.
constexpr int64_t kMaxStates = 256;

// The symbols a way point may have on one mesh axis, in the order that breaks ties.
std::vector<Sbp> WayPointSymbols(const Shape& shape, const NdSbp& from, const NdSbp& to,
                                 int mesh_rank) {
  auto used = [&](Sbp symbol) {
    return std::count(from.begin(), from.end(), symbol) + std::count(to.begin(), to.end(), symbol) >
           0;
  };
  std::vector<Sbp> symbols{Sbp::Broadcast()};
  for (int i = 0; i < shape.rank(); ++i) symbols.push_back(Sbp::Split(i));
  for (ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin})
    if (used(Sbp::Partial(op))) symbols.push_back(Sbp::Partial(op));
  int64_t states = 1;
  for (int k = 0; k < mesh_rank; ++k) states *= static_cast<int64_t>(symbols.size());
  if (states <= kMaxStates) return symbols;
  const auto longest =
      static_cast<int>(std::max_element(shape.begin(), shape.end()) - shape.begin());
  std::erase_if(symbols, [&](Sbp s) { return s.is_split() && !s.is_split(longest) && !used(s); });
  return symbols;
}

bool MixesPartials(const NdSbp& nd) {
  const Sbp* partial = nullptr;
  for (const Sbp& symbol : nd) {
    if (!symbol.is_partial()) continue;
    if (partial != nullptr && *partial != symbol) return true;
    partial = &symbol;
  }
  return false;
}

unsigned PartialAxes(const NdSbp& nd) { return KeptPartialAxes(nd, nd); }

// Shortest path over layouts: of the source placement, and of the target placement where it is
// another one. Best first by what is paid and what must still be paid; a step whose messages have
// to be counted is counted only when its lower bound comes first. All ties are broken by steps and
// index, so every rank finds the same path.
class Planner {
 public:
  Planner(const TensorMeta& meta, const Layout& from, const Layout& to, const LinkModel& link)
      : meta_(meta), from_(from), to_(to), link_(link) {}

  BoxingPlan Run() {
    AddNodes();
    nodes_[source_].cost = 0;
    Expand(source_);
    while (!queue_.empty()) {
      Edge edge = queue_.top();
      queue_.pop();
      if (!Improves(edge)) continue;
      if (!edge.exact) {
        Count(&edge);
        if (Improves(edge)) queue_.push(edge);
        continue;
      }
      Node& v = nodes_[edge.to];
      v.cost = nodes_[edge.from].cost + edge.cost;
      v.steps = nodes_[edge.from].steps + 1;
      v.reached_by = edge;
      if (edge.to == target_) break;
      Expand(edge.to);
    }
    return Path();
  }

 private:
  // A step that may extend the path.
  struct Edge {
    int64_t whole = 0;  // no path through it costs less
    int steps = 0;
    int to = -1;
    int from = -1;
    bool exact = false;  // else `cost` is a lower bound
    StepKind kind = StepKind::kRedistribute;
    int mesh_axis = -1;
    Traffic traffic;
    int64_t cost = 0;

    bool operator<(const Edge& o) const {  // the queue's top is its greatest
      return std::tie(whole, steps, to, from) > std::tie(o.whole, o.steps, o.to, o.from);
    }
  };
  struct Node {
    State state;
    int side = 0;
    int64_t cost = std::numeric_limits<int64_t>::max();
    int steps = 0;
    int64_t least = 0;  // no way from here to the target costs less
    Edge reached_by;
  };

  bool SamePlacement() const { return from_.placement == to_.placement; }

  void AddNodes() {
    AddSide(0, from_.placement);
    if (!SamePlacement()) AddSide(1, to_.placement);
    source_ = Find(0, from_.nd_sbp);
    target_ = Find(SamePlacement() ? 0 : 1, to_.nd_sbp);
    for (int rank : to_.placement.ranks()) across_.push_back(from_.placement.IndexOf(rank));
    for (int i = 0; i < std::max(from_.placement.size(), to_.placement.size()); ++i)
      within_.push_back(i);
    for (Node& node : nodes_) node.least = LeastFrom(node);
  }

  void AddSide(int side, const Placement& placement) {
    const int mesh_rank = placement.hierarchy().rank();
    const std::vector<Sbp> symbols =
        WayPointSymbols(meta_.shape, from_.nd_sbp, to_.nd_sbp, mesh_rank);
    int64_t states = 1;
    for (int k = 0; k < mesh_rank; ++k) states *= static_cast<int64_t>(symbols.size());
    complete_ = complete_ && states <= kMaxStates;
    for (int64_t s = 0; s < states; ++s) {
      NdSbp nd;
      int64_t rest = s;
      for (int k = 0; k < mesh_rank; ++k) {
        nd.push_back(symbols[rest % symbols.size()]);
        rest /= static_cast<int64_t>(symbols.size());
      }
      if (MixesPartials(nd)) continue;
      nodes_.push_back({MakeState(meta_.shape, placement, nd), side});
    }
  }

  const std::vector<int>& SelfOf(const Node& u, const Node& v) const {
    return u.side == v.side ? within_ : across_;
  }

  // Whatever the route, a rank must receive what it needs and lacks: once at least, where all it
  // has is one contribution of several. Targets with partials may be filled without messages.
  int64_t LeastFrom(const Node& node) const {
    const Node& target = nodes_[target_];
    if (&node == &target) return 0;
    const Traffic least = MustMove(node.state, target.state, SelfOf(node, target), meta_.shape);
    BoxingStep rest;
    Price(least, link_, static_cast<int64_t>(DTypeSize(meta_.dtype)), &rest);
    constexpr int64_t kRounding = 64;  // every step rounds its own cost down
    return std::max<int64_t>(0, rest.cost_ps - kRounding);
  }

  int Find(int side, const NdSbp& nd) const {
    for (size_t n = 0; n < nodes_.size(); ++n)
      if (nodes_[n].side == side && nodes_[n].state.layout.nd_sbp == nd) return static_cast<int>(n);
    return -1;
  }

  // Half types are summed in float32 and rounded once: partials may not be combined by halves.
  bool RoundsTwice(const Node& u, const Node& v) const {
    if (!IsHalf(meta_.dtype)) return false;
    const NdSbp& a = u.state.layout.nd_sbp;
    const unsigned kept = u.side == v.side ? KeptPartialAxes(a, v.state.layout.nd_sbp) : 0;
    if (kept == PartialAxes(a)) return false;
    const unsigned wanted = SamePlacement() ? KeptPartialAxes(from_.nd_sbp, to_.nd_sbp) : 0;
    return (kept & ~wanted) != 0;
  }

  // Has a step to `to` at this cost a place on a path better than those known?
  bool Improves(const Edge& edge) const {
    const Node& u = nodes_[edge.from];
    const Node& v = nodes_[edge.to];
    return edge.steps == u.steps + 1 && edge.whole == u.cost + edge.cost + v.least &&
           std::pair(u.cost + edge.cost, edge.steps) < std::pair(v.cost, v.steps);
  }

  void SetCost(const Traffic& traffic, Edge* edge) const {
    const Node& u = nodes_[edge->from];
    BoxingStep priced;
    Price(traffic, link_, static_cast<int64_t>(DTypeSize(meta_.dtype)), &priced);
    edge->traffic = traffic;
    edge->cost = priced.cost_ps;
    edge->whole = u.cost + edge->cost + nodes_[edge->to].least;
  }

  void Count(Edge* edge) const {
    BoxingStep step;
    step.from = nodes_[edge->from].state.layout;
    step.to = nodes_[edge->to].state.layout;
    SetCost(ExchangeTraffic(step, meta_.shape), edge);
    edge->exact = true;
  }

  void Expand(int from) {
    const Node& u = nodes_[from];
    for (int to = 0; to < static_cast<int>(nodes_.size()); ++to) {
      const Node& v = nodes_[to];
      if (v.side < u.side || from == to || u.cost >= v.cost || RoundsTwice(u, v)) continue;
      Edge edge;
      edge.from = from;
      edge.to = to;
      edge.steps = u.steps + 1;
      std::optional<std::pair<StepKind, int>> primitive;
      if (u.side == v.side)
        primitive = PrimitiveBetween(u.state.layout.nd_sbp, v.state.layout.nd_sbp);
      if (primitive) {
        std::tie(edge.kind, edge.mesh_axis) = *primitive;
        edge.exact = true;
        SetCost(PrimitiveTraffic(edge.kind, edge.mesh_axis, u.state, v.state), &edge);
      } else if (complete_ || to == target_ || u.side != v.side) {
        SetCost(ExchangeLowerBound(u.state, v.state, SelfOf(u, v)), &edge);
      } else {
        continue;
      }
      if (Improves(edge)) queue_.push(edge);
    }
  }

  BoxingPlan Path() const {
    BoxingPlan plan;
    for (int n = target_; n != source_; n = nodes_[n].reached_by.from) {
      const Edge& edge = nodes_[n].reached_by;
      BoxingStep step;
      step.kind = edge.kind;
      step.from = nodes_[edge.from].state.layout;
      step.to = nodes_[n].state.layout;
      step.mesh_axis = edge.mesh_axis;
      Price(edge.traffic, link_, static_cast<int64_t>(DTypeSize(meta_.dtype)), &step);
      plan.cost_ps += step.cost_ps;
      plan.total_bytes += step.total_bytes;
      plan.steps.push_back(std::move(step));
    }
    std::reverse(plan.steps.begin(), plan.steps.end());
    return plan;
  }

  const TensorMeta& meta_;
  const Layout& from_;
  const Layout& to_;
  const LinkModel& link_;
  std::vector<Node> nodes_;
  std::priority_queue<Edge> queue_;
  std::vector<int> within_;  // identity: members of one placement
  std::vector<int> across_;  // target member -> source member
  int source_ = -1;
  int target_ = -1;
  bool complete_ = true;  // every pair of layouts is a step
};

}  // namespace

const char* StepKindName(StepKind kind) {
  switch (kind) {
    case StepKind::kSlice: return "slice";
    case StepKind::kFill: return "fill";
    case StepKind::kAllGather: return "all_gather";
    case StepKind::kReduceScatter: return "reduce_scatter";
    case StepKind::kAllReduce: return "all_reduce";
    case StepKind::kAllToAll: return "all_to_all";
    case StepKind::kRedistribute: return "redistribute";
  }
  return "unknown";
}

Result<BoxingPlan> PlanBoxing(const TensorMeta& meta, const Layout& from, const Layout& to,
                              const LinkModel& link) {
  OFL_TRY(CheckLayout("the source of a conversion", meta.dtype, meta.shape, from));
  OFL_TRY(CheckLayout("the target of a conversion", meta.dtype, meta.shape, to));
  if (from == to) return BoxingPlan{};
  return Planner(meta, from, to, link).Run();
}

}  // namespace ofl::sbp
