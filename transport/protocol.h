// One connection's protocol, without I/O: events in, bytes to write and callbacks to run out.
// Clock and bytes are injected, so that every interleaving can be tested in one thread.
//
//   1 greeting     our hello is queued; only the peer's hello is accepted
//   2 established  frames flow both ways
//   3 left         the peer said goodbye: nothing more comes, every operation on it fails
//   4 failed       lost, or the protocol was broken: as 3, with the first cause
//
// Threads: none; the owner serialises all calls. Callbacks are never run here: they are appended to
// `Effects`, and the owner runs them afterwards, in order, on the transport's I/O thread.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "transport/edges.h"
#include "transport/frame.h"
#include "transport/transport.h"

namespace ofl::proto {
class Hello;
}

namespace ofl::transport {

using TimePoint = std::chrono::steady_clock::time_point;
using TextDone = std::function<void(Result<std::string>)>;

struct DoneCall {
  Done done;
  Status status;
};
struct TextCall {
  TextDone done;
  Result<std::string> text;
};
// The edge is shared by its connection and by calls not yet run, so that ClosePlan can forget it.
struct PieceCall {
  std::shared_ptr<ReceiverEdge> edge;
  int64_t piece;
  uint32_t stamp;
};
struct CreditCall {
  std::shared_ptr<SenderEdge> edge;
  int64_t piece;
};
using Effect = std::variant<DoneCall, TextCall, PieceCall, CreditCall>;
using Effects = std::vector<Effect>;
// Runs one callback, unless its plan was closed.
void RunEffect(Effect& effect);

// Who this process is; equal on both ends but for the rank.
struct Identity {
  std::string job_id;
  uint64_t epoch = 0;
  int rank = 0;
  int world_size = 1;
  std::string build_id;
  // What equal bits depend on besides the build ("CPU level v4, BLAS core SkylakeX"): compared,
  // unless `mixed` says that the job does without equal bits. The job decides: `mixed` is compared.
  std::string arithmetic;
  bool mixed = false;
};
// Changes with anything that must be equal on all ranks of a job.
std::string BuildId();
// kFailedPrecondition names the first difference and how to mend it.
Status CheckSameJob(const Identity& mine, const Identity& theirs);
// The same for members of one job whose results would differ. No member can mend it by coming
// again, so it ends the job.
Status CheckSameArithmetic(const Identity& mine, const Identity& theirs);
void ToProto(const Identity& self, proto::Hello* hello);
Identity FromProto(const proto::Hello& hello);

struct ConnectionOptions {
  Identity self;
  int peer = -1;  // -1: whoever says hello
  bool checksum_payload = false;
  std::chrono::milliseconds operation_timeout{300'000};
  std::chrono::milliseconds handshake_timeout{5'000};
  // Bound on messages that arrived before their Recv was posted; only small ones travel unasked.
  size_t max_buffered_bytes = 64 << 20;
};

class Connection {
 public:
  enum class State { kGreeting = 1, kEstablished, kLeft, kFailed };

  Connection(ConnectionOptions options, TimePoint now);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // --- What the local user asks for; contracts in transport.h.
  void Send(const Tag& tag, ConstBytes payload, Done done, TimePoint now, Effects* effects);
  void Recv(const Tag& tag, MutableBytes into, Done done, TimePoint now, Effects* effects);
  void RecvAny(const Tag& tag, size_t max_bytes, TextDone done, Transport::Awaited awaited,
               TimePoint now, Effects* effects);
  Status OpenEdge(EdgeReceiver edge);
  Status OpenEdge(EdgeSender edge);
  void Push(const EdgeKey& key, int64_t piece, uint32_t stamp, ConstBytes payload, Done done,
            TimePoint now, Effects* effects);
  void ReturnCredit(const EdgeKey& key, int64_t piece, Effects* effects);
  // Forgets the plan's edges and unsent pieces; their callbacks never run. Memory lent to it is
  // not touched afterwards.
  void ClosePlan(uint64_t plan_id);
  // Queues a goodbye (after everything queued before, when `why` is OK), and fails what is pending.
  void Shutdown(const Status& why, Effects* effects);

  // --- What the wire does.
  // Where the next bytes from the peer go; empty when no more are wanted.
  MutableBytes WantRead();
  void OnRead(size_t bytes, TimePoint now, Effects* effects);
  // Fills `out` with what to write next and answers how many entries are used.
  size_t WantWrite(std::span<ConstBytes> out) const;
  void OnWritten(size_t bytes, Effects* effects);
  // The wire broke or ended (OK: the peer closed it).
  void OnLost(const Status& cause, Effects* effects);
  // Fails what has waited too long. To be called at least every second or so.
  void OnTimer(TimePoint now, Effects* effects);

  // --- What is known.
  State state() const { return state_; }
  int peer() const { return options_.peer; }
  bool has_output() const { return !output_.empty(); }
  // Operations wait for bytes from the peer, soon to come.
  bool expects_input() const { return !posted_.empty() || !asking_.empty() || !receivers_.empty(); }
  // Why nothing more can be done with this peer; OK while established.
  const Status& failure() const { return failure_; }
  // The failure concerns this process: false after a clean goodbye that cut nothing off.
  bool failure_counts() const { return failure_counts_; }
  const Counters& counters() const { return counters_; }

 private:
  struct TagHash {
    size_t operator()(const Tag& tag) const {
      return (tag.channel ^ tag.sequence * 0x9E3779B97F4A7C15ull) + tag.part * 0x85EBCA6Bull;
    }
  };
  // A posted Recv (done) or RecvAny (text_done).
  struct Posted {
    MutableBytes into;
    Done done;
    size_t max_bytes = 0;
    TextDone text_done;
    std::string text;
    TimePoint deadline;
    std::optional<uint64_t> granted;  // bytes the peer was allowed to send
    Transport::Awaited awaited = Transport::Awaited::kSurely;
  };
  // A large Send that waits for the receiver's memory.
  struct Asking {
    ConstBytes payload;
    Done done;
    TimePoint deadline;
  };
  static constexpr size_t kEarlyOverhead = 256;  // what an early message costs besides its payload
  // What arrived before its Recv: a small message, or the request of a large one.
  struct Early {
    std::string payload;
    std::optional<uint64_t> announced;
  };
  struct Output {
    HeaderBytes header;
    FrameType type;
    ConstBytes payload;
    std::string owned;  // backs `payload` of control frames
    Done done;
    EdgeKey edge;  // of a piece or credit
    TimePoint deadline;
  };
  // What the payload being read belongs to.
  enum class Reading { kHeader, kControl, kDiscard, kEarly, kPosted, kPiece };

  // protocol.cc: the wire's side; handshake.cc: its beginning and end.
  FrameHeader MakeHeader(FrameType type) const;
  void Enqueue(FrameHeader header, ConstBytes payload, Done done, TimePoint deadline);
  void EnqueueControl(FrameType type, std::string payload);
  void OnHeader(TimePoint now, Effects* effects);
  Status CheckSender(const FrameHeader& header) const;
  Status Accept(TimePoint now, Effects* effects);
  Status AcceptMessage(Effects* effects);
  Status AcceptRequest(Effects* effects);
  Status AcceptGrant(TimePoint now, Effects* effects);
  Status AcceptData();
  Status AcceptPiece();
  Status AcceptCredit(Effects* effects);
  void OnPayload(Effects* effects);
  Status FinishControl(Effects* effects);
  Status OnHello();
  void OnGoodbye(const std::string& payload, Effects* effects);
  void ReadInto(Reading reading, MutableBytes into);
  void ReadNextHeader();
  void FailPending(const Status& cause, Effects* effects);
  void Fail(Status cause, bool tell_peer, Effects* effects);
  std::string PeerName() const;

  // operations.cc: the user's side.
  void Post(const Tag& tag, Posted posted, Effects* effects);
  void MeetEarly(const Tag& tag, Posted posted, Early early, Effects* effects);
  void Answer(FrameType type, const Tag& tag, uint64_t bytes);
  static bool Fits(const Posted& posted, uint64_t bytes);
  static MutableBytes Destination(Posted* posted, uint64_t bytes);
  void Complete(Posted posted, Status status, Effects* effects);
  Status WrongSize(const Posted& posted, const Tag& tag, uint64_t bytes) const;
  bool has_pending() const;

  ConnectionOptions options_;
  const uint64_t job_;
  State state_ = State::kGreeting;
  Status failure_;
  bool failure_counts_ = false;
  bool said_goodbye_ = false;
  TimePoint handshake_deadline_;
  Counters counters_;

  HeaderBytes header_bytes_;
  FrameHeader header_;
  Reading reading_ = Reading::kHeader;
  MutableBytes destination_;  // the part still missing
  MutableBytes whole_;        // the whole payload, for its checksum
  uint64_t discard_left_ = 0;
  std::string incoming_;  // payload of control frames and early messages
  std::shared_ptr<ReceiverEdge> reading_edge_;

  std::deque<Output> output_;
  size_t output_written_ = 0;  // bytes of output_.front() already on the wire

  std::unordered_map<Tag, Posted, TagHash> posted_;
  std::unordered_map<Tag, Asking, TagHash> asking_;
  std::unordered_map<Tag, Early, TagHash> early_;
  size_t early_bytes_ = 0;
  std::unordered_map<EdgeKey, std::shared_ptr<ReceiverEdge>, EdgeKeyHash> receivers_;
  std::unordered_map<EdgeKey, std::shared_ptr<SenderEdge>, EdgeKeyHash> senders_;
  std::deque<uint64_t> closed_plans_;  // the latest few: their late frames are no offence
};

}  // namespace ofl::transport
