// The geometry of one step: which boxes of the source layout meet which boxes of the target, and
// who hands each of them over. WorkOf and the planner's cost both read it, so they cannot differ.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sbp/boxing.h"

namespace ofl::sbp {

using MeshCoordinates = std::array<int, kMaxMeshRank>;

// How a layout cuts one axis of the tensor: nested balanced slices are ascending intervals,
// indexed row-major over the mesh axes that split it.
struct AxisCuts {
  std::vector<int64_t> bounds;  // interval i is [bounds[i], bounds[i + 1])
  std::vector<int> mesh_axes;   // outermost first
};

// A layout of a shape, ready to be asked for boxes.
class CutLayout {
 public:
  CutLayout(const Shape& logical, const Layout& layout);
  const Layout& layout() const { return *layout_; }
  int mesh_rank() const { return mesh_rank_; }
  int size() const { return size_; }
  int extent(int mesh_axis) const { return extents_[mesh_axis]; }
  const AxisCuts& cuts(int tensor_axis) const { return cuts_[tensor_axis]; }
  MeshCoordinates CoordinatesOf(int index) const;
  int IndexOf(const MeshCoordinates& at) const;
  // Interval of a tensor axis that the member at these coordinates holds.
  int IntervalOf(int tensor_axis, const MeshCoordinates& at) const;
  // Sets the coordinates of the mesh axes that split this tensor axis.
  void SetInterval(int tensor_axis, int interval, MeshCoordinates* at) const;

 private:
  const Layout* layout_;
  int mesh_rank_ = 0;
  int size_ = 0;
  std::array<int, kMaxMeshRank> extents_{};
  std::array<AxisCuts, kMaxRank> cuts_;
};

// The part of one source box that lies in one target box.
struct Cell {
  Box box;
  std::array<int, kMaxRank> from_interval{};
  std::array<int, kMaxRank> to_interval{};
};

// Not for use by several threads at once.
class Exchange {
 public:
  // Keeps references: `step` must outlive it.
  Exchange(const BoxingStep& step, const Shape& logical);

  // The cells of the target box of the member at `to_index`, row-major.
  std::vector<Cell> CellsOf(int to_index) const;
  // What the source member at `from_index` holds of that box, if anything.
  std::optional<Cell> SharedCell(int from_index, int to_index) const;
  // Appends the source members whose contributions make `cell` on the member at `to_index`,
  // row-major over the reduced mesh axes. False, and nothing appended, where it holds the identity.
  bool SourcesOf(const Cell& cell, int to_index, std::vector<int>* sources) const;

  int RankOf(int from_index) const { return from_.layout().placement.ranks()[from_index]; }
  // Does this source member hand the cell, or its contribution to it, to that target member?
  bool Sends(int from_index, const Cell& cell, int to_index) const;

  const Shape& tree() const { return tree_; }  // empty unless several contributions are combined
  ReduceOp from_op() const { return from_op_; }
  ReduceOp to_op() const { return to_op_; }
  const CutLayout& from() const { return from_; }
  const CutLayout& to() const { return to_; }

 private:
  void ClassifyMeshAxes();
  void MapMembers();
  bool Holds(const MeshCoordinates& at, const Cell& cell, const MeshCoordinates& to_at,
             const MeshCoordinates* contribution) const;
  MeshCoordinates Assigned(const Cell& cell, MeshCoordinates to_at) const;
  MeshCoordinates AssignedInPlace(const Cell& cell, const MeshCoordinates& first) const;
  int Holder(const Cell& cell, const MeshCoordinates& to_at,
             const MeshCoordinates& contribution) const;
  const std::vector<int>& TurnsOf(const Cell& cell, const MeshCoordinates& at) const;

  int mesh_axis_;
  int tensor_rank_;
  bool same_placement_;
  CutLayout from_;
  CutLayout to_;
  std::vector<int> kept_;        // partial before and after: every coordinate goes its own way
  std::vector<int> reduced_;     // partial before, combined by this step
  std::vector<int> copies_;      // source axes along which holders are alike
  std::vector<int> filled_;      // target axes on which one member gets the value
  std::vector<int> to_copies_;   // target axes along which members are alike
  std::vector<int> from_index_;  // of the member at each target index, -1: holds nothing
  mutable std::unordered_map<int, std::vector<int>> turns_;  // filled when asked for
  Shape tree_;
  ReduceOp from_op_ = ReduceOp::kSum;
  ReduceOp to_op_ = ReduceOp::kSum;
};

// Which mesh axes a conversion on one placement keeps partial (bit k for axis k). A sum is one
// fixed tree, inner axes first: an axis inside a combined one is combined as well.
unsigned KeptPartialAxes(const NdSbp& from, const NdSbp& to);

}  // namespace ofl::sbp
