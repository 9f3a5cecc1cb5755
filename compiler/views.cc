#include "compiler/views.h"

namespace ofl::compiler {

op::ViewGeometry DenseGeometry(const Shape& shape) { return {shape, ContiguousStrides(shape), 0}; }

Result<op::ViewGeometry> SeeThrough(const op::OpDef& def, const Attrs& attrs,
                                    const op::ViewGeometry& base, const Shape& local_output) {
  const Attrs local = def.local_attrs != nullptr ? def.local_attrs(attrs, std::span(&base.shape, 1),
                                                                   std::span(&local_output, 1))
                                                 : attrs;
  OFL_ASSIGN(op::ViewGeometry view, def.view(base.shape, base.strides, local));
  OFL_ENSURE(view.shape == local_output && view.strides.rank() == local_output.rank(),
             Code::kDataLoss)
      << "[" << def.name << "] its view of " << base.shape << " is " << view.shape
      << "; expected the shard " << local_output;
  view.offset = SaturatingAdd(view.offset, base.offset);
  return view;
}

bool IsWhole(const op::ViewGeometry& view, int64_t register_elements) {
  return view.offset == 0 && view.shape.numel() == register_elements &&
         IsDense(view.shape, view.strides);
}

std::vector<int> CornersOf(const Placement& placement) {
  std::vector<int> corners = {0};
  for (int64_t size : placement.hierarchy()) {
    std::vector<int> next;
    for (int corner : corners) {
      next.push_back(static_cast<int>(corner * size));
      if (size > 1) next.push_back(static_cast<int>(corner * size + size - 1));
    }
    corners = std::move(next);
  }
  return corners;
}

Result<std::vector<op::ViewGeometry>> GeometryOf(const ir::Graph& graph, const ir::Node& node,
                                                 const Geometries& known) {
  const ir::Value& in = graph.values[node.inputs[0]];
  const ir::Value& out = graph.values[node.outputs[0]];
  std::vector<op::ViewGeometry> views;
  const std::vector<int> corners = CornersOf(node.placement);
  for (size_t i = 0; i < corners.size(); ++i) {
    const op::ViewGeometry base =
        in.view ? known[in.id][i]
                : DenseGeometry(sbp::LocalShape(in.meta.shape, in.layout(), corners[i]));
    OFL_ASSIGN(op::ViewGeometry view,
               SeeThrough(*node.op, node.attrs, base,
                          sbp::LocalShape(out.meta.shape, out.layout(), corners[i])));
    views.push_back(view);
  }
  return views;
}

Result<Geometries> GeometriesOf(const ir::Graph& graph) {
  Geometries known(graph.values.size());
  for (int id : graph.order) {
    const ir::Node& node = graph.nodes[id];
    if (!graph.IsView(node)) continue;
    OFL_ASSIGN(known[node.outputs[0]], GeometryOf(graph, node, known));
  }
  return known;
}

}  // namespace ofl::compiler
