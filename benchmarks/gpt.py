"""Step time of the example's GPT (3,323,392 parameters, batch 8 x 128) next to PyTorch's.

    python benchmarks/gpt.py                  # both set-ups
    python benchmarks/gpt.py --rounds 3       # quicker
"""

import argparse
import os
import pathlib
import sys

import numpy as np
import rounds

HERE = pathlib.Path(__file__).resolve().parent
BATCH, CONTEXT, VOCABULARY, RATE = 8, 128, 256, 1e-3


def batch():
    values = np.random.RandomState(0).randint(0, VOCABULARY, (BATCH, CONTEXT + 1))
    return values[:, :-1].copy(), values[:, 1:].copy()


def our_worker(eager):
    sys.path.insert(0, str(HERE.parent / "examples" / "gpt"))
    import model as gpt

    import oneflow_like as flow
    world = flow.env.get_world_size()
    flow.manual_seed(0)
    laid = gpt.Laid(gpt.GPT(gpt.Config()), "single" if world == 1 else "dp", world)
    optimizer = flow.optim.AdamW(laid.module.parameters(), lr=RATE)
    tokens, targets = laid.batch(*batch())

    if eager:
        def run():
            loss = laid.module.loss(tokens, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    else:
        class Step(flow.nn.Graph):
            def __init__(self):
                super().__init__()
                self.model = laid.module
                self.add_optimizer(optimizer)

            def build(self, tokens, targets):
                loss = self.model.loss(tokens, targets)
                loss.backward()
                return loss

        graph = Step()

        def run():
            graph(tokens, targets).item()
    rounds.serve(rounds.timed(run))


def torch_worker():
    import torch
    import torch_gpt
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    model = torch_gpt.GPT()
    if world > 1:
        torch.distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    rows = BATCH // world
    tokens, targets = (torch.from_numpy(part[rank * rows:(rank + 1) * rows]) for part in batch())

    def run():
        loss = model(tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    rounds.serve(rounds.timed(run))
    if world > 1:
        torch.distributed.destroy_process_group()


WORKERS = {"graph": lambda: our_worker(False), "eager": lambda: our_worker(True),
           "torch": torch_worker}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps in each round")
    parser.add_argument("--only", choices=list(WORKERS), action="append",
                        help="contestants besides torch (default: all)")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        WORKERS[args.worker]()
        return
    rounds.need_torch()
    for processes, threads in ((1, 2), (2, 1)):
        names = [n for n in WORKERS if n == "torch" or not args.only or n in args.only]
        contestants = [rounds.Contestant(name if name == "torch" else "ours, " + name, __file__,
                                         name, processes, threads) for name in names]
        rounds.compete(contestants, args.rounds, args.steps, warm_up=3)
        title = f"{processes} process(es) x {threads} thread(s), one step"
        if processes > 1:
            title += " (torch: DistributedDataParallel over gloo)"
        rounds.table(title, contestants, contestants[-1], "ms", 1e3)


if __name__ == "__main__":
    main()
