// The user's side of a connection: tagged messages, edges, deadlines and goodbye.
#include <algorithm>
#include <cstring>

#include "oneflow_like/base/check.h"
#include "oneflow_like/proto/control.pb.h"
#include "transport/protocol.h"

namespace ofl::transport {

namespace {

// Late frames of this many closed plans are told from frames of plans that never existed.
constexpr size_t kRememberedPlans = 1024;

std::string ToString(const Tag& tag) {
  return "message (" + std::to_string(tag.channel) + ", " + std::to_string(tag.sequence) + ", " +
         std::to_string(tag.part) + ")";
}

}  // namespace

void Connection::Send(const Tag& tag, ConstBytes payload, Done done, TimePoint now,
                      Effects* effects) {
  if (!failure_.ok()) {
    effects->push_back(DoneCall{std::move(done), failure_});
    return;
  }
  FrameHeader header = MakeHeader(FrameType::kMessage);
  header.channel = tag.channel;
  header.sequence = tag.sequence;
  header.part = tag.part;
  const TimePoint deadline = now + options_.operation_timeout;
  if (payload.size() <= kEagerBytes) {
    Enqueue(header, payload, std::move(done), deadline);
    return;
  }
  if (payload.size() > kMaxPayloadBytes || asking_.contains(tag)) {
    effects->push_back(DoneCall{
        std::move(done), Error(Code::kInvalidArgument)
                             << "[send] " << ToString(tag) << " to " << PeerName()
                             << (asking_.contains(tag) ? " is already being sent"
                                                       : " is longer than any message may be")});
    return;
  }
  asking_.emplace(tag, Asking{payload, std::move(done), deadline});
  header.type = FrameType::kRequest;
  header.item = payload.size();
  Enqueue(header, {}, nullptr, deadline);
}

void Connection::Recv(const Tag& tag, MutableBytes into, Done done, TimePoint now,
                      Effects* effects) {
  Posted posted;
  posted.into = into;
  posted.done = std::move(done);
  posted.deadline = now + options_.operation_timeout;
  Post(tag, std::move(posted), effects);
}

void Connection::RecvAny(const Tag& tag, size_t max_bytes, TextDone done,
                         Transport::Awaited awaited, TimePoint now, Effects* effects) {
  Posted posted;
  posted.max_bytes = max_bytes;
  posted.text_done = std::move(done);
  posted.awaited = awaited;
  posted.deadline = now + options_.operation_timeout;
  Post(tag, std::move(posted), effects);
}

void Connection::Post(const Tag& tag, Posted posted, Effects* effects) {
  if (posted_.contains(tag)) {
    Complete(std::move(posted),
             Error(Code::kInvalidArgument) << "[recv] " << ToString(tag) << " from " << PeerName()
                                           << " is already being received",
             effects);
    return;
  }
  const auto found = early_.find(tag);
  if (found == early_.end()) {
    if (!failure_.ok()) {
      Complete(std::move(posted), failure_, effects);
    } else {
      posted_.emplace(tag, std::move(posted));
    }
    return;
  }
  Early early = std::move(found->second);
  early_.erase(found);
  MeetEarly(tag, std::move(posted), std::move(early), effects);
}

void Connection::MeetEarly(const Tag& tag, Posted posted, Early early, Effects* effects) {
  early_bytes_ -= early.payload.size() + kEarlyOverhead;
  const uint64_t bytes = early.announced.value_or(early.payload.size());
  if (!Fits(posted, bytes)) {
    if (early.announced) Answer(FrameType::kRefuse, tag, bytes);
    Status status = WrongSize(posted, tag, bytes);
    Complete(std::move(posted), std::move(status), effects);
  } else if (early.announced) {
    posted.granted = bytes;
    posted_.emplace(tag, std::move(posted));
    Answer(FrameType::kGrant, tag, bytes);
  } else {
    if (posted.text_done) {
      posted.text = std::move(early.payload);
    } else if (bytes > 0) {
      std::memcpy(posted.into.data(), early.payload.data(), bytes);
    }
    Complete(std::move(posted), {}, effects);
  }
}

void Connection::Answer(FrameType type, const Tag& tag, uint64_t bytes) {
  FrameHeader header = MakeHeader(type);
  header.channel = tag.channel;
  header.sequence = tag.sequence;
  header.part = tag.part;
  header.item = bytes;
  Enqueue(header, {}, nullptr, TimePoint::max());
}

bool Connection::Fits(const Posted& posted, uint64_t bytes) {
  return posted.text_done ? bytes <= posted.max_bytes : bytes == posted.into.size();
}

MutableBytes Connection::Destination(Posted* posted, uint64_t bytes) {
  if (!posted->text_done) return posted->into;
  posted->text.resize(bytes);
  return {reinterpret_cast<std::byte*>(posted->text.data()), posted->text.size()};
}

void Connection::Complete(Posted posted, Status status, Effects* effects) {
  if (!posted.text_done) {
    effects->push_back(DoneCall{std::move(posted.done), std::move(status)});
  } else if (status.ok()) {
    effects->push_back(TextCall{std::move(posted.text_done), std::move(posted.text)});
  } else {
    effects->push_back(TextCall{std::move(posted.text_done), std::move(status)});
  }
}

Status Connection::WrongSize(const Posted& posted, const Tag& tag, uint64_t bytes) const {
  return Error(Code::kDataLoss) << "[recv] " << ToString(tag) << " from " << PeerName()
                                << " has the wrong size: got " << bytes << " bytes; expected "
                                << (posted.text_done ? "at most " : "")
                                << (posted.text_done ? posted.max_bytes : posted.into.size())
                                << "; the ranks do not run the same program";
}

Status Connection::OpenEdge(EdgeReceiver edge) {
  OFL_TRY(failure_);
  OFL_TRY(ReceiverEdge::Validate(edge));
  const EdgeKey key{edge.plan_id, edge.edge_id};
  OFL_ENSURE(!receivers_.contains(key), Code::kInvalidArgument)
      << "[edge] " << transport::ToString(key) << " is already open for receiving";
  std::erase(closed_plans_, key.plan_id);
  receivers_.emplace(key, std::make_shared<ReceiverEdge>(std::move(edge)));
  return {};
}

Status Connection::OpenEdge(EdgeSender edge) {
  OFL_TRY(failure_);
  OFL_TRY(SenderEdge::Validate(edge));
  const EdgeKey key{edge.plan_id, edge.edge_id};
  OFL_ENSURE(!senders_.contains(key), Code::kInvalidArgument)
      << "[edge] " << transport::ToString(key) << " is already open for sending";
  std::erase(closed_plans_, key.plan_id);
  senders_.emplace(key, std::make_shared<SenderEdge>(std::move(edge)));
  return {};
}

void Connection::Push(const EdgeKey& key, int64_t piece, uint32_t stamp, ConstBytes payload,
                      Done done, TimePoint now, Effects* effects) {
  Status status = failure_;
  if (status.ok()) {
    const auto found = senders_.find(key);
    status = found != senders_.end()
                 ? found->second->Take(piece, payload.size())
                 : Status(Error(Code::kNotFound)
                          << "[push] " << transport::ToString(key) << " is not open for sending");
  }
  if (!status.ok()) {
    effects->push_back(DoneCall{std::move(done), std::move(status)});
    return;
  }
  FrameHeader header = MakeHeader(FrameType::kPiece);
  header.channel = key.plan_id;
  header.item = static_cast<uint64_t>(key.edge_id);
  header.sequence = static_cast<uint64_t>(piece);
  header.part = stamp;
  Enqueue(header, payload, std::move(done), now + options_.operation_timeout);
}

void Connection::ReturnCredit(const EdgeKey& key, int64_t piece, Effects* effects) {
  const auto found = receivers_.find(key);
  if (!failure_.ok() || found == receivers_.end()) return;  // the launch is over
  Status status = found->second->Return(piece);
  if (!status.ok()) {
    // Our own user broke the credit rule; the peer's view of the slot can no longer be trusted.
    Fail(Error(Code::kFailedPrecondition)
             << "rank " << options_.self.rank << " failed: " << status.message(),
         true, effects);
    return;
  }
  FrameHeader header = MakeHeader(FrameType::kCredit);
  header.channel = key.plan_id;
  header.item = static_cast<uint64_t>(key.edge_id);
  header.sequence = static_cast<uint64_t>(piece);
  Enqueue(header, {}, nullptr, TimePoint::max());
}

void Connection::ClosePlan(uint64_t plan_id) {
  const auto of_plan = [plan_id](const auto& entry) {
    if (entry.first.plan_id != plan_id) return false;
    entry.second->closed = true;
    return true;
  };
  std::erase_if(receivers_, of_plan);
  std::erase_if(senders_, of_plan);
  if (reading_ == Reading::kPiece && header_.channel == plan_id) {
    reading_ = Reading::kDiscard;
    discard_left_ = destination_.size();
    reading_edge_ = nullptr;
  }
  for (auto output = output_.begin(); output != output_.end();) {
    if (output->type != FrameType::kPiece || output->edge.plan_id != plan_id) {
      ++output;
    } else if (output == output_.begin() && output_written_ > 0) {
      // Half on the wire: it has to be finished, from memory of ours.
      output->owned.assign(AsText(output->payload));
      output->payload = AsBytes(output->owned);
      output->done = nullptr;
      ++counters_.payload_copies;
      ++output;
    } else {
      output = output_.erase(output);
    }
  }
  closed_plans_.push_back(plan_id);
  if (closed_plans_.size() > kRememberedPlans) closed_plans_.pop_front();
}

void Connection::Shutdown(const Status& why, Effects* effects) {
  if (said_goodbye_ || state_ == State::kLeft || state_ == State::kFailed) return;
  said_goodbye_ = true;
  const Status cause = Error(Code::kCancelled)
                       << "rank " << options_.self.rank << " has shut its transport down"
                       << (why.ok() ? "" : ": ") << why.message();
  proto::Goodbye goodbye;
  goodbye.set_code(static_cast<int>(why.code()));
  goodbye.set_message(why.message());
  for (const std::string& note : why.notes()) goodbye.add_notes(note);
  std::deque<Output> kept;
  if (why.ok()) {
    kept.swap(output_);  // what was sent before a clean goodbye still arrives
  } else if (output_written_ > 0) {
    kept.push_back(std::move(output_.front()));
    output_.pop_front();
  }
  FailPending(cause, effects);
  early_.clear();
  early_bytes_ = 0;
  output_.swap(kept);
  EnqueueControl(FrameType::kGoodbye, goodbye.SerializeAsString());
  state_ = State::kLeft;
  failure_ = cause;
}

void Connection::OnTimer(TimePoint now, Effects* effects) {
  if (state_ == State::kGreeting && now >= handshake_deadline_) {
    Fail(Error(Code::kDeadlineExceeded) << PeerName() << " sent no hello within "
                                        << options_.handshake_timeout.count() << " ms",
         false, effects);
    return;
  }
  const auto seconds = std::chrono::duration<double>(options_.operation_timeout).count();
  if (state_ != State::kLeft && !output_.empty() && now >= output_.front().deadline) {
    Fail(Error(Code::kDeadlineExceeded)
             << PeerName() << " has not taken bytes for " << seconds << " s",
         false, effects);
    return;
  }
  for (auto it = posted_.begin(); it != posted_.end();) {
    if (now < it->second.deadline) {
      ++it;
      continue;
    }
    Status status = Error(Code::kDeadlineExceeded)
                    << PeerName() << " did not send " << ToString(it->first) << " within "
                    << seconds << " s";
    // Bytes on their way into the user's memory can only be stopped with the connection.
    if (it->second.granted ||
        (reading_ == Reading::kPosted && header_.channel == it->first.channel &&
         header_.sequence == it->first.sequence && header_.part == it->first.part)) {
      Fail(std::move(status), false, effects);
      return;
    }
    Complete(std::move(it->second), std::move(status), effects);
    it = posted_.erase(it);
  }
  std::erase_if(asking_, [&](auto& entry) {
    if (now < entry.second.deadline) return false;
    effects->push_back(DoneCall{std::move(entry.second.done),
                                Error(Code::kDeadlineExceeded)
                                    << PeerName() << " did not receive " << ToString(entry.first)
                                    << " within " << seconds << " s"});
    return true;
  });
}

}  // namespace ofl::transport
