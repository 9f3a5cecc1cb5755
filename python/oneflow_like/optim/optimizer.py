"""Optimizer: parameter groups, state, and one description of the update for eager and graph."""

from collections import OrderedDict

from .. import _C
from .._creation import full, zeros_like
from ..autograd import no_grad
from ..nn.module import assign, clear_grad, everywhere
from ..nn.utils.clip_grad import clip_grad_norm_


def scalar_beside(param, value):
    """A float32 scalar that stands wherever the parameter stands."""
    if not param.is_global:
        return full((), value, dtype=_C.float32)
    return full((), value, dtype=_C.float32, placement=param.placement,
                sbp=everywhere(param.placement))


def check_at_least(name, value, low):
    if isinstance(value, str) or not value >= low:
        raise ValueError(f"Invalid {name}: {value}; expected at least {low}")


class Optimizer:
    """Base of the optimizers. A group may hold clip_grad_max_norm and clip_grad_norm_type.

    A subclass describes its update: operator, attributes, state tensors. Every update operator
    takes (param, *states, grad, lr[, step]). The state tensors are shared between `step` and
    nn.Graph.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self.param_groups = []
        self.state = {}
        params = self._list_of(params)
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)

    @staticmethod
    def _list_of(params):
        if isinstance(params, _C.Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            "Tensors or dicts, but got Tensor")
        params = list(params)
        if not params:
            raise ValueError("optimizer got an empty parameter list")
        return params

    def add_param_group(self, group):
        group = dict(group)
        group["params"] = ([group["params"]] if isinstance(group["params"], _C.Tensor)
                           else list(group["params"]))
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for param in group["params"]:
            if not isinstance(param, _C.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is "
                                f"{type(param).__name__}")
            if not param.is_leaf:
                raise ValueError("[optim] can't optimize a non-leaf Tensor: got the result "
                                 f"of {param.grad_fn}; expected parameters; use x.detach()")
            if id(param) in known:
                raise ValueError("some parameters appear in more than one parameter group")
            known.add(id(param))
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        if group.get("clip_grad_max_norm") is not None:
            check_at_least("clip_grad_max_norm", group["clip_grad_max_norm"], 0)
            group.setdefault("clip_grad_norm_type", 2.0)
        group.setdefault("initial_lr", group["lr"])
        self._attrs(group)  # refuses what the operator would refuse later
        self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for param in group["params"]:
                clear_grad(param, set_to_none)

    def clip_grad(self):
        """Clips the gradients of every group that has clip_grad_max_norm."""
        for group in self.param_groups:
            if group.get("clip_grad_max_norm") is not None:
                clip_grad_norm_(group["params"], group["clip_grad_max_norm"],
                                group["clip_grad_norm_type"])

    # What a subclass says.

    def _op(self, group):
        """Name of the update operator for a group."""
        raise NotImplementedError

    def _counts_steps(self, group):
        """Whether that operator takes the number of the step, counted from 1."""
        raise NotImplementedError

    def _attrs(self, group):
        """Static attributes of the update operator for a group."""
        raise NotImplementedError

    def _state_names(self, group):
        """Names of a parameter's state tensors, in the operator's order; all start as zeros."""
        raise NotImplementedError

    # State.

    def _ensure_state(self, group):
        """Creates missing state; parameters that start together share their step counter."""
        clocks = {}
        for param in group["params"]:
            if id(param) in self.state or not param.requires_grad:
                continue
            state = {name: zeros_like(param.detach()) for name in self._state_names(group)}
            if self._counts_steps(group):
                key = param.placement if param.is_global else None
                if key not in clocks:
                    clocks[key] = scalar_beside(param, 0.0)
                state["step"] = clocks[key]
            self.state[id(param)] = state

    def _advance_clocks(self, params):
        """Adds one to the step counters of `params`; who shares one but stays gets its own."""
        members, moved = {}, {}
        for param_id, state in self.state.items():
            if "step" not in state:
                continue
            members.setdefault(id(state["step"]), set()).add(param_id)
        for param in params:
            state = self.state[id(param)]
            moved.setdefault(id(state["step"]), []).append(state)
        for clock_id, states in moved.items():
            clock = states[0]["step"]
            if len(states) == len(members[clock_id]):
                clock.add_(1)
                continue
            own = clock + 1
            for state in states:
                state["step"] = own

    def step(self, closure=None):
        """One update of every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        with no_grad():
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group):
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        self._ensure_state(group)
        if self._counts_steps(group):
            self._advance_clocks(params)
        attrs, names = self._attrs(group), self._state_names(group)
        update = getattr(_C, self._op(group))
        rates = {}
        for param in params:
            key = param.placement if param.is_global else None
            if key not in rates:
                rates[key] = scalar_beside(param, group["lr"])
            state = self.state[id(param)]
            clock = (state["step"],) if "step" in state else ()
            update(param, *(state[name] for name in names), param.grad, rates[key], *clock,
                   **attrs)

    def _graph_spec(self):
        """What nn.Graph compiles: one entry a trainable parameter.

        Keys: param, op, attrs, states [(name, tensor)], step (tensor or None), lr (the group's
        present rate), group (index), clip (None or (max_norm, norm_type) over the whole group).
        The tensors are the ones that `step` uses, so eager and graph may alternate.
        """
        spec = []
        for index, group in enumerate(self.param_groups):
            self._ensure_state(group)
            clip = None
            if group.get("clip_grad_max_norm") is not None:
                clip = (float(group["clip_grad_max_norm"]), float(group["clip_grad_norm_type"]))
            for param in group["params"]:
                if not param.requires_grad:
                    continue
                state = self.state[id(param)]
                spec.append({
                    "param": param, "op": self._op(group), "attrs": self._attrs(group),
                    "states": [(name, state[name]) for name in self._state_names(group)],
                    "step": state.get("step"), "lr": group["lr"], "group": index, "clip": clip})
        return spec

    def state_dict(self):
        """Plain containers: parameters are numbered in the order of their groups."""
        numbers = {}
        for group in self.param_groups:
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
        state = OrderedDict((numbers[key], dict(value)) for key, value in self.state.items())
        groups = [{key: value for key, value in group.items() if key != "params"}
                  | {"params": [numbers[id(p)] for p in group["params"]]}
                  for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Takes back what state_dict gave, values copied into this optimizer's layouts."""
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for own, loaded in zip(self.param_groups, groups, strict=True):
            if len(own["params"]) != len(loaded["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't match "
                                 "the size of optimizer's group")
        saved = {int(key): value for key, value in state_dict["state"].items()}
        clocks = {}  # id of a step counter -> the step it was set to
        with no_grad():
            for own, loaded in zip(self.param_groups, groups, strict=True):
                own.update({k: v for k, v in loaded.items() if k != "params"})
                self._ensure_state(own)
                for param, number in zip(own["params"], loaded["params"], strict=True):
                    if number in saved:
                        self._load_state(own, param, saved[number], clocks)

    def _load_state(self, group, param, saved, clocks):
        """Copies into the state there is: compiled graphs and shared step counters stay bound."""
        state = self.state.setdefault(id(param), {})
        for name in self._state_names(group):
            if name not in state:
                state[name] = zeros_like(param.detach())
            assign(state[name], saved[name])
        if not self._counts_steps(group):
            return
        count = float(saved["step"].item())
        clock = state.get("step")
        if clock is None or clocks.setdefault(id(clock), count) != count:
            # Another parameter of this counter stands at another step.
            clock = state["step"] = scalar_beside(param, 0.0)
            clocks[id(clock)] = count
        clock.fill_(count)

    def __repr__(self):
        lines = [type(self).__name__ + " ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines + [")"])
