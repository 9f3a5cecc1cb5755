"""What dtypes hold, in which one operands meet, and the default one of floating numbers."""

import numbers

import numpy as np

from . import _C
from ._C import Tensor, TypeMismatchError
from ._creation import dtype_from

__all__ = ["can_cast", "finfo", "get_default_dtype", "iinfo", "promote_types", "result_type",
           "set_default_dtype"]

# Bits of the fraction, smallest exponent, largest number, decimal digits that survive.
_FLOATS = {
    "float16": (10, -14, 65504.0, 3),
    "bfloat16": (7, -126, float.fromhex("0x1.fep127"), 2),
    "float32": (23, -126, float.fromhex("0x1.fffffep127"), 6),
    "float64": (52, -1022, float.fromhex("0x1.fffffffffffffp1023"), 15),
    "float8_e4m3fn": (3, -6, 448.0, 0),
    "float8_e5m2": (2, -14, 57344.0, 0),
}
_REAL = {"complex64": "float32", "complex128": "float64"}


def _dtype(name, argument, given):
    dtype = dtype_from(given, name) if not isinstance(given, str) else None
    if dtype is None:
        raise TypeMismatchError(f"[{name}] argument '{argument}' must be oneflow_like.dtype, not "
                                f"{type(given).__name__}; expected for example flow.float32")
    return dtype


class finfo:
    """The limits of a floating dtype; of a complex one those of its parts."""

    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type=None):
        dtype = get_default_dtype() if type is None else _dtype("finfo", "type", type)
        name = _REAL.get(dtype.name, dtype.name)
        if name not in _FLOATS:
            raise TypeMismatchError(
                f"[finfo] the dtype is not floating: got {dtype.name}; expected a "
                "floating or complex one; use flow.iinfo")
        fraction, exponent, largest, digits = _FLOATS[name]
        self.dtype, self.bits = name, 8 * getattr(_C, name).itemsize
        self.eps, self.max, self.min = 2.0 ** -fraction, largest, -largest
        self.tiny = self.smallest_normal = 2.0 ** exponent
        self.resolution = float(f"1e-{digits}")

    def __eq__(self, other):
        return isinstance(other, finfo) and other.dtype == self.dtype

    __hash__ = None

    def __repr__(self):
        told = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return (f"finfo({', '.join(f'{name}={getattr(self, name):g}' for name in told)}, "
                f"dtype={self.dtype})")


class iinfo:
    """The limits of an integer dtype."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type):
        dtype = _dtype("iinfo", "type", type)
        if dtype is _C.bool or not dtype.name.lstrip("u").startswith("int"):
            raise TypeMismatchError(
                f"[iinfo] the dtype is of no integers: got {dtype.name}; expected an "
                "integer one; use flow.finfo")
        self.dtype, self.bits = dtype.name, 8 * dtype.itemsize
        limits = np.iinfo(dtype.name)
        self.min, self.max = int(limits.min), int(limits.max)

    def __eq__(self, other):
        return isinstance(other, iinfo) and other.dtype == self.dtype

    __hash__ = None

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def promote_types(type1, type2):
    """The dtype in which tensors of these dtypes meet."""
    return _C.promoted_dtype(_dtype("promote_types", "type1", type1),
                             _dtype("promote_types", "type2", type2))


def can_cast(from_, to):
    """Whether a number's kind survives: bool, integer, floating, complex, or a later one."""
    return _C.dtype_category(_dtype("can_cast", "from_", from_)) <= _C.dtype_category(
        _dtype("can_cast", "to", to))


_NAMES = (("tensor", "other"), ("scalar", "tensor"), ("scalar1", "scalar2"))


def result_type(*args, **kwargs):
    """The dtype in which two operands meet, tensors or numbers."""
    names = next((n for n in _NAMES if set(n[len(args):]) == set(kwargs)), ())
    given = [*args, *(kwargs.pop(name) for name in names[len(args):])]
    if kwargs or len(given) != 2:
        raise TypeMismatchError(f"[result_type] takes two operands: got {len(given)}"
                                f"{' and ' + ', '.join(kwargs) if kwargs else ''}; expected "
                                "result_type(tensor, other), each a Tensor or a number")
    for operand in given:
        if not isinstance(operand, (Tensor, numbers.Number, np.generic)):
            raise TypeMismatchError("[result_type] an operand has the wrong type: got "
                                    f"{type(operand).__name__}; expected a Tensor or a number")
    return _C.result_dtype(*given)


result_type.__overloads__ = ("result_type(tensor, other)", "result_type(scalar, tensor)",
                             "result_type(scalar1, scalar2)")


def get_default_dtype():
    """The dtype of floating numbers that no tensor says: flow.float32 at first."""
    return _C.get_default_dtype()


def set_default_dtype(d):
    """Makes `d` the dtype of tensors that are made of floating numbers, or without a dtype, and of
    floating numbers beside integer tensors. Graphs that were traced under another one trace anew.
    """
    if _C.is_tracing():
        raise RuntimeError("[set_default_dtype] called inside build() of a graph, where it would "
                           f"run once and not in every call: got {d!r}; expected it outside of "
                           "build(); use it before the call")
    dtype = _dtype("set_default_dtype", "d", d)
    if not dtype.is_floating_point or dtype.name.startswith("float8"):
        raise TypeMismatchError(
            "[set_default_dtype] only floating-point types are supported as the "
            f"default type: got {dtype.name}; expected flow.float32, flow.float64, "
            "flow.float16 or flow.bfloat16")
    _C.set_default_dtype(dtype)
