// How the ranks of a job find each other, without I/O. Rank 0 collects who listens where and tells
// everybody; the connections between ranks then follow from that table.
//
//   rank r --- join (identity, endpoint) ---> rank 0      each on a connection of its own
//   rank r <-- table (all endpoints) -------- rank 0      once all have come
//   rank r <-- refusal (why) ---------------- rank 0      duplicate, other job, deadline, or ranks
//                                                         that do not compute alike
//
// Threads: none; the driver serialises the calls. Deadlines come as OnTimer with an injected clock.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "transport/protocol.h"

namespace ofl::transport {

struct Endpoint {
  std::string host;  // numeric
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

struct JoinRequest {
  Identity who;
  Endpoint endpoint;
};

// A control frame as it goes over the wire; `Decode...` refuse what is not well-formed (kDataLoss).
std::string EncodeControl(FrameType type, const Identity& self, std::string_view payload);
std::string EncodeJoin(const JoinRequest& join);
Result<JoinRequest> DecodeJoin(std::string_view payload);
std::string EncodeTable(const std::vector<Endpoint>& table);
Result<std::vector<Endpoint>> DecodeTable(std::string_view payload);
std::string EncodeRefusal(const Status& why);
Status DecodeRefusal(std::string_view payload);

// Rank 0's side.
class RendezvousServer {
 public:
  RendezvousServer(Identity self, Endpoint own, std::chrono::milliseconds timeout, TimePoint now);

  struct Reply {
    int connection;
    FrameType type;  // table or refusal; the connection ends after it
    std::string payload;
  };
  struct Step {
    std::vector<Reply> replies;
    std::vector<std::string> progress;  // lines for the log
  };
  // `connection` is the driver's name for where the request came from.
  void OnJoin(int connection, const JoinRequest& join, Step* step);
  // A rank that goes before the table is complete may come again.
  void OnLost(int connection);
  void OnTimer(TimePoint now, Step* step);
  // Ranks whose processes have ended: those that have not come never will.
  void OnEnded(const std::vector<int>& ranks, Step* step);

  bool complete() const { return table_.has_value(); }
  const std::optional<std::vector<Endpoint>>& table() const { return table_; }
  // Not OK: the rendezvous failed; the text names the missing ranks.
  const Status& failure() const { return failure_; }

 private:
  std::string Missing() const;
  // The failure, to every rank that has come.
  void RefuseAll(Step* step) const;

  struct Member {
    int connection;
    Endpoint endpoint;
  };
  const Identity self_;
  const std::chrono::milliseconds timeout_;
  const TimePoint deadline_;
  TimePoint next_progress_;
  std::map<int, Member> members_;
  std::optional<std::vector<Endpoint>> table_;
  Status failure_;
};

// The other ranks' side: connect, join, wait.
class RendezvousClient {
 public:
  RendezvousClient(Identity self, std::string server, std::chrono::milliseconds timeout,
                   TimePoint now);

  // Rank 0 does not listen yet: how long to wait before the next attempt.
  std::chrono::milliseconds OnConnectFailed(const std::string& cause);
  void OnJoined() { joined_ = true; }
  void OnReply(FrameType type, std::string_view payload);
  void OnLost(const std::string& cause);
  // Appends to `progress` what a waiting user should read.
  void OnTimer(TimePoint now, std::vector<std::string>* progress);

  const std::optional<std::vector<Endpoint>>& table() const { return table_; }
  const Status& failure() const { return failure_; }

 private:
  const Identity self_;
  const std::string server_;
  const std::chrono::milliseconds timeout_;
  const TimePoint deadline_;
  TimePoint next_progress_;
  int attempts_ = 0;
  bool joined_ = false;
  std::string last_cause_ = "no attempt was made";
  std::optional<std::vector<Endpoint>> table_;
  Status failure_;
};

// "ranks 1, 3 of 4".
std::string NameRanks(const std::vector<int>& ranks, int world_size);
// The failure of a meeting for which these ranks never come.
Status EndedEarly(const std::vector<int>& ranks, int world_size);

}  // namespace ofl::transport
