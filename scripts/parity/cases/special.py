"""torch.special, and its older names in torch."""

FAMILY = "special"
DTYPES = "float16 bfloat16 int64 bool"

_ONE = """
f(2, 3)
f()
f(0, 3)
f(9, lo=0.05, hi=0.95)
f(9, lo=-20, hi=20)
v([nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 30.0]) # nograd
! [1.0]
"""
_PLAIN = "\n".join(x if "nograd" in x or x[:1] == "!" else x + " # nograd"
                   for x in _ONE.strip().splitlines())
_TWO = """
f(2, 3, lo=0.1), f(3, lo=0.1)
f(3, lo=0.1), f()
f(2, 0), f(1)
f(4, lo=0.1, hi=20), f(4, lo=0.1, hi=20)
v([0.0, 1.0, 2.0, inf]), v([1.0, 0.0, inf, 2.0]) # nograd
! f(3), f(4)
"""
_POLYNOMIAL = """
f(2, 3), i(3, lo=0) # nograd
f(5, lo=-1, hi=1), 3 # nograd
f(5, lo=-1, hi=1), 0 # nograd
f(5), 1 # nograd
f(4, lo=-1, hi=1), 8 # nograd
f(4, lo=-1, hi=1), -1 # nograd
2.0, i(4, lo=0) # nograd
v([1.0, -1.0, nan]), 4 # nograd
! f(3), f(4)
"""

CASES = {
    "special.digamma digamma special.psi": _ONE,
    "special.gammaln lgamma": _ONE,
    "special.erfcx special.entr special.ndtr special.log_ndtr special.i0 i0": _ONE,
    "special.i0e special.i1 special.i1e": _ONE,
    "special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1 special.airy_ai "
    "special.spherical_bessel_j0 special.modified_bessel_i0 special.modified_bessel_i1 "
    "special.modified_bessel_k0 special.modified_bessel_k1 special.scaled_modified_bessel_k0 "
    "special.scaled_modified_bessel_k1": _PLAIN,
    "special.ndtri": """
f(9, lo=0.05, hi=0.95)
f(2, 3, lo=0, hi=1)
v([0.0, 1.0, 0.5, -0.1, 1.1, nan]) # nograd
""",
    "special.gammainc igamma special.gammaincc igammac":
        "\n".join(x if "nograd" in x or x[:1] == "!" else x + " # nograd"
                  for x in _TWO.strip().splitlines()) + """
f(4, lo=0.5, hi=3, grad=False), f(4, lo=0.5, hi=3)
""",
    "special.zeta": """
f(3, lo=1.5), f(3, lo=0.5) # nograd
2.0, f(3, lo=0.5) # nograd
f(3, lo=1.5), 1.0 # nograd
f(3, lo=1.5, hi=4, grad=False), f(3, lo=0.5)
v([1.0, 0.5, nan]), v([1., 1., 1.]) # nograd
""",
    "special.polygamma polygamma": """
0, f(3, lo=0.2)
1, f(2, 3, lo=0.2)
2, f(5, lo=0.2)
3, f(4, lo=0.5)
! -1, f(3)
""",
    "Tensor.polygamma": "f(3, lo=0.2), 1",
    "Tensor.polygamma_": "f(3, lo=0.2).clone(), 2 # nograd",
    "special.multigammaln mvlgamma": """
f(2, 3, lo=2.5, hi=6), 2
f(4, lo=3, hi=6), 4
f(3, lo=1, hi=2), 1
! f(3, lo=0, hi=0.4), 0
""",
    "special.chebyshev_polynomial_t special.chebyshev_polynomial_u special.chebyshev_polynomial_v "
    "special.chebyshev_polynomial_w special.hermite_polynomial_h special.hermite_polynomial_he "
    "special.laguerre_polynomial_l special.legendre_polynomial_p "
    "special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u "
    "special.shifted_chebyshev_polynomial_v special.shifted_chebyshev_polynomial_w": _POLYNOMIAL,
}
