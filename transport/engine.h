// The Transport over any Wire: one I/O thread and one connection a peer.
//
// Threads: a call puts its command into a mailbox; whoever holds the state (the I/O thread, or the
// caller if it is free) carries the mailbox out, so that a small message leaves on the caller's own
// thread and nobody waits for a lock. Callbacks are run by the I/O thread without any lock.
// Forks: the connections stay the parent's. In the child every call fails at once and sends
// nothing; an operation's callback runs within the call, for there is no I/O thread. The child must
// not destroy an engine: that would take its sockets out of the set that the parent waits on.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "oneflow_like/base/fork.h"
#include "transport/protocol.h"
#include "transport/wire.h"

namespace ofl::transport {

struct EngineOptions {
  int rank = 0;
  int world_size = 1;
  // How long the I/O thread looks for bytes before it sleeps, while operations are pending: waking
  // costs more than a small message. Zero where processes outnumber cores.
  std::chrono::microseconds spin{50};
  // How long a goodbye may take to reach a peer.
  std::chrono::milliseconds linger{2'000};
};

class Engine final : public Transport {
 public:
  // `connections[r]` speaks to rank r; null for the own rank.
  Engine(EngineOptions options, std::unique_ptr<Wire> wire,
         std::vector<std::unique_ptr<Connection>> connections);
  // As Shutdown(OK); returns within about twice `linger` unless a callback blocks.
  ~Engine() override;

  int rank() const override { return options_.rank; }
  int world_size() const override { return options_.world_size; }
  void Send(int dst, const Tag& tag, ConstBytes payload, Done done) override;
  void Recv(int src, const Tag& tag, MutableBytes into, Done done) override;
  void RecvAny(int src, const Tag& tag, size_t max_bytes, TextDone done, Awaited awaited) override;
  Status OpenEdge(EdgeReceiver edge) override;
  Status OpenEdge(EdgeSender edge) override;
  void Push(uint64_t plan_id, int64_t edge_id, int64_t piece, uint32_t stamp, ConstBytes payload,
            Done done) override;
  void ReturnCredit(uint64_t plan_id, int64_t edge_id, int64_t piece) override;
  void ClosePlan(uint64_t plan_id) override;
  Counters counters() const override;
  void SetFailureHandler(std::function<void(Status)> handler) override;
  void Shutdown(Status why) override;

 private:
  struct Command {
    enum class Kind { kSend, kRecv, kRecvAny, kPush, kCredit } kind;
    int peer = -1;
    Tag tag;
    EdgeKey edge;
    int64_t piece = 0;
    uint32_t stamp = 0;
    ConstBytes payload;
    MutableBytes into;
    size_t max_bytes = 0;
    Done done;
    TextDone text_done;
    Awaited awaited = Awaited::kSurely;
  };
  // 1 open; 2 draining: nothing more to say, waiting for the peer's end; 3 closed.
  enum class Phase { kOpen = 1, kDraining, kClosed };
  struct Peer {
    std::unique_ptr<Connection> connection;
    Link* link = nullptr;
    Phase phase = Phase::kClosed;
    bool write_closed = false;
    bool reported = false;
    TimePoint drain_deadline;
  };

  bool forked() const { return forks_ != ForkCount(); }
  Status CheckNotForked() const;
  void Submit(Command command);
  // With the state held:
  void DrainMailbox();
  void Execute(Command command, TimePoint now);
  Connection* FindPeer(int peer, const char* what, Status* why);
  Connection* FindEdgePeer(const Command& command);
  bool PumpRead(int rank, TimePoint now);
  bool PumpWrite(int rank, size_t budget);
  bool PumpPeers(TimePoint now);
  void Settle(int rank, TimePoint now);
  bool all_closed() const;
  bool has_output() const;
  bool expects_input() const;
  // Without it:
  void NotifyIo();
  void RunBatch(Effects* batch);
  void Run();

  const EngineOptions options_;
  const uint32_t forks_ = ForkCount();
  const std::unique_ptr<Wire> wire_;

  std::mutex mailbox_mutex_;
  std::vector<Command> mailbox_;
  std::atomic<size_t> mailbox_size_{0};

  mutable std::mutex state_mutex_;  // guards all from here to the next blank line
  std::condition_variable changed_;
  std::vector<Peer> peers_;
  std::vector<Command> draining_;
  std::unordered_map<EdgeKey, int, EdgeKeyHash> receiver_peers_;
  std::unordered_map<EdgeKey, int, EdgeKeyHash> sender_peers_;
  Effects effects_;
  uint64_t batches_started_ = 0;
  uint64_t batches_finished_ = 0;
  std::function<void(Status)> failure_handler_;
  Status first_failure_;
  bool failure_told_ = false;
  bool shut_down_ = false;

  std::vector<char> ready_;       // I/O thread only
  std::vector<char> want_write_;  // I/O thread only
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> notified_{false};
  std::atomic<bool> exit_{false};
  std::vector<std::byte> junk_;
  std::thread io_thread_;
};

}  // namespace ofl::transport
