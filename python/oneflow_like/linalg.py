"""Linear algebra, with torch's names: those that the registry shows here."""

from ._C import InvalidArgumentError as LinAlgError
from ._absent import getter as _getter
from ._functions import of as _of

globals().update(_of("linalg"))
__all__ = list(_of("linalg")) + ["LinAlgError"]
__getattr__ = _getter("linalg", globals())
