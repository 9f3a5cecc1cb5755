"""Tools beside the operators."""

from .._absent import getter as _getter
from . import checkpoint

__all__ = ["checkpoint"]
__getattr__ = _getter("utils", globals())
