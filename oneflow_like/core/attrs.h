// Attributes of an operator: a small sorted map from name to value.
#pragma once

#include <complex>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "oneflow_like/base/check.h"
#include "oneflow_like/core/dtype.h"

namespace ofl {

// An attribute that was given no value, where its definition allows that. No number stands for it.
using NoValue = std::monostate;
using AttrValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, DType,
                               std::complex<double>, std::vector<double>, NoValue>;

// A number that stays what it was: int64 beyond 2^53, double, bool or complex.
class Scalar {
 public:
  Scalar(bool v) : value_(v) {}                  // NOLINT(google-explicit-constructor)
  Scalar(int v) : value_(int64_t{v}) {}          // NOLINT(google-explicit-constructor)
  Scalar(int64_t v) : value_(v) {}               // NOLINT(google-explicit-constructor)
  Scalar(double v) : value_(v) {}                // NOLINT(google-explicit-constructor)
  Scalar(std::complex<double> v) : value_(v) {}  // NOLINT(google-explicit-constructor)
  // The number that an attribute of AttrType::kScalar holds.
  static Scalar Of(const AttrValue& value);

  DTypeCategory category() const;
  // torch's dtype of the number by itself: bool, int64, float32, complex64.
  DType dtype() const;
  // As T would hold it: integers wrap into narrower integers, a real part stands for a complex
  // number. Truncation of a double toward an integer saturates instead of being undefined.
  template <class T>
  T As() const;
  operator AttrValue() const;  // NOLINT(google-explicit-constructor)
  bool operator==(const Scalar&) const = default;

 private:
  std::variant<bool, int64_t, double, std::complex<double>> value_;
};

template <class T>
T Scalar::As() const {
  return std::visit(
      [](auto v) -> T {
        using V = decltype(v);
        if constexpr (std::is_same_v<T, std::complex<float>> ||
                      std::is_same_v<T, std::complex<double>>) {
          if constexpr (std::is_same_v<V, std::complex<double>>) {
            return T(v);
          } else {
            return T(static_cast<typename T::value_type>(v));
          }
        } else if constexpr (std::is_same_v<V, std::complex<double>>) {
          return Scalar(v.real()).As<T>();
        } else if constexpr (std::is_same_v<V, double> && std::is_integral_v<T> &&
                             !std::is_same_v<T, bool>) {
          if (v >= 0x1p63) return static_cast<T>(std::numeric_limits<int64_t>::max());
          if (!(v > -0x1p63))
            return static_cast<T>(v != v ? 0 : std::numeric_limits<int64_t>::min());
          return static_cast<T>(static_cast<int64_t>(v));
        } else {
          return static_cast<T>(v);
        }
      },
      value_);
}

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
  // The number of an attribute of type kScalar.
  Scalar Number(std::string_view name) const;
  // Null where the attribute was given no value (its definition marks it optional).
  template <class T>
  const T* Maybe(std::string_view name) const {
    const AttrValue* v = Find(name);
    return v == nullptr ? nullptr : std::get_if<T>(v);
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
