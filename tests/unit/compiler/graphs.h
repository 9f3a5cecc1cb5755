// Small training graphs for the compiler's tests.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "compiler/compiler.h"
#include "oneflow_like/ir/graph_builder.h"

namespace ofl::compiler::testing {

template <class T>
T Must(Result<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status().ToString();
    std::abort();
  }
  return std::move(result).value();
}

inline Placement Ranks(const Shape& hierarchy, int first = 0) {
  std::vector<int> ranks(static_cast<size_t>(hierarchy.numel()));
  std::iota(ranks.begin(), ranks.end(), first);
  return Must(Placement::Make(DeviceKind::kCpu, hierarchy, ranks));
}

// loss = sum((relu(x W1^T + b1) W2^T)^2), updated by SGD; `stage` 0 holds W1, 1 holds W2.
struct Mlp {
  ir::Graph graph;
  TrainingSpec training;
};

struct MlpLayout {
  int world = 1;
  Placement stage[2];
  sbp::NdSbp x{sbp::Sbp::Broadcast()};
  sbp::NdSbp w1{sbp::Sbp::Broadcast()}, b1{sbp::Sbp::Broadcast()}, w2{sbp::Sbp::Broadcast()};
  int micro_batches = 1;
  int64_t batch = 16;
  int layers = 1;  // repeats the middle layer, for size tests
};

class MlpBuilder {
 public:
  explicit MlpBuilder(const MlpLayout& layout) : layout_(layout), builder_(&mlp_.graph) {
    mlp_.graph.name = "mlp";
    mlp_.graph.world_size = layout.world;
    mlp_.graph.micro_batches = layout.micro_batches;
  }

  Mlp Build() {
    op::Value x = Source(ir::NodeKind::kInput, "x", Shape{layout_.batch, 8}, layout_.stage[0],
                         layout_.x, false);
    mlp_.graph.producer(Id(x)).binding = 0;
    op::Value rate = Rate(layout_.stage[0], 1);
    op::Value rate2 = layout_.stage[1] == layout_.stage[0] ? rate : Rate(layout_.stage[1], 2);
    op::Value w1 = Variable("w1", Shape{32, 8}, 0, layout_.w1, rate);
    op::Value b1 = Variable("b1", Shape{32}, 0, layout_.b1, rate);
    op::Value w2 = Variable("w2", Shape{4, 32}, 1, layout_.w2, rate2);
    builder_.set_location({"train.py", 12, "model.fc1"});
    op::Value h = builder_.Call("relu", {builder_.Call("linear", {x, w1, b1})});
    if (!(layout_.stage[0] == layout_.stage[1])) h = builder_.ToPlacement(h, layout_.stage[1]);
    builder_.set_location({"train.py", 13, "model.fc2"});
    op::Value y = builder_.Call("linear", {h, w2});
    op::Value loss = builder_.Call("sum", {builder_.Call("square", {y})});
    EXPECT_TRUE(builder_.status().ok()) << builder_.status().ToString();
    mlp_.training.loss = Id(loss);
    ir::Node& output = mlp_.graph.AddNode(ir::NodeKind::kOutput, "output", {Id(loss)}, {},
                                          mlp_.graph.values[Id(loss)].placement);
    output.binding = 0;
    return std::move(mlp_);
  }

 private:
  static int Id(const op::Value& v) { return static_cast<const ir::GraphValue*>(v.get())->id(); }

  op::Value Source(ir::NodeKind kind, const std::string& name, Shape shape,
                   const Placement& placement, const sbp::NdSbp& nd_sbp, bool trainable) {
    if (kind == ir::NodeKind::kInput && shape.rank() > 0) shape[0] /= layout_.micro_batches;
    ir::Node& node = mlp_.graph.AddNode(kind, kind == ir::NodeKind::kInput ? "input" : "variable",
                                        {}, {{DType::kFloat32, shape}}, placement);
    node.variable = name;
    ir::Value& value = mlp_.graph.values[node.outputs[0]];
    value.nd_sbp = nd_sbp;
    value.requires_grad = trainable;
    return builder_.Handle(value.id);
  }

  op::Value Rate(const Placement& placement, int binding) {
    ir::Node& node = mlp_.graph.AddNode(ir::NodeKind::kInput, "input", {},
                                        {{DType::kFloat64, Shape{2}}}, placement);
    node.variable = "hyper";
    node.binding = binding;
    node.attrs.Set("whole", true);
    mlp_.graph.values[node.outputs[0]].nd_sbp = sbp::NdSbp::Broadcast(placement.hierarchy().rank());
    return builder_.Handle(node.outputs[0]);
  }

  op::Value Variable(const std::string& name, const Shape& shape, int stage,
                     const sbp::NdSbp& nd_sbp, const op::Value& rate) {
    op::Value value =
        Source(ir::NodeKind::kVariable, name, shape, layout_.stage[stage], nd_sbp, true);
    Update update;
    update.variable = Id(value);
    update.op = Must(op::OpRegistry::Get().Require("sgd_update"));
    update.attrs = Must(update.op->CompleteAttrs({}));
    update.extras = {Id(rate)};
    mlp_.training.updates.push_back(update);
    return value;
  }

  const MlpLayout layout_;
  Mlp mlp_;
  ir::GraphBuilder builder_;
};

inline MlpLayout DataParallel(int ranks) {
  MlpLayout layout;
  layout.world = ranks;
  layout.stage[0] = layout.stage[1] = Ranks(Shape{ranks});
  layout.x = {sbp::Sbp::Split(0)};
  layout.batch = 16 * ranks;
  return layout;
}

inline MlpLayout TensorParallel(int ranks) {
  MlpLayout layout;
  layout.world = ranks;
  layout.stage[0] = layout.stage[1] = Ranks(Shape{ranks});
  layout.w1 = layout.b1 = {sbp::Sbp::Split(0)};
  layout.w2 = {sbp::Sbp::Split(1)};
  return layout;
}

inline MlpLayout Pipeline(int micro_batches) {
  MlpLayout layout;
  layout.world = 2;
  layout.stage[0] = Ranks(Shape{1}, 0);
  layout.stage[1] = Ranks(Shape{1}, 1);
  layout.micro_batches = micro_batches;
  return layout;
}

inline Mlp MakeMlp(const MlpLayout& layout) { return MlpBuilder(layout).Build(); }

inline proto::Plan CompileMlp(const MlpLayout& layout) {
  Mlp mlp = MakeMlp(layout);
  return Must(Compile(std::move(mlp.graph), std::move(mlp.training), {}));
}

inline Attrs DropoutOf(int generator, int64_t place) {
  return {{"p", 0.5}, {std::string(op::kDraw), op::Draw{{0, place}, generator}.ToAttr()}};
}

// Draws 0 and 2 of the default generator and draw 0 of another; draw 1 belongs to nothing that is
// needed.
inline ir::Graph TwoGenerators() {
  ir::Graph graph;
  graph.name = "draws";
  graph.world_size = 2;
  graph.generators = {{std::string(ir::kDefaultGenerator), 3}, {"generator_1", 1}};
  const Placement both = Ranks(Shape{2});
  ir::Node& input =
      graph.AddNode(ir::NodeKind::kInput, "input", {}, {{DType::kFloat32, Shape{8, 4}}}, both);
  input.binding = 0;
  input.variable = "x";
  const int x = input.outputs[0];
  graph.values[x].nd_sbp = sbp::NdSbp{sbp::Sbp::Split(0)};
  ir::GraphBuilder builder(&graph);
  op::Value y = builder.Call("dropout", {builder.Handle(x)}, DropoutOf(0, 0));
  builder.Call("dropout", {y}, DropoutOf(0, 1));
  y = builder.Call("dropout", {y}, DropoutOf(1, 0));
  y = builder.Call("dropout", {y}, DropoutOf(0, 2));
  EXPECT_TRUE(builder.status().ok()) << builder.status().ToString();
  const int id = static_cast<const ir::GraphValue*>(y.get())->id();
  graph.AddNode(ir::NodeKind::kOutput, "output", {id}, {}, both).binding = 0;
  return graph;
}

inline proto::Plan CompileTwoGenerators() { return Must(Compile(TwoGenerators(), {}, {})); }

}  // namespace ofl::compiler::testing
