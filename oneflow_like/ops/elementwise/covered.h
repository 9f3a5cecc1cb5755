// Rows of functions that have a quick form without jumps for most arguments, and a slow one.
//
// F::Covers(x...) says whether F::Quick(x...) is right; elsewhere F::operator() is called. Which
// one an element takes depends on its operands alone, so its bits do not depend on where it stands.
#pragma once

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {

inline constexpr int64_t kCoveredBlock = 64;

// T is what is stored, W what the quick form computes in.
template <class F, class T, class W, class... X>
OFL_INLINE void RunCoveredBlock(const F& f, T* y, int64_t count, const X*... x) {
  alignas(64) W quick[kCoveredBlock];
  int missed = 0;
  const int64_t whole = Opaque(kCoveredBlock);
#pragma GCC ivdep
  for (int64_t i = 0; i < whole; ++i) {
    quick[i] = F::Quick(x[i]...);
    missed |= F::Covers(x[i]...) ? 0 : 1;
  }
  if (missed != 0) {
    for (int64_t i = 0; i < count; ++i)
      if (!F::Covers(x[i]...)) quick[i] = static_cast<W>(f(static_cast<T>(x[i])...));
  }
  for (int64_t i = 0; i < count; ++i) y[i] = static_cast<T>(quick[i]);
}

template <class T, class W>
struct CoveredOperand {
  alignas(64) W of[kCoveredBlock];
  OFL_INLINE CoveredOperand(const T* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) of[i] = static_cast<W>(from[i]);
    for (int64_t i = n; i < kCoveredBlock; ++i) of[i] = W(1);
  }
};

template <class F, class T, class W>
OFL_SIMD void CoveredRow1(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  const T* a = static_cast<const T*>(in[0]);
  T* y = static_cast<T*>(out);
  for (int64_t at = 0; at < n; at += kCoveredBlock) {
    const int64_t count = std::min(kCoveredBlock, n - at);
    RunCoveredBlock<F, T, W>(f, y + at, count, CoveredOperand<T, W>(a + at, count).of);
  }
}
template <class F, class T, class W>
OFL_SIMD void CoveredRow2(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  const T *a = static_cast<const T*>(in[0]), *b = static_cast<const T*>(in[1]);
  T* y = static_cast<T*>(out);
  for (int64_t at = 0; at < n; at += kCoveredBlock) {
    const int64_t count = std::min(kCoveredBlock, n - at);
    RunCoveredBlock<F, T, W>(f, y + at, count, CoveredOperand<T, W>(a + at, count).of,
                             CoveredOperand<T, W>(b + at, count).of);
  }
}

// Rows of one and of two operands of T.
template <class F, class T, class W>
inline const Row kCoveredRow1 = {CoveredRow1<F, T, W>, 1, DTypeOf<T>::value, {DTypeOf<T>::value}};
template <class F, class T, class W>
inline const Row kCoveredRow2 = {
    CoveredRow2<F, T, W>, 2, DTypeOf<T>::value, {DTypeOf<T>::value, DTypeOf<T>::value}};

// As Unary, of floats; float, and half types with it, have the quick form, which computes in W.
template <class F, class W>
op::OpDefBuilder& CoveredUnary(op::OpDefBuilder& op, const char* doc, const std::string& rule = "",
                               Range range = {}) {
  ForEachDType<kFloats>([&]<class T>(DType dtype) {
    if constexpr (std::is_same_v<T, float>) {
      op.Cpu(dtype, [](op::KernelContext& c) {
        const F f = MakeFunctor<F>(*c.attrs);
        return RunRow(c, kCoveredRow1<F, float, W>, &f);
      });
    } else {
      op.Cpu(dtype, RunFunctor<F, T>);
    }
  });
  return DescribeUnary(op, kFloats, doc, rule, range).Infer(InferUnaryOf<kFloats, Gives::kSame>);
}

}  // namespace ofl::ops
