// Rows of two operands of which one repeats along the innermost axis: a column beside a matrix, a
// number for each channel. The loops would otherwise fill a tile with it for every row.
#pragma once

#include "oneflow_like/ops/elementwise/family.h"

namespace ofl::ops {

// Null: there is no such row.
struct RepeatingRows {
  RowFn first = nullptr, second = nullptr;
};

// RunRow over both inputs of a call.
Status RunRow(op::KernelContext& c, const Row& row, const void* functor,
              const RepeatingRows& repeating);

template <class F, class T>
OFL_SIMD void FirstRepeats(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  const T a = *static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  T* y = static_cast<T*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(a, b[i]);
}
template <class F, class T>
OFL_SIMD void SecondRepeats(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  const T* a = static_cast<const T*>(in[0]);
  const T b = *static_cast<const T*>(in[1]);
  T* y = static_cast<T*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b);
}

// As RunFunctor<F, T, T>; float and double have rows with an operand that repeats.
template <class F, class T>
Status RunRepeating(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  if constexpr (std::is_floating_point_v<T>) {
    return RunRow(c, kRowOf<F, T, T>, &f, {FirstRepeats<F, T>, SecondRepeats<F, T>});
  } else {
    return RunRow(c, kRowOf<F, T, T>, &f);
  }
}

// As Binary.
template <class F, DTypeSet kSet>
op::OpDefBuilder& RepeatingBinary(op::OpDefBuilder& op, const char* doc,
                                  const std::string& rule = "", Range range = {}) {
  ForEachDType<kSet>([&]<class T>(DType dtype) { op.Cpu(dtype, RunRepeating<F, T>); });
  return DescribeBinary(op, kSet, doc, rule, range)
      .Infer(InferBinaryOf<kSet, Gives::kSame>)
      .InPlace(0, 0)
      .InPlace(0, 1);
}

}  // namespace ofl::ops
