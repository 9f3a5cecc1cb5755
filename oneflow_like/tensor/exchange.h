// Eager messages between ranks, guarded against ranks that run different programs.
//
// Every exchange with a peer takes the next number of that pair. Each side first sends a header
// with a hash of what it is doing and a text that names it; small payloads ride on the header,
// large ones follow when the headers agree, so a mismatch is an error on both sides and nothing
// is overwritten or left waiting. A collective also compares what its ranks have drawn from the
// job's generator, and how the tensor was made, without further messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"
#include "oneflow_like/tensor/generator.h"

namespace ofl::tensor {

struct PeerMessage {
  int peer = 0;
  std::vector<std::byte> outgoing;
  int64_t incoming_bytes = 0;
  std::vector<std::byte> incoming;  // filled by Exchange
};

// What the ranks of a collective must have in common beside the operation.
struct Stamp {
  DrawHistory::Summary draws;
  std::optional<uint64_t> claim;  // of the tensor, where this rank holds some of it
};
// With this rank's draws so far.
Stamp CollectiveStamp();

// The error on rank `self` where `peer` has drawn otherwise. Any thread.
Status DrawsDiffer(int peer, const DrawHistory::Summary& theirs, int self,
                   const DrawHistory::Summary& mine, const std::string& noticed_by);

// The error on rank `self` where `other` made `what` of something else. Any thread.
Status ClaimsDiffer(const std::string& other, int self, const std::string& what);

// Blocks until every peer's message has arrived. `what` names the operation for the error text;
// `hash` must be equal on both ends, and so must the stamps of a collective (null: it is none).
// kFailedPrecondition on a mismatch names both operations, or the last draws on both sides;
// a lost or late peer gives the transport's error (kUnavailable, kDeadlineExceeded).
Status Exchange(std::vector<PeerMessage>& messages, uint64_t hash, const std::string& what,
                const Stamp* stamp = nullptr);

// As Exchange, but payload sizes are not known beforehand (at most kMaxTextBytes each).
inline constexpr int64_t kMaxTextBytes = 16384;
Result<std::vector<std::string>> ExchangeTexts(const std::vector<int>& peers,
                                               const std::string& mine, uint64_t hash,
                                               const std::string& what,
                                               const Stamp* stamp = nullptr);

uint64_t HashText(std::string_view text);

}  // namespace ofl::tensor
