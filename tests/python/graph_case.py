"""A small training graph, for tests on one process and for jobs on several."""

import numpy as np

import oneflow_like as flow
from oneflow_like import nn

RANK, WORLD = flow.env.get_rank(), flow.env.get_world_size()
P = flow.placement.all("cpu")
B = flow.sbp.broadcast


class Of(nn.Graph):
    """The graph of a function, with modules and optimizers."""

    def __init__(self, function, *modules, optimizers=(), micro_batches=1):
        super().__init__()
        self.function = function
        for number, module in enumerate(modules):
            setattr(self, f"m{number}", module)
        for optimizer in optimizers:
            self.add_optimizer(optimizer)
        self.config.set_gradient_accumulation_steps(micro_batches)

    def build(self, *args):
        return self.function(*args)


class Train(nn.Graph):
    def __init__(self, model, optimizer=None, micro_batches=1):
        super().__init__()
        self.model = model
        self.config.set_gradient_accumulation_steps(micro_batches)
        if optimizer is not None:
            self.add_optimizer(optimizer)

    def build(self, x, y):
        error = self.model(x) - y
        loss = (error * error).mean()
        if self._optimizers:
            loss.backward()
        return loss


def mlp(seed=0):
    flow.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))


def data(rows=16, placement=None, sbp=None):
    rng = np.random.RandomState(0)
    x = flow.tensor(rng.rand(rows, 8).astype("float32"))
    y = flow.tensor(rng.rand(rows, 4).astype("float32"))
    if placement is None:
        return x, y
    return (x.to_global(placement=placement, sbp=B).to_global(sbp=sbp),
            y.to_global(placement=placement, sbp=B).to_global(sbp=sbp))


def traced(graph):
    """How many programs the graph has traced so far."""
    return graph._state.traced


def eager_step(model, optimizer, x, y):
    error = model(x) - y
    loss = (error * error).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.clip_grad()
    optimizer.step()
    return loss


def assert_equal_models(a, b, **tolerance):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(),
                                   **(tolerance or {"rtol": 0, "atol": 0}))
