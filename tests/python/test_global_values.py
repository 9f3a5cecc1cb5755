"""Values of global tensors where parts could deceive: NaN, infinities and sums that cancel out."""

import pytest
from jobs import run_text

SETUP = """
import numpy as np
import oneflow_like as flow
from oneflow_like.nn import functional as F

rank, world = flow.env.get_rank(), flow.env.get_world_size()
everyone = flow.placement.all("cpu")
S, B, P = flow.sbp.split, flow.sbp.broadcast, flow.sbp.partial_sum
MAX, MIN = flow.sbp.partial_max, flow.sbp.partial_min
nan, inf = float("nan"), float("inf")

def of_parts(parts, sbp):
    # What ranks beyond the second hold changes nothing.
    rest = {P: 0.0, MAX: -inf, MIN: inf}[sbp]
    mine = parts[rank] if rank < len(parts) else [rest] * len(parts[0])
    return flow.tensor(mine).to_global(placement=everyone, sbp=sbp)

def check(call, x, whole, *more):
    got, want = call(x).numpy(), call(flow.tensor(whole)).numpy()
    np.testing.assert_array_equal(got, want, err_msg=str((*more, whole)))
"""

# NaN is the largest and the smallest of all: what an operator makes of the other parts' numbers
# must not win over what it makes of NaN.
EXTREMES = SETUP + """
one = flow.tensor(1.0)
calls = {
    "sign": flow.sign, "gt": lambda x: x > 3, "ge": lambda x: x >= one, "lt": lambda x: x < 9,
    "le": lambda x: one <= x, "eq": lambda x: x == 5, "fmax": lambda x: flow.fmax(x, one),
    "fmin": lambda x: flow.fmin(x, one), "fmin both": lambda x: flow.fmin(x, x),
    "maximum": lambda x: flow.maximum(x, one), "clamp": lambda x: x.clamp(1, 3),
    "where": lambda x: flow.where(x > 3, x, 0.0), "isnan": flow.isnan, "relu": flow.relu,
    "nan_to_num": flow.nan_to_num, "softshrink": F.softshrink, "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid, "heaviside": lambda x: flow.heaviside(x, one),
    "half": lambda x: x.half(), "int": lambda x: x.nan_to_num().int(), "bool": lambda x: x.bool(),
    "exp": flow.exp, "round": flow.round, "signbit": flow.signbit, "threshold":
    lambda x: F.threshold(x, 1, 0), "amax": lambda x: x.amax(0), "argmax": lambda x: x.argmax(0),
    "logaddexp": lambda x: flow.logaddexp(x, one), "sort": lambda x: x.sort()[0],
}
for name, call in calls.items():
    for sbp in (MAX, MIN):
        check(call, of_parts([[nan, 5.0, nan], [5.0, nan, nan]], sbp), [nan] * 3, name)
        check(call, of_parts([[nan, -5.0, nan], [-5.0, nan, nan]], sbp), [nan] * 3, name)

# Where such parts come from.
rows = flow.tensor([[nan, 1.0], [5.0, 2.0], [6.0, 0.5]])
x = rows.to_global(placement=everyone, sbp=B).to_global(sbp=S(0))
assert (x.amax(0) > 3).tolist() == [False, False]
assert (x.amin(0) < 3).tolist() == [False, True]
assert flow.fmin(x.amax(0), one).tolist() == [1.0, 1.0]
"""

SUMS = SETUP + """
zero, huge = flow.tensor(0.0), flow.tensor(inf)
parts = [[4.0, 3.0, -1.0], [-2.0, -3.0, -2.0]]
x, whole = of_parts(parts, P), [2.0, 0.0, -3.0]
for name, call in {
    "div": lambda x: x / zero, "div number": lambda x: x / 0.0, "mul number": lambda x: x * inf,
    "xlogy": lambda x: flow.xlogy(x, zero), "addcdiv": lambda x: flow.addcdiv(x, x, zero),
    "xlog1py": lambda x: flow.special.xlog1py(x, flow.tensor(-1.0)),
    "small": lambda x: x / 1e-12, "ratio": lambda x: x / flow.tensor(1e-12),
    "normalize": lambda x: F.normalize(x, dim=0), "scaled": lambda x: x * 0.5 / -2.0,
}.items():
    got, want = call(x).numpy(), call(flow.tensor(whole)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=name)

# A column that cancels out stays 0, whatever it is divided by.
column = of_parts([[3.0, 3.0], [-3.0, -3.0]], P)
assert F.normalize(column, dim=0).tolist() == [0.0, 0.0]
assert (x / 2.0).sbp == (P,) and (x * 2.0).sbp == (P,)
"""

LIKE = SETUP + """
# What is split along an axis that a new tensor has not is whole there.
for sbp in (S(0), S(1), P):
    x = flow.ones(4, 6, placement=everyone, sbp=B).to_global(sbp=sbp)
    for shape in ((), (3,), (3, 2, 2)):
        for y in (x.new_zeros(shape), x.new_ones(shape), x.new_full(shape, 2.0),
                  x.new_empty(shape)):
            split = sbp not in (B, P) and sbp.dim < len(shape)
            assert y.is_global and y.sbp == (sbp if split else B,), (sbp, shape, y.sbp)
        assert x.new_ones(shape).sum().item() == np.prod(shape)

# Parts of a maximum take parts of a maximum.
for sbp, fill in ((MAX, -inf), (MIN, inf)):
    y = of_parts([[1.0, 2.0], [1.0, 2.0]], sbp)
    y.copy_(flow.tensor([5.0, 6.0], placement=everyone, sbp=S(0)))
    assert y.sbp == (sbp,) and y.tolist() == [5.0, 6.0]
    mean, count = of_parts([[0.0, 0.0]] * 2, sbp), of_parts([[1.0, 1.0]] * 2, sbp)
    rows = flow.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]])
    F.batch_norm(flow.tensor(rows.numpy(), placement=everyone, sbp=S(0)), mean, count,
                 training=True)
    local = flow.zeros(2), flow.ones(2)
    F.batch_norm(rows, *local, training=True)
    assert np.allclose(mean.numpy(), local[0].numpy()) and np.allclose(count.numpy(),
                                                                       local[1].numpy())
"""


@pytest.mark.parametrize("world", [2, 3])
def test_nan_wins_over_the_numbers_of_other_parts(tmp_path, world):
    run_text(tmp_path, world, EXTREMES)


@pytest.mark.parametrize("world", [2, 3])
def test_a_sum_is_added_up_before_it_meets_zeros_and_infinities(tmp_path, world):
    run_text(tmp_path, world, SUMS)


def test_tensors_like_a_global_one_find_a_layout(tmp_path):
    run_text(tmp_path, 3, LIKE)
