"""Values of a plan that lie in another's memory: the same bits as eager's copies, and no task."""

import functools
import pathlib

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.nn import functional as F
from oneflow_like.testing.graphs import Calls as Of

HERE = pathlib.Path(__file__).resolve().parent
WIDTH, HEADS = 12, 3
# All transposes but that of the table's gradient, which its update reads; the reshapes that split
# heads, which those that join them cannot be; a reshape and a broadcast in the gradient of each
# mean.
VIEWS = 9 + 4 + 2 + 2


class Attention(nn.Module):
    """Self-attention beside a learned table that is read through a transpose."""

    def __init__(self):
        super().__init__()
        rng = np.random.RandomState(3)
        for name in ("query", "key", "value", "out"):
            layer = nn.Linear(WIDTH, WIDTH)
            with flow.no_grad():
                layer.weight.copy_(flow.tensor(rng.randn(WIDTH, WIDTH).astype("float32")))
                layer.bias.copy_(flow.tensor(rng.randn(WIDTH).astype("float32")))
            setattr(self, name, layer)
        table = rng.randn(2, 5, HEADS, WIDTH // HEADS).astype("float32")
        self.table = nn.Parameter(flow.tensor(table))

    def heads(self, x):
        return x.reshape(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)

    def forward(self, x):
        q, k, v = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        # A view that is also a result of its own, and views of a variable.
        table = self.table.transpose(1, 2)
        z = F.scaled_dot_product_attention(table, table, table)
        y = self.out(y.transpose(1, 2).reshape(x.shape))
        return (y ** 2).mean() + (z ** 2).mean(), q


def inputs(count):
    rng = np.random.RandomState(5)
    return [rng.randn(4, 5, WIDTH).astype("float32") for _ in range(count)]


class Train(nn.Graph):
    def __init__(self, model, micro_batches=1):
        super().__init__()
        self.model = model
        self.add_optimizer(flow.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        self.config.set_gradient_accumulation_steps(micro_batches)

    def build(self, x):
        loss, _ = self.model(x)
        loss.backward()
        return loss


def eager_steps(model, batches):
    optimizer = flow.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x in batches:
        optimizer.zero_grad()
        model(x)[0].backward()
        optimizer.step()


def bits(model):
    return [p.detach().numpy() for p in model.parameters()]


def views(graph):
    text = graph.plan().summary()
    (line,) = [line for line in text.splitlines() if line.strip().startswith("views")]
    return int(line.split()[1])


def test_training_by_views_gives_the_bits_of_copies():
    models = Attention(), Attention()
    batches = [flow.tensor(x) for x in inputs(3)]
    graph = Train(models[0])
    for x in batches:
        graph(x)
    eager_steps(models[1], batches)
    for got, want in zip(*map(bits, models), strict=True):
        np.testing.assert_array_equal(got, want)
    assert views(graph) == VIEWS


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_view_that_is_returned_is_a_copy(micro_batches):
    model = Attention()

    class Both(nn.Graph):
        def __init__(self):
            super().__init__()
            self.model = model
            self.config.set_gradient_accumulation_steps(micro_batches)

        def build(self, x):
            q = self.model(x)[1]
            return q, F.scaled_dot_product_attention(q, q, q)

    x = flow.tensor(inputs(1)[0])
    q, y = Both()(x)
    want = model(x)[1]
    same = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6)
    if micro_batches == 1:  # products of other sizes may have other bits
        same = np.testing.assert_array_equal
    same(q.numpy(), want.detach().numpy())
    same(y.numpy(), F.scaled_dot_product_attention(want, want, want).detach().numpy())


JOB = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_views import *
P = flow.placement("cpu", ranks=[0, 1])
S, B = flow.sbp.split, flow.sbp.broadcast
for micro_batches in (1, 2):
    made = []
    for compiled in (True, False):
        model = Attention()
        model.to_global(placement=P, sbp=B)
        batches = [flow.tensor(x).to_global(placement=P, sbp=S(0)) for x in inputs(3)]
        if compiled:
            graph = Train(model, micro_batches)
            for x in batches:
                graph(x)
            assert views(graph) == VIEWS, graph.plan().summary()
        else:
            eager_steps(model, batches)
        made.append([p.detach().numpy() for p in model.parameters()])
    for got, want in zip(*made, strict=True):
        if micro_batches == 1:
            np.testing.assert_array_equal(got, want)
        else:  # summed piece by piece, over three steps
            np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
print("fine")
"""


def test_views_on_two_ranks(tmp_path):
    assert run_text(tmp_path, 2, JOB).stdout.count("fine") == 2


# --- what answers about memory, as eager does ----------------------------------------------------

LAID = {
    "transposed": lambda y: y.t(), "rows": lambda y: y[1:], "columns": lambda y: y[:, 1:],
    "steps": lambda y: y[::2], "diagonal": lambda y: y.diagonal(), "whole": lambda y: y,
    "turned twice": lambda y: y.t()[1:].t(), "a column": lambda y: y.unbind(1)[0],
    "windows": lambda y: y.unfold(1, 2, 1), "repeated": lambda y: y[:, :1].expand(3, 4),
}


@pytest.mark.parametrize("laid", LAID)
def test_contiguous_copies_what_eager_copies(laid):
    def build(x):
        y = x * 1
        z = LAID[laid](y).contiguous()
        z.add_(100)
        return y, z

    x = flow.arange(12.0).reshape(3, 4)
    for got, want in zip(Of(build)(x), build(x), strict=True):
        assert got.tolist() == want.tolist()


@pytest.mark.parametrize("laid", LAID)
def test_strides_are_those_of_eager(laid):
    seen = []

    def build(x):
        y = LAID[laid](x * 1)
        seen.append((y.stride(), y.is_contiguous(), y.dim_order() if y.ndim < 3 else None))
        return y + 1

    x = flow.arange(12.0).reshape(3, 4)
    build(x)
    Of(build)(x)
    assert seen[0] == seen[1]


def test_a_view_that_eager_refuses():
    for laid in ("transposed", "columns"):
        def build(x, laid=laid):
            y = LAID[laid](x * 1)
            return y.view(y.numel())

        for call in (build, Of(build)):
            with pytest.raises(ValueError, match="would not lie in its operand's memory"):
                call(flow.ones(3, 4))


def test_a_target_whose_elements_share_a_place_is_told_so():
    def build(x):
        (x * 1)[:, :1].expand(3, 4).add_(1)

    with pytest.raises(ValueError, match="several elements of the target lie in one place"):
        Of(build)(flow.ones(3, 4))


def test_contiguous_of_global_values_copies_as_eager_does(tmp_path):
    run_text(tmp_path, 2, f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_views import LAID, Of
import oneflow_like as flow
P = flow.placement.all("cpu")
x = flow.arange(12.0).reshape(3, 4)
for sbp in (flow.sbp.broadcast, flow.sbp.split(0), flow.sbp.split(1)):
    for name in ("transposed", "rows", "columns", "whole", "a column"):
        def build(x):
            y = x * 1
            z = LAID[name](y).contiguous()
            z.add_(100)
            return y, z
        given = x.to_global(placement=P, sbp=flow.sbp.broadcast).to_global(sbp=sbp)
        for got, want in zip(Of(build)(given), build(given)):
            assert (got.numpy() == want.numpy()).all(), (name, sbp)
""")
