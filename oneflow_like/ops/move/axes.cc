// Axes put in, left out, joined and turned: composites of reshape, permute and broadcast_to.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

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
      if (named[*axis]) {
        return Refused(b, Error(Code::kInvalidArgument)
                              << "dim names axis " << *axis << " twice; expected each axis once");
      }
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

op::Values ComposeUnflatten(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& from = in[0]->meta().shape;
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), from.rank());
  if (!axis.ok()) return Refused(b, axis.status());
  Ints sizes = attrs.Get<Ints>("sizes");
  if (sizes.empty() || from.rank() == 0) {
    return Refused(b, Error(Code::kInvalidArgument) << "an axis becomes at least one: got "
                                                    << (sizes.empty() ? "no sizes" : "a 0-d tensor")
                                                    << "; expected sizes, and a tensor with axes");
  }
  int64_t product = 1;
  int unknown = -1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1 && unknown < 0) {
      unknown = static_cast<int>(i);
    } else {
      product = sizes[i] < 0 ? -1 : SaturatingMul(product, sizes[i]);
    }
    if (product < 0) break;
  }
  const int64_t extent = from[*axis];
  if (unknown >= 0 && product > 0 && extent % product == 0) {
    sizes[unknown] = extent / product;
    product = extent;
  }
  if (product != extent || (unknown >= 0 && sizes[unknown] < 0)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "sizes do not multiply up to the size of axis " << *axis << ": got "
                          << AttrToString(attrs.Get<Ints>("sizes")) << "; expected a product of "
                          << extent);
  }
  Ints shape(from.begin(), from.begin() + *axis);
  shape.insert(shape.end(), sizes.begin(), sizes.end());
  shape.insert(shape.end(), from.begin() + *axis + 1, from.end());
  return Reshaped(b, in[0], std::move(shape));
}

op::Values ComposeRavel(op::Builder& b, Span in, const Attrs&) { return Reshaped(b, in[0], {-1}); }

// The order that takes axes `source` to places `destination` and leaves the others as they are.
op::Values ComposeMovedim(op::Builder& b, Span in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  const Ints &source = attrs.Get<Ints>("source"), &destination = attrs.Get<Ints>("destination");
  if (source.size() != destination.size()) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "source and destination differ in length: got " << source.size()
                          << " and " << destination.size() << " axes; expected as many");
  }
  Ints order(rank, -1);
  std::vector<bool> moved(std::max(rank, 1), false), taken = moved;
  for (size_t i = 0; i < source.size(); ++i) {
    const auto from = NormalizeAxis(source[i], rank), to = NormalizeAxis(destination[i], rank);
    if (!from.ok() || !to.ok()) return Refused(b, from.ok() ? to.status() : from.status());
    if (moved[*from] || taken[*to]) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "an axis is repeated: got "
                            << (moved[*from] ? "source " : "destination ")
                            << AttrToString(moved[*from] ? source : destination)
                            << "; expected each axis once");
    }
    moved[*from] = taken[*to] = true;
    if (rank > 0) order[*to] = *from;
  }
  for (int from = 0, to = 0; from < rank; ++from) {
    if (moved[from]) continue;
    while (order[to] >= 0) ++to;
    order[to] = from;
  }
  return {b.Call("permute", {in[0]}, {{"dims", std::move(order)}})};
}

// The matrix's, or each matrix's, transpose. A 0-d tensor is its own.
op::Values ComposeMatrixTranspose(op::Builder& b, Span in, const Attrs&) {
  const int rank = in[0]->meta().shape.rank();
  if (rank == 0) return {in[0]};
  if (rank > 1)
    return {b.Call("transpose", {in[0]}, {{"dim0", int64_t{-2}}, {"dim1", int64_t{-1}}})};
  return Refused(b, Error(Code::kInvalidArgument)
                        << "a vector is no matrix: got 1 axis; expected a matrix or a batch of "
                           "matrices");
}

op::Values ComposeAdjoint(op::Builder& b, Span in, const Attrs& attrs) {
  op::Values turned = ComposeMatrixTranspose(b, in, attrs);
  if (turned[0] == nullptr || !IsComplex(in[0]->meta().dtype)) return turned;
  return {b.Call("conj", {turned[0]})};
}

op::Values ComposeHermitian(op::Builder& b, Span in, const Attrs& attrs) {
  const int rank = in[0]->meta().shape.rank();
  if (rank == 0 || rank == 2) return ComposeAdjoint(b, in, attrs);
  return Refused(b, Error(Code::kInvalidArgument)
                        << "H is of matrices: got " << rank
                        << " axes; expected 2; use mH for batches of matrices");
}

op::Values ComposeReversed(op::Builder& b, Span in, const Attrs&) {
  Ints dims;
  for (int i = in[0]->meta().shape.rank() - 1; i >= 0; --i) dims.push_back(i);
  return {b.Call("permute", {in[0]}, {{"dims", std::move(dims)}})};
}

op::Values ComposeReshapeAs(op::Builder& b, Span in, const Attrs&) {
  return Reshaped(b, in[0], DimsOf(in[1]->meta().shape));
}

op::Values ComposeViewAs(op::Builder& b, Span in, const Attrs&) {
  return {b.Call("view", {in[0]}, {{"shape", DimsOf(in[1]->meta().shape)}})};
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
      .PyMethod("unsqueeze_(input, dim)")
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
      .PyBoth("squeeze(input)")
      .Py("squeeze(input, dim)")
      .Public()
      .PyMethod("squeeze(input, *dim)")
      .PyMethod("squeeze_(input)")
      .PyMethod("squeeze_(input, *dim)")
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

OFL_OP(unflatten) {
  op.Doc("`input` with axis `dim` taken apart into axes of `sizes`, of which one may be -1.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("sizes", op::AttrType::kInts)
      .Compose(ComposeUnflatten)
      .Oracle("unflatten(input, dim, sizes)")
      .PyBoth("unflatten(input, dim, sizes)")
      .Samples([] {
        return InEveryDType({Of({{2, 6}}, {{"dim", int64_t{1}}, {"sizes", Ints{2, 3}}}),
                             Of({{4, 3}}, {{"dim", int64_t{-2}}, {"sizes", Ints{-1, 2}}}),
                             Of({{0, 3}}, {{"dim", int64_t{0}}, {"sizes", Ints{0, 5}}}),
                             Of({{3}}, {{"dim", int64_t{0}}, {"sizes", Ints{3}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 6}}},
                      {{"dim", int64_t{1}}, {"sizes", Ints{4, -1}}},
                      Code::kInvalidArgument,
                      "expected a product of 6"},
                     {{{DType::kFloat32, {2, 6}}},
                      {{"dim", int64_t{1}}, {"sizes", Ints{}}},
                      Code::kInvalidArgument,
                      "got no sizes"}});
}

OFL_OP(ravel) {
  op.Doc("The elements of `input` in row-major order as a vector.")
      .In("input")
      .Out("output")
      .Compose(ComposeRavel)
      .Oracle("input.reshape(-1)")
      .PyBoth("ravel(input)")
      .Samples([] { return InEveryDType({Of({{2, 3}}), Of({Shape{}}), Of({{0, 3}})}); });
}

OFL_OP(movedim) {
  op.Doc("`input` with the axes `source` at the places `destination`; the others keep their order.")
      .In("input")
      .Out("output")
      .Attr("source", op::AttrType::kInts)
      .Attr("destination", op::AttrType::kInts)
      .Compose(ComposeMovedim)
      .Oracle("movedim(input, source, destination)")
      .PyBoth("movedim(input, source, destination)")
      .PyBoth("moveaxis(input, source, destination)")
      .Samples([] {
        return InEveryDType({Of({{2, 3, 4}}, {{"source", Ints{0}}, {"destination", Ints{-1}}}),
                             Of({{2, 3, 4}}, {{"source", Ints{0, 1}}, {"destination", Ints{1, 2}}}),
                             Of({{2, 3}}, {{"source", Ints{}}, {"destination", Ints{}}}),
                             Of({Shape{}}, {{"source", Ints{0}}, {"destination", Ints{0}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 6}}},
                      {{"source", Ints{0, 0}}, {"destination", Ints{0, 1}}},
                      Code::kInvalidArgument,
                      "each axis once"},
                     {{{DType::kFloat32, {2, 6}}},
                      {{"source", Ints{0}}, {"destination", Ints{0, 1}}},
                      Code::kInvalidArgument,
                      "expected as many"}});
}

OFL_OP(matrix_transpose) {
  op.Doc("A matrix, or each matrix of a batch, with its axes swapped.")
      .In("input")
      .Out("output")
      .Compose(ComposeMatrixTranspose)
      .Oracle("np.swapaxes(input, -1, -2) if input.ndim else input")
      .Property("mT(input)")
      .Samples([] { return InEveryDType({Of({{2, 3}}), Of({{2, 2, 3}}), Of({Shape{}})}); })
      .ErrorSamples({{{{DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "a vector"}});
}

OFL_OP(adjoint) {
  op.Doc("The conjugate transpose of a matrix, or of each matrix of a batch.")
      .In("input")
      .Out("output")
      .Compose(ComposeAdjoint)
      .Oracle("(np.swapaxes(input, -1, -2) if input.ndim else input).conj()")
      .PyBoth("adjoint(input)")
      .Property("mH(input)")
      .Samples([] { return InEveryDType({Of({{2, 3}}), Of({{2, 2, 3}}), Of({Shape{}})}); })
      .ErrorSamples({{{{DType::kFloat32, {3}}}, {}, Code::kInvalidArgument, "a vector"}});
}

OFL_OP(hermitian) {
  op.Doc("The conjugate transpose of a matrix.")
      .In("input")
      .Out("output")
      .Compose(ComposeHermitian)
      .Oracle("input.T.conj()")
      .Property("H(input)")
      .Samples([] { return InEveryDType({Of({{2, 3}}), Of({Shape{}})}); })
      .ErrorSamples({{{{DType::kFloat32, {2, 2, 3}}}, {}, Code::kInvalidArgument, "use mH"}});
}

OFL_OP(t) {
  op.Doc("A matrix with its axes swapped; what has less than two axes stays as it is.")
      .In("input")
      .Out("output")
      .Compose(ComposeT)
      .Oracle("input.T")
      .PyBoth("t(input)")
      .PyMethod("t_(input)")
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
      .Samples([] { return InEveryDType({Of({{2, 6}, {3, 4}})}); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {7}}},
                      {},
                      Code::kInvalidArgument,
                      "a shape of 6 elements"}});
}

OFL_OP(view_as) {
  op.Doc("The same memory under the shape of `other`, whose values are not read.")
      .In("input")
      .In("other")
      .Out("output")
      .Compose(ComposeViewAs)
      .Oracle("input.reshape(other.shape)")
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
