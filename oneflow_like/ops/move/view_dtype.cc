// view(dtype): the bytes of a tensor read as another dtype.
#include <string>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

// How many elements of the view one element is: above 1, or so many elements one of the view:
// below -1. The attribute by which the geometry, which sees no dtypes, is told.
int64_t RatioOf(DType from, DType to) {
  const auto a = static_cast<int64_t>(DTypeSize(from)), b = static_cast<int64_t>(DTypeSize(to));
  return a == b ? 1 : a > b ? a / b : -(b / a);
}

Result<Shape> ShapeOfBytes(const Shape& base, int64_t ratio) {
  OFL_ENSURE(ratio != 0 && ratio >= -16 && ratio <= 16, Code::kInvalidArgument)
      << "ratio is that of no two sizes; expected 1 to 16, or -16 to -2";
  Shape shape = base;
  if (ratio == 1) return shape;
  OFL_ENSURE(base.rank() > 0, Code::kInvalidArgument)
      << "a 0-d tensor has no axis for elements of another size; expected a dtype of one size, or "
      << "an axis";
  int64_t& last = shape[base.rank() - 1];
  OFL_ENSURE(ratio > 0 || last % -ratio == 0, Code::kInvalidArgument)
      << "the last axis is no whole number of elements: got size " << last
      << "; expected a multiple of " << -ratio;
  last = ratio > 0 ? SaturatingMul(last, ratio) : last / -ratio;
  return shape;
}

Result<op::ViewGeometry> ViewBytes(const Shape& base, const Strides& strides, const Attrs& attrs) {
  const int64_t ratio = attrs.Get<int64_t>("ratio");
  OFL_ASSIGN(const Shape shape, ShapeOfBytes(base, ratio));
  op::ViewGeometry view{shape, strides, 0};
  if (ratio == 1) return view;
  const int last = base.rank() - 1;
  if (base.numel() == 0) return op::ViewGeometry{shape, ContiguousStrides(shape), 0};
  OFL_ENSURE(strides[last] == 1, Code::kUnimplemented)
      << "the bytes of the last axis do not lie side by side: got a last stride of "
      << strides[last] << "; expected 1; use contiguous() first";
  for (int i = 0; i < last; ++i) {
    OFL_ENSURE(ratio > 0 || strides[i] % -ratio == 0, Code::kUnimplemented)
        << "elements overlap: got a stride of " << strides[i] << " along axis " << i
        << "; expected multiples of " << -ratio << "; use contiguous() first";
    view.strides[i] = ratio > 0 ? SaturatingMul(strides[i], ratio) : strides[i] / -ratio;
  }
  return view;
}

Status InferBytes(op::InferContext& c) {
  const DType from = c.input(0).dtype, to = c.attr<DType>("dtype");
  OFL_ENSURE(c.attr<int64_t>("ratio") == RatioOf(from, to), Code::kInvalidArgument)
      << "ratio is not that of the sizes; expected " << RatioOf(from, to);
  OFL_ASSIGN(const Shape shape, ShapeOfBytes(c.input(0).shape, RatioOf(from, to)));
  OFL_TRY(shape.Check());
  c.AddOutput({to, shape});
  return Status::Ok();
}

std::string BytesRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  if (attrs.Get<int64_t>("ratio") == 1) {
    const std::string all = Labels("a", in[0].rank());
    return "(" + all + ")->(" + all + ")";
  }
  const std::string axes = Labels("a", in[0].rank() - 1);
  const std::string whole = "(" + axes + (axes.empty() ? "!)" : " !)");
  return whole + "->" + whole;
}

// The output is dense: its bytes are the input's in row-major order.
Status RunBytes(op::KernelContext& c) {
  CopyBox(c.stream, c.inputs[0], {c.outputs[0].data, c.inputs[0].meta});
  return Status::Ok();
}

op::Value Bytes(op::Builder& b, const op::Value& x, DType to) {
  return b.Call("view_bytes", {x}, {{"dtype", to}, {"ratio", RatioOf(x->meta().dtype, to)}});
}

op::Values ComposeView(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  return {Bytes(b, in[0], attrs.Get<DType>("dtype"))};
}

// The base is replaced whole, by a value that may be broadcast.
op::Values ComposePut(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const auto shape = ShapeOfBytes(in[0]->meta().shape, attrs.Get<int64_t>("ratio"));
  if (!shape.ok()) return Refused(b, shape.status());
  const op::Value value = b.Call("broadcast_to", {in[1]}, {{"shape", DimsOf(*shape)}});
  if (value == nullptr) return {nullptr};
  return {Bytes(b, CastTo(b, value, attrs.Get<DType>("dtype")), in[0]->meta().dtype)};
}

struct Pair {
  DType from;
  Shape shape;
  DType to;
};
// Whole numbers alone: the oracles see wider ones of all others, whose bytes are other ones.
std::vector<Pair> WholePairs() {
  return {{DType::kInt32, {2, 3}, DType::kUInt8}, {DType::kInt32, {3, 4}, DType::kInt64},
          {DType::kInt16, {4}, DType::kInt32},    {DType::kUInt8, {}, DType::kInt8},
          {DType::kInt64, {0, 3}, DType::kInt8},  {DType::kInt8, {1, 8}, DType::kInt64},
          {DType::kInt8, {3, 2}, DType::kUInt8},  {DType::kBool, {4}, DType::kInt8}};
}
// And every other dtype, without elements.
std::vector<Pair> Pairs() {
  std::vector<Pair> pairs = WholePairs();
  for (DType dtype : AllDTypes())
    if (!IsInteger(dtype) && dtype != DType::kBool) pairs.push_back({dtype, {2, 0}, DType::kInt32});
  return pairs;
}
op::Sample BytesSample(const Pair& p) {
  return {{{p.from, p.shape}}, {{"dtype", p.to}, {"ratio", RatioOf(p.from, p.to)}}};
}
op::ErrorSample Odd(Attrs attrs) {
  return {{{DType::kFloat32, {3}}}, std::move(attrs), Code::kInvalidArgument, "a multiple of 2"};
}

}  // namespace

OFL_OP(view_bytes) {
  op.Doc("The bytes of `input` as elements of another dtype; `ratio` is that of the sizes.")
      .In("input")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Attr("ratio", op::AttrType::kInt)
      .Infer(InferBytes)
      .Sbp(BytesRule)
      .NotDifferentiable("its elements are no function of numbers")
      .Strided("input")
      .View(ViewBytes, "view_bytes_scatter")
      .Oracle("view_dtype(input, dtype)")
      .Py("_view_bytes(input, dtype, ratio)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Pair& pair : WholePairs()) samples.push_back(BytesSample(pair));
        return samples;
      })
      .ErrorSamples({Odd({{"dtype", DType::kFloat64}, {"ratio", int64_t{-2}}}),
                     {{{DType::kFloat32, {}}},
                      {{"dtype", DType::kInt8}, {"ratio", int64_t{4}}},
                      Code::kInvalidArgument,
                      "expected a dtype of one size"}});
  for (DType dtype : AllDTypes()) op.Cpu(dtype, RunBytes);
}

OFL_OP(view_dtype) {
  op.Doc(
        "The same memory as elements of another dtype, which the last axis holds more or fewer of.")
      .In("input")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Compose(ComposeView)
      .Oracle("view_dtype(input, dtype)")
      .PyMethod("view(input, dtype)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const Pair& pair : Pairs())
          samples.push_back({{{pair.from, pair.shape}}, {{"dtype", pair.to}}});
        return samples;
      })
      .ErrorSamples({Odd({{"dtype", DType::kFloat64}})});
}

OFL_OP(view_bytes_scatter) {
  op.Doc("The tensor like `base` whose bytes, as elements of another dtype, are `value`.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("dtype", op::AttrType::kDType)
      .Attr("ratio", op::AttrType::kInt)
      .Compose(ComposePut)
      .Oracle("view_dtype(np.broadcast_to(value, view_dtype(base, dtype).shape), base.dtype.name)")
      .Py("_view_bytes_scatter(base, value, dtype, ratio)")
      .Samples([]() -> std::vector<op::Sample> {
        op::Sample s = BytesSample({DType::kInt32, {2, 3}, DType::kInt16});
        s.inputs.push_back({DType::kInt16, {6}});
        return {s};
      });
}

}  // namespace ofl::ops
