// Borrowed byte ranges and little-endian field access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace ofl {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline ConstBytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The hosts we support are little-endian (checked in bytes.cc), so a copy is the wire form.
template <class T>
void StoreLe(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <class T>
T LoadLe(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// SHA-256 (FIPS 180-4) of a stream of fields; every field is length-prefixed, so that two
// different sequences of fields never hash the same bytes.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void Add(std::string_view field);
  void AddInt(int64_t value);
  // Lower-case hex, 64 characters. The object must not be used afterwards.
  std::string HexDigest();

 private:
  void* context_;
};

// CRC-32C (Castagnoli), as in RFC 3720 B.4; `seed` continues a previous value.
uint32_t Crc32c(ConstBytes bytes, uint32_t seed = 0);

}  // namespace ofl
