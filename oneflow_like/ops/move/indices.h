// What operators that read an int64 index share: its check, and adding into the places it names.
#pragma once

#include <complex>
#include <limits>

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

// --- indices that count from either end, and sums in any dtype
// -------------------------------------

// Where places that int64 `indices` of one shape name together, one for each axis from `dim` on,
// lie in the shard `x` of a tensor of shape `logical`, whose first element stands at `first` there:
// in elements from the shard's first, or kElsewhere. An index below 0 counts from the end.
inline constexpr int64_t kElsewhere = std::numeric_limits<int64_t>::min();
Status Locate(const char* op, std::span<const op::TensorView> indices, int dim,
              const Shape& logical, const Shape& first, const op::TensorView& x,
              const Strides& strides, int64_t* places);

// What elements of a dtype are added and compared in: half types in float, whole numbers in int64.
inline DType SumsIn(DType d) {
  if (IsHalf(d)) return DType::kFloat32;
  return IsInteger(d) || d == DType::kBool ? DType::kInt64 : d;
}
// Bytes of a copy in that dtype; 0 where none is made.
inline int64_t WidenedBytes(const TensorMeta& meta) {
  return SumsIn(meta.dtype) == meta.dtype ? 0 : SaturatingMul(meta.shape.numel(), 8);
}
// `view` in SumsIn(its dtype): itself, or a copy at `scratch`, which moves on.
Result<op::TensorView> Widened(device::Stream* stream, const op::TensorView& view,
                               std::byte*& scratch);
// Calls fn with a value of the type that SumsIn gave.
template <class Fn>
void WithSums(DType sums, const Fn& fn) {
  switch (sums) {
    case DType::kFloat64: return fn(double{});
    case DType::kInt64: return fn(int64_t{});
    case DType::kComplex64: return fn(std::complex<float>{});
    case DType::kComplex128: return fn(std::complex<double>{});
    default: return fn(float{});
  }
}
// Whole numbers wrap.
template <class T>
T Plus(T a, T b) {
  if constexpr (std::is_same_v<T, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}

// Float8 is moved, but nothing is said of it in place.
std::vector<DType> WithoutFloat8();
// The same call in every dtype of its data: inputs `data` take it, the others keep theirs.
std::vector<op::Sample> WithDTypes(std::vector<op::Sample> samples, std::span<const DType> dtypes,
                                   std::initializer_list<size_t> data);

// Registers such a kernel for the dtypes that gradients have.
void AccumulatesIn(op::OpDefBuilder& op, op::KernelFn fn);

}  // namespace ofl::ops
