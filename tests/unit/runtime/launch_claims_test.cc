// What launches are made of: who may compare it, and what their results carry on.
#include "oneflow_like/runtime/launch_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ofl::runtime {
namespace {

using ::testing::ElementsAre;

Placement On(std::vector<int> ranks) {
  const Shape line{static_cast<int64_t>(ranks.size())};
  return Placement::Make(DeviceKind::kCpu, line, std::move(ranks)).value();
}

// Without memory: claims are all that counts.
tensor::TensorRef Tensor(const Placement& placement) {
  const TensorMeta meta{DType::kFloat32, Shape{4}};
  auto layout =
      std::make_shared<const sbp::Layout>(sbp::Layout{placement, {sbp::Sbp::Broadcast()}});
  return tensor::TensorRef(new tensor::TensorImpl(meta, meta.shape, layout, nullptr));
}

// A graph in a world of four: an argument and a result on all, a variable on either half.
struct Graph {
  Graph() {
    claims.AddInput("x", everyone);
    claims.AddVariable("low", low);
    claims.AddVariable("high", high);
    claims.AddNumbers("lr", &numbers);
    claims.AddOutput(everyone);
    claims.AddOutput(everyone);
    claims.AddMutated(low);
    claims.AddMutated(high);
  }
  void Launch() {
    claims.Begin({&x, 1});
    claims.Finish(results);
  }
  Placement everyone = On({3, 1, 0, 2});
  tensor::TensorRef x = Tensor(everyone), low = Tensor(On({0, 1})), high = Tensor(On({2, 3}));
  std::vector<tensor::TensorRef> results{Tensor(everyone), Tensor(everyone)};
  std::vector<double> numbers{0.1};
  LaunchClaims claims{7, 4};
};

TEST(LaunchClaims, AreEqualWhereLaunchesAre) {
  Graph a, b;
  for (int launch = 0; launch < 3; ++launch) {
    const uint64_t before = a.low->claim();
    a.Launch(), b.Launch();
    EXPECT_EQ(a.claims.compared(), b.claims.compared());
    EXPECT_EQ(a.results[0]->claim(), b.results[0]->claim());
    EXPECT_NE(a.results[0]->claim(), a.results[1]->claim());
    EXPECT_EQ(a.low->claim(), b.low->claim());
    EXPECT_NE(a.low->claim(), before);
  }
  a.Launch();  // one more
  EXPECT_NE(a.low->claim(), b.low->claim());
}

TEST(LaunchClaims, ReachWhoeverHoldsWhatWentIn) {
  Graph usual, other;
  other.low->set_claim(1);
  usual.Launch(), other.Launch();
  EXPECT_EQ(other.claims.compared(), usual.claims.compared());  // ranks 2 and 3 know nothing of it
  EXPECT_EQ(other.results[0]->claim(), usual.results[0]->claim());
  EXPECT_EQ(other.high->claim(), usual.high->claim());
  EXPECT_NE(other.low->claim(), usual.low->claim());
  const auto all_differ = [](Graph& a, Graph& b) {
    a.Launch(), b.Launch();
    EXPECT_NE(a.claims.compared(), b.claims.compared());
    EXPECT_NE(a.results[1]->claim(), b.results[1]->claim());
    EXPECT_NE(a.low->claim(), b.low->claim());
    EXPECT_NE(a.high->claim(), b.high->claim());
  };
  Graph plain, argument, again, number;
  argument.x->set_claim(1);
  all_differ(plain, argument);
  number.numbers[0] = 0.2;
  all_differ(again, number);
}

TEST(LaunchClaims, NameWhatAllRanksCompare) {
  Graph graph, other;
  EXPECT_THAT(graph.claims.Names(), ElementsAre("lr", "argument x"));
  other.x->set_claim(1);
  const std::string ours = graph.claims.Digests({&graph.x, 1});
  const std::string theirs = other.claims.Digests({&other.x, 1});
  ASSERT_EQ(ours.size(), 16u);
  EXPECT_EQ(ours.substr(0, 8), theirs.substr(0, 8));
  EXPECT_EQ(ours.substr(8), "00000000");
  EXPECT_EQ(theirs.substr(8), "00000001");
}

}  // namespace
}  // namespace ofl::runtime
