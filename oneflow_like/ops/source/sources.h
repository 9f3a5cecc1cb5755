// What random operators share beside their words: the draws that are an element's own, how numbers
// are stored, and the parts of a definition.
#pragma once

#include <cmath>
#include <limits>

#include "oneflow_like/core/half.h"
#include "oneflow_like/ops/source/draws.h"

namespace ofl::ops {

// The first of two standard normal values of two words (Box and Muller).
inline double NormalOf(uint32_t a, uint32_t b, bool second = false) {
  const double u = (static_cast<double>(a) + 1.0) * 0x1.0p-32;  // (0, 1]
  const double angle = 6.283185307179586 * (static_cast<double>(b) * 0x1.0p-32);
  return std::sqrt(-2.0 * std::log(u)) * (second ? std::sin(angle) : std::cos(angle));
}

// As many 64-bit draws as one element asks for, all of them its own: a generator of the standard
// library's kind. Draw k lies in block (index, k / 2), below 2^44 elements.
class OwnDraws {
 public:
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return std::numeric_limits<uint64_t>::max(); }
  OwnDraws(uint64_t seed, uint64_t offset, uint64_t index)
      : seed_(seed), offset_(offset), index_(index) {}
  uint64_t operator()() {
    if (given_ % 2 == 0) block_ = Philox(seed_, offset_, index_ | given_ / 2 << 44);
    const size_t lane = given_++ % 2 * 2;
    return static_cast<uint64_t>(block_[lane + 1]) << 32 | block_[lane];
  }
  double Closed() { return UnitDouble((*this)()); }            // [0, 1)
  double Open() { return UnitDouble((*this)()) + 0x1.0p-54; }  // (0, 1)
  double Normal() {
    const uint64_t bits = (*this)();
    return NormalOf(static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32));
  }

 private:
  uint64_t seed_, offset_, index_, given_ = 0;
  PhiloxBlock block_{};
};

// Calls put(local index, draws) for every element of the output.
template <class Put>
void ForEachOwnDraws(op::KernelContext& c, const Put& put) {
  ForEachRun(c, [&](int64_t begin, int64_t end, int64_t logical) {
    for (int64_t i = begin; i < end; ++i, ++logical) {
      OwnDraws draws(c.random.seed, static_cast<uint64_t>(c.random.offset),
                     static_cast<uint64_t>(logical));
      put(i, draws);
    }
  });
}

// How a number becomes an element: as C++ converts, or of a half type the float's rounding.
template <class T>
struct Stored {
  template <class V>
  static T From(V value) {
    return static_cast<T>(value);
  }
  static double Read(T value) { return static_cast<double>(value); }
};
template <>
struct Stored<Float16> {
  static Float16 From(double value) { return Float16::Round(static_cast<float>(value)); }
  static double Read(Float16 value) { return Float16::Widen(value); }
};
template <>
struct Stored<BFloat16> {
  static BFloat16 From(double value) { return BFloat16::Round(static_cast<float>(value)); }
  static double Read(BFloat16 value) { return BFloat16::Widen(value); }
};

// --- sources ------------------------------------------------------------------------------------

// Attributes `shape` and `dtype`.
Status InferSource(op::InferContext& c);
Status InferFloatSource(op::InferContext& c);
// The whole numbers of a dtype in which every number from the least to the last is one.
std::pair<int64_t, int64_t> WholeRange(DType dtype);
op::OpDefBuilder& DefineSource(op::OpDefBuilder& op, DType dtype);
inline constexpr DType kHalves[] = {DType::kFloat16, DType::kBFloat16};
std::vector<op::Sample> SourceSamples(Attrs extra, std::span<const DType> dtypes);

// Whole numbers in [low, low + width), of any dtype; a width of 0 stands for 2^64.
void FillIntegers(op::KernelContext& c, int64_t low, uint64_t width);

// --- draws beside operands ----------------------------------------------------------------------

// Of any number of operands of the result's shape.
std::string BesideRule(std::span<const Shape> in, std::span<const Shape> out, const Attrs& attrs);
// With a draw of its own.
Attrs Drawn(Attrs attrs = {});

}  // namespace ofl::ops
