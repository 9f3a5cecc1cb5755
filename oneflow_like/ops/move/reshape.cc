// reshape: the same elements under other axes. view, flatten, squeeze and unsqueeze are this.
#include <algorithm>

#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {
namespace {

Status InferReshape(op::InferContext& c) {
  std::vector<int64_t> dims = c.attr<std::vector<int64_t>>("shape");
  const int64_t numel = c.input(0).shape.numel();
  const auto wild = std::find(dims.begin(), dims.end(), -1);
  if (wild != dims.end()) {
    *wild = 1;
    OFL_ASSIGN(const Shape rest, Shape::Checked(dims));
    OFL_ENSURE(rest.numel() != 0 && numel % rest.numel() == 0, Code::kInvalidArgument)
        << "the size -1 cannot be told; expected the other sizes to divide " << numel
        << " elements";
    *wild = numel / rest.numel();
  }
  OFL_ASSIGN(const Shape shape, Shape::Checked(dims));
  OFL_ENSURE(shape.numel() == numel, Code::kInvalidArgument)
      << "the number of elements changes; expected a shape of " << numel << " elements but "
      << shape << " has " << shape.numel();
  c.AddOutput({c.input(0).dtype, shape});
  return Status::Ok();
}

Result<sbp::FactorRule> ReshapeOpRule(std::span<const Shape> in, std::span<const Shape> out,
                                      const Attrs&, int64_t parts) {
  return sbp::ReshapeRule(in[0], out[0], parts);
}

Attrs LocalReshape(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(outputs[0]));
  return local;
}

Status RunReshape(op::KernelContext& c) {
  constexpr int64_t kChunk = 64 * 1024;
  const std::byte* from = c.inputs[0].as<std::byte>();
  std::byte* to = c.outputs[0].as<std::byte>();
  if (from == to) return Status::Ok();  // in place
  Parallel(c.stream, c.inputs[0].meta.bytes(), kChunk,
           [&](int64_t begin, int64_t end) { std::memcpy(to + begin, from + begin, end - begin); });
  return Status::Ok();
}

void GradReshape(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("reshape", {c.grads[0]}, {{"shape", DimsOf(c.inputs[0]->meta().shape)}}));
}

op::Sample ReshapeSample(Shape from, std::vector<int64_t> to) {
  return {{{DType::kFloat32, from}}, {{"shape", std::move(to)}}};
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

}  // namespace

OFL_OP(reshape) {
  op.Doc("The same elements, in row-major order, under another shape; one size may be -1.")
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferReshape)
      .Sbp(ReshapeOpRule)
      .LocalAttrs(LocalReshape)
      .Grad(GradReshape)
      .Flops(NoFlops)
      .InPlace(0, 0)
      .Py("reshape(input, /, shape)")
      .Method("reshape")
      .Samples([]() -> std::vector<op::Sample> {
        return {ReshapeSample({4, 6}, {24}),
                ReshapeSample({4, 6}, {2, 2, 6}),
                ReshapeSample({4, 6}, {4, 2, 3}),
                ReshapeSample({8, 4}, {2, 4, 4}),
                ReshapeSample({2, 3, 4}, {6, -1}),
                ReshapeSample({3}, {1, 3, 1}),
                ReshapeSample({1, 3, 1}, {3}),
                ReshapeSample({0, 3}, {3, 0}),
                ReshapeSample({}, {1}),
                ReshapeSample({1}, {})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"shape", std::vector<int64_t>{7}}},
                      Code::kInvalidArgument,
                      "a shape of 6 elements"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"shape", std::vector<int64_t>{4, -1}}},
                      Code::kInvalidArgument,
                      "size -1"}});
  for (DType dtype : AllDTypes()) op.Cpu(dtype, RunReshape);
}

}  // namespace ofl::ops
