// grid_points: images of floats read at points, and the ways back to the images and to the points.
// grid_sample is composed of it; where the layout splits an image, or a gradient is differentiated
// again, of other operators (grid_sample.cc).
#include <algorithm>
#include <limits>

#include "oneflow_like/ops/conv/composed.h"
#include "oneflow_like/ops/conv/grid_sample.h"
#include "oneflow_like/ops/conv/grid_taps.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kComputed = SetOf(DType::kFloat32, DType::kFloat64);

// Sizes of a call: images, channels, elements of a plane, points of an image.
struct Sizes {
  int64_t images, channels, plane, points;
  Sizes(const Shape& image, const Shape& grid)
      : images(image[0]),
        channels(image[1]),
        plane(ProductOf(image, 2, image.rank())),
        points(ProductOf(grid, 1, grid.rank() - 1)) {}
  int64_t blocks() const { return (points + kGridBlock - 1) / kGridBlock; }
};

// fn with the type that indices into a plane have.
template <class Fn>
void WithIndex(const Sizes& sizes, const Fn& fn) {
  if (sizes.plane <= std::numeric_limits<int32_t>::max()) {
    fn(int32_t{});
  } else {
    fn(int64_t{});
  }
}

// --- loops over one block of one channel ---------------------------------------------------------

template <class T, class Index>
OFL_SIMD void ReadBlock(const GridTaps<T, Index>& taps, int count, const T* plane, T* y,
                        int64_t n) {
  alignas(64) T sum[kGridBlock];
  for (int k = 0; k < count; ++k) {
    const Index* at = taps.at[k];
    const T* weight = taps.weight[k];
    if (taps.inside) {
      for (int64_t p = 0; p < n; ++p) {
        const T term = weight[p] * plane[at[p]];
        sum[p] = k == 0 ? term : sum[p] + term;
      }
    } else {
      for (int64_t p = 0; p < n; ++p) {
        const T value = plane[at[p] < 0 ? 0 : at[p]];  // read in any case, so that no jump is made
        const T term = weight[p] * (at[p] < 0 ? T(0) : value);
        sum[p] = k == 0 ? term : sum[p] + term;
      }
    }
  }
  for (int64_t p = 0; p < n; ++p) y[p] = sum[p];
}

// sums[k] += dy * what tap k reads.
template <class T, class Index>
OFL_SIMD void AddProducts(const GridTaps<T, Index>& taps, int count, const T* plane, const T* dy,
                          int64_t n, T (*sums)[kGridBlock]) {
  for (int k = 0; k < count; ++k) {
    const Index* at = taps.at[k];
    if (taps.inside) {
      for (int64_t p = 0; p < n; ++p) sums[k][p] += dy[p] * plane[at[p]];
    } else {
      for (int64_t p = 0; p < n; ++p) {
        const T value = plane[at[p] < 0 ? 0 : at[p]];
        sums[k][p] += dy[p] * (at[p] < 0 ? T(0) : value);
      }
    }
  }
}

template <class T, class Index>
void AddBack(const GridTaps<T, Index>& taps, int count, const T* dy, int64_t n, T* plane) {
  for (int64_t p = 0; p < n; ++p)
    for (int k = 0; k < count; ++k)
      if (taps.at[k][p] >= 0) plane[taps.at[k][p]] += taps.weight[k][p] * dy[p];
}

// --- kernels -------------------------------------------------------------------------------------

template <class T>
Status RunGridPoints(op::KernelContext& c) {
  const GridSampling s(*c.attrs, c.inputs[0].meta.shape);
  const Sizes sizes(c.inputs[0].meta.shape, c.inputs[1].meta.shape);
  const T *x = c.inputs[0].as<T>(), *grid = c.inputs[1].as<T>();
  T* y = c.outputs[0].as<T>();
  const int count = s.taps();
  WithIndex(sizes, [&]<class Index>(Index) {
    Parallel(c.stream, sizes.images * sizes.blocks(),
             RowGrain(kGridBlock * count * (sizes.channels + 8)), [&](int64_t begin, int64_t end) {
               GridTaps<T, Index> taps;
               for (int64_t unit = begin; unit < end; ++unit) {
                 const int64_t image = unit / sizes.blocks();
                 const int64_t first = unit % sizes.blocks() * kGridBlock;
                 const int64_t n = std::min(kGridBlock, sizes.points - first);
                 taps.Find(s, grid + (image * sizes.points + first) * s.axes, n, false);
                 for (int64_t k = 0; k < sizes.channels; ++k) {
                   const int64_t plane = image * sizes.channels + k;
                   ReadBlock(taps, count, x + plane * sizes.plane, y + plane * sizes.points + first,
                             n);
                 }
               }
             });
  });
  return Status::Ok();
}

// Channels are shared out; each adds up its points in their order.
template <class T>
Status RunGridPointsInput(op::KernelContext& c) {
  ZeroBox(c.stream, c.outputs[0]);
  const GridSampling s(*c.attrs, c.outputs[0].meta.shape);
  const Sizes sizes(c.outputs[0].meta.shape, c.inputs[1].meta.shape);
  const T *dy = c.inputs[0].as<T>(), *grid = c.inputs[1].as<T>();
  T* dx = c.outputs[0].as<T>();
  const int count = s.taps();
  constexpr int64_t kTogether = 16;
  const int64_t groups = (sizes.channels + kTogether - 1) / kTogether;
  WithIndex(sizes, [&]<class Index>(Index) {
    Parallel(c.stream, sizes.images * groups, RowGrain(sizes.points * count * kTogether),
             [&](int64_t begin, int64_t end) {
               GridTaps<T, Index> taps;
               for (int64_t unit = begin; unit < end; ++unit) {
                 const int64_t image = unit / groups, from = unit % groups * kTogether;
                 const int64_t to = std::min(from + kTogether, sizes.channels);
                 for (int64_t first = 0; first < sizes.points; first += kGridBlock) {
                   const int64_t n = std::min(kGridBlock, sizes.points - first);
                   taps.Find(s, grid + (image * sizes.points + first) * s.axes, n, false);
                   for (int64_t k = from; k < to; ++k) {
                     const int64_t plane = image * sizes.channels + k;
                     AddBack(taps, count, dy + plane * sizes.points + first, n,
                             dx + plane * sizes.plane);
                   }
                 }
               }
             });
  });
  return Status::Ok();
}

template <class T>
Status RunGridPointsGrid(op::KernelContext& c) {
  const GridSampling s(*c.attrs, c.inputs[1].meta.shape);
  const Sizes sizes(c.inputs[1].meta.shape, c.inputs[2].meta.shape);
  const T *dy = c.inputs[0].as<T>(), *x = c.inputs[1].as<T>(), *grid = c.inputs[2].as<T>();
  T* dgrid = c.outputs[0].as<T>();
  const int count = s.taps();
  WithIndex(sizes, [&]<class Index>(Index) {
    Parallel(c.stream, sizes.images * sizes.blocks(),
             RowGrain(kGridBlock * count * (sizes.channels + 8)), [&](int64_t begin, int64_t end) {
               GridTaps<T, Index> taps;
               alignas(64) T sums[kMostTaps][kGridBlock];
               for (int64_t unit = begin; unit < end; ++unit) {
                 const int64_t image = unit / sizes.blocks();
                 const int64_t first = unit % sizes.blocks() * kGridBlock;
                 const int64_t n = std::min(kGridBlock, sizes.points - first);
                 const int64_t place = (image * sizes.points + first) * s.axes;
                 taps.Find(s, grid + place, n, true);
                 for (int k = 0; k < count; ++k) std::fill_n(sums[k], n, T(0));
                 for (int64_t k = 0; k < sizes.channels; ++k) {
                   const int64_t plane = image * sizes.channels + k;
                   AddProducts(taps, count, x + plane * sizes.plane,
                               dy + plane * sizes.points + first, n, sums);
                 }
                 for (int64_t p = 0; p < n; ++p) {
                   for (int i = 0; i < s.axes; ++i) {
                     T sum = 0;
                     for (int k = 0; k < count; ++k) sum += taps.slope[i][k][p] * sums[k][p];
                     dgrid[place + p * s.axes + i] = sum;
                   }
                 }
               }
             });
  });
  return Status::Ok();
}

// --- definitions ---------------------------------------------------------------------------------

Status CheckGrid(const op::InferContext& c, const Shape& image, const Shape& grid) {
  const int rank = image.rank();
  OFL_ENSURE((rank == 4 || rank == 5) && grid.rank() == rank && grid[rank - 1] == rank - 2 &&
                 grid[0] == image[0] && ProductOf(image, 2, rank) > 0,
             Code::kInvalidArgument)
      << "got an image of shape " << image << " and a grid of shape " << grid
      << "; expected (images, channels, two or three axes), not empty, and a grid (images, axes, "
         "their number)";
  const auto &mode = c.attr<std::string>("mode"), &padding = c.attr<std::string>("padding");
  const bool cubic = mode == "bicubic" && rank == 4;
  OFL_ENSURE((cubic || mode == "bilinear" || mode == "nearest") &&
                 (padding == "zeros" || padding == "border" || padding == "reflection"),
             Code::kInvalidArgument)
      << "there is no such way to read; expected 'bilinear', 'nearest', or of two axes 'bicubic', "
         "and 'zeros', 'border' or 'reflection'";
  for (int i = 0; i < c.num_inputs(); ++i) {
    OFL_TRY(RequireIn(c, i, kComputed));
    OFL_ENSURE(c.input(i).dtype == c.input(0).dtype, Code::kTypeMismatch)
        << "the dtypes differ; expected one dtype";
  }
  return Status::Ok();
}

Shape PointsOf(const Shape& image, const Shape& grid) {
  Shape shape{image[0], image[1]};
  for (int i = 1; i + 1 < grid.rank(); ++i) shape.push_back(grid[i]);
  return shape;
}

Status InferGridPoints(op::InferContext& c) {
  OFL_TRY(CheckGrid(c, c.input(0).shape, c.input(1).shape));
  c.AddOutput({c.input(0).dtype, PointsOf(c.input(0).shape, c.input(1).shape)});
  return Status::Ok();
}

Status InferGridPointsInput(op::InferContext& c) {
  const Shape& dy = c.input(0).shape;
  const Ints& size = c.attr<Ints>("size");
  OFL_ENSURE(dy.rank() >= 2, Code::kInvalidArgument) << "grad has no channels";
  std::vector<int64_t> dims = {dy[0], dy[1]};
  dims.insert(dims.end(), size.begin(), size.end());
  OFL_ASSIGN(const Shape image, Shape::Checked(dims));
  OFL_TRY(CheckGrid(c, image, c.input(1).shape));
  OFL_ENSURE(dy == PointsOf(image, c.input(1).shape), Code::kInvalidArgument)
      << "grad must have one value for each channel and point";
  c.AddOutput({c.input(0).dtype, image});
  return Status::Ok();
}

Status InferGridPointsGrid(op::InferContext& c) {
  OFL_TRY(CheckGrid(c, c.input(1).shape, c.input(2).shape));
  OFL_ENSURE(c.input(0).shape == PointsOf(c.input(1).shape, c.input(2).shape),
             Code::kInvalidArgument)
      << "grad must have one value for each channel and point";
  c.AddOutput(c.input(2));
  return Status::Ok();
}

// Axes of images, of the grid and of what is read.
struct Axes {
  std::string image = "(n c ", grid = "(n ", points = "(n c ", sums;
  explicit Axes(int axes) {
    for (int i = 0; i < axes; ++i) {
      const std::string p = "p" + std::to_string(i);
      image += "! ";
      grid += p + " ";
      points += p + " ";
      sums += "; reduce " + p + " by sum";
    }
    image += ")", grid += "!)", points += ")";
  }
};

std::string GridPointsRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const Axes a(in[0].rank() - 2);
  const bool nearest = attrs.Get<std::string>("mode") == "nearest";
  return a.image + "," + a.grid + "->" + a.points + "; linear 0" + (nearest ? "; monotone 0" : "");
}
std::string GridPointsInputRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const Axes a(in[0].rank() - 2);
  return a.points + "," + a.grid + "->" + a.image + "; linear 0" + a.sums;
}
std::string GridPointsGridRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const Axes a(in[0].rank() - 2);
  return a.points + "," + a.image + "," + a.grid + "->" + a.grid + "; linear 0 1; reduce c by sum";
}

Attrs WithSize(const op::Value& image, const Attrs& attrs) {
  Attrs sized = attrs;
  const Shape& shape = image->meta().shape;
  sized.Set("size", Ints(shape.begin() + 2, shape.end()));
  return sized;
}
Attrs WithoutSize(const Attrs& attrs) {
  Attrs plain;
  for (const auto& [name, value] : attrs)
    if (name != "size") plain.Set(name, value);
  return plain;
}

void GradGridPoints(op::GradContext& c) {
  op::Builder& b = c.b;
  const op::Value &x = c.inputs[0], &grid = c.inputs[1], &dy = c.grads[0];
  if (c.Needs(0)) c.Set(0, b.Call("grid_points_input", {dy, grid}, WithSize(x, c.attrs)));
  if (!c.Needs(1)) return;
  if (c.attrs.Get<std::string>("mode") == "nearest") {
    c.Set(1, b.Call("zeros_like", {grid}));
  } else {
    c.Set(1, b.Call("grid_points_grid", {dy, x, grid}, c.attrs));
  }
}

void GradGridPointsInput(op::GradContext& c) {
  const op::Value &dy = c.inputs[0], &grid = c.inputs[1], &u = c.grads[0];
  const Attrs attrs = WithoutSize(c.attrs);
  if (c.Needs(0)) c.Set(0, c.b.Call("grid_points", {u, grid}, attrs));
  if (!c.Needs(1)) return;
  if (attrs.Get<std::string>("mode") == "nearest") {
    c.Set(1, c.b.Call("zeros_like", {grid}));
  } else {
    c.Set(1, c.b.Call("grid_points_grid", {dy, u, grid}, attrs));
  }
}

int64_t FlopsGrid(std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
  return SaturatingMul(16, in[0].shape.numel());
}

op::OpDefBuilder& Attributes(op::OpDefBuilder& op) {
  return op.Attr("mode", op::AttrType::kString, std::string("bilinear"))
      .Attr("padding", op::AttrType::kString, std::string("zeros"))
      .Attr("align_corners", op::AttrType::kBool, false)
      .Flops(FlopsGrid);
}

// Shapes of images, grids and what is read, in the order of the operands.
std::vector<op::Sample> GridSamples(const char* operands, bool sized) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType dtype, const Shape& image, const Shape& grid, const char* mode,
                       const char* padding, bool align) {
    op::Sample s{
        {},
        {{"mode", std::string(mode)}, {"padding", std::string(padding)}, {"align_corners", align}}};
    for (const char* k = operands; *k != 0; ++k) {
      s.inputs.push_back({dtype, *k == 'x' ? image : *k == 'g' ? grid : PointsOf(image, grid)});
      s.ranges.push_back(*k == 'g' ? std::pair(-1.3, 1.3) : std::pair(-2.0, 2.0));
    }
    if (sized) s.attrs.Set("size", Ints(image.begin() + 2, image.end()));
    samples.push_back(std::move(s));
  };
  const bool curved = std::string_view(operands) == "yxg";  // which nearest has not
  for (const char* mode : {"bilinear", "nearest", "bicubic"}) {
    if (curved && mode == std::string_view("nearest")) continue;
    for (const char* padding : {"zeros", "border", "reflection"}) {
      add(DType::kFloat32, {2, 3, 4, 5}, {2, 2, 3, 2}, mode, padding,
          padding == std::string_view("border"));
    }
  }
  add(DType::kFloat32, {2, 1, 3, 4, 2}, {2, 2, 1, 2, 3}, "bilinear", "zeros", false);
  add(DType::kFloat64, {2, 3, 4, 5}, {2, 2, 3, 2}, "bilinear", "reflection", true);
  add(DType::kFloat32, {0, 3, 4, 5}, {0, 2, 3, 2}, "bilinear", "zeros", false);
  add(DType::kFloat32, {2, 3, 4, 5}, {2, 0, 3, 2}, "bilinear", "zeros", false);
  return samples;
}

op::ErrorSample Misfit(const char* operands, bool sized) {
  op::ErrorSample e{{}, {}, Code::kInvalidArgument, "expected (images, channels"};
  for (const char* k = operands; *k != 0; ++k)
    e.inputs.push_back({DType::kFloat32, *k == 'g' ? Shape{2, 2, 3, 3} : Shape{2, 3, 2, 3}});
  if (sized) e.attrs.Set("size", Ints{4, 5});
  return e;
}

}  // namespace

OFL_OP(grid_points) {
  op.Doc("Images read at the points of `grid`, as grid_sample does of floats.")
      .In("input")
      .In("grid")
      .Out("output");
  Attributes(op)
      .Infer(InferGridPoints)
      .Sbp(GridPointsRule)
      .Grad(GradGridPoints)
      .Decompose(DecomposeGridPoints)
      .Cpu(DType::kFloat32, RunGridPoints<float>)
      .Cpu(DType::kFloat64, RunGridPoints<double>)
      .Oracle("grid_sample(input, grid, mode, padding, align_corners)")
      .Py("grid_points(input, grid, *, mode='bilinear', padding='zeros', align_corners=False)")
      .Samples([] { return GridSamples("xg", false); })
      .ErrorSamples({Misfit("xg", false)});
}

OFL_OP(grid_points_input) {
  op.Doc("Gradient of grid_points by its images, whose spatial axes are `size`.")
      .In("grad")
      .In("grid")
      .Out("input_grad");
  Attributes(op)
      .Attr("size", op::AttrType::kInts)
      .Infer(InferGridPointsInput)
      .Sbp(GridPointsInputRule)
      .Grad(GradGridPointsInput)
      .Cpu(DType::kFloat32, RunGridPointsInput<float>)
      .Cpu(DType::kFloat64, RunGridPointsInput<double>)
      .Oracle("grid_sample_input(grad, grid, mode, padding, align_corners, size)")
      .Py("grid_points_input(grad, grid, *, size, mode='bilinear', padding='zeros', "
          "align_corners=False)")
      .Samples([] { return GridSamples("yg", true); })
      .ErrorSamples({Misfit("yg", true)});
}

OFL_OP(grid_points_grid) {
  op.Doc("Gradient of grid_points by its points.")
      .In("grad")
      .In("input")
      .In("grid")
      .Out("grid_grad");
  Attributes(op)
      .Infer(InferGridPointsGrid)
      .Sbp(GridPointsGridRule)
      .NotDifferentiable("a gradient that is differentiated goes through the composition")
      .Cpu(DType::kFloat32, RunGridPointsGrid<float>)
      .Cpu(DType::kFloat64, RunGridPointsGrid<double>)
      .Oracle("grid_sample_grid(grad, input, grid, mode, padding, align_corners)")
      .Py("grid_points_grid(grad, input, grid, *, mode='bilinear', padding='zeros', "
          "align_corners=False)")
      .Samples([] { return GridSamples("yxg", false); })
      .ErrorSamples({Misfit("yxg", false)});
}

}  // namespace ofl::ops
