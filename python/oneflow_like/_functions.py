"""Operators under torch's names: most come from the registry as they are, some are composed."""

import collections

from . import _C

_FROM_REGISTRY = [
    "abs", "add", "amax", "amin", "argmax", "argmin", "cat", "clone", "div", "eq", "exp",
    "gather", "ge", "gelu", "gt", "index_select", "le", "log", "log_softmax", "logical_and",
    "logical_not", "logical_or", "lt", "matmul", "maximum", "mean", "minimum", "mul", "ne",
    "neg", "permute", "pow", "relu", "reshape", "rsqrt", "sigmoid", "sign", "softmax", "sqrt",
    "square", "sub", "sum", "tanh", "transpose", "tril", "where"]

for _name in _FROM_REGISTRY:
    globals()[_name] = getattr(_C, _name)


_Extreme = collections.namedtuple("_Extreme", ["values", "indices"])


def max(input, dim=None, keepdim=False):
    """The largest element; with a dimension, (values, indices) along it."""
    if dim is None:
        return _C.amax(input)
    return _Extreme(_C.amax(input, dim, keepdim=keepdim), _C.argmax(input, dim, keepdim=keepdim))


def min(input, dim=None, keepdim=False):
    """The smallest element; with a dimension, (values, indices) along it."""
    if dim is None:
        return _C.amin(input)
    return _Extreme(_C.amin(input, dim, keepdim=keepdim), _C.argmin(input, dim, keepdim=keepdim))


def clamp(input, min=None, max=None):
    """The elements, limited to [min, max]."""
    return input.clamp(min, max)


def unsqueeze(input, dim):
    """Inserts a dimension of size one."""
    return input.unsqueeze(dim)


def squeeze(input, dim=None):
    """Leaves out dimensions of size one."""
    return input.squeeze() if dim is None else input.squeeze(dim)


def flatten(input, start_dim=0, end_dim=-1):
    """Joins a range of dimensions into one."""
    return input.flatten(start_dim, end_dim)


def stack(tensors, dim=0):
    """Joins tensors of one shape along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("[stack] got no tensors; expected at least one")
    shape = tuple(tensors[0].shape)
    for index, tensor in enumerate(tensors):
        if tuple(tensor.shape) != shape:
            raise ValueError(f"[stack] shapes differ: got tensors[0]: {shape}, tensors[{index}]: "
                             f"{tuple(tensor.shape)}; expected one shape")
    return cat([tensor.unsqueeze(dim) for tensor in tensors], dim)


__all__ = [*_FROM_REGISTRY, "clamp", "max", "min", "unsqueeze", "squeeze", "flatten", "stack"]
