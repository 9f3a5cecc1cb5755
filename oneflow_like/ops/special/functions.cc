#include "oneflow_like/ops/special/functions.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include <boost/math/special_functions/airy.hpp>
#include <boost/math/special_functions/bessel.hpp>
#include <boost/math/special_functions/digamma.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/special_functions/trigamma.hpp>

namespace ofl::ops::special {
namespace {

namespace bm = boost::math;
namespace bp = boost::math::policies;

// Errors are values: NaN or infinity. Double stays double, not the wider type of this machine.
using Quiet =
    bp::policy<bp::domain_error<bp::ignore_error>, bp::pole_error<bp::ignore_error>,
               bp::overflow_error<bp::ignore_error>, bp::underflow_error<bp::ignore_error>,
               bp::denorm_error<bp::ignore_error>, bp::rounding_error<bp::ignore_error>,
               bp::evaluation_error<bp::ignore_error>,
               bp::indeterminate_result_error<bp::ignore_error>, bp::promote_float<false>,
               bp::promote_double<false>>;
constexpr Quiet kQuiet;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = 3.14159265358979323846;
constexpr double kSqrt2 = 1.41421356237309504880;
constexpr double kLargeBessel = 50;  // from here on the series in 1/x is exact to the last bits

bool IsWhole(double x) { return x == std::floor(x); }

// exp(-x) I_n(x) sqrt(2 pi x), or with `alternate` exp(x) K_n(x) sqrt(2 x / pi), for large x: the
// terms prod (4 n^2 - (2 j - 1)^2) / (k! (8 x)^k).
double LargeArgument(int n, double x, bool alternate) {
  double sum = 1, term = 1;
  for (int k = 1; k < 30; ++k) {
    const double odd = 2 * k - 1;
    term *= (4.0 * n * n - odd * odd) / (k * 8 * x) * (alternate ? 1 : -1);
    sum += term;
    if (std::fabs(term) < 1e-17) break;
  }
  return sum;
}

double ScaledI(int n, double x) {
  const double size = std::fabs(x);
  if (std::isnan(x)) return x;
  if (size == kInf) return std::copysign(0.0, n == 1 ? x : 1.0);
  const double value = size > kLargeBessel
                           ? LargeArgument(n, size, false) / std::sqrt(2 * kPi * size)
                           : std::exp(-size) * bm::cyl_bessel_i(n, size, kQuiet);
  return n == 1 && x < 0 ? -value : value;
}

double PlainI(int n, double x) {
  if (std::isnan(x)) return x;
  const double size = std::fabs(x);
  const double value = size > 720 ? kInf : bm::cyl_bessel_i(n, size, kQuiet);
  return n == 1 && x < 0 ? -value : value;
}

double PlainK(int n, double x) {
  if (x == 0) return kInf;
  if (!(x > 0)) return kNan;
  return x > 750 ? 0 : bm::cyl_bessel_k(n, x, kQuiet);
}

double ScaledK(int n, double x) {
  if (x == 0) return kInf;
  if (!(x > 0)) return kNan;
  if (x == kInf) return 0;
  if (x > kLargeBessel) return LargeArgument(n, x, true) * std::sqrt(kPi / (2 * x));
  return std::exp(x) * bm::cyl_bessel_k(n, x, kQuiet);
}

// For q > 0: nine terms or more, then Euler and Maclaurin's formula for the rest.
double ZetaAbove0(double s, double q) {
  constexpr double kBernoulli[] = {1.0 / 12,          -1.0 / 720,
                                   1.0 / 30240,       -1.0 / 1209600,
                                   1.0 / 47900160,    -691.0 / 1307674368000,
                                   1.0 / 74724249600, -3617.0 / 10670622842880000};  // B_2k / (2k)!
  double sum = 0, at = q;
  for (int i = 0; i < 10 || at < 10; ++i, at += 1) {
    const double term = std::pow(at, -s);
    sum += term;
    if (term < 1e-17 * sum) return sum;
  }
  const double power = std::pow(at, -s);
  sum += power * at / (s - 1) + power / 2;
  double factor = s * power / at;
  for (int k = 0; k < 8; ++k) {
    const double term = kBernoulli[k] * factor;
    sum += term;
    if (std::fabs(term) < 1e-17 * std::fabs(sum)) break;
    factor *= (s + 2 * k + 1) / at * ((s + 2 * k + 2) / at);
  }
  return sum;
}

}  // namespace

double LogGamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

double Digamma(double x) {
  if (x == 0) return std::copysign(kInf, -x);
  if (x < 0 && IsWhole(x)) return kNan;
  return x == kInf ? x : bm::digamma(x, kQuiet);
}

double Polygamma(int n, double x) {
  if (n == 0) return Digamma(x);
  if (x == -kInf) return kNan;
  const double zeta = Zeta(n + 1.0, x);
  return (n % 2 == 0 ? -1 : 1) * std::tgamma(n + 1.0) * zeta;
}

double Zeta(double s, double q) {
  if (std::isnan(s) || std::isnan(q)) return kNan;
  if (s == 1) return kInf;
  if (s < 1) return kNan;
  if (q > 0) return q == kInf ? 0 : ZetaAbove0(s, q);
  if (IsWhole(q)) return kInf;
  if (!IsWhole(s)) return kNan;
  // The terms below 0 are those of 1 - q, 2 - q, ... with their signs.
  const double rest = q - std::floor(q);
  const double below = ZetaAbove0(s, 1 - rest) - ZetaAbove0(s, 1 - q);
  return ZetaAbove0(s, rest) + (std::fmod(s, 2) == 0 ? below : -below);
}

double ErfInv(double x) {
  if (!(std::fabs(x) < 1)) return std::fabs(x) == 1 ? std::copysign(kInf, x) : kNan;
  return bm::erf_inv(x, kQuiet);
}

double ScaledErfc(double x) {
  if (x < 25) {
    // The square in two parts: its rounding would be multiplied by the square itself.
    const double square = x * x, rest = std::fma(x, x, -square);
    if (square == kInf) return kInf;
    const double grown = std::exp(square);
    return (grown + (grown == kInf ? 0 : grown * rest)) * std::erfc(x);
  }
  if (!(x < kInf)) return std::isnan(x) ? x : 0;
  const double below = 1 / (2 * x * x);
  double sum = 1, term = 1;
  for (int k = 1; k < 12; ++k) sum += term *= -(2 * k - 1) * below;
  return sum / (x * std::sqrt(kPi));
}

double LogNdtr(double x) {
  const double t = x / kSqrt2;
  if (x < -1) return std::log(ScaledErfc(-t) / 2) - t * t;
  return std::log1p(-std::erfc(t) / 2);
}

double Ndtri(double p) {
  if (p == 0) return -kInf;
  if (p == 1) return kInf;
  if (!(p > 0 && p < 1)) return kNan;
  return -kSqrt2 * bm::erfc_inv(2 * p, kQuiet);
}

double GammaInc(double a, double x) {
  if (std::isnan(a) || std::isnan(x) || a < 0 || x < 0) return kNan;
  if (a == 0) return x > 0 ? 1 : kNan;
  if (x == 0) return 0;
  if (a == kInf) return x == kInf ? kNan : 0;
  return x == kInf ? 1 : bm::gamma_p(a, x, kQuiet);
}

double GammaIncC(double a, double x) {
  if (std::isnan(a) || std::isnan(x) || a < 0 || x < 0) return kNan;
  if (a == 0) return x > 0 ? 0 : kNan;
  if (x == 0) return 1;
  if (a == kInf) return x == kInf ? kNan : 1;
  return x == kInf ? 0 : bm::gamma_q(a, x, kQuiet);
}

double I0(double x) { return PlainI(0, x); }
double I1(double x) { return PlainI(1, x); }
double ScaledI0(double x) { return ScaledI(0, x); }
double ScaledI1(double x) { return ScaledI(1, x); }
double K0(double x) { return PlainK(0, x); }
double K1(double x) { return PlainK(1, x); }
double ScaledK0(double x) { return ScaledK(0, x); }
double ScaledK1(double x) { return ScaledK(1, x); }
double J0(double x) { return ::j0(x); }
double J1(double x) { return ::j1(x); }
double Y0(double x) { return x == 0 ? -kInf : x < 0 ? kNan : ::y0(x); }
double Y1(double x) { return x == 0 ? -kInf : x < 0 ? kNan : ::y1(x); }

double SphericalJ0(double x) {
  if (std::isinf(x)) return 0;
  return x == 0 ? 1 : std::sin(x) / x;
}

double AiryAi(double x) {
  if (std::isnan(x) || std::isinf(x)) return kNan;
  if (x > 104) return 0;
  return bm::airy_ai(x, kQuiet);
}

double AiryAiPrime(double x) {
  if (std::isnan(x) || std::isinf(x)) return kNan;
  return x > 104 ? 0 : bm::airy_ai_prime(x, kQuiet);
}

}  // namespace ofl::ops::special
