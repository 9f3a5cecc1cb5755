"""Compiles the example GPT in each layout, for ranks that do not exist.

Prints the seconds that tracing and compiling take (the least of three), the bytes that one step
moves between ranks, and its conversions.
"""

import argparse
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples" / "gpt"))

import model as gpt  # noqa: E402  (its folder was just put on the path)

import oneflow_like as flow  # noqa: E402
from oneflow_like import nn  # noqa: E402

LAYOUTS = {"dp": 2, "tp": 2, "pp": 2, "dp_tp": 4}
SIZES = {"small": (gpt.Config(2, 64, 4, 32, 256), 8), "example": (gpt.Config(), 8)}


class Step(nn.Graph):
    def __init__(self, laid):
        super().__init__()
        self.model = laid.module
        if laid.name == "pp":
            self.config.set_gradient_accumulation_steps(4)
            for index, (placement, _) in enumerate((laid.inputs, laid.targets)):
                self.model.stages[index].to(nn.graph.GraphModule).set_stage(index, placement)
        self.add_optimizer(flow.optim.AdamW(laid.module.parameters(), lr=1e-3))

    def build(self, tokens, targets):
        loss = self.model.loss(tokens, targets)
        loss.backward()
        return loss


def compiled(config, batch, layout, world):
    """The plan and the seconds it took."""
    laid = gpt.Laid(gpt.GPT(config), layout, world)
    tokens, targets = (flow.zeros((batch, config.context), dtype=flow.int64,
                                  placement=where[0], sbp=where[1])
                       for where in (laid.inputs, laid.targets))
    graph = Step(laid)
    start = time.perf_counter()
    plan = graph.compile(tokens, targets)
    return plan, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dump", help="folder for the plans' summaries")
    args = parser.parse_args()
    print(f"{'size':8} {'layout':6} {'seconds':>8} {'bytes moved':>12} {'conversions':>11}")
    for size, (config, batch) in SIZES.items():
        for layout, world in LAYOUTS.items():
            with flow.compile_world(world):
                runs = [compiled(config, batch, layout, world) for _ in range(args.rounds)]
            text = runs[0][0].summary()
            moved = re.search(r"conversions\s+(\d+), moving (.*) between", text)
            seconds = min(run[1] for run in runs)
            print(f"{size:8} {layout:6} {seconds:8.3f} {moved[2]:>12} {moved[1]:>11}", flush=True)
            if args.dump:
                pathlib.Path(args.dump).mkdir(parents=True, exist_ok=True)
                (pathlib.Path(args.dump) / f"{size}.{layout}.txt").write_text(text)


if __name__ == "__main__":
    main()
