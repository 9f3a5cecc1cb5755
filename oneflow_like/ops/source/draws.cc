#include "oneflow_like/ops/source/draws.h"

#include "oneflow_like/ops/elementwise/loops.h"
#include "oneflow_like/ops/vector_math.h"

namespace ofl::ops {
namespace {

OFL_INLINE void Group(uint64_t seed, uint64_t offset, uint64_t first, uint32_t* words) {
  uint32_t c0[kGroupBlocks], c1[kGroupBlocks], c2[kGroupBlocks], c3[kGroupBlocks];
  for (int64_t i = 0; i < kGroupBlocks; ++i) {
    const uint64_t counter = first + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(counter);
    c1[i] = static_cast<uint32_t>(counter >> 32);
    c2[i] = static_cast<uint32_t>(offset);
    c3[i] = static_cast<uint32_t>(offset >> 32);
  }
  PhiloxLanes(seed, c0, c1, c2, c3);
  for (int64_t i = 0; i < kGroupBlocks; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

OFL_SIMD void Groups(uint64_t seed, uint64_t offset, uint64_t first, int64_t groups,
                     uint32_t* words) {
  for (int64_t g = 0; g < groups; ++g)
    Group(seed, offset, first + static_cast<uint64_t>(g * kGroupBlocks), words + g * kGroupWords);
}

// `pairs` is a multiple of a vector register's lanes, and unknown to the compiler: all elements go
// through the vector forms of the functions.
OFL_SIMD void Normals(const uint32_t* words, int64_t pairs, double* values) {
  pairs = Opaque(pairs);
#pragma GCC ivdep
  for (int64_t i = 0; i < pairs; ++i) {
    const double u = (static_cast<double>(words[2 * i]) + 1.0) * 0x1.0p-32;  // (0, 1]
    const double angle = 2 * math::kPi * (static_cast<double>(words[2 * i + 1]) * 0x1.0p-32);
    const double radius = std::sqrt(-2.0 * math::RealLog(u));
    values[2 * i] = radius * math::Cos(angle);
    values[2 * i + 1] = radius * math::Sin(angle);
  }
}

}  // namespace

void PhiloxGroups(uint64_t seed, uint64_t offset, uint64_t first, int64_t groups, uint32_t* words) {
  Groups(seed, offset, first, groups, words);
}

void NormalsOf(const uint32_t* words, int64_t groups, double* values) {
  Normals(words, groups * (kGroupWords / 2), values);
}

DrawnRange DrawnRangeOf(const op::KernelContext& c) {
  DrawnRange whole{c.logical_outputs[0].shape, c.output_offsets[0], c.outputs[0].meta.shape};
  if (c.pieces == 1) return whole;
  if (whole.local.rank() == 0) return {Shape{c.pieces}, Shape{c.piece}, Shape{1}};
  whole.logical[0] *= c.pieces;
  whole.first[0] = whole.first[0] * c.pieces + c.piece * whole.local[0];
  return whole;
}

}  // namespace ofl::ops
