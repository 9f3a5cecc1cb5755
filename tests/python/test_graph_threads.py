"""nn.Graph under several threads, and how long a launch waits."""

import threading
import time

import numpy as np
import pytest
from graph_case import Train, data, mlp
from test_failures import finish, started, words_after

import oneflow_like as flow
from oneflow_like import nn


class Slow(nn.Graph):
    """Runs long enough for another thread to come."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def build(self, x):
        for _ in range(40):
            x = flow.tanh(flow.matmul(x, self.weight))
        return x


def test_a_second_thread_is_refused_and_the_running_call_goes_on():
    weight, x = flow.randn(512, 512) * 0.05, flow.randn(512, 512)
    graph = Slow(weight)
    expected = graph(x).numpy()
    for _ in range(20):  # until the calls have overlapped
        results, start = [], threading.Barrier(2)

        def call(results=results, start=start):
            start.wait()
            try:
                results.append(graph(x).numpy())
            except RuntimeError as error:
                results.append(error)

        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [r for r in results if isinstance(r, RuntimeError)]
        for result in results:
            if not isinstance(result, RuntimeError):
                np.testing.assert_array_equal(result, expected)
        if errors:
            break
    assert len(errors) == 1 and "is running in another thread" in str(errors[0])
    np.testing.assert_array_equal(graph(x).numpy(), expected)


def test_a_second_thread_is_refused_while_the_first_traces():
    inside, leave = threading.Event(), threading.Event()

    class Waits(nn.Graph):
        def build(self, x):
            inside.set()
            leave.wait(30)
            return x * 2.0

    graph, other, results = Waits(), Train(mlp()), []
    tracing = threading.Thread(target=lambda: results.append(graph(flow.ones(2)).numpy()))
    tracing.start()
    assert inside.wait(30)
    for call in (lambda: graph(flow.ones(2)), lambda: graph.compile(flow.ones(2))):
        with pytest.raises(RuntimeError, match="is running in another thread"):
            call()
    other(*data())  # another graph may run meanwhile
    leave.set()
    tracing.join()
    np.testing.assert_array_equal(results[0], [2.0, 2.0])
    np.testing.assert_array_equal(graph(flow.ones(2)).numpy(), [2.0, 2.0])


def test_a_launch_waits_as_long_as_the_environment_says(tmp_path):
    with started(tmp_path, 2, """
import time
model = mlp().to_global(placement=P, sbp=B)
graph = Train(model, flow.optim.SGD(model.parameters(), lr=0.1))
x, y = data(placement=P, sbp=S(0))
graph(x, y)
meet()
print("ready", flush=True)
if RANK == 0:
    graph(x, y)
time.sleep(600)
""", OFL_OPERATION_TIMEOUT_S="2") as job:
        words_after(job, "ready", 2)
        began = time.monotonic()
        _, err = finish(job)
    assert job.returncode == 1, err
    assert "no progress for 2000 ms" in err and "rank 1" in err, err
    assert 1.5 < time.monotonic() - began < 20


def test_greeting_a_plan_waits_as_long_as_the_environment_says(tmp_path):
    with started(tmp_path, 2, """
import time
x, _ = data(placement=P, sbp=S(0))
class Whole(nn.Graph):
    def build(self, x):
        return x.to_global(sbp=B)
meet()
print("ready", flush=True)
if RANK == 0:
    Whole()(x)
time.sleep(600)
""", OFL_OPERATION_TIMEOUT_S="2") as job:
        words_after(job, "ready", 2)
        began = time.monotonic()
        _, err = finish(job)
    assert job.returncode == 1, err
    assert "rank 1" in err, err
    assert 1.5 < time.monotonic() - began < 20


def test_a_graph_that_a_signal_left_taken_is_free_again():
    """What a signal's handler raises may come between two steps, where no `finally` covers it."""
    graph = Slow(flow.randn(8, 8))
    x = flow.randn(8, 8)
    expected = graph(x).tolist()
    lock = graph._its_state().lock
    assert lock.acquire(blocking=False)
    assert graph(x).tolist() == expected
    assert not lock.locked()
    assert lock.acquire(blocking=False)
    assert graph.compile(x) is not None and not lock.locked()
    assert graph(x).tolist() == expected
