// A tensor filled with the value of another one; its diagonal filled with a number: composites.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/move/places.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// As in torch a filled tensor requires a gradient where `x` does: x gets zeros.
op::Value TiedTo(op::Builder& b, const op::Value& x, const op::Value& value) {
  if (!IsDifferentiable(x->meta().dtype)) return value;
  return b.Call("where", {Filled(b, x, DType::kBool, true), value, x});
}

op::Values ComposeFillNumber(op::Builder& b, Span in, const Attrs& attrs) {
  return {TiedTo(b, in[0], b.Call("full_like", {in[0]}, {{"value", attrs.Number("value")}}))};
}

op::Values ComposeFillTensor(op::Builder& b, Span in, const Attrs& attrs) {
  if (in[1]->meta().shape.rank() > 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the value has axes: got shape " << in[1]->meta().shape
                          << "; expected a number or a 0-d tensor");
  }
  const op::Value whole = Assigned(b, in[0], in[1], in[0]->meta().shape);
  if (!attrs.Get<bool>("in_place")) return {TiedTo(b, in[0], whole)};
  return {whole == in[1] ? b.Call("identity", {whole}) : whole};
}

// Every `step`-th of the first `count` elements, in row-major order.
op::Values FilledEvery(op::Builder& b, const op::Value& x, int64_t step, int64_t count,
                       const Attrs& attrs) {
  const op::Value flat = b.Call("reshape", {x}, {{"shape", Ints{-1}}});
  const Attrs place = {{"begin", Ints{0}}, {"end", Ints{count}}, {"step", Ints{step}}};
  const op::Value old = b.Call("slice", {flat}, place);
  const op::Value value = b.Call("full_like", {old}, {{"value", *attrs.Find("value")}});
  const op::Value filled = b.Call("slice_scatter", {flat, value}, place);
  return {b.Call("reshape", {filled}, {{"shape", DimsOf(x->meta().shape)}})};
}

op::Values ComposeFillDiagonal(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const bool cube = std::ranges::all_of(shape, [&](int64_t n) { return n == shape[0]; });
  if (shape.rank() < 2 || (shape.rank() > 2 && !cube)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the tensor has no diagonal: got shape " << shape
                          << "; expected a matrix, or more axes of one size");
  }
  if (shape.numel() == 0) return {b.Call("identity", {in[0]})};
  int64_t step = 0;
  const Strides dense = ContiguousStrides(shape);
  for (int64_t stride : dense) step += stride;
  const bool wrap = attrs.Get<bool>("wrap");
  const int64_t end =
      shape.rank() > 2 || wrap ? shape.numel() : std::min(shape[0], shape[1]) * shape[1];
  return FilledEvery(b, in[0], step, end, attrs);
}

}  // namespace

OFL_OP(fill_number) {
  op.Doc("A tensor like `input` with a number everywhere.")
      .In("input")
      .Out("output")
      .Attr("value", op::AttrType::kScalar)
      .Compose(ComposeFillNumber)
      .Oracle("np.full_like(input, value)")
      .Py("fill(input, value)")
      .Public()
      .Samples([] {
        const Attrs one = {{"value", int64_t{1}}};
        return InEveryDType({op::Sample{{{DType::kFloat32, {2, 3}}}, one},
                             op::Sample{{{DType::kFloat32, {}}}, one},
                             op::Sample{{{DType::kFloat32, {0, 3}}}, one}});
      })
      .ErrorSamples({{{{DType::kUInt8, {2}}},
                      {{"value", int64_t{300}}},
                      Code::kInvalidArgument,
                      "cannot hold"}});
}

OFL_OP(fill_tensor) {
  op.Doc("A tensor like `input` with the value of a 0-d tensor everywhere.")
      .In("input")
      .In("other")
      .Out("output")
      .Attr("in_place", op::AttrType::kBool, false)
      .Compose(ComposeFillTensor)
      .Oracle("np.full_like(input, other)")
      .Py("fill(input, value: other)")
      .Public()
      .PyBoth("fill_(input, value: other)", {{"in_place", true}})
      .Samples([] {
        return InEveryDType({op::Sample{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {}}}, {}},
                             op::Sample{{{DType::kFloat32, {}}, {DType::kFloat32, {}}}, {}},
                             op::Sample{{{DType::kFloat32, {2}}, {DType::kInt64, {}}}, {}}});
      })
      .ErrorSamples({{{{DType::kFloat32, {2}}, {DType::kFloat32, {2}}},
                      {},
                      Code::kInvalidArgument,
                      "a 0-d tensor"}});
}

OFL_OP(fill_diagonal) {
  op.Doc(
        "`input` with `value` on its diagonal; with wrap, that of a tall matrix begins again one "
        "row below\neach square.")
      .In("input")
      .Out("output")
      .Attr("value", op::AttrType::kScalar)
      .Attr("wrap", op::AttrType::kBool, false)
      .Compose(ComposeFillDiagonal)
      .Oracle("fill_diagonal(input, value, wrap)")
      .PyMethod("fill_diagonal_(input, fill_value: value, wrap=False)")
      .Samples([] {
        const auto of = [](Shape shape, bool wrap) {
          return op::Sample{{{DType::kFloat32, shape}}, {{"value", int64_t{1}}, {"wrap", wrap}}};
        };
        return InEveryDType({of({3, 3}, false), of({5, 2}, false), of({7, 2}, true),
                             of({2, 5}, true), of({2, 2, 2}, false), of({0, 3}, false)});
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 2}}},
                      {{"value", 1.0}},
                      Code::kInvalidArgument,
                      "axes of one size"},
                     {{{DType::kFloat32, {2}}},
                      {{"value", 1.0}},
                      Code::kInvalidArgument,
                      "expected a matrix"}});
}

}  // namespace ofl::ops
