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

TEST(Shape, KeepsInMindWhatDidNotFit) {
  Shape shape{1, 1, 1, 1, 1, 1, 1, 1};
  EXPECT_TRUE(shape.Check().ok());
  for (bool inserted : {false, true}) {
    Shape nine = shape;
    if (inserted) {
      nine.insert(3, 5);
    } else {
      nine.push_back(5);
    }
    EXPECT_EQ(nine.rank(), kMaxRank);
    EXPECT_NE(nine, shape);
    EXPECT_EQ(nine.Check().message(), "a tensor has at most 8 axes, got 9");
    nine.erase(0);
    EXPECT_FALSE(nine.Check().ok());
  }
  EXPECT_FALSE(Shape(std::vector<int64_t>(100, 1)).Check().ok());
}

TEST(Shape, CountsElementsWithoutWrapping) {
  EXPECT_EQ((Shape{kHuge, 2}).numel(), kHuge);
  EXPECT_EQ((Shape{kHuge, kHuge, 0}).numel(), 0);
  EXPECT_EQ((TensorMeta{DType::kFloat64, {kHuge}}.bytes()), kHuge);
  EXPECT_EQ(SaturatingMul(int64_t{1} << 40, int64_t{1} << 40), kHuge);
  EXPECT_EQ(SaturatingAdd(kHuge, 1), kHuge);
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
  // Neither has an element, yet no tensor has the shape of both.
  const int64_t big = int64_t{1} << 33;
  EXPECT_FALSE(BroadcastShapes({big, 1, 0}, {1, big, 0}).ok());
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
