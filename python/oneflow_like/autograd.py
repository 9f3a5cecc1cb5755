"""Gradient mode: no_grad, enable_grad, set_grad_enabled as contexts and decorators."""

import contextlib
import threading

from . import _C

is_grad_enabled = _C.is_grad_enabled


class _Stack(threading.local):
    def __init__(self):
        self.modes = []


class _GradMode(contextlib.ContextDecorator):
    """Sets the thread's gradient mode and restores the previous one.

    May be nested, and shared by threads, as a decorated function is: each restores its own mode.
    """

    def __init__(self, mode):
        self._mode = mode
        self._previous = _Stack()

    def __enter__(self):
        self._previous.modes.append(_C.is_grad_enabled())
        _C.set_grad_enabled(self._mode)
        return self

    def __exit__(self, *_):
        _C.set_grad_enabled(self._previous.modes.pop())
        return False


def _usable_bare(mode, name, doc):
    """`with f():`, `@f()` and `@f`."""
    def make(function=None):
        context = _GradMode(mode)
        return context if function is None else context(function)
    make.__name__ = make.__qualname__ = name
    make.__doc__ = doc
    return make


no_grad = _usable_bare(False, "no_grad", "Operations inside record no gradient.")
enable_grad = _usable_bare(True, "enable_grad", "Operations inside record gradients again.")


class set_grad_enabled(_GradMode):
    """Sets the mode at once, as in torch.

    As a context it restores the previous mode; as a decorator it sets it for the function alone.
    """

    def __init__(self, mode):
        super().__init__(bool(mode))
        super().__enter__()
        self._entered = True

    def __enter__(self):
        if not self._entered:
            return super().__enter__()
        self._entered = False
        _C.set_grad_enabled(self._mode)
        return self

    def __call__(self, function):
        if self._entered:
            self._entered = False
            self.__exit__()
        return _GradMode(self._mode)(function)
