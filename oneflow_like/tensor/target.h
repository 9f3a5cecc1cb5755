// Calls whose result goes into memory that exists: out= and in-place forms.
//
// A target keeps its dtype, shape and layout. The result is cast to it where torch allows the cast,
// boxed to its layout, and copied first where it overlaps the target in part. In-place forms are
// recorded in the tape (docs/views.md); out= is not.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "oneflow_like/core/overlap.h"
#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/tensor/generator.h"
#include "oneflow_like/tensor/tensor.h"

namespace ofl::tensor {

enum class Overlap : uint8_t {
  kNone,     // no byte is shared, as far as first and last bytes tell
  kExact,    // the same elements in the same order
  kPartial,  // anything else
};
Overlap OverlapOf(const TensorImpl& a, const TensorImpl& b);
// First byte and one past the last that a view with elements touches.
std::pair<const std::byte*, const std::byte*> Extent(const TensorImpl& x);
// kFailedPrecondition for memory that nobody may write to.
Status CheckWritable(const TensorImpl& target, std::string_view op);
// Whether an operator gives all elements one number, which may be written to a tensor that overlaps
// itself.
bool GivesOneNumber(const op::OpDef& def);

// Applies an operator of one output and puts the result into `target`. The kernel writes there
// itself where dtype, layout and overlap allow. Nothing is recorded: kFailedPrecondition where the
// tape would have to be. kInvalidArgument or kTypeMismatch where the result does not fit.
Status DispatchInto(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                    const TensorRef& target, Generator* generator = nullptr);

// Applies an operator of one output to operands among which the target is, and gives it the result:
// its elements and, while gradients are recorded, its history. kFailedPrecondition for a leaf that
// requires grad and a view of one.
Status DispatchInPlace(const op::OpDef& def, std::span<const op::Value> inputs, const Attrs& attrs,
                       const TensorRef& target, Generator* generator = nullptr);
// Likewise the elements and the history of a value that exists.
Status Assign(const TensorRef& value, const TensorRef& target, std::string_view op);

// What a value must be to go into a target, for the end of an error; eager calls and graphs say it.
std::string FitAdvice(bool value_global, bool target_global);

// Puts a value that exists into `target`, by the same rules. `op` stands in errors. Not recorded.
Status WriteInto(const TensorRef& value, const TensorRef& target, std::string_view op);

}  // namespace ofl::tensor
