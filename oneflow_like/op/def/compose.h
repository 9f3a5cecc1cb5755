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

// The outputs of a composite, part by part, with the promotion each part makes.
Result<std::vector<TensorMeta>> InferComposite(const OpDef& def, std::span<const TensorMeta> inputs,
                                               const Attrs& attrs);

// A cast to the dtype in which the operands of `def` meet, where they differ: promotion for
// builders whose Apply takes operands as they are.
Result<Values> PromotedInputs(Builder& builder, const OpDef& def, Values inputs,
                              const Attrs& attrs);

}  // namespace ofl::op
