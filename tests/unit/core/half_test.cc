#include "oneflow_like/core/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ofl {
namespace {

// Every pattern reads back as itself, and every float rounds to the nearest pattern, ties to even.
template <class T>
void CheckFormat(int patterns, float largest) {
  std::vector<float> finite;  // the non-negative ones, ascending as their patterns are
  for (int bits = 0; bits < patterns; ++bits) {
    const T v{static_cast<decltype(T::bits)>(bits)};
    const float wide = T::Widen(v);
    if (wide != wide) {
      EXPECT_TRUE(std::isnan(T::Widen(T::Round(wide)))) << bits;
      continue;
    }
    EXPECT_EQ(T::Round(wide).bits, v.bits) << bits << " is " << wide;
    if (!std::signbit(wide) && std::isfinite(wide)) finite.push_back(wide);
  }
  ASSERT_EQ(finite.back(), largest);
  for (size_t i = 0; i + 1 < finite.size(); ++i) {
    ASSERT_LT(finite[i], finite[i + 1]);
    const float middle = finite[i] + (finite[i + 1] - finite[i]) / 2;
    const float even = i % 2 == 0 ? finite[i] : finite[i + 1];
    EXPECT_EQ(T::Widen(T::Round(middle)), even) << middle;
    const float above = std::nextafter(middle, std::numeric_limits<float>::infinity());
    const float below = std::nextafter(middle, 0.0f);
    EXPECT_EQ(T::Widen(T::Round(above)), finite[i + 1]) << above;
    EXPECT_EQ(T::Widen(T::Round(below)), finite[i]) << below;
    EXPECT_EQ(T::Widen(T::Round(-above)), -finite[i + 1]) << above;
  }
}

TEST(Half, Float16) { CheckFormat<Float16>(1 << 16, 65504.0f); }
TEST(Half, Float8E4M3) {
  CheckFormat<Float8E4M3>(1 << 8, 448.0f);
  EXPECT_EQ(Float8E4M3::Round(464.0f).bits, 0x7e);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (float beyond : {465.0f, 1e6f, kInf}) {
    EXPECT_EQ(Float8E4M3::Round(beyond).bits, 0x7e) << beyond;
    EXPECT_EQ(Float8E4M3::Round(-beyond).bits, 0xfe) << beyond;
  }
  EXPECT_EQ(Float8E4M3::Round(std::nanf("")).bits, 0x7f);
}
TEST(Half, Float8E5M2) {
  CheckFormat<Float8E5M2>(1 << 8, 57344.0f);
  EXPECT_TRUE(std::isinf(Float8E5M2::Widen(Float8E5M2::Round(61440.0f))));
}
TEST(Half, BFloat16) { CheckFormat<BFloat16>(1 << 16, 3.3895313892515355e38f); }

}  // namespace
}  // namespace ofl
