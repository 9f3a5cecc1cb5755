"""nn.Graph: a program written once in Python, compiled to one plan and run by actors.

The calls follow OneFlow's nn.Graph. `build` is traced at the first call; every further call with
tensors of the same shapes, dtypes and layouts runs the plan.
"""

import contextlib
import os
import threading

import numpy

from ... import _C, env
from ..module import Module

__all__ = ["Graph", "GraphConfig", "GraphModule", "Plan", "compile_world"]


_MAX_WORLD = 65536
_MAX_MICRO_BATCHES = 4096


@contextlib.contextmanager
def compile_world(size):
    """A world of `size` ranks that do not exist, to compile for.

    Inside, placements may name ranks 0 to size-1, global tensors have no data, and
    `graph.compile(*args)` gives the plan; nothing can be run or read. Other threads stay in the
    world they are in.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MAX_WORLD:
        raise ValueError(f"[compile_world] got {size!r} ranks; expected an int from 1 to "
                         f"{_MAX_WORLD}")
    _C.enter_compile_world(size)
    try:
        yield
    finally:
        _C.leave_compile_world()


class GraphConfig:
    """How a graph is compiled."""

    def __init__(self):
        self.gradient_accumulation_steps = 1

    def set_gradient_accumulation_steps(self, value):
        """Cuts each call's batch into `value` micro-batches along axis 0.

        Gradients are those of the mean of the micro-batches' losses. A scalar output comes back
        as a vector of `value` entries, others are put together along axis 0 of each rank's shard.
        Rows that come in and go out split alike keep their order (docs/plan.md).
        """
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 1 <= value <= _MAX_MICRO_BATCHES:
            raise ValueError(f"[nn.Graph] gradient accumulation steps: got {value!r}; expected an "
                             f"int from 1 to {_MAX_MICRO_BATCHES}")
        self.gradient_accumulation_steps = value

    def __repr__(self):
        return f"GraphConfig(gradient_accumulation_steps={self.gradient_accumulation_steps})"


class GraphModule:
    """The graph's view of a module: `module.to(flow.nn.graph.GraphModule)`."""

    def __init__(self, module):
        if not isinstance(module, Module):
            raise TypeError(f"[GraphModule] got {type(module).__name__}; expected an nn.Module")
        self._module = module
        self.stage_id = None
        self.stage_placement = None

    def set_stage(self, stage_id, placement=None):
        """Makes the module a pipeline stage: its inputs are moved to `placement`."""
        if isinstance(stage_id, bool) or not isinstance(stage_id, int) or stage_id < 0:
            raise ValueError(f"[set_stage] stage_id: got {stage_id!r}; expected an int of at least "
                             "0")
        if placement is not None and not isinstance(placement, _C.placement):
            raise TypeError(f"[set_stage] placement: got {type(placement).__name__}; expected "
                            "flow.placement(\"cpu\", ranks=[...]) or None")
        self.stage_id = stage_id
        self.stage_placement = placement
        if placement is not None and not self._module.__dict__.get("_stage_hooked"):
            self._module.__dict__["_stage_hooked"] = True
            self._module.register_forward_pre_hook(self._move_inputs)
        return self

    def _move_inputs(self, _module, args):
        session = _tracing.session
        if session is None:
            return None
        return _map(args, lambda x: session.to_placement(x, self.stage_placement))


def graph_module_of(module):
    """The one GraphModule of a module."""
    known = module.__dict__.get("_graph_module")
    if known is None:
        known = module.__dict__["_graph_module"] = GraphModule(module)
    return known


class _Tracing(threading.local):
    session = None  # of the graph whose build() this thread runs


_tracing = _Tracing()


def _map(value, fn):
    """Applies fn to the tensors of nested tuples, lists and dicts."""
    if isinstance(value, _C.Tensor):
        return fn(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_map(v, fn) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_map(v, fn) for v in value)
    if isinstance(value, dict):
        return {key: _map(v, fn) for key, v in value.items()}
    return value


def _tensors(value):
    found = []
    _map(value, found.append)
    return found


_TENSOR = object()  # where a tensor stood in a call's arguments


def _frame(args, kwargs):
    """A call's arguments without its tensors: all else is a constant of the compiled graph."""
    return _map((args, kwargs), lambda _: _TENSOR)


def _same_frame(a, b):
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same_frame, a, b))
    if isinstance(a, dict):  # in one order: that is the order of their tensors
        return list(a) == list(b) and all(_same_frame(a[key], b[key]) for key in a)
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # compares elementwise: not the constant that was compiled
        return False


def _refuse_hidden_tensors(value, where):
    """A tensor in a set, an object or the like would come back as a value of the graph."""
    if isinstance(value, (set, frozenset)):
        raise TypeError(f"[nn.Graph] {where}: got a {type(value).__name__}; expected tensors in "
                        "tuples, lists and dicts")
    if isinstance(value, (tuple, list)):
        for item in value:
            _refuse_hidden_tensors(item, where)
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_hidden_tensors(item, where)


class Plan:
    """The compiled plan of a graph."""

    def __init__(self, session):
        self._session = session

    @property
    def hash(self):
        """SHA-256 of what is executed; equal on all ranks."""
        return self._session.plan_hash()

    def save(self, path):
        """Writes the plan file (protobuf, see docs/plan.md)."""
        self._session.save_plan(os.fspath(path))

    def summary(self):
        """Readable text: sizes, operators, memory, conversions with their causes."""
        return self._session.plan_summary()

    def to_bytes(self):
        """The plan file's content."""
        return self._session.plan_bytes()

    def __repr__(self):
        return self.summary()


class Graph:
    """Base class of compiled programs. A subclass sets its modules in __init__ and defines build.

    >>> class Train(flow.nn.Graph):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.model = model
    ...         self.add_optimizer(optimizer)
    ...     def build(self, x, y):
    ...         loss = flow.nn.functional.mse_loss(self.model(x), y)
    ...         loss.backward()
    ...         return loss
    """

    _counts = {}

    def __init__(self):
        name = type(self).__name__
        count = Graph._counts.get(name, 0)
        Graph._counts[name] = count + 1
        self.__dict__["_modules"] = {}
        self.name = f"{name}_{count}"
        self.config = GraphConfig()
        self._optimizers = []
        self._session = None
        self._structure = None
        self._steps = []
        self._rates = []
        self._launched = False
        self._inputs = 0
        self._arguments = None  # the compiled call's arguments without their tensors
        self._modes = []  # (name, module, whether it was in training mode)
        self._bound = []  # (table, key, name, tensor): what the plan's variables stand for
        self._lock = threading.Lock()

    def __setattr__(self, name, value):
        if isinstance(value, Module):
            if "_modules" not in self.__dict__:
                raise AttributeError("call super().__init__() before assigning a module to a graph")
            self._modules[name] = value
        object.__setattr__(self, name, value)

    def build(self, *args, **kwargs):
        raise NotImplementedError(f"graph {self.name} defines no build()")

    @property
    def is_compiled(self):
        if "_session" not in self.__dict__:
            raise RuntimeError(f"[nn.Graph] {type(self).__name__}.__init__ has not called "
                               "super().__init__(); call it first")
        return self._session is not None

    def add_optimizer(self, optimizer, *, lr_sch=None):
        """Updates the optimizer's parameters in every call of a graph that calls backward().

        `lr_sch` steps after each call; the learning rate is an argument of the plan.
        """
        if not hasattr(optimizer, "_graph_spec"):
            raise TypeError(f"[add_optimizer] got {type(optimizer).__name__}; expected an "
                            "optimizer of flow.optim")
        if self.is_compiled:
            raise RuntimeError(f"graph {self.name} is compiled: add optimizers in __init__")
        known = {id(p) for o, _ in self._optimizers for g in o.param_groups for p in g["params"]}
        if any(id(p) in known for g in optimizer.param_groups for p in g["params"]):
            raise ValueError(f"[add_optimizer] got a parameter that another optimizer of graph "
                             f"{self.name} updates; expected each in one optimizer")
        self._optimizers.append((optimizer, lr_sch))

    def compile(self, *args, **kwargs):
        """Compiles for arguments like these without running."""
        with self._alone():
            if not self.is_compiled:
                self._compile(args, kwargs)
            return self.plan()

    @contextlib.contextmanager
    def _alone(self):
        self._enter()
        try:
            yield
        finally:
            self._lock.release()

    def _enter(self):
        """Takes the graph for this thread, or refuses: other ranks may queue in another order."""
        if "_lock" not in self.__dict__:
            raise RuntimeError(f"[nn.Graph] {type(self).__name__}.__init__ has not called "
                               "super().__init__(); call it first")
        if _tracing.session is not None:
            raise RuntimeError(f"[nn.Graph] graph {type(self).__name__} was called inside the "
                               "build() of a graph; expected one graph; call the modules "
                               "themselves, or the inner graph before or after")
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"[nn.Graph] graph {self.name} is running in another thread; "
                               "expected one call at a time; wait for it, or make a graph for "
                               "each thread")

    def __call__(self, *args, **kwargs):
        self._enter()
        try:
            return self._call(args, kwargs)
        finally:
            self._lock.release()

    def _call(self, args, kwargs):
        if not self.is_compiled:
            self._compile(args, kwargs)
        else:
            self._check_call(args, kwargs)
        inputs = _tensors((args, kwargs))
        outputs = self._session.launch(inputs, self._scalars())
        self._launched = True
        for clock in self._steps:
            clock.add_(1)
        for _, scheduler in self._optimizers:
            if scheduler is not None:
                scheduler.step()
        results = iter(outputs)
        return _map(self._structure, lambda _: next(results))

    def plan(self):
        """The compiled plan."""
        self._require_compiled()
        return Plan(self._session)

    def counters(self):
        """Firings and messages of all calls beside what the plan predicts."""
        if not self._launched:
            raise RuntimeError(f"graph {self.name} has not run yet")
        with self._alone():
            return self._session.counters()

    def save_variables(self, directory):
        """Writes the logical value of every variable of the plan as <name>.npy (collective).

        `oneflow-like-exec` starts from such a directory.
        """
        self._require_compiled()
        os.makedirs(directory, exist_ok=True)
        with self._alone():
            for name, tensor in self._session.variables().items():
                value = tensor.detach().numpy()
                if env.get_rank() == 0:
                    numpy.save(os.path.join(directory, f"{name}.npy"), value)

    def state_dict(self):
        """The state of the graph's modules, under their attribute names."""
        state = {}
        for name, module in self._modules.items():
            state[name] = module.state_dict()
        return state

    def load_state_dict(self, state, strict=True):
        for name, module in self._modules.items():
            if name in state:
                module.load_state_dict(state[name], strict=strict)
            elif strict:
                raise KeyError(f"the state has no module {name!r} of graph {self.name}")

    def _require_compiled(self):
        if not self.is_compiled:
            raise RuntimeError(f"graph {self.name} is not compiled: call it, or compile(*args), "
                               "first")

    def _check_call(self, args, kwargs):
        """What the plan holds as constants must not have changed; tensors are checked below."""
        if not _same_frame(self._arguments, _frame(args, kwargs)):
            given = len(_tensors((args, kwargs)))
            if given != self._inputs:
                raise ValueError(f"[nn.Graph] graph {self.name} takes {self._inputs} tensors, got "
                                 f"{given}; expected the arguments of the first call")
            raise ValueError(f"[nn.Graph] graph {self.name} got other arguments than it was "
                             "compiled for: numbers, strings and the nesting of tensors are "
                             "constants of the plan; expected the same in every call; pass what "
                             "changes as a tensor, or make another graph")
        for name, module, training in self._modes:
            if module.training != training:
                mode = "train()" if training else "eval()"
                raise RuntimeError(f"[nn.Graph] {name} of graph {self.name} is not in the mode it "
                                   f"was compiled in; expected {mode}; call .{mode} on it, or "
                                   "make another graph for the other mode")
        for table, key, name, tensor in self._bound:
            if table.get(key) is not tensor:
                raise RuntimeError(f"[nn.Graph] {name} of graph {self.name} was replaced after the "
                                   "graph was compiled; expected the same tensor; change its "
                                   "values with copy_() or load_state_dict(), or make a new graph")

    # --- compilation ---------------------------------------------------------------------------

    def _compile(self, args, kwargs):
        session = _C.GraphSession(self.name, self.config.gradient_accumulation_steps)
        arguments = _frame(args, kwargs)
        for prefix, module in self._modules.items():
            for name, tensor in module.state_dict(keep_vars=True).items():
                session.name_variable(tensor, f"{prefix}.{name}")
            module.__dict__["_scope_name"] = prefix
        counter = iter(range(1 << 30))
        symbolic = _map((args, kwargs),
                        lambda x: session.add_input(x, f"input_{next(counter)}"))
        _tracing.session = session
        try:
            structure = session.trace(lambda: self.build(*symbolic[0], **symbolic[1]))
        finally:
            _tracing.session = None
        _refuse_hidden_tensors(structure, f"the result of {self.name}.build()")
        outputs = _tensors(structure)
        for output in outputs:
            session.add_output(output)
        updates, norms = self._updates(session)
        session.compile(updates, norms, os.environ.get("OFL_DUMP", ""))
        self._structure = structure
        self._arguments = arguments
        self._inputs = len(_tensors(symbolic))
        self._bound = self._bind()
        self._modes = [(name, part, part.training) for prefix, module in self._modules.items()
                       for name, part in module.named_modules(prefix=prefix)]
        self._session = session

    def _bind(self):
        """Every parameter and buffer of the graph's modules, with where it hangs."""
        bound = []
        for prefix, module in self._modules.items():
            for path, part in module.named_modules(prefix=prefix):
                for table in (part._parameters, part._buffers):
                    bound += [(table, key, f"{path}.{key}", tensor)
                              for key, tensor in table.items() if tensor is not None]
        return bound

    def _updates(self, session):
        updates, norms = [], []
        if not session.has_loss():
            if self._optimizers:
                raise RuntimeError(f"[nn.Graph] graph {self.name} has an optimizer, but its "
                                   "build() did not call backward(); expected loss.backward(); "
                                   "leave the optimizer out of a graph that only evaluates")
            return updates, norms
        for number, (optimizer, _) in enumerate(self._optimizers):
            groups = {}
            for spec in optimizer._graph_spec():
                rate = f"lr.{number}.{spec['group']}"
                scalars = [rate]
                self._remember(rate, optimizer, spec["group"])
                if spec["step"] is not None:
                    scalars.append(self._clock(spec["step"]))
                clip_group = -1
                if spec["clip"] is not None:
                    max_norm, norm_type = spec["clip"]
                    if norm_type != 2.0:
                        raise NotImplementedError("a graph clips by the 2-norm only, "
                                                  f"got clip_grad_norm_type={norm_type}")
                    if spec["group"] not in groups:
                        groups[spec["group"]] = len(norms)
                        norms.append(max_norm)
                    clip_group = groups[spec["group"]]
                updates.append({"param": spec["param"], "op": spec["op"], "attrs": spec["attrs"],
                                "states": spec["states"], "scalars": scalars,
                                "clip_group": clip_group})
        return updates, norms

    def _remember(self, name, optimizer, group):
        if all(known != name for known, _, _ in self._rates):
            self._rates.append((name, optimizer, group))

    def _clock(self, tensor):
        for index, known in enumerate(self._steps):
            if known is tensor:
                return f"step.{index}"
        self._steps.append(tensor)
        return f"step.{len(self._steps) - 1}"

    def _scalars(self):
        values = {name: float(optimizer.param_groups[group]["lr"])
                  for name, optimizer, group in self._rates}
        for index, clock in enumerate(self._steps):
            local = clock.to_local() if clock.is_global else clock
            # A rank outside the clock's placement holds no element and reads no step.
            values[f"step.{index}"] = float(local.item()) + 1.0 if local.numel() == 1 else 0.0
        return values
