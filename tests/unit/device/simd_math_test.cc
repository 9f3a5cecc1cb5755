#include "device/cpu/simd_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ofl::device::simd {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Floats spread evenly over the bit patterns of [low, high], both signs where low < 0.
std::vector<float> Spread(float low, float high, int count) {
  std::vector<float> values;
  for (int i = 0; i <= count; ++i) {
    const double t = static_cast<double>(i) / count;
    values.push_back(static_cast<float>(low + t * (static_cast<double>(high) - low)));
    // Small magnitudes, which an even spread never reaches.
    values.push_back(std::ldexp(values.back(), -static_cast<int>(t * 60)));
  }
  return values;
}

// The largest error in units of the last place of the right answer (at least the least normal).
template <class F, class G>
double WorstUlp(const std::vector<float>& xs, F ours, G right, float* where) {
  double worst = 0;
  for (float x : xs) {
    const double y = right(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::max(std::ilogb(y), -126) - 23);
    const double error = std::fabs(static_cast<double>(ours(x)) - y) / unit;
    if (!(error <= worst)) {
      worst = error;
      *where = x;
    }
  }
  return worst;
}

#define EXPECT_ULP(fn, right, low, high, bound)                                                   \
  do {                                                                                            \
    float at = 0;                                                                                 \
    const double worst = WorstUlp(                                                                \
        Spread(low, high, 200000), [](float x) { return fn(x); }, [](double x) { return right; }, \
        &at);                                                                                     \
    EXPECT_LE(worst, bound) << #fn << " is worst at " << at;                                      \
  } while (false)

TEST(SimdMath, StaysWithinItsErrorBounds) {
  EXPECT_ULP(Exp, std::exp(x), -87.0f, 88.7f, 2.0);
  EXPECT_ULP(Log, std::log(x), 1e-37f, 1e3f, 2.0);
  EXPECT_ULP(Log, std::log(x), 0.5f, 2.0f, 2.0);
  EXPECT_ULP(Log, std::log(x), 1e3f, 3e38f, 2.0);
  EXPECT_ULP(Tanh, std::tanh(x), -12.0f, 12.0f, 3.0);
  EXPECT_ULP(Sigmoid, 1 / (1 + std::exp(-x)), -80.0f, 80.0f, 3.0);
  EXPECT_ULP(Erf, std::erf(x), -6.0f, 6.0f, 3.0);
}

TEST(SimdMath, CarriesNotANumberThrough) {
  EXPECT_TRUE(std::isnan(Exp(kNan)));
  EXPECT_TRUE(std::isnan(Log(kNan)));
  EXPECT_TRUE(std::isnan(Tanh(kNan)));
  EXPECT_TRUE(std::isnan(Sigmoid(kNan)));
  EXPECT_TRUE(std::isnan(Erf(kNan)));
  EXPECT_TRUE(std::isnan(Log(-1.0f)));
  EXPECT_TRUE(std::isnan(Log(-kInf)));
}

TEST(SimdMath, EndsWhereTheStandardLibraryEnds) {
  EXPECT_EQ(Exp(kInf), kInf);
  EXPECT_EQ(Exp(89.0f), kInf);
  EXPECT_EQ(Exp(-kInf), 0.0f);
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Log(kInf), kInf);
  EXPECT_EQ(Log(0.0f), -kInf);
  EXPECT_EQ(Log(1.0f), 0.0f);
  EXPECT_EQ(Tanh(kInf), 1.0f);
  EXPECT_EQ(Tanh(-kInf), -1.0f);
  EXPECT_EQ(Sigmoid(kInf), 1.0f);
  EXPECT_EQ(Sigmoid(-kInf), 0.0f);
  EXPECT_EQ(Erf(kInf), 1.0f);
  EXPECT_EQ(Erf(-kInf), -1.0f);
}

TEST(SimdMath, KeepsTheSignOfZero) {
  EXPECT_TRUE(std::signbit(Tanh(-0.0f)));
  EXPECT_TRUE(std::signbit(Erf(-0.0f)));
  EXPECT_FALSE(std::signbit(Tanh(0.0f)));
}

TEST(SimdMath, TakesTheLogarithmOfSubnormals) {
  const float x = std::numeric_limits<float>::denorm_min();
  EXPECT_NEAR(Log(x), std::log(static_cast<double>(x)), 1e-5);
}

OFL_SIMD void ExpLoop(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = Exp(x[i]);
}

TEST(SimdMath, AgreesInsideADispatchedLoop) {
  const std::vector<float> x = Spread(-100.0f, 89.5f, 1000);
  std::vector<float> y(x.size());
  ExpLoop(x.data(), y.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isinf(Exp(x[i]))) {
      EXPECT_EQ(y[i], Exp(x[i]));
    } else {
      EXPECT_NEAR(y[i], Exp(x[i]), 1e-6 * std::fabs(Exp(x[i]))) << x[i];
    }
  }
}

}  // namespace
}  // namespace ofl::device::simd
