// The loops of elementwise operators, compiled once for all of them.
//
// An operator brings a row: its functor over dense runs of the types it computes in. Everything
// else happens here, without templates: broadcasting, strides of every operand, dtypes that are
// stored in another type than they are computed in, threads.
#pragma once

#include <span>

#include "device/cpu/simd.h"
#include "oneflow_like/op/kernel/kernel.h"
#include "oneflow_like/ops/elementwise/convert.h"

namespace ofl::ops {

// Elements that are worth a thread: a short loop ends before another core wakes up.
inline constexpr int64_t kElementGrain = 16384;
inline constexpr int kMaxRowInputs = 3;

// `in` and `out` are dense runs of `n` elements in compute dtypes; `out` may be one of `in`.
using RowFn = void (*)(const void* functor, const void* const* in, void* out, int64_t n);
struct Row {
  RowFn fn;
  int arity;
  DType out;
  DType in[kMaxRowInputs];
};

// An input: a view that broadcasts to the output, or one value in its compute dtype, which repeats.
struct RowInput {
  const op::TensorView* view = nullptr;
  const void* number = nullptr;
};

// Output element i from the elements i of the inputs, whatever their strides. An output may share
// memory with an input of the same strides. `storage`, where given, replaces the operands' dtypes:
// kernels that only move values see them by their size.
void RunRow(device::Stream* stream, const Row& row, const void* functor,
            std::span<const RowInput> inputs, const op::TensorView& output,
            const DType* storage = nullptr);
// The same over all inputs of a call.
Status RunRow(op::KernelContext& c, const Row& row, const void* functor);

// A functor with `kInPieces` calls functions whose vector forms differ from their scalar ones in
// the last bits (ops/vector_math.h): its rows run in pieces of one length, the last one filled up,
// so that an element's bits do not depend on where it stands.
template <class F>
concept InPieces = requires { F::kInPieces; };
inline constexpr int64_t kPiece = 16;

// A stored element. A byte of a bool may be any number, where it was written as another dtype: all
// but 0 are true.
template <class T>
OFL_INLINE T ElementAt(const T* at) {
  if constexpr (std::is_same_v<T, bool>)
    return *reinterpret_cast<const unsigned char*>(at) != 0;
  else
    return *at;
}

// y[i] = f(in[i]...). Each iteration reads and writes its own element only, which `ivdep` states.
template <class F, class Out, class... In>
OFL_INLINE void RunPiece(const F& f, Out* y, int64_t n, const In*... in) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(ElementAt(in + i)...);
}
template <class T>
struct Piece {
  T of[kPiece] = {};
  OFL_INLINE Piece(const T* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) of[i] = ElementAt(from + i);
  }
};
// A number that the compiler does not know: it would unroll the last piece, and call there the
// scalar functions.
OFL_INLINE int64_t Opaque(int64_t n) {
#if defined(__x86_64__) && !defined(__CUDACC__)
  __asm__("" : "+r"(n));
#endif
  return n;
}
template <class F, class Out, class... In>
OFL_INLINE void RunElements(const F& f, Out* y, int64_t n, const In*... in) {
  if constexpr (!InPieces<F>) {
    RunPiece(f, y, n, in...);
  } else {
    const int64_t whole = n / kPiece * kPiece;
    RunPiece(f, y, Opaque(whole), in...);
    if (whole == n) return;
    Piece<Out> rest(y, 0);
    RunPiece(f, rest.of, Opaque(kPiece), Piece<In>(in + whole, n - whole).of...);
    for (int64_t i = whole; i < n; ++i) y[i] = rest.of[i - whole];
  }
}

// Rows of a functor.
template <class F, class Out, class A>
OFL_SIMD void Row1(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  RunElements(f, static_cast<Out*>(out), n, static_cast<const A*>(in[0]));
}
template <class F, class Out, class A, class B>
OFL_SIMD void Row2(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  RunElements(f, static_cast<Out*>(out), n, static_cast<const A*>(in[0]),
              static_cast<const B*>(in[1]));
}
template <class F, class Out, class A, class B, class C>
OFL_SIMD void Row3(const void* functor, const void* const* in, void* out, int64_t n) {
  const F f = *static_cast<const F*>(functor);
  RunElements(f, static_cast<Out*>(out), n, static_cast<const A*>(in[0]),
              static_cast<const B*>(in[1]), static_cast<const C*>(in[2]));
}

template <class F, class Out, class... In>
inline constexpr Row kRow = {nullptr, 0, DTypeOf<Out>::value, {}};
#ifdef __CUDACC__
template <class F, class Out, class... In>
Row ListCudaRow(Row row);
#define OFL_ROW_INIT(F, Out, ...) ListCudaRow<F, Out, __VA_ARGS__>
#else
#define OFL_ROW_INIT(F, Out, ...) Row
#endif
template <class F, class Out, class A>
inline const Row kRow<F, Out, A> =
    OFL_ROW_INIT(F, Out, A)({Row1<F, Out, A>, 1, DTypeOf<Out>::value, {DTypeOf<A>::value}});
template <class F, class Out, class A, class B>
inline const Row kRow<F, Out, A, B> = OFL_ROW_INIT(F, Out, A, B)(
    {Row2<F, Out, A, B>, 2, DTypeOf<Out>::value, {DTypeOf<A>::value, DTypeOf<B>::value}});
template <class F, class Out, class A, class B, class C>
inline const Row kRow<F, Out, A, B, C> =
    OFL_ROW_INIT(F, Out, A, B, C)({Row3<F, Out, A, B, C>,
                                   3,
                                   DTypeOf<Out>::value,
                                   {DTypeOf<A>::value, DTypeOf<B>::value, DTypeOf<C>::value}});
#undef OFL_ROW_INIT

}  // namespace ofl::ops

#include "oneflow_like/ops/elementwise/cuda_rows.h"  // IWYU pragma: keep
