#include "oneflow_like/tensor/gradient_reads.h"

#include <algorithm>
#include <set>
#include <vector>

namespace ofl::tensor {
namespace {

class Nothing final : public op::ValueBase {
 public:
  explicit Nothing(const TensorMeta& meta) : meta_(meta) {}
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return nullptr; }
  bool is_symbolic() const override { return true; }

 private:
  TensorMeta meta_;
};

// Infers, and notes operands.
class Noting final : public op::Builder {
 public:
  op::Values Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) override {
    std::vector<TensorMeta> metas;
    for (const op::Value& x : inputs) {
      read_.insert(x.get());
      metas.push_back(x->meta());
      held_.push_back(x);
    }
    auto made = op.Infer(metas, attrs);
    if (!made.ok()) {
      Fail(made.status());
      return op::Values(op.outputs.size());
    }
    op::Values outputs;
    for (const TensorMeta& meta : *made) outputs.push_back(StandIn(meta));
    return outputs;
  }
  op::Value ToLayout(const op::Value& x, const sbp::Layout&) override {
    read_.insert(x.get());
    held_.push_back(x);
    return StandIn(x->meta());
  }
  bool Read(const op::Value& x) const { return read_.contains(x.get()); }

 private:
  std::set<const op::ValueBase*> read_;
  op::Values held_;  // so that no other value comes to the address of one
};

op::Values StandIns(std::span<const TensorMeta> metas) {
  op::Values values;
  for (const TensorMeta& meta : metas) values.push_back(StandIn(meta));
  return values;
}

}  // namespace

op::Value StandIn(const TensorMeta& meta) { return op::Value(new Nothing(meta)); }

GradientReadsRef ReadsOf(const op::OpDef& def, const Attrs& attrs,
                         std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs) {
  auto reads = std::make_shared<GradientReads>();
  reads->inputs.resize(inputs.size());
  reads->outputs.resize(outputs.size());
  if (def.grad == nullptr || def.decompose != nullptr) return reads;
  op::Values in = StandIns(inputs), out = StandIns(outputs);
  const op::Values grads = StandIns(outputs);
  const auto needs = std::make_unique<bool[]>(inputs.size());
  std::fill_n(needs.get(), inputs.size(), true);
  Noting builder;
  op::GradContext context(builder, in, out, grads, attrs, {needs.get(), inputs.size()});
  def.grad(context);
  if (!builder.status().ok()) return reads;
  // A gradient may be an operand or a result itself.
  const auto used = [&](const op::Value& x) {
    return builder.Read(x) ||
           std::ranges::find(context.input_grads, x) != context.input_grads.end();
  };
  for (size_t i = 0; i < in.size(); ++i)
    if (!used(in[i])) reads->inputs[i] = std::move(in[i]);
  for (size_t i = 0; i < out.size(); ++i)
    if (!used(out[i])) reads->outputs[i] = std::move(out[i]);
  return reads;
}

}  // namespace ofl::tensor
