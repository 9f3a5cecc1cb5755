// Windows as columns of a matrix, and back: torch's unfold and fold of images.
#include "oneflow_like/ops/conv/composed.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/linalg/product.h"

namespace ofl::ops {
namespace {

Status CheckWindowSizes(const op::InferContext& c, int axes) {
  for (const char* name : {"kernel", "stride", "dilation", "padding"}) {
    const bool border = std::string_view(name) == "padding";
    OFL_TRY(CheckSizes(c.attr<Ints>(name), axes, name, border ? 0 : 1));
  }
  return Status::Ok();
}

// Over an image whose spatial sizes are the last of `in`.
Windows WindowsOf(const Shape& in, const Attrs& attrs) {
  Windows w;
  const int axes = static_cast<int>(attrs.Get<Ints>("kernel").size());
  for (int i = 0; i < axes; ++i) {
    const size_t to = static_cast<size_t>(3 - axes + i), at = static_cast<size_t>(i);
    w.in[to] = in[in.rank() - axes + i];
    w.kernel[to] = attrs.Get<Ints>("kernel")[at];
    w.stride[to] = attrs.Get<Ints>("stride")[at];
    w.dilation[to] = attrs.Get<Ints>("dilation")[at];
    w.before[to] = attrs.Get<Ints>("padding")[at];
    w.out[to] =
        WindowsIn(w.in[to], w.kernel[to], w.stride[to], w.dilation[to], w.before[to], w.before[to]);
  }
  return w;
}

Status CheckFit(const Windows& w) {
  OFL_ENSURE(w.outputs() > 0, Code::kInvalidArgument)
      << "no window fits into the image: got sizes " << w.in[1] << " and " << w.in[2]
      << ", which give " << w.out[1] << " by " << w.out[2]
      << " windows; expected at least one along each axis";
  return Status::Ok();
}

// (images, channels, spatial axes) -> (images, channels, places of the kernel, windows)
Status InferColumns(op::InferContext& c) {
  const Shape& x = c.input(0).shape;
  const int axes = static_cast<int>(c.attr<Ints>("kernel").size());
  OFL_ENSURE(axes >= 1 && axes <= 3 && x.rank() == axes + 2, Code::kInvalidArgument)
      << "got input: " << x << "; expected images, channels and " << axes << " spatial axes";
  OFL_TRY(CheckWindowSizes(c, axes));
  const Windows w = WindowsOf(x, c.attrs());
  OFL_TRY(CheckFit(w));
  c.AddOutput({c.input(0).dtype, {x[0], x[1], w.places(), w.outputs()}});
  return Status::Ok();
}
Status InferImages(op::InferContext& c) {
  const Shape& columns = c.input(0).shape;
  const Ints& shape = c.attr<Ints>("shape");
  const int axes = static_cast<int>(c.attr<Ints>("kernel").size());
  OFL_TRY(RequireIn(c, 0, kNumbers));
  OFL_ENSURE(axes >= 1 && axes <= 3 && std::ssize(shape) == axes && columns.rank() == 4,
             Code::kInvalidArgument)
      << "got columns: " << columns << "; expected (images, channels, places, windows)";
  OFL_TRY(CheckWindowSizes(c, axes));
  OFL_TRY(CheckSizes(shape, axes, "shape", 1));
  Shape x{columns[0], columns[1]};
  for (int64_t size : shape) x.push_back(size);
  const Windows w = WindowsOf(x, c.attrs());
  OFL_TRY(CheckFit(w));
  OFL_ENSURE(columns[2] == w.places() && columns[3] == w.outputs(), Code::kInvalidArgument)
      << "the columns are not those of such an image: got " << columns[2] << " places and "
      << columns[3] << " windows; expected " << w.places() << " and " << w.outputs();
  c.AddOutput({c.input(0).dtype, x});
  return Status::Ok();
}

std::string ColumnsRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const auto axes = [](const Shape& shape) {
    std::string text = "(n c";
    for (int i = 2; i < shape.rank(); ++i) text += " !";
    return text + ")";
  };
  return axes(in[0]) + "->" + axes(out[0]) + "; linear 0; never partial max min";
}

template <class Body>
void ForPlanes(op::KernelContext& c, const Windows& w, int64_t planes, const Body& body) {
  Parallel(c.stream, planes, RowGrain(w.places() * w.outputs()), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

Status RunColumns(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &to = c.outputs[0];
  if (to.numel() == 0) return Status::Ok();
  const Windows w = WindowsOf(x.meta.shape, *c.attrs);
  const int64_t size = ElementSize(x), image = w.inputs(), columns = w.places() * w.outputs();
  ForPlanes(c, w, x.meta.shape[0] * x.meta.shape[1], [&](int64_t plane) {
    ToColumns(w, x.as<const std::byte>() + plane * image * size, 1, 0, w.outputs(), size,
              to.as<std::byte>() + plane * columns * size);
  });
  return Status::Ok();
}

Status RunImages(op::KernelContext& c) {
  op::TensorView from = c.inputs[0], to = c.outputs[0];
  if (to.numel() == 0) return Status::Ok();
  const bool half = IsHalf(to.meta.dtype);
  MutableBytes scratch = c.workspace;
  if (half) {
    from = Widened(c.stream, from, scratch);
    to = FloatsLike(to, scratch);
  }
  ZeroBox(c.stream, to);
  const Windows w = WindowsOf(to.meta.shape, *c.attrs);
  const int64_t image = w.inputs(), columns = w.places() * w.outputs();
  WithProductType(to.meta.dtype, [&]<class T>(T) {
    ForPlanes(c, w, to.meta.shape[0] * to.meta.shape[1], [&](int64_t plane) {
      AddColumns(w, from.as<const T>() + plane * columns, 1, 0, w.outputs(),
                 to.as<T>() + plane * image);
    });
  });
  return half ? CastElements(c.stream, to, c.outputs[0]) : Status::Ok();
}
int64_t ImagesScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out, const Attrs&,
                      int) {
  return 4 * (in[0].shape.numel() + out[0].shape.numel());
}

void GradColumns(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  const Shape& x = c.inputs[0]->meta().shape;
  attrs.Set("shape", Ints(x.begin() + 2, x.end()));
  c.Set(0, c.b.Call("add_window_columns", {c.grads[0]}, attrs));
}
void GradImages(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs;
  for (const auto& [name, value] : c.attrs)
    if (name != "shape") attrs.Set(name, value);
  c.Set(0, c.b.Call("window_columns", {c.grads[0]}, attrs));
}

// --- as torch names them -------------------------------------------------------------------------

Result<Attrs> WindowAttrs(const Attrs& attrs) {
  Attrs windows;
  const auto set = [&](const char* name, const char* from, int64_t least) -> Status {
    OFL_ASSIGN(const Ints sizes, SizesOf(attrs.Get<Ints>(from), 2, from, least));
    windows.Set(name, sizes);
    return Status::Ok();
  };
  OFL_TRY(set("kernel", "kernel_size", 1));
  OFL_TRY(set("dilation", "dilation", 1));
  OFL_TRY(set("padding", "padding", 0));
  OFL_TRY(set("stride", "stride", 1));
  return windows;
}

op::Values ComposeUnfold(op::Builder& b, Operands in, const Attrs& attrs) {
  const auto windows = WindowAttrs(attrs);
  if (!windows.ok()) return Refused(b, windows.status());
  const Shape& shape = in[0]->meta().shape;
  const int rank = shape.rank();
  if ((rank != 3 && rank != 4) || ProductOf(shape, rank - 3, rank) == 0) {
    return Refused(b,
                   Error(Code::kInvalidArgument)
                       << "got input: " << in[0]->meta().ToString()
                       << "; expected (images, channels, height, width) or one image, not empty");
  }
  return {Batched(b, in[0], 4, [&](const op::Value& x) -> op::Value {
    const op::Value y = b.Call("window_columns", {x}, *windows);
    if (y == nullptr) return nullptr;
    const Shape& s = y->meta().shape;
    return ShapedAs(b, y, {s[0], s[1] * s[2], s[3]});
  })};
}

op::Values ComposeFold(op::Builder& b, Operands in, const Attrs& attrs) {
  auto windows = WindowAttrs(attrs);
  if (!windows.ok()) return Refused(b, windows.status());
  const auto size = SizesOf(attrs.Get<Ints>("output_size"), 2, "output_size", 1);
  if (!size.ok()) return Refused(b, size.status());
  windows->Set("shape", *size);
  const Shape& shape = in[0]->meta().shape;
  const Ints& kernel = windows->Get<Ints>("kernel");
  const int64_t places = SaturatingMul(kernel[0], kernel[1]);
  const int rank = shape.rank();
  if ((rank != 2 && rank != 3) || shape[rank - 2] % places != 0 || shape[rank - 2] == 0) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "got input: " << in[0]->meta().ToString() << " for a kernel of "
                          << places << " places; expected (images, channels * places, windows)");
  }
  const bool truth = in[0]->meta().dtype == DType::kBool;  // whether any window's place is true
  const op::Value folded =
      Batched(b, truth ? CastTo(b, in[0], DType::kInt32) : in[0], 3, [&](const op::Value& x) {
        const Shape& s = x->meta().shape;
        return b.Call("add_window_columns", {ShapedAs(b, x, {s[0], s[1] / places, places, s[2]})},
                      *windows);
      });
  return {truth && folded != nullptr ? CastTo(b, folded, DType::kBool) : folded};
}

Attrs Sizes(Ints kernel, Ints stride, Ints padding, Ints dilation) {
  return {{"kernel", kernel}, {"stride", stride}, {"padding", padding}, {"dilation", dilation}};
}
std::vector<op::Sample> ColumnSamples() {
  return {{{{DType::kFloat32, {3, 2, 7}}}, Sizes({3}, {2}, {1}, {1})},
          {{{DType::kFloat32, {2, 3, 5, 4}}}, Sizes({2, 3}, {1, 2}, {1, 0}, {2, 1})},
          {{{DType::kFloat32, {2, 3, 3, 4, 3}}}, Sizes({2, 2, 2}, {1, 2, 1}, {0, 1, 0}, {1, 1, 2})},
          {{{DType::kFloat32, {0, 3, 5}}}, Sizes({2}, {1}, {0}, {1})}};
}
std::vector<op::Sample> ImageSamples() {
  std::vector<op::Sample> samples = ColumnSamples();
  for (op::Sample& s : samples) {
    const Shape x = s.inputs[0].shape;
    s.attrs.Set("shape", Ints(x.begin() + 2, x.end()));
    const Windows w = WindowsOf(x, s.attrs);
    s.inputs[0].shape = {x[0], x[1], w.places(), w.outputs()};
  }
  const op::Sample first = samples[1];
  for (DType dtype : ListOf(kNumbers)) {
    samples.push_back(first);
    samples.back().inputs[0].dtype = dtype;
  }
  return samples;
}
op::OpDefBuilder& WithSizes(op::OpDefBuilder& op) {
  for (const char* name : {"kernel", "stride", "padding", "dilation"})
    op.Attr(name, op::AttrType::kInts);
  return op;
}
op::OpDefBuilder& WithTorchSizes(op::OpDefBuilder& op) {
  return op.In("input")
      .Out("output")
      .Attr("kernel_size", op::AttrType::kInts)
      .Attr("dilation", op::AttrType::kInts, Ints{1})
      .Attr("padding", op::AttrType::kInts, Ints{0})
      .Attr("stride", op::AttrType::kInts, Ints{1});
}

}  // namespace

OFL_OP(window_columns) {
  WithSizes(op.Doc("The windows of images, borders being zeros: (images, channels, places of the "
                   "kernel, windows).")
                .In("input")
                .Out("columns"))
      .Infer(InferColumns)
      .Sbp(ColumnsRule)
      .Grad(GradColumns)
      .Oracle("window_columns(input, kernel, stride, padding, dilation)")
      .Py("_window_columns(input, *, kernel, stride, padding, dilation)")
      .Samples([] { return InEveryDType(ColumnSamples()); })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 2}}},
                      Sizes({3}, {1}, {0}, {1}),
                      Code::kInvalidArgument,
                      "no window fits"}});
  CpuForAllTypes(op, RunColumns);
}

OFL_OP(add_window_columns) {
  WithSizes(op.Doc("The adjoint of window_columns: images of spatial sizes `shape` to which each "
                   "window is added.")
                .In("columns")
                .Out("output"))
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferImages)
      .Sbp(ColumnsRule)
      .Grad(GradImages)
      .Oracle("add_window_columns(columns, shape, kernel, stride, padding, dilation)")
      .Py("_add_window_columns(columns, *, shape, kernel, stride, padding, dilation)")
      .Samples(ImageSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 3, 4}}},
                      {{"kernel", Ints{3}},
                       {"stride", Ints{1}},
                       {"padding", Ints{0}},
                       {"dilation", Ints{1}},
                       {"shape", Ints{7}}},
                      Code::kInvalidArgument,
                      "not those of such an image"}});
  for (DType dtype : ListOf(kNumbers))
    op.Cpu(dtype, RunImages, IsHalf(dtype) ? ImagesScratch : nullptr);
}

OFL_OP(unfold_images) {
  WithTorchSizes(op.Doc("The windows of images (images, channels, height, width), or of one image, "
                        "as columns:\n(images, channels * places of the kernel, windows)."))
      .Compose(ComposeUnfold)
      .Oracle("unfold_images(input, kernel_size, dilation, padding, stride)")
      .Py("nn.functional.unfold(input, kernel_size, dilation=1, padding=0, stride=1)")
      .Samples([] {
        return InEveryDType(
            {{{{DType::kFloat32, {2, 3, 5, 4}}}, {{"kernel_size", Ints{2}}, {"padding", Ints{1}}}},
             {{{DType::kFloat32, {3, 5, 4}}},
              {{"kernel_size", Ints{2, 3}}, {"stride", Ints{2, 1}}}}});
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 4}}},
                      {{"kernel_size", Ints{2}}},
                      Code::kInvalidArgument,
                      "or one image"}});
}

OFL_OP(fold_images) {
  WithTorchSizes(op.Doc("Images of `output_size` to which the columns that unfold takes are added "
                        "again."))
      .Attr("output_size", op::AttrType::kInts)
      .Compose(ComposeFold)
      .Oracle("fold_images(input, output_size, kernel_size, dilation, padding, stride)")
      .Py("nn.functional.fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1)")
      .Samples([] {
        std::vector<op::Sample> samples = {
            {{{DType::kFloat32, {2, 12, 20}}},
             {{"output_size", Ints{6, 5}}, {"kernel_size", Ints{2}}}},
            {{{DType::kFloat32, {12, 12}}},
             {{"output_size", Ints{5, 4}}, {"kernel_size", Ints{2}}}}};
        for (DType dtype : ListOf(kNumbers | kBools)) {
          samples.push_back(samples[0]);
          samples.back().inputs[0].dtype = dtype;
        }
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 5, 4}}},
                      {{"output_size", Ints{3}}, {"kernel_size", Ints{2}}},
                      Code::kInvalidArgument,
                      "channels * places"}});
}

}  // namespace ofl::ops
