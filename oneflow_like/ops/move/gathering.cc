// gather, scatter and their kin as PyTorch calls them: composites of gather and scatter_to, which
// take an index of input's sizes outside `dim`.
#include <algorithm>

#include "oneflow_like/ops/move/indices.h"
#include "oneflow_like/ops/move/places.h"

namespace ofl::ops {

Attrs LeadingAttrs(const Shape& shape) {
  const auto rank = static_cast<size_t>(shape.rank());
  return {{"begin", std::vector<int64_t>(rank, 0)},
          {"end", DimsOf(shape)},
          {"step", std::vector<int64_t>(rank, 1)}};
}
op::Value Leading(op::Builder& b, const op::Value& x, const Shape& shape) {
  if (!x || x->meta().shape == shape) return x;
  return b.Call("slice", {x}, LeadingAttrs(shape));
}

op::Value AsIndex(op::Builder& b, const char* op, const op::Value& index, bool takes_int32) {
  const DType dtype = index->meta().dtype;
  if (dtype == DType::kInt64) return index;
  if (dtype == DType::kInt32 && takes_int32) return CastTo(b, index, DType::kInt64);
  b.Fail(Error(Code::kTypeMismatch)
         << "[" << op << "] an index is of no use: got " << index->meta().ToString()
         << "; expected int64" << (takes_int32 ? " or int32" : "")
         << "; convert it with .to(flow.int64)");
  return nullptr;
}

op::Value Filled(op::Builder& b, const op::Value& shaped, DType dtype, const Scalar& value) {
  const op::Value held = shaped->meta().dtype == dtype ? shaped : CastTo(b, shaped, dtype);
  return b.Call("full_like", {held}, {{"value", value}});
}

bool OneDType(op::Builder& b, const char* op, const op::Value& input, const op::Value& values) {
  if (input->meta().dtype == values->meta().dtype) return true;
  b.Fail(Error(Code::kTypeMismatch)
         << "[" << op << "] the dtypes of the tensor and of the values differ: got "
         << input->meta().ToString() << " and " << values->meta().ToString()
         << "; expected one dtype; convert with .to(dtype)");
  return false;
}

op::OpDefBuilder& IndexedAlong(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc).In("input").In("index").Out("output").Attr("dim", op::AttrType::kInt);
}

namespace {

constexpr DType kF = DType::kFloat32, kI = DType::kInt64;

// The sizes of `x` cut to those of the index outside `axis`; an error where they are larger there.
Result<Shape> CutTo(const char* op, const Shape& x, const Shape& index, int axis) {
  OFL_ENSURE(x.rank() == index.rank(), Code::kInvalidArgument)
      << "[" << op << "] index has another number of axes: got " << index << " for " << x
      << "; expected as many; reshape it";
  Shape cut = x;
  for (int i = 0; i < x.rank(); ++i) {
    OFL_ENSURE(i == axis || index[i] <= x[i], Code::kInvalidArgument)
        << "[" << op << "] index is larger than the tensor outside dim: got " << index << " for "
        << x << "; expected index.shape[" << i << "] <= " << x[i];
    if (i != axis) cut[i] = index[i];
  }
  return cut;
}

op::Values ComposeGather(op::Builder& b, Span in, const Attrs& attrs) {
  op::Value index = AsIndex(b, "gather", in[1], true);
  if (!index) return {nullptr};
  const Shape given = index->meta().shape;
  const op::Value x = AsVector(b, in[0]);
  if (!x) return {nullptr};
  const int rank = x->meta().shape.rank();
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), rank);
  if (!axis.ok()) return Refused(b, axis.status());
  if (index->meta().shape.numel() == 0) {  // of any shape, as in torch
    return {Reshaped(b, Leading(b, x, Shape(std::vector<int64_t>(x->meta().shape.rank()))), given)};
  }
  index = AsVector(b, index);
  if (!index) return {nullptr};
  const auto cut = CutTo("gather", x->meta().shape, index->meta().shape, *axis);
  if (!cut.ok()) return Refused(b, cut.status());
  const op::Value got = b.Call("gather", {Leading(b, x, *cut), index}, {{"dim", int64_t{*axis}}});
  return {Reshaped(b, got, given)};
}

op::Values ComposeIndexSelect(op::Builder& b, Span in, const Attrs& attrs) {
  op::Value index = AsIndex(b, "index_select", in[1], true);
  if (!index) return {nullptr};
  const Shape whole = in[0]->meta().shape;
  const op::Value x = AsVector(b, in[0]);
  index = AsVector(b, index);
  const op::Value got = b.Call("index_select", {x, index}, attrs);
  return {whole.rank() == 0 && got && got->meta().shape.numel() == 1 ? Reshaped(b, got, whole)
                                                                     : got};
}

// What is put: src, cut to the index's shape.
op::Values Scatter(op::Builder& b, const char* name, Span in, const Attrs& attrs,
                   const std::string& reduce, bool include_self) {
  op::Value index = AsIndex(b, name, in[1], true);
  if (!index || !OneDType(b, name, in[0], in[2])) return {nullptr};
  const auto axis =
      NormalizeAxis(attrs.Get<int64_t>("dim"), std::max(1, in[0]->meta().shape.rank()));
  if (!axis.ok()) return Refused(b, axis.status());
  if (index->meta().shape.numel() == 0) return {b.Call("identity", {in[0]})};
  const op::Value x = AsVector(b, in[0]);
  index = AsVector(b, index);
  op::Value src = AsVector(b, in[2]);
  if (!x || !index || !src) return {nullptr};
  const Shape &shape = index->meta().shape, &from = src->meta().shape;
  bool fits = shape.rank() == from.rank();
  for (int i = 0; fits && i < shape.rank(); ++i) fits = shape[i] <= from[i];
  if (!fits)
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[" << name << "] index is larger than src: got " << shape << " for "
                          << from << "; expected no axis to be");
  const auto cut = CutTo(name, x->meta().shape, shape, *axis);
  if (!cut.ok()) return Refused(b, cut.status());
  const Attrs how = {{"dim", int64_t{*axis}}, {"reduce", reduce}, {"include_self", include_self}};
  op::Value out = b.Call("scatter_to", {Leading(b, x, *cut), index, Leading(b, src, shape)}, how);
  if (!(*cut == x->meta().shape)) out = b.Call("slice_scatter", {x, out}, LeadingAttrs(*cut));
  return {Reshaped(b, out, in[0]->meta().shape)};
}

op::Values Unknown(op::Builder& b, const char* op, const std::string& reduce, const char* names) {
  return Refused(b, Error(Code::kInvalidArgument)
                        << "[" << op << "] the reduction is unknown: got '" << reduce
                        << "'; expected " << names);
}
bool Among(const std::string& name, std::initializer_list<const char*> names) {
  return std::ranges::any_of(names, [&](const char* x) { return name == x; });
}

op::Values ComposeScatter(op::Builder& b, Span in, const Attrs& attrs) {
  const auto* reduce = attrs.Maybe<std::string>("reduce");
  if (reduce == nullptr) return Scatter(b, "scatter", in, attrs, "", true);
  if (!Among(*reduce, {"add", "multiply"}))
    return Unknown(b, "scatter", *reduce, "add or multiply");
  return Scatter(b, "scatter", in, attrs, *reduce == "add" ? "sum" : "prod", true);
}
op::Values ComposeScatterNumber(op::Builder& b, Span in, const Attrs& attrs) {
  const op::Value src = Filled(b, in[1], in[0]->meta().dtype, attrs.Number("value"));
  if (!src) return {nullptr};
  const op::Values all = {in[0], in[1], src};
  return ComposeScatter(b, all, attrs);
}
op::Values ComposeScatterAdd(op::Builder& b, Span in, const Attrs& attrs) {
  return Scatter(b, "scatter_add", in, attrs, "sum", true);
}
op::Values ComposeScatterReduce(op::Builder& b, Span in, const Attrs& attrs) {
  const auto& reduce = attrs.Get<std::string>("reduce");
  if (!Among(reduce, {"sum", "prod", "mean", "amax", "amin"}))
    return Unknown(b, "scatter_reduce", reduce, "sum, prod, mean, amax or amin");
  return Scatter(b, "scatter_reduce", in, attrs, reduce, attrs.Get<bool>("include_self"));
}

// A vector as index along `axis` of `shape`.
op::Value Spread(op::Builder& b, const op::Value& index, const Shape& shape, int axis) {
  Shape column;
  for (int i = 0; i < shape.rank(); ++i) column.push_back(i == axis ? shape[i] : 1);
  return Expanded(b, Reshaped(b, index, column), shape);
}

op::Values ComposeIndexReduce(op::Builder& b, Span in, const Attrs& attrs) {
  const auto& reduce = attrs.Get<std::string>("reduce");
  if (!Among(reduce, {"prod", "mean", "amax", "amin"}))
    return Unknown(b, "index_reduce", reduce, "prod, mean, amax or amin");
  const op::Value x = AsVector(b, in[0]), index = AsVector(b, in[1]), src = AsVector(b, in[2]);
  if (!x || !index || !src) return {nullptr};
  const Shape& from = src->meta().shape;
  const auto axis = NormalizeAxis(attrs.Get<int64_t>("dim"), x->meta().shape.rank());
  if (!axis.ok()) return Refused(b, axis.status());
  Shape expected = x->meta().shape;
  const bool vector = index->meta().shape.rank() == 1;
  if (vector) expected[*axis] = index->meta().shape[0];
  if (!vector || !(from == expected))
    return Refused(b, Error(Code::kInvalidArgument)
                          << "[index_reduce] source does not fit: got index " << index->meta().shape
                          << " and source " << from << "; expected a vector and " << expected);
  const op::Value places = Spread(b, index, from, *axis);
  if (!places) return {nullptr};
  const op::Values all = {x, places, src};
  const op::Values out =
      Scatter(b, "index_reduce", all, attrs, reduce, attrs.Get<bool>("include_self"));
  return {Reshaped(b, out[0], in[0]->meta().shape)};
}

op::Values ComposeTakeAlong(op::Builder& b, Span in, const Attrs& attrs) {
  op::Value x = in[0], index = AsIndex(b, "take_along_dim", in[1], false);
  if (!index) return {nullptr};
  const auto* dim = attrs.Maybe<int64_t>("dim");
  int axis = 0;
  if (dim == nullptr) {
    x = Reshaped(b, x, {x->meta().shape.numel()});
    index = Reshaped(b, index, {index->meta().shape.numel()});
  } else {
    const Shape xs = x->meta().shape, is = index->meta().shape;
    if (xs.rank() != is.rank())
      return Refused(b, Error(Code::kInvalidArgument)
                            << "[take_along_dim] indices have another number of axes: got " << is
                            << " for " << xs << "; expected as many");
    const auto at = NormalizeAxis(*dim, std::max(1, xs.rank()));
    if (!at.ok()) return Refused(b, at.status());
    axis = *at;
    if (xs.rank() > 0) {
      Shape one = xs, other = is;
      one[axis] = other[axis] = 1;
      const auto both = BroadcastShapes(one, other);
      if (!both.ok()) return Refused(b, both.status());
      Shape x_shape = *both, index_shape = *both;
      x_shape[axis] = xs[axis];
      index_shape[axis] = is[axis];
      x = Expanded(b, x, x_shape);
      index = Expanded(b, index, index_shape);
    }
  }
  if (!x || !index) return {nullptr};
  const Shape given = index->meta().shape;
  x = AsVector(b, x);
  index = AsVector(b, index);
  if (!x || !index) return {nullptr};
  const Shape& xs = x->meta().shape;
  const op::Value size = Filled(b, index, kI, xs[axis]);
  const op::Value below = b.Call("lt", {index, Filled(b, index, kI, int64_t{0})});
  index = b.Call("where", {below, b.Call("add", {index, size}), index});
  return {Reshaped(b, b.Call("gather", {x, index}, {{"dim", int64_t{axis}}}), given)};
}

op::Sample Of(std::vector<Shape> shapes, double high, Attrs attrs, DType dtype = kF) {
  op::Sample s{{}, std::move(attrs), 0, high};
  for (size_t i = 0; i < shapes.size(); ++i) s.inputs.push_back({i == 1 ? kI : dtype, shapes[i]});
  return s;
}
constexpr DType kSome[] = {DType::kFloat64, DType::kInt64, DType::kFloat16, DType::kBool};

}  // namespace

OFL_OP(gather_along) {
  IndexedAlong(
      op,
      "output[.., i, ..] = input[.., index[.., i, ..], ..] along `dim`; in other axes index\n"
      "may be shorter than input.")
      .Attr("sparse_grad", op::AttrType::kBool, false)
      .Compose([](op::Builder& b, Span in, const Attrs& attrs) {
        if (attrs.Get<bool>("sparse_grad"))
          return Refused(b, Error(Code::kInvalidArgument)
                                << "[gather] gradients are dense: got sparse_grad=True; expected "
                                   "False");
        return ComposeGather(b, in, attrs);
      })
      .Oracle("gather(input, index, dim)")
      .PyBoth("gather(input, dim, index, *, sparse_grad=False)")
      .Samples([] {
        return WithDTypes(
            {Of({{5, 3}, {4, 3}}, 5, {{"dim", int64_t{0}}}),
             Of({{4, 5}, {2, 3}}, 5, {{"dim", int64_t{-1}}}),
             Of({{}, {2}}, 1, {{"dim", int64_t{0}}}), Of({{4}, {}}, 4, {{"dim", int64_t{0}}})},
            kSome, {0});
      })
      .ErrorSamples(
          {{{{kF, {5, 3}}, {kI, {4, 4}}},
            {{"dim", int64_t{0}}},
            Code::kInvalidArgument,
            "expected index.shape[1] <= 3"},
           {{{kF, {5}}, {kF, {4}}}, {{"dim", int64_t{0}}}, Code::kTypeMismatch, "int64"}});
}

OFL_OP(index_select_along) {
  IndexedAlong(op, "The slices of `input` along `dim` that the vector `index` names.")
      .Compose(ComposeIndexSelect)
      .Oracle("index_select_along(input, index, dim)")
      .PyBoth("index_select(input, dim, index)")
      .Samples([] {
        return WithDTypes(
            {Of({{5, 3}, {4}}, 3, {{"dim", int64_t{-1}}}), Of({{4}, {}}, 4, {{"dim", int64_t{0}}}),
             Of({{}, {1}}, 1, {{"dim", int64_t{0}}})},
            kSome, {0});
      })
      .ErrorSamples({{{{kF, {5, 3}}, {kI, {2, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index must be a vector"}});
}

OFL_OP(take_along_dim) {
  op.Doc(
        "The elements along `dim` that `indices` name, with broadcasting in the other axes; of "
        "all\n"
        "elements in their order where no dim is given.")
      .In("input")
      .In("indices")
      .Out("output")
      .OptionalAttr("dim", op::AttrType::kInt)
      .Compose(ComposeTakeAlong)
      .Oracle("take_along(input, indices, dim)")
      .PyBoth("take_along_dim(input, indices, dim=None)")
      .Samples([] {
        return WithDTypes({Of({{3, 4}, {3, 2}}, 4, {{"dim", int64_t{1}}}),
                           Of({{3, 4}, {1, 2}}, 4, {{"dim", int64_t{1}}}),
                           Of({{3, 4}, {5}}, 12, {{"dim", NoValue{}}})},
                          kSome, {0});
      })
      .ErrorSamples({{{{kF, {5, 3}}, {kI, {4}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "another number of axes"}});
}

OFL_OP(scatter) {
  IndexedAlong(op, "").In("src").OptionalAttr("reduce", op::AttrType::kString);
  op.Doc(
        "`input` with the elements of `src` at the places along `dim` that `index` names; with\n"
        "`reduce` ('add', 'multiply') combined with what is there. Of values for one place the "
        "last\n"
        "stays.")
      .Compose(ComposeScatter)
      .Oracle(
          "scatter_to(input, index, src, dim, {'add': 'sum', 'multiply': 'prod', None: ''}"
          "[reduce], True)")
      .PyBoth("scatter(input, dim, index, src)")
      .PyBoth("scatter(input, dim, index, src, *, reduce)")
      .PyMethod("scatter_(input, dim, index, src)")
      .PyMethod("scatter_(input, dim, index, src, *, reduce)")
      .Samples([] {
        const Attrs plain = {{"dim", int64_t{0}}, {"reduce", NoValue{}}};
        return WithDTypes({Of({{4, 3}, {1, 3}, {1, 3}}, 4, plain),
                           Of({{4, 3}, {1, 2}, {2, 3}}, 4, plain), Of({{}, {1}, {1}}, 1, plain),
                           Of({{4, 3}, {5, 3}, {5, 3}}, 4,
                              {{"dim", int64_t{0}}, {"reduce", std::string("add")}})},
                          kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {4}}, {kI, {2}}, {kF, {1}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "larger than src"}});
}

OFL_OP(scatter_number) {
  IndexedAlong(op, "`input` with a number at the places along `dim` that `index` names.")
      .Attr("value", op::AttrType::kScalar)
      .OptionalAttr("reduce", op::AttrType::kString)
      .Compose(ComposeScatterNumber)
      .Oracle(
          "scatter_to(input, index, np.full(index.shape, value).astype(input.dtype), dim, "
          "{'add': 'sum', 'multiply': 'prod', None: ''}[reduce], True)")
      .PyBoth("scatter(input, dim, index, value)")
      .PyBoth("scatter(input, dim, index, value, *, reduce)")
      .PyMethod("scatter_(input, dim, index, value)")
      .PyMethod("scatter_(input, dim, index, value, *, reduce)")
      .Samples([] {
        const Attrs plain = {{"dim", int64_t{0}}, {"value", 2.5}, {"reduce", NoValue{}}};
        return WithDTypes({Of({{4, 3}, {2, 3}}, 4, plain), Of({{4, 3}, {2, 1}}, 4, plain)}, kSome,
                          {0});
      })
      .ErrorSamples({{{{kF, {4}}, {kF, {2}}},
                      {{"dim", int64_t{0}}, {"value", 1.0}},
                      Code::kTypeMismatch,
                      "int64"}});
}

OFL_OP(scatter_add) {
  IndexedAlong(op, "").In("src");
  op.Doc("`input` with the elements of `src` added at the places along `dim` that `index` names.")
      .Compose(ComposeScatterAdd)
      .Oracle("scatter_to(input, index, src, dim, 'sum', True)")
      .PyBoth("scatter_add(input, dim, index, src)")
      .PyMethod("scatter_add_(input, dim, index, src)")
      .Samples([] {
        return WithDTypes({Of({{4, 3}, {5, 3}, {5, 3}}, 4, {{"dim", int64_t{0}}}),
                           Of({{3, 4}, {2, 6}, {3, 7}}, 4, {{"dim", int64_t{-1}}})},
                          kSome, {0, 2});
      })
      .ErrorSamples({{{{kF, {4}}, {kI, {2}}, {kI, {2}}},
                      {{"dim", int64_t{0}}},
                      Code::kTypeMismatch,
                      "one dtype"}});
}

OFL_OP(scatter_reduce) {
  IndexedAlong(op, "").In("src");
  op.Doc(
        "`input` with the elements of `src` combined (sum, prod, mean, amax, amin) at the places\n"
        "along `dim` that `index` names; without `include_self` what was there does not count.")
      .Attr("reduce", op::AttrType::kString)
      .Attr("include_self", op::AttrType::kBool, true)
      .Compose(ComposeScatterReduce)
      .Oracle("scatter_to(input, index, src, dim, reduce, include_self)")
      .PyBoth("scatter_reduce(input, dim, index, src, reduce, *, include_self=True)")
      .PyMethod("scatter_reduce_(input, dim, index, src, reduce, *, include_self=True)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const char* reduce : {"sum", "prod", "mean", "amax", "amin"})
          for (bool self : {true, false})
            samples.push_back(
                Of({{4, 3}, {5, 3}, {5, 3}}, 4,
                   {{"dim", int64_t{0}}, {"reduce", std::string(reduce)}, {"include_self", self}}));
        return samples;
      })
      .ErrorSamples({{{{kF, {4}}, {kI, {2}}, {kF, {2}}},
                      {{"dim", int64_t{0}}, {"reduce", std::string("median")}},
                      Code::kInvalidArgument,
                      "reduction is unknown"}});
}

OFL_OP(index_reduce) {
  IndexedAlong(op, "").In("source");
  op.Doc(
        "`input` with the slices of `source` combined (prod, mean, amax, amin) with those along\n"
        "`dim` that the vector `index` names.")
      .Attr("reduce", op::AttrType::kString)
      .Attr("include_self", op::AttrType::kBool, true)
      .Compose(ComposeIndexReduce)
      .Oracle("index_reduce(input, index, source, dim, reduce, include_self)")
      .PyBoth("index_reduce(input, dim, index, source, reduce, *, include_self=True)")
      .PyMethod("index_reduce_(input, dim, index, source, reduce, *, include_self=True)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const char* reduce : {"prod", "mean", "amax", "amin"})
          samples.push_back(Of({{4, 3}, {5}, {5, 3}}, 4,
                               {{"dim", int64_t{0}},
                                {"reduce", std::string(reduce)},
                                {"include_self", samples.empty()}}));
        return samples;
      })
      .ErrorSamples({{{{kF, {4}}, {kI, {2}}, {kF, {3}}},
                      {{"dim", int64_t{0}}, {"reduce", std::string("prod")}},
                      Code::kInvalidArgument,
                      "source does not fit"}});
}

}  // namespace ofl::ops
