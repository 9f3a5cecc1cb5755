#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "sbp/boxing.h"
#include "sbp/exchange_internal.h"

namespace ofl::sbp {
namespace {

Box NoBox(int rank) {
  Shape none;
  // A scalar has no axis that could be empty: a box of another rank says "nothing".
  for (int i = 0; i < std::max(rank, 1); ++i) none.push_back(0);
  return {none, none};
}

auto BoxKey(const Box& box) {
  std::array<int64_t, kMaxRank> key{};
  std::copy(box.begin.begin(), box.begin.end(), key.begin());
  return key;
}

}  // namespace

RankWork WorkOf(const BoxingStep& step, const Shape& logical, int rank) {
  const Exchange exchange(step, logical);
  RankWork work;
  const int from_index = step.from.placement.IndexOf(rank);
  const int to_index = step.to.placement.IndexOf(rank);
  work.from_box = from_index < 0 ? NoBox(logical.rank()) : LocalBox(logical, step.from, from_index);
  work.to_box = to_index < 0 ? NoBox(logical.rank()) : LocalBox(logical, step.to, to_index);
  if (to_index >= 0) {
    for (const Cell& cell : exchange.CellsOf(to_index)) {
      Piece piece{cell.box, {}, {}, exchange.to_op()};
      if (exchange.SourcesOf(cell, to_index, &piece.sources)) {
        piece.tree = exchange.tree();
        piece.op = exchange.from_op();
      }
      for (int& source : piece.sources) {
        source = exchange.RankOf(source);
        if (source != rank) work.receives.push_back({source, rank, cell.box});
      }
      work.pieces.push_back(std::move(piece));
    }
  }
  if (from_index >= 0 && !work.from_box.Empty()) {
    const std::vector<int>& members = step.to.placement.ranks();
    for (int to = 0; to < static_cast<int>(members.size()); ++to) {
      if (members[to] == rank) continue;
      // A rank holds one source box, so it has at most one cell of each target.
      const std::optional<Cell> cell = exchange.SharedCell(from_index, to);
      if (cell && exchange.Sends(from_index, *cell, to))
        work.sends.push_back({rank, members[to], cell->box});
    }
  }
  std::sort(work.sends.begin(), work.sends.end(), [](const Message& a, const Message& b) {
    return std::tuple(a.dst, BoxKey(a.box)) < std::tuple(b.dst, BoxKey(b.box));
  });
  std::sort(work.receives.begin(), work.receives.end(), [](const Message& a, const Message& b) {
    return std::tuple(a.src, BoxKey(a.box)) < std::tuple(b.src, BoxKey(b.box));
  });
  return work;
}

StagingBytes StagingOf(const BoxingStep& step, const Shape& logical, int64_t element_bytes,
                       int64_t alignment) {
  const Exchange exchange(step, logical);
  const std::vector<int>& targets = step.to.placement.ranks();
  std::vector<int64_t> sent(step.from.placement.ranks().size());
  std::vector<int> sources;
  StagingBytes most;
  for (int to = 0; to < static_cast<int>(targets.size()); ++to) {
    int64_t received = 0;
    for (const Cell& cell : exchange.CellsOf(to)) {
      sources.clear();
      exchange.SourcesOf(cell, to, &sources);
      const int64_t bytes = cell.box.Extent().numel() * element_bytes;
      const int64_t padded = (bytes + alignment - 1) / alignment * alignment;
      for (int source : sources) {
        if (exchange.RankOf(source) == targets[to]) continue;
        received += padded;
        sent[source] += padded;
      }
    }
    most.receive = std::max(most.receive, received);
  }
  for (int64_t bytes : sent) most.send = std::max(most.send, bytes);
  return most;
}

}  // namespace ofl::sbp
