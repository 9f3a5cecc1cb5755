"""What tracing changes in modules and in the graph: it would happen once, and not in every call.

Values of the graph that were put into attributes on the way are taken back. What a later call would
have read is refused (docs/graphs.md).
"""

from ... import _C

MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()

_TABLES = ("_parameters", "_buffers")
_MAX_ITEMS = 256  # of a container that is looked through


def _is_value(value):
    return isinstance(value, _C.Tensor) and value.is_symbolic


def _holds_value(value, depth=4):
    """Whether it is a value of a graph, or a container of some."""
    if isinstance(value, dict):
        value = tuple(value.values()) if len(value) <= _MAX_ITEMS else ()
    if isinstance(value, (list, tuple, set, frozenset)):
        return depth > 0 and len(value) <= _MAX_ITEMS and any(
            _holds_value(item, depth - 1) for item in value)
    return _is_value(value)


def _strip(value):
    """Takes values of a graph out of a container that stays."""
    if isinstance(value, list):
        value[:] = [item for item in value if not _holds_value(item)]
    elif isinstance(value, dict):
        for key in [key for key, item in value.items() if _holds_value(item)]:
            del value[key]


class Changes:
    """The attributes that one tracing sets and deletes, with what they held before."""

    def __init__(self, graph):
        self._graph = graph
        self._before = {}  # (id of the owner, name) -> (owner, what was there, had tracing read it)

    def writing(self, owner, name, was_read):
        before = owner.__dict__.get(name, MISSING)
        self._before.setdefault((id(owner), name), (owner, before, was_read))

    def take_back(self, owners):
        """Leaves no value of the graph behind; tells (owner, name) of those a call would miss."""
        missed = []
        for (_, name), (owner, before, was_read) in self._before.items():
            if _holds_value(owner.__dict__.get(name)):
                _restore(owner, name, before)
                if was_read or isinstance(before, _C.Tensor):
                    missed.append((owner, name))
        modules = [module for top in self._graph._modules.values() for module in top.modules()]
        for owner in modules:
            for table in _TABLES:
                missed += [(owner, name) for name, x in owner.__dict__[table].items()
                           if x is not None and _is_value(x)]
                _strip(owner.__dict__[table])
        for owner in {id(o): o for o in [self._graph, *modules, *owners]}.values():
            for name, value in list(owner.__dict__.items()):
                if name in _TABLES or not _holds_value(value):
                    continue
                missed.append((owner, name))
                if isinstance(value, (list, dict)):
                    _strip(value)
                else:
                    del owner.__dict__[name]
        return missed

    def undo(self, owner, name):
        """Whether tracing set an attribute that had a value; if so it has that again."""
        _, before, was_read = self._before.get((id(owner), name), (None, MISSING, False))
        if before is MISSING or before is None or not was_read:
            return False
        _restore(owner, name, before)
        return True


def _restore(owner, name, before):
    _C.note_write()
    if before is MISSING:
        owner.__dict__.pop(name, None)
    else:
        owner.__dict__[name] = before


def refuse(graph, missed):
    if not missed:
        return
    owner, name = missed[0]
    more = f" (and {len(missed) - 1} more)" if len(missed) > 1 else ""
    raise RuntimeError(f"[nn.Graph] {type(owner).__name__}.{name}{more} was changed inside build() "
                       f"of graph {graph.name}, which would happen once, while tracing, and not in "
                       "every call: got state in a plain attribute; expected tensors in a buffer "
                       "(register_buffer) that is changed in place, and numbers among the "
                       "arguments; or return the new value, and set the attribute after the call")
