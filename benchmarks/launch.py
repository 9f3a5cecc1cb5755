"""What a launch of a compiled graph costs outside its plan: Python, bindings, arguments, results.

    python benchmarks/launch.py

A graph of `--parameters` tiny parameters with AdamW runs on one process. `whole` is the time of
`graph(x)`. The session counts the nanoseconds between handing the plan over and its end
(`counters()["plan_ns"]`); `above the plan` is what remains of the whole. Each round is the median
call of many; printed are the median round and the range.
"""

import argparse
import statistics
import time

import oneflow_like as flow
from oneflow_like import nn


class Step(nn.Graph):
    def __init__(self, model, optimizer, scheduler):
        super().__init__()
        self.model = model
        self.add_optimizer(optimizer, lr_sch=scheduler)

    def build(self, x):
        loss = self.model(x).sum()
        loss.backward()
        return loss


def make(parameters, scheduled):
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(parameters // 2)))
    optimizer = flow.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = flow.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    return Step(model, optimizer, scheduler if scheduled else None)


def one_round(graph, x, calls):
    """(median whole, median above the plan) of a call, in microseconds."""
    whole, above = [], []
    before = graph.counters()["plan_ns"]
    for _ in range(calls):
        start = time.perf_counter_ns()
        graph(x)
        took = time.perf_counter_ns() - start
        after = graph.counters()["plan_ns"]
        whole.append(took / 1e3)
        above.append((took - (after - before)) / 1e3)
        before = after
    return statistics.median(whole), statistics.median(above)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parameters", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200, help="calls in each round")
    args = parser.parse_args()
    x = flow.ones(2, 4)
    for label, scheduled in (("fixed learning rate", False), ("learning-rate schedule", True)):
        graph = make(args.parameters, scheduled)
        for _ in range(50):
            graph(x)
        rounds = list(zip(*(one_round(graph, x, args.calls) for _ in range(args.rounds)),
                          strict=True))
        print(f"{args.parameters} parameters, AdamW, 1 process, {label}")
        for name, values in zip(("whole call", "above the plan"), rounds, strict=True):
            print(f"  {name:15s} {statistics.median(values):8.1f} us   "
                  f"({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
