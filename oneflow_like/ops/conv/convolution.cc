// conv, the same with a bias, and its two adjoints: of y = x * w, which is linear in x and in w,
// each from the others.
//
// A library computes float32 and the half types (onednn.cc), column_products.cc every dtype.
#include "oneflow_like/ops/conv/convolution.h"

#include <algorithm>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/product.h"

namespace ofl::ops {
namespace {

// --- sizes --------------------------------------------------------------------------------------

struct Axes {
  int grouped = 0;  // 1 where groups are an axis of their own
  int spatial = 0;
  static Axes Of(const Shape& x, const Attrs& attrs) {
    const int grouped = attrs.Get<bool>("grouped") ? 1 : 0;
    return {grouped, x.rank() - 2 - grouped};
  }
  int of_images(int i) const { return 2 + grouped + i; }  // in x, y and w alike: w has no images
};

ConvSizes Assemble(const Shape& x, const Shape& w, const Shape& y, const Attrs& attrs) {
  const Axes axes = Axes::Of(x, attrs);
  ConvSizes s;
  s.spatial = axes.spatial;
  s.images = x[0];
  s.groups = axes.grouped ? x[1] : 1;
  s.channels = x[1 + axes.grouped];
  s.filters = w[axes.grouped];
  for (int i = 0; i < s.spatial; ++i) {
    const size_t to = static_cast<size_t>(3 - s.spatial + i), at = static_cast<size_t>(i);
    s.windows.in[to] = x[axes.of_images(i)];
    s.windows.out[to] = y[axes.of_images(i)];
    s.windows.kernel[to] = w[2 + axes.grouped + i];
    s.windows.stride[to] = attrs.Get<Ints>("stride")[at];
    s.windows.dilation[to] = attrs.Get<Ints>("dilation")[at];
    s.windows.before[to] = attrs.Get<Ints>("padding")[at];
  }
  return s;
}

Status CheckCommon(op::InferContext& c) {
  OFL_TRY(RequireNumbers(c, 0, "input"));
  OFL_TRY(RequireSameDType(c, 0, 1, "operands"));
  const Shape &a = c.input(0).shape, &b = c.input(1).shape;
  const Axes axes = Axes::Of(a, c.attrs());
  OFL_ENSURE(a.rank() == b.rank() && axes.spatial >= 1 && axes.spatial <= 3, Code::kInvalidArgument)
      << "operands must have two axes" << (axes.grouped ? ", groups" : "")
      << " and one, two or three spatial ones; got " << a << " and " << b
      << "; expected equal ranks";
  for (const char* name : {"stride", "dilation", "padding"}) {
    const int64_t least = name == std::string_view("padding") ? 0 : 1;
    OFL_TRY(CheckSizes(c.attr<Ints>(name), axes.spatial, name, least));
  }
  return Status::Ok();
}

Status CheckAlike(const Shape& a, const Shape& b, int axis_a, int axis_b, const char* what) {
  OFL_ENSURE(a[axis_a] == b[axis_b], Code::kInvalidArgument)
      << "the numbers of " << what << " differ: got " << a[axis_a] << " and " << b[axis_b]
      << "; expected equal ones";
  return Status::Ok();
}

Status InferConv(op::InferContext& c) {
  OFL_TRY(CheckCommon(c));
  const Shape &x = c.input(0).shape, &w = c.input(1).shape;
  const Axes axes = Axes::Of(x, c.attrs());
  if (axes.grouped) OFL_TRY(CheckAlike(x, w, 1, 0, "groups"));
  OFL_TRY(CheckAlike(x, w, 1 + axes.grouped, 1 + axes.grouped, "channels"));
  OFL_TRY(CheckSizes(c.attr<Ints>("padding_after"), axes.spatial, "padding_after", 0));
  Shape y = x;
  y[1 + axes.grouped] = w[axes.grouped];
  for (int i = 0; i < axes.spatial; ++i) {
    const size_t at = static_cast<size_t>(i);
    const int64_t size = x[axes.of_images(i)], kernel = w[axes.of_images(i)];
    const int64_t before = c.attr<Ints>("padding")[at], after = c.attr<Ints>("padding_after")[at];
    const int64_t dilation = c.attr<Ints>("dilation")[at];
    y[axes.of_images(i)] =
        WindowsIn(size, kernel, c.attr<Ints>("stride")[at], dilation, before, after);
    OFL_ENSURE(kernel > 0 && y[axes.of_images(i)] > 0, Code::kInvalidArgument)
        << "the kernel does not fit into spatial axis " << i << ": got " << Span(kernel, dilation)
        << " elements of a window and " << size << " + " << before + after
        << " of padding; expected a kernel of at least 1 and at most that";
  }
  if (c.num_inputs() > 2) {
    OFL_TRY(RequireSameDType(c, 0, 2, "input and bias"));
    const Shape expected(
        std::span<const int64_t>(w.begin(), static_cast<size_t>(1 + axes.grouped)));
    OFL_ENSURE(c.input(2).shape == expected, Code::kInvalidArgument)
        << "bias must have one number for each filter; got " << c.input(2).shape << "; expected "
        << expected;
  }
  c.AddOutput({c.input(0).dtype, y});
  return Status::Ok();
}

Status CheckWindows(const Shape& x, const Shape& w, const Shape& y, const Attrs& attrs) {
  const Axes axes = Axes::Of(x, attrs);
  for (int i = 0; i < axes.spatial; ++i) {
    const int at = axes.of_images(i);
    const int64_t begin = SaturatingMul(y[at] - 1, attrs.Get<Ints>("stride")[i]);
    const int64_t end = SaturatingAdd(begin, Span(w[at], attrs.Get<Ints>("dilation")[i]));
    OFL_ENSURE(y[at] > 0 && w[at] > 0 && end < (int64_t{1} << 47), Code::kInvalidArgument)
        << "spatial axis " << i << " has no such windows: got " << y[at] << " windows of " << w[at]
        << " over " << x[at] << "; expected at least one window, of at least one element";
  }
  return Status::Ok();
}

Status InferInput(op::InferContext& c) {
  OFL_TRY(CheckCommon(c));
  const Shape &y = c.input(0).shape, &w = c.input(1).shape;
  const Axes axes = Axes::Of(y, c.attrs());
  if (axes.grouped) OFL_TRY(CheckAlike(y, w, 1, 0, "groups"));
  OFL_TRY(CheckAlike(y, w, 1 + axes.grouped, axes.grouped, "filters"));
  const Ints& size = c.attr<Ints>("size");
  OFL_TRY(CheckSizes(size, axes.spatial, "size", 0));
  Shape x = y;
  x[1 + axes.grouped] = w[1 + axes.grouped];
  for (int i = 0; i < axes.spatial; ++i) x[axes.of_images(i)] = size[i];
  OFL_TRY(CheckWindows(x, w, y, c.attrs()));
  c.AddOutput({c.input(0).dtype, x});
  return Status::Ok();
}

Status InferWeight(op::InferContext& c) {
  OFL_TRY(CheckCommon(c));
  const Shape &y = c.input(0).shape, &x = c.input(1).shape;
  const Axes axes = Axes::Of(y, c.attrs());
  OFL_TRY(CheckAlike(y, x, 0, 0, "images"));
  if (axes.grouped) OFL_TRY(CheckAlike(y, x, 1, 1, "groups"));
  const Ints& kernel = c.attr<Ints>("kernel");
  OFL_TRY(CheckSizes(kernel, axes.spatial, "kernel", 1));
  Shape w;
  if (axes.grouped) w.push_back(y[1]);
  w.push_back(y[1 + axes.grouped]);
  w.push_back(x[1 + axes.grouped]);
  for (int64_t size : kernel) w.push_back(size);
  OFL_TRY(CheckWindows(x, w, y, c.attrs()));
  c.AddOutput({c.input(0).dtype, w});
  return Status::Ok();
}

// --- layouts ------------------------------------------------------------------------------------

std::string Operand(const char* axes, const Shape& shape, const Attrs& attrs) {
  std::string text = "(";
  for (const char* axis = axes; *axis != 0; ++axis)
    if (*axis != 'g' || attrs.Get<bool>("grouped")) (text += *axis) += ' ';
  for (int i = 0; i < Axes::Of(shape, attrs).spatial; ++i) text += "! ";
  return text + ")";
}

// With a bias the channels stay whole: each part of a split sum would add the bias once.
std::string ConvRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const Shape& x = in[0];
  if (in.size() < 3) {
    return Operand("ngc", x, attrs) + "," + Operand("gfc", x, attrs) + "->" +
           Operand("ngf", x, attrs) + "; reduce c by sum; linear 0 1";
  }
  return Operand("ng!", x, attrs) + "," + Operand("gf!", x, attrs) +
         (attrs.Get<bool>("grouped") ? ",(g f)->" : ",(f)->") + Operand("ngf", x, attrs) +
         "; linear jointly 0 2; linear jointly 1 2; never partial max min";
}
std::string InputRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return Operand("ngf", in[0], attrs) + "," + Operand("gfc", in[0], attrs) + "->" +
         Operand("ngc", in[0], attrs) + "; reduce f by sum; linear 0 1";
}
std::string WeightRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return Operand("ngf", in[0], attrs) + "," + Operand("ngc", in[0], attrs) + "->" +
         Operand("gfc", in[0], attrs) + "; reduce n by sum; linear 0 1";
}

// --- kernels ------------------------------------------------------------------------------------

template <ConvPart kPart>
int64_t Flops(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs& attrs) {
  const ConvSizes s = SizesOfConv(kPart, in, out, attrs);
  return SaturatingMul(SaturatingMul(2 * s.images * s.groups, s.output()), s.taps());
}

void Kernels(op::OpDefBuilder& op, ConvPart part) {
  AddOneDnn(op, part);
  AddColumnProducts(op, part);
}

// --- gradients ----------------------------------------------------------------------------------

Ints SpatialOf(const op::Value& x, const Attrs& attrs) {
  const Shape& shape = x->meta().shape;
  const Axes axes = Axes::Of(shape, attrs);
  return Ints(shape.end() - axes.spatial, shape.end());
}
Attrs Common(const Attrs& attrs) {
  Attrs common;
  for (const char* name : {"stride", "padding", "dilation"})
    common.Set(name, attrs.Get<Ints>(name));
  common.Set("grouped", attrs.Get<bool>("grouped"));
  return common;
}

op::Value InputFrom(op::GradContext& c, const op::Value& y, const op::Value& w,
                    const op::Value& like) {
  Attrs attrs = Common(c.attrs);
  attrs.Set("size", SpatialOf(like, c.attrs));
  return c.b.Call("conv_input", {y, w}, attrs);
}
op::Value WeightFrom(op::GradContext& c, const op::Value& y, const op::Value& x,
                     const op::Value& like) {
  Attrs attrs = Common(c.attrs);
  attrs.Set("kernel", SpatialOf(like, c.attrs));
  return c.b.Call("conv_weight", {y, x}, attrs);
}
// y of the given spatial sizes: borders behind are as wide as these need.
op::Value OutputFrom(op::GradContext& c, const op::Value& x, const op::Value& w,
                     const op::Value& like) {
  if (x == nullptr || w == nullptr) return nullptr;
  Attrs attrs = Common(c.attrs);
  const Ints in = SpatialOf(x, c.attrs), kernel = SpatialOf(w, c.attrs),
             out = SpatialOf(like, c.attrs);
  Ints before = attrs.Get<Ints>("padding"), after;
  op::Value cut = x;
  for (size_t i = 0; i < in.size(); ++i) {
    const int64_t end = (out[i] - 1) * attrs.Get<Ints>("stride")[i] +
                        Span(kernel[i], attrs.Get<Ints>("dilation")[i]);
    before[i] = std::min(before[i], end);  // beyond the windows there is nothing to be seen
    const int64_t missing = end - in[i] - before[i];
    after.push_back(std::max<int64_t>(missing, 0));
    if (missing >= 0) continue;
    // Elements that no window sees: without them there is no further window.
    cut = c.b.Call("narrow", {cut},
                   {{"dim", int64_t{x->meta().shape.rank()} - std::ssize(in) + int64_t(i)},
                    {"start", int64_t{0}},
                    {"length", in[i] + missing}});
  }
  attrs.Set("padding", before);
  attrs.Set("padding_after", after);
  return c.b.Call("conv", {cut, w}, attrs);
}

void GradConv(op::GradContext& c) {
  const op::Value& dy = c.grads[0];
  if (!dy) return;
  if (c.Needs(0)) c.Set(0, InputFrom(c, dy, Conj(c.b, c.inputs[1]), c.inputs[0]));
  if (c.Needs(1)) c.Set(1, WeightFrom(c, dy, Conj(c.b, c.inputs[0]), c.inputs[1]));
  if (c.inputs.size() > 2 && c.Needs(2)) {
    Ints others = {0};
    const int rank = dy->meta().shape.rank(), spatial = Axes::Of(dy->meta().shape, c.attrs).spatial;
    for (int i = rank - spatial; i < rank; ++i) others.push_back(i);
    c.Set(2, c.b.Call("sum", {dy}, {{"dim", others}}));
  }
}
void GradInput(op::GradContext& c) {
  const op::Value& dx = c.grads[0];
  if (!dx) return;
  if (c.Needs(0)) c.Set(0, OutputFrom(c, dx, Conj(c.b, c.inputs[1]), c.inputs[0]));
  if (c.Needs(1)) c.Set(1, WeightFrom(c, Conj(c.b, c.inputs[0]), dx, c.inputs[1]));
}
void GradWeight(op::GradContext& c) {
  const op::Value& dw = c.grads[0];
  if (!dw) return;
  if (c.Needs(0)) c.Set(0, OutputFrom(c, Conj(c.b, c.inputs[1]), dw, c.inputs[0]));
  if (c.Needs(1)) c.Set(1, InputFrom(c, Conj(c.b, c.inputs[0]), dw, c.inputs[1]));
}

op::Values DecomposeConv(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const op::Value y = b.Call("conv", {in[0], in[1]}, attrs);
  if (y == nullptr) return {nullptr};
  Ints shape = DimsOf(in[2]->meta().shape);
  shape.resize(shape.size() + static_cast<size_t>(Axes::Of(y->meta().shape, attrs).spatial), 1);
  return {b.Call("add", {y, b.Call("reshape", {in[2]}, {{"shape", shape}})})};
}

// --- samples ------------------------------------------------------------------------------------

Attrs Geometry(Ints stride, Ints padding, Ints dilation, const char* last, Ints size,
               bool grouped = false) {
  return {{"stride", stride},
          {"padding", padding},
          {"dilation", dilation},
          {last, size},
          {"grouped", grouped}};
}
op::Sample Of(std::vector<Shape> shapes, Attrs attrs, DType dtype = DType::kFloat32) {
  op::Sample sample;
  for (const Shape& shape : shapes) sample.inputs.push_back({dtype, shape});
  sample.attrs = std::move(attrs);
  return sample;
}
constexpr DTypeSet kOthers = (kNumbers & ~SetOf(DType::kFloat32));

std::vector<op::Sample> ConvSamples(bool biased) {
  std::vector<op::Sample> samples = {
      Of({{5, 4, 7}, {3, 4, 3}}, Geometry({2}, {1}, {1}, "padding_after", {0})),
      Of({{2, 3, 5, 6}, {4, 3, 3, 2}}, Geometry({1, 2}, {1, 0}, {1, 2}, "padding_after", {1, 1})),
      Of({{2, 3, 5, 4}, {5, 3, 3, 3}}, Geometry({2, 1}, {1, 1}, {1, 1}, "padding_after", {1, 1})),
      Of({{2, 2, 5, 4, 3}, {3, 2, 2, 3, 2}},
         Geometry({1, 2, 1}, {1, 0, 1}, {1, 1, 1}, "padding_after", {0, 1, 0})),
      Of({{3, 2, 3, 5}, {2, 5, 3, 2}}, Geometry({1}, {0}, {2}, "padding_after", {0}, true)),
      Of({{2, 4, 1, 5, 4}, {4, 1, 1, 3, 3}},
         Geometry({1, 1}, {1, 1}, {1, 1}, "padding_after", {1, 1}, true)),
      Of({{0, 3, 5}, {2, 3, 2}}, Geometry({1}, {0}, {1}, "padding_after", {0})),
      Of({{2, 0, 5}, {3, 0, 2}}, Geometry({1}, {0}, {1}, "padding_after", {0}))};
  for (DType dtype : ListOf(kOthers)) {
    samples.push_back(Of({{2, 3, 5, 4}, {4, 3, 3, 2}},
                         Geometry({1, 1}, {1, 0}, {1, 1}, "padding_after", {1, 0}), dtype));
  }
  for (op::Sample& s : samples) {
    if (!biased) break;
    const TensorMeta w = s.inputs[1];
    const bool grouped = s.attrs.Get<bool>("grouped");
    s.inputs.push_back({w.dtype, grouped ? Shape{w.shape[0], w.shape[1]} : Shape{w.shape[0]}});
  }
  return samples;
}
std::vector<op::Sample> InputSamples() {
  std::vector<op::Sample> samples = {
      Of({{5, 3, 4}, {3, 4, 3}}, Geometry({2}, {1}, {1}, "size", {7})),
      Of({{2, 4, 5, 3}, {4, 3, 3, 2}}, Geometry({1, 2}, {1, 0}, {1, 2}, "size", {5, 6})),
      Of({{2, 3, 2, 3}, {3, 2, 2, 2}}, Geometry({3, 2}, {0, 1}, {1, 1}, "size", {7, 6})),
      Of({{2, 3, 3, 2, 2}, {3, 2, 2, 3, 2}},
         Geometry({1, 2, 1}, {1, 0, 1}, {1, 1, 1}, "size", {3, 5, 2})),
      Of({{3, 2, 5, 3}, {2, 5, 3, 2}}, Geometry({1}, {0}, {2}, "size", {5}, true)),
      Of({{0, 3, 4}, {3, 2, 2}}, Geometry({1}, {0}, {1}, "size", {5})),
      // Windows that see the border alone.
      Of({{2, 3, 2, 3}, {3, 4, 1, 2}}, Geometry({3, 1}, {4, 1}, {1, 1}, "size", {3, 4}))};
  for (DType dtype : ListOf(kOthers)) {
    samples.push_back(
        Of({{2, 4, 4, 3}, {4, 3, 2, 2}}, Geometry({1, 1}, {1, 0}, {1, 1}, "size", {4, 4}), dtype));
  }
  return samples;
}
std::vector<op::Sample> WeightSamples() {
  std::vector<op::Sample> samples = {
      Of({{5, 3, 4}, {5, 4, 7}}, Geometry({2}, {1}, {1}, "kernel", {3})),
      Of({{2, 4, 5, 3}, {2, 3, 5, 6}}, Geometry({1, 2}, {1, 0}, {1, 2}, "kernel", {3, 2})),
      Of({{2, 3, 2, 2, 2}, {2, 2, 3, 5, 2}},
         Geometry({1, 2, 1}, {0, 0, 1}, {1, 1, 1}, "kernel", {2, 3, 2})),
      Of({{3, 2, 5, 3}, {3, 2, 3, 5}}, Geometry({1}, {0}, {2}, "kernel", {2}, true)),
      Of({{0, 3, 4}, {0, 2, 5}}, Geometry({1}, {0}, {1}, "kernel", {2}))};
  for (DType dtype : ListOf(kOthers)) {
    samples.push_back(Of({{2, 4, 4, 3}, {2, 3, 4, 4}},
                         Geometry({1, 1}, {1, 0}, {1, 1}, "kernel", {2, 2}), dtype));
  }
  return samples;
}

op::OpDefBuilder& WithGeometry(op::OpDefBuilder& op, const char* last) {
  return op.Attr("stride", op::AttrType::kInts)
      .Attr("padding", op::AttrType::kInts)
      .Attr("dilation", op::AttrType::kInts)
      .Attr(last, op::AttrType::kInts)
      .Attr("grouped", op::AttrType::kBool, false)
      .Autocast(op::Autocast::kLower);
}
constexpr const char* kPartialBias =
    "needs a bias that is already partial; the decomposition adds a whole one after the sum";

}  // namespace

ConvSizes SizesOfConv(ConvPart part, std::span<const TensorMeta> inputs,
                      std::span<const TensorMeta> outputs, const Attrs& attrs) {
  const Shape &a = inputs[0].shape, &b = inputs[1].shape, &made = outputs[0].shape;
  switch (part) {
    case ConvPart::kOutput: return Assemble(a, b, made, attrs);
    case ConvPart::kInput: return Assemble(made, b, a, attrs);
    default: return Assemble(b, made, a, attrs);
  }
}

OFL_OP(conv) {
  WithGeometry(
      op.Doc("Products of `weight` (filters, channels, kernel) with the windows of `input` "
             "(images, channels,\nspatial axes). Borders of zeros are `padding` before and "
             "`padding_after` behind; with `grouped` an\naxis of groups stands before channels "
             "and filters.")
          .In("input")
          .In("weight")
          .Out("output"),
      "padding_after")
      .Infer(InferConv)
      .Sbp(ConvRule)
      .Grad(GradConv)
      .Flops(Flops<ConvPart::kOutput>)
      .Oracle("conv(input, weight, None, stride, padding, dilation, padding_after, grouped)")
      .Py("_conv(input, weight, *, stride, padding, dilation, padding_after, grouped=False)")
      .Samples([] { return ConvSamples(false); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 5}}, {DType::kFloat32, {2, 4, 3}}},
                      Geometry({1}, {0}, {1}, "padding_after", {0}),
                      Code::kInvalidArgument,
                      "numbers of channels differ"},
                     {{{DType::kFloat32, {2, 3, 2}}, {DType::kFloat32, {2, 3, 3}}},
                      Geometry({1}, {0}, {1}, "padding_after", {0}),
                      Code::kInvalidArgument,
                      "the kernel does not fit"},
                     {{{DType::kBool, {2, 3, 4}}, {DType::kBool, {2, 3, 3}}},
                      Geometry({1}, {0}, {1}, "padding_after", {0}),
                      Code::kTypeMismatch,
                      "input"}});
  Kernels(op, ConvPart::kOutput);
}

OFL_OP(conv_biased) {
  WithGeometry(op.Doc("conv plus a number for each filter.")
                   .In("input")
                   .In("weight")
                   .In("bias")
                   .Out("output"),
               "padding_after")
      .Infer(InferConv)
      .Sbp(ConvRule)
      .Grad(GradConv)
      .Decompose(DecomposeConv)
      .Unclaimed("*,S(1),P->P", kPartialBias)
      .Unclaimed("*,S(2),P->P", kPartialBias)
      .Flops(Flops<ConvPart::kOutput>)
      .Oracle("conv(input, weight, bias, stride, padding, dilation, padding_after, grouped)")
      .Py("_conv_biased(input, weight, bias, *, stride, padding, dilation, padding_after, "
          "grouped=False)")
      .Samples([] { return ConvSamples(true); })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 3, 5}}, {DType::kFloat32, {2, 3, 3}}, {DType::kFloat32, {3}}},
            Geometry({1}, {0}, {1}, "padding_after", {0}),
            Code::kInvalidArgument,
            "one number for each filter"}});
  Kernels(op, ConvPart::kOutput);
}

OFL_OP(conv_input) {
  WithGeometry(
      op.Doc("The adjoint of conv in its input: what windows of an input of spatial sizes `size` "
             "get of `output`.")
          .In("output")
          .In("weight")
          .Out("input"),
      "size")
      .Infer(InferInput)
      .Sbp(InputRule)
      .Grad(GradInput)
      .Flops(Flops<ConvPart::kInput>)
      .Oracle("conv_input(output, weight, stride, padding, dilation, size, grouped)")
      .Py("_conv_input(output, weight, *, stride, padding, dilation, size, grouped=False)")
      .Samples(InputSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 5}}, {DType::kFloat32, {2, 4, 3}}},
                      Geometry({1}, {0}, {1}, "size", {7}),
                      Code::kInvalidArgument,
                      "numbers of filters differ"},
                     {{{DType::kFloat32, {2, 3, 0}}, {DType::kFloat32, {3, 4, 3}}},
                      Geometry({1}, {0}, {1}, "size", {7}),
                      Code::kInvalidArgument,
                      "expected at least one window"}});
  Kernels(op, ConvPart::kInput);
}

OFL_OP(conv_weight) {
  WithGeometry(
      op.Doc("The adjoint of conv in its weight: products of `output` with the windows of `input`.")
          .In("output")
          .In("input")
          .Out("weight"),
      "kernel")
      .Infer(InferWeight)
      .Sbp(WeightRule)
      .Grad(GradWeight)
      .Flops(Flops<ConvPart::kWeight>)
      .Oracle("conv_weight(output, input, stride, padding, dilation, kernel, grouped)")
      .Py("_conv_weight(output, input, *, stride, padding, dilation, kernel, grouped=False)")
      .Samples(WeightSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 5}}, {DType::kFloat32, {3, 4, 7}}},
                      Geometry({1}, {0}, {1}, "kernel", {3}),
                      Code::kInvalidArgument,
                      "numbers of images differ"}});
  Kernels(op, ConvPart::kWeight);
}

}  // namespace ofl::ops
