"""Which instructions the loops and BLAS use, and that ranks which differ are not put together."""

import json
import os
import subprocess
import sys

import pytest

import oneflow_like as flow
from jobs import run_text

ORDER = ["base", "v3", "v4"]
VARIABLES = ("OFL_CPU_LEVEL", "OFL_MIXED_CPUS", "OPENBLAS_CORETYPE")

LOOK = """
import json, sys
import oneflow_like as flow
from oneflow_like import _C, nn

class Double(nn.Graph):
    def build(self, x):
        return x * 2

x = flow.arange(1, 4001, dtype=flow.float32) / 1000.0
graph = Double()
graph(x)
print(json.dumps({"level": _C.config()["cpu_level"], "core": _C.config()["blas_core"],
                  "bits": flow.tanh(x).numpy().tobytes().hex(),
                  "hash": graph.plan().hash}))
"""


def look(**settings):
    env = {k: v for k, v in os.environ.items() if k not in VARIABLES} | settings
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def best():
    return look()


def lower_levels(best):
    levels = ORDER[:ORDER.index(best["level"])]
    if not levels:
        pytest.skip("this processor or build has the base level alone")
    return levels


def test_the_variable_pins_our_loops_and_the_cores_of_blas(best):
    for level in lower_levels(best):
        pinned = look(OFL_CPU_LEVEL=level)
        assert pinned["level"] == level
        assert pinned["hash"] != best["hash"]
        assert pinned["core"] == look(OPENBLAS_CORETYPE=flow._cpu.CORES[level])["core"]
    # Fused multiply-adds round once, the base level rounds twice: the loops themselves changed.
    assert look(OFL_CPU_LEVEL="base")["bits"] != look(OFL_CPU_LEVEL="v3")["bits"]
    assert look(OFL_CPU_LEVEL=best["level"])["bits"] == best["bits"]


def test_a_core_that_is_given_stands():
    assert look(OPENBLAS_CORETYPE="Nehalem", OFL_CPU_LEVEL="base")["core"] == "Nehalem"


@pytest.mark.parametrize("code, words", [
    ("import oneflow_like", "got 'v9'; expected base, v3 or v4"),
    ("import os; os.environ['OFL_CPU_LEVEL'] = 'base'; import oneflow_like",
     "expected the value that the process was started with"),
    ("import os; del os.environ['OFL_CPU_LEVEL']; import oneflow_like",
     "the process was started with 'v9'")])
def test_levels_that_cannot_be_had(code, words):
    env = dict(os.environ, OFL_CPU_LEVEL="v9")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert "OFL_CPU_LEVEL" in done.stderr


UNLIKE = """
import os, sys
if os.environ["RANK"] == "1" and "STARTED" not in os.environ:
    os.environ.update(STARTED="1", {settings})
    os.execv(sys.executable, [sys.executable, *sys.argv])
import oneflow_like as flow
P, B = flow.placement.all("cpu"), flow.sbp.broadcast
x = flow.ones(4, placement=P, sbp=flow.sbp.partial_sum).to_global(sbp=B)
assert x.tolist() == [2.0] * 4 or x.tolist() == [1.0] * 4
flow.show_config()
"""


def clean(monkeypatch, **settings):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def test_ranks_of_unlike_levels_are_refused(tmp_path, monkeypatch, best):
    level = lower_levels(best)[0]
    clean(monkeypatch)
    done = run_text(tmp_path, 2, UNLIKE.format(settings=f"OFL_CPU_LEVEL='{level}'"), check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"rank 0 has CPU level {best['level']}, BLAS core {best['core']}" in text, text
    assert f"rank 1 has CPU level {level}, BLAS core" in text and "OFL_CPU_LEVEL" in text
    assert "OFL_MIXED_CPUS=1" in text


def test_ranks_of_unlike_blas_cores_are_refused(tmp_path, monkeypatch):
    clean(monkeypatch, OPENBLAS_CORETYPE="Haswell")
    done = run_text(tmp_path, 2, UNLIKE.format(settings="OPENBLAS_CORETYPE='Nehalem'"), check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "BLAS core Nehalem" in text and "BLAS core Haswell" in text


def test_an_override_lets_them_join_and_gives_equal_bits_up(tmp_path, monkeypatch):
    clean(monkeypatch, OFL_MIXED_CPUS="1")
    done = run_text(tmp_path, 2, UNLIKE.format(settings="OFL_CPU_LEVEL='base'"))
    assert done.stdout.count("not promised, digests not compared: OFL_MIXED_CPUS=1") == 2
    assert "OFL_CPU_LEVEL=base" in done.stdout and "tcp, connected" in done.stdout
    clean(monkeypatch)
    one = run_text(tmp_path, 2, UNLIKE.format(settings="OFL_MIXED_CPUS='1'"), check=False)
    assert "rank 1 has OFL_MIXED_CPUS=1 and rank 0 has not" in one.stdout + one.stderr


def test_what_show_config_prints(capsys):
    flow.show_config()
    names = [line[:11].strip() for line in capsys.readouterr().out.splitlines()]
    assert names == ["version", "build", "CPU level", "BLAS core", "equal bits", "threads", "world",
                     "wire", "overrides"]
