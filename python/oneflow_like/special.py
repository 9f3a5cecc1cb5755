"""Special functions, with torch's names: those that the registry shows here."""

from ._functions import of as _of

globals().update(_of("special"))
__all__ = list(_of("special"))
