#include "oneflow_like/tensor/boxing.h"

#include <gmock/gmock.h>
#include "tests/unit/tensor/world.h"

namespace ofl::tensor {
namespace {

using sbp::NdSbp;
using sbp::Sbp;
using ::testing::HasSubstr;

const std::vector<Sbp> kSymbols = {Sbp::Split(0), Sbp::Split(1), Sbp::Broadcast(), Sbp::Partial()};
const std::vector<Shape> kShapes = {{4, 6}, {5, 3}, {1, 2}, {0, 3}, {7, 1}};

void ExpectConversion(const Shape& shape, const LayoutRef& from, const LayoutRef& to) {
  const auto values = RandomIntegers(shape.numel(), 7);
  TensorRef x = GlobalOf(shape, values, from);
  TensorRef y = Must(GlobalToGlobal(x, to, "test"));
  EXPECT_EQ(*y->layout(), *to);
  const std::string what = shape.ToString() + from->ToString() + " -> " + to->ToString();
  EXPECT_EQ(FloatsOf(Must(WholeValue(y, "test"))), values) << what;
}

TEST(Boxing, EveryPairOfOneDimensionalLayoutsOnOnePlacement) {
  for (int n : {1, 2, 3, 4}) {
    RunWorld(n, [&](int) {
      std::vector<int> ranks;
      for (int r = 0; r < n; ++r) ranks.push_back(r);
      for (const Shape& shape : kShapes) {
        for (Sbp a : kSymbols) {
          for (Sbp b : kSymbols) {
            ExpectConversion(shape, MakeLayout(ranks, {a}), MakeLayout(ranks, {b}));
          }
        }
      }
    });
  }
}

TEST(Boxing, BetweenDisjointOverlappingAndDifferentSizePlacements) {
  const std::vector<std::pair<std::vector<int>, std::vector<int>>> moves = {
      {{0, 1}, {2, 3}}, {{0, 1, 2}, {1, 3}}, {{0}, {0, 1, 2, 3}}, {{3, 1}, {0}}};
  RunWorld(4, [&](int) {
    for (const auto& [source, target] : moves) {
      for (const Shape& shape : kShapes) {
        for (Sbp a : kSymbols) {
          for (Sbp b : kSymbols) {
            ExpectConversion(shape, MakeLayout(source, {a}), MakeLayout(target, {b}));
          }
        }
      }
    }
  });
}

TEST(Boxing, TwoDimensionalMeshes) {
  RunWorld(4, [&](int) {
    for (Sbp a : kSymbols) {
      for (Sbp b : kSymbols) {
        for (Sbp c : kSymbols) {
          for (Sbp d : kSymbols) {
            ExpectConversion({5, 6}, MakeLayout({0, 1, 2, 3}, {a, b}, {2, 2}),
                             MakeLayout({0, 1, 2, 3}, {c, d}, {2, 2}));
          }
        }
      }
    }
  });
}

TEST(Boxing, LargePayloadsFollowTheHeader) {
  RunWorld(2, [&](int) {
    ExpectConversion({512, 300}, MakeLayout({0, 1}, {Sbp::Partial()}),
                     MakeLayout({0, 1}, {Sbp::Broadcast()}));
  });
}

TEST(Boxing, RanksThatRunDifferentProgramsAreToldOnBothSides) {
  RunWorld(2, [&](int rank) {
    const Shape shape = rank == 0 ? Shape({4, 6}) : Shape({6, 4});
    TensorRef x = GlobalOf(shape, RandomIntegers(24, 1), MakeLayout({0, 1}, {Sbp::Split(0)}));
    auto y = GlobalToGlobal(x, MakeLayout({0, 1}, {Sbp::Broadcast()}), "test");
    ASSERT_FALSE(y.ok());
    EXPECT_EQ(y.status().code(), Code::kFailedPrecondition);
    EXPECT_THAT(y.status().message(), HasSubstr("ranks run different programs"));
    EXPECT_THAT(y.status().message(), HasSubstr("float32[4,6]"));
    EXPECT_THAT(y.status().message(), HasSubstr("float32[6,4]"));
  });
}

TEST(Boxing, DifferentSizesOfLargePayloadsAreToldToo) {
  RunWorld(2, [&](int rank) {
    const Shape shape({rank == 0 ? 40000 : 50000, 2});
    TensorRef x =
        GlobalOf(shape, RandomIntegers(shape.numel(), 1), MakeLayout({0, 1}, {Sbp::Split(0)}));
    auto y = GlobalToGlobal(x, MakeLayout({0, 1}, {Sbp::Broadcast()}), "test");
    ASSERT_FALSE(y.ok());
    EXPECT_THAT(y.status().message(), HasSubstr("ranks run different programs"));
  });
}

TEST(Boxing, LocalTensorsBecomeGlobalOnes) {
  RunWorld(3, [&](int rank) {
    TensorRef mine = FromFloats({2, 1}, {10.0f + rank, 20.0f + rank});
    TensorRef first = Must(LocalToGlobal(mine, MakeLayout({1, 2}, {Sbp::Broadcast()})));
    EXPECT_EQ(FloatsOf(Must(WholeValue(first, "t"))), (std::vector<float>{11, 21}));
    TensorRef rows = Must(LocalToGlobal(mine, MakeLayout({0, 1, 2}, {Sbp::Split(0)})));
    EXPECT_EQ(rows->meta().shape, Shape({6, 1}));
    EXPECT_EQ(FloatsOf(Must(WholeValue(rows, "t"))), (std::vector<float>{10, 20, 11, 21, 12, 22}));
    TensorRef sum = Must(LocalToGlobal(mine, MakeLayout({0, 1, 2}, {Sbp::Partial()})));
    EXPECT_EQ(FloatsOf(Must(WholeValue(sum, "t"))), (std::vector<float>{33, 63}));
    EXPECT_EQ(FloatsOf(Must(ToLocal(sum))), FloatsOf(mine));
  });
}

TEST(Boxing, LocalShardsMustMatchTheBalancedSplit) {
  RunWorld(2, [&](int rank) {
    TensorRef mine = FromFloats({1 + 2 * rank, 1}, std::vector<float>(1 + 2 * rank, 1.0f));
    auto y = LocalToGlobal(mine, MakeLayout({0, 1}, {Sbp::Split(0)}));
    ASSERT_FALSE(y.ok());
    EXPECT_EQ(y.status().code(), Code::kInvalidArgument);
    EXPECT_THAT(y.status().message(), HasSubstr("balanced split"));
  });
}

}  // namespace
}  // namespace ofl::tensor
