// repeat, tile, repeat_interleave: a tensor several times: composites of broadcast_to and reshape.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

op::Value Reshaped(op::Builder& b, const op::Value& x, Ints shape) {
  return b.Call("reshape", {x}, {{"shape", std::move(shape)}});
}

// `x` with every element of an axis `count` times, or all of the axis as often, by way of a shape
// of four axes: for tensors that have no room for more.
op::Value OneAxisRepeated(op::Builder& b, const op::Value& x, int axis, int64_t count, bool whole) {
  if (x == nullptr) return x;
  const Shape from = x->meta().shape;
  const AxisView view = ViewAround(from, axis);
  Ints apart = {view.outer, whole ? 1 : view.size, whole ? view.size : 1, view.inner};
  Ints joined = DimsOf(from);
  joined[axis] = SaturatingMul(from[axis], count);
  const op::Value thin = Reshaped(b, x, apart);
  apart[whole ? 1 : 2] = count;
  return Reshaped(b, b.Call("broadcast_to", {thin}, {{"shape", std::move(apart)}}),
                  std::move(joined));
}

// `counts[i]` times axis i, one after another. An axis of size 1 is repeated as it is, any other
// one behind a new axis.
op::Value Repeated(op::Builder& b, op::Value x, const Ints& counts) {
  const Shape from = x->meta().shape;
  Ints apart, spread, joined;
  for (int i = 0; i < from.rank(); ++i) {
    if (from[i] != 1 && counts[i] != 1) {
      apart.push_back(1);
      spread.push_back(counts[i]);
    }
    apart.push_back(from[i]);
    spread.push_back(from[i] == 1 ? counts[i] : from[i]);
    joined.push_back(SaturatingMul(from[i], counts[i]));
  }
  const bool merges = std::ssize(apart) > from.rank();
  if (std::ssize(apart) > kMaxRank) {
    for (int i = 0; i < from.rank(); ++i)
      if (counts[i] != 1) x = OneAxisRepeated(b, x, i, counts[i], true);
    return x;
  }
  if (merges) x = Reshaped(b, x, std::move(apart));
  x = b.Call("broadcast_to", {x}, {{"shape", std::move(spread)}});
  // Joining repeated axes copies; what is repeated as it is still lies in the input's memory.
  return merges ? Reshaped(b, x, std::move(joined)) : b.Call("identity", {x});
}

op::Values ComposeRepeat(op::Builder& b, Span in, const Attrs& attrs) {
  const Ints& counts = attrs.Get<Ints>("repeats");
  const Shape& from = in[0]->meta().shape;
  if (std::ssize(counts) < from.rank() || std::ssize(counts) > kMaxRank) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "repeats has not a number for every axis: got " << counts.size()
                          << " numbers for " << from.rank() << " axes; expected at least as many, "
                          << "at most " << kMaxRank);
  }
  for (int64_t count : counts) {
    if (count >= 0) continue;
    return Refused(b, Error(Code::kInvalidArgument)
                          << "repeats is negative: got " << AttrToString(counts)
                          << "; expected numbers of at least 0");
  }
  Ints shape(counts.size() - from.rank(), 1);
  shape.insert(shape.end(), from.begin(), from.end());
  op::Value x = in[0];
  if (std::ssize(shape) > from.rank()) x = Reshaped(b, x, std::move(shape));
  return {x == nullptr ? x : Repeated(b, x, counts)};
}

op::Values ComposeTile(op::Builder& b, Span in, const Attrs& attrs) {
  Ints counts = attrs.Get<Ints>("dims");
  const int rank = in[0]->meta().shape.rank();
  if (std::ssize(counts) < rank) counts.insert(counts.begin(), rank - counts.size(), 1);
  return {b.Call("repeat", {in[0]}, {{"repeats", std::move(counts)}})};
}

op::Values ComposeInterleave(op::Builder& b, Span in, const Attrs& attrs) {
  const int64_t count = attrs.Get<int64_t>("repeats");
  op::Value x = in[0];
  if (x->meta().shape.rank() == 0 || attrs.Maybe<int64_t>("dim") == nullptr)
    x = Reshaped(b, x, {-1});
  if (x == nullptr) return {nullptr};
  const int64_t* dim = attrs.Maybe<int64_t>("dim");
  const Shape from = x->meta().shape;
  const auto axis = NormalizeAxis(dim == nullptr ? 0 : *dim, in[0]->meta().shape.rank());
  if (!axis.ok() && dim != nullptr) return Refused(b, axis.status());
  const int at = dim == nullptr ? 0 : *axis;
  if (count < 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "repeats is negative: got " << count << "; expected at least 0");
  }
  const int64_t size = SaturatingMul(from[at], count);
  const int64_t* said = attrs.Maybe<int64_t>("output_size");
  if (said != nullptr && *said != size) {
    return Refused(b, Error(Code::kInvalidArgument) << "output_size is not the result's: got "
                                                    << *said << "; expected " << size);
  }
  Ints apart = DimsOf(from), joined = apart;
  joined[at] = size;
  if (from[at] == 1 || count == 1) {
    x = b.Call("broadcast_to", {x}, {{"shape", std::move(joined)}});
    return {b.Call("identity", {x})};
  }
  if (from.rank() == kMaxRank) return {OneAxisRepeated(b, x, at, count, false)};
  apart.insert(apart.begin() + at + 1, 1);
  x = Reshaped(b, x, apart);
  apart[at + 1] = count;
  x = b.Call("broadcast_to", {x}, {{"shape", std::move(apart)}});
  return {Reshaped(b, x, std::move(joined))};
}

op::Sample Of(Shape shape, Attrs attrs) { return {{{DType::kFloat32, shape}}, std::move(attrs)}; }

}  // namespace

OFL_OP(repeat) {
  op.Doc("`input` repeats[i] times along axis i, one after another; more axes come in front.")
      .In("input")
      .Out("output")
      .Attr("repeats", op::AttrType::kInts)
      .Compose(ComposeRepeat)
      .Oracle("np.tile(input, repeats)")
      .PyMethod("repeat(input, *repeats)")
      .Samples([] {
        return InEveryDType(
            {Of({2, 3}, {{"repeats", Ints{2, 2}}}), Of({3}, {{"repeats", Ints{2, 1, 2}}}),
             Of({1, 3}, {{"repeats", Ints{4, 1}}}), Of({2, 3}, {{"repeats", Ints{0, 2}}}),
             Of({2, 2, 2, 1, 2}, {{"repeats", Ints{2, 2, 1, 3, 2}}}),
             Of({2, 1, 1, 1, 1, 2, 1, 2}, {{"repeats", Ints{2, 1, 1, 1, 1, 1, 3, 2}}}),
             Of({}, {{"repeats", Ints{}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"repeats", Ints{2}}},
                      Code::kInvalidArgument,
                      "for 2 axes"},
                     {{{DType::kFloat32, {2}}},
                      {{"repeats", Ints{-1}}},
                      Code::kInvalidArgument,
                      "at least 0"}});
}

OFL_OP(tile) {
  op.Doc("`input` dims[i] times along axis i, one after another; the last axes count.")
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Compose(ComposeTile)
      .Oracle("np.tile(input, dims)")
      .PyBoth("tile(input, *dims)")
      .Samples([] {
        return InEveryDType({Of({2, 3}, {{"dims", Ints{2}}}), Of({3}, {{"dims", Ints{2, 2}}}),
                             Of({2, 3}, {{"dims", Ints{}}})});
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2}}}, {{"dims", Ints{-1}}}, Code::kInvalidArgument, "at least 0"}});
}

OFL_OP(repeat_interleave) {
  op.Doc("Every element along axis `dim`, of the flattened input without one, `repeats` times.")
      .In("input")
      .Out("output")
      .Attr("repeats", op::AttrType::kInt)
      .OptionalAttr("dim", op::AttrType::kInt)
      .OptionalAttr("output_size", op::AttrType::kInt)
      .Compose(ComposeInterleave)
      .Oracle("np.repeat(input, repeats, dim if input.ndim else None)")
      .Py("_repeat_interleave(input, repeats, dim=None, *, output_size=None)")
      .Samples([] {
        return InEveryDType({Of({2, 3}, {{"repeats", int64_t{2}}}),
                             Of({2, 3}, {{"repeats", int64_t{3}}, {"dim", int64_t{-1}}}),
                             Of({1, 3}, {{"repeats", int64_t{2}}, {"dim", int64_t{0}}}),
                             Of({2, 3}, {{"repeats", int64_t{0}}, {"dim", int64_t{0}}}),
                             Of({}, {{"repeats", int64_t{2}}, {"output_size", int64_t{2}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"repeats", int64_t{-1}}},
                      Code::kInvalidArgument,
                      "at least 0"},
                     {{{DType::kFloat32, {2}}},
                      {{"repeats", int64_t{2}}, {"output_size", int64_t{5}}},
                      Code::kInvalidArgument,
                      "expected 4"}});
}

}  // namespace ofl::ops
