// Where a global tensor lives: a device kind and an n-d mesh of ranks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oneflow_like/base/status.h"
#include "oneflow_like/core/shape.h"

namespace ofl {

inline constexpr int kMaxMeshRank = 4;

enum class DeviceKind : uint8_t { kCpu = 1, kCuda = 2, kNull = 3 };
const char* DeviceKindName(DeviceKind kind);
Result<DeviceKind> DeviceKindFromName(std::string_view name);

// An immutable value. Equal placements share one object, so == is a pointer comparison;
// the table that makes this so holds values only and is guarded by a mutex.
class Placement {
 public:
  Placement() = default;  // "no placement": a local tensor
  // `hierarchy` is the mesh shape, `ranks` its row-major content. Refuses duplicates, negative
  // ranks, an empty mesh, a mesh of more than kMaxMeshRank axes.
  static Result<Placement> Make(DeviceKind kind, const Shape& hierarchy, std::vector<int> ranks,
                                std::vector<std::string> axis_names = {});

  bool defined() const { return data_ != nullptr; }
  DeviceKind kind() const { return data_->kind; }
  const Shape& hierarchy() const { return data_->hierarchy; }
  const std::vector<int>& ranks() const { return data_->ranks; }
  const std::vector<std::string>& axis_names() const { return data_->axis_names; }
  int size() const { return static_cast<int>(data_->ranks.size()); }
  // Row-major position of a rank in the mesh, or -1 when it is not a member.
  int IndexOf(int rank) const;
  bool Contains(int rank) const { return IndexOf(rank) >= 0; }
  // Mesh coordinates of a position.
  std::vector<int> Coordinates(int index) const;
  bool operator==(const Placement& o) const { return data_ == o.data_; }
  std::string ToString() const;  // placement(cpu, ranks=[[0, 1], [2, 3]])

 private:
  struct Data {
    DeviceKind kind;
    Shape hierarchy;
    std::vector<int> ranks;
    std::vector<std::string> axis_names;
  };
  std::shared_ptr<const Data> data_;
};

}  // namespace ofl
