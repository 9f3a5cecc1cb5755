#include "transport/rendezvous.h"

#include <algorithm>

#include "oneflow_like/proto/control.pb.h"

namespace ofl::transport {

namespace {

constexpr std::chrono::seconds kProgressEvery{10};
// A rank that has joined waits longer than rank 0 does: rank 0 knows who is missing.
constexpr std::chrono::seconds kGrace{5};
constexpr size_t kMaxNamed = 16;
constexpr uint32_t kMaxPort = 65535;

std::string Seconds(std::chrono::milliseconds time) {
  std::ostringstream text;
  text << std::chrono::duration<double>(time).count() << " s";
  return text.str();
}

}  // namespace

std::string NameRanks(const std::vector<int>& ranks, int world_size) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < std::min(ranks.size(), kMaxNamed); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  }
  if (ranks.size() > kMaxNamed) {
    text += " and " + std::to_string(ranks.size() - kMaxNamed) + " more";
  }
  return text + " of " + std::to_string(world_size);
}

std::string EncodeControl(FrameType type, const Identity& self, std::string_view payload) {
  FrameHeader header;
  header.type = type;
  header.job = JobHash(self.job_id);
  header.epoch = self.epoch;
  header.source = static_cast<uint32_t>(self.rank);
  header.destination = kNoRank;
  header.payload_length = payload.size();
  std::string frame(AsText(EncodeHeader(header)));
  return frame.append(payload);
}

std::string EncodeJoin(const JoinRequest& join) {
  proto::Join message;
  ToProto(join.who, message.mutable_hello());
  message.set_host(join.endpoint.host);
  message.set_port(join.endpoint.port);
  return message.SerializeAsString();
}

Result<JoinRequest> DecodeJoin(std::string_view payload) {
  proto::Join message;
  OFL_ENSURE(message.ParseFromArray(payload.data(), static_cast<int>(payload.size())) &&
                 message.port() >= 1 && message.port() <= kMaxPort && !message.host().empty(),
             Code::kDataLoss)
      << "[rendezvous] a join request cannot be read";
  JoinRequest join;
  join.who = FromProto(message.hello());
  join.endpoint = {message.host(), static_cast<uint16_t>(message.port())};
  return join;
}

std::string EncodeTable(const std::vector<Endpoint>& table) {
  proto::EndpointTable message;
  for (const Endpoint& endpoint : table) {
    auto* entry = message.add_endpoints();
    entry->set_host(endpoint.host);
    entry->set_port(endpoint.port);
  }
  return message.SerializeAsString();
}

Result<std::vector<Endpoint>> DecodeTable(std::string_view payload) {
  proto::EndpointTable message;
  OFL_ENSURE(message.ParseFromArray(payload.data(), static_cast<int>(payload.size())),
             Code::kDataLoss)
      << "[rendezvous] the table of endpoints cannot be read";
  std::vector<Endpoint> table;
  for (const auto& entry : message.endpoints()) {
    OFL_ENSURE(entry.port() >= 1 && entry.port() <= kMaxPort, Code::kDataLoss)
        << "[rendezvous] the table of endpoints has an impossible port: got " << entry.port();
    table.push_back({entry.host(), static_cast<uint16_t>(entry.port())});
  }
  return table;
}

std::string EncodeRefusal(const Status& why) {
  proto::Refusal message;
  message.set_code(static_cast<int>(why.code()));
  message.set_message(why.message());
  return message.SerializeAsString();
}

Status DecodeRefusal(std::string_view payload) {
  proto::Refusal message;
  const bool readable = message.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
  const bool known =
      readable && message.code() > 0 && message.code() <= static_cast<int>(Code::kInternal);
  return Status(known ? static_cast<Code>(message.code()) : Code::kUnavailable,
                readable ? message.message() : "[rendezvous] rank 0 refused without a reason");
}

RendezvousServer::RendezvousServer(Identity self, Endpoint own, std::chrono::milliseconds timeout,
                                   TimePoint now)
    : self_(std::move(self)),
      timeout_(timeout),
      deadline_(now + timeout),
      next_progress_(now + kProgressEvery) {
  members_.emplace(self_.rank, Member{-1, std::move(own)});
  if (self_.world_size == 1) table_ = std::vector<Endpoint>{members_.at(self_.rank).endpoint};
}

void RendezvousServer::OnJoin(int connection, const JoinRequest& join, Step* step) {
  Status refused = failure_;
  if (refused.ok()) refused = CheckSameJob(self_, join.who);
  if (refused.ok() && (table_ || members_.contains(join.who.rank))) {
    refused = Error(Code::kFailedPrecondition)
              << "[rendezvous] rank " << join.who.rank
              << " has already joined; give every process its own RANK";
  }
  if (!refused.ok()) {
    step->progress.push_back("refused a process that wanted to join: " + refused.message());
    step->replies.push_back({connection, FrameType::kRefusal, EncodeRefusal(refused)});
    return;
  }
  members_.emplace(join.who.rank, Member{connection, join.endpoint});
  if (failure_ = CheckSameArithmetic(self_, join.who); !failure_.ok()) {
    RefuseAll(step);
    return;
  }
  if (members_.size() < static_cast<size_t>(self_.world_size)) return;
  table_.emplace();
  for (const auto& [rank, member] : members_) table_->push_back(member.endpoint);
  const std::string payload = EncodeTable(*table_);
  for (const auto& [rank, member] : members_) {
    if (rank != self_.rank)
      step->replies.push_back({member.connection, FrameType::kTable, payload});
  }
}

void RendezvousServer::RefuseAll(Step* step) const {
  for (const auto& [rank, member] : members_) {
    if (rank == self_.rank) continue;
    step->replies.push_back({member.connection, FrameType::kRefusal, EncodeRefusal(failure_)});
  }
}

void RendezvousServer::OnLost(int connection) {
  if (table_) return;
  std::erase_if(members_, [&](const auto& entry) {
    return entry.first != self_.rank && entry.second.connection == connection;
  });
}

std::string RendezvousServer::Missing() const {
  std::vector<int> missing;
  for (int rank = 0; rank < self_.world_size; ++rank) {
    if (!members_.contains(rank)) missing.push_back(rank);
  }
  return NameRanks(missing, self_.world_size);
}

void RendezvousServer::OnTimer(TimePoint now, Step* step) {
  if (table_ || !failure_.ok()) return;
  if (now >= deadline_) {
    failure_ = Error(Code::kDeadlineExceeded)
               << "[rendezvous] timed out after " << Seconds(timeout_) << ": " << Missing()
               << " never came; start every rank with the same MASTER_ADDR, MASTER_PORT and "
                  "WORLD_SIZE, or look whether one of them ended or failed before";
    RefuseAll(step);
  } else if (now >= next_progress_) {
    next_progress_ += kProgressEvery;
    step->progress.push_back("waiting for " + Missing() + " (" + std::to_string(members_.size()) +
                             " of " + std::to_string(self_.world_size) + " are here)");
  }
}

Status EndedEarly(const std::vector<int>& ranks, int world_size) {
  return Error(Code::kUnavailable)
         << "[rendezvous] " << NameRanks(ranks, world_size)
         << " ended without meeting the others; expected every rank to make the same calls until "
            "its end; look whether `if rank == 0:` stands around a call that needs all ranks, such "
            "as x.numpy()";
}

void RendezvousServer::OnEnded(const std::vector<int>& ranks, Step* step) {
  if (table_ || !failure_.ok()) return;
  std::vector<int> missing;
  for (int rank : ranks) {
    if (rank != self_.rank && !members_.contains(rank)) missing.push_back(rank);
  }
  if (missing.empty()) return;
  failure_ = EndedEarly(missing, self_.world_size);
  RefuseAll(step);
}

RendezvousClient::RendezvousClient(Identity self, std::string server,
                                   std::chrono::milliseconds timeout, TimePoint now)
    : self_(std::move(self)),
      server_(std::move(server)),
      timeout_(timeout),
      deadline_(now + timeout),
      next_progress_(now + kProgressEvery) {}

std::chrono::milliseconds RendezvousClient::OnConnectFailed(const std::string& cause) {
  last_cause_ = cause;
  // Doubles from 10 ms to 1 s; ranks started together spread by their number.
  const int64_t base = int64_t{10} << std::min(attempts_++, 7);
  return std::chrono::milliseconds(std::min<int64_t>(base, 1000) + self_.rank % 16);
}

void RendezvousClient::OnReply(FrameType type, std::string_view payload) {
  if (!failure_.ok() || table_) return;
  if (type == FrameType::kRefusal) {
    failure_ = DecodeRefusal(payload).WithNote("told by rank 0 at " + server_);
    return;
  }
  if (type != FrameType::kTable) {
    failure_ = Error(Code::kDataLoss) << "[rendezvous] " << server_ << " sent a "
                                      << FrameTypeName(type) << " frame; expected a table";
    return;
  }
  auto table = DecodeTable(payload);
  if (table.ok() && table->size() != static_cast<size_t>(self_.world_size)) {
    failure_ = Error(Code::kDataLoss)
               << "[rendezvous] the table of endpoints has the wrong size: "
               << "got " << table->size() << "; expected " << self_.world_size;
  } else if (table.ok()) {
    table_ = std::move(table).value();
  } else {
    failure_ = table.status();
  }
}

void RendezvousClient::OnLost(const std::string& cause) {
  if (!failure_.ok() || table_) return;
  failure_ = Error(Code::kUnavailable)
             << "[rendezvous] rank 0 at " << server_
             << " went away before all ranks had come: " << cause << "; see rank 0's own error";
}

void RendezvousClient::OnTimer(TimePoint now, std::vector<std::string>* progress) {
  if (!failure_.ok() || table_) return;
  if (now >= deadline_ + (joined_ ? kGrace : std::chrono::seconds(0))) {
    failure_ = Error(Code::kDeadlineExceeded)
               << "[rendezvous] rank " << self_.rank << " timed out after " << Seconds(timeout_)
               << (joined_ ? ": rank 0 at " + server_ + " did not answer"
                           : ": rank 0 cannot be reached at " + server_ + " (" + last_cause_ + ")")
               << "; look whether rank 0 runs and MASTER_ADDR and MASTER_PORT are the same there";
  } else if (now >= next_progress_) {
    next_progress_ += kProgressEvery;
    progress->push_back(joined_ ? "joined, waiting for the other ranks"
                                : "waiting for rank 0 at " + server_ + " (" + last_cause_ + ")");
  }
}

}  // namespace ofl::transport
