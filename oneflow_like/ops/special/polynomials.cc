// Orthogonal polynomials of a degree that is an operand.
#include "oneflow_like/ops/special/polynomials.h"

#include <cmath>

#include "oneflow_like/ops/elementwise/forms.h"
#include "oneflow_like/ops/special/host.h"

namespace ofl::ops {
namespace {

using special::Chebyshev;
using special::Kind;

#define OFL_CHEBYSHEV(NAME, KIND, ARGUMENT)                                     \
  struct NAME {                                                                 \
    template <class T>                                                          \
    OFL_FN T operator()(T x, T n) const {                                       \
      const double at = static_cast<double>(x);                                 \
      return static_cast<T>(Chebyshev(KIND, ARGUMENT, static_cast<double>(n))); \
    }                                                                           \
  };
OFL_CHEBYSHEV(ChebyshevT, Kind::kFirst, at)
OFL_CHEBYSHEV(ChebyshevU, Kind::kSecond, at)
OFL_CHEBYSHEV(ChebyshevV, Kind::kThird, at)
OFL_CHEBYSHEV(ChebyshevW, Kind::kFourth, at)
OFL_CHEBYSHEV(ShiftedT, Kind::kFirst, 2 * at - 1)
OFL_CHEBYSHEV(ShiftedU, Kind::kSecond, 2 * at - 1)
OFL_CHEBYSHEV(ShiftedV, Kind::kThird, 2 * at - 1)
OFL_CHEBYSHEV(ShiftedW, Kind::kFourth, 2 * at - 1)
#undef OFL_CHEBYSHEV
OFL_HOST_FUNCTION2(HermiteH, special::HermiteH)
OFL_HOST_FUNCTION2(HermiteHe, special::HermiteHe)
OFL_HOST_FUNCTION2(LaguerreL, special::LaguerreL)
OFL_HOST_FUNCTION2(LegendreP, special::LegendreP)

template <class F>
void Polynomial(op::OpDefBuilder& op, const std::string& name, const char* doc,
                const std::string& oracle) {
  Binary<F, kFloats>(op, doc, "; never partial", {0, 4})
      .Grad([](op::GradContext& c) {
        if (!c.Needs(0) && !c.Needs(1)) return;
        c.b.Fail(Error(Code::kUnimplemented)
                 << "[special] this polynomial has no derivative by its operands: got one that "
                 << "requires a gradient; expected none; give input.detach()");
      })
      .Traits({op::Trait::kElementwise, op::Trait::kInexactGrad})
      .Oracle("polynomial('" + oracle + "', input, other)")
      .Py("special." + name + "(input, n: other)");
}

}  // namespace

OFL_OP(chebyshev_polynomial_t) {
  Polynomial<ChebyshevT>(op, "chebyshev_polynomial_t",
                         "Chebyshev's polynomial of the first kind, of degree n.", "t");
}
OFL_OP(chebyshev_polynomial_u) {
  Polynomial<ChebyshevU>(op, "chebyshev_polynomial_u",
                         "Chebyshev's polynomial of the second kind, of degree n.", "u");
}
OFL_OP(chebyshev_polynomial_v) {
  Polynomial<ChebyshevV>(op, "chebyshev_polynomial_v",
                         "Chebyshev's polynomial of the third kind, of degree n.", "v");
}
OFL_OP(chebyshev_polynomial_w) {
  Polynomial<ChebyshevW>(op, "chebyshev_polynomial_w",
                         "Chebyshev's polynomial of the fourth kind, of degree n.", "w");
}
OFL_OP(shifted_chebyshev_polynomial_t) {
  Polynomial<ShiftedT>(op, "shifted_chebyshev_polynomial_t",
                       "chebyshev_polynomial_t at 2 input - 1.", "shifted t");
}
OFL_OP(shifted_chebyshev_polynomial_u) {
  Polynomial<ShiftedU>(op, "shifted_chebyshev_polynomial_u",
                       "chebyshev_polynomial_u at 2 input - 1.", "shifted u");
}
OFL_OP(shifted_chebyshev_polynomial_v) {
  Polynomial<ShiftedV>(op, "shifted_chebyshev_polynomial_v",
                       "chebyshev_polynomial_v at 2 input - 1.", "shifted v");
}
OFL_OP(shifted_chebyshev_polynomial_w) {
  Polynomial<ShiftedW>(op, "shifted_chebyshev_polynomial_w",
                       "chebyshev_polynomial_w at 2 input - 1.", "shifted w");
}
OFL_OP(hermite_polynomial_h) {
  Polynomial<HermiteH>(op, "hermite_polynomial_h",
                       "The physicist's Hermite polynomial of degree n.", "h");
}
OFL_OP(hermite_polynomial_he) {
  Polynomial<HermiteHe>(op, "hermite_polynomial_he",
                        "The probabilist's Hermite polynomial of degree n.", "he");
}
OFL_OP(laguerre_polynomial_l) {
  Polynomial<LaguerreL>(op, "laguerre_polynomial_l", "Laguerre's polynomial of degree n.", "l");
}
OFL_OP(legendre_polynomial_p) {
  Polynomial<LegendreP>(op, "legendre_polynomial_p", "Legendre's polynomial of degree n.", "p");
}

namespace special {
namespace {

constexpr double kLargestDegree = 1e6;  // of a recurrence: time is bounded

// p(k + 1) from p(k) and p(k - 1), up to degree n > 0.
template <class Next>
double Recur(double n, double p0, double p1, const Next& next) {
  for (double k = 1; k < n && std::isfinite(p1); k += 1) {
    const double p2 = next(k, p1, p0);
    p0 = p1;
    p1 = p2;
  }
  return p1;
}

// Truncates the degree; true where the value is known without more. What no int64 holds is, as in
// torch, a negative degree.
bool Settled(double x, double& n, double* value) {
  n = std::trunc(n);
  if (!(n >= 0 && n < 0x1p63)) return *value = 0, true;
  if (n == 0) return *value = 1, true;
  if (std::isnan(x)) return *value = NAN, true;
  return false;
}

template <class Next>
double ByRecurrence(double x, double n, double p1, const Next& next) {
  double value;
  if (Settled(x, n, &value)) return value;
  return n > kLargestDegree ? NAN : Recur(n, 1, p1, next);
}

// By the angle whose cosine is x, or by its hyperbolic counterpart: for degrees that no recurrence
// should take.
double ChebyshevByAngle(Kind kind, double x, double n) {
  const double sign = x < 0 && std::fmod(n, 2) == 1 ? -1 : 1;
  if (x < 0 && kind == Kind::kThird) return sign * ChebyshevByAngle(Kind::kFourth, -x, n);
  if (x < 0 && kind == Kind::kFourth) return sign * ChebyshevByAngle(Kind::kThird, -x, n);
  const double size = std::fabs(x);
  if (size == 1) {
    const double values[] = {1, n + 1, 1, 2 * n + 1};
    return sign * values[static_cast<int>(kind)];
  }
  const bool inside = size < 1;
  const double t = inside ? std::acos(size) : std::acosh(size);
  const auto wave = [inside](double a) { return inside ? std::cos(a) : std::cosh(a); };
  const auto slope = [inside](double a) { return inside ? std::sin(a) : std::sinh(a); };
  switch (kind) {
    case Kind::kFirst: return sign * wave(n * t);
    case Kind::kSecond: return sign * slope((n + 1) * t) / slope(t);
    case Kind::kThird: return wave((n + 0.5) * t) / wave(t / 2);
    default: return slope((n + 0.5) * t) / slope(t / 2);
  }
}

}  // namespace

double Chebyshev(Kind kind, double x, double n) {
  double value;
  if (Settled(x, n, &value)) return value;
  if (n > 4096) return ChebyshevByAngle(kind, x, n);
  const double first[] = {x, 2 * x, 2 * x - 1, 2 * x + 1};
  return Recur(n, 1, first[static_cast<int>(kind)],
               [x](double, double p, double q) { return 2 * x * p - q; });
}

double HermiteH(double x, double n) {
  return ByRecurrence(x, n, 2 * x,
                      [x](double k, double p, double q) { return 2 * x * p - 2 * k * q; });
}
double HermiteHe(double x, double n) {
  return ByRecurrence(x, n, x, [x](double k, double p, double q) { return x * p - k * q; });
}
double LaguerreL(double x, double n) {
  return ByRecurrence(x, n, 1 - x, [x](double k, double p, double q) {
    return ((2 * k + 1 - x) * p - k * q) / (k + 1);
  });
}
double LegendreP(double x, double n) {
  return ByRecurrence(x, n, x, [x](double k, double p, double q) {
    return ((2 * k + 1) * x * p - k * q) / (k + 1);
  });
}

}  // namespace special
}  // namespace ofl::ops
