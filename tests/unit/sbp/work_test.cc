#include "tests/unit/sbp/simulate.h"

namespace ofl::sbp {
namespace {

const Sbp kS0 = Sbp::Split(0), kS1 = Sbp::Split(1), kB = Sbp::Broadcast(), kP = Sbp::Partial();
const Sbp kMax = Sbp::Partial(ReduceOp::kMax);
const std::vector<Sbp> kSymbols = {kS0, kS1, kB, kP, kMax};

// What the sweep says of all ranks, counted rank by rank.
void ExpectStaging(const BoxingStep& step, const Shape& shape) {
  constexpr int64_t kItem = 4, kAlignment = 16;
  const auto bytes = [](const std::vector<Message>& messages) {
    int64_t sum = 0;
    for (const Message& m : messages)
      sum += (m.box.Extent().numel() * kItem + kAlignment - 1) / kAlignment * kAlignment;
    return sum;
  };
  StagingBytes most;
  for (int rank : Members(step)) {
    const RankWork work = WorkOf(step, shape, rank);
    most.send = std::max(most.send, bytes(work.sends));
    most.receive = std::max(most.receive, bytes(work.receives));
  }
  const StagingBytes swept = StagingOf(step, shape, kItem, kAlignment);
  EXPECT_EQ(swept.send, most.send) << StepKindName(step.kind);
  EXPECT_EQ(swept.receive, most.receive) << StepKindName(step.kind);
}

// The direct redistribution and the planned chain, on integers with genuine partials.
void CheckPair(const Shape& shape, const Layout& from, const Layout& to, const LinkModel& link,
               std::mt19937_64* random) {
  SCOPED_TRACE(Name(shape, from, to));
  const auto contributions = Contributions<int64_t>(shape, from, random);
  const auto whole = Logical(from, contributions);
  const auto before = Scatter(shape, from, contributions);
  BoxingStep direct;
  direct.from = from;
  direct.to = to;
  ExpectHolds(shape, to, Execute(direct, shape, before), whole, "direct");
  ExpectStaging(direct, shape);

  const TensorMeta meta{DType::kInt64, shape};
  auto plan = PlanBoxing(meta, from, to, link);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(plan->steps.empty(), from == to);
  Shards<int64_t> shards = before;
  Layout at = from;
  int64_t cost = 0, bytes = 0;
  for (const BoxingStep& step : plan->steps) {
    ASSERT_TRUE(step.from == at);
    shards = Execute(step, shape, shards);
    ExpectStaging(step, shape);
    const Counted c = Count(step, shape);
    EXPECT_EQ(step.max_rank_bytes, c.max_link * 8) << StepKindName(step.kind);
    EXPECT_EQ(step.total_bytes, c.total_link * 8) << StepKindName(step.kind);
    EXPECT_EQ(step.rounds, c.total_link > 0 ? 1 : 0);
    EXPECT_EQ(step.cost_ps, step.rounds * link.alpha_ps +
                                c.max_link * 8 * link.beta_ps_per_kib / 1024 +
                                c.max_local * 8 * link.local_ps_per_kib / 1024);
    cost += step.cost_ps;
    bytes += step.total_bytes;
    at = step.to;
  }
  EXPECT_TRUE(at == to);
  EXPECT_EQ(plan->cost_ps, cost);
  EXPECT_EQ(plan->total_bytes, bytes);
  ExpectHolds(shape, to, shards, whole, "plan");
}

// Few rounds, or few bytes: the two give different chains.
const LinkModel kLinks[] = {{}, {.alpha_ps = 0}, {.alpha_ps = 1'000}};

TEST(WorkTest, EveryPairOfLayoutsOnOneAxis) {
  std::mt19937_64 random(1);
  for (int n : {1, 2, 3, 4})
    for (const Shape& shape :
         {Shape{12, 24}, Shape{7, 5}, Shape{2, 3}, Shape{1, 6}, Shape{0, 3}, Shape{5, 1, 2}})
      for (const NdSbp& a : AllLayouts(kSymbols, 1))
        for (const NdSbp& b : AllLayouts(kSymbols, 1))
          for (const LinkModel& link : kLinks)
            CheckPair(shape, {Mesh({n}), a}, {Mesh({n}), b}, link, &random);
}

TEST(WorkTest, EveryPairOfLayoutsOnTwoAxes) {
  std::mt19937_64 random(2);
  int links = 0;
  for (const Shape& mesh : {Shape{2, 2}, Shape{2, 3}, Shape{3, 2}})
    for (const Shape& shape : {Shape{8, 12}, Shape{5, 7}, Shape{3, 2}, Shape{0, 4}})
      for (const NdSbp& a : AllLayouts(kSymbols, 2))
        for (const NdSbp& b : AllLayouts(kSymbols, 2))
          CheckPair(shape, {Mesh(mesh), a}, {Mesh(mesh), b}, kLinks[links++ % 3], &random);
}

TEST(WorkTest, ThreeAxes) {
  std::mt19937_64 random(3);
  const auto layouts = AllLayouts({kS0, kB, kP}, 3);
  const Placement mesh = Mesh({2, 2, 2});
  for (const NdSbp& a : layouts)
    for (const NdSbp& b : layouts) CheckPair({11}, {mesh, a}, {mesh, b}, kLinks[1], &random);
}

TEST(WorkTest, BetweenPlacements) {
  std::mt19937_64 random(4);
  const std::vector<std::pair<Placement, Placement>> pairs = {
      {MakePlacement({2}, {0, 1}), MakePlacement({2}, {2, 3})},        // disjoint
      {MakePlacement({3}, {0, 1, 2}), MakePlacement({3}, {2, 1, 5})},  // overlapping, reordered
      {MakePlacement({4}, {3, 2, 1, 0}), MakePlacement({3}, {0, 1, 2})},
      {MakePlacement({1}, {7}), MakePlacement({4}, {4, 5, 6, 7})},
      {MakePlacement({3}, {0, 1, 2}), MakePlacement({1}, {9})},
      {MakePlacement({2, 2}, {0, 1, 2, 3}), MakePlacement({4}, {0, 1, 2, 3})},
      {MakePlacement({3}, {1, 2, 3}), MakePlacement({2, 2}, {3, 4, 5, 6})},
      {MakePlacement({2, 2}, {0, 1, 2, 3}), MakePlacement({2, 3}, {6, 5, 4, 3, 2, 1})},
  };
  int links = 0;
  for (const auto& [from, to] : pairs)
    for (const Shape& shape : {Shape{8, 6}, Shape{5, 3}, Shape{1, 2}, Shape{0, 2}})
      for (const NdSbp& a : AllLayouts(kSymbols, from.hierarchy().rank()))
        for (const NdSbp& b : AllLayouts(kSymbols, to.hierarchy().rank()))
          CheckPair(shape, {from, a}, {to, b}, kLinks[links++ % 3], &random);
}

TEST(WorkTest, Scalars) {
  std::mt19937_64 random(5);
  const std::vector<Sbp> symbols = {kB, kP, kMax};
  for (const NdSbp& a : AllLayouts(symbols, 1))
    for (const NdSbp& b : AllLayouts(symbols, 1)) {
      CheckPair({}, {Mesh({3}), a}, {Mesh({3}), b}, kLinks[0], &random);
      CheckPair({}, {Mesh({3}), a}, {MakePlacement({2}, {2, 4}), b}, kLinks[0], &random);
    }
}

TEST(WorkTest, AStrangerDoesNothing) {
  BoxingStep step;
  step.from = {Mesh({2}), {kS0}};
  step.to = {Mesh({2}), {kB}};
  const RankWork work = WorkOf(step, {4, 4}, 5);
  EXPECT_TRUE(work.from_box.Empty() && work.to_box.Empty());
  EXPECT_TRUE(work.sends.empty() && work.receives.empty() && work.pieces.empty());
  step.to = {Mesh({2}), {kP}};
  step.from = step.to;
  EXPECT_TRUE(WorkOf(step, {}, 5).from_box.Empty());
}

// Whatever the route, a sum is the same tree: the bits of float32 do not depend on the link.
TEST(WorkTest, FloatSumsHaveTheSameBitsOnEveryRoute) {
  std::mt19937_64 random(6);
  for (const Shape& mesh : {Shape{3}, Shape{5}, Shape{2, 3}, Shape{3, 2}, Shape{2, 2, 2}}) {
    const Shape shape{7, 4};
    const Placement placement = Mesh(mesh), other = MakePlacement({2}, {1, 9});
    for (const NdSbp& a : AllLayouts({kP, kS1}, mesh.rank())) {
      const Layout from{placement, a};
      const auto contributions = Contributions<float>(shape, from, &random);
      const auto whole = Logical(from, contributions);
      for (const NdSbp& b : AllLayouts({kB, kS0, kP}, mesh.rank()))
        for (const LinkModel& link : kLinks) {
          for (const bool across : {false, true}) {
            if (across && !b.AllBroadcast()) continue;  // once is enough
            const Layout to = across ? Layout{other, {kS0}} : Layout{placement, b};
            auto plan = PlanBoxing({DType::kFloat32, shape}, from, to, link);
            ASSERT_TRUE(plan.ok());
            Shards<float> shards = Scatter(shape, from, contributions);
            for (const BoxingStep& step : plan->steps) shards = Execute(step, shape, shards);
            ExpectHolds(shape, to, shards, whole, Name(shape, from, to));
          }
        }
    }
  }
}

TEST(WorkTest, HalfSumsAreRoundedOnce) {
  const Placement mesh = Mesh({2, 2});
  const Layout from{mesh, {kP, kP}}, to{mesh, {kB, kB}};
  // One element, rounds for nothing: two exchanges of one message beat one of three.
  auto wide = PlanBoxing({DType::kFloat32, {1}}, from, to, kLinks[1]);
  ASSERT_TRUE(wide.ok());
  EXPECT_TRUE(wide->steps[0].to.nd_sbp.HasPartial());
  for (const Shape& shape : {Shape{1}, Shape{64, 64}}) {
    auto half = PlanBoxing({DType::kBFloat16, shape}, from, to, kLinks[1]);
    ASSERT_TRUE(half.ok());
    EXPECT_FALSE(half->steps[0].to.nd_sbp.HasPartial()) << half->steps[0].to.ToString();
  }
}

TEST(WorkTest, HoldersShareTheLoad) {
  // Column c of a 4x4 mesh wants row c's slice; its four holders give one slice each.
  BoxingStep step;
  step.from = {Mesh({4, 4}), {kS0, kB}};
  step.to = {Mesh({4, 4}), {kB, kS0}};
  EXPECT_EQ(Count(step, {16}).max_link, 4);
  step.from = {Mesh({4}), {kB}};
  step.to = {MakePlacement({4}, {4, 5, 6, 7}), {kS0}};
  EXPECT_EQ(Count(step, {16}).max_link, 4);
  // Members of both placements keep what they have; the others are served in turn.
  step.to = {MakePlacement({4}, {2, 5, 3, 6}), {kB}};
  step.from = {MakePlacement({2}, {2, 3}), {kB}};
  EXPECT_EQ(Count(step, {16}).max_link, 16);
}

TEST(ReductionTreeTest, LeftPartIsTheLargestPowerOfTwo) {
  using Pairs = std::vector<std::pair<int, int>>;
  EXPECT_EQ(TreeAdditions({}), Pairs{});
  EXPECT_EQ(TreeAdditions({1}), Pairs{});
  EXPECT_EQ(TreeAdditions({2}), (Pairs{{0, 1}}));
  EXPECT_EQ(TreeAdditions({5}), (Pairs{{0, 1}, {2, 3}, {0, 2}, {0, 4}}));
  EXPECT_EQ(TreeAdditions({7}), (Pairs{{0, 1}, {2, 3}, {4, 5}, {0, 2}, {4, 6}, {0, 4}}));
  EXPECT_EQ(TreeAdditions({2, 3}), (Pairs{{0, 1}, {0, 2}, {3, 4}, {3, 5}, {0, 3}}));
}

}  // namespace
}  // namespace ofl::sbp
