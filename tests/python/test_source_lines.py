"""Errors of backward name the lines of forward: of overwritten values, and in anomaly mode."""

import pathlib
import re

import numpy as np
import pytest

import oneflow_like as flow
from oneflow_like import nn


def _line(marker):
    """Where `# marker` stands in this file."""
    lines = pathlib.Path(__file__).read_text().splitlines()
    found = [n for n, line in enumerate(lines, 1) if line.endswith(f"# {marker}")]
    assert len(found) == 1, marker
    return f"test_source_lines.py:{found[0]}"


def _leaf(*shape):
    return flow.ones(*shape, dtype=flow.float64, requires_grad=True)


def _whole(x):
    y = x.exp()  # whole kept
    y.add_(1)  # whole changed
    return y


def _through_a_view(x):
    y = x * x
    z = y.sin()  # view kept
    y[1:].zero_()  # view changed
    return z


def _by_an_item(x):
    y = x * x
    z = y.sin()  # item kept
    y[0] = 3.0  # item changed
    return z


def _by_copy(x):
    y = x * x
    z = y.sin()  # copy kept
    y.copy_(flow.zeros(3))  # copy changed
    return z


def _by_out(x):
    y = x.detach().clone()
    z = x * y  # out kept
    flow.neg(y, out=y)  # out changed
    return z


def _without_gradients(x):
    z = x.sin()  # leaf kept
    with flow.no_grad():
        x.mul_(2)  # leaf changed
    return z


def _by_an_optimizer(x):
    optimizer = flow.optim.SGD([x], lr=1.0)
    x.grad = flow.ones(3, dtype=flow.float64)
    z = x.sin()  # step kept
    optimizer.step()  # step changed
    return z


def _by_a_module(x):
    z = nn.Tanh()(x)  # module kept
    z.mul_(2)  # module changed
    return z


@pytest.mark.parametrize(("operator", "name", "change"), [
    ("exp", "whole", _whole), ("sin", "view", _through_a_view), ("sin", "item", _by_an_item),
    ("sin", "copy", _by_copy), ("mul", "out", _by_out), ("sin", "leaf", _without_gradients),
    ("sin", "step", _by_an_optimizer), ("tanh", "module", _by_a_module)])
def test_an_overwritten_value_names_operator_and_both_lines(operator, name, change):
    result = change(_leaf(3)).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as error:
        result.backward()
    text = str(error.value)
    assert text.startswith(f"[{operator}] ")
    assert f"kept by {_line(name + ' kept')}, changed by {_line(name + ' changed')}" in text


def test_the_first_change_is_named():
    x = _leaf(3)
    y = x.exp()
    for _ in range(3):
        y.add_(1)  # first of three
    y.mul_(2)
    with pytest.raises(RuntimeError, match=re.escape(_line("first of three"))):
        y.sum().backward()


def test_a_change_before_is_not_named():
    y = _leaf(3) * 1
    y.add_(1)  # before
    z = y.exp()
    w = z.sin()
    z.add_(1)  # after
    with pytest.raises(RuntimeError) as error:
        w.sum().backward()
    assert _line("after") in str(error.value) and _line("before") not in str(error.value)


def test_a_change_long_ago_is_not_known_any_more():
    y = _leaf(3).exp()  # long ago kept
    y.add_(1)
    other = flow.zeros(2)
    for _ in range(5000):
        other.add_(1)
    with pytest.raises(RuntimeError) as error:
        y.sum().backward()
    assert f"kept by {_line('long ago kept')};" in str(error.value)


def test_values_saved_by_a_function():
    class Square(flow.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return 2 * grad * ctx.saved_tensors[0]

    x = _leaf(3) * 1
    y = Square.apply(x)  # function kept
    x.add_(1)  # function changed
    with pytest.raises(RuntimeError, match=r"\[SquareBackward\].*inplace operation") as error:
        y.sum().backward()
    assert (f"kept by {_line('function kept')}, changed by {_line('function changed')}"
            in str(error.value))


# --- anomaly mode -----------------------------------------------------------------------------

def test_anomaly_mode_names_the_call_whose_gradient_is_nan():
    x = flow.zeros(3, requires_grad=True)
    with flow.autograd.detect_anomaly():
        y = x.sqrt()  # nan
        loss = (y * 0).sum()
        with pytest.raises(RuntimeError, match="returned nan values in its 0th") as error:
            loss.backward()
    assert "Function 'sqrt'" in str(error.value) and _line("nan") in str(error.value)


def test_anomaly_mode_can_leave_nan_alone_and_ends():
    x = flow.zeros(3, requires_grad=True)
    with flow.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
    assert np.isnan(x.grad.numpy()).all()
    with flow.autograd.set_detect_anomaly(True), pytest.raises(RuntimeError):
        (x.sqrt() * 0).sum().backward()
    (x.sqrt() * 0).sum().backward()
    flow.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError):
            (x.sqrt() * 0).sum().backward()
    finally:
        flow.autograd.set_detect_anomaly(False)
    (x.sqrt() * 0).sum().backward()


def test_anomaly_mode_names_the_call_of_any_error():
    with flow.autograd.detect_anomaly():
        y = flow.geqrf(_leaf(3, 3))[0]  # without gradient
        with pytest.raises(NotImplementedError) as error:
            y.sum().backward()
    assert "has no gradient" in str(error.value)


def test_a_graph_refuses_anomaly_mode():
    model = nn.Linear(2, 1)
    optimizer = flow.optim.SGD(model.parameters(), lr=0.1)

    class Train(nn.Graph):
        def __init__(self):
            super().__init__()
            self.model = model
            self.add_optimizer(optimizer)

        def build(self, x):
            loss = self.model(x).sum()
            loss.backward()
            return loss

    graph = Train()
    with flow.autograd.detect_anomaly(), pytest.raises(NotImplementedError, match="anomaly"):
        graph(flow.ones(1, 2))
    graph(flow.ones(1, 2))
    with flow.autograd.detect_anomaly(), pytest.raises(NotImplementedError, match="anomaly"):
        graph(flow.ones(1, 2))
