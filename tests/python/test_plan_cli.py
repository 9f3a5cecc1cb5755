"""oneflow-like-plan on a sound plan, a truncated one, and bad command lines."""

import os
import subprocess
import sys

import pytest

import oneflow_like as flow
from oneflow_like import nn

pytestmark = pytest.mark.skipif(not hasattr(nn, "Graph"), reason="nn.Graph is not in this build")


def run(*args):
    return subprocess.run([sys.executable, "-m", "oneflow_like.cli.plan", *map(str, args)],
                          capture_output=True, text=True, timeout=60)


@pytest.fixture
def plan(tmp_path):
    class Doubled(nn.Graph):
        def build(self, x):
            return x + x

    graph = Doubled()
    graph(flow.ones(4))
    path = tmp_path / "plan.pb"
    graph.plan().save(path)
    return graph.plan(), path


def test_show_and_check(plan):
    made, path = plan
    shown = run("show", path)
    assert shown.returncode == 0 and made.hash in shown.stdout, shown.stderr
    checked = run("check", path)
    assert checked.returncode == 0 and checked.stdout.strip() == made.hash


def test_a_reader_that_has_seen_enough_is_no_error(plan):
    _, path = plan
    read, write = os.pipe()
    os.close(read)
    shown = subprocess.run([sys.executable, "-m", "oneflow_like.cli.plan", "show", str(path)],
                           stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert shown.returncode == 0 and shown.stderr == "", shown.stderr


def test_damaged_and_missing_files(plan, tmp_path):
    _, path = plan
    path.write_bytes(path.read_bytes()[:-7])
    for file, word in ((path, "truncated"), (tmp_path / "none.pb", "none.pb")):
        result = run("check", file)
        assert result.returncode == 65
        assert result.stderr.startswith("oneflow-like-plan: error:") and word in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_bad_command_line():
    result = run("dance", "plan.pb")
    assert result.returncode == 64 and "invalid choice: 'dance'" in result.stderr


def test_the_summary_names_arguments_and_variables():
    from graph_case import Train, data, mlp

    model = mlp()
    graph = Train(model, flow.optim.AdamW(model.parameters()))
    graph.compile(*data())
    summary = graph.plan().summary()
    for line in ("input_0  float32[16,8] (B)", "hyper.0.0  float64[5] (B)",
                 "model.0.weight-exp_avg  float32[16,8] (B)"):
        assert line in summary
