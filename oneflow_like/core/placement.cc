#include "oneflow_like/core/placement.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

namespace ofl {

const char* DeviceKindName(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return "cpu";
    case DeviceKind::kCuda: return "cuda";
    case DeviceKind::kNull: return "null";
  }
  return "unknown";
}

Result<DeviceKind> DeviceKindFromName(std::string_view name) {
  for (DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kNull})
    if (name == DeviceKindName(kind)) return kind;
  return Error(Code::kInvalidArgument) << "[placement] no device kind has this name: got '" << name
                                       << "'; expected cpu, cuda or null";
}

Result<Placement> Placement::Make(DeviceKind kind, const Shape& hierarchy, std::vector<int> ranks,
                                  std::vector<std::string> axis_names) {
  OFL_ENSURE(!ranks.empty(), Code::kInvalidArgument)
      << "[placement] got no ranks; expected at least one rank";
  OFL_ENSURE(hierarchy.rank() >= 1 && hierarchy.rank() <= kMaxMeshRank, Code::kInvalidArgument)
      << "[placement] got a mesh of " << hierarchy.rank() << " axes; expected 1 to " << kMaxMeshRank
      << " axes";
  OFL_ENSURE(hierarchy.numel() == static_cast<int64_t>(ranks.size()), Code::kInvalidArgument)
      << "[placement] a mesh of shape " << hierarchy << " needs " << hierarchy.numel()
      << " ranks, got " << ranks.size();
  OFL_ENSURE(axis_names.empty() || static_cast<int>(axis_names.size()) == hierarchy.rank(),
             Code::kInvalidArgument)
      << "[placement] got " << axis_names.size() << " axis names; expected one for each of the "
      << hierarchy.rank() << " axes of the mesh";
  std::vector<int> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  OFL_ENSURE(sorted.front() >= 0, Code::kInvalidArgument)
      << "[placement] ranks must not be negative: got " << sorted.front()
      << "; expected at least 0";
  auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  OFL_ENSURE(twice == sorted.end(), Code::kInvalidArgument)
      << "[placement] rank " << *twice << " stands twice in the ranks; expected different ranks";

  using Key =
      std::tuple<DeviceKind, std::vector<int64_t>, std::vector<int>, std::vector<std::string>>;
  static std::mutex mutex;
  static auto* table = new std::map<Key, Placement>();  // lives as long as the process
  Key key(kind, {hierarchy.begin(), hierarchy.end()}, ranks, axis_names);
  std::lock_guard lock(mutex);
  Placement& entry = (*table)[key];
  if (!entry.defined())
    entry.data_ = std::make_shared<const Data>(
        Data{kind, hierarchy, std::move(ranks), std::move(axis_names)});
  return entry;
}

int Placement::IndexOf(int rank) const {
  const auto& ranks = data_->ranks;
  auto it = std::find(ranks.begin(), ranks.end(), rank);
  return it == ranks.end() ? -1 : static_cast<int>(it - ranks.begin());
}

std::vector<int> Placement::Coordinates(int index) const {
  const Shape& h = data_->hierarchy;
  std::vector<int> at(h.rank());
  for (int i = h.rank() - 1; i >= 0; --i) {
    at[i] = static_cast<int>(index % h[i]);
    index /= static_cast<int>(h[i]);
  }
  return at;
}

std::string Placement::ToString() const {
  if (!defined()) return "local";
  std::string text = std::string("placement(") + DeviceKindName(kind()) + ", ranks=";
  const Shape& h = hierarchy();
  for (int i = 0; i < size(); ++i) {
    int64_t block = 1;
    int opens = 0;
    for (int axis = h.rank() - 1; axis >= 0; --axis) {
      block *= h[axis];
      if (i % block == 0) ++opens;
    }
    if (i > 0) text += ", ";
    text.append(opens, '[');
    text += std::to_string(ranks()[i]);
    block = 1;
    for (int axis = h.rank() - 1; axis >= 0; --axis) {
      block *= h[axis];
      if ((i + 1) % block == 0) text += ']';
    }
  }
  return text + ")";
}

}  // namespace ofl
