"""Children made by fork(): they end, compute alone, and never speak for their parent."""

import os
import subprocess
import sys

import pytest
from jobs import run_text

CHILD = """
import os, sys, time
import oneflow_like as flow
from oneflow_like import nn

class Add(nn.Graph):
    def build(self, x):
        return x @ x + 1

def wait_for(pid, seconds=30):
    for _ in range(seconds * 20):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hangs"

graph, x = Add(), flow.ones(300, 300)
expected = graph(x).sum().item()
assert (flow.ones(3_000_000) + 1).sum().item() == 6_000_000
"""


def alone(tmp_path, text, threads):
    script = tmp_path / "forks.py"
    script.write_text(CHILD + text)
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True,
                          timeout=100, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


@pytest.mark.parametrize("threads", [1, 4])
def test_a_child_ends_after_a_graph_has_run(tmp_path, threads):
    result = alone(tmp_path, """
pid = os.fork()
if pid == 0:
    sys.exit(7)
print("child", wait_for(pid))
""", threads)
    assert result.returncode == 0 and "child 7" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("threads", [1, 4])
def test_a_child_computes_as_its_parent_does(tmp_path, threads):
    result = alone(tmp_path, """
pid = os.fork()
if pid == 0:
    assert (flow.ones(3_000_000) + 1).sum().item() == 6_000_000
    assert graph(x).sum().item() == expected
    assert Add()(x).sum().item() == expected
    sys.exit(0)
print("child", wait_for(pid))
assert graph(x).sum().item() == expected
""", threads)
    assert result.returncode == 0 and "child 0" in result.stdout, result.stdout + result.stderr


def test_a_child_does_not_meet_the_others_in_its_parents_place(tmp_path):
    result = run_text(tmp_path, 2, CHILD + """
shards = flow.ones(8, 4, placement=flow.placement.all("cpu"), sbp=flow.sbp.split(0))
pid = os.fork()
if pid == 0:
    try:
        shards.to_global(sbp=flow.sbp.broadcast)
    except RuntimeError as error:
        sys.exit(5 if "was forked from a rank" in str(error) else str(error))
    sys.exit(3)
assert wait_for(pid) == 5
assert shards.to_global(sbp=flow.sbp.broadcast).sum().item() == 32
print("went on", flush=True)
""")
    assert result.stdout.count("went on") == 2, result.stdout + result.stderr


def test_a_child_of_a_rank_is_refused_and_the_job_goes_on(tmp_path):
    result = run_text(tmp_path, 2, CHILD + """
P, B, S = flow.placement.all("cpu"), flow.sbp.broadcast, flow.sbp.split
class Whole(nn.Graph):
    def build(self, x):
        return x.to_global(sbp=B) + nn.functional.dropout(x, 0.5)
whole, shards = Whole(), flow.ones(8, 4, placement=P, sbp=S(0))
whole(shards)
shards.to_global(sbp=B)
pid = os.fork()
if pid == 0:
    for call in (lambda: shards.to_global(sbp=B), lambda: whole(shards), lambda: Whole()(shards),
                 lambda: flow.comm.barrier(), lambda: shards.numpy()):
        try:
            call()
        except RuntimeError as error:
            assert "was forked after connecting" in str(error), error
        else:
            sys.exit(3)
    assert graph(x).sum().item() == expected  # what needs no other rank
    if flow.env.get_rank() == 1:
        raise KeyError("a child that fails tells no rank")
    sys.exit(0)
code = wait_for(pid)
assert code == flow.env.get_rank(), code
for _ in range(3):
    assert shards.to_global(sbp=B).sum().item() == 32
    whole(shards)
print("went on", flush=True)
""")
    assert result.stdout.count("went on") == 2, result.stdout + result.stderr
