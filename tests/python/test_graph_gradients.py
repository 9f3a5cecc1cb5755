"""Gradients in a graph where eager has them, and refusals where eager refuses."""

import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.testing.graphs import Calls as Of


class Train(nn.Graph):
    def __init__(self, function, *parameters):
        super().__init__()
        self.module = nn.Module()
        for number, parameter in enumerate(parameters):
            self.module.register_parameter(f"p{number}", parameter)
        self.optimizer = flow.optim.SGD(parameters, lr=0.0, momentum=0.5)
        self.add_optimizer(self.optimizer)
        self.function = function

    def build(self, *args):
        loss = self.function(*args)
        loss.backward()
        return loss

    def grad(self, parameter):
        return self.optimizer.state[parameter]["momentum_buffer"].numpy()


def parameter(*shape):
    values = np.random.RandomState(0).standard_normal(shape).astype("float32")
    return nn.Parameter(flow.tensor(values))


def test_an_operator_without_a_gradient_is_refused_on_the_way_of_one():
    p = parameter(3, 3)
    with pytest.raises(NotImplementedError, match="geqrf. has no gradient"):
        (flow.geqrf(p)[0].sum() + p.sum()).backward()
    with pytest.raises(NotImplementedError, match="geqrf. has no gradient"):
        Train(lambda: flow.geqrf(p)[0].sum() + p.sum(), p)()
    graph = Train(lambda: flow.geqrf(p.detach())[0].sum() + p.sum(), p)
    graph()
    assert (graph.grad(p) == 1).all()


@pytest.mark.parametrize("change", [
    lambda y: y.zero_(), lambda y: y.fill_(3.0), lambda y: y.copy_(flow.ones(3)),
    lambda y: y.__setitem__(slice(None), 2.0), lambda y: y[1:].zero_(), lambda y: y.eq_(1.0)])
def test_what_is_overwritten_has_a_gradient_of_zeros(change):
    def loss(p):
        y = p * p
        kept = y[1:]
        change(y)
        assert y.requires_grad and kept.requires_grad
        return (y * 2).sum() + (kept * 3).sum()

    p = parameter(3)
    loss(p).backward()
    q = parameter(3)
    graph = Train(lambda: loss(q), q)
    graph()
    np.testing.assert_array_equal(graph.grad(q), p.grad.numpy())


def test_what_is_overwritten_on_ranks(tmp_path):
    run_text(tmp_path, 2, """
import sys
sys.path.insert(0, TESTS)
from test_graph_gradients import Train, parameter
import numpy as np
import oneflow_like as flow
from oneflow_like import nn
P = flow.placement.all("cpu")
for sbp in (flow.sbp.split(0), flow.sbp.broadcast):
    def loss(p):
        y = p * p
        row = y[1]
        y.zero_()
        return y.sum() + (row * 3).sum() + (p * 2).sum()
    p, q = (nn.Parameter(parameter(4, 3).detach().to_global(placement=P, sbp=sbp))
            for _ in range(2))
    loss(p).backward()
    graph = Train(lambda: loss(q), q)
    graph()
    assert (graph.grad(q) == p.grad.numpy()).all()
""".replace("TESTS", repr(str(__import__("pathlib").Path(__file__).parent))))


HOOKS = {"register_hook": lambda g: g * 10,
         "register_post_accumulate_grad_hook": lambda p: None}


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_of_parameters_are_refused_in_a_graph(kind):
    p = parameter(3)
    handle = getattr(p, kind)(HOOKS[kind])
    graph = Train(lambda: (p * 2).sum(), p)
    with pytest.raises(NotImplementedError, match="a parameter has a hook"):
        graph()
    handle.remove()
    graph()
    assert (graph.grad(p) == 2).all()
    getattr(p, kind)(HOOKS[kind])
    with pytest.raises(NotImplementedError, match="a parameter has a hook"):
        graph()


def test_numbers_made_in_build_change_in_place_in_every_call_anew():
    def build(x):
        y = flow.tensor([1.0, 2.0, 3.0])
        part = y[1:]
        y.add_(x)
        part.mul_(2)
        z = flow.full((3,), 2.0)
        z[0] = 5
        return y, z

    graph, x = Of(build), flow.ones(3)
    for _ in range(2):
        for got, want in zip(graph(x), build(x), strict=True):
            assert got.tolist() == want.tolist()


def test_parts_of_complex_numbers_as_views_of_views():
    def build(x):
        pairs = flow.view_as_real(x)
        back = flow.view_as_complex(pairs[1:].permute(1, 0, 2) * 2)
        return pairs.permute(2, 1, 0) + 1, back.permute(1, 0) + 1, pairs[1:, :, 0] * 3

    x = flow.complex(flow.tensor(np.random.RandomState(1).rand(3, 4)),
                     flow.tensor(np.random.RandomState(2).rand(3, 4)))
    for got, want in zip(Of(build)(x), build(x), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_a_copy_of_an_array_is_a_constant():
    array = np.ones(3)

    def build():
        made = flow.asarray(array, copy=True)
        array[0] = 5
        return made * 1

    assert Of(build)().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("call", "instead"), [
    (lambda x: x.nonzero(), r"nonzero_static\(size=\.\.\.\)"),
    (lambda x: flow.masked_select(x, x > 0), r"nonzero_static\(size=\.\.\.\)"),
    (lambda x: x.unique(), r"nonzero_static\(size=\.\.\.\)"),
    (lambda x: x[x > 0], r"flow.where\(mask, x, 0\)")])
def test_sizes_that_depend_on_values_name_what_keeps_a_size(call, instead):
    with pytest.raises(RuntimeError, match=instead):
        Of(call)(flow.ones(3))
