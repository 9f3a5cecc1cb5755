#include "oneflow_like/ops/reduce/reduction.h"
#include "oneflow_like/ops/elementwise/numbers.h"

namespace ofl::ops {

Status CheckDims(const op::InferContext& c) {
  const int rank = c.input(0).shape.rank();
  std::array<bool, kMaxRank> seen{};
  for (int64_t d : c.attr<Ints>("dim")) {
    OFL_ASSIGN(const int axis, NormalizeAxis(d, rank));
    OFL_ENSURE(!seen[static_cast<size_t>(axis)], Code::kInvalidArgument)
        << "axis " << axis << " stands twice in dim; expected different axes";
    seen[static_cast<size_t>(axis)] = true;
  }
  return Status::Ok();
}

Status CheckNotEmpty(const op::InferContext& c) {
  const Shape& in = c.input(0).shape;
  const ReducedAxes axes = AxesFor(c);
  const Code code = c.attr<std::vector<int64_t>>("dim").empty() ? Code::kInvalidArgument
                                                                : Code::kOutOfRange;  // as in torch
  for (int i = 0; i < in.rank(); ++i)
    OFL_ENSURE(!axes.reduce[static_cast<size_t>(i)] || in[i] > 0, code)
        << "axis " << i << " is empty and has no extreme value; expected at least one element";
  return Status::Ok();
}

double LogicalCount(const op::KernelContext& c) {
  const ReducedAxes axes = AxesFor(c);
  double count = 1;
  for (int i = 0; i < c.inputs[0].meta.shape.rank(); ++i)
    if (axes.reduce[static_cast<size_t>(i)])
      count *= static_cast<double>(c.logical_inputs[0].shape[i]);
  return count;
}

std::string ReduceRule(const Shape& in, const Attrs& attrs, const std::string& how) {
  const bool keepdim = attrs.Get<bool>("keepdim");
  return ReduceRule(in, AxesOf(attrs, in.rank(), keepdim), keepdim, how);
}

std::string ReduceRule(const Shape& in, const ReducedAxes& axes, bool keepdim,
                       const std::string& how) {
  std::string from, kept, properties;
  for (int i = 0; i < in.rank(); ++i) {
    const bool reduced = axes.reduce[static_cast<size_t>(i)];
    const std::string label = "a" + std::to_string(i);
    from += reduced && how.empty() ? "! " : label + " ";
    if (!reduced) kept += label + " ";
    if (reduced && keepdim) kept += "1 ";
    if (reduced && !how.empty()) properties += "; reduce " + label + " by " + how;
  }
  return "(" + from + ")->(" + kept + ")" + properties;
}

// --- composites and gradients -------------------------------------------------------------------

Attrs KeptAxes(const Attrs& attrs) { return {{"dim", attrs.Get<Ints>("dim")}, {"keepdim", true}}; }

op::Value WithAxes(op::Builder& b, const op::Value& y, const op::Value& input, const Attrs& attrs) {
  if (y == nullptr) return y;
  const Shape& in = input->meta().shape;
  const Shape kept = ReducedShape(in, AxesOf(attrs, in.rank(), true), true);
  if (y->meta().shape == kept) return y;
  return b.Call("reshape", {y}, {{"shape", DimsOf(kept)}});
}

op::Value SpreadOut(op::Builder& b, const op::Value& y, const op::Value& input,
                    const Attrs& attrs) {
  return b.Call("broadcast_to", {WithAxes(b, y, input, attrs)},
                {{"shape", DimsOf(input->meta().shape)}});
}

int64_t CountOf(const Shape& shape, const Attrs& attrs) {
  const ReducedAxes axes = AxesOf(attrs, shape.rank(), true);
  int64_t count = 1;
  for (int i = 0; i < shape.rank(); ++i)
    if (axes.reduce[static_cast<size_t>(i)]) count *= shape[i];
  return count;
}

op::Value ReplaceWhere(op::Builder& b, const op::Value& condition, Scalar value,
                       const op::Value& x) {
  if (x == nullptr) return x;
  return Filled(b, condition, value, x);
}

op::Value IsNan(op::Builder& b, const op::Value& x) { return b.Call("ne", {x, x}); }

Ints DimList(const int64_t* dim) { return dim == nullptr ? Ints{} : Ints{*dim}; }

op::Value Part(op::Builder& b, const op::Value& x, int64_t axis, int64_t begin, int64_t end) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  Ints from(static_cast<size_t>(shape.rank()), 0), to = DimsOf(shape), step(from.size(), 1);
  from[static_cast<size_t>(axis)] = begin;
  to[static_cast<size_t>(axis)] = end;
  return b.Call("slice", {x}, {{"begin", from}, {"end", to}, {"step", step}});
}

op::Value TakeAt(op::Builder& b, const op::Value& x, const op::Value& index, int64_t dim) {
  if (x == nullptr || index == nullptr || x->meta().shape.rank() == 0) return x;
  const bool kept = index->meta().shape.rank() == x->meta().shape.rank();
  const Attrs along = {{"dim", dim}};
  const op::Value places = kept ? index : b.Call("unsqueeze", {index}, along);
  const op::Value values = b.Call("gather", {x, places}, along);
  if (kept) return values;
  return b.Call("reshape", {values}, {{"shape", DimsOf(index->meta().shape)}});
}

op::Value Shifted(op::Builder& b, const op::Value& x, int64_t axis, bool reverse, Scalar fill) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  if (axis < 0) axis += shape.rank();
  const int64_t n = shape[static_cast<int>(axis)];
  if (n == 0) return x;
  const op::Value first = b.Call("full_like", {Part(b, x, axis, 0, 1)}, {{"value", fill}});
  if (n == 1) return first;
  const op::Value rest = reverse ? Part(b, x, axis, 1, n) : Part(b, x, axis, 0, n - 1);
  op::Values parts = reverse ? op::Values{rest, first} : op::Values{first, rest};
  return b.Call("concat", std::move(parts), {{"dim", axis}});
}

op::Value InDType(op::Builder& b, const op::Value& x, const Attrs& attrs) {
  const DType* dtype = attrs.Maybe<DType>("dtype");
  return dtype == nullptr ? x : CastTo(b, x, *dtype);
}

DType SummedDType(DType input, const DType* asked) {
  if (asked != nullptr) return *asked;
  return IsDifferentiable(input) ? input : DType::kInt64;
}

Result<op::TensorView> Converted(op::KernelContext& c, DType dtype) {
  const op::TensorView& in = c.inputs[0];
  if (in.meta.dtype == dtype) return in;
  const op::TensorView copy(in.numel() > 0 ? c.workspace.data() : nullptr, {dtype, in.meta.shape});
  OFL_TRY(CastElements(c.stream, in, copy));
  return copy;
}

int64_t CastScratch(const TensorMeta& input, DType dtype) {
  if (input.dtype == dtype) return 0;
  return input.shape.numel() * static_cast<int64_t>(DTypeSize(dtype));
}

// --- definitions --------------------------------------------------------------------------------

std::vector<op::Sample> ReduceSamples(DTypeSet set, bool empty, const Attrs& more) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, Shape shape, Ints dim, bool keepdim) {
    Attrs attrs = more;
    attrs.Set("dim", std::move(dim));
    attrs.Set("keepdim", keepdim);
    samples.push_back({{{d, shape}}, std::move(attrs), -4, 4, ""});
  };
  for (DType d : ListOf(set)) {
    add(d, {5, 3}, {0}, false);
    if (d == DType::kFloat16) add(d, {3, 40}, {1}, false);
    if (d != DType::kFloat32) continue;
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
    add(d, {40, 36}, {0}, false);
    if (empty) add(d, {0, 3}, {0}, false);
  }
  return samples;
}

op::OpDefBuilder& Reduction(op::OpDefBuilder& op, const char* doc) {
  return op.Doc(doc)
      .In("input")
      .Out("output")
      .Attr("dim", op::AttrType::kInts, Ints{})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Strided()
      .Unclaimed("P->P", "of a tensor without axes, where a reduction is the identity")
      .Unclaimed("P(max)->P(max)", "of amax, which rules have no form for, or without axes")
      .Unclaimed("P(max)->B", "of few truth values, whose minimum is hardly ever true")
      .Unclaimed("P(min)->B", "of few truth values, whose maximum is hardly ever false")
      .Unclaimed("P(min)->P(min)", "of amin, which rules have no form for, or without axes")
      .Flops([](std::span<const TensorMeta> in, std::span<const TensorMeta>, const Attrs&) {
        return in[0].shape.numel();
      });
}

std::vector<op::ErrorSample> DimErrors(DType refused, const char* text) {
  constexpr DType kF = DType::kFloat32;
  return {{{{kF, {2, 3}}},
           {{"dim", Ints{5}}},
           Code::kOutOfRange,
           "expected to be in range of [-2, 1], but got 5"},
          {{{kF, {2, 3}}},
           {{"dim", Ints{1, -1}}},
           Code::kInvalidArgument,
           "axis 1 stands twice in dim: got input: float32[2,3], dim=[1, -1]"},
          {{{refused, {2}}}, {}, Code::kTypeMismatch, text}};
}

}  // namespace ofl::ops
