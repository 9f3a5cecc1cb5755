#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <type_traits>

#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/integers.h"
#include "oneflow_like/core/reduction_tree.h"

namespace ofl {
namespace {

TEST(DType, NamesAndNumbersReadBack) {
  for (int number = 1; number <= kNumDTypes; ++number) {
    const DType dtype = DTypeFromNumber(number).value();
    EXPECT_EQ(static_cast<int>(dtype), number);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)).value(), dtype);
    EXPECT_GT(DTypeSize(dtype), 0u);
  }
  EXPECT_EQ(DTypeFromName("float31").status().code(), Code::kTypeMismatch);
  for (int number : {0, kNumDTypes + 1, -1, 1 << 20})
    EXPECT_EQ(DTypeFromNumber(number).status().code(), Code::kDataLoss) << number;
}

TEST(DType, PromotionIsCommutativeAndNeverNarrows) {
  for (DType x : AllDTypes()) {
    for (DType y : AllDTypes()) {
      const auto both = PromoteTypes(x, y);
      const std::string pair = std::string(DTypeName(x)) + " " + DTypeName(y);
      if (x != y && (IsFloat8(x) || IsFloat8(y))) {
        EXPECT_EQ(both.status().code(), Code::kTypeMismatch) << pair;
        continue;
      }
      ASSERT_TRUE(both.ok()) << pair;
      EXPECT_EQ(*both, PromoteTypes(y, x).value()) << pair;
      EXPECT_EQ(PromoteTypes(*both, x).value(), *both) << pair;
      EXPECT_EQ(CategoryOf(*both), std::max(CategoryOf(x), CategoryOf(y))) << pair;
    }
  }
}

// torch.promote_types, row by row, where sizes or categories alone would not tell.
TEST(DType, PromotionIsTorchs) {
  using enum DType;
  const std::tuple<DType, DType, DType> kTable[] = {{kInt64, kFloat16, kFloat16},
                                                    {kFloat16, kBFloat16, kFloat32},
                                                    {kBool, kUInt8, kUInt8},
                                                    {kUInt8, kInt8, kInt16},
                                                    {kUInt8, kInt16, kInt16},
                                                    {kInt8, kInt16, kInt16},
                                                    {kUInt8, kInt64, kInt64},
                                                    {kInt64, kComplex64, kComplex64},
                                                    {kFloat64, kComplex64, kComplex128},
                                                    {kFloat32, kComplex128, kComplex128},
                                                    {kBFloat16, kComplex64, kComplex64},
                                                    {kComplex64, kComplex128, kComplex128},
                                                    {kBool, kComplex64, kComplex64},
                                                    {kBFloat16, kFloat64, kFloat64}};
  for (auto [a, b, both] : kTable) {
    EXPECT_EQ(PromoteTypes(a, b).value(), both) << DTypeName(a) << " " << DTypeName(b);
  }
}

template <class T>
void ExpectRange() {
  const DType dtype = DTypeOf<T>::value;
  using L = std::numeric_limits<T>;
  EXPECT_EQ(IsUnsigned(dtype), dtype != DType::kBool && std::is_unsigned_v<T>);
  EXPECT_EQ(BoundsOf(dtype).first, L::min()) << DTypeName(dtype);
  EXPECT_EQ(BoundsOf(dtype).second, L::max()) << DTypeName(dtype);
}

TEST(DType, SignsAndRangesAreThoseOfTheTypes) {
  ExpectRange<int8_t>();
  ExpectRange<uint8_t>();
  ExpectRange<int16_t>();
  ExpectRange<int32_t>();
  ExpectRange<int64_t>();
  ExpectRange<bool>();
  EXPECT_TRUE(Takes(DType::kUInt8, -255));
  EXPECT_FALSE(Takes(DType::kUInt8, -256));
  EXPECT_TRUE(Takes(DType::kInt8, -128));
  EXPECT_FALSE(Takes(DType::kInt8, 128));
}

TEST(DType, CodesOfOtherFormatsAreDistinct) {
  std::set<std::string> safetensors;
  std::set<std::pair<int, size_t>> dlpack;
  for (DType d : AllDTypes()) {
    const DTypeInfo& info = InfoOf(d);
    EXPECT_TRUE(dlpack.insert({info.dlpack_code, info.size}).second) << info.name;
    if (info.safetensors != nullptr) {
      EXPECT_TRUE(safetensors.insert(info.safetensors).second) << info.name;
    }
    EXPECT_EQ(RealOf(ComplexOf(DType::kFloat64)), DType::kFloat64);
    EXPECT_EQ(IsComplex(ComplexOf(d)), true);
  }
}

TEST(Scalar, StaysExact) {
  const int64_t big = (int64_t{1} << 53) + 1;
  EXPECT_EQ(Scalar(big).As<int64_t>(), big);
  EXPECT_EQ(Scalar::Of(AttrValue(Scalar(big))), Scalar(big));
  EXPECT_EQ(Scalar(true).dtype(), DType::kBool);
  EXPECT_EQ(Scalar(2).dtype(), DType::kInt64);
  EXPECT_EQ(Scalar(2.0).dtype(), DType::kFloat32);
  EXPECT_EQ(Scalar(std::complex<double>(1, 2)).dtype(), DType::kComplex64);
  EXPECT_EQ(Scalar(300).As<uint8_t>(), 44);  // wraps
  EXPECT_EQ(Scalar(1e300).As<int64_t>(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Scalar(std::nan("")).As<int64_t>(), 0);
  EXPECT_EQ(Scalar(std::complex<double>(1, 2)).As<float>(), 1.0f);
  EXPECT_EQ(Scalar(3).As<std::complex<float>>(), std::complex<float>(3, 0));
  const Attrs attrs{{"given", 0.0}, {"left_out", NoValue{}}};
  EXPECT_NE(attrs.Maybe<double>("given"), nullptr);
  EXPECT_EQ(attrs.Maybe<double>("left_out"), nullptr);
}

TEST(Attrs, AreSortedWhateverTheOrderOfSetting) {
  Attrs one{{"dim", int64_t{1}}, {"keepdim", false}};
  Attrs other;
  other.Set("keepdim", true);
  other.Set("dim", int64_t{1});
  EXPECT_FALSE(one == other);
  other.Set("keepdim", false);
  EXPECT_EQ(one, other);
  EXPECT_EQ(one.ToString(), "{dim=1, keepdim=false}");
  EXPECT_EQ(one.Get<int64_t>("dim"), 1);
  EXPECT_FALSE(one.Has("axis"));
}

TEST(Attrs, NumbersPrintSoThatTheyReadBack) {
  EXPECT_EQ(AttrToString(0.1), "0.1");
  EXPECT_EQ(std::stod(AttrToString(1.0 / 3)), 1.0 / 3);
  EXPECT_EQ(AttrToString(std::vector<int64_t>{1, -2}), "[1, -2]");
  EXPECT_EQ(AttrToString(std::string("mean")), "'mean'");
  EXPECT_EQ(AttrToString(std::complex<double>(1, -0.5)), "complex(1.0, -0.5)");
  EXPECT_EQ(AttrToString(std::vector<double>{1, 0.5}), "floats[1.0, 0.5]");
  EXPECT_EQ(AttrToString(NoValue{}), "none");
  EXPECT_EQ(AttrToString(2.0), "2.0");  // not the integer 2
  EXPECT_EQ(AttrToString(std::string("it's\n")), R"('it\'s\x0a')");
}

// The tree, straight from its definition: left part the largest power of two below n.
std::string Bracketed(const std::vector<std::string>& leaves) {
  if (leaves.size() == 1) return leaves[0];
  const size_t left = std::bit_ceil(leaves.size()) / 2;
  return "(" + Bracketed({leaves.begin(), leaves.begin() + left}) + "+" +
         Bracketed({leaves.begin() + left, leaves.end()}) + ")";
}

std::string Added(const Shape& tree) {
  std::vector<std::string> slots;
  for (int64_t i = 0; i < tree.numel(); ++i) slots.push_back(std::to_string(i));
  std::set<int> consumed;
  for (auto [into, from] : TreeAdditions(tree)) {
    EXPECT_TRUE(consumed.insert(from).second);
    EXPECT_FALSE(consumed.contains(into));
    slots[into] = "(" + slots[into] + "+" + slots[from] + ")";
  }
  EXPECT_EQ(consumed.size() + 1, slots.size());
  return slots[0];
}

TEST(ReductionTree, OfOneAxisIsTheBalancedTree) {
  for (int n = 1; n <= 33; ++n) {
    std::vector<std::string> leaves;
    for (int i = 0; i < n; ++i) leaves.push_back(std::to_string(i));
    EXPECT_EQ(Added({n}), Bracketed(leaves)) << n;
  }
}

TEST(ReductionTree, OfSeveralAxesAddsTheInnermostFirst) {
  EXPECT_EQ(Added({2, 3}), "(((0+1)+2)+((3+4)+5))");
  EXPECT_EQ(Added({3, 2}), "(((0+1)+(2+3))+(4+5))");
  EXPECT_EQ(Added({2, 1, 2}), "((0+1)+(2+3))");
  EXPECT_EQ(Added({}), "0");
}

}  // namespace
}  // namespace ofl
