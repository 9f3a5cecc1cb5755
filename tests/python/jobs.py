"""Runs a snippet on real processes through the launcher."""

import os
import pathlib
import subprocess
import sys

import oneflow_like

_LAUNCH = pathlib.Path(oneflow_like.__file__).parent / "distributed" / "launch.py"
_RANK_NAMES = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
               "MASTER_PORT"}


def run_job(script, processes, *args, timeout=120, check=True, threads=1):
    """Runs a script file; returns the completed process. Fails with its output otherwise."""
    env = {k: v for k, v in os.environ.items() if k not in _RANK_NAMES}
    env["OMP_NUM_THREADS"] = str(threads)
    # The workers import what this process imported, from wherever that is.
    home = str(pathlib.Path(oneflow_like.__file__).parent.parent)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [home, env.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, str(_LAUNCH), "--nproc-per-node", str(processes), str(script),
         *map(str, args)], capture_output=True, text=True, timeout=timeout, env=env)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def run_text(tmp_path, processes, text, **kwargs):
    script = tmp_path / "job.py"
    script.write_text(text)
    return run_job(script, processes, **kwargs)
