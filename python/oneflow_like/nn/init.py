"""Initialisers, with torch's names and defaults. They fill a tensor in place and return it.

On a global tensor each rank draws its own part of the same logical values, without communication.
"""

import math

from .._C import InvalidArgumentError
from .._absent import getter as _getter
from .._functions import full, rand, randn
from ..autograd import no_grad

_GAINS = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "sigmoid": 1.0,
          "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}


def calculate_gain(nonlinearity, param=None):
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise InvalidArgumentError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _layout_of(tensor):
    if tensor.is_global:
        return {"placement": tensor.placement, "sbp": tensor.sbp}
    return {}


def _fill(tensor, make):
    with no_grad():
        tensor.copy_(make(tuple(tensor.shape), dtype=tensor.dtype, **_layout_of(tensor)))
    return tensor


def _fans(tensor):
    if len(tensor.shape) < 2:
        raise InvalidArgumentError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 "
            f"dimensions: got shape {tuple(tensor.shape)}")
    receptive = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive, tensor.shape[0] * receptive


def _fan(tensor, mode):
    fan_in, fan_out = _fans(tensor)
    if mode not in ("fan_in", "fan_out"):
        raise InvalidArgumentError(
            f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return fan_in if mode == "fan_in" else fan_out


def constant_(tensor, val):
    return _fill(tensor, lambda shape, **kw: full(shape, val, **kw))


def zeros_(tensor):
    return constant_(tensor, 0)


def ones_(tensor):
    return constant_(tensor, 1)


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    if not a <= b:
        raise InvalidArgumentError(
            f"[uniform_] the range is empty: got a={a}, b={b}; expected a <= b")
    return _fill(tensor, lambda shape, **kw: rand(shape, generator=generator, **kw) * (b - a)
                 + a)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    if not std >= 0:
        raise InvalidArgumentError(f"[normal_] got std={std}; expected std >= 0")
    return _fill(tensor, lambda shape, **kw: randn(shape, generator=generator, **kw) * std
                 + mean)


def xavier_uniform_(tensor, gain=1.0, generator=None):
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    if 0 in tuple(tensor.shape):
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    if 0 in tuple(tensor.shape):
        return tensor
    deviation = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, deviation, generator)


__getattr__ = _getter("nn.init", globals())
