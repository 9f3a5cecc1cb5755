"""Guards on Python state: what tracing read of modules and graphs, and whether it still holds.

While a Recorder is open, attribute reads of modules and graphs pass through it; afterwards classes
are as before, so that eager calls pay nothing.
"""

import threading
import types

from ... import _C
from .._watch import Watched, reading
from ..module import Module
from ._changes import MISSING, Changes, refuse
from ._frames import same_number

_VALUES = (bool, int, float, complex, str, bytes, type(None), _C.dtype, _C.placement, _C.Size)
_MAX_ITEMS = 256  # of a container that is compared item by item in every call
_TABLES = ("_parameters", "_buffers", "_modules")
_UNWATCHED = {"_scope_name", "_graph_module", "_non_persistent", "__dict__",
              "__class__", "_holds_only", "_state"}
_owners = []  # the classes whose reads are recorded: Module, Graph
_open = 0  # recorders that are open now, in all threads
_opening = threading.Lock()


class _Object:
    """Something compared by identity; a tensor's handle together with what it stands for."""

    __slots__ = ("object", "value")

    def __init__(self, value):
        self.object = value
        self.value = _C.value_id(value) if isinstance(value, _C.Tensor) else None

    def holds(self, value):
        return value is self.object and (self.value is None or _C.value_id(value) == self.value)


class _Number:
    __slots__ = ("number",)

    def __init__(self, value):
        self.number = value

    def holds(self, value):
        return value is self.number or same_number(self.number, value)


class _Items:
    """A container, item by item."""

    __slots__ = ("items", "keys", "kind")

    def __init__(self, value):
        self.kind = type(value)
        self.keys = list(value) if isinstance(value, dict) else None
        self.items = [frozen(v) for v in (value.values() if self.keys is not None else value)]

    def holds(self, value):
        if type(value) is not self.kind or len(value) != len(self.items):
            return False
        if self.keys is not None and list(value) != self.keys:
            return False
        values = value.values() if self.keys is not None else value
        return all(item.holds(v) for item, v in zip(self.items, values, strict=True))


class _Large:
    """A container too large to look through in every call: by identity and length."""

    __slots__ = ("object", "length")

    def __init__(self, value):
        self.object, self.length = value, len(value)

    def holds(self, value):
        return value is self.object and len(value) == self.length


def frozen(value):
    """What a later value must be like to count as the same."""
    if isinstance(value, (tuple, list, dict, set, frozenset)) and type(value) is not _C.Size:
        sized = len(value) <= _MAX_ITEMS or isinstance(value, Watched)
        if isinstance(value, (set, frozenset)):
            return _Set(value) if sized else _Large(value)
        return _Items(value) if sized else _Large(value)
    if isinstance(value, _VALUES) or type(value).__module__ == "numpy" and _is_scalar(value):
        return _Number(value)
    return _Object(value)


class _Set:
    __slots__ = ("members",)

    def __init__(self, value):
        self.members = value.copy()

    def holds(self, value):
        return type(value) is type(self.members) and value == self.members


def _is_scalar(value):
    import numpy
    return isinstance(value, numpy.generic)


def _mutable(value):
    """Whether its items may change without a write to the attribute."""
    if isinstance(value, Watched):
        return False
    if isinstance(value, (list, dict, set)):
        return True
    return isinstance(value, tuple) and any(map(_mutable, value))


def look_up(owner, name):
    """What reading an attribute finds, without running code of properties."""
    fields = object.__getattribute__(owner, "__dict__")
    if name in fields:
        return fields[name]
    if isinstance(owner, Module):
        for table in _TABLES:
            if name in fields.get(table, ()):
                return fields[table][name]
    return getattr(type(owner), name, MISSING)


class Attribute:
    """A guard: an attribute of a module or graph is as tracing read it."""

    __slots__ = ("name", "owner", "was")

    def __init__(self, owner, name, value):
        self.owner, self.name, self.was = owner, name, frozen(value)

    def of(self, graph):
        return self.owner if self.owner is not None else graph

    def holds(self, graph):
        return self.was.holds(look_up(self.of(graph), self.name))

    def text(self, graph):
        kind = type(self.of(graph)).__name__
        now = look_up(self.of(graph), self.name)
        if isinstance(self.was, _Number):
            return f"{kind}.{self.name} is {now!r} instead of {self.was.number!r}"
        return f"{kind}.{self.name} is another {type(now).__name__}"


class Captured:
    """A guard: a name of a function's closure or globals stands for the same tensor or module."""

    __slots__ = ("name", "read", "was")

    def __init__(self, name, read, value):
        self.name, self.read, self.was = name, read, _Object(value)

    def holds(self, _graph):
        return self.was.holds(self.read())

    def text(self, _graph):
        return f"the captured {self.name} is another {type(self.was.object).__name__}"


class WatchedState:
    """The classes and the __dict__ of what guards read: what may change without a noted write.

    The graph's own __dict__ is passed in each time: it holds the program that holds this.
    """

    def __init__(self, guards):
        self._owners = list({id(g.owner): g.owner for g in guards if g.owner is not None}.values())
        self._versions = _C.Versions()

    def read(self, graph):
        self._types = tuple({type(owner): None for owner in [graph, *self._owners]})
        self._dicts = tuple(owner.__dict__ for owner in self._owners)
        self._versions.read(self._types, self._dicts, graph.__dict__)

    def same(self, graph):
        return self._versions.same(self._types, self._dicts, graph.__dict__)


class Recorder:
    """Notes what tracing a graph reads, from entering to leaving.

    Guards hold the modules they watch, but not the graph, which holds them.
    """

    def __init__(self, graph):
        self._graph = graph
        self._reads = {}  # (id of the owner, name) -> Attribute; it holds the owner
        self._functions = {}  # code -> function
        self._changes = Changes(graph)

    def __enter__(self):
        global _open
        reading.recorder = self
        with _opening:
            if _open == 0:
                for owner in _owners:
                    owner.__getattribute__ = _recorded
            _open += 1
        return self

    def __exit__(self, kind, *_):
        global _open
        reading.recorder = None
        with _opening:
            _open -= 1
            if _open == 0:
                for owner in _owners:
                    del owner.__getattribute__
        missed = self._changes.take_back([read.of(self._graph) for read in self._reads.values()])
        missed += [(read.of(self._graph), read.name) for read in self._reads.values()
                   if not read.holds(self._graph)
                   and self._changes.undo(read.of(self._graph), read.name)]
        if kind is None:
            refuse(self._graph, missed)

    def writing(self, owner, name):
        self._changes.writing(owner, name, (id(owner), name) in self._reads)

    def note(self, owner, name):
        if (id(owner), name) in self._reads or name in _UNWATCHED:
            return
        value = look_up(owner, name)  # of a method the function: an instance may come to hide it
        if isinstance(value, _C.Tensor) and value.is_symbolic:
            return  # of this build(): not what was there before
        self._reads[id(owner), name] = Attribute(None if owner is self._graph else owner, name,
                                                 value)
        if isinstance(value, types.FunctionType):
            self.called(value)

    def called(self, function):
        """A function of the user that tracing runs: its captured tensors are watched."""
        function = getattr(function, "__func__", function)
        if isinstance(function, types.FunctionType):
            self._functions.setdefault(function.__code__, function)

    def guards(self):
        """(guards that only a noted write can break, guards for every call)."""
        resting, always = [], []
        for read in self._reads.values():
            if read.holds(self._graph):  # else tracing itself wrote it
                now = look_up(read.of(self._graph), read.name)
                (always if _mutable(now) else resting).append(read)
        seen = set()
        for function in self._functions.values():
            for name, read, where in _captures(function):
                value = read()
                if isinstance(value, (_C.Tensor, Module)) and (where, name) not in seen:
                    seen.add((where, name))
                    always.append(Captured(name, read, value))
        return resting, always


def _captures(function):
    """(name, how to read it, what holds it) for every variable a function takes from outside."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, lambda cell=cell: _content(cell), id(cell)
    names, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    space = function.__globals__
    for name in sorted(names):
        if name in space:
            yield name, lambda space=space, name=name: space.get(name, MISSING), id(space)


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return MISSING


def _recorded(self, name):
    recorder = reading.recorder
    if recorder is None:  # another thread, which does not trace
        return object.__getattribute__(self, name)
    recorder.note(self, name)
    return object.__getattribute__(self, name)


def record_reads_of(owner):
    """From now on reads of this class's instances count while a Recorder is open."""
    _owners.append(owner)


record_reads_of(Module)
