"""Functions of neural networks, with torch's names: those that the registry shows here."""

from .. import _C

__all__ = list(_C.nn_functions)
globals().update({name: getattr(_C, name) for name in __all__})
