"""oneflow-like-verify: tries every operator of the installed package on its own samples.

    oneflow-like-verify                   all operators, on one process and on meshes 2, 3 and 2x2
    oneflow-like-verify --op softmax      one of them
    oneflow-like-verify --no-layouts      on one process alone
    oneflow-like-verify --graph           inside nn.Graph, next to eager: one process and mesh 2
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

MESHES = ("2", "3", "2x2")
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 64


def _arguments(argv):
    parser = argparse.ArgumentParser(prog="oneflow-like-verify",
                                     description="Try every operator on its own samples.")
    parser.add_argument("--op", action="append", default=[], metavar="NAME",
                        help="only this operator of the registry; may be repeated")
    parser.add_argument("--no-layouts", action="store_true", help="start no further processes")
    parser.add_argument("--graph", action="store_true",
                        help="inside nn.Graph, compared with eager calls (docs/graphs.md)")
    parser.add_argument("--mesh", action="append", choices=MESHES, help="only these meshes")
    parser.add_argument("--seconds", type=float, default=300,
                        help="of one operator on a mesh, at most")
    return parser.parse_args(argv)


class Table:
    """Cases tried by operator and kind, and what failed."""

    def __init__(self):
        self.tried = collections.defaultdict(collections.Counter)
        self.failed = collections.defaultdict(list)

    def add(self, name, kind, tried, failed=()):
        self.tried[name][kind] += tried
        self.failed[name] += [f"{kind}: {text}" for text in failed]

    def print(self, kinds):
        print(f"{'operator':28}" + "".join(f"{k:>10}" for k in kinds) + f"{'failed':>8}")
        for name in sorted(self.tried):
            cells = "".join(f"{self.tried[name][k]:>10}" for k in kinds)
            print(f"{name:28}{cells}{len(self.failed[name]):>8}")
        for name in sorted(self.failed):
            for text in self.failed[name]:
                print(f"FAILED {name}: {text}")
        cases = sum(sum(c.values()) for c in self.tried.values())
        failures = sum(map(len, self.failed.values()))
        print(f"{len(self.tried)} operators, {cases} cases, {failures} failures")


def _run_checks(table, names, in_graph):
    """The checks on one process."""
    from ..testing import checks, graphs
    chosen = graphs.CHECKS if in_graph else checks.CHECKS
    for check in chosen:
        for name, index in checks.cases(check, names):
            tried, failed = 1, []
            try:
                tried = check(name, index)
            except Exception as error:
                failed = [f"sample {index}: {type(error).__name__}: {' '.join(str(error).split())}"]
            table.add(name, _title(check.__name__), tried, [text[:700] for text in failed])
    return [_title(check.__name__) for check in chosen]


def _title(name):
    return {"double_precision": "float64", "second_derivative": "second",
            "names_in_python": "names"}.get(name, name)


class _Progress:
    """How far one part has come, on stderr: a line on a terminal, elsewhere one every minute."""

    def __init__(self, what, total):
        self.what, self.total, self.start = what, total, time.monotonic()
        self.terminal, self.told = sys.stderr.isatty(), self.start

    def tell(self, done):
        now = time.monotonic()
        if self.terminal or now - self.told > 60:
            self.told = now
            text = f"{self.what}: {done} of {self.total} operators, {now - self.start:.0f} s"
            print(f"\r{text} " if self.terminal else text, end="" if self.terminal else "\n",
                  file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print(file=sys.stderr)


def _lines(report):
    if not os.path.exists(report):
        return []
    with open(report, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def _stop(job):
    """Ends a launcher, which ends its processes."""
    job.terminate()
    try:
        job.wait(timeout=60)
    except subprocess.TimeoutExpired:
        job.kill()
        job.wait()


def _watch(job, report, seconds, tell):
    """Waits for a job; ends one that reports nothing for so long. What it died of: "" for nothing.
    """
    seen, last = 0, time.monotonic()
    while True:
        try:
            job.wait(timeout=1)
            return "" if job.returncode == 0 else f"the job ended with {job.returncode}"
        except subprocess.TimeoutExpired:
            lines = _lines(report)
        if len(lines) > seen:
            seen, last = len(lines), time.monotonic()
            tell(sum("name" in line for line in lines))
        if time.monotonic() - last > seconds:
            _stop(job)
            return f"one operator took more than {seconds:.0f} s"


def _run_job(mesh, names, seconds, module, tell=lambda done: None):
    """The lines of a job's report, and how it ended: "" for well."""
    processes = 1
    for extent in mesh.split("x"):
        processes *= int(extent)
    with tempfile.TemporaryDirectory() as folder:
        report, said = os.path.join(folder, "report"), os.path.join(folder, "stderr")
        command = [sys.executable, "-m", "oneflow_like.distributed.launch", "--nproc-per-node",
                   str(processes), "-m", f"oneflow_like.testing.{module}", mesh, report, *names]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OFL_OPERATION_TIMEOUT_S": "60"}
        with open(said, "w+", encoding="utf-8", errors="replace") as stderr:
            job = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=stderr)
            try:
                ended = _watch(job, report, seconds, tell)
            finally:
                _stop(job)
            stderr.seek(0)
            last_words = stderr.read()[-600:]
        return _lines(report), f"{ended}: {last_words}" if ended else ""


def _run_layouts(table, names, mesh, seconds, module="layouts"):
    """A job for all operators; one that ends it costs itself alone: the next job goes on behind."""
    names, kind = list(names), "mesh " + mesh
    progress = _Progress(kind, len(names))
    while names:
        done = progress.total - len(names)
        lines, ended = _run_job(mesh, names, seconds, module,
                                lambda more, d=done: progress.tell(d + more))
        for line in lines:
            if "name" in line:
                table.add(line["name"], kind, line["tried"], line["failed"])
                names.remove(line["name"])
        if not ended:
            break
        if not lines or "started" in lines[-1]:  # it ended within an operator
            table.add(names[0], kind, 1, [" ".join(ended.split())])
            names = names[1:] if lines else []
    progress.end()
    return kind


def main(argv=None):
    """Prints operators, cases and failures; returns 1 where something failed."""
    args = _arguments(argv)
    from ..testing import checks
    unknown = set(args.op) - set(checks.names())
    if unknown:
        print(f"oneflow-like-verify: no operator is called {', '.join(sorted(unknown))}",
              file=sys.stderr)
        return EXIT_USAGE
    names, table, start = args.op or checks.names(), Table(), time.monotonic()
    module = "graphs" if args.graph else "layouts"
    kinds = _run_checks(table, names, args.graph)
    spent = [f"one process {time.monotonic() - start:.0f} s"]
    meshes = args.mesh or (MESHES[:1] if args.graph else MESHES)
    for mesh in [] if args.no_layouts else meshes:
        begun = time.monotonic()
        kinds.append(_run_layouts(table, names, mesh, args.seconds, module))
        spent.append(f"{kinds[-1]} {time.monotonic() - begun:.0f} s")
    table.print(kinds)
    print(f"{time.monotonic() - start:.0f} s: {', '.join(spent)}")
    return EXIT_FAILED if any(table.failed.values()) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
