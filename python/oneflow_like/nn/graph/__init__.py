"""nn.Graph: a program written once in Python, compiled to plans and run by actors.

The calls follow OneFlow's nn.Graph. `build` is traced at the first call; further calls run the plan
as long as the guards of the program hold (docs/graphs.md).
"""

import contextlib
import logging
import os
import sys
import threading

import numpy

from ... import _C, env
from ..._C import InvalidArgumentError, TypeMismatchError
from ..._random import pack_rng_state, set_rng_state
from .._watch import note_writing, refuse_in_build
from ..module import Module
from ._frames import map_tensors, taken_apart
from ._guards import record_reads_of
from ._program import Program

__all__ = ["Graph", "GraphConfig", "GraphModule", "Plan", "compile_world"]


_MAX_WORLD = 65536
_MAX_MICRO_BATCHES = 4096
_MAX_PROGRAMS = 1024
_log = logging.getLogger("oneflow_like")


@contextlib.contextmanager
def compile_world(size):
    """A world of `size` ranks that do not exist, to compile for.

    Inside, placements may name ranks 0 to size-1, global tensors have no data, and
    `graph.compile(*args)` gives the plan; nothing can be run or read. Other threads stay in the
    world they are in.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MAX_WORLD:
        raise InvalidArgumentError(f"[compile_world] got {size!r} ranks; expected an int from 1 to "
                                   f"{_MAX_WORLD}")
    refuse_in_build("compile_world", "it around the call or compile()")
    _C.enter_compile_world(size)
    try:
        yield
    finally:
        _C.leave_compile_world()


def _checked_count(what, value, most):
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidArgumentError(
            f"[nn.Graph] {what}: got {value!r}; expected an int from 1 to {most}")
    return value


class GraphConfig:
    """How a graph is compiled. A change counts in the next call."""

    _LIMITS = {"gradient_accumulation_steps": ("gradient accumulation steps", _MAX_MICRO_BATCHES),
               "program_cache_size": ("programs to keep", _MAX_PROGRAMS)}

    def __init__(self):
        self.gradient_accumulation_steps = 1
        self.program_cache_size = 8

    def __setattr__(self, name, value):
        if name not in self._LIMITS:
            raise AttributeError(f"[nn.Graph] config has no option {name!r}; expected one of: "
                                 f"{', '.join(self._LIMITS)}")
        object.__setattr__(self, name, _checked_count(self._LIMITS[name][0], value,
                                                      self._LIMITS[name][1]))

    def set_gradient_accumulation_steps(self, value):
        """Cuts each call's batch into `value` micro-batches along axis 0.

        Gradients are those of the mean of the micro-batches' losses. A scalar output comes back
        as a vector of `value` entries, others are put together along axis 0 of each rank's shard.
        Rows that come in and go out split alike keep their order (docs/plan.md).
        """
        self.gradient_accumulation_steps = value

    def set_program_cache_size(self, value):
        """How many programs a graph keeps; the one unused for longest goes first."""
        self.program_cache_size = value

    def __repr__(self):
        options = ", ".join(f"{name}={getattr(self, name)}" for name in self._LIMITS)
        return f"GraphConfig({options})"


class GraphModule:
    """The graph's view of a module: `module.to(flow.nn.graph.GraphModule)`."""

    __slots__ = ("_module", "_stage_id", "_stage_placement")

    def __init__(self, module):
        if not isinstance(module, Module):
            raise TypeMismatchError(
                f"[GraphModule] got {type(module).__name__}; expected an nn.Module")
        self._module = module
        self._stage_id = None
        self._stage_placement = None

    @property
    def stage_id(self):
        return self._stage_id

    @property
    def stage_placement(self):
        return self._stage_placement

    def set_stage(self, stage_id, placement=None):
        """Makes the module a pipeline stage: inside build() its inputs are moved to `placement`.

        `stage_id` is for whoever reads it: where the stage runs, and when, the placement says.
        """
        if isinstance(stage_id, bool) or not isinstance(stage_id, int) or stage_id < 0:
            raise InvalidArgumentError(
                f"[set_stage] stage_id: got {stage_id!r}; expected an int of at least "
                "0")
        if placement is not None and not isinstance(placement, _C.placement):
            raise TypeMismatchError(
                f"[set_stage] placement: got {type(placement).__name__}; expected "
                "flow.placement(\"cpu\", ranks=[...]) or None")
        refuse_in_build("set_stage", "it before the call")
        self._stage_id = stage_id
        self._stage_placement = placement
        self._module._stage = placement  # read while tracing: other graphs trace anew
        return self


def moved_to_stage(args, placement):
    """Arguments of a module inside build(), with their tensors on a stage's placement."""
    session = _tracing.session
    return map_tensors(args, lambda x: session.to_placement(x, placement))


def graph_module_of(module):
    """The one GraphModule of a module."""
    known = module.__dict__.get("_graph_module")
    if known is None:
        known = module.__dict__["_graph_module"] = GraphModule(module)
    return known


class _Tracing(threading.local):
    session = None  # of the graph whose build() this thread runs


_tracing = _Tracing()


_RNG_STATE = "rng_state"  # the entry of a graph's state beside its modules


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
        # The programs, the one used last at the end. Not attributes that a guard could watch.
        self.__dict__["_state"] = _State()

    def __setattr__(self, name, value):
        if "_modules" not in self.__dict__:
            if isinstance(value, Module):
                raise AttributeError("call super().__init__() before assigning a module to a graph")
        elif isinstance(value, Module):
            if name == _RNG_STATE:
                raise AttributeError(f"a module of a graph cannot be called {name}: that is where "
                                     "its state_dict() has the random generators")
            self._modules[name] = value
        else:
            self._modules.pop(name, None)
        note_writing(self, name)
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        self._modules.pop(name, None)
        note_writing(self, name)
        object.__delattr__(self, name)

    def build(self, *args, **kwargs):
        raise NotImplementedError(f"graph {self.name} defines no build()")

    @property
    def is_compiled(self):
        return bool(self._its_state().programs)

    def _its_state(self):
        state = self.__dict__.get("_state")
        if state is None:
            raise RuntimeError(f"[nn.Graph] {type(self).__name__}.__init__ has not called "
                               "super().__init__(); call it first")
        return state

    def add_optimizer(self, optimizer, *, lr_sch=None):
        """Updates the optimizer's parameters in every call of a graph that calls backward().

        `lr_sch` steps after each call; the learning rate is an argument of the plan.
        """
        if not hasattr(optimizer, "_graph_spec"):
            raise TypeMismatchError(f"[add_optimizer] got {type(optimizer).__name__}; expected an "
                                    "optimizer of flow.optim")
        if self.is_compiled:
            raise RuntimeError(f"graph {self.name} is compiled: add optimizers in __init__")
        known = {id(p) for o, _ in self._optimizers for g in o.param_groups for p in g["params"]}
        if lr_sch is not None and getattr(lr_sch, "optimizer", None) is not optimizer:
            raise InvalidArgumentError(
                f"[add_optimizer] lr_sch: got {type(lr_sch).__name__}; expected a "
                "scheduler of the same optimizer, for example "
                "flow.optim.lr_scheduler.StepLR(optimizer, 10)")
        if any(id(p) in known for g in optimizer.param_groups for p in g["params"]):
            raise InvalidArgumentError(
                f"[add_optimizer] got a parameter that another optimizer of graph "
                f"{self.name} updates; expected each in one optimizer")
        self._optimizers.append((optimizer, lr_sch))

    def compile(self, *args, **kwargs):
        """Compiles for arguments like these without running."""
        with self._alone():
            return Plan(self._program_for(args, kwargs).session)

    @contextlib.contextmanager
    def _alone(self):
        self._enter()
        try:
            yield
        finally:
            self._state.lock.release()

    def _enter(self):
        """Takes the graph for this thread, or refuses: other ranks may queue in another order."""
        lock = self._its_state().lock
        if self._optimizers and _C.anomaly_mode()[0]:
            raise NotImplementedError(f"[nn.Graph] graph {self.name} was called in anomaly mode, "
                                      "which does not look into a plan: got a graph that trains; "
                                      "expected none; call its modules to find what is NaN")
        if _tracing.session is not None:
            raise RuntimeError(f"[nn.Graph] graph {type(self).__name__} was called inside the "
                               "build() of a graph; expected one graph; call the modules "
                               "themselves, or the inner graph before or after")
        if not lock.acquire(blocking=False) and not (
                self._is_left_taken()
                and (lock.acquire(blocking=False) or self._is_left_taken())):
            raise RuntimeError(f"[nn.Graph] graph {self.name} is running in another thread; "
                               "expected one call at a time; wait for it, or make a graph for "
                               "each thread")

    def _is_left_taken(self):
        """Whether nobody is inside a call: what the handler of a signal raises, as Ctrl-C, may come
        just before a `finally` begins or ends, and leaves the graph taken."""
        calls = (Graph.__call__.__code__, Graph.compile.__code__)
        inside = 0
        for frame in sys._current_frames().values():
            while frame is not None:
                inside += frame.f_code in calls and frame.f_locals.get("self") is self
                frame = frame.f_back
        return inside <= 1  # this very call

    def __call__(self, *args, **kwargs):
        self._enter()
        state = self._state
        try:
            tensors, frame = taken_apart(args, kwargs)
            launched = False
            if state.programs:
                last = state.programs[-1]
                if state.failed or last.broken(self, frame) is None:
                    results, launched = last.launch(tensors)
            if not launched:
                results, launched = self._program_for(args, kwargs).launch(tensors)
                assert launched, f"a program of {self.name} does not fit what it was traced for"
        except BaseException:
            # A failed launch leaves the parameters undefined, whatever program comes next.
            state.failed = state.failed or any(p.session.closed() for p in state.programs[-1:])
            raise
        finally:
            state.lock.release()
        for _, scheduler in self._optimizers:
            if scheduler is not None:
                scheduler.step()
        return results

    def _program_for(self, args, kwargs):
        """The program whose guards hold for a call, moved to the end; traced if there is none."""
        programs = self._state.programs
        tensors, frame = taken_apart(args, kwargs)
        reason = None
        for program in reversed(programs):
            broken = program.broken(self, frame) or program.session.misfit(tensors)
            if not broken:
                programs.remove(program)
                programs.append(program)
                return program
            reason = reason or broken
        count = self._state.traced
        name = self.name if count == 0 else f"{self.name}.{count}"
        program = Program(self, name, args, kwargs, _tracing)
        self._state.traced = count + 1
        if reason is not None:
            _log.info("[nn.Graph] graph %s traced its program %d: %s", self.name, count + 1, reason)
        while len(programs) >= self.config.program_cache_size:
            self._state.drop(programs.pop(0))
        programs.append(program)
        return program

    def plan(self):
        """The compiled plan of the program that was used last."""
        self._require_compiled()
        return Plan(self._state.programs[-1].session)

    def counters(self):
        """Firings and messages of all calls beside what the plans predict."""
        with self._alone():
            total = self._state.counters()
        if not total:
            raise RuntimeError(f"graph {self.name} has not run yet")
        return total

    def save_variables(self, directory):
        """Writes the logical value of every variable of the plan as <name>.npy (collective).

        The generators of random numbers that it draws from are generator@<name>.npy.
        `oneflow-like-exec` starts from such a directory.
        """
        self._require_compiled()
        os.makedirs(directory, exist_ok=True)
        with self._alone():
            for name, seed, offset in self._state.programs[-1].session.generators():
                if env.get_rank() == 0:
                    state = numpy.array([seed, offset % 2**64], numpy.uint64).view(numpy.int64)
                    numpy.save(os.path.join(directory, f"generator@{name}.npy"), state)
            for name, tensor in self._state.programs[-1].session.variables().items():
                value = tensor.detach().numpy()
                if env.get_rank() == 0:
                    numpy.save(os.path.join(directory, f"{name}.npy"), value)

    def state_dict(self):
        """The state of the graph's modules, under their attribute names, and "rng_state".

        The latter is that of the job's random generator, from which a graph on global tensors
        draws; on local ones this rank's own is in it too. All else of the process that draws shares
        them, as in eager mode.
        """
        refuse_in_build("nn.Graph.state_dict", "it before or after the call")
        state = {}
        for name, module in self._modules.items():
            state[name] = module.state_dict()
        on_global = any(x.is_global for part in state.values() for x in part.values())
        state[_RNG_STATE] = pack_rng_state(local=not on_global)
        return state

    def load_state_dict(self, state, strict=True):
        """Loads what state_dict() gave; without "rng_state" the generators stay as they are."""
        refuse_in_build("nn.Graph.load_state_dict", "it before or after the call")
        unknown = [name for name in state if name not in self._modules and name != _RNG_STATE]
        if strict and unknown:
            raise KeyError(f"[load_state_dict] the state has entries that graph {self.name} has no "
                           f"module for: got {', '.join(map(repr, unknown))}; expected "
                           f"{', '.join(map(repr, [*self._modules, _RNG_STATE]))}; strict=False "
                           "leaves them out")
        for name, module in self._modules.items():
            if name in state:
                module.load_state_dict(state[name], strict=strict)
            elif strict:
                raise KeyError(f"the state has no module {name!r} of graph {self.name}")
        if _RNG_STATE in state:
            set_rng_state(state[_RNG_STATE])

    def _require_compiled(self):
        if not self.is_compiled:
            raise RuntimeError(f"graph {self.name} is not compiled: call it, or compile(*args), "
                               "first")


class _State:
    """A graph's programs and who uses them."""

    def __init__(self):
        self.lock = threading.Lock()
        self.programs = []  # the one used last at the end
        self.traced = 0
        self.failed = False  # a launch has failed: the last program says why, for ever
        self._dropped = {}  # counters of programs that left

    def drop(self, program):
        self._dropped = _added(self._dropped, program.session.counters())

    def counters(self):
        total = self._dropped
        for program in self.programs:
            total = _added(total, program.session.counters())
        return total


def _added(a, b):
    return {key: a.get(key, 0) + value for key, value in b.items()} if b else a


record_reads_of(Graph)
