#include "oneflow_like/core/shape.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "oneflow_like/core/tensor_meta.h"

namespace ofl {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

TEST(Shape, ValuesAndText) {
  const Shape scalar, vector{3}, matrix{2, 3}, empty{2, 0, 3};
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_EQ(matrix.numel(), 6);
  EXPECT_EQ(empty.numel(), 0);
  EXPECT_EQ(scalar.ToString(), "()");
  EXPECT_EQ(vector.ToString(), "(3,)");
  EXPECT_EQ(matrix.ToString(), "(2, 3)");
  EXPECT_EQ(matrix, (Shape{2, 3}));
  EXPECT_NE(matrix, (Shape{3, 2}));
  EXPECT_NE(vector, (Shape{3, 1}));
  EXPECT_EQ((TensorMeta{DType::kInt64, matrix}.ToString()), "int64[2,3]");
  EXPECT_EQ((TensorMeta{DType::kInt64, matrix}.bytes()), 48);
}

TEST(Shape, InsertAndErase) {
  Shape shape{2, 3};
  shape.insert(0, 5);
  shape.insert(3, 7);
  EXPECT_EQ(shape, (Shape{5, 2, 3, 7}));
  shape.erase(1);
  EXPECT_EQ(shape, (Shape{5, 3, 7}));
  shape.erase(2);
  EXPECT_EQ(shape, (Shape{5, 3}));
}

TEST(Shape, CheckedRefusesWhatCannotBeATensor) {
  EXPECT_EQ(Shape::Checked(std::vector<int64_t>{2, 0, 5}).value(), (Shape{2, 0, 5}));
  for (const std::vector<int64_t>& dims :
       std::vector<std::vector<int64_t>>{{-1},
                                         {2, -3},
                                         {kHuge},
                                         {kHuge, kHuge},
                                         {0, kHuge, kHuge},
                                         {int64_t{1} << 40, int64_t{1} << 40},
                                         {1, 1, 1, 1, 1, 1, 1, 1, 1}}) {
    const auto shape = Shape::Checked(dims);
    EXPECT_EQ(shape.status().code(), Code::kInvalidArgument) << dims.size() << " " << dims[0];
  }
}

TEST(Shape, ContiguousStridesOfEmptyAndSizeOneAxes) {
  EXPECT_EQ(ContiguousStrides({2, 3, 4}), (Strides{12, 4, 1}));
  EXPECT_EQ(ContiguousStrides({2, 1, 4}), (Strides{4, 4, 1}));
  EXPECT_EQ(ContiguousStrides({}), (Strides{}));
}

TEST(Broadcast, FollowsNumPy) {
  EXPECT_EQ(BroadcastShapes({2, 1, 3}, {4, 1}).value(), (Shape{2, 4, 3}));
  EXPECT_EQ(BroadcastShapes({}, {5}).value(), (Shape{5}));
  EXPECT_EQ(BroadcastShapes({1}, {0}).value(), (Shape{0}));
  const auto bad = BroadcastShapes({2, 3}, {4, 5});
  EXPECT_EQ(bad.status().code(), Code::kInvalidArgument);
  EXPECT_NE(bad.status().message().find("(2, 3) and (4, 5)"), std::string::npos);
  EXPECT_FALSE(BroadcastShapes({2}, {0}).ok());
}

TEST(NormalizeAxis, CountsFromTheEndAndRefusesTheRest) {
  EXPECT_EQ(NormalizeAxis(-1, 3).value(), 2);
  EXPECT_EQ(NormalizeAxis(-3, 3).value(), 0);
  EXPECT_EQ(NormalizeAxis(0, 0).value(), 0);
  for (int64_t axis : {int64_t{3}, int64_t{-4}, kHuge, -kHuge})
    EXPECT_EQ(NormalizeAxis(axis, 3).status().code(), Code::kOutOfRange) << axis;
}

}  // namespace
}  // namespace ofl
