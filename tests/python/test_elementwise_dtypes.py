"""Elementwise operators in every dtype, against exact oracles: halves, narrow and large integers,
complex numbers, numbers beside tensors, views as operands."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like.testing import oracles as reference

_C = flow._C
EXACT = 2 ** 53 + 1  # the first integer that a double does not hold


def half_patterns(dtype):
    """Every number of a 16-bit type as float32, by the layout of its bits."""
    bits = np.arange(2 ** 16, dtype=np.uint32)
    if dtype is flow.float16:
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    return (bits << 16).view(np.float32)


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16], ids=lambda d: d.name)
def test_every_half_survives_the_way_through_float32(dtype):
    values = half_patterns(dtype)
    there = flow.from_numpy(values).to(dtype)
    np.testing.assert_array_equal(there.to(flow.float32).numpy(), values)
    # An operator widens and rounds in tiles; the negative is exact.
    np.testing.assert_array_equal((-there).to(flow.float32).numpy(), -values)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64"])
def test_casts_round_once(source, name):
    """Ties, and numbers beside them that a first rounding to float32 would turn into ties."""
    rng = np.random.default_rng(3)
    dtype = getattr(flow, name)
    if source.startswith("float"):
        wide = rng.standard_normal(20000) * np.exp2(rng.integers(-26, 18, 20000))
        ties = reference.to_dtype(wide, dtype).astype(np.float64) * (1 + 2.0 ** -9)
        values = np.concatenate([wide, ties, ties * (1 + 2.0 ** -40), ties * (1 - 2.0 ** -40)])
    else:
        top = 30 if source == "int32" else 62
        values = rng.integers(1, 2 ** 11, 20000) << rng.integers(0, top - 11, 20000)
        values = np.concatenate([values, values + 1, values - 1, -values])
    values = values.astype(source)
    got = flow.from_numpy(values).to(dtype).to(flow.float32).numpy()
    with np.errstate(all="ignore"):
        exact = values.astype(np.longdouble) if source == "int64" else values
        want = reference.to_dtype(exact, dtype) if source != "int64" else rounded(exact, name)
    np.testing.assert_array_equal(got, want.astype(np.float32))


def rounded(x, name):
    """As reference.to_dtype, in long double: an int64 does not fit a double."""
    layouts = {"float16": (10, -14, 65504), "bfloat16": (7, -126, 2.0 ** 127),
               "float8_e4m3fn": (3, -6, 448), "float8_e5m2": (2, -14, 57344)}
    bits, least, largest = layouts[name]
    step = np.ldexp(np.longdouble(1), np.maximum(np.frexp(x)[1] - 1, least) - bits)
    y = np.round(x / step) * step
    beyond = largest if name == "float8_e4m3fn" else np.inf
    return np.where(np.abs(y) > largest * (1.99 if name == "bfloat16" else 1),
                    np.copysign(beyond, x), y)


@pytest.mark.parametrize("source", ["float64", "float32", "float16", "bfloat16"])
def test_numbers_beyond_the_largest_of_float8(source):
    """e4m3, which has no infinity, saturates; e5m2 has one."""
    inf, nan = float("inf"), float("nan")
    numbers = [448, 465, 500, 60000, -60000, inf, -inf, nan] * 5
    x = flow.tensor(numbers, dtype=getattr(flow, source))
    for dtype, want in ((flow.float8_e4m3fn, [448, 448, 448, 448, -448, 448, -448, nan]),
                        (flow.float8_e5m2, [448, 448, 512, 57344, -57344, inf, -inf, nan])):
        np.testing.assert_array_equal(x.to(dtype).float().numpy(), np.float32(want * 5))
        made = [flow.tensor(numbers, dtype=dtype), flow.zeros(40, dtype=dtype).copy_(x)]
        made += [flow.cat([flow.full((1,), number, dtype=dtype) for number in numbers]),
                 flow.cat([flow.zeros(1, dtype=dtype).fill_(number) for number in numbers])]
        for y in made:
            np.testing.assert_array_equal(y.float().numpy(), np.float32(want * 5))
    beyond = flow.tensor([1e6, -1e6, 2 ** 40]).double()
    assert beyond.to(flow.float8_e4m3fn).float().tolist() == [448, -448, 448]
    assert beyond.long().to(flow.float8_e4m3fn).float().tolist() == [448, -448, 448]
    assert beyond.to(flow.float8_e5m2).float().tolist() == [inf, -inf, inf]


def test_tensors_of_dtypes_that_numpy_has_not():
    x = flow.tensor([1.0, 2.5, 1 + 2.0 ** -9 + 2.0 ** -40], dtype=flow.bfloat16)
    assert x.dtype is flow.bfloat16
    assert x.to(flow.float32).tolist() == [1.0, 2.5, 1.0]
    assert flow.tensor([1j]).dtype is flow.complex64
    with pytest.raises(TypeError, match="NumPy has no dtype bfloat16"):
        x.numpy()


def test_integers_beyond_doubles_stay_exact():
    x = flow.tensor([EXACT, EXACT - 1, -EXACT], dtype=flow.int64)
    values = np.array([EXACT, EXACT - 1, -EXACT])
    for got, want in ((x + 2, values + 2), (x - 2, values - 2), (x * 3, values * 3),
                      (2 - x, 2 - values), (x + EXACT, values + EXACT),
                      (x.clamp(max=EXACT - 1), np.minimum(values, EXACT - 1)),
                      (x.clamp(min=EXACT), np.maximum(values, EXACT)),
                      (flow.maximum(x, EXACT), np.maximum(values, EXACT)),
                      (x == EXACT, values == EXACT), (x < EXACT, values < EXACT),
                      (x >= EXACT, values >= EXACT), (x ** 1, values),
                      (flow.full((3,), EXACT, dtype=flow.int64), np.full(3, EXACT)),
                      (flow.where(x == EXACT, x, EXACT), np.full(3, EXACT))):
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16"])
def test_narrow_integers_wrap(name):
    edges = np.iinfo(name)
    values = np.array([edges.min, edges.max, 1, 7, 100, edges.max // 2 + 1], name)
    a, b = (x.ravel().copy() for x in np.meshgrid(values, values))
    x, y = flow.from_numpy(a), flow.from_numpy(b)
    for got, want in ((x + y, a + b), (x - y, a - b), (x * y, a * b), (-x, -a), (x * x, a * a),
                      (x.abs(), np.abs(a)), (x + 1, a + a.dtype.type(1)), (x < y, a < b),
                      (flow.maximum(x, y), np.maximum(a, b)), (x ** 3, a ** 3)):
        assert got.dtype.name == np.asarray(want).dtype.name
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32", "int64"])
def test_functions_of_floats_promote_integers(name):
    x = flow.tensor([1, 2, 3], dtype=getattr(flow, name))
    for function in (flow.exp, flow.log, flow.sqrt, flow.rsqrt, flow.sigmoid, flow.tanh):
        got = function(x)
        assert got.dtype is flow.float32
        np.testing.assert_allclose(got.numpy(), function(x.to(flow.float32)).numpy())
    assert (x / x).dtype is flow.float32 and (x / 2).dtype is flow.float32


def test_clamp_takes_numbers_exactly_and_promotes():
    x = np.array([-3, 0, 5], np.int64)
    t = flow.from_numpy(x)
    np.testing.assert_array_equal(t.clamp(-1, 2).numpy(), x.clip(-1, 2))
    got = t.clamp(min=0.5)
    assert got.dtype is flow.float32
    np.testing.assert_array_equal(got.numpy(), np.float32([0.5, 0.5, 5]))
    # Where the bounds cross, the upper one.
    np.testing.assert_array_equal(t.clamp(4, 1).numpy(), [1, 1, 1])
    small = flow.tensor([-100, 100], dtype=flow.int8)
    np.testing.assert_array_equal(small.clamp(max=1000).numpy(), [-100, 100])
    np.testing.assert_array_equal(small.clamp(min=flow.tensor([0, 0], dtype=flow.int8)).numpy(),
                                  [0, 100])
    with pytest.raises(ValueError, match="neither min nor max"):
        t.clamp()
    with pytest.raises(TypeError, match="no order"):
        flow.zeros(2, dtype=flow.complex64).clamp(min=0)
    nan = flow.tensor([float("nan"), 3.0])
    assert np.isnan(nan.clamp(0, 1).numpy()[0])
    assert np.isnan(nan.clamp(max=float("nan")).numpy()).all()


def test_clamp_passes_gradients_inside_its_bounds():
    x = flow.tensor([-2.0, -1.0, 0.5, 1.0, 2.0], requires_grad=True)
    x.clamp(-1, 1).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.float32([0, 1, 1, 1, 0]))


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "maximum", "minimum", "relu", "sign"])
def test_what_needs_an_order_refuses_complex_numbers(name):
    x = flow.zeros(2, dtype=flow.complex64)
    operands = [x] * len(reference.SCHEMAS[name]["inputs"])
    with pytest.raises(TypeError, match=rf"\[{name}\] complex64 is not real and has no order"):
        _C.call_op(name, operands, {})


def test_complex_numbers():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(40) + 1j * rng.standard_normal(40) for _ in range(2))
    x, y = flow.from_numpy(a), flow.from_numpy(b)
    for got, want in ((x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (-x, -a),
                      (x.abs(), np.abs(a)), (x.conj(), a.conj()), (x.exp(), np.exp(a)),
                      (x.log(), np.log(a)), (x.sqrt(), np.sqrt(a)), (x.tanh(), np.tanh(a)),
                      (x * 2, a * 2), (x == x, a == a), (x != y, a != b), (x ** 2, a ** 2),
                      (_C.real(x), a.real), (_C.imag(x), a.imag)):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


def views(shape, dtype):
    """Views of one shape over memory of their own, with the values they hold."""
    rng = np.random.default_rng(1)
    rows, columns = shape
    wide = rng.integers(-9, 9, (2 * rows, 2 * columns)).astype(dtype)
    yield flow.from_numpy(wide[::2, ::2].copy()), wide[::2, ::2]
    yield flow.from_numpy(wide.copy())[::2, ::2], wide[::2, ::2]
    turned = wide[:columns, :rows].copy()
    yield flow.from_numpy(turned).transpose(0, 1), turned.T
    line = wide[0, :columns].copy()
    yield flow.from_numpy(line).expand(rows, columns), np.broadcast_to(line, shape)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64", "complex64"])
def test_views_are_operands_as_they_are(dtype):
    shape = (37, 41)
    for x, a in views(shape, dtype):
        np.testing.assert_array_equal((-x).numpy(), -a)
        np.testing.assert_array_equal((x * 2).numpy(), a * a.dtype.type(2))
        for y, b in views(shape, dtype):
            np.testing.assert_array_equal((x + y).numpy(), a + b)
            np.testing.assert_array_equal((x == y).numpy(), a == b)


@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("name, expected", [
    ("uint8", [248, 0, 44, 127, 0, 0, 0]), ("int8", [-8, 0, 44, 127, 0, 0, 0]),
    ("int16", [-8, 256, 300, -129, 0, 0, 0]),
    ("int32", [-8, 256, 300, -129] + 3 * [-2 ** 31]),
    ("int64", [-8, 256, 300, -129] + 3 * [-2 ** 63])])
def test_floats_that_an_integer_dtype_cannot_hold_become_what_torch_makes_of_them(source, name,
                                                                                  expected):
    values = [-8.5, 256, 300, -129, float("nan"), float("inf"), float("-inf")]
    x = flow.tensor(values, dtype=flow.float64).to(getattr(flow, source))
    for repeats in (1, 40):  # by the element, and by vectors
        got = x.repeat(repeats).to(getattr(flow, name)).tolist()
        assert got == expected * repeats
