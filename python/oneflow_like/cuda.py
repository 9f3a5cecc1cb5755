"""What programs ask of CUDA before they choose a device: here there is none.

Eager tensors lie on the CPU (docs/from_pytorch.md), so that what asks takes its other branch.
"""

from ._absent import getter as _getter

__all__ = ["device_count", "is_available", "is_initialized"]


def is_available():
    """False: no tensor can lie on a CUDA device."""
    return False


def device_count():
    """0, as is_available() says."""
    return 0


def is_initialized():
    """False, as is_available() says."""
    return False


__getattr__ = _getter("cuda", globals())
