// Boxing in one process: every rank's shard of a tensor as a dense array, conversions as WorkOf
// lists them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "oneflow_like/core/reduction_tree.h"
#include "sbp/boxing.h"

namespace ofl::sbp {

inline Placement MakePlacement(const Shape& hierarchy, std::vector<int> ranks) {
  auto p = Placement::Make(DeviceKind::kCpu, hierarchy, std::move(ranks));
  OFL_CHECK(p.ok());
  return *p;
}
inline Placement Mesh(const Shape& hierarchy) {
  std::vector<int> ranks(hierarchy.numel());
  std::iota(ranks.begin(), ranks.end(), 0);
  return MakePlacement(hierarchy, ranks);
}

template <class T>
struct Shard {
  Box box;
  std::vector<T> data;
};
template <class T>
using Shards = std::map<int, Shard<T>>;  // by world rank

// All points of a box, row-major.
inline std::vector<Shape> Points(const Box& box) {
  std::vector<Shape> points;
  if (box.Empty()) return points;
  Shape at = box.begin;
  while (true) {
    points.push_back(at);
    int i = at.rank() - 1;
    for (; i >= 0 && ++at[i] == box.end[i]; --i) at[i] = box.begin[i];
    if (i < 0) return points;
  }
}
inline int64_t IndexIn(const Box& box, const Shape& at) {
  int64_t index = 0;
  for (int i = 0; i < at.rank(); ++i) {
    OFL_CHECK(at[i] >= box.begin[i] && at[i] < box.end[i]);
    index = index * (box.end[i] - box.begin[i]) + (at[i] - box.begin[i]);
  }
  return index;
}

template <class T>
T Combine(T a, T b, ReduceOp op) {
  if (op == ReduceOp::kSum) return static_cast<T>(a + b);
  return op == ReduceOp::kMax ? std::max(a, b) : std::min(a, b);
}
template <class T>
T Identity(ReduceOp op) {
  if (op == ReduceOp::kSum) return std::is_floating_point_v<T> ? static_cast<T>(-0.0) : T{0};
  return op == ReduceOp::kMax ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
}
template <class T>
T CombineTree(std::vector<T> slots, const Shape& tree, ReduceOp op) {
  for (auto [a, b] : TreeAdditions(tree)) slots[a] = Combine(slots[a], slots[b], op);
  return slots[0];
}

// Sizes of the partial mesh axes, their operation, and a member's row-major place over them.
struct PartialOf {
  Shape tree;
  ReduceOp op = ReduceOp::kSum;
  std::vector<int> axes;
  explicit PartialOf(const Layout& layout) {
    for (int k = 0; k < layout.nd_sbp.rank(); ++k)
      if (layout.nd_sbp[k].is_partial()) {
        axes.push_back(k);
        tree.push_back(layout.placement.hierarchy()[k]);
        op = layout.nd_sbp[k].reduce_op();
      }
  }
  int PlaceOf(const Layout& layout, int index) const {
    const std::vector<int> at = layout.placement.Coordinates(index);
    int place = 0;
    for (size_t i = 0; i < axes.size(); ++i)
      place = place * static_cast<int>(tree[static_cast<int>(i)]) + at[axes[i]];
    return place;
  }
};

// Full contributions, one for each coordinate of the partial axes.
template <class T>
std::vector<std::vector<T>> Contributions(const Shape& logical, const Layout& layout,
                                          std::mt19937_64* random) {
  const PartialOf partial(layout);
  std::vector<std::vector<T>> all(partial.tree.numel());
  for (auto& one : all)
    for (int64_t e = 0; e < logical.numel(); ++e) {
      const auto draw = static_cast<int64_t>((*random)() % 2000001) - 1000000;
      one.push_back(std::is_floating_point_v<T> ? static_cast<T>(draw) / static_cast<T>(977)
                                                : static_cast<T>(draw));
    }
  return all;
}

template <class T>
std::vector<T> Logical(const Layout& layout, const std::vector<std::vector<T>>& contributions) {
  const PartialOf partial(layout);
  std::vector<T> whole(contributions[0].size());
  for (size_t e = 0; e < whole.size(); ++e) {
    std::vector<T> slots;
    for (const auto& one : contributions) slots.push_back(one[e]);
    whole[e] = CombineTree(slots, partial.tree, partial.op);
  }
  return whole;
}

template <class T>
Shards<T> Scatter(const Shape& logical, const Layout& layout,
                  const std::vector<std::vector<T>>& contributions) {
  const PartialOf partial(layout);
  Shards<T> shards;
  for (int i = 0; i < layout.placement.size(); ++i) {
    Shard<T> shard{LocalBox(logical, layout, i), {}};
    for (const Shape& at : Points(shard.box))
      shard.data.push_back(
          contributions[partial.PlaceOf(layout, i)][IndexIn(Box::Whole(logical), at)]);
    shards[layout.placement.ranks()[i]] = std::move(shard);
  }
  return shards;
}

// Copies along B are bit-equal, boxes are right, and partials combine to `whole`.
template <class T>
void ExpectHolds(const Shape& logical, const Layout& layout, const Shards<T>& shards,
                 const std::vector<T>& whole, const std::string& what) {
  const PartialOf partial(layout);
  ASSERT_EQ(shards.size(), layout.placement.ranks().size()) << what;
  std::vector<std::vector<T>> slots(whole.size(), std::vector<T>(partial.tree.numel()));
  std::vector<std::vector<bool>> seen(whole.size(), std::vector<bool>(partial.tree.numel()));
  for (int i = 0; i < layout.placement.size(); ++i) {
    const Shard<T>& shard = shards.at(layout.placement.ranks()[i]);
    ASSERT_TRUE(shard.box == LocalBox(logical, layout, i)) << what;
    const int place = partial.PlaceOf(layout, i);
    size_t n = 0;
    for (const Shape& at : Points(shard.box)) {
      const int64_t e = IndexIn(Box::Whole(logical), at);
      const T value = shard.data[n++];
      if (seen[e][place]) {
        ASSERT_EQ(std::memcmp(&slots[e][place], &value, sizeof(T)), 0) << what << " at " << at;
      }
      slots[e][place] = value;
      seen[e][place] = true;
    }
    ASSERT_EQ(n, shard.data.size()) << what;
  }
  for (size_t e = 0; e < whole.size(); ++e) {
    ASSERT_EQ(std::count(seen[e].begin(), seen[e].end(), false), 0) << what << " element " << e;
    const T value = CombineTree(slots[e], partial.tree, partial.op);
    ASSERT_EQ(std::memcmp(&value, &whole[e], sizeof(T)), 0) << what << " element " << e;
  }
}

struct Counted {
  int64_t max_link = 0;
  int64_t total_link = 0;
  int64_t max_local = 0;
};
inline std::vector<int> Members(const BoxingStep& step) {
  std::vector<int> ranks = step.from.placement.ranks();
  for (int r : step.to.placement.ranks())
    if (!step.from.placement.Contains(r)) ranks.push_back(r);
  return ranks;
}
// Elements that all ranks' work moves.
inline Counted Count(const BoxingStep& step, const Shape& logical) {
  Counted c;
  for (int rank : Members(step)) {
    const RankWork work = WorkOf(step, logical, rank);
    int64_t sent = 0, received = 0, local = 0;
    for (const Message& m : work.sends) sent += m.box.Extent().numel();
    for (const Message& m : work.receives) received += m.box.Extent().numel();
    for (const Piece& p : work.pieces)
      local += p.box.Extent().numel() * std::max<int64_t>(1, p.sources.size());
    c.max_link = std::max({c.max_link, sent, received});
    c.total_link += sent;
    c.max_local = std::max(c.max_local, local);
  }
  return c;
}

// Runs one step; what a receiver uses must have been sent, exactly and in the agreed order.
template <class T>
Shards<T> Execute(const BoxingStep& step, const Shape& logical, const Shards<T>& before) {
  std::map<std::pair<int, int>, std::vector<Box>> wire;
  std::map<int, RankWork> works;
  for (int rank : Members(step)) works[rank] = WorkOf(step, logical, rank);
  for (const auto& [rank, work] : works) {
    for (const Message& m : work.sends) {
      EXPECT_EQ(m.src, rank);
      EXPECT_NE(m.dst, rank);
      EXPECT_FALSE(m.box.Empty());
      wire[{m.src, m.dst}].push_back(m.box);
    }
  }
  std::map<std::pair<int, int>, std::vector<Box>> expected;
  for (const auto& [rank, work] : works)
    for (const Message& m : work.receives) {
      EXPECT_EQ(m.dst, rank);
      expected[{m.src, m.dst}].push_back(m.box);
    }
  EXPECT_TRUE(wire == expected) << "sends and receives differ";
  Shards<T> after;
  for (const auto& [rank, work] : works) {
    EXPECT_EQ(work.from_box.Empty() || before.contains(rank), true);
    if (!step.to.placement.Contains(rank)) {
      EXPECT_TRUE(work.pieces.empty() && work.to_box.Empty() && work.receives.empty());
      continue;
    }
    Shard<T> shard{work.to_box, std::vector<T>(work.to_box.Extent().numel())};
    std::vector<int> written(shard.data.size());
    for (const Piece& piece : work.pieces) {
      EXPECT_EQ(piece.sources.empty() ? 1 : piece.tree.numel(),
                std::max<int64_t>(1, piece.sources.size()));
      for (int source : piece.sources)
        if (source != rank) {
          const auto& boxes = wire[{source, rank}];
          EXPECT_EQ(std::count(boxes.begin(), boxes.end(), piece.box), 1);
        }
      for (const Shape& at : Points(piece.box)) {
        std::vector<T> slots;
        for (int source : piece.sources) {
          const Shard<T>& shard_of = before.at(source);
          slots.push_back(shard_of.data[IndexIn(shard_of.box, at)]);
        }
        const int64_t e = IndexIn(shard.box, at);
        shard.data[e] =
            slots.empty() ? Identity<T>(piece.op) : CombineTree(slots, piece.tree, piece.op);
        ++written[e];
      }
    }
    EXPECT_EQ(std::count(written.begin(), written.end(), 1), static_cast<int64_t>(written.size()));
    after[rank] = std::move(shard);
  }
  return after;
}

// All layouts over these symbols that do not mix partials.
inline std::vector<NdSbp> AllLayouts(const std::vector<Sbp>& symbols, int mesh_rank) {
  std::vector<NdSbp> all{NdSbp()};
  for (int k = 0; k < mesh_rank; ++k) {
    std::vector<NdSbp> next;
    for (const NdSbp& nd : all)
      for (Sbp s : symbols) {
        bool mixes = false;
        for (Sbp other : nd) mixes = mixes || (s.is_partial() && other.is_partial() && other != s);
        if (mixes) continue;
        next.push_back(nd);
        next.back().push_back(s);
      }
    all = std::move(next);
  }
  return all;
}

inline std::string Name(const Shape& shape, const Layout& from, const Layout& to) {
  return shape.ToString() + " " + from.ToString() + " -> " + to.ToString();
}

}  // namespace ofl::sbp
