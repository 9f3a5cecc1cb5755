// broadcast_to: a tensor repeated along axes. As a view it repeats memory, which nobody may write.
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

Result<Shape> TargetShape(const Shape& in, const Attrs& attrs) {
  std::vector<int64_t> dims = attrs.Get<std::vector<int64_t>>("shape");
  const int lead = static_cast<int>(dims.size()) - in.rank();
  for (int i = 0; i < static_cast<int>(dims.size()); ++i)
    if (dims[i] == -1 && i >= lead && lead >= 0) dims[i] = in[i - lead];  // keeps the axis
  OFL_ASSIGN(const Shape out, Shape::Checked(dims));
  const auto both = BroadcastShapes(in, out);
  OFL_ENSURE(both.ok() && *both == out, Code::kInvalidArgument)
      << "the input does not broadcast to shape " << out << "; expected each axis equal or 1";
  return out;
}

Status InferBroadcast(op::InferContext& c) {
  OFL_ASSIGN(const Shape shape, TargetShape(c.input(0).shape, c.attrs()));
  c.AddOutput({c.input(0).dtype, shape});
  return Status::Ok();
}

std::string BroadcastRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const int lead = out[0].rank() - in[0].rank();
  std::string from;
  for (int i = 0; i < in[0].rank(); ++i)
    from += in[0][i] == 1 && out[0][i + lead] != 1 ? std::string("1 ")
                                                   : "a" + std::to_string(i + lead) + " ";
  return "(" + from + ")->(" + Labels("a", out[0].rank()) + "); linear 0; monotone 0";
}

Attrs LocalBroadcast(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> out) {
  Attrs local = attrs;
  local.Set("shape", DimsOf(out[0]));
  return local;
}

Result<op::ViewGeometry> ViewBroadcast(const Shape& base, const Strides& strides,
                                       const Attrs& attrs) {
  OFL_ASSIGN(const Shape shape, TargetShape(base, attrs));
  op::ViewGeometry view{shape, shape, 0};
  const int lead = shape.rank() - base.rank();
  for (int i = 0; i < shape.rank(); ++i) {
    const bool repeats = i < lead || (base[i - lead] == 1 && shape[i] != 1);
    view.strides[i] = repeats ? 0 : strides[i - lead];
  }
  return view;
}

Status RunBroadcast(op::KernelContext& c) {
  const op::TensorView& in = c.inputs[0];
  const Attrs to = {{"shape", DimsOf(c.outputs[0].meta.shape)}};
  OFL_ASSIGN(const op::ViewGeometry view, ViewBroadcast(in.meta.shape, in.strides, to));
  CopyBox(c.stream, ViewOf(in, view), c.outputs[0]);
  return Status::Ok();
}

}  // namespace

OFL_OP(broadcast_to) {
  op.Doc("input repeated to `shape` by NumPy's rules; -1 keeps an axis.")
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferBroadcast)
      .Sbp(BroadcastRule)
      .LocalAttrs(LocalBroadcast)
      .Grad([](op::GradContext& c) {
        c.Set(0, ReduceTo(c.b, c.grads[0], c.inputs[0]->meta().shape));
      })
      .Strided()
      .View(ViewBroadcast, "")
      .Oracle("broadcast_to(input, shape)")
      .PyBoth("broadcast_to(input, *size: shape)")
      .PyMethod("expand(input, *size: shape)")
      .Samples([] {
        constexpr DType kF = DType::kFloat32;
        return std::vector<op::Sample>{{{{kF, {3}}}, {{"shape", Ints{5, 3}}}},
                                       {{{kF, {5, 1}}}, {{"shape", Ints{5, 3}}}},
                                       {{{kF, {}}}, {{"shape", Ints{5, 3}}}},
                                       {{{kF, {5, 3}}}, {{"shape", Ints{-1, 3}}}},
                                       {{{kF, {3, 1}}}, {{"shape", Ints{2, 3, 4}}}},
                                       {{{kF, {1, 3}}}, {{"shape", Ints{0, 3}}}},
                                       {{{DType::kInt64, {2, 1}}}, {{"shape", Ints{2, 3}}}},
                                       {{{DType::kFloat8E4M3, {2, 1}}}, {{"shape", Ints{2, 3}}}},
                                       {{{DType::kComplex128, {2, 3}}}, {{"shape", Ints{2, 3}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}},
                      {{"shape", std::vector<int64_t>{5, 4}}},
                      Code::kInvalidArgument,
                      "does not broadcast to shape (5, 4): got input: float32[5,3]"}});
  CpuForAllTypes(op, RunBroadcast);
}

}  // namespace ofl::ops
