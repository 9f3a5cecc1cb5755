// Batches of matrices for LAPACK: one after another, or over threads; scratch that is counted
// before it is taken; row-major memory from and to column-major.
//
// A kernel is a struct K with
//   template <class T> static Status One(Matrices& m, int64_t i, Arena& arena);
// which takes its scratch from `arena` first, and where arena.counting() returns before it
// computes.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/linalg/lapack.h"
#include "oneflow_like/ops/nn/losses.h"

namespace ofl::ops {

// The dtypes that LAPACK has.
inline constexpr DTypeSet kLapack = SetOf(DType::kFloat32, DType::kFloat64) | kComplexes;

template <class Fn>
auto WithLapackType(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::kFloat64: return fn(double{});
    case DType::kComplex64: return fn(std::complex<float>{});
    case DType::kComplex128: return fn(std::complex<double>{});
    default: return fn(float{});
  }
}

// Hands out pieces of scratch; without memory it only counts them.
class Arena {
 public:
  Arena() = default;
  explicit Arena(std::byte* data) : data_(data), counting_(false) {}
  bool counting() const { return counting_; }
  int64_t used() const { return used_; }
  template <class T>
  T* Take(int64_t count) {
    T* piece = counting_ ? nullptr : reinterpret_cast<T*>(data_ + used_);
    used_ += (std::max<int64_t>(count, 1) * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return piece;
  }

 private:
  std::byte* data_ = nullptr;
  bool counting_ = true;
  int64_t used_ = 0;
};

// What one call works on. While scratch is counted the views have no data.
struct Matrices {
  std::span<const op::TensorView> inputs, outputs;
  const Attrs& attrs;

  const Shape& shape(int i) const { return inputs[static_cast<size_t>(i)].meta.shape; }
  // Rows and columns of an input, or of an output.
  int rows(int i) const { return static_cast<int>(shape(i)[shape(i).rank() - 2]); }
  int columns(int i) const { return static_cast<int>(shape(i)[shape(i).rank() - 1]); }
  // The part of batch index `i`, whose last `axes` axes are a matrix, a vector or a number.
  template <class T>
  T* In(int k, int64_t i, int axes) const {
    return PartOf<T>(inputs[static_cast<size_t>(k)], i, axes);
  }
  template <class T>
  T* Out(int k, int64_t i, int axes) const {
    return PartOf<T>(outputs[static_cast<size_t>(k)], i, axes);
  }

 private:
  template <class T>
  static T* PartOf(const op::TensorView& x, int64_t i, int axes) {
    const Shape& s = x.meta.shape;
    return x.as<T>() + i * ProductOf(s, s.rank() - axes, s.rank());
  }
};

// Column-major from row-major memory (rows x columns) and back.
template <class T>
void ToColumns(const T* from, int rows, int columns, T* to) {
  constexpr int kTile = 16;
  for (int i0 = 0; i0 < rows; i0 += kTile)
    for (int j0 = 0; j0 < columns; j0 += kTile)
      for (int i = i0; i < std::min(i0 + kTile, rows); ++i)
        for (int j = j0; j < std::min(j0 + kTile, columns); ++j)
          to[static_cast<int64_t>(j) * rows + i] = from[static_cast<int64_t>(i) * columns + j];
}
// `ld`: elements from one column to the next.
template <class T>
void FromColumns(const T* from, int rows, int columns, T* to, int64_t ld) {
  constexpr int kTile = 16;
  for (int i0 = 0; i0 < rows; i0 += kTile)
    for (int j0 = 0; j0 < columns; j0 += kTile)
      for (int i = i0; i < std::min(i0 + kTile, rows); ++i)
        for (int j = j0; j < std::min(j0 + kTile, columns); ++j)
          to[static_cast<int64_t>(i) * columns + j] = from[j * ld + i];
}

// L and U of a column-major matrix in its place, and the first pivot that is zero, from 1, else 0.
// A pivot that is NaN makes NaN of all that is divided by it; the library leaves some of that
// alone.
template <class T>
int FactorLu(int rows, int columns, T* a, int* pivots) {
  const int info = lapack::Getrf(rows, columns, a, pivots);
  const int least = std::min(rows, columns);
  int k = 0;
  const auto at = [&](int64_t r, int64_t c) -> T& { return a[c * rows + r]; };
  while (k < least && at(k, k) == at(k, k)) ++k;
  if (k == least) return info;
  for (int step = least - 1; step > k; --step) {  // no later row is found to be larger
    const int with = std::exchange(pivots[step], step + 1) - 1;
    for (int c = 0; c < k && with != step; ++c) std::swap(at(step, c), at(with, c));
  }
  for (int c = k; c < columns; ++c)
    for (int r = k + 1; r < rows; ++r) at(r, c) = std::numeric_limits<lapack::Real<T>>::quiet_NaN();
  return info > k ? 0 : info;
}

// Square matrix `i` of input 0 by LU; computes nothing while scratch is counted.
template <class T>
struct SquareLu {
  SquareLu(Matrices& m, int64_t i, Arena& arena)
      : n(m.rows(0)), factors(arena.Take<T>(int64_t{n} * n)), pivots(arena.Take<int>(n)) {
    if (arena.counting()) return;
    ToColumns(m.In<T>(0, i, 2), n, n, factors);
    info = FactorLu(n, n, factors, pivots);
  }
  T& Pivot(int64_t k) const { return factors[k * n + k]; }
  // x, negative where row k was exchanged: the sign of a product over all k.
  T Signed(int64_t k, T x) const { return pivots[k] == k + 1 ? x : -x; }
  // X of A X = x times the unit matrix, `transposed`: of its transpose; column by column.
  void SolveUnit(char transposed, T x, T* out) const {
    for (int64_t e = 0; e < int64_t{n} * n; ++e) out[e] = e % (n + 1) == 0 ? x : T(0);
    lapack::Getrs(transposed, n, n, factors, pivots, out);
  }

  int n;
  T* factors;
  int* pivots;
  int info = 0;  // of the first pivot that is zero, from 1
};

template <class T>
bool AllFinite(const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(std::real(x[i])) || !std::isfinite(std::imag(x[i]))) return false;
  return true;
}

// The batch index in front of an error's text, where there is a batch.
std::string BatchText(const Matrices& m, int64_t i);

// --- running ------------------------------------------------------------------------------------

// Matrices of input 0: the product of all but its last two axes.
int64_t CountOfMatrices(const Shape& shape);
// Bytes of workspace for one arena of `bytes` a thread.
int64_t ArenasFor(int64_t count, int64_t bytes, int threads);
// Calls one(i, arena) for each of `count` matrices; the error of the first that fails.
using OneFn = Status (*)(Matrices& m, int64_t i, Arena& arena);
Status RunEach(op::KernelContext& c, int64_t count, OneFn one);
int64_t BytesOfOne(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                   const Attrs& attrs, OneFn one);

template <class K, class T>
Status RunMatrices(op::KernelContext& c) {
  return RunEach(c, CountOfMatrices(c.inputs[0].meta.shape), K::template One<T>);
}
template <class K, class T>
int64_t BoundMatrices(std::span<const TensorMeta> in, std::span<const TensorMeta> out,
                      const Attrs& attrs, int threads) {
  const int64_t count = CountOfMatrices(in[0].shape);
  if (count == 0) return 0;
  return ArenasFor(count, BytesOfOne(in, out, attrs, K::template One<T>), threads);
}

// Kernels for the four dtypes, by that of input 0.
template <class K>
op::OpDefBuilder& LapackKernels(op::OpDefBuilder& op) {
  for (DType dtype : ListOf(kLapack)) {
    WithLapackType(dtype, [&](auto zero) {
      using T = decltype(zero);
      op.Cpu(dtype, RunMatrices<K, T>, BoundMatrices<K, T>);
    });
  }
  return op;
}

// --- inference ----------------------------------------------------------------------------------

// kTypeMismatch or kInvalidArgument unless input `i` is a batch of matrices of LAPACK's dtypes;
// `square` ones.
Status RequireMatrices(const op::InferContext& c, int i, bool square);
// The same of a composite's operand.
Status CheckMatrices(const op::Value& x, bool square);
Shape BatchOf(const Shape& shape);                // without the last two axes
Shape BatchWith(const Shape& shape, Shape axes);  // these in their place
inline int64_t RowsOf(const Shape& s) { return s[s.rank() - 2]; }
inline int64_t ColumnsOf(const Shape& s) { return s[s.rank() - 1]; }

// --- compositions -------------------------------------------------------------------------------

// The conjugate transpose, the transpose.
op::Value Adjoint(op::Builder& b, const op::Value& x);
op::Value Transposed(op::Builder& b, const op::Value& x);
op::Value MatMul(op::Builder& b, const op::Value& x, const op::Value& y, bool tx = false,
                 bool ty = false);
op::Value Negative(op::Builder& b, const op::Value& x);
op::Value Tril(op::Builder& b, const op::Value& x, int64_t diagonal = 0);
op::Value Triu(op::Builder& b, const op::Value& x, int64_t diagonal = 0);
// Of the last two axes: the diagonal, and matrices of these diagonals.
op::Value DiagonalOf(op::Builder& b, const op::Value& x);
op::Value DiagonalMatrix(op::Builder& b, const op::Value& x);
// Ones on the diagonal, in the shape and layout of square matrices `x`.
op::Value IdentityLike(op::Builder& b, const op::Value& x);
op::Value Unsqueezed(op::Builder& b, const op::Value& x, int64_t dim);
// Elements [begin, end) of the last axis, or of the last but one.
op::Value LastPart(op::Builder& b, const op::Value& x, int64_t begin, int64_t end);
op::Value RowPart(op::Builder& b, const op::Value& x, int64_t begin, int64_t end);
// x with its batch axes broadcast to `batch`.
op::Value Batched(op::Builder& b, const op::Value& x, const Shape& batch);
// X of A X = B, or of X A = B.
op::Value SolveTriangular(op::Builder& b, const op::Value& a, const op::Value& rhs, bool upper,
                          bool left = true, bool unit = false);
// The gradient of A, of that of its pseudo-inverse.
op::Value GradOfPinv(op::Builder& b, const op::Value& grad, const op::Value& inverse,
                     const op::Value& a);
// x[j] - x[i] at (i, j), and ones on the diagonal.
op::Value Gaps(op::Builder& b, const op::Value& x);
// Null, or x in the dtype of `matrix`.
op::Value LikeMatrix(op::Builder& b, const op::Value& x, const op::Value& matrix);
// x + y, where either may be null.
op::Value Plus(op::Builder& b, const op::Value& x, const op::Value& y);

// --- samples ------------------------------------------------------------------------------------

// A word in the note of a sample: the diagonals of its square matrices are raised so far that they
// are well conditioned; `hermitian`: and the matrices are Hermitian. `phase`: results have columns
// up to a factor of size 1 only, so that differences do not tell their gradient. `regular`: what is
// drawn has an inverse, but not so with rows that repeat.
inline constexpr const char* kDominant = "dominant";
inline constexpr const char* kHermitian = "hermitian";
inline constexpr const char* kPhase = "phase";
inline constexpr const char* kRegular = "regular";

// float32 in each of the shapes, the other dtypes of LAPACK in the first.
std::vector<op::Sample> MatrixSamples(const std::vector<std::vector<Shape>>& shapes,
                                      const Attrs& attrs, const char* note, double low = -1,
                                      double high = 1);
// Squares of even, uneven, empty and trivial sizes, with batches.
std::vector<op::Sample> SquareSamples(const char* note, const Attrs& attrs = {});
// What all of them refuse: no matrix, integers.
std::vector<op::ErrorSample> MatrixErrors(bool square, const Attrs& attrs = {}, int operands = 1);

}  // namespace ofl::ops
