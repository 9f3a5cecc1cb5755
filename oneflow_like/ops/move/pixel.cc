// Channels that become pixels and the reverse; windows of images as columns: composites.
#include <algorithm>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

op::Value Reshaped(op::Builder& b, const op::Value& x, Ints shape) {
  return b.Call("reshape", {x}, {{"shape", std::move(shape)}});
}
op::Value Permuted(op::Builder& b, const op::Value& x, Ints dims) {
  return b.Call("permute", {x}, {{"dims", std::move(dims)}});
}

// Factor and image of pixel_shuffle and its inverse.
Status CheckImage(const Shape& shape, int64_t factor) {
  OFL_ENSURE(shape.rank() >= 3, Code::kInvalidArgument)
      << "an image has channels, rows and columns: got " << shape.rank()
      << " axes; expected at least 3";
  OFL_ENSURE(factor > 0 && factor < (int64_t{1} << 24), Code::kInvalidArgument)
      << "the factor is out of range: got " << factor << "; expected at least 1, less than 2^24";
  return Status::Ok();
}

op::Values ComposeShuffle(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t r = attrs.Get<int64_t>("upscale_factor");
  if (Status image = CheckImage(shape, r); !image.ok()) return Refused(b, image);
  const int rank = shape.rank();
  const int64_t channels = shape[rank - 3], height = shape[rank - 2], width = shape[rank - 1];
  if (channels % (r * r) != 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "channels do not become squares of pixels: got " << channels
                          << "; expected a multiple of " << r * r);
  }
  const int64_t outer = ProductOf(shape, 0, rank - 3), left = channels / (r * r);
  op::Value x = Reshaped(b, in[0], {outer, left, r, r, height, width});
  x = Permuted(b, x, {0, 1, 4, 2, 5, 3});
  Ints to(shape.begin(), shape.end() - 3);
  to.insert(to.end(), {left, height * r, width * r});
  return {Reshaped(b, x, std::move(to))};
}

op::Values ComposeUnshuffle(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t r = attrs.Get<int64_t>("downscale_factor");
  if (Status image = CheckImage(shape, r); !image.ok()) return Refused(b, image);
  const int rank = shape.rank();
  const int64_t channels = shape[rank - 3], height = shape[rank - 2], width = shape[rank - 1];
  if (height % r != 0 || width % r != 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "rows and columns are no whole squares: got " << height << " and "
                          << width << "; expected multiples of " << r);
  }
  const int64_t outer = ProductOf(shape, 0, rank - 3);
  op::Value x = Reshaped(b, in[0], {outer, channels, height / r, r, width / r, r});
  x = Permuted(b, x, {0, 1, 3, 5, 2, 4});
  Ints to(shape.begin(), shape.end() - 3);
  to.insert(to.end(), {SaturatingMul(channels, r * r), height / r, width / r});
  return {Reshaped(b, x, std::move(to))};
}

op::Values ComposeChannels(op::Builder& b, Span in, const Attrs& attrs) {
  const Shape& shape = in[0]->meta().shape;
  const int64_t groups = attrs.Get<int64_t>("groups");
  if (shape.rank() < 3 || groups < 1 || shape[1] % groups != 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "channels do not fall into groups: got " << groups
                          << " groups of axis 1 of shape " << shape
                          << "; expected at least 3 axes, and a divisor of axis 1");
  }
  const int64_t inner = ProductOf(shape, 2, shape.rank());
  op::Value x = Reshaped(b, in[0], {shape[0], groups, shape[1] / groups, inner});
  return {Reshaped(b, Permuted(b, x, {0, 2, 1, 3}), DimsOf(shape))};
}

// --- in one copy, for calls without a tape and without layouts -----------------------------------

// Input 0, seen in the shape `apart` with its axes in another order, becomes output 0.
Status CopyTurned(op::KernelContext& c, const Shape& apart, std::initializer_list<int> order) {
  const Strides dense = ContiguousStrides(apart);
  Shape turned;
  Strides strides;
  for (int axis : order) {
    turned.push_back(apart[axis]);
    strides.push_back(dense[axis]);
  }
  const TensorMeta meta{c.inputs[0].meta.dtype, turned};
  CopyBox(c.stream, {c.inputs[0].data, meta, strides}, {c.outputs[0].data, meta});
  return Status::Ok();
}

Status RunShuffle(op::KernelContext& c) {
  const Shape& y = c.outputs[0].meta.shape;
  const int rank = y.rank();
  const int64_t r = c.attr<int64_t>("upscale_factor"), outer = ProductOf(y, 0, rank - 3);
  return CopyTurned(c, {outer, y[rank - 3], r, r, y[rank - 2] / r, y[rank - 1] / r},
                    {0, 1, 4, 2, 5, 3});
}
Status RunUnshuffle(op::KernelContext& c) {
  const Shape &x = c.inputs[0].meta.shape, &y = c.outputs[0].meta.shape;
  const int rank = y.rank();
  const int64_t r = c.attr<int64_t>("downscale_factor"), outer = ProductOf(y, 0, rank - 3);
  return CopyTurned(c, {outer, x[rank - 3], y[rank - 2], r, y[rank - 1], r}, {0, 1, 3, 5, 2, 4});
}
Status RunChannels(op::KernelContext& c) {
  const Shape& x = c.inputs[0].meta.shape;
  const int64_t groups = c.attr<int64_t>("groups");
  return CopyTurned(c, {x[0], groups, x[1] / groups, ProductOf(x, 2, x.rank())}, {0, 2, 1, 3});
}

// --- windows as columns ---------------------------------------------------------------------

// One number for both axes, or one for each.
struct Pair {
  int64_t rows, columns;
};
Result<Pair> PairOf(const Attrs& attrs, const char* name, int64_t least) {
  const Ints& given = attrs.Get<Ints>(name);
  OFL_ENSURE(given.size() == 1 || given.size() == 2, Code::kInvalidArgument)
      << name << " has " << given.size() << " numbers; expected one or two";
  const Pair pair{given.front(), given.back()};
  constexpr int64_t kMost = int64_t{1} << 31;
  OFL_ENSURE(
      pair.rows >= least && pair.columns >= least && pair.rows < kMost && pair.columns < kMost,
      Code::kInvalidArgument)
      << name << " is out of range: got " << AttrToString(given) << "; expected at least " << least
      << ", less than 2^31";
  return pair;
}

// Windows of an image of (padded) size `image`.
struct Windows {
  Pair kernel, dilation, padding, stride, image, span, count;
};
Result<Windows> WindowsOf(const Attrs& attrs, const Pair& image) {
  Windows w{};
  OFL_ASSIGN(w.kernel, PairOf(attrs, "kernel_size", 1));
  OFL_ASSIGN(w.dilation, PairOf(attrs, "dilation", 1));
  OFL_ASSIGN(w.padding, PairOf(attrs, "padding", 0));
  OFL_ASSIGN(w.stride, PairOf(attrs, "stride", 1));
  const auto along = [&](int64_t Pair::* axis) -> Status {
    w.image.*axis = SaturatingAdd(image.*axis, 2 * (w.padding.*axis));
    w.span.*axis = SaturatingMul(w.dilation.*axis, w.kernel.*axis - 1) + 1;
    OFL_ENSURE(w.span.*axis <= w.image.*axis, Code::kInvalidArgument)
        << "a window is larger than the image: spans " << w.span.*axis << " of " << w.image.*axis
        << " places; expected at least one window along each axis";
    w.count.*axis = (w.image.*axis - w.span.*axis) / (w.stride.*axis) + 1;
    return Status::Ok();
  };
  OFL_TRY(along(&Pair::rows));
  OFL_TRY(along(&Pair::columns));
  return w;
}

Attrs Unfolding(int64_t dimension, int64_t size, int64_t step) {
  return {{"dimension", dimension}, {"size", size}, {"step", step}};
}
Ints Borders(const Pair& padding, int64_t sign) {
  return {sign * padding.columns, sign * padding.columns, sign * padding.rows, sign * padding.rows};
}
// Every dilation-th place of the windows, which are axes 4 and 5.
Attrs Dilated(const Windows& w, const Shape& whole) {
  Ints begin(6, 0), end = DimsOf(whole), step(6, 1);
  step[4] = w.dilation.rows;
  step[5] = w.dilation.columns;
  return {{"begin", begin}, {"end", end}, {"step", step}};
}

// As torch: windows are of numbers that a product can take, not of integers.
Status CheckPixels(DType dtype) {
  OFL_ENSURE(!IsInteger(dtype) && !IsFloat8(dtype), Code::kUnimplemented)
      << "windows of " << DTypeName(dtype) << " are not taken; expected a floating or complex "
      << "dtype, or bool; convert with .to(dtype)";
  return Status::Ok();
}
// The first sample in every dtype that CheckPixels takes.
std::vector<op::Sample> InPixelDTypes(std::vector<op::Sample> samples) {
  for (DType dtype : AllDTypes()) {
    if (dtype == samples[0].inputs[0].dtype || !CheckPixels(dtype).ok()) continue;
    samples.push_back(samples[0]);
    samples.back().inputs[0].dtype = dtype;
  }
  return samples;
}

op::Values ComposeIm2col(op::Builder& b, Span in, const Attrs& attrs) {
  if (Status pixels = CheckPixels(in[0]->meta().dtype); !pixels.ok()) return Refused(b, pixels);
  const Shape& shape = in[0]->meta().shape;
  const int rank = shape.rank();
  if (rank != 3 && rank != 4) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the input is no image: got shape " << shape
                          << "; expected (channels, rows, columns), or a batch of them");
  }
  const auto w = WindowsOf(attrs, {shape[rank - 2], shape[rank - 1]});
  if (!w.ok()) return Refused(b, w.status());
  const int64_t batch = rank == 4 ? shape[0] : 1, channels = shape[rank - 3];
  op::Value x = rank == 4 ? in[0] : Reshaped(b, in[0], {1, channels, shape[1], shape[2]});
  if (w->padding.rows > 0 || w->padding.columns > 0)
    x = b.Call("constant_pad_nd", {x}, {{"pad", Borders(w->padding, 1)}});
  x = b.Call("unfold", {x}, Unfolding(2, w->span.rows, w->stride.rows));
  x = b.Call("unfold", {x}, Unfolding(3, w->span.columns, w->stride.columns));
  if (x != nullptr && (w->dilation.rows > 1 || w->dilation.columns > 1))
    x = b.Call("slice", {x}, Dilated(*w, x->meta().shape));
  x = Permuted(b, x, {0, 1, 4, 5, 2, 3});
  const int64_t column = SaturatingMul(channels, SaturatingMul(w->kernel.rows, w->kernel.columns));
  const int64_t count = w->count.rows * w->count.columns;
  return {Reshaped(b, x, rank == 4 ? Ints{batch, column, count} : Ints{column, count})};
}

op::Values ComposeCol2im(op::Builder& b, Span in, const Attrs& attrs) {
  if (Status pixels = CheckPixels(in[0]->meta().dtype); !pixels.ok()) return Refused(b, pixels);
  const Shape& shape = in[0]->meta().shape;
  const int rank = shape.rank();
  const auto image = PairOf(attrs, "output_size", 1);
  if (!image.ok()) return Refused(b, image.status());
  const auto w = WindowsOf(attrs, *image);
  if (!w.ok()) return Refused(b, w.status());
  const int64_t window = SaturatingMul(w->kernel.rows, w->kernel.columns);
  const int64_t count = w->count.rows * w->count.columns;
  if ((rank != 2 && rank != 3) || shape[rank - 2] % window != 0 || shape[rank - 1] != count) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "the input has not the columns of such windows: got shape " << shape
                          << "; expected (channels * " << window << ", " << count
                          << "), or a batch of them");
  }
  const int64_t batch = rank == 3 ? shape[0] : 1, channels = shape[rank - 2] / window;
  op::Value x = Reshaped(
      b, in[0],
      {batch, channels, w->kernel.rows, w->kernel.columns, w->count.rows, w->count.columns});
  x = Permuted(b, x, {0, 1, 4, 5, 2, 3});
  const Shape whole = {batch,        channels,       w->count.rows, w->count.columns,
                       w->span.rows, w->span.columns};
  if (w->dilation.rows > 1 || w->dilation.columns > 1) {
    Attrs place = Dilated(*w, whole);
    place.Set("shape", DimsOf(whole));
    x = b.Call("slice_grad", {x}, place);
  }
  Attrs columns = Unfolding(3, w->span.columns, w->stride.columns);
  columns.Set("shape", Ints{batch, channels, w->count.rows, w->image.columns, w->span.rows});
  x = b.Call("unfold_adjoint", {x}, columns);
  Attrs rows = Unfolding(2, w->span.rows, w->stride.rows);
  rows.Set("shape", Ints{batch, channels, w->image.rows, w->image.columns});
  x = b.Call("unfold_adjoint", {x}, rows);
  if (w->padding.rows > 0 || w->padding.columns > 0)
    x = b.Call("constant_pad_nd", {x}, {{"pad", Borders(w->padding, -1)}});
  if (rank == 2) x = Reshaped(b, x, {channels, image->rows, image->columns});
  return {x};
}

op::OpDefBuilder& Windowed(op::OpDefBuilder& op) {
  return op.Attr("kernel_size", op::AttrType::kInts)
      .Attr("dilation", op::AttrType::kInts, Ints{1})
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .Attr("stride", op::AttrType::kInts, Ints{1});
}

op::Sample Of(Shape shape, Attrs attrs, DType dtype = DType::kFloat32) {
  return {{{dtype, shape}}, std::move(attrs)};
}

}  // namespace

OFL_OP(pixel_shuffle) {
  op.Doc("Groups of upscale_factor^2 channels as squares of pixels.")
      .In("input")
      .Out("output")
      .Attr("upscale_factor", op::AttrType::kInt)
      .Compose(ComposeShuffle)
      .Oracle("pixel_shuffle(input, upscale_factor)")
      .Py("pixel_shuffle(input, upscale_factor)")
      .Public()
      .Functional()
      .Samples([] {
        return InEveryDType({Of({2, 8, 2, 3}, {{"upscale_factor", int64_t{2}}}),
                             Of({3, 2, 2}, {{"upscale_factor", int64_t{1}}}),
                             Of({0, 4, 1, 2}, {{"upscale_factor", int64_t{2}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {3, 2, 2}}},
                      {{"upscale_factor", int64_t{2}}},
                      Code::kInvalidArgument,
                      "a multiple of 4"},
                     {{{DType::kFloat32, {2, 2}}},
                      {{"upscale_factor", int64_t{2}}},
                      Code::kInvalidArgument,
                      "at least 3"}});
  CpuForAllTypes(op, RunShuffle);
}

OFL_OP(pixel_unshuffle) {
  op.Doc("Squares of downscale_factor^2 pixels as channels.")
      .In("input")
      .Out("output")
      .Attr("downscale_factor", op::AttrType::kInt)
      .Compose(ComposeUnshuffle)
      .Oracle("pixel_unshuffle(input, downscale_factor)")
      .Py("pixel_unshuffle(input, downscale_factor)")
      .Public()
      .Functional()
      .Samples([] {
        return InEveryDType({Of({2, 1, 4, 6}, {{"downscale_factor", int64_t{2}}}),
                             Of({3, 2, 2}, {{"downscale_factor", int64_t{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {1, 3, 2}}},
                      {{"downscale_factor", int64_t{2}}},
                      Code::kInvalidArgument,
                      "multiples of 2"}});
  CpuForAllTypes(op, RunUnshuffle);
}

OFL_OP(channel_shuffle) {
  op.Doc("Channels, axis 1, of `groups` groups in turn.")
      .In("input")
      .Out("output")
      .Attr("groups", op::AttrType::kInt)
      .Compose(ComposeChannels)
      .Oracle("channel_shuffle(input, groups)")
      .Py("channel_shuffle(input, groups)")
      .Py("native_channel_shuffle(input, groups)")
      .Public()
      .Functional()
      .Samples([] {
        return InEveryDType({Of({2, 6, 2}, {{"groups", int64_t{3}}}),
                             Of({1, 4, 2, 2}, {{"groups", int64_t{2}}}),
                             Of({2, 4, 3}, {{"groups", int64_t{1}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {1, 4, 2}}},
                      {{"groups", int64_t{3}}},
                      Code::kInvalidArgument,
                      "a divisor of axis 1"}});
  CpuForAllTypes(op, RunChannels);
}

OFL_OP(im2col) {
  Windowed(op.Doc("Windows of images as columns: (batch, channels * window, windows).")
               .In("input")
               .Out("output"))
      .Compose(ComposeIm2col)
      .Oracle("im2col(input, kernel_size, dilation, padding, stride)")
      .Py("unfold(input, kernel_size, dilation=1, padding=0, stride=1)")
      .Functional()
      .Samples([] {
        return InPixelDTypes(
            {Of({2, 2, 3, 4}, {{"kernel_size", Ints{2}}}),
             Of({1, 5, 4},
                {{"kernel_size", Ints{2, 1}}, {"dilation", Ints{2}}, {"padding", Ints{1, 0}}}),
             Of({1, 1, 5, 5}, {{"kernel_size", Ints{3}}, {"stride", Ints{2}}}),
             Of({0, 1, 3, 3}, {{"kernel_size", Ints{2}}})});
      })
      .ErrorSamples({{{{DType::kFloat32, {1, 1, 2, 2}}},
                      {{"kernel_size", Ints{3}}},
                      Code::kInvalidArgument,
                      "at least one window"},
                     {{{DType::kFloat32, {1, 1, 2, 2}}},
                      {{"kernel_size", Ints{1}}, {"stride", Ints{0}}},
                      Code::kInvalidArgument,
                      "stride is out of range"},
                     {{{DType::kFloat32, {2, 2}}},
                      {{"kernel_size", Ints{1}}},
                      Code::kInvalidArgument,
                      "no image"},
                     {{{DType::kInt64, {1, 1, 2, 2}}},
                      {{"kernel_size", Ints{1}}},
                      Code::kUnimplemented,
                      "expected a floating or complex"}});
}

OFL_OP(col2im) {
  Windowed(op.Doc("Images to which every column is added as the window that im2col took it from.")
               .In("input")
               .Out("output")
               .Attr("output_size", op::AttrType::kInts))
      .Compose(ComposeCol2im)
      .Oracle("col2im(input, output_size, kernel_size, dilation, padding, stride)")
      .Py("fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1)")
      .Functional()
      .Samples([] {
        const Attrs small = {{"output_size", Ints{3, 4}}, {"kernel_size", Ints{2}}};
        return std::vector<op::Sample>{
            Of({2, 8, 6}, small),
            Of({2, 8, 6}, small, DType::kFloat64),
            Of({1, 4, 6}, small, DType::kComplex64),
            Of({1, 4, 6}, small, DType::kBool),
            Of({2, 20}, {{"output_size", Ints{5, 4}},
                         {"kernel_size", Ints{2, 1}},
                         {"dilation", Ints{2}},
                         {"padding", Ints{1, 0}}}),
            Of({1, 9, 4},
               {{"output_size", Ints{5}}, {"kernel_size", Ints{3}}, {"stride", Ints{2}}})};
      })
      .ErrorSamples({{{{DType::kFloat32, {1, 4, 5}}},
                      {{"output_size", Ints{3}}, {"kernel_size", Ints{2}}},
                      Code::kInvalidArgument,
                      "(channels * 4, 4)"}});
}

}  // namespace ofl::ops
