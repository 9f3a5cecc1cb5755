#include "oneflow_like/tensor/dispatch.h"

#include <gmock/gmock.h>
#include "tests/unit/tensor/world.h"

namespace ofl::tensor {
namespace {

using sbp::Sbp;
using ::testing::HasSubstr;

TEST(Dispatch, PromotesElementwiseOperandsAsTorchDoes) {
  const std::vector<int64_t> ints = {1, 2};
  TensorRef a = Must(FromHost({DType::kInt64, {2}}, ints.data()));
  TensorRef b = FromFloats({2}, {0.5f, 0.25f});
  op::Value sum = Must(CallOp("add", {a, b}));
  EXPECT_EQ(sum->meta().dtype, DType::kFloat32);
  EXPECT_EQ(FloatsOf(TensorRef(AsTensor(sum))), (std::vector<float>{1.5f, 2.25f}));
}

TEST(Dispatch, StridedViewsAreReadInTheirOrder) {
  TensorRef x = FromFloats({2, 3}, {1, 2, 3, 4, 5, 6});
  TensorRef transposed = x->View({3, 2}, {1, 3}, 0);
  EXPECT_FALSE(transposed->dense());
  op::Value y = Must(CallOp("neg", {transposed}));
  EXPECT_EQ(FloatsOf(TensorRef(AsTensor(y))), (std::vector<float>{-1, -4, -2, -5, -3, -6}));
}

TEST(Dispatch, TakesEqualLocalOperandsBesideGlobalOnesAndRefusesOthers) {
  RunWorld(3, [](int rank) {
    TensorRef same = FromFloats({2}, {1, 2});
    TensorRef local = FromFloats({2}, {1, static_cast<float>(rank)});
    TensorRef here = GlobalOf({2}, {1, 2}, MakeLayout({0, 1}, {Sbp::Broadcast()}));
    TensorRef there = GlobalOf({2}, {1, 2}, MakeLayout({1, 2}, {Sbp::Broadcast()}));
    op::Value sum = Must(CallOp("add", {same, here}));
    EXPECT_TRUE(AsTensor(sum)->is_global());
    auto mixed = CallOp("add", {local, here});
    ASSERT_EQ(mixed.ok(), rank == 2);  // which holds nothing, and is not asked
    if (rank < 2) {
      EXPECT_THAT(mixed.status().message(),
                  HasSubstr("local and global tensors are mixed, and the local one differs"));
    }
    auto apart = CallOp("add", {here, there});
    ASSERT_FALSE(apart.ok());
    EXPECT_THAT(apart.status().message(), HasSubstr("same placement"));
  });
}

TEST(Dispatch, ChoosesTheSignatureOfLeastCost) {
  RunWorld(2, [](int) {
    TensorRef x = GlobalOf({8, 4}, RandomIntegers(32, 1), MakeLayout({0, 1}, {Sbp::Split(0)}));
    TensorRef w = GlobalOf({4, 6}, RandomIntegers(24, 2), MakeLayout({0, 1}, {Sbp::Broadcast()}));
    op::Value y = Must(CallOp("matmul", {x, w}));
    EXPECT_EQ(y->layout()->nd_sbp.ToString(), "(S(0))");
    TensorRef k = GlobalOf({4, 6}, RandomIntegers(24, 2), MakeLayout({0, 1}, {Sbp::Split(0)}));
    TensorRef xk = GlobalOf({8, 4}, RandomIntegers(32, 1), MakeLayout({0, 1}, {Sbp::Split(1)}));
    EXPECT_EQ(Must(CallOp("matmul", {xk, k}))->layout()->nd_sbp.ToString(), "(P)");
  });
}

TEST(Dispatch, ShardedResultsEqualTheWhole) {
  const auto a = RandomIntegers(5 * 4, 1), b = RandomIntegers(5 * 4, 2);
  std::vector<float> expected(20);
  for (int i = 0; i < 20; ++i) expected[i] = a[i] * b[i];
  for (int n : {2, 3}) {
    RunWorld(n, [&](int) {
      std::vector<int> ranks;
      for (int r = 0; r < n; ++r) ranks.push_back(r);
      for (Sbp x : {Sbp::Split(0), Sbp::Split(1), Sbp::Broadcast(), Sbp::Partial()}) {
        for (Sbp y : {Sbp::Split(0), Sbp::Split(1), Sbp::Broadcast(), Sbp::Partial()}) {
          op::Value z = Must(CallOp("mul", {GlobalOf({5, 4}, a, MakeLayout(ranks, {x})),
                                            GlobalOf({5, 4}, b, MakeLayout(ranks, {y}))}));
          EXPECT_EQ(FloatsOf(Must(WholeValue(TensorRef(AsTensor(z)), "t"))), expected)
              << x.ToString() << " * " << y.ToString();
        }
      }
    });
  }
}

TEST(Dispatch, RandomValuesDoNotDependOnTheLayout) {
  const op::OpDef* normal = Must(op::OpRegistry::Get().Require("random_normal"));
  const Attrs attrs{{"shape", std::vector<int64_t>{5, 3}}};
  Context solo({});
  Context::BindThread(&solo);
  solo.Seed(42);
  op::Value whole = Must(Dispatch(*normal, {}, attrs))[0];
  const auto expected = FloatsOf(TensorRef(AsTensor(whole)));
  Context::BindThread(nullptr);
  RunWorld(2, [&](int) {
    for (Sbp s : {Sbp::Split(0), Sbp::Split(1), Sbp::Broadcast(), Sbp::Partial()}) {
      Context::Get().Seed(42);
      op::Value x = Must(DispatchSource(*normal, attrs, MakeLayout({0, 1}, {s})));
      EXPECT_EQ(FloatsOf(Must(WholeValue(TensorRef(AsTensor(x)), "t"))), expected) << s.ToString();
    }
  });
}

TEST(Dispatch, RanksOutsideThePlacementHoldShells) {
  RunWorld(3, [](int rank) {
    TensorRef x = GlobalOf({4}, {1, 2, 3, 4}, MakeLayout({0, 1}, {Sbp::Split(0)}));
    op::Value y = Must(CallOp("neg", {x}));
    EXPECT_EQ(y->meta().shape, Shape({4}));
    EXPECT_EQ(AsTensor(y)->has_data(), rank < 2);
    EXPECT_EQ(Must(ToLocal(TensorRef(AsTensor(y))))->meta().shape.numel(), rank < 2 ? 2 : 0);
  });
}

}  // namespace
}  // namespace ofl::tensor
