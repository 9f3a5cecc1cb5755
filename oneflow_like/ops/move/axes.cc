// Axes put in, left out, joined and turned: composites of reshape, permute and broadcast_to.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Ints = std::vector<int64_t>;
using Span = std::span<const op::Value>;

op::Values Reshaped(op::Builder& b, const op::Value& x, Ints shape) {
  return {b.Call("reshape", {x}, {{"shape", std::move(shape)}})};
}

op::Values ComposeUnsqueeze(op::Builder& b, Span in, const Attrs& attrs) {
  Ints shape = DimsOf(in[0]->meta().shape);
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), static_cast<int>(shape.size()) + 1);
  if (!axis.ok()) return Refused(b, axis.status());
  shape.insert(shape.begin() + *axis, 1);
  return Reshaped(b, in[0], std::move(shape));
}

op::Values ComposeSqueeze(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& from = in[0]->meta().shape;
  std::vector<bool> named(std::max(from.rank(), 1), true);
  if (const Ints* dims = attrs.Maybe<Ints>("dim")) {
    named.assign(named.size(), false);
    for (int64_t dim : *dims) {
      const auto axis = NormalizeAxis(dim, from.rank());
      if (!axis.ok()) return Refused(b, axis.status());
      named[*axis] = true;
    }
  }
  Ints shape;
  for (int i = 0; i < from.rank(); ++i)
    if (!named[i] || from[i] != 1) shape.push_back(from[i]);
  return Reshaped(b, in[0], std::move(shape));
}

op::Values ComposeFlatten(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& from = in[0]->meta().shape;
  const auto start = NormalizeAxis(attrs.Get<int64_t>("start_dim"), from.rank());
  const auto end = NormalizeAxis(attrs.Get<int64_t>("end_dim"), from.rank());
  if (!start.ok() || !end.ok()) return Refused(b, start.ok() ? end.status() : start.status());
  if (*start > *end) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "flatten() has invalid args: start_dim cannot come after end_dim: got "
                          << "start_dim=" << *start << ", end_dim=" << *end
                          << "; expected start_dim <= end_dim");
  }
  Ints shape = DimsOf(from);
  if (shape.empty()) return Reshaped(b, in[0], {1});
  int64_t joined = 1;
  for (int i = *start; i <= *end; ++i) joined *= shape[i];  // of a shape that a tensor has
  shape.erase(shape.begin() + *start, shape.begin() + *end);
  shape[*start] = joined;
  return Reshaped(b, in[0], std::move(shape));
}

op::Values ComposeT(op::Builder& b, Span in, const Attrs&) {
  const int rank = in[0]->meta().shape.rank();
  if (rank < 2) return {in[0]};
  if (rank == 2)
    return {b.Call("transpose", {in[0]}, {{"dim0", int64_t{0}}, {"dim1", int64_t{1}}})};
  return Refused(b, Error(Code::kInvalidArgument)
                        << "t() expects a tensor with <= 2 dimensions, but self is " << rank
                        << "D; use transpose or permute");
}

op::Values ComposeReversed(op::Builder& b, Span in, const Attrs&) {
  Ints dims;
  for (int i = in[0]->meta().shape.rank() - 1; i >= 0; --i) dims.push_back(i);
  return {b.Call("permute", {in[0]}, {{"dims", std::move(dims)}})};
}

op::Values ComposeReshapeAs(op::Builder& b, Span in, const Attrs&) {
  return Reshaped(b, in[0], DimsOf(in[1]->meta().shape));
}

op::Values ComposeExpandAs(op::Builder& b, Span in, const Attrs&) {
  return {b.Call("broadcast_to", {in[0]}, {{"shape", DimsOf(in[1]->meta().shape)}})};
}

op::Sample Of(std::vector<Shape> shapes, Attrs attrs = {}) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({DType::kFloat32, shape});
  sample.attrs = std::move(attrs);
  return sample;
}

}  // namespace

OFL_OP(unsqueeze) {
  op.Doc("`input` with an axis of size 1 before axis `dim`; -1: after the last.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Compose(ComposeUnsqueeze)
      .Oracle("np.expand_dims(input, dim)")
      .PyBoth("unsqueeze(input, dim)")
      .Samples([] {
        return InEveryDType({Of({{2, 3}}, {{"dim", int64_t{1}}}),
                             Of({{2, 3}}, {{"dim", int64_t{-1}}}),
                             Of({Shape{}}, {{"dim", int64_t{0}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"dim", int64_t{2}}},
                      Code::kOutOfRange,
                      "[-2, 1], but got 2"}});
}

OFL_OP(squeeze) {
  op.Doc("`input` without its axes of size 1: all of them, or those of them that `dim` names.")
      .In("input")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInts)
      .Compose(ComposeSqueeze)
      .Oracle("squeeze(input, dim)")
      .PyBoth("squeeze(input, dim=None)")
      .Samples([] {
        return InEveryDType({Of({{1, 2, 1}}), Of({{1, 2, 1}}, {{"dim", Ints{0, 1}}}),
                             Of({{1, 2, 1}}, {{"dim", Ints{-1}}}),
                             Of({Shape{}}, {{"dim", Ints{0}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"dim", Ints{1}}},
                      Code::kOutOfRange,
                      "[-1, 0], but got 1"}});
}

OFL_OP(flatten) {
  op.Doc("`input` with the axes from start_dim to end_dim, both included, joined into one.")
      .In("input")
      .Out("output")
      .Attr("start_dim", op::AttrType::kInt, int64_t{0})
      .Attr("end_dim", op::AttrType::kInt, int64_t{-1})
      .Compose(ComposeFlatten)
      .Oracle("flatten(input, start_dim, end_dim)")
      .PyBoth("flatten(input, start_dim=0, end_dim=-1)")
      .Samples([] {
        return InEveryDType({Of({{2, 3, 4}}), Of({{2, 3, 4}}, {{"start_dim", int64_t{1}}}),
                             Of({{2, 3, 4}}, {{"end_dim", int64_t{1}}}), Of({Shape{}}),
                             Of({{0, 3}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"start_dim", int64_t{1}}, {"end_dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "start_dim cannot come after end_dim"}});
}

OFL_OP(t) {
  op.Doc("A matrix with its axes swapped; what has less than two axes stays as it is.")
      .In("input")
      .Out("output")
      .Compose(ComposeT)
      .Oracle("input.T")
      .PyBoth("t(input)")
      .Samples([] { return InEveryDType({Of({{2, 3}}), Of({{3}}), Of({Shape{}})}); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3, 4}}}, {}, Code::kInvalidArgument, "<= 2 dimensions"}});
}

OFL_OP(reversed_axes) {
  op.Doc("`input` with all its axes in reverse order.")
      .In("input")
      .Out("output")
      .Compose(ComposeReversed)
      .Oracle("input.T")
      .Property("T(input)")
      .Samples([] { return InEveryDType({Of({{2, 3, 4}}), Of({{3}}), Of({Shape{}})}); });
}

OFL_OP(reshape_as) {
  op.Doc("The elements of `input` under the shape of `other`, whose values are not read.")
      .In("input")
      .In("other")
      .Out("output")
      .Compose(ComposeReshapeAs)
      .Oracle("input.reshape(other.shape)")
      .PyMethod("reshape_as(input, other)")
      .PyMethod("view_as(input, other)")
      .Samples([] { return InEveryDType({Of({{2, 6}, {3, 4}})}); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {7}}},
                      {},
                      Code::kInvalidArgument,
                      "a shape of 6 elements"}});
}

OFL_OP(expand_as) {
  op.Doc("`input` repeated to the shape of `other`, whose values are not read.")
      .In("input")
      .In("other")
      .Out("output")
      .Compose(ComposeExpandAs)
      .Oracle("np.broadcast_to(input, other.shape)")
      .PyMethod("expand_as(input, other)")
      .Samples([] { return InEveryDType({Of({{3}, {2, 3}}), Of({{2, 1}, {2, 4}})}); })
      .ErrorSamples({{{{DType::kFloat32, {3}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "does not broadcast"}});
}

}  // namespace ofl::ops
