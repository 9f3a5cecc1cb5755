"""Products, attention and sources in every dtype, from Python."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import _C, nn


def dtype(name):
    return getattr(_C, name)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32", "int64"])
def test_integer_products_wrap(name):
    rng = np.random.default_rng(3)
    a = rng.integers(0, 100, (7, 40)).astype(name)
    b = rng.integers(0, 100, (40, 300)).astype(name)
    got = (flow.tensor(a) @ flow.tensor(b)).numpy()
    np.testing.assert_array_equal(got, (a.astype(np.int64) @ b.astype(np.int64)).astype(name))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_products_round_once(name):
    """A sum that a half type could not hold on its way comes out right."""
    ones = flow.ones(1, 4096).to(dtype(name))
    assert (ones @ ones.transpose(0, 1)).to(flow.float32).item() == 4096.0
    got = nn.functional.linear(ones, ones, flow.ones(1).to(dtype(name)))
    want = flow.tensor([[4097.0]]).to(dtype(name))
    assert got.to(flow.float32).item() == want.to(flow.float32).item()


def test_products_refuse_what_holds_no_numbers():
    x = flow.ones(2, 2).to(flow.bool)
    with pytest.raises(TypeError, match=r"\[matmul\].*numbers to multiply.*not bool"):
        x @ x


def test_attention_takes_every_scale():
    rng = np.random.default_rng(4)
    q, k, v = (rng.standard_normal((1, 2, 3, 4)).astype(np.float32) for _ in range(3))
    tensors = [flow.tensor(x) for x in (q, k, v)]
    attend = nn.functional.scaled_dot_product_attention
    flat = attend(*tensors, scale=0.0)
    mean = np.broadcast_to(v.mean(axis=2, keepdims=True), v.shape)
    np.testing.assert_allclose(flat.numpy(), mean, rtol=1e-5)
    np.testing.assert_array_equal(attend(*tensors).numpy(), attend(*tensors, scale=0.5).numpy())
    np.testing.assert_array_equal(attend(*tensors, scale=None).numpy(), attend(*tensors).numpy())


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_attention_of_half_types(name):
    rng = np.random.default_rng(5)
    halves = [flow.tensor(rng.standard_normal((2, 2, 5, 4)).astype(np.float32)).to(dtype(name))
              for _ in range(3)]
    for x in halves:
        x.requires_grad = True
    wide = [x.detach().to(flow.float32) for x in halves]
    for x in wide:
        x.requires_grad = True
    attend = nn.functional.scaled_dot_product_attention
    got, want = attend(*halves, is_causal=True), attend(*wide, is_causal=True)
    assert got.dtype is dtype(name)
    unit = {"float16": 2.0 ** -10, "bfloat16": 2.0 ** -7}[name]
    np.testing.assert_allclose(got.detach().to(flow.float32).numpy(), want.detach().numpy(),
                               rtol=unit, atol=1e-6)
    got.to(flow.float32).sum().backward()
    want.sum().backward()
    for x, w in zip(halves, wide, strict=True):
        np.testing.assert_allclose(x.grad.to(flow.float32).numpy(), w.grad.numpy(), rtol=4 * unit,
                                   atol=4 * unit)


def test_sources_keep_exact_numbers():
    large = 2 ** 53 + 1
    for value, want in ((large, flow.int64), (True, flow.bool), (0.5, flow.float32),
                        (1 + 2j, flow.complex64)):
        made = flow.full((2,), value)
        assert made.dtype is want and made.numpy().tolist() == [value, value]
    assert flow.arange(large, large + 3).tolist() == [large, large + 1, large + 2]
    assert flow.arange(0, 3, dtype=flow.complex64).numpy().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="int8 cannot hold"):
        _C.arange(end=200, dtype=flow.int8)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_draws_are_the_rounded_float_draws(name):
    for draw in ({}, {"low": -3.0, "high": 5.0}):
        flow.manual_seed(11)
        half = _C.uniform((4096,), dtype=dtype(name), **draw).to(flow.float32).numpy()
        flow.manual_seed(11)
        wide = _C.uniform((4096,), **draw)
        rounded = wide.to(dtype(name)).to(flow.float32).numpy()
        high = draw.get("high", 1.0)
        inside = rounded < high  # the bound itself is outside
        np.testing.assert_array_equal(half[inside], rounded[inside])
        assert half.min() >= draw.get("low", 0.0) and half.max() < high
    flow.manual_seed(12)
    half = _C.normal((999,), dtype=dtype(name)).to(flow.float32).numpy()
    flow.manual_seed(12)
    np.testing.assert_array_equal(
        half, _C.normal((999,)).to(dtype(name)).to(flow.float32).numpy())


@pytest.mark.parametrize("name", ["int32", "int16", "int8", "uint8"])
def test_randint_draws_the_same_numbers_in_every_dtype(name):
    flow.manual_seed(13)
    want = _C.random_int((500,), low=3, high=100).numpy()
    flow.manual_seed(13)
    got = _C.random_int((500,), low=3, high=100, dtype=dtype(name)).numpy()
    assert got.dtype.name == name
    np.testing.assert_array_equal(got, want.astype(name))


def test_a_factor_of_zero_silences_nan_where_torch_leaves_the_product_to_blas():
    nan, one = flow.full((1, 1), float("nan")), flow.ones(1, 1)
    assert flow.addmm(one, nan, one, alpha=0).tolist() == [[1.0]]
    assert flow.addmv(one[0], nan, one[0], alpha=0).tolist() == [1.0]
    assert flow.addmm(nan, one, one, beta=0).tolist() == [[1.0]]
    assert flow.addr(nan, one[0], one[0], beta=0).tolist() == [[1.0]]
    assert flow.addr(one, nan[0], one[0], alpha=0).isnan().all()
    assert flow.baddbmm(one[None], nan[None], one[None], alpha=0).isnan().all()
