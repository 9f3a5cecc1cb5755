"""NumPy for elementwise and special functions: helpers of oracles.py's expressions."""

import math

import numpy as np

HELPERS: dict = {}
# Values that are only chosen, rounded to whole numbers or compared: equal to the last bit.
EXACT = {"ceil", "floor", "trunc", "signbit", "isnan", "isinf", "isposinf", "isneginf", "isfinite",
         "isreal", "int_and", "int_or", "int_xor", "int_not", "left_shift", "right_shift", "gcd",
        "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "both_true",
        "either_true", "one_true", "not_true", "fmax", "fmin", "heaviside", "copysign",
        "clamp_low", "clamp_high", "threshold", "hardshrink", "hardtanh", "outside_grad",
        "positive", "isclose", "where_number", "compare_number"}


def _helper(function):
    HELPERS[function.__name__.lstrip("_")] = function
    return function


def _each(function):
    """Of Python's numbers, element by element."""
    return np.vectorize(function, otypes=[np.float64])


@_helper
def _logit(x, eps):
    z = x if eps is None or eps < 0 else np.clip(x, eps, 1 - eps)
    return np.log(z / (1 - z))


@_helper
def _logit_grad(dy, x, eps):
    limited = eps is not None and eps >= 0
    low = eps if limited else 0
    inside = (x >= low) & (x <= 1 - low)
    return np.where(inside, dy / (x * (1 - x)), 0 if limited else np.nan)


@_helper
def _silu_grad(dy, x):
    s = 1 / (1 + np.exp(-x))
    return dy * s * (1 + x * (1 - s))


@_helper
def _glu(x, dim):
    first, second = np.split(x, 2, axis=dim)
    return first / (1 + np.exp(-second))


@_helper
def _glu_grad(dy, x, dim):
    first, second = np.split(x, 2, axis=dim)
    s = 1 / (1 + np.exp(-second))
    return np.concatenate([dy * s, dy * first * s * (1 - s)], axis=dim)


@_helper
def _mish_grad(dy, x):
    t = np.tanh(np.log1p(np.exp(x)))
    return dy * (t + x * (1 - t * t) / (1 + np.exp(-x)))


@_helper
def _compared(x, compare, value):
    names = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
             "ge": "greater_equal"}
    return getattr(np, names[compare])(x, np.asarray(value).astype(x.dtype))


@_helper
def _prelu(x, weight):
    if weight.size != 1:
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    return np.where(x > 0, x, weight.reshape(()) * x if weight.size == 1 else weight * x)


@_helper
def _div_rounded(x, y, mode):
    if mode is None:
        return x / y
    whole = np.issubdtype(x.dtype, np.integer)
    if mode == "floor":
        return np.floor_divide(x, y)
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)) if whole else np.trunc(x / y)


# --- special functions: by integrals and series, not by the product's algorithms ------------------

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
HELPERS |= {"lgamma": _each(math.lgamma), "erfc": _each(math.erfc)}


def _integral(function, low, high):
    """Of a function of (elements, nodes) over [low, high]."""
    half = (high - low) / 2
    return (function(low + half * (_NODES + 1)) * _WEIGHTS).sum(axis=-1) * half


@_helper
def _zeta(s, q):
    """A long direct sum, and the first terms of Euler and Maclaurin's formula for the rest."""
    s, q = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(q, np.float64))
    n = 200
    terms = (q[..., None] + np.arange(n)) ** -s[..., None]
    end = q + n
    rest = end ** (1 - s) / (s - 1) + end ** -s / 2 + s * end ** (-s - 1) / 12
    return terms.sum(axis=-1) + rest - s * (s + 1) * (s + 2) * end ** (-s - 3) / 720


@_helper
def _digamma(x):
    """-1/x - 1/(x+1) - ... and the asymptotic series far away."""
    x = np.asarray(x, np.float64)
    far = x + 50
    near = (1 / (x[..., None] + np.arange(50))).sum(axis=-1)
    return np.log(far) - 1 / (2 * far) - 1 / (12 * far ** 2) + 1 / (120 * far ** 4) - near


@_helper
def _polygamma(n, x):
    return _digamma(x) if n == 0 else (-1) ** (n + 1) * math.factorial(n) * _zeta(n + 1, x)


@_helper
def _mvlgamma(x, p):
    parts = [HELPERS["lgamma"](x - j / 2) for j in range(p)]
    return p * (p - 1) / 4 * math.log(math.pi) + sum(parts)


@_helper
def _erfinv(y):
    """Newton's steps on erf."""
    erf = _each(math.erf)
    x = np.zeros(np.shape(y))
    for _ in range(60):
        x = x - (erf(x) - y) / (2 / math.sqrt(math.pi) * np.exp(-x * x))
    return x


@_helper
def _gammainc(a, x):
    """The series x^a e^-x / Gamma(a + 1) (1 + x / (a + 1) + ...)."""
    term = total = np.ones(np.broadcast_shapes(np.shape(a), np.shape(x)))
    for k in range(1, 200):
        term = term * x / (a + k)
        total = total + term
    return total * np.exp(a * np.log(x) - x - HELPERS["lgamma"](a + 1))


@_helper
def _bessel_i(n, x):
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    return (np.exp(np.asarray(x)[..., None] * np.cos(angle)) * np.cos(n * angle)).mean(axis=-1)


@_helper
def _bessel_j(n, x):
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    return np.cos(n * angle - np.asarray(x)[..., None] * np.sin(angle)).mean(axis=-1)


@_helper
def _bessel_k(n, x):
    x = np.asarray(x)[..., None]
    return _integral(lambda t: np.exp(-x * np.cosh(t)) * np.cosh(n * t), 0, 8)


@_helper
def _bessel_y(n, x):
    x = np.asarray(x)[..., None]
    wave = _integral(lambda t: np.sin(x * np.sin(t) - n * t), 0, np.pi)
    sign = (-1) ** n
    fall = _integral(lambda t: (np.exp(n * t) + sign * np.exp(-n * t)) * np.exp(-x * np.sinh(t)),
                     0, 8)
    return (wave - fall) / np.pi


def _airy_series(x, derivative):
    """Maclaurin's series of its two parts."""
    x = np.asarray(x, np.float64)
    terms = {0: 3 ** (-2 / 3) / math.gamma(2 / 3), 1: -(3 ** (-1 / 3)) / math.gamma(1 / 3), 2: 0.0}
    for k in range(3, 100):
        terms[k] = terms[k - 3] / (k * (k - 1))
    if derivative:
        return sum(k * c * x ** (k - 1) for k, c in terms.items() if k)
    return sum(c * x ** k for k, c in terms.items())


HELPERS |= {"airy_ai": lambda x: _airy_series(x, False),
            "airy_ai_prime": lambda x: _airy_series(x, True)}


@_helper
def _polynomial(kind, x, degree):
    """By NumPy's polynomials; Chebyshev's of other kinds by their generating sums."""
    def of(x, n):
        n = int(n)
        if kind in ("h", "he", "l", "p"):
            module = {"h": np.polynomial.hermite.hermval, "he": np.polynomial.hermite_e.hermeval,
                      "l": np.polynomial.laguerre.lagval, "p": np.polynomial.legendre.legval}[kind]
            return module(x, [0] * n + [1])
        z = 2 * x - 1 if kind.startswith("shifted") else x
        t = [np.polynomial.chebyshev.chebval(z, [0] * k + [1]) for k in range(n + 1)]
        u = [sum(2 * t[j] for j in range(k % 2, k + 1, 2)) - (k % 2 == 0) for k in range(n + 1)]
        below = u[n - 1] if n else 0
        return {"t": t[n], "u": u[n], "v": u[n] - below, "w": u[n] + below}[kind[-1]]

    return _each(of)(x, degree)
