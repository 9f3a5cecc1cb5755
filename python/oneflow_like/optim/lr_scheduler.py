"""Learning-rate schedules: each step makes a group's rate out of the one before, as in torch.

So schedules of one optimizer chain, and a rate set by hand between steps is where the next starts.
"""

import math
import types

from .._C import InvalidArgumentError, TypeMismatchError
from .._absent import getter as _getter
from ..nn._watch import refuse_in_build
from .optimizer import Optimizer


class LRScheduler:
    """Sets each group's lr. `step` moves to the next epoch; state_dict() holds all numbers.

    The rate of a group at the first schedule that is built for it becomes its initial_lr.
    """

    def __init__(self, optimizer, last_epoch=-1):
        if not isinstance(optimizer, Optimizer):
            raise TypeMismatchError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{index}] "
                               "when resuming an optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._starting = True
        self.step()
        self._starting = False

    def get_lr(self):
        """The rates of this epoch from those of the epoch before; may be fewer than groups."""
        raise NotImplementedError

    def _get_closed_form_lr(self):
        """The rates of an epoch that is jumped to."""
        return self.get_lr()

    def step(self, epoch=None):
        refuse_in_build("scheduler.step", "add_optimizer(optimizer, lr_sch=scheduler) in __init__")
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self._get_closed_form_lr()
        # A group added after the schedule keeps its rate where that hangs on an initial one.
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            group["lr"] = rate
        self._last_lr = self._rates()

    def _rates(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self):
        """The rates that the last step set."""
        return list(self._last_lr)

    def state_dict(self):
        """Everything but the optimizer: its own state_dict() has the rates that hold now."""
        return {key: list(value) if isinstance(value, list) else value
                for key, value in self.__dict__.items() if key not in ("optimizer", "_starting")}

    def load_state_dict(self, state_dict):
        """Takes back what state_dict gave; the optimizer's own load_state_dict loads the rates."""
        own = self.state_dict()
        if set(state_dict) != set(own):
            raise KeyError(f"[{type(self).__name__}] load_state_dict: got "
                           f"{sorted(map(str, state_dict))}; expected {sorted(own)}; load what "
                           "state_dict() of a schedule of the same kind gave")
        self.__dict__.update({key: list(value) if isinstance(value, list) else value
                              for key, value in state_dict.items()})


class StepLR(LRScheduler):
    """Multiplies the rate by gamma every step_size epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        if step_size < 1:
            raise InvalidArgumentError(f"[StepLR] got step_size={step_size}; expected at least 1")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self):
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine wave from the initial rate to eta_min over T_max epochs."""

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        if T_max < 1:
            raise InvalidArgumentError(
                f"[CosineAnnealingLR] got T_max={T_max}; expected at least 1")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _wave(self, epoch):
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self):
        epoch, low = self.last_epoch, self.eta_min
        if epoch == 0:
            return self._rates()
        if self._starting:  # in the middle: there is no rate of the epoch before
            return self._get_closed_form_lr()
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the wave before was 0
            return [rate + (base - low) * (1 - math.cos(math.pi / self.T_max)) / 2
                    for base, rate in zip(self.base_lrs, self._rates(), strict=False)]
        ratio = self._wave(epoch) / self._wave(epoch - 1)
        return [ratio * (rate - low) + low for rate in self._rates()]

    def _get_closed_form_lr(self):
        return [self.eta_min + (base - self.eta_min) * self._wave(self.last_epoch) / 2
                for base in self.base_lrs]


class LambdaLR(LRScheduler):
    """The initial rate times a function of the epoch; a list gives each group its own."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else (
            [lr_lambda] * groups)
        if len(self.lr_lambdas) != groups:
            raise InvalidArgumentError(
                f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * function(self.last_epoch)
                for base, function in zip(self.base_lrs, self.lr_lambdas, strict=False)]

    def state_dict(self):
        """Functions are not saved; of an object that can be called its attributes are."""
        lambdas = [None if isinstance(f, types.FunctionType) else dict(getattr(f, "__dict__", {}))
                   for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": lambdas}

    def load_state_dict(self, state_dict):
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        saved, self.lr_lambdas = self.lr_lambdas, functions
        for function, fields in zip(functions, saved, strict=False):
            if fields is not None:
                function.__dict__.update(fields)


__getattr__ = _getter("optim.lr_scheduler", globals())
