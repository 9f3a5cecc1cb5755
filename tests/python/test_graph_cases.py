"""nn.Graph at its edges: odd results, shared and unused tensors, micro-batches, several graphs."""

import pathlib

import numpy as np
import pytest
from graph_case import Of, Train, data, mlp
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent
PRELUDE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_cases import *
from graph_case import *
split = flow.sbp.split
"""


def random(*shape, seed=0):
    return np.random.RandomState(seed).rand(*shape).astype("float32")


def step(model, x):
    loss = (model(x) ** 2).mean()
    loss.backward()
    return loss


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_results_may_be_arguments_variables_and_repeated(micro_batches):
    layer = nn.Linear(8, 8)
    x = random(4, 8)

    def build(x):
        y = x * 2.0
        return x, layer.weight, y, y, x

    results = Of(build, layer, micro_batches=micro_batches)(flow.tensor(x))
    weight = layer.weight.detach().numpy()
    for result, expected in zip(results, (x, weight, 2 * x, 2 * x, x), strict=True):
        np.testing.assert_array_equal(result.detach().numpy(), expected)


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_a_returned_parameter_is_the_one_before_the_update(micro_batches):
    layer = nn.Linear(8, 8)
    graph = Of(lambda x: (step(layer, x), layer.weight), layer,
               optimizers=[flow.optim.SGD(layer.parameters(), lr=0.1)],
               micro_batches=micro_batches)
    for _ in range(2):
        before = layer.weight.detach().numpy().copy()
        returned = graph(flow.tensor(random(4, 8)))[1].detach().numpy()
        np.testing.assert_array_equal(returned, before)
        assert np.abs(layer.weight.detach().numpy() - before).max() > 0


def test_a_graph_needs_no_inputs_and_no_variables():
    layer = nn.Linear(8, 8)
    doubled = Of(lambda: layer.weight * 2.0, layer)()
    np.testing.assert_array_equal(doubled.detach().numpy(), 2 * layer.weight.detach().numpy())
    np.testing.assert_array_equal(Of(lambda: flow.ones(3) * 2.0)().numpy(), np.full(3, 2.0))


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_an_input_may_be_unused(micro_batches):
    x = random(4, 8)
    result = Of(lambda x, unused: x + 1.0, micro_batches=micro_batches)(
        flow.tensor(x), flow.tensor(random(4, 3)))
    np.testing.assert_array_equal(result.numpy(), x + 1)


def test_tied_weights_get_both_gradients():
    def make():
        flow.manual_seed(0)
        first, second = nn.Linear(8, 8), nn.Linear(8, 8)
        second.weight = first.weight
        model = nn.Sequential(first, nn.GELU(), second)
        return model, flow.optim.SGD(model.parameters(), lr=0.1)

    eager, eager_optimizer = make()
    graphed, optimizer = make()
    graph = Of(lambda x: step(graphed, x), graphed, optimizers=[optimizer])
    x = flow.tensor(random(4, 8))
    for _ in range(3):
        eager_optimizer.zero_grad()
        loss = step(eager, x)
        eager_optimizer.step()
        assert graph(x).item() == loss.item()


def test_two_optimizers_and_a_parameter_without_a_gradient():
    def make():
        flow.manual_seed(0)
        first, second, unused = (nn.Linear(8, 8) for _ in range(3))
        optimizers = [flow.optim.AdamW([*first.parameters(), *unused.parameters()], lr=0.01),
                      flow.optim.SGD(second.parameters(), lr=0.1)]
        return nn.Sequential(first, second), unused, optimizers

    eager, _, eager_optimizers = make()
    graphed, unused, optimizers = make()
    before = unused.weight.detach().numpy().copy()
    graph = Of(lambda x: step(graphed, x), graphed, unused, optimizers=optimizers)
    x = flow.tensor(random(4, 8))
    for _ in range(3):
        for optimizer in eager_optimizers:
            optimizer.zero_grad()
        loss = step(eager, x)
        for optimizer in eager_optimizers:
            optimizer.step()
        assert graph(x).item() == loss.item()
    np.testing.assert_array_equal(unused.weight.detach().numpy(), before)


def test_an_evaluating_graph_sees_what_a_training_graph_updates():
    model = mlp()
    train = Train(model, flow.optim.SGD(model.parameters(), lr=0.1))
    evaluate = Train(model)
    x, y = data()
    for _ in range(3):
        assert evaluate(x, y).item() == train(x, y).item()


def masks(x, micro_batches):
    flow.manual_seed(7)
    dropout = nn.Dropout(0.5)
    return Of(dropout, dropout, micro_batches=micro_batches)(x).numpy()


def test_micro_batches_do_not_change_what_dropout_draws():
    x = flow.ones(16, 8)
    flow.manual_seed(7)
    eager = nn.Dropout(0.5)(x).numpy()
    for micro_batches in (1, 2, 4):
        np.testing.assert_array_equal(masks(x, micro_batches), eager)


def test_edges_on_two_processes(tmp_path):
    run_text(tmp_path, 2, PRELUDE + """
x = flow.tensor(random(8, 8)).to_global(placement=P, sbp=B)
rows = x.to_global(sbp=split(0))

# One rank alone may run graphs on local tensors before, without shared graphs losing count.
if RANK == 0:
    Of(lambda t: t * 2.0)(flow.ones(2))
np.testing.assert_array_equal(Of(lambda t: t * 2.0)(rows).numpy(), 2 * random(8, 8))

# Random values count by the element of the whole batch, in any layout and number of pieces.
ones = flow.ones(16, 8, placement=P, sbp=split(0))
for m in (2, 4):
    np.testing.assert_array_equal(masks(ones, m), masks(ones, 1))

# Pieces of a result that no layout of the whole could hold are refused when compiling.
uneven = Of(lambda t: t.sum(1).reshape(2, 2).sum(0, keepdim=True).to_global(sbp=split(0)),
            micro_batches=2)
with pytest.raises(ValueError, match="multiple of 2"):
    uneven(x)

# A loss in partial layout is trained on and returned.
layer = nn.Linear(8, 8).to_global(placement=P, sbp=B)
def summed(t):
    loss = (layer(t) ** 2).sum()
    loss.backward()
    return loss
for m in (1, 2):
    expected = (layer(rows) ** 2).sum().detach().numpy()
    graph = Of(summed, layer, optimizers=[flow.optim.SGD(layer.parameters(), lr=1e-3)],
               micro_batches=m)
    got = graph(rows)
    assert got.sbp[0] == flow.sbp.partial_sum
    np.testing.assert_allclose(got.detach().numpy().sum(), expected, rtol=1e-5)

# A split parameter, gathered for forward and backward, is updated in its own layout.
for m in (1, 2):
    flow.manual_seed(0)
    pair = [nn.Linear(8, 8).to_global(placement=P, sbp=B) for _ in range(2)]
    pair[1].load_state_dict(pair[0].state_dict())
    graphed, eager = (layer.to_global(sbp=split(0)) for layer in pair)
    def loss_of(layer, t):
        w = layer.weight.to_global(sbp=B)
        return ((t @ w) ** 2 @ w.transpose(0, 1)).mean()
    def train(t):
        loss_of(graphed, t).backward()
        return t
    graph = Of(train, graphed, optimizers=[flow.optim.SGD(graphed.parameters(), lr=0.1)],
               micro_batches=m)
    optimizer = flow.optim.SGD(eager.parameters(), lr=0.1)
    for _ in range(2):
        graph(rows)
        optimizer.zero_grad()
        loss_of(eager, rows).backward()
        optimizer.step()
    np.testing.assert_allclose(graphed.weight.detach().numpy(), eager.weight.detach().numpy(),
                               rtol=1e-5)

# A rank may hold no row at all.
one = flow.tensor(random(1, 8)).to_global(placement=P, sbp=B).to_global(sbp=split(0))
expected = (layer(one) ** 2).sum().detach().numpy()
graph = Of(summed, layer, optimizers=[flow.optim.SGD(layer.parameters(), lr=1e-3)])
np.testing.assert_allclose(graph(one).detach().numpy(), expected, rtol=1e-5)
""")


def test_meshes_of_different_rank_with_micro_batches_on_four_processes(tmp_path):
    run_text(tmp_path, 4, PRELUDE + """
mesh = flow.placement("cpu", ranks=[[0, 1], [2, 3]])
line = flow.placement("cpu", ranks=[1, 2, 3])
a = random(12, 8)
for m in (1, 2):
    x = flow.tensor(a).to_global(placement=mesh, sbp=[B, B]).to_global(sbp=[split(0), split(1)])
    module = nn.Module()
    module.w = nn.Parameter(flow.randn(8, 8, placement=line, sbp=split(0)))
    w = module.w.detach().numpy().copy()
    def build(t):
        y = (t * 2.0).to_global(placement=line, sbp=split(0)) @ module.w
        loss = (y.to_global(placement=mesh, sbp=[B, split(1)]) ** 2).mean()
        loss.backward()
        return loss
    graph = Of(build, module, optimizers=[flow.optim.SGD([module.w], lr=0.1)], micro_batches=m)
    loss = graph(x).detach().numpy().mean()
    y = 2 * a @ w
    np.testing.assert_allclose(loss, (y ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(module.w.detach().numpy(), w - 0.1 * (2 * a).T @ (2 * y) / y.size,
                               rtol=1e-4, atol=1e-6)
    counters = graph.counters()
    assert counters["messages"] == counters["predicted_messages"]
""")


def test_ranks_that_differ_in_a_number_hear_which_operator_has_it(tmp_path):
    result = run_text(tmp_path, 2, PRELUDE + """
x = flow.tensor(random(4, 8)).to_global(placement=P, sbp=B)
Of(lambda t: flow.exp(t) * (2.0 + RANK))(x)
""", check=False)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "different plans" in text and "in its attributes" in text and "mul_scalar" in text, text


def test_a_stage_moves_named_inputs_too():
    class Product(nn.Module):
        def forward(self, x, y=None, *, others=()):
            return x * y + others[0]

    module = Product()
    with flow.compile_world(2):
        here, there = (flow.placement("cpu", ranks=[rank]) for rank in (0, 1))
        module.to(nn.graph.GraphModule).set_stage(1, there)
        x = flow.ones(2, placement=here, sbp=flow.sbp.broadcast)

        def build(x):
            y = module(x, y=x + 1.0, others=[x * 3.0])
            assert y.placement == there
            return y

        graph = Of(build, module)
        graph.compile(x)
        module.to(nn.graph.GraphModule).set_stage(1, here)  # a guard
        with pytest.raises(AssertionError):
            graph.compile(x)
        with pytest.raises(RuntimeError, match="set_stage.*inside build"):
            Of(lambda x: module.to(nn.graph.GraphModule).set_stage(0, here)).compile(x)


def test_an_unknown_entry_of_a_graph_s_state_is_refused():
    layer = nn.Linear(2, 2)
    graph = Of(layer, layer)
    state = graph.state_dict()
    changed = {**state, "m0": {**state["m0"], "bias": flow.ones(2)}, "m1": {}}
    with pytest.raises(KeyError, match="'m1'.*'m0'.*strict=False"):
        graph.load_state_dict(changed)
    assert layer.bias.tolist() == state["m0"]["bias"].tolist() != [1.0, 1.0]
    graph.load_state_dict(changed, strict=False)
    assert layer.bias.tolist() == [1.0, 1.0]
