// A tensor taken apart along an axis: composites.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

constexpr int64_t kMaxParts = int64_t{1} << 20;  // each is a tensor; an empty axis may be huge

op::Value Narrowed(op::Builder& b, const op::Value& x, int axis, int64_t start, int64_t length) {
  Ints begin(x->meta().shape.rank(), 0), end = DimsOf(x->meta().shape), step(begin.size(), 1);
  begin[axis] = start;
  end[axis] = start + length;
  // An axis that is taken whole may be split.
  return b.Call("slice", {x}, {{"begin", begin}, {"end", end}, {"step", step}});
}

op::Values ComposeNarrow(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  if (shape.rank() == 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "narrow() cannot be applied to a 0-dim tensor; expected an axis");
  }
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), shape.rank());
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t size = shape[*axis], length = attrs.Get<int64_t>("length");
  int64_t start = attrs.Get<int64_t>("start");
  if (start < 0 && start >= -size) start += size;
  if (start < 0 || length < 0 || start > size || length > size - start) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "start (" << start << ") + length (" << length
                          << ") exceeds dimension size (" << size
                          << "); expected a part that lies inside");
  }
  return {Narrowed(b, in[0], *axis, start, length)};
}

// The parts of these sizes, one after another.
op::Values Parts(op::Builder& b, const op::Value& x, int axis, const Ints& sizes) {
  op::Values parts;
  int64_t at = 0;
  for (int64_t size : sizes) {
    parts.push_back(Narrowed(b, x, axis, at, size));
    at += size;
  }
  return parts;
}

// The axis of an operator that takes a tensor apart.
Result<int> AxisOf(const op::Value& x, const Attrs& attrs) {
  OFL_ENSURE(x->meta().shape.rank() > 0, Code::kInvalidArgument)
      << "a 0-d tensor has no parts; expected at least one axis";
  return NormalizeAxis(attrs.Get<int64_t>("dim"), x->meta().shape.rank());
}

// Parts of one size but for the last.
op::Values EvenParts(op::Builder& b, const op::Value& x, int axis, int64_t size) {
  const int64_t extent = x->meta().shape[axis];
  const int64_t step = std::max<int64_t>(size, 1);
  if (extent / step + (extent % step != 0) > kMaxParts) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the parts are too many: parts of " << size << " of an axis of size "
                          << extent << "; expected at most " << kMaxParts << " parts");
  }
  Ints sizes;
  for (int64_t at = 0; at < extent; at += size) sizes.push_back(std::min(size, extent - at));
  if (sizes.empty()) sizes.push_back(0);
  return Parts(b, x, axis, sizes);
}

op::Values ComposeSplit(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs);
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t size = attrs.Get<int64_t>("split_size"), extent = in[0]->meta().shape[*axis];
  if (size < 0 || (size == 0 && extent > 0)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "split_size is no size: got " << size << "; expected at least 1");
  }
  return EvenParts(b, in[0], *axis, size);
}

op::Values ComposeSplitSizes(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs);
  if (!axis.ok()) return Refused(b, axis.status());
  const Ints& sizes = attrs.Get<Ints>("split_sizes");
  const int64_t extent = in[0]->meta().shape[*axis];
  int64_t total = 0;
  bool negative = false;
  for (int64_t size : sizes) {
    negative |= size < 0;
    total = SaturatingAdd(total, std::max<int64_t>(size, 0));
  }
  if (total != extent || negative || std::ssize(sizes) > kMaxParts) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "split_with_sizes expects split_sizes to sum exactly to " << extent
                          << " (input tensor's size at dimension " << *axis << "), but got "
                          << AttrToString(sizes));
  }
  return Parts(b, in[0], *axis, sizes);
}

op::Values ComposeChunk(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axis = AxisOf(in[0], attrs);
  if (!axis.ok()) return Refused(b, axis.status());
  const int64_t chunks = attrs.Get<int64_t>("chunks"), extent = in[0]->meta().shape[*axis];
  if (chunks < 1) {
    return Refused(b, Error(Code::kInvalidArgument) << "chunks is no number of parts: got "
                                                    << chunks << "; expected at least 1");
  }
  // Of an axis of size 0 there are as many parts as were asked for.
  if (extent == 0 && chunks <= kMaxParts)
    return Parts(b, in[0], *axis, Ints(static_cast<size_t>(chunks), 0));
  const int64_t size = extent / chunks + (extent % chunks != 0);
  return EvenParts(b, in[0], *axis, std::max<int64_t>(size, 1));
}

op::Sample Of(std::vector<Shape> shapes, Attrs attrs, DType dtype = DType::kFloat32) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({dtype, shape});
  sample.attrs = std::move(attrs);
  return sample;
}

}  // namespace

OFL_OP(narrow) {
  op.Doc("`length` places of axis `dim`, from `start` on; a negative start counts from the end.")
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Attr("start", op::AttrType::kInt)
      .Attr("length", op::AttrType::kInt)
      .Compose(ComposeNarrow)
      .Oracle("narrow(input, dim, start, length)")
      .PyBoth("narrow(input, dim, start, length)")
      .Samples([] {
        const auto part = [](int64_t dim, int64_t start, int64_t length) {
          return Of({{4, 3}}, {{"dim", dim}, {"start", start}, {"length", length}});
        };
        return InEveryDType({part(0, 1, 2), part(-1, 0, 3), part(0, 4, 0), part(0, -2, 1)});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"dim", int64_t{0}}, {"start", int64_t{3}}, {"length", int64_t{2}}},
                      Code::kInvalidArgument,
                      "start (3) + length (2) exceeds dimension size (4)"}});
}

OFL_OP(split) {
  op.Doc("The tensor in parts of `split_size` along axis `dim`; the last may be smaller.")
      .In("tensor")
      .OutVariadic("parts")
      .Attr("split_size", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeSplit)
      .Oracle("split(tensor, split_size, dim)")
      .PyBoth("split(tensor, split_size_or_sections: split_size, dim=0)")
      .PyMethod("split(tensor, split_size, dim=0)")
      .PyBoth("unsafe_split(input: tensor, split_size, dim=0)")
      .Samples([] {
        return InEveryDType({Of({{5, 3}}, {{"split_size", int64_t{2}}}),
                             Of({{5, 4}}, {{"split_size", int64_t{2}}, {"dim", int64_t{-1}}}),
                             Of({{0, 3}}, {{"split_size", int64_t{2}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"split_size", int64_t{0}}},
                      Code::kInvalidArgument,
                      "got 0; expected at least 1"},
                     {{{DType::kFloat32, {}}},
                      {{"split_size", int64_t{1}}},
                      Code::kInvalidArgument,
                      "at least one axis"}});
}

OFL_OP(split_with_sizes) {
  op.Doc("The tensor in parts of the given sizes along axis `dim`.")
      .In("tensor")
      .OutVariadic("parts")
      .Attr("split_sizes", op::AttrType::kInts)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeSplitSizes)
      .Oracle("split(tensor, split_sizes, dim)")
      .PyBoth("split(tensor, split_size_or_sections: split_sizes, dim=0)")
      .PyMethod("split(tensor, split_size: split_sizes, dim=0)")
      .PyBoth("split_with_sizes(input: tensor, split_sizes, dim=0)")
      .PyBoth("unsafe_split_with_sizes(input: tensor, split_sizes, dim=0)")
      .Samples([] {
        return InEveryDType({Of({{5, 3}}, {{"split_sizes", Ints{1, 0, 4}}}),
                             Of({{5, 3}}, {{"split_sizes", Ints{1, 2}}, {"dim", int64_t{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"split_sizes", Ints{5, -1}}},
                      Code::kInvalidArgument,
                      "sum exactly to 4"}});
}

OFL_OP(chunk) {
  op.Doc(
        "The tensor in at most `chunks` parts of one size along axis `dim`; the last may be "
        "smaller.")
      .In("input")
      .OutVariadic("parts")
      .Attr("chunks", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeChunk)
      .Oracle("chunk(input, chunks, dim)")
      .PyBoth("chunk(input, chunks, dim=0)")
      .PyBoth("unsafe_chunk(input, chunks, dim=0)")
      .Samples([] {
        return InEveryDType({Of({{5, 3}}, {{"chunks", int64_t{2}}}),
                             Of({{5, 3}}, {{"chunks", int64_t{7}}, {"dim", int64_t{1}}}),
                             Of({{0, 3}}, {{"chunks", int64_t{2}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"chunks", int64_t{0}}},
                      Code::kInvalidArgument,
                      "got 0; expected at least 1"}});
}

}  // namespace ofl::ops
