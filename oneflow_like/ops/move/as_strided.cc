// as_strided: elements of a tensor's memory by sizes and strides that the caller names.
#include "oneflow_like/ops/move/indices.h"
#include "oneflow_like/ops/move/view_family.h"

namespace ofl::ops {
namespace {

int64_t OffsetOf(const Attrs& attrs) {
  const int64_t* offset = attrs.Maybe<int64_t>("storage_offset");
  return offset == nullptr ? 0 : *offset;
}

struct Strided {
  static constexpr const char* kView = "as_strided_take";
  static constexpr const char* kEmbed = "as_strided_adjoint";
  static constexpr const char* kPut = "as_strided_put";

  // Places are counted in the base's elements in row-major order: its memory, where it lies dense.
  static Result<op::ViewGeometry> Geometry(const Shape& base, const Strides& strides,
                                           const Attrs& attrs) {
    OFL_ASSIGN(const Shape size, Shape::Checked(attrs.Get<Ints>("size")));
    const Ints& stride = attrs.Get<Ints>("stride");
    OFL_ENSURE(std::ssize(stride) == size.rank(), Code::kInvalidArgument)
        << "size and stride differ in length; expected one stride for each size";
    const int64_t offset = OffsetOf(attrs);
    OFL_ENSURE(offset >= 0, Code::kInvalidArgument)
        << "storage_offset is negative; expected a place in the tensor's memory";
    int64_t last = offset;
    for (int i = 0; i < size.rank(); ++i) {
      OFL_ENSURE(stride[i] >= 0, Code::kInvalidArgument)
          << "a stride is negative; expected strides of at least 0; use flip to reverse";
      last = SaturatingAdd(last, SaturatingMul(std::max<int64_t>(size[i] - 1, 0), stride[i]));
    }
    OFL_ENSURE(size.numel() == 0 || last < base.numel(), Code::kInvalidArgument)
        << "the view reaches element " << last << " of " << base.numel()
        << "; expected sizes, strides and an offset that stay inside the tensor";
    OFL_ENSURE(IsDense(base, strides), Code::kUnimplemented)
        << "the base does not lie dense: strides " << strides << " under shape " << base
        << "; use contiguous() first";
    return op::ViewGeometry{size, Strides(std::span<const int64_t>(stride)),
                            size.numel() == 0 ? 0 : offset};
  }
  static ViewAxes Axes(const Shape& base, const Attrs& attrs) {
    const auto fixed = [](size_t count) {
      std::string text = "(";
      for (size_t i = 0; i < count; ++i) text += "! ";
      return text + ")";
    };
    return {fixed(base.rank()), fixed(attrs.Get<Ints>("size").size())};
  }
  static Attrs View(const Attrs& attrs) {
    return Picked(attrs, {"size", "stride", "storage_offset"});
  }
};

using Family = ViewFamily<Strided>;

Status RunAsStrided(op::KernelContext& c) {
  const op::TensorView& in = c.inputs[0];
  OFL_ASSIGN(const op::ViewGeometry view,
             Strided::Geometry(in.meta.shape, ContiguousStrides(in.meta.shape), *c.attrs));
  CopyBox(c.stream, ViewOf(in, view), c.outputs[0]);
  return Status::Ok();
}

// Places that the view holds several times get the sum of their gradients.
Status InferAdjoint(op::InferContext& c) {
  OFL_TRY(RequireDifferentiable(c, 0, "grad"));
  OFL_ASSIGN(const Shape full, Shape::Checked(c.attr<Ints>("shape")));
  OFL_ASSIGN(const op::ViewGeometry view, Family::Dense(full, c.attrs()));
  OFL_ENSURE(c.input(0).shape == view.shape, Code::kInvalidArgument)
      << "grad must have the shape of the view; expected " << view.shape;
  c.AddOutput({c.input(0).dtype, full});
  return Status::Ok();
}

// Sums are no maxima: only where each place is held once do these pass.
std::string AdjointRule(std::span<const Shape>, std::span<const Shape> out, const Attrs& attrs) {
  const ViewAxes axes = Strided::Axes(out[0], attrs);
  const auto view = Family::Dense(out[0], attrs);
  const bool apart = view.ok() && RequireApart(*view).ok();
  return axes.view + "->" + axes.base + "; linear 0" + (apart ? "; monotone 0" : "");
}

Status RunAdjoint(op::KernelContext& c) {
  const op::TensorView& grad = c.inputs[0];
  OFL_ASSIGN(const op::ViewGeometry view, Family::Dense(c.outputs[0].meta.shape, *c.attrs));
  return Accumulate(c, [&](auto zero, const op::TensorView& sums) {
    using T = decltype(zero);
    const AddRow<T> add(grad, grad.strides, view.strides);
    ForRows<2>(view.shape, {grad.strides, view.strides}, 0, view.shape.numel(),
               [&](const std::array<int64_t, 2>& at, int64_t n) {
                 add(at[0], sums.as<T>() + view.offset + at[1], n);
               });
  });
}

op::OpDefBuilder& WithAttrs(op::OpDefBuilder& op) {
  return op.Attr("size", op::AttrType::kInts)
      .Attr("stride", op::AttrType::kInts)
      .OptionalAttr("storage_offset", op::AttrType::kInt);
}

op::Sample Of(Shape base, Ints size, Ints stride) {
  return {{{DType::kFloat32, base}}, {{"size", std::move(size)}, {"stride", std::move(stride)}}};
}
op::Sample From(op::Sample sample, int64_t offset) {
  sample.attrs.Set("storage_offset", offset);
  return sample;
}
std::vector<op::Sample> Apart() {
  return {Of({3, 4}, {4, 2}, {1, 4}), From(Of({3, 4}, {2, 2}, {5, 2}), 1), Of({6}, {0, 2}, {1, 1}),
          Of({12}, {3, 3}, {2, 3}), From(Of({6}, {}, {}), 5)};
}
std::vector<op::Sample> Overlapping() {
  return {Of({6}, {4, 3}, {1, 1}), From(Of({2, 3}, {3, 2}, {0, 2}), 1)};
}
std::vector<op::Sample> Adjoints() {
  std::vector<op::Sample> samples = Overlapping();
  for (op::Sample& s : Apart()) samples.push_back(std::move(s));
  for (op::Sample& s : samples) {
    const Shape full = s.inputs[0].shape;
    s.inputs[0].shape = ShapeAttr(s.attrs, "size");
    s.attrs.Set("shape", DimsOf(full));
  }
  for (DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16, DType::kComplex64,
                      DType::kComplex128}) {
    samples.push_back(samples.front());
    samples.back().inputs[0].dtype = dtype;
  }
  return samples;
}
std::vector<op::Sample> PutSamples() {
  std::vector<op::Sample> samples = Apart();
  for (op::Sample& s : samples) s.inputs.push_back({s.inputs[0].dtype, ShapeAttr(s.attrs, "size")});
  return InEveryDType(std::move(samples));
}

// What as_strided and as_strided_take share: they differ in where the elements are counted.
op::OpDefBuilder& Taking(op::OpDefBuilder& op) {
  WithAttrs(op.In("input")
                .Out("output")
                .Infer(Family::InferView)
                .Sbp(Family::ViewRule)
                .Grad(Family::GradView)
                .Flops(Family::NoFlops)
                .Strided("output"))
      .Oracle("as_strided(input, size, stride, storage_offset)")
      .Samples([] {
        std::vector<op::Sample> samples = Apart();
        for (op::Sample& s : Overlapping()) samples.push_back(std::move(s));
        return InEveryDType(std::move(samples));
      });
  CpuForAllTypes(op, RunAsStrided);
  return op;
}
op::ErrorSample BeyondTheEnd() {
  return {{{DType::kFloat32, {4}}},
          {{"size", Ints{5}}, {"stride", Ints{1}}},
          Code::kInvalidArgument,
          "reaches element 4 of 4"};
}

}  // namespace

OFL_OP(as_strided) {
  Taking(op.Doc("The elements of a dense `input`'s memory at storage_offset + sum of index times "
                "stride."))
      .View(Strided::Geometry, "as_strided_scatter")
      .PyBoth("as_strided(input, size, stride, storage_offset=None)")
      .PyBoth("as_strided_(input, size, stride, storage_offset=None)")
      .ErrorSamples({BeyondTheEnd(),
                     {{{DType::kFloat32, {4}}},
                      {{"size", Ints{2}}, {"stride", Ints{-1}}},
                      Code::kInvalidArgument,
                      "negative"},
                     {{{DType::kFloat32, {4}}},
                      {{"size", Ints{2}}, {"stride", Ints{1, 1}}},
                      Code::kInvalidArgument,
                      "one stride for each size"}});
}

// Gradients may lie in memory anyhow: of them places count in row-major order.
OFL_OP(as_strided_take) {
  Taking(op.Doc("The elements of `input` at storage_offset + sum of index times stride, counted "
                "in\nrow-major order wherever they lie; in memory of their own."))
      .Py("_as_strided_take(input, size, stride, storage_offset=None)")
      .ErrorSamples({BeyondTheEnd()});
}

OFL_OP(as_strided_adjoint) {
  WithAttrs(op.Doc("Zeros of `shape` to which every element of `grad` is added where it was taken.")
                .In("grad")
                .Out("output")
                .Attr("shape", op::AttrType::kInts)
                .Infer(InferAdjoint)
                .Sbp(AdjointRule)
                .Grad(Family::GradEmbed)
                .Flops(Family::NoFlops)
                .Strided("grad"))
      .Oracle("add_strided(np.zeros(shape, grad.dtype), grad, size, stride, storage_offset)")
      .Py("_as_strided_adjoint(grad, *, shape, size, stride, storage_offset=None)")
      .Samples(Adjoints)
      .ErrorSamples({{{{DType::kFloat32, {3}}},
                      {{"shape", Ints{4}}, {"size", Ints{2}}, {"stride", Ints{1}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
  AccumulatesIn(op, RunAdjoint);
}

OFL_OP(as_strided_put) {
  WithAttrs(op.Doc("`base` with the elements that as_strided takes replaced.")
                .In("base")
                .In("value")
                .Out("output")
                .Infer(Family::InferPut)
                .Sbp(Family::PutRule)
                .Grad(Family::GradPut)
                .Flops(Family::NoFlops)
                .InPlace(0, 0)
                .Strided("base")
                .Strided("value"))
      .Oracle("put_strided(base, value, size, stride, storage_offset)")
      .Py("_as_strided_put(base, value, size, stride, storage_offset=None)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {4}}, {DType::kFloat32, {2}}},
                      {{"size", Ints{2}}, {"stride", Ints{0}}},
                      Code::kInvalidArgument,
                      "write to a copy"}});
  CpuForAllTypes(op, Family::RunPut);
}

OFL_OP(as_strided_scatter) {
  WithAttrs(Family::DefineScatter(
                op, "`input` with the elements that as_strided takes replaced by `src`."))
      .Oracle("put_strided(base, value, size, stride, storage_offset)")
      .PyBoth("as_strided_scatter(input: base, src: value, size, stride, storage_offset=None)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {4}}, {DType::kFloat32, {3}}},
                      {{"size", Ints{2}}, {"stride", Ints{1}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

}  // namespace ofl::ops
