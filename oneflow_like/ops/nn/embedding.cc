// embedding: rows of a table by index, and the scatter-add that is its gradient.
#include <algorithm>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/elementwise/numbers.h"
#include "oneflow_like/ops/nn/row_math.h"
#include "oneflow_like/ops/nn/rows.h"

namespace ofl::ops {
namespace {

Status InferEmbedding(op::InferContext& c) {
  const Shape& w = c.input(0).shape;
  OFL_TRY(RequireIn(c, 0, kNumbers));  // of which shards' results can be added
  OFL_TRY(RequireInt64(c, 1, "input (the indices)"));
  OFL_ENSURE(w.rank() == 2, Code::kInvalidArgument)
      << "weight must be a matrix (num_embeddings, embedding_dim)";
  Shape out = c.input(1).shape;
  OFL_ENSURE(out.rank() < kMaxRank, Code::kInvalidArgument)
      << "the result would have more than " << kMaxRank << " axes";
  out.push_back(w[1]);
  c.AddOutput({c.input(0).dtype, out});
  return Status::Ok();
}

Status InferEmbeddingGrad(op::InferContext& c) {
  OFL_TRY(RequireIn(c, 0, kFloats | kComplexes));
  OFL_TRY(RequireInt64(c, 1, "input (the indices)"));
  const Shape& g = c.input(0).shape;
  const Shape& index = c.input(1).shape;
  const int64_t rows = c.attr<int64_t>("num_embeddings");
  OFL_ENSURE(rows >= 0, Code::kInvalidArgument) << "num_embeddings must not be negative";
  bool fits = g.rank() == index.rank() + 1;
  for (int i = 0; fits && i < index.rank(); ++i) fits = g[i] == index[i];
  OFL_ENSURE(fits, Code::kInvalidArgument)
      << "grad must have the axes of input and one more; expected grad.shape[:-1] == input.shape";
  c.AddOutput({c.input(0).dtype, {rows, g[g.rank() - 1]}});
  return Status::Ok();
}

std::string EmbeddingRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string index = Labels("i", in[1].rank());
  return "(v d),(" + index + ")->(" + index +
         " d); reduce v by sum; offset v; linear 0; monotone 0";
}

std::string EmbeddingGradRule(std::span<const Shape> in, std::span<const Shape>, const Attrs&) {
  const std::string index = Labels("i", in[1].rank());
  std::string text = "(" + index + " d),(" + index + ")->(v d); offset v; linear 0";
  for (int i = 0; i < in[1].rank(); ++i) text += "; reduce i" + std::to_string(i) + " by sum";
  return text;
}

// Negative indices count as out of range, as in torch.
Status CheckIndices(const char* op, const int64_t* index, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; ++i)
    OFL_ENSURE(index[i] >= 0 && index[i] < rows, Code::kOutOfRange)
        << "[" << op << "] an index lies outside the table: got " << index[i] << " at position "
        << i << "; expected 0 <= index < " << rows;
  return Status::Ok();
}

// A row outside this shard of the table is zero here: another rank adds it.
Status RunEmbedding(op::KernelContext& c) {
  const int64_t* index = c.inputs[1].as<int64_t>();
  const int64_t count = c.inputs[1].numel();
  OFL_TRY(CheckIndices("embedding", index, count, c.logical_inputs[0].shape[0]));
  const Shape& w = c.inputs[0].meta.shape;
  const int64_t first = c.input_offsets[0][0], rows = w[0];
  const int64_t row_bytes = w[1] * static_cast<int64_t>(DTypeSize(c.inputs[0].meta.dtype));
  if (row_bytes == 0) return Status::Ok();
  const std::byte* table = c.inputs[0].as<std::byte>();
  std::byte* out = c.outputs[0].as<std::byte>();
  Parallel(c.stream, count, RowGrain(row_bytes / 8 + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = index[i] - first;
      if (row >= 0 && row < rows) {
        std::memcpy(out + i * row_bytes, table + row * row_bytes, row_bytes);
      } else {
        std::memset(out + i * row_bytes, 0, row_bytes);
      }
    }
  });
  return Status::Ok();
}

// Half types add up in float.
int64_t EmbeddingGradScratch(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                             const Attrs&, int) {
  constexpr int64_t kFloat = sizeof(float);
  return IsHalf(in[0].dtype) ? (out[0].shape.numel() + out[0].shape[1]) * kFloat : 0;
}

// Threads share the columns, not the indices: each element adds its rows in index order. `parts`:
// numbers of an element, two in a complex one.
template <class T>
void AddRows(op::KernelContext& c, T* out, T* scratch, int64_t parts) {
  constexpr int64_t kColumns = 16;  // one cache line of floats
  const op::TensorView& grad = c.inputs[0];
  const int64_t* index = c.inputs[1].as<int64_t>();
  const int64_t count = c.inputs[1].numel();
  const int64_t rows = c.outputs[0].meta.shape[0], depth = c.outputs[0].meta.shape[1] * parts;
  const int64_t first = c.output_offsets[0][0];
  const LoadFn load = scratch ? LoaderOf(grad.meta.dtype, DTypeOf<T>::value) : nullptr;
  const auto size = static_cast<int64_t>(DTypeSize(grad.meta.dtype)) / parts;
  const int64_t units = (depth + kColumns - 1) / kColumns;
  Parallel(c.stream, units, RowGrain((count + rows) * kColumns), [&](int64_t u0, int64_t u1) {
    const int64_t begin = u0 * kColumns, end = std::min(u1 * kColumns, depth);
    for (int64_t r = 0; r < rows; ++r)
      std::fill(out + r * depth + begin, out + r * depth + end, T(0));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = index[i] - first;
      if (row < 0 || row >= rows) continue;
      const std::byte* at = grad.as<std::byte>() + (i * depth + begin) * size;
      if (load != nullptr) load(at, size, scratch + begin, end - begin);
      const T* from = load != nullptr ? scratch + begin : reinterpret_cast<const T*>(at);
      RowAdd(from, out + row * depth + begin, end - begin);
    }
  });
}

template <class T>
Status RunEmbeddingGrad(op::KernelContext& c) {
  OFL_TRY(CheckIndices("embedding_grad", c.inputs[1].as<int64_t>(), c.inputs[1].numel(),
                       c.logical_outputs[0].shape[0]));
  const op::TensorView& out = c.outputs[0];
  if (out.numel() == 0) return Status::Ok();
  if constexpr (math::kIsComplex<T>) {
    AddRows<typename T::value_type>(c, out.as<typename T::value_type>(), nullptr, 2);
  } else if (out.meta.dtype == DTypeOf<T>::value) {
    AddRows<T>(c, out.as<T>(), nullptr, 1);
  } else {
    T* sums = reinterpret_cast<T*>(c.workspace.data());
    AddRows<T>(c, sums, sums + out.numel(), 1);
    StorerOf(DTypeOf<T>::value, out.meta.dtype)(
        sums, out.data, static_cast<int64_t>(DTypeSize(out.meta.dtype)), out.numel());
  }
  return Status::Ok();
}

// One number beside each index, to broadcast over a row.
op::Value Column(op::Builder& b, const op::Value& x) {
  return b.Call("unsqueeze", {x}, {{"dim", int64_t{-1}}});
}

// By how often each row is asked for.
op::Value ByFrequency(op::Builder& b, const op::Value& grad, const op::Value& index, int64_t rows) {
  const DType dtype = grad->meta().dtype, wide = StatisticOf(dtype);
  const op::Value ones = Column(b, CastTo(b, OnesLike(b, index), RealOf(wide)));
  const op::Value counts = b.Call("embedding_grad", {ones, index}, {{"num_embeddings", rows}});
  const op::Value each = b.Call("embedding", {counts, index});
  return CastTo(b, Div(b, CastTo(b, grad, wide), each), dtype);
}

void GradEmbedding(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  const int64_t rows = c.inputs[0]->meta().shape[0];
  op::Value grad = c.grads[0];
  if (const int64_t* padding = c.attrs.Maybe<int64_t>("padding_idx")) {
    const op::Value row = c.b.Call("full_like", {c.inputs[1]}, {{"value", Scalar(*padding)}});
    const op::Value counts = Column(c.b, c.b.Call("ne", {c.inputs[1], row}));
    grad = ZeroUnless(c.b, counts, grad);
  }
  if (c.attrs.Get<bool>("scale_grad_by_freq")) grad = ByFrequency(c.b, grad, c.inputs[1], rows);
  c.Set(0, c.b.Call("embedding_grad", {grad, c.inputs[1]}, {{"num_embeddings", rows}}));
}

void GradEmbeddingGrad(op::GradContext& c) {
  if (!c.grads[0] || !c.Needs(0)) return;
  c.Set(0, c.b.Call("embedding", {c.grads[0], c.inputs[1]}));
}

Attrs LocalEmbeddingGrad(const Attrs& attrs, std::span<const Shape>,
                         std::span<const Shape> outputs) {
  Attrs local = attrs;
  local.Set("num_embeddings", outputs[0][0]);
  return local;
}

op::Sample EmbeddingSample(Shape weight, Shape index, DType dtype = DType::kFloat32) {
  return {{{dtype, weight}, {DType::kInt64, index}}, {}, 0, static_cast<double>(weight[0])};
}

op::Sample EmbeddingGradSample(Shape grad, Shape index, int64_t rows,
                               DType dtype = DType::kFloat32) {
  return {{{dtype, grad}, {DType::kInt64, index}},
          {{"num_embeddings", rows}},
          0,
          static_cast<double>(rows)};
}

}  // namespace

OFL_OP(embedding) {
  op.Doc(
        "Rows of `weight` (num_embeddings, embedding_dim) by the int64 indices `input`. The\n"
        "table may be split by rows: each rank gives its own rows and zeros, P(sum).")
      .In("weight")
      .In("input")
      .Out("output")
      .OptionalAttr("padding_idx", op::AttrType::kInt)  // of the gradient, from the front
      .Attr("scale_grad_by_freq", op::AttrType::kBool, false)
      .Infer(InferEmbedding)
      .Sbp(EmbeddingRule)
      .Grad(GradEmbedding)
      .Oracle("weight[input]")
      .Py("native_embedding(weight, input, *, padding_idx=None, scale_grad_by_freq=False)")
      .Samples([] {
        std::vector<op::Sample> samples{EmbeddingSample({4, 2}, {2, 3}),
                                        EmbeddingSample({5, 1}, {0, 3}),
                                        EmbeddingSample({3, 4}, {})};
        for (DType dtype : ListOf(kNumbers)) samples.push_back(EmbeddingSample({7, 3}, {5}, dtype));
        return samples;
      })
      .ErrorSamples(
          {{{{DType::kFloat32, {7, 3}}, {DType::kFloat32, {5}}}, {}, Code::kTypeMismatch, "int64"},
           {{{DType::kFloat32, {7}}, {DType::kInt64, {5}}},
            {},
            Code::kInvalidArgument,
            "weight must be a matrix"}});
  for (DType dtype : ListOf(kNumbers)) op.Cpu(dtype, RunEmbedding);
}

OFL_OP(embedding_grad) {
  op.Doc(
        "Adds each row of `grad` to the row of a (num_embeddings, embedding_dim) table that\n"
        "`input` names.")
      .In("grad")
      .In("input")
      .Out("weight_grad")
      .Attr("num_embeddings", op::AttrType::kInt)
      .Infer(InferEmbeddingGrad)
      .Sbp(EmbeddingGradRule)
      .Grad(GradEmbeddingGrad)
      .LocalAttrs(LocalEmbeddingGrad)
      .Oracle("embedding_grad(grad, input, num_embeddings)")
      .Py("embedding_grad(grad, input, *, num_embeddings)")
      .Samples([] {
        std::vector<op::Sample> samples{EmbeddingGradSample({2, 3, 2}, {2, 3}, 3),
                                        EmbeddingGradSample({0, 2}, {0}, 3)};
        for (DType dtype : ListOf(kFloats | kComplexes))
          samples.push_back(EmbeddingGradSample({5, 3}, {5}, 4, dtype));
        return samples;
      })
      .ErrorSamples({{{{DType::kFloat32, {5, 3}}, {DType::kInt64, {4}}},
                      {{"num_embeddings", int64_t{3}}},
                      Code::kInvalidArgument,
                      "grad.shape[:-1] == input.shape"}});
  ForEachDType<kFloats | kComplexes>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunEmbeddingGrad<T>, EmbeddingGradScratch); });
}

}  // namespace ofl::ops
