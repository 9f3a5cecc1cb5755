// sum, mean, amax, amin over axes; sum_to, the gradient of broadcasting.
#include "oneflow_like/ops/reduce/reduce.h"

#include <limits>

namespace ofl::ops {

ReduceLoop MakeReduceLoop(const Shape& input, const std::array<bool, kMaxRank>& reduce) {
  // Merge neighbours of one kind, innermost first.
  struct Axis {
    int64_t size, stride;
    bool reduced;
  };
  std::array<Axis, kMaxRank> axes;
  int count = 0;
  int64_t stride = 1;
  for (int i = input.rank() - 1; i >= 0; --i) {
    if (input[i] == 1) continue;
    if (count > 0 && axes[count - 1].reduced == reduce[i]) {
      axes[count - 1].size *= input[i];
    } else {
      axes[count++] = {input[i], stride, reduce[i]};
    }
    stride *= input[i];
  }
  ReduceLoop loop;
  if (count > 0) {
    loop.inner = axes[0].size;
    loop.inner_reduced = axes[0].reduced;
  }
  for (int i = count - 1; i > 0; --i) {
    const Axis& axis = axes[i];
    int& used = axis.reduced ? loop.num_reduced : loop.num_kept;
    (axis.reduced ? loop.reduced_size : loop.kept_size)[used] = axis.size;
    (axis.reduced ? loop.reduced_stride : loop.kept_stride)[used] = axis.stride;
    (axis.reduced ? loop.reduced : loop.kept) *= axis.size;
    ++used;
  }
  return loop;
}

std::array<bool, kMaxRank> ReducedAxes(const Attrs& attrs, int rank) {
  const auto& dims = attrs.Get<std::vector<int64_t>>("dim");
  std::array<bool, kMaxRank> reduce{};
  if (dims.empty()) reduce.fill(true);
  for (int64_t d : dims)
    if (rank > 0) reduce[d < 0 ? d + rank : d] = true;
  return reduce;
}

Shape ReducedShape(const Shape& input, const std::array<bool, kMaxRank>& reduce, bool keepdim) {
  Shape out;
  for (int i = 0; i < input.rank(); ++i) {
    if (!reduce[i]) out.push_back(input[i]);
    if (reduce[i] && keepdim) out.push_back(1);
  }
  return out;
}

namespace {

Status CheckDims(const op::InferContext& c) {
  const int rank = c.input(0).shape.rank();
  std::array<bool, kMaxRank> seen{};
  for (int64_t d : c.attr<std::vector<int64_t>>("dim")) {
    OFL_ASSIGN(const int axis, NormalizeAxis(d, rank));
    OFL_ENSURE(!seen[axis], Code::kInvalidArgument)
        << "axis " << axis << " stands twice in dim; expected different axes";
    seen[axis] = true;
  }
  return Status::Ok();
}

template <DTypeSet kSet, bool kNonEmpty>
Status InferReduce(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kSet));
  OFL_TRY(CheckDims(c));
  const Shape& in = c.input(0).shape;
  const auto reduce = ReducedAxes(c.attrs(), in.rank());
  for (int i = 0; kNonEmpty && i < in.rank(); ++i)
    OFL_ENSURE(!reduce[i] || in[i] > 0, Code::kInvalidArgument)
        << "axis " << i << " is empty and has no extreme value; expected at least one element";
  c.AddOutput({c.input(0).dtype, ReducedShape(in, reduce, c.attr<bool>("keepdim"))});
  return Status::Ok();
}

// Reduced axes are factors of the input alone; kept with size 1 they carry no factor.
std::string ReduceRule(const Shape& in, const Attrs& attrs, const char* how) {
  const auto reduce = ReducedAxes(attrs, in.rank());
  const bool keepdim = attrs.Get<bool>("keepdim");
  std::string kept, properties;
  for (int i = 0; i < in.rank(); ++i) {
    const std::string label = "a" + std::to_string(i);
    if (!reduce[i]) kept += label + " ";
    if (reduce[i] && keepdim) kept += "1 ";
    if (reduce[i]) properties += "; reduce " + label + " by " + how;
  }
  return "(" + Labels("a", in.rank()) + ")->(" + kept + ")" + properties;
}

std::string SumRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "sum") + "; linear 0";
}
std::string MaxRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "max");
}
std::string MinRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  return ReduceRule(in[0], attrs, "min");
}

template <class T>
struct Finish {
  template <class Acc>
  T operator()(Acc acc) const {
    return static_cast<T>(acc);
  }
};

template <template <class> class R, class T>
Status RunReduce(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& in = c.inputs[0].meta.shape;
  Reduce<R<T>>(c.stream, MakeReduceLoop(in, ReducedAxes(*c.attrs, in.rank())), c.inputs[0].as<T>(),
               c.outputs[0].as<T>(), Finish<T>());
  return Status::Ok();
}

// Divides by the logical count, so that the parts of a split axis are partial sums.
template <class T>
Status RunMean(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  const Shape& in = c.inputs[0].meta.shape;
  const auto reduce = ReducedAxes(*c.attrs, in.rank());
  double count = 1;
  for (int i = 0; i < in.rank(); ++i)
    if (reduce[i]) count *= static_cast<double>(c.logical_inputs[0].shape[i]);
  Reduce<SumOf<T>>(c.stream, MakeReduceLoop(in, reduce), c.inputs[0].as<T>(), c.outputs[0].as<T>(),
                   [count](double acc) { return static_cast<T>(acc / count); });
  return Status::Ok();
}

// --- gradients ----------------------------------------------------------------------------------

// A reduction's result with its axes back at size 1.
op::Value WithAxes(op::GradContext& c, const op::Value& y) {
  const Shape& in = c.inputs[0]->meta().shape;
  const Shape kept = ReducedShape(in, ReducedAxes(c.attrs, in.rank()), true);
  if (y == nullptr || y->meta().shape == kept) return y;
  return c.b.Call("reshape", {y}, {{"shape", DimsOf(kept)}});
}

op::Value SpreadOut(op::GradContext& c, const op::Value& y) {
  return c.b.Call("broadcast_to", {WithAxes(c, y)}, {{"shape", DimsOf(c.inputs[0]->meta().shape)}});
}

void GradSum(op::GradContext& c) { c.Set(0, SpreadOut(c, c.grads[0])); }

void GradMean(op::GradContext& c) {
  const Shape& in = c.inputs[0]->meta().shape;
  const int64_t out = std::max<int64_t>(c.outputs[0]->meta().shape.numel(), 1);
  const double count = static_cast<double>(std::max<int64_t>(in.numel(), 1)) / out;
  const op::Value scaled = c.b.Call("div_scalar", {c.grads[0]}, {{"scalar", count}});
  c.Set(0, SpreadOut(c, scaled));
}

// Equal extremes share the gradient.
void GradExtreme(op::GradContext& c) {
  const op::Value hit = c.b.Call("eq", {c.inputs[0], SpreadOut(c, c.outputs[0])});
  const op::Value mask = c.b.Call("cast", {hit}, {{"dtype", c.inputs[0]->meta().dtype}});
  const op::Value count = c.b.Call("sum", {mask}, c.attrs);
  const op::Value share = c.b.Call("div", {c.grads[0], count});
  c.Set(0, Mul(c.b, mask, SpreadOut(c, share)));
}

// --- sum_to -------------------------------------------------------------------------------------

// Which axes of the input sum_to adds up: the leading ones and those that become 1.
std::array<bool, kMaxRank> SumToAxes(const Shape& in, const Shape& out) {
  std::array<bool, kMaxRank> reduce{};
  const int lead = in.rank() - out.rank();
  for (int i = 0; i < in.rank(); ++i) reduce[i] = i < lead || (out[i - lead] == 1 && in[i] != 1);
  return reduce;
}

Status InferSumTo(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kReals));
  OFL_ASSIGN(const Shape out, Shape::Checked(c.attr<std::vector<int64_t>>("shape")));
  const Shape& in = c.input(0).shape;
  const auto back = BroadcastShapes(in, out);
  OFL_ENSURE(back.ok() && *back == in, Code::kInvalidArgument)
      << "shape " << out << " does not broadcast to the input's; expected each axis equal or 1";
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

std::string SumToRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs&) {
  const auto reduce = SumToAxes(in[0], out[0]);
  const int lead = in[0].rank() - out[0].rank();
  std::string kept, properties;
  for (int i = 0; i < in[0].rank(); ++i) {
    const std::string label = "a" + std::to_string(i);
    if (i >= lead) kept += reduce[i] ? "1 " : label + " ";
    if (reduce[i]) properties += "; reduce " + label + " by sum";
  }
  return "(" + Labels("a", in[0].rank()) + ")->(" + kept + ")" + properties + "; linear 0";
}

template <class T>
Status RunSumTo(op::KernelContext& c) {
  if (c.outputs[0].numel() == 0) return Status::Ok();
  // Which axes are summed is a matter of the logical shapes: an axis split into parts of size 1
  // looks the same as one that became 1.
  const auto reduce = SumToAxes(c.logical_inputs[0].shape, c.logical_outputs[0].shape);
  Reduce<SumOf<T>>(c.stream, MakeReduceLoop(c.inputs[0].meta.shape, reduce), c.inputs[0].as<T>(),
                   c.outputs[0].as<T>(), Finish<T>());
  return Status::Ok();
}

std::vector<op::Sample> ReduceSamples(std::vector<DType> dtypes, bool empty) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape shape, std::vector<int64_t> dim, bool keepdim) {
    samples.push_back({{{d, shape}}, {{"dim", dim}, {"keepdim", keepdim}}, -4, 4, ""});
  };
  for (DType d : dtypes) {
    add(d, {5, 3}, {0}, false);
    if (d != dtypes[0]) continue;
    add(d, {5, 3}, {1}, false);
    add(d, {5, 3}, {-1}, true);
    add(d, {5, 3}, {}, false);
    add(d, {5, 3}, {}, true);
    add(d, {2, 3, 4}, {0, 2}, false);
    add(d, {2, 3, 4}, {1}, true);
    add(d, {3, 2, 4, 2}, {0, 2}, true);
    add(d, {}, {}, false);
    add(d, {1, 4}, {0}, false);
    add(d, {0, 3}, {1}, false);
    add(d, {3, 40}, {1}, false);
    if (empty) add(d, {0, 3}, {0}, false);
  }
  return samples;
}

op::OpDefBuilder& Reduction(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, std::vector<int64_t>{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Unclaimed("P->P", "of a tensor without axes, where a reduction is the identity")
      .Unclaimed("P(max)->P(max)", "of amax, which rules have no form for, or without axes")
      .Unclaimed("P(min)->P(min)", "of amin, which rules have no form for, or without axes")
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return in[0].shape.numel();
      });
}

std::vector<op::ErrorSample> DimErrors() {
  constexpr DType kF = DType::kFloat32;
  using Dims = std::vector<int64_t>;
  return {{{{kF, {2, 3}}},
           {{"dim", Dims{5}}},
           Code::kOutOfRange,
           "expected to be in range of [-2, 1], but got 5"},
          {{{kF, {2, 3}}},
           {{"dim", Dims{1, -1}}},
           Code::kInvalidArgument,
           "axis 1 stands twice in dim: got input: float32[2,3], dim=[1, -1]"},
          {{{DType::kBool, {2}}}, {}, Code::kTypeMismatch, "bool is not"}};
}

std::vector<op::ErrorSample> ExtremeErrors() {
  auto errors = DimErrors();
  errors.push_back({{{DType::kFloat32, {0, 3}}},
                    {},
                    Code::kInvalidArgument,
                    "axis 0 is empty and has no extreme value"});
  return errors;
}

template <template <class> class R>
void NumberKernels(op::OpDefBuilder& op) {
  op.Cpu(DType::kFloat32, RunReduce<R, float>)
      .Cpu(DType::kFloat64, RunReduce<R, double>)
      .Cpu(DType::kInt64, RunReduce<R, int64_t>)
      .Cpu(DType::kInt32, RunReduce<R, int32_t>);
}

}  // namespace

OFL_OP(sum) {
  Reduction(op, "The sum over the axes `dim` (none given: all). Of an empty axis: 0.")
      .Infer(InferReduce<kReals, false>)
      .Sbp(SumRule)
      .Grad(GradSum)
      .Py("sum(input, /, dim=None, *, keepdim=False)")
      .Method("sum")
      .Samples(
          [] { return ReduceSamples({DType::kFloat32, DType::kInt64, DType::kFloat64}, true); })
      .ErrorSamples(DimErrors());
  NumberKernels<SumOf>(op);
}

OFL_OP(mean) {
  Reduction(op, "The mean over the axes `dim` (none given: all). Of an empty axis: NaN.")
      .Infer(InferReduce<kFloats, false>)
      .Sbp(SumRule)
      .Grad(GradMean)
      .Cpu(DType::kFloat32, RunMean<float>)
      .Cpu(DType::kFloat64, RunMean<double>)
      .Py("mean(input, /, dim=None, *, keepdim=False)")
      .Method("mean")
      .Samples([] { return ReduceSamples({DType::kFloat32, DType::kFloat64}, false); })
      .ErrorSamples(DimErrors());
}

OFL_OP(amax) {
  Reduction(op, "The largest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Infer(InferReduce<kReals, true>)
      .Sbp(MaxRule)
      .Grad(GradExtreme)
      .Py("amax(input, /, dim=None, *, keepdim=False)")
      .Method("amax")
      .Samples([] { return ReduceSamples({DType::kFloat32, DType::kInt64}, false); })
      .ErrorSamples(ExtremeErrors());
  NumberKernels<MaxOf>(op);
}

OFL_OP(amin) {
  Reduction(op, "The smallest value over the axes `dim` (none given: all); NaN where one is NaN.")
      .Infer(InferReduce<kReals, true>)
      .Sbp(MinRule)
      .Grad(GradExtreme)
      .Py("amin(input, /, dim=None, *, keepdim=False)")
      .Method("amin")
      .Samples([] { return ReduceSamples({DType::kFloat32, DType::kInt64}, false); })
      .ErrorSamples(ExtremeErrors());
  NumberKernels<MinOf>(op);
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
      .Cpu(DType::kFloat32, RunSumTo<float>)
      .Cpu(DType::kFloat64, RunSumTo<double>)
      .Cpu(DType::kInt64, RunSumTo<int64_t>)
      .Cpu(DType::kInt32, RunSumTo<int32_t>)
      .Unclaimed("P(max)->P(max)", "where nothing is summed and the operator is the identity")
      .Unclaimed("P(min)->P(min)", "where nothing is summed and the operator is the identity")
      .Py("sum_to(input, /, shape)")
      .Samples([] {
        using Dims = std::vector<int64_t>;
        constexpr DType kF = DType::kFloat32;
        return std::vector<op::Sample>{
            {{{kF, {5, 3}}}, {{"shape", Dims{3}}}},       {{{kF, {5, 3}}}, {{"shape", Dims{5, 1}}}},
            {{{kF, {5, 3}}}, {{"shape", Dims{}}}},        {{{kF, {5, 3}}}, {{"shape", Dims{5, 3}}}},
            {{{kF, {2, 3, 4}}}, {{"shape", Dims{3, 1}}}}, {{{kF, {0, 3}}}, {{"shape", Dims{3}}}},
            {{{kF, {1, 3}}}, {{"shape", Dims{1}}}}};
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}},
                      {{"shape", std::vector<int64_t>{2}}},
                      Code::kInvalidArgument,
                      "does not broadcast to the input's"}});
}

}  // namespace ofl::ops
