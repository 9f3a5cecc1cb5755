// select: one place of an axis, which is left out.
#include "oneflow_like/ops/move/view_family.h"

namespace ofl::ops {
namespace {

struct Select {
  static constexpr const char* kView = "select";
  static constexpr const char* kEmbed = "select_embed";
  static constexpr const char* kPut = "select_put";

  static Result<op::ViewGeometry> Geometry(const Shape& base, const Strides& strides,
                                           const Attrs& attrs) {
    OFL_ENSURE(base.rank() > 0, Code::kOutOfRange) << "a 0-d tensor has no places to select";
    OFL_ASSIGN(const int axis, NormalizeAxis(attrs.Get<int64_t>("dim"), base.rank()));
    const int64_t index = attrs.Get<int64_t>("index"), size = base[axis];
    OFL_ENSURE(index >= -size && index < size, Code::kOutOfRange)
        << "index " << index << " is out of range for axis " << axis << " of size " << size
        << "; expected -" << size << " <= index < " << size;
    op::ViewGeometry view{base, strides, strides[axis] * (index < 0 ? index + size : index)};
    view.shape.erase(axis);
    view.strides.erase(axis);
    return view;
  }
  static ViewAxes Axes(const Shape& base, const Attrs& attrs) {
    const int axis = AxisAttr(attrs, "dim", base.rank());
    ViewAxes axes{"(" + LabelsExcept("a", base.rank(), axis) + ")", "("};
    for (int i = 0; i < base.rank(); ++i)
      if (i != axis) axes.view += "a" + std::to_string(i) + " ";
    axes.view += ")";
    return axes;
  }
  static Attrs View(const Attrs& attrs) { return Picked(attrs, {"dim", "index"}); }
};

using Family = ViewFamily<Select>;

op::OpDefBuilder& WithAttrs(op::OpDefBuilder& op) {
  return op.Attr("dim", op::AttrType::kInt).Attr("index", op::AttrType::kInt);
}

op::Sample Of(Shape base, int64_t dim, int64_t index) {
  return {{{DType::kFloat32, base}}, {{"dim", dim}, {"index", index}}};
}
std::vector<op::Sample> ViewSamples() {
  return InEveryDType(
      {Of({3, 4}, 0, 1), Of({3, 4, 2}, -2, -1), Of({2, 0}, 0, 1), Of({5}, 0, 4), Of({1, 3}, 0, 0)});
}
std::vector<op::Sample> EmbedSamples() {
  std::vector<op::Sample> samples = {Of({3, 4}, 0, 1), Of({3, 4, 2}, -2, -1), Of({5}, 0, 4)};
  for (op::Sample& s : samples) {
    s.attrs.Set("shape", DimsOf(s.inputs[0].shape));
    s.inputs[0].shape.erase(AxisAttr(s.attrs, "dim", s.inputs[0].shape.rank()));
  }
  return InEveryDType(std::move(samples));
}
std::vector<op::Sample> PutSamples() {
  std::vector<op::Sample> samples = {Of({3, 4}, 0, 1), Of({3, 4, 2}, -2, -1), Of({5}, 0, 4)};
  for (op::Sample& s : samples) {
    s.inputs.push_back(s.inputs[0]);
    s.inputs[1].shape.erase(AxisAttr(s.attrs, "dim", s.inputs[0].shape.rank()));
  }
  return InEveryDType(std::move(samples));
}

}  // namespace

OFL_OP(select) {
  WithAttrs(Family::DefineView(op, "The slice of `input` at one place of axis `dim`, without it.",
                               Family::GradView, "select_scatter"))
      .Oracle("np.take(input, index, dim)")
      .PyBoth("select(input, dim, index)")
      .Samples(ViewSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim", int64_t{1}}, {"index", int64_t{3}}},
                      Code::kOutOfRange,
                      "expected -3 <= index < 3"},
                     {{{DType::kFloat32, {}}},
                      {{"dim", int64_t{0}}, {"index", int64_t{0}}},
                      Code::kOutOfRange,
                      "no places to select"}});
}

OFL_OP(select_embed) {
  WithAttrs(Family::DefineEmbed(op, "Zeros of `shape` whose slice at `index` of `dim` is `grad`."))
      .Oracle("put(np.zeros(shape, grad.dtype), grad, at(shape, dim, index))")
      .Py("_select_embed(grad, *, shape, dim, index)")
      .Samples(EmbedSamples)
      .ErrorSamples({{{{DType::kFloat32, {2}}},
                      {{"shape", Ints{2, 3}}, {"dim", int64_t{0}}, {"index", int64_t{0}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

OFL_OP(select_put) {
  WithAttrs(Family::DefinePut(op, "`base` whose slice at `index` of axis `dim` is `value`."))
      .Oracle("put(base, value, at(base.shape, dim, index))")
      .Py("_select_put(base, value, dim, index)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kInt64, {3}}},
                      {{"dim", int64_t{0}}, {"index", int64_t{0}}},
                      Code::kTypeMismatch,
                      "one dtype"}});
}

OFL_OP(select_scatter) {
  WithAttrs(Family::DefineScatter(
                op, "`input` with its slice at place `index` of axis `dim` replaced by `src`."))
      .Oracle("put(base, value, at(base.shape, dim, index))")
      .PyBoth("select_scatter(input: base, src: value, dim, index)")
      .Samples(PutSamples)
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}, {DType::kFloat32, {2}}},
                      {{"dim", int64_t{0}}, {"index", int64_t{0}}},
                      Code::kInvalidArgument,
                      "shape of the view"}});
}

}  // namespace ofl::ops
