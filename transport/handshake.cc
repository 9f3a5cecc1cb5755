// How a conversation begins and ends: hello, goodbye, failure.
#include <algorithm>
#include <cctype>

#include "oneflow_like/proto/control.pb.h"
#include "transport/protocol.h"

namespace ofl::transport {

namespace {

// Text of a peer, fit to be printed.
std::string Printable(const std::string& text) {
  constexpr size_t kMaxShown = 2000;
  std::string shown = text.substr(0, kMaxShown);
  for (char& c : shown) {
    if (!std::isprint(static_cast<unsigned char>(c)) && c != '\n') c = '?';
  }
  return shown.size() < text.size() ? shown + "..." : shown;
}

// A cause that already names its rank is passed on as it is, so that the first cause survives.
bool NamesRank(const std::string& text) {
  return text.size() > 5 && text.compare(0, 5, "rank ") == 0 && std::isdigit(text[5]);
}

std::string HelloOf(const Identity& self) {
  proto::Hello hello;
  ToProto(self, &hello);
  return hello.SerializeAsString();
}

}  // namespace

std::string BuildId() { return "oneflow_like 0.1.0, wire " + std::to_string(kWireVersion); }

Status CheckSameJob(const Identity& mine, const Identity& theirs) {
  const auto differs = [](const char* what, const auto& got, const auto& expected,
                          const char* fix) -> Status {
    return Error(Code::kFailedPrecondition) << "[handshake] another " << what << ": got '" << got
                                            << "'; expected '" << expected << "'; " << fix;
  };
  if (theirs.build_id != mine.build_id) {
    return differs("build", Printable(theirs.build_id), mine.build_id,
                   "install the same version on every rank");
  }
  if (theirs.job_id != mine.job_id) {
    return differs("job", Printable(theirs.job_id), mine.job_id,
                   "two jobs share a port: give each its own MASTER_PORT");
  }
  if (theirs.epoch != mine.epoch) {
    return differs("epoch", theirs.epoch, mine.epoch,
                   "a process of an earlier start is still alive");
  }
  if (theirs.world_size != mine.world_size) {
    return differs("world size", theirs.world_size, mine.world_size,
                   "start every rank with the same WORLD_SIZE");
  }
  OFL_ENSURE(theirs.rank >= 0 && theirs.rank < mine.world_size, Code::kFailedPrecondition)
      << "[handshake] rank outside the world: got " << theirs.rank << "; expected 0 to "
      << mine.world_size - 1;
  OFL_ENSURE(theirs.rank != mine.rank, Code::kFailedPrecondition)
      << "[handshake] two processes are rank " << mine.rank << "; give each its own RANK";
  return {};
}

Status CheckSameArithmetic(const Identity& mine, const Identity& theirs) {
  // Both ends say the same, whichever of them looks.
  const bool lower = mine.rank < theirs.rank;
  const Identity& a = lower ? mine : theirs;
  const Identity& b = lower ? theirs : mine;
  OFL_ENSURE(a.mixed == b.mixed, Code::kFailedPrecondition)
      << "[handshake] rank " << (a.mixed ? a : b).rank << " has OFL_MIXED_CPUS=1 and rank "
      << (a.mixed ? b : a).rank << " has not; set it on every rank or on none";
  OFL_ENSURE(a.mixed || a.arithmetic == b.arithmetic, Code::kFailedPrecondition)
      << "[handshake] the ranks do not compute alike: rank " << a.rank << " has "
      << Printable(a.arithmetic) << ", rank " << b.rank << " has " << Printable(b.arithmetic)
      << "; expected equal ones, or equal sums differ in bits; start every rank with one "
         "OFL_CPU_LEVEL (v4, v3 or base) that all processors have, which pins both, and with one "
         "OPENBLAS_CORETYPE or none; or do without equal bits with OFL_MIXED_CPUS=1 on every rank";
  return {};
}

void ToProto(const Identity& self, proto::Hello* hello) {
  hello->set_job_id(self.job_id);
  hello->set_epoch(self.epoch);
  hello->set_rank(self.rank);
  hello->set_world_size(self.world_size);
  hello->set_build_id(self.build_id);
  hello->set_arithmetic(self.arithmetic);
  hello->set_mixed(self.mixed);
}

Identity FromProto(const proto::Hello& hello) {
  return {.job_id = hello.job_id(),
          .epoch = hello.epoch(),
          .rank = hello.rank(),
          .world_size = hello.world_size(),
          .build_id = hello.build_id(),
          .arithmetic = hello.arithmetic(),
          .mixed = hello.mixed()};
}

Connection::Connection(ConnectionOptions options, TimePoint now)
    : options_(std::move(options)),
      job_(JobHash(options_.self.job_id)),
      handshake_deadline_(now + options_.handshake_timeout) {
  ReadNextHeader();
  // The accepting end, which does not know its peer yet, answers only a valid hello.
  if (options_.peer >= 0) {
    EnqueueControl(FrameType::kHello, HelloOf(options_.self));
  }
}

Status Connection::FinishControl(Effects* effects) {
  if (header_.type == FrameType::kHello) return OnHello();
  OnGoodbye(incoming_, effects);
  return {};
}

Status Connection::OnHello() {
  proto::Hello hello;
  OFL_ENSURE(hello.ParseFromString(incoming_), Code::kDataLoss)
      << "[handshake] the hello cannot be read";
  const Identity theirs = FromProto(hello);
  OFL_TRY(CheckSameJob(options_.self, theirs));
  OFL_TRY(CheckSameArithmetic(options_.self, theirs));
  OFL_ENSURE(header_.job == job_ && header_.epoch == options_.self.epoch &&
                 header_.source == static_cast<uint32_t>(theirs.rank),
             Code::kDataLoss)
      << "[handshake] the hello contradicts its header";
  if (options_.peer < 0) {
    options_.peer = theirs.rank;
    EnqueueControl(FrameType::kHello, HelloOf(options_.self));
  }
  state_ = State::kEstablished;
  return {};
}

void Connection::OnGoodbye(const std::string& payload, Effects* effects) {
  proto::Goodbye goodbye;
  const bool readable = goodbye.ParseFromString(payload);
  state_ = State::kLeft;
  // Small messages that came before a clean goodbye can still be received.
  std::erase_if(early_, [&](const auto& entry) {
    if (readable && goodbye.code() == 0 && !entry.second.announced) return false;
    early_bytes_ -= entry.second.payload.size() + kEarlyOverhead;
    return true;
  });
  if (readable && goodbye.code() == 0) {
    failure_counts_ = has_pending();
    failure_ = Error(Code::kUnavailable)
               << PeerName() << " has finished and left"
               << (failure_counts_ ? " while operations still wait for it; the ranks do not run "
                                     "the same program"
                                   : "");
    // That its edges end is no failure unless their user still needs them: only they know.
    const auto tell = [&](const auto& edges) {
      for (const auto& [key, edge] : edges)
        if (edge->edge().on_left) effects->push_back(DoneCall{edge->edge().on_left, failure_});
    };
    tell(receivers_);
    tell(senders_);
  } else {
    const std::string message = Printable(goodbye.message());
    failure_counts_ = true;
    failure_ = Status(Code::kUnavailable,
                      NamesRank(message) ? message : PeerName() + " failed: " + message);
    for (const std::string& note : goodbye.notes()) failure_ = failure_.WithNote(Printable(note));
  }
  FailPending(failure_, effects);
}

void Connection::Fail(Status cause, bool tell_peer, Effects* effects) {
  if (state_ == State::kLeft || state_ == State::kFailed) return;
  state_ = State::kFailed;
  failure_counts_ = true;
  std::string text =
      NamesRank(cause.message())
          ? cause.message()
          : PeerName() + (tell_peer ? " broke the protocol: " : " failed: ") + cause.message();
  failure_ = Status(Code::kUnavailable, std::move(text));
  const bool within_frame = output_written_ > 0;
  FailPending(failure_, effects);
  early_.clear();
  early_bytes_ = 0;
  output_written_ = 0;
  if (!tell_peer || within_frame || said_goodbye_) return;
  proto::Goodbye goodbye;
  goodbye.set_code(static_cast<int>(cause.code()));
  goodbye.set_message("rank " + std::to_string(options_.self.rank) + " refused a frame of " +
                      PeerName() + ": " + cause.message());
  EnqueueControl(FrameType::kGoodbye, goodbye.SerializeAsString());
  said_goodbye_ = true;
}

void Connection::OnLost(const Status& cause, Effects* effects) {
  const std::string why =
      cause.ok() ? "it closed the connection without a word (crashed or killed)" : cause.message();
  Fail(Error(Code::kUnavailable) << PeerName() << " is lost: " << why, false, effects);
}

}  // namespace ofl::transport
