// The symbols of a layout: S(i) split, B broadcast, P(op) partial. Values only.
// docs/sbp.md defines what they mean.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/placement.h"
#include "oneflow_like/core/shape.h"

namespace ofl::sbp {

enum class ReduceOp : uint8_t { kSum, kMax, kMin };

// One symbol, for one mesh axis.
class Sbp {
 public:
  enum class Kind : uint8_t { kBroadcast, kSplit, kPartial };
  constexpr Sbp() = default;  // B
  static constexpr Sbp Broadcast() { return Sbp(); }
  static constexpr Sbp Split(int axis) { return Sbp(Kind::kSplit, axis, ReduceOp::kSum); }
  static constexpr Sbp Partial(ReduceOp op = ReduceOp::kSum) { return Sbp(Kind::kPartial, 0, op); }

  constexpr Kind kind() const { return kind_; }
  constexpr bool is_broadcast() const { return kind_ == Kind::kBroadcast; }
  constexpr bool is_split() const { return kind_ == Kind::kSplit; }
  constexpr bool is_split(int axis) const { return is_split() && axis_ == axis; }
  constexpr bool is_partial() const { return kind_ == Kind::kPartial; }
  constexpr int axis() const { return axis_; }          // of a split
  constexpr ReduceOp reduce_op() const { return op_; }  // of a partial
  constexpr bool operator==(const Sbp&) const = default;
  std::string ToString() const;  // "S(0)", "B", "P", "P(max)", "P(min)"
  static Result<Sbp> Parse(std::string_view text);

 private:
  constexpr Sbp(Kind kind, int axis, ReduceOp op)
      : kind_(kind), axis_(static_cast<uint8_t>(axis)), op_(op) {}
  Kind kind_ = Kind::kBroadcast;
  uint8_t axis_ = 0;
  ReduceOp op_ = ReduceOp::kSum;
};

// One symbol for each mesh axis, outermost first.
class NdSbp {
 public:
  NdSbp() = default;
  NdSbp(std::initializer_list<Sbp> symbols) {
    for (Sbp s : symbols) push_back(s);
  }
  int rank() const { return rank_; }
  Sbp operator[](int mesh_axis) const { return symbols_[mesh_axis]; }
  Sbp& operator[](int mesh_axis) { return symbols_[mesh_axis]; }
  void push_back(Sbp s) { symbols_[rank_++] = s; }
  const Sbp* begin() const { return symbols_.data(); }
  const Sbp* end() const { return symbols_.data() + rank_; }
  bool HasPartial() const;
  bool AllBroadcast() const;
  bool operator==(const NdSbp& o) const;
  std::string ToString() const;  // "(S(0), B)"
  static Result<NdSbp> Parse(std::string_view text);
  // All symbols B, for a mesh of this rank.
  static NdSbp Broadcast(int mesh_rank);

 private:
  std::array<Sbp, kMaxMeshRank> symbols_{};
  int rank_ = 0;
};

// Where and how a global tensor lies.
struct Layout {
  Placement placement;
  NdSbp nd_sbp;
  bool operator==(const Layout&) const = default;
  std::string ToString() const;
};

// A half-open box of a tensor's index space, in logical coordinates.
struct Box {
  Shape begin;
  Shape end;
  Shape Extent() const;
  bool Empty() const;
  bool operator==(const Box&) const = default;
  static Box Whole(const Shape& shape);
  // Empty (with begin == end) where the two do not meet.
  Box Intersect(const Box& o) const;
};

// [begin, end) of part `index` of `parts` of n elements: the first n mod parts are one longer.
std::pair<int64_t, int64_t> BalancedSlice(int64_t n, int64_t parts, int64_t index);

// What the member at row-major `index` of the mesh holds. Partial counts as whole.
Box LocalBox(const Shape& logical, const Layout& layout, int index);
Shape LocalShape(const Shape& logical, const Layout& layout, int index);

// Refuses a layout this shape cannot have: mesh rank differs from the number of symbols, a split
// axis outside the tensor's rank, partials of two different operations, P(sum) of bool.
// `what` names the tensor in the message.
Status CheckLayout(std::string_view what, DType dtype, const Shape& logical, const Layout& layout);

}  // namespace ofl::sbp
