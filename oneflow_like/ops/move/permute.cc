// permute and transpose: the axes of a tensor in another order.
#include <array>

#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {
namespace {

using Order = std::array<int, kMaxRank>;

// Output axis i is input axis order[i].
Result<Order> OrderOf(const Attrs& attrs, int rank) {
  Order order{};
  if (const AttrValue* swap = attrs.Find("dim0")) {
    OFL_ASSIGN(const int a, NormalizeAxis(std::get<int64_t>(*swap), rank));
    OFL_ASSIGN(const int b, NormalizeAxis(attrs.Get<int64_t>("dim1"), rank));
    for (int i = 0; i < rank; ++i) order[i] = i;
    if (rank > 0) std::swap(order[a], order[b]);
    return order;
  }
  const auto& dims = attrs.Get<std::vector<int64_t>>("dims");
  OFL_ENSURE(static_cast<int>(dims.size()) == rank, Code::kInvalidArgument)
      << "dims must name every axis once; expected " << rank << " axes";
  std::array<bool, kMaxRank> seen{};
  for (int i = 0; i < rank; ++i) {
    OFL_ASSIGN(order[i], NormalizeAxis(dims[i], rank));
    OFL_ENSURE(!seen[order[i]], Code::kInvalidArgument)
        << "dims must name every axis once; axis " << order[i] << " is repeated";
    seen[order[i]] = true;
  }
  return order;
}

Status InferPermute(op::InferContext& c) {
  const Shape& from = c.input(0).shape;
  OFL_ASSIGN(const Order order, OrderOf(c.attrs(), from.rank()));
  Shape to;
  for (int i = 0; i < from.rank(); ++i) to.push_back(from[order[i]]);
  c.AddOutput({c.input(0).dtype, to});
  return Status::Ok();
}

std::string PermuteRule(std::span<const Shape> in, std::span<const Shape>, const Attrs& attrs) {
  const int rank = in[0].rank();
  const Order order = OrderOf(attrs, rank).value();  // the call has passed Infer
  std::string to;
  for (int i = 0; i < rank; ++i) to += (i > 0 ? " a" : "a") + std::to_string(order[i]);
  return "(" + Labels("a", rank) + ")->(" + to + "); linear 0; monotone 0";
}

Result<op::ViewGeometry> ViewPermute(const Shape& base, const Strides& strides,
                                     const Attrs& attrs) {
  OFL_ASSIGN(const Order order, OrderOf(attrs, base.rank()));
  op::ViewGeometry view;
  for (int i = 0; i < base.rank(); ++i) {
    view.shape.push_back(base[order[i]]);
    view.strides.push_back(strides[order[i]]);
  }
  return view;
}

Status RunPermute(op::KernelContext& c) {
  const op::TensorView& in = c.inputs[0];
  OFL_ASSIGN(const op::ViewGeometry view, ViewPermute(in.meta.shape, in.strides, *c.attrs));
  CopyBox(c.stream, ViewOf(in, view), c.outputs[0]);
  return Status::Ok();
}

std::vector<int64_t> Inverse(const Order& order, int rank) {
  std::vector<int64_t> inverse(rank);
  for (int i = 0; i < rank; ++i) inverse[order[i]] = i;
  return inverse;
}

void GradPermute(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int rank = c.inputs[0]->meta().shape.rank();
  const Order order = OrderOf(c.attrs, rank).value();  // the call has passed Infer
  c.Set(0, c.b.Call("permute", {c.grads[0]}, {{"dims", Inverse(order, rank)}}));
}

op::Values PermuteScatter(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape& base = in[0]->meta().shape;
  const auto view = ViewPermute(base, ContiguousStrides(base), attrs);
  if (!view.ok()) return {b.Call("permute", {in[0]}, attrs)};  // says what is wrong
  const Order order = OrderOf(attrs, base.rank()).value();
  return {b.Call("permute", {Assigned(b, in[0], in[1], view->shape)},
                 {{"dims", Inverse(order, base.rank())}})};
}

op::Values TransposeScatter(op::Builder& b, std::span<const op::Value> in, const Attrs& attrs) {
  const Shape& base = in[0]->meta().shape;
  const auto view = ViewPermute(base, ContiguousStrides(base), attrs);
  if (!view.ok()) return {b.Call("transpose", {in[0]}, attrs)};  // says what is wrong
  return {b.Call("transpose", {Assigned(b, in[0], in[1], view->shape)}, attrs)};
}

void GradTranspose(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("transpose", {c.grads[0]}, c.attrs));
}

int64_t NoFlops(std::span<const TensorMeta>, std::span<const TensorMeta>, const Attrs&) {
  return 0;
}

op::Sample PermuteSample(Shape from, std::vector<int64_t> dims, DType dtype = DType::kFloat32) {
  return {{{dtype, from}}, {{"dims", std::move(dims)}}};
}

op::Sample TransposeSample(Shape from, int64_t dim0, int64_t dim1) {
  return {{{DType::kFloat32, from}}, {{"dim0", dim0}, {"dim1", dim1}}};
}

}  // namespace

OFL_OP(permute) {
  op.Doc("The axes of `input` in the order `dims`.")
      .In("input")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Infer(InferPermute)
      .Sbp(PermuteRule)
      .Grad(GradPermute)
      .Flops(NoFlops)
      .Strided()
      .View(ViewPermute, "permute_scatter")
      .Oracle("input.transpose(dims)")
      .PyBoth("permute(input, *dims)")
      .Samples([]() -> std::vector<op::Sample> {
        return {PermuteSample({2, 3, 4, 5}, {0, 2, 1, 3}),
                PermuteSample({2, 3, 4}, {2, 0, 1}),
                PermuteSample({5, 3}, {1, 0}, DType::kInt64),
                PermuteSample({18, 20}, {-1, 0}),
                PermuteSample({2, 1, 3}, {1, 2, 0}, DType::kBool),
                PermuteSample({3, 2, 5, 2}, {3, 2, 1, 0}, DType::kBFloat16),
                PermuteSample({18, 3, 20}, {2, 1, 0}, DType::kComplex128),
                PermuteSample({3, 4}, {1, 0}, DType::kFloat8E4M3),
                PermuteSample({0, 3}, {1, 0}),
                PermuteSample({4}, {0}),
                PermuteSample({}, {})};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dims", std::vector<int64_t>{0, 0}}},
                      Code::kInvalidArgument,
                      "every axis once"},
                     {{{DType::kFloat32, {2, 3}}},
                      {{"dims", std::vector<int64_t>{0, 2}}},
                      Code::kOutOfRange,
                      "[-2, 1]"}});
  CpuForAllTypes(op, RunPermute);
}

OFL_OP(transpose) {
  op.Doc("`input` with two axes swapped.")
      .In("input")
      .Out("output")
      .Attr("dim0", op::AttrType::kInt)
      .Attr("dim1", op::AttrType::kInt)
      .Infer(InferPermute)
      .Sbp(PermuteRule)
      .Grad(GradTranspose)
      .Flops(NoFlops)
      .Strided()
      .View(ViewPermute, "transpose_scatter")
      .Oracle("np.swapaxes(input, dim0, dim1)")
      .PyBoth("transpose(input, dim0, dim1)")
      .PyBoth("swapaxes(input, axis0: dim0, axis1: dim1)")
      .PyBoth("swapdims(input, dim0, dim1)")
      .PyMethod("transpose_(input, dim0, dim1)")
      .PyMethod("swapaxes_(input, axis0: dim0, axis1: dim1)")
      .PyMethod("swapdims_(input, dim0, dim1)")
      .Samples([]() -> std::vector<op::Sample> {
        return {TransposeSample({2, 3, 4}, 1, 2), TransposeSample({2, 3, 2, 2}, 1, -2),
                TransposeSample({3, 5}, 0, 1), TransposeSample({3}, 0, 0)};
      })
      .ErrorSamples({{{{DType::kFloat32, {2, 3}}},
                      {{"dim0", int64_t{0}}, {"dim1", int64_t{2}}},
                      Code::kOutOfRange,
                      "[-2, 1]"}});
  CpuForAllTypes(op, RunPermute);
}

OFL_OP(permute_scatter) {
  op.Doc("The tensor like `base` whose permute by `dims` is `value`.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("dims", op::AttrType::kInts)
      .Compose(PermuteScatter)
      .Oracle("value.transpose(np.argsort(np.arange(value.ndim)[list(dims)]))")
      .Py("permute_scatter(base, value, dims)")
      .Samples([]() -> std::vector<op::Sample> {
        op::Sample s = PermuteSample({2, 3, 4}, {2, 0, 1});
        s.inputs.push_back({DType::kFloat32, {4, 2, 3}});
        return {s};
      });
}

OFL_OP(transpose_scatter) {
  op.Doc("The tensor like `base` of which `value` has two axes swapped.")
      .In("base")
      .In("value")
      .Out("output")
      .Attr("dim0", op::AttrType::kInt)
      .Attr("dim1", op::AttrType::kInt)
      .Compose(TransposeScatter)
      .Oracle("np.swapaxes(value, dim0, dim1)")
      .Py("transpose_scatter(base, value, dim0, dim1)")
      .Samples([]() -> std::vector<op::Sample> {
        op::Sample s = TransposeSample({2, 3, 4}, 1, 2);
        s.inputs.push_back({DType::kFloat32, {2, 4, 3}});
        return {s};
      });
}

}  // namespace ofl::ops
