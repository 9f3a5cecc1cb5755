// Marks for loops that the compiler vectorises, chosen for the processor at run time.
#pragma once

// OFL_SIMD before a function compiles it for AVX-512, AVX2 and the base level; the loader picks.
// What it calls must be OFL_INLINE (or a lambda passed to an OFL_INLINE function), or stays at the
// base level. Absent under sanitizers, which run before the loader's choice is ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(OFL_SANITIZED) && \
    defined(__OPTIMIZE__)
#define OFL_SIMD \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#else
#define OFL_SIMD __attribute__((noinline))
#endif

#define OFL_INLINE inline __attribute__((always_inline))
#define OFL_INLINE_LAMBDA __attribute__((always_inline))
