"""Helpers on parameters and sequences: gradient clipping, packed sequences."""

from ..._absent import getter as _getter
from . import rnn
from .clip_grad import clip_grad_norm_, get_total_norm

__all__ = ["rnn", "clip_grad_norm_", "get_total_norm"]
__getattr__ = _getter("nn.utils", globals())
