#include "oneflow_like/tensor/generator.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "oneflow_like/tensor/exchange.h"
#include "tests/unit/tensor/world.h"

namespace ofl::tensor {
namespace {

TEST(Generator, TakesOffsetsInTurnAndWraps) {
  Generator generator;
  generator.Restore({7, 3});
  EXPECT_EQ(generator.Take(), (RandomState{7, 3}));
  EXPECT_EQ(generator.Take(5), (RandomState{7, 4}));
  EXPECT_EQ(generator.state(), (RandomState{7, 9}));
  generator.Restore({7, INT64_MAX});
  generator.Take();
  EXPECT_EQ(generator.state(), (RandomState{7, INT64_MIN}));
}

TEST(Generator, GivesEachThreadOffsetsOfItsOwn) {
  Generator generator;
  std::vector<std::set<int64_t>> taken(4);
  std::vector<std::thread> threads;
  for (auto& mine : taken) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) mine.insert(generator.Take().offset);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<int64_t> all;
  for (const auto& mine : taken) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), 800u);
  EXPECT_EQ(generator.state().offset, 800);
}

TEST(DrawHistory, TellsDrawsApartAndNamesTheLast) {
  DrawHistory a, b;
  EXPECT_EQ(a.summary().digest, b.summary().digest);
  EXPECT_EQ(a.summary().recent, "");
  a.Add({1, 0}, 1, "dropout", "a.py:1");
  b.Add({1, 0}, 1, "dropout", "b.py:2");  // the place may differ, the draw may not
  EXPECT_EQ(a.summary().digest, b.summary().digest);
  for (const RandomState& other : {RandomState{2, 1}, RandomState{1, 2}}) {
    DrawHistory c, d;
    c.Add(other, 1, "dropout", "");
    d.Add({1, 1}, 1, "dropout", "");
    EXPECT_NE(c.summary().digest, d.summary().digest);
  }
  for (int i = 1; i <= 6; ++i) a.Add({5, i}, 2, "randn", "c.py:" + std::to_string(i));
  EXPECT_EQ(a.summary().count, 13);
  EXPECT_EQ(a.summary().recent,
            "[randn] at c.py:3, [randn] at c.py:4, [randn] at c.py:5, [randn] at c.py:6 with seed "
            "5");
}

TEST(Context, LocalDrawsLeaveTheJobsGeneratorAlone) {
  Context context({});
  context.Seed(9);
  EXPECT_EQ(context.Draw(false, 3, "rand"), (RandomState{9, 0}));
  EXPECT_EQ(context.Draw(true, 1, "rand"), (RandomState{9, 0}));
  EXPECT_EQ(context.Draw(false, 1, "rand"), (RandomState{9, 3}));
  EXPECT_EQ(context.draws().summary().count, 1);
}

TEST(Context, GradientModeBelongsToAThread) {
  GradModeGuard off(false);
  bool other = false;
  std::thread thread([&] {
    other = Context::grad_enabled();
    GradModeGuard on(false);
  });
  thread.join();
  EXPECT_TRUE(other);
  EXPECT_FALSE(Context::grad_enabled());
}

// Every rank of a collective hears of a difference, whoever caused it.
TEST(Stamps, EveryMemberHearsOfOtherDraws) {
  for (int odd = 0; odd < 3; ++odd) {
    RunWorld(3, [&](int rank) {
      if (rank == odd) Context::Get().Draw(true, 1, "dropout");
      TensorRef x = GlobalOf({6}, {1, 2, 3, 4, 5, 6}, MakeLayout({0, 1, 2}, {sbp::Sbp::Split(0)}));
      const Status status =
          GlobalToGlobal(x, MakeLayout({0, 1, 2}, {sbp::Sbp::Broadcast()}), "test").status();
      EXPECT_EQ(status.code(), Code::kFailedPrecondition);
      EXPECT_NE(status.message().find("drawn different random numbers"), std::string::npos)
          << status.ToString();
    });
  }
}

TEST(Stamps, RanksOutsideACollectiveMayHaveDrawnOtherwise) {
  RunWorld(3, [](int rank) {
    if (rank == 2) Context::Get().Draw(true, 1, "dropout");
    TensorRef x = GlobalOf({4}, {1, 2, 3, 4}, MakeLayout({0, 1}, {sbp::Sbp::Split(0)}));
    EXPECT_TRUE(GlobalToGlobal(x, MakeLayout({0, 1}, {sbp::Sbp::Broadcast()}), "test").ok());
  });
}

// The claim of a tensor follows what made it, and ends where its values have been sent.
TEST(Claims, FollowOperatorsAttributesAndOperands) {
  RunWorld(2, [](int) {
    const LayoutRef broadcast = MakeLayout({0, 1}, {sbp::Sbp::Broadcast()});
    const op::OpDef* full = Must(op::OpRegistry::Get().Require("full"));
    const auto make = [&](double value) {
      return TensorRef(AsTensor(Must(DispatchSource(
          *full, {{"shape", std::vector<int64_t>{4}}, {"value", value}}, broadcast))));
    };
    TensorRef one = make(1.0), two = make(2.0);
    EXPECT_NE(one->claim(), two->claim());
    EXPECT_EQ(one->claim(), make(1.0)->claim());
    const auto claim_of = [](std::string_view op, std::initializer_list<op::Value> inputs) {
      return AsTensor(Must(CallOp(op, inputs)))->claim();
    };
    EXPECT_NE(claim_of("neg", {one}), claim_of("neg", {two}));
    EXPECT_NE(claim_of("neg", {one}), claim_of("exp", {one}));
    EXPECT_NE(claim_of("sub", {one, two}), claim_of("sub", {two, one}));
    EXPECT_EQ(claim_of("sub", {one, two}), claim_of("sub", {make(1.0), make(2.0)}));
    EXPECT_EQ(one->Detach()->claim(), one->claim());
    EXPECT_EQ(Must(CopyOf(one))->claim(), one->claim());
    EXPECT_EQ(Must(ToLocal(one))->claim(), 0u);
    TensorRef slice = Must(GlobalToGlobal(one, MakeLayout({0, 1}, {sbp::Sbp::Split(0)}), "test"));
    EXPECT_EQ(slice->claim(), one->claim());  // nothing moved
    EXPECT_EQ(Must(GlobalToGlobal(slice, broadcast, "test"))->claim(), 0u);
    EXPECT_EQ(Must(LocalToGlobal(FromFloats({2}, {1, 2}), broadcast))->claim(), 0u);
  });
}

}  // namespace
}  // namespace ofl::tensor
