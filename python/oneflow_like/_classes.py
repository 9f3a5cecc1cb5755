"""PyTorch's older way to make tensors: Tensor(2, 3), FloatTensor([1, 2])."""

import operator

import numpy as np

from . import _C, _creation
from ._C import Size, Tensor, TypeMismatchError

_OF = {"FloatTensor": _C.float32, "DoubleTensor": _C.float64, "HalfTensor": _C.float16,
       "BFloat16Tensor": _C.bfloat16, "LongTensor": _C.int64, "IntTensor": _C.int32,
       "ShortTensor": _C.int16, "CharTensor": _C.int8, "ByteTensor": _C.uint8,
       "BoolTensor": _C.bool}
__all__ = list(_OF)


def _made(name, given, dtype, device):
    """Of sizes zeros, of a list or an array its numbers, of nothing an empty tensor."""
    _C.check_device(name, device)
    if len(given) == 1 and isinstance(given[0], Size):
        given = tuple(given[0])
    elif len(given) == 1 and isinstance(given[0], (list, tuple, range, np.ndarray)):
        return _creation.tensor(given[0], dtype=dtype)
    for size in given:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeMismatchError(f"[{name}] data must be a sequence: got {type(size).__name__}; "
                                    "expected sizes, or one list or array; use flow.tensor(data)")
    return _C.empty(*map(operator.index, given) if given else (0,), dtype=dtype)


def of_default(*given, device=None):
    """What Tensor(...) holds: numbers of the default dtype."""
    return _made("Tensor", given, _C.get_default_dtype(), device)



class _OfDType(type):
    """The class of FloatTensor and its kin: each makes tensors of a dtype, which are its own."""

    def __call__(cls, *given, device=None):
        if len(given) == 1 and isinstance(given[0], Tensor):
            if given[0].dtype is not cls.dtype:
                raise TypeMismatchError(f"[{cls.__name__}] the tensor has another dtype: got "
                                        f"{given[0]._describe()}; expected {cls.dtype.name}; use "
                                        "x.to(dtype)")
            return given[0].detach()
        return _made(cls.__name__, given, cls.dtype, device)

    def __instancecheck__(cls, x):
        return isinstance(x, Tensor) and x.dtype is cls.dtype


for _name, _dtype in _OF.items():
    globals()[_name] = _OfDType(_name, (), {
        "dtype": _dtype, "__module__": "oneflow_like",
        "__doc__": f"Tensors of {_dtype.name}: {_name}(2, 3) of zeros, {_name}([1, 2]) of two."})
