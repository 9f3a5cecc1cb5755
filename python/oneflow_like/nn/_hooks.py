"""Hooks of modules: before and after forward, and on the gradients that pass through a module."""

from .. import _C
from .._C import TypeMismatchError
from ..autograd.function import Function


class HookHandle:
    """Removes its hook again; may be used as a context."""

    def __init__(self, hooks, key):
        self._hooks = hooks
        self._key = key

    def remove(self):
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Hook:
    """A function with the way in which it is called."""

    __slots__ = ("always_call", "function", "with_kwargs")

    def __init__(self, function, with_kwargs=False, always_call=False):
        self.function, self.with_kwargs, self.always_call = function, with_kwargs, always_call


def add(name, hooks, hook, prepend=False):
    if not callable(hook.function):
        raise TypeMismatchError(f"[{name}] expected a function, not {type(hook.function).__name__}")
    key = object()
    hooks[key] = hook
    if prepend:
        hooks.move_to_end(key, last=False)
    return HookHandle(hooks, key)


def call(module, args, kwargs):
    """module.forward with all its hooks around it."""
    pending = [h for h in module._forward_hooks.values() if h.always_call]
    try:
        for hook in tuple(module._forward_pre_hooks.values()):
            args, kwargs = _before(module, hook, args, kwargs)
        gradients = None
        if module._backward_hooks or module._backward_pre_hooks:
            gradients = _Gradients(module)
            args = gradients.enter(args)
        result = module.forward(*args, **kwargs)
        for hook in tuple(module._forward_hooks.values()):
            if hook in pending:
                pending.remove(hook)
            result = _after(module, hook, args, kwargs, result)
        return result if gradients is None else gradients.leave(result)
    except Exception:
        for hook in pending:  # the error that is under way is the one to be raised
            try:
                _after(module, hook, args, kwargs, None)
            except Exception:
                continue
        raise


def _before(module, hook, args, kwargs):
    if not hook.with_kwargs:
        changed = hook.function(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs
    changed = hook.function(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, "
                           f"new_kwargs), but got {changed!r}.")
    return changed


def _after(module, hook, args, kwargs, result):
    given = (args, kwargs, result) if hook.with_kwargs else (args, result)
    changed = hook.function(module, *given)
    return result if changed is None else changed


class _Point(Function):
    """Tensors as they are; what their gradients are replaced by says a function."""

    @staticmethod
    def forward(ctx, seen, *tensors):
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx, *grads):
        return (None, *ctx.seen(grads))


class _Gradients:
    """The gradients of one call of a module: of its results, and then of its arguments."""

    def __init__(self, module):
        if _C.is_tracing():
            raise NotImplementedError(
                "[register_full_backward_hook] a module with a hook on its gradients inside "
                "build() of a graph, whose gradients belong to the plan: got "
                f"{type(module).__name__}; expected none; remove() it, or call it outside graphs")
        self._module = module
        self._hooks = tuple(module._backward_hooks.values())
        self._pre_hooks = tuple(module._backward_pre_hooks.values())
        self._of_results = None
        self._places = None  # of the arguments whose gradients will come
        self._count = 0

    def enter(self, args):
        args, self._places = self._passed(args, self._at_arguments)
        self._count = len(args)
        return args

    def leave(self, result):
        if isinstance(result, _C.Tensor):
            return self._passed((result,), self._at_results)[0][0]
        if not isinstance(result, tuple):
            raise TypeMismatchError(
                "[register_full_backward_hook] the result has no gradients to show: "
                f"got {type(result).__name__} of {type(self._module).__name__}; "
                "expected a Tensor or a tuple of Tensors")
        results, _ = self._passed(result, self._at_results)
        return results if type(result) is tuple else type(result)(*results)

    @staticmethod
    def _passed(values, seen):
        """The values with their tensors behind a point, and where these stand; None: nowhere."""
        places = [i for i, v in enumerate(values) if isinstance(v, _C.Tensor)]
        recorded = _C.is_grad_enabled() and any(values[i].requires_grad for i in places)
        if not recorded:
            return values, None
        count = len(values)

        def whole(grads):
            row = [None] * count
            for place, grad in zip(places, grads, strict=True):
                row[place] = grad
            row = seen(tuple(row))
            return [row[place] for place in places]

        made = _Point.apply(whole, *[values[i] for i in places])
        values = list(values)
        for place, value in zip(places, made, strict=True):
            values[place] = value
        return tuple(values), places

    def _at_results(self, grads):
        for hook in self._pre_hooks:
            given = hook.function(self._module, grads)
            if given is not None:
                grads = self._of_one_length("Backward pre hook", given, grads, "grad_output")
        self._of_results = grads
        if self._places is None:  # no argument has a gradient
            for hook in self._hooks:
                given = hook.function(self._module, (None,) * self._count, grads)
                if given is not None and any(g is not None for g in given):
                    raise RuntimeError("Backward hook for Modules where no input requires gradient "
                                       "should always return None or None for all gradients.")
        return grads

    def _at_arguments(self, grads):
        if self._of_results is None:  # the results took no part
            return grads
        for hook in self._hooks:
            given = hook.function(self._module, grads, self._of_results)
            if given is not None:
                grads = self._of_one_length("Backward hook", given, grads, "grad_input")
        self._of_results = None
        return grads

    @staticmethod
    def _of_one_length(who, given, grads, what):
        given = given if isinstance(given, tuple) else (given,)
        if len(given) != len(grads):
            raise RuntimeError(f"{who} returned an invalid number of {what}, got {len(given)}, "
                               f"but expected {len(grads)}")
        return given
