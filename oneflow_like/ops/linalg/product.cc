#include "oneflow_like/ops/linalg/product.h"

#include <algorithm>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/linalg/gemm.h"
#include "oneflow_like/ops/nn/row_math.h"

namespace ofl::ops {
namespace {

// A matrix as the library sees it: `ld` elements between its contiguous rows, or between its
// contiguous columns where it lies transposed.
struct Lying {
  bool transposed = false;
  int64_t ld = 1;
};

Lying LyingOf(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  const auto runs = [](int64_t size, int64_t stride) { return stride == 1 || size == 1; };
  const bool plain = runs(columns, column) && (row >= columns || rows == 1);
  if (plain || rows * columns == 0) {
    const bool counts = rows > 1 && row >= columns;
    return {false, std::max<int64_t>(counts ? row : columns, 1)};
  }
  return {true, std::max<int64_t>(columns > 1 ? column : rows, 1)};
}

// The last two axes of a view; a vector is one row or one column.
Lying LyingOf(const op::TensorView& x) {
  const int rank = x.meta.shape.rank();
  if (rank < 2) return {};
  return LyingOf(x.meta.shape[rank - 2], x.meta.shape[rank - 1], x.strides[rank - 2],
                 x.strides[rank - 1]);
}

// Place of the matrix of an operand that belongs to batch index `flat` of the output.
int64_t MatrixAt(int64_t flat, const Shape& out_batch, const op::TensorView& x,
                 const Shape& batch) {
  int64_t at = 0;
  for (int i = 1; i <= out_batch.rank(); ++i) {
    const int64_t size = out_batch[out_batch.rank() - i];
    const int64_t index = flat % size;
    flat /= size;
    const int axis = batch.rank() - i;
    if (axis >= 0 && batch[axis] != 1) at += index * x.strides[axis];
  }
  return at;
}

// The stride of all axes but the last taken as one, where they lie evenly; 0 where they do not.
int64_t RowStride(const op::TensorView& x) {
  int64_t stride = 0, run = 1;
  for (int i = x.meta.shape.rank() - 2; i >= 0; --i) {
    if (x.meta.shape[i] == 1) continue;
    if (stride != 0 && x.strides[i] != stride * run) return 0;
    if (stride == 0) stride = x.strides[i];
    run *= x.meta.shape[i];
  }
  return stride == 0 ? std::max<int64_t>(x.meta.shape[x.meta.shape.rank() - 1], 1) : stride;
}

// Whether a batch of rows against one matrix is a single product, and how its rows then lie.
bool AsOneMatrix(const op::TensorView& a, const ProductDims& d, const Shape& batch, Lying* lying) {
  if (d.trans_a || d.vector_a || d.batch_b.numel() != 1 || d.batch_a.numel() != batch.numel())
    return false;
  const int64_t rows = d.m * batch.numel(), row = RowStride(a);
  const int64_t column = a.strides[a.meta.shape.rank() - 1];
  const bool fits = ((column == 1 || d.k == 1) && (row >= d.k || rows == 1)) ||
                    (row == 1 && (column >= rows || d.k == 1));
  if (!fits) return false;
  *lying = LyingOf(rows, d.k, row, column);
  return true;
}

template <class T>
Status MultiplyAs(device::Stream* stream, const op::TensorView& a, const op::TensorView& b,
                  const op::TensorView& out, const ProductDims& d, bool add) {
  if constexpr (std::is_floating_point_v<T>) {
    // BLAS would pack both vectors as matrices.
    if (d.vector_a && d.vector_b) {
      const T dot = RowDot(a.as<T>(), b.as<T>(), d.k);
      *out.as<T>() = add ? *out.as<T>() + dot : dot;
      return Status::Ok();
    }
  }
  OFL_ASSIGN(const Shape batch, BroadcastShapes(d.batch_a, d.batch_b));
  const Lying left = LyingOf(a), right = LyingOf(b);
  GemmArgs<T> g;
  // A vector is a matrix that lies plain: its other axis has size 1.
  g.trans_a = d.trans_a != left.transposed;
  g.trans_b = d.trans_b != right.transposed;
  g.m = d.m;
  g.n = d.n;
  g.k = d.k;
  g.a = a.as<T>();
  g.b = b.as<T>();
  g.c = out.as<T>();
  g.lda = d.vector_a ? std::max<int64_t>(d.k, 1) : left.ld;
  g.ldb = d.vector_b ? 1 : right.ld;
  g.ldc = d.n;
  g.beta = add ? T(1) : T(0);
  Lying rows;
  if (AsOneMatrix(a, d, batch, &rows)) {
    g.trans_a = rows.transposed;
    g.lda = rows.ld;
    g.m *= batch.numel();
    OFL_TRY(CheckGemmSizes(g.m, g.n, g.k));
    GemmParallel(stream, g);
    return Status::Ok();
  }
  const int64_t count = batch.numel();
  const auto one = [&](int64_t i) {
    GemmArgs<T> at = g;
    at.a += MatrixAt(i, batch, a, d.batch_a);
    at.b += MatrixAt(i, batch, b, d.batch_b);
    at.c += i * d.m * d.n;
    return at;
  };
  if (count < stream->threads()) {
    for (int64_t i = 0; i < count; ++i) GemmParallel(stream, one(i));
    return Status::Ok();
  }
  Parallel(stream, count, RowGrain(d.m * d.n * std::max<int64_t>(d.k / 8, 1)),
           [&](int64_t begin, int64_t end) {
             for (int64_t i = begin; i < end; ++i) GemmSerial(one(i));
           });
  return Status::Ok();
}

}  // namespace

ProductDims DimsOfProduct(const Shape& a, const Shape& b, bool trans_a, bool trans_b) {
  ProductDims d;
  d.vector_a = a.rank() == 1;
  d.vector_b = b.rank() == 1;
  d.trans_a = trans_a;
  d.trans_b = trans_b;
  if (d.vector_a) {
    d.k = a[0];
  } else {
    d.m = a[a.rank() - (d.trans_a ? 1 : 2)];
    d.k = a[a.rank() - (d.trans_a ? 2 : 1)];
    d.batch_a = Shape(a.dims().first(a.rank() - 2));
  }
  if (d.vector_b) {
    d.k_other = b[0];
  } else {
    d.k_other = b[b.rank() - (d.trans_b ? 1 : 2)];
    d.n = b[b.rank() - (d.trans_b ? 2 : 1)];
    d.batch_b = Shape(b.dims().first(b.rank() - 2));
  }
  return d;
}

Status RequireNumbers(const op::InferContext& c, int i, const char* what) {
  const DType d = c.input(i).dtype;
  OFL_ENSURE(d != DType::kBool && !IsFloat8(d), Code::kTypeMismatch)
      << what << " must hold numbers to multiply and add; expected a floating, complex or integer "
      << "dtype, not " << DTypeName(d) << "; convert with .to(dtype)";
  return Status::Ok();
}

Status Multiply(device::Stream* stream, const op::TensorView& a, const op::TensorView& b,
                const op::TensorView& out, bool trans_a, bool trans_b, bool add,
                MutableBytes scratch) {
  if (out.numel() == 0) return Status::Ok();
  const ProductDims d = DimsOfProduct(a.meta.shape, b.meta.shape, trans_a, trans_b);
  if (!IsHalf(out.meta.dtype)) {
    return WithProductType(out.meta.dtype, [&](auto zero) {
      return MultiplyAs<decltype(zero)>(stream, a, b, out, d, add);
    });
  }
  const op::TensorView wide_a = Widened(stream, a, scratch), wide_b = Widened(stream, b, scratch);
  const op::TensorView sums = add ? Widened(stream, out, scratch) : FloatsLike(out, scratch);
  OFL_TRY(MultiplyAs<float>(stream, wide_a, wide_b, sums, d, add));
  return CastElements(stream, sums, out);
}

int64_t ProductScratch(const TensorMeta& a, const TensorMeta& b, const TensorMeta& out) {
  if (!IsHalf(out.dtype)) return 0;
  return (a.shape.numel() + b.shape.numel() + out.shape.numel()) *
         static_cast<int64_t>(sizeof(float));
}

op::TensorView FloatsLike(const op::TensorView& x, MutableBytes& scratch) {
  const TensorMeta meta{DType::kFloat32, x.meta.shape};
  op::TensorView floats(x.numel() > 0 ? scratch.data() : nullptr, meta);
  scratch = scratch.subspan(static_cast<size_t>(meta.bytes()));
  return floats;
}

op::TensorView Widened(device::Stream* stream, const op::TensorView& x, MutableBytes& scratch) {
  const op::TensorView floats = FloatsLike(x, scratch);
  const Status widened = CastElements(stream, x, floats);
  OFL_CHECK(widened.ok()) << widened.ToString();  // every dtype casts to float
  return floats;
}

void CpuForProducts(op::OpDefBuilder& op, op::KernelFn fn, op::BoundFn bound) {
  for (DType d : AllDTypes())
    if (d != DType::kBool && !IsFloat8(d)) op.Cpu(d, fn, IsHalf(d) ? bound : nullptr);
}

}  // namespace ofl::ops
