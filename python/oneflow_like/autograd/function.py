"""Functions with a backward of the user's own, and hooks on gradients."""

import functools

from .. import _C
from .._C import Tensor, TypeMismatchError
from .._absent import getter as _getter

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What forward leaves for backward."""

    def __init__(self):
        self._to_save = ()
        self._dirty = ()
        self._not_differentiable = ()
        self._materialize = True
        self._saved = None
        self._kept = None
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        """Keeps tensors for backward, where they are `saved_tensors`; None is kept as None."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeMismatchError(
                    "save_for_backward can only save variables, but argument is of "
                    f"type {type(tensor).__name__}; expected a Tensor or None; set an "
                    "attribute of ctx for anything else")
        self._to_save = tensors

    def save_for_forward(self, *tensors):
        """Nothing: what is kept so is for jvp, the forward mode, which nothing asks for here."""

    def mark_dirty(self, *tensors):
        """Says which inputs forward has changed in place; it returns them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors):
        """Says through which results no gradient flows."""
        self._not_differentiable = tensors

    def set_materialize_grads(self, value):
        """False: a result that got no gradient gives None to backward instead of zeros."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self):
        if self._saved is None:
            raise RuntimeError(f"[{type(self).__name__}] saved_tensors outside backward: nothing "
                               "is saved yet, or the graph was freed; use "
                               "backward(retain_graph=True) the first time")
        for tensor, version in self._saved:
            if tensor is not None and tensor._version != version:
                raise RuntimeError(
                    f"[{type(self).__name__}] one of the variables needed for gradient computation "
                    f"has been modified by an inplace operation: got {tensor._describe()} at "
                    f"version {tensor._version}{self._kept.story(tensor, version)}; expected "
                    f"version {version}; change a copy instead")
        return tuple(tensor for tensor, _ in self._saved)


def _is_one_of(tensor, others):
    return any(tensor is other for other in others)


class Function:
    """Subclass it with static methods forward(ctx, *args) and backward(ctx, *grads); call apply.

    With setup_context(ctx, inputs, output), forward takes no ctx. backward gives one gradient, or
    None, for each argument of forward; it is recorded itself where create_graph=True asks for that.
    """

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom "
                                  "autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError("You must implement either the backward or vjp method for your "
                                  "custom autograd.Function to use it with backward mode AD.")

    vjp = backward

    def __init__(self, *_args, **_kwargs):
        raise RuntimeError(f"{type(self)} should not be instantiated. Methods on autograd "
                           "functions are all static, so you should invoke them on the class "
                           f"itself: {type(self).__name__}.apply(...)")

    @classmethod
    def apply(cls, *args):
        tensors = [a for a in args if isinstance(a, Tensor)]
        recorded = _C.is_grad_enabled() and any(t.requires_grad for t in tensors)
        if recorded and (_C.is_tracing() or any(t.is_symbolic for t in tensors)):
            raise NotImplementedError(
                f"[{cls.__name__}] a Function of values that require a gradient inside build() of "
                "a graph: got a call while tracing; expected operators alone, whose gradients "
                "belong to the plan; use it outside of graphs, or under no_grad()")
        ctx = type(f"{cls.__name__}Backward", (FunctionCtx,), {})()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        before = _C.is_grad_enabled()
        try:  # what a signal's handler raises may come behind every call
            _C.set_grad_enabled(False)
            if cls.setup_context is not Function.setup_context:
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        finally:
            _C.set_grad_enabled(before)
        if not recorded:
            return output
        outputs = output if isinstance(output, tuple) else (output,)
        made = _record(cls, ctx, args, outputs)
        return made if isinstance(output, tuple) else made[0]


def _record(cls, ctx, args, outputs):
    results = [o for o in outputs if isinstance(o, Tensor)]
    inputs = [a for a in args if isinstance(a, Tensor)]
    for tensor in ctx._dirty:
        if not _is_one_of(tensor, inputs) or not _is_one_of(tensor, results):
            raise RuntimeError(f"[{cls.__name__}] mark_dirty: a tensor is no input that forward "
                               "returns; expected inputs that it changed in place and returns")
    differentiable = [(r.dtype.is_floating_point or r.dtype in (_C.complex64, _C.complex128))
                      and not _is_one_of(r, ctx._not_differentiable) for r in results]
    saved_results = []
    plan = []  # of saved tensors: ("result", its place) or the tensor itself, and its version
    for tensor in ctx._to_save:
        place = next((i for i, r in enumerate(results) if tensor is not None and r is tensor), None)
        if tensor is None:
            plan.append((None, 0))
        elif place is not None and differentiable[place]:
            plan.append((len(saved_results), tensor._version))
            saved_results.append(place)
        else:
            plan.append((_C.history_alias(tensor), tensor._version))
    ctx._to_save = ()
    ctx._kept = _C.KeptAt.now()
    backward = _Backward(cls, ctx, args, plan, [(tuple(r.shape), r) for r in results])
    made = iter(_C.record_function(cls.__name__ + "Backward", backward, inputs, results,
                                   differentiable, [_is_one_of(r, ctx._dirty) for r in results],
                                   saved_results))
    return tuple(next(made) if isinstance(o, Tensor) else o for o in outputs)


def _summed_to(gradient, shape):
    """The gradient of what was repeated to its shape; any other as it is, to be refused."""
    if not isinstance(gradient, Tensor) or tuple(gradient.shape) == shape:
        return gradient
    size = tuple(gradient.shape)
    behind = size[len(size) - len(shape):]
    if len(shape) > len(size) or any(n not in (1, m) for n, m in zip(shape, behind, strict=True)):
        return gradient
    return gradient.sum_to_size(shape)


class _Backward:
    """Called by the tape."""

    def __init__(self, cls, ctx, args, plan, results):
        self._cls, self._ctx, self._plan = cls, ctx, plan
        self._is_tensor = [isinstance(a, Tensor) for a in args]
        self._shapes = [tuple(a.shape) for a in args if isinstance(a, Tensor)]
        self._like = [r.detach() if r.is_global else (shape, r.dtype) for shape, r in results]

    def _zeros(self, place):
        like = self._like[place]
        if isinstance(like, tuple):
            return _C.full(list(like[0]), 0, dtype=like[1])
        return _C.zeros_like(like)

    def __call__(self, results, grads):
        ctx = self._ctx
        ctx._saved = [(results[t] if isinstance(t, int) else t, version)
                      for t, version in self._plan]
        if ctx._materialize:
            grads = [self._zeros(i) if g is None else g for i, g in enumerate(grads)]
        backward = self._cls.backward
        if backward is Function.backward:
            backward = self._cls.vjp
        try:
            given = backward(ctx, *grads)
        finally:
            ctx._saved = None
        given = given if isinstance(given, tuple) else (given,)
        name = self._cls.__name__
        if len(given) < len(self._is_tensor) or any(
                g is not None for g in given[len(self._is_tensor):]):
            raise RuntimeError(f"function {name}Backward returned an incorrect number of gradients "
                               f"(expected {len(self._is_tensor)}, got {len(given)})")
        for number, (g, tensor) in enumerate(zip(given, self._is_tensor, strict=False)):
            if g is not None and not tensor:
                raise RuntimeError(f"function {name}Backward returned a gradient different from "
                                   f"None at position {number + 1}, but the corresponding forward "
                                   "input was not a Variable")
        given = (g for g, tensor in zip(given, self._is_tensor, strict=False) if tensor)
        return tuple(map(_summed_to, given, self._shapes))


class _Twice(Function):
    """Stands behind gradients that cannot be differentiated."""

    @staticmethod
    def forward(ctx, *gradients):
        return tuple(g.detach() for g in gradients)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("[once_differentiable] trying to differentiate twice a function that "
                           "was marked with @once_differentiable: got a gradient of its backward; "
                           "expected the first derivative alone; write backward of operators that "
                           "are recorded, without the mark")


def once_differentiable(backward):
    """Decorates the backward of a Function: it runs unrecorded, and the gradients that it gives
    refuse to be differentiated again."""
    @functools.wraps(backward)
    def unrecorded(ctx, *grads):
        recorded = _C.is_grad_enabled()
        _C.set_grad_enabled(False)
        try:
            given = backward(ctx, *grads)
        finally:
            _C.set_grad_enabled(recorded)
        if not recorded or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return given
        gradients = given if isinstance(given, tuple) else (given,)
        known = [g for g in gradients if g is not None]
        refusing = iter(_Twice.apply(*(g.detach().requires_grad_() for g in known)))
        gradients = tuple(None if g is None else next(refusing) for g in gradients)
        return gradients if isinstance(given, tuple) else gradients[0]
    return unrecorded


def register_hook(self, hook):
    """Calls hook(grad) with every gradient of this tensor; what it returns takes its place."""
    return _C.register_hook(self, hook)


def retain_grad(self):
    """Keeps the gradient of a result in its `grad`; of a leaf it is kept anyway."""
    _C.retain_grad(self)


Tensor.register_hook = register_hook


def register_post_accumulate_grad_hook(self, hook):
    """Calls hook(tensor) whenever a gradient has been accumulated into this leaf's `grad`."""
    return _C.register_post_hook(self, hook)


Tensor.register_post_accumulate_grad_hook = register_post_accumulate_grad_hook
Tensor.retain_grad = retain_grad
Tensor.retains_grad = property(_C.retains_grad, doc="Whether retain_grad() was called on a result.")
__getattr__ = _getter("autograd.function", globals())
