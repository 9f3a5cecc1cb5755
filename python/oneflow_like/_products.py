"""Functions whose arguments no signature says: axes as lists in lists, or in between operands."""

import operator

from . import _C
from ._C import InvalidArgumentError, Tensor, TypeMismatchError

__all__ = ["einsum", "tensordot"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _subscripts(axes):
    """The letters of a list of axes, numbers below 52 and Ellipsis."""
    text = ""
    for axis in axes:
        if axis is Ellipsis:
            text += "..."
            continue
        number = operator.index(axis)
        if not 0 <= number < len(_LETTERS):
            raise InvalidArgumentError(
                f"[einsum] a subscript is out of range: got {number}; expected 0 to "
                f"{len(_LETTERS) - 1}, or Ellipsis")
        text += _LETTERS[number]
    return text


def _lettered(arguments):
    """(equation, operands) of operands with the lists of their axes behind them."""
    pairs = 2 * (len(arguments) // 2)
    for axes in (*arguments[1:pairs:2], *arguments[pairs:]):
        if not isinstance(axes, (list, tuple)):
            raise TypeMismatchError(
                f"[einsum] no list of axes: got {type(axes).__name__}; expected a list "
                "of numbers behind each operand")
    equation = ",".join(_subscripts(axes) for axes in arguments[1:pairs:2])
    if len(arguments) % 2:
        equation += "->" + _subscripts(arguments[-1])
    return equation, arguments[0:pairs:2]


def einsum(equation, *operands):
    """Sums of products by Einstein's convention: a letter for each axis of each operand, '...' for
    axes that broadcast; letters that the output lacks are summed over. Without '->' the output has
    the letters that stand once, in the order of the alphabet.

    einsum(operand, axes, operand, axes, ..., output_axes): lists of numbers in place of letters.
    """
    if not operands:
        raise InvalidArgumentError(
            "[einsum] no operand: got one argument; expected the equation and at "
            "least one operand")
    if isinstance(equation, Tensor):
        equation, operands = _lettered((equation, *operands))
    elif not isinstance(equation, str):
        raise TypeMismatchError("einsum(): argument 'equation' (position 1) must be str, not "
                                f"{type(equation).__name__}")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return _C._einsum(equation, *operands)


def tensordot(a, b, dims=2, out=None):
    """The sums of products over axes of both: the last `dims` of a and the first of b, or pairs of
    axes, a list of a's and a list of b's."""
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, Tensor):
            raise TypeMismatchError(f"tensordot(): argument '{name}' must be Tensor, not "
                                    f"{type(value).__name__}")
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (list, tuple)) and len(dims) == 2:
        over_a, over_b = (list(d) if isinstance(d, (list, tuple)) else [operator.index(d)]
                          for d in dims)
    else:
        count = operator.index(dims[0] if isinstance(dims, (list, tuple)) and len(dims) == 1
                               else dims)
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise InvalidArgumentError(
                f"[tensordot] no such number of axes: got dims={count} of {a.ndim} "
                f"and {b.ndim}; expected 0 to {min(a.ndim, b.ndim)}")
        over_a, over_b = list(range(a.ndim - count, a.ndim)), list(range(count))
    return _C._tensordot(a, b, over_a, over_b, out=out)
