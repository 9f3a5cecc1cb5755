// unfold: windows of an axis, one after another; they may overlap.
#include <algorithm>

#include "oneflow_like/ops/move/view_family.h"

namespace ofl::ops {
namespace {

struct Windows {
  static constexpr const char* kView = "unfold";
  static constexpr const char* kEmbed = "unfold_embed";
  static constexpr const char* kPut = "unfold_put";

  static Result<op::ViewGeometry> Geometry(const Shape& base, const Strides& strides,
                                           const Attrs& attrs) {
    OFL_ASSIGN(const int axis, NormalizeAxis(attrs.Get<int64_t>("dimension"), base.rank()));
    const int64_t size = attrs.Get<int64_t>("size"), step = attrs.Get<int64_t>("step");
    const int64_t start = attrs.Get<int64_t>("start");
    const int64_t extent = base.rank() > 0 ? base[axis] : 1;
    OFL_ENSURE(start >= 0 && size >= 0 && size <= extent - start, Code::kInvalidArgument)
        << "a window is larger than the axis: size " << size << " of " << extent
        << "; expected 0 <= size <= " << extent;
    OFL_ENSURE(step > 0, Code::kInvalidArgument) << "step must be positive; expected step > 0";
    const int64_t stride = base.rank() > 0 ? strides[axis] : 1;
    op::ViewGeometry view{base, strides, start * stride};
    if (base.rank() > 0) {
      view.shape[axis] = (extent - start - size) / step + 1;
      view.strides[axis] = SaturatingMul(stride, step);
    }
    view.shape.push_back(size);
    view.strides.push_back(stride);
    if (view.shape.numel() == 0) view.offset = 0;
    return view;
  }
  static ViewAxes Axes(const Shape& base, const Attrs& attrs) {
    const int axis = AxisAttr(attrs, "dimension", base.rank());
    const std::string labels = LabelsExcept("a", base.rank(), axis);
    return {"(" + labels + ")", "(" + labels + " !)"};
  }
  static Attrs View(const Attrs& attrs) {
    return Picked(attrs, {"dimension", "size", "step", "start"});
  }
};

using Family = ViewFamily<Windows>;

// Windows that overlap are added in turns: those of one turn lie apart.
op::Values ComposeAdjoint(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Ints& full = attrs.Get<Ints>("shape");
  const auto base = Shape::Checked(full);
  if (!base.ok()) return Refused(b, base.status());
  const auto view = Family::Dense(*base, attrs);
  if (!view.ok()) return Refused(b, view.status());
  const Shape& shape = in[0]->meta().shape;
  const int64_t size = attrs.Get<int64_t>("size"), step = attrs.Get<int64_t>("step");
  const int64_t start = attrs.Get<int64_t>("start");
  if (!(shape == view->shape)) {
    return Refused(b, Error(Code::kInvalidArgument) << "grad must have the shape of the view: got "
                                                    << shape << "; expected " << view->shape);
  }
  if (full.empty() || size <= step) return {b.Call("unfold_embed", {in[0]}, attrs)};
  const int axis = AxisAttr(attrs, "dimension", static_cast<int>(full.size()));
  const int64_t turns = std::min((size + step - 1) / step, std::max<int64_t>(shape[axis], 1));
  const char* const join = in[0]->meta().dtype == DType::kBool ? "logical_or" : "add";
  op::Value sum;
  for (int64_t turn = 0; turn < turns; ++turn) {
    Ints begin(shape.rank(), 0), every(shape.rank(), 1);
    begin[axis] = turn;
    every[axis] = turns;
    const op::Value part =
        b.Call("slice", {in[0]}, {{"begin", begin}, {"end", DimsOf(shape)}, {"step", every}});
    Attrs place = attrs;
    place.Set("start", start + turn * step);
    place.Set("step", SaturatingMul(step, turns));
    const op::Value term = b.Call("unfold_embed", {part}, place);
    sum = turn == 0 ? term : b.Call(join, {sum, term});
  }
  return {sum};
}

void GradWindows(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  attrs.Set("shape", DimsOf(c.inputs[0]->meta().shape));
  c.Set(0, c.b.Call("unfold_adjoint", {c.grads[0]}, attrs));
}

op::OpDefBuilder& WithAttrs(op::OpDefBuilder& op) {
  return op.Attr("dimension", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Attr("step", op::AttrType::kInt)
      .Attr("start", op::AttrType::kInt, int64_t{0});
}

op::Sample Of(Shape base, int64_t dimension, int64_t size, int64_t step, int64_t start = 0) {
  return {{{DType::kFloat32, base}},
          {{"dimension", dimension}, {"size", size}, {"step", step}, {"start", start}}};
}
std::vector<op::Sample> Apart() {
  return {Of({7}, 0, 2, 2), Of({7, 2}, 0, 2, 3), Of({2, 7}, -1, 2, 2, 1), Of({2, 6}, 1, 5, 9)};
}
std::vector<op::Sample> Overlapping() {
  return {Of({6}, 0, 3, 1), Of({2, 7}, 1, 4, 2), Of({5, 3}, 0, 5, 1)};
}
Shape WindowShape(const op::Sample& s) {
  const Shape& base = s.inputs[0].shape;
  return Windows::Geometry(base, ContiguousStrides(base), s.attrs).value().shape;
}
std::vector<op::Sample> Embedding(std::vector<op::Sample> samples) {
  for (op::Sample& s : samples) {
    const Shape full = s.inputs[0].shape;
    s.inputs[0].shape = WindowShape(s);
    s.attrs.Set("shape", DimsOf(full));
  }
  return samples;
}
std::vector<op::Sample> PutSamples() {
  std::vector<op::Sample> samples = Apart();
  for (op::Sample& s : samples) s.inputs.push_back({s.inputs[0].dtype, WindowShape(s)});
  return InEveryDType(std::move(samples));
}

op::ErrorSample Overlap() {
  return {{{DType::kFloat32, {4}}, {DType::kFloat32, {3, 2}}},
          {{"dimension", int64_t{0}}, {"size", int64_t{2}}, {"step", int64_t{1}}},
          Code::kInvalidArgument,
          "write to a copy"};
}

}  // namespace

OFL_OP(unfold) {
  WithAttrs(Family::DefineView(
                op,
                "Windows of `size` elements of axis `dimension`, every `step` elements one; the "
                "places in a\nwindow are a last axis.",
                GradWindows, "unfold_scatter"))
      .Oracle("windows(input, dimension, size, step, start)")
      .PyMethod("unfold(input, dimension, size, step)")
      .Samples([] {
        std::vector<op::Sample> samples = Apart();
        for (op::Sample& s : Overlapping()) samples.push_back(std::move(s));
        samples.push_back(Of({3}, 0, 0, 1));
        samples.push_back(Of({}, 0, 1, 1));
        return InEveryDType(std::move(samples));
      })
      .ErrorSamples({{{{DType::kFloat32, {4}}},
                      {{"dimension", int64_t{0}}, {"size", int64_t{5}}, {"step", int64_t{1}}},
                      Code::kInvalidArgument,
                      "expected 0 <= size <= 4"},
                     {{{DType::kFloat32, {4}}},
                      {{"dimension", int64_t{0}}, {"size", int64_t{2}}, {"step", int64_t{0}}},
                      Code::kInvalidArgument,
                      "expected step > 0"}});
}

OFL_OP(unfold_embed) {
  WithAttrs(Family::DefineEmbed(op, "Zeros of `shape` whose windows, which lie apart, are `grad`."))
      .Oracle("put_windows(np.zeros(shape, grad.dtype), grad, dimension, size, step, start)")
      .Py("_unfold_embed(grad, *, shape, dimension, size, step, start=0)")
      .Samples([] { return InEveryDType(Embedding(Apart())); })
      .ErrorSamples({{{{DType::kFloat32, {3, 2}}},
                      {{"shape", Ints{4}},
                       {"dimension", int64_t{0}},
                       {"size", int64_t{2}},
                       {"step", int64_t{1}}},
                      Code::kInvalidArgument,
                      "write to a copy"}});
}

OFL_OP(unfold_put) {
  WithAttrs(Family::DefinePut(op, "`base` whose windows, which lie apart, are `value`."))
      .Oracle("put_windows(base, value, dimension, size, step, start)")
      .Py("_unfold_put(base, value, dimension, size, step)")
      .Samples(PutSamples)
      .ErrorSamples({Overlap()});
}

OFL_OP(unfold_scatter) {
  WithAttrs(Family::DefineScatter(op, "`base` whose windows, which lie apart, are `value`."))
      .Oracle("put_windows(base, value, dimension, size, step, start)")
      .Py("_unfold_scatter(base, value, dimension, size, step)")
      .Samples(PutSamples)
      .ErrorSamples({Overlap()});
}

OFL_OP(unfold_adjoint) {
  WithAttrs(op.Doc("Zeros of `shape` to which every window of `grad` is added where it was taken.")
                .In("grad")
                .Out("output")
                .Attr("shape", op::AttrType::kInts))
      .Compose(ComposeAdjoint)
      .Oracle("add_windows(np.zeros(shape, grad.dtype), grad, dimension, size, step, start)")
      .Py("_unfold_adjoint(grad, *, shape, dimension, size, step, start=0)")
      .Samples([] {
        std::vector<op::Sample> samples = Embedding(Overlapping());
        for (DType dtype : {DType::kFloat64, DType::kInt64, DType::kBool, DType::kComplex64}) {
          samples.push_back(samples.front());
          samples.back().inputs[0].dtype = dtype;
        }
        for (op::Sample& s : Embedding(Apart())) samples.push_back(std::move(s));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2}}},
                      {{"shape", Ints{4}},
                       {"dimension", int64_t{0}},
                       {"size", int64_t{2}},
                       {"step", int64_t{1}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

}  // namespace ofl::ops
