#include "oneflow_like/ops/source/draws.h"

// As OFL_SIMD: the loader picks one of the forms of a function.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(OFL_SANITIZED) && \
    defined(__OPTIMIZE__)
#define OFL_DRAWS_OF_LEVELS 1
#include <immintrin.h>
#endif

#include "oneflow_like/ops/elementwise/loops.h"
#include "oneflow_like/ops/vector_math.h"

namespace ofl::ops {
namespace {

OFL_INLINE void Group(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step,
                      uint32_t* words) {
  uint32_t c0[kGroupBlocks], c1[kGroupBlocks], c2[kGroupBlocks], c3[kGroupBlocks];
  for (int64_t i = 0; i < kGroupBlocks; ++i) {
    const uint64_t counter = first + static_cast<uint64_t>(i) * step;
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

OFL_INLINE void GroupsInLanes(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step,
                              int64_t groups, uint32_t* words) {
  for (int64_t g = 0; g < groups; ++g)
    Group(seed, offset, first + static_cast<uint64_t>(g * kGroupBlocks) * step, step,
          words + g * kGroupWords);
}

#ifdef OFL_DRAWS_OF_LEVELS
// Where GCC 12's header makes a vector of nothing.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define OFL_AT_LEVEL(LEVEL) __attribute__((target(LEVEL), noinline))

// Blocks of kRegisters times 8 counters. Each number stands in 64 bits of which products read the
// lower half, so that both halves of a product are where the next round wants them: six
// instructions a round, where lanes of 32 bits take three times as many.
#define OFL_ALL(x) _mm512_set1_epi64(static_cast<int64_t>(x))
#define OFL_INLINE_V4 __attribute__((target("arch=x86-64-v4"), always_inline)) inline
template <int kRegisters>
OFL_INLINE_V4 void WideBlocks(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step,
                              uint32_t* words) {
  constexpr uint64_t kLow = 0xffffffffu;
  const __m512i mul0 = OFL_ALL(kPhiloxMul0), mul1 = OFL_ALL(kPhiloxMul1);
  const __m512i steps =
      _mm512_mullo_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), OFL_ALL(step));
  __m512i c0[kRegisters], c1[kRegisters], c2[kRegisters], c3[kRegisters];
  for (int r = 0; r < kRegisters; ++r) {
    c0[r] = _mm512_add_epi64(OFL_ALL(first + static_cast<uint64_t>(8 * r) * step), steps);
    c1[r] = _mm512_srli_epi64(c0[r], 32);
    c2[r] = OFL_ALL(offset & kLow), c3[r] = OFL_ALL(offset >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const __m512i key0 = OFL_ALL(k0), key1 = OFL_ALL(k1);
    for (int r = 0; r < kRegisters; ++r) {
      const __m512i p0 = _mm512_mul_epu32(c0[r], mul0), p1 = _mm512_mul_epu32(c2[r], mul1);
      constexpr int kXor = 0x96;  // of three
      c0[r] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1[r], key0, kXor);
      c2[r] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3[r], key1, kXor);
      c1[r] = p1, c3[r] = p0;
    }
    k0 += kPhiloxWeyl0, k1 += kPhiloxWeyl1;
  }
  constexpr __mmask16 kUpper = 0xAAAA;
  for (int r = 0; r < kRegisters; ++r) {
    const __m512i a = _mm512_mask_blend_epi32(kUpper, c0[r], _mm512_slli_epi64(c1[r], 32));
    const __m512i b = _mm512_mask_blend_epi32(kUpper, c2[r], _mm512_slli_epi64(c3[r], 32));
    // The two halves of each block side by side, the blocks in order.
    const __m512i lower = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i upper = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    _mm512_storeu_si512(words + 32 * r, _mm512_permutex2var_epi64(a, lower, b));
    _mm512_storeu_si512(words + 32 * r + 16, _mm512_permutex2var_epi64(a, upper, b));
  }
}
#undef OFL_INLINE_V4
#undef OFL_ALL

OFL_AT_LEVEL("arch=x86-64-v4")
void Groups(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step, int64_t groups,
            uint32_t* words) {
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2)
    WideBlocks<4>(seed, offset, first + static_cast<uint64_t>(g * kGroupBlocks) * step, step,
                  words + g * kGroupWords);
  if (g < groups)
    WideBlocks<2>(seed, offset, first + static_cast<uint64_t>(g * kGroupBlocks) * step, step,
                  words + g * kGroupWords);
}
OFL_AT_LEVEL("arch=x86-64-v3")
void Groups(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step, int64_t groups,
            uint32_t* words) {
  GroupsInLanes(seed, offset, first, step, groups, words);
}
OFL_AT_LEVEL("default")
void Groups(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step, int64_t groups,
            uint32_t* words) {
  GroupsInLanes(seed, offset, first, step, groups, words);
}
#undef OFL_AT_LEVEL
#pragma GCC diagnostic pop
#else
void Groups(uint64_t seed, uint64_t offset, uint64_t first, uint64_t step, int64_t groups,
            uint32_t* words) {
  GroupsInLanes(seed, offset, first, step, groups, words);
}
#endif

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

void PhiloxGroups(uint64_t seed, uint64_t offset, uint64_t first, int64_t groups, uint32_t* words,
                  uint64_t step) {
  Groups(seed, offset, first, step, groups, words);
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
