// What the definitions of reductions share: axes, layout rules, gradients, samples.
#pragma once

#include <string>
#include <vector>

#include "oneflow_like/ops/reduce/reducer.h"

namespace ofl::ops {

inline constexpr DTypeSet kSummed = kNumbers | kBools;
inline constexpr DTypeSet kOrdered = kReals | kBools;

// bool is counted, and ordered, as an integer.
template <class T>
using Counted = std::conditional_t<std::is_same_v<T, bool>, int32_t, T>;

// kOutOfRange or kInvalidArgument unless the attribute `dim` names axes of input 0, each once.
Status CheckDims(const op::InferContext& c);
// kOutOfRange where an axis that `dim` names is empty, kInvalidArgument where one is and it names
// none: it has no extreme value.
Status CheckNotEmpty(const op::InferContext& c);

inline ReducedAxes AxesFor(const op::InferContext& c) {
  return AxesOf(c.attrs(), c.input(0).shape.rank(), c.attr<bool>("keepdim"));
}
inline ReducedAxes AxesFor(const op::KernelContext& c) {
  return AxesOf(*c.attrs, c.inputs[0].meta.shape.rank(), c.attr<bool>("keepdim"));
}
inline Shape ReducedShapeOf(const op::InferContext& c) {
  return ReducedShape(c.input(0).shape, AxesFor(c), c.attr<bool>("keepdim"));
}
// The number of logical elements that one output combines.
double LogicalCount(const op::KernelContext& c);

// Reduced axes are factors of the input alone, combined by `how` ("sum", "max", "min"), or, where
// it is empty, not to be split; kept with size 1 they carry no factor.
std::string ReduceRule(const Shape& in, const ReducedAxes& axes, bool keepdim,
                       const std::string& how);
std::string ReduceRule(const Shape& in, const Attrs& attrs, const std::string& how);

// --- composites and gradients -------------------------------------------------------------------

// {dim, keepdim} of a reduction that keeps its axes.
Attrs KeptAxes(const Attrs& attrs);
// A reduction's result with its axes back at size 1.
op::Value WithAxes(op::Builder& b, const op::Value& y, const op::Value& input, const Attrs& attrs);
// The same, broadcast to the input.
op::Value SpreadOut(op::Builder& b, const op::Value& y, const op::Value& input, const Attrs& attrs);
// Elements that one result of a reduction of `shape` combines.
int64_t CountOf(const Shape& shape, const Attrs& attrs);
// `value` where the condition holds, else x.
op::Value ReplaceWhere(op::Builder& b, const op::Value& condition, Scalar value,
                       const op::Value& x);
op::Value IsNan(op::Builder& b, const op::Value& x);
// An axis list with the one axis, or none.
std::vector<int64_t> DimList(const int64_t* dim);

// The element of `x` along `dim` that each entry of `index` names; index is a reduction's result,
// with or without the axis.
op::Value TakeAt(op::Builder& b, const op::Value& x, const op::Value& index, int64_t dim);
// Every element moved one place on along `axis` (back, where `reverse`); `fill` takes the place
// that is left.
op::Value Shifted(op::Builder& b, const op::Value& x, int64_t axis, bool reverse, Scalar fill);
// Places [begin, end) along `axis`, which counts from the front.
op::Value Part(op::Builder& b, const op::Value& x, int64_t axis, int64_t begin, int64_t end);

// What a parameter dtype= asks for before anything else: none keeps the input.
op::Value InDType(op::Builder& b, const op::Value& x, const Attrs& attrs);
// The dtype that a sum or product of `input` is taken in: of integers and bool int64.
DType SummedDType(DType input, const DType* asked);

// The input in `dtype`: itself, or a converted copy in the workspace, CastScratch bytes of it.
Result<op::TensorView> Converted(op::KernelContext& c, DType dtype);
int64_t CastScratch(const TensorMeta& input, DType dtype);

// --- definitions --------------------------------------------------------------------------------

op::OpDefBuilder& Reduction(op::OpDefBuilder& op, const char* doc);
// Samples over axes, for every dtype of the set.
std::vector<op::Sample> ReduceSamples(DTypeSet set, bool empty, const Attrs& more = {});
std::vector<op::ErrorSample> DimErrors(DType refused, const char* text);

}  // namespace ofl::ops
