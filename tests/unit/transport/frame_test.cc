#include "transport/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace ofl::transport {
namespace {

using testing::HasSubstr;

FrameHeader RandomHeader(std::mt19937_64& random) {
  FrameHeader header;
  header.type = static_cast<FrameType>(1 + random() % 12);
  header.job = random();
  header.epoch = random();
  header.channel = random();
  header.item = random();
  header.sequence = random();
  header.source = static_cast<uint32_t>(random());
  header.destination = static_cast<uint32_t>(random());
  header.part = static_cast<uint32_t>(random());
  header.flags = static_cast<uint32_t>(random() % 2);
  header.payload_crc = static_cast<uint32_t>(random());
  return header;
}

// A header with a correct checksum, whatever else is in it.
HeaderBytes Sealed(HeaderBytes bytes) {
  StoreLe(bytes.data() + 76, Crc32c(ConstBytes(bytes.data(), 76)));
  return bytes;
}

TEST(Frame, RoundTripsEveryField) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const FrameHeader header = RandomHeader(random);
    auto decoded = DecodeHeader(EncodeHeader(header));
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    ASSERT_EQ(*decoded, header);
  }
}

TEST(Frame, HasTheDocumentedBytes) {
  FrameHeader header;
  header.type = FrameType::kPiece;
  header.channel = 0x0102030405060708;
  header.payload_length = 5;
  const HeaderBytes bytes = EncodeHeader(header);
  EXPECT_EQ(AsText(ConstBytes(bytes).first(4)), "OFLW");
  EXPECT_EQ(LoadLe<uint16_t>(&bytes[4]), kWireVersion);
  EXPECT_EQ(LoadLe<uint16_t>(&bytes[6]), 7);
  EXPECT_EQ(bytes[24], std::byte{8});  // little-endian
  EXPECT_EQ(bytes[31], std::byte{1});
  EXPECT_EQ(LoadLe<uint64_t>(&bytes[64]), 5u);
  EXPECT_EQ(LoadLe<uint32_t>(&bytes[76]), Crc32c(ConstBytes(bytes.data(), 76)));
}

TEST(Frame, RefusesEveryCorruptionOfAFewBits) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) {
    HeaderBytes bytes = EncodeHeader(RandomHeader(random));
    const HeaderBytes before = bytes;
    // CRC32C finds any three flipped bits in so few bytes.
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % kHeaderBytes] ^= std::byte{1} << (random() % 8);
    }
    if (bytes == before) continue;
    ASSERT_EQ(DecodeHeader(bytes).status().code(), Code::kDataLoss);
  }
}

TEST(Frame, RefusesRandomBytesEvenWithAFittingChecksum) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20'000; ++i) {
    HeaderBytes bytes;
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    ASSERT_FALSE(DecodeHeader(bytes).ok());
    StoreLe(bytes.data(), kMagic);
    StoreLe(bytes.data() + 4, kWireVersion);
    const auto decoded = DecodeHeader(Sealed(bytes));
    if (decoded.ok()) {
      ASSERT_EQ(EncodeHeader(*decoded), Sealed(bytes));
    }
  }
}

TEST(Frame, BoundsThePayloadOfEveryType) {
  const auto longest = [](FrameType type, uint64_t bytes) {
    FrameHeader header;
    header.type = type;
    header.payload_length = bytes;
    const bool fits = DecodeHeader(EncodeHeader(header)).ok();
    header.payload_length = bytes + 1;
    const auto above = DecodeHeader(EncodeHeader(header));
    EXPECT_THAT(above.status().message(), HasSubstr("payload too long"));
    return fits && !above.ok();
  };
  EXPECT_TRUE(longest(FrameType::kMessage, kEagerBytes));
  EXPECT_TRUE(longest(FrameType::kHello, kMaxControlBytes));
  EXPECT_TRUE(longest(FrameType::kGoodbye, kMaxControlBytes));
  EXPECT_TRUE(longest(FrameType::kJoin, kMaxControlBytes));
  EXPECT_TRUE(longest(FrameType::kTable, kMaxTableBytes));
  EXPECT_TRUE(longest(FrameType::kCredit, 0));
  EXPECT_TRUE(longest(FrameType::kRequest, 0));
  EXPECT_TRUE(longest(FrameType::kPiece, kMaxPayloadBytes));
}

TEST(Frame, NamesAnotherVersion) {
  HeaderBytes bytes = EncodeHeader({});
  StoreLe(bytes.data() + 4, static_cast<uint16_t>(kWireVersion + 1));
  EXPECT_THAT(DecodeHeader(Sealed(bytes)).status().message(),
              HasSubstr("another version of the wire protocol: got 2; expected 1"));
}

TEST(Frame, TellsJobsApart) {
  EXPECT_EQ(JobHash("a"), JobHash("a"));
  EXPECT_NE(JobHash("a"), JobHash("b"));
  EXPECT_NE(JobHash(""), JobHash("a"));
}

}  // namespace
}  // namespace ofl::transport
