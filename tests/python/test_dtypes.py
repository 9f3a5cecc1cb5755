"""Limits of dtypes, the dtype in which operands meet, and the default one."""

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import _C, nn
from oneflow_like.testing import oracles
from oneflow_like.testing.samples import array, call_on, draw, tensors


def test_limits_are_numpy_s():
    for name in ("float16", "float32", "float64"):
        ours, theirs = flow.finfo(getattr(flow, name)), np.finfo(name)
        for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal"):
            assert getattr(ours, field) == getattr(theirs, field), (name, field)
        assert ours.dtype == name and ours.resolution == float(f"{theirs.resolution:.0e}")
    for name in ("int8", "uint8", "int16", "int32", "int64"):
        ours, theirs = flow.iinfo(getattr(flow, name)), np.iinfo(name)
        assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)
    half = flow.finfo(flow.bfloat16)
    assert (half.eps, half.tiny, half.resolution) == (2.0 ** -7, 2.0 ** -126, 0.01)
    assert half.max == flow.tensor([half.max], dtype=flow.bfloat16).item() < float("inf")
    assert flow.finfo(flow.complex64) == flow.finfo(flow.float32) == flow.finfo()
    assert repr(flow.iinfo(flow.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    assert repr(flow.finfo(flow.float16)) == (
        "finfo(resolution=0.001, min=-65504, max=65504, eps=0.000976562, "
        "smallest_normal=6.10352e-05, tiny=6.10352e-05, dtype=float16)")
    for wrong in (lambda: flow.finfo(flow.int32), lambda: flow.iinfo(flow.float32),
                  lambda: flow.iinfo(flow.bool), lambda: flow.finfo(3), lambda: flow.finfo("a")):
        with pytest.raises(TypeError, match=r"\[[fi]info\]|dtype"):
            wrong()


def test_where_operands_meet():
    f, i = flow.ones(2), flow.ones(2, dtype=flow.int64)
    for operands, dtype in (((f, i), "float32"), ((i, 2.5), "float32"), ((2, f), "float32"),
                            ((2, 3.5), "float32"), ((True, 2), "int64"), ((i, 2j), "complex64"),
                            ((i, flow.tensor(2.0)), "float32"), ((np.float32(2), i), "float32"),
                            ((f, flow.tensor(1j, dtype=flow.complex128)), "complex64")):
        assert flow.result_type(*operands) is getattr(flow, dtype)
    assert flow.result_type(tensor=f, other=i) is flow.result_type(scalar=2, tensor=f)
    assert (f * flow.tensor(1j, dtype=flow.complex128)).dtype is flow.complex64
    assert flow.promote_types(flow.float16, flow.bfloat16) is flow.float32
    assert flow.promote_types(int, flow.int8) is flow.int64
    assert flow.can_cast(flow.int64, flow.float16) and not flow.can_cast(flow.int8, flow.bool)
    assert flow.float64.to_complex() is flow.complex128 and flow.complex64.to_real() is flow.float32
    assert flow.complex64.is_complex and flow.int8.is_signed and not flow.uint8.is_signed
    for wrong in (lambda: flow.result_type("a", f), lambda: flow.result_type(f),
                  lambda: flow.promote_types(flow.float8_e5m2, flow.float32),
                  lambda: flow.can_cast(3, flow.int8)):
        with pytest.raises(TypeError):
            wrong()


@pytest.fixture
def double():
    flow.set_default_dtype(flow.float64)
    yield
    flow.set_default_dtype(flow.float32)


def test_the_default_dtype_is_that_of_numbers_alone(double):
    assert flow.get_default_dtype() is flow.float64
    i, f = flow.ones(2, dtype=flow.int64), flow.ones(2, dtype=flow.float32)
    wide = [flow.ones(2), flow.tensor(1.5), flow.full((2,), 1.5), flow.arange(2.0), flow.eye(2),
            flow.linspace(0, 1, 3), flow.rand(2), flow.randn(2), flow.empty(1),
            flow.scalar_tensor(2), flow.hann_window(3), flow.tensor([1, 2.5]), i * 2.5, i / 2,
            flow.sqrt(i), 2.0 ** i,
            flow.where(i > 0, 1.5, 2.0), flow.where(i > 0, i, 2.0), i.clamp(1.5), i.atan2(i),
            nn.init.uniform_(flow.empty(2)), flow.asarray([1.5]), flow.empty_strided((1,), (1,))]
    assert all(x.dtype is flow.float64 for x in wide), [x.dtype for x in wide]
    assert flow.tensor(1j).dtype is (i * 2j).dtype is flow.full((1,), 1j).dtype is flow.complex128
    narrow = [f * 2.5, f.exp(), i.float(), flow.zeros_like(f), flow.tensor(np.float32(2)), f * f,
              flow.tensor(2.0, dtype=flow.float32), i + flow.tensor(1, dtype=flow.float32)]
    assert all(x.dtype is flow.float32 for x in narrow), [x.dtype for x in narrow]
    assert flow.arange(3).dtype is flow.full((1,), 2).dtype is flow.tensor([2]).dtype is flow.int64


def test_only_floating_dtypes_are_a_default():
    for wrong in (flow.int64, flow.complex64, flow.float8_e5m2, 3, "float64"):
        with pytest.raises(TypeError):
            flow.set_default_dtype(wrong)
    assert flow.get_default_dtype() is flow.float32


def test_a_graph_of_another_default_dtype_is_traced_anew():
    class Graph(nn.Graph):
        def build(self, x):
            return x * 2.5 + flow.ones(2)

    graph, x = Graph(), flow.ones(2, dtype=flow.int64)
    assert graph(x).dtype is flow.float32
    flow.set_default_dtype(flow.float64)
    try:
        assert graph(x).dtype is flow.float64
    finally:
        flow.set_default_dtype(flow.float32)
    assert graph(x).dtype is flow.float32

    class Sets(nn.Graph):
        def build(self, x):
            flow.set_default_dtype(flow.float64)
            return x * 2

    with pytest.raises(RuntimeError, match="inside build"):
        Sets()(x)


# --- bytes of a bool ----------------------------------------------------------------------------

WITH_BOOL = [(name, index) for name in sorted(_C.op_names()) for index, sample in
             enumerate(_C.op_samples(name))
             if any(d == flow.bool for d, _ in sample["inputs"]) and not name.startswith("view_")
             and not oracles.is_update(name)]


def bytes_that_are_true(x):
    """The same truths as a tensor of bool, of other bytes than 0 and 1."""
    byte = flow.tensor([2 + 2 * (i % 100) for i in range(x.numel())], dtype=flow.uint8)
    return (x.view(flow.uint8) * byte.view(x.shape)).view(flow.bool)


@pytest.mark.parametrize(("name", "index"), WITH_BOOL)
def test_every_byte_but_zero_is_true(name, index):
    sample = _C.op_samples(name)[index]
    dtypes = [d for d, _ in sample["inputs"]]
    plain = tensors(draw(sample["inputs"], sample["low"], sample["high"], 0, sample["note"],
                         sample["ranges"]), dtypes)
    other = [bytes_that_are_true(x) if d == flow.bool else x
             for x, d in zip(plain, dtypes, strict=True)]
    results = []
    for inputs in (plain, other):
        flow.manual_seed(0)
        results.append([array(y.view(flow.uint8) != 0 if y.dtype == flow.bool else y)
                        for y in call_on(name, inputs, sample["attrs"])])
    for got, want in zip(results[1], results[0], strict=True):
        np.testing.assert_array_equal(got, want)
