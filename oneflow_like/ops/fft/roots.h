// Factors, roots modulo a prime, and roots of unity.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>
#include <utility>

namespace ofl::ops {

// The largest prime factor of n.
inline int64_t LargestFactor(int64_t n) {
  int64_t largest = 1;
  for (int64_t p = 2; p * p <= n; ++p) {
    while (n % p == 0) largest = p, n /= p;
  }
  return std::max(largest, n);
}

inline int64_t PowerOf(int64_t x, int64_t exponent, int64_t modulo) {
  int64_t power = 1;
  for (; exponent > 0; exponent /= 2, x = x * x % modulo)
    if (exponent % 2 == 1) power = power * x % modulo;
  return power;
}
// The least number whose powers are all numbers from 1 to p - 1, of a prime p.
inline int64_t PrimitiveRoot(int64_t p) {
  const auto is_root = [p](int64_t g) {
    int64_t rest = p - 1;
    for (int64_t f = 2; rest > 1; ++f) {
      if (f * f > rest) f = rest;
      if (rest % f != 0) continue;
      if (PowerOf(g, (p - 1) / f, p) == 1) return false;
      while (rest % f == 0) rest /= f;
    }
    return true;
  };
  int64_t g = 2;
  while (!is_root(g)) ++g;
  return g;
}

// exp(sign 2 pi i k / n), of a k that is not reduced. Angles are mirrored into the first eighth of
// a turn: what the rounding of pi does to larger ones would not cancel in sums over a whole turn.
inline std::complex<double> Turn(int64_t k, int64_t n, double sign) {
  int64_t part = k % n * 4;  // of 4 n
  const bool below = part > 2 * n;
  if (below) part = 4 * n - part;
  const bool left = part > n;
  if (left) part = 2 * n - part;
  const bool steep = 2 * part > n;
  if (steep) part = n - part;
  const double angle = std::numbers::pi / 2 * static_cast<double>(part) / static_cast<double>(n);
  double x = std::cos(angle), y = std::sin(angle);
  if (steep) std::swap(x, y);
  return {left ? -x : x, below ? -sign * y : sign * y};
}

}  // namespace ofl::ops
