// The sizes of a tensor's axes: a value without heap memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

#include "oneflow_like/base/check.h"
#include "oneflow_like/base/status.h"

namespace ofl {

inline constexpr int kMaxRank = 8;  // axes of a tensor; a bound so that shapes need no heap

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    OFL_CHECK(dims.size() <= kMaxRank);
    for (int64_t d : dims) push_back(d);
  }
  // For sizes that come from outside: rank, sign and the product (< 2^62) are checked.
  static Result<Shape> Checked(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t& operator[](int axis) { return dims_[axis]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  void push_back(int64_t d) { dims_[rank_++] = d; }
  void insert(int axis, int64_t d);
  void erase(int axis);
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::span<const int64_t> dims() const { return {begin(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != o.dims_[i]) return false;
    return true;
  }
  std::string ToString() const;  // "(2, 3)"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

using Strides = Shape;  // element strides, one for each axis
Strides ContiguousStrides(const Shape& shape);

// NumPy broadcasting of two shapes; kInvalidArgument names both.
Result<Shape> BroadcastShapes(const Shape& a, const Shape& b);
// Maps [-rank, rank) to [0, rank); kOutOfRange in torch's words.
Result<int> NormalizeAxis(int64_t axis, int rank);

inline std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.ToString(); }

}  // namespace ofl
