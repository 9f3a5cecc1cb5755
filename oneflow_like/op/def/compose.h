// Composites: operators written in others. Who meets one runs its composition with a builder of
// its own, so that inference, layouts and gradients follow from the parts.
#pragma once

#include <span>
#include <vector>

#include "oneflow_like/op/def/op_def.h"

namespace ofl::op {

// Metadata without data, for asking a composition what it would make.
class MetaValue final : public ValueBase {
 public:
  explicit MetaValue(const TensorMeta& meta) : meta_(meta) {}
  const TensorMeta& meta() const override { return meta_; }
  const sbp::Layout* layout() const override { return nullptr; }
  bool is_symbolic() const override { return true; }

 private:
  TensorMeta meta_;
};

// Infers, and computes nothing.
class MetaBuilder : public Builder {
 public:
  Values Apply(const OpDef& op, Values inputs, const Attrs& attrs) override;
  Value ToLayout(const Value& x, const sbp::Layout&) override { return x; }
};

// `base` once the elements that `view` shows of it are `value`. A view without a write-back may
// repeat elements: this one does not, since nobody writes through one that does.
Value WrittenBack(Builder& b, const OpDef& view, const Attrs& attrs, const Value& base,
                  const Value& value);

// The outputs of a composite, part by part, with the promotion each part makes.
Result<std::vector<TensorMeta>> InferComposite(const OpDef& def, std::span<const TensorMeta> inputs,
                                               const Attrs& attrs);

// Whether operands must be cast before `def` is called with them.
bool NeedsPromotion(const OpDef& def, std::span<const Value> inputs, const Attrs& attrs);

// The operands, those that take part cast to the dtype in which they meet. kTypeMismatch, which
// names the operands, where there is none.
Result<Values> PromotedInputs(Builder& builder, const OpDef& def, std::span<const Value> inputs,
                              const Attrs& attrs);

}  // namespace ofl::op
