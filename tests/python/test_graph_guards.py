"""Guards of compiled graphs: what traces anew, and what counts without (docs/graphs.md)."""

import gc
import logging
import pathlib
import weakref

import numpy as np
import pytest
from graph_case import Train, assert_equal_models, data, eager_step, mlp, traced
from jobs import run_text
from test_failures import finish, started, words_after
from test_graph_cases import Of, random, step

import oneflow_like as flow
from oneflow_like import nn, optim

HERE = pathlib.Path(__file__).resolve().parent
PRELUDE = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from test_graph_guards import *
from graph_case import *
split = flow.sbp.split
"""


# --- arguments --------------------------------------------------------------------------------

def test_a_smaller_last_batch_shares_parameters_and_optimizer_state(caplog):
    caplog.set_level(logging.INFO, "oneflow_like")
    eager, graphed = mlp(), mlp()
    eager_opt, graph_opt = (optim.AdamW(m.parameters(), lr=1e-2) for m in (eager, graphed))
    graph = Train(graphed, graph_opt)
    for rows in (16, 16, 12, 16, 12, 12, 16):
        x, y = data(rows)
        assert graph(x, y).item() == eager_step(eager, eager_opt, x, y).item()
    assert_equal_models(eager, graphed)
    assert traced(graph) == 2 and graph.counters()["launches"] == 7
    (record,) = caplog.records
    assert "input_0 is float32[12,8] local instead of float32[16,8] local" in record.getMessage()


def test_the_cache_is_bounded_and_a_program_that_leaves_it_is_freed():
    graph = Train(mlp())
    graph.config.set_program_cache_size(2)
    for rows in (4, 8):
        graph(*data(rows))
    oldest, newest = (weakref.ref(p) for p in graph._state.programs)
    graph(*data(4))  # used again: now the other one is older
    gc.disable()
    try:
        graph(*data(12))
        assert oldest() is not None and newest() is None
        graph(*data(4))
        assert traced(graph) == 3
        kept = [weakref.ref(p) for p in graph._state.programs]
        del graph
        assert [ref() for ref in kept] == [None, None]  # by counting alone, at once
    finally:
        gc.enable()


def test_dtypes_layouts_nesting_and_the_order_of_keywords_are_guards():
    graph, x = Of(lambda a, b: a - b), flow.tensor(random(4, 4))
    here = flow.placement("cpu", ranks=[0])
    for _ in range(2):
        assert graph(x, x).dtype == flow.float32
        assert graph(x.double(), x.double()).dtype == flow.float64
        spread = x.to_global(placement=here, sbp=flow.sbp.split(0))
        assert graph(spread, spread).sbp[0] == flow.sbp.split(0)
        np.testing.assert_array_equal(graph(x, 2.0).numpy(), (x - 2.0).numpy())
        assert traced(graph) == 4

    class Named(nn.Graph):
        def build(self, *, a, b):
            return a - b

    named = Named()
    for _ in range(2):
        assert named(a=flow.ones(1), b=flow.zeros(1)).item() == 1.0
        assert named(b=flow.zeros(1), a=flow.ones(1)).item() == 1.0
    assert traced(named) == 2


def test_constants_are_told_apart_by_type_and_sign():
    graph = Of(lambda x, c: x * c)
    x = flow.ones(2)
    for constant in (0.0, -0.0, 2, 2.0, True, float("nan"), float("nan")):
        got = graph(x, constant).numpy()
        want = (x * constant).numpy()
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
        np.testing.assert_array_equal(got, want)
    assert traced(graph) == 6


def test_arrays_and_sets_that_change_in_place_are_other_constants():
    array, chosen = np.ones(3, np.float32), {1}
    graph = Of(lambda x, a, c: x * flow.tensor(a) * float(len(c)))
    x = flow.ones(3)
    for turn in range(3):
        np.testing.assert_array_equal(graph(x, array, chosen).numpy(), array * len(chosen))
        graph(x, array, chosen)
        assert traced(graph) == turn + 1
        if turn == 0:
            array[1] = 5.0
        chosen.add(turn + 1)


def test_an_argument_that_requires_a_gradient_is_refused():
    layer = nn.Linear(8, 4)
    graph = Of(lambda x: step(layer, x), layer,
               optimizers=[optim.SGD(layer.parameters(), lr=0.1)])
    x = flow.tensor(random(4, 8))
    x.requires_grad = True
    with pytest.raises(ValueError, match="requires a gradient, which a graph does not give back"):
        graph(x)
    graph(x.detach())


# --- modules ----------------------------------------------------------------------------------

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.register_buffer("shift", flow.zeros(4))
        self.factor = 2.0
        self.factors = [1.0, 3.0]
        self.note = None

    def forward(self, x):
        return self.linear(x) * self.factor * self.factors[1] + self.shift


def new_hook(model):
    model.linear.register_forward_hook(lambda module, args, result: result * 5.0)


CHANGES = {
    "a number": lambda m: setattr(m, "factor", 7.0),
    "an item of a list": lambda m: m.factors.__setitem__(1, 4.0),
    "a parameter": lambda m: setattr(m.linear, "weight", nn.Parameter(flow.ones(4, 8))),
    "a parameter's table": lambda m: m.linear._parameters.update(
        weight=nn.Parameter(flow.ones(4, 8))),
    "no bias": lambda m: setattr(m.linear, "bias", None),
    "a buffer": lambda m: setattr(m, "shift", flow.ones(4)),
    "a child": lambda m: setattr(m, "linear", nn.Linear(8, 4)),
    "a child added": lambda m: setattr(
        m, "linear", nn.Sequential(m.linear, nn.Linear(4, 4))),
    "a hook": new_hook,
    "a method": lambda m: setattr(m, "forward", lambda x: m.linear(x) - 1.0),
    "a dtype and back": lambda m: m.double().float(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_module_traces_anew(change):
    flow.manual_seed(0)
    model = Scaled()
    graph, x = Of(lambda x: model(x), model), flow.tensor(random(3, 8))
    np.testing.assert_array_equal(graph(x).detach().numpy(), model(x).detach().numpy())
    CHANGES[change](model)
    np.testing.assert_array_equal(graph(x).detach().numpy(), model(x).detach().numpy())
    assert traced(graph) == 2
    graph(x)
    assert traced(graph) == 2


def test_classes_and_dictionaries_are_watched_without_a_noted_write():
    class Base(nn.Module):
        scale = 2.0

        def more(self, x):
            return x + 1.0

    class Scales(Base):
        def __init__(self):
            super().__init__()
            self.shift = 0.0

        def forward(self, x):
            return self.more(x) * self.scale + self.shift

    class Applies(nn.Graph):
        factor = 1.0

        def __init__(self):
            super().__init__()
            self.module = Scales()

        def build(self, x):
            return self.module(x) * self.factor

    graph, x = Applies(), flow.tensor([1.0])
    module = graph.module
    changes = [
        (lambda: setattr(Base, "scale", 5.0), 10.0),
        (lambda: setattr(Scales, "scale", 3.0), 6.0),
        (lambda: delattr(Scales, "scale"), 10.0),
        (lambda: setattr(Base, "more", lambda self, x: x), 5.0),
        (lambda: module.__dict__.update(shift=1.0), 6.0),
        (lambda: vars(module).__setitem__("scale", 1.0), 2.0),
        (lambda: vars(module).pop("scale"), 6.0),
        (lambda: setattr(Applies, "factor", 2.0), 12.0),
        (lambda: graph.__dict__.update(factor=3.0), 18.0),
        (lambda: setattr(Scales, "forward", lambda self, x: x * 0.0), 0.0),
        (lambda: setattr(Applies, "build", lambda self, x: x), 1.0),
    ]
    assert graph(x).tolist() == [4.0]
    for change, expected in changes:
        change()
        for _ in range(2):
            assert graph(x).tolist() == [expected]
    traced_before = traced(graph)
    vars(module)["never_read"] = Base.never_read = 1
    assert graph(x).tolist() == [1.0] and traced(graph) == traced_before


def test_what_tracing_never_read_and_contents_trace_nothing_anew():
    model = Scaled()
    graph, x = Of(lambda x: model(x), model), flow.tensor(random(3, 8))
    graph(x)
    model.note = "read by nobody"
    model.eval()
    model.factor = 2.0
    model.linear.weight.requires_grad_(True)
    with flow.no_grad():
        model.linear.weight.copy_(flow.ones(4, 8))
        model.shift.fill_(3.0)
        model.linear.bias.data = flow.ones(4)
    other = Scaled()
    model.load_state_dict({**model.state_dict(), "linear.bias": other.linear.bias.detach()})
    np.testing.assert_array_equal(graph(x).detach().numpy(), model(x).detach().numpy())
    assert traced(graph) == 1


def test_a_program_comes_back_with_the_value_it_was_traced_for():
    model = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5))
    graph, x = Of(lambda x: model(x), model), flow.tensor(random(4, 8))
    for _ in range(3):
        model.train()
        assert (graph(x).numpy() == 0).mean() > 0.3
        model.eval()
        np.testing.assert_array_equal(graph(x).detach().numpy(), model(x).detach().numpy())
    assert traced(graph) == 2
    model.train()
    model[1].p = 0.0
    np.testing.assert_array_equal(graph(x).detach().numpy(), model[0](x).detach().numpy())
    assert traced(graph) == 3


def test_attributes_of_the_graph_and_captured_tensors_are_guards():
    inner, weight = nn.Linear(8, 8), flow.ones(8)

    class Uses(nn.Graph):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.scale = 2.0
            self.mask = flow.ones(8)

        def build(self, x):
            return self.layer(inner(x)) * self.scale * self.mask * weight

    graph, x = Uses(), flow.tensor(random(2, 8))

    def check(programs):
        want = graph.layer(inner(x)) * graph.scale * graph.mask * weight
        np.testing.assert_array_equal(graph(x).detach().numpy(), want.detach().numpy())
        assert traced(graph) == programs

    check(1)
    graph.scale = 3.0
    check(2)
    graph.mask = flow.zeros(8)
    check(3)
    weight = flow.full((8,), 2.0)
    check(4)
    inner = nn.Linear(8, 8)
    check(5)
    graph.layer = nn.Linear(8, 8)
    check(6)
    with flow.no_grad():
        weight.fill_(9.0)
    check(6)


def test_a_build_that_an_attribute_hides_traces_anew():
    graph = Of(lambda x: x * 2.0)
    assert graph(flow.ones(1)).item() == 2.0
    graph.build = lambda x: x * 3.0
    assert graph(flow.ones(1)).item() == 3.0
    del graph.build
    assert graph(flow.ones(1)).item() == 2.0 and traced(graph) == 2


def test_a_buffer_whose_handle_stands_for_a_new_value_traces_anew():
    layer, mean = nn.Linear(4, 4), flow.zeros(4)
    graph, x = Of(lambda x: x + mean), flow.ones(4)
    graph(x)
    mean.add_(layer(x))  # recorded: the handle now stands for the sum
    np.testing.assert_array_equal(graph(x).numpy(), (x + mean).detach().numpy())


def test_a_captured_value_with_a_history_is_refused_where_gradients_would_be_lost():
    layer = nn.Linear(8, 8)
    outside = layer(flow.ones(8))
    graph = Of(lambda x: ((layer(x) + outside) ** 2).mean().backward(), layer,
               optimizers=[optim.SGD(layer.parameters(), lr=0.1)])
    with pytest.raises(ValueError, match="was computed outside of build"):
        graph(flow.ones(2, 8))


def test_freezing_after_the_first_call_counts():
    eager, graphed = mlp(), mlp()
    eager_opt, graph_opt = (optim.AdamW(m.parameters(), lr=1e-2) for m in (eager, graphed))
    graph, (x, y) = Train(graphed, graph_opt), data()
    for turn in range(6):
        for model in (eager, graphed):
            model[0].requires_grad_(turn not in (2, 3))
        assert graph(x, y).item() == eager_step(eager, eager_opt, x, y).item()
        assert_equal_models(eager, graphed)
    # Once more after the thaw: the frozen layer has counted fewer steps than the rest since.
    assert traced(graph) == 3


# --- the rest of the configuration ------------------------------------------------------------

def test_micro_batches_may_change_and_unknown_options_are_refused():
    graph = Train(mlp())
    x, y = data()
    whole = graph(x, y)
    graph.config.set_gradient_accumulation_steps(4)
    assert tuple(graph(x, y).shape) == (4,)
    np.testing.assert_allclose(graph(x, y).numpy().mean(), whole.item(), rtol=1e-6)
    graph.config.gradient_accumulation_steps = 1
    assert graph(x, y).item() == whole.item() and traced(graph) == 2
    with pytest.raises(AttributeError, match="config has no option 'enable_amp'"):
        graph.config.enable_amp = True
    with pytest.raises(ValueError, match="got 0; expected an int"):
        graph.config.gradient_accumulation_steps = 0


def test_the_gradient_mode_is_a_guard():
    model = mlp()
    graph = Of(lambda x: model(x), model)
    x = data()[0]
    with_gradients = graph(x).numpy()
    with flow.no_grad():
        np.testing.assert_array_equal(graph(x).numpy(), with_gradients)
    assert traced(graph) == 2
    train = Train(model, optim.SGD(model.parameters(), lr=0.1))
    with flow.no_grad(), pytest.raises(ValueError, match=r"no_grad\(\)"):
        train(*data())
    train(*data())


# --- several processes ------------------------------------------------------------------------

def test_guards_on_two_processes(tmp_path):
    run_text(tmp_path, 2, PRELUDE + """
def make():
    model = mlp().to_global(placement=P, sbp=B)
    group = {"params": list(model.parameters()), "clip_grad_max_norm": 0.5}
    return model, optim.AdamW([group], lr=1e-2)
(eager, eager_opt), (graphed, graph_opt) = make(), make()
graph = Train(graphed, graph_opt)
graph.config.set_program_cache_size(2)
for turn, rows in enumerate((16, 16, 10, 16, 10, 7, 16, 10)):
    for model, optimizer in ((eager, eager_opt), (graphed, graph_opt)):
        if turn == 3:
            optimizer.param_groups[0]["weight_decay"] = 0.3
            optimizer.param_groups[0]["clip_grad_max_norm"] = 0.1
        if turn == 4:
            optimizer.param_groups[0]["betas"] = (0.5, 0.6)
        model[2].requires_grad_(turn < 6)
    x, y = data(rows, placement=P, sbp=split(0))
    want = eager_step(eager, eager_opt, x, y)
    np.testing.assert_allclose(graph(x, y).numpy(), want.detach().numpy(), rtol=1e-5)
    assert_equal_models(eager, graphed, rtol=1e-5, atol=1e-6)
assert traced(graph) == 5, traced(graph)
counters = graph.counters()
assert counters["launches"] == 8
assert counters["messages"] == counters["predicted_messages"] > 0
""")


@pytest.mark.parametrize("alone", [0, 1])
def test_a_rank_that_traces_alone_ends_the_job_within_seconds(tmp_path, alone):
    """Long before the deadline of 300 s: the other's launch stands still, and it asks."""
    with started(tmp_path, 2, PRELUDE + f"""
model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1)).to_global(placement=P, sbp=B)
graph = Train(model, optim.SGD(model.parameters(), lr=0.1))
x, y = data(placement=P, sbp=split(0))
graph(x, y)
print("ready", flush=True)
if RANK == {alone}:
    model[1].p = 0.2
graph(x, y)
""") as job:
        words_after(job, "ready", 2)
        seconds, err = finish(job)
    assert job.returncode == 1 and seconds < 20, (seconds, err)
    assert f"rank {alone} is starting another plan" in err, err


def test_a_slow_rank_is_waited_for_though_the_other_starts_another_plan(tmp_path):
    run_text(tmp_path, 2, PRELUDE + """
import time
class Moves(nn.Graph):
    def build(self, x):
        return x.to_global(sbp=B)
one, two = Moves(), Moves()
x, _ = data(placement=P, sbp=split(0))
y, _ = data(12, placement=P, sbp=split(0))
for turn in range(2):
    one(x)
    if RANK == 1:
        time.sleep(2.5)  # rank 0 stands still in its launch and asks
    one(x)
    two(y)  # both start this plan, then run it
    one(y)
""")


def test_ranks_that_trace_different_programs_hear_it(tmp_path):
    result = run_text(tmp_path, 2, PRELUDE + """
model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1)).to_global(placement=P, sbp=B)
graph = Train(model, optim.SGD(model.parameters(), lr=0.1))
x, y = data(placement=P, sbp=split(0))
graph(x, y)
model[1].p = 0.2 + 0.1 * RANK
graph(x, y)
""", check=False)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "different plans" in text and "dropout" in text, text


def test_a_failed_launch_closes_all_programs(tmp_path):
    with started(tmp_path, 2, PRELUDE + """
import time
model = mlp().to_global(placement=P, sbp=B)
graph = Train(model, optim.SGD(model.parameters(), lr=0.1))
batches = [data(rows, placement=P, sbp=split(0)) for rows in (16, 12)]
for batch in batches:
    graph(*batch)
print("ready", flush=True)
if RANK == 1:
    time.sleep(600)
for batch in batches[::-1]:
    try:
        graph(*batch)
    except Exception as error:
        print("heard", str(error).replace(chr(10), " "), flush=True)
""", OFL_OPERATION_TIMEOUT_S="2") as job:
        words_after(job, "ready", 2)
        first, second = words_after(job, "heard", 2)
    assert "no progress" in first and "in an earlier call, which closed graph" in second, second
