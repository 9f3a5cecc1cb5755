"""Arguments and results of a graph: nested tuples, lists and dicts of tensors and constants."""

import math

import numpy

from ... import _C
from ..._C import InvalidArgumentError, TypeMismatchError

_TENSOR = object()  # where a tensor stood in a call's arguments


def _mapped(value, fn):
    if isinstance(value, _C.Tensor):
        return fn(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(v, fn) for v in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(v, fn) for v in value)
    if isinstance(value, dict):
        return {key: _mapped(v, fn) for key, v in value.items()}
    return value


def _of_tree(function, *args):
    try:
        return function(*args)
    except RecursionError:
        raise InvalidArgumentError(
            "[nn.Graph] an argument or a result contains itself, or is nested too "
            "deep; expected a tree of tuples, lists and dicts") from None


def map_tensors(value, fn):
    """Applies fn to the tensors of nested tuples, lists and dicts."""
    return _of_tree(_mapped, value, fn)


def tensors_of(value):
    found = []
    map_tensors(value, found.append)
    return found


def taken_apart(args, kwargs):
    """A call's arguments as (its tensors, all else: a constant of the compiled program)."""
    found = []

    def take(tensor):
        found.append(tensor)
        return _TENSOR

    if kwargs:
        return found, map_tensors((args, kwargs), take)
    return found, (map_tensors(args, take), {})


def kept(frame):
    """A frame to compare later calls with: what may change in place is copied."""
    if isinstance(frame, tuple) and hasattr(frame, "_fields"):
        return type(frame)(*map(kept, frame))
    if isinstance(frame, (tuple, list)):
        return type(frame)(map(kept, frame))
    if isinstance(frame, dict):
        return {key: kept(value) for key, value in frame.items()}
    if isinstance(frame, (set, numpy.ndarray)):
        return frame.copy()
    return frame


def same_number(a, b):
    """Equal in type and bits, as far as arithmetic can tell."""
    if type(a) is not type(b):
        return False
    if isinstance(a, numpy.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    return bool(a == b)


def same_frame(a, b):
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same_frame, a, b))
    if isinstance(a, dict):  # in one order: that is the order of their tensors
        return list(a) == list(b) and all(same_frame(a[key], b[key]) for key in a)
    try:
        return same_number(a, b)
    except (TypeError, ValueError):  # compares elementwise: not the constant that was compiled
        return False


def shown(frame):
    """A frame as text: the call's constants, and where tensors stand."""
    def text(value):
        if value is _TENSOR:
            return "Tensor"
        if isinstance(value, (tuple, list)):
            return "(" + ", ".join(map(text, value)) + ")"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k}: {text(v)}" for k, v in value.items()) + "}"
        return repr(value)

    args, kwargs = frame
    parts = [*map(text, args), *(f"{k}={text(v)}" for k, v in kwargs.items())]
    line = f"({', '.join(parts)})"
    return line if len(line) <= 200 else line[:197] + "..."


def _refuse_hidden(value, where):
    if isinstance(value, (set, frozenset)):
        raise TypeMismatchError(
            f"[nn.Graph] {where}: got a {type(value).__name__}; expected tensors in "
            "tuples, lists and dicts")
    if isinstance(value, (tuple, list)):
        for item in value:
            _refuse_hidden(item, where)
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_hidden(item, where)


def refuse_hidden_tensors(value, where):
    """A tensor in a set, an object or the like would come back as a value of the graph."""
    _of_tree(_refuse_hidden, value, where)
