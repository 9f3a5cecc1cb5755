"""Adam with decoupled weight decay."""

from .optimizer import Optimizer, check_at_least


class AdamW(Optimizer):
    """torch.optim.AdamW."""

    _op = "adamw_update"
    _counts_steps = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps,
                                  "weight_decay": weight_decay})

    def _attrs(self, group):
        check_at_least("learning rate", group["lr"], 0)
        check_at_least("epsilon value", group["eps"], 0)
        check_at_least("weight_decay value", group["weight_decay"], 0)
        for index, beta in enumerate(group["betas"]):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}; expected "
                                 "0 <= beta < 1")
        beta1, beta2 = group["betas"]
        return {"beta1": float(beta1), "beta2": float(beta2), "eps": float(group["eps"]),
                "weight_decay": float(group["weight_decay"])}

    def _state_names(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _update(self, update, param, states, lr, step, attrs):
        update(param, *states, param.grad, lr, step, **attrs)
