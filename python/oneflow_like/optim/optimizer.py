"""Optimizer: parameter groups, state, and one description of the update for eager and graph."""

import numbers
from collections import OrderedDict
from collections.abc import Mapping

from .. import _C
from .._C import InvalidArgumentError, TypeMismatchError
from .._functions import full, zeros_like
from ..autograd import enable_grad, no_grad
from ..nn._watch import Watched, refuse_in_build
from ..nn.module import assign, clear_grad, everywhere, to_global_value
from ..nn.utils.clip_grad import clip_grad_norm_


def scalar_beside(param, value):
    """A float32 scalar that stands wherever the parameter stands."""
    if not param.is_global:
        return full((), value, dtype=_C.float32)
    return full((), value, dtype=_C.float32, placement=param.placement,
                sbp=everywhere(param.placement))


class _States(Watched):
    """Parameter -> its state; as in torch, asking for a parameter makes an empty one."""

    def __missing__(self, param):
        self[param] = state = Watched()
        return state


def _kind(param):
    """What state tensors follow."""
    return (param.dtype, param.placement, param.sbp) if param.is_global else (param.dtype,)


def _fitted(name, tensor, param, clocks):
    """A state tensor for a parameter of another dtype or layout; shared counters stay shared."""
    if not isinstance(tensor, _C.Tensor):
        return tensor
    if tensor.is_global and not param.is_global:
        raise RuntimeError(f"[optim] a parameter became local after its first step: got {name} "
                           f"on {tensor.placement}; expected the parameter to stay global; build "
                           "a new optimizer after module.to_local()")
    if name != "step":
        if param.is_global:
            tensor = to_global_value(tensor, param.placement, param.sbp)
        return tensor.to(param.dtype)
    if not param.is_global or tensor.is_global and tensor.placement == param.placement:
        return tensor
    key = id(tensor), param.placement
    if key not in clocks:
        clocks[key] = to_global_value(tensor, param.placement, everywhere(param.placement))
    return clocks[key]


def _clip_of(group):
    """(bound, type of norm) for a group that clips, else None."""
    bound = group.get("clip_grad_max_norm")
    if bound is not None:
        return bound, float(group.get("clip_grad_norm_type", 2.0))
    if "clip_grad_norm_type" in group and "clip_grad_max_norm" not in group:
        raise InvalidArgumentError(
            "[optim] clip_grad_norm_type has no effect alone: got "
            f"{group['clip_grad_norm_type']}; expected clip_grad_max_norm beside it")
    return None


def _contents(grad):
    """Tells apart what a gradient's memory has held; _contents is 0 for memory seen outside."""
    return _C.value_id(grad), grad._version, grad._contents


def check_at_least(name, value, low):
    """The number itself; a graph passes it on in every call, so it must not be a tensor."""
    if not isinstance(value, numbers.Real) or not value >= low:
        raise InvalidArgumentError(f"Invalid {name}: {value}; expected a number of at least {low}")
    return float(value)


class ParamGroup(dict):
    """A group of parameters and their options. Options that no rule reads are refused."""

    def __init__(self, known, *args):
        self._known = known
        super().__init__()
        self.update(*args)

    def _check(self, key):
        known = self.__dict__.get("_known")  # absent while a copy is being made
        if known is not None and key not in known:
            raise KeyError(f"[optim] an optimizer group has no option {key!r}; expected one of: "
                           f"{', '.join(sorted(known))}")

    def __setitem__(self, key, value):
        self._check(key)
        super().__setitem__(key, value)

    def setdefault(self, key, default=None):
        self._check(key)
        return super().setdefault(key, default)

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other):
        self.update(other)
        return self

    def __reduce__(self):
        return ParamGroup, (self._known, dict(self))


class Optimizer:
    """Base of the optimizers. A group may hold clip_grad_max_norm and clip_grad_norm_type.

    A subclass describes its update: operator, attributes, numbers, state tensors. Every update
    operator takes (param, *states, grad, hyper[, step]). The state tensors are shared between
    `step` and nn.Graph.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self._known_keys = frozenset({*defaults, "params", "initial_lr", "clip_grad_max_norm",
                                      "clip_grad_norm_type"})
        self.param_groups = []
        self.state = _States()
        self._kinds = {}  # parameter -> what it was when its state was made to fit it
        self._clipped = {}  # parameter -> the contents of its gradient that clip_grad() left
        self._seen = None  # the count of noted writes at which all state fitted
        params = self._list_of(params)
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)

    @staticmethod
    def _list_of(params):
        if isinstance(params, _C.Tensor):
            raise TypeMismatchError(
                "params argument given to the optimizer should be an iterable of "
                "Tensors or dicts, but got Tensor")
        params = list(params)
        if not params:
            raise InvalidArgumentError("optimizer got an empty parameter list")
        return params

    def add_param_group(self, group):
        refuse_in_build("add_param_group", "it before or after the call")
        group = ParamGroup(self._known_keys, group)
        group["params"] = ([group["params"]] if isinstance(group["params"], _C.Tensor)
                           else list(group["params"]))
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for param in group["params"]:
            if not isinstance(param, _C.Tensor):
                raise TypeMismatchError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{type(param).__name__}")
            if not param.is_leaf:
                raise InvalidArgumentError(
                    "[optim] can't optimize a non-leaf Tensor: got the result "
                    f"of {param.grad_fn}; expected parameters; use x.detach()")
            if param.requires_grad and param.is_global and any(s.is_partial() for s in param.sbp):
                raise InvalidArgumentError(
                    "[optim] the ranks hold terms of a parameter, which cannot be updated: got "
                    f"{param._describe()}; expected it split or broadcast; use nn.Parameter(x), or "
                    "x.to_global(sbp=flow.sbp.broadcast) before it becomes a leaf")
            if id(param) in known:
                raise InvalidArgumentError(
                    "some parameters appear in more than one parameter group")
            known.add(id(param))
        for key, value in self.defaults.items():
            group.setdefault(key, value)
        if _clip_of(group) is not None:
            group.setdefault("clip_grad_norm_type", 2.0)
        self._numbers(group)  # refuses what the operator would refuse later
        self._structure(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        refuse_in_build("optimizer.zero_grad",
                        "nothing: gradients of a graph start at zero in every call")
        for group in self.param_groups:
            for param in group["params"]:
                clear_grad(param, set_to_none)

    def clip_grad(self):
        """Clips the gradients of every group that has clip_grad_max_norm."""
        refuse_in_build("optimizer.clip_grad", "nothing: clip_grad_max_norm alone does it")
        self._clipped.clear()
        for group in self.param_groups:
            clip = _clip_of(group)
            if clip is None:
                continue
            clip_grad_norm_(group["params"], *clip)
            self._clipped.update((param, _contents(param.grad)) for param in group["params"]
                                 if param.grad is not None)

    def _refuse_unclipped(self):
        """An option that is set must not be without effect: `step` itself does not clip."""
        for group in self.param_groups:
            clip = _clip_of(group)
            if clip is None:
                continue
            self._check_keys(group)
            self._numbers(group)
            for param in group["params"]:
                if param.grad is not None and self._clipped.get(param) != _contents(param.grad):
                    raise RuntimeError(f"[optim] a group has clip_grad_max_norm={clip[0]}, and its "
                                       "gradients changed after the last clip_grad(): got step(); "
                                       "expected optimizer.clip_grad() between backward() and "
                                       "step(); leave the option out to clip in another way")

    # What a subclass says.

    def _op(self, group):
        """Name of the update operator for a group."""
        raise NotImplementedError

    def _counts_steps(self, group):
        """Whether that operator takes the number of the step, counted from 1."""
        raise NotImplementedError

    def _attrs(self, group):
        """Attributes of the update operator for a group: what another plan is needed for."""
        raise NotImplementedError

    def _numbers(self, group):
        """The operator's `hyper` for a group, checked. Launches read it anew."""
        raise NotImplementedError

    def _state_names(self, group):
        """Names of a parameter's state tensors, in the operator's order; all start as zeros."""
        raise NotImplementedError

    def _structure(self, group):
        """What a compiled program is bound to: (operator, attributes, clips?, type of norm)."""
        clip = _clip_of(group)
        if clip is not None:
            check_at_least("clip_grad_max_norm", clip[0], 0)
        return (self._op(group), tuple(self._attrs(group).items()), clip is not None,
                None if clip is None else clip[1])

    def _check_keys(self, group):
        """For groups that were put into param_groups by hand."""
        unknown = sorted(map(str, set(group) - self._known_keys))
        missing = sorted(({*self.defaults, "params"}) - set(group))
        if unknown or missing:
            raise KeyError(f"[optim] an optimizer group: got unknown options {unknown} and lacks "
                           f"{missing}; expected {sorted(self._known_keys)}")

    # State.

    def _refit(self):
        """State follows parameters that were converted in place: module.to, module.to_global."""
        if _C.writes_noted() == self._seen:
            return
        clocks = {}
        for param, state in self.state.items():
            kind = _kind(param)
            was = self._kinds.setdefault(param, kind)
            if was == kind:
                continue
            fitting = {name: _fitted(name, tensor, param, clocks)
                       for name, tensor in state.items()}
            state.update(fitting)
            self._kinds[param] = kind
        self._seen = _C.writes_noted()

    def _ensure_state(self, group):
        """Creates missing state; parameters that start together share their step counter."""
        clocks = {}
        names, counts = self._state_names(group), self._counts_steps(group)
        for param in group["params"]:
            state = self.state.get(param)
            idle = not param.requires_grad and param.grad is None
            if idle or (state is not None and len(state) >= len(names) + counts):
                continue
            if state is None:
                state = self.state[param]
            self._kinds.setdefault(param, _kind(param))
            for name in names:  # some may be there: momentum switched on late
                if name not in state:
                    state[name] = zeros_like(param.detach())
            if counts and "step" not in state:
                key = param.placement if param.is_global else None
                if key not in clocks:
                    clocks[key] = scalar_beside(param, 0.0)
                state["step"] = clocks[key]

    def _sharers(self):
        """id of a step counter -> how many parameters share it."""
        sharers = {}
        for state in self.state.values():
            if "step" in state:
                sharers[id(state["step"])] = sharers.get(id(state["step"]), 0) + 1
        return sharers

    def _advance_clocks(self, params):
        """Adds one to the step counters of `params`; who shares one but stays gets its own."""
        sharers, moved = self._sharers(), {}
        for param in params:
            state = self.state[param]
            moved.setdefault(id(state["step"]), []).append(state)
        for clock_id, states in moved.items():
            clock = states[0]["step"]
            if len(states) == sharers[clock_id]:
                clock.add_(1)
                continue
            own = clock + 1
            for state in states:
                state["step"] = own

    def _separate_clocks(self):
        """Makes state for all that is trained; what is frozen must not share its counters."""
        self._refit()
        trained = []
        for group in self.param_groups:
            self._ensure_state(group)
            trained += [p for p in group["params"] if p.requires_grad]
        self._give_own_clocks(trained)

    def _give_own_clocks(self, params):
        """Who shares a step counter with others than `params` gets a copy with them alone."""
        sharers, together = self._sharers(), {}
        for param in params:
            state = self.state[param]
            if "step" in state:
                together.setdefault(id(state["step"]), []).append(state)
        for clock_id, states in together.items():
            if len(states) < sharers[clock_id]:
                with no_grad():
                    own = states[0]["step"].clone()
                for state in states:
                    state["step"] = own

    def step(self, closure=None):
        """One update of every parameter that has a gradient."""
        refuse_in_build("optimizer.step", "self.add_optimizer(optimizer) in the graph's __init__: "
                        "every call then updates")
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            self._refuse_unclipped()
            self._refit()
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group):
        if type(group) is not ParamGroup:
            self._check_keys(group)
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        # Checked before anything changes.
        attrs, names, numbers = self._attrs(group), self._state_names(group), self._numbers(group)
        self._ensure_state(group)
        counts = self._counts_steps(group)
        if counts:
            self._advance_clocks(params)
        update = getattr(_C, self._op(group))
        hyper = {}
        for param in params:
            key = param.placement if param.is_global else None
            if key not in hyper:
                hyper[key] = _C.numbers(numbers, key)
            state = self.state[param]
            clock = (state["step"],) if counts else ()
            update(param, *(state[name] for name in names), param.grad, hyper[key], *clock,
                   **attrs)

    def _graph_spec(self):
        """What nn.Graph compiles: one entry a trainable parameter.

        Keys: param, op, attrs, states [(name, tensor)], step (tensor or None), group (index), clip
        (None or the bound of the 2-norm over the whole group). The tensors are the ones that `step`
        uses, so eager and graph may alternate.
        """
        spec = []
        self._separate_clocks()
        for index, group in enumerate(self.param_groups):
            if type(group) is not ParamGroup:
                self._check_keys(group)
            op, attrs, clips, norm_type = self._structure(group)
            if clips and norm_type != 2.0:
                raise NotImplementedError("a graph clips by the 2-norm only, "
                                          f"got clip_grad_norm_type={norm_type}")
            clip = float(group["clip_grad_max_norm"]) if clips else None
            for param in group["params"]:
                if not param.requires_grad:
                    continue
                state = self.state[param]
                spec.append({
                    "param": param, "op": op, "attrs": dict(attrs), "group": index, "clip": clip,
                    "states": [(name, state[name]) for name in self._state_names(group)],
                    "step": state["step"] if self._counts_steps(group) else None})
        return spec

    def state_dict(self):
        """Plain containers: parameters are numbered in the order of their groups."""
        numbers = {}
        for group in self.param_groups:
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
        state = OrderedDict((numbers[id(param)], dict(value))
                            for param, value in self.state.items() if id(param) in numbers)
        groups = [{key: value for key, value in group.items() if key != "params"}
                  | {"params": [numbers[id(p)] for p in group["params"]]}
                  for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Takes back what state_dict gave, values copied into this optimizer's layouts."""
        refuse_in_build("load_state_dict", "it before or after the call")
        groups, saved = self._checked_state(state_dict)
        clocks = {}  # id of a step counter -> the step it was set to
        self._refit()
        with no_grad():
            for own, loaded in zip(self.param_groups, groups, strict=True):
                own.update({k: v for k, v in loaded.items() if k != "params"})
                self._ensure_state(own)
                for param, number in zip(own["params"], loaded["params"], strict=True):
                    if number in saved:
                        self._load_state(own, param, saved[number], clocks)

    def _checked_state(self, state_dict):
        """Groups and states of a state dict that fits; when one does not, nothing has changed."""
        if not isinstance(state_dict, Mapping) or not {"param_groups", "state"} <= set(state_dict):
            got = sorted(map(str, state_dict)) if isinstance(state_dict, Mapping) else (
                type(state_dict).__name__)
            raise InvalidArgumentError(
                f"[load_state_dict] got {got}; expected what state_dict() gives: "
                "'state' and 'param_groups'")
        groups = state_dict["param_groups"]
        saved = {int(key): value for key, value in state_dict["state"].items()}
        if len(groups) != len(self.param_groups):
            raise InvalidArgumentError(
                "loaded state dict has a different number of parameter groups: got "
                f"{len(groups)}; expected {len(self.param_groups)}")
        for index, (own, loaded) in enumerate(zip(self.param_groups, groups, strict=True)):
            if len(own["params"]) != len(loaded["params"]):
                raise InvalidArgumentError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: got {len(loaded['params'])} parameters in group {index}; "
                    f"expected {len(own['params'])}")
            merged = {**own, **loaded, "params": own["params"]}
            for param, number in zip(own["params"], loaded["params"], strict=True):
                if number in saved:
                    self._check_saved(merged, param, number, saved[number])
        return groups, saved

    def _check_saved(self, group, param, number, saved):
        """One parameter's saved state has all that this optimizer keeps, in the right shapes."""
        wanted = {name: tuple(param.shape) for name in self._state_names(group)}
        if self._counts_steps(group):
            wanted["step"] = ()
        for name, shape in wanted.items():
            if name not in saved:
                raise InvalidArgumentError(
                    f"[load_state_dict] the state of parameter {number} has no "
                    f"{name!r}: got {sorted(saved)}; expected {sorted(wanted)}")
            got = tuple(getattr(saved[name], "shape", ())) if name != "step" else ()
            if got != shape or (name != "step" and not isinstance(saved[name], _C.Tensor)):
                raise InvalidArgumentError(
                    f"[load_state_dict] {name!r} of parameter {number}: got "
                    f"{type(saved[name]).__name__} of shape {got}; expected a tensor "
                    f"of shape {shape}")

    def _load_state(self, group, param, saved, clocks):
        """Copies into the state there is: compiled graphs and shared step counters stay bound."""
        state = self.state[param]
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
