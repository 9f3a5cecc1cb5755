"""Operators as flow.<name>: those that the registry shows, as they are there."""

from . import _C


def of(namespace: str) -> dict[str, object]:
    """The functions of flow.<namespace>, by their names there."""
    return {name: getattr(_C, function) for name, function in _C.namespaces[namespace].items()}


globals().update(of(""))
__all__ = list(of(""))
