"""Operators as flow.<name>: those that the registry shows, as they are there."""

from . import _C

__all__ = list(_C.public_functions)
globals().update({name: getattr(_C, name) for name in __all__})
