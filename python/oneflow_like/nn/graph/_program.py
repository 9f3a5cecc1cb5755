"""One traced and compiled program of a graph, with the guards that say when it may run."""

import os

from ... import _C
from ._frames import (kept, map_tensors, refuse_hidden_tensors, same_frame, shown, taken_apart,
                      tensors_of)
from ._guards import Recorder, WatchedState


class _Tracing:
    """The session whose build() a thread runs; see GraphModule and Graph."""

    def __init__(self, tracing, session):
        self._tracing, self._session = tracing, session

    def __enter__(self):
        self._tracing.session = self._session

    def __exit__(self, *_):
        self._tracing.session = None


class _Optimizer:
    """What a program took from one optimizer, and how launches read its numbers."""

    def __init__(self, number, optimizer):
        self.optimizer = optimizer
        self.number = number
        self.spec = optimizer._graph_spec()
        self._values = self._values_of(self.spec)
        self._groups = [_Group(optimizer, group) for group in optimizer.param_groups]

    @staticmethod
    def _values_of(spec):
        """What the parameters stand for: a conversion in place changes it."""
        return [_C.value_id(entry["param"]) for entry in spec]

    def updates(self, session):
        """The session's description of every update; hands all numbers over."""
        updates = []
        for entry in self.spec:
            group = self.optimizer.param_groups[entry["group"]]
            hyper, clip = self._names(entry["group"])
            session.set_numbers(hyper, self.optimizer._numbers(group))
            if entry["clip"] is not None:
                session.set_numbers(clip, [entry["clip"]])
            updates.append({**entry, "hyper": hyper,
                            "clip": None if entry["clip"] is None else clip})
        return updates

    def separate_clocks(self, session):
        """Parameters without a gradient in this program count no steps: not on a shared counter."""
        counting, idle = set(), []
        for entry in self.spec:
            if entry["step"] is None:
                continue
            if session.updates(entry["param"]):
                counting.add(id(entry["step"]))
            else:
                idle.append(entry)
        idle = [entry["param"] for entry in idle if id(entry["step"]) in counting]
        if idle:  # the others keep the counter that the plan is bound to
            self.optimizer._give_own_clocks(idle)
            self.spec = self.optimizer._graph_spec()
            self._values = self._values_of(self.spec)

    def _names(self, group):
        return f"hyper.{self.number}.{group}", f"clip.{self.number}.{group}"

    def broken(self, session):
        """Hands changed numbers over; tells what else has changed, or None."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self._groups):
            return f"the optimizer has {len(groups)} groups instead of {len(self._groups)}"
        for index, (group, known) in enumerate(zip(groups, self._groups, strict=True)):
            if known.same(group):
                continue
            what = known.broken(self.optimizer, group)
            if what is not None:
                return f"group {index} of the optimizer {what}"
            if not any(entry["group"] == index for entry in self.spec):
                known.read(group)  # an empty group: the plan knows no numbers of it
                continue
            numbers = self.optimizer._numbers(group)
            hyper, clip = self._names(index)
            session.set_numbers(hyper, numbers)
            if known.structure[2]:
                session.set_numbers(clip, [float(group["clip_grad_max_norm"])])
            known.read(group)
        return None

    def spec_broken(self):
        """Whether the tensors that updates touch are others; asked when something was written."""
        spec = self.optimizer._graph_spec()
        if len(spec) != len(self.spec):
            return f"the optimizer trains {len(spec)} parameters instead of {len(self.spec)}"
        if self._values_of(spec) != self._values:
            return "the optimizer's parameters were converted"
        for entry, known in zip(spec, self.spec, strict=True):
            same = entry["param"] is known["param"] and entry["step"] is known["step"] and all(
                a is b for (_, a), (_, b) in zip(entry["states"], known["states"], strict=True))
            if not same:
                return "the optimizer's parameters or state are other tensors"
        return None


class _Group:
    """An optimizer's group as it was read last, for a comparison that costs little."""

    __slots__ = ("keys", "params", "structure", "values")

    def __init__(self, optimizer, group):
        self.structure = optimizer._structure(group)
        self.read(group)

    def read(self, group):
        self.keys = tuple(group)
        # A list may change in place, so a copy is kept.
        self.values = [(key, list(value) if isinstance(value, list) else value)
                       for key, value in group.items() if key != "params"]
        self.params = tuple(group["params"])

    def same(self, group):
        if tuple(group) != self.keys or not _C.same_objects(group["params"], self.params):
            return False
        for key, was in self.values:
            now = group[key]
            if now is not was and (type(now) is not type(was) or now != was):
                return False
        return True

    def broken(self, optimizer, group):
        optimizer._check_keys(group)
        if not _C.same_objects(group["params"], self.params):
            return "has other parameters"
        structure = optimizer._structure(group)
        if structure != self.structure:
            return f"updates by {structure} instead of {self.structure}"
        return None


class Program:
    """Traces and compiles in its constructor, which raises what build() or the compiler says."""

    def __init__(self, graph, name, args, kwargs, tracing):
        tensors, frame = taken_apart(args, kwargs)
        self._frame = kept(frame)
        self._grad_enabled = _C.is_grad_enabled()
        self._default_dtype = _C.get_default_dtype()
        self._micro_batches = graph.config.gradient_accumulation_steps
        self._writes = _C.writes_noted()
        self.session = session = _C.GraphSession(name, self._micro_batches)
        for prefix, module in graph._modules.items():
            for key, tensor in module.state_dict(keep_vars=True).items():
                session.name_variable(tensor, f"{prefix}.{key}")
            module.__dict__["_scope_name"] = prefix
        numbers = iter(range(len(tensors)))
        args, kwargs = map_tensors(
            (args, kwargs), lambda x: session.add_input(x, f"input_{next(numbers)}"))
        build = graph.build
        with _Tracing(tracing, session), Recorder(graph) as recorder:
            recorder.called(build)
            recorder.note(graph, "build")
            structure = session.trace(lambda: build(*args, **kwargs))
        refuse_hidden_tensors(structure, f"the result of {graph.name}.build()")
        for output in tensors_of(structure):
            session.add_output(output)
        self._structure = structure
        self._single = isinstance(structure, _C.Tensor)
        self._optimizers = self._compile(graph, session)
        self._resting, self._always = recorder.guards()
        self._watched = WatchedState(self._resting)
        self._watched.read(graph)

    @staticmethod
    def _compile(graph, session):
        if session.has_loss() and not graph._optimizers:
            raise RuntimeError(f"[nn.Graph] build() of graph {graph.name} calls backward(), but "
                               "the graph has no optimizer and gives no gradients back; expected "
                               "self.add_optimizer(optimizer) in __init__; leave backward() out "
                               "of a graph that only evaluates")
        if graph._optimizers and not session.has_loss():
            raise RuntimeError(f"[nn.Graph] graph {graph.name} has an optimizer, but its build() "
                               "did not call backward(); expected loss.backward(); leave the "
                               "optimizer out of a graph that only evaluates")
        optimizers = [_Optimizer(number, optimizer)
                      for number, (optimizer, _) in enumerate(graph._optimizers)]
        updates = [update for optimizer in optimizers for update in optimizer.updates(session)]
        session.compile(updates, os.environ.get("OFL_DUMP", ""))
        for optimizer in optimizers:
            optimizer.separate_clocks(session)
        return optimizers

    def broken(self, graph, frame):
        """Why this program may not run now (a guard, in words), or None. Tensors aside."""
        if not same_frame(self._frame, frame):
            return f"the arguments are {shown(frame)} instead of {shown(self._frame)}"
        if graph.config.gradient_accumulation_steps != self._micro_batches:
            return (f"{graph.config.gradient_accumulation_steps} micro-batches instead of "
                    f"{self._micro_batches}")
        if _C.is_grad_enabled() is not self._grad_enabled:
            return f"gradients are {'off' if self._grad_enabled else 'on'}"
        if _C.get_default_dtype() is not self._default_dtype:
            return f"the default dtype was {self._default_dtype.name}"
        for guard in self._always:
            if not guard.holds(graph):
                return guard.text(graph)
        for optimizer in self._optimizers:
            what = optimizer.broken(self.session)
            if what is not None:
                return what
        writes = _C.writes_noted()
        if writes == self._writes and self._watched.same(graph):
            return None
        for guard in self._resting:
            if not guard.holds(graph):
                return guard.text(graph)
        if not self.session.gradients_as_traced():
            return "requires_grad of a parameter has changed"
        for optimizer in self._optimizers:
            what = optimizer.spec_broken()
            if what is not None:
                return what
        self._writes = writes
        self._watched.read(graph)
        return None

    def launch(self, tensors):
        """The results of build() for these arguments, or None if they are of other kinds."""
        outputs = self.session.launch(tensors)
        if outputs is None:
            return None, False
        if self._single:
            return outputs[0], True
        results = iter(outputs)
        return map_tensors(self._structure, lambda _: next(results)), True

