"""Helpers on parameters and sequences: gradient clipping, packed sequences."""

from . import rnn
from .clip_grad import clip_grad_norm_, get_total_norm

__all__ = ["rnn", "clip_grad_norm_", "get_total_norm"]
