// The sizes of a tensor's axes: a value without heap memory.
//
// Putting a shape together checks nothing and never fails: sizes that do not fit stay visible in
// the shape until Check refuses them. OpDef::Infer checks every shape that enters or leaves an
// operator, so that numel, strides, bytes and costs computed after it stay within 63 bits.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/base/check.h"
#include "oneflow_like/base/status.h"

namespace ofl {

inline constexpr int kMaxRank = 8;  // axes of a tensor; a bound so that shapes need no heap
// Elements of a tensor, axes of size 0 not counted. Bytes stay below 2^52, and the work and
// traffic of a step fit 63 bits with room for thousands of ranks.
inline constexpr int64_t kMaxElements = int64_t{1} << 48;

// a * b for counts that only rank costs or fill a message: the largest int64 where it is exceeded.
inline int64_t SaturatingMul(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<int64_t>::max() : product;
}
inline int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    for (int64_t d : dims) push_back(d);
  }
  // For sizes that come from outside.
  static Result<Shape> Checked(std::span<const int64_t> dims);
  // kInvalidArgument unless this is the shape of a tensor: at most kMaxRank axes, no negative
  // size, and at most kMaxElements elements.
  Status Check() const;

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t& operator[](int axis) { return dims_[axis]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n = SaturatingMul(n, dims_[i]);
    return n;
  }
  // An axis beyond the last possible one is dropped, and Check refuses the shape from then on.
  void push_back(int64_t d) {
    if (rank_ < kMaxRank) {
      dims_[rank_++] = d;
    } else {
      ++dropped_;
    }
  }
  void insert(int axis, int64_t d);
  void erase(int axis);
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::span<const int64_t> dims() const { return {begin(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& o) const {
    if (rank_ != o.rank_ || dropped_ != o.dropped_) return false;
    for (int i = 0; i < rank_; ++i)
      if (dims_[i] != o.dims_[i]) return false;
    return true;
  }
  std::string ToString() const;  // "(2, 3)"

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
  int dropped_ = 0;  // axes for which there was no room
};

using Ints = std::vector<int64_t>;  // sizes or axes, as attributes hold them
inline Ints DimsOf(const Shape& shape) { return {shape.begin(), shape.end()}; }

using Strides = Shape;  // element strides, one for each axis
Strides ContiguousStrides(const Shape& shape);
// Row-major without gaps; axes of size 1 may have any stride, and so may all of an empty shape.
bool IsDense(const Shape& shape, const Strides& strides);

// NumPy broadcasting of two shapes, checked; kInvalidArgument names both.
Result<Shape> BroadcastShapes(const Shape& a, const Shape& b);
// Maps [-rank, rank) to [0, rank); kOutOfRange in torch's words.
Result<int> NormalizeAxis(int64_t axis, int rank);

inline std::ostream& operator<<(std::ostream& out, const Shape& s) { return out << s.ToString(); }

}  // namespace ofl
