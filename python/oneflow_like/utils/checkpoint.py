"""Activation checkpointing: results are computed again in backward instead of being kept.

Source: T. Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
"""

import contextlib

from .. import _C
from .._C import InvalidArgumentError
from ..autograd.function import Function
from .._random import get_rng_state, set_rng_state
from ..autograd import backward, enable_grad

__all__ = ["checkpoint", "checkpoint_sequential"]


def _check_same(results, grads):
    """Refuses a function that does not give in backward what it gave before."""
    if len(results) != len(grads):
        raise RuntimeError(f"[checkpoint] the function gave another number of results when it was "
                           f"run again in backward: got {len(results)}; expected {len(grads)}")
    for number, (result, grad) in enumerate(zip(results, grads, strict=True)):
        if grad is not None and isinstance(result, _C.Tensor) and (
                result.shape != grad.shape or result.dtype is not grad.dtype):
            raise RuntimeError(
                f"[checkpoint] the function gave another result {number} when it was run again in "
                f"backward: got {result.dtype.name}{list(result.shape)}; expected "
                f"{grad.dtype.name}{list(grad.shape)}; a function that depends on what changes "
                "cannot be checkpointed")


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx, run, checks, preserve_rng_state, _anchor, *args):
        ctx.run = run
        ctx.checks = checks
        ctx.state = get_rng_state() if preserve_rng_state else None
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, _C.Tensor)]
        ctx.rest = [None if isinstance(a, _C.Tensor) else a for a in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        result = run(*args)
        ctx.kinds = _kinds(result)
        return result

    @staticmethod
    def backward(ctx, *grads):
        if _C.is_grad_enabled():
            raise RuntimeError("[checkpoint] create_graph=True through a checkpoint: got a "
                               "backward that is recorded; expected one that is not; leave the "
                               "checkpoint out where gradients are differentiated again")
        args = list(ctx.rest)
        for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[place] = tensor.detach().requires_grad_(ctx.needs_input_grad[place + 4])
        before = get_rng_state()
        if ctx.state is not None:
            set_rng_state(ctx.state)
        try:
            with enable_grad():
                results = ctx.run(*args)
        finally:
            if ctx.state is not None:
                set_rng_state(before)
        if ctx.checks and _kinds(results) != ctx.kinds:
            raise RuntimeError("[checkpoint] the second run gives other tensors than the first: "
                               f"got {_kinds(results)}; expected {ctx.kinds}; "
                               "determinism_check='none' leaves this open")
        results = results if isinstance(results, tuple) else (results,)
        _check_same(results, grads)
        pairs = [(r, g) for r, g in zip(results, grads, strict=True)
                 if isinstance(r, _C.Tensor) and r.requires_grad]
        if not pairs:
            raise RuntimeError("[checkpoint] none of output has requires_grad=True, this "
                               "checkpoint() is not necessary: got no result with a gradient when "
                               "the function was run again; expected one")
        backward([r for r, _ in pairs], [g for _, g in pairs])
        found = (a.grad if isinstance(a, _C.Tensor) else None for a in args)
        return (None, None, None, None, *found)


def _kinds(results):
    results = results if isinstance(results, tuple) else (results,)
    return [(tuple(r.shape), r.dtype.name) for r in results if isinstance(r, _C.Tensor)]


def checkpoint(function, *args, use_reentrant=True, context_fn=None, determinism_check="default",
               debug=False, early_stop=True, preserve_rng_state=True, **kwargs):
    """function(*args, **kwargs), computed again in backward: its intermediate results are not kept.

    Gradients reach parameters inside `function` and the tensors among `args`; with
    `use_reentrant=True` at least one of these must require grad. With `preserve_rng_state` the
    second run draws the same random numbers. `context_fn` gives a context for each of the two runs;
    `determinism_check` compares shapes and dtypes of their results ("default") or not ("none").
    The second run always goes to its end, whatever `early_stop` says.
    """
    if determinism_check not in ("default", "none"):
        raise InvalidArgumentError(
            f"[checkpoint] determinism_check: got {determinism_check!r}; expected "
            "'default' or 'none'")
    if debug:
        raise NotImplementedError("[checkpoint] got debug=True; expected False; use "
                                  "autograd.detect_anomaly() to see the lines of forward")
    if context_fn is not None and use_reentrant:
        raise InvalidArgumentError(
            "[checkpoint] context_fn is for use_reentrant=False, as in PyTorch: got "
            "use_reentrant=True; use use_reentrant=False")
    for name, value in kwargs.items():
        if isinstance(value, _C.Tensor) and value.requires_grad:
            raise InvalidArgumentError(
                f"[checkpoint] a tensor that requires grad is a keyword argument: got "
                f"{name}; expected it among the positional ones")
    if _C.is_tracing():
        return function(*args, **kwargs)  # a plan's memory is planned by the compiler

    contexts = iter(context_fn() if context_fn is not None else ())

    def run(*given):
        with next(contexts, contextlib.nullcontext()):
            return function(*given, **kwargs)

    tensors = [a for a in args if isinstance(a, _C.Tensor)]
    anchor = None
    if _C.is_grad_enabled() and not any(t.requires_grad for t in tensors):
        if use_reentrant:
            raise RuntimeError("[checkpoint] no argument requires grad: got a call whose gradients "
                               "would be lost; expected at least one tensor with "
                               "requires_grad=True; use_reentrant=False does without")
        anchor = _C.zeros(0, requires_grad=True)  # what is recorded hangs on it
    return _Checkpoint.apply(run, determinism_check == "default", preserve_rng_state, anchor, *args)


def checkpoint_sequential(functions, segments, input, use_reentrant=True, preserve_rng_state=True):
    """A sequence of functions in `segments` checkpoints; the last segment keeps its results."""
    functions = list(functions)
    valid = isinstance(segments, int) and 1 <= segments <= len(functions)
    if not valid:
        raise InvalidArgumentError(
            f"[checkpoint_sequential] got {segments} segments of {len(functions)} "
            "functions; expected between 1 and as many as there are functions")
    size = len(functions) // segments

    def run(part):
        def call(x):
            for function in part:
                x = function(x)
            return x
        return call

    for begin in range(0, size * (segments - 1), size):
        input = checkpoint(run(functions[begin:begin + size]), input, use_reentrant=use_reentrant,
                           preserve_rng_state=preserve_rng_state)
    return run(functions[size * (segments - 1):])(input)
