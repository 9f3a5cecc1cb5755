// The gradients of conversions between local tensors, global ones and layouts.
#pragma once

#include <string_view>

#include "oneflow_like/tensor/autograd.h"
#include "oneflow_like/tensor/conversion.h"

namespace ofl::tensor {

// True if some rank holds the same part as another.
bool HasBroadcastOver(const sbp::Layout& layout);

// Refuses symbols that no gradient has: it is a sum, never a partial maximum.
Status CheckGradSymbols(std::string_view op, const sbp::NdSbp& grad_sbp);

// The layout of the gradient of a tensor that the ranks hold as parts of `layout`: `grad_sbp`,
// which must cut it the same way, or else its own with B for P.
Result<LayoutRef> GradLayout(std::string_view op, const TensorMeta& meta, const LayoutRef& layout,
                             const GradSbp& grad_sbp);

// Of a change of layout: through `grad` (may be null) back to where the input lies.
NodeRef LayoutGradient(LayoutRef input, LayoutRef grad);
// Of local -> global: this rank's part under `grad`.
NodeRef FromLocalGradient(LayoutRef grad, const TensorMeta& local);
// Of global -> local: the ranks' gradients put together under `grad`.
NodeRef ToLocalGradient(const TensorMeta& meta, LayoutRef grad);

}  // namespace ofl::tensor
