"""Values and gradients at infinity, at NaN and of nothing: PyTorch's."""

import numpy as np
import pytest

import oneflow_like as flow

F = flow.nn.functional
NAN, INF = float("nan"), float("inf")

# the function; its operand; the gradient of the sum of its results, weighted 1, 2, 3, ...
GRADIENTS = {
    "hardsigmoid": (F.hardsigmoid, [NAN, 3.0, -3.0, INF, 0.0], [0, 0, 0, 0, 5 / 6]),
    "hardtanh": (F.hardtanh, [NAN, 1.0, -1.0, INF, 0.0], [1, 0, 0, 0, 5]),
    "relu6": (F.relu6, [NAN, 0.0, 6.0, INF, 1.0], [1, 0, 0, 0, 5]),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), [INF, 1.0, 2.0], [NAN, 0, 0]),
    "logcumsumexp, infinity last": (lambda x: x.logcumsumexp(0), [0.0, 0.0, INF], [2, 1, NAN]),
    "logcumsumexp, both infinities": (lambda x: x.logcumsumexp(0), [-INF, 0.0, INF], [0, 2, NAN]),
    "digamma": (flow.digamma, [-INF, INF, 1.0], [NAN, 0, 3 * np.pi ** 2 / 6]),
    "softplus": (F.softplus, [-INF, INF, 0.0], [0, 2, 1.5]),
    "target of bce": (lambda t: F.binary_cross_entropy(flow.tensor([0.0, 1.0, 0.5]), t,
                                                       reduction="none"),
                      [0.0, 1.0, 0.5], [INF, -INF, 0]),
    "input of bce": (lambda x: F.binary_cross_entropy(x, flow.tensor([1.0, 0.0, 0.5]),
                                                      reduction="none"),
                     [0.0, 1.0, 0.5], [-1e12, 2e12, 0]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    function, values, want = GRADIENTS[name]
    x = flow.tensor(values, requires_grad=True)
    y = function(x)
    (y * flow.arange(1.0, y.numel() + 1)).nansum().backward()
    got = x.grad.numpy()
    if name != "hardsigmoid" and np.isnan(values[0]):  # nansum leaves NaN out
        want = [0, *want[1:]]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_values_at_infinity():
    x = flow.tensor([-INF, INF, -100.0])
    assert F.softplus(x).tolist() == [0.0, INF, 0.0]
    assert F.logsigmoid(-x).tolist()[0] == 0.0 and F.logsigmoid(x).tolist()[0] == -INF
    low, high = flow.tensor([-INF, 0.0]), flow.tensor([0.0, -INF])
    assert flow.logaddexp(low, high).tolist() == [0, 0]
    assert F.softplus(flow.tensor([-100.0], dtype=flow.float64)).item() == pytest.approx(
        np.exp(-100.0), rel=1e-9)


def test_a_norm_of_nan_shortens_nothing():
    x = flow.tensor([[NAN, 0.0, 3.0], [3.0, 0.0, 4.0]])
    got = x.renorm(2, 0, 1.0).numpy()
    np.testing.assert_allclose(got, [[NAN, 0, 3], [0.6, 0, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("worst", [NAN, INF, -INF])
def test_a_range_that_is_not_finite_has_no_bins(worst):
    x = flow.tensor([worst, 1.0, 2.0])
    for call in (lambda: flow.histogram(x, bins=3), lambda: flow.histc(x, 3),
                 lambda: flow.histogramdd(x.reshape(3, 1), bins=[3])):
        with pytest.raises(RuntimeError, match="the range is not finite: got .*expected finite"):
            call()
    assert flow.histogram(x, bins=2, range=(0.0, 2.0))[0].tolist() == [0.0, 2.0]
    with pytest.raises(RuntimeError, match=r"\[histogram\] the range is none: got .*finite"):
        flow.histogram(flow.ones(2), bins=2, range=(0.0, INF))


def test_losses_of_nothing_and_of_no_probability():
    rows, named = flow.zeros(0, 3), flow.zeros(0, 3, dtype=flow.int64)
    for reduction in ("mean", "sum"):
        assert F.multilabel_margin_loss(rows, named, reduction=reduction).item() == 0
    assert F.multilabel_margin_loss(rows, named, reduction="none").shape == (0,)
    with pytest.raises(RuntimeError, match=r"\[multi_margin_loss\] there are no classes: got"):
        F.multi_margin_loss(flow.zeros(2, 0), flow.zeros(2, dtype=flow.int64))
    for target in (-0.5, 1.5, NAN):
        with pytest.raises(RuntimeError, match="element of target is no probability: got float32"):
            F.binary_cross_entropy(flow.tensor([0.5]), flow.tensor([target]))
