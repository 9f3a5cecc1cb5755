#include "oneflow_like/core/shape.h"

#include <algorithm>

namespace ofl {

Result<Shape> Shape::Checked(std::span<const int64_t> dims) {
  const Shape shape(dims);
  OFL_TRY(shape.Check());
  return shape;
}

Status Shape::Check() const {
  OFL_ENSURE(dropped_ == 0, Code::kInvalidArgument)
      << "a tensor has at most " << kMaxRank << " axes, got " << rank_ + dropped_;
  int64_t n = 1;
  for (int64_t d : dims()) {
    OFL_ENSURE(d >= 0, Code::kInvalidArgument)
        << "sizes must not be negative, got " << d << "; expected sizes of at least 0";
    OFL_ENSURE(d == 0 || n <= kMaxElements / d, Code::kInvalidArgument)
        << "a shape of more than 2^48 elements, sizes of 0 not counted, got " << ToString();
    if (d != 0) n *= d;
  }
  return Status::Ok();
}

void Shape::insert(int axis, int64_t d) {
  OFL_CHECK(axis >= 0 && axis <= rank_);
  if (rank_ == kMaxRank) {
    ++dropped_;
    return;
  }
  for (int i = rank_; i > axis; --i) dims_[i] = dims_[i - 1];
  dims_[axis] = d;
  ++rank_;
}

void Shape::erase(int axis) {
  OFL_CHECK(axis >= 0 && axis < rank_);
  for (int i = axis; i + 1 < rank_; ++i) dims_[i] = dims_[i + 1];
  dims_[--rank_] = 0;
}

std::string Shape::ToString() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims_[i]);
  }
  if (rank_ == 1) text += ",";
  if (dropped_ > 0) text += ", ... " + std::to_string(dropped_) + " more";
  return text + ")";
}

Strides ContiguousStrides(const Shape& shape) {
  Strides strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step = SaturatingMul(step, std::max<int64_t>(shape[i], 1));
  }
  return strides;
}

bool IsDense(const Shape& shape, const Strides& strides) {
  int64_t expected = 1;
  bool dense = true;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != expected) dense = false;
    expected = SaturatingMul(expected, shape[i]);
  }
  return dense;
}

Result<Shape> BroadcastShapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape out;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank());
    const int ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia];
    const int64_t db = ib < 0 ? 1 : b[ib];
    OFL_ENSURE(da == db || da == 1 || db == 1, Code::kInvalidArgument)
        << "shapes " << a << " and " << b << " cannot be broadcast: axis " << i - rank
        << " has sizes " << da << " and " << db << "; expected equal sizes or 1";
    out.push_back(da == 1 ? db : da);
  }
  const Status fits = out.Check();
  OFL_ENSURE(fits.ok(), Code::kInvalidArgument)
      << "shapes " << a << " and " << b
      << " broadcast to a shape that no tensor has: " << fits.message()
      << "; expected equal sizes or 1";
  return out;
}

Result<int> NormalizeAxis(int64_t axis, int rank) {
  const int64_t bound = std::max(rank, 1);
  OFL_ENSURE(axis >= -bound && axis < bound, Code::kOutOfRange)
      << "Dimension out of range (expected to be in range of [" << -bound << ", " << bound - 1
      << "], but got " << axis << ")";
  return static_cast<int>(axis < 0 ? axis + bound : axis);
}

}  // namespace ofl
