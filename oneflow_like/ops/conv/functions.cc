// Convolutions as torch names them: conv1d to conv3d, their transposes, convolution, conv_tbc.
#include <algorithm>

#include "oneflow_like/ops/conv/composed.h"

namespace ofl::ops {
namespace {

Ints Spatial(const op::Value& x, int axes) {
  const Shape& shape = x->meta().shape;
  return Ints(shape.end() - axes, shape.end());
}

struct Request {
  int axes = 0;
  Ints stride, dilation, before, after, output_padding;
  int64_t groups = 1;
  bool transposed = false;
};

// Borders that give as many windows as there are elements; an odd one stands behind.
void PadSame(const op::Value& weight, Request* r) {
  const Ints kernel = Spatial(weight, r->axes);
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t total = SaturatingMul(r->dilation[i], std::max<int64_t>(kernel[i] - 1, 0));
    r->before.push_back(total / 2);
    r->after.push_back(total - total / 2);
  }
}

Result<Request> RequestOf(Operands in, const Attrs& attrs, int axes, bool transposed) {
  Request r{.axes = axes, .groups = attrs.Get<int64_t>("groups"), .transposed = transposed};
  const Shape &x = in[0]->meta().shape, &w = in[1]->meta().shape;
  OFL_ENSURE(w.rank() == axes + 2 && (x.rank() == axes + 2 || x.rank() == axes + 1),
             Code::kInvalidArgument)
      << "got input: " << x << " and weight: " << w << "; expected " << axes + 2
      << " axes of the weight, and as many or one fewer of the input";
  OFL_ASSIGN(r.stride, SizesOf(attrs.Get<Ints>("stride"), axes, "stride", 1));
  OFL_ASSIGN(r.dilation, SizesOf(attrs.Get<Ints>("dilation"), axes, "dilation", 1));
  const int64_t channels = x[x.rank() - axes - 1];
  OFL_ENSURE(r.groups > 0 && w[0] % r.groups == 0 && channels % r.groups == 0 &&
                 (transposed ? w[0] == channels : SaturatingMul(w[1], r.groups) == channels),
             Code::kInvalidArgument)
      << "the weight does not fit the channels: got input: " << x << ", weight: " << w
      << " and groups=" << r.groups << "; expected a weight ("
      << (transposed ? "channels, filters / groups" : "filters, channels / groups")
      << ", kernel) and groups that divide channels and filters";
  const std::string* mode = attrs.Maybe<std::string>("mode");
  if (mode == nullptr) {
    OFL_ASSIGN(r.before, SizesOf(attrs.Get<Ints>("padding"), axes, "padding", 0));
    r.after = r.before;
  } else if (*mode == "valid") {
    r.before = r.after = Ints(static_cast<size_t>(axes), 0);
  } else {
    OFL_ENSURE(*mode == "same" && r.stride == Ints(static_cast<size_t>(axes), 1),
               Code::kInvalidArgument)
        << "got padding=" << Quoted(*mode)
        << " and stride=" << Shape(std::span<const int64_t>(r.stride))
        << "; expected numbers, 'valid', or 'same' with a stride of 1";
    PadSame(in[1], &r);
  }
  if (!transposed) return r;
  OFL_ASSIGN(r.output_padding,
             SizesOf(attrs.Get<Ints>("output_padding"), axes, "output_padding", 0));
  for (size_t i = 0; i < r.stride.size(); ++i) {
    OFL_ENSURE(r.output_padding[i] < std::max(r.stride[i], r.dilation[i]), Code::kInvalidArgument)
        << "output_padding must be smaller than stride or dilation: got " << r.output_padding[i]
        << "; expected less than " << std::max(r.stride[i], r.dilation[i]);
  }
  return r;
}

// Spatial sizes of a transposed convolution's result.
Result<Ints> TransposedSizes(const op::Value& x, const op::Value& w, const Request& r) {
  const Ints in = Spatial(x, r.axes), kernel = Spatial(w, r.axes);
  Ints out;
  for (size_t i = 0; i < in.size(); ++i) {
    const int64_t size = SaturatingMul(in[i] - 1, r.stride[i]) - 2 * r.before[i] +
                         Span(kernel[i], r.dilation[i]) + r.output_padding[i];
    OFL_ENSURE(in[i] > 0 && kernel[i] > 0 && size > 0, Code::kInvalidArgument)
        << "spatial axis " << i << " has no elements left: got " << in[i] << " of the input and "
        << kernel[i] << " of the kernel, which give " << size
        << "; expected at least 1, and less padding";
    out.push_back(size);
  }
  return out;
}

op::Value SplitAxis(op::Builder& b, const op::Value& x, int axis, int64_t groups) {
  if (x == nullptr) return nullptr;
  Shape shape = x->meta().shape;
  shape[axis] /= groups;
  shape.insert(axis, groups);
  return ShapedAs(b, x, shape);
}

op::Value Convolve(op::Builder& b, Operands in, const Request& r, const Ints& size) {
  const bool grouped = r.groups > 1;
  op::Values operands = {in[0], in[1]};
  if (in.size() > 2 && !r.transposed) operands.push_back(in[2]);
  for (size_t i = 0; grouped && i < operands.size(); ++i)
    operands[i] = SplitAxis(b, operands[i], i == 0 ? 1 : 0, r.groups);
  Attrs attrs = {
      {"stride", r.stride}, {"dilation", r.dilation}, {"padding", r.before}, {"grouped", grouped}};
  attrs.Set(r.transposed ? "size" : "padding_after", r.transposed ? size : r.after);
  const char* const name = r.transposed ? "conv_input" : in.size() > 2 ? "conv_biased" : "conv";
  op::Value y = b.Call(name, std::move(operands), attrs);
  if (y == nullptr) return nullptr;
  if (grouped) {
    Shape shape = y->meta().shape;
    shape[1] *= shape[2];
    shape.erase(2);
    y = ShapedAs(b, y, shape);
  }
  if (in.size() < 3 || !r.transposed || y == nullptr) return y;
  Shape column{in[2]->meta().shape.numel()};
  for (int i = 0; i < r.axes; ++i) column.push_back(1);
  return Add(b, y, ShapedAs(b, in[2], column));
}

op::Values Compose(op::Builder& b, Operands in, const Attrs& attrs, int axes, bool transposed) {
  const auto request = RequestOf(in, attrs, axes, transposed);
  if (!request.ok()) return Refused(b, request.status());
  Ints size;
  if (transposed) {
    auto sizes = TransposedSizes(in[0], in[1], *request);
    if (!sizes.ok()) return Refused(b, sizes.status());
    size = std::move(*sizes);
    const int64_t filters = SaturatingMul(in[1]->meta().shape[1], request->groups);
    if (in.size() > 2 &&
        !(in[2]->meta().shape == Shape{filters} && in[2]->meta().dtype == in[0]->meta().dtype)) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "got bias: " << in[2]->meta().ToString() << "; expected "
                            << DTypeName(in[0]->meta().dtype) << " of shape " << Shape{filters});
    }
  }
  return {Batched(b, in[0], axes + 2, [&](const op::Value& x) {
    op::Values operands(in.begin(), in.end());
    operands[0] = x;
    return Convolve(b, operands, *request, size);
  })};
}

template <int kAxes, bool kTransposed>
op::Values ComposeConv(op::Builder& b, Operands in, const Attrs& attrs) {
  return Compose(b, in, attrs, kAxes, kTransposed);
}

op::Values ComposeConvolution(op::Builder& b, Operands in, const Attrs& attrs) {
  const int axes = in[1]->meta().shape.rank() - 2;
  if (axes < 1 || axes > 3) {
    return Refused(b, Error(Code::kInvalidArgument) << "got weight: " << in[1]->meta().ToString()
                                                    << "; expected one, two or three spatial axes");
  }
  return Compose(b, in, attrs, axes, attrs.Get<bool>("transposed"));
}

// Of (time, images, channels), with a weight (kernel, channels, filters).
op::Values ComposeTbc(op::Builder& b, Operands in, const Attrs& attrs) {
  if (in[0]->meta().shape.rank() != 3 || in[1]->meta().shape.rank() != 3) {
    return Refused(b, Error(Code::kInvalidArgument) << "got input: " << in[0]->meta().ToString()
                                                    << " and weight: " << in[1]->meta().ToString()
                                                    << "; expected three axes each");
  }
  const op::Value x = b.Call("permute", {in[0]}, {{"dims", Ints{1, 2, 0}}});
  const op::Value w = b.Call("permute", {in[1]}, {{"dims", Ints{2, 1, 0}}});
  const op::Value y =
      b.Call("conv1d", {x, w, in[2]}, {{"padding", Ints{attrs.Get<int64_t>("pad")}}});
  return {b.Call("permute", {y}, {{"dims", Ints{2, 0, 1}}})};
}

// --- definitions ---------------------------------------------------------------------------------

op::Sample Of(std::vector<Shape> shapes, Attrs attrs = {}, DType dtype = DType::kFloat32) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({dtype, shape});
  sample.attrs = std::move(attrs);
  return sample;
}

Shape Join(Shape head, int axes, const Shape& sizes) {
  for (int i = 0; i < axes; ++i) head.push_back(sizes[i]);
  return head;
}

std::vector<op::Sample> Samples(int axes, bool transposed) {
  const Shape space{6, 5, 4}, kernel{3, 2, 3};
  const auto x = [&](Shape head) { return Join(head, axes, space); };
  const auto w = [&](Shape head) { return Join(head, axes, kernel); };
  std::vector<op::Sample> samples = {
      Of({x({2, 4}), w({4, 6}), {6}}, {{"stride", Ints{2}}, {"padding", Ints{1}}}),
      Of({x({2, 4}), w({4, 3}), {6}},
         {{"groups", int64_t{2}}, {"dilation", Ints{2}}, {"padding", Ints{2}}}),
      Of({x({4}), w({4, 3})})};
  if (transposed) {
    samples[0].attrs.Set("output_padding", Ints{1});
  } else {
    samples[0].inputs[1].shape = w({6, 4});
    samples[1].inputs[1].shape = w({6, 2});
    samples[2].inputs[1].shape = w({3, 4});
    samples.push_back(Of({x({2, 4}), w({3, 4})}, {{"mode", std::string("same")}}));
  }
  const op::Sample first = samples.front();
  for (DType dtype : ListOf(kNumbers)) {
    if (dtype == DType::kFloat32) continue;
    samples.push_back(first);
    for (TensorMeta& meta : samples.back().inputs) meta.dtype = dtype;
    // A bias of a half type is added to what was rounded before.
    if (transposed && IsHalf(dtype)) samples.back().inputs.pop_back();
  }
  return samples;
}

op::OpDefBuilder& WithAttrs(op::OpDefBuilder& op) {
  return op.In("input")
      .In("weight")
      .InOptional("bias")
      .Out("output")
      .Attr("stride", op::AttrType::kInts, Ints{1})
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .Attr("dilation", op::AttrType::kInts, Ints{1})
      .Attr("groups", op::AttrType::kInt, int64_t{1});
}

template <int kAxes>
void Conv(op::OpDefBuilder& op, const std::string& name) {
  WithAttrs(op.Doc("Products of `weight` (filters, channels / groups, kernel) with the windows of "
                   "`input` (images,\nchannels, spatial axes; or one image), plus a bias for each "
                   "filter. padding: zeros around the\ninput, 'valid' for none, 'same' for as many "
                   "windows as there are elements."))
      .OptionalAttr("mode", op::AttrType::kString)
      .Compose(ComposeConv<kAxes, false>)
      .Oracle("convolution(input, weight, bias, stride, padding, dilation, groups, mode)")
      .Py(name + "(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)")
      .Py(name +
          "(input, weight, bias=None, stride=1, padding: mode='valid', dilation=1, groups=1)")
      .Public()
      .Functional()
      .Samples([] { return Samples(kAxes, false); })
      .ErrorSamples({{{{DType::kFloat32, Join({2, 4}, kAxes, {4, 4, 4})},
                       {DType::kFloat32, Join({3, 2}, kAxes, {3, 3, 3})}},
                      {},
                      Code::kInvalidArgument,
                      "groups that divide channels and filters"},
                     {{{DType::kFloat32, Join({2, 4}, kAxes, {4, 4, 4})},
                       {DType::kFloat32, Join({3, 4}, kAxes, {3, 3, 3})}},
                      {{"mode", std::string("same")}, {"stride", Ints{2}}},
                      Code::kInvalidArgument,
                      "'same' with a stride of 1"}});
}

template <int kAxes>
void Transposed(op::OpDefBuilder& op, const std::string& name) {
  WithAttrs(op.Doc("The adjoint of a convolution with `weight` (channels, filters / groups, "
                   "kernel): every element of\n`input` adds the kernel times itself to the result, "
                   "`stride` apart; plus a bias."))
      .Attr("output_padding", op::AttrType::kInts, Ints{0})
      .Compose(ComposeConv<kAxes, true>)
      .Oracle(
          "convolution(input, weight, bias, stride, padding, dilation, groups, None, "
          "output_padding)")
      .Py(name +
          "(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, "
          "dilation=1)")
      .Public()
      .Functional()
      .Samples([] { return Samples(kAxes, true); })
      .ErrorSamples({{{{DType::kFloat32, Join({2, 4}, kAxes, {4, 4, 4})},
                       {DType::kFloat32, Join({4, 2}, kAxes, {3, 3, 3})}},
                      {{"output_padding", Ints{1}}},
                      Code::kInvalidArgument,
                      "expected less than 1"},
                     {{{DType::kFloat32, Join({2, 4}, kAxes, {2, 2, 2})},
                       {DType::kFloat32, Join({4, 2}, kAxes, {2, 2, 2})}},
                      {{"padding", Ints{2}}},
                      Code::kInvalidArgument,
                      "less padding"}});
}

}  // namespace

OFL_OP(conv1d) { Conv<1>(op, "conv1d"); }
OFL_OP(conv2d) { Conv<2>(op, "conv2d"); }
OFL_OP(conv3d) { Conv<3>(op, "conv3d"); }
OFL_OP(conv_transpose1d) { Transposed<1>(op, "conv_transpose1d"); }
OFL_OP(conv_transpose2d) { Transposed<2>(op, "conv_transpose2d"); }
OFL_OP(conv_transpose3d) { Transposed<3>(op, "conv_transpose3d"); }

OFL_OP(convolution) {
  WithAttrs(op.Doc("conv1d, conv2d, conv3d or their transposes, by the number of axes."))
      .Attr("transposed", op::AttrType::kBool, false)
      .Attr("output_padding", op::AttrType::kInts, Ints{0})
      .Compose(ComposeConvolution)
      .Oracle(
          "convolution(input, weight, bias, stride, padding, dilation, groups, None, "
          "output_padding if transposed else None)")
      .Py("convolution(input, weight, bias, stride, padding, dilation, transposed, "
          "output_padding, groups)")
      .Public()
      .Samples([] {
        return std::vector<op::Sample>{
            Of({{2, 3, 5}, {4, 3, 3}, {4}}),
            Of({{2, 3, 5, 4}, {3, 2, 3, 2}}, {{"transposed", true}, {"stride", Ints{2}}})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "spatial axes"}});
}

OFL_OP(conv_tbc) {
  op.Doc("conv1d of input (time, images, channels) and weight (kernel, channels, filters).")
      .In("input")
      .In("weight")
      .In("bias")
      .Out("output")
      .Attr("pad", op::AttrType::kInt, int64_t{0})
      .Compose(ComposeTbc)
      .Oracle(
          "convolution(input.transpose(1, 2, 0), weight.transpose(2, 1, 0), bias, [1], [pad], "
          "[1], 1).transpose(2, 0, 1)")
      .Py("conv_tbc(input, weight, bias, pad=0)")
      .Public()
      .Functional()
      .Samples([] {
        return std::vector<op::Sample>{Of({{5, 2, 3}, {2, 3, 4}, {4}}, {{"pad", int64_t{1}}})};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2, 3, 1}}, {DType::kFloat32, {1}}},
            {},
            Code::kInvalidArgument,
            "three axes each"}});
}

}  // namespace ofl::ops
