// Attributes of an operator: a small sorted map from name to value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "oneflow_like/base/check.h"
#include "oneflow_like/core/dtype.h"

namespace ofl {

using AttrValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, DType>;
// In single quotes; quotes, backslashes and control characters as \', \\ and \x0a.
std::string Quoted(std::string_view text);
// Text that tells the type too: 2 is an integer, 2.0 a float, 'float32' a string, float32 a dtype.
std::string AttrToString(const AttrValue& value);

class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, AttrValue>> entries) {
    for (auto& e : entries) Set(e.first, e.second);
  }
  void Set(std::string_view name, AttrValue value);
  const AttrValue* Find(std::string_view name) const;
  // The value of an attribute that OpDef guarantees to exist with this type.
  template <class T>
  const T& Get(std::string_view name) const {
    const AttrValue* v = Find(name);
    OFL_CHECK(v != nullptr) << "attribute " << name << " is missing";
    return std::get<T>(*v);
  }
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  size_t size() const { return entries_.size(); }
  bool operator==(const Attrs&) const = default;
  std::string ToString() const;  // {dim=1, keepdim=false}

 private:
  std::vector<std::pair<std::string, AttrValue>> entries_;  // sorted by name
};

}  // namespace ofl
