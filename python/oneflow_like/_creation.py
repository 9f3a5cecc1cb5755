"""Tensors of Python's and NumPy's objects. What makes tensors of shapes is an operator."""

import math

import numpy as np

from . import _C

_NUMPY_NAMES = {"float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool",
                "complex64", "complex128"}


_OF_PYTHON = {float: _C.float64, int: _C.int64, bool: _C.bool, complex: _C.complex128}


def dtype_from(given):
    """A dtype, or the one that a type of Python's stands for; None stays."""
    if given is None or isinstance(given, _C.dtype):
        return given
    if isinstance(given, type) and given in _OF_PYTHON:
        return _OF_PYTHON[given]
    got = given.__name__ if isinstance(given, type) else type(given).__name__
    raise TypeError(f"[tensor] argument 'dtype' must be oneflow_like.dtype, not {got}; expected "
                    "for example flow.float32")


def _refuse_what_does_not_fit(array, dtype):
    """As in torch a fraction is cut off, but what an integer dtype cannot hold is an error."""
    if array.dtype.kind == "c" and not dtype.name.startswith("complex") and dtype is not _C.bool:
        raise TypeError(f"[tensor] complex numbers do not fit: got data of NumPy dtype "
                        f"{array.dtype} for dtype {dtype.name}; expected real numbers; use "
                        "data.real, or dtype=flow.complex64")
    if array.size == 0 or array.dtype.kind not in "iufO" or not dtype.name.lstrip("u").startswith(
            "int"):
        return
    bounds = np.iinfo(dtype.name)
    for value in (array.min(), array.max()):  # either is NaN where any is
        whole = int(value) if np.isfinite(float(value)) else math.nan
        if not bounds.min <= whole <= bounds.max:
            raise ValueError(f"[tensor] a number does not fit into dtype {dtype.name}: got "
                             f"{value}; expected {bounds.min} to {bounds.max}")


def _to_array(data, dtype):
    if isinstance(data, _C.Tensor):
        raise TypeError("[tensor] got a Tensor; expected numbers, nested lists or a NumPy array; "
                        "use x.detach() or x.to_global(...) on a tensor")
    from_python = not isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"[tensor] the nested list is not rectangular: {error}") from None
    if dtype is not None:
        _refuse_what_does_not_fit(array, dtype)
        return array.astype(dtype.name if dtype.name in _NUMPY_NAMES else np.float64)
    if from_python and array.dtype in (np.float64, np.complex128):
        # Python's floats take the default dtype, as in torch; its complex numbers hold two.
        array = array.astype(np.float32 if array.dtype == np.float64 else np.complex64)
    if array.dtype.name not in _NUMPY_NAMES:
        raise TypeError(f"[tensor] got data of NumPy dtype {array.dtype}; expected one of "
                        f"{', '.join(sorted(_NUMPY_NAMES))}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def tensor(data, *, dtype=None, placement=None, sbp=None, requires_grad=False):
    """A tensor with a copy of `data`: numbers, nested lists or a NumPy array.

    With placement and sbp the data is the logical value, given equally on every rank.
    """
    if (placement is None) != (sbp is None):
        raise ValueError(f"[tensor] got placement={placement}, sbp={sbp}; expected both for a "
                         "global tensor or neither for a local one")
    dtype = dtype_from(dtype)
    value = _C.from_numpy(np.array(_to_array(data, dtype), order="C"), dtype)
    if placement is not None:
        sbp = tuple(sbp) if isinstance(sbp, (list, tuple)) else (sbp,)
        value = value.to_global(placement=placement, sbp=[_C.sbp.broadcast] * len(sbp))
        value = value.to_global(sbp=sbp)
    if requires_grad:
        value.requires_grad = True
    return value


def from_numpy(array):
    """A local tensor with a copy of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    return tensor(array)
