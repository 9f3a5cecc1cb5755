// Bytes between ranks. Two services over one set of connections:
//
//  - edges of a plan: one-sided pushes into a register the receiver has lent out, with credits;
//  - tagged messages: for eager collectives, handshakes and control.
//
// Threads: all methods are thread-safe; callbacks run on the transport's I/O thread, never inside
// the call that registered them, and must not block.
// Failure: a lost peer fails every pending operation that needs it with kUnavailable and calls
// on_failure once; the first cause wins. Every wait has a deadline.
// Ownership: memory given to Send or lent by OpenEdge must stay valid until its callback ran or
// the plan was closed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/base/status.h"

namespace ofl::transport {

inline constexpr int kMaxWorldSize = 65536;  // ranks of a job

using Done = std::function<void(Status)>;

// Names a tagged message. Both ends must agree; kinds keep eager traffic, handshakes and
// sessions apart.
struct Tag {
  uint64_t channel = 0;   // e.g. hash of the group of ranks
  uint64_t sequence = 0;  // position in that channel's numbered order
  uint32_t part = 0;
  bool operator==(const Tag&) const = default;
};

// The receiving end of an edge. `memory(piece)` is where piece's payload goes; it is called on the
// I/O thread and must answer from state fixed at OpenEdge.
struct EdgeReceiver {
  uint64_t plan_id = 0;
  int64_t edge_id = 0;
  int src = 0;
  int64_t bytes = 0;                // exact payload of every piece; other lengths are refused
  int credits = 1;                  // pieces the sender may have outstanding
  std::vector<MutableBytes> slots;  // piece k goes to slots[k % credits]
  std::function<void(int64_t piece, uint32_t stamp)> on_piece;
  // After the last on_piece, if the sender finishes and leaves: no further piece will come.
  Done on_left;
};
// The sending end: told when the receiver returned a credit.
struct EdgeSender {
  uint64_t plan_id = 0;
  int64_t edge_id = 0;
  int dst = 0;
  int64_t bytes = 0;
  int credits = 1;
  std::function<void(int64_t piece)> on_credit;  // the receiver has finished reading `piece`
  Done on_left;                                  // the receiver has finished and left
};

struct Counters {
  int64_t frames_sent = 0;  // of every kind, credits and greetings included
  int64_t frames_received = 0;
  int64_t messages_sent = 0;  // tagged messages
  int64_t messages_received = 0;
  int64_t pieces_sent = 0;  // pieces of plan edges
  int64_t pieces_received = 0;
  int64_t payload_bytes_sent = 0;  // of messages and pieces
  int64_t payload_bytes_received = 0;
  int64_t payload_copies = 0;  // times a payload was copied inside the transport
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Tagged messages. `payload` must live until `done`. Messages of one (pair, tag) are unique; Send
  // and Recv may come in either order. A large message leaves once its Recv is posted, so `done`
  // of a Send may wait for it.
  virtual void Send(int dst, const Tag& tag, ConstBytes payload, Done done) = 0;
  // The payload must have exactly `into.size()` bytes, else kDataLoss here, and at the sender too
  // if the message was large. `into` must live until `done`.
  virtual void Recv(int src, const Tag& tag, MutableBytes into, Done done) = 0;
  // For control messages of unknown size, up to `max_bytes`. A peer that finishes and leaves
  // without having sent one that is only kIfSent ends the receive, and is no failure of the job.
  enum class Awaited : uint8_t { kSurely, kIfSent };
  virtual void RecvAny(int src, const Tag& tag, size_t max_bytes,
                       std::function<void(Result<std::string>)> done,
                       Awaited awaited = Awaited::kSurely) = 0;

  // Plan edges. Open all of a plan's edges before the peers push (a Barrier in between does it).
  // Push needs a credit for the piece (else kFailedPrecondition) and pieces go in order from 0;
  // `done` says that `payload` may be changed, not that it has arrived. `stamp` travels in the
  // frame's header, for the receiver to compare with what it expects.
  virtual Status OpenEdge(EdgeReceiver edge) = 0;
  virtual Status OpenEdge(EdgeSender edge) = 0;
  virtual void Push(uint64_t plan_id, int64_t edge_id, int64_t piece, uint32_t stamp,
                    ConstBytes payload, Done done) = 0;
  virtual void ReturnCredit(uint64_t plan_id, int64_t edge_id, int64_t piece) = 0;
  // Forgets the plan's edges. Once it returns, memory of the plan is not touched and its callbacks
  // do not run, pending ones included; hold no lock that they take. (Called within a callback, it
  // does not wait, and a Done of a push already sent may still run.) A plan id is used once.
  virtual void ClosePlan(uint64_t plan_id) = 0;

  virtual Counters counters() const = 0;
  // Called once with the first failure of any peer (rank named in the message).
  virtual void SetFailureHandler(std::function<void(Status)> handler) = 0;
  // Tells all peers why this rank gives up, then closes; everything pending fails with kCancelled.
  // OK: this rank has finished; what it sent before still arrives. Idempotent; waits for the wire
  // at most a few seconds, and not at all within a callback.
  virtual void Shutdown(Status why) = 0;
};

struct WorldConfig {
  int rank = 0;
  int world_size = 1;
  int local_world_size = 1;
  std::string master_addr = "127.0.0.1";
  int master_port = 0;
  std::string job_id;
  uint64_t epoch = 0;
  bool checksum_payload = false;
  std::string arithmetic;   // what equal bits depend on; ranks that differ are refused,
  bool mixed_cpus = false;  // unless all of them say this
  std::chrono::milliseconds rendezvous_timeout{60'000};
  std::chrono::milliseconds operation_timeout{300'000};
  std::function<bool()> interrupted;  // asked while meeting: should the wait end? (Ctrl-C)
};

// Meets the other ranks at master_addr:master_port and connects to each. kDeadlineExceeded names
// the ranks that are missing; kUnavailable says a port is taken.
Result<std::unique_ptr<Transport>> ConnectTcp(const WorldConfig& config);

// A world of one: every operation on a peer fails.
std::unique_ptr<Transport> SoloTransport();

}  // namespace ofl::transport
