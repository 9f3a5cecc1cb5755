"""What shares memory: elements that an integer tensor picks in build(), tensors from outside that
lie in one memory, local tensors beside global ones. A graph does as eager does, or refuses."""

import graph_case
import numpy as np
import pytest
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn
from oneflow_like.nn import functional as F


class Of(nn.Graph):
    def __init__(self, body, module=None):
        super().__init__()
        self.body = body
        if module is not None:
            self.module = module

    def build(self, *args):
        return self.body(*args) if not hasattr(self, "module") else self.body(self.module, *args)


class Buffers(nn.Module):
    def __init__(self, **buffers):
        super().__init__()
        for name, value in buffers.items():
            self.register_buffer(name, value)


ONE = flow.tensor(1)

# Statements on y, a value of build(), and i, an integer without axes; z is returned with y.
PICKS = """
z = y[i].add_(1)
z = y[i, 1:].mul_(3)
z = y[i][0].zero_()
y[i] += 1
y[i] *= 2; y[ONE] += y[i]
y[i] = 5.0
y[i, i] = 5.0
z = y[i, i].add_(1)
z = y[i]; y.add_(1)
z = y[:, i]; z.mul_(2); y[0] = 3
z = y[ONE]; z.zero_()
z = y[flow.tensor(-1)]; z.zero_()
z = y.t()[i]; z.mul_(2)
z = y[i].view(-1)[2:]; z.mul_(7)
z = y[i].unsqueeze(0).expand(3, 5)[0]; z.mul_(7)
z = y[None, i, ..., None]; z.mul_(7)
z = y[..., i]; z[i] = 9.0
z = y[i].detach(); z.add_(1)
z = y[i]; w = y[i]; z.add_(1); w.mul_(2)
z = y[i.int()]; z.add_(1)
z = y[:, i].contiguous(); z.add_(1)
z = y[:, i].reshape(5, 1); z.add_(1)
a, z = y[i].split([2, 3]); a.add_(1); z.mul_(2)
z = y[i].masked_fill_(y[i] > 6, -1.0)
z = flow.nn.functional.relu(y[i] - 9, inplace=True)
z = flow.add(y[0], 1, out=y[i])
z = y[[0, 1]]; z.zero_()
z = y[i, [0, 1]]; z.zero_()
z = y[i.reshape(1)]; z.zero_()
z = y[i].clone(); z.add_(1)
z = flow.index_select(y, 0, i); z.zero_()
z = flow.take(y, i); z.zero_()
z = flow.gather(y, 0, i.reshape(1, 1)); z.zero_()
""".strip().splitlines()
VALUES = np.arange(25, dtype=np.float32).reshape(5, 5)


def body_of(text):
    def body(x, i):
        names = {"flow": flow, "ONE": ONE, "y": x * 1.0, "i": i}
        exec(text, names)
        return names["y"], names.get("z", names["y"])
    return body


def compare(text, lay, number):
    body, arrays = body_of(text), (VALUES, np.array(number))
    want = [v.numpy() for v in body(*map(lay, arrays))]
    graph = Of(body)
    for _ in range(2):
        for got, expected in zip(graph(*map(lay, arrays)), want, strict=True):
            np.testing.assert_array_equal(got.numpy(), expected, err_msg=text)


@pytest.mark.parametrize("text", PICKS)
def test_what_an_integer_tensor_picks_is_a_view(text):
    compare(text, flow.tensor, 1)


def test_the_launch_says_where_the_view_lies():
    graph = Of(body_of("y[i].zero_()"))
    for number in (1, 3, -1):
        want = VALUES.copy()
        want[number] = 0.0
        np.testing.assert_array_equal(
            graph(flow.tensor(VALUES), flow.tensor(number))[0].numpy(), want)


def test_a_gradient_goes_through_what_was_put_back():
    grads = []
    for compiled in (True, False):
        layer = nn.Linear(3, 3)
        layer.load_state_dict({"weight": flow.arange(9.0).reshape(3, 3), "bias": flow.ones(3)})
        optimizer = flow.optim.SGD(layer.parameters(), lr=1.0)

        def loss(x, i, layer=layer):
            y = layer(x)
            y[i].mul_(3.0)
            y[i, 1:].mul_(y[0, 1:].detach().clone())
            return (y * y).sum()

        class Train(nn.Graph):
            def __init__(self, layer=layer, optimizer=optimizer, loss=loss):
                super().__init__()
                self.layer, self.loss = layer, loss
                self.add_optimizer(optimizer)

            def build(self, x, i):
                value = self.loss(x, i)
                value.backward()
                return value

        x = flow.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
        if compiled:
            Train()(x, ONE)
        else:
            loss(x, ONE).backward()
            optimizer.step()
        grads.append(layer.weight.detach().numpy())
    np.testing.assert_allclose(*grads, rtol=1e-5)


@pytest.mark.parametrize("text, part", [
    ("y.unsqueeze(0).expand(3, 5, 5)[:, i][0].mul_(7)", "known to a launch alone"),
    ("y[i > 0].add_(1)", "no data"),
])
def test_picks_that_a_graph_cannot_say(text, part):
    with pytest.raises(RuntimeError, match=part):
        Of(body_of(text))(flow.tensor(VALUES), ONE)


@pytest.mark.parametrize("change", [
    lambda v: v.add_(1), lambda v: v.__setitem__(0, 2.0), lambda v: flow.mul(v, 2.0, out=v)])
@pytest.mark.parametrize("take", [lambda y: y.unsqueeze(1), lambda y: y[0], lambda y: y[ONE]])
def test_a_view_taken_under_no_grad_is_not_changed_while_gradients_are_recorded(change, take):
    layer = nn.Linear(3, 3)

    def step(x):
        y = layer(x)
        with flow.no_grad():
            view = take(y)
        change(view)
        loss = (y * y).sum()
        loss.backward()
        return loss

    train = graph_case.Of(step, layer,
                          optimizers=[flow.optim.SGD(layer.parameters(), lr=0.1)])
    for call in (step, train):
        with pytest.raises(RuntimeError, match="no_grad"):
            call(flow.ones(2, 3))


def test_an_argument_stays_as_it_is():
    with pytest.raises(RuntimeError, match="belongs to the caller"):
        Of(lambda x, i: x[i].add_(1))(flow.tensor(VALUES), ONE)


# --- tensors from outside in one memory --------------------------------------------------------

def changed_and_read(m, x):
    m.a.add_(1)
    return x * m.b


def read_and_changed(m, x):
    y = x * m.b
    m.a.add_(1)
    return y


def other_changed(m, x):
    m.b.mul_(3)
    return m.a * 1.0, x * m.b


def other_alone(m, x):
    m.b.mul_(3)
    return x * m.b


CHANGES = [changed_and_read, read_and_changed, other_changed, other_alone]
ARRAY = np.arange(2, dtype=np.float32)


def two(kind):
    a = flow.arange(4.0)
    if kind == "disjoint":
        return Buffers(a=a[:2], b=a[2:])
    if kind == "view":
        return Buffers(a=a, b=a[1:3])
    if kind == "tied":
        return Buffers(a=a[:2], b=a[:2])
    array = ARRAY.copy()
    return Buffers(a=flow.from_numpy(array), b=flow.from_numpy(array))


@pytest.mark.parametrize("kind", ["disjoint", "tied", "view", "array"])
@pytest.mark.parametrize("change", CHANGES)
def test_two_buffers_in_one_memory(kind, change):
    eager, compiled = two(kind), two(kind)
    graph, x = Of(change, compiled), flow.tensor([2.0, 5.0])
    if kind in ("view", "array") and change is not other_alone:
        with pytest.raises(ValueError, match=r"same memory.*module\.[ab].*module\.[ab].*clone"):
            graph(x)
        np.testing.assert_array_equal(compiled.a.numpy(), eager.a.numpy())
        return
    for _ in range(2):
        got, want = graph(x), change(eager, x)
        for g, w in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want)),
                        strict=True):
            np.testing.assert_array_equal(g.numpy(), w.numpy())
        for name, value in eager.named_buffers():
            np.testing.assert_array_equal(getattr(compiled, name).numpy(), value.numpy())


def test_captured_views_of_what_changes():
    module = Buffers(a=flow.arange(3.0))
    view, twin = module.a[:2], module.a.detach()
    for body in (lambda m, x: (m.a.add_(1).sum(), view * x),
                 lambda m, x: (view * x, m.a.add_(1).sum())):
        with pytest.raises(ValueError, match="same memory"):
            Of(body, module)(flow.ones(2))
    results = Of(lambda m: (m.a.add_(1).sum(), twin * 2.0), module)()
    np.testing.assert_array_equal(results[1].numpy(), [2.0, 4.0, 6.0])
    both = Of(lambda m, x: (m.a.sum(), view * x), module)(flow.ones(2))  # nothing changes
    np.testing.assert_array_equal(both[1].numpy(), [1.0, 2.0])


def test_an_argument_in_the_memory_of_what_changes():
    module = Buffers(a=flow.arange(4.0))
    graph = Of(lambda m, x: (m.a.add_(1).sum(), x * 1.0), module)
    with pytest.raises(ValueError, match="an argument.*shares memory with module.a"):
        graph(module.a)
    with pytest.raises(ValueError, match="shares memory"):
        graph(flow.as_strided(module.a, (4,), (0,)))
    assert graph(module.a.clone())[1].numpy().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert module.a.numpy().tolist() == [1.0, 2.0, 3.0, 4.0]


def test_an_alias_of_a_parameter_that_is_trained():
    layer = nn.Linear(2, 2)
    alias = layer.weight.detach()

    class Train(nn.Graph):
        def __init__(self):
            super().__init__()
            self.layer = layer
            self.add_optimizer(flow.optim.SGD(layer.parameters(), lr=0.1))

        def build(self, x):
            loss = self.layer(x).sum() + alias.sum()
            loss.backward()
            return loss

    with pytest.raises(ValueError, match="same memory.*layer.weight"):
        Train()(flow.ones(1, 2))


def test_statistics_that_were_changed_before():
    def body(m, x):
        m.a.add_(1)
        y = F.batch_norm(x, m.a, m.b, training=True)
        return y, m.a * 1.0, m.b + x
    modules = [Buffers(a=flow.zeros(2), b=flow.ones(2)) for _ in range(2)]
    graph, x = Of(body, modules[0]), flow.tensor([[1.0, 2.0], [3.0, 5.0]])
    for _ in range(2):
        for got, want in zip(graph(x), body(modules[1], x), strict=True):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


def test_repeat_interleave_of_numbers_that_a_launch_reads():
    x, reps = flow.tensor(VALUES), flow.tensor([1, 2, 0, 3, 1])
    graph = Of(lambda x, r: (x.repeat_interleave(r, dim=0, output_size=7),
                             flow.repeat_interleave(r, output_size=7)))
    for repeats in (reps, flow.tensor([7, 0, 0, 0, 0])):
        rows, places = graph(x, repeats)
        np.testing.assert_array_equal(rows.numpy(), np.repeat(VALUES, repeats.numpy(), 0))
        np.testing.assert_array_equal(places.numpy(), np.repeat(np.arange(5), repeats.numpy()))
    one = Of(lambda x, r: x.repeat_interleave(r, dim=1, output_size=10))
    np.testing.assert_array_equal(one(x, flow.tensor(2)).numpy(), np.repeat(VALUES, 2, 1))
    with pytest.raises(RuntimeError, match=r"\[repeat_interleave\].*output_size="):
        Of(lambda x, r: x.repeat_interleave(r, dim=0))(x, reps)
    for wrong in ([1, 2, 0, 3, 2], [1, 2, 0, 3, 0], [3, 3, -1, 1, 1]):
        rows = Of(lambda x, r: x.repeat_interleave(r, dim=0, output_size=7))
        with pytest.raises((RuntimeError, IndexError)):
            rows(x, flow.tensor(wrong))


JOB = f"""
import sys
sys.path.insert(0, {__file__.rpartition("/")[0]!r})
from test_graph_aliases import *
everyone, B, S = flow.placement.all("cpu"), flow.sbp.broadcast, flow.sbp.split
rank = flow.env.get_rank()

def lays():
    for sbp in (S(0), S(1), B):
        yield lambda array, sbp=sbp: (
            flow.tensor(array).to_global(placement=everyone, sbp=B).to_global(
                sbp=sbp if array.ndim > 1 else B))

def statistics(x):
    mean, var = flow.zeros(5), flow.ones(5)
    return F.batch_norm(x, mean, var, training=True), mean, var, x + mean

def counted(x):
    mean, var = flow.tensor([0.0] * 5), flow.tensor([1.0] * 5)
    return F.batch_norm(x, mean, var, training=True), x * mean, x * var

def own(x):
    z = x.to_global(sbp=B) * 1.0
    here = z.to_local()
    here.add_(1.0)
    return z, here, z + x

BODIES = [lambda x: flow.meshgrid(x[0], flow.ones(2)), statistics, counted, own,
          lambda x: x.repeat_interleave(flow.tensor([1, 2, 0, 3, 1]), dim=0, output_size=7),
          lambda x: (x.new_ones(5) + 1, x.new_zeros(()) + x, x.new_full((6, 1), 2.0) * 2)]
for lay in lays():
    for text in PICKS:
        compare(text, lay, 1)
    for body in BODIES:
        graph = Of(body)
        for _ in range(2):
            got, want = graph(lay(VALUES)), body(lay(VALUES))
            if isinstance(want, flow.Tensor):
                got, want = (got,), (want,)
            for g, w in zip(got, want, strict=True):
                assert g.is_global == w.is_global
                np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-5)
    whole = lay(np.stack([np.arange(2, dtype=np.float32)] * 5))
    module = Buffers(a=whole, b=whole[1:3])
    for change in CHANGES:
        x = lay(np.ones((5, 2), dtype=np.float32))[0]
        if change is other_alone:
            continue
        try:
            Of(change, module)(x)
        except ValueError as error:
            assert "same memory" in str(error) and "module.a" in str(error)
        else:
            raise AssertionError(change)
"""


# Ranks hold different memory of what all of them trace alike: nothing, or what others got sent.
ALIKE = f"""
import sys
sys.path.insert(0, {__file__.rpartition("/")[0]!r})
from test_graph_aliases import *
everyone, last = flow.placement.all("cpu"), flow.placement("cpu", [1])
B = flow.sbp.broadcast
mask, row = flow.tensor([1.0, 0.0]), flow.tensor([2.0, 3.0])
twice = [row.to_global(placement=everyone, sbp=B) for _ in range(2)]
module = Buffers(a=row.to_global(placement=everyone, sbp=B).clone())

def body(m, x):
    c = flow.tensor([0.0, 0.0])
    d = flow.tensor([1.0, 1.0])
    z = F.batch_norm(x, c, d, training=True)
    y = x.to_global(placement=last, sbp=B)
    m.a.add_(1)
    return x * mask + mask, y * mask + mask, z, x * c + d, twice[0] + x * twice[1], m.a + 0

x = flow.tensor([[1.0, 2.0], [3.0, 5.0]]).to_global(placement=everyone, sbp=B)
twin = Buffers(a=module.a.clone())
graph = Of(body, module)
for _ in range(2):
    for got, want in zip(graph(x), body(twin, x), strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
"""


def test_ranks_trace_alike_whatever_they_share(tmp_path):
    run_text(tmp_path, 2, ALIKE)


@pytest.mark.parametrize("processes", [1, 2])
def test_of_global_tensors(tmp_path, processes):
    run_text(tmp_path, processes, JOB)
