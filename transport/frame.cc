#include "transport/frame.h"

#include <cstdlib>

namespace ofl::transport {

namespace {

constexpr size_t kCrcAt = kHeaderBytes - 4;

uint64_t MaxPayload(FrameType type) {
  switch (type) {
    case FrameType::kMessage: return kEagerBytes;
    case FrameType::kHello:
    case FrameType::kGoodbye:
    case FrameType::kJoin:
    case FrameType::kRefusal: return kMaxControlBytes;
    case FrameType::kTable: return kMaxTableBytes;
    case FrameType::kData:
    case FrameType::kPiece: return kMaxPayloadBytes;
    case FrameType::kRequest:
    case FrameType::kGrant:
    case FrameType::kRefuse:
    case FrameType::kCredit: return 0;
  }
  return 0;
}

}  // namespace

const char* FrameTypeName(FrameType type) {
  static constexpr const char* kNames[] = {"?",      "hello", "message", "request", "grant",
                                           "refuse", "data",  "piece",   "credit",  "goodbye",
                                           "join",   "table", "refusal"};
  const auto index = static_cast<size_t>(type);
  return index < std::size(kNames) ? kNames[index] : kNames[0];
}

HeaderBytes EncodeHeader(const FrameHeader& header) {
  HeaderBytes bytes;
  std::byte* at = bytes.data();
  StoreLe(at, kMagic);
  StoreLe(at + 4, kWireVersion);
  StoreLe(at + 6, static_cast<uint16_t>(header.type));
  StoreLe(at + 8, header.job);
  StoreLe(at + 16, header.epoch);
  StoreLe(at + 24, header.channel);
  StoreLe(at + 32, header.item);
  StoreLe(at + 40, header.sequence);
  StoreLe(at + 48, header.source);
  StoreLe(at + 52, header.destination);
  StoreLe(at + 56, header.part);
  StoreLe(at + 60, header.flags);
  StoreLe(at + 64, header.payload_length);
  StoreLe(at + 72, header.payload_crc);
  StoreLe(at + kCrcAt, Crc32c(ConstBytes(bytes.data(), kCrcAt)));
  return bytes;
}

Result<FrameHeader> DecodeHeader(std::span<const std::byte, kHeaderBytes> bytes) {
  const std::byte* at = bytes.data();
  OFL_ENSURE(LoadLe<uint32_t>(at) == kMagic, Code::kDataLoss)
      << "[frame] not a frame of this protocol: got magic " << LoadLe<uint32_t>(at) << "; expected "
      << kMagic;
  const auto version = LoadLe<uint16_t>(at + 4);
  OFL_ENSURE(version == kWireVersion, Code::kDataLoss)
      << "[frame] another version of the wire protocol: got " << version << "; expected "
      << kWireVersion << "; run the same build on every rank";
  OFL_ENSURE(LoadLe<uint32_t>(at + kCrcAt) == Crc32c(ConstBytes(at, kCrcAt)), Code::kDataLoss)
      << "[frame] the header is corrupt: its CRC32C does not fit";
  const auto type = LoadLe<uint16_t>(at + 6);
  OFL_ENSURE(type >= static_cast<uint16_t>(FrameType::kHello) &&
                 type <= static_cast<uint16_t>(FrameType::kRefusal),
             Code::kDataLoss)
      << "[frame] unknown frame type " << type;
  FrameHeader header;
  header.type = static_cast<FrameType>(type);
  header.job = LoadLe<uint64_t>(at + 8);
  header.epoch = LoadLe<uint64_t>(at + 16);
  header.channel = LoadLe<uint64_t>(at + 24);
  header.item = LoadLe<uint64_t>(at + 32);
  header.sequence = LoadLe<uint64_t>(at + 40);
  header.source = LoadLe<uint32_t>(at + 48);
  header.destination = LoadLe<uint32_t>(at + 52);
  header.part = LoadLe<uint32_t>(at + 56);
  header.flags = LoadLe<uint32_t>(at + 60);
  header.payload_length = LoadLe<uint64_t>(at + 64);
  header.payload_crc = LoadLe<uint32_t>(at + 72);
  OFL_ENSURE((header.flags & ~kFlagPayloadCrc) == 0, Code::kDataLoss)
      << "[frame] unknown flags " << header.flags;
  OFL_ENSURE(header.payload_length <= MaxPayload(header.type), Code::kDataLoss)
      << "[frame] payload too long for a " << FrameTypeName(header.type) << " frame: got "
      << header.payload_length << " bytes; expected at most " << MaxPayload(header.type);
  return header;
}

uint64_t JobHash(std::string_view job_id) {
  Sha256 hash;
  hash.Add(job_id);
  return std::strtoull(hash.HexDigest().substr(0, 16).c_str(), nullptr, 16);
}

}  // namespace ofl::transport
