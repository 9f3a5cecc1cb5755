// Views: marks results that lie in the memory of their operator's input, as its View says. Such a
// result has no register, and its operator no task: whoever reads it reads the register of the
// value at the root of its chain of views, by strides.
//
// A result stays a copy where a reader needs dense memory (an operand that does not take these
// strides, a conversion, an accumulation, a result of the graph), where no strides express the
// view or they count elements of another dtype (view_as_real), and where a reader comes after, or
// is, the update of the variable it would look into. And
// it stays one where that is faster: a copy that turns a matrix goes through the cache in tiles,
// which an elementwise reader does not; and a product of all rows with one matrix would fall apart.

#include <algorithm>

#include "compiler/compiler.h"
#include "compiler/views.h"

namespace ofl::compiler {
namespace {

// Whether all axes but the last are one axis: rows at one distance from each other.
bool RowsLieEvenly(const op::ViewGeometry& view) {
  int64_t distance = 0, run = 1;
  for (int i = view.shape.rank() - 2; i >= 0; --i) {
    if (view.shape[i] == 1) continue;
    if (run > 1 && view.strides[i] != distance * run) return false;
    if (run == 1) distance = view.strides[i];
    run *= view.shape[i];
  }
  return true;
}

// Bytes that a kernel reads in one go at least, if reading where they lie is to be as fast as a
// copy; and of values that stay in the first cache, in whatever order they are read.
constexpr int64_t kLeastRun = 64, kSmall = 4096;

// Whether the elements lie in such runs, in the order of their indices: dense ones, or one element
// that repeats.
bool LiesInRuns(const op::ViewGeometry& view, DType dtype) {
  const auto size = static_cast<int64_t>(DTypeSize(dtype));
  if (view.shape.numel() * size <= kSmall) return true;
  int64_t run = 1, step = 1;
  for (int i = view.shape.rank() - 1; i >= 0; --i) {
    if (view.shape[i] == 1) continue;
    if (run == 1 && view.strides[i] == 0) step = 0;
    if (view.strides[i] != step * run) break;
    run *= view.shape[i];
  }
  return run * size >= kLeastRun;
}

class ViewsPass {
 public:
  explicit ViewsPass(ir::Graph& graph)
      : graph_(graph), copied_(graph.values.size(), false), geometry_(graph.values.size()) {}

  // What becomes a copy is a new root: other strides for the views of it. Values become copies
  // only, so this ends.
  void Run() {
    FindMutations();
    do {
      Propose();
    } while (Withdraw());
  }

 private:
  void FindMutations() {
    position_.assign(graph_.nodes.size(), -1);
    mutated_at_.assign(graph_.values.size(), static_cast<int>(graph_.order.size()));
    for (size_t p = 0; p < graph_.order.size(); ++p) {
      const ir::Node& node = graph_.nodes[graph_.order[p]];
      position_[node.id] = static_cast<int>(p);
      if (node.kind != ir::NodeKind::kOp) continue;
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (node.op->InputMutated(static_cast<int>(i), node.attrs))
          mutated_at_[node.inputs[i]] = std::min(mutated_at_[node.inputs[i]], position_[node.id]);
    }
  }

  // Marks every result that could be a view, were it not for its readers.
  void Propose() {
    for (int id : graph_.order) {
      const ir::Node& node = graph_.nodes[id];
      if (node.kind != ir::NodeKind::kOp || node.op->view == nullptr) continue;
      if (node.inputs.empty() || node.outputs.size() != 1 || copied_[node.outputs[0]]) continue;
      const ir::Value& in = graph_.values[node.inputs[0]];
      const ir::Value& out = graph_.values[node.outputs[0]];
      if (!out.nd_sbp || !in.nd_sbp) continue;
      if (out.meta.dtype != in.meta.dtype) continue;  // a reader counts in its register's elements
      auto geometry = GeometryOf(graph_, node, geometry_);
      graph_.values[node.outputs[0]].view = geometry.ok();
      if (geometry.ok()) geometry_[node.outputs[0]] = *std::move(geometry);
    }
  }

  // From the last node to the first: what loses its mark is a reader by strides from then on.
  bool Withdraw() {
    bool any = false;
    for (auto id = graph_.order.rbegin(); id != graph_.order.rend(); ++id) {
      const ir::Node& node = graph_.nodes[*id];
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const int v = node.inputs[i];
        if (!graph_.values[v].view || Accepts(node, static_cast<int>(i))) continue;
        graph_.values[v].view = false;
        copied_[v] = true;
        any = true;
      }
    }
    return any;
  }

  bool Accepts(const ir::Node& node, int i) const {
    if (node.kind != ir::NodeKind::kOp || node.op->InputMutated(i, node.attrs)) return false;
    if (graph_.IsView(node) && i == 0) return true;
    if (position_[node.id] >= mutated_at_[graph_.Root(node.inputs[i])]) return false;
    const op::Access access = node.op->InputAt(i, node.attrs).access;
    const bool rows = access == op::Access::kMatrix && MeetsOneMatrix(node, i);
    // What only moves elements goes through memory in an order of its own.
    const bool in_order = access == op::Access::kStrided && node.op->view == nullptr;
    const DType dtype = graph_.values[node.inputs[i]].meta.dtype;
    for (const op::ViewGeometry& view : geometry_[node.inputs[i]])
      if (!op::Allows(access, view.shape, view.strides) || (rows && !RowsLieEvenly(view)) ||
          (in_order && !LiesInRuns(view, dtype)))
        return false;
    return true;
  }

  // Whether this operand's rows, of all batches, are multiplied with one matrix behind it. That is
  // one product where they lie evenly; of many small ones a copy is the cheaper way out.
  bool MeetsOneMatrix(const ir::Node& node, int i) const {
    for (size_t j = i + 1; j < node.inputs.size(); ++j) {
      if (node.op->InputAt(static_cast<int>(j), node.attrs).access != op::Access::kMatrix) continue;
      const Shape& shape = graph_.values[node.inputs[j]].meta.shape;
      if (shape.rank() == 2) return true;
    }
    return false;
  }

  ir::Graph& graph_;
  std::vector<bool> copied_;  // by value: some reader wants a copy
  Geometries geometry_;
  std::vector<int> position_;    // by node, in the order
  std::vector<int> mutated_at_;  // by value: position of its first update
};

}  // namespace

Result<ir::Graph> RunViews(ir::Graph graph) {
  ViewsPass(graph).Run();
  return graph;
}

}  // namespace ofl::compiler
