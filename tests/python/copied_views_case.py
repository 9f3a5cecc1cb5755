"""Random programs of views and changes in place, of a global tensor and of its local twin.

Run on several ranks. A slice along a split axis has memory of its own and has to behave as the
local one, which lies in its base's memory.
"""

import contextlib
import random
import sys

import numpy as np

import oneflow_like as flow
from oneflow_like.nn import functional as F

P, B = flow.placement.all("cpu"), flow.sbp.broadcast
LAYOUTS = {"S0": flow.sbp.split(0), "S1": flow.sbp.split(1), "P": flow.sbp.partial_sum, "B": B}
SHAPES = [(5, 3), (4, 4), (7, 2), (3, 6), (3, 2, 4)]
VIEWS = {
    "row": lambda t: t[1], "rows": lambda t: t[1:], "every other": lambda t: t[::2],
    "column": lambda t: t[..., 1], "columns": lambda t: t[..., 1:],
    "turned": lambda t: t.transpose(0, -1), "flat": lambda t: t.view(-1),
    "flattened": lambda t: t.flatten(), "diagonal": lambda t: t.diagonal(0, 0, -1),
    "new axis": lambda t: t.unsqueeze(0), "narrowed": lambda t: t.narrow(0, 0, 2),
    "same": lambda t: t[...], "detached": lambda t: t.detach(), "data": lambda t: t.data,
    "laid alike": lambda t: t.to_global(sbp=t.sbp) if t.is_global else t[...],
}


def first(t):
    return flow.zeros_like(t, dtype=flow.int64)[:1]


def number(value):
    return flow.tensor(value, dtype=flow.float64)


CHANGES = {
    "sin_": lambda t, w: t.sin_(), "cos_": lambda t, w: t.cos_(), "abs_": lambda t, w: t.abs_(),
    "tanh_": lambda t, w: t.tanh_(), "sigmoid_": lambda t, w: t.sigmoid_(),
    "log_": lambda t, w: t.abs_().add_(0.5).log_(), "exp_": lambda t, w: t.clamp_(-1, 1).exp_(),
    "square_": lambda t, w: t.square_(), "pow_": lambda t, w: t.pow_(2),
    "**=": lambda t, w: t.__ipow__(2), "clamp_": lambda t, w: t.clamp_(-0.9, 1.1),
    "remainder_": lambda t, w: t.remainder_(1.3), "cumsum_": lambda t, w: t.cumsum_(0),
    "cumprod_": lambda t, w: t.cumprod_(0), "fill_": lambda t, w: t.fill_(0.4),
    "zero_": lambda t, w: t.zero_(), "mul_ number": lambda t, w: t.mul_(-0.7),
    "add_ number": lambda t, w: t.add_(0.3), "mul_": lambda t, w: t.mul_(w),
    "add_": lambda t, w: t.add_(w), "*=": lambda t, w: t.__imul__(w),
    "div_": lambda t, w: t.div_(w), "sub_": lambda t, w: t.sub_(w * 0.5),
    "lerp_": lambda t, w: t.lerp_(flow.full_like(t, 0.5) * w, 0.4),
    "atan2_": lambda t, w: t.atan2_(flow.full_like(t, 1.5)),
    "addcmul_": lambda t, w: t.addcmul_(flow.full_like(t, 0.5), flow.full_like(t, 0.6) * w),
    "nan_to_num_": lambda t, w: t.nan_to_num_(), "copy_": lambda t, w: t.copy_(t.detach().flip(0)),
    "leaky_relu_": lambda t, w: F.leaky_relu_(t, 0.2), "elu_": lambda t, w: F.elu_(t),
    "hardtanh_": lambda t, w: F.hardtanh_(t, -0.8, 0.9),
    "threshold_": lambda t, w: F.threshold_(t, 0.1, 0.2), "relu_": lambda t, w: t.relu_(),
    "index_fill_": lambda t, w: t.index_fill_(0, flow.tensor([0]), 0.7),
    "scatter_": lambda t, w: t.scatter_(0, first(t), 0.5),
    "scatter_add_": lambda t, w: t.scatter_add_(0, first(t), flow.full_like(t, 0.5)[:1]),
    "put_": lambda t, w: t.put_(flow.tensor([0]), number([0.6])),
    "index_put_": lambda t, w: t.index_put_((flow.tensor([0]),), number(0.8)),
    "masked_fill_": lambda t, w: t.masked_fill_(t.detach() > 0.3, 0.1),
    "setitem": lambda t, w: t.__setitem__(0, 0.9),
    "set slice": lambda t, w: t.__setitem__(slice(1, None), t.detach()[1:] * 2),
    "out=": lambda t, w: flow.sin(t.detach(), out=t.detach()),
}


class Twins:
    """A base with what was taken of it, global in [0] and local in [1]."""

    def __init__(self, draw, layout, grad):
        shape = draw.choice(SHAPES)
        values = np.random.RandomState(draw.randrange(1 << 30)).uniform(-1.5, 1.5, shape)
        local = flow.tensor(values)
        w = flow.tensor(1.25, dtype=flow.float64)
        glob = local.to_global(placement=P, sbp=B).to_global(sbp=LAYOUTS[layout]).detach()
        self.leaves = [[t.requires_grad_(grad) for t in (x, y)]
                       for x, y in ((glob, w.to_global(placement=P, sbp=B).detach()), (local, w))]
        self.known = [[leaves[0] * 1] for leaves in self.leaves]
        self.read = [[leaves[0] * 0] for leaves in self.leaves]  # of what a loss is made
        self.story = [f"{shape} {layout} grad={grad}"]

    def both(self, name, step):
        """Does it to both. Whether it was done; refused by one it is to be refused by both."""
        done, errors = [], []
        for leaves, known in zip(self.leaves, self.known, strict=True):
            try:
                done.append(step(leaves, known))
                errors.append(None)
            except (RuntimeError, ValueError, IndexError) as error:
                errors.append(error)
        self.story.append(name + (" (refused)" if errors[1] else ""))
        assert (errors[0] is None) == (errors[1] is None), (self.story, errors)
        return None if errors[0] else done

    def view(self, draw, name):
        at = draw.randrange(len(self.known[0]))
        if name == "flat":  # what is copied lies dense, and has a view where the local one has none
            at = 0
        views = self.both(f"{len(self.known[0])} = {name} of {at}",
                          lambda _, known: VIEWS[name](known[at]))
        for known, view in zip(self.known, views or [], strict=bool(views)):
            known.append(view)

    def change(self, draw, name, records):
        at = draw.randrange(len(self.known[0]))
        with contextlib.nullcontext() if records else flow.no_grad():
            self.both(f"{name} on {at}{'' if records else ' under no_grad'}",
                      lambda leaves, known: CHANGES[name](known[at], leaves[1]))

    def use(self, draw):
        at = draw.randrange(len(self.known[0]))
        self.both(f"use {at}", lambda _, known: (known[at] * known[at].cos()).sum())
        for known, read in zip(self.known, self.read, strict=True):
            read.append((known[at] * known[at].cos()).sum())

    def compare(self, which):
        for at in which:
            ours, theirs = (known[at].detach() for known in self.known)
            same(ours, theirs, (at, self.story))

    def gradients(self):
        if not self.leaves[0][0].requires_grad:
            return
        losses = [sum((t * t).sum() for t in [*read, *known] if t.requires_grad)
                  for read, known in zip(self.read, self.known, strict=True)]
        found, errors = [], []
        for loss, leaves in zip(losses, self.leaves, strict=True):
            try:
                found.append(flow.autograd.grad(loss, leaves, allow_unused=True))
                errors.append(None)
            except RuntimeError as error:
                errors.append(str(error)[:300])
        assert (errors[0] is None) == (errors[1] is None), (self.story, errors)
        if errors[0] is not None:
            return
        for ours, theirs in zip(*found, strict=True):
            assert (ours is None) == (theirs is None), self.story
            if ours is not None:
                same(ours, theirs, ("gradient", self.story))


def same(ours, theirs, story):
    ours, theirs = ours.numpy(), theirs.numpy()
    scale = max(1.0, np.abs(theirs).max(initial=0))
    assert ours.shape == theirs.shape, story
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-11 * scale, equal_nan=True), (
        story, ours, theirs)


def run(seed, layout, grad):
    draw = random.Random(f"{seed} {layout} {grad}")
    twins = Twins(draw, layout, grad)
    for _ in range(draw.randrange(4, 10)):
        what = draw.random()
        if what < 0.45:
            twins.view(draw, draw.choice([*VIEWS]))
        elif what < 0.9:
            twins.change(draw, draw.choice([*CHANGES]), draw.random() < 0.85)
        else:
            twins.use(draw)
        # What is read is brought up: some views stay behind.
        twins.compare([0] if draw.random() < 0.5 else [])
    twins.compare(draw.sample(range(len(twins.known[0])), len(twins.known[0])))
    twins.gradients()


if __name__ == "__main__":
    for seed in range(int(sys.argv[2])):
        for grad in (True, False):
            run(seed, sys.argv[1], grad)
