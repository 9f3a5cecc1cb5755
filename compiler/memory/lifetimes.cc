#include "compiler/memory/lifetimes.h"

#include <algorithm>

#include "compiler/views.h"

namespace ofl::compiler {

bool PushedInPlace(const ir::Graph& graph, const ir::Node& boxing) {
  // A variable may be updated and an argument belongs to the caller: those are packed first.
  const ir::NodeKind producer = graph.producer(boxing.inputs[0]).kind;
  return ir::Graph::BytesMoved(boxing) > 0 && producer != ir::NodeKind::kVariable &&
         producer != ir::NodeKind::kInput;
}

namespace {

class Analysis {
 public:
  Analysis(const ir::Graph& graph, Geometries views)
      : graph_(graph), views_(std::move(views)), consumers_(graph.values.size()) {
    for (int id : graph.order)
      for (int v : graph.nodes[id].inputs)
        if (!graph.IsView(graph.nodes[id])) consumers_[graph.Root(v)].push_back(id);
    result_.values.resize(graph.values.size());
    result_.finish_before.assign(graph.nodes.size(), -1);
    result_.position.assign(graph.nodes.size(), -1);
    result_.read.assign(graph.nodes.size(), -1);
    result_.made.assign(graph.nodes.size(), -1);
    result_.instances.assign(graph.values.size(), 1);
    result_.alias_of.assign(graph.values.size(), -1);
    result_.has_memory.assign(graph.values.size(), false);
  }

  Lifetimes Run() {
    Positions();
    for (int id : graph_.order)
      for (int v : graph_.nodes[id].outputs) Live(v);
    TakeOver();
    return std::move(result_);
  }

 private:
  bool Repeats() const { return graph_.micro_batches > 1; }

  void Positions() {
    int64_t p = 0;
    for (int id : graph_.order) {
      result_.position[id] = result_.read[id] = result_.made[id] = 2 * p++;
      const int s = static_cast<int>(graph_.nodes[id].segment);
      if (segment_first_[s] < 0) segment_first_[s] = result_.position[id];
      segment_last_[s] = result_.position[id] + 1;
    }
    result_.end = 2 * p;
    for (int id : graph_.order)
      if (graph_.nodes[id].kind == ir::NodeKind::kBoxing) Conversion(graph_.nodes[id]);
  }

  // When a conversion's first step has read the input and its last one writes the result.
  void Conversion(const ir::Node& node) {
    int64_t& read = result_.read[node.id];
    int64_t& made = result_.made[node.id];
    if (node.steps.size() > 1 && node.continue_before >= 0) {
      result_.finish_before[node.id] = node.continue_before;  // not before the other steps
      read = made = result_.position[node.continue_before] - 1;
    }
    int first = -1;
    for (int c : consumers_[node.outputs[0]])
      if (first < 0 || result_.position[c] < result_.position[first]) first = c;
    if (first < 0) return;
    if (Repeats() && graph_.nodes[first].segment != node.segment) return;
    result_.finish_before[node.id] = first;
    made = result_.position[first] - 1;
    if (node.steps.size() == 1) read = made;
  }

  void Live(int v) {
    if (graph_.values[v].view) return;
    const ir::Node& producer = graph_.producer(v);
    result_.has_memory[v] =
        producer.kind != ir::NodeKind::kInput && producer.kind != ir::NodeKind::kVariable;
    Lifetime& life = result_.values[v];
    life.first = result_.made[producer.id];
    life.last = life.first;
    bool crosses = false;  // read in another segment than it is made in
    bool pushed = false;
    for (int c : consumers_[v]) {
      const ir::Node& consumer = graph_.nodes[c];
      life.last = std::max(life.last, result_.read[c]);
      crosses |= consumer.segment != producer.segment;
      pushed |= consumer.kind == ir::NodeKind::kBoxing && PushedInPlace(graph_, consumer);
    }
    if (pushed) life = {0, result_.end};  // a peer's read ends at an unknown time
    if (Repeats()) Widen(v, producer, crosses);
  }

  // With micro-batches the stream runs a segment m times: what outlives one run of its segment
  // needs a register for each run, and is alive over the whole of both segments.
  void Widen(int v, const ir::Node& producer, bool crosses) {
    const int s = static_cast<int>(producer.segment);
    Lifetime& life = result_.values[v];
    if (!crosses) return;
    const bool once = producer.kind == ir::NodeKind::kAccumulate ||
                      producer.kind == ir::NodeKind::kVariable || producer.attrs.Has("whole") ||
                      producer.segment == ir::Segment::kUpdate;
    if (!once) result_.instances[v] = graph_.micro_batches;
    life.first = std::min(life.first, segment_first_[s]);
    for (int c : consumers_[v])
      life.last = std::max(life.last, segment_last_[static_cast<int>(graph_.nodes[c].segment)]);
  }

  bool Pinned(int v) const { return result_.values[v].last >= result_.end; }

  // An elementwise result may take over its input's memory when it is the input's last reader.
  void TakeOver() {
    for (int id : graph_.order) {
      const ir::Node& node = graph_.nodes[id];
      if (node.kind != ir::NodeKind::kOp) continue;
      for (auto [output, input] : node.op->in_place) {
        if (input >= static_cast<int>(node.inputs.size())) continue;
        TryAlias(node, node.outputs[output], node.inputs[input]);
      }
    }
  }

  // Whether the operand is a register, as that lies.
  bool IsWholeRegister(int in) const {
    const int root = graph_.Root(in);
    const std::vector<int> corners = CornersOf(graph_.values[in].placement);
    for (size_t i = 0; i < views_[in].size(); ++i) {
      const ir::Value& value = graph_.values[root];
      if (!IsWhole(views_[in][i],
                   sbp::LocalShape(value.meta.shape, value.layout(), corners[i]).numel()))
        return false;
    }
    return true;
  }

  void TryAlias(const ir::Node& node, int out, int operand) {
    if (graph_.values[out].view) return;
    const ir::Value& a = graph_.values[operand];
    const ir::Value& b = graph_.values[out];
    const int in = graph_.Root(operand);
    if (result_.alias_of[out] >= 0 || !result_.has_memory[in] || Pinned(in) || Pinned(out)) return;
    if (!(a.meta == b.meta) || !(a.layout() == b.layout())) return;
    if (result_.instances[in] != 1 || result_.instances[out] != 1) return;
    if (result_.values[in].last != result_.position[node.id]) return;
    if (!IsWholeRegister(operand)) return;
    int readers_now = 0;  // a node stands once for each use, by itself or by views
    for (int c : consumers_[in]) readers_now += result_.read[c] == result_.position[node.id];
    if (readers_now != 1) return;
    if (graph_.producer(in).segment != node.segment && Repeats()) return;
    if (graph_.producer(in).kind == ir::NodeKind::kAccumulate && Repeats()) return;
    int base = in;
    while (result_.alias_of[base] >= 0) base = result_.alias_of[base];
    if (taken_.size() < graph_.values.size()) taken_.resize(graph_.values.size(), false);
    if (taken_[in]) return;
    taken_[in] = true;
    result_.alias_of[out] = in;
    result_.values[base].last = std::max(result_.values[base].last, result_.values[out].last);
  }

  const ir::Graph& graph_;
  const Geometries views_;
  std::vector<std::vector<int>> consumers_;  // of registers: also who reads views of them
  int64_t segment_first_[3] = {-1, -1, -1};
  int64_t segment_last_[3] = {-1, -1, -1};
  std::vector<bool> taken_;
  Lifetimes result_;
};

}  // namespace

Result<Lifetimes> ComputeLifetimes(const ir::Graph& graph) {
  OFL_ASSIGN(Geometries views, GeometriesOf(graph));
  return Analysis(graph, std::move(views)).Run();
}

}  // namespace ofl::compiler
