"""What every operator computes, in NumPy: the oracles of the registry, for tests of any kind."""

from .oracles import SCHEMAS, evaluate, to_dtype

__all__ = ["SCHEMAS", "evaluate", "to_dtype"]
