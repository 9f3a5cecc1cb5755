#include "oneflow_like/base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace ofl {
namespace {

// Bit by bit, straight from the definition of CRC-32C.
uint32_t BitwiseCrc32c(std::string_view text) {
  uint32_t crc = 0xFFFFFFFFu;
  for (unsigned char byte : text) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
  }
  return crc ^ 0xFFFFFFFFu;
}

std::string HexOf(std::initializer_list<std::string_view> fields) {
  Sha256 hash;
  for (std::string_view field : fields) hash.Add(field);
  return hash.HexDigest();
}

TEST(Crc32c, MatchesPublishedValues) {
  EXPECT_EQ(Crc32c(AsBytes("")), 0u);
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xE3069283u);
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\0'))), 0x8A9136AAu);    // RFC 3720 B.4
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\xFF'))), 0x62A8AB43u);  // RFC 3720 B.4
}

TEST(Crc32c, ContinuesFromAFinishedValueAtEverySplit) {
  const std::string text = "registers move, pointers do not";
  for (size_t at = 0; at <= text.size(); ++at) {
    const uint32_t head = Crc32c(AsBytes(text.substr(0, at)));
    EXPECT_EQ(Crc32c(AsBytes(text.substr(at)), head), BitwiseCrc32c(text)) << at;
  }
}

TEST(Crc32c, SeesEverySingleBit) {
  std::string text(64, 'a');
  const uint32_t whole = Crc32c(AsBytes(text));
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(Crc32c(AsBytes(text)), whole) << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
  }
}

TEST(Sha256, IsTheStandardHashOfLengthPrefixedFields) {
  // Of no bytes: FIPS 180-4. Of one field "abc": SHA-256 of 03 00 00 00 00 00 00 00 61 62 63.
  EXPECT_EQ(HexOf({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexOf({"abc"}), "ce91dc5eec0139adf091900d225971d6ad246a845bad791b5693a9d0d55dd391");
}

TEST(Sha256, FieldsDoNotRunTogether) {
  EXPECT_NE(HexOf({"ab", "c"}), HexOf({"a", "bc"}));
  EXPECT_NE(HexOf({"abc"}), HexOf({"abc", ""}));
  Sha256 number, text;
  number.AddInt(1);
  text.Add(std::string("\1", 1));
  EXPECT_NE(number.HexDigest(), text.HexDigest());
}

TEST(Bytes, LittleEndianFieldsNeedNoAlignment) {
  std::array<std::byte, 16> buffer{};
  StoreLe<uint32_t>(&buffer[3], 0x01020304u);
  EXPECT_EQ(buffer[3], std::byte{4});
  EXPECT_EQ(buffer[6], std::byte{1});
  EXPECT_EQ(LoadLe<uint32_t>(&buffer[3]), 0x01020304u);
  StoreLe<int64_t>(&buffer[5], -2);
  EXPECT_EQ(LoadLe<int64_t>(&buffer[5]), -2);
}

}  // namespace
}  // namespace ofl
