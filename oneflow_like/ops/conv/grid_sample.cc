// grid_sample, by grid_points and in other operators.
#include "oneflow_like/ops/conv/grid_sample.h"

#include "oneflow_like/ops/conv/composed.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {
namespace {

// --- coordinates ---------------------------------------------------------------------------------

struct Sampling {
  std::string mode, padding;
  bool align_corners = false;
};

op::Value Clamped(op::Builder& b, const op::Value& x, int64_t low, int64_t high) {
  return b.Call("clamp", {x}, {{"min", low}, {"max", high}});
}

// From [-1, 1] to places of an axis of `size` elements.
op::Value Place(op::Builder& b, const op::Value& x, int64_t size, bool align_corners) {
  const double half = 0.5 * static_cast<double>(align_corners ? size - 1 : size);
  return AddScalar(b, MulScalar(b, x, half), align_corners ? half : half - 0.5);
}

// Mirrored at both ends until it lies between them.
op::Value Reflected(op::Builder& b, const op::Value& x, int64_t size, bool align_corners) {
  const double low = align_corners ? 0.0 : -0.5;
  const double span = static_cast<double>(align_corners ? size - 1 : size);
  if (span == 0) return Where(b, CastTo(b, OnesLike(b, x), DType::kBool), ZerosLike(b, x), x);
  const op::Value far = Of(b, "abs", AddScalar(b, x, -low));
  const op::Value flips = Of(b, "floor", MulScalar(b, far, 1 / span));
  const op::Value extra = Sub(b, far, MulScalar(b, flips, span));
  const op::Value half = MulScalar(b, flips, 0.5);
  const op::Value odd = b.Call("ne", {Of(b, "floor", half), half});
  const op::Value back = From(b, span, extra);
  return AddScalar(b, Where(b, odd, back, extra), low);
}

// Torch has no gradient at the very ends, where clamp passes it on.
op::Value Bordered(op::Builder& b, const op::Value& x, int64_t size) {
  const op::Value inner = b.Call(
      "logical_and", {Against(b, "gt", x, 0), Against(b, "lt", x, static_cast<double>(size - 1))});
  const op::Value ends = b.Call("without_gradient", {Clamped(b, x, 0, size - 1)});
  return Where(b, inner, x, ends);
}

op::Value Padded(op::Builder& b, const op::Value& x, int64_t size, const Sampling& s) {
  if (s.padding == "zeros") return x;
  return Bordered(b, s.padding == "border" ? x : Reflected(b, x, size, s.align_corners), size);
}

// Elements at whole places (one tensor for each axis, (images, points)), and zeros outside.
op::Value Taken(op::Builder& b, const op::Value& rows, const Shape& image, const op::Values& at) {
  const int axes = static_cast<int>(at.size());
  op::Value place, inside;
  for (int i = 0; i < axes; ++i) {
    const int64_t size = image[image.rank() - axes + i];
    const op::Value& x = at[static_cast<size_t>(i)];
    const op::Value whole = CastTo(b, Clamped(b, x, 0, size - 1), DType::kInt64);
    place = place == nullptr ? whole : Add(b, MulScalar(b, place, size), whole);
    const op::Value in =
        b.Call("logical_and",
               {Against(b, "ge", x, 0), Against(b, "le", x, static_cast<double>(size - 1))});
    inside = inside == nullptr ? in : b.Call("logical_and", {inside, in});
  }
  if (place == nullptr) return nullptr;
  const Shape& points = place->meta().shape;
  const Ints each = {points[0], image[1], points[1]};
  const auto spread = [&](const op::Value& x) {
    return b.Call("broadcast_to", {ShapedAs(b, x, {points[0], 1, points[1]})}, {{"shape", each}});
  };
  const op::Value taken = b.Call("gather", {rows, spread(place)}, {{"dim", int64_t{2}}});
  return taken == nullptr ? taken : ZeroUnless(b, spread(inside), taken);
}

op::Value Weighted(op::Builder& b, const op::Value& x, const op::Value& weight) {
  if (weight == nullptr) return nullptr;
  const Shape& shape = weight->meta().shape;
  return Mul(b, x, ShapedAs(b, weight, {shape[0], 1, shape[1]}));
}
op::Value Sum(op::Builder& b, const op::Value& sum, const op::Value& term) {
  return sum == nullptr ? term : Add(b, sum, term);
}

// --- modes ---------------------------------------------------------------------------------------

op::Value Linear(op::Builder& b, const op::Value& rows, const Shape& image, const op::Values& at) {
  const size_t axes = at.size();
  op::Values floors, rests;
  for (const op::Value& x : at) {
    floors.push_back(b.Call("without_gradient", {Of(b, "floor", x)}));
    rests.push_back(Sub(b, x, floors.back()));
  }
  op::Value sum;
  for (size_t corner = 0; corner < size_t{1} << axes; ++corner) {
    op::Values places;
    op::Value weight;
    for (size_t i = 0; i < axes; ++i) {
      const bool next = (corner >> (axes - 1 - i) & 1) != 0;
      places.push_back(next ? AddScalar(b, floors[i], 1.0) : floors[i]);
      const op::Value share = next ? rests[i] : From(b, 1.0, rests[i]);
      weight = weight == nullptr ? share : Mul(b, weight, share);
    }
    sum = Sum(b, sum, Weighted(b, Taken(b, rows, image, places), weight));
  }
  return sum;
}

// Weights of the four neighbours of a point `t` behind the second of them.
op::Values CubicWeights(op::Builder& b, const op::Value& t) {
  constexpr double kA = -0.75;
  const auto horner = [&](const op::Value& x, double c3, double c2, double c1, double c0) {
    op::Value y = AddScalar(b, MulScalar(b, x, c3), c2);
    y = AddScalar(b, Mul(b, y, x), c1);
    return AddScalar(b, Mul(b, y, x), c0);
  };
  const op::Value back = From(b, 1.0, t);
  const auto far = [&](const op::Value& x) {
    return horner(AddScalar(b, x, 1.0), kA, -5 * kA, 8 * kA, -4 * kA);
  };
  const auto near = [&](const op::Value& x) { return horner(x, kA + 2, -(kA + 3), 0, 1); };
  return {far(t), near(t), near(back), far(back)};
}

op::Value Cubic(op::Builder& b, const op::Value& rows, const Shape& image, const op::Values& at,
                const Sampling& s) {
  op::Values floors, weights[2];
  for (size_t i = 0; i < 2; ++i) {
    floors.push_back(b.Call("without_gradient", {Of(b, "floor", at[i])}));
    weights[i] = CubicWeights(b, Sub(b, at[i], floors[i]));
  }
  op::Value sum;
  for (int i = 0; i < 4; ++i) {
    op::Value line;
    for (int j = 0; j < 4; ++j) {
      const op::Values places = {Padded(b, AddScalar(b, floors[0], i - 1.0), image[2], s),
                                 Padded(b, AddScalar(b, floors[1], j - 1.0), image[3], s)};
      line = Sum(b, line, Weighted(b, Taken(b, rows, image, places), weights[1][j]));
    }
    sum = Sum(b, sum, Weighted(b, line, weights[0][i]));
  }
  return sum;
}

// `y`, of which `x` (images, points) has the gradient 0.
op::Value Constant(op::Builder& b, const op::Value& y, const op::Value& x) {
  if (y == nullptr || x == nullptr) return nullptr;
  const Shape& shape = x->meta().shape;
  const op::Value always = CastTo(b, OnesLike(b, y), DType::kBool);
  return Where(b, always, y, ShapedAs(b, x, {shape[0], 1, shape[1]}));
}

// --- grid_sample ---------------------------------------------------------------------------------

Result<Sampling> SamplingOf(const TensorMeta& x, const TensorMeta& grid, const Attrs& attrs) {
  static const std::string kModes[] = {"bilinear", "nearest", "bicubic"};
  static const std::string kPaddings[] = {"zeros", "border", "reflection"};
  Sampling s{attrs.Get<std::string>("mode"), attrs.Get<std::string>("padding_mode")};
  // torch's own function takes their numbers.
  if (const int64_t* mode = attrs.Maybe<int64_t>("mode_number"))
    s.mode = *mode >= 0 && *mode < 3 ? kModes[*mode] : std::to_string(*mode);
  if (const int64_t* padding = attrs.Maybe<int64_t>("padding_number"))
    s.padding = *padding >= 0 && *padding < 3 ? kPaddings[*padding] : std::to_string(*padding);
  if (const bool* align = attrs.Maybe<bool>("align_corners")) s.align_corners = *align;
  OFL_ENSURE(std::ranges::count(kModes, s.mode) > 0 && std::ranges::count(kPaddings, s.padding) > 0,
             Code::kInvalidArgument)
      << "got mode=" << Quoted(s.mode) << ", padding_mode=" << Quoted(s.padding)
      << "; expected 'bilinear', 'nearest' or 'bicubic', and 'zeros', 'border' or 'reflection'";
  const int rank = x.shape.rank();
  OFL_ENSURE((rank == 4 || rank == 5) && grid.shape.rank() == rank &&
                 grid.shape[rank - 1] == rank - 2 && grid.shape[0] == x.shape[0] &&
                 ProductOf(x.shape, 2, rank) > 0,
             Code::kInvalidArgument)
      << "got input: " << x.ToString() << " and grid: " << grid.ToString()
      << "; expected (images, channels, two or three spatial axes), not empty, and a grid (images, "
         "spatial axes, their number)";
  OFL_ENSURE(x.dtype == grid.dtype && IsFloating(x.dtype), Code::kTypeMismatch)
      << "got input: " << x.ToString() << " and grid: " << grid.ToString()
      << "; expected one floating dtype";
  OFL_ENSURE(s.mode != "bicubic" || rank == 4, Code::kInvalidArgument)
      << "mode 'bicubic' is of two spatial axes: got " << rank - 2 << "; expected 'bilinear'";
  return s;
}

op::Values ComposeGridSample(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta x = in[0]->meta(), grid = in[1]->meta();
  const auto sampling = SamplingOf(x, grid, attrs);
  if (!sampling.ok()) return Refused(b, sampling.status());
  const op::Value y = b.Call("grid_points", {Wide(b, in[0]), Wide(b, in[1])},
                             {{"mode", sampling->mode},
                              {"padding", sampling->padding},
                              {"align_corners", sampling->align_corners}});
  return {CastTo(b, y, x.dtype)};
}

}  // namespace

op::Values DecomposeGridPoints(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta x = in[0]->meta(), grid = in[1]->meta();
  const Sampling s{attrs.Get<std::string>("mode"), attrs.Get<std::string>("padding"),
                   attrs.Get<bool>("align_corners")};
  const int axes = x.shape.rank() - 2;
  const int64_t points = ProductOf(grid.shape, 1, axes + 1);
  const op::Value rows =
      ShapedAs(b, in[0], {x.shape[0], x.shape[1], ProductOf(x.shape, 2, axes + 2)});
  const op::Value flat = ShapedAs(b, in[1], {grid.shape[0], points, axes});
  op::Values at;  // of the axes in their order; the grid has them from the last on
  for (int i = 0; i < axes; ++i) {
    const op::Value x_of =
        b.Call("select", {flat}, {{"dim", int64_t{2}}, {"index", int64_t{axes - 1 - i}}});
    if (x_of == nullptr) return {nullptr};
    op::Value place = Place(b, x_of, x.shape[2 + i], s.align_corners);
    at.push_back(s.mode == "bicubic" ? place : Padded(b, place, x.shape[2 + i], s));
  }
  op::Value y;
  if (s.mode == "bilinear") {
    y = Linear(b, rows, x.shape, at);
  } else if (s.mode == "bicubic") {
    y = Cubic(b, rows, x.shape, at, s);
  } else {
    for (op::Value& place : at) place = Of(b, "round", place);
    y = Constant(b, Taken(b, rows, x.shape, at), at[0]);
  }
  Shape shape{x.shape[0], x.shape[1]};
  for (int i = 0; i < axes; ++i) shape.push_back(grid.shape[1 + i]);
  return {ShapedAs(b, y, shape)};
}

namespace {

op::Sample GridOf(Shape x, Shape grid, const char* mode, const char* padding, bool align,
                  DType dtype = DType::kFloat32) {
  op::Sample s{{{dtype, x}, {dtype, grid}},
               {{"mode", std::string(mode)},
                {"padding_mode", std::string(padding)},
                {"align_corners", align}}};
  s.ranges = {{-2, 2}, {-1.3, 1.3}};
  return s;
}

}  // namespace

OFL_OP(grid_sample) {
  op.Doc(
        "Images read at the points that `grid` names: each in [-1, 1] across the image, the last "
        "axis first.\nBetween elements a mean of the neighbours ('bilinear', 'bicubic') or the "
        "nearest; beyond the image\nzeros, its border, or its reflection.")
      .In("input")
      .In("grid")
      .Out("output")
      .Attr("mode", op::AttrType::kString, std::string("bilinear"))
      .Attr("padding_mode", op::AttrType::kString, std::string("zeros"))
      .OptionalAttr("mode_number", op::AttrType::kInt)
      .OptionalAttr("padding_number", op::AttrType::kInt)
      .OptionalAttr("align_corners", op::AttrType::kBool)
      .Compose(ComposeGridSample)
      .Oracle("grid_sample(input, grid, mode, padding_mode, align_corners)")
      .Py("nn.functional.grid_sample(input, grid, mode='bilinear', padding_mode='zeros', "
          "align_corners=None)")
      .Py("grid_sampler(input, grid, interpolation_mode: mode_number, padding_mode: "
          "padding_number, align_corners)")
      .Py("grid_sampler_2d(input, grid, interpolation_mode: mode_number, padding_mode: "
          "padding_number, align_corners)")
      .Py("grid_sampler_3d(input, grid, interpolation_mode: mode_number, padding_mode: "
          "padding_number, align_corners)")
      .Public()
      .Samples([] {
        std::vector<op::Sample> samples;
        for (const char* mode : {"bilinear", "nearest", "bicubic"})
          for (const char* padding : {"zeros", "border", "reflection"})
            samples.push_back(GridOf({2, 3, 4, 5}, {2, 2, 3, 2}, mode, padding,
                                     padding == std::string_view("border")));
        samples.push_back(GridOf({2, 1, 3, 4, 2}, {2, 2, 1, 2, 3}, "bilinear", "zeros", false));
        samples.push_back(
            GridOf({2, 3, 4, 5}, {2, 2, 3, 2}, "bilinear", "reflection", true, DType::kFloat64));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3, 4, 5}}, {DType::kFloat32, {2, 2, 3, 3}}},
                      {},
                      Code::kInvalidArgument,
                      "expected (images, channels"},
                     {{{DType::kFloat32, {2, 3, 4, 5}}, {DType::kFloat32, {2, 2, 3, 2}}},
                      {{"mode", std::string("cubic")}},
                      Code::kInvalidArgument,
                      "got mode="}});
}

}  // namespace ofl::ops
