// What operators that read an int64 index share: its check, and adding into the places it names.
#pragma once

#include <complex>

#include "oneflow_like/core/half.h"
#include "oneflow_like/ops/elementwise/family.h"
#include "oneflow_like/ops/move/copy.h"

namespace ofl::ops {

// kOutOfRange unless every entry lies in [0, size).
Status CheckIndices(const char* op, const op::TensorView& index, int64_t size);

// Entry `i` of a vector.
inline int64_t IndexAt(const op::TensorView& index, int64_t i) {
  return index.as<int64_t>()[i * index.strides[0]];
}

// Adds `n` elements of `grad`, from place `at` on, to `to`: rows that advance by the last of `from`
// and of `into`. Half types are added in float.
template <class T>
class AddRow {
 public:
  AddRow(const op::TensorView& grad, const Strides& from, const Strides& into)
      : grad_(grad),
        from_(from.rank() > 0 ? from[from.rank() - 1] : 0),
        into_(into.rank() > 0 ? into[into.rank() - 1] : 0) {}
  void operator()(int64_t at, T* to, int64_t n) const {
    if constexpr (std::is_same_v<T, float>) {
      if (grad_.meta.dtype == DType::kFloat16) return Add<Float16>(at, to, n, Float16::Widen);
      if (grad_.meta.dtype == DType::kBFloat16) return Add<BFloat16>(at, to, n, BFloat16::Widen);
    }
    Add<T>(at, to, n, [](T x) { return x; });
  }

 private:
  template <class Stored, class Widen>
  void Add(int64_t at, T* to, int64_t n, const Widen& widen) const {
    const Stored* from = grad_.as<Stored>() + at;
    for (int64_t j = 0; j < n; ++j) to[j * into_] += widen(from[j * from_]);
  }
  const op::TensorView& grad_;
  int64_t from_, into_;
};

// Calls fn(T{}, sums) with zeros in the shape of output 0, T being what its dtype is added in: the
// output itself, or for half types floats in scratch that are rounded into it afterwards.
template <class Fn>
Status Accumulate(op::KernelContext& c, const Fn& fn) {
  const op::TensorView& out = c.outputs[0];
  op::TensorView sums = out;
  if (IsHalf(out.meta.dtype))
    sums = {out.numel() > 0 ? c.workspace.data() : nullptr, {DType::kFloat32, out.meta.shape}};
  ZeroBox(c.stream, sums);
  if (sums.numel() == 0) return Status::Ok();
  switch (sums.meta.dtype) {
    case DType::kFloat64: fn(double{}, sums); break;
    case DType::kComplex64: fn(std::complex<float>{}, sums); break;
    case DType::kComplex128: fn(std::complex<double>{}, sums); break;
    default: fn(float{}, sums); break;
  }
  return IsHalf(out.meta.dtype) ? CastElements(c.stream, sums, out) : Status::Ok();
}
// Registers such a kernel for the dtypes that gradients have.
void AccumulatesIn(op::OpDefBuilder& op, op::KernelFn fn);

}  // namespace ofl::ops
