"""What a tensor is, as Python's bool."""

from ._C import Tensor
from ._values import _answer, _tensors

__all__ = ["is_complex", "is_conj", "is_floating_point", "is_neg", "is_nonzero",
           "is_same_size", "is_signed", "is_tensor"]


def is_tensor(obj):
    """Whether it is a Tensor."""
    return isinstance(obj, Tensor)


def is_complex(input):
    """Whether its dtype is a complex one."""
    _tensors("is_complex", input=input)
    return input.dtype.name.startswith("complex")


def is_floating_point(input):
    """Whether its dtype is a floating one."""
    _tensors("is_floating_point", input=input)
    return input.dtype.is_floating_point


def is_signed(input):
    """Whether its dtype has negative numbers."""
    _tensors("is_signed", input=input)
    return input.dtype.name not in ("uint8", "bool")


def is_conj(input):
    """False: a conjugate is taken when it is asked for."""
    _tensors("is_conj", input=input)
    return False


def is_neg(input):
    """False: a negative is taken when it is asked for."""
    _tensors("is_neg", input=input)
    return False


def is_same_size(input, other):
    """Whether both have one shape."""
    _tensors("is_same_size", input=input, other=other)
    return tuple(input.shape) == tuple(other.shape)


def is_nonzero(input):
    """Whether the only element is not 0. Of a global tensor this is collective."""
    _tensors("is_nonzero", input=input)
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with "
                           f"{'no values' if input.numel() == 0 else 'more than one value'} is "
                           "ambiguous")
    return bool(_answer("is_nonzero", input.detach()))


for _function in (is_complex, is_conj, is_neg, is_nonzero, is_same_size, is_signed):
    setattr(Tensor, _function.__name__, _function)
