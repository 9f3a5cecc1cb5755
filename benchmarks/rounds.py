"""Contestants that run in turns, so that a slow minute of the machine hits all of them alike.

A contestant is a job of its own (one process or several, through the launcher). Its ranks wait at
a named pipe for "n", run n steps, and answer with the seconds of each.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

_LAUNCH = (pathlib.Path(__file__).resolve().parents[1] / "python" / "oneflow_like" /
           "distributed" / "launch.py")


class Contestant:
    """One framework in one set-up. Started at once, measured round by round."""

    def __init__(self, name, script, worker, processes=1, threads=1):
        self.name = name
        self.results = []  # median seconds per step of each round
        self._folder = tempfile.TemporaryDirectory(prefix="rounds_")
        self._processes = processes
        for rank in range(processes):
            for kind in ("ask", "answer"):
                os.mkfifo(self._pipe(kind, rank))
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), ROUNDS_FOLDER=self._folder.name)
        command = [sys.executable, str(_LAUNCH), "--nproc-per-node", str(processes), script,
                   "--worker", worker]
        self._job = subprocess.Popen(command, env=env, stdout=sys.stderr)

    def _pipe(self, kind, rank):
        return os.path.join(self._folder.name, f"{kind}.{rank}")

    def _open(self, kind, rank, flags):
        """Opens a pipe whose other side may die before it has opened its own."""
        while True:
            try:
                fd = os.open(self._pipe(kind, rank), flags | os.O_NONBLOCK)
                os.set_blocking(fd, True)
                return fd
            except OSError:
                pass
            if self._job.poll() is not None:
                raise SystemExit(f"{self.name} ended with code {self._job.returncode}")
            time.sleep(0.02)

    def ask(self, steps):
        """What each rank answers."""
        answers = [os.open(self._pipe("answer", rank), os.O_RDONLY | os.O_NONBLOCK)
                   for rank in range(self._processes)]
        for rank in range(self._processes):
            fd = self._open("ask", rank, os.O_WRONLY)
            os.write(fd, f"{steps}\n".encode())
            os.close(fd)
        texts = [b""] * self._processes
        while not all(text.endswith(b"\n") for text in texts):
            for rank, fd in enumerate(answers):
                try:
                    texts[rank] += os.read(fd, 1 << 16)
                except BlockingIOError:
                    pass
            if self._job.poll() is not None:
                raise SystemExit(f"{self.name} ended with code {self._job.returncode}")
            time.sleep(0.005)
        for fd in answers:
            os.close(fd)
        return [json.loads(text) for text in texts]

    def measure(self, steps):
        """Runs one round; the slowest rank counts."""
        self.results.append(max(statistics.median(times) for times in self.ask(steps)))

    def warm_up(self, steps):
        self.ask(steps)

    def close(self):
        if self._job.poll() is None:
            for rank in range(self._processes):
                fd = self._open("ask", rank, os.O_WRONLY)
                os.write(fd, b"0\n")
                os.close(fd)
            self._job.wait(60)
        self._folder.cleanup()


def serve(run):
    """The worker's side: run(n) → seconds per step, n times."""
    rank, folder = os.environ["RANK"], os.environ["ROUNDS_FOLDER"]
    while True:
        with open(os.path.join(folder, f"ask.{rank}")) as pipe:
            line = pipe.readline()
        if not line:  # the last question's writer has not closed yet
            continue
        steps = int(line)
        if steps == 0:
            return
        times = run(steps)
        with open(os.path.join(folder, f"answer.{rank}"), "w") as pipe:
            pipe.write(json.dumps(times) + "\n")


def timed(step):
    """run(n) for serve from a function that does one step and waits for its end."""
    def run(steps):
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return times
    return run


def compete(contestants, rounds, steps, warm_up):
    """Interleaved rounds; the order turns from round to round."""
    try:
        for contestant in contestants:
            contestant.warm_up(warm_up)
        for index in range(rounds):
            turn = index % len(contestants)
            for contestant in contestants[turn:] + contestants[:turn]:
                contestant.measure(steps)
    finally:
        for contestant in contestants:
            contestant.close()


def table(title, contestants, baseline, unit, scale):
    """Medians of the rounds with their range, and the ratio to the baseline."""
    base = statistics.median(baseline.results)
    print(f"\n{title}")
    for contestant in contestants:
        values = sorted(contestant.results)
        middle = statistics.median(values)
        print(f"  {contestant.name:24s} {middle * scale:9.3f} {unit}   "
              f"[{values[0] * scale:.3f} .. {values[-1] * scale:.3f}]   "
              f"{middle / base:5.2f} x {baseline.name}")


def need_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        raise SystemExit("this benchmark compares with PyTorch, an extra of the benchmarks: "
                         ".venv/bin/pip install '.[benchmarks]'") from None
