"""Learning-rate schedules in closed form: the rate is a function of the epoch's number."""

import math

from ..nn._watch import refuse_in_build
from .optimizer import Optimizer


class LRScheduler:
    """Sets each group's lr from its initial_lr and last_epoch. `step` moves to the next epoch."""

    def __init__(self, optimizer, last_epoch=-1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def _rate(self, base, index):
        raise NotImplementedError

    def step(self, epoch=None):
        refuse_in_build("scheduler.step", "add_optimizer(optimizer, lr_sch=scheduler) in __init__")
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for index, group in enumerate(self.optimizer.param_groups):
            group["lr"] = self._rate(self.base_lrs[index], index)

    def get_last_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict):
        self.base_lrs = list(state_dict["base_lrs"])
        self.step(state_dict["last_epoch"])


class StepLR(LRScheduler):
    """Multiplies the rate by gamma every step_size epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        if step_size < 1:
            raise ValueError(f"[StepLR] got step_size={step_size}; expected at least 1")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base, index):
        return base * self.gamma ** (self.last_epoch // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial rate to eta_min over T_max epochs."""

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        if T_max < 1:
            raise ValueError(f"[CosineAnnealingLR] got T_max={T_max}; expected at least 1")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, base, index):
        wave = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return self.eta_min + (base - self.eta_min) * wave / 2


class LambdaLR(LRScheduler):
    """The initial rate times a function of the epoch; a list gives each group its own."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else (
            [lr_lambda] * groups)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def _rate(self, base, index):
        return base * self.lr_lambdas[index](self.last_epoch)
