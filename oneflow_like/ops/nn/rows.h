// Rows of float, double and the half types for kernels that compute in T (float or double).
//
// A row that lies dense in T is used where it lies. Others pass through scratch: loaded whole,
// computed on, and rounded once when they are stored.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>

#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/ops/elementwise/convert.h"
#include "oneflow_like/ops/kernel_util.h"

namespace ofl::ops {

// The statistics that a half type's kernels keep for the gradient stay in what they compute in.
inline DType StatisticOf(DType dtype) { return IsHalf(dtype) ? DType::kFloat32 : dtype; }

template <class T>
class Rows {
 public:
  // `stride`: elements from one element of a row to the next.
  explicit Rows(const op::TensorView& view, int64_t stride = 1)
      : data_(view.as<std::byte>()),
        size_(static_cast<int64_t>(DTypeSize(view.meta.dtype))),
        stride_(stride * size_) {
    if (view.meta.dtype == DTypeOf<T>::value && stride == 1) return;
    load_ = LoaderOf(view.meta.dtype, DTypeOf<T>::value);
    store_ = StorerOf(DTypeOf<T>::value, view.meta.dtype);
  }
  bool direct() const { return load_ == nullptr; }
  // The `n` elements of the row that starts at element `at`; `scratch` holds as many.
  const T* Read(int64_t at, int64_t n, T* scratch) const {
    const std::byte* row = data_ + at * size_;
    if (direct()) return reinterpret_cast<const T*>(row);
    load_(row, stride_, scratch, n);
    return scratch;
  }
  // Where to compute a row, and the word that it is done.
  T* Target(int64_t at, T* scratch) const {
    return direct() ? reinterpret_cast<T*>(data_ + at * size_) : scratch;
  }
  void Done(int64_t at, int64_t n, const T* row) const {
    if (!direct()) store_(row, data_ + at * size_, stride_, n);
  }

 private:
  std::byte* data_;
  int64_t size_, stride_;
  LoadFn load_ = nullptr;
  StoreFn store_ = nullptr;
};

// Where the rows along one axis start, in up to three operands of one shape.
class RowStarts {
 public:
  // `axis` -1: of tensors without axes, which are one row.
  RowStarts(std::initializer_list<const op::TensorView*> operands, int axis);
  int64_t rows() const { return rows_; }
  int64_t length() const { return length_; }
  int64_t stride(int operand) const { return stride_[static_cast<size_t>(operand)]; }
  // How many neighbouring rows lie at equal distances from one another, and these.
  int64_t neighbours() const {
    return count_ == 0 ? 1 : axes_[static_cast<size_t>(count_ - 1)].size;
  }
  int64_t step(int operand) const {
    return count_ == 0
               ? 0
               : axes_[static_cast<size_t>(count_ - 1)].stride[static_cast<size_t>(operand)];
  }
  std::array<int64_t, 3> Of(int64_t row) const {
    std::array<int64_t, 3> at{};
    for (int i = count_ - 1; i >= 0 && row > 0; --i) {
      const Axis& axis = axes_[static_cast<size_t>(i)];
      const int64_t place = i == 0 ? row : row % axis.size;
      for (size_t k = 0; k < at.size(); ++k) at[k] += place * axis.stride[k];
      if (i > 0) row /= axis.size;
    }
    return at;
  }

 private:
  struct Axis {
    int64_t size;
    std::array<int64_t, 3> stride;
  };
  std::array<Axis, kMaxRank> axes_;
  int count_ = 0;
  int64_t rows_ = 1, length_ = 1;
  std::array<int64_t, 3> stride_{1, 1, 1};
};

// Elements of scratch for each row that need no workspace.
inline constexpr int64_t kStackElements = 1024;

// Bytes of workspace that ForRows takes.
template <class T>
int64_t RowScratch(int64_t rows, int64_t elements, int threads) {
  if (elements <= kStackElements) return 0;
  return std::min<int64_t>(rows, std::max(threads, 1)) * elements * static_cast<int64_t>(sizeof(T));
}

// Calls body(row, scratch) for the rows [0, rows), each with `elements` of scratch.
template <class T, class Body>
void ForRows(device::Stream* stream, int64_t rows, int64_t row_cost, int64_t elements, T* workspace,
             const Body& body) {
  if (elements <= kStackElements) {
    Parallel(stream, rows, RowGrain(row_cost), [&](int64_t begin, int64_t end) {
      alignas(64) T scratch[kStackElements];
      for (int64_t r = begin; r < end; ++r) body(r, scratch);
    });
    return;
  }
  const int64_t chunks = std::min<int64_t>(rows, std::max(stream->threads(), 1));
  Parallel(stream, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk)
      for (int64_t r = rows * chunk / chunks; r < rows * (chunk + 1) / chunks; ++r)
        body(r, workspace + chunk * elements);
  });
}

}  // namespace ofl::ops
