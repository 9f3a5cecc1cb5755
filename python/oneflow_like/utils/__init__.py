"""Tools beside the operators."""

from . import checkpoint

__all__ = ["checkpoint"]
