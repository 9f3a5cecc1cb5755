"""Operators under torch's names: most come from the registry as they are, some are composed."""

from . import _C

abs = _C.abs
add = _C.add
amax = _C.amax
amin = _C.amin
argmax = _C.argmax
argmin = _C.argmin
clone = _C.clone
div = _C.div
eq = _C.eq
exp = _C.exp
gather = _C.gather
ge = _C.ge
gelu = _C.gelu
gt = _C.gt
index_select = _C.index_select
le = _C.le
log = _C.log
log_softmax = _C.log_softmax
logical_and = _C.logical_and
logical_not = _C.logical_not
logical_or = _C.logical_or
lt = _C.lt
matmul = _C.matmul
max = _C.max
maximum = _C.maximum
mean = _C.mean
min = _C.min
minimum = _C.minimum
mul = _C.mul
ne = _C.ne
neg = _C.neg
permute = _C.permute
pow = _C.pow
relu = _C.relu
reshape = _C.reshape
rsqrt = _C.rsqrt
sigmoid = _C.sigmoid
sign = _C.sign
softmax = _C.softmax
sqrt = _C.sqrt
square = _C.square
sub = _C.sub
sum = _C.sum
tanh = _C.tanh
transpose = _C.transpose
tril = _C.tril
where = _C.where


def cat(tensors, dim=0):
    """Concatenates tensors along a dimension."""
    return _C.cat(list(tensors), dim=dim)


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
    shape = tuple(getattr(tensors[0], "shape", ()))
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, _C.Tensor):
            raise TypeError(f"[stack] tensors[{index}] must be Tensor, not "
                            f"{type(tensor).__name__}")
        if tuple(tensor.shape) != shape:
            raise ValueError(f"[stack] shapes differ: got tensors[0]: {shape}, tensors[{index}]: "
                             f"{tuple(tensor.shape)}; expected one shape")
    return cat([tensor.unsqueeze(dim) for tensor in tensors], dim)


__all__ = [
    "abs", "add", "amax", "amin", "argmax", "argmin", "cat", "clamp", "clone", "div", "eq",
    "exp", "flatten", "gather", "ge", "gelu", "gt", "index_select", "le", "log", "log_softmax",
    "logical_and", "logical_not", "logical_or", "lt", "matmul", "max", "maximum", "mean", "min",
    "minimum", "mul", "ne", "neg", "permute", "pow", "relu", "reshape", "rsqrt", "sigmoid",
    "sign", "softmax", "sqrt", "square", "squeeze", "stack", "sub", "sum", "tanh", "transpose",
    "tril", "unsqueeze", "where"]
