#include "device/cpu/box.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "oneflow_like/core/reduction_tree.h"

namespace ofl::device {
namespace {

std::unique_ptr<Stream> MakeStream(int threads) {
  return GetDevice(DeviceKind::kCpu).value()->NewStream(threads);
}

struct RandomBox {
  Shape shape, begin;
};
RandomBox Surround(const Shape& extent, std::mt19937& rng) {
  RandomBox box;
  for (int64_t e : extent) {
    const int64_t before = rng() % 3, after = rng() % 3;
    box.begin.push_back(before);
    box.shape.push_back(before + e + after);
  }
  return box;
}
int64_t Offset(const RandomBox& box, const Shape& extent, int64_t element) {
  int64_t offset = 0, stride = 1;
  for (int axis = extent.rank() - 1; axis >= 0; --axis) {
    offset += (box.begin[axis] + element % extent[axis]) * stride;
    element /= extent[axis];
    stride *= box.shape[axis];
  }
  return offset;
}
Shape RandomExtent(std::mt19937& rng) {
  Shape extent;
  const int rank = rng() % 5;
  for (int axis = 0; axis < rank; ++axis) extent.push_back(rng() % 6);
  return extent;
}

TEST(CopyBox, MovesExactlyTheBoxForEveryShapeAndElementSize) {
  std::mt19937 rng(1);
  auto stream = MakeStream(2);
  for (int round = 0; round < 2000; ++round) {
    const Shape extent = RandomExtent(rng);
    const RandomBox from = Surround(extent, rng), to = Surround(extent, rng);
    const int64_t size = int64_t{1} << (rng() % 4);
    std::vector<std::byte> src(from.shape.numel() * size), dst(to.shape.numel() * size);
    for (std::byte& b : src) b = static_cast<std::byte>(rng());
    for (std::byte& b : dst) b = static_cast<std::byte>(rng());
    std::vector<std::byte> expected = dst;
    for (int64_t e = 0; e < extent.numel(); ++e)
      std::memcpy(expected.data() + Offset(to, extent, e) * size,
                  src.data() + Offset(from, extent, e) * size, size);
    CopyBox(src.data(), from.shape, from.begin, dst.data(), to.shape, to.begin, extent, size,
            stream.get());
    ASSERT_EQ(dst, expected) << extent << " of " << from.shape << " to " << to.shape;
  }
}

TEST(CopyBox, SplitsLargeBoxesOverTheStreamsThreads) {
  auto stream = MakeStream(2);
  const Shape shape{513, 700}, extent{511, 300}, begin{1, 200}, origin{0, 0};
  std::vector<float> src(shape.numel()), dst(extent.numel());
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(i);
  CopyBox(reinterpret_cast<std::byte*>(src.data()), shape, begin,
          reinterpret_cast<std::byte*>(dst.data()), extent, origin, extent, 4, stream.get());
  for (int64_t i = 0; i < 511; ++i)
    for (int64_t j = 0; j < 300; ++j)
      ASSERT_EQ(dst[i * 300 + j], static_cast<float>((i + 1) * 700 + j + 200));
}

template <class T>
T Combine(int op, T a, T b) {
  if (op == kBoxSum) return static_cast<T>(a + b);
  if (a != a || b != b) return a + b;
  return op == kBoxMax ? std::max(a, b) : std::min(a, b);
}

template <class T>
void CheckCombination(DType dtype, int op, const Shape& tree, const Shape& extent,
                      std::mt19937& rng, Stream* stream) {
  const int sources = static_cast<int>(tree.numel());
  std::vector<RandomBox> boxes;
  std::vector<std::vector<T>> data;
  std::vector<BoxSource> args;
  for (int s = 0; s < sources; ++s) {
    boxes.push_back(Surround(extent, rng));
    data.emplace_back(boxes[s].shape.numel());
    for (T& v : data[s]) v = static_cast<T>(static_cast<int>(rng() % 2001) - 1000) / T(7);
  }
  for (int s = 0; s < sources; ++s)
    args.push_back({reinterpret_cast<std::byte*>(data[s].data()), boxes[s].shape, boxes[s].begin});
  const RandomBox to = Surround(extent, rng);
  std::vector<T> dst(to.shape.numel(), T(42)), expected = dst;
  for (int64_t e = 0; e < extent.numel(); ++e) {
    std::vector<T> slots;
    for (int s = 0; s < sources; ++s) slots.push_back(data[s][Offset(boxes[s], extent, e)]);
    for (auto [a, b] : TreeAdditions(tree)) slots[a] = Combine(op, slots[a], slots[b]);
    expected[Offset(to, extent, e)] = slots[0];
  }
  ASSERT_TRUE(CombineBoxes(dtype, op, args, tree, reinterpret_cast<std::byte*>(dst.data()),
                           to.shape, to.begin, extent, stream)
                  .ok());
  ASSERT_EQ(dst.size(), expected.size());
  // memcmp takes no null pointers, which an empty vector's may be.
  ASSERT_TRUE(dst.empty() || std::memcmp(dst.data(), expected.data(), dst.size() * sizeof(T)) == 0)
      << "reduction " << op << " tree " << tree << " extent " << extent;
}

TEST(CombineBoxes, AddsInTheTreesOrderBitForBit) {
  std::mt19937 rng(2);
  auto stream = MakeStream(2);
  for (const Shape& tree : {Shape{1}, Shape{2}, Shape{3}, Shape{4}, Shape{2, 2}, Shape{1, 3},
                            Shape{5}, Shape{3, 2}, Shape{2, 3}, Shape{7}, Shape{2, 2, 3}})
    for (int op : {kBoxSum, kBoxMax, kBoxMin})
      for (int round = 0; round < 8; ++round) {
        const Shape extent = round == 0 ? Shape{3, 1500} : RandomExtent(rng);
        CheckCombination<float>(DType::kFloat32, op, tree, extent, rng, stream.get());
        CheckCombination<double>(DType::kFloat64, op, tree, extent, rng, stream.get());
        CheckCombination<int64_t>(DType::kInt64, op, tree, extent, rng, stream.get());
        CheckCombination<int32_t>(DType::kInt32, op, tree, extent, rng, stream.get());
        CheckCombination<int8_t>(DType::kInt8, op, tree, extent, rng, stream.get());
      }
}

TEST(CombineBoxes, ASourceMayBeTheDestination) {
  std::vector<float> a{1, 2, 3}, b{10, 20, 30};
  const Shape shape{3}, zero{0};
  auto* pa = reinterpret_cast<std::byte*>(a.data());
  const BoxSource sources[] = {{pa, shape, zero},
                               {reinterpret_cast<std::byte*>(b.data()), shape, zero}};
  ASSERT_TRUE(
      CombineBoxes(DType::kFloat32, kBoxSum, sources, Shape{2}, pa, shape, zero, shape, nullptr)
          .ok());
  EXPECT_THAT(a, testing::ElementsAre(11, 22, 33));
}

template <class T>
T CombineTwo(DType dtype, int op, T a, T b) {
  T out{};
  const Shape one{1}, zero{0};
  const BoxSource sources[] = {{reinterpret_cast<std::byte*>(&a), one, zero},
                               {reinterpret_cast<std::byte*>(&b), one, zero}};
  EXPECT_TRUE(CombineBoxes(dtype, op, sources, Shape{2}, reinterpret_cast<std::byte*>(&out), one,
                           zero, one, nullptr)
                  .ok());
  return out;
}

TEST(CombineBoxes, NanWinsInMaxAndMin) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int op : {kBoxMax, kBoxMin}) {
    EXPECT_TRUE(std::isnan(CombineTwo(DType::kFloat32, op, nan, 1.0f)));
    EXPECT_TRUE(std::isnan(CombineTwo(DType::kFloat32, op, 1.0f, nan)));
  }
}

TEST(CombineBoxes, HalfPrecisionRoundsAfterEachAddition) {
  // float16: 2048 + 1 is halfway between 2048 and 2050, and rounds to even.
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kFloat16, kBoxSum, 0x6800, 0x3c00), 0x6800);
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kFloat16, kBoxSum, 0x6801, 0x3c00), 0x6802);
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kFloat16, kBoxSum, 0x0001, 0x0002), 0x0003);   // subnormal
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kFloat16, kBoxSum, 0x7bff, 0x7bff), 0x7c00);   // overflow
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kBFloat16, kBoxSum, 0x4380, 0x3f80), 0x4380);  // 256 + 1
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kBFloat16, kBoxSum, 0x3f80, 0x3f80), 0x4000);
  EXPECT_EQ(CombineTwo<uint16_t>(DType::kFloat16, kBoxMax, 0xbc00, 0x3c00), 0x3c00);
}

TEST(CombineBoxes, RefusesAnUnknownReductionAndATreeThatDoesNotFit) {
  float a = 0, b = 0, out = 0;
  const Shape one{1}, zero{0};
  const BoxSource sources[] = {{reinterpret_cast<std::byte*>(&a), one, zero},
                               {reinterpret_cast<std::byte*>(&b), one, zero}};
  auto* dst = reinterpret_cast<std::byte*>(&out);
  Status s = CombineBoxes(DType::kFloat32, 9, sources, Shape{2}, dst, one, zero, one, nullptr);
  EXPECT_EQ(s.code(), Code::kInvalidArgument);
  EXPECT_THAT(s.message(), testing::HasSubstr("unknown reduction: got 9"));
  s = CombineBoxes(DType::kFloat32, 0, sources, Shape{3}, dst, one, zero, one, nullptr);
  EXPECT_THAT(s.message(), testing::HasSubstr("got tree (3,) for 2 sources"));
}

template <class T>
T Identity(DType dtype, int op) {
  T value{};
  EXPECT_TRUE(FillBox(dtype, op, reinterpret_cast<std::byte*>(&value), Shape{1}, Shape{0}, Shape{1},
                      nullptr)
                  .ok());
  return value;
}

TEST(FillBox, IdentitiesLeaveEveryValueAsItIs) {
  EXPECT_TRUE(std::signbit(Identity<float>(DType::kFloat32, kBoxSum)));  // -0 + 0 is 0, -0 + -0 -0
  EXPECT_EQ(Identity<float>(DType::kFloat32, kBoxMax), -INFINITY);
  EXPECT_EQ(Identity<double>(DType::kFloat64, kBoxMin), INFINITY);
  EXPECT_EQ(Identity<int64_t>(DType::kInt64, kBoxSum), 0);
  EXPECT_EQ(Identity<int32_t>(DType::kInt32, kBoxMax), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(Identity<uint8_t>(DType::kUInt8, kBoxMin), 255);
  EXPECT_EQ(Identity<uint16_t>(DType::kFloat16, kBoxSum), 0x8000);
  EXPECT_EQ(Identity<uint16_t>(DType::kBFloat16, kBoxMax), 0xff80);
  EXPECT_EQ(Identity<uint8_t>(DType::kBool, kBoxMin), 1);
}

TEST(FillBox, TouchesOnlyTheBox) {
  std::vector<int32_t> dst(12, 5);
  ASSERT_TRUE(FillBox(DType::kInt32, kBoxSum, reinterpret_cast<std::byte*>(dst.data()), Shape{3, 4},
                      Shape{1, 1}, Shape{2, 2}, nullptr)
                  .ok());
  EXPECT_THAT(dst, testing::ElementsAre(5, 5, 5, 5, 5, 0, 0, 5, 5, 0, 0, 5));
}

}  // namespace
}  // namespace ofl::device
