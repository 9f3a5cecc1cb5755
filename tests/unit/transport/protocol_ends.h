// Ends of a connection for tests of the protocol in one thread: two of them and the bytes between,
// or one and frames forged by the test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/protocol.h"

namespace ofl::transport {

inline const TimePoint kStart{};

inline ConnectionOptions Options(int rank, int peer) {
  ConnectionOptions options;
  options.self = {.job_id = "job",
                  .epoch = 3,
                  .rank = rank,
                  .world_size = 4,
                  .build_id = BuildId(),
                  .arithmetic = "CPU level v4"};
  options.peer = peer;
  options.operation_timeout = std::chrono::seconds(10);
  return options;
}

inline MutableBytes Into(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

// One end with its log of what it told its user.
struct End {
  explicit End(ConnectionOptions options) : connection(std::move(options), kStart) {}

  void Settle() {
    Effects due;
    due.swap(effects);
    for (Effect& effect : due) RunEffect(effect);
  }
  Done Logs(std::string what) {
    return [this, what](Status status) {
      log.push_back(what + (status.ok() ? "" : ": " + status.message()));
      statuses.push_back(std::move(status));
    };
  }
  TextDone LogsText(std::string what) {
    return [this, what](Result<std::string> text) {
      log.push_back(what + ": " + (text.ok() ? *text : text.status().message()));
    };
  }
  std::string Output() {
    std::string bytes;
    std::array<ConstBytes, 3> parts;
    while (const size_t used = connection.WantWrite(parts)) {
      size_t size = 0;
      for (size_t i = 0; i < used; ++i) {
        bytes.append(AsText(parts[i]));
        size += parts[i].size();
      }
      connection.OnWritten(size, &effects);
    }
    Settle();
    return bytes;
  }
  // Feeds bytes, at most `chunk` at once; what is not wanted is left out.
  void Feed(std::string_view bytes, size_t chunk = SIZE_MAX) {
    while (!bytes.empty()) {
      MutableBytes into = connection.WantRead();
      if (into.empty()) return;
      const size_t size = std::min({into.size(), bytes.size(), chunk});
      std::memcpy(into.data(), bytes.data(), size);
      connection.OnRead(size, now, &effects);
      Settle();
      bytes.remove_prefix(size);
    }
  }
  bool failed() const { return connection.state() == Connection::State::kFailed; }

  Connection connection;
  TimePoint now = kStart;
  Effects effects;
  std::vector<std::string> log;
  std::vector<Status> statuses;
};

inline void Exchange(End& a, End& b, size_t chunk = SIZE_MAX) {
  for (bool moved = true; moved;) {
    const std::string to_b = a.Output();
    b.Feed(to_b, chunk);
    const std::string to_a = b.Output();
    a.Feed(to_a, chunk);
    moved = !to_a.empty() || !to_b.empty();
  }
}

inline FrameHeader Header(FrameType type) {
  FrameHeader header;
  header.type = type;
  header.job = JobHash("job");
  header.epoch = 3;
  header.source = 1;
  header.destination = 0;
  return header;
}
inline std::string Frame(FrameHeader header, std::string_view payload = "") {
  header.payload_length = payload.size();
  return std::string(AsText(EncodeHeader(header))).append(payload);
}

// Rank 0's end, established with a rank 1 that is then played by the test.
struct Established : End {
  explicit Established(ConnectionOptions options = Options(0, 1)) : End(std::move(options)) {
    End peer(Options(1, 0));
    Exchange(*this, peer);
    EXPECT_EQ(connection.state(), Connection::State::kEstablished);
  }
  void OpenReceiver(int credits) {
    slots.assign(static_cast<size_t>(credits), std::string(4, 'x'));
    EdgeReceiver edge{.plan_id = 5, .edge_id = 6, .src = 1, .bytes = 4, .credits = credits};
    for (std::string& slot : slots) edge.slots.push_back(Into(slot));
    edge.on_piece = [this](int64_t k, uint32_t) { log.push_back("piece " + std::to_string(k)); };
    EXPECT_TRUE(connection.OpenEdge(std::move(edge)).ok());
  }
  void OpenSender(int credits) {
    EdgeSender edge{.plan_id = 5, .edge_id = 7, .dst = 1, .bytes = 4, .credits = credits};
    edge.on_credit = [this](int64_t k) { log.push_back("credit " + std::to_string(k)); };
    EXPECT_TRUE(connection.OpenEdge(std::move(edge)).ok());
  }
  void FeedPiece(int64_t piece, std::string_view payload) {
    FrameHeader header = Header(FrameType::kPiece);
    header.channel = 5;
    header.item = 6;
    header.sequence = static_cast<uint64_t>(piece);
    Feed(Frame(header, payload));
  }
  std::vector<std::string> slots;
};

}  // namespace ofl::transport
