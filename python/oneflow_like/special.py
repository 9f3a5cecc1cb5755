"""Special functions, with torch's names: those that the registry shows here."""

from ._absent import getter as _getter
from ._functions import of as _of

globals().update(_of("special"))
__all__ = list(_of("special"))
__getattr__ = _getter("special", globals())
