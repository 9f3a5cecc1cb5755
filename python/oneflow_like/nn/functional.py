"""Functions of neural networks, with torch's names: those that the registry shows here."""

from .._functions import of as _of

globals().update(_of("nn.functional"))
__all__ = list(_of("nn.functional"))
