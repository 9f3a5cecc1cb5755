// What the values of a graph answer while build() runs: as their eager twins would, local or
// global, and in which layout. Computed when asked for, in the order of the program.
#pragma once

#include <map>
#include <vector>

#include "oneflow_like/ir/graph.h"
#include "oneflow_like/op/def/layout_choice.h"

namespace ofl::runtime {

class TracedLayouts {
 public:
  // Keeps a reference; nodes are only appended while it is used.
  explicit TracedLayouts(const ir::Graph& graph) : graph_(graph) {}

  // Made from no global tensor, or a rank's own copy of one.
  bool IsLocal(int value);
  // The layout that an eager call would have chosen; whole for local values.
  Result<sbp::NdSbp> LayoutOf(int value);

  // Says what the graph's text does not: whether it is local,
  void Mark(int value, bool local);
  // and that it lies like an earlier value, except that partial becomes broadcast, and what is
  // split along an axis that it has not.
  void LieLike(int value, int other);

 private:
  bool Locality(const ir::Node& node, int value) const;
  Status Lay(const ir::Node& node);
  Status LayOperator(const ir::Node& node);

  const ir::Graph& graph_;
  op::LayoutChooser chooser_;
  std::vector<bool> local_;       // by value, of the first nodes
  std::vector<sbp::NdSbp> laid_;  // likewise
  size_t local_nodes_ = 0;
  size_t laid_nodes_ = 0;
  std::map<int, bool> marked_;
  std::map<int, int> like_;
};

}  // namespace ofl::runtime
