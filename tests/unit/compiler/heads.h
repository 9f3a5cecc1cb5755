// A training graph of attention over heads that transposes split off, for the tests of views.
#pragma once

#include "tests/unit/compiler/graphs.h"

namespace ofl::compiler::testing {

struct HeadsLayout {
  int ranks = 1;
  bool split_heads = false;  // weights split over ranks (tensor parallel), else the batch
  int micro_batches = 1;
};

// loss = sum(square(attention(heads of x Wq^T, x Wk^T, x Wv^T) Wo^T)), updated by SGD.
class HeadsBuilder {
 public:
  explicit HeadsBuilder(const HeadsLayout& layout)
      : layout_(layout), here_(Ranks(Shape{layout.ranks})), builder_(&made_.graph) {
    made_.graph.name = "heads";
    made_.graph.world_size = layout.ranks;
    made_.graph.micro_batches = layout.micro_batches;
  }

  Mlp Build() {
    const sbp::Sbp whole = sbp::Sbp::Broadcast();
    const bool split = layout_.split_heads;
    op::Value x = Source(ir::NodeKind::kInput, "x", Shape{kBatch, kTokens, kHeads * kDepth},
                         split ? whole : sbp::Sbp::Split(0));
    made_.graph.producer(Id(x)).binding = 0;
    rate_ = Source(ir::NodeKind::kInput, "hyper", Shape{2}, whole);
    made_.graph.values[Id(rate_)].meta.dtype = DType::kFloat64;
    rate_ = builder_.Handle(Id(rate_));
    made_.graph.producer(Id(rate_)).binding = 1;
    made_.graph.producer(Id(rate_)).attrs.Set("whole", true);
    const sbp::Sbp rows = split ? sbp::Sbp::Split(0) : whole;
    op::Values heads;
    for (const char* name : {"query", "key", "value"}) {
      op::Value flat = builder_.Call("linear", {x, Variable(name, rows)});
      const Shape by_head = {Batch(), kTokens, kHeads, kDepth};
      heads.push_back(Swap(Reshape(flat, by_head)));
    }
    op::Value y = builder_.CallAll("scaled_dot_product_attention", heads, {{"is_causal", true}})[0];
    y = Reshape(Swap(y), {Batch(), kTokens, kHeads * kDepth});
    y = builder_.Call("linear", {y, Variable("out", split ? sbp::Sbp::Split(1) : whole)});
    op::Value loss = builder_.Call("sum", {builder_.Call("square", {y})});
    EXPECT_TRUE(builder_.status().ok()) << builder_.status().ToString();
    made_.training.loss = Id(loss);
    made_.graph.AddNode(ir::NodeKind::kOutput, "output", {Id(loss)}, {}, here_).binding = 0;
    return std::move(made_);
  }

 private:
  static constexpr int64_t kBatch = 4, kTokens = 6, kHeads = 4, kDepth = 4;
  static int Id(const op::Value& v) { return static_cast<const ir::GraphValue*>(v.get())->id(); }
  int64_t Batch() const { return kBatch / layout_.micro_batches; }

  op::Value Reshape(const op::Value& x, const Shape& shape) {
    return builder_.Call("reshape", {x},
                         {{"shape", std::vector<int64_t>(shape.begin(), shape.end())}});
  }
  op::Value Swap(const op::Value& x) {
    return builder_.Call("transpose", {x}, {{"dim0", int64_t{1}}, {"dim1", int64_t{2}}});
  }

  op::Value Source(ir::NodeKind kind, const std::string& name, Shape shape, sbp::Sbp symbol) {
    const bool input = kind == ir::NodeKind::kInput;
    if (input && shape.rank() > 1) shape[0] = Batch();
    ir::Node& node = made_.graph.AddNode(kind, input ? "input" : "variable", {},
                                         {{DType::kFloat32, shape}}, here_);
    node.variable = name;
    ir::Value& value = made_.graph.values[node.outputs[0]];
    value.nd_sbp = sbp::NdSbp{symbol};
    value.requires_grad = !input;
    return builder_.Handle(value.id);
  }

  op::Value Variable(const std::string& name, sbp::Sbp symbol) {
    const int64_t width = kHeads * kDepth;
    op::Value value = Source(ir::NodeKind::kVariable, name, Shape{width, width}, symbol);
    Update update;
    update.variable = Id(value);
    update.op = Must(op::OpRegistry::Get().Require("sgd_update"));
    update.attrs = Must(update.op->CompleteAttrs({}));
    update.extras = {Id(rate_)};
    made_.training.updates.push_back(update);
    return value;
  }

  const HeadsLayout layout_;
  const Placement here_;
  Mlp made_;
  ir::GraphBuilder builder_;
  op::Value rate_;
};

inline Mlp MakeHeads(const HeadsLayout& layout) { return HeadsBuilder(layout).Build(); }

inline proto::Plan CompileHeads(const HeadsLayout& layout) {
  Mlp heads = MakeHeads(layout);
  return Must(Compile(std::move(heads.graph), std::move(heads.training), {}));
}

}  // namespace ofl::compiler::testing
