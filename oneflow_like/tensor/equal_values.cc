#include "oneflow_like/tensor/equal_values.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "oneflow_like/tensor/context.h"
#include "oneflow_like/tensor/exchange.h"

namespace ofl::tensor {

// Two rounds over the bytes with different seeds.
std::string DigestOf(const TensorImpl& dense) {
  const auto* at = dense.data();
  const size_t bytes = static_cast<size_t>(dense.local_meta().bytes());
  uint64_t lanes[2] = {0x243F6A8885A308D3ull, 0x13198A2E03707344ull};
  for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, at + i, std::min(sizeof word, bytes - i));
    lanes[0] = (lanes[0] ^ word) * 0x9E3779B97F4A7C15ull;
    lanes[0] ^= lanes[0] >> 32;
    lanes[1] = (lanes[1] + word) * 0xD6E8FEB86659FD93ull;
    lanes[1] ^= lanes[1] >> 29;
  }
  return dense.local_meta().ToString() + " " + std::to_string(lanes[0]) + " " +
         std::to_string(lanes[1]);
}

Result<std::pair<int, int>> FirstDifference(const sbp::Layout& layout, const std::string& digest,
                                            const std::string& what) {
  const Placement& placement = layout.placement;
  const int self = Context::Get().rank();
  std::vector<int> peers;
  for (int rank : placement.ranks()) {
    if (rank != self) peers.push_back(rank);
  }
  const Stamp stamp = CollectiveStamp();
  OFL_ASSIGN(auto digests, ExchangeTexts(peers, digest, HashText(what), what, &stamp));
  digests.insert(digests.begin() + placement.IndexOf(self), digest);
  std::vector<std::vector<int>> parts;  // coordinates on the axes that are not B
  for (int i = 0; i < placement.size(); ++i) {
    std::vector<int> part;
    const std::vector<int> at = placement.Coordinates(i);
    for (int k = 0; k < layout.nd_sbp.rank(); ++k) {
      if (!layout.nd_sbp[k].is_broadcast()) part.push_back(at[static_cast<size_t>(k)]);
    }
    for (size_t j = 0; j < parts.size(); ++j) {
      if (parts[j] == part && digests[j] != digests[static_cast<size_t>(i)]) {
        return std::pair(placement.ranks()[j], placement.ranks()[static_cast<size_t>(i)]);
      }
    }
    parts.push_back(std::move(part));
  }
  return std::pair(-1, -1);
}

}  // namespace ofl::tensor
