"""Sorting, searching and counting beyond the generic tests: NaN, ties, sizes, what is read."""

import textwrap

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("descending", [False, True])
def test_nan_is_the_largest_and_zeros_are_equal(dtype, descending):
    values = [0.0, -0.0, NAN, 1, -INF, INF, NAN]
    x = flow.tensor(values).to(getattr(flow, dtype))
    order = flow.argsort(x, descending=descending).tolist()
    assert order == ([2, 6, 5, 3, 0, 1, 4] if descending else [4, 0, 1, 3, 5, 2, 6])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int16", "uint8"])
@pytest.mark.parametrize("size", [1000, 5000])
def test_long_rows_are_sorted_by_digits_and_stay_stable(dtype, size):
    rng = np.random.default_rng(size)
    for high in (20, 10 ** 5):
        values = rng.integers(0, min(high, np.iinfo(dtype).max) if dtype[0] != "f" else high,
                              (2, size)).astype(dtype) - (3 if dtype != "uint8" else 0)
        values = values.astype(dtype)
        x = flow.from_numpy(values)
        for view, array in ((x, values), (x.T, values.T)):
            dim = 1 if view is x else 0
            got = flow.sort(view, dim)
            np.testing.assert_array_equal(got.indices.numpy(),
                                          np.argsort(array, axis=dim, kind="stable"))
            np.testing.assert_array_equal(got.values.numpy(), np.sort(array, axis=dim))


def test_topk_by_a_heap_and_by_partition():
    values = np.random.default_rng(0).permutation(5000).astype(np.float32)
    x = flow.from_numpy(values)
    for k in (1, 10, 2000, 5000):
        assert x.topk(k).values.tolist() == sorted(values, reverse=True)[:k]
        low = x.topk(k, largest=False)
        assert low.values.tolist() == sorted(values)[:k]
        assert values[low.indices.numpy()].tolist() == sorted(values)[:k]
        assert x.kthvalue(k).values.item() == k - 1


def test_medians_of_nan():
    x = flow.tensor([[1.0, NAN, 3.0], [4.0, 2.0, 6.0], [NAN, NAN, NAN]])
    values, indices = x.median(1)
    assert values[1].item() == 4 and indices.tolist() == [1, 0, 0]
    assert np.isnan(values.numpy()).tolist() == [True, False, True]
    values, indices = x.nanmedian(1)
    assert values.tolist()[:2] == [1, 4] and indices.tolist() == [0, 0, 0]
    assert np.isnan(x.median().item()) and x.nanmedian().item() == 3
    assert np.isnan(flow.zeros(0).median().item())


def test_indices_alone_carry_the_gradient_of_max():
    x = flow.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
    x.grad = None
    x.median().backward()  # 2, of three equal elements
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0], [1 / 3] * 3], rtol=1e-6)


def test_slopes_at_zero_are_zero():
    for call in (lambda x: x.norm(), lambda x: x.std(), lambda x: flow.norm(x, 3),
                 lambda x: flow.norm(x, 0.5), lambda x: flow.nn.functional.normalize(x, dim=0)):
        x = flow.zeros(3, requires_grad=True)
        call(x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_neighbours_share_the_gradient_of_a_quantile_though_they_are_equal():
    for values, q, want in (([0.0, 0.0], 0.25, [0.75, 0.25]), ([0.0, 4.0], 0.25, [0.75, 0.25]),
                            ([3.0, 1.0, 2.0, 2.0], 0.5, [0, 0, 0.5, 0.5])):
        x = flow.tensor(values, requires_grad=True)
        x.quantile(q).backward()
        assert x.grad.tolist() == want
    assert flow.tensor([np.inf, np.inf]).quantile(0.5).item() == np.inf


def test_corners_have_the_gradients_of_torch():
    calls = ((lambda x: flow.atan2(x, flow.zeros(2)), [0.0, 0.0], [0, 0]),
             (lambda x: flow.atan2(flow.zeros(2), x), [0.0, 1.0], [0, 0]),
             (lambda x: flow.nn.functional.threshold(x, 0.0, 2.0), [np.inf, -np.inf], [1, 0]),
             (lambda x: flow.nn.functional.threshold(x, 0.0, 2.0), [np.nan, 0.0], [1, 0]))
    for call, values, want in calls:
        x = flow.tensor(values, requires_grad=True)
        call(x).sum().backward()
        assert x.grad.tolist() == want


def test_products_with_zeros_have_gradients():
    for values, want in (([2.0, 0.0, 3.0], [0, 6, 0]), ([0.0, 0.0, 3.0], [0, 0, 0])):
        x = flow.tensor(values, requires_grad=True)
        x.prod().backward()
        assert x.grad.tolist() == want
    x = flow.tensor([2.0, 0.0, 3.0], requires_grad=True)
    x.cumprod(0).sum().backward()
    assert x.grad.tolist() == [1, 8, 0]


def test_dtypes_are_converted_first():
    x = flow.tensor([300, 300], dtype=flow.int32)
    assert x.sum(dtype=flow.uint8).item() == 88 and x.sum(dtype=flow.float64).dtype is flow.float64
    assert flow.mean(x, dtype=flow.float32).item() == 300
    assert x.cumsum(0, dtype=flow.int8).tolist() == [44, 88]
    assert flow.tensor([1.7, 1.7]).sum(dtype=flow.int64).item() == 2
    assert x.prod().dtype is flow.int64 and x.cumprod(0).tolist() == [300, 90000]


def test_unique_gives_what_is_asked_for():
    x = flow.tensor([[3, 1], [2, 1], [3, 1]])
    assert flow.unique(x).tolist() == [1, 2, 3]
    values, inverse = flow.unique(x, return_inverse=True)
    assert inverse.tolist() == [[2, 0], [1, 0], [2, 0]]
    values, counts = flow.unique(x, return_counts=True)
    assert counts.tolist() == [3, 1, 2]
    rows, inverse, counts = flow.unique(x, return_inverse=True, return_counts=True, dim=0)
    assert rows.tolist() == [[2, 1], [3, 1]] and inverse.tolist() == [1, 0, 1]
    assert flow.unique(x, dim=1).tolist() == [[1, 3], [1, 2], [1, 3]]
    assert flow.unique_consecutive(flow.tensor([1, 1, 2, 1])).tolist() == [1, 2, 1]
    with pytest.raises(IndexError, match="no axes"):
        flow.unique(flow.tensor(1), dim=0)

    class Program(flow.nn.Graph):
        def build(self, x):
            return flow.unique(x)

    with pytest.raises(NotImplementedError, match="depends on values"):
        Program()(x)


def test_counts():
    x = flow.tensor([1, 3, 1, 0])
    assert flow.bincount(x).tolist() == [1, 2, 0, 1] and x.bincount(minlength=6).shape == (6,)
    assert flow.bincount(x, flow.tensor([0.5, 1, 2, 4])).tolist() == [4, 2.5, 0, 1]
    assert flow.bincount(x, x).dtype is flow.float64
    assert flow.bincount(flow.zeros(0, dtype=flow.int64), minlength=2).tolist() == [0, 0]
    nothing = flow.bincount(flow.zeros(0, dtype=flow.int64), flow.zeros(0), minlength=1)
    assert nothing.tolist() == [0] and nothing.dtype is flow.int64
    with pytest.raises(ValueError, match="must not be negative"):
        flow.bincount(flow.tensor([-1]))
    y = flow.tensor([0.0, 1.0, 1.5, 2.0, 2.5])
    assert flow.histc(y, 4, 0, 2).tolist() == [1, 0, 1, 2]
    assert flow.histc(y, 2).tolist() == [2, 3]
    hist, edges = flow.histogram(y, 2, range=(0.0, 2.0))
    assert hist.tolist() == [1, 3] and edges.tolist() == [0, 1, 2]
    hist, edges = flow.histogram(y, flow.tensor([0.0, 1.5, 3.0]))
    assert hist.tolist() == [2, 3]
    assert flow.count_nonzero(y).item() == 4 and y.reshape(5, 1).count_nonzero(0).tolist() == [4]


def test_searchsorted_takes_a_sorter_and_promotes_the_rest():
    sequence, order = flow.tensor([4.0, 1.0, 2.0]), flow.tensor([1, 2, 0])
    values = flow.tensor([1.5, 3.0])
    assert flow.searchsorted(sequence, values, sorter=order).tolist() == [1, 2]
    assert flow.searchsorted(flow.tensor([1, 2, 4]), values).tolist() == [1, 2]
    assert flow.searchsorted(flow.tensor([1, 2, 4]), 2, right=True).item() == 2
    assert flow.bucketize(3.5, flow.tensor([1.0, 2.0, 4.0])).item() == 2
    with pytest.raises(IndexError, match="sorter index out of range: got 3"):
        flow.searchsorted(sequence, values, sorter=flow.tensor([1, 2, 3]))


def test_equal_and_allclose_are_bools():
    x, y = flow.tensor([1.0, NAN, INF]), flow.tensor([1.0 + 1e-7, NAN, INF])
    assert flow.equal(x[:1], x[:1]) is True and x.equal(x) is False
    assert flow.equal(flow.ones(2), flow.ones(3)) is False
    assert flow.allclose(x, y) is False and flow.allclose(x, y, equal_nan=True) is True
    assert flow.ones(2).allclose(flow.ones(2) * 1.1, rtol=0.2)
    assert not flow.allclose(flow.tensor([INF]), flow.tensor([1.0]))
    assert flow.allclose(flow.tensor([2]), flow.tensor([2]))
    with pytest.raises(TypeError, match="must be Tensor, not float"):
        flow.equal(flow.ones(1), 1.0)
    with pytest.raises(TypeError, match="dtypes differ"):
        flow.allclose(flow.ones(1), flow.ones(1, dtype=flow.float64))
    with pytest.raises(ValueError, match="negative"):
        flow.allclose(flow.ones(1), flow.ones(1), rtol=-1)

    class Program(flow.nn.Graph):
        def build(self, x):
            return x if flow.equal(x, x) else x * 2

    with pytest.raises(RuntimeError, match="depends on values"):
        Program()(x)


def test_quantiles_outside_are_refused():
    for q in (-0.1, 1.5):
        with pytest.raises(IndexError):
            flow.quantile(flow.ones(3), q)


def test_empty_lists_of_axes():
    x = flow.tensor([[1.0, 0.0], [2.0, 3.0]])
    assert x.all(dim=()).tolist() == [[True, False], [True, True]] == x.any((), True).tolist()
    assert x.all().item() is False and x.all(1).tolist() == [False, True]
    assert x.sum(()).item() == 6 and x.amax(()).item() == 3


SHARDS = """
import numpy as np
import oneflow_like as flow
P = flow.placement.all("cpu")
B, S0, S1, PARTIAL = (flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1),
                      flow.sbp.partial_sum)
values = np.random.default_rng(0).uniform(-2, 2, (5, 3))
values[0, 0] = values[3, 1] = 0
calls = {
    "std": lambda x: x.std(0), "var": lambda x: x.var(), "norm": lambda x: x.norm(dim=0),
    "norm 3": lambda x: x.norm(3, 1), "logsumexp": lambda x: x.logsumexp(0),
    "prod": lambda x: x.prod(0), "all": lambda x: x.all(0), "any": lambda x: x.any(1),
    "cumsum": lambda x: x.cumsum(0), "cumprod": lambda x: x.cumprod(0),
    "sort": lambda x: x.sort(0).values, "topk": lambda x: x.topk(2, 0).values,
    "median": lambda x: x.median(0).values, "median of all": lambda x: x.median(),
    "max": lambda x: x.max(0).values, "mode": lambda x: x.mode(0).values,
    "quantile": lambda x: flow.quantile(x, 0.3, 0), "unique": lambda x: flow.unique(x),
    "cov": lambda x: x.cov(), "histc": lambda x: x.histc(4), "diff": lambda x: x.diff(dim=0),
    "count": lambda x: x.count_nonzero(0), "nansum": lambda x: x.nansum(0),
    "trapezoid": lambda x: flow.trapezoid(x, dim=0), "msort": lambda x: x.msort(),
    "renorm": lambda x: x.renorm(2, 0, 1.0), "logcumsumexp": lambda x: x.logcumsumexp(0),
    "corrcoef": lambda x: x.corrcoef(),
}
for name, call in calls.items():
    results = []
    for sbp in (None, B, S0, S1, PARTIAL):
        where = {} if sbp is None else {"placement": P, "sbp": B}
        x = flow.tensor(values, requires_grad=True, **where)
        y = call(x if sbp is None else x.to_global(sbp=sbp))
        grad = None
        if y.requires_grad:
            (y * y).sum().backward()
            grad = x.grad.numpy()
        results.append((y.detach().numpy(), grad))
    for got, grad in results[1:]:
        np.testing.assert_allclose(got, results[0][0], rtol=1e-9, atol=1e-12, err_msg=name)
        if grad is not None:
            np.testing.assert_allclose(grad, results[0][1], rtol=1e-9, atol=1e-12, err_msg=name)
x = flow.tensor([3, 1, 1], placement=P, sbp=S0)
assert flow.bincount(x).numpy().tolist() == [0, 2, 0, 1]
assert flow.equal(x, x) is True and flow.allclose(x, x) is True
assert x.std is not None and flow.tensor(values, placement=P, sbp=S0).sum(0).sbp == (PARTIAL,)
print("fine")
"""


def test_layouts_do_not_change_results(tmp_path):
    assert run_text(tmp_path, 3, textwrap.dedent(SHARDS)).stdout.count("fine") == 3


@pytest.mark.parametrize("dtype", [flow.float32, flow.float64, flow.float16, flow.int32])
def test_a_sorter_keeps_out_of_promotion(dtype):
    """It is the last operand: whether the others agree was once asked of it."""
    row, order = flow.tensor([4, 1, 2]).to(dtype), flow.tensor([1, 2, 0])
    wanted = flow.tensor([0, 2, 9]).to(dtype)
    assert flow.searchsorted(row, wanted, sorter=order).tolist() == [0, 1, 3]
    mixed = flow.searchsorted(row, flow.tensor([0.5, 3.0], dtype=flow.float64), sorter=order)
    assert mixed.tolist() == [0, 2]
