"""Adam, and Adam with decoupled weight decay."""

import numbers

from .._C import InvalidArgumentError
from .optimizer import Optimizer, check_at_least


class Adam(Optimizer):
    """torch.optim.Adam: weight decay is part of the gradient."""

    _update_op = "adam_update"

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *,
                 maximize=False):
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps,
                                  "weight_decay": weight_decay, "maximize": maximize})

    def _op(self, group):
        return self._update_op

    def _counts_steps(self, group):
        return True

    def _attrs(self, group):
        return {"maximize": bool(group["maximize"])}

    def _numbers(self, group):
        beta1, beta2 = group["betas"]
        for index, beta in enumerate((beta1, beta2)):
            if not isinstance(beta, numbers.Real) or not 0.0 <= beta < 1.0:
                raise InvalidArgumentError(
                    f"Invalid beta parameter at index {index}: {beta}; expected "
                    "0 <= beta < 1")
        return [check_at_least("learning rate", group["lr"], 0),
                check_at_least("weight_decay value", group["weight_decay"], 0),
                float(beta1), float(beta2), check_at_least("epsilon value", group["eps"], 0)]

    def _state_names(self, group):
        return ("exp_avg", "exp_avg_sq")


class AdamW(Adam):
    """torch.optim.AdamW: weight decay shrinks the parameter itself."""

    _update_op = "adamw_update"

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *,
                 maximize=False):
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)
