// Eager conversions of global tensors: the planner's steps, run by this rank.
#pragma once

#include <string_view>

#include "oneflow_like/tensor/call_cache.h"

namespace ofl::tensor {

// The conversion as this rank runs it, from the context's cache.
Result<RecipeRef> RecipeFor(const TensorMeta& meta, const LayoutRef& from, const LayoutRef& to);

// Runs a recipe; collective over its group (a null device moves nothing). `why` names the operator
// that needs the conversion. Outside the tape. Ranks in neither placement return a shell at once.
Result<TensorRef> RunBoxing(const BoxingRecipe& recipe, const TensorRef& x, std::string_view why);

}  // namespace ofl::tensor
