// Fractional max pooling, and max pooling back, in other operators.
#include "oneflow_like/ops/conv/pooling.h"

namespace ofl::ops {
namespace {

op::Value Flat(op::Builder& b, const op::Value& x, int axes) {
  const Shape& shape = x->meta().shape;
  Ints flat(shape.begin(), shape.end() - axes);
  flat.push_back(ProductOf(shape, shape.rank() - axes, shape.rank()));
  return b.Call("reshape", {x}, {{"shape", flat}});
}

// --- max_unpool ----------------------------------------------------------------------------------

Result<Ints> UnpooledSizes(const Shape& x, const Attrs& attrs, int axes) {
  OFL_ASSIGN(const Ints kernel, SizesOf(attrs.Get<Ints>("kernel_size"), axes, "kernel_size", 1));
  Ints stride = kernel;
  if (const Ints* given = attrs.Maybe<Ints>("stride")) {
    OFL_ASSIGN(stride, SizesOf(*given, axes, "stride", 1));
  }
  OFL_ASSIGN(const Ints padding, SizesOf(attrs.Get<Ints>("padding"), axes, "padding", 0));
  Ints sizes;
  for (int i = 0; i < axes; ++i) {
    const size_t at = static_cast<size_t>(i);
    sizes.push_back(SaturatingMul(x[x.rank() - axes + i] - 1, stride[at]) + kernel[at] -
                    2 * padding[at]);
  }
  if (const Ints* given = attrs.Maybe<Ints>("output_size")) {
    const bool whole = std::ssize(*given) == axes + 2;
    OFL_ENSURE(whole || std::ssize(*given) == axes, Code::kInvalidArgument)
        << "output_size has " << given->size() << " numbers; expected " << axes << " or "
        << axes + 2;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const int64_t size = (*given)[i + (whole ? 2 : 0)];
      OFL_ENSURE(size > sizes[i] - stride[i] && size < sizes[i] + stride[i], Code::kInvalidArgument)
          << "output_size is none that these windows come from: got " << size
          << "; expected more than " << sizes[i] - stride[i] << " and less than "
          << sizes[i] + stride[i];
      sizes[i] = size;
    }
  }
  for (int64_t size : sizes) {
    OFL_ENSURE(size > 0, Code::kInvalidArgument)
        << "there is nothing left: got a size of " << size << "; expected less padding";
  }
  return sizes;
}

template <int kAxes>
op::Values ComposeUnpool(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta &x = in[0]->meta(), &index = in[1]->meta();
  const int rank = x.shape.rank();
  if ((rank != kAxes + 1 && rank != kAxes + 2) || !(x.shape == index.shape) ||
      index.dtype != DType::kInt64 || !IsFloating(x.dtype)) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "got input: " << x.ToString() << " and indices: " << index.ToString()
                          << "; expected floats with " << kAxes + 2 << " axes, or " << kAxes + 1
                          << ", and int64 indices of their shape");
  }
  const auto sizes = UnpooledSizes(x.shape, attrs, kAxes);
  if (!sizes.ok()) return Refused(b, sizes.status());
  Shape shape = x.shape;
  int64_t plane = 1;
  for (int i = 0; i < kAxes; ++i) {
    shape[rank - kAxes + i] = (*sizes)[static_cast<size_t>(i)];
    plane = SaturatingMul(plane, (*sizes)[static_cast<size_t>(i)]);
  }
  const op::Value values = Flat(b, in[0], kAxes), places = Flat(b, in[1], kAxes);
  if (places == nullptr) return {nullptr};
  const int64_t missing = plane - ProductOf(x.shape, rank - kAxes, rank);
  const op::Value zeros =
      ZerosLike(b, b.Call("constant_pad_nd", {values}, {{"pad", Ints{0, missing}}}));
  const op::Value y = b.Call("scatter", {zeros, places, values}, {{"dim", int64_t{-1}}});
  return {ShapedAs(b, y, shape)};
}

// --- fractional_max_pool -------------------------------------------------------------------------

Result<Ints> FractionalSizes(const Shape& x, const Attrs& attrs, int axes) {
  if (const Ints* given = attrs.Maybe<Ints>("output_size"))
    return SizesOf(*given, axes, "output_size", 1);
  const auto* ratios = attrs.Maybe<std::vector<double>>("output_ratio");
  std::vector<double> one;
  if (const double* ratio = attrs.Maybe<double>("ratio")) {
    one = {*ratio};
    ratios = &one;
  }
  OFL_ENSURE(ratios != nullptr && (ratios->size() == 1 || std::ssize(*ratios) == axes),
             Code::kInvalidArgument)
      << "got neither output_size nor output_ratio for each axis; expected one of them, of 1 or "
      << axes << " numbers";
  Ints sizes;
  for (int i = 0; i < axes; ++i) {
    const double ratio = (*ratios)[ratios->size() == 1 ? 0 : static_cast<size_t>(i)];
    OFL_ENSURE(ratio > 0 && ratio < 1, Code::kInvalidArgument)
        << "got output_ratio=" << ratio << "; expected a number between 0 and 1";
    sizes.push_back(static_cast<int64_t>(static_cast<double>(x[x.rank() - axes + i]) * ratio));
  }
  return sizes;
}

template <int kAxes>
op::Values ComposeFractional(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  const int rank = meta.shape.rank();
  if ((rank != kAxes + 1 && rank != kAxes + 2) || !IsFloating(meta.dtype) ||
      ProductOf(meta.shape, rank - kAxes - 1, rank) == 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "got input: " << meta.ToString() << "; expected floats with "
                          << kAxes + 2 << " axes, or " << kAxes + 1
                          << " without images, not empty");
  }
  const auto sizes = FractionalSizes(meta.shape, attrs, kAxes);
  if (!sizes.ok()) return Refused(b, sizes.status());
  op::Values made;
  const auto pool = [&](const op::Value& x) -> op::Value {
    op::Value samples = in.size() > 1 ? in[1] : nullptr;
    if (samples == nullptr) {
      const op::Value corner =
          b.Call("narrow", {Flat(b, x, kAxes)},
                 {{"dim", int64_t{2}}, {"start", int64_t{0}}, {"length", int64_t{1}}});
      const op::Value like =
          b.Call("broadcast_to", {corner},
                 {{"shape", Ints{x->meta().shape[0], x->meta().shape[1], kAxes}}});
      const op::Value drawn = b.Call("uniform_beside", {Wide(b, like)});
      samples = CastTo(b, drawn, meta.dtype);
    }
    if (samples == nullptr) return nullptr;
    made = b.CallAll("fractional_max", {x, samples},
                     {{"kernel", attrs.Get<Ints>("kernel_size")}, {"size", *sizes}});
    return made[0];
  };
  const op::Value values = Batched(b, in[0], kAxes + 2, pool);
  if (values == nullptr || !attrs.Get<bool>("return_indices")) return {values};
  return {values, ShapedAs(b, made[1], values->meta().shape)};
}

// --- definitions ---------------------------------------------------------------------------------

template <int kAxes>
Shape Space(Shape head, const Shape& sizes) {
  for (int i = 0; i < kAxes; ++i) head.push_back(sizes[i]);
  return head;
}

template <int kAxes>
void Unpool(op::OpDefBuilder& op) {
  op.Doc(
        "Zeros with the elements of `input` where `indices`, as max pooling gives them, say; of "
        "those for one\nplace the last stays.")
      .In("input")
      .In("indices")
      .Out("output")
      .Attr("kernel_size", op::AttrType::kInts)
      .OptionalAttr("stride", op::AttrType::kInts)
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .OptionalAttr("output_size", op::AttrType::kInts)
      .Compose(ComposeUnpool<kAxes>)
      .Oracle("max_unpool(input, indices, kernel_size, stride, padding, output_size, " +
              std::to_string(kAxes) + ")")
      .Py("nn.functional.max_unpool" + std::to_string(kAxes) +
          "d(input, indices, kernel_size, stride=None, padding=0, output_size=None)")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : ListOf(kFloats)) {
          // One element a plane: drawn places are all different then.
          const Shape x = Space<kAxes>({2, 3}, {1, 1, 1});
          samples.push_back({{{dtype, x}, {DType::kInt64, x}}, {{"kernel_size", Ints{2}}}});
          samples.back().low = 0, samples.back().high = 2;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, Space<kAxes>({1, 2}, {3, 3, 3})},
                       {DType::kInt64, Space<kAxes>({1, 2}, {2, 2, 2})}},
                      {{"kernel_size", Ints{2}}},
                      Code::kInvalidArgument,
                      "indices of their shape"}});
}

template <int kAxes>
void Fractional(op::OpDefBuilder& op) {
  const std::string name = "nn.functional.fractional_max_pool" + std::to_string(kAxes) + "d";
  op.Doc(
        "The largest elements of `output_size` (or output_ratio of the input's size) windows along "
        "each axis,\nwhich begin at random places; samples in [0, 1) for each plane say where, "
        "if they are given.")
      .In("input")
      .InOptional("samples")
      .Out("output")
      .Attr("kernel_size", op::AttrType::kInts)
      .OptionalAttr("output_size", op::AttrType::kInts)
      .OptionalAttr("output_ratio", op::AttrType::kFloats)
      .OptionalAttr("ratio", op::AttrType::kFloat)  // one for all axes
      .Attr("return_indices", op::AttrType::kBool, false)
      .Compose(ComposeFractional<kAxes>)
      .Oracle("fractional_pool(input, samples, kernel_size, output_size, return_indices, " +
              std::to_string(kAxes) + ")")
      .Samples([] {
        std::vector<op::Sample> samples;
        for (DType dtype : {DType::kFloat32, DType::kFloat64}) {
          samples.push_back({{{dtype, Space<kAxes>({2, 3}, {6, 5, 4})}, {dtype, {2, 3, kAxes}}},
                             {{"kernel_size", Ints{2}}, {"output_size", Ints{2}}}});
          samples.back().low = 0, samples.back().high = 1;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, Space<kAxes>({1, 2}, {3, 3, 3})}},
                      {{"kernel_size", Ints{2}}},
                      Code::kInvalidArgument,
                      "expected one of them"}});
  for (const char* ratio : {"output_ratio", "output_ratio: ratio"}) {
    const std::string arguments = std::string("(input, kernel_size, output_size=None, ") + ratio +
                                  "=None, return_indices=False, _random_samples: samples=None)";
    op.Py(name + arguments).Py(name + "_with_indices" + arguments, {{"return_indices", true}});
  }
}

}  // namespace

OFL_OP(max_unpool1d) { Unpool<1>(op); }
OFL_OP(max_unpool2d) { Unpool<2>(op); }
OFL_OP(max_unpool3d) { Unpool<3>(op); }
OFL_OP(fractional_max_pool2d) { Fractional<2>(op); }
OFL_OP(fractional_max_pool3d) { Fractional<3>(op); }

}  // namespace ofl::ops
