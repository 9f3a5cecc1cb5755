// Slices and elements put by an index: composites of index and index_put.
#include <algorithm>

#include "oneflow_like/ops/move/indices.h"
#include "oneflow_like/ops/move/places.h"

namespace ofl::ops {
namespace {

constexpr DType kF = DType::kFloat32, kI = DType::kInt64;

Attrs PutAttrs(int dim, bool accumulate) {
  return {{"dim", int64_t{dim}}, {"accumulate", accumulate}};
}

// What index_add, index_copy and index_fill say of their operands.
struct Along {
  op::Value x, index;
  int axis = 0;
  Shape slices;  // the shape that the index picks
};
Result<Along> AlongOf(op::Builder& b, const char* name, Span in, const Attrs& attrs, bool int32) {
  Along a;
  a.index = AsIndex(b, name, in[1], int32);
  if (!a.index) return b.status();
  a.x = AsVector(b, in[0]);
  a.index = AsVector(b, a.index);
  if (!a.x || !a.index) return b.status();
  OFL_ASSIGN(a.axis, NormalizeAxis(attrs.Get<int64_t>("dim"), a.x->meta().shape.rank()));
  OFL_ENSURE(a.index->meta().shape.rank() == 1, Code::kInvalidArgument)
      << "[" << name << "] index is no vector: got " << a.index->meta().shape
      << "; expected one axis";
  a.slices = a.x->meta().shape;
  a.slices[a.axis] = a.index->meta().shape[0];
  return a;
}

op::Values PutSlices(op::Builder& b, const char* name, Span in, const Along& a, op::Value values,
                     bool accumulate) {
  if (!values || !OneDType(b, name, a.x, values)) return {nullptr};
  // One slice may come without the axis.
  Shape without = a.slices;
  without.erase(a.axis);
  const Shape& given = values->meta().shape;
  const bool bare = a.slices[a.axis] == 1 && given == without;
  if (!bare && !(given == a.slices))
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[" << name << "] the source does not fit: got " << given
                          << "; expected " << a.slices
                          << ", input's sizes and the index's length along dim");
  values = Reshaped(b, values, a.slices);
  const op::Value out = b.Call("index_put", {a.x, values, a.index}, PutAttrs(a.axis, accumulate));
  return {Reshaped(b, out, in[0]->meta().shape)};
}

op::Values ComposeIndexAdd(op::Builder& b, Span in, const Attrs& attrs) {
  const auto a = AlongOf(b, "index_add", in, attrs, true);
  if (!a.ok()) return Refused(b, a.status());
  const Scalar alpha = attrs.Number("alpha");
  op::Value source = in[2];
  if (source->meta().dtype == DType::kBool) {
    if (!alpha.As<bool>()) source = b.Call("zeros_like", {source});
  } else if (!(alpha.category() != DTypeCategory::kComplex && alpha.As<double>() == 1)) {
    source = MulScalar(b, source, alpha);
  }
  return PutSlices(b, "index_add", in, *a, source, true);
}
op::Values ComposeIndexCopy(op::Builder& b, Span in, const Attrs& attrs) {
  const auto a = AlongOf(b, "index_copy", in, attrs, false);
  if (!a.ok()) return Refused(b, a.status());
  for (int64_t n : in[1]->meta().shape) {
    if (n == 0) return {b.Call("identity", {in[0]})};
  }
  return PutSlices(b, "index_copy", in, *a, in[2], false);
}
op::Values ComposeIndexFill(op::Builder& b, Span in, const Attrs& attrs) {
  const auto a = AlongOf(b, "index_fill", in, attrs, false);
  if (!a.ok()) return Refused(b, a.status());
  const op::Value one = b.Call("index", {a->x, a->index}, {{"dim", int64_t{a->axis}}});
  const op::Value value = b.Call("full_like", {one}, {{"value", attrs.Number("value")}});
  return PutSlices(b, "index_fill", in, *a, value, false);
}
// By way of a mask: an element takes the value once, however often the index names it, and so does
// the value's gradient.
op::Values ComposeIndexFillTensor(op::Builder& b, Span in, const Attrs& attrs) {
  op::Value value = in[2];
  if (value->meta().shape.rank() > 0)
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[index_fill] value has axes: got " << value->meta().ToString()
                          << "; expected a number or a 0-d tensor");
  const op::Values nowhere = {Filled(b, in[0], DType::kBool, false), in[1]};
  if (!nowhere[0]) return {nullptr};
  const Attrs fill = {{"dim", attrs.Get<int64_t>("dim")}, {"value", true}};
  const op::Values named = ComposeIndexFill(b, nowhere, fill);
  if (!named[0]) return {nullptr};
  if (value->meta().dtype != in[0]->meta().dtype) value = CastTo(b, value, in[0]->meta().dtype);
  return {b.Call("where", {named[0], value, in[0]})};
}

op::Value Flat(op::Builder& b, const op::Value& x) {
  return Reshaped(b, x, {x->meta().shape.numel()});
}

op::Values ComposeTake(op::Builder& b, Span in, const Attrs&) {
  const op::Value index = AsIndex(b, "take", in[1], false);
  if (!index) return {nullptr};
  return {b.Call("index", {Flat(b, in[0]), index})};
}

op::Values ComposePut(op::Builder& b, Span in, const Attrs& attrs) {
  const op::Value index = AsIndex(b, "put", in[1], false);
  if (!index || !OneDType(b, "put", in[0], in[2])) return {nullptr};
  if (in[2]->meta().shape.numel() != index->meta().shape.numel())
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[put] source and index differ in length: got " << in[2]->meta().shape
                          << " and " << index->meta().shape << "; expected as many elements");
  const op::Value out = b.Call("index_put", {Flat(b, in[0]), Flat(b, in[2]), Flat(b, index)},
                               PutAttrs(0, attrs.Get<bool>("accumulate")));
  return {Reshaped(b, out, in[0]->meta().shape)};
}

// One index for each of the leading axes: masks as the places where they are true.
Result<op::Values> PlacesOf(op::Builder& b, const op::Value& x, Span indices) {
  op::Values places;
  for (const op::Value& index : indices) {
    const TensorMeta& meta = index->meta();
    if (meta.dtype != DType::kBool && meta.dtype != DType::kUInt8) {
      const op::Value at = AsIndex(b, "index_put", index, true);
      if (!at) return b.status();
      places.push_back(at);
      continue;
    }
    const int first = static_cast<int>(places.size()), rank = meta.shape.rank();
    const Shape& shape = x->meta().shape;
    bool fits = rank > 0 && first + rank <= shape.rank();
    for (int i = 0; fits && i < rank; ++i) fits = meta.shape[i] == shape[first + i];
    OFL_ENSURE(fits, Code::kOutOfRange)
        << "[index_put] the shape of the mask does not match the tensor: got " << meta.shape
        << " at dimension " << first << " of " << shape << "; expected equal sizes";
    const op::Values at = b.CallAll("unbind", {b.Call("nonzero", {index})}, {{"dim", int64_t{1}}});
    OFL_TRY(b.status());
    places.insert(places.end(), at.begin(), at.end());
  }
  OFL_ENSURE(static_cast<int>(places.size()) <= x->meta().shape.rank(), Code::kOutOfRange)
      << "[index_put] too many indices: got " << places.size() << " for " << x->meta().shape
      << "; expected at most one for each axis";
  Shape common;
  for (const op::Value& at : places) {
    const auto both = BroadcastShapes(common, at->meta().shape);
    OFL_ENSURE(both.ok(), Code::kOutOfRange)
        << "[index_put] shape mismatch: indexing tensors could not be broadcast together: got "
        << at->meta().shape << " beside " << common << "; expected equal sizes or 1";
    common = *both;
  }
  for (op::Value& at : places) at = Expanded(b, at, common);
  OFL_TRY(b.status());
  return places;
}

op::Values ComposePutIndices(op::Builder& b, Span in, const Attrs& attrs) {
  if (!OneDType(b, "index_put", in[0], in[1])) return {nullptr};
  const auto places = PlacesOf(b, in[0], in.subspan(2));
  if (!places.ok()) return Refused(b, places.status());
  const Shape& x = in[0]->meta().shape;
  Shape picked = (*places)[0]->meta().shape;
  for (int i = static_cast<int>(places->size()); i < x.rank(); ++i) picked.push_back(x[i]);
  op::Values all = {in[0], Expanded(b, in[1], picked)};
  all.insert(all.end(), places->begin(), places->end());
  return {b.Call("index_put", std::move(all), PutAttrs(0, attrs.Get<bool>("accumulate")))};
}

op::Sample Of(std::vector<Shape> shapes, std::pair<double, double> range, Attrs attrs) {
  op::Sample s{{}, std::move(attrs), range.first, range.second};
  for (size_t i = 0; i < shapes.size(); ++i) s.inputs.push_back({i == 1 ? kI : kF, shapes[i]});
  return s;
}
constexpr DType kSome[] = {DType::kFloat64, DType::kInt64, DType::kFloat16, DType::kBool,
                           DType::kComplex64};
constexpr int64_t kZero = 0, kOne = 1;

}  // namespace

OFL_OP(index_add) {
  IndexedAlong(op, "").In("source");
  op.Doc("`input` with alpha * source added to the slices along `dim` that the vector index names.")
      .Attr("alpha", op::AttrType::kScalar, int64_t{1})
      .Compose(ComposeIndexAdd)
      .Oracle(
          "put_at(input, along(input.ndim, dim, index), source * np.asarray(alpha).astype("
          "source.dtype), True)")
      .PyBoth("index_add(input, dim, index, source, *, alpha=1)")
      .PyMethod("index_add_(input, dim, index, source, *, alpha=1)")
      .Samples([] {
        return WithDTypes(
            {Of({{4, 3}, {5}, {5, 3}}, {0, 4}, {{"dim", kZero}}),
             Of({{3, 4}, {2}, {3, 2}}, {0, 4}, {{"dim", kOne}, {"alpha", int64_t{2}}}),
             Of({{3}, {2}, {2}}, {0, 3}, {{"dim", kZero}, {"alpha", int64_t{0}}})},
            kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {4, 3}}, {kI, {2}}, {kF, {3, 4}}},
                      {{"dim", kZero}},
                      Code::kInvalidArgument,
                      "expected (2, 3)"}});
}

OFL_OP(index_copy) {
  IndexedAlong(op, "").In("source");
  op.Doc("`input` with the slices along `dim` that the vector index names replaced by source's.")
      .Compose(ComposeIndexCopy)
      .Oracle("put_at(input, along(input.ndim, dim, index), source, False)")
      .PyBoth("index_copy(input, dim, index, source)")
      .PyMethod("index_copy_(input, dim, index, source)")
      .Samples([] {
        return WithDTypes({Of({{4, 3}, {1}, {1, 3}}, {0, 4}, {{"dim", kZero}}),
                           Of({{3, 4}, {1}, {3, 1}}, {0, 4}, {{"dim", kOne}})},
                          kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {4, 3}}, {kI, {2}}, {kI, {2, 3}}},
                      {{"dim", kZero}},
                      Code::kTypeMismatch,
                      "one dtype"}});
}

OFL_OP(index_fill) {
  IndexedAlong(op, "`input` with a number in the slices along `dim` that the vector index names.")
      .Attr("value", op::AttrType::kScalar)
      .Compose(ComposeIndexFill)
      .Oracle(
          "put_at(input, along(input.ndim, dim, index), np.asarray(value).astype(input.dtype), "
          "False)")
      .PyBoth("index_fill(input, dim, index, value)")
      .PyMethod("index_fill_(input, dim, index, value)")
      .Samples([] {
        return WithDTypes({Of({{4, 3}, {2}}, {0, 4}, {{"dim", kZero}, {"value", 1.5}}),
                           Of({{5}, {2}}, {-5, 5}, {{"dim", int64_t{-1}}, {"value", kZero}})},
                          kSome, {0});
      })
      .ErrorSamples({{{{kF, {4, 3}}, {DType::kInt32, {2}}},
                      {{"dim", kZero}, {"value", 1.0}},
                      Code::kTypeMismatch,
                      "expected int64"}});
}

OFL_OP(index_fill_tensor) {
  IndexedAlong(op, "").In("value");
  op.Doc("`input` with a 0-d tensor in the slices along `dim` that the vector index names.")
      .Compose(ComposeIndexFillTensor)
      .Oracle("put_at(input, along(input.ndim, dim, index), value.astype(input.dtype), False)")
      .PyBoth("index_fill(input, dim, index, value)")
      .PyMethod("index_fill_(input, dim, index, value)")
      .Samples([] {
        return WithDTypes({Of({{4, 3}, {1}, {}}, {0, 4}, {{"dim", kZero}}),
                           Of({{2, 3}, {4}, {}}, {0, 2}, {{"dim", kZero}})},
                          kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {4, 3}}, {kI, {2}}, {kF, {2}}},
                      {{"dim", kZero}},
                      Code::kInvalidArgument,
                      "0-d tensor"}});
}

OFL_OP(take) {
  op.Doc("The elements that `index` names among all in row-major order; negative from the end.")
      .In("input")
      .In("index")
      .Out("output")
      .Compose(ComposeTake)
      .Oracle("np.take(input, index)")
      .PyBoth("take(input, index)")
      .Samples([] {
        return WithDTypes({Of({{3, 4}, {2, 2}}, {-12, 12}, {}), Of({{}, {}}, {0, 1}, {}),
                           Of({{3}, {0}}, {0, 3}, {})},
                          kSome, {0});
      })
      .ErrorSamples({{{{kF, {3}}, {kF, {2}}}, {}, Code::kTypeMismatch, "expected int64"}});
}

OFL_OP(put) {
  op.Doc(
        "`input` with the elements of `source` at the places that `index` names among all in\n"
        "row-major order, or with `accumulate` added there.")
      .In("input")
      .In("index")
      .In("source")
      .Out("output")
      .Attr("accumulate", op::AttrType::kBool, false)
      .Compose(ComposePut)
      .Oracle(
          "put_at(input.reshape(-1), index.reshape(-1), source.reshape(-1), accumulate)"
          ".reshape(input.shape)")
      .PyBoth("put(input, index, source, accumulate=False)")
      .PyMethod("put_(input, index, source, accumulate=False)")
      .Samples([] {
        return WithDTypes({Of({{3, 4}, {1}, {1}}, {-12, 12}, {{"accumulate", false}}),
                           Of({{3, 4}, {2, 4}, {8}}, {-12, 12}, {{"accumulate", true}})},
                          kSome, {0, 2});
      })
      .ErrorSamples(
          {{{{kF, {3}}, {kI, {2}}, {kF, {3}}}, {}, Code::kInvalidArgument, "as many elements"}});
}

OFL_OP(put_indices) {
  op.Doc(
        "`input` with `values` at the places that `indices` name together, one for each of the\n"
        "leading axes, broadcast; a mask stands for as many axes as it has. With `accumulate` "
        "they\n"
        "are added there.")
      .In("input")
      .In("values")
      .InVariadic("indices")
      .Out("output")
      .Attr("accumulate", op::AttrType::kBool, false)
      .Compose(ComposePutIndices)
      .Oracle("put_at(input, tuple(indices), values, accumulate)")
      .PyBoth("index_put(input, indices, values, accumulate=False)")
      .PyBoth("index_put_(input, indices, values, accumulate=False)")
      .Samples([] {
        op::Sample s{
            {{kF, {3, 4}}, {kF, {5}}, {kI, {5}}, {kI, {5}}}, {{"accumulate", true}}, -2, 2};
        op::Sample t{{{kF, {3, 4}}, {kF, {}}, {kI, {1}}}, {{"accumulate", false}}, -2, 2};
        return WithDTypes({s, t}, kSome, {0, 1});
      })
      .ErrorSamples(
          {{{{kF, {3}}, {kF, {2}}, {kF, {2}}}, {}, Code::kTypeMismatch, "expected int64"}});
}

}  // namespace ofl::ops
