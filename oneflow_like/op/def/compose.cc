#include "oneflow_like/op/def/compose.h"

#include "oneflow_like/op/def/promotion.h"

namespace ofl::op {
namespace {

class MetaBuilder final : public Builder {
 public:
  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override {
    auto outputs = Infer(op, std::move(inputs), attrs);
    if (outputs.ok()) return std::move(outputs).value();
    Fail(outputs.status());
    return Values(op.outputs.size());
  }
  Value ToLayout(const Value& x, const sbp::Layout&) override { return x; }

 private:
  Result<Values> Infer(const OpDef& op, Values given, const Attrs& attrs) {
    OFL_TRY(status_);
    OFL_ASSIGN(Values inputs, PromotedInputs(*this, op, std::move(given), attrs));
    std::vector<TensorMeta> metas;
    for (const Value& input : inputs) metas.push_back(input->meta());
    OFL_ASSIGN(Attrs complete, op.CompleteAttrs(attrs));
    OFL_ASSIGN(std::vector<TensorMeta> inferred, op.Infer(metas, complete));
    Values outputs;
    for (const TensorMeta& meta : inferred) outputs.emplace_back(new MetaValue(meta));
    return outputs;
  }
};

}  // namespace

Result<Values> PromotedInputs(Builder& builder, const OpDef& def, Values inputs,
                              const Attrs& attrs) {
  if (def.promotion == Promotion::kNone) return inputs;
  std::vector<TypedOperand> typed;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (def.InputAt(static_cast<int>(i), attrs).promotes)
      typed.push_back(TypedOf(inputs[i]->meta()));
  OFL_ASSIGN(auto dtype, PromotedDType(def, typed));
  for (size_t i = 0; dtype && i < inputs.size(); ++i) {
    if (inputs[i]->meta().dtype == *dtype || !def.InputAt(static_cast<int>(i), attrs).promotes)
      continue;
    inputs[i] = builder.Call("cast", {inputs[i]}, {{"dtype", *dtype}});
    OFL_TRY(builder.status());
  }
  return inputs;
}

Result<std::vector<TensorMeta>> InferComposite(const OpDef& def, std::span<const TensorMeta> metas,
                                               const Attrs& attrs) {
  MetaBuilder builder;
  Values inputs;
  for (const TensorMeta& meta : metas) inputs.emplace_back(new MetaValue(meta));
  const Values outputs = def.decompose(builder, inputs, attrs);
  OFL_TRY(builder.status());
  std::vector<TensorMeta> inferred;
  for (const Value& output : outputs) inferred.push_back(output->meta());
  return inferred;
}

}  // namespace ofl::op
