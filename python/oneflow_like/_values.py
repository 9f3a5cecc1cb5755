"""Functions whose answer is no tensor, or as large as their operands' values say.

Of global tensors they are collective; inside build() of a graph they are refused.
"""

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError

__all__ = ["allclose", "bincount", "equal", "nonzero", "numel"]


def _method(function):
    setattr(Tensor, function.__name__, function)
    return function


def _tensors(name, **given):
    for argument, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeMismatchError(
                f"[{name}] argument '{argument}' must be Tensor, not "
                f"{type(value).__name__}; expected a Tensor; use flow.tensor(value)")


def _answer(name, tensor):
    if _C.is_tracing():
        raise RuntimeError(f"[{name}] the answer depends on values, which a graph does not know "
                           "when it is compiled: got a call inside build(); expected one outside")
    return tensor.item()


@_method
def equal(input, other):
    """Whether both have one shape and the same values, as a bool. NaN equals nothing."""
    _tensors("equal", input=input, other=other)
    if tuple(input.shape) != tuple(other.shape):
        return False
    return _answer("equal", _C.all(_C.eq(input.detach(), other.detach())))


@_method
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input - other| <= atol + rtol * |other| everywhere, as a bool.

    Infinite values are close to themselves alone; NaN to nothing, or (equal_nan) to NaN.
    """
    _tensors("allclose", input=input, other=other)
    if input.dtype is not other.dtype:
        raise TypeMismatchError(
            f"[allclose] dtypes differ: got {input.dtype.name} and {other.dtype.name}; "
            "expected one dtype; convert with .to(dtype)")
    if not (rtol >= 0 and atol >= 0):
        raise InvalidArgumentError(
            f"[allclose] a tolerance is negative: got rtol={rtol}, atol={atol}; "
            "expected rtol >= 0 and atol >= 0")
    x, y = input.detach(), other.detach()
    if not (x.dtype.is_floating_point or x.dtype.name.startswith("complex")):
        x, y = x.to(_C.float64), y.to(_C.float64)
    size = _C.abs(y)
    close = _C.logical_and(_C.abs(x - y) <= size * rtol + atol, size < float("inf"))
    close = _C.logical_or(close, _C.eq(x, y))
    if equal_nan:
        close = _C.logical_or(close, _C.logical_and(_C.ne(x, x), _C.ne(y, y)))
    return _answer("allclose", _C.all(close))


def numel(input):
    """How many elements a tensor has."""
    _tensors("numel", input=input)
    return input.numel()


@_method
def bincount(input, weights=None, minlength=0):
    """How often each number from 0 to the largest (at least minlength of them) stands in a vector.

    With weights the sums of those beside each number, in float32 or else in float64.
    """
    _tensors("bincount", input=input, **({} if weights is None else {"weights": weights}))
    if isinstance(minlength, bool) or not isinstance(minlength, int) or minlength < 0:
        raise InvalidArgumentError(
            f"[bincount] minlength is no count: got {minlength!r}; expected an int "
            ">= 0")
    size = minlength
    if input.numel() > 0:
        least, most = (_answer("bincount", y) for y in _C.aminmax(input.detach()))
        if least < 0:
            raise InvalidArgumentError(
                f"[bincount] the numbers must not be negative: got {least}; expected "
                "whole numbers >= 0")
        size = max(size, int(most) + 1)
    if weights is not None and input.numel() == 0:
        weights = None  # as in torch: what counts nothing is int64
    if weights is not None:
        weights = weights.detach()
        if weights.dtype is not _C.float32:
            weights = weights.to(_C.float64)
    return _C.bincount_sized(input.detach(), weights, size=size)


@_method
def nonzero(input, *, as_tuple=False, out=None):
    """The indices of the elements that are not zero: int64 of shape (count, axes), in the order of
    the elements; with as_tuple one vector for each axis."""
    _tensors("nonzero", input=input)
    if not isinstance(as_tuple, bool):
        raise TypeMismatchError(f"nonzero(): argument 'as_tuple' must be bool, not "
                                f"{type(as_tuple).__name__}")
    if not as_tuple:
        return _C.nonzero(input, out=out)
    if out is not None:
        raise TypeMismatchError(
            "[nonzero] out= takes one tensor: got as_tuple=True; expected one of them")
    return _C.where(input)
