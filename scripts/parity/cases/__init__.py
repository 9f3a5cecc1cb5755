"""Samples of PyTorch's public functions, one file a family."""
