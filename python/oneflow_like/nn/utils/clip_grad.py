"""Clipping by the norm of all gradients together, local and global ones alike."""

import math

from ... import _C
from ..._C import InvalidArgumentError, TypeMismatchError
from ..._functions import full
from ...autograd import no_grad
from .._watch import refuse_in_build
from ..module import everywhere


def _power_sum(grad, norm_type):
    """What merges into the norm, of one gradient, as a scalar of the gradient's placement.

    Σ|g|^p; max|g| and min|g| for p = ±∞; for p = 0, as in torch, 1 unless the gradient is all 0.
    """
    if grad.is_global and any(s.is_partial() for s in grad.sbp):
        grad = grad.to_global(sbp=[_C.sbp.broadcast if s.is_partial() else s for s in grad.sbp])
    if grad.dtype in (_C.float16, _C.bfloat16):
        grad = grad.to(_C.float32)  # a half type ends at squares of 256
    if norm_type == 2.0 and grad.dtype.is_floating_point:
        return (grad * grad).sum()
    size = grad.abs()
    if norm_type == 0.0:
        return ((size != 0).to(size.dtype).sum() > 0).to(size.dtype)
    if math.isinf(norm_type):
        return size.amax() if norm_type > 0 else size.amin()
    return (size if norm_type == 1.0 else size ** norm_type).sum()


def _merge(a, b, norm_type):
    if math.isinf(norm_type):
        return _C.maximum(a, b) if norm_type > 0 else _C.minimum(a, b)
    return a + b


def _by_placement(grads, norm_type):
    """One replicated partial result a placement, in order of first appearance."""
    merged = {}
    for grad in grads:
        key = grad.placement if grad.is_global else None
        part = _power_sum(grad, norm_type)
        merged[key] = part if key not in merged else _merge(merged[key], part, norm_type)
    return {key: part if key is None else part.to_global(sbp=everywhere(key))
            for key, part in merged.items()}


def get_total_norm(tensors, norm_type=2.0):
    """The norm of all tensors together: exact and logical, whatever their layouts.

    With global tensors this is collective; the result is replicated over their placement, or over
    all ranks when there are several.
    """
    tensors = list(tensors)
    norm_type = float(norm_type)
    if math.isnan(norm_type):
        raise InvalidArgumentError(
            "[get_total_norm] norm_type is no number: got nan; expected for example "
            "2.0 or math.inf")
    with no_grad():
        if not tensors:
            return full((), 0.0)
        parts = _by_placement(tensors, norm_type)
        if len(parts) > 1:
            if None in parts:
                raise InvalidArgumentError(
                    "[clip_grad_norm_] got local and global gradients together; "
                    "expected all of one kind: use model.to_global(...) for the rest")
            world = _C.placement.all("cpu")
            parts = {key: part.to_global(placement=world, sbp=everywhere(world))
                     for key, part in parts.items()}
        total = None
        for part in parts.values():
            total = part if total is None else _merge(total, part, norm_type)
        if norm_type == 2.0:
            return total.sqrt()
        if norm_type in (0.0, 1.0) or math.isinf(norm_type):
            return total
        return total ** (1.0 / norm_type)


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scales all gradients so that their joint norm is at most max_norm; returns the norm before.

    Collective when the gradients are global.
    """
    refuse_in_build("clip_grad_norm_", "a group of the graph's optimizer with clip_grad_max_norm: "
                    "flow.optim.SGD([{'params': ..., 'clip_grad_max_norm': 1.0}])")
    if isinstance(parameters, _C.Tensor):
        parameters = [parameters]
    parameters = list(parameters)
    for parameter in parameters:
        if not isinstance(parameter, _C.Tensor):
            raise TypeMismatchError(
                f"[clip_grad_norm_] parameters: got {type(parameter).__name__}; "
                "expected Tensors, for example model.parameters()")
    grads = [p.grad for p in parameters if p.grad is not None]
    total = get_total_norm(grads, norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(f"The total norm of order {float(norm_type)} for gradients from "
                           "`parameters` is non-finite, so it cannot be clipped.")
    with no_grad():
        factor = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
        by_placement = {}
        for grad in grads:
            key = grad.placement if grad.is_global else None
            if key not in by_placement:
                by_placement[key] = (factor if key is None else
                                     factor.to_global(placement=key, sbp=everywhere(key)))
            grad.mul_(by_placement[key])
    return total
