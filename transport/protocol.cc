#include "transport/protocol.h"

#include <algorithm>

#include "oneflow_like/base/check.h"

namespace ofl::transport {

namespace {

constexpr size_t kDiscardChunk = 64 << 10;

Tag TagOf(const FrameHeader& header) {
  return {.channel = header.channel, .sequence = header.sequence, .part = header.part};
}
EdgeKey KeyOf(const FrameHeader& header) {
  return {.plan_id = header.channel, .edge_id = static_cast<int64_t>(header.item)};
}

}  // namespace

void RunEffect(Effect& effect) {
  if (auto* call = std::get_if<DoneCall>(&effect)) {
    if (call->done) call->done(std::move(call->status));
  } else if (auto* call = std::get_if<TextCall>(&effect)) {
    if (call->done) call->done(std::move(call->text));
  } else if (auto* call = std::get_if<PieceCall>(&effect)) {
    const auto& on_piece = call->edge->edge().on_piece;
    if (!call->edge->closed && on_piece) on_piece(call->piece, call->stamp);
  } else if (auto* call = std::get_if<CreditCall>(&effect)) {
    const auto& on_credit = call->edge->edge().on_credit;
    if (!call->edge->closed && on_credit) on_credit(call->piece);
  }
}

std::string Connection::PeerName() const {
  return options_.peer < 0 ? "an unknown peer" : "rank " + std::to_string(options_.peer);
}

FrameHeader Connection::MakeHeader(FrameType type) const {
  FrameHeader header;
  header.type = type;
  header.job = job_;
  header.epoch = options_.self.epoch;
  header.source = static_cast<uint32_t>(options_.self.rank);
  header.destination = options_.peer < 0 ? kNoRank : static_cast<uint32_t>(options_.peer);
  return header;
}

void Connection::Enqueue(FrameHeader header, ConstBytes payload, Done done, TimePoint deadline) {
  header.payload_length = payload.size();
  if (options_.checksum_payload && !payload.empty()) {
    header.flags |= kFlagPayloadCrc;
    header.payload_crc = Crc32c(payload);
  }
  Output& output = output_.emplace_back();
  output.header = EncodeHeader(header);
  output.type = header.type;
  output.payload = payload;
  output.done = std::move(done);
  output.deadline = deadline;
  if (header.type == FrameType::kPiece) output.edge = KeyOf(header);
}

void Connection::EnqueueControl(FrameType type, std::string payload) {
  if (payload.size() > kMaxControlBytes) payload.clear();  // a reason too long is no reason
  FrameHeader header = MakeHeader(type);
  header.payload_length = payload.size();
  Output& output = output_.emplace_back();
  output.header = EncodeHeader(header);
  output.type = type;
  output.owned = std::move(payload);
  output.payload = AsBytes(output.owned);
  output.deadline = TimePoint::max();
}

size_t Connection::WantWrite(std::span<ConstBytes> out) const {
  size_t used = 0;
  size_t skip = output_written_;
  for (const Output& output : output_) {
    for (ConstBytes part : {ConstBytes(output.header), output.payload}) {
      const size_t skipped = std::min(skip, part.size());
      skip -= skipped;
      if (skipped == part.size()) continue;
      if (used == out.size()) return used;
      out[used++] = part.subspan(skipped);
    }
  }
  return used;
}

void Connection::OnWritten(size_t bytes, Effects* effects) {
  output_written_ += bytes;
  while (!output_.empty()) {
    Output& front = output_.front();
    const size_t size = kHeaderBytes + front.payload.size();
    if (output_written_ < size) break;
    output_written_ -= size;
    ++counters_.frames_sent;
    const bool piece = front.type == FrameType::kPiece;
    const bool message = front.type == FrameType::kMessage || front.type == FrameType::kData;
    counters_.pieces_sent += piece;
    counters_.messages_sent += message;
    if (piece || message) {
      counters_.payload_bytes_sent += static_cast<int64_t>(front.payload.size());
    }
    if (front.done) effects->push_back(DoneCall{std::move(front.done), {}});
    output_.pop_front();
  }
}

void Connection::ReadNextHeader() {
  reading_ = Reading::kHeader;
  destination_ = MutableBytes(header_bytes_);
}

void Connection::ReadInto(Reading reading, MutableBytes into) {
  reading_ = reading;
  destination_ = whole_ = into;
}

MutableBytes Connection::WantRead() {
  if (state_ == State::kLeft || state_ == State::kFailed) return {};
  if (reading_ != Reading::kDiscard) return destination_;
  incoming_.resize(std::min<uint64_t>(discard_left_, kDiscardChunk));
  return {reinterpret_cast<std::byte*>(incoming_.data()), incoming_.size()};
}

void Connection::OnRead(size_t bytes, TimePoint now, Effects* effects) {
  if (state_ == State::kLeft || state_ == State::kFailed) return;
  if (reading_ == Reading::kDiscard) {
    discard_left_ -= bytes;
    if (discard_left_ == 0) ReadNextHeader();
    return;
  }
  OFL_CHECK(bytes <= destination_.size());
  destination_ = destination_.subspan(bytes);
  if (!destination_.empty()) return;
  if (reading_ == Reading::kHeader) {
    OnHeader(now, effects);
  } else {
    OnPayload(effects);
  }
}

Status Connection::CheckSender(const FrameHeader& header) const {
  const bool greeting = state_ == State::kGreeting;
  OFL_ENSURE(greeting == (header.type == FrameType::kHello) || header.type == FrameType::kGoodbye,
             Code::kDataLoss)
      << "[handshake] a " << FrameTypeName(header.type) << " frame came "
      << (greeting ? "before the hello" : "after the handshake");
  OFL_ENSURE(header.type < FrameType::kJoin, Code::kDataLoss)
      << "[frame] a " << FrameTypeName(header.type) << " frame belongs to the rendezvous";
  // A peer that refuses our hello may not know who we are.
  const bool to_me = header.destination == static_cast<uint32_t>(options_.self.rank) ||
                     (header.type == FrameType::kGoodbye && header.destination == kNoRank);
  OFL_ENSURE(to_me, Code::kDataLoss) << "[frame] the frame is for another rank: got destination "
                                     << header.destination << "; expected " << options_.self.rank;
  OFL_ENSURE(options_.peer < 0 || header.source == static_cast<uint32_t>(options_.peer),
             Code::kDataLoss)
      << "[frame] the frame has another source: got rank " << header.source << "; expected "
      << options_.peer;
  // A hello tells more in its payload; its check gives the better message.
  OFL_ENSURE(greeting || (header.job == job_ && header.epoch == options_.self.epoch),
             Code::kDataLoss)
      << "[frame] the frame is of another job or epoch: got epoch " << header.epoch << "; expected "
      << options_.self.epoch;
  return {};
}

void Connection::OnHeader(TimePoint now, Effects* effects) {
  auto header = DecodeHeader(header_bytes_);
  Status status = header.status();
  if (status.ok()) {
    header_ = *header;
    ++counters_.frames_received;
    status = CheckSender(header_);
  }
  if (status.ok()) status = Accept(now, effects);
  if (!status.ok()) {
    Fail(status, true, effects);
  } else if (state_ == State::kFailed || state_ == State::kLeft) {
    return;
  } else if (reading_ == Reading::kDiscard ? discard_left_ == 0
                                           : reading_ != Reading::kHeader && destination_.empty()) {
    reading_ == Reading::kDiscard ? ReadNextHeader() : OnPayload(effects);
  }
}

// Decides where the payload goes, or handles a frame that has none.
Status Connection::Accept(TimePoint now, Effects* effects) {
  ReadNextHeader();
  switch (header_.type) {
    case FrameType::kHello:
    case FrameType::kGoodbye:
      incoming_.resize(header_.payload_length);
      ReadInto(Reading::kControl,
               {reinterpret_cast<std::byte*>(incoming_.data()), incoming_.size()});
      return {};
    case FrameType::kMessage: return AcceptMessage(effects);
    case FrameType::kRequest: return AcceptRequest(effects);
    case FrameType::kGrant:
    case FrameType::kRefuse: return AcceptGrant(now, effects);
    case FrameType::kData: return AcceptData();
    case FrameType::kPiece: return AcceptPiece();
    case FrameType::kCredit: return AcceptCredit(effects);
    default: return Error(Code::kDataLoss) << "[frame] unexpected frame";
  }
}

Status Connection::AcceptMessage(Effects* effects) {
  const Tag tag = TagOf(header_);
  const auto found = posted_.find(tag);
  if (found == posted_.end()) {
    OFL_ENSURE(!early_.contains(tag), Code::kDataLoss)
        << "[message] a second message has the tag (" << tag.channel << ", " << tag.sequence << ", "
        << tag.part << ")";
    const size_t cost = header_.payload_length + kEarlyOverhead;
    OFL_ENSURE(early_bytes_ + cost <= options_.max_buffered_bytes, Code::kResourceExhausted)
        << "[message] more messages wait unreceived than fit: got " << early_bytes_ + cost
        << " bytes; expected at most " << options_.max_buffered_bytes
        << "; the ranks do not run the same program";
    incoming_.resize(header_.payload_length);
    ReadInto(Reading::kEarly, {reinterpret_cast<std::byte*>(incoming_.data()), incoming_.size()});
    return {};
  }
  OFL_ENSURE(!found->second.granted, Code::kDataLoss)
      << "[message] a message came where granted data was due";
  if (!Fits(found->second, header_.payload_length)) {
    Posted posted = std::move(found->second);
    posted_.erase(found);
    Status status = WrongSize(posted, tag, header_.payload_length);
    Complete(std::move(posted), std::move(status), effects);
    reading_ = Reading::kDiscard;
    discard_left_ = header_.payload_length;
    return {};
  }
  ReadInto(Reading::kPosted, Destination(&found->second, header_.payload_length));
  return {};
}

Status Connection::AcceptRequest(Effects* effects) {
  const Tag tag = TagOf(header_);
  const uint64_t bytes = header_.item;
  OFL_ENSURE(bytes <= kMaxPayloadBytes, Code::kDataLoss)
      << "[message] an impossible size is announced: got " << bytes << " bytes";
  const auto found = posted_.find(tag);
  if (found == posted_.end()) {
    OFL_ENSURE(!early_.contains(tag), Code::kDataLoss)
        << "[message] a second message has the tag (" << tag.channel << ", " << tag.sequence << ", "
        << tag.part << ")";
    OFL_ENSURE(early_bytes_ + kEarlyOverhead <= options_.max_buffered_bytes,
               Code::kResourceExhausted)
        << "[message] too many requests wait unreceived; the ranks do not run the same program";
    early_bytes_ += kEarlyOverhead;
    early_[tag].announced = bytes;
    return {};
  }
  OFL_ENSURE(!found->second.granted, Code::kDataLoss) << "[message] a request came twice";
  if (Fits(found->second, bytes)) {
    found->second.granted = bytes;
    Answer(FrameType::kGrant, tag, bytes);
    return {};
  }
  Posted posted = std::move(found->second);
  posted_.erase(found);
  Answer(FrameType::kRefuse, tag, bytes);
  Status status = WrongSize(posted, tag, bytes);
  Complete(std::move(posted), std::move(status), effects);
  return {};
}

Status Connection::AcceptGrant(TimePoint now, Effects* effects) {
  const auto found = asking_.find(TagOf(header_));
  if (found == asking_.end()) return {};  // the send has timed out meanwhile
  Asking asking = std::move(found->second);
  asking_.erase(found);
  OFL_ENSURE(header_.item == asking.payload.size(), Code::kDataLoss)
      << "[message] the peer grants another size: got " << header_.item << " bytes; expected "
      << asking.payload.size();
  if (header_.type == FrameType::kRefuse) {
    effects->push_back(DoneCall{std::move(asking.done),
                                Error(Code::kDataLoss)
                                    << PeerName() << " expects a message of another size: got "
                                    << asking.payload.size()
                                    << " bytes; the ranks do not run the same program"});
    return {};
  }
  FrameHeader header = MakeHeader(FrameType::kData);
  header.channel = header_.channel;
  header.sequence = header_.sequence;
  header.part = header_.part;
  header.item = header_.item;
  Enqueue(header, asking.payload, std::move(asking.done), now + options_.operation_timeout);
  return {};
}

Status Connection::AcceptData() {
  const auto found = posted_.find(TagOf(header_));
  OFL_ENSURE(found != posted_.end() && found->second.granted == header_.payload_length,
             Code::kDataLoss)
      << "[message] data that was not granted: got " << header_.payload_length << " bytes";
  ReadInto(Reading::kPosted, Destination(&found->second, header_.payload_length));
  return {};
}

Status Connection::AcceptPiece() {
  const EdgeKey key = KeyOf(header_);
  const auto found = receivers_.find(key);
  if (found == receivers_.end()) {
    OFL_ENSURE(std::ranges::find(closed_plans_, key.plan_id) != closed_plans_.end(),
               Code::kDataLoss)
        << "[piece] unknown " << ToString(key) << ": the peer pushes before it was opened, or runs"
        << " another plan";
    reading_ = Reading::kDiscard;
    discard_left_ = header_.payload_length;
    return {};
  }
  OFL_ASSIGN(MutableBytes slot,
             found->second->Begin(static_cast<int64_t>(header_.sequence), header_.payload_length));
  reading_edge_ = found->second;
  ReadInto(Reading::kPiece, slot);
  return {};
}

Status Connection::AcceptCredit(Effects* effects) {
  const EdgeKey key = KeyOf(header_);
  const auto found = senders_.find(key);
  if (found == senders_.end()) {
    OFL_ENSURE(std::ranges::find(closed_plans_, key.plan_id) != closed_plans_.end(),
               Code::kDataLoss)
        << "[credit] unknown " << ToString(key);
    return {};
  }
  const auto piece = static_cast<int64_t>(header_.sequence);
  OFL_TRY(found->second->Return(piece));
  effects->push_back(CreditCall{found->second, piece});
  return {};
}

void Connection::OnPayload(Effects* effects) {
  const Reading reading = reading_;
  ReadNextHeader();
  if ((header_.flags & kFlagPayloadCrc) != 0 && Crc32c(whole_) != header_.payload_crc) {
    Fail(Error(Code::kDataLoss) << "[frame] the payload of a " << FrameTypeName(header_.type)
                                << " frame is corrupt: its CRC32C does not fit",
         true, effects);
    return;
  }
  if (reading == Reading::kControl) {
    Status status = FinishControl(effects);
    if (!status.ok()) Fail(status, true, effects);
    return;
  }
  counters_.payload_bytes_received += static_cast<int64_t>(header_.payload_length);
  const Tag tag = TagOf(header_);
  if (reading == Reading::kPiece) {
    const auto piece = static_cast<int64_t>(header_.sequence);
    ++counters_.pieces_received;
    reading_edge_->Finish(piece);
    effects->push_back(PieceCall{std::move(reading_edge_), piece, header_.part});
    reading_edge_ = nullptr;
    return;
  }
  ++counters_.messages_received;
  const auto found = posted_.find(tag);
  if (reading == Reading::kPosted) {
    Posted posted = std::move(found->second);
    posted_.erase(found);
    Complete(std::move(posted), {}, effects);
    return;
  }
  Early early{.payload = std::move(incoming_), .announced = {}};
  incoming_ = {};
  if (!early.payload.empty()) ++counters_.payload_copies;
  if (found == posted_.end()) {
    early_bytes_ += early.payload.size() + kEarlyOverhead;
    early_.emplace(tag, std::move(early));
  } else {  // posted while the payload was on its way
    early_bytes_ += early.payload.size() + kEarlyOverhead;
    Posted posted = std::move(found->second);
    posted_.erase(found);
    MeetEarly(tag, std::move(posted), std::move(early), effects);
  }
}

bool Connection::has_pending() const {
  const auto awaited = [](const auto& entry) {
    return entry.second.awaited == Transport::Awaited::kSurely;
  };
  return std::ranges::any_of(posted_, awaited) || !asking_.empty() ||
         std::ranges::any_of(output_, [](const Output& output) { return bool{output.done}; });
}

void Connection::FailPending(const Status& cause, Effects* effects) {
  for (auto& [tag, posted] : posted_) Complete(std::move(posted), cause, effects);
  posted_.clear();
  for (auto& [tag, asking] : asking_) effects->push_back(DoneCall{std::move(asking.done), cause});
  asking_.clear();
  for (Output& output : output_) {
    if (output.done) effects->push_back(DoneCall{std::move(output.done), cause});
  }
  output_.clear();
}

}  // namespace ofl::transport
