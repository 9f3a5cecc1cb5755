// Random words of a kernel's shard, in tiles: every value follows from the element's index in the
// logical tensor alone, whatever the layout, the tile and the thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/source/philox.h"

namespace ofl::ops {

// What drawing an element costs next to a plain elementwise step.
inline constexpr int64_t kDrawSteps = 8;
// Words are made for groups of blocks, the loops' vector registers full.
inline constexpr int64_t kGroupBlocks = 16, kGroupWords = 4 * kGroupBlocks;
inline constexpr int64_t kTileWords = 16 * kGroupWords;

// The words of `groups` groups: of block `first` of the stream and of those after it, or of every
// `step`-th.
void PhiloxGroups(uint64_t seed, uint64_t offset, uint64_t first, int64_t groups, uint32_t* words,
                  uint64_t step = 1);
// Standard normal values of as many words, two of two (Box and Muller, 1958).
void NormalsOf(const uint32_t* words, int64_t groups, double* values);

// The logical tensor of all micro-batches, and where this one's shard starts in it: micro-batch k
// is the k-th slice along axis 0 of each rank's shard of the whole. A scalar becomes a vector.
struct DrawnRange {
  Shape logical, first, local;
};
DrawnRange DrawnRangeOf(const op::KernelContext& c);

// Calls body(local begin, local end, logical index of local begin) for every run of the output's
// shard that is contiguous in the logical tensor.
template <class Body>
void ForEachRun(op::KernelContext& c, const Body& body) {
  const DrawnRange whole = DrawnRangeOf(c);
  const Shape &logical = whole.logical, &first = whole.first, &local = whole.local;
  if (local.numel() == 0) return;
  const Strides strides = ContiguousStrides(logical);
  // Trailing axes that the shard holds whole, and the axis before them, run on.
  int axis = local.rank();
  int64_t run = 1, start = 0;
  while (axis > 0) {
    --axis;
    run *= local[axis];
    if (local[axis] != logical[axis]) break;
  }
  for (int i = axis; i < local.rank(); ++i) start += first[i] * strides[i];
  const auto logical_start = [&](int64_t index) {
    int64_t at = start;
    for (int i = axis - 1; i >= 0; --i) {
      at += (first[i] + index % local[i]) * strides[i];
      index /= local[i];
    }
    return at;
  };
  const int64_t runs = local.numel() / run;
  if (runs == 1) {
    // A single run is shared out itself.
    const int64_t begin_at = logical_start(0);
    Parallel(c.stream, run, RowGrain(kDrawSteps),
             [&](int64_t begin, int64_t end) { body(begin, end, begin_at + begin); });
    return;
  }
  Parallel(c.stream, runs, RowGrain(run * kDrawSteps), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r * run, (r + 1) * run, logical_start(r));
  });
}

// Calls body(local begin, words, n): `words` are those of n elements, kWords of each.
template <int kWords = 1, class Body>
void ForEachWords(op::KernelContext& c, const Body& body) {
  constexpr int64_t kPerBlock = 4 / kWords;
  ForEachRun(c, [&](int64_t begin, int64_t end, int64_t logical) {
    alignas(64) uint32_t words[kTileWords];
    while (begin < end) {
      const int64_t block = logical / kPerBlock, skip = logical % kPerBlock;
      const int64_t n = std::min(end - begin, kTileWords / kWords - skip);
      const int64_t groups = ((n + skip) * kWords + kGroupWords - 1) / kGroupWords;
      PhiloxGroups(c.random.seed, static_cast<uint64_t>(c.random.offset),
                   static_cast<uint64_t>(block), groups, words);
      body(begin, words + skip * kWords, n);
      begin += n;
      logical += n;
    }
  });
}

// Calls body(local begin, values, n) with standard normal values.
template <class Body>
void ForEachNormals(op::KernelContext& c, const Body& body) {
  ForEachRun(c, [&](int64_t begin, int64_t end, int64_t logical) {
    alignas(64) uint32_t words[kTileWords];
    alignas(64) double values[kTileWords];
    while (begin < end) {
      const int64_t block = logical / 4, skip = logical % 4;
      const int64_t n = std::min(end - begin, kTileWords - skip);
      const int64_t groups = (n + skip + kGroupWords - 1) / kGroupWords;
      PhiloxGroups(c.random.seed, static_cast<uint64_t>(c.random.offset),
                   static_cast<uint64_t>(block), groups, words);
      NormalsOf(words, groups, values);
      body(begin, values + skip, n);
      begin += n;
      logical += n;
    }
  });
}

// Calls put(local index, word) for every element.
template <class Put>
void ForEachWord(op::KernelContext& c, const Put& put) {
  ForEachWords(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
    for (int64_t i = 0; i < n; ++i) put(begin + i, words[i]);
  });
}

// The same with 64 bits for each element.
template <class Put>
void ForEachWideWord(op::KernelContext& c, const Put& put) {
  ForEachWords<2>(c, [&](int64_t begin, const uint32_t* words, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      put(begin + i, static_cast<uint64_t>(words[2 * i + 1]) << 32 | words[2 * i]);
  });
}

}  // namespace ofl::ops
