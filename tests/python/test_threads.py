"""Modes belong to the thread that sets them: gradients, tracing, module scopes, compile_world."""

import threading

import numpy as np
import pytest
from graph_case import B, Train, data, mlp

import oneflow_like as flow
from oneflow_like import nn


def in_thread(function):
    """Runs a function on a thread of its own; returns its result or raises its error."""
    outcome = []

    def run():
        try:
            outcome.append((function(), None))
        except BaseException as error:  # handed to the caller
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert outcome, "the thread has not ended"
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


class Meeting:
    """Two threads meet at numbered points, so that their steps interleave in one known order."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=60)

    def run(self, ours, theirs):
        thread_result = []
        thread = threading.Thread(target=lambda: thread_result.append(theirs(self.barrier.wait)))
        thread.start()
        result = ours(self.barrier.wait)
        thread.join(60)
        assert thread_result, "the other thread has failed"
        return result, thread_result[0]


def test_an_evaluating_thread_does_not_switch_off_recording():
    x = flow.tensor([1.0, 2.0], requires_grad=True)

    def evaluate(meet):
        with flow.no_grad():
            meet()
            recorded = (x * 2).requires_grad
            meet()
        return recorded

    def train(meet):
        meet()  # the other is inside no_grad
        (x * x).sum().backward()
        meet()
        return x.grad.tolist()

    assert Meeting().run(train, evaluate) == ([2.0, 4.0], False)


@pytest.mark.parametrize("mode", [flow.no_grad, lambda: flow.set_grad_enabled(False)])
def test_a_new_thread_records_gradients(mode):
    with mode():
        assert in_thread(flow.is_grad_enabled)
        assert not flow.is_grad_enabled()
    assert flow.is_grad_enabled()
    in_thread(lambda: flow._C.set_grad_enabled(False))
    assert flow.is_grad_enabled()


def test_a_decorated_function_restores_the_mode_of_the_thread_that_calls_it():
    meeting = threading.Barrier(2, timeout=60)

    @flow.no_grad()
    def evaluate():
        meeting.wait()  # both are inside
        meeting.wait()
        return flow.is_grad_enabled()

    def quiet():
        with flow.no_grad():
            inside = evaluate()
            return inside, flow.is_grad_enabled()

    def recording():
        inside = evaluate()
        return inside, flow.is_grad_enabled()

    results = {}
    threads = [threading.Thread(target=lambda f=f: results.update({f: f()}))
               for f in (quiet, recording)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {quiet: (False, False), recording: (False, True)}


def test_set_grad_enabled_as_a_decorator_concerns_its_function_alone():
    @flow.set_grad_enabled(False)
    def evaluate():
        return flow.is_grad_enabled()

    assert flow.is_grad_enabled()
    assert [evaluate(), evaluate()] == [False, False]
    assert flow.is_grad_enabled() and not in_thread(evaluate)


def test_a_mode_context_may_be_entered_again():
    mode = flow.set_grad_enabled(False)
    assert not flow.is_grad_enabled()
    for _ in range(2):
        with mode:
            assert not flow.is_grad_enabled()
        assert flow.is_grad_enabled()


def test_gradient_mode_survives_compile_world():
    with flow.no_grad(), flow.compile_world(2):
        assert not flow.is_grad_enabled()


def test_a_thread_computes_while_another_traces():
    layer = nn.Linear(4, 4)
    x = flow.ones(2, 4)
    expected = layer(x).tolist()

    class Waiting(nn.Graph):
        def __init__(self, meet):
            super().__init__()
            self.meet = meet
            self.block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

        def build(self, x):
            self.meet()
            self.meet()
            return self.block(x)

    class Double(nn.Graph):
        def build(self, x):
            return x * 2.0

    def trace(meet):
        graph = Waiting(meet)
        result = graph(x)
        assert np.array_equal(result.numpy(), graph.block(x).detach().numpy())
        return graph.plan().summary()

    def compute(meet):
        meet()  # the other is inside build()
        eager = layer(x)
        assert not eager.is_symbolic and not flow._C.is_tracing()
        doubled = Double()(x)  # not a graph inside a graph
        meet()
        return eager.tolist(), doubled.tolist()

    summary, (eager, doubled) = Meeting().run(trace, compute)
    assert eager == expected and doubled == [[2.0] * 4] * 2
    assert "block" in summary


def test_scopes_of_modules_belong_to_the_thread_that_traces():
    flow._C.push_scope("elsewhere")
    try:
        model = mlp()
        graph = Train(model)
        summary = in_thread(lambda: graph.compile(*data()).summary())
    finally:
        flow._C.pop_scope()
    assert "model" in summary and "elsewhere" not in summary


def test_compile_world_concerns_the_thread_that_enters_it():
    def compile_for_eight(meet):
        with flow.compile_world(8):
            meet()
            everyone = flow.placement.all("cpu")
            graph = Train(mlp().to_global(placement=everyone, sbp=B))
            x = flow.zeros(8, 8, placement=everyone, sbp=flow.sbp.split(0))
            y = flow.zeros(8, 4, placement=everyone, sbp=flow.sbp.split(0))
            graph.compile(x, y)
            meet()
        return flow.env.get_world_size()

    def run(meet):
        meet()  # the other is in its world
        size = flow.env.get_world_size()
        value = flow.ones(2, placement=flow.placement.all("cpu"), sbp=B).numpy().tolist()
        meet()
        return size, value

    assert Meeting().run(run, compile_for_eight) == ((1, [1.0, 1.0]), 1)
    with pytest.raises(RuntimeError, match="entered no world"):
        flow._C.leave_compile_world()


def test_numbers_beside_tensors_of_compile_world_are_not_kept():
    everyone = flow.placement.all("cpu")
    with flow.compile_world(1):
        assert (flow.ones(2, placement=everyone, sbp=B) > 7.25).is_global
    assert (flow.ones(2, placement=everyone, sbp=B) > 7.25).numpy().tolist() == [False, False]
