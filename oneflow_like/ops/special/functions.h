// Special functions of real numbers, on the host: in double for every dtype, so that single
// precision is right to its last bit. Outside of their domain they are NaN, at poles infinite as
// torch's; none of them fails, and each takes bounded time for any argument.
#pragma once

namespace ofl::ops::special {

double LogGamma(double x);
double Digamma(double x);
// The n-th derivative of digamma, n >= 0.
double Polygamma(int n, double x);
// Hurwitz' zeta function: the sum of (q + k)^-s over k >= 0.
double Zeta(double s, double q);
double ErfInv(double x);
// exp(x^2) erfc(x).
double ScaledErfc(double x);
double LogNdtr(double x);
double Ndtri(double p);
// The regularised incomplete gamma functions, lower and upper.
double GammaInc(double a, double x);
double GammaIncC(double a, double x);

// Bessel functions; the scaled ones times exp(-|x|) (of I) or exp(x) (of K).
double I0(double x);
double I1(double x);
double ScaledI0(double x);
double ScaledI1(double x);
double K0(double x);
double K1(double x);
double ScaledK0(double x);
double ScaledK1(double x);
double J0(double x);
double J1(double x);
double Y0(double x);
double Y1(double x);
double SphericalJ0(double x);
double AiryAi(double x);
double AiryAiPrime(double x);

}  // namespace ofl::ops::special
