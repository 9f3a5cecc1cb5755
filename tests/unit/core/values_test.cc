#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "oneflow_like/core/attrs.h"
#include "oneflow_like/core/dtype.h"
#include "oneflow_like/core/reduction_tree.h"

namespace ofl {
namespace {

TEST(DType, NamesAndNumbersReadBack) {
  for (int number = 1; number <= 9; ++number) {
    const DType dtype = DTypeFromNumber(number).value();
    EXPECT_EQ(static_cast<int>(dtype), number);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)).value(), dtype);
    EXPECT_GT(DTypeSize(dtype), 0u);
  }
  EXPECT_EQ(DTypeFromName("float31").status().code(), Code::kTypeMismatch);
  for (int number : {0, 10, -1, 1 << 20})
    EXPECT_EQ(DTypeFromNumber(number).status().code(), Code::kDataLoss) << number;
}

TEST(DType, PromotionIsCommutativeAndNeverNarrows) {
  for (int a = 1; a <= 9; ++a) {
    for (int b = 1; b <= 9; ++b) {
      const DType x = static_cast<DType>(a), y = static_cast<DType>(b);
      const DType both = PromoteTypes(x, y);
      EXPECT_EQ(both, PromoteTypes(y, x)) << DTypeName(x) << " " << DTypeName(y);
      EXPECT_EQ(PromoteTypes(both, x), both) << DTypeName(x) << " " << DTypeName(y);
      EXPECT_EQ(IsFloating(both), IsFloating(x) || IsFloating(y));
    }
  }
  EXPECT_EQ(PromoteTypes(DType::kInt64, DType::kFloat16), DType::kFloat16);
  EXPECT_EQ(PromoteTypes(DType::kFloat16, DType::kBFloat16), DType::kFloat32);
  EXPECT_EQ(PromoteTypes(DType::kBool, DType::kUInt8), DType::kUInt8);
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
