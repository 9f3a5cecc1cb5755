"""Random programs of views and their readers: graph and eager give the same, forward and back."""

import pathlib
import random

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent
STEPS, MOST = 14, 2000


class Program(nn.Module):
    """STEPS operators drawn by the seed; shapes alone decide what may be drawn."""

    def __init__(self, seed, products):
        super().__init__()
        self.seed, self.products = seed, products
        rng = np.random.RandomState(seed)
        self.table = nn.Parameter(flow.tensor(rng.randn(3, 4, 2).astype("float32")))

    def forward(self, x):
        draw = random.Random(self.seed)
        values = [x, self.table]
        for _ in range(STEPS):
            value = draw.choice(values[-4:])
            kinds = [self.view] * 3 + [self.reader] + [self.product] * self.products
            values.append(draw.choice(kinds)(draw, value))
        results = [self.table.transpose(0, 2), *values[2:]]
        return sum((v * v).mean() for v in results), results[-3:]

    def view(self, draw, x):
        kind = draw.choice(["transpose", "permute", "slice", "reshape", "expand"])
        if kind == "transpose":
            return x.transpose(draw.randrange(x.ndim), draw.randrange(x.ndim))
        if kind == "permute":
            return x.permute(*draw.sample(range(x.ndim), x.ndim))
        if kind == "slice":
            axis, index = draw.randrange(x.ndim), [slice(None)] * x.ndim
            first = draw.randrange((x.shape[axis] + 1) // 2)
            index[axis] = slice(first, None, draw.choice([1, 1, 2]))
            return x[tuple(index)]
        if kind == "reshape" or x.ndim > 4 or x.numel() > MOST:
            at = draw.randrange(x.ndim)
            sizes = list(x.shape)
            if x.ndim > 1 and (at == x.ndim - 1 or draw.random() < 0.5):  # join two axes
                at = min(at, x.ndim - 2)
                sizes[at:at + 2] = [sizes[at] * sizes[at + 1]]
            elif sizes[at] % 2 == 0 and x.ndim < 5:  # split one
                sizes[at:at + 1] = [2, sizes[at] // 2]
            return x.reshape(*sizes)
        at = draw.randrange(x.ndim + 1)
        return x.unsqueeze(at).expand(*x.shape[:at], 2, *x.shape[at:])

    def reader(self, draw, x):
        kind = draw.choice(["relu", "add", "softmax", "sum", "cat", "in place"])
        if kind == "relu":
            return x.relu()
        if kind == "add":
            return x + x * 0.5
        if kind == "softmax":
            return x.softmax(draw.randrange(x.ndim))
        if kind == "sum" and x.ndim > 1:
            return x.sum(draw.randrange(x.ndim))
        if kind == "cat" and x.numel() <= MOST:
            return flow.cat([x, x * 2.0], draw.randrange(x.ndim))
        changed = x * 1.0  # an operator's result, then a view of it: each changes the other
        seen = changed.transpose(0, -1)
        changed.add_(1.0)
        seen.mul_(2.0)
        return changed + seen.transpose(0, -1)

    def product(self, draw, x):
        if x.ndim < 2 or x.numel() > MOST:
            return x.relu()
        return x.softmax(-1) @ x.transpose(-1, -2)


class Train(nn.Graph):
    def __init__(self, model, micro_batches=1):
        super().__init__()
        self.model = model
        self.config.set_gradient_accumulation_steps(micro_batches)
        self.add_optimizer(flow.optim.SGD(model.parameters(), lr=0.1))

    def build(self, x):
        loss, results = self.model(x)
        loss.backward()
        return loss, *results


def both(seed, products, lay=lambda x: x):
    """Loss, results and the updated parameter of two steps, by a graph and by eager calls."""
    made = []
    x = lay(flow.tensor(np.random.RandomState(seed).randn(4, 3, 2, 5).astype("float32")))
    for compiled in (True, False):
        model = Program(seed, products)
        if x.is_global:
            model.to_global(placement=x.placement, sbp=[flow.sbp.broadcast] * len(x.sbp))
        graph = Train(model) if compiled else None
        optimizer = flow.optim.SGD(model.parameters(), lr=0.1)
        outputs = []
        for _ in range(2):
            if compiled:
                outputs += graph(x)
                continue
            optimizer.zero_grad()
            loss, results = model(x)
            loss.backward()
            # A view of the parameter would show what the step makes of it.
            outputs += [loss, *(v.clone() for v in results)]
            optimizer.step()
        made.append([v.detach().numpy() for v in [*outputs, model.table]])
    return made


@pytest.mark.parametrize("seed", range(40))
def test_views_give_the_bits_of_copies(seed):
    for got, want in zip(*both(seed, products=0), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("seed", range(20))
def test_products_of_views(seed):
    """A matrix that lies by columns may have other bits than its copy."""
    for got, want in zip(*both(100 + seed, products=2), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_views_of_micro_batches(seed):
    x = flow.tensor(np.random.RandomState(seed).randn(6, 3, 2, 5).astype("float32"))
    models = [Program(300 + seed, products=1) for _ in range(2)]
    Train(models[0], micro_batches=3)(x)
    optimizer = flow.optim.SGD(models[1].parameters(), lr=0.1)
    for piece in (x[0:2], x[2:4], x[4:6]):
        (models[1](piece)[0] / 3.0).backward()
    optimizer.step()
    got, want = (m.table.detach().numpy() for m in models)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


JOB = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_views_random import *
P = flow.placement("cpu", ranks=[0, 1])
S, B = flow.sbp.split, flow.sbp.broadcast
for seed in range(200, 230):
    lay = lambda x: x.to_global(placement=P, sbp=B).to_global(sbp=(B, S(0), S(1), S(3))[seed % 4])
    for got, want in zip(*both(seed, seed % 2, lay), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=str(seed))
print("fine")
"""


def test_views_of_shards(tmp_path):
    assert run_text(tmp_path, 2, JOB).stdout.count("fine") == 2
