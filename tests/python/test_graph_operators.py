"""Operators inside nn.Graph next to eager: a part of what oneflow-like-verify --graph tries."""

import json
import zlib

import pytest
from jobs import run_text

from oneflow_like import _C
from oneflow_like.testing import graphs

_EVERY = 6  # of the samples, and of the operators on ranks


def _chosen(index, name, check):
    return index == 0 or zlib.crc32(f"{check} {name} {index}".encode()) % _EVERY == 0


@pytest.mark.parametrize("check", graphs.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(_C.op_names()))
def test_operator(check, name):
    for index in range(len(_C.op_samples(name))):
        if _chosen(index, name, check.__name__):
            check(name, index)


def test_operators_on_ranks(tmp_path):
    names = sorted(_C.op_names())[::2 * _EVERY]
    report = tmp_path / "report"
    run_text(tmp_path, 2, f"""
from oneflow_like.testing import graphs
graphs.main(["2", {str(report)!r}, *{names!r}])
""", timeout=300)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    rows = [row for row in rows if "name" in row]
    assert [row["name"] for row in rows] == names
    assert sum(row["tried"] for row in rows) > 10 * len(names)
    assert [text for row in rows for text in row["failed"]] == []


def test_a_difference_is_found(monkeypatch):
    call = graphs.call_on
    monkeypatch.setattr(graphs, "call_on", lambda name, inputs, attrs: [
        y * (2 if _C.is_tracing() else 1) for y in call(name, inputs, attrs)])
    with pytest.raises(AssertionError):
        graphs.results("mul", 0)
    with pytest.raises(AssertionError):
        graphs.gradients("mul", 0)
