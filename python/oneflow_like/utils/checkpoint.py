"""Activation checkpointing: results are computed again in backward instead of being kept.

Source: T. Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
"""

from .. import _C
from .._autograd_function import Function
from .._random import get_rng_state, set_rng_state
from ..autograd import backward, enable_grad

__all__ = ["checkpoint", "checkpoint_sequential"]


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx, run, preserve_rng_state, *args):
        ctx.run = run
        ctx.state = get_rng_state() if preserve_rng_state else None
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, _C.Tensor)]
        ctx.rest = [None if isinstance(a, _C.Tensor) else a for a in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return run(*args)

    @staticmethod
    def backward(ctx, *grads):
        if _C.is_grad_enabled():
            raise RuntimeError("[checkpoint] create_graph=True through a checkpoint: got a "
                               "backward that is recorded; expected one that is not; leave the "
                               "checkpoint out where gradients are differentiated again")
        args = list(ctx.rest)
        for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[place] = tensor.detach().requires_grad_(ctx.needs_input_grad[place + 2])
        before = get_rng_state()
        if ctx.state is not None:
            set_rng_state(ctx.state)
        try:
            with enable_grad():
                results = ctx.run(*args)
        finally:
            if ctx.state is not None:
                set_rng_state(before)
        results = results if isinstance(results, tuple) else (results,)
        pairs = [(r, g) for r, g in zip(results, grads, strict=True)
                 if isinstance(r, _C.Tensor) and r.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not "
                               "necessary")
        backward([r for r, _ in pairs], [g for _, g in pairs])
        return (None, None, *(a.grad if isinstance(a, _C.Tensor) else None for a in args))


def checkpoint(function, *args, use_reentrant=True, preserve_rng_state=True, **kwargs):
    """function(*args, **kwargs), computed again in backward: its intermediate results are not kept.

    Gradients reach parameters inside `function` and the tensors among `args`; at least one of these
    must require grad. With `preserve_rng_state` the second run draws the same random numbers.
    Both values of `use_reentrant` run alike.
    """
    for name, value in kwargs.items():
        if isinstance(value, _C.Tensor) and value.requires_grad:
            raise ValueError(f"[checkpoint] a tensor that requires grad is a keyword argument: got "
                             f"{name}; expected it among the positional ones")
    if _C.is_tracing():
        return function(*args, **kwargs)  # a plan's memory is planned by the compiler

    def run(*given):
        return function(*given, **kwargs)

    tensors = [a for a in args if isinstance(a, _C.Tensor)]
    if _C.is_grad_enabled() and not any(t.requires_grad for t in tensors):
        raise RuntimeError("[checkpoint] no argument requires grad: got a call whose gradients "
                           "would be lost; expected at least one tensor with requires_grad=True")
    return _Checkpoint.apply(run, preserve_rng_state, *args)


def checkpoint_sequential(functions, segments, input, use_reentrant=True, preserve_rng_state=True):
    """A sequence of functions in `segments` checkpoints; the last segment keeps its results."""
    functions = list(functions)
    size = len(functions) // segments
    if segments < 1 or size < 1:
        raise ValueError(f"[checkpoint_sequential] got {segments} segments of {len(functions)} "
                         "functions; expected between 1 and as many as there are functions")

    def run(part):
        def call(x):
            for function in part:
                x = function(x)
            return x
        return call

    for begin in range(0, size * (segments - 1), size):
        input = checkpoint(run(functions[begin:begin + size]), input,
                           preserve_rng_state=preserve_rng_state)
    return run(functions[size * (segments - 1):])(input)
