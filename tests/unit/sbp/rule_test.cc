#include "sbp/rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ofl::sbp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

std::vector<std::string> OneD(std::string_view text, std::vector<Shape> in,
                              std::vector<Shape> out) {
  auto rule = FactorRule::Parse(text, in, out);
  EXPECT_TRUE(rule.ok()) << rule.status().ToString();
  std::vector<std::string> texts;
  if (rule.ok())
    for (const Signature& s : DeriveSignatures(*rule)) texts.push_back(s.ToString());
  return texts;
}

std::vector<std::string> OnMesh(const RuleOf& rule_of, std::vector<Shape> in,
                                std::vector<Shape> out, const Shape& hierarchy) {
  auto all = DeriveNdSignatures(rule_of, in, out, hierarchy);
  EXPECT_TRUE(all.ok()) << all.status().ToString();
  std::vector<std::string> texts;
  if (all.ok())
    for (const NdSignature& s : *all) texts.push_back(s.ToString());
  return texts;
}

RuleOf TextRule(std::string text) {
  return [text](std::span<const Shape> in, std::span<const Shape> out, int64_t) {
    return FactorRule::Parse(text, in, out);
  };
}

Result<FactorRule> Reshape(std::span<const Shape> in, std::span<const Shape> out, int64_t parts) {
  return ReshapeRule(in[0], out[0], parts);
}

constexpr char kMatmul[] = "(m k),(k n)->(m n); reduce k by sum; linear 0 1";
constexpr char kAdd[] = "(...),(...)->(...); linear jointly 0 1";

TEST(DeriveTest, Matmul) {
  EXPECT_THAT(
      OneD(kMatmul, {{4, 6}, {6, 8}}, {{4, 8}}),
      ElementsAre("B,B->B", "S(0),B->S(0)", "S(1),S(0)->P", "B,S(1)->S(1)", "P,B->P", "B,P->P"));
}

TEST(DeriveTest, BatchedMatmulWithBroadcast) {
  constexpr char kText[] = "(... m k),(... k n)->(... m n); reduce k by sum; linear 0 1";
  EXPECT_THAT(OneD(kText, {{5, 1, 4, 6}, {3, 6, 8}}, {{5, 3, 4, 8}}),
              ElementsAre("B,B->B", "S(0),B->S(0)", "S(2),B->S(2)", "S(3),S(1)->P", "B,S(0)->S(1)",
                          "B,S(2)->S(3)", "P,B->P", "B,P->P"));
}

TEST(DeriveTest, ElementwiseAlignsFromTheRight) {
  EXPECT_THAT(OneD(kAdd, {{4, 6}, {6}}, {{4, 6}}),
              ElementsAre("B,B->B", "S(0),B->S(0)", "S(1),S(0)->S(1)", "P,P->P"));
  EXPECT_THAT(OneD(kAdd, {{4, 1}, {1, 6}}, {{4, 6}}),
              ElementsAre("B,B->B", "S(0),B->S(0)", "B,S(1)->S(1)", "P,P->P"));
  // Both of size 1: the axis is shared and may be split, leaving empty parts.
  EXPECT_THAT(OneD(kAdd, {{1}, {1}}, {{1}}), ElementsAre("B,B->B", "S(0),S(0)->S(0)", "P,P->P"));
}

TEST(DeriveTest, ExtremesTogetherAndPartialsNobodyTakes) {
  EXPECT_THAT(OneD("(a),(a)->(a); max jointly 0 1", {{4}, {4}}, {{4}}),
              ElementsAre("B,B->B", "S(0),S(0)->S(0)", "P(max),P(max)->P(max)"));
  EXPECT_THAT(OneD("(a),(a)->(a); min jointly 1 0; never partial sum", {{4}, {4}}, {{4}}),
              ElementsAre("B,B->B", "S(0),S(0)->S(0)", "P(min),P(min)->P(min)"));
  const std::vector<Shape> shapes{{4}};
  const auto never = [&](const char* text) {
    return FactorRule::Parse(text, shapes, shapes)->never_partial;
  };
  EXPECT_THAT(never("(a)->(a)"), ElementsAre());
  EXPECT_THAT(never("(a)->(a); never partial"),
              ElementsAre(ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin));
  EXPECT_THAT(never("(a)->(a); linear 0; never partial max min"),
              ElementsAre(ReduceOp::kMax, ReduceOp::kMin));
}

TEST(DeriveTest, Reductions) {
  EXPECT_THAT(OneD("(... r)->(...); reduce r by sum; linear 0", {{4, 6}}, {{4}}),
              ElementsAre("B->B", "S(0)->S(0)", "S(1)->P", "P->P"));
  EXPECT_THAT(
      OneD("(... r)->(... 1); reduce r by max; monotone 0", {{4, 6}}, {{4, 1}}),
      ElementsAre("B->B", "S(0)->S(0)", "S(1)->P(max)", "P(max)->P(max)", "P(min)->P(min)"));
  // A factor that is not reduced (softmax's denominator) cannot be split.
  EXPECT_THAT(OneD("(... r)->(...)", {{4, 6}}, {{4}}), ElementsAre("B->B", "S(0)->S(0)"));
  // The adjoint of broadcasting: "..." reduces what the output lacks.
  EXPECT_THAT(OneD("(...)->(...); reduce ... by sum; linear 0", {{3, 4, 6}}, {{1, 6}}),
              ElementsAre("B->B", "S(0)->P", "S(1)->P", "S(2)->S(1)", "P->P"));
}

TEST(DeriveTest, EmbeddingNegationAndSources) {
  EXPECT_THAT(
      OneD("(v d),(... )->(... d); reduce v by sum; offset v; linear 0", {{50, 8}, {2, 3}},
           {{2, 3, 8}}),
      ElementsAre("B,B->B", "S(0),B->P", "S(1),B->S(2)", "B,S(0)->S(0)", "B,S(1)->S(1)", "P,B->P"));
  EXPECT_THAT(OneD("(...)->(...); linear 0; antitone 0", {{4}}, {{4}}),
              ElementsAre("B->B", "S(0)->S(0)", "P->P", "P(max)->P(min)", "P(min)->P(max)"));
  EXPECT_THAT(OneD("->(n !); offset n", {}, {{4, 5}}), ElementsAre("->B", "->S(0)"));
}

TEST(DeriveTest, OutputsMayDifferInFactors) {
  EXPECT_THAT(OneD("(a b)->(a),(a b); reduce b by sum", {{4, 6}}, {{4}, {4, 6}}),
              ElementsAre("B->B,B", "S(0)->S(0),S(0)", "S(1)->P,S(1)"));
}

TEST(ParseTest, OffsetsAreKept) {
  const std::vector<Shape> in{{5, 6}}, out{{5, 6}};
  auto rule = FactorRule::Parse("(a b)->(a b); offset b", in, out);
  ASSERT_TRUE(rule.ok());
  EXPECT_EQ(rule->offset_factors, std::vector<int>{rule->inputs[0][1]});
}

TEST(ParseTest, RefusesBadText) {
  const std::vector<Shape> in{{4, 6}}, out{{4}};
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no '->'"},
      {"(a b)", "no '->'"},
      {"a b->(a)", "not a list"},
      {"(a b->(a)", "not a list"},
      {"(a b),->(a)", "end with a ','"},
      {"(a b)(c)->(a)", "',' is missing"},
      {"(a b),(c)->(a)", "got 2 inputs"},
      {"(a b)->", "got 0 outputs"},
      {"(a)->(a)", "has 1 labels"},
      {"(a b c)->(a)", "has 3 labels"},
      {"(... a b c)->(a)", "has 3 labels"},
      {"(a ...)->(a)", "does not come first"},
      {"(a b)->(b)", "sizes 6 and 4"},
      {"(a 1)->(a)", "has size 6"},
      {"(a b?)->(a)", "not a label"},
      {"(a 2b)->(a)", "not a label"},
      {"(a b)->(a); reduce b", "expected 'reduce factor by sum'"},
      {"(a b)->(a); reduce b by mean", "not a reduction"},
      {"(a b)->(a); reduce c by sum", "no factor 'c'"},
      {"(a b)->(a); reduce a by sum", "not one of inputs alone"},
      {"(a b)->(a); reduce b by sum; reduce b by max", "reduced twice"},
      {"(a b)->(a); linear", "names no input"},
      {"(a b)->(a); linear 1", "not an input"},
      {"(a b)->(a); linear x", "not an input"},
      {"(a b)->(a); linear -1", "not an input"},
      {"(a b)->(a); linear 0 0", "named twice"},
      {"(a b)->(a); linear jointly", "names no input"},
      {"(a b)->(a); offset c", "no factor 'c'"},
      {"(a b)->(a); max jointly", "names no input"},
      {"(a b)->(a); max 0", "not a statement"},
      {"(a b)->(a); never split", "not a statement"},
      {"(a b)->(a); never partial mean", "not a reduction"},
      {"(a b)->(a); convex 0", "not a statement"},
  };
  for (const auto& [text, message] : cases) {
    auto rule = FactorRule::Parse(text, in, out);
    ASSERT_FALSE(rule.ok()) << text;
    EXPECT_EQ(rule.status().code(), Code::kInvalidArgument) << text;
    EXPECT_THAT(rule.status().message(), HasSubstr(message)) << text;
  }
  const std::vector<Shape> square{{4, 4}};
  auto diagonal = FactorRule::Parse("(a a)->(a)", square, out);
  ASSERT_FALSE(diagonal.ok());
  EXPECT_THAT(diagonal.status().message(), HasSubstr("twice in one operand"));
  const std::vector<Shape> two{{4, 6}, {3}};
  EXPECT_FALSE(FactorRule::Parse("(...),(...)->(...)", two, two).ok());
}

TEST(NdDeriveTest, OneAxisEqualsTheDerivation) {
  EXPECT_EQ(OnMesh(TextRule(kMatmul), {{4, 6}, {6, 8}}, {{4, 8}}, {3}).size(), 6u);
}

TEST(NdDeriveTest, MatmulOnTwoAxesIsAllPairs) {
  const auto all = OnMesh(TextRule(kMatmul), {{5, 3}, {3, 2}}, {{5, 2}}, {2, 2});
  EXPECT_EQ(all.size(), 36u);
  EXPECT_EQ(all.front(), "(B, B),(B, B)->(B, B)");
  EXPECT_THAT(
      all, IsSupersetOf({"(S(0), B),(B, S(1))->(S(0), S(1))", "(S(1), S(0)),(S(0), B)->(P, S(0))",
                         "(S(1), S(1)),(S(0), S(0))->(P, P)"}));
}

TEST(NdDeriveTest, ABroadcastAxisStaysBroadcastOnShrunkParts) {
  // Of 3 rows the second part has one, as the broadcast operand has.
  const auto all = OnMesh(TextRule(kAdd), {{3, 4}, {1, 4}}, {{3, 4}}, {2, 2});
  EXPECT_THAT(all, Contains("(S(0), S(0)),(B, B)->(S(0), S(0))"));
  EXPECT_THAT(all, Not(Contains("(S(0), S(0)),(B, S(0))->(S(0), S(0))")));
}

TEST(NdDeriveTest, DropsOperandsThatMixPartials) {
  const auto all = OnMesh(TextRule("(...)->(...); linear 0; monotone 0"), {{4}}, {{4}}, {2, 2});
  EXPECT_THAT(all, Contains("(P, P)->(P, P)"));
  EXPECT_THAT(all, Not(Contains("(P, P(max))->(P, P(max))")));
}

TEST(NdDeriveTest, ReshapeDependsOnTheOuterPart) {
  const auto all = OnMesh(Reshape, {{8, 4}}, {{2, 4, 4}}, {2, 2});
  EXPECT_THAT(all, Contains("(S(0), S(0))->(S(0), S(1))"));
  EXPECT_THAT(all, Not(Contains("(S(0), S(0))->(S(0), S(0))")));
}

TEST(NdDeriveTest, ReshapeIgnoresPartsWithoutElements) {
  EXPECT_THAT(OnMesh(Reshape, {{1, 4}}, {{1, 2, 2}}, {2, 2}),
              IsSupersetOf({"(S(0), S(0))->(S(0), S(0))", "(S(1), B)->(S(1), B)",
                            "(S(0), S(1))->(S(0), S(1))"}));
}

TEST(NdDeriveTest, RefusesABadMesh) {
  const std::vector<Shape> one{{4}};
  EXPECT_FALSE(DeriveNdSignatures(TextRule("(a)->(a)"), one, one, Shape{}).ok());
  EXPECT_FALSE(DeriveNdSignatures(TextRule("(a)->(a)"), one, one, Shape{0}).ok());
  EXPECT_FALSE(DeriveNdSignatures(TextRule("(a)->"), one, one, Shape{2}).ok());
}

std::vector<std::string> Reshaped(const Shape& from, const Shape& to, int64_t parts) {
  std::vector<std::string> texts;
  for (const Signature& s : DeriveSignatures(ReshapeRule(from, to, parts)))
    if (s.inputs[0].is_split()) texts.push_back(s.ToString());
  return texts;
}

TEST(ReshapeRuleTest, LeadingAxesOfGroups) {
  EXPECT_THAT(Reshaped({8, 4}, {2, 4, 4}, 2), ElementsAre("S(0)->S(0)", "S(1)->S(2)"));
  EXPECT_THAT(Reshaped({8, 4}, {2, 4, 4}, 4), ElementsAre("S(1)->S(2)"));
  EXPECT_THAT(Reshaped({2, 3, 4}, {6, 4}, 2), ElementsAre("S(0)->S(0)", "S(2)->S(1)"));
  EXPECT_THAT(Reshaped({2, 3, 4}, {24}, 2), ElementsAre("S(0)->S(0)"));
  EXPECT_THAT(Reshaped({6}, {3, 2}, 2), ElementsAre());
  EXPECT_THAT(Reshaped({6}, {3, 2}, 3), ElementsAre("S(0)->S(0)"));
  EXPECT_THAT(Reshaped({5, 4}, {5, 2, 2}, 2), ElementsAre("S(0)->S(0)", "S(1)->S(1)"));
}

TEST(ReshapeRuleTest, SizeOneAndEmpty) {
  EXPECT_THAT(Reshaped({4, 6}, {4, 1, 6}, 2), ElementsAre("S(0)->S(0)", "S(1)->S(2)"));
  EXPECT_THAT(Reshaped({1, 4}, {4}, 2), ElementsAre("S(1)->S(0)"));
  EXPECT_THAT(Reshaped({}, {1, 1}, 2), ElementsAre());
  EXPECT_THAT(Reshaped({0, 4}, {0, 2, 2}, 2), ElementsAre("S(0)->S(0)"));
  EXPECT_THAT(Reshaped({3, 0}, {0}, 2), ElementsAre("S(1)->S(0)"));
}

// Every claimed split is true: the elements of a part of the input are those of the output's.
TEST(ReshapeRuleTest, ClaimsHoldElementForElement) {
  const std::vector<std::pair<Shape, Shape>> cases = {
      {{8, 4}, {2, 4, 4}}, {{2, 3, 4}, {6, 4}},  {{6, 2}, {3, 4}},     {{12}, {3, 4}},
      {{7}, {7, 1}},       {{1, 5, 2}, {10, 1}}, {{4, 3, 2}, {2, 12}}, {{9, 4}, {3, 3, 2, 2}},
  };
  for (const auto& [from, to] : cases)
    for (int64_t parts = 1; parts <= 6; ++parts)
      for (const Signature& s : DeriveSignatures(ReshapeRule(from, to, parts))) {
        if (!s.inputs[0].is_split()) continue;
        auto owners = [&](const Shape& shape, int axis) {
          std::vector<int64_t> owner;
          const int64_t inner = ContiguousStrides(shape)[axis];
          for (int64_t e = 0; e < shape.numel(); ++e) {
            const int64_t at = e / inner % shape[axis];
            int64_t p = 0;
            while (BalancedSlice(shape[axis], parts, p).second <= at) ++p;
            owner.push_back(p);
          }
          return owner;
        };
        EXPECT_EQ(owners(from, s.inputs[0].axis()), owners(to, s.outputs[0].axis()))
            << from << "->" << to << " " << s.ToString() << " over " << parts;
      }
}

}  // namespace
}  // namespace ofl::sbp
