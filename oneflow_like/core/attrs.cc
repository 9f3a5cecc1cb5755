#include "oneflow_like/core/attrs.h"

#include <algorithm>
#include <charconv>

#include "oneflow_like/core/tensor_meta.h"

namespace ofl {
namespace {

std::string FloatToString(double value) {
  char text[40];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;  // shortest that reads back
  const std::string digits(text, end);
  // "2" would read back as an integer.
  return digits.find_first_not_of("-0123456789") == std::string::npos ? digits + ".0" : digits;
}

struct Printer {
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const { return FloatToString(v); }
  std::string operator()(const std::string& v) const { return Quoted(v); }
  std::string operator()(const std::vector<int64_t>& v) const {
    std::string text = "[";
    for (size_t i = 0; i < v.size(); ++i) text += (i ? ", " : "") + std::to_string(v[i]);
    return text + "]";
  }
  std::string operator()(DType v) const { return DTypeName(v); }
  std::string operator()(std::complex<double> v) const {
    return "complex(" + FloatToString(v.real()) + ", " + FloatToString(v.imag()) + ")";
  }
  // An empty list of floats must not read back as one of integers.
  std::string operator()(const std::vector<double>& v) const {
    std::string text = "floats[";
    for (size_t i = 0; i < v.size(); ++i) text += (i ? ", " : "") + FloatToString(v[i]);
    return text + "]";
  }
  std::string operator()(NoValue) const { return "none"; }
};

}  // namespace

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\\' || c == '\'') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      quoted += "\\x";
      quoted += kHex[c >> 4];
      quoted += kHex[c & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string AttrToString(const AttrValue& value) { return std::visit(Printer{}, value); }

void Attrs::Set(std::string_view name, AttrValue value) {
  auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                             [](const auto& e, std::string_view n) { return e.first < n; });
  if (at != entries_.end() && at->first == name)
    at->second = std::move(value);
  else
    entries_.insert(at, {std::string(name), std::move(value)});
}

const AttrValue* Attrs::Find(std::string_view name) const {
  for (const auto& e : entries_)
    if (e.first == name) return &e.second;
  return nullptr;
}

Scalar Scalar::Of(const AttrValue& value) {
  if (const bool* v = std::get_if<bool>(&value)) return *v;
  if (const int64_t* v = std::get_if<int64_t>(&value)) return *v;
  if (const double* v = std::get_if<double>(&value)) return *v;
  return std::get<std::complex<double>>(value);
}

DTypeCategory Scalar::category() const { return static_cast<DTypeCategory>(value_.index()); }

DType Scalar::dtype() const {
  constexpr DType kOf[] = {DType::kBool, DType::kInt64, DType::kFloat32, DType::kComplex64};
  return kOf[value_.index()];
}

Scalar::operator AttrValue() const {
  return std::visit([](auto v) { return AttrValue(v); }, value_);
}

Scalar Attrs::Number(std::string_view name) const {
  const AttrValue* v = Find(name);
  OFL_CHECK(v != nullptr) << "attribute " << name << " is missing";
  return Scalar::Of(*v);
}

std::string Attrs::ToString() const {
  std::string text = "{";
  for (const auto& [name, value] : entries_) {
    if (text.size() > 1) text += ", ";
    text += name + "=" + AttrToString(value);
  }
  return text + "}";
}

std::string TensorMeta::ToString() const {
  std::string text = DTypeName(dtype) + std::string("[");
  for (int i = 0; i < shape.rank(); ++i) text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace ofl
