"""Stochastic gradient descent."""

import math

from .._C import InvalidArgumentError
from .optimizer import Optimizer, check_at_least


class SGD(Optimizer):
    """torch.optim.SGD: momentum, dampening, Nesterov, L2 weight decay."""

    def __init__(self, params, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0,
                 nesterov=False, *, maximize=False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening,
                                  "weight_decay": weight_decay, "nesterov": nesterov,
                                  "maximize": maximize})

    def _op(self, group):
        return "sgd_momentum_update" if group["momentum"] else "sgd_update"

    def _counts_steps(self, group):
        return bool(group["momentum"])  # the first step starts the buffer

    def _attrs(self, group):
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise InvalidArgumentError("Nesterov momentum requires a momentum and zero dampening")
        attrs = {"maximize": bool(group["maximize"])}
        return attrs | {"nesterov": bool(group["nesterov"])} if group["momentum"] else attrs

    def _numbers(self, group):
        numbers = [check_at_least("learning rate", group["lr"], 0),
                   check_at_least("weight_decay value", group["weight_decay"], 0)]
        momentum = check_at_least("momentum value", group["momentum"], 0)
        dampening = check_at_least("dampening value", group["dampening"], -math.inf)
        return [*numbers, momentum, dampening] if momentum else numbers

    def _state_names(self, group):
        return ("momentum_buffer",) if group["momentum"] else ()
