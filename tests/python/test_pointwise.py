"""Elementwise functions where torch has conventions of its own: zero divisors, bounds, ties, NaN,
dtypes, forms that write into their tensor."""

import math

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow

F = flow.nn.functional
INF, NAN = math.inf, math.nan
FLOATS = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 7.0, -7.0, 0.3, INF, -INF, NAN]


def grad_of(function, *values, dtype=flow.float64):
    leaves = [flow.tensor(v, dtype=dtype, requires_grad=True) for v in values]
    function(*leaves).sum().backward()
    got = [leaf.grad.tolist() for leaf in leaves]
    return got[0] if len(got) == 1 else got


# --- quotients ------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32", "int64"])
def test_whole_quotients_are_python_s(name):
    edges = np.iinfo(name)
    values = np.array([edges.min, edges.max, -7 if edges.min else 9, 7, 1, 3], name)
    a, b = (x.ravel() for x in np.meshgrid(values, values[values != 0]))
    x, y = flow.from_numpy(a.copy()), flow.from_numpy(b.copy())
    wide = [(int(p), int(q)) for p, q in zip(a, b, strict=True)]

    def wrapped(function):
        return np.array([function(p, q) for p, q in wide], object).astype("int64").astype(name)

    def towards_zero(p, q):
        return abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)

    with np.errstate(all="ignore"):
        for got, want in (
                (x // y, wrapped(lambda p, q: p if p // q == 2 ** 63 else p // q)),
                (x % y, wrapped(lambda p, q: p % q)),
                (flow.fmod(x, y), wrapped(lambda p, q: p - q * towards_zero(p, q))),
                (x.div(y, rounding_mode="floor"), (x // y).numpy()),
                (x.remainder(y), (x % y).numpy())):
            assert got.dtype.name == name
            np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("call", [lambda x: x // 0, lambda x: x % 0, lambda x: flow.fmod(x, 0),
                                  lambda x: x.div(0, rounding_mode="trunc"),
                                  lambda x: 5 // (x - x)])
def test_integers_are_not_divided_by_zero(call):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        call(flow.tensor([1, 2]))
    assert call(flow.tensor([1.0, 2.0])).shape == (2,)


def test_floating_quotients_are_numpy_s():
    a, b = (x.ravel().copy() for x in np.meshgrid(FLOATS, FLOATS))
    x, y = flow.from_numpy(a), flow.from_numpy(b)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal((x % y).numpy(), np.remainder(a, b))
        np.testing.assert_array_equal(flow.fmod(x, y).numpy(), np.fmod(a, b))
        np.testing.assert_array_equal(x.div(y, rounding_mode="trunc").numpy(), np.trunc(a / b))
    assert (flow.tensor([7.0, -7.0]) // 2).tolist() == [3, -4] and (7 // flow.tensor(2)).item() == 3
    assert (flow.tensor([7, -7]) / 2).tolist() == [3.5, -3.5]
    with pytest.raises(ValueError, match="the rounding mode is unknown: got rounding_mode='up'"):
        x.div(y, rounding_mode="up")


# --- bits and logic -------------------------------------------------------------------------------

def test_python_s_operators_of_bits():
    x, y = flow.tensor([12, 10, -1]), flow.tensor([10, 3, 6])
    a, b = x.numpy().copy(), y.numpy().copy()
    for got, want in ((x & y, a & b), (x | y, a | b), (x ^ y, a ^ b), (~x, ~a), (x << 2, a << 2),
                      (x >> 1, a >> 1), (x & 6, a & 6), (6 & x, 6 & a), (6 | x, 6 | a),
                      (6 ^ x, 6 ^ a), (2 << y, 2 << b), (1000 >> y, 1000 >> b)):
        np.testing.assert_array_equal(got.numpy(), want)
    for operator in ("iand", "ior", "ixor", "ilshift", "irshift", "ifloordiv", "imod"):
        z = x.clone()
        want = getattr(x, f"__{operator[1:]}__")(y)
        assert getattr(z, f"__{operator}__")(y) is z and z.tolist() == want.tolist(), operator
    mask = flow.tensor([True, False])
    assert (mask & True).tolist() == [True, False] and (~mask).tolist() == [False, True]
    assert (mask ^ mask).tolist() == [False, False] and (mask + mask).dtype is flow.bool
    assert (mask | flow.tensor([0, 1])).tolist() == [1, 1]
    for refused in (lambda: flow.tensor([1.5]) & 1, lambda: ~flow.tensor([1.5]),
                    lambda: flow.tensor([1.5]) << 1):
        with pytest.raises(TypeError, match="float32 is not an integer dtype"):
            refused()


def test_shifts_beyond_the_width():
    for name in ("int8", "uint8", "int32", "int64"):
        x = flow.tensor([1, 100], dtype=getattr(flow, name))
        assert (x << 64).tolist() == [0, 0] == (x >> 64).tolist()
    assert (flow.tensor([-5]) >> 200).tolist() == [-1] and (flow.tensor([5]) << -1).tolist() == [0]


@pytest.mark.parametrize("dtype", ["float32", "int8", "complex64", "bool"])
def test_logic_takes_every_dtype(dtype):
    x = flow.tensor([0, 1, 1, 0]).to(getattr(flow, dtype))
    y = flow.tensor([0, 1, 0, 1]).to(getattr(flow, dtype))
    assert flow.logical_and(x, y).tolist() == [False, True, False, False]
    assert flow.logical_or(x, y).tolist() == [False, True, True, True]
    assert flow.logical_xor(x, y).tolist() == [False, False, True, True]
    assert flow.logical_not(x).tolist() == [True, False, False, True]
    assert flow.logical_and(x, 1).tolist() == [False, True, True, False]
    target = x.clone()
    assert target.logical_not_() is target and target.dtype is x.dtype
    assert target.tolist() == [1, 0, 0, 1]


def test_divisors_in_common():
    x, y = flow.tensor([12, -12, 0, 7, -(2 ** 63)]), flow.tensor([18, -1, 0, -21, 6])
    assert flow.gcd(x, y).tolist() == [6, 1, 0, 7, 2]
    assert flow.lcm(x, y).tolist()[:4] == [36, 12, 0, 21]


# --- numbers beside tensors -----------------------------------------------------------------------

def test_small_numbers_beside_unsigned_integers():
    x = flow.tensor([5, 1], dtype=flow.uint8)
    assert (x - 2).tolist() == [3, 255] and (x + -1).tolist() == [4, 0]
    np.testing.assert_allclose(x.div(-2, rounding_mode=None).numpy(), [-2.5, -0.5])
    assert (x * -1).tolist() == [251, 255] and (2 - x).tolist() == [253, 1]
    with pytest.raises(ValueError, match="uint8 cannot hold the number"):
        x + 256


def test_numbers_keep_what_they_are_beside_integers():
    x = flow.tensor([1, 2])
    np.testing.assert_allclose(flow.float_power(2.5, x).numpy(), [2.5, 6.25])
    got = flow.float_power(x.float(), 0.1)
    np.testing.assert_allclose(got.numpy(), [1, 2.0 ** 0.1], rtol=1e-15)
    np.testing.assert_allclose(flow.ldexp(x, 0.5).numpy(), [2 ** 0.5, 2 ** 1.5], rtol=1e-6)
    assert flow.logical_and(x, 0.5).tolist() == [True, True]
    assert flow.float_power(x, 2).dtype is flow.float64


def test_ldexp_reaches_beyond_a_half_type():
    x = flow.tensor([2.0 ** -14, 1.0], dtype=flow.float16)
    got = flow.ldexp(x, flow.tensor([20, 3]))
    assert got.dtype is flow.float16 and got.float().tolist() == [64, 8]


# --- gradients at bounds, ties and NaN ------------------------------------------------------------

def test_clamp_with_tensors_keeps_the_gradient_at_its_bounds():
    x, low, high = [-2.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]
    assert grad_of(flow.clamp, x, low, high) == [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert grad_of(lambda t: flow.clip(t, 0, 1), x) == [0, 1, 1, 0]
    assert grad_of(lambda t: F.hardtanh(t, 0, 1), x) == [0, 0, 0, 0]


def test_extremes_share_ties_and_pass_nan():
    assert grad_of(flow.maximum, [1.0, 2.0, NAN], [1.0, 1.0, 0.0]) == [[0.5, 1, 1], [0.5, 0, 1]]
    assert grad_of(flow.minimum, [1.0, 2.0, NAN], [1.0, 1.0, 0.0]) == [[0.5, 0, 1], [0.5, 1, 1]]
    assert grad_of(flow.fmax, [1.0, NAN, 2.0], [1.0, 0.0, NAN]) == [[1, 0, 1], [0, 1, 0]]
    assert flow.fmin(flow.tensor([NAN, 1.0]), flow.tensor([2.0, NAN])).tolist() == [2, 1]


def test_slopes_at_zero_are_torch_s():
    zero = [0.0]
    assert grad_of(flow.abs, zero) == grad_of(flow.sinc, zero) == grad_of(flow.sgn, zero) == [0]
    assert grad_of(flow.special.i1, zero) == grad_of(flow.special.i1e, zero) == [0.5]
    assert grad_of(lambda x: flow.xlogy(x, 0), zero) == [0]
    assert grad_of(lambda x: flow.copysign(x, -1), zero) == [0]
    assert grad_of(flow.sinc, [1e-200]) == [0]
    assert flow.sign(flow.tensor([NAN, -2.0])).tolist() == [0, -1]
    for function in (F.relu6, F.hardsigmoid, F.hardswish, F.hardshrink, F.softshrink):
        assert all(math.isfinite(g) for g in grad_of(function, [0.0, 0.5, -0.5, 3.0, -3.0, 6.0]))


# --- special functions ----------------------------------------------------------------------------

def test_special_functions_at_their_edges():
    special = flow.special
    x = flow.tensor([0.0, -1.0, -2.5, INF, -INF, NAN], dtype=flow.float64)
    near = {"equal_nan": True, "rtol": 1e-12}
    for got, want in (
            (special.gammaln(x), [INF, INF, math.lgamma(-2.5), INF, INF, NAN]),
            (special.psi(x), [-INF, NAN, 1.1031566406452432, INF, NAN, NAN]),
            (special.ndtr(x), [0.5, 0.15865525393145707, 0.006209665325776132, 1, 0, NAN]),
            (special.erfcx(x), [1, 5.00898008076228346, 1035.8148429726227, 0, INF, NAN]),
            (special.i0e(x), [1, 0.46575960759364043, 0.27004644161220326, 0, 0, NAN]),
            (special.entr(x), [0, -INF, -INF, -INF, -INF, NAN]),
            (special.log_ndtr(flow.tensor([-40.0, -1e4, 10.0], dtype=flow.float64)),
             [-804.6084420137538, -50000010.12927891, -7.619853024160527e-24]),
            (special.ndtri(flow.tensor([0.0, 0.5, 1.0, 2.0], dtype=flow.float64)),
             [-INF, 0, INF, NAN]),
            (flow.erfinv(flow.tensor([1.0, -1.0, 2.0])), [INF, -INF, NAN])):
        np.testing.assert_allclose(got.numpy(), want, **near)
    # As long as for small ones.
    far = flow.tensor([-1e300, -1e15 - 0.5, 1e300], dtype=flow.float64)
    assert special.zeta(flow.full((3,), 2.0, dtype=flow.float64), far).shape == (3,)
    assert special.legendre_polynomial_p(far, 1e18).shape == (3,)
    assert special.chebyshev_polynomial_t(flow.tensor([0.5]), 3e9).isfinite().all()


def test_derivatives_that_torch_has_not_are_refused():
    a = flow.tensor([1.5], requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"\[zeta\] has no derivative by its first"):
        flow.special.zeta(a, 2.0).sum().backward()


# --- forms ----------------------------------------------------------------------------------------

def test_forms_that_write_into_their_tensor():
    for name in ("sin", "exp2", "log1p", "erf", "trunc", "fix", "reciprocal", "arctan", "deg2rad",
                 "absolute", "negative", "clip", "nan_to_num", "selu", "celu", "rrelu"):
        x = flow.tensor([0.25, 0.5])
        arguments = (0.3, 0.4) if name == "clip" else ()
        want = getattr(flow, name)(x, *arguments).tolist()
        owner = flow if hasattr(flow, name + "_") else flow.Tensor
        assert getattr(owner, name + "_")(x, *arguments) is x and x.tolist() == want, name
    x = flow.tensor([1.0, 2.0])
    assert x.lt_(1.5) is x and x.dtype is flow.float32 and x.tolist() == [1, 0]
    with pytest.raises(TypeError):
        flow.tensor([1, 2]).exp_()
    assert x.positive() is x and flow.resolve_conj(x) is x and flow.real(x) is x


def test_a_bool_is_not_subtracted():
    number, mask = flow.tensor([1.5, 2.0]), flow.tensor([True, False])
    for call in (lambda: number - mask, lambda: mask - number, lambda: mask - mask,
                 lambda: number - True, lambda: True - number, lambda: 1 - mask, lambda: mask - 1,
                 lambda: flow.sub(number, mask), lambda: flow.subtract(mask, number, alpha=2),
                 lambda: flow.rsub(number, mask), lambda: number.clone().sub_(mask)):
        with pytest.raises(RuntimeError, match="bool"):
            call()
    assert (number + mask).tolist() == [2.5, 2.0] and (number * True).tolist() == [1.5, 2.0]


def test_float_power_writes_into_no_narrower_tensor():
    wide = flow.tensor([2.0, 3.0], dtype=flow.float64)
    assert wide.float_power_(2) is wide and wide.tolist() == [4.0, 9.0]
    assert wide.float_power_(flow.tensor([0.5, 1.0])).tolist() == [2.0, 9.0]
    for dtype in (flow.float32, flow.float16, flow.int64):
        with pytest.raises(RuntimeError, match="does not fit into its tensor"):
            flow.ones(2, dtype=dtype).float_power_(2)
    with pytest.raises(RuntimeError, match="complex128"):
        wide.float_power_(flow.tensor([1j, 0]))
    assert flow.ones(2).float_power(2).dtype is flow.float64


def test_methods_begin_with_their_tensor():
    x, mask = flow.tensor([1.0, 2.0, 3.0]), flow.tensor([True, False, True])
    assert x.where(mask, flow.tensor(0.0)).tolist() == [1.0, 0.0, 3.0]
    assert x.where(mask, 7).tolist() == [1.0, 7.0, 3.0]
    assert flow.where(mask, x, 7).tolist() == [1.0, 7.0, 3.0]
    flags = flow.tensor([True, True, False])
    assert flags.where(mask, flow.tensor(False)).tolist() == [True, False, False]
    assert x.polygamma(1).tolist() == flow.polygamma(1, x).tolist()


def test_what_is_overwritten_gets_a_gradient_of_zeros():
    x = flow.tensor([1.0, 2.0], requires_grad=True)
    for filled in (flow.fill(x, 2.5), flow.fill(x, flow.tensor(2.5)),
                   flow.gather(x, 0, flow.zeros(0, dtype=flow.int64))):
        assert filled.requires_grad
        x.grad = None
        filled.sum().backward()
        assert x.grad.tolist() == [0.0, 0.0]
    assert flow.fill(flow.tensor([NAN, 1.0]), 3).tolist() == [3.0, 3.0]
    # An element that the index names twice takes the value once.
    x, value = flow.zeros(3, requires_grad=True), flow.tensor(2.0, requires_grad=True)
    y = x.index_fill(0, flow.tensor([0, 0, 1]), value)
    (y * flow.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert y.tolist() == [2.0, 2.0, 0.0] and value.grad.item() == 11.0
    assert x.grad.tolist() == [0.0, 0.0, 100.0]
    y = flow.zeros(2, dtype=flow.float64)
    assert y.copy_(1.1) is y and y.tolist() == [1.1, 1.1] and y.copy_(True).tolist() == [1.0, 1.0]
    assert flow.zeros(2, dtype=flow.int64).copy_(1.5).tolist() == [1, 1]


def test_answers_about_a_tensor():
    x = flow.tensor([1.0])
    assert flow.is_tensor(x) and not flow.is_tensor([1.0]) and flow.is_floating_point(x)
    assert flow.is_complex(x * 1j) and not x.is_complex() and x.is_signed()
    assert not flow.is_signed(x.bool()) and flow.is_nonzero(x) and not (x * 0).is_nonzero()
    assert not flow.is_conj(x) and not x.is_neg()
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        flow.is_nonzero(flow.ones(2))
    with pytest.raises(TypeError, match=r"\[is_complex\] argument 'input' must be Tensor, not int"):
        flow.is_complex(1)


def test_rrelu_draws_only_in_training():
    x = flow.tensor(-np.ones(1000, np.float32))
    assert F.rrelu(x, 0.1, 0.3).tolist() == [pytest.approx(-0.2)] * 1000
    flow.manual_seed(3)
    y = F.rrelu(x, 0.1, 0.3, training=True).numpy()
    assert y.min() >= -0.3 and y.max() <= -0.1 and y.std() > 0.05
    flow.manual_seed(3)
    np.testing.assert_array_equal(F.rrelu(x, 0.1, 0.3, True).numpy(), y)


def test_bits_do_not_depend_on_where_an_element_stands():
    """Vector forms of functions, and the rest that fills no vector."""
    x = np.linspace(0.1, 0.9, 101).astype(np.float32)
    for name in ("sin", "cos", "tan", "asin", "atan", "sinh", "log1p", "expm1", "erf", "exp2"):
        whole = getattr(flow, name)(flow.from_numpy(x)).numpy()
        for start in (1, 7, 50):
            part = getattr(flow, name)(flow.from_numpy(x[start:start + 19].copy())).numpy()
            np.testing.assert_array_equal(part, whole[start:start + 19], err_msg=name)


GLOBAL = """
import numpy as np
import oneflow_like as flow
P = flow.placement("cpu", ranks=[0, 1])
a = np.linspace(-3, 3, 35).reshape(5, 7)
x = flow.from_numpy(a)
for sbp in (flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast):
    y = x.to_global(placement=P, sbp=flow.sbp.broadcast).to_global(sbp=sbp)
    for call in (lambda t: flow.sin(t), lambda t: t // 2, lambda t: t % 2, lambda t: 7 % (t + 9),
                 lambda t: flow.clamp(t, t * 0, 1), lambda t: flow.lerp(t, t * 2, 0.25),
                 lambda t: flow.special.i0e(t), lambda t: flow.nn.functional.elu(t),
                 lambda t: flow.logical_xor(t, t > 0), lambda t: t.gt(0) & t.lt(2),
                 lambda t: flow.nn.functional.prelu(t, flow.full_like(t[:1, 0], 0.5)),
                 lambda t: flow.isclose(t, t), lambda t: flow.nn.functional.glu(t[:, :6])):
        np.testing.assert_array_equal(call(y).numpy(), call(x).numpy())
    flow.manual_seed(5)
    drawn = flow.nn.functional.rrelu(y, training=True).numpy()
    flow.manual_seed(5)
    np.testing.assert_array_equal(drawn, flow.nn.functional.rrelu(x, training=True).numpy())
print("fine")
"""


def test_global_tensors_give_what_local_ones_give(tmp_path):
    assert run_text(tmp_path, 2, GLOBAL).stdout.count("fine") == 2
