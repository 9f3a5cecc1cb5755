#include "oneflow_like/tensor/equal_values.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "oneflow_like/base/bytes.h"
#include "oneflow_like/tensor/call_cache.h"
#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/eager_views.h"
#include "oneflow_like/tensor/exchange.h"

namespace ofl::tensor {

namespace {

// Two rounds over bytes with different seeds.
struct Lanes {
  void Add(const std::byte* at, size_t bytes) {
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, at + i, std::min(sizeof word, bytes - i));
      first = (first ^ word) * 0x9E3779B97F4A7C15ull;
      first ^= first >> 32;
      second = (second + word) * 0xD6E8FEB86659FD93ull;
      second ^= second >> 29;
    }
  }
  uint64_t first = 0x243F6A8885A308D3ull, second = 0x13198A2E03707344ull;
};

// The elements of any strides, in the order of their indices.
void AddElements(const TensorImpl& x, Lanes& lanes) {
  const Shape& shape = x.local_shape();
  const size_t size = DTypeSize(x.meta().dtype);
  if (x.dense()) return lanes.Add(x.data(), static_cast<size_t>(x.local_meta().bytes()));
  for (int64_t n = 0; n < shape.numel(); ++n) {
    int64_t rest = n, place = 0;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      place += rest % shape[i] * x.strides()[i];
      rest /= shape[i];
    }
    lanes.Add(x.data() + place * static_cast<int64_t>(size), size);
  }
}

}  // namespace

std::string DigestOf(const TensorImpl& dense) {
  Lanes lanes;
  lanes.Add(dense.data(), static_cast<size_t>(dense.local_meta().bytes()));
  return dense.local_meta().ToString() + " " + std::to_string(lanes.first) + " " +
         std::to_string(lanes.second);
}

void ClaimContents(const TensorImpl& written) {
  if (written.is_global() || !written.has_data() || !written.storage()->equal) return;
  if (written.storage().use_count() == 1) return;  // the global tensor is gone
  const Context& world = Context::Get();
  if (world.world_size() == 1 || world.imaginary() || !world.equal_bits()) return;
  Lanes lanes;
  if (written.local_shape().numel() > 0) AddElements(written, lanes);
  uint64_t digest = JoinClaims(lanes.first, static_cast<uint64_t>(written.meta().dtype));
  Storage& memory = *written.storage();
  if (IsWholeMemory(written)) {  // whatever was there before
    memory.changes = std::max<uint64_t>(digest, 1);
    return;
  }
  digest = JoinClaims(digest, static_cast<uint64_t>(written.offset_bytes()));
  for (int i = 0; i < written.local_shape().rank(); ++i) {
    digest = JoinClaims(digest, static_cast<uint64_t>(written.local_shape()[i]));
    digest = JoinClaims(digest, static_cast<uint64_t>(written.strides()[i]));
  }
  memory.changes = std::max<uint64_t>(JoinClaims(memory.changes, digest), 1);
}

namespace {

constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();
constexpr char kGivenUp[] = "!";  // a rank that met another program: shorter than any Held

// What some members of a placement say of a part: the first of them that holds it, what that holds,
// and the first that holds something else.
struct Held {
  uint32_t first = kNobody;
  uint32_t other = kNobody;
  uint64_t digest = 0;
};
using Parts = std::map<int, Held>;

// Members of a placement hold the same part where they differ on B axes alone.
int PartOf(const sbp::Layout& layout, int index) {
  const std::vector<int> at = layout.placement.Coordinates(index);
  int part = 0;
  for (int k = 0; k < layout.nd_sbp.rank(); ++k) {
    if (layout.nd_sbp[k].is_broadcast()) continue;
    part = part * static_cast<int>(layout.placement.hierarchy()[k]) + at[static_cast<size_t>(k)];
  }
  return part;
}

// Of both sets of members together; they may overlap, and come in any order.
void Join(Held& mine, const Held& more) {
  const Held& low = mine.first <= more.first ? mine : more;
  const Held& high = mine.first <= more.first ? more : mine;
  const uint32_t other = high.digest == low.digest ? high.other : high.first;
  mine = Held{low.first, std::min(low.other, other), low.digest};
}

std::string Written(const Parts& parts) {
  std::string text(parts.size() * sizeof(Held), '\0');
  auto* at = reinterpret_cast<std::byte*>(text.data());
  for (const auto& [part, held] : parts) {
    StoreLe<uint32_t>(at, held.first);
    StoreLe<uint32_t>(at + 4, held.other);
    StoreLe<uint64_t>(at + 8, held.digest);
    at += sizeof(Held);
  }
  return text;
}

// Enters what `peer` wrote.
Status Read(const sbp::Layout& layout, int peer, const std::string& text, const std::string& what,
            Parts& parts) {
  OFL_ENSURE(text != kGivenUp, Code::kFailedPrecondition)
      << what << ": got none from rank " << peer << ", which met a rank that runs another program; "
      << "expected the same operation on every rank of the placement";
  const auto* at = reinterpret_cast<const std::byte*>(text.data());
  for (size_t n = 0; n < text.size() / sizeof(Held); ++n, at += sizeof(Held)) {
    const Held held{LoadLe<uint32_t>(at), LoadLe<uint32_t>(at + 4), LoadLe<uint64_t>(at + 8)};
    OFL_ENSURE(held.first < static_cast<uint32_t>(layout.placement.size()), Code::kDataLoss)
        << what << ": got a digest of member " << held.first << " from rank " << peer;
    const auto [mine, is_new] =
        parts.try_emplace(PartOf(layout, static_cast<int>(held.first)), held);
    if (!is_new) Join(mine->second, held);
  }
  return Status::Ok();
}

// The members that are `step` and twice `step` places from `self` around the ring of all.
std::vector<int> Neighbours(const Placement& placement, int self, int step) {
  const int count = placement.size();
  std::vector<int> peers;
  for (int by : {step, -step, 2 * step, -2 * step}) {
    const int index = ((self + by) % count + count) % count;
    const int rank = placement.ranks()[static_cast<size_t>(index)];
    if (index != self && std::ranges::find(peers, rank) == peers.end()) peers.push_back(rank);
  }
  return peers;
}

}  // namespace

Result<std::pair<int, int>> FirstDifference(const sbp::Layout& layout, const std::string& digest,
                                            const std::string& what) {
  const Placement& placement = layout.placement;
  const int count = placement.size(), self = placement.IndexOf(Context::Get().rank());
  const Stamp stamp = CollectiveStamp();
  Parts parts = {{PartOf(layout, self), {static_cast<uint32_t>(self), kNobody, HashText(digest)}}};
  Status failure;
  // What a member knows comes from `known` places around it; a round makes them five times as many.
  for (int known = 1; known < count;) {
    const int step = std::min(known, (count - known + 3) / 4);
    const std::vector<int> peers = Neighbours(placement, self, step);
    auto texts = ExchangeTexts(peers, failure.ok() ? Written(parts) : kGivenUp, HashText(what),
                               what, &stamp);
    // Who met another program says so in the rounds that are left: nobody waits for it.
    if (!texts.ok() && texts.status().code() != Code::kFailedPrecondition) return texts.status();
    Status told = texts.status();
    for (size_t i = 0; told.ok() && i < peers.size(); ++i)
      told = Read(layout, peers[i], (*texts)[i], what, parts);
    if (failure.ok()) failure = std::move(told);
    known += 4 * step;
  }
  OFL_TRY(failure);
  for (const auto& [part, held] : parts) {
    if (held.other == kNobody) continue;
    return std::pair(placement.ranks()[held.first], placement.ranks()[held.other]);
  }
  return std::pair(-1, -1);
}

}  // namespace ofl::tensor
