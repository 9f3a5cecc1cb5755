// Views in plans: where the elements of one value lie in the register of another. Shared by the
// pass that marks views, by lowering and by expanding, which each rank does for its own shards.
#pragma once

#include <vector>

#include "oneflow_like/ir/graph.h"
#include "oneflow_like/op/def/op_def.h"

namespace ofl::compiler {

op::ViewGeometry DenseGeometry(const Shape& shape);

// One rank's shard of a view, of what lies in a register as `base` says. kUnimplemented: no strides
// express it; kDataLoss: the operator's View and its layout rule differ.
Result<op::ViewGeometry> SeeThrough(const op::OpDef& def, const Attrs& attrs,
                                    const op::ViewGeometry& base, const Shape& local_output);

// Whether a view is all of its register, as the register lies: it may be taken over like that.
bool IsWhole(const op::ViewGeometry& view, int64_t register_elements);

// The geometry of a graph's views on the members of their placement, by value id: empty where a
// value is no view. A shard's shape is one of two sizes on each mesh axis, the first member's and
// the last's, and decides the geometry, so the corners of the mesh stand for all members.
using Geometries = std::vector<std::vector<op::ViewGeometry>>;
std::vector<int> CornersOf(const Placement& placement);
// Of the node's one result, from those of its input; an error where some shard has none.
Result<std::vector<op::ViewGeometry>> GeometryOf(const ir::Graph& graph, const ir::Node& node,
                                                 const Geometries& known);
// Of all values that are marked as views.
Result<Geometries> GeometriesOf(const ir::Graph& graph);

}  // namespace ofl::compiler
