"""What values answer in nn.Graph.build: as in eager (docs/layout-choice.md)."""

import re

import numpy as np
import pytest
from jobs import run_text
from test_graph_cases import Of
from test_layout_choice import PRELUDE, SPLIT, WHOLE, conversions

import oneflow_like as flow
from oneflow_like import nn

TRACED = PRELUDE.replace("test_layout_choice", "test_traced_layouts")


class Branches(nn.Module):
    """A forward that asks its values where and how they lie."""

    def __init__(self, width=8):
        super().__init__()
        flow.manual_seed(0)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.answers = []

    def forward(self, x):
        h = flow.relu(self.first(x))
        self.answers.append(("global", h.is_global, h.is_local))
        if not h.is_global:
            return self.second(h) - 3.0
        self.answers.append(("placement", h.placement.ranks, str(h.device)))
        if h.placement == x.placement:
            h = h * 2.0
        self.answers.append(("sbp", h.sbp, (h @ self.second.weight).sum().sbp))
        if h.sbp[0] == flow.sbp.split(0):
            h = h + 1.0
        return self.second(h)


def test_a_local_graph_says_local():
    model = Branches()
    x = flow.tensor(np.random.RandomState(0).rand(4, 8).astype("float32"))
    np.testing.assert_array_equal(Of(model, model)(x).detach().numpy(), model(x).detach().numpy())
    assert model.answers == [("global", False, True)] * 2

    def asks(x):
        y = x * 2.0
        for ask in (lambda: y.sbp, lambda: y.placement):
            with pytest.raises(RuntimeError, match="a local tensor has no"):
                ask()
        with pytest.raises(ValueError, match="Expected global tensor"):
            y.to_local()
        assert "placement" not in repr(y)
        return y
    Of(asks)(x)


JOB = TRACED + """
model = Branches().to_global(placement=P, sbp=B)
rows = flow.tensor(np.random.RandomState(0).rand(4, 8).astype("float32"))
rows = rows.to_global(placement=P, sbp=B)
for sbp in (SPLIT(0), B, SPLIT(1)):
    x = rows.to_global(sbp=sbp)
    model.answers.clear()
    eager = model(x)
    compiled = Of(model, model)(x)
    assert compiled.sbp == eager.sbp, (sbp, compiled.sbp, eager.sbp)
    np.testing.assert_array_equal(compiled.detach().numpy(), eager.detach().numpy())
    half = len(model.answers) // 2
    assert model.answers[:half] == model.answers[half:] and half >= 3, model.answers
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_branches_on_layouts_go_as_in_eager(tmp_path, processes):
    run_text(tmp_path, processes, JOB)


def layout_of(text, value):
    return re.search(rf"%{value}: \S+?\{{(.*?)\}}( pinned)?", text).groups()


def test_the_plan_keeps_what_was_read_and_is_free_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("OFL_DUMP", str(tmp_path))
    with flow.compile_world(2):
        everyone = flow.placement.all("cpu")
        x = flow.zeros(8, 8, placement=everyone, sbp=SPLIT(0))
        w = flow.zeros(8, 8, placement=everyone, sbp=SPLIT(1))
        read = []

        def build(x, w):
            first = flow.matmul(x, w)      # converts one of the two
            second = flow.matmul(x, w)     # as free as the first
            read.append(second.sbp[0])
            return first, second + 0.0

        graph = Of(build)
        graph.compile(x, w)
        eager = flow.matmul(x, w).sbp[0]
    assert read == [eager]
    for name in ("trace", "prune", "layout", "boxing", "order"):
        text = next(tmp_path.glob(f"*{name}.txt")).read_text()
        assert text.count(" pinned") == 1, text
        value = re.search(r"%(\d+): \S+ pinned", text)[1]
        assert layout_of(text, value)[0] == eager.__getstate__()


def test_is_global_and_placement_pin_nothing():
    with flow.compile_world(2):
        x = flow.zeros(8, 8, placement=flow.placement.all("cpu"), sbp=SPLIT(0))

        def asks(x):
            y = flow.relu(x)
            assert y.is_global and y.placement == x.placement and y.device == flow.device("cpu")
            assert str(y) and "placement" in repr(y)
            return y * 2.0

        plain = Of(lambda x: flow.relu(x) * 2.0)
        asking = Of(asks)
        plain.name = asking.name = "same"
        assert plain.compile(x).hash == asking.compile(x).hash


LOCALS = TRACED + """
x = flow.tensor(np.arange(8, dtype="float32").reshape(4, 2)).to_global(placement=P, sbp=B)
rows = x.to_global(sbp=SPLIT(0))

# What is made from no global tensor is local, as in eager, and comes back so.
def constants(rows):
    c = flow.arange(4)
    assert c.is_local and (c + 1).is_local and (rows * c.reshape(4, 1)).is_global
    made = flow.ones(2, placement=P, sbp=B)
    assert made.is_global and made.sbp == (B,)
    return c * 2, rows + made
c, y = Of(constants)(rows)
assert c.is_local and y.is_global
np.testing.assert_array_equal(c.numpy(), 2 * np.arange(4))
np.testing.assert_array_equal(y.numpy(), x.numpy() + 1)

# to_local of what every rank holds whole.
def whole(x):
    local = (x * 3.0).to_local()
    assert local.is_local
    return local, local.sum()
local, total = Of(whole)(x)
eager = (x * 3.0).to_local()
assert local.is_local and total.is_local
np.testing.assert_array_equal(local.numpy(), eager.numpy())
assert total.item() == eager.sum().item()

# The gradient goes back through it.
w = nn.Parameter(flow.ones(2, placement=P, sbp=B))
def trained(x):
    loss = ((x * w).to_local() ** 2).sum()
    loss.backward()
    return loss
class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = w
holder = Holder()
Of(trained, holder, optimizers=[flow.optim.SGD([w], lr=0.5)])(x)
np.testing.assert_allclose(w.detach().numpy(), 1 - (x.numpy() ** 2).sum(0), rtol=1e-6)

# Shares differ by rank, which no program for all ranks can hold.
for value, words in ((rows, "S(0)"), (rows.sum(), "P")):
    try:
        Of(lambda t: (t * 1.0).to_local())(value)
    except NotImplementedError as error:
        text = str(error)
        assert "[to_local]" in text and words in text and "to_global" in text, text
    else:
        raise AssertionError("to_local of a share was traced")
"""


def test_local_values_of_global_graphs_on_two_processes(tmp_path):
    run_text(tmp_path, 2, LOCALS)


def test_to_global_in_build_asks_what_eager_asks():
    with flow.compile_world(2):
        everyone = flow.placement.all("cpu")
        x = flow.zeros(4, 2, placement=everyone, sbp=SPLIT(0))
        cases = [
            (lambda x: x + flow.ones(4, 2).to_global(sbp=WHOLE), "needs both placement and sbp"),
            (lambda x: x + flow.ones(2, 2).to_global(placement=everyone, sbp=SPLIT(0)),
             "the same on every rank"),
            (lambda x: x + flow.ones(4, 2).to_global(placement=everyone,
                                                     sbp=flow.sbp.partial_sum),
             "the same on every rank"),
        ]
        for build, words in cases:
            with pytest.raises(ValueError, match=words):
                Of(build).compile(x)
        kept = Of(lambda x: x + flow.ones(4, 2).to_global(placement=everyone, sbp=WHOLE))
        assert conversions(kept.compile(x)) == [("slice", "add")]


CONSTANTS = TRACED + """
everyone = flow.placement.all("cpu")
x = flow.ones(4, placement=everyone, sbp=WHOLE)
outside = flow.tensor([0.0, 1.0, 2.0, 3.0]) + flow.env.get_rank()

def constants(x, sbp):
    numbers = flow.tensor([1.0, 2.0, 3.0, 4.0], placement=everyone, sbp=sbp)
    half = flow.tensor([1.0, 2.0, 3.0, 4.0], dtype=flow.bfloat16, placement=everyone, sbp=sbp)
    made = flow.tensor(np.arange(4.0)).to_global(placement=everyone, sbp=WHOLE)
    return x + numbers, x * half.to(flow.float32), made * 2.0

for sbp in (WHOLE, SPLIT(0), flow.sbp.partial_sum):
    graph = Of(lambda x: constants(x, sbp))
    for _ in range(2):
        for compiled, eager in zip(graph(x), constants(x, sbp), strict=True):
            assert np.array_equal(compiled.numpy(), eager.numpy()), sbp

def refused(build, *words):
    try:
        Of(build)(x)
    except (ValueError, RuntimeError) as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(words)

parts = flow.ones(4, placement=everyone, sbp=SPLIT(0)).to_local()
refused(lambda x: x + outside.to_global(placement=everyone, sbp=WHOLE),
        "from outside build()", "before the graph is called")
refused(lambda x: outside.to_global(placement=everyone, sbp=WHOLE), "from outside build()")
refused(lambda x: x + parts.to_global(placement=everyone, sbp=SPLIT(0)), "from outside build()")
refused(lambda x: x + outside.to_global(sbp=WHOLE), "needs both placement and sbp")
for use in (lambda x: outside.detach(), lambda x: x + outside.to_local(),
            lambda x: flow.add(x, x, out=outside), lambda x: outside.add_(x),
            lambda x: x + outside * 2.0):
    refused(use, "local and global tensors", "to_global(placement=..., sbp=...)")
for use in (lambda x: x + outside, lambda x: flow.cat([x, outside]), lambda x: x.copy_(outside),
            lambda x: flow.stack([x, outside]), lambda x: (x * 1.0).copy_(outside),
            lambda x: flow.where(x > 0.0, x, outside)):
    if flow.env.get_world_size() > 1:
        refused(use, "differs between ranks", "to_global(placement=..., sbp=...)")
assert Of(lambda x: x + flow.tensor([1.0, 2.0, 3.0, 4.0]))(x).numpy().tolist() == [2, 3, 4, 5]

kept = flow.ones(4, placement=everyone, sbp=SPLIT(0))
graph = Of(lambda x: x + kept.to_global(sbp=WHOLE))
assert graph(x).numpy().tolist() == [2.0] * 4
kept.add_(1.0)
assert graph(x).numpy().tolist() == [3.0] * 4
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_tensors_of_numbers_are_constants_and_local_ones_from_outside_are_refused(tmp_path,
                                                                                   processes):
    run_text(tmp_path, processes, CONSTANTS)


def test_moving_keeps_the_symbols_as_in_eager():
    with flow.compile_world(4):
        here, there = (flow.placement("cpu", ranks=ranks) for ranks in ([0, 1], [2, 3]))
        x = flow.zeros(4, 2, placement=here, sbp=SPLIT(0))

        def build(x):
            moved = x.sum(0).to_global(placement=there)
            assert moved.sbp == (flow.sbp.partial_sum,) and moved.placement == there
            return moved

        build(x)
        Of(build).compile(x)


def test_constants_follow_a_stage():
    """Positions made in a later stage are made there, and not sent."""
    with flow.compile_world(2):
        stages = [flow.placement("cpu", ranks=[r]) for r in range(2)]

        def build(x):
            x = x + flow.arange(4).to(flow.float32)
            x = x.to_global(placement=stages[1], sbp=WHOLE)
            return x * flow.arange(4).to(flow.float32) + flow.tril(flow.ones(4, 4))

        x = flow.zeros(4, 4, placement=stages[0], sbp=WHOLE)
        assert [cause for _, cause in conversions(Of(build).compile(x))] == [""]


def test_in_place_results_keep_dtype_and_layout():
    with flow.compile_world(2):
        everyone = flow.placement.all("cpu")
        x = flow.zeros(4, 2, placement=everyone, sbp=WHOLE)
        rows = flow.zeros(4, 2, placement=everyone, sbp=SPLIT(0))

        def build(x, rows):
            y = x * 2.0
            y.add_(rows)
            assert y.sbp == (WHOLE,)
            return y

        build(x, rows)
        Of(build).compile(x, rows)

        def casts(x):
            wide = flow.ones(4, 2, dtype=flow.float64, placement=everyone, sbp=WHOLE)
            y = (x * 2.0).add_(wide)
            assert y.dtype is flow.float32
            return y

        casts(x)
        Of(casts).compile(x)
        with pytest.raises(TypeError, match="can't be cast"):
            Of(lambda x: x.to(flow.int64).add_(x)).compile(x)


def test_numbers_meet_local_and_global_values():
    x = flow.tensor([1.0, -2.0])
    clipped = Of(lambda x: flow.where(x > 0.0, x, flow.maximum(x * 3.0, -1.0)))
    assert clipped(x).tolist() == [1.0, -1.0]
    with flow.compile_world(2):
        rows = flow.zeros(4, 2, placement=flow.placement.all("cpu"), sbp=SPLIT(0))
        assert conversions(Of(lambda x: flow.maximum(x, 0.5)).compile(rows)) == []


def test_values_kept_from_build_answer_nobody():
    kept = []

    def build(x):
        kept.append(x * 2.0)
        return kept[0]

    with flow.compile_world(2):
        Of(build).compile(flow.zeros(4, placement=flow.placement.all("cpu"), sbp=WHOLE))
        assert repr(kept[0])
        for ask in (lambda: kept[0].is_global, lambda: kept[0].sbp, lambda: kept[0].to_local()):
            with pytest.raises((RuntimeError, ValueError), match="(?i)graph|build"):
                ask()
