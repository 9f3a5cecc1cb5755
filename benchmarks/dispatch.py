"""What one small eager operator costs: a local add next to PyTorch's, a global one next to DTensor.

    python benchmarks/dispatch.py
"""

import argparse
import time

import rounds

ELEMENTS = 16


def _repeat(x, y):
    def run(count):
        start = time.perf_counter()
        for _ in range(count):
            x + y
        return [(time.perf_counter() - start) / count]
    return run


def our_local():
    import oneflow_like as flow
    rounds.serve(_repeat(flow.ones(ELEMENTS), flow.ones(ELEMENTS)))


def torch_local():
    import torch
    rounds.serve(_repeat(torch.ones(ELEMENTS), torch.ones(ELEMENTS)))


def our_global():
    import oneflow_like as flow
    world = flow.placement.all("cpu")
    x, y = (flow.ones(ELEMENTS, placement=world, sbp=flow.sbp.split(0)) for _ in range(2))
    rounds.serve(_repeat(x, y))


def torch_global():
    import torch
    from torch.distributed import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    x, y = (distribute_tensor(torch.ones(ELEMENTS), mesh, [Shard(0)]) for _ in range(2))
    rounds.serve(_repeat(x, y))
    torch.distributed.destroy_process_group()


WORKERS = {"our_local": our_local, "torch_local": torch_local, "our_global": our_global,
           "torch_global": torch_global}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=20000, help="calls in each round")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        WORKERS[args.worker]()
        return
    rounds.need_torch()
    for kind, names, processes in (("local", ("ours", "torch"), 1),
                                   ("global, S(0), no boxing", ("ours", "DTensor"), 2)):
        suffix = "local" if kind == "local" else "global"
        contestants = [rounds.Contestant(name, __file__, f"{side}_{suffix}", processes)
                       for name, side in zip(names, ("our", "torch"), strict=True)]
        rounds.compete(contestants, args.rounds, args.calls, warm_up=args.calls // 4)
        rounds.table(f"{kind} add of {ELEMENTS} float32, one call", contestants, contestants[-1],
                     "us", 1e6)


if __name__ == "__main__":
    main()
