"""Leaving the world: peers hear whether this process is done or has failed, instead of waiting."""

import atexit
import sys

from . import _C

_reason = ""


def _chain_excepthook():
    previous = sys.excepthook

    def hook(kind, value, traceback):
        global _reason
        _reason = f"{kind.__name__}: {value}"
        previous(kind, value, traceback)

    sys.excepthook = hook


def install():
    _chain_excepthook()
    atexit.register(lambda: _C.shutdown(_reason))
