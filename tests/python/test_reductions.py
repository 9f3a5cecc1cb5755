"""Reductions and losses beyond the generic tests: dtypes, strides, ties, weights, layouts."""

import textwrap

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow

WHOLE = ("int8", "uint8", "int16", "int32", "int64", "bool")


@pytest.mark.parametrize("dtype", WHOLE)
def test_integers_and_bool_add_up_in_int64(dtype):
    values = np.ones(1000, dtype)
    total = flow.from_numpy(values).sum()
    assert total.dtype is flow.int64 and total.item() == 1000
    with pytest.raises(TypeError, match=r"\[mean\].*not a floating dtype"):
        flow.from_numpy(values).mean()


def test_sums_of_integers_are_exact():
    assert flow.tensor([2 ** 53, 1, 2 ** 53]).sum().item() == 2 ** 54 + 1
    assert flow.tensor([2 ** 31 - 1] * 2, dtype=flow.int32).sum().item() == 2 ** 32 - 2


@pytest.mark.parametrize("dtype", WHOLE)
def test_extremes_keep_their_dtype(dtype):
    values = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    x = flow.from_numpy(values)
    assert flow.amax(x, 1).dtype is x.dtype and flow.amax(x, 1).tolist() == values.max(1).tolist()
    assert flow.amin(x, 0).tolist() == values.min(0).tolist()


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16])
def test_half_types_add_up_wide_and_round_once(dtype):
    x = flow.ones(70, 100).to(dtype) * 100
    assert x.sum().item() == float("inf" if dtype is flow.float16 else 700416)  # of 700000
    assert x.mean().item() == 100
    assert x.mean(0).to(flow.float32).tolist() == [100] * 100
    # In the half type itself the sum would stay at 256 or 2048.
    assert flow.ones(3000).to(dtype).sum().item() == (3000 if dtype is flow.float16 else 3008)


@pytest.mark.parametrize("dtype", [flow.float32, flow.float16, flow.int16])
@pytest.mark.parametrize("dim", [0, 1, (0, 1), (0, 2), None])
def test_strided_inputs_give_the_bits_of_dense_ones(dtype, dim):
    rng = np.random.default_rng(0)
    values = rng.uniform(-100, 100, (40, 70, 33)).astype(np.float32)
    x = flow.from_numpy(values).to(dtype)
    for view in (x.permute(2, 0, 1), x[::2, ::3], x.transpose(0, 1)[5:]):
        dense = flow.from_numpy(np.ascontiguousarray(view.to(flow.float32).numpy())).to(dtype)
        for name in ("sum", "amax", "amin"):
            got, want = getattr(view, name)(dim), getattr(dense, name)(dim)
            np.testing.assert_array_equal(got.to(flow.float64).numpy(),
                                          want.to(flow.float64).numpy(), err_msg=name)
        if not isinstance(dim, tuple):
            assert view.argmax(dim).tolist() == dense.argmax(dim).tolist()
            assert view.argmin(dim).tolist() == dense.argmin(dim).tolist()


def test_equal_extremes_share_the_gradient():
    x = flow.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    flow.amax(x, 1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-6)


def test_narrow_integers_on_shards(tmp_path):
    """An empty shard has the extreme that any other beats, in its own dtype."""
    run_text(tmp_path, 2, textwrap.dedent("""
        import numpy as np
        import oneflow_like as flow

        P = flow.placement.all("cpu")
        split = {"placement": P, "sbp": flow.sbp.split(0)}
        for dtype in ("int8", "uint8", "int16", "bool", "float16"):
            for rows in (1, 2, 5):
                values = np.arange(rows * 3).reshape(rows, 3) % 2 + (0 if dtype == "bool" else 1)
                x = flow.tensor(values.tolist(), dtype=getattr(flow, dtype), **split)
                assert flow.amax(x, 0).numpy().tolist() == values.max(0).tolist(), dtype
                assert flow.amin(x, 0).numpy().tolist() == values.min(0).tolist(), dtype
                assert x.sum().item() == values.sum(), dtype
        # A sum that wraps in its own dtype is not the sum of its parts in a wider one.
        part = flow.full((2, 3), 100, dtype=flow.int8)
        assert part.to_global(P, flow.sbp.partial_sum).sum().item() == 6 * (200 - 256)
    """))
