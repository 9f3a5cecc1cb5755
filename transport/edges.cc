#include "transport/edges.h"

#include <string>

namespace ofl::transport {

namespace {

// No plan lends more; it also bounds what a wrong plan can make us allocate.
constexpr int kMaxCredits = 1 << 20;

Status ValidateCommon(const EdgeKey& key, int64_t bytes, int credits) {
  OFL_ENSURE(bytes >= 0 && static_cast<uint64_t>(bytes) <= kMaxCredits * uint64_t{1 << 20},
             Code::kInvalidArgument)
      << "[edge] " << ToString(key) << " has an impossible size: got " << bytes << " bytes";
  OFL_ENSURE(credits >= 1 && credits <= kMaxCredits, Code::kInvalidArgument)
      << "[edge] " << ToString(key) << " has an impossible number of credits: got " << credits
      << "; expected 1 to " << kMaxCredits;
  return {};
}

}  // namespace

std::string ToString(const EdgeKey& key) {
  return "edge " + std::to_string(key.edge_id) + " of plan " + std::to_string(key.plan_id);
}

SenderEdge::SenderEdge(EdgeSender edge)
    : edge_(std::move(edge)), lent_(static_cast<size_t>(edge_.credits), -1) {}

Status SenderEdge::Validate(const EdgeSender& edge) {
  return ValidateCommon({edge.plan_id, edge.edge_id}, edge.bytes, edge.credits);
}

Status SenderEdge::Take(int64_t piece, size_t bytes) {
  const EdgeKey key{edge_.plan_id, edge_.edge_id};
  OFL_ENSURE(bytes == static_cast<size_t>(edge_.bytes), Code::kInvalidArgument)
      << "[push] piece " << piece << " of " << ToString(key) << " has the wrong size: got " << bytes
      << " bytes; expected " << edge_.bytes;
  OFL_ENSURE(piece == next_piece_, Code::kFailedPrecondition)
      << "[push] pieces of " << ToString(key) << " go in order: got piece " << piece
      << "; expected " << next_piece_;
  int64_t& slot = lent_[static_cast<size_t>(piece % edge_.credits)];
  OFL_ENSURE(slot < 0, Code::kFailedPrecondition)
      << "[push] no credit for piece " << piece << " of " << ToString(key) << ": the peer still has"
      << " piece " << slot << " and lends " << edge_.credits << " slots; wait for on_credit";
  slot = piece;
  ++next_piece_;
  return {};
}

Status SenderEdge::Return(int64_t piece) {
  const EdgeKey key{edge_.plan_id, edge_.edge_id};
  OFL_ENSURE(piece >= 0 && lent_[static_cast<size_t>(piece % edge_.credits)] == piece,
             Code::kDataLoss)
      << "[credit] the peer returned piece " << piece << " of " << ToString(key)
      << ", which it does not hold";
  lent_[static_cast<size_t>(piece % edge_.credits)] = -1;
  return {};
}

ReceiverEdge::ReceiverEdge(EdgeReceiver edge)
    : edge_(std::move(edge)), full_(static_cast<size_t>(edge_.credits), kEmpty) {}

Status ReceiverEdge::Validate(const EdgeReceiver& edge) {
  const EdgeKey key{edge.plan_id, edge.edge_id};
  OFL_TRY(ValidateCommon(key, edge.bytes, edge.credits));
  OFL_ENSURE(edge.slots.size() == static_cast<size_t>(edge.credits), Code::kInvalidArgument)
      << "[edge] " << ToString(key) << " needs one slot a credit: got " << edge.slots.size()
      << " slots; expected " << edge.credits;
  for (const MutableBytes& slot : edge.slots) {
    OFL_ENSURE(slot.size() == static_cast<size_t>(edge.bytes), Code::kInvalidArgument)
        << "[edge] a slot of " << ToString(key) << " has the wrong size: got " << slot.size()
        << " bytes; expected " << edge.bytes;
  }
  return {};
}

Result<MutableBytes> ReceiverEdge::Begin(int64_t piece, uint64_t bytes) {
  const EdgeKey key{edge_.plan_id, edge_.edge_id};
  OFL_ENSURE(bytes == static_cast<uint64_t>(edge_.bytes), Code::kDataLoss)
      << "[piece] piece " << piece << " of " << ToString(key) << " has the wrong length: got "
      << bytes << " bytes; expected " << edge_.bytes;
  OFL_ENSURE(piece == next_piece_, Code::kDataLoss)
      << "[piece] " << (piece >= 0 && piece < next_piece_ ? "duplicate" : "unexpected")
      << " piece of " << ToString(key) << ": got piece " << piece << "; expected " << next_piece_;
  const auto slot = static_cast<size_t>(piece % edge_.credits);
  OFL_ENSURE(full_[slot] == kEmpty, Code::kDataLoss)
      << "[piece] piece " << piece << " of " << ToString(key) << " came without credit: its slot"
      << " still holds piece " << full_[slot] << " (" << edge_.credits << " credits)";
  filling_ = piece;
  ++next_piece_;
  return edge_.slots[slot];
}

void ReceiverEdge::Finish(int64_t piece) {
  full_[static_cast<size_t>(piece % edge_.credits)] = piece;
  filling_ = kEmpty;
}

Status ReceiverEdge::Return(int64_t piece) {
  OFL_ENSURE(piece >= 0 && full_[static_cast<size_t>(piece % edge_.credits)] == piece,
             Code::kFailedPrecondition)
      << "[credit] piece " << piece << " of " << ToString({edge_.plan_id, edge_.edge_id})
      << " cannot be given back: its slot does not hold it";
  full_[static_cast<size_t>(piece % edge_.credits)] = kEmpty;
  return {};
}

}  // namespace ofl::transport
