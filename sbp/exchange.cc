#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "sbp/exchange_internal.h"

namespace ofl::sbp {
namespace {

// Steps through all coordinates of the axes of an odometer, the last one fastest.
template <class Extent>
bool Advance(const std::vector<int>& axes, MeshCoordinates* at, Extent extent) {
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    if (++(*at)[*axis] < extent(*axis)) return true;
    (*at)[*axis] = 0;
  }
  return false;
}

void Clear(const std::vector<int>& axes, MeshCoordinates* at) {
  for (int axis : axes) (*at)[axis] = 0;
}

ReduceOp PartialOp(const NdSbp& nd) {
  for (const Sbp& symbol : nd)
    if (symbol.is_partial()) return symbol.reduce_op();
  return ReduceOp::kSum;
}

// The non-empty intervals of `cuts` that meet [begin, end): [first, last).
std::pair<int, int> Meeting(const AxisCuts& cuts, int64_t begin, int64_t end) {
  const auto& b = cuts.bounds;
  const int first = static_cast<int>(std::upper_bound(b.begin(), b.end(), begin) - b.begin()) - 1;
  const int last = static_cast<int>(std::lower_bound(b.begin(), b.end(), end) - b.begin());
  return {first, last};
}

}  // namespace

CutLayout::CutLayout(const Shape& logical, const Layout& layout) : layout_(&layout) {
  const Shape& mesh = layout.placement.hierarchy();
  mesh_rank_ = mesh.rank();
  size_ = layout.placement.size();
  for (int i = 0; i < logical.rank(); ++i) cuts_[i].bounds = {0, logical[i]};
  for (int k = 0; k < mesh_rank_; ++k) {
    extents_[k] = static_cast<int>(mesh[k]);
    const Sbp symbol = layout.nd_sbp[k];
    if (!symbol.is_split()) continue;
    AxisCuts& axis = cuts_[symbol.axis()];
    std::vector<int64_t> finer{0};
    for (size_t i = 0; i + 1 < axis.bounds.size(); ++i)
      for (int p = 0; p < extents_[k]; ++p)
        finer.push_back(axis.bounds[i] +
                        BalancedSlice(axis.bounds[i + 1] - axis.bounds[i], mesh[k], p).second);
    axis.bounds = std::move(finer);
    axis.mesh_axes.push_back(k);
  }
}

MeshCoordinates CutLayout::CoordinatesOf(int index) const {
  MeshCoordinates at{};
  for (int k = mesh_rank_ - 1; k >= 0; --k) {
    at[k] = index % extents_[k];
    index /= extents_[k];
  }
  return at;
}

int CutLayout::IndexOf(const MeshCoordinates& at) const {
  int index = 0;
  for (int k = 0; k < mesh_rank_; ++k) index = index * extents_[k] + at[k];
  return index;
}

int CutLayout::IntervalOf(int tensor_axis, const MeshCoordinates& at) const {
  int interval = 0;
  for (int k : cuts_[tensor_axis].mesh_axes) interval = interval * extents_[k] + at[k];
  return interval;
}

void CutLayout::SetInterval(int tensor_axis, int interval, MeshCoordinates* at) const {
  const auto& axes = cuts_[tensor_axis].mesh_axes;
  for (auto k = axes.rbegin(); k != axes.rend(); ++k) {
    (*at)[*k] = interval % extents_[*k];
    interval /= extents_[*k];
  }
}

unsigned KeptPartialAxes(const NdSbp& from, const NdSbp& to) {
  const bool ordered = PartialOp(from) == ReduceOp::kSum;
  unsigned kept = 0;
  for (int k = 0; k < from.rank(); ++k) {
    if (!from[k].is_partial()) continue;
    if (to[k] == from[k]) {
      kept |= 1u << k;
    } else if (ordered) {
      break;
    }
  }
  return kept;
}

Exchange::Exchange(const BoxingStep& step, const Shape& logical)
    : mesh_axis_(step.mesh_axis),
      tensor_rank_(logical.rank()),
      same_placement_(step.from.placement == step.to.placement),
      from_(logical, step.from),
      to_(logical, step.to) {
  ClassifyMeshAxes();
  MapMembers();
}

void Exchange::ClassifyMeshAxes() {
  const NdSbp& a = from_.layout().nd_sbp;
  const NdSbp& b = to_.layout().nd_sbp;
  from_op_ = PartialOp(a);
  to_op_ = PartialOp(b);
  const unsigned kept = same_placement_ ? KeptPartialAxes(a, b) : 0;
  for (int k = 0; k < a.rank(); ++k) {
    if (a[k].is_broadcast()) copies_.push_back(k);
    if (!a[k].is_partial()) continue;
    if ((kept >> k & 1) != 0) {
      kept_.push_back(k);
    } else {
      reduced_.push_back(k);
      tree_.push_back(from_.extent(k));
    }
  }
  if (tree_.numel() == 1) tree_ = Shape();
  for (int k = 0; k < b.rank(); ++k) {
    if (b[k].is_broadcast()) to_copies_.push_back(k);
    if (b[k].is_partial() && (kept >> k & 1) == 0) filled_.push_back(k);
  }
}

void Exchange::MapMembers() {
  from_index_.resize(to_.size());
  if (same_placement_) {
    for (int i = 0; i < to_.size(); ++i) from_index_[i] = i;
    return;
  }
  std::unordered_map<int, int> index_of;
  const std::vector<int>& from_ranks = from_.layout().placement.ranks();
  for (int i = 0; i < from_.size(); ++i) index_of[from_ranks[i]] = i;
  for (int i = 0; i < to_.size(); ++i) {
    const auto it = index_of.find(to_.layout().placement.ranks()[i]);
    from_index_[i] = it == index_of.end() ? -1 : it->second;
  }
}

std::vector<Cell> Exchange::CellsOf(int to_index) const {
  std::vector<Cell> cells;
  const MeshCoordinates at = to_.CoordinatesOf(to_index);
  Cell cell;
  std::array<int, kMaxRank> first{}, last{};
  Box whole;
  for (int i = 0; i < tensor_rank_; ++i) {
    cell.to_interval[i] = to_.IntervalOf(i, at);
    const auto& bounds = to_.cuts(i).bounds;
    whole.begin.push_back(bounds[cell.to_interval[i]]);
    whole.end.push_back(bounds[cell.to_interval[i] + 1]);
    if (whole.begin[i] == whole.end[i]) return cells;
    std::tie(first[i], last[i]) = Meeting(from_.cuts(i), whole.begin[i], whole.end[i]);
  }
  cell.from_interval = first;
  cell.box = whole;
  auto place = [&](int i) {
    const auto& bounds = from_.cuts(i).bounds;
    cell.box.begin[i] = std::max(whole.begin[i], bounds[cell.from_interval[i]]);
    cell.box.end[i] = std::min(whole.end[i], bounds[cell.from_interval[i] + 1]);
  };
  for (int i = 0; i < tensor_rank_; ++i) place(i);
  while (true) {
    if (!cell.box.Empty()) cells.push_back(cell);
    int i = tensor_rank_ - 1;
    for (; i >= 0; --i) {
      if (++cell.from_interval[i] < last[i]) break;
      cell.from_interval[i] = first[i];
      place(i);
    }
    if (i < 0) return cells;
    place(i);
  }
}

std::optional<Cell> Exchange::SharedCell(int from_index, int to_index) const {
  const MeshCoordinates from_at = from_.CoordinatesOf(from_index);
  const MeshCoordinates to_at = to_.CoordinatesOf(to_index);
  Cell cell;
  for (int i = 0; i < tensor_rank_; ++i) {
    const int f = cell.from_interval[i] = from_.IntervalOf(i, from_at);
    const int t = cell.to_interval[i] = to_.IntervalOf(i, to_at);
    const int64_t begin = std::max(from_.cuts(i).bounds[f], to_.cuts(i).bounds[t]);
    const int64_t end = std::min(from_.cuts(i).bounds[f + 1], to_.cuts(i).bounds[t + 1]);
    if (begin >= end) return std::nullopt;
    cell.box.begin.push_back(begin);
    cell.box.end.push_back(end);
  }
  return cell;
}

// Does the source member at `at` hold the cell (and, where given, this contribution to it)?
bool Exchange::Holds(const MeshCoordinates& at, const Cell& cell, const MeshCoordinates& to_at,
                     const MeshCoordinates* contribution) const {
  for (int i = 0; i < tensor_rank_; ++i)
    if (!from_.cuts(i).mesh_axes.empty() && from_.IntervalOf(i, at) != cell.from_interval[i])
      return false;
  for (int k : kept_)
    if (at[k] != to_at[k]) return false;
  if (contribution != nullptr)
    for (int k : reduced_)
      if (at[k] != (*contribution)[k]) return false;
  return true;
}

// Where the cell goes on the filled axes: to the coordinates at which most members have it (or a
// contribution to it) already, the first of them. Members that differ on other axes are alike and
// must all agree, so all of them are asked.
MeshCoordinates Exchange::Assigned(const Cell& cell, MeshCoordinates to_at) const {
  if (filled_.empty()) return to_at;
  MeshCoordinates candidate = to_at, best = to_at;
  Clear(filled_, &candidate);
  if (same_placement_) return AssignedInPlace(cell, candidate);
  int most = -1, alike = 1;
  for (int k : to_copies_) alike *= to_.extent(k);
  do {
    MeshCoordinates member = candidate;
    Clear(to_copies_, &member);
    int having = 0;
    do {
      const int index = from_index_[to_.IndexOf(member)];
      having += index >= 0 && Holds(from_.CoordinatesOf(index), cell, member, nullptr) ? 1 : 0;
    } while (Advance(to_copies_, &member, [this](int k) { return to_.extent(k); }));
    if (having > most) best = candidate;
    most = std::max(most, having);
  } while (most < alike && Advance(filled_, &candidate, [this](int k) { return to_.extent(k); }));
  return best;
}

// The same on one placement, where who has the cell is a matter of coordinates: the axes that split
// it in the source fix them, and all others may be anything.
MeshCoordinates Exchange::AssignedInPlace(const Cell& cell, const MeshCoordinates& first) const {
  MeshCoordinates has{}, best = first;
  for (int i = 0; i < tensor_rank_; ++i) from_.SetInterval(i, cell.from_interval[i], &has);
  for (int k = 0; k < from_.mesh_rank(); ++k) {
    if (!from_.layout().nd_sbp[k].is_split()) continue;
    const Sbp target = to_.layout().nd_sbp[k];
    if (target.is_partial()) best[k] = has[k];
    if (target.is_split() && has[k] != first[k]) return first;  // nobody has it
  }
  return best;
}

bool Exchange::SourcesOf(const Cell& cell, int to_index, std::vector<int>* sources) const {
  const MeshCoordinates to_at = to_.CoordinatesOf(to_index);
  if (Assigned(cell, to_at) != to_at) return false;
  MeshCoordinates contribution{};
  do {
    sources->push_back(Holder(cell, to_at, contribution));
  } while (Advance(reduced_, &contribution, [this](int k) { return from_.extent(k); }));
  return true;
}

bool Exchange::Sends(int from_index, const Cell& cell, int to_index) const {
  const MeshCoordinates from_at = from_.CoordinatesOf(from_index);
  const MeshCoordinates to_at = to_.CoordinatesOf(to_index);
  for (int k : kept_)
    if (from_at[k] != to_at[k]) return false;
  return Assigned(cell, to_at) == to_at && Holder(cell, to_at, from_at) == from_index;
}

// Index of the source member that hands the contribution to the target: the target itself, else
// within its own subgroup of a one-axis step, else in turn, so that alike holders share the load.
int Exchange::Holder(const Cell& cell, const MeshCoordinates& to_at,
                     const MeshCoordinates& contribution) const {
  const int self = from_index_[to_.IndexOf(to_at)];
  if (self >= 0 && Holds(from_.CoordinatesOf(self), cell, to_at, &contribution)) return self;
  MeshCoordinates at{};
  for (int i = 0; i < tensor_rank_; ++i) from_.SetInterval(i, cell.from_interval[i], &at);
  for (int k : kept_) at[k] = to_at[k];
  for (int k : reduced_) at[k] = contribution[k];
  if (mesh_axis_ >= 0) {
    for (int k : copies_) at[k] = to_at[k];
    return from_.IndexOf(at);
  }
  int alike = 1;
  for (int k : copies_) alike *= from_.extent(k);
  if (alike > 1) {
    int turn = TurnsOf(cell, at)[to_.IndexOf(to_at)] % alike;
    for (auto k = copies_.rbegin(); k != copies_.rend(); ++k) {
      at[*k] = turn % from_.extent(*k);
      turn /= from_.extent(*k);
    }
  }
  return from_.IndexOf(at);
}

// For every target member its number among those that must be sent some of the source box (and
// contribution) that the alike holders at `at` have.
const std::vector<int>& Exchange::TurnsOf(const Cell& cell, const MeshCoordinates& at) const {
  const int holders = from_.IndexOf(at);
  std::vector<int>& turns = turns_[holders];
  if (!turns.empty()) return turns;
  turns.resize(to_.size());
  int next = 0;
  for (int t = 0; t < to_.size(); ++t) {
    turns[t] = next;
    const MeshCoordinates to_at = to_.CoordinatesOf(t);
    const bool other_way =
        std::any_of(kept_.begin(), kept_.end(), [&](int k) { return at[k] != to_at[k]; });
    if (other_way) continue;
    const std::optional<Cell> shared = SharedCell(holders, t);
    if (!shared || Assigned(*shared, to_at) != to_at) continue;
    const int self = from_index_[t];
    if (self < 0 || !Holds(from_.CoordinatesOf(self), *shared, to_at, &at)) ++next;
  }
  return turns;
}

}  // namespace ofl::sbp
