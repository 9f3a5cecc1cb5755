"""Times eager operators next to PyTorch's, in turns: forward, and backward alone, in three sizes.

    python benchmarks/operators.py [--rounds 7] [--only conv2d,sum]

Prints the ratio ours / PyTorch of each (median of the rounds), the median of all, and those above
2. One thread each. Backward is one autograd.grad() of a retained graph.
"""

import argparse
import itertools
import math
import statistics
import time

import rounds
from more_operator_cases import MORE_CASES
from operator_cases import FIRST_CASES, SIZES

CASES = FIRST_CASES + MORE_CASES
WAYS = ("forward", "backward")
_SLICE_S = 2e-3  # what one measurement takes, about
_LEAST, _MOST = 1, 2000


def _normals(t):
    generator = itertools.count(1)

    def normal(*shape):
        t.manual_seed(next(generator))
        return t.randn(*shape)
    return normal


def _calls(t, case, size):
    """What one forward and one backward is: functions without arguments. None: there is none."""
    normal = _normals(t)
    shape = case.shapes[size]
    operands = (case.draw(t, shape, normal) if case.draw
                else [normal(*shape) for _ in range(case.operands)])

    def forward():
        return case.call(t, *operands)

    if not case.backward:
        return forward, None
    recorded = [x.clone().requires_grad_(x.is_floating_point()) for x in operands]
    result = case.call(t, *recorded)
    leaves = [x for x in recorded if x.requires_grad]
    used = t.autograd.grad(result.sum(), leaves, retain_graph=True, allow_unused=True)
    leaves = [leaf for leaf, gradient in zip(leaves, used, strict=True) if gradient is not None]
    seed = t.ones_like(result)
    return forward, lambda: t.autograd.grad(result, leaves, seed, retain_graph=True)


def _seconds(call):
    """Of one call, as the least of three slices."""
    call()
    start = time.perf_counter()
    call()
    once = max(time.perf_counter() - start, 1e-7)
    count = min(_MOST, max(_LEAST, int(_SLICE_S / 3 / once)))
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - start) / count)
    return best


def _serve(t):
    """Asked for case n (from 1), answers its seconds by size and way; null for what is absent."""
    calls = {}

    def run(number):
        if number not in calls:
            calls.clear()  # memory of large cases
            calls[number] = [_calls(t, CASES[number - 1], size) for size in range(len(SIZES))]
        return [None if call is None else _seconds(call)
                for pair in calls[number] for call in pair]

    def guarded(number):
        try:
            return run(number)
        except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
            return [f"{type(error).__name__}: {str(error).splitlines()[0]}"]
    rounds.serve(guarded)


def ours():
    import oneflow_like as flow
    _serve(flow)


def torchs():
    import torch
    torch.set_num_threads(1)
    _serve(torch)


def _ratios(case_number, contestants, count):
    """{(size, way): ratio of medians}, or the text of an error."""
    times = {c.name: [] for c in contestants}
    for index in range(count):
        turn = index % 2
        for contestant in contestants[turn:] + contestants[:turn]:
            times[contestant.name].append(contestant.ask(case_number)[0])
    for name, found in times.items():
        if isinstance(found[0][0], str):
            return f"{name}: {found[0][0]}"
    ratios = {}
    for place, key in enumerate(itertools.product(SIZES, WAYS)):
        mine, theirs = ([one[place] for one in times[c.name]] for c in contestants)
        if mine[0] is not None and theirs[0] is not None:
            ratios[key] = statistics.median(mine) / statistics.median(theirs)
    return ratios


def _report(found):
    head = " ".join(f"{size[:5]} {way[:3]:>5}" for size in SIZES for way in WAYS)
    print(f"\n{'ours / PyTorch, one thread each':28} {head}")
    for name, ratios in found.items():
        if isinstance(ratios, str):
            print(f"{name:28} {ratios}")
            continue
        cells = (f"{ratios[key]:11.2f}" if key in ratios else f"{'-':>11}"
                 for key in itertools.product(SIZES, WAYS))
        print(f"{name:28}{''.join(cells)}")
    every = [(ratio, name, *key) for name, ratios in found.items() if not isinstance(ratios, str)
             for key, ratio in ratios.items()]
    slow = sorted((one for one in every if one[0] > 2), reverse=True)
    print(f"\n{len(found)} operators, {len(every)} measurements, median ratio "
          f"{statistics.median(one[0] for one in every):.2f}, above 2: {len(slow)}")
    for ratio, name, size, way in slow:
        print(f"  {ratio:6.2f}  {name}, {size}, {way}")


def _named(text, names):
    """The names that `text` lists with commas; some have commas of their own."""
    found, start = [], 0
    parts = text.split(",")
    for end in range(1, len(parts) + 1):
        if (name := ",".join(parts[start:end])) in names:
            found.append(name)
            start = end
    return [*found, ",".join(parts[start:])] if start < len(parts) else found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--worker", choices=["ours", "torchs"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        {"ours": ours, "torchs": torchs}[args.worker]()
        return
    rounds.need_torch()
    names = [case.name for case in CASES]
    only = _named(args.only, names) if args.only else names
    if unknown := set(only) - set(names):
        parser.error(f"no case named {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    contestants = [rounds.Contestant("ours", __file__, "ours"),
                   rounds.Contestant("PyTorch", __file__, "torchs")]
    try:
        _report({name: _ratios(names.index(name) + 1, contestants, args.rounds) for name in only})
    finally:
        for contestant in contestants:
            contestant.close()


if __name__ == "__main__":
    main()
