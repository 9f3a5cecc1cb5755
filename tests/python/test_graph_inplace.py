"""In-place changes inside build(): what eager does with them, or an error; never another result."""

import pathlib

import numpy as np
import pytest
from graph_case import Of
from jobs import run_text

import oneflow_like as flow
from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent


def numbers(*shape):
    return np.float32(np.random.RandomState(len(shape)).standard_normal(shape))


INDICES = {
    "row": 1, "last row": -1, "rows": slice(1, 3), "steps": slice(None, None, 2),
    "column": (slice(None), 2), "all": slice(None), "dots": (..., slice(1, 4)),
    "element": (1, 2, 3), "new axis": (slice(0, 2), None, 1), "nothing": slice(2, 2),
}
VALUES = {
    "number": lambda part: 2.5, "whole number": lambda part: 3,
    "tensor": lambda part: flow.tensor(numbers(*part.shape) * 2),
    "one element": lambda part: flow.tensor(np.float32(7.0)),
    "leading axes": lambda part: flow.tensor(numbers(1, 1, *part.shape)),
    "doubles": lambda part: flow.tensor(np.float64(numbers(*part.shape))),
    "integers": lambda part: flow.tensor(np.arange(part.size).reshape(part.shape)),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("index", INDICES)
def test_assignment_to_a_part(index, value):
    x = numbers(3, 4, 5)
    want = x.copy()
    given = VALUES[value](want[INDICES[index]])
    taken = given.numpy() if isinstance(given, flow.Tensor) else given
    if value == "leading axes":
        taken = taken.reshape(want[INDICES[index]].shape)
    want[INDICES[index]] = taken

    def write(x, *given_tensor):
        y = x * 1.0
        y[INDICES[index]] = given_tensor[0] if given_tensor else given
        return y

    args = [flow.tensor(x)] + [given] * isinstance(given, flow.Tensor)
    np.testing.assert_array_equal(write(*args).numpy(), want)
    np.testing.assert_array_equal(Of(write)(*args).numpy(), want)
    np.testing.assert_array_equal(args[0].numpy(), x)


@pytest.mark.parametrize("dtype", [flow.int64, flow.uint8, flow.bool, flow.float16,
                                   flow.complex64])
def test_assignment_keeps_the_dtype(dtype):
    def write(x):
        y = x.to(dtype)
        y[1:, 0] = 1
        return y

    x = flow.zeros(3, 2)
    for result in (write(x), Of(write)(x)):
        assert result.dtype is dtype
        assert result.to(flow.float32).numpy().tolist() == [[0, 0], [1, 0], [1, 0]]


def test_gradients_of_an_assignment():
    made = []
    for compiled in (True, False):
        layer = nn.Linear(3, 3)
        with flow.no_grad():
            layer.weight.copy_(flow.tensor(numbers(3, 3)))
            layer.bias.zero_()
        optimizer = flow.optim.SGD(layer.parameters(), lr=0.5)

        def loss_of(x, layer=layer):
            y = layer(x)
            y[0] = y[1] * 2.0
            y[:, 1] = layer.bias[0]
            y[2, 2] = 4.0
            return (y * y).sum()

        class Step(nn.Graph):
            def __init__(self, layer=layer, optimizer=optimizer):
                super().__init__()
                self.layer = layer
                self.add_optimizer(optimizer)

            def build(self, x, loss_of=loss_of):
                loss = loss_of(x)
                loss.backward()
                return loss

        x = flow.tensor(numbers(4, 3))
        if compiled:
            loss = Step()(x)
        else:
            loss = loss_of(x)
            loss.backward()
            optimizer.step()
        made.append([v.detach().numpy() for v in (loss, layer.weight, layer.bias)])
    for got, want in zip(*made, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_assignment_refuses():
    x = flow.zeros(3, 4)
    with pytest.raises(ValueError, match="does not broadcast"):
        x[0] = flow.zeros(5)
    with pytest.raises(TypeError, match=r"\[setitem\].*list"):
        x[0] = [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(TypeError, match=r"\[setitem\] an index must be an integer"):
        x["0"] = 1.0
    with pytest.raises(IndexError):
        x[3] = 1.0
    leaf = flow.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf[0] = 1.0
    with flow.no_grad():
        leaf[0] = 1.0
    assert leaf.tolist() == [1, 0, 0]


# --- results of view operators lie in their operand's memory, in eager and in a graph -----------

def test_a_written_view_changes_its_base():
    def build(x):
        base = x + 0.0
        rows, turned, flat = base[0:2], base.transpose(0, 1), base.reshape(-1)
        rows.add_(10.0)
        turned.mul_(-1.0)
        flat[0] = 5.0
        again = turned.transpose(0, 1)
        again.add_(1.0)
        base.sub_(1.0)
        return base, rows, turned, flat, again

    x = flow.tensor(numbers(3, 4))
    for got, want in zip(Of(build)(x), build(x), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


# --- memory that eager shares --------------------------------------------------------------------

def used_after(share, change):
    """A value whose memory is changed through another, then used."""
    def build(x):
        y = x * 2.0
        other = share(y)
        change(other)
        return other + y
    return build


CHANGES = {
    "add_": lambda d: d.add_(1.0), "copy_": lambda d: d.copy_(d * 3.0),
    "fill_": lambda d: d.fill_(2.0), "data": lambda d: setattr(d, "data", d * 2.0),
    "part": lambda d: d.__setitem__(0, 1.0), "zero_": lambda d: d.zero_(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("share", ["detach", "data"])
def test_a_change_through_shared_memory_is_not_lost(share, change):
    x = flow.tensor(numbers(3, 4))

    def alias(y):
        return y.detach() if share == "detach" else y.data

    # Whoever uses either tensor gets what eager gives; a clone is no such memory.
    for made in (alias, lambda y: y.detach().clone()):
        build = used_after(made, CHANGES[change])
        np.testing.assert_array_equal(Of(build)(x).numpy(), build(x).numpy())


@pytest.mark.parametrize("share", ["detach", "data"])
def test_a_change_behind_a_history_is_refused(share):
    layer = nn.Linear(4, 4)

    def build(x):
        y = layer(x)
        (y.detach() if share == "detach" else y.data).add_(1.0)
        return y.sum()

    with pytest.raises(RuntimeError, match=r"\[add_\].*history.*behind its back.*clone"):
        Of(build, layer)(flow.tensor(numbers(3, 4)))


def test_a_change_is_seen_by_all_over_the_memory():
    def build(x):
        y = x * 2.0
        before = y.detach()
        y.add_(1.0)
        after = y.detach()
        return y + after, before

    x = flow.tensor(numbers(3, 4))
    for got, want in zip(Of(build)(x), build(x), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_copies_are_apart_afterwards():
    def build(x):
        y, z = x * 2.0, x * 3.0
        y.copy_(z)
        y.add_(1.0)
        z.mul_(2.0)
        y.data = z
        z.add_(5.0)
        return y, z

    x = flow.tensor(numbers(3, 4))
    for got, want in zip(Of(build)(x), build(x), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


CAPTURED = flow.zeros(4)
OUTSIDE = {
    "a parameter": (lambda m, x: m.weight.detach().mul_(0.5), "mul_", "weight"),
    "a parameter's data": (lambda m, x: m.weight.data.clamp_(-1.0, 1.0), "clamp_", "weight"),
    "a part of a parameter": (lambda m, x: m.weight.__setitem__(0, 0), "setitem", "outside build"),
    "a part of its data": (lambda m, x: m.weight.data.__setitem__(0, 0.0), "setitem", "weight"),
    "a tensor of nobody": (lambda m, x: CAPTURED.add_(1.0), "add_", "outside build"),
    "a buffer, with a history": (lambda m, x: m.count.add_(m.bias), "add_", "history.*detach"),
    "an argument": (lambda m, x: x.add_(1.0), "add_", "argument"),
    "a part of an argument": (lambda m, x: x.__setitem__(0, 1.0), "setitem", "argument"),
    "an argument's data": (lambda m, x: x.detach().zero_(), "zero_", "argument"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_tensors_from_outside_are_not_changed(case):
    change, name, words = OUTSIDE[case]
    layer = nn.Linear(4, 4)
    layer.register_buffer("count", flow.zeros(4))

    def build(x):
        change(layer, x)
        return x * 2.0

    before = [v.detach().numpy().copy() for v in (layer.weight, layer.count)]
    with pytest.raises(RuntimeError, match=rf"^\[{name}\](.|\n)*{words}"):
        Of(build, layer)(flow.tensor(numbers(3, 4)))
    for v, was in zip((layer.weight, layer.count), before, strict=True):
        np.testing.assert_array_equal(v.detach().numpy(), was)


# --- buffers ---------------------------------------------------------------------------------

class Statistics(nn.Module):
    """Buffers that every call changes: as a whole, in part, through what shares their memory."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        with flow.no_grad():
            self.layer.weight.copy_(flow.tensor(numbers(4, 4)))
            self.layer.bias.copy_(flow.tensor(numbers(4)))
        for name, tensor in {"calls": flow.zeros((), dtype=flow.int64), "mean": flow.zeros(4),
                             "rows": flow.zeros(3, 4), "last": flow.zeros(3, 4),
                             "before": flow.zeros(3, 4)}.items():
            self.register_buffer(name, tensor)

    def forward(self, x):
        mean = self.mean.clone()
        y = self.layer(x) + mean
        z = y * mean
        self.calls += 1
        self.mean.mul_(0.5).add_(y.detach().mean(0) * 0.5)
        self.rows[self.calls_until_now % 3] = self.mean
        self.before.copy_(self.last)
        self.last.detach().copy_(y.detach())
        with flow.no_grad():
            self.rows[:, 1:3] *= 0.5
            flow.add(self.before, self.mean, out=self.before)
        return (z * z).mean() + (y * self.mean).mean(), self.mean * 2.0, self.calls

    calls_until_now = 1  # a constant of the program


@pytest.mark.parametrize("train", [False, True])
def test_buffers_keep_what_a_graph_writes(train):
    made = []
    for compiled in (True, False):
        model = Statistics()
        optimizer = flow.optim.SGD(model.parameters(), lr=0.1)

        class Step(nn.Graph):
            def __init__(self, model=model, optimizer=optimizer):
                super().__init__()
                self.model = model
                if train:
                    self.add_optimizer(optimizer)

            def build(self, x):
                loss, *rest = self.model(x)
                if train:
                    loss.backward()
                return loss, *rest

        graph, results = Step(), []
        for step in range(3):
            x = flow.tensor(numbers(3, 4) + step)
            if compiled:
                got = graph(x)
            else:
                got = model(x)
                optimizer.zero_grad()
                if train:
                    got[0].backward()
                    optimizer.step()
            results += [v.detach().numpy().copy() for v in got]
        made.append(results + [v.detach().numpy() for v in model.state_dict().values()])
        assert model.calls.item() == 3
    for got, want in zip(*made, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_gradients_read_what_a_buffer_held():
    layer = nn.Linear(4, 4)
    layer.register_buffer("factor", flow.tensor(numbers(4)))

    class Step(nn.Graph):
        def __init__(self):
            super().__init__()
            self.layer = layer
            self.add_optimizer(flow.optim.SGD(layer.parameters(), lr=1.0))

        def build(self, x):
            loss = (layer(x) * layer.factor).sum()
            layer.factor.add_(1.0)
            loss.backward()
            return loss, layer.factor

    bias, factor = (v.detach().numpy().copy() for v in (layer.bias, layer.factor))
    graph = Step()
    for _ in range(2):
        np.testing.assert_array_equal(graph(flow.ones(3, 4))[1].numpy(), factor + 1)
        bias, factor = bias - 3 * factor, factor + 1
        np.testing.assert_allclose(layer.bias.detach().numpy(), bias, rtol=1e-6)
        np.testing.assert_array_equal(layer.factor.numpy(), factor)


def test_a_written_buffer_has_a_new_version():
    model = nn.Linear(4, 4)
    model.register_buffer("seen", flow.zeros(4))
    graph = Of(lambda x: model.seen.add_(x.sum(0)).sum(), model)
    version = model.seen._version
    assert graph(flow.ones(3, 4)).item() == 12.0
    assert model.seen._version > version
    assert graph(flow.ones(3, 4)).item() == 24.0


def test_buffers_of_micro_batches_are_refused():
    model = nn.Linear(4, 4)
    model.register_buffer("seen", flow.zeros(4))
    graph = Of(lambda x: model.seen.add_(x.sum(0)) + model(x), model)
    graph.config.set_gradient_accumulation_steps(2)
    with pytest.raises(NotImplementedError, match=r"\[add_\].*seen.*2 micro-batches"):
        graph(flow.ones(4, 4))


def test_a_history_is_not_kept_over_a_change():
    layer = nn.Linear(4, 4)

    def build(x):
        y = layer(x)
        with flow.no_grad():
            y.mul_(2.0)
        return y

    with pytest.raises(RuntimeError, match=r"\[mul_\] under no_grad"):
        Of(build, layer)(flow.tensor(numbers(3, 4)))


JOB = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_inplace import *
P = flow.placement("cpu", ranks=[0, 1])
S, B = flow.sbp.split, flow.sbp.broadcast

def parts(x, row):
    y = x * 1.0
    y[1] = row
    y[:, 2:] = 7.0
    y[..., 1] = y[..., 0] * 2.0
    turned = y.transpose(0, 1)
    turned[0] = -1.0
    y[2:4].add_(1.0)
    return y, turned

x = flow.tensor(numbers(5, 4)).to_global(placement=P, sbp=B)
row = flow.tensor(numbers(4)).to_global(placement=P, sbp=B)
for sbp in (B, S(0), S(1)):
    laid = x.to_global(sbp=sbp)
    for got, want in zip(Of(parts)(laid, row), parts(laid, row), strict=True):
        assert got.sbp == want.sbp, (sbp, got.sbp, want.sbp)
        np.testing.assert_array_equal(got.numpy(), want.numpy())

def same_place(x):
    y = x * 2.0
    other = y.to_global(sbp=y.sbp)
    other.detach().add_(1.0)
    return y + 1.0

def local(x):
    y = (x * 2.0).to_global(sbp=B)
    y.to_local().add_(1.0)
    return y + 1.0

model = Statistics()
twin = Statistics()
for m in (model, twin):
    m.to_global(placement=P, sbp=B)
model.rows = model.rows.to_global(sbp=S(1))
twin.rows = twin.rows.to_global(sbp=S(1))
graph = Of(model, model)
for step in range(3):
    given = flow.tensor(numbers(3, 4) + step).to_global(placement=P, sbp=B).to_global(sbp=S(0))
    for got, want in zip(graph(given), twin(given), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5)
for (name, got), want in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
    assert got.sbp == want.sbp, name
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)

for build in (same_place, local):
    np.testing.assert_array_equal(Of(build)(x).numpy(), build(x).numpy())
print("fine")
"""


def test_in_place_on_two_ranks(tmp_path):
    assert run_text(tmp_path, 2, JOB).stdout.count("fine") == 2
