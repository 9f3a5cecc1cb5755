"""Entering the world and leaving it.

Variables that nobody reads are told at the start. At the end peers hear whether this process is
done or has failed, instead of waiting.
"""

import atexit
import difflib
import os
import sys
import warnings

from . import _C

_reason = ""


def _chain_excepthook():
    previous = sys.excepthook

    def hook(kind, value, traceback):
        global _reason
        _reason = f"{kind.__name__}: {value}"
        previous(kind, value, traceback)

    sys.excepthook = hook


# What we read; docs/architecture.md says what for.
VARIABLES = frozenset({
    "OFL_CHECKSUM", "OFL_CPU_LEVEL", "OFL_DUMP", "OFL_ENDED_FD", "OFL_EPOCH", "OFL_JOB_ID",
    "OFL_LAUNCHER_TERMINAL", "OFL_MEMORY_LIMIT_MIB", "OFL_MIXED_CPUS",
    "OFL_OPERATION_TIMEOUT_S", "OFL_RENDEZVOUS_TIMEOUT_S"})


def _warn_of_unread_variables():
    """A misspelt option must not pass in silence. One process of a machine tells."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    for name in sorted(set(os.environ) - VARIABLES):
        if name.startswith("OFL_"):
            near = difflib.get_close_matches(name, sorted(VARIABLES), 1)
            warnings.warn(f"[env] the variable {name} has no effect: expected one of "
                          f"{', '.join(sorted(VARIABLES))}"
                          + (f"; did you mean {near[0]}?" if near else ""),
                          RuntimeWarning, stacklevel=3)


def install():
    _warn_of_unread_variables()
    _chain_excepthook()
    atexit.register(lambda: _C.shutdown(_reason))
