// sort, argsort, msort, topk, kthvalue.
#include "oneflow_like/ops/sort/order.h"

namespace ofl::ops {
namespace {

using Span = std::span<const op::Value>;

// --- sort ---------------------------------------------------------------------------------------

Status InferSort(op::InferContext& c) {
  int axis = 0;
  OFL_TRY(CheckOrdered(c, kReals | kBools, &axis));
  c.AddOutput(c.input(0));
  c.AddOutput({DType::kInt64, c.input(0).shape});
  return Status::Ok();
}

std::string SortRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs) {
  return OrderRule(in[0], out[0], OrderAxis(attrs, in[0]), 2);
}

Status RunSort(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &values = c.outputs[0], &indices = c.outputs[1];
  const int axis = OrderAxis(*c.attrs, x.meta.shape);
  const bool descending = c.attr<bool>("descending");
  const RowStarts starts({&x, &values, &indices}, axis);
  ForOrderedRows(c, {&x, &values, &indices}, axis,
                 [&](const OrderedRow& row, auto* entries, auto* scratch) {
                   MakeEntries(x.meta.dtype, row.x, row.stride, row.n, descending, entries);
                   SortEntries(entries, scratch, row.n);
                   WriteChosen(row, entries, row.n, values, row.at[1], starts.stride(1));
                   WriteIndices(entries, row.n, indices, row.at[2], starts.stride(2));
                 });
  return Status::Ok();
}

op::Values ComposeArgsort(op::Builder& b, Span in, const Attrs& attrs) {
  return {b.CallAll("sort", {in[0]}, attrs)[1]};
}

op::Values ComposeMsort(op::Builder& b, Span in, const Attrs&) {
  return {b.CallAll("sort", {in[0]}, {{"dim", int64_t{0}}})[0]};
}

op::OpDefBuilder& SortAttrs(op::OpDefBuilder& op) {
  return op.Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Attr("descending", op::AttrType::kBool, false)
      .Attr("stable", op::AttrType::kBool, false);
}

std::vector<op::Sample> SortSamples(const std::vector<Attrs>& forms,
                                    DTypeSet set = kReals | kBools) {
  std::vector<op::Sample> samples;
  constexpr DType kF = DType::kFloat32;
  const auto add = [&](DType d, Shape shape, const Attrs& attrs) {
    samples.push_back({{{d, shape}}, attrs, -4, 4, ""});
  };
  for (DType d : ListOf(set)) add(d, {4, 5}, forms[0]);
  for (const Attrs& attrs : forms) {
    add(kF, {5, 3}, attrs);
    add(kF, {2, 4, 3}, attrs);
  }
  add(kF, {0, 3}, forms[0]);
  add(kF, {1, 3}, forms[0]);
  add(kF, {}, forms[0]);
  return samples;
}

std::vector<Attrs> SortForms() {
  return {{}, {{"dim", int64_t{0}}, {"descending", true}}, {{"dim", int64_t{-2}}}};
}

op::ErrorSample AxisError(Attrs attrs = {}) {
  attrs.Set("dim", int64_t{2});
  return {{{DType::kFloat32, {2, 3}}}, std::move(attrs), Code::kOutOfRange, "but got 2"};
}
op::ErrorSample OrderError(Attrs attrs = {}) {
  return {{{DType::kComplex64, {2, 3}}}, std::move(attrs), Code::kTypeMismatch, "has no order"};
}

// --- topk ---------------------------------------------------------------------------------------

Status InferTopK(op::InferContext& c) {
  int axis = 0;
  OFL_TRY(CheckOrdered(c, kReals, &axis));
  Shape out = c.input(0).shape;
  const int64_t k = c.attr<int64_t>("k"), size = axis < 0 ? 1 : out[axis];
  OFL_ENSURE(k >= 0 && k <= size, Code::kInvalidArgument)
      << "selected index k out of range: got k=" << k << " of " << size
      << " elements; expected 0 <= k <= " << size;
  if (axis >= 0) out[axis] = k;
  c.AddOutput({c.input(0).dtype, out});
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

Status RunTopK(op::KernelContext& c) {
  const op::TensorView &x = c.inputs[0], &values = c.outputs[0], &indices = c.outputs[1];
  const int axis = OrderAxis(*c.attrs, x.meta.shape);
  // Without axes there is one result whatever k, as in torch.
  const int64_t k = axis < 0 ? 1 : c.attr<int64_t>("k");
  if (values.numel() == 0) return Status::Ok();
  const bool largest = c.attr<bool>("largest");
  const int64_t to = axis < 0 ? 0 : values.strides[axis], at = axis < 0 ? 0 : indices.strides[axis];
  ForOrderedRows(c, {&x, &values, &indices}, axis,
                 [&](const OrderedRow& row, auto* entries, auto*) {
                   MakeEntries(x.meta.dtype, row.x, row.stride, row.n, largest, entries);
                   SortFirst(entries, row.n, k);
                   WriteChosen(row, entries, k, values, row.at[1], to);
                   WriteIndices(entries, k, indices, row.at[2], at);
                 });
  return Status::Ok();
}

// --- kthvalue -----------------------------------------------------------------------------------

Status InferKth(op::InferContext& c) {
  int axis = 0;
  OFL_TRY(CheckOrdered(c, kReals, &axis));
  Shape out = c.input(0).shape;
  const int64_t k = c.attr<int64_t>("k"), size = axis < 0 ? 1 : out[axis];
  OFL_ENSURE(k >= 1 && k <= size, Code::kInvalidArgument)
      << "selected number k out of range for dimension " << c.attr<int64_t>("dim")
      << ": got k=" << k << " of " << size << " elements; expected 1 <= k <= " << size;
  if (axis >= 0 && c.attr<bool>("keepdim")) out[axis] = 1;
  if (axis >= 0 && !c.attr<bool>("keepdim")) out.erase(axis);
  c.AddOutput({c.input(0).dtype, out});
  c.AddOutput({DType::kInt64, out});
  return Status::Ok();
}

Status RunKth(op::KernelContext& c) {
  const op::TensorView& x = c.inputs[0];
  const int axis = OrderAxis(*c.attrs, x.meta.shape), rank = x.meta.shape.rank();
  const op::TensorView values = WithAxis(c.outputs[0], axis, rank);
  const op::TensorView indices = WithAxis(c.outputs[1], axis, rank);
  const int64_t k = c.attr<int64_t>("k") - 1;
  ForOrderedRows(c, {&x, &values, &indices}, axis,
                 [&](const OrderedRow& row, auto* entries, auto*) {
                   MakeEntries(x.meta.dtype, row.x, row.stride, row.n, false, entries);
                   std::nth_element(entries, entries + k, entries + row.n);
                   WriteChosen(row, entries + k, 1, values, row.at[1], 1);
                   WriteIndices(entries + k, 1, indices, row.at[2], 1);
                 });
  return Status::Ok();
}

}  // namespace

OFL_OP(sort) {
  SortAttrs(op.Doc("The elements along `dim` in order, and where each one stood. Equal ones keep "
                   "their\norder; NaN is the largest.")
                .In("input")
                .Out("values")
                .Out("indices"))
      .Infer(InferSort)
      .Sbp(SortRule)
      .Grad(GradChosen)
      .Strided()
      .Unclaimed("P*->P*,*", "of a tensor without axes")
      .Oracle("sort(input, dim, descending)")
      .PyBoth("sort(input, dim=-1, descending=False)")
      .PyBoth("sort(input, *, stable, dim=-1, descending=False)")
      .Samples([] { return SortSamples(SortForms()); })
      .ErrorSamples({AxisError(), OrderError()});
  for (DType dtype : ListOf(kReals | kBools)) op.Cpu(dtype, RunSort, OrderScratchAlong);
}

OFL_OP(argsort) {
  SortAttrs(op.Doc("Where the elements along `dim` stand that come first, second and so on.")
                .In("input")
                .Out("output"))
      .Compose(ComposeArgsort)
      .Oracle("sort(input, dim, descending)[1]")
      .PyBoth("argsort(input, dim=-1, descending=False)")
      .PyBoth("argsort(input, *, stable, dim=-1, descending=False)")
      .Samples([] { return SortSamples(SortForms()); })
      .ErrorSamples({AxisError(), OrderError()});
}

OFL_OP(msort) {
  op.Doc("The elements along the first axis in order.")
      .In("input")
      .Out("output")
      .Compose(ComposeMsort)
      .Oracle("sort(input, 0, False)[0]")
      .PyBoth("msort(input)")
      .Samples([] { return SortSamples({{}}); })
      .ErrorSamples({OrderError()});
}

OFL_OP(topk) {
  op.Doc("The `k` largest (or smallest) elements along `dim`, in order, and where they stand.")
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("k", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Attr("largest", op::AttrType::kBool, true)
      .Attr("sorted", op::AttrType::kBool, true)
      .Infer(InferTopK)
      .Sbp(SortRule)
      .Grad(GradChosen)
      .Strided()
      .Unclaimed("P*->P*,*", "of a tensor without axes")
      .Oracle("topk(input, k, dim, largest)")
      .PyBoth("topk(input, k, dim=-1, largest=True, sorted=True)")
      .Samples([] {
        auto samples = SortSamples({{{"k", int64_t{1}}},
                                    {{"k", int64_t{2}}, {"dim", int64_t{0}}, {"largest", false}},
                                    {{"k", int64_t{3}}, {"sorted", false}}},
                                   kReals);
        samples.push_back({{{DType::kFloat32, {}}}, {{"k", int64_t{0}}}, -4, 4, ""});
        return samples;
      })
      .ErrorSamples({AxisError({{"k", int64_t{1}}}),
                     OrderError({{"k", int64_t{1}}}),
                     {{{DType::kFloat32, {2, 3}}},
                      {{"k", int64_t{4}}},
                      Code::kInvalidArgument,
                      "got k=4 of 3"}});
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunTopK, OrderScratchAlong);
}

OFL_OP(kthvalue) {
  op.Doc("The `k`-th smallest element along `dim`, counted from 1, and where it stands.")
      .In("input")
      .Out("values")
      .Out("indices")
      .Attr("k", op::AttrType::kInt)
      .Attr("dim", op::AttrType::kInt, int64_t{-1})
      .Attr("keepdim", op::AttrType::kBool, false)
      .Infer(InferKth)
      .Sbp(SortRule)
      .Grad(GradChosen)
      .Strided()
      .Unclaimed("P*->P*,*", "of a tensor without axes")
      .Oracle("kthvalue(input, k, dim, keepdim)")
      .PyBoth("kthvalue(input, k, dim=-1, keepdim=False)")
      .Samples([] {
        return SortSamples({{{"k", int64_t{1}}},
                            {{"k", int64_t{2}}, {"dim", int64_t{0}}, {"keepdim", true}},
                            {{"k", int64_t{3}}}},
                           kReals);
      })
      .ErrorSamples({AxisError({{"k", int64_t{1}}}),
                     OrderError({{"k", int64_t{1}}}),
                     {{{DType::kFloat32, {2, 3}}},
                      {{"k", int64_t{0}}},
                      Code::kInvalidArgument,
                      "got k=0 of 3"}});
  for (DType dtype : ListOf(kReals)) op.Cpu(dtype, RunKth, OrderScratchAlong);
}

}  // namespace ofl::ops
