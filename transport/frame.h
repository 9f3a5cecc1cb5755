// The header that precedes every payload on the wire. docs/wire.md describes the conversation.
//
//   byte 0        4        6        8                16               24               32
//        +--------+--------+--------+----------------+----------------+----------------+
//        | magic  | version| type   | job (hash)     | epoch          | channel        |
//        +--------+--------+--------+----------------+----------------+----------------+
//        32               40               48       52       56       60       64
//        +----------------+----------------+--------+--------+--------+--------+
//        | item           | sequence       | source | dest.  | part   | flags  |
//        +----------------+----------------+--------+--------+--------+--------+
//        64               72       76       80
//        +----------------+--------+--------+
//        | payload length | CRC of | CRC of |   then `payload length` bytes
//        |                | payload| header |
//        +----------------+--------+--------+
//
// All fields are little-endian. The header's CRC32C covers bytes 0..75; the payload's is set only
// when kFlagPayloadCrc is. Nothing on the wire is a pointer.
//
//   type      channel   item             sequence   payload
//   hello     0         0                0          Hello (control.proto)
//   message   tag's     0                tag's      at most kEagerBytes
//   request   tag's     announced bytes  tag's      none: may I send so much?
//   grant     tag's     announced bytes  tag's      none: the receiver's memory is ready
//   refuse    tag's     announced bytes  tag's      none: the receiver expects another size
//   data      tag's     announced bytes  tag's      exactly the granted bytes
//   piece     plan id   edge id          piece      exactly the edge's bytes; `part` is the stamp
//   credit    plan id   edge id          piece      none
//   goodbye   0         0                0          Goodbye (control.proto)
//   join, table, refusal: the rendezvous (rendezvous.h); at most kMaxControlBytes
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"

namespace ofl::transport {

inline constexpr uint32_t kMagic = 0x574C464Fu;  // "OFLW"
inline constexpr uint16_t kWireVersion = 1;
inline constexpr size_t kHeaderBytes = 80;
// A tagged message up to this size travels at once; a larger one asks first, so that nothing large
// is ever buffered by the receiver.
inline constexpr size_t kEagerBytes = 64 << 10;
// Hello, goodbye and rendezvous frames; also what a stranger can make us allocate.
inline constexpr size_t kMaxControlBytes = 64 << 10;
// The rendezvous table of the largest world we accept.
inline constexpr size_t kMaxTableBytes = 1 << 20;
// No payload of any kind is longer.
inline constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 40;

enum class FrameType : uint16_t {
  kHello = 1,
  kMessage,
  kRequest,
  kGrant,
  kRefuse,
  kData,
  kPiece,
  kCredit,
  kGoodbye,
  kJoin,
  kTable,
  kRefusal,
};
const char* FrameTypeName(FrameType type);

inline constexpr uint32_t kFlagPayloadCrc = 1;
// The destination of a frame to a peer that has not said who it is.
inline constexpr uint32_t kNoRank = 0xFFFFFFFFu;

struct FrameHeader {
  FrameType type = FrameType::kHello;
  uint64_t job = 0;
  uint64_t epoch = 0;
  uint64_t channel = 0;
  uint64_t item = 0;
  uint64_t sequence = 0;
  uint32_t source = 0;
  uint32_t destination = 0;
  uint32_t part = 0;
  uint32_t flags = 0;
  uint64_t payload_length = 0;
  uint32_t payload_crc = 0;
  bool operator==(const FrameHeader&) const = default;
};

using HeaderBytes = std::array<std::byte, kHeaderBytes>;

HeaderBytes EncodeHeader(const FrameHeader& header);
// kDataLoss: not our protocol, another version, a corrupt header, an unknown type or flag, or a
// length above what its type may ever have.
Result<FrameHeader> DecodeHeader(std::span<const std::byte, kHeaderBytes> bytes);

// The number that stands for a job's name in headers.
uint64_t JobHash(std::string_view job_id);

}  // namespace ofl::transport
