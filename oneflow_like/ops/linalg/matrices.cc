#include "oneflow_like/ops/linalg/matrices.h"

#include <algorithm>

namespace ofl::ops {

std::string BatchText(const Matrices& m, int64_t i) {
  if (m.shape(0).rank() <= 2) return "";
  return "(batch element " + std::to_string(i) + ") ";
}

int64_t CountOfMatrices(const Shape& shape) { return ProductOf(shape, 0, shape.rank() - 2); }

int64_t ArenasFor(int64_t count, int64_t bytes, int threads) {
  return std::min<int64_t>(count, std::max(threads, 1)) * bytes;
}

int64_t BytesOfOne(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                   const Attrs& attrs, OneFn one) {
  const auto views = [](std::span<const TensorMeta> metas) {
    std::vector<op::TensorView> list;
    for (const TensorMeta& meta : metas) list.emplace_back(nullptr, meta);
    return list;
  };
  const auto inputs = views(in), outputs = views(out);
  Matrices m{inputs, outputs, attrs};
  Arena arena;
  const Status counted = one(m, 0, arena);
  OFL_CHECK(counted.ok()) << counted.ToString();  // nothing was computed
  return arena.used();
}

Status RunEach(op::KernelContext& c, int64_t count, OneFn one) {
  // Of matrices without elements there may be any number.
  if (count == 0 || std::ranges::all_of(c.outputs, [](const auto& y) { return y.numel() == 0; }))
    return Status::Ok();
  Matrices m{c.inputs, c.outputs, *c.attrs};
  Arena counting;
  OFL_TRY(one(m, 0, counting));
  const int64_t bytes = counting.used();
  const int64_t chunks = std::min<int64_t>(count, std::max(c.stream->threads(), 1));
  std::vector<Status> failed(static_cast<size_t>(chunks), Status::Ok());
  Parallel(c.stream, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      for (int64_t i = count * chunk / chunks; i < count * (chunk + 1) / chunks; ++i) {
        Arena arena(c.workspace.data() + chunk * bytes);
        failed[static_cast<size_t>(chunk)] = one(m, i, arena);
        if (!failed[static_cast<size_t>(chunk)].ok()) break;
      }
    }
  });
  for (Status& status : failed) OFL_TRY(std::move(status));
  return Status::Ok();
}

// --- inference ----------------------------------------------------------------------------------

namespace {

Status CheckMeta(const TensorMeta& x, bool square) {
  OFL_ENSURE(Contains(kLapack, x.dtype), Code::kTypeMismatch)
      << "no matrices of " << DTypeName(x.dtype) << ": got " << x.ToString()
      << "; expected float32, float64, complex64 or complex128; convert with .to(dtype)";
  OFL_ENSURE(x.shape.rank() >= 2, Code::kInvalidArgument)
      << "no matrix: got " << x.ToString() << "; expected at least two axes";
  OFL_ENSURE(!square || RowsOf(x.shape) == ColumnsOf(x.shape), Code::kInvalidArgument)
      << "the matrices are not square: got " << x.ToString() << "; expected equal last sizes";
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  OFL_ENSURE(RowsOf(x.shape) <= kMax && ColumnsOf(x.shape) <= kMax, Code::kResourceExhausted)
      << "a side of the matrices is too long: got " << x.ToString() << "; expected at most "
      << kMax;
  return Status::Ok();
}

}  // namespace

Status RequireMatrices(const op::InferContext& c, int i, bool square) {
  return CheckMeta(c.input(i), square);
}
Status CheckMatrices(const op::Value& x, bool square) { return CheckMeta(x->meta(), square); }

Shape BatchOf(const Shape& shape) { return Shape(shape.dims().first(shape.rank() - 2)); }

Shape BatchWith(const Shape& shape, Shape axes) {
  Shape result = BatchOf(shape);
  for (int64_t n : axes) result.push_back(n);
  return result;
}

// --- compositions -------------------------------------------------------------------------------

op::Value Transposed(op::Builder& b, const op::Value& x) {
  return b.Call("transpose", {x}, {{"dim0", int64_t{-2}}, {"dim1", int64_t{-1}}});
}
op::Value Adjoint(op::Builder& b, const op::Value& x) {
  if (x == nullptr) return x;
  return Conj(b, Transposed(b, x));
}
op::Value MatMul(op::Builder& b, const op::Value& x, const op::Value& y, bool tx, bool ty) {
  return b.Call("matmul", {x, y}, {{"transpose_a", tx}, {"transpose_b", ty}});
}
op::Value Negative(op::Builder& b, const op::Value& x) { return Of(b, "neg", x); }
op::Value Tril(op::Builder& b, const op::Value& x, int64_t diagonal) {
  return b.Call("tril", {x}, {{"diagonal", diagonal}});
}
op::Value Triu(op::Builder& b, const op::Value& x, int64_t diagonal) {
  return b.Call("triu", {x}, {{"diagonal", diagonal}});
}
op::Value DiagonalOf(op::Builder& b, const op::Value& x) {
  return b.Call("diagonal", {x}, {{"dim1", int64_t{-2}}, {"dim2", int64_t{-1}}});
}
op::Value DiagonalMatrix(op::Builder& b, const op::Value& x) { return Of(b, "diag_embed", x); }
op::Value IdentityLike(op::Builder& b, const op::Value& x) {
  return DiagonalMatrix(b, OnesLike(b, DiagonalOf(b, x)));
}
op::Value Unsqueezed(op::Builder& b, const op::Value& x, int64_t dim) {
  return b.Call("unsqueeze", {x}, {{"dim", dim}});
}

namespace {

op::Value PartAlong(op::Builder& b, const op::Value& x, int64_t dim, int64_t begin, int64_t end) {
  if (x == nullptr) return x;
  const Shape& shape = x->meta().shape;
  if (begin == 0 && end == shape[shape.rank() + static_cast<int>(dim)]) return x;
  return b.Call("narrow", {x}, {{"dim", dim}, {"start", begin}, {"length", end - begin}});
}

}  // namespace

op::Value LastPart(op::Builder& b, const op::Value& x, int64_t begin, int64_t end) {
  return PartAlong(b, x, -1, begin, end);
}
op::Value RowPart(op::Builder& b, const op::Value& x, int64_t begin, int64_t end) {
  return PartAlong(b, x, -2, begin, end);
}

op::Value Batched(op::Builder& b, const op::Value& x, const Shape& batch) {
  if (x == nullptr || BatchOf(x->meta().shape) == batch) return x;
  Shape shape = batch;
  shape.push_back(RowsOf(x->meta().shape));
  shape.push_back(ColumnsOf(x->meta().shape));
  return b.Call("broadcast_to", {x}, {{"shape", DimsOf(shape)}});
}

op::Value SolveTriangular(op::Builder& b, const op::Value& a, const op::Value& rhs, bool upper,
                          bool left, bool unit) {
  return b.Call("triangular_system", {a, rhs},
                {{"upper", upper}, {"left", left}, {"unitriangular", unit}});
}

op::Value Gaps(op::Builder& b, const op::Value& x) {
  const op::Value gaps = Sub(b, Unsqueezed(b, x, -2), Unsqueezed(b, x, -1));
  return Add(b, gaps, IdentityLike(b, gaps));
}

op::Value LikeMatrix(op::Builder& b, const op::Value& x, const op::Value& matrix) {
  return x == nullptr ? x : CastTo(b, x, matrix->meta().dtype);
}

op::Value Plus(op::Builder& b, const op::Value& x, const op::Value& y) {
  return x == nullptr ? y : y == nullptr ? x : Add(b, x, y);
}

// --- samples ------------------------------------------------------------------------------------

std::vector<op::Sample> MatrixSamples(const std::vector<std::vector<Shape>>& shapes,
                                      const Attrs& attrs, const char* note, double low,
                                      double high) {
  std::vector<op::Sample> samples;
  const auto add = [&](DType d, const std::vector<Shape>& operands) {
    op::Sample s{{}, attrs, low, high, note};
    for (const Shape& shape : operands) s.inputs.push_back({d, shape});
    samples.push_back(std::move(s));
  };
  for (const auto& operands : shapes) add(DType::kFloat32, operands);
  for (DType d : ListOf(kLapack))
    if (d != DType::kFloat32) add(d, shapes[0]);
  return samples;
}

std::vector<op::Sample> SquareSamples(const char* note, const Attrs& attrs) {
  return MatrixSamples({{{2, 3, 3}}, {{3, 3}}, {{3, 2, 2, 2}}, {{1, 1}}, {{0, 0}}, {{0, 2, 2}}},
                       attrs, note);
}

std::vector<op::ErrorSample> MatrixErrors(bool square, const Attrs& attrs, int operands) {
  const auto all = [&](DType d, const Shape& shape) {
    return std::vector<TensorMeta>(static_cast<size_t>(operands), {d, shape});
  };
  std::vector<op::ErrorSample> errors = {
      {all(DType::kInt64, {2, 2}), attrs, Code::kTypeMismatch, "no matrices of int64"},
      {all(DType::kFloat32, {2}), attrs, Code::kInvalidArgument, "at least two axes"}};
  if (square)
    errors.push_back({all(DType::kFloat32, {2, 3}), attrs, Code::kInvalidArgument, "not square"});
  return errors;
}

}  // namespace ofl::ops
