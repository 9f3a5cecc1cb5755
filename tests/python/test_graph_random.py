"""Random programs of views, indices, changes in place and functions: a graph gives what eager does,
in two launches, and leaves buffers as eager does; or it refuses. `python test_graph_random.py FIRST
COUNT` tries others, `--global` in a job."""

import random
import sys

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

MOST = 2000
ONE, TWO = flow.tensor(1), flow.tensor([0, 1])
VALUES = np.arange(20, dtype=np.float32).reshape(4, 5) % 7


def index_of(draw, x, i):
    """An index of some axes of x; `i` is an integer that the launch knows."""
    items = []
    for size in x.shape:
        kind = draw.choice(["int", "slice", "all", "all", "argument", "captured", "constant",
                            "list", "tensor", "new axis", "step"])
        if size < 2 or kind == "all":
            items.append(slice(None))
        elif kind == "int":
            items.append(draw.randrange(-size, size))
        elif kind == "slice":
            first = draw.randrange(size + 1)
            items.append(slice(first, draw.randrange(first, size + 1)))
        elif kind == "step":
            items.append(slice(None, None, 2))
        elif kind == "new axis":
            items += [None, slice(None)]
        elif kind == "list":
            items.append([draw.randrange(size), draw.randrange(size)])
        else:
            items.append({"argument": i, "captured": ONE, "tensor": TWO,
                          "constant": flow.tensor(draw.choice([0, -1]))}[kind])
    if items and draw.random() < 0.4:
        items = [*items[:draw.randrange(1, len(items) + 1)], Ellipsis]
    return tuple(items)


VIEWS = {
    "index": lambda d, x, i: x[index_of(d, x, i)],
    "transpose": lambda d, x, i: x.transpose(d.randrange(x.ndim), d.randrange(x.ndim)),
    "reshape": lambda d, x, i: x.reshape(-1),
    "split one": lambda d, x, i: x.reshape(2, -1) if x.numel() % 2 == 0 else x,
    "unsqueeze": lambda d, x, i: x.unsqueeze(d.randrange(x.ndim + 1)) if x.ndim < 5 else x,
    "squeeze": lambda d, x, i: x.squeeze(),
    "expand": lambda d, x, i: x.unsqueeze(0).expand(2, *x.shape) if x.ndim < 4 else x,
    "chunk": lambda d, x, i: x.chunk(2)[0],
    "diagonal": lambda d, x, i: x.diagonal() if x.ndim > 1 else x,
    "detach": lambda d, x, i: x.detach(),
    "contiguous": lambda d, x, i: x.contiguous(),
    "unbind": lambda d, x, i: x.unbind(0)[-1],
    "layout": lambda d, x, i: x.to_global(sbp=flow.sbp.broadcast) if x.is_global else x,
}


def set_item(draw, x, i):
    x[index_of(draw, x, i)] = draw.choice([3, 5.0, flow.tensor(4.0)])


def add_to_item(draw, x, i):
    x[index_of(draw, x, i)] += 1


def statistics(draw, x, i):
    if x.ndim == 2:
        mean, var = flow.zeros(x.shape[1]), flow.ones(x.shape[1])
        nn.functional.batch_norm(x, mean, var, training=True)
        x.add_(mean)


CHANGES = {
    "set": set_item, "add to item": add_to_item, "statistics": statistics,
    "add": lambda d, x, i: x.add_(1), "mul": lambda d, x, i: x.mul_(2),
    "zero": lambda d, x, i: x.zero_(), "copy": lambda d, x, i: x.copy_(flow.tensor(7.0)),
    "mask": lambda d, x, i: x.masked_fill_(x > 4, -1.0),
    "set mask": lambda d, x, i: x.__setitem__(x > 3, 1.5),
    "relu": lambda d, x, i: nn.functional.relu(x, inplace=True),
    "out": lambda d, x, i: flow.mul(x.clone(), 2.0, out=x),
    "index_put": lambda d, x, i: x.index_put_((TWO,), flow.tensor(6.0)),
    "index_fill": lambda d, x, i: x.index_fill_(0, TWO, 9.0),
    "sub": lambda d, x, i: x.sub_(x.mean()), "cumsum": lambda d, x, i: x.copy_(x.cumsum(0)),
}
FUNCTIONS = {
    "sum": lambda d, x, i: x.sum(0), "cat": lambda d, x, i: flow.cat([x, x * 2]),
    "where": lambda d, x, i: flow.where(x > 2, x, flow.zeros(1)),
    "select": lambda d, x, i: flow.index_select(x, 0, d.choice([TWO, i])),
    "take": lambda d, x, i: flow.take(x, i), "clone": lambda d, x, i: x.clone(),
    "mesh": lambda d, x, i: (flow.meshgrid(x, flow.ones(2))[d.randrange(2)] if x.ndim == 1 else x),
    "repeat": lambda d, x, i: (
        x.repeat_interleave(flow.tensor([0, 2, 1, 1]), dim=0, output_size=4)
        if x.shape[0] == 4 else x),
    "new": lambda d, x, i: x.new_ones(x.shape[-1:]) + x,
    "both": lambda d, x, i: flow.broadcast_tensors(x, flow.ones(1))[d.randrange(2)],
}


class Buffers(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.register_buffer("a", a)
        self.register_buffer("b", b)


def program(seed):
    def body(module, x, i):
        draw = random.Random(seed)
        values = [x * 1, x[0] * 1, *[v for v in (module.a, module.b) if draw.random() < 0.4]]
        for _ in range(draw.randrange(3, 9)):
            value = draw.choice(values)
            kinds = draw.choice([VIEWS, VIEWS, CHANGES, CHANGES, FUNCTIONS])
            kind = draw.choice(list(kinds))
            if value.ndim == 0 or value.numel() == 0 or value.shape[0] < 2:
                continue
            made = kinds[kind](draw, value, i)
            if kinds is not CHANGES and made.numel() < MOST:
                values.append(made)
        return [v.clone() for v in [*values, module.a, module.b]]
    return body


class Compiled(nn.Graph):
    def __init__(self, module, body):
        super().__init__()
        self.module, self.body = module, body

    def build(self, *args):
        return self.body(self.module, *args)


def run(seed, lay, compiled):
    """What two calls give, and leave in the buffers; or the error."""
    draw = random.Random(-seed)
    a = lay(np.arange(12, dtype=np.float32).reshape(3, 4))
    b = draw.choice([a[1:], a.detach(), *[lay(np.arange(6, dtype=np.float32).reshape(2, 3))] * 6])
    module, body = Buffers(a, b), program(seed)
    call = Compiled(module, body) if compiled else lambda *args: body(module, *args)
    try:
        results = [call(lay(VALUES), lay(np.array(number))) for number in (1, 0)]
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return str(error)
    return [(v.is_global, v.numpy()) for v in [*results[0], *results[1], module.a, module.b]]


def compare(seeds, lay):
    """How many of the programs graphs refuse though eager runs them."""
    refused = 0
    for seed in seeds:
        want, got = (run(seed, lay, compiled) for compiled in (False, True))
        if isinstance(got, str) or isinstance(want, str):
            refused += not isinstance(want, str)
            continue
        for (was_global, expected), (is_global, result) in zip(want, got, strict=True):
            assert was_global == is_global, f"seed {seed}"
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4,
                                       err_msg=f"seed {seed}")
    return refused


def global_of(sbp):
    everyone, whole = flow.placement.all("cpu"), flow.sbp.broadcast
    return lambda array: flow.tensor(array).to_global(placement=everyone, sbp=whole).to_global(
        sbp=sbp if array.ndim > 1 else whole)


def layouts():
    return [global_of(sbp) for sbp in (flow.sbp.split(0), flow.sbp.split(1), flow.sbp.broadcast)]


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_local_programs(first):
    assert compare(range(first, first + 50), flow.tensor) < 15


JOB = f"""
import sys
sys.path.insert(0, {__file__.rpartition("/")[0]!r})
from test_graph_random import *
for k, lay in enumerate(layouts()):
    assert compare(range(1000 + 30 * k, 1030 + 30 * k), lay) < 10
"""


def test_global_programs(tmp_path):
    run_text(tmp_path, 2, JOB)


if __name__ == "__main__":
    start, count = map(int, sys.argv[1:3])
    for which in layouts() if "--global" in sys.argv else [flow.tensor]:
        print(compare(range(start, start + count), which), "refused of", count, flush=True)
