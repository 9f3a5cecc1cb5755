"""Functions of neural networks, with torch's names: those that the registry shows here.

Written here are those alone that call a function of the caller's or need values on the host; and
multi_head_attention_forward, beside this file.
"""

from .. import _C
from .._absent import getter as _getter
from .._functions import of as _of
from .._values import _answer
from ._attention import multi_head_attention_forward

globals().update(_of("nn.functional"))
__all__ = list(_of("nn.functional")) + [
    "multi_head_attention_forward", "one_hot", "triplet_margin_with_distance_loss"]


def one_hot(tensor, num_classes=-1):
    """int64 rows with a 1 at the class that `tensor` names; -1 classes: as many as it names."""
    if num_classes == -1 and isinstance(tensor, _C.Tensor) and tensor.dtype is _C.int64:
        if tensor.numel() == 0:
            raise RuntimeError("[one_hot] an empty tensor names no class: got num_classes=-1; "
                               "expected a positive number of classes")
        num_classes = int(_answer("one_hot", _C.amax(tensor))) + 1
        if num_classes < 1:
            raise RuntimeError(f"[one_hot] a class is negative: got {num_classes - 1}; expected "
                               "class indices of at least 0")
    return _C.one_hot(tensor, num_classes)


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None,
                                      margin=1.0, swap=False, reduction="mean"):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for a distance of the caller's.

    distance_function: of two tensors (None: pairwise_distance); swap: the negative's smaller
    distance from both others counts.
    """
    if reduction not in ("mean", "sum", "none"):
        raise _C.InvalidArgumentError(
            f"[triplet_margin_with_distance_loss] got reduction={reduction!r}; "
            "expected 'mean', 'sum' or 'none'")
    if margin <= 0:
        raise _C.InvalidArgumentError(
            f"[triplet_margin_with_distance_loss] got margin={margin}; expected more "
            "than 0")
    if not all(isinstance(x, _C.Tensor) for x in (anchor, positive, negative)):
        raise _C.TypeMismatchError(
            "[triplet_margin_with_distance_loss] an operand is no tensor: got "
            f"{type(anchor).__name__}, {type(positive).__name__}, "
            f"{type(negative).__name__}; expected tensors")
    ranks = [x.ndim for x in (anchor, positive, negative)]
    if len(set(ranks)) > 1:
        raise RuntimeError("[triplet_margin_with_distance_loss] the operands have different "
                           f"numbers of axes: got {ranks}; expected one number")
    distance = _C.pairwise_distance if distance_function is None else distance_function
    apart = distance(anchor, negative)
    if swap:
        apart = _C.minimum(apart, distance(positive, negative))
    losses = _C.clamp(distance(anchor, positive) - apart + margin, min=0)
    return losses if reduction == "none" else getattr(_C, reduction)(losses)


__getattr__ = _getter("nn.functional", globals())
