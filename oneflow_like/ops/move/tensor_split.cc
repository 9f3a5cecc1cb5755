// A tensor taken apart at places that the caller names, or into its slices: composites. And the
// slice of one axis replaced.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

constexpr int64_t kMaxParts = int64_t{1} << 20;  // each is a tensor; an empty axis may be huge

op::Value Narrowed(op::Builder& b, const op::Value& x, int64_t axis, int64_t from, int64_t to) {
  return b.Call("narrow", {x}, {{"dim", axis}, {"start", from}, {"length", to - from}});
}

Result<int> AxisOf(const op::Value& x, int64_t dim) {
  OFL_ENSURE(x->meta().shape.rank() > 0, Code::kOutOfRange)
      << "a 0-d tensor has no parts; expected at least one axis";
  return NormalizeAxis(dim, x->meta().shape.rank());
}

op::Values ComposeUnbind(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs.Get<int64_t>("dim"));
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t count = in[0]->meta().shape[*axis];
  if (count > kMaxParts) {
    return Refused(b, Error(Code::kInvalidArgument) << "the slices are too many: got " << count
                                                    << "; expected at most " << kMaxParts);
  }
  op::Values slices;
  for (int64_t i = 0; i < count; ++i)
    slices.push_back(b.Call("select", {in[0]}, {{"dim", int64_t{*axis}}, {"index", i}}));
  return slices;
}

// Parts whose sizes differ by one at most, the larger ones first.
op::Values InSections(op::Builder& b, const op::Value& x, int axis, int64_t sections) {
  const int64_t extent = x->meta().shape[axis];
  if (sections < 1 || sections > kMaxParts) {
    return Refused(b, Error(Code::kInvalidArgument) << "sections is no number of parts: got "
                                                    << sections << "; expected 1 to " << kMaxParts);
  }
  op::Values parts;
  for (int64_t i = 0, at = 0; i < sections; ++i) {
    const int64_t size = extent / sections + (i < extent % sections);
    parts.push_back(Narrowed(b, x, axis, at, at + size));
    at += size;
  }
  return parts;
}

// Parts between these places, with Python's rules for negative and large ones.
op::Values AtIndices(op::Builder& b, const op::Value& x, int axis, const Ints& indices) {
  const int64_t extent = x->meta().shape[axis];
  const auto place = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + extent : at, 0, extent);
  };
  op::Values parts;
  int64_t from = 0;
  for (size_t i = 0; i <= indices.size(); ++i) {
    const int64_t to = i < indices.size() ? place(indices[i]) : extent;
    parts.push_back(Narrowed(b, x, axis, from, std::max(from, to)));
    from = i < indices.size() ? place(indices[i]) : extent;
  }
  return parts;
}

op::Values ComposeTensorSplit(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs.Get<int64_t>("dim"));
  if (!axis.ok()) return Refused(b, axis.status());
  if (const Ints* indices = attrs.Maybe<Ints>("indices"))
    return AtIndices(b, in[0], *axis, *indices);
  return InSections(b, in[0], *axis, attrs.Get<int64_t>("sections"));
}

// hsplit, vsplit and dsplit: tensor_split of an axis that the name says, into equal parts.
op::Values AlongFixed(op::Builder& b, Span in, const Attrs& attrs, int axis, int least) {
  const Shape& shape = in[0]->meta().shape;
  if (shape.rank() < least) {
    return Refused(b, Error(Code::kInvalidArgument) << "the tensor has " << shape.rank()
                                                    << " axes; expected at least " << least);
  }
  if (const Ints* indices = attrs.Maybe<Ints>("indices"))
    return AtIndices(b, in[0], axis, *indices);
  const int64_t sections = attrs.Get<int64_t>("sections");
  if (sections < 1 || shape[axis] % sections != 0) {
    return Refused(b, Error(Code::kInvalidArgument) << "axis " << axis << " of size " << shape[axis]
                                                    << " is not divisible by " << sections
                                                    << "; expected equal parts; use tensor_split");
  }
  return InSections(b, in[0], axis, sections);
}
op::Values ComposeHsplit(op::Builder& b, Span in, const Attrs& attrs) {
  return AlongFixed(b, in, attrs, in[0]->meta().shape.rank() > 1 ? 1 : 0, 1);
}
op::Values ComposeVsplit(op::Builder& b, Span in, const Attrs& attrs) {
  return AlongFixed(b, in, attrs, 0, 2);
}
op::Values ComposeDsplit(op::Builder& b, Span in, const Attrs& attrs) {
  return AlongFixed(b, in, attrs, 2, 3);
}

// One axis of slice_scatter, with Python's rules for bounds.
op::Values ComposeSliceScatter(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs.Get<int64_t>("dim"));
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t extent = in[0]->meta().shape[*axis];
  const int64_t *start = attrs.Maybe<int64_t>("start"), *end = attrs.Maybe<int64_t>("end");
  Ints begin(in[0]->meta().shape.rank(), 0), stop = DimsOf(in[0]->meta().shape),
                                             step(begin.size(), 1);
  begin[*axis] = start == nullptr ? 0 : *start;
  stop[*axis] = end == nullptr ? extent : *end;
  step[*axis] = attrs.Get<int64_t>("step");
  op::Value value = in[1];
  if (value->meta().dtype != in[0]->meta().dtype)
    value = b.Call("cast", {value}, {{"dtype", in[0]->meta().dtype}});
  return {
      b.Call("slice_scatter", {in[0], value}, {{"begin", begin}, {"end", stop}, {"step", step}})};
}

op::Sample Of(std::vector<Shape> shapes, Attrs attrs) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({DType::kFloat32, shape});
  sample.attrs = std::move(attrs);
  return sample;
}

op::OpDefBuilder& Parted(op::OpDefBuilder& op, const char* doc, op::DecomposeFn fn) {
  return op.Doc(doc).In("input").OutVariadic("parts").Compose(fn);
}
std::vector<op::ErrorSample> NotDivisible(Shape shape) {
  return {{{{DType::kFloat32, shape}},
           {{"sections", int64_t{4}}},
           Code::kInvalidArgument,
           "expected equal parts"},
          {{{DType::kFloat32, {}}},
           {{"sections", int64_t{1}}},
           Code::kInvalidArgument,
           "expected at least"}};
}

}  // namespace

OFL_OP(unbind) {
  Parted(op, "The slices of `input` along axis `dim`, without it.", ComposeUnbind)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Oracle("tuple(np.moveaxis(input, dim, 0))")
      .PyBoth("unbind(input, dim=0)")
      .Samples([] {
        return InEveryDType(
            {Of({{2, 3}}, {}), Of({{2, 3}}, {{"dim", int64_t{-1}}}), Of({{1}}, {})});
      })
      .ErrorSamples({{{{DType::kFloat32, {}}}, {}, Code::kOutOfRange, "at least one axis"}});
}

OFL_OP(tensor_split) {
  Parted(op, "The tensor in `sections` parts along axis `dim`, the first ones longer by one.",
         ComposeTensorSplit)
      .Attr("sections", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Oracle("tuple(np.array_split(input, sections, dim))")
      .PyBoth("tensor_split(input, sections, dim=0)")
      .PyBoth("tensor_split(input, tensor_indices_or_sections: sections, dim=0)")
      .Samples([] {
        return InEveryDType({Of({{5, 3}}, {{"sections", int64_t{2}}}),
                             Of({{2, 2}}, {{"sections", int64_t{3}}, {"dim", int64_t{-1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"sections", int64_t{0}}},
                      Code::kInvalidArgument,
                      "got 0; expected 1"}});
}

OFL_OP(tensor_split_indices) {
  Parted(op, "The tensor cut before the given places of axis `dim`.", ComposeTensorSplit)
      .Attr("indices", op::AttrType::kInts)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Oracle("split_at(input, indices, dim)")
      .PyBoth("tensor_split(input, indices, dim=0)")
      .PyBoth("tensor_split(input, tensor_indices_or_sections: indices, dim=0)")
      .Samples([] {
        return InEveryDType({Of({{5, 3}}, {{"indices", Ints{1, 3}}}),
                             Of({{2, 5}}, {{"indices", Ints{3, 1, -1, 9}}, {"dim", int64_t{1}}}),
                             Of({{3}}, {{"indices", Ints{}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {}}},
                      {{"indices", Ints{1}}},
                      Code::kOutOfRange,
                      "at least one axis"}});
}

OFL_OP(hsplit) {
  Parted(op, "The tensor in equal parts along its second axis; a vector along its first.",
         ComposeHsplit)
      .Attr("sections", op::AttrType::kInt)
      .Oracle("tuple(np.hsplit(input, sections))")
      .PyBoth("hsplit(input, sections)")
      .Samples([] {
        return InEveryDType(
            {Of({{2, 6}}, {{"sections", int64_t{3}}}), Of({{4}}, {{"sections", int64_t{2}}})});
      })
      .ErrorSamples(NotDivisible({2, 3}));
}
OFL_OP(hsplit_indices) {
  Parted(op, "The tensor cut before the given places of its second axis; a vector of its first.",
         ComposeHsplit)
      .Attr("indices", op::AttrType::kInts)
      .Oracle("split_at(input, indices, min(input.ndim - 1, 1))")
      .PyBoth("hsplit(input, indices)")
      .PyMethod("hsplit(input, *indices)")
      .Samples([] { return InEveryDType({Of({{2, 6}}, {{"indices", Ints{1, 4}}})}); });
}
OFL_OP(vsplit) {
  Parted(op, "The tensor in equal parts along its first axis.", ComposeVsplit)
      .Attr("sections", op::AttrType::kInt)
      .Oracle("tuple(np.vsplit(input, sections))")
      .PyBoth("vsplit(input, sections)")
      .Samples([] { return InEveryDType({Of({{6, 2}}, {{"sections", int64_t{3}}})}); })
      .ErrorSamples(NotDivisible({3, 2}));
}
OFL_OP(vsplit_indices) {
  Parted(op, "The tensor cut before the given places of its first axis.", ComposeVsplit)
      .Attr("indices", op::AttrType::kInts)
      .Oracle("split_at(input, indices, 0)")
      .PyBoth("vsplit(input, indices)")
      .PyMethod("vsplit(input, *indices)")
      .Samples([] { return InEveryDType({Of({{6, 2}}, {{"indices", Ints{1, 4}}})}); });
}
OFL_OP(dsplit) {
  Parted(op, "The tensor in equal parts along its third axis.", ComposeDsplit)
      .Attr("sections", op::AttrType::kInt)
      .Oracle("tuple(np.dsplit(input, sections))")
      .PyBoth("dsplit(input, sections)")
      .Samples([] { return InEveryDType({Of({{1, 2, 4}}, {{"sections", int64_t{2}}})}); })
      .ErrorSamples(NotDivisible({1, 1, 3}));
}
OFL_OP(dsplit_indices) {
  Parted(op, "The tensor cut before the given places of its third axis.", ComposeDsplit)
      .Attr("indices", op::AttrType::kInts)
      .Oracle("split_at(input, indices, 2)")
      .PyBoth("dsplit(input, indices)")
      .PyMethod("dsplit(input, *indices)")
      .Samples([] { return InEveryDType({Of({{1, 2, 4}}, {{"indices", Ints{1}}})}); });
}

OFL_OP(slice_scatter_dim) {
  op.Doc("`input` with the places start, start + step, ... before end of axis `dim` replaced.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .OptionalAttr("start", op::AttrType::kInt)
      .OptionalAttr("end", op::AttrType::kInt)
      .Attr("step", op::AttrType::kInt, int64_t{1})
      .Compose(ComposeSliceScatter)
      .Oracle("put(base, value, along(base.ndim, dim, slice(start, end, step)))")
      .PyBoth("slice_scatter(input: base, src: value, dim=0, start=None, end=None, step=1)")
      .Samples([] {
        return InEveryDType({Of({{5, 2}, {2, 2}}, {{"start", int64_t{1}}, {"step", int64_t{2}}}),
                             Of({{2, 5}, {2, 1}}, {{"dim", int64_t{-1}}, {"start", int64_t{-1}}}),
                             Of({{3}, {3}}, {}),
                             Of({{3, 2}, {0, 2}}, {{"start", int64_t{2}}, {"end", int64_t{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}, {DType::kFloat32, {3}}},
                      {{"end", int64_t{2}}},
                      Code::kInvalidArgument,
                      "shape of the slice"},
                     {{{DType::kFloat32, {}}, {DType::kFloat32, {}}},
                      {},
                      Code::kOutOfRange,
                      "at least one axis"}});
}

}  // namespace ofl::ops
