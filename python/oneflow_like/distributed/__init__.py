"""Distributed helpers: torch.distributed's names over `oneflow_like.comm`, and the launcher."""

from ..comm import (all_gather, all_reduce, barrier, broadcast, reduce_scatter)
from ..env import get_rank, get_world_size

__all__ = ["all_gather", "all_reduce", "barrier", "broadcast", "reduce_scatter", "get_rank",
           "get_world_size"]
