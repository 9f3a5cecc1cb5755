// Families of elementwise operators: one line gives an operator operands, dtypes, strides, samples.
//
// A functor is a small value with an OFL_FN call operator over the types it computes in, built from
// nothing or from Attrs. The dtypes of an operator are a set; from it follow the row functions that
// are compiled, the kernels, the check of operands with its error, and the samples.
#pragma once

#include <complex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneflow_like/op/def/op_def.h"
#include "oneflow_like/ops/elementwise/loops.h"
#include "oneflow_like/ops/kernel_util.h"
#include "oneflow_like/ops/math.h"

namespace ofl::ops {

// --- sets of dtypes -----------------------------------------------------------------------------

using DTypeSet = uint32_t;
template <class... D>
constexpr DTypeSet SetOf(D... dtypes) {
  return ((DTypeSet{1} << static_cast<int>(dtypes)) | ...);
}
constexpr bool Contains(DTypeSet set, DType dtype) { return (set & SetOf(dtype)) != 0; }

inline constexpr DTypeSet kFloats =
    SetOf(DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16);
inline constexpr DTypeSet kInts =
    SetOf(DType::kInt64, DType::kInt32, DType::kInt16, DType::kInt8, DType::kUInt8);
inline constexpr DTypeSet kBools = SetOf(DType::kBool);
inline constexpr DTypeSet kComplexes = SetOf(DType::kComplex64, DType::kComplex128);
inline constexpr DTypeSet kFloat8s = SetOf(DType::kFloat8E4M3, DType::kFloat8E5M2);
inline constexpr DTypeSet kReals = kFloats | kInts;
inline constexpr DTypeSet kNumbers = kReals | kComplexes;

// The set's dtypes, float32 first.
std::vector<DType> ListOf(DTypeSet set);

// kTypeMismatch unless input `i` has a dtype of the set: what it is instead, what is expected, how
// to convert.
Status RequireIn(const op::InferContext& c, int i, DTypeSet set);

// Calls fn.operator()<T>(dtype) for each dtype of the set, T being the type it is computed in.
template <DTypeSet kSet, class T, class Fn>
void ForStored(const Fn& fn) {
  constexpr DType kOwn = DTypeOf<T>::value;
  constexpr DTypeSet kStored =
      kSet & (kOwn == DType::kFloat32 ? SetOf(kOwn, DType::kFloat16, DType::kBFloat16) | kFloat8s
              : kOwn == DType::kInt32 ? SetOf(kOwn, DType::kInt8, DType::kUInt8, DType::kInt16)
                                      : SetOf(kOwn));
  if constexpr (kStored != 0) {
    for (DType dtype : AllDTypes())
      if (Contains(kStored, dtype)) fn.template operator()<T>(dtype);
  }
}
template <DTypeSet kSet, class Fn>
void ForEachDType(const Fn& fn) {
  ForStored<kSet, float>(fn);
  ForStored<kSet, double>(fn);
  ForStored<kSet, int32_t>(fn);
  ForStored<kSet, int64_t>(fn);
  ForStored<kSet, bool>(fn);
#ifndef __CUDACC__  // CUDA has no complex numbers of the standard library's yet
  ForStored<kSet, std::complex<float>>(fn);
  ForStored<kSet, std::complex<double>>(fn);
#endif
}

// --- kernels ------------------------------------------------------------------------------------

template <class F>
F MakeFunctor(const Attrs& attrs) {
  if constexpr (std::is_constructible_v<F, const Attrs&>) {
    return F(attrs);
  } else {
    return F{};
  }
}

template <class F, class... In>
using ResultOf = std::invoke_result_t<const F&, In...>;
template <class F, class... In>
inline constexpr const Row& kRowOf = kRow<F, ResultOf<F, In...>, In...>;

template <class F, class... In>
Status RunFunctor(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  return RunRow(c, kRowOf<F, In...>, &f);
}

// --- operators of one operand -------------------------------------------------------------------

struct Range {
  double low = -2.0, high = 2.0;
};

// What an operator's result is to its operand.
enum class Gives { kSame, kReal, kBool };

Status InferUnary(op::InferContext& c, DTypeSet set, Gives gives);
template <DTypeSet kSet, Gives kGives>
Status InferUnaryOf(op::InferContext& c) {
  return InferUnary(c, kSet, kGives);
}

// Everything but kernels and inference; `rule` follows "(...)->(...)".
op::OpDefBuilder& DescribeUnary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                const std::string& rule, Range range);

template <class F, DTypeSet kSet>
void UnaryKernels(op::OpDefBuilder& op) {
  ForEachDType<kSet>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<F, T>); });
}

template <class F, DTypeSet kSet>
constexpr Gives UnaryGives() {
  if constexpr ((kSet & kComplexes) != 0) {
    return std::is_same_v<ResultOf<F, std::complex<float>>, float> ? Gives::kReal : Gives::kSame;
  } else {
    return Gives::kSame;
  }
}

// y = F(x). Without integers in the set, integers and bool are promoted to float32 by callers.
template <class F, DTypeSet kSet>
op::OpDefBuilder& Unary(op::OpDefBuilder& op, const char* doc, const std::string& rule = "",
                        Range range = {}) {
  UnaryKernels<F, kSet>(op);
  return DescribeUnary(op, kSet, doc, rule, range).Infer(InferUnaryOf<kSet, UnaryGives<F, kSet>()>);
}

// --- operators of two operands, which broadcast
// -----------------------------------------------------

Status InferBinary(op::InferContext& c, DTypeSet set, Gives gives);
template <DTypeSet kSet, Gives kGives>
Status InferBinaryOf(op::InferContext& c) {
  return InferBinary(c, kSet, kGives);
}
op::OpDefBuilder& DescribeBinary(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                 const std::string& rule, Range range);

// With the operands in the other order: a > b is b < a.
Status RunSwapped(op::KernelContext& c, const Row& row, const void* functor);
template <class F, class T>
Status RunFunctorSwapped(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  return RunSwapped(c, kRowOf<F, T, T>, &f);
}

template <class F, DTypeSet kSet, bool kSwapped = false>
void BinaryKernels(op::OpDefBuilder& op) {
  ForEachDType<kSet>([&]<class T>(DType dtype) {
    op.Cpu(dtype, kSwapped ? RunFunctorSwapped<F, T> : RunFunctor<F, T, T>);
  });
}

// y = F(a, b) of one dtype.
template <class F, DTypeSet kSet>
op::OpDefBuilder& Binary(op::OpDefBuilder& op, const char* doc, const std::string& rule = "",
                         Range range = {}) {
  BinaryKernels<F, kSet>(op);
  return DescribeBinary(op, kSet, doc, rule, range)
      .Infer(InferBinaryOf<kSet, Gives::kSame>)
      .InPlace(0, 0)
      .InPlace(0, 1);
}

// --- a tensor and a number, which is the attribute `scalar`
// ------------------------------------------

// The number takes part as a value of the compute dtype that repeats: the same row serves both.
Status RunNumber(op::KernelContext& c, const Row& row, const void* functor, const void* number,
                 bool number_first);
template <class F, class T, bool kNumberFirst>
Status RunFunctorWithNumber(op::KernelContext& c) {
  const F f = MakeFunctor<F>(*c.attrs);
  const T number = c.number("scalar").As<T>();
  return RunNumber(c, kRowOf<F, T, T>, &f, &number, kNumberFirst);
}

// The number must be one that the tensor's dtype holds.
Status InferNumber(op::InferContext& c, DTypeSet set);
template <DTypeSet kSet>
Status InferNumberOf(op::InferContext& c) {
  return InferNumber(c, kSet);
}
op::OpDefBuilder& DescribeNumber(op::OpDefBuilder& op, DTypeSet set, const char* doc,
                                 std::vector<double> numbers, Range range);

template <class F, DTypeSet kSet, bool kNumberFirst = false>
op::OpDefBuilder& WithNumber(op::OpDefBuilder& op, const char* doc,
                             std::vector<double> numbers = {3.0, -2.0}, Range range = {}) {
  ForEachDType<kSet>(
      [&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctorWithNumber<F, T, kNumberFirst>); });
  return DescribeNumber(op, kSet, doc, std::move(numbers), range).Infer(InferNumberOf<kSet>);
}

// --- gradients in one pass: dy first, then what the forward kept
// ----------------------------------

Status InferGrad(op::InferContext& c, DTypeSet set);
template <DTypeSet kSet>
Status InferGradOf(op::InferContext& c) {
  return InferGrad(c, kSet);
}
op::OpDefBuilder& DescribeGrad(op::OpDefBuilder& op, DTypeSet set, const char* doc);

template <class F, DTypeSet kSet>
op::OpDefBuilder& GradKernel(op::OpDefBuilder& op, const char* doc) {
  ForEachDType<kSet>([&]<class T>(DType dtype) { op.Cpu(dtype, RunFunctor<F, T, T>); });
  return DescribeGrad(op, kSet, doc).Infer(InferGradOf<kSet>);
}

// --- moves --------------------------------------------------------------------------------------

// A dtype of this size that stands for any: kernels that only move values see elements so.
DType BitsOf(DType dtype);
// Copies elements, whatever their dtype and the strides of both.
void CopyElements(device::Stream* stream, const op::TensorView& from, const op::TensorView& to);
// Every element of `to` becomes `value`, which its dtype holds.
void FillElements(device::Stream* stream, const Scalar& value, const op::TensorView& to);
// Elements in another dtype, as the operator cast converts them.
Status CastElements(device::Stream* stream, const op::TensorView& from, const op::TensorView& to);

// --- gradients ----------------------------------------------------------------------------------

// `x` summed over the axes along which `shape` was broadcast. Null stays null.
op::Value ReduceTo(op::Builder& b, op::Value x, const Shape& shape);
inline op::Value Mul(op::Builder& b, op::Value x, op::Value y) {
  return b.Call("mul", {std::move(x), std::move(y)});
}
inline op::Value MulScalar(op::Builder& b, op::Value x, Scalar scalar) {
  return b.Call("mul_scalar", {std::move(x)}, {{"scalar", scalar}});
}
inline op::Value AddScalar(op::Builder& b, op::Value x, Scalar scalar) {
  return b.Call("add_scalar", {std::move(x)}, {{"scalar", scalar}});
}
// The complex conjugate; of a real value itself, at no cost.
op::Value Conj(op::Builder& b, const op::Value& x);
op::Value CastTo(op::Builder& b, const op::Value& x, DType dtype);

// --- samples ------------------------------------------------------------------------------------

// Shapes every unary operator meets: even, uneven, empty, no axes, size 1; the further dtypes once.
std::vector<op::Sample> UnarySamples(std::vector<DType> dtypes, double low = -2.0,
                                     double high = 2.0, Attrs attrs = {});
// Pairs of shapes with and without broadcasting.
std::vector<op::Sample> BinarySamples(std::vector<DType> dtypes, double low = -2.0,
                                      double high = 2.0);

}  // namespace ofl::ops
