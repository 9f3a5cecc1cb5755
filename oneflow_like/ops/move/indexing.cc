// index_select, gather, one_hot and tril, with the scatter-adds that are their gradients.
#include <algorithm>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

Status CheckIndices(const char* op, const int64_t* index, int64_t count, int64_t size) {
  for (int64_t i = 0; i < count; ++i)
    OFL_ENSURE(index[i] >= 0 && index[i] < size, Code::kOutOfRange)
        << "[" << op << "] an index lies outside the axis: got " << index[i] << " at position " << i
        << "; expected 0 <= index < " << size;
  return Status::Ok();
}

// --- index_select -------------------------------------------------------------------------------

Status InferIndexSelect(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 1, "index"));
  Shape out = c.input(0).shape;
  OFL_ENSURE(out.rank() > 0 && c.input(1).shape.rank() == 1, Code::kInvalidArgument)
      << "index must be a vector and input have at least one axis";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  out[axis] = c.input(1).shape[0];
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string Renamed(int rank, int axis, const std::string& name) {
  std::string text;
  for (int i = 0; i < rank; ++i)
    text += (i > 0 ? " " : "") + (i == axis ? name : "a" + std::to_string(i));
  return "(" + text + ")";
}

std::string IndexSelectRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "v") + ",(i)->" + Renamed(rank, axis, "i") +
         "; reduce v by sum; offset v; linear 0; monotone 0";
}

// A slice outside this shard of the axis is zero here: another rank adds it.
Status RunIndexSelect(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  const int64_t* index = c.inputs[1].as<int64_t>();
  const AxisView from = ViewAround(c.inputs[0].meta.shape, axis);
  const int64_t count = c.inputs[1].numel(), first = c.input_offsets[0][axis];
  OFL_TRY(CheckIndices("index_select", index, count, c.logical_inputs[0].shape[axis]));
  const int64_t run = from.inner * static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const std::byte* x = c.inputs[0].as<std::byte>();
  std::byte* y = c.outputs[0].as<std::byte>();
  Parallel(c.stream, from.outer, RowGrain(count * (run / 8 + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = index[i] - first;
        std::byte* to = y + (o * count + i) * run;
        if (at >= 0 && at < from.size) {
          std::memcpy(to, x + (o * from.size + at) * run, run);
        } else {
          std::memset(to, 0, run);
        }
      }
  });
  return Status::Ok();
}

void GradIndexSelect(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int rank = c.inputs[0]->meta().shape.rank();
  const int axis = AxisAttr(c.attrs, "dim", rank);
  c.Set(0, c.b.Call("index_select_grad", {c.grads[0], c.inputs[1]},
                    {{"dim", int64_t{axis}}, {"size", c.inputs[0]->meta().shape[axis]}}));
}

Status InferIndexSelectGrad(op::InferContext& c) {
  OFL_TRY(RequireFloat(c, 0, "grad"));
  OFL_TRY(RequireInt64(c, 1, "index"));
  Shape out = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  const Shape& index = c.input(1).shape;
  OFL_ENSURE(index.rank() == 1 && index[0] == out[axis], Code::kInvalidArgument)
      << "index must have one entry for each slice of grad along dim";
  OFL_ENSURE(c.attr<int64_t>("size") >= 0, Code::kInvalidArgument) << "size must not be negative";
  out[axis] = c.attr<int64_t>("size");
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string IndexSelectGradRule(std::span<const Shape> in, std::span<const Shape>,
                                const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "i") + ",(i)->" + Renamed(rank, axis, "v") +
         "; reduce i by sum; offset v; linear 0";
}

template <class T>
Status RunIndexSelectGrad(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  const int64_t* index = c.inputs[1].as<int64_t>();
  const AxisView to = ViewAround(c.outputs[0].meta.shape, axis);
  const int64_t count = c.inputs[1].numel(), first = c.output_offsets[0][axis];
  OFL_TRY(CheckIndices("index_select_grad", index, count, c.logical_outputs[0].shape[axis]));
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const T* grad = c.inputs[0].as<T>();
  T* out = c.outputs[0].as<T>();
  std::fill(out, out + c.outputs[0].numel(), T(0));
  Parallel(c.stream, to.outer, RowGrain(count * to.inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = index[i] - first;
        if (at < 0 || at >= to.size) continue;
        const T* from = grad + (o * count + i) * to.inner;
        T* row = out + (o * to.size + at) * to.inner;
        for (int64_t j = 0; j < to.inner; ++j) row[j] += from[j];
      }
  });
  return Status::Ok();
}

void GradIndexSelectGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("index_select", {c.grads[0], c.inputs[1]},
                    {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

Attrs LocalIndexSelectGrad(const Attrs& attrs, std::span<const Shape>,
                           std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("size", outputs[0][AxisAttr(attrs, "dim", outputs[0].rank())]);
  return local;
}

// --- gather -------------------------------------------------------------------------------------

Status InferGather(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 1, "index"));
  const Shape& x = c.input(0).shape;
  const Shape& index = c.input(1).shape;
  OFL_ENSURE(x.rank() > 0 && x.rank() == index.rank(), Code::kInvalidArgument)
      << "input and index must have the same number of axes, at least 1";
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), x.rank()));
  for (int i = 0; i < x.rank(); ++i)
    OFL_ENSURE(i == axis || index[i] == x[i], Code::kInvalidArgument)
        << "index must have input's sizes outside dim; expected index.shape[" << i
        << "] == " << x[i];
  c.AddOutput({c.input(0).dtype, index});
  return Status::Ok();
}

std::string GatherRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "v") + "," + Renamed(rank, axis, "i") + "->" +
         Renamed(rank, axis, "i") + "; reduce v by sum; offset v; linear 0; monotone 0";
}

Status RunGather(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  const int64_t* index = c.inputs[1].as<int64_t>();
  const AxisView from = ViewAround(c.inputs[0].meta.shape, axis);
  const AxisView to = ViewAround(c.outputs[0].meta.shape, axis);
  const int64_t first = c.input_offsets[0][axis];
  OFL_TRY(CheckIndices("gather", index, c.inputs[1].numel(), c.logical_inputs[0].shape[axis]));
  const int64_t size = static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  const std::byte* x = c.inputs[0].as<std::byte>();
  std::byte* y = c.outputs[0].as<std::byte>();
  const int64_t block = to.size * to.inner;
  Parallel(c.stream, to.outer * block, RowGrain(4), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = index[i] - first;
      if (at >= 0 && at < from.size) {
        const int64_t source = (i / block * from.size + at) * from.inner + i % to.inner;
        std::memcpy(y + i * size, x + source * size, size);
      } else {
        std::memset(y + i * size, 0, size);
      }
    }
  });
  return Status::Ok();
}

void GradGather(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int axis = AxisAttr(c.attrs, "dim", c.inputs[0]->meta().shape.rank());
  c.Set(0, c.b.Call("gather_grad", {c.grads[0], c.inputs[1]},
                    {{"dim", int64_t{axis}}, {"size", c.inputs[0]->meta().shape[axis]}}));
}

Status InferGatherGrad(op::InferContext& c) {
  OFL_TRY(RequireFloat(c, 0, "grad"));
  OFL_TRY(RequireInt64(c, 1, "index"));
  OFL_ENSURE(c.input(0).shape == c.input(1).shape, Code::kInvalidArgument)
      << "grad must have index's shape";
  Shape out = c.input(0).shape;
  OFL_ASSIGN(const int axis, NormalizeAxis(c.attr<int64_t>("dim"), out.rank()));
  OFL_ENSURE(out.rank() > 0 && c.attr<int64_t>("size") >= 0, Code::kInvalidArgument)
      << "size must not be negative and grad have at least one axis";
  out[axis] = c.attr<int64_t>("size");
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string GatherGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank(), axis = AxisAttr(attrs, "dim", rank);
  return Renamed(rank, axis, "i") + "," + Renamed(rank, axis, "i") + "->" +
         Renamed(rank, axis, "v") + "; reduce i by sum; offset v; linear 0";
}

template <class T>
Status RunGatherGrad(op::KernelContext& c) {
  const int axis = AxisAttr(*c.attrs, "dim", c.inputs[0].meta.shape.rank());
  const int64_t* index = c.inputs[1].as<int64_t>();
  const AxisView from = ViewAround(c.inputs[0].meta.shape, axis);
  const AxisView to = ViewAround(c.outputs[0].meta.shape, axis);
  const int64_t first = c.output_offsets[0][axis];
  OFL_TRY(
      CheckIndices("gather_grad", index, c.inputs[1].numel(), c.logical_outputs[0].shape[axis]));
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const T* grad = c.inputs[0].as<T>();
  T* out = c.outputs[0].as<T>();
  std::fill(out, out + c.outputs[0].numel(), T(0));
  const int64_t block = from.size * from.inner;
  Parallel(c.stream, from.outer, RowGrain(block * 4), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * block; i < end * block; ++i) {
      const int64_t at = index[i] - first;
      if (at >= 0 && at < to.size)
        out[(i / block * to.size + at) * to.inner + i % from.inner] += grad[i];
    }
  });
  return Status::Ok();
}

void GradGatherGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("gather", {c.grads[0], c.inputs[1]}, {{"dim", c.attrs.Get<int64_t>("dim")}}));
}

// --- one_hot ------------------------------------------------------------------------------------

Status InferOneHot(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 0, "input"));
  Shape out = c.input(0).shape;
  OFL_ENSURE(c.attr<int64_t>("num_classes") >= 0 && out.rank() < kMaxRank, Code::kInvalidArgument)
      << "num_classes must not be negative; the result has one axis more than input";
  out.push_back(c.attr<int64_t>("num_classes"));
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

std::string OneHotRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = Labels("a", in[0].rank());
  return "(" + axes + ")->(" + axes + " c); offset c";
}

Attrs LocalOneHot(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("num_classes", outputs[0][outputs[0].rank() - 1]);
  return local;
}

Status RunOneHot(op::KernelContext& c) {
  const int last = c.outputs[0].meta.shape.rank() - 1;
  const int64_t* index = c.inputs[0].as<int64_t>();
  const int64_t count = c.inputs[0].numel();
  OFL_TRY(CheckIndices("one_hot", index, count, c.logical_outputs[0].shape[last]));
  const int64_t classes = c.outputs[0].meta.shape[last], first = c.output_offsets[0][last];
  int64_t* y = c.outputs[0].as<int64_t>();
  if (classes == 0) return Status::Ok();
  Parallel(c.stream, count, RowGrain(classes), [&](int64_t begin, int64_t end) {
    std::fill(y + begin * classes, y + end * classes, int64_t{0});
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = index[i] - first;
      if (at >= 0 && at < classes) y[i * classes + at] = 1;
    }
  });
  return Status::Ok();
}

// --- tril ---------------------------------------------------------------------------------------

Status InferTril(op::InferContext& c) {
  OFL_ENSURE(c.input(0).shape.rank() >= 2, Code::kInvalidArgument)
      << "input must have at least two axes";
  c.AddOutput(c.input(0));
  return Status::Ok();
}

std::string TrilRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string axes = "(" + Labels("b", in[0].rank() - 2) + " r c)";
  return axes + "->" + axes + "; offset r c; linear 0; monotone 0";
}

Status RunTril(op::KernelContext& c) {
  const Shape& shape = c.inputs[0].meta.shape;
  const int rank = shape.rank();
  const int64_t height = shape[rank - 2], width = shape[rank - 1];
  const int64_t size = static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  // Column j of local row i stays when its logical position is on or below the diagonal.
  // A diagonal further away than any element is as good as one at kMaxElements.
  const int64_t diagonal = std::clamp(c.attr<int64_t>("diagonal"), -kMaxElements, kMaxElements);
  const int64_t shift = c.input_offsets[0][rank - 2] - c.input_offsets[0][rank - 1] + diagonal + 1;
  const std::byte* x = c.inputs[0].as<std::byte>();
  std::byte* y = c.outputs[0].as<std::byte>();
  if (width == 0) return Status::Ok();
  Parallel(c.stream, c.inputs[0].numel() / width, RowGrain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t keep = std::clamp<int64_t>(r % height + shift, 0, width);
      std::byte* row = y + r * width * size;
      if (y != x) std::memcpy(row, x + r * width * size, keep * size);
      std::memset(row + keep * size, 0, (width - keep) * size);
    }
  });
  return Status::Ok();
}

void GradTril(op::GradContext& c) {
  if (c.grads[0] && c.Needs(0)) c.Set(0, c.b.Call("tril", {c.grads[0]}, c.attrs));
}

op::Sample IndexSample(Shape x, Shape index, int64_t dim, double high, int64_t size = -1) {
  op::Sample s{{{DType::kFloat32, x}, {DType::kInt64, index}}, {{"dim", dim}}, 0, high};
  if (size >= 0) s.attrs.Set("size", size);
  return s;
}

}  // namespace

OFL_OP(index_select) {
  op.Doc("The slices of `input` along `dim` that the int64 vector `index` names.")
      .In("input")
      .In("index")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferIndexSelect)
      .Sbp(IndexSelectRule)
      .Grad(GradIndexSelect)
      .Py("index_select(input, dim, index)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({5, 3}, {4}, 0, 5), IndexSample({2, 4, 3}, {3}, 1, 4),
                IndexSample({3, 4}, {0}, -1, 4)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}, {DType::kInt64, {2, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index must be a vector"}});
  CpuForAllTypes(op, RunIndexSelect);
}

OFL_OP(index_select_grad) {
  op.Doc(
        "Adds each slice of `grad` along `dim` to the slice of an axis of `size` that index\n"
        "names.")
      .In("grad")
      .In("index")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Infer(InferIndexSelectGrad)
      .Sbp(IndexSelectGradRule)
      .LocalAttrs(LocalIndexSelectGrad)
      .Grad(GradIndexSelectGrad)
      .Cpu(DType::kFloat32, RunIndexSelectGrad<float>)
      .Cpu(DType::kFloat64, RunIndexSelectGrad<double>)
      .Py("index_select_grad(grad, index, /, *, dim, size)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({4, 3}, {4}, 0, 5, 5), IndexSample({2, 5, 3}, {5}, 1, 6, 6)};
      });
}

OFL_OP(gather) {
  op.Doc(
        "output[.., i, ..] = input[.., index[.., i, ..], ..] along `dim`; index has input's\n"
        "sizes in every other axis.")
      .In("input")
      .In("index")
      .Out("output")
      .Attr("dim", op::AttrType::kInt)
      .Infer(InferGather)
      .Sbp(GatherRule)
      .Grad(GradGather)
      .Py("gather(input, dim, index)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({5, 3}, {4, 3}, 0, 5), IndexSample({2, 4, 3}, {2, 2, 3}, 1, 4),
                IndexSample({3, 4}, {3, 1}, -1, 4)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}, {DType::kInt64, {4, 2}}},
                      {{"dim", int64_t{0}}},
                      Code::kInvalidArgument,
                      "index.shape[1] == 3"}});
  CpuForAllTypes(op, RunGather);
}

OFL_OP(gather_grad) {
  op.Doc("Adds each element of `grad` to the place along an axis of `size` that index names.")
      .In("grad")
      .In("index")
      .Out("input_grad")
      .Attr("dim", op::AttrType::kInt)
      .Attr("size", op::AttrType::kInt)
      .Infer(InferGatherGrad)
      .Sbp(GatherGradRule)
      .LocalAttrs(LocalIndexSelectGrad)
      .Grad(GradGatherGrad)
      .Cpu(DType::kFloat32, RunGatherGrad<float>)
      .Cpu(DType::kFloat64, RunGatherGrad<double>)
      .Py("gather_grad(grad, index, /, *, dim, size)")
      .Samples([]() -> std::vector<op::Sample> {
        return {IndexSample({4, 3}, {4, 3}, 0, 5, 5), IndexSample({2, 2, 3}, {2, 2, 3}, 1, 4, 4)};
      });
}

OFL_OP(one_hot) {
  op.Doc("int64 rows with a 1 at the class that `input` names.")
      .In("input")
      .Out("output")
      .Attr("num_classes", op::AttrType::kInt)
      .Infer(InferOneHot)
      .Sbp(OneHotRule)
      .LocalAttrs(LocalOneHot)
      .NotDifferentiable("its input is an index")
      .Cpu(DType::kInt64, RunOneHot)
      .Py("one_hot(input, /, num_classes)")
      .Samples([]() -> std::vector<op::Sample> {
        const auto sample = [](Shape s, int64_t classes) {
          return op::Sample{
              {{DType::kInt64, s}}, {{"num_classes", classes}}, 0, static_cast<double>(classes)};
        };
        return {sample({5}, 4), sample({2, 3}, 3), sample({0}, 2), sample({}, 3)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}},
                      {{"num_classes", int64_t{3}}},
                      Code::kTypeMismatch,
                      "int64"}});
}

OFL_OP(tril) {
  op.Doc("`input` with zeros above the given diagonal of its last two axes.")
      .In("input")
      .Out("output")
      .Attr("diagonal", op::AttrType::kInt, int64_t{0})
      .Infer(InferTril)
      .Sbp(TrilRule)
      .Grad(GradTril)
      .InPlace(0, 0)
      .Py("tril(input, /, diagonal=0)")
      .Method("tril")
      .Samples([]() -> std::vector<op::Sample> {
        const auto sample = [](Shape s, int64_t diagonal) {
          return op::Sample{{{DType::kFloat32, s}}, {{"diagonal", diagonal}}};
        };
        return {sample({5, 4}, 0), sample({2, 3, 3}, 1), sample({3, 5}, -1)};
      })
      .ErrorSamples({{{{DType::kFloat32, {5}}}, {}, Code::kInvalidArgument, "two axes"}});
  CpuForAllTypes(op, RunTril);
}

}  // namespace ofl::ops
