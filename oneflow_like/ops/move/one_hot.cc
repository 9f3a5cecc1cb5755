// one_hot: rows with a 1 at the class that an index names.
#include <algorithm>

#include "oneflow_like/ops/move/indices.h"

namespace ofl::ops {
namespace {

Status InferOneHot(op::InferContext& c) {
  OFL_TRY(RequireInt64(c, 0, "input"));
  Shape out = c.input(0).shape;
  OFL_ENSURE(c.attr<int64_t>("num_classes") != -1, Code::kUnimplemented)
      << "num_classes is not told, and how many there are depends on values; expected a number; "
         "use int(index.max()) + 1";
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
  const op::TensorView& index = c.inputs[0];
  const int last = c.outputs[0].meta.shape.rank() - 1;
  OFL_TRY(CheckIndices("one_hot", index, c.logical_outputs[0].shape[last]));
  const int64_t classes = c.outputs[0].meta.shape[last], first = c.output_offsets[0][last];
  int64_t* y = c.outputs[0].as<int64_t>();
  if (classes == 0) return Status::Ok();
  Parallel(c.stream, index.numel(), RowGrain(classes), [&](int64_t begin, int64_t end) {
    std::fill(y + begin * classes, y + end * classes, int64_t{0});
    int64_t row = begin;
    ForRows<1>(index.meta.shape, {index.strides}, begin, end, [&](const auto& offset, int64_t n) {
      const int64_t step = last > 0 ? index.strides[last - 1] : 0;
      for (int64_t j = 0; j < n; ++j, ++row) {
        const int64_t at = index.as<int64_t>()[offset[0] + j * step] - first;
        if (at >= 0 && at < classes) y[row * classes + at] = 1;
      }
    });
  });
  return Status::Ok();
}

}  // namespace

OFL_OP(one_hot) {
  op.Doc("int64 rows with a 1 at the class that `input` names.")
      .In("input")
      .Out("output")
      .Attr("num_classes", op::AttrType::kInt, int64_t{-1})
      .Infer(InferOneHot)
      .Sbp(OneHotRule)
      .LocalAttrs(LocalOneHot)
      .NotDifferentiable("its input is an index")
      .Strided("input")
      .Cpu(DType::kInt64, RunOneHot)
      .Oracle("one_hot(input, num_classes)")
      .Py("one_hot(tensor: input, num_classes=-1)")
      .Samples([]() -> std::vector<op::Sample> {
        const auto sample = [](Shape s, int64_t classes) {
          return op::Sample{
              {{DType::kInt64, s}}, {{"num_classes", classes}}, 0, static_cast<double>(classes)};
        };
        return {sample({5}, 4), sample({2, 3}, 3), sample({0}, 2), sample({}, 3)};
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {5}}}, {{"num_classes", int64_t{3}}}, Code::kTypeMismatch, "int64"},
           {{{DType::kInt64, {5}}}, {}, Code::kUnimplemented, "depends on values"}});
}

}  // namespace ofl::ops
