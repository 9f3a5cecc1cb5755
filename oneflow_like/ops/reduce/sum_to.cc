// sum_to, the gradient of broadcasting.
#include "oneflow_like/ops/reduce/reducer.h"

namespace ofl::ops {
namespace {

// The leading axes of the input are added up, and those that become 1.
ReducedAxes AxesOf(const Shape& in, const Shape& out) {
  ReducedAxes axes;
  const int lead = in.rank() - out.rank();
  for (int i = 0; i < in.rank(); ++i) {
    axes.reduce[static_cast<size_t>(i)] = i < lead || (out[i - lead] == 1 && in[i] != 1);
    axes.output[static_cast<size_t>(i)] = std::max(i - lead, 0);
  }
  return axes;
}

Status InferSumTo(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kNumbers));
  OFL_ASSIGN(const Shape out, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  const Shape& in = c.input(0).shape;
  const auto back = BroadcastShapes(in, out);
  OFL_ENSURE(back.ok() && *back == in, Code::kInvalidArgument)
      << "shape " << out << " does not broadcast to the input's; expected each axis equal or 1";
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string SumToRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const ReducedAxes axes = AxesOf(in[0], out[0]);
  const int lead = in[0].rank() - out[0].rank();
  std::string kept, properties;
  for (int i = 0; i < in[0].rank(); ++i) {
    const bool reduced = axes.reduce[static_cast<size_t>(i)];
    const std::string label = "a" + std::to_string(i);
    if (i >= lead) kept += reduced ? "1 " : label + " ";
    if (reduced) properties += "; reduce " + label + " by sum";
  }
  return "(" + Labels("a", in[0].rank()) + ")->(" + kept + ")" + properties + "; linear 0";
}

template <class T>
Status RunSumTo(op::KernelContext& c) {
  // Which axes are summed is a matter of the logical shapes: an axis split into parts of size 1
  // looks the same as one that became 1.
  return Reduce(c, kReducer<SumOf<T>, T>,
                AxesOf(c.logical_inputs[0].shape, c.logical_outputs[0].shape));
}

std::vector<op::Sample> SumToSamples() {
  constexpr DType kF = DType::kFloat32;
  std::vector<op::Sample> samples{
      {{{kF, {5, 3}}}, {{"shape", Ints{5, 1}}}}, {{{kF, {5, 3}}}, {{"shape", Ints{}}}},
      {{{kF, {5, 3}}}, {{"shape", Ints{5, 3}}}}, {{{kF, {2, 3, 4}}}, {{"shape", Ints{3, 1}}}},
      {{{kF, {0, 3}}}, {{"shape", Ints{3}}}},    {{{kF, {1, 3}}}, {{"shape", Ints{1}}}}};
  for (DType dtype : ListOf(kNumbers)) samples.push_back({{{dtype, {5, 3}}}, {{"shape", Ints{3}}}});
  return samples;
}

// As a sum: of integers and bool in int64, where anything is added, and of no axes, as torch.
op::Values ComposeSumToSize(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const TensorMeta& meta = in[0]->meta();
  const auto& shape = attrs.Get<std::vector<int64_t>>("shape");
  if (!shape.empty() && DimsOf(meta.shape) == shape) return {in[0]};
  const op::Value x = IsDifferentiable(meta.dtype) ? in[0] : CastTo(b, in[0], DType::kInt64);
  return {b.Call("sum_to", {x}, attrs)};
}

}  // namespace

OFL_OP(sum_to_size) {
  op.Doc("input summed over the axes along which `size` would be broadcast to it.")
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Compose(ComposeSumToSize)
      .Oracle(
          "sum_to(input.astype(np.int64) if input.dtype.kind in 'iub' and "
          "(not shape or list(input.shape) != list(shape)) else input, shape)")
      .PyMethod("sum_to_size(input, *size: shape)")
      .Samples([] {
        auto samples = SumToSamples();
        samples.push_back({{{DType::kBool, {5, 3}}}, {{"shape", std::vector<int64_t>{3}}}});
        samples.push_back({{{DType::kUInt8, {}}}, {{"shape", std::vector<int64_t>{}}}});
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}},
                      {{"shape", std::vector<int64_t>{2}}},
                      Code::kInvalidArgument,
                      "does not broadcast to the input's"}});
}

OFL_OP(sum_to) {
  op.Doc(
        "input summed over the axes along which `shape` would be broadcast to it: the gradient\n"
        "of broadcasting.")
      .In("input")
      .Out("output")
      .Attr("shape", op::AttrType::kInts)
      .Infer(InferSumTo)
      .Sbp(SumToRule)
      .Grad([](op::GradContext& c) {
        c.Set(0, c.b.Call("broadcast_to", {c.grads[0]},
                          {{"shape", DimsOf(c.inputs[0]->meta().shape)}}));
      })
      .LocalAttrs([](const Attrs& attrs, std::span<const Shape>, std::span<const Shape> out) {
        Attrs local = attrs;
        local.Set("shape", DimsOf(out[0]));
        return local;
      })
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return in[0].shape.numel();
      })
      .Strided()
      .Unclaimed("P(max)->P(max)", "where nothing is summed and the operator is the identity")
      .Unclaimed("P(min)->P(min)", "where nothing is summed and the operator is the identity")
      .Oracle("sum_to(input, shape)")
      .Py("sum_to(input, shape)")
      .Samples(SumToSamples)
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}},
                      {{"shape", std::vector<int64_t>{2}}},
                      Code::kInvalidArgument,
                      "does not broadcast to the input's"},
                     {{{DType::kBool, {2}}},
                      {{"shape", std::vector<int64_t>{}}},
                      Code::kTypeMismatch,
                      "bool is not a number"}});
  ForEachDType<kNumbers>([&]<class T>(DType dtype) { op.Cpu(dtype, RunSumTo<T>); });
}

}  // namespace ofl::ops
