#include "sbp/sbp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/sbp/simulate.h"

namespace ofl::sbp {
namespace {

using ::testing::HasSubstr;

const Sbp kS0 = Sbp::Split(0), kS1 = Sbp::Split(1), kB = Sbp::Broadcast(), kP = Sbp::Partial();

TEST(SbpTest, TextGoesBothWays) {
  for (const char* text : {"S(0)", "S(7)", "B", "P", "P(max)", "P(min)"}) {
    auto symbol = Sbp::Parse(text);
    ASSERT_TRUE(symbol.ok()) << text;
    EXPECT_EQ(symbol->ToString(), text);
  }
  EXPECT_EQ(*Sbp::Parse(" P(sum) "), Sbp::Partial());
  for (const char* text :
       {"", "S", "S()", "S(-1)", "S(8)", "S(0", "S(1x)", "S(99999999999)", "b", "P(mean)", "S0"}) {
    EXPECT_EQ(Sbp::Parse(text).status().code(), Code::kInvalidArgument) << text;
  }
}

TEST(NdSbpTest, TextGoesBothWays) {
  for (const char* text : {"(S(0))", "(S(0), B)", "(P, S(1), B, P)"}) {
    auto nd = NdSbp::Parse(text);
    ASSERT_TRUE(nd.ok()) << text;
    EXPECT_EQ(nd->ToString(), text);
  }
  EXPECT_EQ(NdSbp::Parse("(S(0),)")->ToString(), "(S(0))");
  EXPECT_EQ(NdSbp::Parse("S(0),B")->ToString(), "(S(0), B)");
  for (const char* text : {"", "()", "(B", "B,,B", "(B,B,B,B,B)", "(,)", "B,"})
    EXPECT_FALSE(NdSbp::Parse(text).ok()) << text;
}

TEST(NdSbpTest, EqualityIgnoresUnusedSymbols) {
  NdSbp one{kS0};
  EXPECT_FALSE(one == (NdSbp{kS0, kB}));
  EXPECT_TRUE(one == NdSbp{kS0});
  EXPECT_TRUE(NdSbp::Broadcast(3).AllBroadcast());
  EXPECT_TRUE((NdSbp{kB, kP}).HasPartial());
}

TEST(BalancedSliceTest, TheFirstPartsAreLonger) {
  using Slice = std::pair<int64_t, int64_t>;
  EXPECT_EQ(BalancedSlice(7, 3, 0), (Slice{0, 3}));
  EXPECT_EQ(BalancedSlice(7, 3, 1), (Slice{3, 5}));
  EXPECT_EQ(BalancedSlice(7, 3, 2), (Slice{5, 7}));
  EXPECT_EQ(BalancedSlice(2, 4, 1), (Slice{1, 2}));
  EXPECT_EQ(BalancedSlice(2, 4, 3), (Slice{2, 2}));
  EXPECT_EQ(BalancedSlice(0, 4, 2), (Slice{0, 0}));
}

// Slices of one axis by several mesh axes nest; they are those of the product of the mesh axes
// only for lengths of 0, 1 or -1 modulo it.
TEST(LocalBoxTest, NestedSlices) {
  const Layout nested{Mesh({2, 3}), {kS0, kS0}};
  const Layout flat{Mesh({6}), {kS0}};
  for (int64_t n = 0; n < 40; ++n) {
    bool same = true;
    for (int i = 0; i < 6; ++i) same = same && LocalBox({n}, nested, i) == LocalBox({n}, flat, i);
    EXPECT_EQ(same, n % 6 == 0 || n % 6 == 1 || n % 6 == 5) << n;
  }
}

TEST(LocalBoxTest, Golden) {
  const Layout layout{Mesh({2, 2}), {kS0, kS1}};
  EXPECT_EQ(LocalBox({5, 3}, layout, 0), (Box{{0, 0}, {3, 2}}));
  EXPECT_EQ(LocalBox({5, 3}, layout, 1), (Box{{0, 2}, {3, 3}}));
  EXPECT_EQ(LocalBox({5, 3}, layout, 2), (Box{{3, 0}, {5, 2}}));
  EXPECT_EQ(LocalShape({5, 3}, layout, 3), (Shape{2, 1}));
  EXPECT_EQ(LocalShape({5, 3}, {Mesh({2, 2}), {kB, kP}}, 3), (Shape{5, 3}));
}

TEST(BoxTest, IntersectionAndEmptiness) {
  const Box a{{0, 0}, {3, 4}}, b{{2, 1}, {5, 9}}, c{{3, 0}, {4, 4}};
  EXPECT_EQ(a.Intersect(b), (Box{{2, 1}, {3, 4}}));
  const Box none = a.Intersect(c);
  EXPECT_TRUE(none.Empty());
  EXPECT_EQ(none.begin, none.end);
  EXPECT_FALSE(Box::Whole({}).Empty());  // a scalar has one element
}

TEST(CheckLayoutTest, SaysWhatIsWrong) {
  const Placement p = Mesh({2, 2});
  auto message = [&](const Layout& layout, DType dtype = DType::kFloat32) {
    return CheckLayout("input 'x'", dtype, {4, 6}, layout).message();
  };
  EXPECT_EQ(message({p, {kS0, kP}}), "");
  EXPECT_THAT(message({p, {kS0}}), HasSubstr("wrong number of symbols: got sbp (S(0))"));
  EXPECT_THAT(message({p, {kB, Sbp::Split(2)}}), HasSubstr("cannot be split on axis 2"));
  EXPECT_THAT(message({p, {kP, Sbp::Partial(ReduceOp::kMax)}}), HasSubstr("mixes partials"));
  EXPECT_THAT(message({p, {kP, kB}}, DType::kBool), HasSubstr("P(max), which is 'or'"));
  EXPECT_THAT(message({Placement(), {kB}}), HasSubstr("has no placement"));
  EXPECT_THAT(message({p, {kS0}}), HasSubstr("input 'x'"));
}

}  // namespace
}  // namespace ofl::sbp
