"""The GPT's loss trace: PyTorch's on one process, and the same in every layout and mode."""

import functools
import json
import pathlib
import tempfile

import gpt_case
import numpy as np
import pytest
from jobs import run_job

from oneflow_like import nn

HERE = pathlib.Path(__file__).resolve().parent
PROCESSES = {"single": 1, "dp": 2, "tp": 2, "pp": 2, "dp_tp": 4}
MODES = ["eager", "graph"] if hasattr(nn, "Graph") else ["eager"]


@functools.cache
def trace(layout, mode):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "losses.json"
        run_job(HERE / "gpt_trace_worker.py", PROCESSES[layout], layout, mode, gpt_case.STEPS, path,
                timeout=300)
        return json.loads(path.read_text())


@pytest.mark.parametrize("mode", MODES)
def test_one_process_follows_pytorch(mode):
    torch_losses = json.loads((HERE / "torch_trace.json").read_text())["losses"]
    np.testing.assert_allclose(trace("single", mode), torch_losses, rtol=1e-4)


@pytest.mark.skipif("graph" not in MODES, reason="nn.Graph is not part of this build")
def test_eager_equals_graph_bit_for_bit():
    assert trace("single", "eager") == trace("single", "graph")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", ["dp", "tp", "pp", "dp_tp"])
def test_every_layout_follows_one_process(layout, mode):
    np.testing.assert_allclose(trace(layout, mode), trace("single", "eager"), rtol=3e-6)
