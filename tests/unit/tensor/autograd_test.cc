#include "oneflow_like/tensor/autograd.h"

#include <gmock/gmock.h>

#include "oneflow_like/tensor/dispatch.h"
#include "tests/unit/tensor/world.h"

namespace ofl::tensor {
namespace {

using sbp::Sbp;
using ::testing::HasSubstr;

TensorRef Op(std::string_view name, std::initializer_list<op::Value> inputs,
             const Attrs& attrs = {}) {
  return TensorRef(AsTensor(Must(CallOp(name, inputs, attrs))));
}

TensorRef Leaf(const Shape& shape, const std::vector<float>& values) {
  TensorRef x = FromFloats(shape, values);
  x->set_requires_grad(true);
  return x;
}

TEST(Autograd, AccumulatesOverEveryPath) {
  TensorRef x = Leaf({3}, {1, 2, 3});
  TensorRef y = Op("add", {Op("mul", {x, x}), x});
  ASSERT_TRUE(Backward(Op("sum", {y}), nullptr, false).ok());
  EXPECT_EQ(FloatsOf(x->grad()), (std::vector<float>{3, 5, 7}));
  ASSERT_TRUE(Backward(Op("sum", {Op("mul", {x, x})}), nullptr, false).ok());
  EXPECT_EQ(FloatsOf(x->grad()), (std::vector<float>{5, 9, 13}));
}

TEST(Autograd, ASecondBackwardNeedsTheGraph) {
  TensorRef x = Leaf({2}, {1, 2});
  TensorRef y = Op("sum", {Op("mul", {x, x})});
  ASSERT_TRUE(Backward(y, nullptr, true).ok());
  ASSERT_TRUE(Backward(y, nullptr, false).ok());
  const Status again = Backward(y, nullptr, false);
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.message(), HasSubstr("already freed"));
}

TEST(Autograd, OnlyAScalarNeedsNoGradient) {
  TensorRef x = Leaf({2}, {1, 2});
  const Status status = Backward(Op("mul", {x, x}), nullptr, false);
  EXPECT_THAT(status.message(), HasSubstr("scalar outputs"));
  const Status none = Backward(FromFloats({1}, {1}), nullptr, false);
  EXPECT_THAT(none.message(), HasSubstr("does not require grad"));
}

TEST(Autograd, AnOperatorWithoutAGradientSaysSo) {
  // Every operator of floating results has one today.
  static const op::OpDef def = [] {
    op::OpDef copy = *op::OpRegistry::Get().Find("softmax_grad");
    copy.grad = nullptr;
    copy.not_differentiable = "nobody wrote it";
    return copy;
  }();
  TensorRef x = Leaf({1, 2}, {1, 2});
  const op::Value operands[] = {x, FromFloats({1, 2}, {1, 2})};
  const auto y = Dispatch(def, operands, {{"dim", int64_t{1}}});
  ASSERT_TRUE(y.ok()) << y.status().ToString();
  const Status status = Backward(Op("sum", {(*y)[0]}), nullptr, false);
  EXPECT_EQ(status.code(), Code::kUnimplemented);
  EXPECT_THAT(status.message(), HasSubstr("[softmax_grad] has no gradient: nobody wrote it"));
}

TEST(Autograd, ChangedInputsAreRefusedOnlyWhereNeeded) {
  TensorRef x = Leaf({2}, {1, 2});
  TensorRef w = FromFloats({2}, {3, 4});
  TensorRef product = Op("sum", {Op("mul", {x, w})});
  TensorRef sum = Op("sum", {Op("add", {x, w})});
  w->BumpVersion();
  const Status status = Backward(product, nullptr, false);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("[mul]"));
  EXPECT_THAT(status.message(), HasSubstr("changed in place"));
  EXPECT_TRUE(Backward(sum, nullptr, false).ok());
}

TEST(Autograd, EveryLeafOwnsItsGradient) {
  TensorRef x = Leaf({2}, {1, 2}), y = Leaf({2}, {3, 4});
  ASSERT_TRUE(Backward(Op("sum", {Op("add", {x, y})}), nullptr, false).ok());
  EXPECT_NE(x->grad()->storage(), y->grad()->storage());
  EXPECT_EQ(FloatsOf(x->grad()), FloatsOf(y->grad()));
}

TEST(Autograd, RecordsNothingWhileOff) {
  TensorRef x = Leaf({2}, {1, 2});
  GradModeGuard off(false);
  EXPECT_FALSE(Op("mul", {x, x})->requires_grad());
}

TEST(Autograd, LongChainsNeedNoStack) {
  TensorRef x = Leaf({1}, {1});
  TensorRef y = x;
  for (int i = 0; i < 200'000; ++i) y = Op("neg", {y});
  y = nullptr;  // frees the whole chain at once
  EXPECT_EQ(x->grad(), nullptr);
}

TEST(Autograd, GradientsOfGlobalLeavesTakeTheirLayout) {
  RunWorld(2, [](int) {
    const auto data = RandomIntegers(8 * 3, 1), weights = RandomIntegers(3 * 2, 2);
    TensorRef x = GlobalOf({8, 3}, data, MakeLayout({0, 1}, {Sbp::Split(0)}));
    for (Sbp symbol : {Sbp::Broadcast(), Sbp::Split(0), Sbp::Split(1)}) {
      TensorRef w = GlobalOf({3, 2}, weights, MakeLayout({0, 1}, {symbol}));
      w->set_requires_grad(true);
      ASSERT_TRUE(Backward(Op("sum", {Op("matmul", {x, w})}), nullptr, false).ok());
      EXPECT_EQ(*w->grad()->layout(), *w->layout());
      std::vector<float> expected(6, 0.0f);
      for (int i = 0; i < 8; ++i) {
        for (int k = 0; k < 3; ++k) {
          for (int j = 0; j < 2; ++j) expected[k * 2 + j] += data[i * 3 + k];
        }
      }
      EXPECT_EQ(FloatsOf(Must(WholeValue(w->grad(), "t"))), expected);
    }
  });
}

TEST(Autograd, ConversionsHaveDualGradients) {
  RunWorld(2, [](int) {
    const auto values = RandomIntegers(4, 3);
    for (Sbp from : {Sbp::Broadcast(), Sbp::Split(0), Sbp::Partial()}) {
      for (Sbp to : {Sbp::Broadcast(), Sbp::Split(0), Sbp::Partial()}) {
        TensorRef x = GlobalOf({4}, values, MakeLayout({0, 1}, {from}));
        x->set_requires_grad(true);
        TensorRef y = Must(GlobalToGlobal(x, MakeLayout({0, 1}, {to}), "test"));
        TensorRef w = GlobalOf({4}, {1, 2, 3, 4}, MakeLayout({0, 1}, {Sbp::Broadcast()}));
        ASSERT_TRUE(Backward(Op("sum", {Op("mul", {y, w})}), nullptr, false).ok());
        EXPECT_EQ(FloatsOf(Must(WholeValue(x->grad(), "t"))), (std::vector<float>{1, 2, 3, 4}));
      }
    }
  });
}

}  // namespace
}  // namespace ofl::tensor
