// Orthogonal polynomials, in double. The degree is truncated to a whole number; of a negative one
// they are 0, as torch's. Those of a recurrence are NaN above degree 10^6: time is bounded.
#pragma once

namespace ofl::ops::special {

enum class Kind { kFirst, kSecond, kThird, kFourth };
double Chebyshev(Kind kind, double x, double n);
double HermiteH(double x, double n);
double HermiteHe(double x, double n);
double LaguerreL(double x, double n);
double LegendreP(double x, double n);

}  // namespace ofl::ops::special
