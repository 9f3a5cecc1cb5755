#include "oneflow_like/tensor/gradient_reads.h"

#include <algorithm>
#include <set>
#include <vector>

#include "oneflow_like/op/def/compose.h"

namespace ofl::tensor {
namespace {

// Notes operands.
class Noting final : public op::MetaBuilder {
 public:
  op::Values Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) override {
    for (const op::Value& x : inputs) Note(x);
    return MetaBuilder::Apply(op, std::move(inputs), attrs);
  }
  op::Value ToLayout(const op::Value& x, const sbp::Layout&) override {
    Note(x);
    return StandIn(x->meta());
  }
  bool Read(const op::Value& x) const { return read_.contains(x); }

 private:
  void Note(const op::Value& x) { read_.insert(x); }
  std::set<op::Value> read_;  // held, so that no other value comes to the address of one
};

op::Values StandIns(std::span<const TensorMeta> metas) {
  op::Values values;
  for (const TensorMeta& meta : metas) values.push_back(StandIn(meta));
  return values;
}

}  // namespace

op::Value StandIn(const TensorMeta& meta) { return op::Value(new op::MetaValue(meta)); }

GradientReadsRef ReadsOf(const op::OpDef& def, const Attrs& attrs,
                         std::span<const TensorMeta> inputs, std::span<const TensorMeta> outputs) {
  auto reads = std::make_shared<GradientReads>();
  reads->inputs.resize(inputs.size());
  reads->outputs.resize(outputs.size());
  if (def.grad == nullptr || def.decompose != nullptr || def.Draws()) return reads;
  op::Values in = StandIns(inputs), out = StandIns(outputs);
  const op::Values grads = StandIns(outputs);
  const auto needs = std::make_unique<bool[]>(inputs.size());
  std::fill_n(needs.get(), inputs.size(), true);
  Noting builder;
  op::GradContext context(builder, in, out, grads, attrs, {needs.get(), inputs.size()});
  def.grad(context);
  if (!builder.status().ok()) return reads;
  // A gradient may be an operand or a result itself.
  const std::set<op::Value> given(context.input_grads.begin(), context.input_grads.end());
  const auto used = [&](const op::Value& x) { return builder.Read(x) || given.contains(x); };
  for (size_t i = 0; i < in.size(); ++i)
    if (!used(in[i])) reads->inputs[i] = std::move(in[i]);
  for (size_t i = 0; i < out.size(); ++i)
    if (!used(out[i])) reads->outputs[i] = std::move(out[i]);
  return reads;
}

}  // namespace ofl::tensor
