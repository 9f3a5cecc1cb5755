#include "sbp/cost_internal.h"

#include <algorithm>
#include <limits>

#include "sbp/exchange_internal.h"

namespace ofl::sbp {
namespace {

__extension__ using Wide = __int128;

int64_t Clamp(Wide value) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 64;  // sums stay in range
  return value > kMost ? kMost : static_cast<int64_t>(value);
}

int64_t Volume(const Box& box) {
  int64_t n = 1;
  for (int i = 0; i < box.begin.rank(); ++i) n *= box.end[i] - box.begin[i];
  return n;
}

int64_t Overlap(const Box& a, const Box& b) {
  int64_t n = 1;
  for (int i = 0; i < a.begin.rank(); ++i)
    n *= std::max<int64_t>(0, std::min(a.end[i], b.end[i]) - std::max(a.begin[i], b.begin[i]));
  return n;
}

// A step from or to S(i) stays within the subgroups of mesh axis k only if no axis inside k is
// S(i): the inner slices would fall elsewhere.
bool SplitInside(const NdSbp& nd, int mesh_axis, Sbp symbol) {
  if (!symbol.is_split()) return false;
  for (int k = mesh_axis + 1; k < nd.rank(); ++k)
    if (nd[k] == symbol) return true;
  return false;
}

class Tally {
 public:
  void Add(Wide sent, Wide received, Wide local) {
    link_ = std::max({link_, sent, received});
    total_ += received;
    local_ = std::max(local_, local);
  }
  Traffic Result() const { return {Clamp(link_), Clamp(total_), Clamp(local_)}; }

 private:
  Wide link_ = 0;
  Wide total_ = 0;
  Wide local_ = 0;
};

}  // namespace

State MakeState(const Shape& logical, const Placement& placement, const NdSbp& nd_sbp) {
  State state{{placement, nd_sbp}, {}};
  for (int i = 0; i < placement.size(); ++i)
    state.boxes.push_back(LocalBox(logical, state.layout, i));
  return state;
}

std::optional<std::pair<StepKind, int>> PrimitiveBetween(const NdSbp& from, const NdSbp& to) {
  int axis = -1;
  for (int k = 0; k < from.rank(); ++k) {
    if (from[k] == to[k]) continue;
    if (axis >= 0) return std::nullopt;
    axis = k;
  }
  if (axis < 0) return std::nullopt;
  const Sbp a = from[axis], b = to[axis];
  if (SplitInside(from, axis, a) || SplitInside(from, axis, b)) return std::nullopt;
  if (a.is_partial()) {
    // Sums are combined inner axes first; then the step would not keep the inner partials.
    const unsigned others = KeptPartialAxes(from, from) & ~(1u << axis);
    if (b.is_partial() || KeptPartialAxes(from, to) != others) return std::nullopt;
    return std::pair(b.is_split() ? StepKind::kReduceScatter : StepKind::kAllReduce, axis);
  }
  if (b.is_partial()) return std::pair(StepKind::kFill, axis);
  if (a.is_broadcast()) return std::pair(StepKind::kSlice, axis);
  return std::pair(b.is_broadcast() ? StepKind::kAllGather : StepKind::kAllToAll, axis);
}

Traffic PrimitiveTraffic(StepKind kind, int mesh_axis, const State& from, const State& to) {
  const Wide h = from.layout.placement.hierarchy()[mesh_axis];
  Tally tally;
  for (size_t r = 0; r < from.boxes.size(); ++r) {
    const Wide before = Volume(from.boxes[r]), after = Volume(to.boxes[r]);
    switch (kind) {
      case StepKind::kSlice:
      case StepKind::kFill: tally.Add(0, 0, after); break;
      case StepKind::kAllGather: tally.Add(before * (h - 1), after - before, after); break;
      case StepKind::kAllToAll: {
        const Wide stays = Overlap(from.boxes[r], to.boxes[r]);
        tally.Add(before - stays, after - stays, after);
        break;
      }
      case StepKind::kReduceScatter: tally.Add(before - after, after * (h - 1), after * h); break;
      case StepKind::kAllReduce: tally.Add(before * (h - 1), after * (h - 1), after * h); break;
      case StepKind::kRedistribute: break;
    }
  }
  return tally.Result();
}

Traffic ExchangeTraffic(const BoxingStep& step, const Shape& logical) {
  const Exchange exchange(step, logical);
  const std::vector<int>& from_ranks = step.from.placement.ranks();
  const std::vector<int>& to_ranks = step.to.placement.ranks();
  std::vector<Wide> sent(from_ranks.size());
  std::vector<int> sources;
  Tally tally;
  for (int to = 0; to < step.to.placement.size(); ++to) {
    Wide received = 0, local = 0;
    for (const Cell& cell : exchange.CellsOf(to)) {
      sources.clear();
      exchange.SourcesOf(cell, to, &sources);
      const int64_t volume = Volume(cell.box);
      local += Wide{volume} * std::max<int64_t>(1, static_cast<int64_t>(sources.size()));
      for (int source : sources) {
        if (exchange.RankOf(source) == to_ranks[to]) continue;
        received += volume;
        sent[source] += volume;
      }
    }
    tally.Add(0, received, local);
  }
  for (Wide elements : sent) tally.Add(elements, 0, 0);
  return tally.Result();
}

Traffic ExchangeLowerBound(const State& from, const State& to, std::span<const int> self) {
  const bool same = from.layout.placement == to.layout.placement;
  const NdSbp& a = from.layout.nd_sbp;
  const unsigned kept = same ? KeptPartialAxes(a, to.layout.nd_sbp) : 0;
  Wide contributions = 1;
  for (int k = 0; k < a.rank(); ++k)
    if (a[k].is_partial() && (kept >> k & 1) == 0)
      contributions *= from.layout.placement.hierarchy()[k];
  bool filled = false;  // then most members may receive nothing
  for (int k = 0; k < to.layout.nd_sbp.rank(); ++k)
    filled = filled || (to.layout.nd_sbp[k].is_partial() && (kept >> k & 1) == 0);
  Tally tally;
  for (size_t r = 0; r < to.boxes.size(); ++r) {
    const Wide after = Volume(to.boxes[r]);
    if (filled) {
      tally.Add(0, 0, after);
      continue;
    }
    const Wide stays = self[r] < 0 ? 0 : Overlap(from.boxes[self[r]], to.boxes[r]);
    tally.Add(0, contributions * after - stays, contributions * after);
  }
  return tally.Result();
}

Traffic MustMove(const State& from, const State& to, std::span<const int> self,
                 const Shape& logical) {
  Wide contributions = 1, copies = 1, ranks = from.layout.placement.size();
  for (int k = 0; k < from.layout.nd_sbp.rank(); ++k)
    if (from.layout.nd_sbp[k].is_partial()) contributions *= from.layout.placement.hierarchy()[k];
  for (int k = 0; k < to.layout.nd_sbp.rank(); ++k)
    if (to.layout.nd_sbp[k].is_broadcast()) copies *= to.layout.placement.hierarchy()[k];
  const bool to_partial = to.layout.nd_sbp.HasPartial();
  Tally tally;
  for (size_t r = 0; r < to.boxes.size(); ++r) {
    const Wide after = Volume(to.boxes[r]);
    const bool keeps = contributions == 1 && self[r] >= 0;
    const Wide stays = keeps ? Overlap(from.boxes[self[r]], to.boxes[r]) : 0;
    tally.Add(0, to_partial ? 0 : after - stays, after);
    ranks += self[r] < 0 ? 1 : 0;
  }
  // One message fewer than there are contributions until somebody has an element, then one for
  // each further copy; the busiest rank receives at least the mean.
  if (contributions > 1 && !to_partial)
    tally.Add(0, (contributions + copies - 2) * logical.numel() / ranks, 0);
  return tally.Result();
}

void Price(const Traffic& traffic, const LinkModel& link, int64_t element_bytes, BoxingStep* step) {
  step->max_rank_bytes = Clamp(Wide{traffic.max_link} * element_bytes);
  step->total_bytes = Clamp(Wide{traffic.total_link} * element_bytes);
  step->rounds = traffic.total_link > 0 ? 1 : 0;
  const Wide moved = Wide{step->max_rank_bytes} * link.beta_ps_per_kib / 1024;
  const Wide local = Wide{traffic.max_local} * element_bytes * link.local_ps_per_kib / 1024;
  step->cost_ps = Clamp(Wide{step->rounds} * link.alpha_ps + moved + local);
}

}  // namespace ofl::sbp
