// affine_grid: points on a regular grid, moved by affine maps.
#include <algorithm>

#include "oneflow_like/ops/conv/composed.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kComputed = SetOf(DType::kFloat32, DType::kFloat64);

op::Values ComposeAffineGrid(op::Builder& b, Operands in, const Attrs& attrs) {
  const TensorMeta meta = in[0]->meta();
  const Ints& size = attrs.Get<Ints>("size");
  const int axes = static_cast<int>(size.size()) - 2;
  const bool positive = std::ranges::all_of(size, [](int64_t n) { return n > 0; });
  if ((axes != 2 && axes != 3) || !positive || !IsFloating(meta.dtype) ||
      !(meta.shape == Shape{size[0], axes, axes + 1})) {
    return Refused(b, Error(IsFloating(meta.dtype) ? Code::kInvalidArgument : Code::kTypeMismatch)
                          << "got theta: " << meta.ToString()
                          << " and size=" << Shape(std::span<const int64_t>(size))
                          << "; expected floats (images, 2, 3) for four sizes, (images, 3, 4) for "
                             "five, all of them positive");
  }
  const bool* given = attrs.Maybe<bool>("align_corners");
  const op::Value points = b.Call("affine_points", {Wide(b, in[0])},
                                  {{"size", Ints(size.begin() + 2, size.end())},
                                   {"align_corners", given != nullptr && *given}});
  return {CastTo(b, points, meta.dtype)};
}

// Where element `i` of an axis of `size` lies in [-1, 1]. An aligned axis of one element has it in
// the middle.
double PlaceOf(int64_t i, int64_t size, bool align) {
  if (align && size > 1) return 2.0 * static_cast<double>(i) / static_cast<double>(size - 1) - 1;
  return (2.0 * static_cast<double>(i) + 1) / static_cast<double>(size) - 1;
}

// The points of a shard: (images, up to three axes, coordinates), the last axis' coordinate first.
struct Grid {
  int axes;
  int64_t images, count = 1;
  int64_t size[3] = {1, 1, 1}, first[3] = {}, all[3] = {1, 1, 1};
  bool align;
  Grid(const Shape& shape, const Shape& offset, const Shape& logical, bool aligned)
      : axes(shape.rank() - 2), images(shape[0]), align(aligned) {
    for (int i = 0; i < axes; ++i) {
      const int at = 3 - axes + i;
      size[at] = shape[1 + i], first[at] = offset[1 + i], all[at] = logical[1 + i];
      count *= size[at];
    }
  }
  // body(number of the point, its coordinates and a 1).
  template <class T, class Body>
  void ForPoints(const Body& body) const {
    T at[4] = {};
    at[axes] = T(1);
    const auto set = [&](int axis, int64_t i) {
      const int place = 2 - axis;  // the last axis first
      if (place < axes) at[place] = static_cast<T>(PlaceOf(first[axis] + i, all[axis], align));
    };
    int64_t point = 0;
    for (int64_t i = 0; i < size[0]; ++i) {
      set(0, i);
      for (int64_t j = 0; j < size[1]; ++j) {
        set(1, j);
        for (int64_t k = 0; k < size[2]; ++k) {
          set(2, k);
          body(point++, at);
        }
      }
    }
  }
};

template <class T>
Status RunAffinePoints(op::KernelContext& c) {
  const Grid grid(c.outputs[0].meta.shape, c.output_offsets[0], c.logical_outputs[0].shape,
                  c.attr<bool>("align_corners"));
  const int rows = static_cast<int>(c.outputs[0].meta.shape[grid.axes + 1]),
            columns = grid.axes + 1;
  const T* theta = c.inputs[0].as<T>();
  T* y = c.outputs[0].as<T>();
  Parallel(c.stream, grid.images, RowGrain(grid.count * 16), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const T* map = theta + n * rows * columns;
      T* to = y + n * grid.count * rows;
      grid.ForPoints<T>([&](int64_t, const T* at) {
        for (int r = 0; r < rows; ++r) {
          T sum = 0;
          for (int k = 0; k < columns; ++k) sum += map[r * columns + k] * at[k];
          *to++ = sum;
        }
      });
    }
  });
  return Status::Ok();
}

template <class T>
Status RunAffinePointsGrad(op::KernelContext& c) {
  const Grid grid(c.inputs[0].meta.shape, c.input_offsets[0], c.logical_inputs[0].shape,
                  c.attr<bool>("align_corners"));
  const int rows = static_cast<int>(c.inputs[0].meta.shape[grid.axes + 1]), columns = grid.axes + 1;
  const T* dy = c.inputs[0].as<T>();
  T* dtheta = c.outputs[0].as<T>();
  Parallel(c.stream, grid.images, RowGrain(grid.count * 16), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      double sums[12] = {};
      const T* from = dy + n * grid.count * rows;
      grid.ForPoints<T>([&](int64_t, const T* at) {
        for (int r = 0; r < rows; ++r, ++from)
          for (int k = 0; k < columns; ++k) sums[r * columns + k] += *from * at[k];
      });
      for (int i = 0; i < rows * columns; ++i)
        dtheta[n * rows * columns + i] = static_cast<T>(sums[i]);
    }
  });
  return Status::Ok();
}

Status InferAffinePoints(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kComputed));
  const Shape& theta = c.input(0).shape;
  const Ints& size = c.attr<Ints>("size");
  const auto axes = static_cast<int64_t>(size.size());
  OFL_ENSURE(
      (axes == 2 || axes == 3) && theta.rank() == 3 && theta[1] <= axes && theta[2] == axes + 1,
      Code::kInvalidArgument)
      << "theta fits no grid; expected (images, axes, axes + 1) and two or three sizes";
  std::vector<int64_t> dims = {theta[0]};
  dims.insert(dims.end(), size.begin(), size.end());
  dims.push_back(theta[1]);
  OFL_ASSIGN(const Shape shape, Shape::Checked(dims));
  c.AddOutput({c.input(0).dtype, shape});
  return Status::Ok();
}

Status InferAffinePointsGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kComputed));
  const Shape& grad = c.input(0).shape;
  const int axes = grad.rank() - 2;
  OFL_ENSURE((axes == 2 || axes == 3) && grad[axes + 1] <= axes, Code::kInvalidArgument)
      << "grad belongs to no grid; expected (images, two or three axes, their number)";
  c.AddOutput({c.input(0).dtype, {grad[0], grad[axes + 1], axes + 1}});
  return Status::Ok();
}

std::string PointAxes(int axes) {
  std::string text;
  for (int i = 0; i < axes; ++i) text += "p" + std::to_string(i) + " ";
  return text;
}
std::string Offsets(int axes, const char* more) {
  std::string text;
  for (int i = 0; i < axes; ++i) {
    const std::string p = "p" + std::to_string(i);
    text += "; offset " + p;
    if (*more != 0) text += "; reduce " + p + more;
  }
  return text;
}
std::string AffinePointsRule(std::span<const Shape>, std::span<const Shape> out, const Attrs&) {
  const int axes = out[0].rank() - 2;
  return "(n r !)->(n " + PointAxes(axes) + "r); linear 0" + Offsets(axes, "");
}
std::string AffinePointsGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const int axes = in[0].rank() - 2;
  return "(n " + PointAxes(axes) + "r)->(n r !); linear 0" + Offsets(axes, " by sum");
}

Attrs LocalSize(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("size", Ints(outputs[0].begin() + 1, outputs[0].end() - 1));
  return local;
}

}  // namespace

OFL_OP(affine_points) {
  op.Doc("The points of a grid of `size` in [-1, 1], moved by the affine maps `theta`.")
      .In("theta")
      .Out("grid")
      .Attr("size", op::AttrType::kInts)
      .Attr("align_corners", op::AttrType::kBool, false)
      .Infer(InferAffinePoints)
      .Sbp(AffinePointsRule)
      .LocalAttrs(LocalSize)
      .Grad([](op::GradContext& c) {
        c.Set(0, c.b.Call("affine_points_grad", {c.grads[0]},
                          {{"align_corners", c.attrs.Get<bool>("align_corners")}}));
      })
      .Cpu(DType::kFloat32, RunAffinePoints<float>)
      .Cpu(DType::kFloat64, RunAffinePoints<double>)
      .Oracle("affine_grid(theta, (1, 1, *size), align_corners)")
      .Py("affine_points(theta, *, size, align_corners=False)")
      .Samples([] {
        return std::vector<op::Sample>{
            {{{DType::kFloat32, {2, 2, 3}}}, {{"size", Ints{4, 5}}}},
            {{{DType::kFloat32, {2, 2, 3}}}, {{"size", Ints{3, 1}}, {"align_corners", true}}},
            {{{DType::kFloat32, {0, 2, 3}}}, {{"size", Ints{3, 2}}}},
            {{{DType::kFloat64, {2, 3, 4}}}, {{"size", Ints{2, 3, 4}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2, 4}}},
                      {{"size", Ints{4, 5}}},
                      Code::kInvalidArgument,
                      "theta fits no grid"}});
}

OFL_OP(affine_points_grad) {
  op.Doc("Gradient of affine_points.")
      .In("grad")
      .Out("theta_grad")
      .Attr("align_corners", op::AttrType::kBool, false)
      .Infer(InferAffinePointsGrad)
      .Sbp(AffinePointsGradRule)
      .Grad([](op::GradContext& c) {
        const Shape& shape = c.inputs[0]->meta().shape;
        c.Set(0, c.b.Call("affine_points", {c.grads[0]},
                          {{"size", Ints(shape.begin() + 1, shape.end() - 1)},
                           {"align_corners", c.attrs.Get<bool>("align_corners")}}));
      })
      .Cpu(DType::kFloat32, RunAffinePointsGrad<float>)
      .Cpu(DType::kFloat64, RunAffinePointsGrad<double>)
      .Oracle("affine_points_grad(grad, align_corners)")
      .Py("affine_points_grad(grad, *, align_corners=False)")
      .Samples([] {
        return std::vector<op::Sample>{
            {{{DType::kFloat32, {2, 4, 5, 2}}}, {}},
            {{{DType::kFloat32, {2, 3, 1, 2}}}, {{"align_corners", true}}},
            {{{DType::kFloat64, {2, 2, 3, 4, 3}}}, {}}};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {2, 4, 2}}}, {}, Code::kInvalidArgument, "belongs to no grid"}});
}

OFL_OP(affine_grid) {
  op.Doc(
        "The points that grid_sample reads for images of `size`, moved by the affine maps `theta` "
        "(images, 2, 3),\nor (images, 3, 4) for three spatial axes.")
      .In("theta")
      .Out("grid")
      .Attr("size", op::AttrType::kInts)
      .OptionalAttr("align_corners", op::AttrType::kBool)
      .Compose(ComposeAffineGrid)
      .Oracle("affine_grid(theta, size, align_corners)")
      .Py("nn.functional.affine_grid(theta, size, align_corners=None)")
      .Py("affine_grid_generator(theta, size, align_corners)")
      .Public()
      .Samples([] {
        return std::vector<op::Sample>{
            {{{DType::kFloat32, {2, 2, 3}}}, {{"size", Ints{2, 3, 4, 5}}}},
            {{{DType::kFloat32, {2, 2, 3}}}, {{"size", Ints{2, 1, 3, 1}}, {"align_corners", true}}},
            {{{DType::kFloat64, {2, 3, 4}}}, {{"size", Ints{2, 1, 2, 3, 4}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 2, 3}}},
                      {{"size", Ints{1, 3, 4, 5}}},
                      Code::kInvalidArgument,
                      "expected floats (images, 2, 3)"}});
}

}  // namespace ofl::ops
