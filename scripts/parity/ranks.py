"""Cases whose operands are global tensors over two ranks: a job that both libraries run in.

PyTorch computes on each rank by itself. Rank 0 writes what it found, a line a case, so that whoever
started the job knows which case ended it.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile

import numpy as np

RANKS = 2
SYMBOLS = {"S0": 0, "S1": -1}


def _placer(flow, layout):
    """A function that makes a local tensor a global one in a layout, where it can lie so."""
    placement, partial = flow.placement.all("cpu"), flow.sbp.partial_sum
    whole = flow.sbp.broadcast

    def place(x):
        sums = layout == "P" and (x.dtype.is_floating_point or x.dtype.name.startswith("complex"))
        if x.ndim == 0 and not sums or layout == "P" and not sums:
            return x.to_global(placement=placement, sbp=whole)
        if sums:  # a quarter of it here, the rest there; what is not finite stays whole, -0 too
            values = x.numpy()
            here = np.where(np.isfinite(values), values * 0.25, values)
            rest = np.where(np.isfinite(values) & (values != 0), values - here, values * 0)
            rest = np.where(np.isfinite(values), rest, 0)
            part = np.asarray(here if flow.env.get_rank() == 0 else rest, values.dtype)
            return flow.from_numpy(part).to_global(placement=placement, sbp=partial)
        split = flow.sbp.split(SYMBOLS[layout] % x.ndim)
        return x.to_global(placement=placement, sbp=whole).to_global(sbp=split)

    return place


def _work(cases_file, first, report):
    """On every rank."""
    import torch
    from calls import compare

    import oneflow_like as flow
    torch.set_num_threads(1)
    with open(cases_file, "rb") as file:
        cases = pickle.load(file)
    out = open(report, "a", encoding="utf-8") if flow.env.get_rank() == 0 else None
    np.seterr(all="ignore")
    placers = {layout: _placer(flow, layout) for layout in ("S0", "S1", "P")}
    for case in cases[first:]:
        outcome = compare(torch, flow, case, placers[case.layout])
        if out:
            print(json.dumps(outcome), file=out, flush=True)


def _job(cases_file, first, report, seconds):
    """How the job ended: "" for well."""
    command = [sys.executable, "-m", "oneflow_like.distributed.launch", "--nproc-per-node",
               str(RANKS), __file__, cases_file, str(first), report]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OFL_OPERATION_TIMEOUT_S": str(int(seconds))}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else " ".join(result.stderr[-400:].split())


def outcomes_on_ranks(cases, seconds):
    """Yields the outcome of every case; one that ends the job costs itself alone."""
    with tempfile.TemporaryDirectory() as folder:
        cases_file, report = os.path.join(folder, "cases"), os.path.join(folder, "report")
        with open(cases_file, "wb") as file:
            pickle.dump(cases, file)
        done = 0
        while done < len(cases):
            open(report, "w", encoding="utf-8").close()
            ended = _job(cases_file, done, report, seconds)
            with open(report, encoding="utf-8") as lines:
                for line in lines:
                    yield tuple(json.loads(line))
                    done += 1
            if ended and done < len(cases):
                yield "open", f"CRASH: the job ended: {ended}", "", ""
                done += 1


if __name__ == "__main__":
    _work(sys.argv[1], int(sys.argv[2]), sys.argv[3])
