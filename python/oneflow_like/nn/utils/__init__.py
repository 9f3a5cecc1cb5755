"""Helpers on parameters: gradient clipping."""

from .clip_grad import clip_grad_norm_, get_total_norm

__all__ = ["clip_grad_norm_", "get_total_norm"]
