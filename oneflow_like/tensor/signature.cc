#include "oneflow_like/tensor/signature.h"

#include <limits>
#include <memory>
#include <utility>

namespace ofl::tensor {
namespace {

// Metadata and layout without data, for costing a decomposition.
class PricedValue final : public op::ValueBase {
 public:
  PricedValue(const TensorMeta& meta, sbp::Layout layout)
      : meta_(meta), layout_(std::move(layout)) {}
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return &layout_; }
  bool is_symbolic() const override { return true; }

 private:
  TensorMeta meta_;
  sbp::Layout layout_;
};

class PricingBuilder final : public op::Builder {
 public:
  op::Values Apply(const op::OpDef& op, op::Values inputs, const Attrs& attrs) override {
    auto outputs = Try(op, inputs, attrs);
    if (outputs.ok()) return std::move(outputs).value();
    Fail(outputs.status());
    return op::Values(op.outputs.size());
  }
  op::Value ToLayout(const op::Value& x, const sbp::Layout& layout) override {
    if (!status_.ok()) return nullptr;
    auto plan = sbp::PlanBoxing(x->meta(), *x->layout(), layout);
    if (!plan.ok()) {
      Fail(plan.status());
      return nullptr;
    }
    cost += plan->cost_ps;
    return op::Value(new PricedValue(x->meta(), layout));
  }
  int64_t cost = 0;

 private:
  Result<op::Values> Try(const op::OpDef& op, const op::Values& inputs, const Attrs& given) {
    OFL_TRY(status_);
    std::vector<TensorMeta> metas;
    std::vector<const sbp::Layout*> layouts;
    for (const op::Value& v : inputs) {
      metas.push_back(v->meta());
      layouts.push_back(v->layout());
    }
    OFL_ENSURE(!inputs.empty(), Code::kUnimplemented)
        << "[" << op.name << "] a decomposition cannot make tensors from nothing";
    OFL_ASSIGN(Attrs attrs, op.CompleteAttrs(given));
    OFL_ASSIGN(auto outputs, op.Infer(metas, attrs));
    OFL_ASSIGN(SignatureChoice choice, ChooseSignature(op, metas, layouts, outputs, attrs));
    cost += choice.cost_ps;
    op::Values values;
    for (size_t i = 0; i < outputs.size(); ++i) {
      values.emplace_back(
          new PricedValue(outputs[i], {layouts[0]->placement, choice.signature.outputs[i]}));
    }
    return values;
  }
};

bool KeepsMutated(const op::OpDef& def, std::span<const sbp::Layout* const> layouts,
                  const sbp::NdSignature& signature) {
  for (size_t i = 0; i < layouts.size(); ++i) {
    if (def.InputMutated(static_cast<int>(i)) && !(signature.inputs[i] == layouts[i]->nd_sbp)) {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<SignatureChoice> ChooseSignature(const op::OpDef& def, std::span<const TensorMeta> inputs,
                                        std::span<const sbp::Layout* const> layouts,
                                        std::span<const TensorMeta> outputs, const Attrs& attrs) {
  const Placement& placement = layouts[0]->placement;
  OFL_ASSIGN(auto signatures, def.Signatures(inputs, outputs, attrs, placement.hierarchy()));
  SignatureChoice best;
  best.cost_ps = std::numeric_limits<int64_t>::max();
  // The same operand meets few different targets over many signatures.
  std::vector<std::vector<std::pair<sbp::NdSbp, std::pair<int64_t, int64_t>>>> priced(
      inputs.size());
  for (auto& signature : signatures) {
    if (!KeepsMutated(def, layouts, signature)) continue;
    int64_t cost = 0, bytes = 0;
    bool possible = true;
    for (size_t i = 0; i < inputs.size() && possible && cost < best.cost_ps; ++i) {
      const sbp::NdSbp& target = signature.inputs[i];
      if (target == layouts[i]->nd_sbp) continue;
      const std::pair<int64_t, int64_t>* known = nullptr;
      for (auto& [nd_sbp, price] : priced[i]) {
        if (nd_sbp == target) known = &price;
      }
      if (known == nullptr) {
        auto plan = sbp::PlanBoxing(inputs[i], *layouts[i], {placement, target});
        priced[i].push_back({target, plan.ok() ? std::pair(plan->cost_ps, plan->total_bytes)
                                               : std::pair<int64_t, int64_t>(-1, 0)});
        known = &priced[i].back().second;
      }
      possible = known->first >= 0;
      cost += known->first;
      bytes += known->second;
    }
    if (!possible || cost >= best.cost_ps) continue;
    best = {std::move(signature), cost, bytes};
    if (cost == 0) break;
  }
  if (best.cost_ps == std::numeric_limits<int64_t>::max()) {
    std::string got, accepted;
    for (size_t i = 0; i < layouts.size(); ++i) {
      got += (i ? ", " : "") + def.InputAt(static_cast<int>(i)).name + ": " + inputs[i].ToString() +
             "{" + layouts[i]->nd_sbp.ToString() + "}";
    }
    for (size_t i = 0; i < signatures.size() && i < 8; ++i) {
      accepted += (i ? "; " : "") + signatures[i].ToString();
    }
    return Error(Code::kInvalidArgument)
           << "[" << def.name << "] no signature takes these layouts: got " << got
           << "; expected one of " << accepted << "; convert with x.to_global(sbp=...)";
  }
  return best;
}

Result<int64_t> DecompositionCost(const op::OpDef& def, std::span<const TensorMeta> inputs,
                                  std::span<const sbp::Layout* const> layouts, const Attrs& attrs) {
  PricingBuilder builder;
  op::Values values;
  for (size_t i = 0; i < inputs.size(); ++i) {
    values.emplace_back(new PricedValue(inputs[i], *layouts[i]));
  }
  def.decompose(builder, values, attrs);
  OFL_TRY(builder.status());
  return builder.cost;
}

}  // namespace ofl::tensor
