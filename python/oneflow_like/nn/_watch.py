"""Writes that compiled graphs must notice, and calls that build() refuses (docs/graphs.md)."""

import threading
from collections import OrderedDict

from .. import _C

touch = _C.note_write  # says that something was written which a graph may guard


class _Reading(threading.local):
    recorder = None  # notes what tracing reads in this thread


reading = _Reading()


def note_writing(owner, name):
    """Before a plain attribute of a module or graph is set or deleted."""
    if reading.recorder is not None:
        reading.recorder.writing(owner, name)
    touch()


class Watched(OrderedDict):
    """A dictionary whose every change is noted."""

    def __setitem__(self, key, value):
        touch()
        super().__setitem__(key, value)

    def __delitem__(self, key):
        touch()
        super().__delitem__(key)

    def __ior__(self, other):
        self.update(other)
        return self

    def clear(self):
        touch()
        super().clear()

    def move_to_end(self, key, last=True):
        touch()
        super().move_to_end(key, last)

    def pop(self, key, *default):
        touch()
        return super().pop(key, *default)

    def popitem(self, last=True):
        touch()
        return super().popitem(last)

    def setdefault(self, key, default=None):
        touch()
        return super().setdefault(key, default)

    def update(self, *args, **kwargs):
        touch()
        super().update(*args, **kwargs)


def refuse_in_build(call, instead):
    """An effect outside of tensors would happen once, while tracing, and never again."""
    if _C.is_tracing():
        raise RuntimeError(f"[{call}] called inside build() of a graph, where it would run once "
                           "and not in every call; expected it outside of build(); use "
                           f"{instead}")
