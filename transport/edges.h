// Credit bookkeeping of plan edges, without I/O. Piece k lives in slot k % credits; a slot's state
// says which end may touch it.
//
//   sender's view    1 free --push k--> 2 lent (holds k) --credit k--> 1
//   receiver's view  1 empty --header of k--> 2 filling --last byte--> 3 full --ReturnCredit--> 1
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "transport/transport.h"

namespace ofl::transport {

struct EdgeKey {
  uint64_t plan_id = 0;
  int64_t edge_id = 0;
  bool operator==(const EdgeKey&) const = default;
};
struct EdgeKeyHash {
  size_t operator()(const EdgeKey& key) const {
    return key.plan_id * 0x9E3779B97F4A7C15ull ^ static_cast<uint64_t>(key.edge_id);
  }
};
std::string ToString(const EdgeKey& key);

// The sending end. Not thread-safe, but for `closed`.
class SenderEdge {
 public:
  explicit SenderEdge(EdgeSender edge);
  static Status Validate(const EdgeSender& edge);

  // Takes the slot of `piece`. kFailedPrecondition: no credit, or not the next piece.
  Status Take(int64_t piece, size_t bytes);
  // The peer has finished with `piece`. kDataLoss: it never had it, or said so before.
  Status Return(int64_t piece);

  const EdgeSender& edge() const { return edge_; }
  std::atomic<bool> closed{false};  // set once: its callback must not run any more

 private:
  EdgeSender edge_;
  int64_t next_piece_ = 0;
  std::vector<int64_t> lent_;  // piece held by each slot, -1 when free
};

// The receiving end. Not thread-safe, but for `closed`.
class ReceiverEdge {
 public:
  explicit ReceiverEdge(EdgeReceiver edge);
  static Status Validate(const EdgeReceiver& edge);

  // A header announced `piece`; answers where its payload goes. kDataLoss: wrong length, a piece
  // out of order or repeated, or no credit was out for it.
  Result<MutableBytes> Begin(int64_t piece, uint64_t bytes);
  void Finish(int64_t piece);
  // The owner has finished reading `piece`. kFailedPrecondition: the slot does not hold it.
  Status Return(int64_t piece);

  const EdgeReceiver& edge() const { return edge_; }
  std::atomic<bool> closed{false};

 private:
  static constexpr int64_t kEmpty = -1;
  EdgeReceiver edge_;
  int64_t next_piece_ = 0;
  int64_t filling_ = kEmpty;
  std::vector<int64_t> full_;  // piece held by each slot, kEmpty when lent to the peer
};

}  // namespace ofl::transport
