"""Compiles the example GPT in each layout, for ranks that do not exist.

Prints the seconds that tracing and compiling take (the least of three), the bytes that one step
moves between ranks, and its conversions. With --worlds instead what it costs against ranks and
layers: a GPT with AdamW on meshes of data x tensor parallelism, each compiled once in a process of
its own, with the most memory that the process took.
"""

import argparse
import pathlib
import re
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples" / "gpt"))

import model as gpt  # noqa: E402  (its folder was just put on the path)

import oneflow_like as flow  # noqa: E402
from oneflow_like import nn  # noqa: E402

LAYOUTS = {"dp": 2, "tp": 2, "pp": 2, "dp_tp": 4}
SIZES = {"small": (gpt.Config(2, 64, 4, 32, 256), 8), "example": (gpt.Config(), 8)}


# Layers, data and tensor parallelism.
WORLDS = ((24, 2, 1), (24, 1, 2), (24, 2, 8), (24, 8, 8), (24, 16, 8), (12, 2, 8), (48, 2, 8),
          (96, 2, 8))


class Step(nn.Graph):
    def __init__(self, module):
        super().__init__()
        self.model = module
        self.add_optimizer(flow.optim.AdamW(module.parameters(), lr=1e-3))

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
    graph = Step(laid.module)
    if layout == "pp":
        graph.config.set_gradient_accumulation_steps(4)
        for index, (placement, _) in enumerate((laid.inputs, laid.targets)):
            graph.model.stages[index].to(nn.graph.GraphModule).set_stage(index, placement)
    start = time.perf_counter()
    plan = graph.compile(tokens, targets)
    return plan, time.perf_counter() - start


def compile_world(layers, data, tensor):
    """Seconds and megabytes for one mesh; the shapes are small, for they cost nothing."""
    config = gpt.Config(layers, 64, 8, 8, 64)
    split, whole = flow.sbp.split, flow.sbp.broadcast
    ranks = [[d * tensor + t for t in range(tensor)] for d in range(data)]
    with flow.compile_world(data * tensor):
        placement = flow.placement("cpu", ranks=ranks)
        module = gpt.GPT(config)
        gpt.split_tensors(module, placement, (whole, whole), lambda sbp: (whole, sbp))
        tokens, targets = (flow.zeros((8 * data, config.context), dtype=flow.int64,
                                      placement=placement, sbp=(split(0), whole))
                           for _ in range(2))
        graph = Step(module)
        start = time.perf_counter()
        graph.compile(tokens, targets)
        seconds = time.perf_counter() - start
    print(f"{layers:6} {f'{data} x {tensor}':>9} {data * tensor:6} {seconds:8.2f} "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.0f}", flush=True)


def print_worlds():
    print(f"{'layers':>6} {'mesh':>9} {'ranks':>6} {'seconds':>8} {'MiB':>6}", flush=True)
    for world in WORLDS:
        subprocess.run([sys.executable, __file__, "--world", *map(str, world)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dump", help="folder for the plans' summaries")
    parser.add_argument("--worlds", action="store_true", help="the cost against ranks and layers")
    parser.add_argument("--world", nargs=3, type=int, metavar=("LAYERS", "DATA", "TENSOR"),
                        help="one line of that table")
    args = parser.parse_args()
    if args.world:
        return compile_world(*args.world)
    if args.worlds:
        return print_worlds()
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
    return None


if __name__ == "__main__":
    main()
