#include <gmock/gmock.h>

#include <chrono>
#include <iostream>

#include "tests/unit/sbp/simulate.h"

namespace ofl::sbp {
namespace {

const Sbp kS0 = Sbp::Split(0), kS1 = Sbp::Split(1), kB = Sbp::Broadcast(), kP = Sbp::Partial();
const Sbp kMax = Sbp::Partial(ReduceOp::kMax);

int64_t PriceOf(const Counted& c, int64_t element, const LinkModel& link) {
  return (c.total_link > 0 ? link.alpha_ps : 0) +
         c.max_link * element * link.beta_ps_per_kib / 1024 +
         c.max_local * element * link.local_ps_per_kib / 1024;
}

// A step confined to the subgroups of one mesh axis sends nothing out of them.
bool StaysInSubgroups(const BoxingStep& step, const Shape& logical) {
  const Placement& p = step.from.placement;
  for (int rank : p.ranks())
    for (const Message& m : WorkOf(step, logical, rank).sends) {
      auto a = p.Coordinates(p.IndexOf(m.src)), b = p.Coordinates(p.IndexOf(m.dst));
      a[step.mesh_axis] = b[step.mesh_axis] = 0;
      if (a != b) return false;
    }
  return true;
}

// The cheapest single step between two layouts, one-axis and direct, by listing all work.
int64_t CheapestStep(const Layout& from, const Layout& to, const TensorMeta& meta,
                     const LinkModel& link) {
  const auto element = static_cast<int64_t>(DTypeSize(meta.dtype));
  BoxingStep step;
  step.from = from;
  step.to = to;
  const int64_t direct = PriceOf(Count(step, meta.shape), element, link);
  int64_t best = direct;
  if (!(from.placement == to.placement)) return best;
  for (int k = 0; k < from.nd_sbp.rank(); ++k) {
    NdSbp changed = from.nd_sbp;
    changed[k] = to.nd_sbp[k];
    if (!(changed == to.nd_sbp)) continue;
    step.mesh_axis = k;
    if (!StaysInSubgroups(step, meta.shape)) continue;
    best = std::min(best, PriceOf(Count(step, meta.shape), element, link));
  }
  return best;
}

constexpr int64_t kFar = int64_t{1} << 60;

// Cheapest cost of at most `most_steps` steps between all pairs of layouts.
std::vector<std::vector<int64_t>> BruteForce(const std::vector<Layout>& layouts,
                                             const TensorMeta& meta, const LinkModel& link,
                                             int most_steps) {
  const size_t n = layouts.size();
  std::vector<std::vector<int64_t>> step(n, std::vector<int64_t>(n, 0)), best;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      if (i != j) step[i][j] = CheapestStep(layouts[i], layouts[j], meta, link);
  best = step;
  for (int length = 1; length < most_steps; ++length) {
    auto longer = best;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        for (size_t k = 0; k < n; ++k)
          longer[i][j] = std::min(longer[i][j], best[i][k] + step[k][j]);
    best = std::move(longer);
  }
  return best;
}

std::vector<Layout> LayoutsOn(const Placement& placement, const std::vector<Sbp>& symbols) {
  std::vector<Layout> layouts;
  for (const NdSbp& nd : AllLayouts(symbols, placement.hierarchy().rank()))
    layouts.push_back({placement, nd});
  return layouts;
}

const LinkModel kLinks[] = {{},
                            {.alpha_ps = 0},
                            {.alpha_ps = 5'000, .local_ps_per_kib = 0},
                            {.alpha_ps = 20'000, .beta_ps_per_kib = 900'000}};

void CompareWithBruteForce(const Shape& mesh, const Shape& shape, const LinkModel& link) {
  const TensorMeta meta{DType::kInt32, shape};
  const auto layouts = LayoutsOn(Mesh(mesh), {kB, kS0, kS1, kP});
  const auto best = BruteForce(layouts, meta, link, 2 * mesh.rank() + 1);
  for (size_t i = 0; i < layouts.size(); ++i)
    for (size_t j = 0; j < layouts.size(); ++j) {
      auto plan = PlanBoxing(meta, layouts[i], layouts[j], link);
      ASSERT_TRUE(plan.ok());
      ASSERT_EQ(plan->cost_ps, best[i][j]) << Name(shape, layouts[i], layouts[j]);
    }
  // One placement: a detour never pays.
  for (size_t i = 0; i < layouts.size(); ++i)
    for (size_t j = 0; j < layouts.size(); ++j)
      for (size_t k = 0; k < layouts.size(); ++k) ASSERT_LE(best[i][j], best[i][k] + best[k][j]);
}

TEST(PlannerTest, EqualsBruteForceOnOneAxis) {
  for (int n : {2, 3, 4})
    for (const Shape& shape : {Shape{16, 12}, Shape{7, 5}, Shape{1, 3}, Shape{64, 48}})
      for (const LinkModel& link : kLinks) CompareWithBruteForce({n}, shape, link);
}

TEST(PlannerTest, EqualsBruteForceOnTwoAxes) {
  for (const Shape& mesh : {Shape{2, 2}, Shape{2, 3}})
    for (const Shape& shape : {Shape{16, 12}, Shape{7, 5}, Shape{3, 2}})
      for (const LinkModel& link : kLinks) CompareWithBruteForce(mesh, shape, link);
}

TEST(PlannerTest, EqualsBruteForceBetweenPlacements) {
  const TensorMeta meta{DType::kInt32, {12, 9}};
  const std::vector<Sbp> symbols = {kB, kS0, kS1, kP};
  const auto from = LayoutsOn(MakePlacement({2, 2}, {0, 1, 2, 3}), symbols);
  const auto to = LayoutsOn(MakePlacement({3}, {2, 3, 4}), symbols);
  for (const LinkModel& link : kLinks) {
    const auto before = BruteForce(from, meta, link, 5), after = BruteForce(to, meta, link, 3);
    std::vector<std::vector<int64_t>> across(from.size(), std::vector<int64_t>(to.size()));
    for (size_t i = 0; i < from.size(); ++i)
      for (size_t j = 0; j < to.size(); ++j)
        across[i][j] = CheapestStep(from[i], to[j], meta, link);
    for (size_t i = 0; i < from.size(); ++i)
      for (size_t j = 0; j < to.size(); ++j) {
        int64_t best = kFar;
        for (size_t a = 0; a < from.size(); ++a)
          for (size_t b = 0; b < to.size(); ++b)
            best = std::min(best, before[i][a] + across[a][b] + after[b][j]);
        auto plan = PlanBoxing(meta, from[i], to[j], link);
        ASSERT_TRUE(plan.ok());
        ASSERT_EQ(plan->cost_ps, best) << Name(meta.shape, from[i], to[j]);
      }
  }
}

std::vector<std::string> Kinds(const BoxingPlan& plan) {
  std::vector<std::string> kinds;
  for (const BoxingStep& s : plan.steps) kinds.push_back(StepKindName(s.kind));
  return kinds;
}

int64_t BusiestBytes(const TensorMeta& meta, const Layout& from, const Layout& to,
                     const LinkModel& link) {
  const auto plan = PlanBoxing(meta, from, to, link);
  OFL_CHECK(plan.ok());
  int64_t sum = 0;
  for (const BoxingStep& s : plan->steps) sum += s.max_rank_bytes;
  return sum;
}

TEST(PlannerTest, NamesThePrimitives) {
  const TensorMeta big{DType::kFloat32, {1024, 1024}}, small{DType::kFloat32, {4, 4}};
  const Placement p = Mesh({4});
  auto kinds = [&](const TensorMeta& meta, Sbp a, Sbp b) {
    auto plan = PlanBoxing(meta, {p, {a}}, {p, {b}});
    return plan.ok() ? Kinds(*plan) : std::vector<std::string>{plan.status().ToString()};
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(kinds(big, kS0, kB), ElementsAre("all_gather"));
  EXPECT_THAT(kinds(big, kP, kS0), ElementsAre("reduce_scatter"));
  EXPECT_THAT(kinds(big, kS0, kS1), ElementsAre("all_to_all"));
  EXPECT_THAT(kinds(big, kB, kS1), ElementsAre("slice"));
  EXPECT_THAT(kinds(big, kB, kP), ElementsAre("fill"));
  EXPECT_THAT(kinds(big, kS0, kP), ElementsAre("fill"));
  EXPECT_THAT(kinds(small, kP, kB), ElementsAre("all_reduce"));
  EXPECT_THAT(kinds(big, kP, kB), ElementsAre("reduce_scatter", "all_gather"));
  EXPECT_THAT(kinds(big, kB, kB), ElementsAre());
}

// Bytes for even parts, as docs/sbp.md states them.
TEST(PlannerTest, BytesOfEvenParts) {
  const TensorMeta meta{DType::kFloat32, {1024, 1024}};
  const int64_t t = meta.bytes();
  const Placement p = Mesh({4});
  auto bytes = [&](Sbp a, Sbp b) { return BusiestBytes(meta, {p, {a}}, {p, {b}}, {}); };
  EXPECT_EQ(bytes(kS0, kB), t * 3 / 4);
  EXPECT_EQ(bytes(kP, kS1), t * 3 / 4);
  EXPECT_EQ(bytes(kP, kB), t * 3 / 2);
  EXPECT_EQ(bytes(kS0, kS1), t * 3 / 16);
  EXPECT_EQ(bytes(kB, kS0), 0);
  EXPECT_EQ(bytes(kS0, kP), 0);
}

TEST(PlannerTest, RefusesImpossibleLayouts) {
  const Placement p = Mesh({2, 2});
  const TensorMeta meta{DType::kFloat32, {4, 4}};
  const Layout good{p, {kB, kB}};
  const std::vector<Layout> bad = {
      {p, {kB}}, {p, {kB, Sbp::Split(2)}}, {p, {kP, kMax}}, {Placement(), {kB, kB}}};
  for (const Layout& layout : bad) {
    EXPECT_EQ(PlanBoxing(meta, layout, good).status().code(), Code::kInvalidArgument);
    EXPECT_EQ(PlanBoxing(meta, good, layout).status().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(PlanBoxing({DType::kBool, {4}}, {p, {kP, kB}}, good).ok());
  EXPECT_TRUE(PlanBoxing({DType::kBool, {4}}, {p, {kMax, kB}}, good).ok());
}

TEST(PlannerTest, IsDeterministic) {
  const TensorMeta meta{DType::kFloat32, {10, 12}};
  const auto layouts = LayoutsOn(Mesh({2, 3}), {kB, kS0, kS1, kP});
  for (const Layout& a : layouts)
    for (const Layout& b : layouts) {
      auto first = PlanBoxing(meta, a, b), second = PlanBoxing(meta, a, b);
      ASSERT_EQ(first->steps.size(), second->steps.size());
      for (size_t s = 0; s < first->steps.size(); ++s) {
        EXPECT_TRUE(first->steps[s].to == second->steps[s].to);
        EXPECT_EQ(first->steps[s].kind, second->steps[s].kind);
      }
    }
}

// How far the busiest rank is from what it must fetch in any case.
TEST(PlannerTest, RatioToTheLowerBound) {
  const LinkModel bytes_only{.alpha_ps = 0, .local_ps_per_kib = 0};
  for (const Shape& mesh : {Shape{4}, Shape{2, 2}, Shape{2, 4}, Shape{4, 4}}) {
    const TensorMeta meta{DType::kInt32, {48, 64}};
    const Placement placement = Mesh(mesh);
    const auto layouts = LayoutsOn(placement, {kB, kS0, kS1});
    double worst = 1, sum = 0;
    int pairs = 0;
    std::string worst_pair;
    for (const Layout& a : layouts)
      for (const Layout& b : layouts) {
        int64_t bound = 0;
        for (int i = 0; i < placement.size(); ++i) {
          const Box held = LocalBox(meta.shape, a, i), needed = LocalBox(meta.shape, b, i);
          bound =
              std::max(bound, needed.Extent().numel() - needed.Intersect(held).Extent().numel());
        }
        const int64_t moved = BusiestBytes(meta, a, b, bytes_only);
        if (bound == 0) {
          EXPECT_EQ(moved, 0) << Name(meta.shape, a, b);
          continue;
        }
        const double ratio = static_cast<double>(moved) / static_cast<double>(bound * 4);
        ++pairs;
        sum += ratio;
        if (ratio > worst) {
          worst = ratio;
          worst_pair = a.nd_sbp.ToString() + " -> " + b.nd_sbp.ToString();
        }
      }
    std::cout << "bytes of the busiest rank to the lower bound on " << mesh << ": mean "
              << sum / pairs << ", worst " << worst << " " << worst_pair << " over " << pairs
              << " pairs\n";
    EXPECT_LE(worst, 2.0) << worst_pair;
  }
}

// Eager conversions plan on their way: on one axis that may not take a millisecond.
TEST(PlannerTest, PlansForManyRanksAreCheap) {
  using Clock = std::chrono::steady_clock;
  const TensorMeta meta{DType::kFloat32, {1000, 768}};
  for (const Shape& mesh : {Shape{64}, Shape{8, 8}}) {
    const auto layouts = LayoutsOn(Mesh(mesh), {kB, kS0, kS1, kP});
    auto slowest = Clock::duration::zero();
    for (const Layout& a : layouts)
      for (const Layout& b : layouts) {
        auto best = Clock::duration::max();  // of several: others may use the machine
        for (int round = 0; round < (mesh.rank() == 1 ? 5 : 1); ++round) {
          const auto start = Clock::now();
          ASSERT_TRUE(PlanBoxing(meta, a, b).ok());
          best = std::min(best, Clock::now() - start);
        }
        slowest = std::max(slowest, best);
      }
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(slowest).count();
    std::cout << "slowest plan on " << mesh << ": " << us << " us\n";
    if (mesh.rank() == 1) {
      EXPECT_LT(us, 1000);
    }
  }
}

// Beyond the bound on way points only the axes that matter are tried; plans stay right and quick.
TEST(PlannerTest, ManyMeshAxesUnderManyTensorAxes) {
  const Placement p = Mesh({2, 2, 2, 2});
  const TensorMeta meta{DType::kInt64, {4, 3, 2, 5, 2, 2}};
  const Layout from{p, {kP, kS1, kB, Sbp::Split(3)}}, to{p, {kS1, kB, Sbp::Split(5), kB}};
  std::mt19937_64 random(7);
  const auto contributions = Contributions<int64_t>(meta.shape, from, &random);
  auto shards = Scatter(meta.shape, from, contributions);
  auto plan = PlanBoxing(meta, from, to);
  ASSERT_TRUE(plan.ok());
  for (const BoxingStep& step : plan->steps) shards = Execute(step, meta.shape, shards);
  ExpectHolds(meta.shape, to, shards, Logical(from, contributions), "plan");
}

}  // namespace
}  // namespace ofl::sbp
