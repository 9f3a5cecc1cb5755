"""oneflow-like-verify: what it tries, and that it can fail."""

import functools

import numpy as np
import pytest

from oneflow_like.cli import verify
from oneflow_like.testing import checks, layouts, oracles


def test_one_operator_on_ranks(capsys):
    assert verify.main(["--op", "mul", "--op", "stack", "--mesh", "2"]) == 0
    head, *rows, total, _ = capsys.readouterr().out.splitlines()
    kinds = head.split()[1:-1]
    assert kinds[0] == "values" and head.split()[-3:-1] == ["mesh", "2"]
    tried = {row.split()[0]: [int(n) for n in row.split()[1:]] for row in rows}
    assert set(tried) == {"mul", "stack"} and all(n > 0 for n in tried["mul"][:-1])
    assert tried["mul"][-1] == 0 and total.startswith("2 operators") and "0 failures" in total


def test_unknown_operators_are_named(capsys):
    assert verify.main(["--op", "ad", "--no-layouts"]) == verify.EXIT_USAGE
    assert "ad" in capsys.readouterr().err


def test_a_wrong_result_is_a_failure(capsys, monkeypatch):
    monkeypatch.setitem(oracles.SCHEMAS, "mul", {**oracles.SCHEMAS["mul"],
                                                 "oracle": "input * other + 1"})
    assert verify.main(["--op", "mul", "--no-layouts"]) == verify.EXIT_FAILED
    assert "FAILED mul: values: sample 0" in capsys.readouterr().out


def test_a_job_that_dies_costs_one_operator(monkeypatch):
    jobs = [([{"started": "a"}, {"name": "a", "tried": 3, "failed": []}, {"started": "b"}], "died"),
            ([{"started": "c"}, {"name": "c", "tried": 2, "failed": []}], "")]
    monkeypatch.setattr(verify, "_run_job", lambda *_: jobs.pop(0))
    table = verify.Table()
    assert verify._run_layouts(table, ["a", "b", "c"], "2", 1) == "mesh 2"
    assert {n: len(f) for n, f in table.failed.items()} == {"a": 0, "b": 1, "c": 0}


def test_gradients_and_strides_are_really_tried():
    assert checks.gradient("mul", 0) == checks.second_derivative("mul", 0) == 1
    assert checks.strides("mul", 0) == 3 and checks.forms("mul", 0) > 2
    assert checks.gradient("floor" if "floor" in oracles.SCHEMAS else "sign", 0) in (0, 1)


@pytest.mark.parametrize("mesh", [(2,), (3,), (2, 2)])
@pytest.mark.parametrize("text", ["B", "S(0)", "P", "P(max)", "P(min)"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_parts_make_the_whole_again(mesh, text, dtype):
    x = np.random.default_rng(0).integers(-4, 4, (5, 3)).astype(dtype)
    parts = layouts.distribute(x, [text] * len(mesh), mesh, np.random.default_rng(1))
    assert len(parts) == np.prod(mesh)
    join = {"B": lambda a, b: a, "S(0)": lambda a, b: np.concatenate([a, b]), "P": np.add,
            "P(max)": np.maximum, "P(min)": np.minimum}[text]
    np.testing.assert_array_equal(functools.reduce(join, parts), x)
    assert text == "B" or not all(p.shape == x.shape and (p == x).all() for p in parts)
