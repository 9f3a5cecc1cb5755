"""Operators under torch's names: most come from the registry as they are, some are composed."""

from . import _C

_FROM_REGISTRY = [
    "abs", "add", "amax", "amin", "argmax", "clamp", "div", "eq", "exp", "ge", "gt", "le", "log",
    "log_softmax", "logical_and", "logical_not", "logical_or", "lt", "matmul", "max", "maximum",
    "mean", "min", "minimum", "mul", "ne", "neg", "permute", "pow", "relu", "reshape", "rsqrt",
    "sigmoid", "softmax", "sqrt", "square", "sub", "sum", "tanh", "transpose", "where"]

for _name in _FROM_REGISTRY:
    globals()[_name] = getattr(_C, _name)


def cat(tensors, dim=0):
    """Concatenates tensors along a dimension."""
    return _C.concat(list(tensors), dim=dim)


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


__all__ = [*_FROM_REGISTRY, "cat", "unsqueeze", "squeeze", "flatten", "stack"]
