"""Random numbers: a generator of the job for global tensors, one of the process for local ones."""

import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

FILLS = """
import itertools
import numpy as np
import oneflow_like as flow
from oneflow_like.nn import init

B, P, S = flow.sbp.broadcast, flow.sbp.partial_sum, flow.sbp.split
WORLD = flow.env.get_world_size()
FILLS = {
    "normal_": lambda t: t.normal_(), "normal_(1, 2)": lambda t: t.normal_(1, std=2.0),
    "uniform_": lambda t: t.uniform_(), "uniform_(-3, 5)": lambda t: t.uniform_(-3.0, b=5.0),
    "zero_": lambda t: t.zero_(), "fill_": lambda t: t.fill_(2.5),
    "init.normal_": lambda t: init.normal_(t, 1.0, 2.0),
    "init.uniform_": lambda t: init.uniform_(t, -3.0, 5.0),
    "constant_": lambda t: init.constant_(t, 7.0), "zeros_": init.zeros_, "ones_": init.ones_,
    "xavier_uniform_": init.xavier_uniform_, "xavier_normal_": init.xavier_normal_,
    "kaiming_uniform_": init.kaiming_uniform_, "kaiming_normal_": init.kaiming_normal_,
}
everyone = flow.placement.all("cpu")
layouts = [(everyone, (s,)) for s in (S(0), S(1), B, P)]
if WORLD > 1:
    layouts += [(flow.placement("cpu", ranks=[1]), (B,)),
                (flow.placement("cpu", ranks=[1, 0]), (P,))]
if WORLD == 4:
    mesh = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
    layouts += [(mesh, pair) for pair in itertools.product((S(0), B, P), (S(1), B, P))]
for (name, fill), shape, dtype in itertools.product(
        FILLS.items(), [(5, 3), (1, 2)], [flow.float32, flow.float64]):
    flow.manual_seed(11)
    local = flow.zeros(*shape, dtype=dtype)
    result = fill(local)
    assert result is local
    for placement, sbp in layouts:
        flow.manual_seed(11)
        x = flow.ones(*shape, dtype=dtype, placement=placement, sbp=sbp)
        alias = x.detach()
        result = fill(x)
        assert result is x and x.placement == placement and x.sbp == sbp and x.dtype is dtype
        np.testing.assert_array_equal(x.numpy(), local.numpy(), err_msg=f"{name} {sbp}")
        np.testing.assert_array_equal(alias.numpy(), local.numpy())
print("fine")
"""


@pytest.mark.parametrize("world", [1, 2, 4])
def test_filling_keeps_the_layout_and_draws_the_same_logical_values(tmp_path, world):
    assert run_text(tmp_path, world, FILLS).stdout.count("fine") == world


def test_filling_with_random_values():
    flow.manual_seed(5)
    x = flow.zeros(10000)
    assert abs(x.normal_(3.0, 0.5).numpy().mean() - 3) < 0.05 and abs(x.numpy().std() - 0.5) < 0.05
    values = x.uniform_(-2, 6).numpy()
    assert -2 <= values.min() < -1.9 and 5.9 < values.max() < 6
    assert flow.zeros(3).double().normal_().dtype is flow.float64
    weight = flow.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Tensor that requires grad"):
        weight.normal_()
    with flow.no_grad():
        assert weight.uniform_().requires_grad and weight.is_leaf
    for mistake, text in (
            (lambda: x.normal_(std=-1.0), "std must not be negative"),
            (lambda: x.uniform_(1.0, 0.0), "low <= high"),
            (lambda: nn.init.normal_(x, std=-1.0), "std >= 0"),
            (lambda: nn.init.uniform_(x, 2.0, 1.0), "a <= b")):
        with pytest.raises(ValueError, match=text):
            mistake()
    with pytest.raises(TypeError, match="real numbers"):
        flow.zeros(2, dtype=flow.int64).normal_()
