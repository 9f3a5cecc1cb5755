// gradient: slopes along axes by differences of neighbours.
#include "oneflow_like/core/integers.h"
#include "oneflow_like/ops/move/copy.h"
#include "oneflow_like/ops/reduce/reduction.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// The axes, each once; `order` elements more than one must lie along them.
Result<Ints> AxesOfGradient(const op::Value& x, const Attrs& attrs) {
  const Shape& shape = x->meta().shape;
  const int64_t order = attrs.Get<int64_t>("edge_order");
  const DType dtype = x->meta().dtype;
  OFL_ENSURE(!IsUnsigned(dtype) && dtype != DType::kBool, Code::kTypeMismatch)
      << "torch.gradient does not support " << DTypeName(dtype) << " input: got "
      << x->meta().ToString() << "; expected numbers with a sign";
  OFL_ENSURE(order == 1 || order == 2, Code::kInvalidArgument)
      << "torch.gradient only supports edge_order=1 and edge_order=2: got edge_order=" << order
      << "; expected 1 or 2";
  Ints axes;
  if (const Ints* dim = attrs.Maybe<Ints>("dim")) {
    for (int64_t d : *dim) {
      OFL_ASSIGN(const int axis, NormalizeAxis(d, shape.rank()));
      OFL_ENSURE(std::ranges::find(axes, axis) == axes.end(), Code::kInvalidArgument)
          << "dim " << axis
          << " appears multiple times in the list of dims: got dim=" << AttrToString(*dim)
          << "; expected different axes";
      axes.push_back(axis);
    }
  } else {
    for (int i = 0; i < shape.rank(); ++i) axes.push_back(i);
  }
  for (int64_t axis : axes)
    OFL_ENSURE(shape[static_cast<int>(axis)] > order, Code::kInvalidArgument)
        << "each dimension must have at least edge_order + 1 elements: got " << shape
        << "; expected more than " << order << " along axis " << axis;
  return axes;
}

class Slope {
 public:
  // `widths`: of the gaps between neighbours, shaped to broadcast along the axis; null: all `step`.
  Slope(op::Builder& b, op::Value x, int64_t axis, double step, op::Value widths)
      : b_(b),
        x_(std::move(x)),
        axis_(axis),
        n_(x_->meta().shape[static_cast<int>(axis)]),
        step_(step),
        widths_(std::move(widths)) {}

  op::Value Of(int64_t order) {
    op::Values parts{order == 1 ? Edge(0) : Bend(0, true)};
    if (n_ > 2) parts.push_back(Inner());
    parts.push_back(order == 1 ? Edge(n_ - 2) : Bend(n_ - 3, false));
    return b_.Call("concat", std::move(parts), {{"dim", axis_}});
  }

 private:
  op::Value At(int64_t begin, int64_t end) { return Part(b_, x_, axis_, begin, end); }
  op::Value Gap(int64_t begin, int64_t end) {
    if (widths_ == nullptr) return nullptr;
    const Shape& shape = widths_->meta().shape;
    return Part(b_, widths_, axis_ - x_->meta().shape.rank() + shape.rank(), begin, end);
  }
  op::Value Edge(int64_t at) {
    const op::Value rise = b_.Call("sub", {At(at + 1, at + 2), At(at, at + 1)});
    if (widths_ == nullptr) return b_.Call("div_scalar", {rise}, {{"scalar", step_}});
    return b_.Call("div", {rise, Gap(at, at + 1)});
  }
  // Of the parabola through three neighbours: slope = (rise behind) * share + (rise before) * rest.
  op::Value Inner() {
    if (widths_ == nullptr) {
      const op::Value rise = b_.Call("sub", {At(2, n_), At(0, n_ - 2)});
      return b_.Call("div_scalar", {rise}, {{"scalar", 2 * step_}});
    }
    const op::Value before = Slopes(0, n_ - 2), behind = Slopes(1, n_ - 1);
    const op::Value left = Gap(0, n_ - 2), right = Gap(1, n_ - 1);
    const op::Value sum = b_.Call("add", {Mul(b_, right, before), Mul(b_, left, behind)});
    return b_.Call("div", {sum, b_.Call("add", {left, right})});
  }
  // The slopes from places [begin, end) to their right neighbours.
  op::Value Slopes(int64_t begin, int64_t end) {
    const op::Value rise = b_.Call("sub", {At(begin + 1, end + 1), At(begin, end)});
    if (widths_ == nullptr) return b_.Call("div_scalar", {rise}, {{"scalar", step_}});
    return b_.Call("div", {rise, Gap(begin, end)});
  }
  // At one end of the parabola through the three places from `at` on.
  op::Value Bend(int64_t at, bool first) {
    const op::Value left = Slopes(at, at + 1), right = Slopes(at + 1, at + 2);
    const op::Value& near = first ? left : right;
    const op::Value change =
        b_.Call("sub", first ? op::Values{left, right} : op::Values{right, left});
    if (widths_ == nullptr) return b_.Call("add", {near, MulScalar(b_, change, 0.5)});
    const op::Value a = Gap(at, at + 1), c = Gap(at + 1, at + 2);
    const op::Value share = b_.Call("div", {first ? a : c, b_.Call("add", {a, c})});
    return b_.Call("add", {near, Mul(b_, change, share)});
  }

  op::Builder& b_;
  op::Value x_;
  int64_t axis_, n_;
  double step_;
  op::Value widths_;
};

op::Value Floating(op::Builder& b, const op::Value& x) {
  return IsDifferentiable(x->meta().dtype) ? x : CastTo(b, x, DType::kFloat32);
}

op::Values ComposeGradient(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axes = AxesOfGradient(in[0], attrs);
  if (!axes.ok()) return Refused(b, axes.status());
  const auto* steps = attrs.Maybe<std::vector<double>>("spacings");
  if (steps != nullptr && steps->size() != axes->size()) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "spacing must be a number or one for each axis: got "
                          << AttrToString(*steps) << "; expected " << axes->size());
  }
  const op::Value x = Floating(b, in[0]);
  if (x == nullptr) return {nullptr};
  const AttrValue* given = attrs.Find("spacing");
  const bool none = std::holds_alternative<NoValue>(*given);
  const double alone = none ? 1 : Scalar::Of(*given).As<double>();
  op::Values slopes;
  for (size_t i = 0; i < axes->size(); ++i) {
    const double step = steps != nullptr ? (*steps)[i] : alone;
    slopes.push_back(Slope(b, x, (*axes)[i], step, nullptr).Of(attrs.Get<int64_t>("edge_order")));
  }
  return slopes;
}

op::Values ComposeGradientAt(op::Builder& b, Span in, const Attrs& attrs) {
  const auto axes = AxesOfGradient(in[0], attrs);
  if (!axes.ok()) return Refused(b, axes.status());
  const op::Value x = Floating(b, in[0]);
  if (x == nullptr) return {nullptr};
  const Shape& shape = x->meta().shape;
  if (in.size() - 1 != axes->size()) {
    return Refused(b, Error(Code::kInvalidArgument)
                          << "expected spacing to have one tensor for each axis: got "
                          << in.size() - 1 << "; expected " << axes->size());
  }
  op::Values slopes;
  for (size_t i = 0; i < axes->size(); ++i) {
    const int64_t axis = (*axes)[i], n = shape[static_cast<int>(axis)];
    const TensorMeta& places = in[i + 1]->meta();
    if (!(places.shape == (Shape{n}))) {
      return Refused(b, Error(Code::kInvalidArgument)
                            << "coordinates must be a vector with one for each place: got "
                            << places.ToString() << "; expected (" << n << ",)");
    }
    Ints wide(static_cast<size_t>(shape.rank()), 1);
    wide[static_cast<size_t>(axis)] = n;
    op::Value at = in[i + 1];
    // Floating coordinates keep their dtype, and the slopes promote as quotients do.
    if (!IsDifferentiable(places.dtype)) at = CastTo(b, at, RealOf(x->meta().dtype));
    at = b.Call("reshape", {at}, {{"shape", wide}});
    const op::Value widths = b.Call("sub", {Part(b, at, axis, 1, n), Part(b, at, axis, 0, n - 1)});
    if (widths == nullptr) return {nullptr};
    slopes.push_back(Slope(b, x, axis, 1, widths).Of(attrs.Get<int64_t>("edge_order")));
  }
  return slopes;
}

op::OpDefBuilder& GradientAttrs(op::OpDefBuilder& op) {
  return op.OutVariadic("slopes")
      .OptionalAttr("dim", op::AttrType::kInts)
      .Attr("edge_order", op::AttrType::kInt, int64_t{1});
}

}  // namespace

OFL_OP(gradient) {
  GradientAttrs(op.Doc("The slopes of input along each of the axes `dim` (none given: all), by "
                       "differences of\nneighbours that lie `spacing` apart; at the ends by those "
                       "of order edge_order.")
                    .In("input"))
      .OptionalAttr("spacing", op::AttrType::kScalar)
      .OptionalAttr("spacings", op::AttrType::kFloats)
      .Compose(ComposeGradient)
      .Oracle("gradient(input, spacings or (1 if spacing is None else spacing), dim, edge_order)")
      .Py("gradient(input, *, spacing=None, dim=None, edge_order=1)")
      .Py("gradient(input, *, spacing: spacings, dim=None, edge_order=1)")
      .Public()
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples;
        for (DType d : {kF, DType::kFloat64, DType::kInt64, DType::kComplex64})
          samples.push_back({{{d, {4, 3}}}, {}, -4, 4, ""});
        samples.push_back({{{kF, {4, 3}}}, {{"dim", Ints{0}}, {"spacing", 0.5}}});
        samples.push_back({{{kF, {4, 3}}}, {{"edge_order", int64_t{2}}, {"dim", Ints{-1}}}});
        samples.push_back({{{kF, {2, 3}}}, {{"spacings", std::vector<double>{2.0, 0.5}}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {1, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "at least edge_order + 1 elements"},
                     {{{DType::kFloat32, {4}}},
                      {{"edge_order", int64_t{3}}},
                      Code::kInvalidArgument,
                      "got edge_order=3"}});
}

OFL_OP(gradient_at) {
  GradientAttrs(
      op.Doc("The slopes of input along each of the axes `dim` (none given: all), whose "
             "places have\nthe coordinates `spacing`; at the ends by differences of order "
             "edge_order.")
          .In("input")
          .InVariadic("spacing"))
      .Compose(ComposeGradientAt)
      .Oracle("gradient(input, spacing, dim, edge_order)")
      .Py("gradient(input, *, spacing, dim=None, edge_order=1)")
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        std::vector<op::Sample> samples;
        const std::pair<double, double> wide = {-500, 500};  // no two coordinates are equal
        for (DType d : {kF, DType::kFloat64})
          samples.push_back(
              {{{d, {4, 3}}, {d, {4}}, {d, {3}}}, {}, 1, 4, "", {{1, 4}, wide, wide}});
        samples.push_back({{{kF, {4, 3}}, {kF, {3}}},
                           {{"dim", Ints{1}}, {"edge_order", int64_t{2}}},
                           1,
                           4,
                           "",
                           {{1, 4}, wide}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {4, 3}}, {DType::kFloat32, {4}}},
                      {},
                      Code::kInvalidArgument,
                      "one tensor for each axis"}});
}

}  // namespace ofl::ops
