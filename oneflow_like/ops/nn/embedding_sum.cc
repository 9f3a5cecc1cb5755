// embedding_sum: sums of rows of a table, a bag of indices each, and the scatter-add that is its
// gradient. No row is copied.
#include <algorithm>

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {
namespace {

constexpr DTypeSet kWide = SetOf(DType::kFloat32, DType::kFloat64);
constexpr int64_t kColumns = 256;  // of a row that are added up at once

Status CheckTable(const op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kWide));
  OFL_TRY(RequireInt64(c, 1, "input (the indices)"));
  OFL_ENSURE(c.input(0).shape.rank() == 2 && c.input(1).shape.rank() == 2, Code::kInvalidArgument)
      << "rows and bags are matrices; expected two axes of each operand";
  return Status::Ok();
}

Status InferSum(op::InferContext& c) {
  OFL_TRY(CheckTable(c));
  c.AddOutput({c.input(0).dtype, {c.input(1).shape[0], c.input(0).shape[1]}});
  return Status::Ok();
}

Status InferSumGrad(op::InferContext& c) {
  OFL_TRY(CheckTable(c));
  const int64_t rows = c.attr<int64_t>("num_embeddings");
  OFL_ENSURE(rows >= 0 && c.input(0).shape[0] == c.input(1).shape[0], Code::kInvalidArgument)
      << "grad must have a row for each bag, and the table at least 0; expected "
      << c.input(1).shape[0] << " rows";
  c.AddOutput({c.input(0).dtype, {rows, c.input(0).shape[1]}});
  return Status::Ok();
}

std::string SumRule(std::span<const Shape>, std::span<const Shape>, const Attrs&) {
  return "(v d),(b l)->(b d); reduce v by sum; reduce l by sum; offset v; linear 0";
}
std::string SumGradRule(std::span<const Shape>, std::span<const Shape>, const Attrs&) {
  return "(b d),(b l)->(v d); reduce b by sum; reduce l by sum; offset v; linear 0";
}

// Negative indices count as out of range, as in torch.
Status CheckIndices(const op::TensorView& index, int64_t rows) {
  for (int64_t i = 0; i < index.numel(); ++i)
    OFL_ENSURE(index.as<int64_t>()[i] >= 0 && index.as<int64_t>()[i] < rows, Code::kOutOfRange)
        << "[embedding_bag] an index lies outside the table: got " << index.as<int64_t>()[i]
        << " at position " << i << "; expected 0 <= index < " << rows;
  return Status::Ok();
}

// Rows of the logical table from `first` on, which this shard holds.
struct Table {
  int64_t first, rows, depth;
};

// `n` columns of one bag. As sums are everywhere, in double.
template <class T>
OFL_SIMD void SumOfBag(const T* columns, const Table& table, const int64_t* bag, int64_t length,
                       T scale, T* y, int64_t n) {
  double sums[kColumns];
  std::fill_n(sums, n, 0.0);
  for (int64_t k = 0; k < length; ++k) {
    const int64_t row = bag[k] - table.first;
    if (row < 0 || row >= table.rows) continue;
    const T* x = columns + row * table.depth;
    for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(x[i]);
  }
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(sums[i]) * scale;
}

template <class T>
Status RunSum(op::KernelContext& c) {
  const op::TensorView &weight = c.inputs[0], &index = c.inputs[1];
  OFL_TRY(CheckIndices(index, c.logical_inputs[0].shape[0]));
  const Table table{c.input_offsets[0][0], weight.meta.shape[0], weight.meta.shape[1]};
  const int64_t bags = index.meta.shape[0], length = index.meta.shape[1];
  const T scale = static_cast<T>(c.attr<double>("scale"));
  if (table.depth == 0) return Status::Ok();
  Parallel(c.stream, bags, RowGrain((length + 1) * table.depth), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t at = 0; at < table.depth; at += kColumns) {
        SumOfBag(weight.as<T>() + at, table, index.as<int64_t>() + b * length, length, scale,
                 c.outputs[0].as<T>() + b * table.depth + at, std::min(kColumns, table.depth - at));
      }
    }
  });
  return Status::Ok();
}

template <class T>
OFL_SIMD void AddScaled(const T* x, T scale, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i] * scale;
}

// Threads share the columns, not the bags: each element adds its rows in the order of the indices.
template <class T>
Status RunSumGrad(op::KernelContext& c) {
  const op::TensorView &grad = c.inputs[0], &index = c.inputs[1], &out = c.outputs[0];
  OFL_TRY(CheckIndices(index, c.logical_outputs[0].shape[0]));
  const Table table{c.output_offsets[0][0], out.meta.shape[0], out.meta.shape[1]};
  const int64_t bags = index.meta.shape[0], length = index.meta.shape[1];
  const T scale = static_cast<T>(c.attr<double>("scale"));
  if (out.numel() == 0) return Status::Ok();
  const int64_t units = (table.depth + kColumns - 1) / kColumns;
  const int64_t cost = (bags * length + table.rows) * kColumns;
  Parallel(c.stream, units, RowGrain(cost), [&](int64_t begin, int64_t end) {
    for (int64_t at = begin * kColumns; at < std::min(end * kColumns, table.depth);
         at += kColumns) {
      const int64_t n = std::min(kColumns, table.depth - at);
      T* columns = out.as<T>() + at;
      for (int64_t r = 0; r < table.rows; ++r) std::fill_n(columns + r * table.depth, n, T(0));
      for (int64_t i = 0; i < bags * length; ++i) {
        const int64_t row = index.as<int64_t>()[i] - table.first;
        if (row < 0 || row >= table.rows) continue;
        AddScaled(grad.as<T>() + i / length * table.depth + at, scale, columns + row * table.depth,
                  n);
      }
    }
  });
  return Status::Ok();
}

void GradSum(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  Attrs attrs = c.attrs;
  attrs.Set("num_embeddings", c.inputs[0]->meta().shape[0]);
  c.Set(0, c.b.Call("embedding_sum_grad", {c.grads[0], c.inputs[1]}, attrs));
}
void GradSumGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("embedding_sum", {c.grads[0], c.inputs[1]},
                    {{"scale", c.attrs.Get<double>("scale")}}));
}

Attrs LocalRows(const Attrs& attrs, std::span<const Shape>, std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("num_embeddings", outputs[0][0]);
  return local;
}

op::Sample Of(DType dtype, Shape first, Shape index, int64_t rows, Attrs attrs) {
  op::Sample s{{{dtype, first}, {DType::kInt64, index}}, std::move(attrs), 0, 1, ""};
  s.ranges = {{-2, 2}, {0, static_cast<double>(rows)}};
  s.high = static_cast<double>(rows);
  return s;
}

const op::ErrorSample kNoMatrix = {{{DType::kFloat32, {7, 3}}, {DType::kInt64, {5}}},
                                   {},
                                   Code::kInvalidArgument,
                                   "two axes of each operand"};

}  // namespace

OFL_OP(embedding_sum) {
  op.Doc(
        "Of each row of indices `input` the sum of the rows of `weight` that they name, times\n"
        "`scale`.")
      .In("weight")
      .In("input")
      .Out("output")
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Infer(InferSum)
      .Sbp(SumRule)
      .Grad(GradSum)
      .Oracle("weight[input].sum(1) * scale")
      .Py("embedding_sum(weight, input, *, scale=1.0)")
      .Cpu(DType::kFloat32, RunSum<float>)
      .Cpu(DType::kFloat64, RunSum<double>)
      .Samples([]() -> std::vector<op::Sample> {
        constexpr DType kF = DType::kFloat32;
        return {Of(kF, {7, 3}, {4, 2}, 7, {}), Of(kF, {4, 300}, {2, 3}, 4, {{"scale", 0.5}}),
                Of(kF, {3, 2}, {0, 2}, 3, {}), Of(kF, {3, 2}, {2, 0}, 3, {}),
                Of(DType::kFloat64, {4, 2}, {2, 2}, 4, {{"scale", 0.25}})};
      })
      .ErrorSamples({kNoMatrix});
}

OFL_OP(embedding_sum_grad) {
  op.Doc("Adds each row of `grad`, times `scale`, to the rows of a table that its indices name.")
      .In("grad")
      .In("input")
      .Out("weight_grad")
      .Attr("num_embeddings", op::AttrType::kInt)
      .Attr("scale", op::AttrType::kFloat, 1.0)
      .Infer(InferSumGrad)
      .Sbp(SumGradRule)
      .Grad(GradSumGrad)
      .LocalAttrs(LocalRows)
      .Oracle(
          "embedding_grad(np.repeat((grad * scale)[:, None], input.shape[1], 1), input, "
          "num_embeddings)")
      .Py("embedding_sum_grad(grad, input, *, num_embeddings, scale=1.0)")
      .Cpu(DType::kFloat32, RunSumGrad<float>)
      .Cpu(DType::kFloat64, RunSumGrad<double>)
      .Samples([]() -> std::vector<op::Sample> {
        constexpr DType kF = DType::kFloat32;
        const Attrs four = {{"num_embeddings", int64_t{4}}, {"scale", 0.5}};
        return {Of(kF, {4, 3}, {4, 2}, 4, four), Of(kF, {2, 300}, {2, 3}, 4, four),
                Of(kF, {0, 2}, {0, 2}, 4, four), Of(DType::kFloat64, {2, 2}, {2, 2}, 4, four)};
      })
      .ErrorSamples({{{{DType::kFloat32, {4, 3}}, {DType::kInt64, {5, 2}}},
                      {{"num_embeddings", int64_t{3}}},
                      Code::kInvalidArgument,
                      "a row for each bag"}});
}

}  // namespace ofl::ops
