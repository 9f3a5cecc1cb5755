"""Every operator of the registry against NumPy, on the registry's own samples."""

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like.testing import checks
from oneflow_like.testing import oracles as reference
from oneflow_like.testing.samples import call, compare, expected, tensors

_C = flow._C
NAMES = sorted(_C.op_names())


def test_every_operator_has_an_oracle():
    assert [name for name in NAMES if not reference.SCHEMAS[name]["oracle"]] == []
    assert set(reference.EXACT) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_has_samples(name):
    assert _C.op_samples(name)


@pytest.mark.parametrize(("check", "name", "index"), [
    pytest.param(check, *case, id=f"{check.__name__}-{case[0]}-{case[1]}")
    for check in checks.CHECKS for case in checks.cases(check)])
def test_operator(check, name, index):
    """What oneflow-like-verify tries on one process."""
    check(name, index)


def test_calls_by_name_say_what_is_wrong():
    x = flow.zeros(2)
    with pytest.raises(RuntimeError, match="addd"):
        _C.call_op("addd", [x, x], {})
    with pytest.raises(TypeError, match="no tensor: got float"):
        _C.call_op("add", [x, 1.0], {})
    with pytest.raises(TypeError, match="'scalar'"):
        _C.call_op("add_scalar", [x], {"scalar": object()})
    with pytest.raises(ValueError, match="no attribute is named 'alpha'"):
        _C.call_op("add", [x, x], {"alpha": 2.0})


OUTSIDE = [
    ("embedding", [np.zeros((3, 2), np.float32)], [3, -1], {}),
    ("embedding_grad", [np.zeros((1, 2), np.float32)], [3], {"num_embeddings": 3}),
    ("index_select", [np.zeros((3, 2), np.float32)], [3], {"dim": 0}),
    ("index_select_grad", [np.zeros((1, 2), np.float32)], [-1], {"dim": 0, "size": 3}),
    ("gather", [np.zeros(3, np.float32)], [3], {"dim": 0}),
    ("gather_grad", [np.zeros(1, np.float32)], [3], {"dim": 0, "size": 3}),
    ("one_hot", [], [3], {"num_classes": 3}),
    ("cross_entropy_rows", [np.zeros((1, 3), np.float32)], [3], {}),
]


@pytest.mark.parametrize(("name", "first", "index", "attrs"), OUTSIDE)
def test_indices_outside_are_refused(name, first, index, attrs):
    with pytest.raises(IndexError, match=rf"\[{name}\].*got {index[0]} at position 0"):
        _C.call_op(name, tensors([*first, np.array(index, np.int64)]), attrs)


# --- NaN, infinities, signed zeros ------------------------------------------------------------

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 3.4e38, -3.4e38, 1.2e-38,
                    88.7, 89.5, -87.0, -120.0, 20.0, -20.0, 1e20, -1e20, 1e-20], np.float32)
UNARY = ["neg", "exp", "log", "sqrt", "rsqrt", "square", "abs", "sign", "tanh", "sigmoid", "relu",
         "gelu", "identity"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"]
SIGNED_ZEROS = {"neg", "sqrt", "abs", "tanh", "identity", "mul", "div", "add", "sub"}


def check_special(name, arrays, attrs):
    for dtype in (np.float32, np.float64):
        typed = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        (got,) = call(name, typed, attrs)
        (want,) = expected(name, typed, attrs)
        compare(got, want, name in reference.EXACT, rtol=2e-6, atol=2e-7)
        if name in SIGNED_ZEROS:
            zero = want == 0
            np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("name", UNARY)
def test_special_values_of_one_operand(name):
    check_special(name, [SPECIAL], {})
    # Longer than a vector register, so that the vector code and its rest both see each value.
    check_special(name, [np.tile(SPECIAL, 7)[:133]], {})


@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two_operands(name):
    a, b = (x.ravel().copy() for x in np.meshgrid(SPECIAL, SPECIAL))
    check_special(name, [a, b], {})
    check_special(name, [SPECIAL[:, None].copy(), SPECIAL], {})


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_nan_compares_unequal_through_python(name):
    nan = flow.tensor([float("nan")])
    assert getattr(nan, name)(nan).item() is (name == "ne")


def test_where_takes_special_values_as_they_are():
    mask = np.arange(SPECIAL.size) % 2 == 0
    check_special("where", [mask, SPECIAL, np.zeros_like(SPECIAL)], {})
    check_special("where", [mask, np.zeros_like(SPECIAL), SPECIAL], {})


def test_where_promotes_its_operands_but_not_its_condition():
    mask, x, whole = flow.tensor([True, False]), flow.tensor([1.5, 2.5]), flow.tensor([7, 8])
    for name, got in (("same", flow.where(mask, x, x * 2)), ("mixed", flow.where(mask, x, whole)),
                      ("number", flow.where(mask, x, 0))):
        assert got.dtype is flow.float32, name
    np.testing.assert_array_equal(flow.where(mask, x, whole).numpy(), np.float32([1.5, 8]))
    with pytest.raises(TypeError, match="the condition is not bool"):
        flow.where(whole, x, x)


@pytest.mark.parametrize("value", [2.0, -3.0, float("inf"), float("-inf"), float("nan"), 0.0, -0.0])
@pytest.mark.parametrize("name", ["add_scalar", "mul_scalar", "rsub_scalar", "div_scalar",
                                  "rdiv_scalar", "pow_scalar"])
def test_special_values_beside_a_number(name, value):
    check_special(name, [SPECIAL], {"scalar": value})


def test_powers_of_special_values():
    bases = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan], np.float32)
    a, b = (x.ravel().copy() for x in np.meshgrid(bases, bases))
    check_special("pow", [a, b], {})


def test_gelu_gradient_ends_in_0_and_1():
    """Limits, where the formula alone would multiply zero by infinity."""
    x = np.array([1e20, 3e38, -1e20, -3e38, 30.0, -30.0, np.inf, -np.inf], np.float32)
    want = (x > 0).astype(np.float32)
    for form in ("none", "tanh"):
        (got,) = call("gelu_grad", [np.ones_like(x), x], {"approximate": form})
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-36, err_msg=form)
        (got,) = call("gelu_grad", [np.ones(1, np.float32), np.float32([np.nan])],
                      {"approximate": form})
        assert np.isnan(got[0])


def test_relu_gradient_keeps_nan():
    nan, one = np.float32([np.nan]), np.float32([1])
    assert np.isnan(call("relu_grad", [nan, one], {})[0][0])
    assert call("relu_grad", [one, nan], {})[0][0] == 1  # as torch's threshold_backward


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_special_rows(name, axis):
    inf, nan = np.inf, np.nan
    rows = np.array([[0, -inf, 1, -inf], [-inf, -inf, -inf, -inf], [inf, 0, 1, 2],
                     [nan, 0, 1, 2], [1e4, -1e4, 0, 1e4], [-1e30, -1e30, -inf, -1e30]], np.float32)
    x = np.ascontiguousarray(rows if axis == 1 else rows.T)
    for dtype in (np.float32, np.float64):
        (got,) = call(name, [x.astype(dtype)], {"dim": axis})
        (want,) = expected(name, [x.astype(dtype)], {"dim": axis})
        compare(got, want, False, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("axis", [0, 1])
def test_log_softmax_of_large_logits_keeps_small_differences(axis):
    """max + log(sum) rounds to max here; subtracted one after the other they do not."""
    rows = np.float32([[1e8, 1e8, 1e8, 1e8], [-1e8, -1e8, -2e8, -1e8]])
    x = np.ascontiguousarray(rows if axis == 1 else rows.T)
    (got,) = call("log_softmax", [x], {"dim": axis})
    (want,) = expected("log_softmax", [x], {"dim": axis})
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 3, 40, 200])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin", "sum", "mean"])
def test_reductions_see_nan_wherever_it_stands(name, axis, length):
    rng = np.random.default_rng(length)
    for at in {0, length // 2, length - 1}:
        x = rng.standard_normal((length, 3)).astype(np.float32)
        x[at, 1] = np.nan
        x[0, 2] = -np.inf
        x = np.ascontiguousarray(x if axis == 0 else x.T)
        attrs = {"dim": [axis]}
        compare(*call(name, [x], attrs), *expected(name, [x], attrs), name in reference.EXACT)


def test_extremes_of_infinities_alone():
    x = np.full((2, 50), -np.inf, np.float32)
    for sign in (1, -1):
        for name in ("amax", "amin", "argmax", "argmin"):
            attrs = {"dim": [1]}
            compare(*call(name, [sign * x], attrs), *expected(name, [sign * x], attrs), True)


def test_means_of_nothing_are_nan():
    (got,) = call("mean", [np.zeros((0, 3), np.float32)], {"dim": [0]})
    assert got.shape == (3,) and np.isnan(got).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float32", "float64"])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_casts_of_special_values(source, dtype):
    values = np.concatenate([SPECIAL, np.float32([2.5, -2.5, 127.5, 128.5, 255.5, 256.0, 2 ** 31,
                                                  -2.0 ** 31, 2.0 ** 63, -2.0 ** 63])])
    values = values.astype(source)
    (got,) = call("cast", [values], {"dtype": getattr(flow, dtype)})
    (want,) = expected("cast", [values], {"dtype": getattr(flow, dtype)})
    compare(got, want, True)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_integers_wrap_around(name, dtype):
    edges = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, -1, 1, 7], dtype)
    a, b = (x.ravel().copy() for x in np.meshgrid(edges, edges))
    compare(*call(name, [a, b], {}), *expected(name, [a, b], {}), True)


@pytest.mark.parametrize("name", ["add_scalar", "mul_scalar", "rsub_scalar"])
def test_a_number_that_int32_cannot_hold_is_refused(name):
    x = np.array([1], np.int32)
    with pytest.raises(ValueError, match=r"int32 cannot hold the number.*scalar=2\.?\d*e?"):
        call(name, [x], {"scalar": 2.0 ** 31})
    assert call("add_scalar", [x], {"scalar": -2.0 ** 31})[0][0] == -(2 ** 31) + 1


# --- updates ----------------------------------------------------------------------------------

def update_cases():
    """Operator, attributes, hyper-parameters, tensors of one shape, whether it counts steps."""
    yield "sgd_update", {"maximize": True}, [0.1, 0.2], 2, False
    for nesterov in (True, False):
        yield "sgd_momentum_update", {"nesterov": nesterov}, [0.1, 0.0, 0.9, 0.0], 3, False
    yield "sgd_momentum_update", {"maximize": True}, [0.1, 0.0, 0.8, 0.5], 3, True
    for name in ("adam_update", "adamw_update"):
        yield name, {"maximize": True}, [0.1, 0.3, 0.9, 0.999, 1e-8], 4, True
        yield name, {}, [0.1, 0.01, 0.0, 0.5, 1e-3], 4, True


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "attrs", "hyper", "same", "counts"), list(update_cases()))
def test_updates_over_steps(name, attrs, hyper, same, counts, dtype):
    """State starts at zero and goes from step to step, as an optimizer drives it."""
    rng = np.random.default_rng(5)
    got = [rng.standard_normal(37).astype(dtype)] + [np.zeros(37, dtype) for _ in range(same - 2)]
    want = [x.copy() for x in got]
    for step in range(1, 5):
        rest = [rng.standard_normal(37).astype(dtype), np.array(hyper)]
        rest += [np.asarray(np.float32(step))] if counts else []
        got = call(name, [*got, *rest], attrs)[:same - 1]
        want = expected(name, [*want, *rest], attrs)[:same - 1]
    for g, w in zip(got, want, strict=True):
        compare(g, w, False)


@pytest.mark.parametrize(("hyper", "words"), [
    ([0.1, 0.0, 0.9, 1.0, 1e-8], "betas must lie in"),
    ([0.1, 0.0, -0.1, 0.9, 1e-8], "betas must lie in"),
    ([np.nan, 0.0, 0.9, 0.9, 1e-8], "expected a finite one")])
def test_hyper_parameters_that_no_update_has_are_refused(hyper, words):
    arrays = [np.zeros(3, np.float32) for _ in range(4)]
    with pytest.raises(ValueError, match=words):
        call("adamw_update", [*arrays, np.array(hyper), np.asarray(np.float32(1))], {})


# --- random -----------------------------------------------------------------------------------

def test_philox_gives_the_published_words():
    """The vectors of Random123 for philox4x32-10; counter and key words low first."""
    def words(counter, key):
        low, high = (counter[i] | counter[i + 1] << 32 for i in (0, 2))
        block = reference.philox(key[0] | key[1] << 32, high, np.array([low], np.uint64))
        return [int(w) for w in block[0]]

    assert words([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert words([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [
        0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


MOMENTS = [
    ("random_normal", {"mean": 1.0, "std": 2.0}, 1.0, 2.0),
    ("random_uniform", {"low": -1.0, "high": 3.0}, 1.0, 4 / 12 ** 0.5),
    ("random_int", {"low": -5, "high": 6}, 0.0, 10 ** 0.5),
    ("random_bernoulli", {"p": 0.3}, 0.3, 0.21 ** 0.5),
]


@pytest.mark.parametrize(("name", "attrs", "mean", "deviation"), MOMENTS)
def test_random_values_have_their_moments(name, attrs, mean, deviation):
    count = 200_000
    attrs = {**attrs, "shape": [count], "draw": [11, 4]}
    (first,) = call(name, [], attrs)
    np.testing.assert_array_equal(first, call(name, [], attrs)[0])
    x = first.astype(np.float64)
    assert abs(x.mean() - mean) < 5 * deviation / count ** 0.5
    assert abs(x.std() - deviation) < 0.01 * deviation
    # Neighbours are not correlated, nor are the streams of other seeds and offsets.
    for other in (np.roll(x, 1), call(name, [], {**attrs, "draw": [12, 4]})[0],
                  call(name, [], {**attrs, "draw": [11, 5]})[0]):
        assert abs(np.corrcoef(x, other)[0, 1]) < 5 / count ** 0.5


def test_uniform_values_stay_below_the_upper_bound():
    """Near 1000 a float has steps of 6e-5: the largest draws would round to the bound itself."""
    attrs = {"low": 1000.0, "high": 1001.0, "shape": [400_000], "draw": [3, 0]}
    (x,) = call("random_uniform", [], attrs)
    assert x.min() >= 1000 and x.max() < 1001


LAYOUTS = """
import itertools
import numpy as np
import oneflow_like as flow
C = flow._C
P = flow.placement("cpu", ranks=[0, 1])
SPLITS = [flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1)]
SOURCES = [(flow._C.normal, {"mean": 1.0}), (flow._C.uniform, {"low": -1.0, "high": 2.0}),
           (flow._C.random_int, {"high": 10}), (flow._C.random_bernoulli, {"p": 0.3})]
for (source, attrs), shape in itertools.product(SOURCES, [(5, 3), (1, 4), (6, 7)]):
    values = []
    for sbp in SPLITS:
        flow.manual_seed(7)
        values.append(source(shape, placement=P, sbp=sbp, **attrs).numpy())
    for value, sbp in zip(values, SPLITS):
        np.testing.assert_array_equal(value, values[0], err_msg=f"{source} {shape} {sbp}")
x = flow.arange(1, 36).reshape(5, 7).to(flow.float32)
whole = C.call_op("dropout", [x], {"p": 0.4, "draw": [5, 2]})[0].numpy()
assert 0 < (whole == 0).sum() < 35
y = x.to_global(placement=P, sbp=flow.sbp.broadcast)
for sbp in SPLITS:
    got = C.call_op("dropout", [y.to_global(sbp=sbp)],
                  {"p": 0.4, "draw": [5, 2]})[0]
    np.testing.assert_array_equal(got.numpy(), whole, err_msg=str(sbp))
print("fine")
"""


def test_random_values_do_not_depend_on_the_layout(tmp_path):
    assert run_text(tmp_path, 2, LAYOUTS).stdout.count("fine") == 2
