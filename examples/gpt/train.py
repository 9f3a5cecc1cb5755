"""Trains a small GPT on the Python standard library's sources.

    python train.py                                               one process
    oneflow-like-run --nproc-per-node 2 train.py                  data parallel
    oneflow-like-run --nproc-per-node 2 train.py --layout pp      a pipeline of two stages
"""

import argparse
import math
import os
import pathlib
import sys
import time

import data
import numpy as np
from model import GPT, LAYOUTS, Config, Laid

import oneflow_like as flow
from oneflow_like import nn

SUMMARY_LINES = 16
RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layout", choices=LAYOUTS, default="single" if WORLD == 1 else "dp")
    parser.add_argument("--eager", action="store_true", help="without nn.Graph")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--micro-batches", type=int, default=None,
                        help="parts of a batch in a graph (default: 4 in a pipeline, else 1)")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", help="folder of .py files (default: the standard library)")
    parser.add_argument("--out", default=".", help="folder for what the run writes")
    args = parser.parse_args()
    if args.micro_batches is None:
        args.micro_batches = 4 if args.layout == "pp" and not args.eager else 1
    if args.eager and args.micro_batches != 1:
        parser.error("--micro-batches needs a graph: leave out --eager")
    if args.steps < 1:
        parser.error("--steps: expected at least 1")
    return args


def say(*words):
    if RANK == 0:
        print(*words, flush=True)


class TrainGraph(nn.Graph if hasattr(nn, "Graph") else object):
    """One training step: loss, gradients, update."""

    def __init__(self, laid, optimizer, scheduler, micro_batches):
        super().__init__()
        self.model = laid.module
        if micro_batches > 1:
            self.config.set_gradient_accumulation_steps(micro_batches)
        if laid.name == "pp":
            for index, (placement, _) in enumerate((laid.inputs, laid.targets)):
                stage = self.model.stages[index].to(nn.graph.GraphModule)
                stage.set_stage(index, placement)
        self.add_optimizer(optimizer, lr_sch=scheduler)

    def build(self, tokens, targets):
        loss = self.model.loss(tokens, targets)
        loss.backward()
        return loss


def eager_step(model, optimizer, scheduler):
    def step(tokens, targets):
        loss = model.loss(tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss
    return step


def warm_up_then_cosine(steps):
    warm = max(1, min(50, steps // 10))

    def factor(step):
        if step < warm:
            return (step + 1) / warm
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    return factor


class Progress:
    """A bar on a terminal (also through the launcher), plain lines elsewhere."""

    def __init__(self, steps, tokens_per_step):
        self._steps, self._tokens = steps, tokens_per_step
        self._start = self._last = None
        self._bar = None
        self._every = max(1, steps // 20)
        terminal = sys.stderr.isatty() or os.environ.get("OFL_LAUNCHER_TERMINAL") == "1"
        if RANK == 0 and terminal:
            try:
                from tqdm import tqdm
                self._bar = tqdm(total=steps, unit="step", disable=False, mininterval=0.2, ncols=88)
            except ImportError:
                pass

    def show(self, step, loss):
        now = time.perf_counter()
        if self._start is None:  # the first step includes compilation
            self._start = now
            rate = 0.0
        else:
            rate = self._tokens * step / (now - self._start)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} tokens/s", refresh=False)
            self._bar.update()
        elif step % self._every == 0 or step == self._steps - 1:
            say(f"step {step:5d}  loss {loss:.4f}  {rate:9,.0f} tokens/s")

    def close(self):
        if self._bar is not None:
            self._bar.close()


def held_out_loss(laid, batches, count=8):
    with flow.no_grad():
        return float(np.mean([laid.module.loss(*laid.batch(*batches[i])).item()
                              for i in range(count)]))


def draw(losses, bigram, path):
    try:
        import matplotlib
    except ImportError:
        say("loss.png not written: matplotlib is missing (pip install matplotlib)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot(losses, linewidth=1, label="training loss")
    axes.axhline(bigram, color="gray", linestyle="--", label="bigram entropy")
    axes.set(xlabel="step", ylabel="nats per byte")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def generate(state, config, prompt, length=300, temperature=0.8, seed=0):
    """Samples bytes on this process alone, from the logical weights."""
    model = GPT(config)
    model.load_state_dict(state)
    random, text = np.random.RandomState(seed), list(prompt)
    with flow.no_grad():
        for _ in range(length):
            window = np.array([text[-config.context:]], dtype=np.int64)
            logits = model(flow.tensor(window)).numpy()[0, -1].astype(np.float64) / temperature
            weights = np.exp(logits - logits.max())
            text.append(int(random.choice(len(weights), p=weights / weights.sum())))
    shown = bytes(text).decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in shown)


def say_plan(plan, path, counters):
    lines = plan.summary().splitlines()
    say("\n".join(lines[:SUMMARY_LINES]))
    if len(lines) > SUMMARY_LINES:
        say(f"  ... {len(lines) - SUMMARY_LINES} more lines: oneflow-like-plan show {path}")
    say("counters: " + ", ".join(f"{key} {value:,}" for key, value in counters.items()))
    as_predicted = all(counters[key] == counters["predicted_" + key]
                       for key in ("firings", "messages"))
    say(f"  firings and messages {'equal' if as_predicted else 'DIFFER FROM'} the plan's "
        f"prediction, {counters['unplanned_messages']} through a master or any other way")
    say(f"plan hash {plan.hash}, written to {path}")


def finish(args, config, laid, losses, bigram, held_out, graph):
    out = pathlib.Path(args.out)
    state = laid.module.state_dict()
    flow.save(state, out / "checkpoint.safetensors")
    if RANK != 0:
        return
    draw(losses, bigram, out / "loss.png")
    text = generate(flow.load(out / "checkpoint.safetensors"), config, b"def ")
    say("\n--- generated ---\n" + text + "\n-----------------\n")
    say(f"held-out loss {held_out:.4f} nats/byte, bigram entropy {bigram:.4f}")
    if graph is not None:
        plan, counters = graph.plan(), graph.counters()
        path = out / "plan.pb"
        plan.save(str(path))
        say_plan(plan, path, counters)


def main():
    args = parse_arguments()
    config = Config(args.layers, args.width, args.heads, args.context)
    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    train, held = data.load(args.data)
    bigram = data.bigram_entropy(train, held)
    flow.manual_seed(args.seed)
    model = GPT(config)
    count = sum(math.prod(p.shape) for p in model.parameters())
    laid = Laid(model, args.layout, WORLD)
    say(f"{count:,} parameters, layout {args.layout} on {WORLD} process(es), "
        f"{'eager' if args.eager else 'graph'}; text: {len(train):,} + {len(held):,} bytes, "
        f"bigram entropy {bigram:.4f} nats/byte")
    optimizer = flow.optim.AdamW(laid.module.parameters(), lr=args.lr, betas=(0.9, 0.99),
                                 weight_decay=0.1)
    scheduler = flow.optim.lr_scheduler.LambdaLR(optimizer, warm_up_then_cosine(args.steps))
    graph = None if args.eager else TrainGraph(laid, optimizer, scheduler, args.micro_batches)
    step = graph if graph is not None else eager_step(laid.module, optimizer, scheduler)

    batches = data.Batches(train, args.batch, args.context, args.seed)
    progress = Progress(args.steps, args.batch * args.context)
    losses = []
    for index in range(args.steps):
        loss = step(*laid.batch(*batches[index]))
        losses.append(float(loss.detach().numpy().mean()))  # a graph gives one a micro-batch
        progress.show(index, losses[-1])
    progress.close()
    held_out = held_out_loss(laid, data.Batches(held, args.batch, args.context, args.seed + 1))
    finish(args, config, laid, losses, bigram, held_out, graph)


if __name__ == "__main__":
    main()
