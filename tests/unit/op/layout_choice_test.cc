// docs/layout-choice.md, line by line.

#include "oneflow_like/op/def/layout_choice.h"

#include <gmock/gmock.h>

#include <numeric>

namespace ofl::op {
namespace {

using sbp::NdSbp;
using sbp::Sbp;
using ::testing::HasSubstr;

template <class T>
T Must(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return std::move(result).value();
}

NdSbp Nd(std::string_view text) { return Must(NdSbp::Parse(text)); }

Placement Mesh(const Shape& hierarchy) {
  std::vector<int> ranks(static_cast<size_t>(hierarchy.numel()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return Must(Placement::Make(DeviceKind::kCpu, hierarchy, ranks));
}

struct Operand {
  Shape shape;
  std::string nd_sbp;  // empty: free
  std::vector<std::string> copies;
  DType dtype = DType::kFloat32;
};

struct Call {
  std::string op;
  std::vector<Operand> operands;
  Attrs attrs;
  Shape mesh{2};
  std::string pin;  // of the first output; empty: none
  int64_t pieces = 1;
  std::function<int64_t(size_t, const NdSbp&)> free_cost;
};

Result<LayoutChoice> Choose(const Call& call, std::vector<LosingSignature>* losing = nullptr) {
  const OpDef& def = *Must(OpRegistry::Get().Require(call.op));
  const Placement placement = Mesh(call.mesh);
  std::vector<TensorMeta> metas;
  std::vector<NdSbp> lies;
  std::vector<std::vector<NdSbp>> copies;
  for (const Operand& x : call.operands) {
    metas.push_back({x.dtype, x.shape});
    lies.push_back(x.nd_sbp.empty() ? NdSbp() : Nd(x.nd_sbp));
    copies.emplace_back();
    for (const std::string& text : x.copies) copies.back().push_back(Nd(text));
  }
  std::vector<LaidOperand> operands;
  for (size_t i = 0; i < metas.size(); ++i) {
    operands.push_back({metas[i], call.operands[i].nd_sbp.empty() ? nullptr : &lies[i], copies[i]});
  }
  const Attrs attrs = Must(def.CompleteAttrs(call.attrs));
  const std::vector<TensorMeta> outputs = Must(def.Infer(metas, attrs));
  NdSbp pin;
  std::vector<const NdSbp*> pins(outputs.size(), nullptr);
  if (!call.pin.empty()) {
    pin = Nd(call.pin);
    pins[0] = &pin;
  }
  return LayoutChooser().Choose(
      {def, attrs, operands, outputs, placement, pins, call.free_cost, call.pieces}, losing);
}

std::string Output(const Call& call) {
  auto choice = Choose(call);
  if (!choice.ok()) return choice.status().ToString();
  return choice->outputs[0].ToString();
}

TEST(LayoutChoice, WhatIsWholeStaysWhole) {
  EXPECT_EQ(Output({"relu", {{{64, 64}, "(B)"}}}), "(B)");
  // Half the flops would be worth a gather; nobody asked for it.
  EXPECT_EQ(Output({"matmul", {{{4096, 4096}, "(B)"}, {{4096, 4096}, "(B)"}}}), "(B)");
  EXPECT_EQ(Output({"matmul", {{{64, 64}, "(S(0), B)"}, {{64, 64}, "(B, B)"}}, {}, {2, 2}}),
            "(S(0), B)");
}

TEST(LayoutChoice, ASplitBatchStaysSplit) {
  // Filling both into partial sums moves nothing now and everything later.
  EXPECT_EQ(Output({"add", {{{4, 8, 16}, "(S(0))"}, {{8, 16}, "(S(0))"}}}), "(S(0))");
  EXPECT_EQ(Output({"add", {{{4, 8, 16}, "(S(0))"}, {{8, 16}, "(B)"}}}), "(S(0))");
  EXPECT_EQ(Output({"add", {{{4, 8, 16}, "(S(0))"}, {{8, 16}, "(P)"}}}), "(S(0))");
  EXPECT_EQ(Output({"add", {{{4, 8, 16}, "(S(0), B)"}, {{8, 16}, "(B, S(0))"}}, {}, {2, 2}}),
            "(S(0), S(1))");
  // Two operands that must be converted either way: whole for both would replicate the work.
  EXPECT_EQ(Output({"mul", {{{64, 64}, "(S(0))"}, {{64, 64}, "(S(1))"}}}), "(S(0))");
}

TEST(LayoutChoice, PartialSumsWaitForTheirLastReader) {
  EXPECT_EQ(Output({"neg", {{{64, 64}, "(P)"}}}), "(P)");
  EXPECT_EQ(Output({"add", {{{64, 64}, "(P)"}, {{64, 64}, "(P)"}}}), "(P)");
  // The gradient of a weight over a split batch, also where gathering a small batch moves less.
  EXPECT_EQ(Output({"matmul", {{{400, 17}, "(S(1))"}, {{17, 400}, "(S(0))"}}}), "(P)");
  EXPECT_EQ(Output({"sum", {{{64, 64}, "(S(0))"}}}), "(P)");
  EXPECT_EQ(Output({"relu", {{{64, 64}, "(P)"}}}), "(S(0))");
}

TEST(LayoutChoice, CopiesCostNothing) {
  const Operand split{{64, 64}, "(S(0))", {"(B)"}};
  const auto choice = Must(Choose({"matmul", {split, {{64, 64}, "(S(1))"}}}));
  EXPECT_EQ(choice.signature.ToString(), "(B),(S(1))->(S(1))");
  EXPECT_EQ(choice.conversion_ps, 0);
  const auto without = Must(Choose({"matmul", {{{64, 64}, "(S(0))"}, {{64, 64}, "(S(1))"}}}));
  EXPECT_GT(without.conversion_ps, 0);
  EXPECT_GT(without.moved_bytes, 0);
}

TEST(LayoutChoice, ReducingOnceForManyPiecesIsCheaper) {
  // Both operands were gathered for someone else: the whole result costs work, a partial one a
  // reduction, which a gradient that is accumulated pays once for all micro-batches.
  Call call{"matmul", {{{64, 2}, "(S(1))", {"(B)"}}, {{2, 64}, "(S(0))", {"(B)"}}}};
  EXPECT_EQ(Output(call), "(B)");
  call.pieces = 1000;
  EXPECT_EQ(Output(call), "(P)");
}

TEST(LayoutChoice, FreeOperandsFollowTheOthers) {
  EXPECT_EQ(Output({"add", {{{4, 8}, "(S(0))"}, {{4, 8}, ""}}}), "(S(0))");
  EXPECT_EQ(Output({"add", {{{4, 8}, "(B)"}, {{4, 8}, ""}}}), "(B)");
  Call dear{"mul", {{{4, 8}, "(S(0))"}, {{4, 8}, ""}}};
  dear.free_cost = [](size_t i, const NdSbp& nd_sbp) {
    EXPECT_EQ(i, 1u);
    return nd_sbp == Nd("(S(0))") ? int64_t{1} << 40 : 0;
  };
  EXPECT_NE(Output(dear), "(S(0))");
}

TEST(LayoutChoice, PinsAreKept) {
  Call call{"matmul", {{{8, 4}, "(S(0))"}, {{4, 6}, "(B)"}}};
  EXPECT_EQ(Output(call), "(S(0))");
  for (const char* pin : {"(B)", "(S(1))", "(P)", "(S(0))"}) {
    call.pin = pin;
    EXPECT_EQ(Output(call), pin);
  }
  call = {"relu", {{{8, 4}, "(S(0))"}}};
  call.pin = "(P)";
  EXPECT_THAT(Output(call), HasSubstr("[relu] no signature takes these layouts"));
}

TEST(LayoutChoice, MutatedOperandsAreNotConverted) {
  const Operand kHyper{{2}, "(B)", {}, DType::kFloat64};  // learning rate, weight decay
  const auto refused = Choose({"sgd_update", {{{8}, "(P)"}, {{8}, "(S(0))"}, kHyper}});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("no signature takes these layouts"));
  const auto choice = Must(Choose({"sgd_update", {{{8}, "(S(0))"}, {{8}, "(B)"}, kHyper}}));
  EXPECT_EQ(choice.signature.inputs[0], Nd("(S(0))"));
}

TEST(LayoutChoice, ACompositionRunsWhereItMovesLess) {
  const Attrs dim{{"dim", int64_t{-1}}};
  EXPECT_FALSE(Must(Choose({"softmax", {{{64, 64}, "(S(0))"}}, dim})).composed);
  // A small row is gathered; the statistics of a long one are reduced instead.
  const auto wide = Must(Choose({"softmax", {{{64, 1 << 20}, "(S(1))"}}, dim}));
  EXPECT_TRUE(wide.composed);
  EXPECT_EQ(wide.outputs[0], Nd("(S(1))"));
  Call pinned{"softmax", {{{64, 1 << 20}, "(S(1))"}}, dim};
  pinned.pin = "(S(0))";
  EXPECT_EQ(Output(pinned), "(S(0))");
}

TEST(LayoutChoice, LosingSignaturesCostNoLess) {
  std::vector<LosingSignature> losing;
  const auto choice = Must(Choose({"matmul", {{{64, 64}, "(S(0))"}, {{64, 64}, "(B)"}}}, &losing));
  ASSERT_FALSE(losing.empty());
  int64_t before = choice.cost_ps;
  for (const LosingSignature& other : losing) {
    EXPECT_FALSE(other.signature == choice.signature);
    EXPECT_GE(other.cost_ps, before);
    before = other.cost_ps;
  }
}

TEST(LayoutChoice, PruningDoesNotChangeTheChoice) {
  const char* layouts[] = {"(S(0), S(0))", "(S(0), B)", "(B, S(1))", "(B, P)", "(B, B)"};
  for (const char* a : layouts) {
    for (const char* b : layouts) {
      for (const char* op : {"matmul", "add", "mul"}) {
        const Call call{op, {{{16, 16}, a}, {{16, 16}, b}}, {}, {2, 2}};
        std::vector<LosingSignature> losing;
        EXPECT_EQ(Must(Choose(call, &losing)).signature, Must(Choose(call)).signature)
            << op << " " << a << " " << b;
      }
    }
  }
}

}  // namespace
}  // namespace ofl::op
